//! The key table: every key of a chip file, its kind of value, its limits and its meaning, once.
//!
//! Unknown keys, near misses, missing keys, wrong units, `--set`, the canonical echo and docs/config.md all
//! come from it.

/// The kind of value that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A whole number without a unit, from..=to.
    Count(u64, u64),
    /// A whole number that address bits select, so a power of two, from..=to.
    Power(u64, u64),
    /// A size: a whole number of bytes, or `"4 MiB"`.
    Bytes(u64, u64),
    /// A frequency, `"1.0 GHz"`.
    Frequency,
    /// A time, `"1 us"`.
    Time,
    /// A rate, `"8 GB/s"`, of at least so many bytes per second.
    Rate(u64),
    /// A share, 0 to 1 in thousandths, `0.75`.
    Share,
    /// `true` or `false`.
    Flag,
    /// One of a closed set of words.
    Choice(&'static [&'static str]),
    /// One of a closed set of numbers.
    OneOf(&'static [u64]),
    /// `"row"`, or a group size: a power of two from 16 to 1024.
    Group,
}

/// When a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// In every file.
    Always,
    /// Left out, it has this value.
    Default(&'static str),
    /// With cores that have tables.
    Tables,
    /// With `lut.build = "ingress"`.
    Ingress,
    /// In those that want it, of cores that dequantise.
    Dequantised,
    /// With `dram.standard`.
    Banked,
    /// With `[dram.ideal]`.
    Ideal,
    /// With any key of `[background]`.
    Background,
    /// In those that want it.
    Optional,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    pub(crate) doc: &'static str,
}

macro_rules! keys {
    ($($id:ident $path:literal : $kind:expr, $need:expr, $doc:literal;)*) => {
        /// A key of a chip file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key { $($id),* }

        /// Every key, in canonical order.
        pub(crate) const KEYS: &[Key] = &[$(Key::$id),*];

        impl Key {
            const ROWS: &'static [Row] = &[$(Row { path: $path, kind: $kind, need: $need, doc: $doc }),*];
        }
    };
}

use Kind::*;
use Need::{Always, Background, Banked, Default as Or, Dequantised, Ideal, Ingress, Optional, Tables};

const U32: u64 = u32::MAX as u64;
const GIB: u64 = 1 << 30;
/// Weight formats: of our own making, then those of model files; floats are the vector unit's.
const WEIGHTS: &[&str] = &[
    "int1", "int1.58", "int2", "int3", "int4", "int8", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k",
    "q3_k", "q4_k", "q5_k", "q6_k", "tq1_0", "tq2_0", "i2_s", "iq4_nl", "mxfp4", "f16",
];

