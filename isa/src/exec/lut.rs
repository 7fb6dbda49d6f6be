//! `lmma`, `drain`: what the LUT cores compute.
//!
//! Per row m, column n and group of K: `acc = sum over planes of 2^shift * sum over tables of T[index]`, the index being
//! the weights' bits in that plane; `psum[m][n] += (scale * factor) * (acc - z' * sum of the group's activations)`.
//! The product is rounded, then the sum: there is no fused multiply-add. Where weights become FP16 (`k1h`), see [`super::dequantised`].

use fearless_simd::Level;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::activations::{Activations, Column};
use super::dequantised::Halves;
use super::fast::odd_row;
use super::planes::{Layout, bits_at};
use super::tables::{Cut, indices};
use super::{LutShape, State, refuse};
use crate::blocks::Blocks;
use crate::control::{FaultKind, TileRef, check_lmma};
use crate::field::{AType, AccType, DrainMode, Entries, Grid, LmmaType};
use crate::format::{Elem, Group, STORED_TABLE, WeightFormat};

/// Most activations that one table serves.
const MAX_K: u16 = 6;

impl State {
    pub(super) fn lmma(
        &mut self,
        ty: LmmaType,
        a: &TileRef,
        w: &TileRef,
        grid: Grid,
        first: bool,
    ) -> Result<(), FaultKind> {
        check_lmma(ty, a, w, grid)?;
        let gang = Gang::new("lmma", self.lut, grid, a.rows, w.rows)?;
        if (u32::from(ty.m), u32::from(ty.n)) != (self.lut.m, self.lut.n) {
            return refuse(format!("lmma: {ty} on cores of {} x {}", self.lut.m, self.lut.n));
        }
        if ty.k > MAX_K || ty.k == 0 {
            return refuse(format!("lmma: tables of {} activations; they go up to {MAX_K}", ty.k));
        }
        let elems = match ty.a {
            AType::Int8 => [Elem::I8, Elem::T8],
            AType::Fp16 => [Elem::F16, Elem::T16],
        };
        if ty.is_integer() == (ty.acc == AccType::F32) {
            let what = if ty.entries == Entries::Int8 { "rounded table entries" } else { "activations" };
            return refuse(format!("lmma: {} {what} do not accumulate in {}", ty.a, ty.acc));
        }
        let a = self.plain(&"lmma: the activations", a, &elems)?;
        if a.elem.is_table() && u32::from(ty.k) != STORED_TABLE {
            return refuse(format!("lmma: {ty} from tables of {STORED_TABLE} activations"));
        }
        let (base, format) = self.weights(&"lmma: the weights", w)?;
        let layout = Layout::new(format, w.rows, w.cols);
        let weights =
            Weights { bytes: &self.scratchpad[base..base + layout.end], format, layout, n: w.rows as usize };
        let rows: Vec<usize> = (0..a.rows).map(|m| gang.row(m)).collect();
        let columns: Vec<usize> = (0..weights.n).map(|n| gang.column(n)).collect();
        if first {
            columns.iter().for_each(|n| rows.iter().for_each(|m| self.psum[m + n] = 0.0));
        }
        let group = format.group.size(w.cols) as usize;
        if ty.halves {
            let mut activations = Vec::new();
            let mut row = Vec::new();
            for m in 0..a.rows {
                self.floats(a, m, &mut row);
                activations.extend_from_slice(&row);
            }
            let halves = Halves { activations, len: w.cols as usize, group, weights, rows, columns };
            halves.add(&mut self.psum);
            return Ok(());
        }
        let cut = Cut::new(w.cols as usize, group, usize::from(ty.k));
        let activations = self.activations(ty, a, &cut)?;
        let product =
            Product { activations, weights, cut, rows, columns, bits: acc_bits(ty.acc), level: self.level };
        let nibbles = if self.look_ups { None } else { product.activations.nibbles(&product.cut) };
        match nibbles {
            Some(nibbles) => {
                let mut space = std::mem::take(&mut self.space);
                let result = product.by_bytes(nibbles, &mut space, &mut self.psum);
                self.space = space;
                result
            }
            None => product.by_columns(&mut self.psum),
        }
    }

