//! A matrix in the reference: integers as the machine multiplies them, or plain floats.

use half::f16;
use lutsim_isa::field::{AType, Entries};
use lutsim_isa::{Group, WeightKind};

use super::Machine;
use super::rounded::{LANES, Lanes, Tables};
use crate::blocks::{BlockTensor, Matrix};
use crate::quantize::QuantisedTensor;

/// A row of activations as the cores take it.
pub(super) enum Row {
    /// Codes in +-127 and their scale.
    Rounded(Vec<i16>, f32),
    /// Half precision.
    Half(Vec<f32>),
}

impl Row {
    pub(super) fn new(x: &[f32], activations: AType) -> Self {
        match activations {
            AType::Int8 => {
                let (codes, scale) = round_row(x, 127.0, |s| s);
                Row::Rounded(codes, scale)
            }
            AType::Fp16 => Row::Half(x.iter().map(|&x| half(x)).collect()),
        }
    }
}

/// Through FP16 and back.
pub(super) fn half(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}

/// Rounds a row to +-`limit`: scale = absolute maximum / limit, through `stored` (the precision it is kept in).
pub(super) fn round_row(x: &[f32], limit: f32, stored: impl Fn(f32) -> f32) -> (Vec<i16>, f32) {
    let largest = x.iter().fold(0.0f32, |m, x| if x.abs() > m { x.abs() } else { m });
    let scale = stored(largest / limit);
    let code = |x: f32| match x / scale {
        _ if scale == 0.0 => 0,
        q if q.is_nan() => 0,
        q => q.round_ties_even().clamp(-limit, limit) as i16,
    };
    (x.iter().map(|&x| code(x)).collect(), scale)
}

/// A matrix to multiply with.
pub(super) enum Linear {
    Machine(Odd),
    Float {
        k: usize,
        weights: Vec<f32>,
    },
    /// Weights that were dequantised and rounded to FP16.
    Halves {
        k: usize,
        weights: Vec<f32>,
    },
}

/// The machine's numbers: r = s' (q' - z') with q' odd (even for ternary).
pub(super) struct Odd {
    k: usize,
    /// Where each run of K that shares a scale begins, and the end.
    cuts: Vec<usize>,
    codes: Codes,
    /// Of each row, for each run.
    scales: Vec<f32>,
    zeros: Vec<i64>,
    /// What is added to each weight of a run; none if the type has no such.
    offsets: Vec<f32>,
}

enum Codes {
    /// q', for integers.
    Odd(Vec<i16>),
    /// The bit-planes, for floats: there the order of additions matters.
    Planes { kind: WeightKind, bits: Vec<u8>, table: usize },
    /// The bits of every plane and table of a run, run after run and row after row, for entries of 8 bits.
    Indices { of_row: usize, planes: &'static [i64], indices: Vec<u8>, tables: Tables },
}

impl Codes {
    /// Rows of planes as the machine's tables take them.
    fn of_planes(kind: WeightKind, bits: Vec<u8>, (k, cuts): (usize, &[usize]), machine: &Machine) -> Self {
        let table = machine.table as usize;
        if machine.entries == Entries::Exact {
            return Codes::Planes { kind, bits, table };
        }
        let tables = Tables { table, half: machine.activations == AType::Fp16 };
        let planes = plane_weights(kind);
        let mut indices = Vec::new();
        for row in bits.chunks_exact(k.max(1)) {
            for cut in cuts.windows(2) {
                (0..planes.len())
                    .for_each(|plane| indices.extend(tables.indices(&row[cut[0]..cut[1]], plane)));
            }
        }
        let of_row = indices.len() / (bits.len() / k.max(1)).max(1);
        Codes::Indices { of_row, planes, indices, tables }
    }
}

impl Linear {
    pub(super) fn float(t: &Matrix) -> Self {
        Linear::Float { k: t.shape().1 as usize, weights: t.dequantise() }
    }
    /// `k_block`: weights of K in one record, where partial sums begin a new term even if the scale goes on.
    pub(super) fn machine(matrix: &Matrix, k_block: u32, machine: &Machine) -> Self {
        match matrix {
            Matrix::Codes(_) | Matrix::Blocks(_) if machine.dequantises => {
                let weights = matrix.dequantise().into_iter().map(half).collect();
                Linear::Halves { k: matrix.shape().1 as usize, weights }
            }
            Matrix::Codes(t) => Self::codes(t, k_block, machine),
            Matrix::Blocks(t) => Self::blocks(t, machine),
            // The vector unit rounds nothing but the sum.
            Matrix::Floats(_) => Self::float(matrix),
        }
    }

