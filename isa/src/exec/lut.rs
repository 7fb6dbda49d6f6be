//! `lmma`, `drain`: what the LUT cores compute, look-up by look-up.
//!
//! Per row m, column n and group of K: `acc = sum over planes of 2^shift * sum over tables of T[index]`, the index being
//! the weights' bits in that plane; `psum[m][n] += (scale * factor) * (acc - z' * sum of the group's activations)`.
//! The product is rounded, then the sum: there is no fused multiply-add.

use half::f16;

use super::planes::{Layout, bits_at};
use super::{LutShape, State, View, refuse, to_half};
use crate::control::{FaultKind, TileRef, check_lmma};
use crate::field::{AType, AccType, DrainMode, Grid, LmmaType};
use crate::format::{Elem, Group, WeightFormat};

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
        if ty.k > MAX_K {
            return refuse(format!("lmma: tables of {} activations; they go up to {MAX_K}", ty.k));
        }
        let (elem, integer) = match ty.a {
            AType::Int8 => (Elem::I8, true),
            AType::Fp16 => (Elem::F16, false),
        };
        if integer == (ty.acc == AccType::F32) {
            return refuse(format!("lmma: {} activations do not accumulate in {}", ty.a, ty.acc));
        }
        let a = self.plain("lmma: the activations", a, &[elem])?;
        let (base, format) = self.weights("lmma: the weights", w)?;
        let cut = Cut::new(a.cols, format.group.size(w.cols) as usize, usize::from(ty.k));
        let tables = self.build(a, &cut)?;
        let layout = Layout::new(format, w.rows, w.cols);
        let weights =
            Weights { bytes: &self.scratchpad[base..base + layout.end], format, layout, n: w.rows as usize };
        let mut indices = Vec::new();
        for n in 0..weights.n {
            weights.indices(n, &cut, &mut indices);
            for m in 0..a.rows {
                let psum = &mut self.psum[gang.psum(m, n)];
                if first {
                    *psum = 0.0;
                }
                for group in 0..cut.groups.len() {
                    let t = match &tables {
                        Tables::Int(t) => t.term(&cut, m, group, &indices, &weights, n, ty.acc)?,
                        Tables::Half(t) => t.term(&cut, m, group, &indices, &weights, n),
                    };
                    *psum += weights.scale(group, n) * t;
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
        let o = self.plain("drain: the output", o, &[Elem::F32, Elem::F16])?;
        let scale = self.plain("drain: the scale", scale, &[Elem::F32])?;
        if (scale.rows, scale.cols) != (o.rows, 1) {
            return refuse(format!("drain: {} x {} scales for {} rows", scale.rows, scale.cols, o.rows));
        }
        let (mut row, mut factor) = (Vec::new(), Vec::new());
        for m in 0..o.rows {
            self.floats(scale, m, &mut factor);
            self.floats(o, m, &mut row);
            for (n, value) in row.iter_mut().enumerate() {
                let product = self.psum[gang.psum(m, n)] * factor[0];
                *value = if mode == DrainMode::Add { *value + product } else { product };
            }
            self.put_floats(o, m, &row);
        }
        Ok(())
    }

    /// The tables of every row of A.
    fn build(&self, a: View, cut: &Cut) -> Result<Tables, FaultKind> {
        if a.elem == Elem::F16 {
            let mut tables = TableSet::default();
            let mut row = Vec::new();
            for m in 0..a.rows {
                self.floats(a, m, &mut row);
                tables.push_row(&row, cut, to_half);
            }
            return Ok(Tables::Half(tables));
        }
        let mut tables = TableSet::default();
        for m in 0..a.rows {
            let row: Vec<i16> = self.row(a, m).iter().map(|&b| i16::from(b as i8)).collect();
            if let Some(k) = row.iter().position(|&a| a == -128) {
                return refuse(format!("lmma: activation {k} of row {m} is -128; activations keep to +-127"));
            }
            tables.push_row(&row, cut, |entry| entry);
        }
        Ok(Tables::Int(tables))
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
    fn psum(&self, m: usize, n: usize) -> usize {
        let core = m / self.m * self.columns + n / self.n;
        (core * self.m + m % self.m) * self.n + n % self.n
    }
}

/// K cut into groups, and each group into the activations of one table; the last of a group may be short.
struct Cut {
    /// All of K.
    len: usize,
    /// Activations of a table.
    k: usize,
    /// Every table is one half of a byte of a plane.
    nibbles: bool,
    /// First activation of each table and how many there are.
    tables: Vec<(usize, usize)>,
    /// Tables of each group.
    groups: Vec<std::ops::Range<usize>>,
}
impl Cut {
    fn new(len: usize, group: usize, k: usize) -> Self {
        let group = group.max(1);
        let (mut tables, mut groups) = (Vec::with_capacity(len / k + 1), Vec::new());
        for start in (0..len).step_by(group) {
            let end = len.min(start + group);
            let first = tables.len();
            tables.extend((start..end).step_by(k).map(|at| (at, k.min(end - at))));
            groups.push(first..tables.len());
        }
        let nibbles = k == 4 && (group.is_multiple_of(4) || groups.len() <= 1);
        Self { len, k, nibbles, tables, groups }
    }
}

enum Tables {
    Int(TableSet<i16>),
    Half(TableSet<f32>),
}

/// Tables of 2^k entries (the stored half and its mirror) of every row, and the rows.
#[derive(Default)]
struct TableSet<T> {
    entries: Vec<T>,
    activations: Vec<T>,
}

trait Entry: Copy + Default + std::ops::Add<Output = Self> + std::ops::Neg<Output = Self> {}
impl Entry for i16 {}
impl Entry for f32 {}

impl<T: Entry> TableSet<T> {
    /// Entry i: the activations whose bit of i is set, minus the others, summed as (((+-a0) +- a1) +- a2) +- a3.
    /// Half of them are stored, those with the last bit set; the others are their negatives: T[i] = -T[!i].
    fn push_row(&mut self, row: &[T], cut: &Cut, stored: impl Fn(T) -> T) {
        let half = 1usize << (cut.k - 1);
        for &(at, len) in &cut.tables {
            let a = |j: usize| if j < len { row[at + j] } else { T::default() };
            let start = self.entries.len();
            self.entries.resize(start + 2 * half, T::default());
            let table = &mut self.entries[start..];
            for i in half..2 * half {
                let signed = |j: usize| if i >> j & 1 == 1 { a(j) } else { -a(j) };
                table[i] = stored((1..cut.k).fold(signed(0), |sum, j| sum + signed(j)));
                table[2 * half - 1 - i] = -table[i];
            }
        }
        self.activations.extend_from_slice(row);
    }
    /// The tables of one row and group.
    fn of(&self, cut: &Cut, m: usize, group: usize) -> std::slice::ChunksExact<'_, T> {
        let tables = &cut.groups[group];
        let row = m * cut.tables.len();
        let size = 1 << cut.k;
        self.entries[(row + tables.start) * size..(row + tables.end) * size].chunks_exact(size)
    }
    /// The activations of one row and group.
    fn activations(&self, cut: &Cut, m: usize, group: usize) -> &[T] {
        let row = &self.activations[m * cut.len..(m + 1) * cut.len];
        let (first, last) = (cut.groups[group].start, cut.groups[group].end - 1);
        let (at, len) = cut.tables[last];
        &row[cut.tables[first].0..at + len]
    }
}

impl TableSet<i16> {
    /// acc - z' * asum, exact.
    #[allow(clippy::too_many_arguments)] // coordinates of one element
    fn term(
        &self,
        cut: &Cut,
        m: usize,
        group: usize,
        indices: &[u8],
        weights: &Weights<'_>,
        n: usize,
        acc_type: AccType,
    ) -> Result<f32, FaultKind> {
        let mut acc = 0i64;
        for (plane, shift) in weights.format.kind.planes().iter().enumerate() {
            let indices = &indices[plane * cut.tables.len()..][cut.groups[group].clone()];
            let looked_up = self.of(cut, m, group).zip(indices).map(|(t, &i)| i32::from(t[usize::from(i)]));
            acc += i64::from(looked_up.sum::<i32>()) << shift;
        }
        let bits = match acc_type {
            AccType::I20 => 20,
            AccType::I24 => 24,
            AccType::I32 | AccType::F32 => 32,
        };
        if acc.abs() >= 1 << (bits - 1) {
            return refuse(format!(
                "lmma: accumulator of {bits} bits overflows: {acc} at row {m}, column {n}, group {group}"
            ));
        }
        let sum: i32 = self.activations(cut, m, group).iter().map(|&a| i32::from(a)).sum();
        Ok((acc - i64::from(weights.zero(group, n)) * i64::from(sum)) as f32)
    }
}

impl TableSet<f32> {
    /// acc - z' * asum in single precision: tables in order, the planes of each in order.
    fn term(
        &self,
        cut: &Cut,
        m: usize,
        group: usize,
        indices: &[u8],
        weights: &Weights<'_>,
        n: usize,
    ) -> f32 {
        let planes = weights.format.kind.planes();
        let mut acc = 0.0f32;
        for (table, entries) in cut.groups[group].clone().zip(self.of(cut, m, group)) {
            for (plane, &shift) in planes.iter().enumerate() {
                let index = indices[plane * cut.tables.len() + table];
                acc += (1u32 << shift) as f32 * entries[usize::from(index)];
            }
        }
        let sum = self.activations(cut, m, group).iter().fold(0.0, |sum, &a| sum + a);
        acc - weights.zero(group, n) as f32 * sum
    }
}

/// A weight tile in scratchpad.
struct Weights<'a> {
    bytes: &'a [u8],
    format: WeightFormat,
    layout: Layout,
    n: usize,
}
impl Weights<'_> {
    /// Column n's index into every table, plane after plane.
    fn indices(&self, n: usize, cut: &Cut, out: &mut Vec<u8>) {
        let Layout { planes, row, plane, .. } = self.layout;
        out.clear();
        for p in 0..self.format.kind.planes().len() {
            let start = planes + p * plane + n * row;
            let bits = &self.bytes[start..start + row];
            if cut.nibbles {
                out.extend((0..cut.tables.len()).map(|t| bits[t / 2] >> (t % 2 * 4) & 15));
            } else {
                out.extend(cut.tables.iter().map(|&(at, _)| bits_at(bits, at, cut.k as u32) as u8));
            }
        }
    }
    /// The scale of q' that the core multiplies with. The scales of values stand for tokens: they are folded into the
    /// activations, and the core multiplies with 1.
    fn scale(&self, group: usize, n: usize) -> f32 {
        let factor = self.format.kind.scale_factor();
        if self.format.kind.is_kv() && self.format.group != Group::Row {
            return factor;
        }
        let at = 2 * (group * self.n + n);
        f16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]).to_f32() * factor
    }
    /// z' of a group.
    fn zero(&self, group: usize, n: usize) -> i32 {
        let bits = self.format.kind.zero_bits();
        let at = (group * self.n + n) * bits as usize;
        self.format.kind.zero_odd(bits_at(&self.bytes[self.layout.zeros..self.layout.planes], at, bits))
    }
}
