//! Which bytes an operation reads and writes.

use std::fmt;

use crate::control::{Op, TileRef, VectorOp};
use crate::exec::planes::Layout;
use crate::field::{DrainMode, Unpack};
use crate::format::{Format, Group, WeightKind};

/// Where bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// On chip.
    Scratchpad,
    /// Off chip.
    Dram,
}
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Scratchpad => "scratchpad",
            Space::Dram => "DRAM",
        })
    }
}

/// Rows of bytes, `stride` apart. Rows that touch are made one, so that a contiguous range has one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Range {
    /// First byte.
    pub base: u64,
    /// Bytes of a row.
    pub row_bytes: u64,
    /// From row to row.
    pub stride: u64,
    /// Rows.
    pub rows: u64,
}
impl Range {
    /// `None` if there is no byte in it. What lies beyond 62 bits is cut off, and gaps are not told apart there.
    pub fn new(base: u64, row_bytes: u64, stride: u64, rows: u64) -> Option<Self> {
        const LIMIT: u64 = 1 << 62;
        if row_bytes == 0 || rows == 0 || base >= LIMIT {
            return None;
        }
        let range = Self { base, row_bytes, stride, rows };
        let end = range.end().min(LIMIT);
        Some(if rows == 1 || stride <= row_bytes || end == LIMIT {
            Self { base, row_bytes: end - base, stride: end - base, rows: 1 }
        } else {
            range
        })
    }
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        let last = (self.rows - 1).saturating_mul(self.stride);
        self.base.saturating_add(last).saturating_add(self.row_bytes)
    }
    /// Bytes, gaps not counted.
    pub fn bytes(&self) -> u64 {
        self.rows.saturating_mul(self.row_bytes)
    }
    /// Whether a byte is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.base >= other.end() || other.base >= self.end() {
            return false;
        }
        if self.rows == 1 && other.rows == 1 {
            return true;
        }
        if self.rows == 1 || other.rows == 1 || self.stride == other.stride {
            let stride = if self.rows == 1 { other.stride } else { self.stride };
            return self.meets(other.base, other.row_bytes, other.rows, stride);
        }
        let (few, many) = if self.rows < other.rows { (self, other) } else { (other, self) };
        (0..few.rows).any(|row| many.meets(few.base + row * few.stride, few.row_bytes, 1, many.stride))
    }
    /// Whether rows of two ranges of one stride meet: for some i and j, [base + i stride, + row_bytes) and
    /// [other + j stride, + bytes) do. Only t = i - j matters: distance - row_bytes < t stride < distance + bytes.
    fn meets(&self, other: u64, bytes: u64, rows: u64, stride: u64) -> bool {
        let [base, other, own, bytes, stride] =
            [self.base, other, self.row_bytes, bytes, stride].map(|x| x as i64);
        let distance = other - base;
        let t = (distance + bytes - 1).div_euclid(stride).min(self.rows as i64 - 1);
        t * stride > distance - own && t > -(rows as i64)
    }
    /// Whether every byte of `other` is in it; may answer no for shapes that do not occur in practice.
    pub fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        if other.base < self.base || other.end() > self.end() {
            return false;
        }
        let (row, column) = ((other.base - self.base) / self.stride, (other.base - self.base) % self.stride);
        self.rows == 1
            || (column + other.row_bytes <= self.row_bytes
                && (other.rows == 1 || (other.stride == self.stride && row + other.rows <= self.rows)))
    }
}
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, row_bytes, stride, rows } = self;
        match rows {
            1 => write!(f, "{base:#x} to {:#x}", self.end()),
            _ => {
                write!(f, "{base:#x} to {:#x} ({rows} rows of {row_bytes} bytes, {stride} apart)", self.end())
            }
        }
    }
}

/// Bytes that an operation reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Where.
    pub space: Space,
    /// Which.
    pub range: Range,
    /// Written, or else read.
    pub write: bool,
}

/// Collects accesses.
struct Accesses(Vec<Access>);
impl Accesses {
    fn add(&mut self, space: Space, write: bool, range: Option<Range>) {
        self.0.extend(range.map(|range| Access { space, range, write }));
    }
    fn dram(&mut self, write: bool, addr: u64, row_bytes: u64, stride: u64, rows: u32) {
        self.add(Space::Dram, write, Range::new(addr, row_bytes, stride, u64::from(rows)));
    }
    fn tile(&mut self, write: bool, t: &TileRef) {
        let (rows, stride) = if is_plain(t) { (t.rows, t.stride) } else { (1, 0) };
        let range = Range::new(t.base.into(), row_bytes(t), stride.into(), rows.into());
        self.add(Space::Scratchpad, write, range);
    }
    /// A weight tile: the planes, and what lies before them if `head`.
    fn weights(&mut self, write: bool, t: &TileRef, head: bool) {
        let Format::Weights(format) = t.format else { return self.tile(write, t) };
        if is_oversize(t) {
            return;
        }
        let layout = Layout::new(format, t.rows, t.cols);
        let start = if head { 0 } else { layout.planes };
        let bytes = layout.end - start;
        self.add(Space::Scratchpad, write, Range::new(u64::from(t.base) + start as u64, bytes as u64, 0, 1));
    }
    fn reads(&mut self, tiles: &[&TileRef]) {
        tiles.iter().for_each(|t| self.tile(false, t));
    }
}

