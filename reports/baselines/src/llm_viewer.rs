//! LLM-Viewer's accounting (hahnyuan/LLM-Viewer 472f71f, arXiv 2402.16363), to the last digit.
//!
//! Symbols: B batch, S length, T tokens of a sequence at a time (S in prefill, 1 in decode), H hidden, A query heads, K key and
//! value heads, D = H / A whole, F width of the MLP, V vocabulary; w, a, c bytes of a weight, activation, cached element.
//! Products of whole numbers are exact and become double precision when a width comes in, as they do in Python; the order of
//! the operations is part of the last digit. Where its formulas are not those of the operators: `difference`.

use crate::analysis::{Analysis, Bound, Bytes, Count, Memory, Operator, Stage, StageKind};
use crate::hardware::Limits;
use crate::shape::{Setting, Shape};

/// What is the same for all operators.
struct Tool<'a> {
    shape: &'a Shape,
    setting: &'a Setting,
    limits: &'a Limits,
    w: f64,
    a: f64,
    c: f64,
}

/// What LLM-Viewer says about `shape` on a machine of `limits`.
pub fn analyze(shape: &Shape, setting: &Setting, limits: &Limits) -> Analysis {
    let [w, a, c] = [setting.weight_bits, setting.activation_bits, setting.kv_bits].map(|bits| bits / 8.0);
    let tool = Tool { shape, setting, limits, w, a, c };
    let mut stages = StageKind::ALL.map(|kind| {
        let operators = tool.layer(kind);
        // Weights, cache and outputs are summed before the head comes.
        let memory = Memory { whole: 0.0, weight: 0.0, kv: 0.0, activations: outputs(&operators) };
        let mut layers = Stage::new(kind, operators, memory);
        layers.memory.weight = layers.bytes.weight;
        layers.memory.kv = layers.bytes.kv_write;
        layers
    });
    // Decode is said to hold what prefill has stored.
    let (weight, kv) = (stages[0].memory.weight, stages[0].memory.kv);
    for stage in &mut stages {
        let activations = stage.memory.activations;
        stage.memory = Memory { whole: activations + (weight + kv), weight, kv, activations };
    }
    let stages = stages.map(|stage| {
        let mut operators = stage.operators;
        operators.push(tool.head());
        Stage::new(stage.kind, operators, stage.memory)
    });
    Analysis { stages }
}

fn outputs(operators: &[Operator]) -> f64 {
    operators.iter().fold(0.0, |sum, o| sum + o.bytes.act_write)
}