    fn blocks(t: &BlockTensor, machine: &Machine) -> Self {
        let b = t.blocks();
        let cuts: Vec<usize> = (0..=t.k).step_by(b.group as usize).map(|k| k as usize).collect();
        let zero = t.kind.zero_odd(0);
        let (mut scales, mut zeros, mut offsets, mut odd, mut bits) =
            (vec![], vec![], vec![], vec![], vec![]);
        for n in 0..t.n {
            let row = t.unpack(n);
            odd.extend(row.levels.iter().map(|&level| 2 * level + zero as i16));
            bits.extend_from_slice(&row.planes);
            zeros.extend(row.scales.iter().map(|_| i64::from(zero)));
            scales.extend(row.scales.iter().map(|s| s * 0.5));
            offsets.extend(row.offsets.iter().filter(|_| b.offset));
        }
        let codes = match (machine.activations, machine.entries) {
            (AType::Int8, Entries::Exact) => Codes::Odd(odd),
            _ => Codes::of_planes(t.kind, bits, (t.k as usize, &cuts), machine),
        };
        Linear::Machine(Odd { k: t.k as usize, cuts, codes, scales, zeros, offsets })
    }

    fn codes(t: &QuantisedTensor, k_block: u32, machine: &Machine) -> Self {
        let kind = t.format.kind;
        let size = t.format.group.size(t.k).max(1);
        let run = if t.format.group == Group::Row { k_block.max(1) } else { size };
        let mut cuts: Vec<usize> = (0..t.k).step_by(run as usize).map(|k| k as usize).collect();
        cuts.push(t.k as usize);
        let (mut scales, mut zeros) = (vec![], vec![]);
        for n in 0..t.n as usize {
            for cut in &cuts[..cuts.len() - 1] {
                let group = n * t.groups() as usize + cut / size as usize;
                let factor = if kind == WeightKind::Int1 { 1.0 } else { 0.5 };
                scales.push(t.scales[group].to_f32() * factor);
                zeros.push(match kind {
                    WeightKind::Int1 | WeightKind::Int158 => 0,
                    WeightKind::Int2 => 2 * i64::from(t.zeros[group]) - 3,
                    WeightKind::Int3 => 2 * i64::from(t.zeros[group]) - 7,
                    WeightKind::Int4 => 2 * i64::from(t.zeros[group]) - 15,
                    _ => 1,
                });
            }
        }
        let codes = match (machine.activations, machine.entries) {
            (AType::Int8, Entries::Exact) => {
                Codes::Odd(t.codes.iter().map(|&code| odd(kind, code)).collect())
            }
            _ => {
                let bits = t.codes.iter().map(|&code| plane_bits(kind, code)).collect();
                Codes::of_planes(kind, bits, (t.k as usize, &cuts), machine)
            }
        };
        Linear::Machine(Odd { k: t.k as usize, cuts, codes, scales, zeros, offsets: vec![] })
    }

    /// y = W x, of every row x on its own.
    pub(super) fn apply(&self, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
        self.apply_times(x, &vec![1.0; x.len()])
    }
    /// The products times a factor for each row, which the machine multiplies into the activations' scale.
    pub(super) fn apply_times(&self, x: &[Vec<f32>], factors: &[f32]) -> Vec<Vec<f32>> {
        match self {
            Linear::Machine(w) => w.apply(x, factors),
            Linear::Halves { k, weights } => {
                let rows = x.iter().zip(factors);
                rows.map(|(x, factor)| half_row(x, *k, weights).iter().map(|y| y * factor).collect())
                    .collect()
            }
            Linear::Float { k, weights } => {
                let mut y: Vec<Vec<f32>> =
                    x.chunks(FLOATS).flat_map(|x| float_rows(x, *k, weights)).collect();
                y.iter_mut().zip(factors).for_each(|(y, factor)| y.iter_mut().for_each(|y| *y *= factor));
                y
            }
        }
    }
}

/// Rows that pass a matrix of floats together.
const FLOATS: usize = 8;

/// A row of activations in FP16 with each row of weights: products are exact, sums in single precision in the order of K.
fn half_row(x: &[f32], k: usize, weights: &[f32]) -> Vec<f32> {
    let x: Vec<f32> = x.iter().map(|&x| half(x)).collect();
    weights.chunks_exact(k.max(1)).map(|w| half_products(&x, w)).collect()
}

/// The sum of exact products, each addition rounded to single precision.
pub(super) fn half_products(a: &[f32], w: &[f32]) -> f32 {
    a.iter().zip(w).fold(0.0, |sum, (a, w)| sum + a * w)
}

/// Sums in double precision, in order, rounded once.
fn float_rows(x: &[Vec<f32>], k: usize, weights: &[f32]) -> Vec<Vec<f32>> {
    let mut lanes = vec![[0.0f64; FLOATS]; k];
    for (lane, x) in x.iter().enumerate() {
        lanes.iter_mut().zip(x).for_each(|(to, &x)| to[lane] = f64::from(x));
    }
    let mut out = vec![Vec::with_capacity(weights.len() / k.max(1)); x.len()];
    for w in weights.chunks_exact(k) {
        let mut sums = [0.0f64; FLOATS];
        for (&w, x) in w.iter().zip(&lanes) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(w) * x);
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| out.push(sum as f32));
    }
    out
}

