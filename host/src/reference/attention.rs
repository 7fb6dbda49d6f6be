//! Attention in the reference: a cache of rows, scores, softmax, weighted sum.

use lutsim_isa::WeightKind;
use lutsim_isa::exec::math::{exp, tanh};

use lutsim_isa::field::{AType, Entries};

use super::linear::{
    Row, dot, half, half_dot, half_products, half_sum, plane_bits, plane_weights, round_row,
};
use super::rounded::Tables;
use super::{Machine, Numerics};

/// Keys or values of one head: a row per token.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Rows {
    /// As the machine keeps them: codes in an FP16 scale per token.
    codes: Vec<i16>,
    scales: Vec<f32>,
    /// Or plain.
    values: Vec<f32>,
}

impl Rows {
    /// Rows that were never written.
    pub(super) fn zero(tokens: usize, dim: usize) -> Self {
        Self { codes: vec![0; tokens * dim], scales: vec![0.0; tokens], values: vec![0.0; tokens * dim] }
    }

    /// Rows that are there, `dim` wide.
    pub(super) fn tokens(&self, dim: usize) -> usize {
        self.scales.len().max(self.values.len() / dim.max(1))
    }

    pub(super) fn push(&mut self, row: &[f32], numerics: &Numerics) {
        let Numerics::Machine(machine) = numerics else {
            self.values.extend_from_slice(row);
            return;
        };
        let (codes, scale) = match machine.kv {
            WeightKind::Kv4 => round_row(row, 7.0, half),
            // Kept as FP16, and rounded to 8 bits on the way to the cores.
            WeightKind::KvF16 => round_row(&row.iter().map(|&x| half(x)).collect::<Vec<_>>(), 127.0, half),
            _ => round_row(row, 127.0, half),
        };
        self.codes.extend(codes);
        self.scales.push(scale);
    }
}

/// What becomes of scores.
#[derive(Clone, Copy)]
pub(super) struct Scores {
    /// They are multiplied by this;
    pub(super) scale: f32,
    /// kept within this, x to cap * tanh(x / cap);
    pub(super) cap: Option<f32>,
    /// this times the key's position is added;
    pub(super) slope: Option<f32>,
    /// only so many last ones are seen.
    pub(super) window: Option<u32>,
}

impl Scores {
    pub(super) fn scaled(scale: f32) -> Self {
        Self { scale, cap: None, slope: None, window: None }
    }
}

/// One query head against the first `seen` rows of one head of the cache.
pub(super) fn attend(
    query: &[f32],
    [keys, values]: [&Rows; 2],
    seen: usize,
    of: &Scores,
    numerics: &Numerics,
) -> Vec<f32> {
    let dim = query.len();
    match numerics {
        Numerics::Machine(machine) => {
            let mut p = scores(query, keys, seen, machine);
            softmax(&mut p, of);
            weigh(&p, values, dim, machine)
        }
        Numerics::Float => {
            let score = |k: &[f32]| k.iter().zip(query).map(|(k, q)| k * q).sum();
            let mut p: Vec<f32> = keys.values.chunks_exact(dim).take(seen).map(score).collect();
            softmax(&mut p, of);
            let mut out = vec![0.0; dim];
            for (v, p) in values.values.chunks_exact(dim).zip(&p) {
                out.iter_mut().zip(v).for_each(|(o, v)| *o += p * v);
            }
            out
        }
    }
}

/// A cache's code as bit-planes.
fn bits(kind: WeightKind, codes: impl Iterator<Item = i16>) -> Vec<u8> {
    codes.map(|code| plane_bits(kind, code as i8 as u8)).collect()
}

/// The query with every key.
fn scores(query: &[f32], keys: &Rows, seen: usize, machine: &Machine) -> Vec<f32> {
    let keys = keys.codes.chunks_exact(query.len()).zip(&keys.scales).take(seen);
    let row = Row::new(query, machine.activations);
    if let Some(rounded) = Looked::new(&row, machine) {
        let planes = |key: &[i16]| bits(machine.kv, key.iter().copied());
        let term = |(key, s): (&[i16], &f32)| 0.0 + s * 0.5 * rounded.terms(&planes(key), 1)[0];
        return keys.map(|key| term(key) * rounded.scale).collect();
    }
    match row {
        // q' = 2 code + 1 and z' = 1: the integer is twice the product of the codes.
        Row::Rounded(q, scale) => {
            keys.map(|(key, s)| (0.0 + s * 0.5 * (2 * dot(key, &q)) as f32) * scale).collect()
        }
        Row::Half(q) if machine.dequantises => {
            let weights = |(key, s): (&[i16], &f32)| {
                key.iter().map(|&code| half(s * f32::from(code))).collect::<Vec<f32>>()
            };
            keys.map(|key| half_products(&q, &weights(key))).collect()
        }
        Row::Half(q) => {
            let term = |key: &[i16]| {
                let bits = bits(machine.kv, key.iter().copied());
                half_dot(machine.kv, &bits, &q, 1.0, machine.attention_table as usize)
            };
            keys.map(|(key, s)| 0.0 + s * 0.5 * term(key)).collect()
        }
    }
}

