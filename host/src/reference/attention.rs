//! Attention in the reference: a cache of rows, scores, softmax, weighted sum.

use lutsim_isa::WeightKind;
use lutsim_isa::exec::math::{exp, tanh};

use super::linear::{Row, dot, half, half_dot, plane_bits, round_row};
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

/// One query head against one head of the cache.
pub(super) fn attend(
    query: &[f32],
    keys: &Rows,
    values: &Rows,
    of: &Scores,
    numerics: &Numerics,
) -> Vec<f32> {
    let dim = query.len();
    match numerics {
        Numerics::Machine(machine) => {
            let mut p = scores(query, keys, machine);
            softmax(&mut p, of);
            weigh(&p, values, dim, machine)
        }
        Numerics::Float => {
            let score = |k: &[f32]| k.iter().zip(query).map(|(k, q)| k * q).sum();
            let mut p: Vec<f32> = keys.values.chunks_exact(dim).map(score).collect();
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
fn scores(query: &[f32], keys: &Rows, machine: &Machine) -> Vec<f32> {
    let keys = keys.codes.chunks_exact(query.len()).zip(&keys.scales);
    match Row::new(query, machine.activations) {
        // q' = 2 code + 1 and z' = 1: the integer is twice the product of the codes.
        Row::Rounded(q, scale) => {
            keys.map(|(key, s)| (0.0 + s * 0.5 * (2 * dot(key, &q)) as f32) * scale).collect()
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

/// The sum of the values, weighted: tile by tile of tokens, the values' scales folded into the weights.
fn weigh(p: &[f32], values: &Rows, dim: usize, machine: &Machine) -> Vec<f32> {
    let tile = machine.kv_tile as usize;
    let mut out = vec![0.0f32; dim];
    for (i, (p, s)) in p.chunks(tile).zip(values.scales.chunks(tile)).enumerate() {
        let folded: Vec<f32> = p.iter().zip(s).map(|(p, s)| p * s).collect();
        let values = &values.codes[i * tile * dim..][..p.len() * dim];
        let terms: Vec<f32> = match Row::new(&folded, machine.activations) {
            Row::Rounded(a, scale) => {
                // Exact: a tile has at most 128 tokens (65536 would fit).
                let mut sums = vec![0i32; dim];
                for (row, &a) in values.chunks_exact(dim).zip(&a) {
                    let product = |v: i16| i32::from(v).wrapping_mul(i32::from(a));
                    sums.iter_mut().zip(row).for_each(|(t, &v)| *t = t.wrapping_add(product(v)));
                }
                sums.into_iter().map(|t| (0.0 + 0.5 * (2 * i64::from(t)) as f32) * scale).collect()
            }
            Row::Half(a) => {
                let column = |d: usize| bits(machine.kv, values.iter().skip(d).step_by(dim).copied());
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
