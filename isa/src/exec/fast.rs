//! The integer product of `lmma` restated, the same integers as [`super::tables`] by property test.
//!
//! Tables of four activations lie in vector registers, and sixteen columns look up at once: a shuffle of bytes is sixteen look-ups.
//! The planes lie column by column, so sixteen bytes of sixteen columns are turned first, once for all rows of activations.

use fearless_simd::{Simd, dispatch, f32x4, i16x8, i32x4, prelude::*, u8x16, u16x8};

use super::activations::{Sum, fits};
use super::lut::{Product, Weights};
use super::tables::Cut;
use crate::control::FaultKind;

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
    a.iter().zip(q).map(|(&a, &q)| i64::from(i32::from(a) * i32::from(q))).sum()
}

/// Activations of a table.
const FOUR: usize = 4;
/// Bytes of a plane's row that are turned together, and columns that are looked up together.
const LANES: usize = 16;
/// Largest magnitude of an entry for each of its activations: those of stored tables have ten bits.
const MOST: usize = 128;

/// The tables of a byte of a plane: low and high bytes of the entries for its lower four bits, and of those for its upper four.
type ByteTables = [[u8; LANES]; 4];

/// What tables of four activations are made of.
pub(super) enum Nibbles<'a> {
    /// Rows of `len` activations.
    Activations { rows: &'a [i16], len: usize },
    /// Rows of `of_row` tables.
    Tables { tables: &'a [[i16; 16]], of_row: usize },
}

impl Nibbles<'_> {
    /// The tables of `bytes` bytes of row m; there is nothing beyond the row's end.
    fn row(&self, m: usize, bytes: usize) -> impl Iterator<Item = ByteTables> {
        let table = move |t: usize| match *self {
            Nibbles::Activations { rows, len } => {
                let row = &rows[m * len..(m + 1) * len];
                four(&std::array::from_fn(|j| row.get(FOUR * t + j).copied().unwrap_or(0)))
            }
            Nibbles::Tables { tables, of_row } => {
                tables[m * of_row..(m + 1) * of_row].get(t).copied().unwrap_or_default()
            }
        };
        (0..bytes).map(move |byte| {
            let (lower, upper) = (table(2 * byte), table(2 * byte + 1));
            let low = |table: [i16; 16]| table.map(|entry| entry as u8);
            let high = |table: [i16; 16]| table.map(|entry| (entry >> 8) as u8);
            [low(lower), high(lower), low(upper), high(upper)]
        })
    }
}

/// The table of four activations: entry b adds those whose bit of b is set and subtracts the others; each doubles the entries before it.
fn four(a: &[i16; FOUR]) -> [i16; 16] {
    let mut table = [-a.iter().sum::<i16>(); 16];
    for (j, a) in a.iter().enumerate() {
        let (clear, set) = table[..2 << j].split_at_mut(1 << j);
        set.iter_mut().zip(clear).for_each(|(set, clear)| *set = *clear + 2 * a);
    }
    table
}

/// Bytes of a plane's row that are turned together, in the groups they belong to.
struct Piece {
    first: usize,
    parts: Vec<Part>,
}
/// Those of one group.
struct Part {
    bytes: std::ops::Range<usize>,
    group: usize,
    /// The group ends here.
    last: bool,
}

fn pieces(cut: &Cut, row: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> =
        (0..row).step_by(LANES).map(|first| Piece { first, parts: Vec::new() }).collect();
    for group in 0..cut.groups() {
        let span = cut.span(group);
        let (first, end) = (span.start / 8, span.end.div_ceil(8));
        for piece in &mut pieces[first / LANES..end.div_ceil(LANES)] {
            let bytes = first.max(piece.first) - piece.first..end.min(piece.first + LANES) - piece.first;
            piece.parts.push(Part { bytes, group, last: end <= piece.first + LANES });
        }
    }
    pieces
}

