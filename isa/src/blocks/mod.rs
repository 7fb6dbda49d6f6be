//! Weights as model files hold them: blocks that carry their own scales, unpacked into codes, scales and offsets.
//!
//! ```text
//! w = scale * level             level = code - zero, or a table's entry for the code
//! w = scale * level + offset    of the types that have one
//! ```
//! A function that unpacks is given exactly its type's bytes. Byte layouts: `ggml-common.h` and `ggml-quants.c` of
//! ggml-org/ggml; I2_S from microsoft/BitNet. In DRAM a record of such weights is the file's own blocks, `for n { for k }`.

pub mod k;
pub mod legacy;
pub mod table;
pub mod ternary;

use crate::format::WeightKind;

/// What there is to know of a type of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// Weights of a block.
    pub weights: u32,
    /// Bytes of a block.
    pub bytes: u32,
    /// Of these, scales and offsets.
    pub scale_bytes: u32,
    /// Weights that share a scale.
    pub group: u32,
    /// Bytes at a record's start: the scale of the whole tensor, FP32.
    pub head: u32,
    /// The code of level 0, if levels are not from a table.
    pub zero: u32,
    /// What codes stand for, if that is a table.
    pub levels: Option<&'static [i8; 16]>,
    /// Whether groups have an offset.
    pub offset: bool,
    /// Unpacks one.
    pub unpack: fn(&[u8], &mut Block),
}

const fn blocks(
    (weights, bytes, scale_bytes): (u32, u32, u32),
    group: u32,
    zero: u32,
    offset: bool,
    unpack: fn(&[u8], &mut Block),
) -> Blocks {
    Blocks { weights, bytes, scale_bytes, group, head: 0, zero, levels: None, offset, unpack }
}

//                                weights bytes scales   group  zero  offset
static Q4_0: Blocks = blocks((32, 18, 2), 32, 8, false, legacy::q4_0);
static Q4_1: Blocks = blocks((32, 20, 4), 32, 0, true, legacy::q4_1);
static Q5_0: Blocks = blocks((32, 22, 2), 32, 16, false, legacy::q5_0);
static Q5_1: Blocks = blocks((32, 24, 4), 32, 0, true, legacy::q5_1);
static Q8_0: Blocks = blocks((32, 34, 2), 32, 128, false, legacy::q8_0);
static Q2_K: Blocks = blocks((256, 84, 20), 16, 0, true, k::q2);
static Q3_K: Blocks = blocks((256, 110, 14), 16, 4, false, k::q3);
static Q4_K: Blocks = blocks((256, 144, 16), 32, 0, true, k::q4);
static Q5_K: Blocks = blocks((256, 176, 16), 32, 0, true, k::q5);
static Q6_K: Blocks = blocks((256, 210, 18), 16, 32, false, k::q6);
static TQ1_0: Blocks = blocks((256, 54, 2), 256, 1, false, ternary::tq1_0);
static TQ2_0: Blocks = blocks((256, 66, 2), 256, 1, false, ternary::tq2_0);
static I2_S: Blocks = Blocks { head: 4, ..blocks((128, 32, 0), 128, 1, false, ternary::i2_s) };
static IQ4_NL: Blocks =
    Blocks { levels: Some(&table::IQ4_NL), ..blocks((32, 18, 2), 32, 0, false, table::iq4_nl) };
static MXFP4: Blocks =
    Blocks { levels: Some(&table::MXFP4), ..blocks((32, 17, 1), 32, 0, false, table::mxfp4) };

impl WeightKind {
    /// The blocks of a type of model files; none of the machine's own types.
    pub const fn blocks(self) -> Option<&'static Blocks> {
        Some(match self {
            WeightKind::Q40 => &Q4_0,
            WeightKind::Q41 => &Q4_1,
            WeightKind::Q50 => &Q5_0,
            WeightKind::Q51 => &Q5_1,
            WeightKind::Q80 => &Q8_0,
            WeightKind::Q2K => &Q2_K,
            WeightKind::Q3K => &Q3_K,
            WeightKind::Q4K => &Q4_K,
            WeightKind::Q5K => &Q5_K,
            WeightKind::Q6K => &Q6_K,
            WeightKind::Tq10 => &TQ1_0,
            WeightKind::Tq20 => &TQ2_0,
            WeightKind::I2S => &I2_S,
            WeightKind::Iq4Nl => &IQ4_NL,
            WeightKind::Mxfp4 => &MXFP4,
            _ => return None,
        })
    }
    /// The bit-planes of a block's code: bit i belongs to plane i.
    pub fn plane_bits(self, blocks: &Blocks, code: u8) -> u8 {
        match blocks.levels {
            Some(levels) => {
                (i16::from(levels[usize::from(code & 15)]) + (1 << (self.planes().len() - 1))) as u8
            }
            // -1, 0, +1 in two planes of equal weight.
            None if self.is_ternary() => [0b00, 0b01, 0b11, 0b11][usize::from(code & 3)],
            None => code,
        }
    }
}

/// A block unpacked: weights in order, and a scale and an offset for each group of them.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// A code per weight.
    pub codes: [u8; 256],
    /// A scale per group.
    pub scales: [f32; 16],
    /// An offset per group, where the type has them.
    pub offsets: [f32; 16],
}

impl Default for Block {
    fn default() -> Block {
        Block { codes: [0; 256], scales: [0.0; 16], offsets: [0.0; 16] }
    }
}

fn f16(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// `2 N` codes of 4 bits from `N` bytes: the low halves, then the high ones.
fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = byte & 15;
        *high = byte >> 4;
    }
}

/// Codes of 2 bits from runs of `run` bytes: the lowest bits of a run's bytes, then the next, up to the highest.
fn pairs(bytes: &[u8], run: usize, codes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact(run).zip(codes.chunks_exact_mut(4 * run)) {
        for (i, codes) in codes.chunks_exact_mut(run).enumerate() {
            for (byte, code) in bytes.iter().zip(codes) {
                *code = byte >> (2 * i) & 3;
            }
        }
    }
}

/// Adds to each code a bit of value `worth` from a run of 32 bytes: the lowest bits are of the first 32 codes, and so on.
fn planes(bytes: &[u8], worth: u8, codes: &mut [u8]) {
    for (i, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (byte, code) in bytes.iter().zip(codes) {
            *code += (byte >> i & 1) * worth;
        }
    }
}