fn is_plain(t: &TileRef) -> bool {
    matches!(t.format, Format::Plain(_))
}

/// Larger than any register can say; `exec` refuses it.
fn is_oversize(t: &TileRef) -> bool {
    t.rows.max(t.cols) >= 1 << 20
}

/// Bytes of a row of a plain tile, or of all of another one.
fn row_bytes(t: &TileRef) -> u64 {
    match t.format {
        _ if is_oversize(t) => 0,
        Format::Plain(e) => e.row_bytes(t.cols),
        Format::Weights(f) => f.scratchpad_bytes(t.rows, t.cols),
    }
}

/// The bytes an operation reads, then those it writes. A `gather` reads the rows that the mailbox names.
pub fn accesses(op: &Op, mailbox: &[u32]) -> Vec<Access> {
    let mut out = Accesses(Vec::with_capacity(4));
    match *op {
        Op::Sync | Op::Refresh => {}
        Op::Load { unpack, ref tile, addr, stride, .. } => out.load(unpack, tile, addr, stride),
        Op::Gather { ref tile, addr, stride, first, .. } => {
            let ids = mailbox.iter().skip(first as usize).take(tile.rows as usize);
            for &id in ids {
                let row = addr.saturating_add(u64::from(id).saturating_mul(stride));
                out.dram(false, row, row_bytes(tile), 0, 1);
            }
            out.tile(true, tile);
        }
        Op::Store { ref tile, addr, stride, .. } => {
            out.tile(false, tile);
            out.dram(true, addr, row_bytes(tile), stride, tile.rows);
        }
        Op::Lmma { ref a, ref w, .. } => {
            let head = !matches!(w.format, Format::Weights(f) if f.kind.is_kv() && f.group != Group::Row);
            out.tile(false, a);
            out.weights(false, w, head);
        }
        Op::Drain { mode, ref o, ref scale, .. } => {
            out.tile(false, scale);
            if mode == DrainMode::Add {
                out.tile(false, o);
            }
            out.tile(true, o);
        }
        Op::Vector(ref op) => out.vector(op),
    }
    out.0
}

impl Accesses {
    fn load(&mut self, unpack: Unpack, tile: &TileRef, addr: u64, stride: u64) {
        match (unpack, tile.format) {
            _ if is_oversize(tile) => {}
            (Unpack::Weights, Format::Weights(format)) => {
                let (n, k) = (tile.rows, tile.cols);
                let bytes = format.scale_bytes(n, k) + format.zero_bytes(n, k) + format.code_bytes(n, k);
                self.dram(false, addr, bytes, 0, 1);
                self.weights(true, tile, true);
            }
            (Unpack::Keys | Unpack::Values, Format::Weights(format)) => {
                let (tokens, len) =
                    if unpack == Unpack::Keys { (tile.rows, tile.cols) } else { (tile.cols, tile.rows) };
                self.dram(false, addr, format.kind.code_bytes(len.into()), stride, tokens);
                self.weights(true, tile, format.kind == WeightKind::KvF16);
            }
            _ => {
                self.dram(false, addr, row_bytes(tile), stride, tile.rows);
                self.tile(true, tile);
            }
        }
    }

    fn vector(&mut self, op: &VectorOp) {
        match op {
            VectorOp::Norm { d, x, w, .. } | VectorOp::Dot { d, x, w } => self.result(d, &[x, w]),
            VectorOp::Rope { d, x, tab, .. } => self.result(d, &[x, tab]),
            VectorOp::Alibi { d, x, slope, .. } => self.result(d, &[x, slope]),
            VectorOp::Softmax { d, x, .. }
            | VectorOp::Window { d, x, .. }
            | VectorOp::Cap { d, x, .. }
            | VectorOp::Route { d, x, .. }
            | VectorOp::Act { d, x, .. }
            | VectorOp::Copy { d, x }
            | VectorOp::Table { d, x } => self.result(d, &[x]),
            VectorOp::Glu { d, x, y, .. } | VectorOp::Add { d, x, y } | VectorOp::Mul { d, x, y } => {
                self.result(d, &[x, y]);
            }
            VectorOp::Quant { d, s, x, .. } => {
                self.result(d, &[x]);
                self.tile(true, s);
            }
            VectorOp::Fold { d, s, x, f } => {
                self.result(d, &[x, f]);
                self.tile(true, s);
            }
            VectorOp::ArgMax { d, x, first: true, .. } => self.result(d, &[x]),
            VectorOp::ArgMax { d, x, first: false, .. } => self.result(d, &[x, d]),
        }
    }
    fn result(&mut self, d: &TileRef, operands: &[&TileRef]) {
        self.reads(operands);
        self.tile(true, d);
    }
}
