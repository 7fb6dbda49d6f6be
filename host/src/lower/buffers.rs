//! Where everything lies in scratchpad.
//!
//! ```text
//! 0  X | XQ scales | positions | parameters |  attention:  T0 (XN)  T1  TQ  scores  P       | weight ring: slots ...
//!                                           |  MLP:        XN, then gate up H             |
//!                                           |  head:       XN, then logits result         |
//! ```
//! Attention, MLP and head share their region: each begins after everything of the one before is done.

use super::Phase;
use crate::layout::vectors;
use crate::mapping::{Hidden, Mapping};
use crate::model::{Model, Positions};
use crate::target::Target;
use crate::workload::{KV_TILE, Workload};

/// Addresses in scratchpad, bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Buffers {
    /// Residual stream, FP32.
    pub(crate) x: u64,
    /// Activations of the next product, INT8 or FP16.
    pub(crate) xq: u64,
    /// Its operand: their tables, or themselves.
    pub(crate) xt: u64,
    /// Its scales, FP32.
    pub(crate) xs: u64,
    /// Rope rows, or each head's ALiBi slope (in decode for each sequence), FP32.
    pub(crate) positions: u64,
    /// Slots for norms and biases.
    pub(crate) param: u64,
    pub(crate) param_slot: u64,
    pub(crate) param_slots: u64,
    /// Normalised rows, FP32.
    pub(crate) xn: u64,
    /// Keys, FP32.
    pub(crate) t0: u64,
    /// Queries, FP32: T1 in prefill.
    pub(crate) tq: u64,
    /// Values, then attention's result, FP32; embedding rows at the start.
    pub(crate) t1: u64,
    /// Codes of the new keys and values, rows `code_row` apart. They take the place of what they were made of; in prefill, where the
    /// queries take that of the values, both take that of the keys.
    pub(crate) kc: u64,
    pub(crate) vc: u64,
    pub(crate) code_row: u64,
    /// FP16 scales of the new keys and values.
    pub(crate) ks: u64,
    pub(crate) vs: u64,
    /// Scores: two buffers of rows `score_stride` apart, at their end the scales of the values that they weigh.
    pub(crate) score: u64,
    pub(crate) score_stride: u64,
    pub(crate) fold: u64,
    pub(crate) score_bytes: u64,
    /// Probabilities of a KV tile, folded and quantised, with scales, and tables if that is the operand: two buffers.
    pub(crate) p: u64,
    pub(crate) p_scale: u64,
    pub(crate) p_operand: u64,
    pub(crate) p_bytes: u64,
    /// Gate and up tiles, FP32: two buffers each. Without a gate, up's are where the gate's would be.
    pub(crate) gate: u64,
    pub(crate) up: u64,
    pub(crate) gate_bytes: u64,
    /// Hidden activations, FP32 or FP16, then quantised in place, and their scales; tables of them, if that is the operand.
    pub(crate) h: u64,
    pub(crate) hs: u64,
    pub(crate) ht: u64,
    /// What the down projection gives, FP32, if a norm comes behind it.
    pub(crate) y: u64,
    /// The router's result, then the rows' weights of each expert, FP32.
    pub(crate) route: u64,
    /// Logit tiles, FP32: two buffers.
    pub(crate) logit: u64,
    pub(crate) logit_bytes: u64,
    /// Arg-max rows.
    pub(crate) result: u64,
    /// Where the weight ring begins.
    pub(crate) end: u64,
}

struct Cursor(u64);
impl Cursor {
    fn take(&mut self, bytes: u64) -> u64 {
        let at = self.0;
        self.0 = (at + bytes).next_multiple_of(64);
        at
    }
}

