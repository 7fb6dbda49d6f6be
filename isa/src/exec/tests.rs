//! The meaning of instructions against independent restatements, and against hostile programs.

mod fast;
mod hostile;
mod lut;
mod math;
mod transfer;
mod vector;

use half::f16;

use super::{LutShape, State};
use crate::control::{Op, TileRef};
use crate::field::Unpack;
use crate::format::{ByteClass, Elem, Format, Group, WeightFormat, WeightKind};

fn state() -> State {
    State::new(1 << 18, 1 << 30, LutShape { cores: 6, m: 2, n: 16 })
}

/// Rows without gaps.
fn plain(elem: Elem, base: u32, rows: u32, cols: u32) -> TileRef {
    TileRef { base, rows, cols, stride: cols * elem.bytes(), format: Format::Plain(elem) }
}

fn weights(kind: WeightKind, group: Group, base: u32, n: u32, k: u32) -> TileRef {
    TileRef { base, rows: n, cols: k, stride: 0, format: Format::Weights(WeightFormat { kind, group }) }
}

fn load(unpack: Unpack, tile: TileRef, addr: u64, stride: u64) -> Op {
    Op::Load { unpack, tile, addr, stride, class: ByteClass::Weights }
}

fn put_f32(state: &mut State, base: usize, values: &[f32]) {
    for (i, x) in values.iter().enumerate() {
        state.scratchpad[base + 4 * i..base + 4 * i + 4].copy_from_slice(&x.to_le_bytes());
    }
}

fn get_f32(state: &State, base: usize, len: usize) -> Vec<f32> {
    state.scratchpad[base..base + 4 * len].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn put_f16(state: &mut State, base: usize, values: &[f32]) {
    for (i, &x) in values.iter().enumerate() {
        state.scratchpad[base + 2 * i..base + 2 * i + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
    }
}

fn get_f16(state: &State, base: usize, len: usize) -> Vec<f32> {
    state.scratchpad[base..base + 2 * len]
        .as_chunks()
        .0
        .iter()
        .map(|&b| f16::from_le_bytes(b).to_f32())
        .collect()
}

/// Bits in a row, LSB first.
fn pack_bits(values: impl Iterator<Item = u32>, bits: u32) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    for value in values {
        for bit in 0..bits {
            if at % 8 == 0 {
                out.push(0);
            }
            *out.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (at % 8);
            at += 1;
        }
    }
    out
}

/// Codes as they lie in DRAM. Signed codes for int1.58, int8 and the KV formats, unsigned ones for the others.
fn pack_codes(kind: WeightKind, codes: &[i32]) -> Vec<u8> {
    let unsigned = codes.iter().map(|&c| c as u32);
    match kind {
        WeightKind::Int1 => pack_bits(unsigned, 1),
        WeightKind::Int158 => codes
            .chunks(5)
            .map(|five| five.iter().rev().fold(0, |byte, &t| 3 * byte + (t + 1) as u8))
            .collect(),
        WeightKind::Int2 => pack_bits(unsigned, 2),
        WeightKind::Int3 => pack_bits(unsigned, 3),
        WeightKind::Int4 | WeightKind::Kv4 => pack_bits(unsigned, 4),
        WeightKind::Int8 | WeightKind::Kv8 => pack_bits(unsigned, 8),
        WeightKind::KvF16 => codes.iter().flat_map(|&c| f16::from_f32(c as f32).to_le_bytes()).collect(),
        kind => panic!("{kind} comes in blocks"),
    }
}

/// Smallest and largest code.
fn code_range(kind: WeightKind) -> std::ops::RangeInclusive<i32> {
    match kind {
        WeightKind::Int1 => 0..=1,
        WeightKind::Int158 => -1..=1,
        WeightKind::Int2 => 0..=3,
        WeightKind::Int3 => 0..=7,
        WeightKind::Int4 => 0..=15,
        WeightKind::Int8 | WeightKind::Kv8 | WeightKind::KvF16 => -127..=127,
        WeightKind::Kv4 => -7..=7,
        kind => panic!("{kind} comes in blocks"),
    }
}

/// The odd number q' that a code stands for.
fn odd(kind: WeightKind, code: i32) -> i32 {
    match kind {
        WeightKind::Int158 => 2 * code,
        WeightKind::Int1 => 2 * code - 1,
        WeightKind::Int2 => 2 * code - 3,
        WeightKind::Int3 => 2 * code - 7,
        WeightKind::Int4 => 2 * code - 15,
        WeightKind::Int8 | WeightKind::Kv8 | WeightKind::KvF16 => 2 * (code + 128) - 255,
        WeightKind::Kv4 => 2 * (code + 8) - 15,
        kind => panic!("{kind} comes in blocks"),
    }
}
