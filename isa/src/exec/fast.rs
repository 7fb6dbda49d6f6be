//! The integer product of `lmma` restated, the same integers as [`super::tables`] by property test.
//!
//! Few rows: tables of eight activations, so that a byte of a plane is one look-up; a group's tables stay in the first-level
//! cache while all columns pass. Many rows: q' put together from its planes once per column, then multiplied.

use super::activations::fits;
use super::lut::{Product, Weights};
use crate::control::FaultKind;
use crate::format::WeightKind;

/// The bits of a byte, one per byte.
const BITS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 8 {
            table[byte] |= (byte as u64 >> i & 1) << (8 * i);
            i += 1;
        }
        byte += 1;
    }
    table
};

/// q' of every weight of a column: the sum of 2^shift * (2 bit - 1) over the planes.
pub(super) fn odd_row(weights: &Weights<'_>, n: usize, sums: &mut Vec<u8>, out: &mut Vec<i16>) {
    let kind = weights.format.kind;
    sums.clear();
    sums.resize(8 * weights.layout.row, 0);
    for (plane, shift) in kind.planes().iter().enumerate() {
        let bits = weights.plane_row(plane, n);
        for (eight, &byte) in sums.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
            *eight = (u64::from_le_bytes(*eight) + (BITS[usize::from(byte)] << shift)).to_le_bytes();
        }
    }
    let largest = kind.max_odd() as i16;
    out.clear();
    out.extend(sums.iter().map(|&sum| 2 * i16::from(sum) - largest));
}

/// Exact inner product.
pub(super) fn dot(a: &[i16], q: &[i16]) -> i64 {
    // 127 * 255 * 4096 < 2^31.
    a.chunks(4096).zip(q.chunks(4096)).map(|(a, q)| i64::from(short_dot(a, q))).sum()
}

/// Sixteen at a time: the shape that compilers make a vector multiply-add of.
fn short_dot(a: &[i16], q: &[i16]) -> i32 {
    let product = |(&a, &q): (&i16, &i16)| i32::from(a).wrapping_mul(i32::from(q));
    let sum = |a: &[i16], q: &[i16]| a.iter().zip(q).map(product).fold(0, i32::wrapping_add);
    let ((a, a_rest), (q, q_rest)) = (a.as_chunks::<16>(), q.as_chunks::<16>());
    let whole = a.iter().zip(q).map(|(a, q)| sum(a, q)).fold(0, i32::wrapping_add);
    whole.wrapping_add(sum(a_rest, q_rest))
}

/// Sums of eight activations: entry b adds those whose bit of b is set and subtracts the others.
type Table = [i16; 256];

/// Tables that are in use together: 16 KiB.
const TABLES: usize = 32;

/// Whether looking up beats multiplying, which takes as long for one plane as for eight: measured, one row of eight planes and seven rows
/// of two are the last that do.
pub(super) fn by_tables(kind: WeightKind, rows: usize) -> bool {
    kind.planes().len() * rows < 16
}

/// What tables of eight activations are made of.
pub(super) enum Nibbles<'a> {
    /// Rows of `len` activations.
    Activations { rows: &'a [i16], len: usize },
    /// Rows of `of_row` tables of four.
    Tables { tables: &'a [[i16; 16]], of_row: usize },
}

impl Nibbles<'_> {
    /// The tables of row m for some bytes of the planes; there is nothing beyond the row's end.
    fn fill(&self, m: usize, bytes: std::ops::Range<usize>, out: &mut [Table]) {
        match *self {
            Nibbles::Activations { rows, len } => {
                let row = &rows[m * len..(m + 1) * len];
                for (byte, table) in bytes.zip(out) {
                    let row = &row[8 * byte..];
                    eight(&std::array::from_fn(|j| row.get(j).copied().unwrap_or(0)), table);
                }
            }
            Nibbles::Tables { tables, of_row } => {
                let row = &tables[m * of_row..(m + 1) * of_row];
                for (byte, table) in bytes.zip(out) {
                    let high = row.get(2 * byte + 1).unwrap_or(&[0; 16]);
                    for (entries, high) in table.as_chunks_mut::<16>().0.iter_mut().zip(high) {
                        entries.iter_mut().zip(&row[2 * byte]).for_each(|(entry, low)| *entry = low + high);
                    }
                }
            }
        }
    }
}

