//! Attention in the reference: a cache of rows, scores, softmax, weighted sum.

use half::f16;
use lutsim_isa::WeightKind;
use lutsim_isa::exec::math::exp;

use super::linear::{dot, round_row};

/// Keys or values of one head: a row per token.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Rows {
    /// As the machine keeps them, in FP16 scales; 4 bits, 8 bits, or FP16 that becomes 8 bits.
    Codes { kind: WeightKind, codes: Vec<i16>, scales: Vec<f32> },
    /// Plain.
    Float { values: Vec<f32> },
}

impl Rows {
    pub(super) fn push(&mut self, row: &[f32]) {
        match self {
            Rows::Codes { kind, codes, scales } => {
                let half = |x: f32| f16::from_f32(x).to_f32();
                let rounded = match kind {
                    WeightKind::Kv4 => round_row(row, 7.0, half),
                    WeightKind::KvF16 => {
                        round_row(&row.iter().map(|&x| half(x)).collect::<Vec<_>>(), 127.0, half)
                    }
                    _ => round_row(row, 127.0, half),
                };
                codes.extend(rounded.codes);
                scales.push(rounded.scale);
            }
            Rows::Float { values } => values.extend_from_slice(row),
        }
    }
}

/// One query head against one head of the cache.
pub(super) fn attend(query: &[f32], keys: &Rows, values: &Rows, scale: f32, tile: usize) -> Vec<f32> {
    let dim = query.len();
    match (keys, values) {
        (Rows::Codes { codes: k, scales: ks, .. }, Rows::Codes { codes: v, scales: vs, .. }) => {
            let q = round_row(query, 127.0, |s| s);
            // q' = 2 code + 1 and z' = 1: the product is twice that of the codes.
            let score = |(key, s): (&[i16], &f32)| {
                let t = 2 * dot(key, &q.codes);
                (s * 0.5 * t as f32 + 0.0) * q.scale
            };
            let mut p: Vec<f32> = k.chunks_exact(dim).zip(ks).map(score).collect();
            softmax(&mut p, scale);
            weigh(&p, v, vs, dim, tile)
        }
        (Rows::Float { values: k }, Rows::Float { values: v }) => {
            let mut p: Vec<f32> =
                k.chunks_exact(dim).map(|k| k.iter().zip(query).map(|(k, q)| k * q).sum()).collect();
            softmax(&mut p, scale);
            let mut out = vec![0.0; dim];
            for (v, p) in v.chunks_exact(dim).zip(&p) {
                out.iter_mut().zip(v).for_each(|(o, v)| *o += p * v);
            }
            out
        }
        _ => unreachable!("keys and values are kept alike"),
    }
}

/// The sum of the values, weighted: tile by tile of tokens, the values' scales folded into the weights.
fn weigh(p: &[f32], values: &[i16], scales: &[f32], dim: usize, tile: usize) -> Vec<f32> {
    let mut out = vec![0.0f32; dim];
    for (i, (p, s)) in p.chunks(tile).zip(scales.chunks(tile)).enumerate() {
        let folded: Vec<f32> = p.iter().zip(s).map(|(p, s)| p * s).collect();
        let a = round_row(&folded, 127.0, |s| s);
        let mut sums = vec![0i64; dim];
        for (row, &a) in values[i * tile * dim..].chunks_exact(dim).zip(&a.codes) {
            sums.iter_mut().zip(row).for_each(|(t, &v)| *t += 2 * i64::from(v) * i64::from(a));
        }
        for (o, t) in out.iter_mut().zip(sums) {
            let term = 0.5 * t as f32 * a.scale;
            *o = if i == 0 { term } else { *o + term };
        }
    }
    out
}

fn softmax(x: &mut [f32], scale: f32) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = largest * scale;
    let mut sum = 0.0f64;
    for x in x.iter_mut() {
        *x = exp(*x * scale - shift);
        sum += f64::from(*x);
    }
    let inverse = 1.0 / sum as f32;
    x.iter_mut().for_each(|x| *x *= inverse);
}