    pub(super) fn drain(
        &mut self,
        mode: DrainMode,
        o: &TileRef,
        scale: &TileRef,
        grid: Grid,
    ) -> Result<(), FaultKind> {
        let gang = Gang::new("drain", self.lut, grid, o.rows, o.cols)?;
        let o = self.plain(&"drain: the output", o, &[Elem::F32, Elem::F16])?;
        let scale = self.plain(&"drain: the scale", scale, &[Elem::F32])?;
        if (scale.rows, scale.cols) != (o.rows, 1) {
            return refuse(format!("drain: {} x {} scales for {} rows", scale.rows, scale.cols, o.rows));
        }
        let (mut row, mut factor) = (Vec::new(), Vec::new());
        for m in 0..o.rows {
            self.floats(scale, m, &mut factor);
            self.floats(o, m, &mut row);
            for (n, value) in row.iter_mut().enumerate() {
                let product = self.psum[gang.row(m) + gang.column(n)] * factor[0];
                *value = if mode == DrainMode::Add { *value + product } else { product };
            }
            self.put_floats(o, m, &row);
        }
        Ok(())
    }
}

/// What an `lmma` adds to the partial sums.
pub(super) struct Product<'a> {
    pub(super) activations: Activations,
    pub(super) weights: Weights<'a>,
    pub(super) cut: Cut,
    /// The first partial sum of each row of activations, and how far each column's is from it.
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
    /// Width of an integer accumulator.
    pub(super) bits: u32,
    /// The vectors that there are.
    pub(super) level: Level,
}

impl Product<'_> {
    /// As it is defined: column by column, group by group, row by row.
    pub(super) fn by_columns(&self, psum: &mut [f32]) -> Result<(), FaultKind> {
        let Product { activations, weights, cut, .. } = self;
        let planes = weights.format.kind.planes();
        let mut column = Column { planes, indices: Vec::new(), odd: Vec::new() };
        let mut sums = Vec::new();
        for (n, at) in self.columns.iter().enumerate() {
            match activations {
                Activations::Plain { .. } => odd_row(weights, n, &mut sums, &mut column.odd),
                _ => indices(weights, n, cut, &mut column.indices),
            }
            for group in 0..cut.groups() {
                let (zero, scale) = (weights.zero(group, n), weights.scale(group, n));
                let offset = weights.offset(group, n);
                for (m, row) in self.rows.iter().enumerate() {
                    let t = activations.term(cut, m, group, &column, zero, self.bits);
                    let psum = &mut psum[row + at];
                    *psum += scale * t.map_err(|acc| self.overflow(acc, m, n, group))?;
                    if let Some(offset) = offset {
                        *psum += offset * activations.sum(cut, m, group);
                    }
                }
            }
        }
        Ok(())
    }
    /// What is wrong with an accumulator.
    fn overflow(&self, acc: i64, m: usize, n: usize, group: usize) -> FaultKind {
        let bits = self.bits;
        let what = format!(
            "lmma: accumulator of {bits} bits overflows: {acc} at row {m}, column {n}, group {group}"
        );
        FaultKind::Operands { what }
    }
}

fn acc_bits(acc: AccType) -> u32 {
    match acc {
        AccType::I20 => 20,
        AccType::I24 => 24,
        AccType::I32 | AccType::F32 => 32,
    }
}

/// Which core and which of its partial sums holds an element of the gang's M x N region.
struct Gang {
    m: usize,
    n: usize,
    columns: usize,
}
impl Gang {
    fn new(name: &str, lut: LutShape, grid: Grid, rows: u32, cols: u32) -> Result<Self, FaultKind> {
        if grid.cores() > lut.cores {
            return refuse(format!("{name}: a {grid} gang on a chip of {} cores", lut.cores));
        }
        if rows > u32::from(grid.r) * lut.m || cols > u32::from(grid.c) * lut.n {
            let LutShape { m, n, .. } = lut;
            return refuse(format!(
                "{name}: {rows} x {cols} results do not fit a {grid} gang of {m} x {n} cores"
            ));
        }
        Ok(Self { m: lut.m as usize, n: lut.n as usize, columns: usize::from(grid.c) })
    }
    /// The first partial sum of row m.
    fn row(&self, m: usize) -> usize {
        (m / self.m * self.columns * self.m + m % self.m) * self.n
    }
    /// Column n's distance from it.
    fn column(&self, n: usize) -> usize {
        n / self.n * self.m * self.n + n % self.n
    }
}