/// A row of activations, and sums of its runs.
struct Prepared<T, S> {
    row: Vec<T>,
    sums: Vec<S>,
    scale: f32,
}

impl Odd {
    fn apply(&self, x: &[Vec<f32>], factors: &[f32]) -> Vec<Vec<f32>> {
        let x: Vec<(&Vec<f32>, f32)> = x.iter().zip(factors.iter().copied()).collect();
        let runs = || self.cuts.windows(2).map(|cut| cut[0]..cut[1]);
        let integers = |&(x, factor): &(&Vec<f32>, f32)| {
            let (row, scale) = round_row(x, 127.0, |s| s);
            let sums: Vec<i64> = runs().map(|run| row[run].iter().map(|&a| i64::from(a)).sum()).collect();
            Prepared { row, sums, scale: scale * factor }
        };
        let halves = |&(x, factor): &(&Vec<f32>, f32), table: usize| {
            let row: Vec<f32> = x.iter().map(|&x| half(x)).collect();
            let sums: Vec<f32> = runs().map(|run| half_sum(&row[run], table)).collect();
            Prepared { row, sums, scale: factor }
        };
        match &self.codes {
            Codes::Odd(odd) => {
                let rows: Vec<_> = x.iter().map(integers).collect();
                self.sum(odd, &rows, |p, g, odd, z| {
                    let a = &p.row[self.cuts[g]..self.cuts[g + 1]];
                    ((dot(odd, a) - z * p.sums[g]) as f32, p.sums[g] as f32)
                })
            }
            Codes::Planes { kind, bits, table } => {
                let rows: Vec<_> = x.iter().map(|x| halves(x, *table)).collect();
                self.sum(bits, &rows, |p, g, bits, z| {
                    let a = &p.row[self.cuts[g]..self.cuts[g + 1]];
                    (half_dot(*kind, bits, a, z as f32, *table), p.sums[g])
                })
            }
            Codes::Indices { of_row, planes, indices, tables } => {
                let prepared = |x: &(&Vec<f32>, f32)| match tables.half {
                    true => halves(x, tables.table),
                    false => {
                        let Prepared { row, sums, scale } = integers(x);
                        let sums = sums.iter().map(|&sum| sum as f32).collect();
                        Prepared { row: row.iter().map(|&a| f32::from(a)).collect(), sums, scale }
                    }
                };
                let each = |x: &[(&Vec<f32>, f32)]| {
                    let rows: Vec<Prepared<f32, f32>> = x.iter().map(prepared).collect();
                    let lanes = |run: std::ops::Range<usize>| {
                        Lanes::new(*tables, rows.iter().map(|p| &p.row[run.clone()]))
                    };
                    let lanes: Vec<Lanes> = runs().map(lanes).collect();
                    self.looked_up(
                        indices.chunks_exact((*of_row).max(1)),
                        planes,
                        &rows,
                        &lanes,
                        tables.table,
                    )
                };
                x.chunks(LANES).flat_map(each).collect()
            }
        }
    }

    /// For each row of activations the sum over the runs, in order, in single precision; `term` of (activations, run, its codes, its z')
    /// is that of the run and the sum of its activations.
    fn sum<T, A, S>(
        &self,
        codes: &[T],
        rows: &[Prepared<A, S>],
        term: impl Fn(&Prepared<A, S>, usize, &[T], i64) -> (f32, f32),
    ) -> Vec<Vec<f32>> {
        let runs = self.cuts.len() - 1;
        let mut out = vec![Vec::with_capacity(codes.len() / self.k.max(1)); rows.len()];
        for (n, codes) in codes.chunks_exact(self.k).enumerate() {
            for (out, p) in out.iter_mut().zip(rows) {
                let mut psum = 0.0f32;
                for (g, cut) in self.cuts.windows(2).enumerate() {
                    let i = n * runs + g;
                    let (term, sum) = term(p, g, &codes[cut[0]..cut[1]], self.zeros[i]);
                    psum = self.added(psum, i, term, sum);
                }
                out.push(psum * p.scale);
            }
        }
        out
    }

