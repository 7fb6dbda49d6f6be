//! The unpacker: codes as they lie in DRAM -> bit-planes as they lie in scratchpad.
//!
//! Planes of an N x K tile: `for plane { for n { ceil(K/8) bytes } }`, bit k of a row (LSB first) is 1 where
//! `p_k = +1`. Eight codes at a time make an 8 x 8 bit matrix; its transpose is one byte of each plane.

use fearless_simd::{Level, Simd, dispatch, i8x16, prelude::*, u8x16, u16x8};

use crate::blocks::{Block, Blocks};
use crate::format::WeightKind;

/// Where the parts of a weight tile begin, and the steps within its planes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// First zero point (the scales begin at 0).
    pub zeros: usize,
    /// First plane.
    pub planes: usize,
    /// From column to column (n to n + 1) of a plane.
    pub row: usize,
    /// From plane to plane.
    pub plane: usize,
    /// All of it, without the padding at its end.
    pub end: usize,
}
impl Layout {
    /// Of an `n` x `k` tile.
    pub fn new(format: crate::format::WeightFormat, n: u32, k: u32) -> Self {
        let zeros = format.unpacked_scale_bytes(n, k) as usize;
        let planes = zeros + format.unpacked_zero_bytes(n, k) as usize;
        let row = k.div_ceil(8) as usize;
        let end = planes + format.plane_bytes(n, k) as usize;
        Self { zeros, planes, row, plane: n as usize * row, end }
    }
}

/// Rows and columns of an 8 x 8 bit matrix exchanged: bit j of byte i becomes bit i of byte j.
pub fn transpose(mut x: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let t = (x ^ (x >> shift)) & mask;
        x ^= t ^ (t << shift);
    }
    x
}

/// `bits` (at most 16) bits at bit `at` of a little-endian stream; zeros beyond its end.
pub fn bits_at(bytes: &[u8], at: usize, bits: u32) -> u32 {
    let byte = |i: usize| bytes.get(at / 8 + i).map_or(0, |&b| u32::from(b) << (8 * i));
    (byte(0) | byte(1) | byte(2)) >> (at % 8) & ((1 << bits) - 1)
}

/// Eight codes from number `at` on, one per byte, ready for [`transpose`]: bit i of a byte is plane i.
pub fn eight_codes(kind: WeightKind, codes: &[u8], at: usize) -> u64 {
    match kind {
        WeightKind::Int1 => spread::<1>(codes, at),
        WeightKind::Int158 => ternary(codes, at),
        WeightKind::Int2 => spread::<2>(codes, at),
        WeightKind::Int3 => spread::<3>(codes, at),
        WeightKind::Int4 => spread::<4>(codes, at),
        WeightKind::Kv4 => spread::<4>(codes, at) ^ 0x0808_0808_0808_0808,
        _ => window(codes, at) ^ 0x8080_8080_8080_8080,
    }
}

/// Eight bytes of a stream from byte `at` on; zeros beyond its end.
fn window(bytes: &[u8], at: usize) -> u64 {
    let tail = bytes.get(at..).unwrap_or(&[]);
    let mut eight = [0; 8];
    match tail.first_chunk::<8>() {
        Some(full) => eight = *full,
        None => eight[..tail.len()].copy_from_slice(tail),
    }
    u64::from_le_bytes(eight)
}

/// Eight codes of `B` bits (at most 4) from number `at` on, one per byte: halved three times over.
fn spread<const B: usize>(codes: &[u8], at: usize) -> u64 {
    // At most 7 + 8 * 4 bits: within one window.
    let x = window(codes, at * B / 8) >> (at * B % 8);
    let ones = |bits: usize| (1u64 << bits) - 1;
    let x = (x & ones(4 * B)) | (x >> (4 * B) & ones(4 * B)) << 32;
    let low = ones(2 * B) * 0x0000_0001_0000_0001;
    let x = (x & low) | (x >> (2 * B) & low) << 16;
    let low = ones(B) * 0x0001_0001_0001_0001;
    (x & low) | (x >> B & low) << 8
}

/// The codes of a byte of five trits, base 3, first the least significant: -1, 0, +1 -> 00, 01, 11.
const TRITS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut i) = (byte, 0);
        while i < 5 {
            table[byte] |= [0b00, 0b01, 0b11][rest % 3] << (8 * i);
            rest /= 3;
            i += 1;
        }
        byte += 1;
    }
    table
};

/// Eight trits from number `at` on, one per byte: of two or three bytes of the stream.
fn ternary(codes: &[u8], at: usize) -> u64 {
    let trits = |i: usize| codes.get(at / 5 + i).map_or(0, |&b| TRITS[usize::from(b)]);
    let skip = at % 5;
    let third = if skip > 2 { trits(2) << (8 * (10 - skip)) } else { 0 };
    trits(0) >> (8 * skip) | trits(1) << (8 * (5 - skip)) | third
}

