//! Products by tables whose entries are rounded to 8 bits: signed sums of a few activations, a scale for each run.

use super::linear::half;

/// How activations become tables.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tables {
    /// Activations of one.
    pub(super) table: usize,
    /// Whether a sum passes through FP16 before it is rounded to 8 bits, as FP16 activations' do.
    pub(super) half: bool,
}

/// Entry `bits` of a table: activations whose bit is set, minus the others.
fn entry(a: &[f32], bits: usize, half_sum: bool) -> f32 {
    let signed = a.iter().enumerate().map(|(i, &a)| if bits >> i & 1 == 1 { a } else { -a });
    let sum = signed.reduce(|sum, a| sum + a).unwrap_or(0.0);
    if half_sum { half(sum) } else { sum }
}

impl Tables {
    /// Entries of one table.
    fn size(self) -> usize {
        1 << self.table
    }

    /// The tables of a run of activations, `1 << table` entries each, and their scale.
    pub(super) fn of(self, a: &[f32]) -> (Vec<i16>, f32) {
        let all =
            a.chunks(self.table).flat_map(|a| (0..self.size()).map(move |bits| entry(a, bits, self.half)));
        let entries: Vec<f32> = all.collect();
        let largest = entries.iter().fold(0.0f32, |m, x| if x.abs() > m { x.abs() } else { m });
        let scale = largest / 127.0;
        let code = |&x: &f32| match x / scale {
            _ if scale == 0.0 => 0,
            q if q.is_nan() => 0,
            q => q.round_ties_even().clamp(-127.0, 127.0) as i16,
        };
        (entries.iter().map(code).collect(), scale)
    }

    /// The bits of one plane of a run of weights, table by table.
    pub(super) fn indices(self, planes: &[u8], plane: usize) -> impl Iterator<Item = u8> {
        let index = move |of: &[u8]| of.iter().rev().fold(0, |index, bits| index << 1 | (bits >> plane & 1));
        planes.chunks(self.table).map(index)
    }

    /// For each column of rows of weights, as planes, the sum over planes of their weight times what is looked up.
    pub(super) fn columns(self, entries: &[i16], planes: &[u8], columns: usize, weights: &[i64]) -> Vec<i64> {
        let mut sums = vec![0; columns];
        let rows = planes.chunks(columns * self.table);
        for (table, rows) in entries.chunks_exact(self.size()).zip(rows) {
            for (column, sum) in sums.iter_mut().enumerate() {
                let bits = rows.iter().skip(column).step_by(columns);
                // A byte for each plane: its index.
                let indices =
                    bits.enumerate().fold(0, |word, (i, &bits)| word | SPREAD[usize::from(bits)] << i);
                let looked_up = |p: usize| i64::from(table[(indices >> (8 * p) & 0xff) as usize]);
                *sum += weights.iter().enumerate().map(|(p, weight)| weight * looked_up(p)).sum::<i64>();
            }
        }
        sums
    }
}

/// Bit p of a byte as the lowest of byte p.
const SPREAD: [u64; 256] = {
    let mut table = [0; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut p = 0;
        while p < 8 {
            table[bits] |= (bits as u64 >> p & 1) << (8 * p);
            p += 1;
        }
        bits += 1;
    }
    table
};

/// Rows of activations that pass a matrix together.
pub(super) const LANES: usize = 16;

/// Tables of up to [`LANES`] rows for one run, entry by entry: what one index looks up in all rows lies together.
pub(super) struct Lanes {
    entries: Vec<[i16; LANES]>,
    size: usize,
    pub(super) scales: [f32; LANES],
}

/// Tables whose sum 16 bits hold.
const SHORT: usize = 256;

impl Lanes {
    pub(super) fn new<'a>(tables: Tables, rows: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut lanes = Self { entries: vec![], size: tables.size(), scales: [0.0; LANES] };
        for (lane, row) in rows.enumerate() {
            let (entries, scale) = tables.of(row);
            lanes.scales[lane] = scale;
            lanes.entries.resize(entries.len(), [0; LANES]);
            lanes.entries.iter_mut().zip(entries).for_each(|(to, entry)| to[lane] = entry);
        }
        lanes
    }

    /// Adds what a plane's indices look up, times its weight.
    pub(super) fn add(&self, indices: &[u8], weight: i64, sums: &mut [i64; LANES]) {
        for (tables, indices) in self.entries.chunks(self.size * SHORT).zip(indices.chunks(SHORT)) {
            let mut short = [0i16; LANES];
            for (table, &index) in tables.chunks_exact(self.size).zip(indices) {
                let entries = &table[usize::from(index)];
                short.iter_mut().zip(entries).for_each(|(sum, &entry)| *sum = sum.wrapping_add(entry));
            }
            sums.iter_mut().zip(short).for_each(|(sum, short)| *sum += weight * i64::from(short));
        }
    }
}
