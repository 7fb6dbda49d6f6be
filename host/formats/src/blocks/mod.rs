//! Blocks of each type, unpacked into codes, scales and offsets. A unpacker is given exactly its type's bytes.

pub(crate) mod k;
pub(crate) mod legacy;
pub(crate) mod table;
pub(crate) mod ternary;

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
