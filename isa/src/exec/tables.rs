//! Look-up tables: the definition of a product of activations and bit-planes.

use super::lut::Weights;
use super::planes::bits_at;

/// K cut into groups, and each group into the activations of one table; the last of a group may be short.
pub(super) struct Cut {
    /// All of K.
    pub(super) len: usize,
    /// Activations of a table.
    k: usize,
    /// Every table is one half of a byte of a plane.
    pub(super) nibbles: bool,
    /// Every group begins with a byte of a plane.
    pub(super) bytes: bool,
    /// First activation of each table and how many there are.
    tables: Vec<(usize, usize)>,
    /// Tables of each group.
    groups: Vec<std::ops::Range<usize>>,
}
impl Cut {
    pub(super) fn new(len: usize, group: usize, k: usize) -> Self {
        let group = group.max(1);
        let (mut tables, mut groups) = (Vec::with_capacity(len / k + 1), Vec::new());
        for start in (0..len).step_by(group) {
            let end = len.min(start + group);
            let first = tables.len();
            tables.extend((start..end).step_by(k).map(|at| (at, k.min(end - at))));
            groups.push(first..tables.len());
        }
        let alone = groups.len() <= 1;
        let nibbles = k == 4 && (group.is_multiple_of(4) || alone);
        Self { len, k, nibbles, bytes: group.is_multiple_of(8) || alone, tables, groups }
    }
    /// Tables of a row.
    pub(super) fn tables(&self) -> usize {
        self.tables.len()
    }
    /// Groups of K.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }
    /// The sum of a group's tables in single precision, in order.
    pub(super) fn sum(&self, group: usize, of: impl Fn(std::ops::Range<usize>) -> f32) -> f32 {
        let tables = &self.tables[self.groups[group].clone()];
        tables.iter().fold(0.0, |sum, &(at, len)| sum + of(at..at + len))
    }
    /// Activations of a group.
    pub(super) fn span(&self, group: usize) -> std::ops::Range<usize> {
        let tables = &self.groups[group];
        let (last, len) = self.tables[tables.end - 1];
        self.tables[tables.start].0..last + len
    }
}

/// An element of a table.
pub(super) trait Entry:
    Copy + Default + Into<f32> + std::ops::Add<Output = Self> + std::ops::Neg<Output = Self>
{
}
impl Entry for i16 {}
impl Entry for f32 {}
/// Most entries of a stored half: tables of six.
const MOST_STORED: usize = 32;
/// Largest rounded entry.
const ROUNDED: f32 = 127.0;

/// Half to even, within +-[`ROUNDED`]; what is no number becomes 0.
fn round(x: f32) -> i16 {
    // Added to this, a small number loses its fraction: a vector of them has no other way at SSE2.
    const WHOLE: f32 = 12_582_912.0;
    (x.clamp(-ROUNDED, ROUNDED) + WHOLE - WHOLE) as i16
}

/// Tables of 2^k entries (the stored half and its mirror) of every row of activations.
#[derive(Default)]
pub(super) struct Tables<T> {
    entries: Vec<T>,
}

impl<T: Entry> Tables<T> {
    /// Entry i: the activations whose bit of i is set, minus the others, summed as (((+-a0) +- a1) +- a2) +- a3.
    /// Half of them are stored, those with the last bit set; the others are their negatives: T[i] = -T[!i].
    pub(super) fn push_row(&mut self, row: &[T], cut: &Cut, stored: impl Fn(T) -> T) {
        let half = 1usize << (cut.k - 1);
        for &(at, len) in &cut.tables {
            let a = |j: usize| if j < len { row[at + j] } else { T::default() };
            let start = self.entries.len();
            self.entries.resize(start + 2 * half, T::default());
            let table = &mut self.entries[start..];
            // All sums of the activations before the last, by their bits: each doubles them.
            let mut sums = [T::default(); MOST_STORED];
            (sums[0], sums[half.min(2) - 1]) = (-a(0), a(0));
            for j in 1..cut.k - 1 {
                let (clear, set) = sums[..2 << j].split_at_mut(1 << j);
                for (clear, set) in clear.iter_mut().zip(set) {
                    (*clear, *set) = (*clear + -a(j), *clear + a(j));
                }
            }
            let (mirrored, upper) = table.split_at_mut(half);
            for ((upper, mirrored), &sum) in upper.iter_mut().zip(mirrored.iter_mut().rev()).zip(&sums) {
                *upper = stored(if cut.k == 1 { sum } else { sum + a(cut.k - 1) });
                *mirrored = -*upper;
            }
        }
    }
    /// Every entry rounded to +-127: scale = largest of the row's group / 127, entry = entry / scale rounded half to even. The scales
    /// are one per row and group.
    pub(super) fn rounded(&self, cut: &Cut, rows: usize) -> (Tables<i16>, Vec<f32>) {
        let (mut rounded, mut scales) = (Tables::default(), Vec::with_capacity(rows * cut.groups()));
        let size = 1 << cut.k;
        for m in 0..rows {
            for group in 0..cut.groups() {
                let tables = m * cut.tables.len() + cut.groups[group].start;
                let entries = &self.entries[tables * size..][..cut.groups[group].len() * size];
                let entries = || entries.iter().map(|&entry| entry.into());
                let scale = entries().fold(0.0f32, |m, x| if x.abs() > m { x.abs() } else { m }) / ROUNDED;
                rounded.entries.extend(entries().map(|x| if scale == 0.0 { 0 } else { round(x / scale) }));
                scales.push(scale);
            }
        }
        (rounded, scales)
    }
    /// The tables of one row and group.
    fn of(&self, cut: &Cut, m: usize, group: usize) -> std::slice::ChunksExact<'_, T> {
        let tables = &cut.groups[group];
        let row = m * cut.tables.len();
        let size = 1 << cut.k;
        self.entries[(row + tables.start) * size..(row + tables.end) * size].chunks_exact(size)
    }
}

