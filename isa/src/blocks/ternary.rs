//! Ternary weights: TQ1_0, TQ2_0, and bitnet.cpp's I2_S.

use super::{Block, f16, pairs};

/// 48 + 4 bytes of base-3 digits, f16 scale.
///
/// A byte is ceil(256 * n / 243) of a number n of 5 digits (4 and a zero in the last 4 bytes), so that multiplying it by 3
/// moves its first digit above the byte. Digits are taken a run of bytes at a time: the first digits of 32 bytes, then
/// their second ones; then those of 16 bytes, then of 4.
pub fn tq1_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 52);
    let (fives, fours) = block.codes.split_at_mut(240);
    let (long, short) = fives.split_at_mut(160);
    digits(&bytes[..32], long);
    digits(&bytes[32..48], short);
    digits(&bytes[48..52], fours);
}

fn digits(bytes: &[u8], codes: &mut [u8]) {
    let mut power = 1u8;
    for codes in codes.chunks_exact_mut(bytes.len()) {
        for (byte, code) in bytes.iter().zip(codes) {
            *code = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8;
        }
        power = power.wrapping_mul(3);
    }
}

/// 64 bytes of codes, f16 scale.
pub fn tq2_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 64);
    pairs(&bytes[..64], 32, &mut block.codes);
}

/// 32 bytes of codes, the highest bits first; the scale is the tensor's, and already there.
///
/// This is the layout of the x86 build and the converters. A NEON build packs 64 weights into 16 bytes instead, and the
/// file does not say which build wrote it.
pub fn i2_s(bytes: &[u8], block: &mut Block) {
    let mut reversed = [0; 128];
    pairs(bytes, 32, &mut reversed);
    for (codes, from) in block.codes.chunks_exact_mut(32).zip(reversed.chunks_exact(32).rev()) {
        codes.copy_from_slice(from);
    }
}