/// A weight tile in scratchpad.
pub(super) struct Weights<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) format: WeightFormat,
    pub(super) layout: Layout,
    /// Columns.
    pub(super) n: usize,
}
impl Weights<'_> {
    /// The bits of column n in a plane.
    pub(super) fn plane_row(&self, plane: usize, n: usize) -> &[u8] {
        let start = self.layout.planes + plane * self.layout.plane + n * self.layout.row;
        &self.bytes[start..start + self.layout.row]
    }
    /// The scale of q' that the core multiplies with. The scales of values stand for tokens: they are folded into the
    /// activations, and the core multiplies with 1.
    pub(super) fn scale(&self, group: usize, n: usize) -> f32 {
        let factor = self.format.kind.scale_factor();
        if self.format.kind.is_kv() && self.format.group != Group::Row {
            return factor;
        }
        if self.format.kind.blocks().is_some() {
            return self.single(0, group, n) * factor;
        }
        let at = 2 * (group * self.n + n);
        f16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]).to_f32() * factor
    }
    /// [`Self::scale`] of every column.
    pub(super) fn scales(&self, group: usize, out: &mut Vec<f32>) {
        let folded = self.format.kind.is_kv() && self.format.group != Group::Row;
        let factor = self.format.kind.scale_factor();
        if folded {
            return out.extend(std::iter::repeat_n(factor, self.n));
        }
        if self.format.kind.blocks().is_some() {
            return out.extend(self.singles(0, group).map(|scale| scale * factor));
        }
        let stored = &self.bytes[2 * group * self.n..][..2 * self.n];
        let first = out.len();
        let halves: Vec<f16> = stored.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b)).collect();
        out.resize(first + self.n, 0.0);
        halves.convert_to_f32_slice(&mut out[first..]);
        out[first..].iter_mut().for_each(|scale| *scale *= factor);
    }
    /// [`Self::zero`] of every column.
    pub(super) fn zeros(&self, group: usize, out: &mut Vec<i32>) {
        let (kind, bits) = (self.format.kind, self.format.kind.zero_bits());
        let (first, end) = (group * self.n, (group + 1) * self.n);
        if bits == 0 {
            return out.resize(out.len() + self.n, kind.zero_odd(0));
        }
        // Eight at a time are whole bytes, if the first one begins with a byte.
        let eights = if first.is_multiple_of(8) { self.n / 8 } else { 0 };
        let stored = &self.bytes[self.layout.zeros + first * bits as usize / 8..][..eights * bits as usize];
        let odd: [i32; 16] = std::array::from_fn(|z| kind.zero_odd(z as u32 & ((1 << bits) - 1)));
        for bytes in stored.chunks_exact(bits as usize) {
            let eight = bytes.iter().rev().fold(0u32, |eight, &byte| eight << 8 | u32::from(byte));
            out.extend((0..8).map(|i| odd[(eight >> (i * bits)) as usize & ((1 << bits) - 1)]));
        }
        out.extend((first + 8 * eights..end).map(|i| self.zero(group, i - first)));
    }
    /// What is added to every weight of a group, if the type has such.
    pub(super) fn offset(&self, group: usize, n: usize) -> Option<f32> {
        let Some(Blocks { offset: true, .. }) = self.format.kind.blocks() else { return None };
        Some(self.single(self.layout.zeros, group, n))
    }
    /// [`Self::offset`] of every column.
    pub(super) fn offsets(&self, group: usize, out: &mut Vec<f32>) {
        if let Some(Blocks { offset: true, .. }) = self.format.kind.blocks() {
            out.extend(self.singles(self.layout.zeros, group));
        }
    }
    fn singles(&self, first: usize, group: usize) -> impl Iterator<Item = f32> {
        let stored = &self.bytes[first + 4 * group * self.n..][..4 * self.n];
        stored.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }
    fn single(&self, first: usize, group: usize, n: usize) -> f32 {
        let at = first + 4 * (group * self.n + n);
        self.bytes[at..].first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes))
    }
    /// z' of a group.
    pub(super) fn zero(&self, group: usize, n: usize) -> i32 {
        let bits = self.format.kind.zero_bits();
        let at = (group * self.n + n) * bits as usize;
        self.format.kind.zero_odd(bits_at(&self.bytes[self.layout.zeros..self.layout.planes], at, bits))
    }
}
