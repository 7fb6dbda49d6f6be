//! `lmma`, `drain`: what the LUT cores compute.
//!
//! Per row m, column n and group of K: `acc = sum over planes of 2^shift * sum over tables of T[index]`, the index being
//! the weights' bits in that plane; `psum[m][n] += (scale * factor) * (acc - z' * sum of the group's activations)`.
//! The product is rounded, then the sum: there is no fused multiply-add.

use half::f16;

use super::fast::{dot, odd_row};
use super::planes::{Layout, bits_at};
use super::tables::{Cut, Tables, indices};
use super::{LutShape, State, View, refuse, to_half};
use crate::blocks::Blocks;
use crate::control::{FaultKind, TileRef, check_lmma};
use crate::field::{AType, AccType, DrainMode, Grid, LmmaType};
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
        let (elems, integer) = match ty.a {
            AType::Int8 => ([Elem::I8, Elem::T8], true),
            AType::Fp16 => ([Elem::F16, Elem::T16], false),
        };
        if integer == (ty.acc == AccType::F32) {
            return refuse(format!("lmma: {} activations do not accumulate in {}", ty.a, ty.acc));
        }
        let a = self.plain(&"lmma: the activations", a, &elems)?;
        if a.elem.is_table() && u32::from(ty.k) != STORED_TABLE {
            return refuse(format!("lmma: {ty} from tables of {STORED_TABLE} activations"));
        }
        let (base, format) = self.weights(&"lmma: the weights", w)?;
        let cut = Cut::new(w.cols as usize, format.group.size(w.cols) as usize, usize::from(ty.k));
        let activations = self.activations(a, &cut)?;
        let layout = Layout::new(format, w.rows, w.cols);
        let weights =
            Weights { bytes: &self.scratchpad[base..base + layout.end], format, layout, n: w.rows as usize };
        let planes = format.kind.planes();
        let mut column = Column { planes, indices: Vec::new(), odd: Vec::new() };
        let mut sums = Vec::new();
        let bits = acc_bits(ty.acc);
        let rows: Vec<usize> = (0..a.rows).map(|m| gang.row(m)).collect();
        for n in 0..weights.n {
            match activations {
                Activations::Plain { .. } => odd_row(&weights, n, &mut sums, &mut column.odd),
                _ => indices(&weights, n, &cut, &mut column.indices),
            }
            if first {
                rows.iter().for_each(|row| self.psum[row + gang.column(n)] = 0.0);
            }
            for group in 0..cut.groups() {
                let (zero, scale) = (weights.zero(group, n), weights.scale(group, n));
                let offset = weights.offset(group, n);
                for (m, row) in rows.iter().enumerate() {
                    let t = activations.term(&cut, m, group, &column, zero, bits).map_err(|acc| {
                        let what = format!(
                            "lmma: accumulator of {bits} bits overflows: {acc} at row {m}, column {n}, group {group}"
                        );
                        FaultKind::Operands { what }
                    })?;
                    let psum = &mut self.psum[row + gang.column(n)];
                    *psum += scale * t;
                    if let Some(offset) = offset {
                        *psum += offset * activations.sum(&cut, m, group);
                    }
                }
            }
        }
        Ok(())
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

    /// The rows of A as they meet the weights.
    fn activations(&self, a: View, cut: &Cut) -> Result<Activations, FaultKind> {
        match a.elem {
            Elem::F16 => Ok(self.halves(a, cut)),
            Elem::T16 => Ok(self.stored_halves(a, cut)),
            Elem::T8 => Ok(self.stored_integers(a, cut)),
            _ => self.integers(a, cut),
        }
    }

    /// FP16 activations, made into tables.
    fn halves(&self, a: View, cut: &Cut) -> Activations {
        let (mut tables, mut sums, mut row) = (Tables::default(), Vec::new(), Vec::new());
        for m in 0..a.rows {
            self.floats(a, m, &mut row);
            tables.push_row(&row, cut, to_half);
            sums.extend((0..cut.groups()).map(|group| cut.sum(group, |table| sum_of(&row[table]))));
        }
        Activations::Half { tables, sums }
    }

    /// Tables of FP16 activations, as `vtable` left them.
    fn stored_halves(&self, a: View, cut: &Cut) -> Activations {
        let (mut tables, mut sums) = (Tables::default(), Vec::new());
        for m in 0..a.rows {
            let stored = self.row(a, m).chunks_exact(Elem::T16.bytes() as usize);
            let of: Vec<f32> = stored.map(|table| tables.push_halves(table)).collect();
            let sum = |group| cut.sum(group, |table| of[table.start / STORED_TABLE as usize]);
            sums.extend((0..cut.groups()).map(sum));
        }
        Activations::Half { tables, sums }
    }

    /// Tables of INT8 activations, likewise.
    fn stored_integers(&self, a: View, cut: &Cut) -> Activations {
        let (mut tables, mut sums) = (Tables::default(), Vec::new());
        for m in 0..a.rows {
            let stored = self.row(a, m).chunks_exact(Elem::T8.bytes() as usize);
            let of: Vec<i64> = stored.map(|table| i64::from(tables.push_packed(table))).collect();
            let first = |group| cut.span(group).step_by(STORED_TABLE as usize);
            let sum = |group| first(group).map(|k| of[k / STORED_TABLE as usize]).sum::<i64>();
            sums.extend((0..cut.groups()).map(sum));
        }
        Activations::Int { tables, sums }
    }

    /// INT8 activations: as they are, or made into tables if products are to be looked up.
    fn integers(&self, a: View, cut: &Cut) -> Result<Activations, FaultKind> {
        let (mut tables, mut sums, mut rows) = (Tables::default(), Vec::new(), Vec::new());
        for m in 0..a.rows {
            let start = rows.len();
            rows.extend(self.row(a, m).iter().map(|&b| i16::from(b as i8)));
            let row = &rows[start..];
            if let Some(k) = row.iter().position(|&a| a == -128) {
                return refuse(format!("lmma: activation {k} of row {m} is -128; activations keep to +-127"));
            }
            if self.look_ups {
                tables.push_row(row, cut, |entry| entry);
            }
            let sum = |group| row[cut.span(group)].iter().map(|&a| i64::from(a)).sum::<i64>();
            sums.extend((0..cut.groups()).map(sum));
        }
        Ok(if self.look_ups { Activations::Int { tables, sums } } else { Activations::Plain { rows, sums } })
    }
}