/// The index of one column into every table, plane after plane.
pub(super) fn indices(weights: &Weights<'_>, n: usize, cut: &Cut, out: &mut Vec<u8>) {
    out.clear();
    for plane in 0..weights.format.kind.planes().len() {
        let bits = weights.plane_row(plane, n);
        if cut.nibbles {
            out.extend((0..cut.tables.len()).map(|t| bits[t / 2] >> (t % 2 * 4) & 15));
        } else {
            out.extend(cut.tables.iter().map(|&(at, _)| bits_at(bits, at, cut.k as u32) as u8));
        }
    }
}

/// Entries of a half-table of four, and the bits of one that is stored.
const STORED: usize = 8;
const ENTRY_BITS: u32 = 10;

impl<T: Entry> Tables<T> {
    /// The stored half of a table of four, and its mirror.
    fn push_half(&mut self, half: [T; STORED]) {
        self.entries.extend(half.iter().rev().map(|&entry| -entry));
        self.entries.extend(half);
    }
    /// The stored half of the table of the row that was pushed last.
    pub(super) fn stored(&self, table: usize) -> [T; STORED] {
        std::array::from_fn(|i| self.entries[(2 * table + 1) * STORED + i])
    }
}

/// Eight sums of at most 4 x 127 as they are stored: ten bits each, two's complement, the first in the lowest bits.
pub(super) fn pack(half: [i16; STORED]) -> [u8; 10] {
    let mut bits = 0u128;
    for (i, entry) in half.into_iter().enumerate() {
        bits |= u128::from(entry as u16 & 0x3ff) << (ENTRY_BITS * i as u32);
    }
    std::array::from_fn(|i| (bits >> (8 * i)) as u8)
}

impl Tables<i16> {
    /// Tables of four.
    pub(super) fn fours(&self) -> &[[i16; 16]] {
        self.entries.as_chunks().0
    }
    /// A stored table; returns the sum of its activations, the entry with every bit set.
    pub(super) fn push_packed(&mut self, bytes: &[u8]) -> i16 {
        let entry = |i: usize| (bits_at(bytes, i * ENTRY_BITS as usize, ENTRY_BITS) << 6) as u16 as i16 >> 6;
        let half = std::array::from_fn(entry);
        self.push_half(half);
        half[STORED - 1]
    }
    /// Sum over planes and tables of 2^shift * T[index], exact.
    pub(super) fn sum(&self, cut: &Cut, m: usize, group: usize, indices: &[u8], planes: &[u32]) -> i64 {
        let each = planes.iter().enumerate().map(|(plane, shift)| {
            let indices = &indices[plane * cut.tables.len()..][cut.groups[group].clone()];
            let looked_up = self.of(cut, m, group).zip(indices).map(|(t, &i)| i32::from(t[usize::from(i)]));
            i64::from(looked_up.sum::<i32>()) << shift
        });
        each.sum()
    }
}

impl Tables<f32> {
    /// A stored table; returns the sum of its activations, which follows the entries.
    pub(super) fn push_halves(&mut self, bytes: &[u8]) -> f32 {
        let entry = |i: usize| half::f16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32();
        self.push_half(std::array::from_fn(entry));
        f32::from_le_bytes(std::array::from_fn(|i| bytes[2 * STORED + i]))
    }
    /// The same in single precision: tables in order, the planes of each in order.
    pub(super) fn sum(&self, cut: &Cut, m: usize, group: usize, indices: &[u8], planes: &[u32]) -> f32 {
        let mut acc = 0.0f32;
        for (table, entries) in cut.groups[group].clone().zip(self.of(cut, m, group)) {
            for (plane, &shift) in planes.iter().enumerate() {
                let index = indices[plane * cut.tables.len() + table];
                acc += (1u32 << shift) as f32 * entries[usize::from(index)];
            }
        }
        acc
    }
}