/// Activations as tables with entries of 8 bits.
struct Looked {
    tables: Tables,
    planes: &'static [i64],
    entries: Vec<i16>,
    /// Of the entries.
    step: f32,
    /// Of the activations.
    sum: f32,
    scale: f32,
}

impl Looked {
    /// None if the machine keeps entries exact, or has no tables in attention.
    fn new(row: &Row, machine: &Machine) -> Option<Self> {
        let table = machine.attention_table as usize;
        if machine.entries == Entries::Exact || table == 1 {
            return None;
        }
        let tables = Tables { table, half: machine.activations == AType::Fp16 };
        let integers = |codes: &[i16]| codes.iter().map(|&a| i64::from(a)).sum::<i64>() as f32;
        let (a, sum, scale) = match row {
            Row::Rounded(codes, scale) => {
                (codes.iter().map(|&a| f32::from(a)).collect(), integers(codes), *scale)
            }
            Row::Half(a) => (a.clone(), half_sum(a, table), 1.0),
        };
        let (entries, step) = tables.of(&a);
        Some(Self { tables, planes: plane_weights(machine.kv), entries, step, sum, scale })
    }
    /// With the planes of a row of weights for each activation, as many terms as the rows have columns.
    fn terms(&self, planes: &[u8], columns: usize) -> Vec<f32> {
        let sums = self.tables.columns(&self.entries, planes, columns, self.planes);
        sums.into_iter().map(|sum| self.step * sum as f32 - self.sum).collect()
    }
}

/// The sum of the values, weighted: tile by tile of tokens, the values' scales folded into the weights.
fn weigh(p: &[f32], values: &Rows, dim: usize, machine: &Machine) -> Vec<f32> {
    let tile = machine.kv_tile as usize;
    let mut out = vec![0.0f32; dim];
    for (i, (p, s)) in p.chunks(tile).zip(values.scales.chunks(tile)).enumerate() {
        let folded: Vec<f32> = p.iter().zip(s).map(|(p, s)| p * s).collect();
        let values = &values.codes[i * tile * dim..][..p.len() * dim];
        let row = Row::new(&folded, machine.activations);
        let column = |d: usize| bits(machine.kv, values.iter().skip(d).step_by(dim).copied());
        let looked = Looked::new(&row, machine);
        let terms: Vec<f32> = match (row, looked) {
            (_, Some(looked)) => {
                let planes = bits(machine.kv, values.iter().copied());
                looked.terms(&planes, dim).into_iter().map(|t| (0.0 + 0.5 * t) * looked.scale).collect()
            }
            (Row::Rounded(a, scale), None) => {
                // Exact: a tile has at most 128 tokens (65536 would fit).
                let mut sums = vec![0i32; dim];
                for (row, &a) in values.chunks_exact(dim).zip(&a) {
                    let product = |v: i16| i32::from(v).wrapping_mul(i32::from(a));
                    sums.iter_mut().zip(row).for_each(|(t, &v)| *t = t.wrapping_add(product(v)));
                }
                sums.into_iter().map(|t| (0.0 + 0.5 * (2 * i64::from(t)) as f32) * scale).collect()
            }
            // Codes of eight bits are halves.
            (Row::Half(a), None) if machine.dequantises => {
                let column = |d: usize| {
                    values.iter().skip(d).step_by(dim).map(|&v| f32::from(v)).collect::<Vec<f32>>()
                };
                (0..dim).map(|d| half_products(&a, &column(d))).collect()
            }
            (Row::Half(a), None) => {
                let term = |d| half_dot(machine.kv, &column(d), &a, 1.0, machine.attention_table as usize);
                (0..dim).map(|d| 0.0 + 0.5 * term(d)).collect()
            }
        };
        out.iter_mut().zip(terms).for_each(|(o, t)| *o = if i == 0 { t } else { *o + t });
    }
    out
}

fn softmax(x: &mut [f32], of: &Scores) {
    for (position, x) in x.iter_mut().enumerate() {
        *x = match of.cap {
            Some(cap) => cap * tanh(*x * (of.scale / cap)),
            None => *x * of.scale,
        };
        if let Some(slope) = of.slope {
            *x += slope * position as f32;
        }
    }
    let unseen = of.window.map_or(0, |window| x.len().saturating_sub(window as usize));
    let (unseen, x) = x.split_at_mut(unseen);
    unseen.fill(0.0);
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for x in x.iter_mut() {
        *x = exp(*x - largest);
        sum += f64::from(*x);
    }
    let inverse = 1.0 / sum as f32;
    x.iter_mut().for_each(|x| *x *= inverse);
}
