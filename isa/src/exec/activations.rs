//! The rows of A as they meet the weights: plain, or made into tables.

use super::fast::{Nibbles, dot};
use super::tables::{Cut, Tables};
use super::{State, View, refuse, to_half};
use crate::control::FaultKind;
use crate::field::{Entries, LmmaType};
use crate::format::{Elem, STORED_TABLE};

/// Activations and the sums of their groups.
pub(super) enum Activations {
    /// Half precision, tables.
    Half { tables: Tables<f32>, sums: Vec<f32> },
    /// Integers, tables.
    Int { tables: Tables<i16>, sums: Vec<i64> },
    /// Tables whose entries were rounded to 8 bits, a scale of each row and group.
    Rounded { tables: Tables<i16>, scales: Vec<f32>, sums: Vec<f32> },
    /// Integers as they are.
    Plain { rows: Vec<i16>, sums: Vec<i64> },
}

/// A column of weights, as tables or products want it.
pub(super) struct Column {
    pub(super) planes: &'static [u32],
    pub(super) indices: Vec<u8>,
    pub(super) odd: Vec<i16>,
}

impl State {
    /// The rows of A for an `lmma` of some type.
    pub(super) fn activations(&self, ty: LmmaType, a: View, cut: &Cut) -> Result<Activations, FaultKind> {
        let exact = match a.elem {
            Elem::F16 => self.halves(a, cut),
            Elem::T16 => self.stored_halves(a, cut),
            Elem::T8 => self.stored_integers(a, cut),
            _ => self.integers(a, cut, self.look_ups || ty.entries == Entries::Int8)?,
        };
        Ok(match (ty.entries, exact) {
            (Entries::Int8, Activations::Half { tables, sums }) => {
                let (tables, scales) = tables.rounded(cut, a.rows);
                Activations::Rounded { tables, scales, sums }
            }
            (Entries::Int8, Activations::Int { tables, sums }) => {
                let (tables, scales) = tables.rounded(cut, a.rows);
                Activations::Rounded { tables, scales, sums: sums.iter().map(|&sum| sum as f32).collect() }
            }
            (_, exact) => exact,
        })
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

    /// INT8 activations: as they are, or made into tables.
    fn integers(&self, a: View, cut: &Cut, make_tables: bool) -> Result<Activations, FaultKind> {
        let (mut tables, mut sums, mut rows) = (Tables::default(), Vec::new(), Vec::new());
        for m in 0..a.rows {
            let start = rows.len();
            rows.extend(self.row(a, m).iter().map(|&b| i16::from(b as i8)));
            let row = &rows[start..];
            if let Some(k) = row.iter().position(|&a| a == -128) {
                return refuse(format!("lmma: activation {k} of row {m} is -128; activations keep to +-127"));
            }
            if make_tables {
                tables.push_row(row, cut, |entry| entry);
            }
            let sum = |group| row[cut.span(group)].iter().map(|&a| i64::from(a)).sum::<i64>();
            sums.extend((0..cut.groups()).map(sum));
        }
        Ok(if make_tables { Activations::Int { tables, sums } } else { Activations::Plain { rows, sums } })
    }
}

/// The sum of a table's activations in single precision, in order.
pub(super) fn sum_of(table: &[f32]) -> f32 {
    table.iter().copied().reduce(|sum, a| sum + a).unwrap_or(0.0)
}

impl Activations {
    /// Sum of a group's activations, in single precision.
    pub(super) fn sum(&self, cut: &Cut, m: usize, group: usize) -> f32 {
        let number = m * cut.groups() + group;
        match self {
            Activations::Half { sums, .. } | Activations::Rounded { sums, .. } => sums[number],
            Activations::Int { sums, .. } | Activations::Plain { sums, .. } => sums[number] as f32,
        }
    }
    /// acc - z' * sum of activations, looked up or multiplied. An accumulator that does not fit `bits` is the error.
    pub(super) fn term(
        &self,
        cut: &Cut,
        m: usize,
        group: usize,
        column: &Column,
        zero: i32,
        bits: u32,
    ) -> Result<f32, i64> {
        let acc = match self {
            Activations::Half { tables, sums } => {
                let acc = tables.sum(cut, m, group, &column.indices, column.planes);
                return Ok(acc - zero as f32 * sums[m * cut.groups() + group]);
            }
            Activations::Int { tables, .. } | Activations::Rounded { tables, .. } => {
                tables.sum(cut, m, group, &column.indices, column.planes)
            }
            Activations::Plain { rows, .. } => {
                let span = cut.span(group);
                dot(&rows[m * cut.len..(m + 1) * cut.len][span.clone()], &column.odd[span])
            }
        };
        if fits(acc, bits) { Ok(self.group(cut, m, group).term(acc, zero)) } else { Err(acc) }
    }
    /// What a group's integer accumulators become terms with.
    pub(super) fn group(&self, cut: &Cut, m: usize, group: usize) -> Sum {
        let number = m * cut.groups() + group;
        match self {
            Activations::Int { sums, .. } | Activations::Plain { sums, .. } => Sum::Exact(sums[number]),
            Activations::Rounded { scales, sums, .. } => {
                Sum::Rounded { scale: scales[number], sum: sums[number] }
            }
            Activations::Half { .. } => unreachable!("half precision has no integer accumulator"),
        }
    }
    /// What tables of four activations are made of, if the sums are of integers and groups of whole bytes.
    pub(super) fn nibbles<'a>(&'a self, cut: &Cut) -> Option<Nibbles<'a>> {
        match self {
            _ if !cut.bytes => None,
            Activations::Plain { rows, .. } => Some(Nibbles::Activations { rows, len: cut.len }),
            Activations::Int { tables, .. } | Activations::Rounded { tables, .. } => {
                cut.nibbles.then(|| Nibbles::Tables { tables: tables.fours(), of_row: cut.tables() })
            }
            Activations::Half { .. } => None,
        }
    }
}

/// The sum of a group's activations, as integer accumulators are met by it.
#[derive(Clone, Copy)]
pub(super) enum Sum {
    /// Beside the sums of exact entries.
    Exact(i64),
    /// Beside those of rounded entries, and the scale of these.
    Rounded { scale: f32, sum: f32 },
}

impl Sum {
    /// acc - z' * sum of activations: exact and rounded once, if the entries are exact.
    fn term(self, acc: i64, zero: i32) -> f32 {
        match self {
            Sum::Exact(sum) => (acc - i64::from(zero) * sum) as f32,
            Sum::Rounded { scale, sum } => scale * acc as f32 - zero as f32 * sum,
        }
    }
    /// In single precision.
    pub(super) fn single(self) -> f32 {
        match self {
            Sum::Exact(sum) => sum as f32,
            Sum::Rounded { sum, .. } => sum,
        }
    }
}

/// Whether an accumulator of `bits` bits holds a sum and its negative.
pub(super) fn fits(acc: i64, bits: u32) -> bool {
    acc.abs() >> (bits - 1) == 0
}
