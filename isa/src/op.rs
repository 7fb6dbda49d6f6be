//! What the queues are asked to do, every register resolved.

use crate::field::*;
use crate::format::{ByteClass, Format};

/// A tile in scratchpad, all operands resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TileRef {
    /// First byte.
    pub base: u32,
    /// Rows (N of a weight tile).
    pub rows: u32,
    /// Columns (K of a weight tile).
    pub cols: u32,
    /// Bytes from row to row (0 for a weight tile).
    pub stride: u32,
    /// What the bytes are.
    pub format: Format,
}
impl TileRef {
    /// Bytes of one row of a plain tile.
    pub fn row_bytes(&self) -> u32 {
        match self.format {
            Format::Plain(e) => e.row_bytes(self.cols) as u32,
            Format::Weights(w) => w.scratchpad_bytes(self.rows, self.cols) as u32,
        }
    }
    /// Bytes held, gaps between rows not counted.
    pub fn bytes(&self) -> u64 {
        match self.format {
            Format::Plain(_) => u64::from(self.rows) * u64::from(self.row_bytes()),
            Format::Weights(w) => w.scratchpad_bytes(self.rows, self.cols),
        }
    }
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        match self.format {
            Format::Plain(_) if self.rows > 0 => {
                u64::from(self.base)
                    + u64::from(self.rows - 1) * u64::from(self.stride)
                    + u64::from(self.row_bytes())
            }
            Format::Plain(_) => u64::from(self.base),
            Format::Weights(_) => u64::from(self.base) + self.bytes(),
        }
    }
}

/// A vector operation with its operands.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum VectorOp {
    Norm { norm: Norm, d: TileRef, x: TileRef, w: TileRef, eps: f32 },
    Rope { pairing: Rope, d: TileRef, x: TileRef, tab: TileRef, head: u32, dims: u32 },
    Softmax { mask: Mask, d: TileRef, x: TileRef, valid: u32, scale: f32 },
    Alibi { mask: Mask, d: TileRef, x: TileRef, slope: TileRef, valid: u32, scale: f32 },
    Window { mask: Mask, d: TileRef, x: TileRef, valid: u32, window: u32, scale: f32 },
    Cap { d: TileRef, x: TileRef, scale: f32, cap: f32 },
    Route { d: TileRef, x: TileRef, used: u32 },
    Act { f: Act, d: TileRef, x: TileRef },
    Glu { f: Act, d: TileRef, x: TileRef, y: TileRef },
    Add { d: TileRef, x: TileRef, y: TileRef },
    Mul { d: TileRef, x: TileRef, y: TileRef },
    Dot { d: TileRef, x: TileRef, w: TileRef },
    Copy { d: TileRef, x: TileRef },
    Table { d: TileRef, x: TileRef },
    Quant { d: TileRef, s: TileRef, x: TileRef, bits: u32 },
    Fold { d: TileRef, s: TileRef, x: TileRef, f: TileRef },
    ArgMax { d: TileRef, x: TileRef, base: u32, first: bool },
}

/// What a queue is asked to do, every register resolved.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Sync,
    Refresh,
    Load { unpack: Unpack, tile: TileRef, addr: u64, stride: u64, class: ByteClass },
    Gather { tile: TileRef, addr: u64, stride: u64, first: u32, class: ByteClass },
    Store { tile: TileRef, addr: u64, stride: u64, class: ByteClass },
    Lmma { ty: LmmaType, a: TileRef, w: TileRef, grid: Grid, first: bool },
    Drain { mode: DrainMode, o: TileRef, scale: TileRef, grid: Grid },
    Vector(VectorOp),
}

impl Op {
    /// Every tile that it reads or writes.
    pub fn each_tile(&mut self, mut f: impl FnMut(&mut TileRef)) {
        match self {
            Op::Sync | Op::Refresh => {}
            Op::Load { tile, .. } | Op::Gather { tile, .. } | Op::Store { tile, .. } => f(tile),
            Op::Lmma { a, w, .. } => [a, w].into_iter().for_each(f),
            Op::Drain { o, scale, .. } => [o, scale].into_iter().for_each(f),
            Op::Vector(op) => match op {
                VectorOp::Norm { d, x, w: y, .. }
                | VectorOp::Dot { d, x, w: y }
                | VectorOp::Rope { d, x, tab: y, .. }
                | VectorOp::Alibi { d, x, slope: y, .. }
                | VectorOp::Glu { d, x, y, .. }
                | VectorOp::Add { d, x, y }
                | VectorOp::Mul { d, x, y }
                | VectorOp::Quant { d, s: y, x, .. } => [d, x, y].into_iter().for_each(f),
                VectorOp::Fold { d, s, x, f: factors } => [d, s, x, factors].into_iter().for_each(f),
                VectorOp::Softmax { d, x, .. }
                | VectorOp::Window { d, x, .. }
                | VectorOp::Cap { d, x, .. }
                | VectorOp::Route { d, x, .. }
                | VectorOp::Act { d, x, .. }
                | VectorOp::Copy { d, x }
                | VectorOp::Table { d, x }
                | VectorOp::ArgMax { d, x, .. } => [d, x].into_iter().for_each(f),
            },
        }
    }
}

/// An operation on its way to a queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Dispatch {
    /// Where to.
    pub queue: Queue,
    /// Taken before it starts.
    pub wait: Option<Sem>,
    /// Given when it is done.
    pub signal: Option<Sem>,
    /// What.
    pub op: Op,
    /// The word it came from.
    pub pc: u32,
}