keys! {
    Name "name": Text, Always, "The chip's name.";
    Title "about.title": Text, Always, "What it is, in a line.";
    Node "about.node": Text, Always, "Process node of the logic.";
    Voltage "about.voltage": Text, Always, "Supply of the logic.";
    Includes "about.includes": Text, Always, "What its area and energy include, and what they do not.";
    Clock "clock": Frequency, Always, "Core clock: sequencer, DMA, LUT cores, vector unit and scratchpad.";
    Technology "technology": Text, Always, "Process node of the logic, by name (`configs/tech/nodes.toml`): area and energy follow from it and the chip's structure.";

    LutKind "lut.kind": Choice(lutsim_tech::Kind::NAMES), Or("lut"),
        "What the cores are. With tables, a plane of K weights per cycle: `lut`; `lut-conventional` and `unpu` (full tables), `figlut` (entries \
         of aligned 16-bit integers). Without: `add` adds a plane of K weights per cycle, `mac-int8`, `mac-int4` and `mac-int2` multiply with \
         so many bits of K weights, `mac-fp16` with K dequantised weights.";
    LutCores "lut.cores": Count(1, 255), Always, "Cores.";
    LutM "lut.m": Count(1, 255), Always, "Activation rows of one core.";
    LutN "lut.n": Count(1, 4095), Always, "Weight columns of one core.";
    LutK "lut.k": Count(2, 64), Always, "Activations per table, at most 6; of cores without tables, products that a cycle adds into one accumulator.";
    LutDrainLanes "lut.drain_lanes": Count(1, 4095), Always, "Multiply-add lanes of one core's drain.";
    LutAccumulatorBits "lut.accumulator_bits": OneOf(&[20, 24, 32]), Always, "Width of an integer accumulator, bits.";
    LutPipelineCycles "lut.pipeline_cycles": Count(1, 1000), Always,
        "Cycles from the last select of an `lmma` to its last partial sum.";
    LutBuild "lut.build": Choice(&["ingress", "vector"]), Tables,
        "Who makes the tables. `ingress`: each core, from the activations that come in. `vector`: the vector unit, once per row of \
         activations, into the scratchpad, from where the cores read them.";
    LutBuilders "lut.builders": Count(1, 255), Ingress, "Tables that a core makes per cycle.";
    LutDequantisers "lut.dequantisers": Count(1, 65536), Dequantised,
        "Weights that a core of `mac-fp16` dequantises per cycle. Left out, as many as its array takes: N x K.";
    LutWeightLinkBytes "lut.weight_link_bytes": Count(1, 65536), Always,
        "Bytes per cycle of the link that brings weights to a column of cores; all of them take the same.";
    LutActivationLinkBytes "lut.activation_link_bytes": Count(1, 65536), Always,
        "Bytes per cycle of the link that brings activations, or stored tables, to a row of cores; all of them take the same.";

    AttentionMacLanes "attention.mac.lanes": Count(1, 65536), Optional,
        "Multiply-accumulate lanes of each core, on which attention runs in place of its tables. Left out, it runs on the tables.";

    ScratchpadBytes "scratchpad.bytes": Bytes(1, U32), Always, "Capacity of the scratchpad.";
    ScratchpadBanks "scratchpad.banks": Power(1, 128), Always, "Banks; consecutive words go to consecutive banks.";
    ScratchpadBankBytes "scratchpad.bank_bytes": Power(1, 1024), Always, "Bytes that a bank moves per access.";
    ScratchpadConflictFree "scratchpad.conflict_free": Flag, Or("false"),
        "No bank ever conflicts: to isolate effects; said in every output.";

    VectorLanes "vector.lanes": Count(1, 65536), Always, "Elements of the vector unit per cycle and pass.";
    VectorSpecialLanes "vector.special_lanes": Count(1, 65536), Always, "Special functions (exp, 1/x, 1/sqrt) per cycle.";
    VectorPipelineCycles "vector.pipeline_cycles": Count(1, 1000), Always,
        "Cycles from issue to the first element, and from the last to retirement.";

    DmaOutstandingBursts "dma.outstanding_bursts": Count(1, 1 << 20), Always,
        "Bursts in flight from DRAM: the size of the reorder buffer.";
    DmaPortBytes "dma.port_bytes": Count(1, 65536), Always, "Bytes per cycle that a DMA engine moves to or from the scratchpad.";
    DmaUnpackerBytes "dma.unpacker_bytes": Count(1, 65536), Always, "Bytes per cycle through the unpacker, on its output side.";
    DmaTransfers "dma.transfers": Count(1, 64), Always, "Transfers that a DMA engine works on at once.";

    SequencerQueueDepth "sequencer.queue_depth": Count(1, 1024), Always, "Entries of each of the four queues.";
    SequencerBufferBytes "sequencer.buffer_bytes": Bytes(16, 1 << 24), Always,
        "Instruction buffer; loops that fit are fetched once.";

    DramStandard "dram.standard": Text, Banked, "DRAM standard, by name (`configs/dram`).";
    IdealLatency "dram.ideal.latency": Time, Ideal, "Request to data, and nothing else: to isolate effects; said in every output.";
    IdealBandwidth "dram.ideal.bandwidth": Rate(1), Ideal, "Of one channel.";
    IdealBurstBytes "dram.ideal.burst_bytes": Power(8, 1024), Ideal, "Bytes of one burst.";
    DramChannels "dram.channels": Power(1, 64), Always, "Memory channels.";
    DramInterleaveBytes "dram.interleave_bytes": Power(8, 1 << 30), Always,
        "Consecutive bytes in one channel before the next one's turn.";
    DramBytes "dram.bytes": Bytes(1, 4096 * GIB), Always, "Capacity of all channels.";
    DramPortBytesPerCycle "dram.port_bytes_per_cycle": Count(1, 65536), Optional,
        "Bytes per core cycle that the chip's port to the memory controllers passes: bursts of load, store and instruction \
         fetch together, both ways. Left out, there is no cap.";
    DramTechnology "dram.technology": Text, Always, "Energy, interface and price of the DRAM, by name (`configs/tech`).";

    RefreshPolicy "refresh.policy": Choice(&["timer", "aligned"]), Banked,
        "`timer`: on time. `aligned`: owed refreshes wait for a fence or the end of a transfer, within the standard's limit.";
    RefreshIntervalCycles "refresh.interval_cycles": Count(1, U32), Banked,
        "Memory clocks between two refreshes; at most the standard's tREFI.";

    BackgroundRate "background.rate": Rate(0), Background,
        "Traffic of the memory's other masters (CPU, display, modem), over all channels; 0, or no `[background]`, is none.";
    BackgroundReadShare "background.read_share": Share, Background, "Of their requests, those that read; the others write.";
    BackgroundLocality "background.locality": Share, Background,
        "Of their requests, those to the burst behind the last one in the channel; the others are to a random one.";
    BackgroundSeed "background.seed": Count(0, i64::MAX as u64), Background,
        "Of the sequence of their requests: the same seed, the same sequence.";

    RuntimeDoorbell "runtime.doorbell": Time, Always, "From the host's doorbell to the first instruction fetch.";
    RuntimeReadback "runtime.readback": Time, Always, "From the end of a step to the host having its result.";
    RuntimeReadbackRate "runtime.readback_rate": Rate(1), Always, "Rate at which the host reads results larger than a word.";

    WorkloadModel "workload.model": Text, Always, "Model, by name (`configs/models`).";
    WorkloadPrompt "workload.prompt": Count(0, 1 << 20), Always, "Prompt tokens; 0 skips prefill.";
    WorkloadGenerate "workload.generate": Count(0, 1 << 20), Always, "Decode steps.";
    WorkloadContext "workload.context": Count(0, 1 << 20), Or("0"), "Tokens already in the KV cache.";
    WorkloadBatch "workload.batch": Count(1, 4096), Or("1"), "Sequences at a time.";
    WorkloadWeights "workload.weights": Choice(WEIGHTS), Always, "Weight format.";
    WorkloadGroup "workload.group": Group, Always, "Consecutive weights along the reduction that share a scale, or `row`.";
    WorkloadHead "workload.head": Choice(WEIGHTS), Or("int8"), "Weight format of the output head.";
    WorkloadHeadGroup "workload.head_group": Group, Or("128"), "The head's weights that share a scale, or `row`.";
    WorkloadActivations "workload.activations": Choice(&["int8", "fp16"]), Or("int8"), "Activation format.";
    WorkloadTables "workload.tables": Choice(&["exact", "int8"]), Or("exact"),
        "Entries of the tables: as they are summed, or rounded to 8 bits with a scale per row and group of weights (needs `lut.build = \"ingress\"`).";
    WorkloadKv "workload.kv": Choice(&["int8", "int4", "fp16"]), Or("int8"), "KV cache format.";
    WorkloadSampling "workload.sampling": Flag, Or("false"),
        "The host samples: all logits are read back as FP32, in place of the arg-max's 4 bytes.";
}

