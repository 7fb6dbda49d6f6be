//! What a transfer moves: rows of bytes in DRAM, cells of the scratchpad.

use lutsim_isa::field::Unpack;
use lutsim_isa::{Format, Op, TileRef};

use crate::leap::Walk;

/// Rows of bytes in DRAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) addr: u64,
    pub(crate) stride: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

impl Rows {
    /// Rows that touch make one.
    fn merged(self) -> Self {
        if self.rows > 1 && self.stride == self.bytes {
            Self { bytes: self.bytes * self.rows, rows: 1, ..self }
        } else {
            self
        }
    }
    /// First burst of a row and how many it touches.
    pub(crate) fn bursts(&self, row_addr: u64, burst_shift: u32) -> (u64, u64) {
        if self.bytes == 0 {
            return (0, 0);
        }
        let first = row_addr >> burst_shift;
        (first, ((row_addr + self.bytes - 1) >> burst_shift) - first + 1)
    }
}

/// DRAM side of a transfer, by instruction.
pub(crate) fn dram_rows(op: &Op) -> Rows {
    match *op {
        Op::Load { unpack, tile, addr, stride, .. } => match (unpack, tile.format) {
            (Unpack::Weights, Format::Weights(w)) => {
                Rows { addr, stride: 0, bytes: w.record_bytes(tile.rows, tile.cols), rows: 1 }
            }
            (Unpack::Keys, Format::Weights(w)) => {
                let bytes = w.kind.code_bytes(u64::from(tile.cols));
                Rows { addr, stride, bytes, rows: u64::from(tile.rows) }.merged()
            }
            (Unpack::Values, Format::Weights(w)) => {
                let bytes = w.kind.code_bytes(u64::from(tile.rows));
                Rows { addr, stride, bytes, rows: u64::from(tile.cols) }.merged()
            }
            _ => plain(addr, stride, &tile),
        },
        Op::Store { tile, addr, stride, .. } => plain(addr, stride, &tile),
        Op::Gather { tile, addr, stride, .. } => {
            Rows { addr, stride, bytes: u64::from(tile.row_bytes()), rows: u64::from(tile.rows) }
        }
        _ => Rows { addr: 0, stride: 0, bytes: 0, rows: 0 },
    }
}

fn plain(addr: u64, stride: u64, tile: &TileRef) -> Rows {
    Rows { addr, stride, bytes: u64::from(tile.row_bytes()), rows: u64::from(tile.rows) }.merged()
}

/// Scratchpad side of a transfer: rows of bytes, in the order in which they are written or read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells {
    base: u64,
    stride: u64,
    row_bytes: u64,
    rows: u64,
    row: u64,
    at: u64,
}

impl Cells {
    pub(crate) fn of(op: &Op) -> Self {
        let (tile, skip) = match op {
            // Keys and values leave the scale area to a load of its own, unless the unpacker makes the scales.
            Op::Load { unpack: Unpack::Keys | Unpack::Values, tile, .. } => (tile, kv_scales_apart(tile)),
            Op::Load { tile, .. } | Op::Gather { tile, .. } | Op::Store { tile, .. } => (tile, 0),
            _ => return Self { base: 0, stride: 0, row_bytes: 0, rows: 0, row: 0, at: 0 },
        };
        match tile.format {
            Format::Weights(_) => Self {
                base: u64::from(tile.base) + skip,
                stride: 0,
                row_bytes: tile.bytes() - skip,
                rows: 1,
                row: 0,
                at: 0,
            },
            Format::Plain(_) if tile.stride == tile.row_bytes() => {
                Self { base: tile.base.into(), stride: 0, row_bytes: tile.bytes(), rows: 1, row: 0, at: 0 }
            }
            Format::Plain(_) => Self {
                base: tile.base.into(),
                stride: tile.stride.into(),
                row_bytes: tile.row_bytes().into(),
                rows: tile.rows.into(),
                row: 0,
                at: 0,
            },
        }
    }
    /// Walks how far it is.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>) {
        w.exact(&mut self.row);
        w.exact(&mut self.at);
    }
    pub(crate) fn total(&self) -> u64 {
        self.row_bytes * self.rows
    }
    /// The next access: at most `port` bytes of one row, if `available` bytes allow it. (first word, words, bytes)
    pub(crate) fn next(&mut self, port: u64, available: u64, word_shift: u32) -> Option<(u64, u32, u64)> {
        if self.row == self.rows || self.row_bytes == 0 {
            return None;
        }
        let bytes = port.min(self.row_bytes - self.at);
        if bytes > available {
            return None;
        }
        let addr = self.base + self.row * self.stride + self.at;
        self.at += bytes;
        if self.at == self.row_bytes {
            (self.row, self.at) = (self.row + 1, 0);
        }
        let (first, last) = (addr >> word_shift, (addr + bytes - 1) >> word_shift);
        Some((first, (last - first + 1) as u32, bytes))
    }
}

fn kv_scales_apart(tile: &TileRef) -> u64 {
    match tile.format {
        Format::Weights(w) if w.kind != lutsim_isa::WeightKind::KvF16 => w.scale_bytes(tile.rows, tile.cols),
        _ => 0,
    }
}