/// The table of eight activations: each doubles the entries before it.
fn eight(a: &[i16; 8], table: &mut Table) {
    table[0] = -a.iter().sum::<i16>();
    for (j, a) in a.iter().enumerate() {
        let (clear, set) = table[..2 << j].split_at_mut(1 << j);
        set.iter_mut().zip(clear).for_each(|(set, clear)| *set = *clear + 2 * a);
    }
}

/// Adds up what the bytes of one row of a plane look up, `B` bytes to a group, each group's sum shifted into an accumulator. The last
/// group may be short.
fn look_up<const B: usize>(tables: &[Table], bytes: &[u8], shift: u32, acc: &mut [i64]) {
    let of = |tables: &[Table], bytes: &[u8]| -> i64 {
        let add = |sum, (table, &byte): (&Table, &u8)| sum + i32::from(table[usize::from(byte)]);
        i64::from(tables.iter().zip(bytes).fold(0, add) << shift)
    };
    let ((tables, last_tables), (bytes, last)) = (tables.as_chunks::<B>(), bytes.as_chunks::<B>());
    let (whole, rest) = acc.split_at_mut(tables.len());
    for ((acc, tables), bytes) in whole.iter_mut().zip(tables).zip(bytes) {
        *acc += of(tables, bytes);
    }
    if let Some(acc) = rest.first_mut() {
        *acc += of(last_tables, last);
    }
}

/// [`look_up`] for a number of bytes to a group: a power of two up to [`TABLES`].
fn look_up_by(group: usize) -> fn(&[Table], &[u8], u32, &mut [i64]) {
    match group {
        ..=2 => look_up::<2>,
        3..=4 => look_up::<4>,
        5..=8 => look_up::<8>,
        9..=16 => look_up::<16>,
        _ => look_up::<TABLES>,
    }
}

impl Product<'_> {
    /// Some groups at a time, all columns of them; partial sums see their groups in order.
    pub(super) fn by_bytes(&self, nibbles: Nibbles<'_>, psum: &mut [f32]) -> Result<(), FaultKind> {
        let Product { weights, cut, .. } = self;
        let mut work = Work { tables: vec![[0; 256]; TABLES], acc: Vec::new(), numbers: Numbers::default() };
        let mut wrong = None;
        // Whole groups whose tables are in use together; or one group, piece by piece.
        let group_bytes = cut.span(0).len().div_ceil(8).next_power_of_two();
        let together = (TABLES / group_bytes).max(1);
        for first in (0..cut.groups()).step_by(together) {
            let groups = first..cut.groups().min(first + together);
            work.numbers.read(weights, groups.clone());
            for m in 0..self.rows.len() {
                work.look_up(self, &nibbles, m, groups.clone(), look_up_by(group_bytes));
                let overflow = work.add(self, m, groups.clone(), psum);
                wrong = wrong.into_iter().chain(overflow).min();
            }
        }
        match wrong {
            None => Ok(()),
            Some((n, group, m, acc)) => Err(self.overflow(acc, m, n, group)),
        }
    }
}

/// What [`Product::by_bytes`] works on.
struct Work {
    tables: Vec<Table>,
    /// Of each column, those of the groups.
    acc: Vec<i64>,
    numbers: Numbers,
}

