//! A whole chip: area by component, from the same structure that its events are priced by.

use lutsim_record::{Band, Ordered};

use crate::bill::{Bill, total};
use crate::core::{Charged, Core};
use crate::silicon::product;
use crate::sram::Bank;
use crate::{Component as C, Silicon, SiliconError, Sram};

/// The parts of a chip that take area.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Cores.
    pub cores: Cores,
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
}

/// Cores of a chip, all alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cores {
    /// How many.
    pub count: u32,
    /// One of them.
    pub core: Core,
    /// Multiply-add lanes of one core's drain.
    pub drain_lanes: u32,
    /// Multiply-accumulate lanes of one core for attention.
    pub mac_lanes: u32,
}

/// On-chip memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scratchpad {
    /// Capacity.
    pub bytes: u64,
    /// Banks.
    pub banks: u32,
    /// Bytes of a bank's word.
    pub bank_bytes: u32,
}

/// Vector unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vector {
    /// Elements per cycle.
    pub lanes: u32,
    /// Special functions per cycle.
    pub special_lanes: u32,
}

/// DMA engines and unpacker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dma {
    /// Bytes of the reorder buffer.
    pub buffer_bytes: u64,
    /// Bytes per cycle of a port.
    pub port_bytes: u32,
    /// Bytes per cycle through the unpacker.
    pub unpacker_bytes: u32,
}

/// Sequencer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequencer {
    /// Entries of each of four queues.
    pub queue_depth: u32,
    /// Instruction buffer.
    pub buffer_bytes: u32,
}

/// Off-chip memory, the chip's side.
#[derive(Clone, Debug, PartialEq)]
pub struct Dram {
    /// Channels.
    pub channels: u32,
    /// Capacity, bytes.
    pub bytes: u64,
    /// Technology file, by name.
    pub technology: String,
    /// Area of one channel's physical interface, mm2: pads and analogue parts, which do not shrink with the node.
    pub phy_mm2: Band,
    /// USD per 10^9 bytes.
    pub usd_per_gb: Band,
}

/// Bits of an instruction and of a queue's entry.
const INSTRUCTION_BITS: u32 = 128;
/// Ports of a scratchpad bank: operands 3, drain 2, DMA 2, vector unit 2.
const PORTS: f64 = 9.0;
/// Multiply-adds in flight that make one special function per cycle.
const SPECIAL_STEPS: f64 = 6.0;

impl Plan {
    /// Area by component, mm2, as placed.
    ///
    /// # Errors
    /// A core that cannot be built, a memory outside the table of macros.
    pub fn area(&self, silicon: &Silicon) -> Result<Ordered<Band>, SiliconError> {
        let macros = silicon.macros();
        let mut parts = Ordered::new();
        let mm2 = |um2: Band| um2.times(1e-6);
        let count = f64::from(self.cores.count);
        self.cores.core.check()?;
        let array = if self.cores.core.kind.has_tables() { "lut" } else { "array" };
        for (part, um2) in self.cores.core.area(silicon, Charged::ALL).iter() {
            let component = match part {
                "builders" => "table_builder",
                "dequantiser" => "dequantiser",
                "tables" => "table_registers",
                "weights" => "weight_buffers",
                "activations" => "activation_registers",
                "broadcast" => "broadcast_wires",
                _ => array,
            };
            parts.add(component, mm2(*um2).times(count));
        }
        let placed = |bill: &Bill| product(mm2(total(&bill.area(silicon))), silicon.layout());
        if self.cores.mac_lanes > 0 {
            parts.add("mac_lanes", placed(&mac_lane()).times(count * f64::from(self.cores.mac_lanes)));
        }
        let sums = self.partial_sums().cost(&macros)?;
        parts.add("drain", (placed(&self.drain()) + sums.area).times(count));
        parts.add("vector", placed(&self.vector.bill()));
        let bank = self.bank().cost(&macros)?;
        let wiring = placed(&self.scratchpad.ports());
        parts.add("scratchpad", bank.area.times(f64::from(self.scratchpad.banks)) + wiring);
        parts.add("unpacker", placed(&self.dma.unpacker()));
        let buffer = self.dma_buffer().cost(&macros)?;
        // A store's buffer is as the load's.
        parts.add("dma", buffer.area.times(2.0));
        let program = Bank::of(self.sequencer.buffer_bytes.into(), INSTRUCTION_BITS.into()).cost(&macros)?;
        parts.add("sequencer", placed(&self.sequencer.bill()) + program.area);
        let channels = f64::from(self.dram.channels);
        let mut controllers = Bill::default();
        controllers.line("controllers", C::Controller, channels, 0.0);
        parts.add("dram_controllers", placed(&controllers));
        parts.add("dram_phy", self.dram.phy_mm2.times(channels));
        Ok(parts)
    }