impl Product<'_> {
    /// Some columns at a time, all groups of them in order.
    pub(super) fn by_bytes(
        &self,
        nibbles: Nibbles<'_>,
        space: &mut Space,
        psum: &mut [f32],
    ) -> Result<(), FaultKind> {
        let Product { weights, cut, activations, rows, .. } = self;
        // Sums and z' times those of the activations, in 32 bits.
        let most = 2 * weights.format.kind.max_odd() as usize * MOST * cut.span(0).len();
        if most > i32::MAX as usize {
            return self.by_columns(psum);
        }
        let row = weights.layout.row;
        let Space { tables, numbers } = space;
        tables.clear();
        tables.reserve(rows.len() * row);
        numbers.read(weights, cut.groups());
        (0..rows.len()).for_each(|m| tables.extend(nibbles.row(m, row)));
        let sums = (0..rows.len())
            .flat_map(|m| (0..cut.groups()).map(move |group| activations.group(cut, m, group)))
            .collect();
        let work = Work { product: self, tables, numbers, sums, pieces: pieces(cut, row) };
        let largest = dispatch!(self.level, simd => work.add(simd, psum));
        // One that overflows is found as it is defined, or stands behind the last column.
        if fits(largest, self.bits) { Ok(()) } else { self.by_columns(&mut psum.to_vec()) }
    }
}

/// What [`Product::by_bytes`] makes of its operands.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    /// Rows of activations, a byte of the planes each.
    tables: Vec<ByteTables>,
    numbers: Numbers,
}

/// What it works on.
struct Work<'a> {
    product: &'a Product<'a>,
    tables: &'a [ByteTables],
    numbers: &'a Numbers,
    /// Rows of activations, groups.
    sums: Vec<Sum>,
    pieces: Vec<Piece>,
}

/// Of a row of activations and sixteen columns.
#[derive(Clone, Copy)]
struct Row<S: Simd> {
    acc: [i32x4<S>; 4],
    psum: [f32; LANES],
}

impl Work<'_> {
    /// Adds all terms. Returns the largest magnitude of an accumulator.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, psum: &mut [f32]) -> i64 {
        let Product { weights, cut, columns, .. } = self.product;
        let (planes, layout) = (weights.format.kind.planes(), &weights.layout);
        let nothing = i32x4::splat(simd, 0);
        let mut rows = vec![Row { acc: [nothing; 4], psum: [0.0; LANES] }; self.product.rows.len()];
        let mut turned = [[u8x16::splat(simd, 0); LANES]; 8];
        let mut largest = nothing;
        for n in (0..weights.n).step_by(LANES) {
            let columns = &columns[n..weights.n.min(n + LANES)];
            for (row, at) in rows.iter_mut().zip(&self.product.rows) {
                row.psum.iter_mut().zip(columns).for_each(|(to, column)| *to = psum[at + column]);
            }
            for piece in &self.pieces {
                for (plane, turned) in turned[..planes.len()].iter_mut().enumerate() {
                    let start = layout.planes + plane * layout.plane + n * layout.row + piece.first;
                    turn(simd, &weights.bytes[start..], layout.row, turned);
                }
                for (m, row) in rows.iter_mut().enumerate() {
                    let tables = &self.tables[m * layout.row + piece.first..];
                    for Part { bytes, group, last } in &piece.parts {
                        for (turned, shift) in turned.iter().zip(planes) {
                            let sums = look_up(simd, &tables[bytes.clone()], &turned[bytes.clone()]);
                            for (acc, sum) in row.acc.iter_mut().zip(sums) {
                                *acc += sum << *shift;
                            }
                        }
                        if *last {
                            for acc in row.acc {
                                largest = largest.max(acc.abs());
                            }
                            self.end(simd, &self.sums[m * cut.groups() + group], *group, n, row);
                            row.acc = [nothing; 4];
                        }
                    }
                }
            }
            for (row, at) in rows.iter().zip(&self.product.rows) {
                row.psum.iter().zip(columns).for_each(|(from, column)| psum[at + column] = *from);
            }
        }
        i64::from(largest.as_slice().iter().copied().max().unwrap_or(0))
    }

    /// Adds the terms of a group to the partial sums.
    #[inline(always)]
    fn end<S: Simd>(&self, simd: S, sum: &Sum, group: usize, n: usize, row: &mut Row<S>) {
        let Numbers { scales, zeros, offsets } = self.numbers;
        let at = group * self.product.weights.n + n;
        for (i, (acc, psum)) in row.acc.into_iter().zip(row.psum.as_chunks_mut::<4>().0).enumerate() {
            let at = at + 4 * i..at + 4 * i + 4;
            let zero = i32x4::from_slice(simd, &zeros[at.clone()]);
            let term = match *sum {
                Sum::Exact(sum) => f32x4::float_from(acc - zero * (sum as i32)),
                Sum::Rounded { scale, sum } => f32x4::float_from(acc) * scale - f32x4::float_from(zero) * sum,
            };
            let mut to = f32x4::from_slice(simd, psum) + f32x4::from_slice(simd, &scales[at.clone()]) * term;
            if !offsets.is_empty() {
                to += f32x4::from_slice(simd, &offsets[at]) * sum.single();
            }
            to.store_slice(psum);
        }
    }
}

