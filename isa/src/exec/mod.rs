//! What each instruction means, in values: operations in program order on scratchpad, DRAM and partial sums.
//!
//! ```text
//!   mod       state, tiles checked and viewed as rows    transfer  load, gather, store
//!   memory    DRAM, sparse                               planes    codes -> bit-planes (the unpacker)
//!   lut       lmma, drain                                tables    look-ups: the definition of lmma
//!   vector    the vector unit, row by row                activations   rows as they meet the weights
//!   fast      lmma restated, the same integers           dequantised  lmma of FP16 weights
//!   math      exp, sin, ...: the same bits everywhere
//! ```
//! A program or its data can be wrong, and then the answer is a [`FaultKind`]; the state is of no use after one.

mod activations;
mod dequantised;
mod fast;
mod lut;
pub mod math;
mod memory;
pub mod planes;
mod tables;
mod transfer;
mod vector;

#[cfg(test)]
mod tests;

use std::fmt::Display;

use fearless_simd::Level;
use half::f16;

use crate::control::{FaultKind, Op, TileRef};
use crate::format::{Elem, Format, WeightFormat};

pub use memory::Memory;

/// The gang of LUT cores, as far as values depend on it: `cores` times `m` x `n` partial sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LutShape {
    /// Cores.
    pub cores: u32,
    /// Rows of one core.
    pub m: u32,
    /// Columns of one core.
    pub n: u32,
}

/// Everything that instructions read and write.
#[derive(Clone, Debug)]
pub struct State {
    /// On-chip memory.
    pub scratchpad: Vec<u8>,
    /// Off-chip memory.
    pub dram: Memory,
    /// Token ids for `gather`, written by the doorbell.
    pub mailbox: Vec<u32>,
    lut: LutShape,
    psum: Vec<f32>,
    look_ups: bool,
    /// The vectors of this processor.
    level: Level,
    /// The last weight record, kept for its space.
    record: Vec<u8>,
    /// The codes of its last column, likewise.
    codes: Vec<u8>,
    /// What the last product was looked up in, likewise.
    space: fast::Space,
}

impl State {
    /// All zero.
    pub fn new(scratchpad_bytes: u32, dram_bytes: u64, lut: LutShape) -> Self {
        let psums = lut.cores as usize * lut.m as usize * lut.n as usize;
        Self {
            scratchpad: vec![0; scratchpad_bytes as usize],
            dram: Memory::new(dram_bytes),
            mailbox: Vec::new(),
            lut,
            psum: vec![0.0; psums],
            look_ups: false,
            level: Level::new(),
            record: Vec::new(),
            codes: Vec::new(),
            space: fast::Space::default(),
        }
    }

    /// Executes integer products look-up by look-up, as they are defined, and not by their fast restatement; the
    /// results are the same.
    pub fn by_look_ups(self) -> Self {
        Self { look_ups: true, ..self }
    }

    /// Executes one operation; called in program order, when it is dispatched.
    ///
    /// # Errors
    /// Operands that have no meaning: a tile beyond the scratchpad, an address beyond DRAM, formats or sizes that do
    /// not go together, an accumulator that overflows.
    pub fn exec(&mut self, op: &Op) -> Result<(), FaultKind> {
        match *op {
            Op::Sync | Op::Refresh => Ok(()),
            Op::Load { unpack, tile, addr, stride, .. } => self.load(unpack, &tile, addr, stride),
            Op::Gather { tile, addr, stride, first, .. } => self.gather(&tile, addr, stride, first),
            Op::Store { tile, addr, stride, .. } => self.store(&tile, addr, stride),
            Op::Lmma { ty, a, w, grid, first } => self.lmma(ty, &a, &w, grid, first),
            Op::Drain { mode, o, scale, grid } => self.drain(mode, &o, &scale, grid),
            Op::Vector(ref op) => self.vector(op),
        }
    }

    /// A plain tile's rows, checked; `name` says which operand it is.
    fn plain(&self, name: &dyn Display, t: &TileRef, elems: &[Elem]) -> Result<View, FaultKind> {
        let elem = match t.format {
            Format::Plain(elem) if elems.contains(&elem) => elem,
            other => {
                let elems: Vec<_> = elems.iter().map(|e| e.name()).collect();
                return refuse(format!("{name} is a tile of {other}, not of {}", elems.join(" or ")));
            }
        };
        self.check_bounds(name, t)?;
        let row_bytes = t.row_bytes();
        if t.rows > 1 && t.stride < row_bytes {
            return refuse(format!("{name}: rows of {row_bytes} bytes overlap at a stride of {}", t.stride));
        }
        Ok(View {
            base: t.base as usize,
            rows: t.rows as usize,
            cols: t.cols as usize,
            stride: t.stride as usize,
            row_bytes: row_bytes as usize,
            elem,
        })
    }