    /// One bank of the scratchpad.
    pub(crate) fn bank(&self) -> Bank {
        let pad = self.scratchpad;
        Bank::of(pad.bytes.div_ceil(pad.banks.into()), 8 * u64::from(pad.bank_bytes))
    }

    /// One bank's cost.
    pub(crate) fn bank_cost(&self, silicon: &Silicon) -> Result<Sram, SiliconError> {
        self.bank().cost(&silicon.macros())
    }

    /// FP32 partial sums of a core, twice: one set is drained while the other is added to. As wide as the drain.
    pub(crate) fn partial_sums(&self) -> Bank {
        let shape = self.cores.core.shape;
        let sums = u64::from(shape.m) * u64::from(shape.n);
        Bank::of(2 * 4 * sums, 32 * u64::from(self.cores.drain_lanes))
    }

    pub(crate) fn dma_buffer(&self) -> Bank {
        Bank::of(self.dma.buffer_bytes, 8 * u64::from(self.dma.port_bytes))
    }

    /// Two FP32 multiply-adds per lane.
    fn drain(&self) -> Bill {
        let lanes = f64::from(self.cores.drain_lanes);
        let mut bill = Bill::default();
        bill.line("drain", C::Fp32Mul, 2.0 * lanes, 0.0);
        bill.line("drain", C::Fp32Add, 2.0 * lanes, 0.0);
        bill.line("drain", C::FlipFlop, 4.0 * 32.0 * lanes, 0.0);
        bill
    }

    /// Side in mm of cores and scratchpad laid out as a square: what wires between them cross.
    pub(crate) fn side_mm(&self, silicon: &Silicon) -> Result<f64, SiliconError> {
        let area = self.area(silicon)?;
        let inner: f64 = area.iter().filter(|(name, _)| !name.starts_with("dram")).map(|(_, b)| b.mid).sum();
        Ok(inner.sqrt())
    }
}

/// A lane that multiplies INT8 by INT8, sixteen to an accumulator, and FP16 by INT8.
pub(crate) fn mac_lane() -> Bill {
    let mut bill = Bill::default();
    bill.line("int8", C::ProductBit, 64.0, 64.0);
    bill.line("int8", C::InputBit, 0.0, 8.0);
    bill.line("int8", C::AccumulateBit, 2.0, 2.0);
    bill.line("int8", C::FlipFlop, 0.0, 2.0);
    bill.line("fp16", C::Fp16Mul, 1.0, 1.0);
    bill.line("fp16", C::Fp32Add, 1.0, 1.0);
    bill
}

impl Vector {
    /// Lanes with two operands and a result in registers; special functions in steps of multiply-adds.
    pub(crate) fn bill(self) -> Bill {
        let (lanes, special) = (f64::from(self.lanes), f64::from(self.special_lanes));
        let mut bill = Bill::default();
        let units = lanes + special * SPECIAL_STEPS;
        bill.line("vector", C::Fp32Mul, units, 0.0);
        bill.line("vector", C::Fp32Add, units, 0.0);
        bill.line("vector", C::FlipFlop, 96.0 * units, 0.0);
        bill
    }
}

impl Scratchpad {
    /// Each bank chooses among its ports and registers what it reads.
    fn ports(self) -> Bill {
        let bits = 8.0 * f64::from(self.bank_bytes) * f64::from(self.banks);
        let mut bill = Bill::default();
        bill.line("ports", C::MuxBit, bits * (PORTS - 1.0), 0.0);
        bill.line("ports", C::FlipFlop, bits, 0.0);
        bill
    }
}

impl Dma {
    /// Per bit that leaves: a register in and out, a transposing buffer of two, three levels of multiplexers.
    pub(crate) fn unpacker(self) -> Bill {
        let bits = 8.0 * f64::from(self.unpacker_bytes);
        let mut bill = Bill::default();
        // The transposing buffer holds eight words, twice.
        bill.line("unpacker", C::FlipFlop, bits * (2.0 + 16.0), 4.0 * bits);
        bill.line("unpacker", C::MuxBit, 3.0 * bits, 3.0 * bits);
        bill
    }
}

impl Sequencer {
    fn bill(self) -> Bill {
        let bits = 4.0 * f64::from(self.queue_depth) * f64::from(INSTRUCTION_BITS);
        let mut bill = Bill::default();
        bill.line("sequencer", C::Sequencer, 1.0, 0.0);
        bill.line("queues", C::EnabledFlipFlop, bits, 0.0);
        bill
    }
}
