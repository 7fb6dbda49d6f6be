//! Blocks of 32 weights with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.

use super::{Block, f16, nibbles};

/// f16 scale, 16 bytes of nibbles.
pub fn q4_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    nibbles(&bytes[2..18], &mut block.codes[..32]);
}

/// f16 scale, f16 offset, 16 bytes of nibbles.
pub fn q4_1(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    block.offsets[0] = f16(bytes, 2);
    nibbles(&bytes[4..20], &mut block.codes[..32]);
}

/// f16 scale, 32 fifth bits, 16 bytes of nibbles.
pub fn q5_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    fives(&bytes[2..22], block);
}

/// f16 scale, f16 offset, 32 fifth bits, 16 bytes of nibbles.
pub fn q5_1(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    block.offsets[0] = f16(bytes, 2);
    fives(&bytes[4..24], block);
}

fn fives(bytes: &[u8], block: &mut Block) {
    nibbles(&bytes[4..20], &mut block.codes[..32]);
    for (i, code) in block.codes[..32].iter_mut().enumerate() {
        *code |= (bytes[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// f16 scale, 32 signed bytes; codes are those plus 128.
pub fn q8_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = f16(bytes, 0);
    for (code, byte) in block.codes.iter_mut().zip(&bytes[2..34]) {
        *code = byte ^ 0x80;
    }
}
