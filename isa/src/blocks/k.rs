//! Blocks of 256 weights whose groups have scales of few bits, times a scale of the block: Q2_K to Q6_K.

use super::{Block, f16, nibbles, pairs, planes};

/// 16 bytes of scale and minimum (4 bits each), 64 bytes of codes, f16 scale, f16 minimum.
pub fn q2(bytes: &[u8], block: &mut Block) {
    let (d, min) = (f16(bytes, 80), f16(bytes, 82));
    for (g, byte) in bytes[..16].iter().enumerate() {
        block.scales[g] = d * f32::from(byte & 15);
        block.offsets[g] = -(min * f32::from(byte >> 4));
    }
    pairs(&bytes[16..80], 32, &mut block.codes);
}

/// 32 bytes of third bits, 64 bytes of codes, 12 bytes of scales (6 bits each, less 32), f16 scale.
pub fn q3(bytes: &[u8], block: &mut Block) {
    let (scales, d) = (&bytes[96..108], f16(bytes, 108));
    for g in 0..16 {
        let low = scales[g % 8] >> (4 * (g / 8)) & 15;
        let high = scales[8 + g % 4] >> (2 * (g / 4)) & 3;
        block.scales[g] = d * (f32::from(low | high << 4) - 32.0);
    }
    pairs(&bytes[32..96], 32, &mut block.codes);
    planes(&bytes[..32], 4, &mut block.codes);
}

/// f16 scale, f16 minimum, 12 bytes of 8 scales and 8 minima (6 bits each), 128 bytes of codes.
pub fn q4(bytes: &[u8], block: &mut Block) {
    six_bit_scales(bytes, block);
    fours(&bytes[16..144], 32, block);
}

/// As Q4_K, with 32 bytes of fifth bits before the codes.
pub fn q5(bytes: &[u8], block: &mut Block) {
    six_bit_scales(bytes, block);
    fours(&bytes[48..176], 32, block);
    planes(&bytes[16..48], 16, &mut block.codes);
}

/// 128 bytes of low nibbles, 64 bytes of the two bits above, 16 signed scales, f16 scale.
pub fn q6(bytes: &[u8], block: &mut Block) {
    let d = f16(bytes, 208);
    for (scale, byte) in block.scales.iter_mut().zip(&bytes[192..208]) {
        *scale = d * f32::from(*byte as i8);
    }
    let mut high = [0; 256];
    pairs(&bytes[128..192], 32, &mut high);
    fours(&bytes[..128], 64, block);
    for (code, high) in block.codes.iter_mut().zip(high) {
        *code |= high << 4;
    }
}

fn fours(bytes: &[u8], run: usize, block: &mut Block) {
    for (bytes, codes) in bytes.chunks_exact(run).zip(block.codes.chunks_exact_mut(2 * run)) {
        nibbles(bytes, codes);
    }
}

/// The first four scales and minima lie in the low 6 bits of a byte each; of the others, the low 4 bits share a byte and
/// the high 2 bits lie above the first ones.
fn six_bit_scales(bytes: &[u8], block: &mut Block) {
    let (d, min) = (f16(bytes, 0), f16(bytes, 2));
    let s = &bytes[4..16];
    for g in 0..8 {
        let (scale, minimum) = if g < 4 {
            (s[g] & 63, s[g + 4] & 63)
        } else {
            (s[g + 4] & 15 | (s[g - 4] >> 6) << 4, s[g + 4] >> 4 | (s[g] >> 6) << 4)
        };
        block.scales[g] = d * f32::from(scale);
        block.offsets[g] = -(min * f32::from(minimum));
    }
}
