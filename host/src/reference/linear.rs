//! A matrix in the reference: integers as the machine multiplies them, or plain floats.

use half::f16;
use lutsim_isa::field::AType;
use lutsim_isa::{Group, WeightKind};

use super::Machine;
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
    Float { k: usize, weights: Vec<f32> },
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
}

impl Linear {
    pub(super) fn float(t: &Matrix) -> Self {
        Linear::Float { k: t.shape().1 as usize, weights: t.dequantise() }
    }
    /// `k_block`: weights of K in one record, where partial sums begin a new term even if the scale goes on.
    pub(super) fn machine(t: &Matrix, k_block: u32, machine: &Machine) -> Self {
        match t {
            Matrix::Codes(t) => Self::codes(t, k_block, machine),
            Matrix::Blocks(t) => Self::blocks(t, machine),
        }
    }

    fn blocks(t: &BlockTensor, machine: &Machine) -> Self {
        let b = t.blocks();
        let cuts = (0..=t.k).step_by(b.group as usize).map(|k| k as usize).collect();
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
        let codes = match machine.activations {
            AType::Int8 => Codes::Odd(odd),
            AType::Fp16 => Codes::Planes { kind: t.kind, bits, table: machine.table as usize },
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
        let codes = match machine.activations {
            AType::Int8 => Codes::Odd(t.codes.iter().map(|&code| odd(kind, code)).collect()),
            AType::Fp16 => {
                let bits = t.codes.iter().map(|&code| plane_bits(kind, code)).collect();
                Codes::Planes { kind, bits, table: machine.table as usize }
            }
        };
        Linear::Machine(Odd { k: t.k as usize, cuts, codes, scales, zeros, offsets: vec![] })
    }

    /// y = W x.
    pub(super) fn apply(&self, x: &[f32]) -> Vec<f32> {
        self.apply_times(x, 1.0)
    }
    /// The product times a factor, which the machine multiplies into the activations' scale.
    pub(super) fn apply_times(&self, x: &[f32], factor: f32) -> Vec<f32> {
        match self {
            Linear::Machine(w) => match &w.codes {
                Codes::Odd(odd) => {
                    let (x, scale) = round_row(x, 127.0, |s| s);
                    let sum = |c: &[usize]| x[c[0]..c[1]].iter().map(|&a| i64::from(a)).sum();
                    let sums: Vec<i64> = w.cuts.windows(2).map(sum).collect();
                    let term = |g: usize, odd: &[i16], z: i64| {
                        (dot(odd, &x[w.cuts[g]..w.cuts[g + 1]]) - z * sums[g]) as f32
                    };
                    w.sum(odd, scale * factor, term, |g| sums[g] as f32)
                }
                Codes::Planes { kind, bits, table } => {
                    let x: Vec<f32> = x.iter().map(|&x| half(x)).collect();
                    let run = |g: usize| &x[w.cuts[g]..w.cuts[g + 1]];
                    let term = |g, bits: &[u8], z| half_dot(*kind, bits, run(g), z as f32, *table);
                    w.sum(bits, factor, term, |g| half_sum(run(g), *table))
                }
            },
            Linear::Float { k, weights } => {
                let dot =
                    |w: &[f32]| w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();
                weights.chunks_exact(*k).map(|w| dot(w) as f32 * factor).collect()
            }
        }
    }
}

impl Odd {
    /// The sum over the runs, in order, in single precision; `term` of (run, its codes, its z'), `activations` summed.
    fn sum<T>(
        &self,
        codes: &[T],
        scale: f32,
        term: impl Fn(usize, &[T], i64) -> f32,
        activations: impl Fn(usize) -> f32,
    ) -> Vec<f32> {
        let runs = self.cuts.len() - 1;
        let row = |(n, codes): (usize, &[T])| {
            let mut psum = 0.0f32;
            for (g, cut) in self.cuts.windows(2).enumerate() {
                let i = n * runs + g;
                psum += self.scales[i] * term(g, &codes[cut[0]..cut[1]], self.zeros[i]);
                if let Some(offset) = self.offsets.get(i) {
                    psum += offset * activations(g);
                }
            }
            psum * scale
        };
        codes.chunks_exact(self.k).enumerate().map(row).collect()
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
        let planes: &[f32] = match kind {
            kind if kind.is_ternary() => &[1.0, 1.0],
            kind => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0][..kind.planes().len()],
        };
        for (plane, weight) in planes.iter().enumerate() {
            let signed = |(b, a): (&u8, &f32)| if b >> plane & 1 == 1 { *a } else { -a };
            let entry = bits.iter().zip(a).map(signed).reduce(|sum, a| sum + a).unwrap_or(0.0);
            acc += weight * half(entry);
        }
    }
    acc - zero * half_sum(a, table)
}

/// The sum of FP16 activations in single precision: of each table, then of the tables.
fn half_sum(a: &[f32], table: usize) -> f32 {
    let of_table = |a: &[f32]| a.iter().copied().reduce(|sum, a| sum + a).unwrap_or(0.0);
    a.chunks(table).fold(0.0, |sum, a| sum + of_table(a))
}
