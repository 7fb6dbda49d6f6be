//! The machine as the host sees it.

use lutsim_isa::Elem;
use lutsim_isa::field::AccType;

/// What lowering needs to know of a chip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// LUT cores.
    pub cores: u32,
    /// Activation rows of one core.
    pub m: u32,
    /// Weight columns of one core.
    pub n: u32,
    /// Activations per table; 1 if the cores have none.
    pub k: u32,
    /// Whether the cores multiply with weights that were dequantised to FP16.
    pub dequantises: bool,
    /// Whether the vector unit makes the tables, into the scratchpad; otherwise the cores do.
    pub stored_tables: bool,
    /// Whether attention runs on multiply-accumulate lanes of the cores, without tables.
    pub mac_attention: bool,
    /// Width of an integer accumulator, bits.
    pub accumulator_bits: u32,
    /// Scratchpad, bytes.
    pub scratchpad_bytes: u64,
    /// One word of every bank of the scratchpad, bytes: weight slots are multiples of it, and so all alike.
    pub scratchpad_row_bytes: u32,
    /// DRAM, bytes.
    pub dram_bytes: u64,
    /// One DRAM burst, bytes.
    pub burst_bytes: u32,
    /// Consecutive bytes that open one row in every channel: tensors start at multiples of it.
    pub bank_span_bytes: u64,
    /// Consecutive bytes after which the same banks follow, one row further: layers are multiples of it apart, and so all alike.
    pub row_span_bytes: u64,
    /// Entries of each queue.
    pub queue_depth: u32,
    /// Instruction buffer of the sequencer, bytes.
    pub buffer_bytes: u32,
    /// Lanes of the vector unit.
    pub vector_lanes: u32,
}

impl Target {
    /// As `snapdragon_like`: what tests use when no chip file is at hand.
    pub const PHONE: Target = Target {
        cores: 16,
        m: 2,
        n: 64,
        k: 4,
        dequantises: false,
        stored_tables: false,
        mac_attention: false,
        accumulator_bits: 24,
        scratchpad_bytes: 4 << 20,
        scratchpad_row_bytes: 1024,
        dram_bytes: 12 << 30,
        burst_bytes: 32,
        bank_span_bytes: 8192,
        row_span_bytes: 32768,
        queue_depth: 16,
        buffer_bytes: 16 << 10,
        vector_lanes: 64,
    };
    /// As `tiny`: small enough to be simulated cycle by cycle in a test.
    pub const TINY: Target = Target {
        cores: 2,
        scratchpad_bytes: 512 << 10,
        scratchpad_row_bytes: 512,
        dram_bytes: 1 << 30,
        bank_span_bytes: 2048,
        row_span_bytes: 8192,
        queue_depth: 8,
        vector_lanes: 8,
        ..Target::PHONE
    };

    /// What `lmma` reads: activations of `plain`, or their tables.
    pub fn operand(&self, plain: Elem) -> Elem {
        match plain {
            Elem::I8 if self.stored_tables => Elem::T8,
            Elem::F16 if self.stored_tables => Elem::T16,
            plain => plain,
        }
    }
    /// The same in attention.
    pub fn attention_operand(&self, plain: Elem) -> Elem {
        if self.mac_attention { plain } else { self.operand(plain) }
    }
    /// The accumulator type of integer `lmma`s.
    pub fn accumulator(&self) -> AccType {
        match self.accumulator_bits {
            0..24 => AccType::I20,
            24..32 => AccType::I24,
            _ => AccType::I32,
        }
    }
    /// Most products of `max_odd` weights and INT8 activations that an accumulator provably holds.
    pub fn longest_sum(&self, max_odd: u64) -> u64 {
        let limit = (1u64 << (self.accumulator_bits.clamp(2, 63) - 1)) - 1;
        limit / (127 * max_odd.max(1))
    }
}
