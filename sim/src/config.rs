//! A validated chip: what the machine is built from. Text becomes this in [`crate::chip_file`].

/// A chip.
#[derive(Clone, PartialEq, Debug)]
pub struct Chip {
    /// Name, from the file.
    pub name: String,
    /// Core clock, Hz; of the sequencer, DMA, LUT cores, vector unit and scratchpad.
    pub clock_hz: u64,
    /// Process node (`configs/tech/nodes.toml`), by name.
    pub technology: String,
    /// LUT cores.
    pub lut: Lut,
    /// On-chip memory.
    pub scratchpad: Scratchpad,
    /// Vector unit.
    pub vector: Vector,
    /// DMA engines and unpacker.
    pub dma: Dma,
    /// Sequencer.
    pub sequencer: Sequencer,
    /// Off-chip memory.
    pub dram: Dram,
    /// Refresh of the off-chip memory.
    pub refresh: Refresh,
    /// Other masters of the off-chip memory.
    pub background: Background,
    /// The host's side.
    pub runtime: Runtime,
}

/// Cores, all alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lut {
    /// What they do: look up, add or multiply.
    pub kind: lutsim_tech::Kind,
    /// Cores on the chip.
    pub cores: u32,
    /// Activation rows of one core (tables held at once).
    pub m: u32,
    /// Weight columns of one core.
    pub n: u32,
    /// Activations per table; of cores without tables, products that a cycle adds into one accumulator.
    pub k: u32,
    /// Multiply-add lanes of one core's drain.
    pub drain_lanes: u32,
    /// Width of an integer accumulator, bits.
    pub accumulator_bits: u32,
    /// Cycles from the last select of an `lmma` to its last partial sum (builder, select, accumulate, drain pipeline).
    pub pipeline_cycles: u32,
    /// Who makes the tables.
    pub build: Build,
    /// Weights that a core dequantises per cycle; 0 if it does not.
    pub dequantisers: u32,
    /// Bytes per cycle of the link that brings weights to a column of cores: all of its cores take the same.
    pub weight_link_bytes: u32,
    /// Bytes per cycle of the link that brings activations or tables to a row of cores: all of its cores take the same.
    pub activation_link_bytes: u32,
    /// Multiply-accumulate lanes of a core, for attention without tables; 0 if there are none.
    pub mac_lanes: u32,
}

/// Who makes the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Build {
    /// Each core, from activations as they come in: so many tables per cycle.
    Ingress {
        /// Tables per cycle and core.
        builders: u32,
    },
    /// The vector unit, once, into the scratchpad; cores read them from there.
    Vector,
    /// Nobody: the cores do without.
    Nobody,
}

/// Scratchpad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scratchpad {
    /// Capacity, bytes.
    pub bytes: u64,
    /// Banks; consecutive words go to consecutive banks.
    pub banks: u32,
    /// Word of a bank: bytes per access.
    pub bank_bytes: u32,
    /// No bank ever conflicts: to isolate effects; said in every output.
    pub conflict_free: bool,
}

/// Vector unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vector {
    /// Elements per cycle and pass.
    pub lanes: u32,
    /// Special functions (exp, 1/x, 1/sqrt) per cycle.
    pub special_lanes: u32,
    /// Cycles from issue to the first element, and from the last to retirement.
    pub pipeline_cycles: u32,
}

/// DMA engines and unpacker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dma {
    /// Bursts in flight from DRAM: the size of the reorder buffer.
    pub outstanding_bursts: u32,
    /// Bytes per cycle that a DMA engine moves to or from the scratchpad.
    pub port_bytes: u32,
    /// Bytes per cycle through the unpacker, on its output side.
    pub unpacker_bytes: u32,
    /// Transfers a DMA engine works on at once (the next one's requests follow the last one's without a gap).
    pub transfers: u32,
}

/// Sequencer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequencer {
    /// Entries of each of the four queues.
    pub queue_depth: u32,
    /// Instruction buffer, bytes; loops that fit are fetched once.
    pub buffer_bytes: u32,
}

/// Off-chip memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Dram {
    /// Kind.
    pub kind: DramKind,
    /// Channels.
    pub channels: u32,
    /// Consecutive bytes in one channel before the next one's turn.
    pub interleave_bytes: u32,
    /// Capacity of all channels, bytes.
    pub bytes: u64,
    /// Bytes per core cycle that the chip's port to the memory controllers passes; no cap if there is none.
    pub port_bytes_per_cycle: Option<u32>,
}

/// Kind of off-chip memory.
#[derive(Clone, PartialEq, Debug)]
pub enum DramKind {
    /// A standard of `configs/dram`, by name, with its controllers.
    Standard(String),
    /// Latency and bandwidth and nothing else: to isolate effects; said in every output.
    Ideal {
        /// Request to data, ns.
        latency_ns: u64,
        /// Of one channel.
        bytes_per_second: u64,
        /// Bytes of one burst.
        burst_bytes: u32,
    },
}

/// Traffic of other masters (CPU, display, modem); none by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Background {
    /// Over all channels; 0 is no traffic.
    pub bytes_per_second: u64,
    /// Requests that read, of a thousand; the others write.
    pub read_per_mille: u32,
    /// Requests to the burst behind the last one's in their channel, of a thousand; the others go anywhere.
    pub local_per_mille: u32,
    /// Of the sequence of requests.
    pub seed: u64,
}

/// Refresh policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshPolicy {
    /// On time.
    Timer,
    /// Owed refreshes wait for a fence or the end of a transfer, within the standard's postponement limit.
    Aligned,
}

/// Refresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// When.
    pub policy: RefreshPolicy,
    /// Memory clocks between two; at most the standard's tREFI.
    pub interval_cycles: u32,
}

/// The host's side of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Runtime {
    /// From the host's doorbell to the first instruction fetch, ns.
    pub doorbell_ns: u64,
    /// From the end of a step to the host having its result, ns.
    pub readback_ns: u64,
    /// Rate at which the host reads results larger than a word.
    pub readback_bytes_per_second: u64,
}
