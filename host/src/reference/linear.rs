//! A matrix in the reference: integers as the machine multiplies them, or plain floats.

use lutsim_isa::{Group, WeightKind};

use crate::quantize::QuantisedTensor;

/// A row of activations rounded to +-127.
pub(super) struct Rounded {
    pub(super) codes: Vec<i16>,
    pub(super) scale: f32,
}

/// Rounds a row to +-`limit`: scale = absolute maximum / limit, through `stored` (the precision it is kept in).
pub(super) fn round_row(x: &[f32], limit: f32, stored: impl Fn(f32) -> f32) -> Rounded {
    let largest = x.iter().fold(0.0f32, |m, x| if x.abs() > m { x.abs() } else { m });
    let scale = stored(largest / limit);
    let code = |x: f32| match x / scale {
        _ if scale == 0.0 => 0,
        q if q.is_nan() => 0,
        q => q.round_ties_even().clamp(-limit, limit) as i16,
    };
    Rounded { codes: x.iter().map(|&x| code(x)).collect(), scale }
}

/// A matrix to multiply with.
pub(super) enum Linear {
    Machine(Odd),
    Float { k: usize, weights: Vec<f32> },
}

/// The machine's integers: r = s' (q' - z') with q' odd (even for ternary).
pub(super) struct Odd {
    k: usize,
    /// Where each run of K that shares a scale begins, and the end.
    cuts: Vec<usize>,
    odd: Vec<i16>,
    /// Of each row, for each run.
    scales: Vec<f32>,
    zeros: Vec<i64>,
}

impl Linear {
    pub(super) fn float(t: &QuantisedTensor) -> Self {
        Linear::Float { k: t.k as usize, weights: t.dequantise() }
    }

    /// `k_block`: weights of K in one record, where partial sums begin a new term even if the scale goes on.
    pub(super) fn machine(t: &QuantisedTensor, k_block: u32) -> Self {
        let kind = t.format.kind;
        let size = t.format.group.size(t.k).max(1);
        let mut cuts: Vec<usize> = (0..t.k).step_by(size as usize).map(|k| k as usize).collect();
        if t.format.group == Group::Row {
            cuts = (0..t.k).step_by(k_block.max(1) as usize).map(|k| k as usize).collect();
        }
        cuts.push(t.k as usize);
        let (mut scales, mut zeros) = (vec![], vec![]);
        for n in 0..t.n as usize {
            for cut in &cuts[..cuts.len() - 1] {
                let group = n * t.groups() as usize + cut / size as usize;
                let half = if kind == WeightKind::Int1 { 1.0 } else { 0.5 };
                scales.push(t.scales[group].to_f32() * half);
                zeros.push(match kind {
                    WeightKind::Int1 | WeightKind::Int158 => 0,
                    WeightKind::Int2 => 2 * i64::from(t.zeros[group]) - 3,
                    WeightKind::Int3 => 2 * i64::from(t.zeros[group]) - 7,
                    WeightKind::Int4 => 2 * i64::from(t.zeros[group]) - 15,
                    _ => 1,
                });
            }
        }
        let odd = |&code: &u8| match kind {
            WeightKind::Int1 => 2 * i16::from(code) - 1,
            WeightKind::Int158 => 2 * (i16::from(code) - 1),
            WeightKind::Int2 => 2 * i16::from(code) - 3,
            WeightKind::Int3 => 2 * i16::from(code) - 7,
            WeightKind::Int4 => 2 * i16::from(code) - 15,
            _ => 2 * (i16::from(code as i8) + 128) - 255,
        };
        Linear::Machine(Odd { k: t.k as usize, cuts, odd: t.codes.iter().map(odd).collect(), scales, zeros })
    }

    /// y = W x.
    pub(super) fn apply(&self, x: &[f32]) -> Vec<f32> {
        match self {
            Linear::Machine(w) => w.apply(&round_row(x, 127.0, |s| s)),
            Linear::Float { k, weights } => {
                let dot = |w: &[f32]| {
                    w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>() as f32
                };
                weights.chunks_exact(*k).map(dot).collect()
            }
        }
    }
}

impl Odd {
    fn apply(&self, x: &Rounded) -> Vec<f32> {
        let runs = self.cuts.len() - 1;
        let sums: Vec<i64> =
            self.cuts.windows(2).map(|c| x.codes[c[0]..c[1]].iter().map(|&a| i64::from(a)).sum()).collect();
        let row = |(n, odd): (usize, &[i16])| {
            let mut psum = 0.0f32;
            for (g, cut) in self.cuts.windows(2).enumerate() {
                let i = n * runs + g;
                let t = dot(&odd[cut[0]..cut[1]], &x.codes[cut[0]..cut[1]]) - self.zeros[i] * sums[g];
                psum += self.scales[i] * t as f32;
            }
            psum * x.scale
        };
        self.odd.chunks_exact(self.k).enumerate().map(row).collect()
    }
}

/// Exact; the parts are short enough for 32 bits (4096 x 255 x 127 < 2^31), and vectorise.
pub(super) fn dot(a: &[i16], b: &[i16]) -> i64 {
    let part = |(a, b): (&[i16], &[i16])| {
        let product = |(&a, &b): (&i16, &i16)| i32::from(a).wrapping_mul(i32::from(b));
        i64::from(a.iter().zip(b).map(product).fold(0i32, i32::wrapping_add))
    };
    a.chunks(4096).zip(b.chunks(4096)).map(part).sum()
}
