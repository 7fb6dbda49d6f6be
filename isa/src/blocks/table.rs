//! Weights that are entries of a table: IQ4_NL, MXFP4.

use super::{Block, f16, nibbles};

/// Levels of IQ4_NL.
pub static IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Levels of MXFP4: twice the values of E2M1 (OCP Microscaling Formats v1.0), so that they are integers.
pub static MXFP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// f16 scale, 16 bytes of nibbles.
pub fn iq4_nl(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    nibbles(&bytes[2..18], &mut block.codes[..32]);
}

/// A byte of exponent, 16 bytes of nibbles. The scale is half of 2^(exponent - 127), because levels are doubled.
pub fn mxfp4(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f32::from_bits(match u32::from(bytes[0]) {
        // Subnormal: 2^-128 and 2^-127.
        e @ 0..=1 => 1 << (21 + e),
        e => (e - 1) << 23,
    });
    nibbles(&bytes[1..17], &mut block.codes[..32]);
}