/// Sixteen columns' bytes of a plane, turned: byte i of every column, whatever lies behind the end of a row or the last column.
#[inline(always)]
fn turn<S: Simd>(simd: S, bytes: &[u8], row: usize, turned: &mut [u8x16<S>; LANES]) {
    let mut last = [0; LANES * LANES];
    let (bytes, row) = match bytes.get(..(LANES - 1) * row + LANES) {
        Some(bytes) => (bytes, row),
        None => {
            for (column, to) in bytes.chunks(row).zip(last.as_chunks_mut::<LANES>().0) {
                column.iter().zip(to).for_each(|(byte, to)| *to = *byte);
            }
            (&last[..], LANES)
        }
    };
    let mut columns = [u8x16::splat(simd, 0); LANES];
    for (i, column) in columns.iter_mut().enumerate() {
        *column = u8x16::from_slice(simd, &bytes[i * row..][..LANES]);
    }
    // A zip moves the first bit of a column's number behind the last of a byte's; four exchange the two.
    *turned = zip(zip(zip(zip(columns))));
}

/// The first half of the vectors zipped with the second.
#[inline(always)]
fn zip<S: Simd>(v: [u8x16<S>; LANES]) -> [u8x16<S>; LANES] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v;
    let ([(a, i), (b, j), (c, k), (d, l)], [(e, m), (f, n), (g, o), (h, p)]) = (
        [a.interleave(i), b.interleave(j), c.interleave(k), d.interleave(l)],
        [e.interleave(m), f.interleave(n), g.interleave(o), h.interleave(p)],
    );
    [a, i, b, j, c, k, d, l, e, m, f, n, g, o, h, p]
}

/// The sums of what at most sixteen bytes of sixteen columns look up.
#[inline(always)]
fn look_up<S: Simd>(simd: S, tables: &[ByteTables], bytes: &[u8x16<S>]) -> [i32x4<S>; 4] {
    // Low bytes are added as pairs of columns, and the odd columns' alone. Of high bytes eight bits are enough: a sum
    // of 32 entries has 16.
    let (mut pairs, mut odd) = (u16x8::splat(simd, 0), u16x8::splat(simd, 0));
    let mut high = u8x16::splat(simd, 0);
    for (tables, &byte) in tables.iter().zip(bytes) {
        let upper: u8x16<S> = (byte.bitcast::<u16x8<S>>() >> 4).bitcast();
        for (half, index) in tables.as_chunks::<2>().0.iter().zip([byte & 15, upper & 15]) {
            let [low_table, high_table] = half.map(|half| half.simd_into(simd));
            let low: u16x8<S> = u8x16::swizzle_dyn_within_blocks(low_table, index).bitcast();
            pairs += low;
            odd += low >> 8;
            high += u8x16::swizzle_dyn_within_blocks(high_table, index);
        }
    }
    let high: u16x8<S> = high.bitcast();
    let (even, odd) = (pairs - (odd << 8) + (high << 8), odd + (high & 0xff00));
    let (first, second): (i16x8<S>, i16x8<S>) = (even.zip_low(odd).bitcast(), even.zip_high(odd).bitcast());
    let ((a, b), (c, d)) = (first.widen(), second.widen());
    [a, b, c, d]
}

/// Scales, z' and offsets: groups, a column each, and [`LANES`] more.
#[derive(Clone, Debug, Default)]
struct Numbers {
    scales: Vec<f32>,
    zeros: Vec<i32>,
    /// None if the type has no such.
    offsets: Vec<f32>,
}

impl Numbers {
    fn read(&mut self, weights: &Weights<'_>, groups: usize) {
        let Self { scales, zeros, offsets } = self;
        scales.clear();
        zeros.clear();
        offsets.clear();
        for group in 0..groups {
            weights.scales(group, scales);
            weights.zeros(group, zeros);
            weights.offsets(group, offsets);
        }
        scales.extend([0.0; LANES]);
        zeros.extend([0; LANES]);
        if !offsets.is_empty() {
            offsets.extend([0.0; LANES]);
        }
    }
}