    /// The same of tables with rounded entries: `indices` of each row of weights, `lanes` of each run.
    fn looked_up<'a>(
        &self,
        indices: impl Iterator<Item = &'a [u8]>,
        planes: &[i64],
        rows: &[Prepared<f32, f32>],
        lanes: &[Lanes],
        table: usize,
    ) -> Vec<Vec<f32>> {
        let mut out = vec![Vec::new(); rows.len()];
        for (n, mut indices) in indices.enumerate() {
            let mut psums = [0.0f32; LANES];
            for (g, lanes) in lanes.iter().enumerate() {
                let i = n * (self.cuts.len() - 1) + g;
                let tables = (self.cuts[g + 1] - self.cuts[g]).div_ceil(table);
                let mut acc = [0i64; LANES];
                for &weight in planes {
                    let (plane, rest) = indices.split_at(tables);
                    lanes.add(plane, weight, &mut acc);
                    indices = rest;
                }
                for (lane, p) in rows.iter().enumerate() {
                    let term = lanes.scales[lane] * acc[lane] as f32 - self.zeros[i] as f32 * p.sums[g];
                    psums[lane] = self.added(psums[lane], i, term, p.sums[g]);
                }
            }
            for ((out, p), psum) in out.iter_mut().zip(rows).zip(psums) {
                out.push(psum * p.scale);
            }
        }
        out
    }

    /// A partial sum and a run's term, scaled; each rounded.
    fn added(&self, psum: f32, i: usize, term: f32, sum: f32) -> f32 {
        let psum = psum + self.scales[i] * term;
        match self.offsets.get(i) {
            Some(offset) => psum + offset * sum,
            None => psum,
        }
    }
}

/// q' of a code.
fn odd(kind: WeightKind, code: u8) -> i16 {
    match kind {
        WeightKind::Int1 => 2 * i16::from(code) - 1,
        WeightKind::Int158 => 2 * (i16::from(code) - 1),
        WeightKind::Int2 => 2 * i16::from(code) - 3,
        WeightKind::Int3 => 2 * i16::from(code) - 7,
        WeightKind::Int4 => 2 * i16::from(code) - 15,
        _ => 2 * (i16::from(code as i8) + 128) - 255,
    }
}

/// What each plane counts.
pub(super) fn plane_weights(kind: WeightKind) -> &'static [i64] {
    match kind {
        kind if kind.is_ternary() => &[1, 1],
        kind => &[1, 2, 4, 8, 16, 32, 64, 128][..kind.planes().len()],
    }
}

/// The planes of a code, one per bit.
pub(super) fn plane_bits(kind: WeightKind, code: u8) -> u8 {
    match kind {
        WeightKind::Int158 => [0b00, 0b01, 0b11][usize::from(code.min(2))],
        WeightKind::Int8 | WeightKind::Kv8 | WeightKind::KvF16 => code ^ 0x80,
        WeightKind::Kv4 => (code ^ 0x08) & 0x0f,
        _ => code,
    }
}

/// Exact; the parts are short enough for 32 bits (4096 x 255 x 127 < 2^31), and vectorise.
pub(super) fn dot(a: &[i16], b: &[i16]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(4096).zip(b.chunks(4096)) {
        let mut sum = 0i32;
        for (&a, &b) in a.iter().zip(b) {
            sum = sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b)));
        }
        total += i64::from(sum);
    }
    total
}

/// sum(q' a) - z' sum(a) of FP16 activations: signed sums of `table` activations are rounded to FP16 (the entries of a
/// table), and added in single precision, plane after plane of a table, table after table.
pub(super) fn half_dot(kind: WeightKind, bits: &[u8], a: &[f32], zero: f32, table: usize) -> f32 {
    let mut acc = 0.0f32;
    for (bits, a) in bits.chunks(table).zip(a.chunks(table)) {
        for (plane, &weight) in plane_weights(kind).iter().enumerate() {
            let signed = |(b, a): (&u8, &f32)| if b >> plane & 1 == 1 { *a } else { -a };
            let entry = bits.iter().zip(a).map(signed).reduce(|sum, a| sum + a).unwrap_or(0.0);
            acc += weight as f32 * half(entry);
        }
    }
    acc - zero * half_sum(a, table)
}

/// The sum of FP16 activations in single precision: of each table, then of the tables.
pub(super) fn half_sum(a: &[f32], table: usize) -> f32 {
    let of_table = |a: &[f32]| a.iter().copied().reduce(|sum, a| sum + a).unwrap_or(0.0);
    a.chunks(table).fold(0.0, |sum, a| sum + of_table(a))
}