impl Work {
    /// Looks up a row of activations in the planes of every column.
    fn look_up(
        &mut self,
        product: &Product<'_>,
        nibbles: &Nibbles<'_>,
        m: usize,
        groups: std::ops::Range<usize>,
        look_up: fn(&[Table], &[u8], u32, &mut [i64]),
    ) {
        let Product { weights, cut, .. } = product;
        let bytes = cut.span(groups.start).start / 8..cut.span(groups.end - 1).end.div_ceil(8);
        let layout = &weights.layout;
        self.acc.clear();
        self.acc.resize(weights.n * groups.len(), 0);
        for start in bytes.clone().step_by(TABLES) {
            let some = start..bytes.end.min(start + TABLES);
            let tables = &mut self.tables[..some.len()];
            nibbles.fill(m, some.clone(), tables);
            for (plane, &shift) in weights.format.kind.planes().iter().enumerate() {
                let rows = &weights.bytes[layout.planes + plane * layout.plane..][..layout.plane];
                for (row, acc) in rows.chunks_exact(layout.row).zip(self.acc.chunks_exact_mut(groups.len())) {
                    look_up(tables, &row[some.clone()], shift, acc);
                }
            }
        }
    }

    /// Adds the terms of the groups to the row's partial sums. Returns the first accumulator that overflows, if one does: its column,
    /// group, row, and what is in it.
    fn add(
        &self,
        product: &Product<'_>,
        m: usize,
        groups: std::ops::Range<usize>,
        psum: &mut [f32],
    ) -> Option<(usize, usize, usize, i64)> {
        let Product { activations, cut, bits, .. } = product;
        let (columns, count) = (product.weights.n, groups.len());
        let misfit = |acc: &&i64| !fits(**acc, *bits);
        let wrong = self.acc.iter().find(misfit).and_then(|_| self.acc.iter().position(|acc| misfit(&acc)));
        for (i, group) in groups.clone().enumerate() {
            let numbers = self.numbers.of(i, columns);
            let acc = self.acc[i..].iter().step_by(count);
            let terms: Vec<f32> = activations.terms(cut, m, group, acc.zip(numbers.zeros)).collect();
            let sum = if numbers.offsets.is_empty() { 0.0 } else { activations.sum(cut, m, group) };
            for (core, &at) in product.columns.iter().step_by(product.core_columns).enumerate() {
                let n = core * product.core_columns;
                let psum = &mut psum[product.rows[m] + at..][..product.core_columns.min(columns - n)];
                for ((psum, term), scale) in psum.iter_mut().zip(&terms[n..]).zip(&numbers.scales[n..]) {
                    *psum += scale * term;
                }
                let offsets = numbers.offsets.get(n..).unwrap_or_default();
                psum.iter_mut().zip(offsets).for_each(|(psum, offset)| *psum += offset * sum);
            }
        }
        wrong.map(|i| (i / count, groups.start + i % count, m, self.acc[i]))
    }
}

/// Scales, z' and offsets of some groups, a column each.
#[derive(Default)]
struct Numbers {
    scales: Vec<f32>,
    zeros: Vec<i32>,
    /// None if the type has no such.
    offsets: Vec<f32>,
}

/// Those of one group.
struct Of<'a> {
    scales: &'a [f32],
    zeros: &'a [i32],
    offsets: &'a [f32],
}

impl Numbers {
    fn read(&mut self, weights: &Weights<'_>, groups: std::ops::Range<usize>) {
        self.scales.clear();
        self.zeros.clear();
        self.offsets.clear();
        for group in groups {
            weights.scales(group, &mut self.scales);
            weights.zeros(group, &mut self.zeros);
            self.offsets.extend((0..weights.n).map_while(|n| weights.offset(group, n)));
        }
    }
    fn of(&self, i: usize, columns: usize) -> Of<'_> {
        let range = i * columns..(i + 1) * columns;
        let offsets = self.offsets.get(range.clone()).unwrap_or_default();
        Of { scales: &self.scales[range.clone()], zeros: &self.zeros[range], offsets }
    }
}