/// The sum of a table's activations in single precision, in order.
pub(super) fn sum_of(table: &[f32]) -> f32 {
    table.iter().copied().reduce(|sum, a| sum + a).unwrap_or(0.0)
}

/// Activations and the sums of their groups.
enum Activations {
    /// Half precision, tables.
    Half { tables: Tables<f32>, sums: Vec<f32> },
    /// Integers, tables.
    Int { tables: Tables<i16>, sums: Vec<i64> },
    /// Integers as they are.
    Plain { rows: Vec<i16>, sums: Vec<i64> },
}

/// A column of weights, as tables or products want it.
struct Column {
    planes: &'static [u32],
    indices: Vec<u8>,
    odd: Vec<i16>,
}

impl Activations {
    /// Sum of a group's activations, in single precision.
    fn sum(&self, cut: &Cut, m: usize, group: usize) -> f32 {
        let number = m * cut.groups() + group;
        match self {
            Activations::Half { sums, .. } => sums[number],
            Activations::Int { sums, .. } | Activations::Plain { sums, .. } => sums[number] as f32,
        }
    }
    /// acc - z' * sum of activations: exact for integers (and rounded to single precision then). An accumulator that
    /// does not fit `bits` is the error.
    fn term(
        &self,
        cut: &Cut,
        m: usize,
        group: usize,
        column: &Column,
        zero: i32,
        bits: u32,
    ) -> Result<f32, i64> {
        let number = m * cut.groups() + group;
        let (acc, sum) = match self {
            Activations::Half { tables, sums } => {
                let acc = tables.sum(cut, m, group, &column.indices, column.planes);
                return Ok(acc - zero as f32 * sums[number]);
            }
            Activations::Int { tables, sums } => {
                (tables.sum(cut, m, group, &column.indices, column.planes), sums[number])
            }
            Activations::Plain { rows, sums } => {
                let span = cut.span(group);
                let row = &rows[m * cut.len..(m + 1) * cut.len];
                (dot(&row[span.clone()], &column.odd[span]), sums[number])
            }
        };
        if acc.abs() >> (bits - 1) != 0 {
            return Err(acc);
        }
        Ok((acc - i64::from(zero) * sum) as f32)
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
    n: usize,
}
impl Weights<'_> {
    /// The bits of column n in a plane.
    pub(super) fn plane_row(&self, plane: usize, n: usize) -> &[u8] {
        let start = self.layout.planes + plane * self.layout.plane + n * self.layout.row;
        &self.bytes[start..start + self.layout.row]
    }
    /// The scale of q' that the core multiplies with. The scales of values stand for tokens: they are folded into the
    /// activations, and the core multiplies with 1.
    fn scale(&self, group: usize, n: usize) -> f32 {
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
    /// What is added to every weight of a group, if the type has such.
    fn offset(&self, group: usize, n: usize) -> Option<f32> {
        let Some(Blocks { offset: true, .. }) = self.format.kind.blocks() else { return None };
        Some(self.single(self.layout.zeros, group, n))
    }
    fn single(&self, first: usize, group: usize, n: usize) -> f32 {
        let at = first + 4 * (group * self.n + n);
        self.bytes[at..].first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes))
    }
    /// z' of a group.
    fn zero(&self, group: usize, n: usize) -> i32 {
        let bits = self.format.kind.zero_bits();
        let at = (group * self.n + n) * bits as usize;
        self.format.kind.zero_odd(bits_at(&self.bytes[self.layout.zeros..self.layout.planes], at, bits))
    }
}