impl Buffers {
    pub(crate) fn new(
        model: &Model,
        workload: &Workload,
        target: &Target,
        mapping: &Mapping,
        phase: Phase,
    ) -> Buffers {
        let rows = u64::from(phase.rows);
        let plain = workload.activation_elem();
        let a = u64::from(plain.bytes());
        let (operand, attention) = (target.operand(plain), target.attention_operand(plain));
        let [d, f, q, kv] =
            [model.hidden, model.intermediate, model.q_width(), model.kv_width()].map(u64::from);
        let n_tile = u64::from(mapping.n_tile);
        let mut b = Buffers::default();
        let mut c = Cursor(0);
        b.x = c.take(rows * d * 4);
        b.xq = c.take(rows * d.max(q) * a);
        b.xt = b.xq;
        if operand.is_table() {
            // A head's tables are its own.
            let heads = u64::from(model.heads) * operand.row_bytes(model.head_dim);
            let widest = operand.row_bytes(model.hidden.max(model.heads * model.head_dim));
            b.xt = c.take(rows * widest.max(heads));
        }
        b.xs = c.take(rows * u64::from(model.heads) * 4);
        b.positions = c.take(match &model.positions {
            Positions::Rotary(rope) => rows * u64::from(rope.dims) * 4,
            // Added to the embedding at once, from T0.
            Positions::Learned(_) => 0,
            Positions::Alibi => phase.slope_rows() * u64::from(model.heads) * 4,
        });
        let params = vectors(model);
        // The attention norm is as wide as those outside the layers.
        let widest = params.iter().map(|p| p.1).max().unwrap_or(0);
        b.param_slot = (2 * u64::from(widest)).next_multiple_of(64);
        b.param_slots = params.len() as u64 + 1;
        b.param = c.take(b.param_slot * b.param_slots);
        // Products with floats take the normalised rows themselves, which then lie apart from what these give.
        let floats = workload.any_floats(model);
        let apart = if floats { c.take(rows * d * 4) } else { 0 };
        let shared = c.0;

        b.xn = if floats { apart } else { shared };
        b.t0 = c.take(rows * q.max(kv).max(d) * 4);
        b.t1 = c.take(rows * q.max(kv).max(d) * 4);
        b.code_row = 4 * u64::from(model.head_dim);
        (b.kc, b.vc) = (b.t0, b.t1);
        if phase.decode {
            b.tq = c.take(rows * q * 4);
        } else {
            // Codes of up to 16 bits: half of the row each.
            (b.tq, b.vc) = (b.t1, b.t0 + b.code_row / 2);
        }
        let scale = rows * u64::from(model.kv_heads) * 2;
        b.ks = c.take(scale);
        b.vs = c.take(scale);
        let queries = u64::from(phase.query_rows(mapping));
        b.score_stride = (phase.most_tokens(workload) * 4).next_multiple_of(64);
        b.fold = queries * b.score_stride;
        b.score_bytes = b.fold + (phase.most_tokens(workload) * 2).next_multiple_of(64);
        b.score = c.take(2 * b.score_bytes);
        b.p_scale = (queries * u64::from(KV_TILE) * a).next_multiple_of(64);
        let scaled = b.p_scale + queries * 4;
        (b.p_operand, b.p_bytes) = (0, scaled.next_multiple_of(64));
        if attention.is_table() {
            b.p_operand = b.p_bytes;
            b.p_bytes += (queries * attention.row_bytes(KV_TILE)).next_multiple_of(64);
        }
        b.p = c.take(2 * b.p_bytes);
        let attention = c.0;

        // The normalised rows are dead when the first gate tile is written.
        c.0 = shared;
        b.gate_bytes = (rows * n_tile.min(f) * 4).next_multiple_of(64);
        b.gate = c.take(2 * b.gate_bytes);
        b.up = c.take(if model.gated_mlp { 2 * b.gate_bytes } else { 0 });
        b.h = c.take(rows * f * if mapping.hidden == Hidden::F16 { 2 } else { 4 });
        b.hs = c.take(rows * 4);
        b.ht = b.h;
        if operand.is_table() {
            b.ht = c.take(rows * operand.row_bytes(model.intermediate));
        }
        b.y = c.take(if model.post_norms || floats { rows * d * 4 } else { 0 });
        b.route = c.take(model.experts.map_or(0, |experts| rows * u64::from(experts.count) * 4));
        let mlp = c.0;

        c.0 = shared;
        let outputs = u64::from(phase.head_rows());
        b.logit_bytes = (outputs * n_tile * 4).next_multiple_of(64);
        b.logit = c.take(2 * b.logit_bytes);
        b.result = c.take(outputs * 8);
        b.end = attention.max(mlp).max(c.0);
        b
    }
}