impl Key {
    pub(crate) fn row(self) -> &'static Row {
        &Key::ROWS[self as usize]
    }
    pub(crate) fn path(self) -> &'static str {
        self.row().path
    }
    pub(crate) fn find(path: &str) -> Option<Key> {
        KEYS.iter().copied().find(|k| k.path() == path)
    }
    /// The name in the canonical echo: the path, with the unit that the number is in.
    pub(crate) fn canonical(self) -> String {
        let suffix = match self.row().kind {
            Frequency => "_hz",
            Time => "_ns",
            Rate(_) => "_bytes_per_second",
            Share => "_per_mille",
            _ => "",
        };
        format!("{}{suffix}", self.path())
    }
}

impl Kind {
    /// What a value of this kind looks like, for messages and the documentation.
    pub(crate) fn expects(self) -> String {
        let words = |set: &[&str]| set.iter().map(|w| format!("`\"{w}\"`")).collect::<Vec<_>>().join(", ");
        match self {
            Text => "text in quotes".into(),
            Count(..) => "a whole number".into(),
            Power(..) => "a power of two".into(),
            Bytes(..) => "a size such as `\"4 MiB\"`, or a whole number of bytes".into(),
            Frequency => "a frequency such as `\"1.2 GHz\"`".into(),
            Time => "a time such as `\"100 ns\"`".into(),
            Rate(_) => "a rate such as `\"8 GB/s\"`".into(),
            Share => "a share from 0 to 1 such as `0.75`".into(),
            Flag => "`true` or `false`".into(),
            Choice(set) => format!("one of {}", words(set)),
            OneOf(set) => format!("one of {}", set.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
            Group => "`\"row\"` or a power of two from 16 to 1024".into(),
        }
    }
    /// An example value, as TOML.
    pub(crate) fn example(self) -> String {
        match self {
            Text => "\"...\"".into(),
            Count(..) | Power(..) => "16".into(),
            Bytes(..) => "\"4 MiB\"".into(),
            Frequency => "\"1.2 GHz\"".into(),
            Time => "\"100 ns\"".into(),
            Rate(_) => "\"8 GB/s\"".into(),
            Share => "0.75".into(),
            Flag => "false".into(),
            Choice(set) => format!("\"{}\"", set[0]),
            OneOf(set) => set[0].to_string(),
            Group => "128".into(),
        }
    }
}