    /// A weight tile's first byte and format, checked.
    fn weights(&self, name: &dyn Display, t: &TileRef) -> Result<(usize, WeightFormat), FaultKind> {
        match t.format {
            Format::Weights(format) if format.kind.is_float() => {
                refuse(format!("{name} is a record of floats, which lie in plain tiles"))
            }
            Format::Weights(format) => {
                self.check_bounds(name, t)?;
                Ok((t.base as usize, format))
            }
            Format::Plain(elem) => refuse(format!("{name} is a tile of {elem}, not of a weight format")),
        }
    }

    fn check_bounds(&self, name: &dyn Display, t: &TileRef) -> Result<(), FaultKind> {
        const LIMIT: u32 = 1 << 20;
        if t.rows >= LIMIT || t.cols >= LIMIT {
            return refuse(format!("{name}: {} x {} elements; sizes go up to {}", t.rows, t.cols, LIMIT - 1));
        }
        if t.end() > self.scratchpad.len() as u64 {
            return refuse(format!(
                "{name}: bytes {:#x} to {:#x} lie beyond the scratchpad of {:#x} ({} bytes)",
                t.base,
                t.end(),
                self.scratchpad.len(),
                self.scratchpad.len()
            ));
        }
        Ok(())
    }

    /// One row's bytes.
    fn row(&self, v: View, row: usize) -> &[u8] {
        let start = v.base + row * v.stride;
        &self.scratchpad[start..start + v.row_bytes]
    }
    /// One row's bytes.
    fn row_mut(&mut self, v: View, row: usize) -> &mut [u8] {
        let start = v.base + row * v.stride;
        &mut self.scratchpad[start..start + v.row_bytes]
    }
    /// One row's elements as singles (exact for every element but `u32`).
    fn floats(&self, v: View, row: usize, out: &mut Vec<f32>) {
        let bytes = self.row(v, row);
        out.clear();
        match v.elem {
            Elem::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Elem::F16 => out.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
            Elem::I8 => out.extend(bytes.iter().map(|&b| f32::from(b as i8))),
            Elem::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
            Elem::U32 => out.extend(bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b) as f32)),
            Elem::T8 | Elem::T16 => unreachable!("no operand takes tables for numbers"),
        }
    }
    /// Writes one row of `f32` or `f16`; every NaN becomes the one quiet positive NaN, whose bits no platform chooses.
    fn put_floats(&mut self, v: View, row: usize, values: &[f32]) {
        let bytes = self.row_mut(v, row);
        let quiet = |x: f32| if x.is_nan() { f32::from_bits(0x7fc0_0000) } else { x };
        if v.elem == Elem::F16 {
            for (to, &x) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                *to = f16::from_f32(quiet(x)).to_le_bytes();
            }
        } else {
            for (to, &x) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                *to = quiet(x).to_le_bytes();
            }
        }
    }
}

/// A plain tile that lies within the scratchpad.
#[derive(Clone, Copy, Debug)]
struct View {
    base: usize,
    rows: usize,
    cols: usize,
    stride: usize,
    row_bytes: usize,
    elem: Elem,
}

fn refuse<T>(what: impl Into<String>) -> Result<T, FaultKind> {
    Err(FaultKind::Operands { what: what.into() })
}

/// Symmetric rounding of a row to codes in +-`limit`: scale = absolute maximum / limit, passed through `rounded` (which
/// stores it), and codes = x / scale rounded half to even. A scale of zero makes all codes zero.
fn quantise(x: &[f32], limit: i32, rounded: impl Fn(f32) -> f32, codes: &mut Vec<i8>) -> f32 {
    let mut largest = 0.0f32;
    for &x in x {
        if x.abs() > largest {
            largest = x.abs();
        }
    }
    let scale = rounded(largest / limit as f32);
    let code = |&x: &f32| if scale == 0.0 { 0 } else { math::round_clamped(x / scale, limit) as i8 };
    codes.clear();
    codes.extend(x.iter().map(code));
    scale
}

/// Through half precision and back.
fn to_half(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}