impl Tool<'_> {
    fn operator(&self, name: &'static str, times: u32, ops: Count, bytes: Bytes) -> Operator {
        let (bandwidth, peak) = (self.limits.bandwidth, self.limits.peak);
        let intensity = ops.real() / bytes.total();
        let (performance, bound) = match intensity < peak / bandwidth {
            true => (intensity * bandwidth, Bound::Memory),
            false => (peak, Bound::Compute),
        };
        let seconds = ops.real() / performance;
        let matrix = matches!(name, "qk_matmul" | "sv_matmul" | "fused_attention") || bytes.weight > 0.0;
        Operator { name, times, matrix, ops, bytes, intensity, performance, peak, bound, seconds }
    }

    /// A linear operator: its key and value projections have a width in double precision.
    fn linear(&self, name: &'static str, from: u32, to: Width, tokens: u128) -> Operator {
        let batch = u128::from(self.setting.batch);
        let from = u128::from(from);
        // Exact, or in the tool's order: both widths, then batch, then tokens, then 2.
        let (ops, weights, outputs) = match to {
            Width::Whole(to) => {
                let (weights, outputs) = (from * u128::from(to), u128::from(to) * batch * tokens);
                (Count::Whole(weights * batch * tokens * 2), weights as f64, outputs as f64)
            }
            Width::Real(to) => {
                let weights = from as f64 * to;
                let ops = weights * batch as f64 * tokens as f64 * 2.0;
                (Count::Real(ops), weights, to * batch as f64 * tokens as f64)
            }
        };
        let cached = matches!(to, Width::Real(_));
        let bytes = Bytes {
            weight: weights * self.w,
            act_read: (from * batch * tokens) as f64 * self.a,
            act_write: if cached { 0.0 } else { outputs * self.a },
            kv_read: 0.0,
            kv_write: if cached { outputs * self.c } else { 0.0 },
        };
        self.operator(name, self.shape.layers, ops, bytes)
    }

    /// An operator of `ops` and `read` and `write` activations for each of `elements`.
    fn elementwise(&self, name: &'static str, elements: u128, ops: u128, read: f64) -> Operator {
        let one = elements as f64 * self.a;
        let bytes = Bytes { act_read: one * read, act_write: one, ..Bytes::default() };
        self.operator(name, self.shape.layers, Count::Whole(elements * ops), bytes)
    }

    fn layer(&self, kind: StageKind) -> Vec<Operator> {
        let s = self.shape;
        let (h, f) = (s.hidden, s.intermediate);
        let tokens = match kind {
            StageKind::Prefill => u128::from(self.setting.length),
            StageKind::Decode => 1,
        };
        let kv = Width::Real((u128::from(h) * u128::from(s.kv_heads)) as f64 / f64::from(s.heads));
        let mut all: Vec<Operator> = [
            ("q_proj", h, Width::Whole(h)),
            ("k_proj", h, kv),
            ("v_proj", h, kv),
            ("out_proj", h, Width::Whole(h)),
            ("gate_proj", h, Width::Whole(f)),
            ("up_proj", h, Width::Whole(f)),
            ("down_proj", f, Width::Whole(h)),
        ]
        .into_iter()
        .map(|(name, from, to)| self.linear(name, from, to, tokens))
        .collect();
        all.extend(self.attention(kind, tokens));
        let row = u128::from(self.setting.batch) * u128::from(h) * tokens;
        for (name, ops, read) in [
            ("attn_norm", 7, 1.0),
            ("mlp_norm", 7, 1.0),
            ("attn_add", 1, 1.0),
            ("mlp_add", 1, 1.0),
            ("mlp_act", 2, 2.0),
        ] {
            all.push(self.elementwise(name, row, ops, read));
        }
        all
    }

    fn attention(&self, kind: StageKind, tokens: u128) -> Vec<Operator> {
        let s = self.shape;
        let [batch, length, heads, kv_heads] =
            [self.setting.batch, self.setting.length, s.heads, s.kv_heads].map(u128::from);
        let dim = u128::from(s.hidden / s.heads);
        let scores = tokens * length * batch * heads;
        let (products, softmax) = (scores * dim * 2, scores * 5);
        let query = (tokens * dim * batch * heads) as f64 * self.a;
        if self.setting.flash {
            let rows = (self.limits.onchip / (self.c * dim as f64)).ceil().min(dim as f64);
            let blocks = (tokens as f64 / rows).ceil() as u128;
            let bytes = Bytes {
                act_read: query,
                act_write: scores as f64 * self.a * 2.0,
                kv_read: (blocks * length * dim * batch * heads) as f64 * self.c * 2.0,
                ..Bytes::default()
            };
            let ops = Count::Whole(2 * products + softmax);
            return vec![self.operator("fused_attention", s.layers, ops, bytes)];
        }
        let rows = scores as f64 * self.a;
        let cached = (length * dim * batch * kv_heads) as f64 * self.c;
        // Prefill takes the queries to be as many as the keys.
        let read = match kind {
            StageKind::Prefill => (tokens * dim * batch * kv_heads) as f64 * self.a,
            StageKind::Decode => query,
        };
        let qk = Bytes { act_read: read, act_write: rows, kv_read: cached, ..Bytes::default() };
        let sv = Bytes { act_read: rows, act_write: query, kv_read: cached, ..Bytes::default() };
        vec![
            self.operator("qk_matmul", s.layers, Count::Whole(products), qk),
            self.operator("sv_matmul", s.layers, Count::Whole(products), sv),
            self.elementwise("softmax", scores, 5, 1.0),
        ]
    }

    /// The head: once, an operation per weight, and one sequence's activations.
    fn head(&self) -> Operator {
        let (h, v) = (u128::from(self.shape.hidden), u128::from(self.shape.vocab));
        let bytes = Bytes {
            weight: (h * v) as f64 * self.w,
            act_read: h as f64 * self.a,
            act_write: v as f64 * self.a,
            ..Bytes::default()
        };
        self.operator("lm_head", 1, Count::Whole(u128::from(self.setting.batch) * h * v), bytes)
    }
}

/// The outputs of a linear operator.
#[derive(Clone, Copy)]
enum Width {
    Whole(u32),
    /// Hidden times key heads over query heads, in double precision.
    Real(f64),
}