/// Unpacks one column: `k` codes from number `at` of the stream into bytes `n * row` on of each plane.
pub fn unpack_row(kind: WeightKind, codes: &[u8], at: usize, planes: &mut [u8], n: usize, layout: &Layout) {
    let eight = |i| transpose(eight_codes(kind, codes, at + 8 * i));
    match kind {
        WeightKind::Int1 => {
            spread_row::<1>(planes, n, layout, |i| window(codes, (at + 8 * i) / 8) >> (at % 8))
        }
        WeightKind::Int158 => spread_row::<2>(planes, n, layout, |i| transpose(ternary(codes, at + 8 * i))),
        WeightKind::Int2 if at.is_multiple_of(4) => {
            pairs_row(codes.get(at / 4..).unwrap_or_default(), planes, n, layout)
        }
        WeightKind::Int2 => spread_row::<2>(planes, n, layout, |i| transpose(spread::<2>(codes, at + 8 * i))),
        WeightKind::Int3 => spread_row::<3>(planes, n, layout, eight),
        WeightKind::Int4 => spread_row::<4>(planes, n, layout, |i| transpose(spread::<4>(codes, at + 8 * i))),
        WeightKind::Kv4 => spread_row::<4>(planes, n, layout, eight),
        _ => spread_row::<8>(planes, n, layout, eight),
    }
}

/// Unpacks one column of blocks: planes, and for each group a scale and an offset. `codes` is kept for its space.
pub fn unpack_blocks(
    level: Level,
    (kind, blocks): (WeightKind, &Blocks),
    (bytes, tensor_scale): (&[u8], f32),
    codes: &mut Vec<u8>,
    (planes, n, layout): (&mut [u8], usize, &Layout),
    mut scale: impl FnMut(usize, f32, f32),
) {
    let mut block = Block::default();
    let (weights, groups) = (blocks.weights as usize, (blocks.weights / blocks.group) as usize);
    codes.clear();
    for (i, bytes) in bytes.chunks_exact(blocks.bytes as usize).enumerate() {
        if blocks.head > 0 {
            block.scales[0] = tensor_scale;
        }
        (blocks.unpack)(bytes, &mut block);
        for g in 0..groups {
            scale(i * groups + g, block.scales[g], block.offsets[g]);
        }
        codes.extend_from_slice(&block.codes[..weights]);
    }
    if blocks.levels.is_some() {
        codes.iter_mut().for_each(|code| *code = kind.plane_bits(blocks, *code));
    }
    let mut planes = planes.chunks_mut(layout.plane.max(1));
    let row = n * layout.row..(n + 1) * layout.row;
    let mut rows: [&mut [u8]; MOST_PLANES] = std::array::from_fn(|_| {
        planes.next().and_then(|plane| plane.get_mut(row.clone())).unwrap_or_default()
    });
    let rows = &mut rows[..kind.planes().len()];
    dispatch!(level, simd => split(simd, codes, kind.is_ternary(), rows));
}

const MOST_PLANES: usize = 8;
/// Codes that are split at a time: those of a block are a multiple.
const LANES: usize = 16;

/// Bits of codes, one per byte, in the rows of as many planes. Of `ternary` ones 0, 1, 2 are 00, 01, 11, and so is 3.
#[inline(always)]
fn split<S: Simd>(simd: S, codes: &[u8], ternary: bool, rows: &mut [&mut [u8]]) {
    for (i, codes) in codes.as_chunks::<LANES>().0.iter().enumerate() {
        let mut codes: u8x16<S> = (*codes).simd_into(simd);
        if ternary {
            let halved: u8x16<S> = (codes.bitcast::<u16x8<S>>() >> 1).bitcast();
            codes |= halved & 1;
        }
        for (plane, row) in rows.iter_mut().enumerate() {
            // The plane's bit is the sign; what comes over from a neighbour lies below it.
            let signs: i8x16<S> = (codes.bitcast::<u16x8<S>>() << (7 - plane as u32)).bitcast();
            let bits = signs.simd_lt(0).to_bitmask() as u16;
            row[2 * i..2 * i + 2].copy_from_slice(&bits.to_le_bytes());
        }
    }
}

/// The even bits of a word, together.
fn even_bits(word: u64) -> u32 {
    let x = word & 0x5555_5555_5555_5555;
    let x = (x | x >> 1) & 0x3333_3333_3333_3333;
    let x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    let x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

/// Codes of two bits that begin with a byte: 32 of them at a time.
fn pairs_row(codes: &[u8], planes: &mut [u8], n: usize, layout: &Layout) {
    for i in (0..layout.row).step_by(4) {
        let word = window(codes, 2 * i);
        let len = 4.min(layout.row - i);
        for (plane, bits) in [even_bits(word), even_bits(word >> 1)].into_iter().enumerate() {
            let at = plane * layout.plane + n * layout.row + i;
            planes[at..at + len].copy_from_slice(&bits.to_le_bytes()[..len]);
        }
    }
}

/// Byte i of each of P planes is byte p of `eight(i)`.
fn spread_row<const P: usize>(planes: &mut [u8], n: usize, layout: &Layout, eight: impl Fn(usize) -> u64) {
    let mut planes = planes.chunks_mut(layout.plane.max(1));
    let mut rows: [&mut [u8]; P] = std::array::from_fn(|_| {
        let plane = planes.next().unwrap_or_default();
        plane.get_mut(n * layout.row..(n + 1) * layout.row).unwrap_or_default()
    });
    for i in 0..layout.row {
        let bits = eight(i).to_le_bytes();
        for (row, bits) in rows.iter_mut().zip(bits) {
            row[i] = bits;
        }
    }
}

/// Writes one byte of each plane.
pub fn put(kind: WeightKind, planes: &mut [u8], at: usize, plane: usize, bits: [u8; 8]) {
    for i in 0..kind.planes().len() {
        planes[at + i * plane] = bits[i];
    }
}
