//! What the operators are: every operand crosses DRAM once per operator, and the operations are those of the operator.
//!
//! Prefill is causal: token i meets i keys, S (S + 1) / 2 pairs in all. Scores, queries and every other intermediate go to DRAM
//! and come back, as in LLM-Viewer, so that the two can be compared; with `flash` scores stay on the chip. Embedding rows, norm
//! weights and biases have 16 bits. Of experts those are read that a step's tokens take, as many different ones as are to be
//! expected ([`Experts::read_by`](crate::Experts::read_by)); layers with a window shorter than the sequence have operators of their
//! own, `_window`, that see min(i, W) keys of token i. The time of an operator is the longer of its operations at the peak of the fastest type
//! that holds both operands (of FP32 where no matrices are multiplied) and its bytes at the DRAM's bandwidth; operators follow
//! one another.

use crate::analysis::{Analysis, Bound, Bytes, Count, Memory, Operator, Stage, StageKind};
use crate::hardware::Hardware;
use crate::shape::{Experts, Setting, Shape};

/// Bytes of an embedding's, a norm's or a bias's element.
const FP16: f64 = 2.0;

struct Physical<'a> {
    shape: &'a Shape,
    setting: &'a Setting,
    hardware: &'a Hardware,
    /// Bytes of an activation.
    a: f64,
    /// Bytes of a cached element, scales included.
    c: f64,
}

/// What kind of units an operator takes.
#[derive(Clone, Copy)]
enum Units {
    /// Matrix units, for operands of so many bits.
    Matrix(f64),
    Vector,
}

/// What `shape` takes on `hardware`.
pub fn analyze(shape: &Shape, setting: &Setting, hardware: &Hardware) -> Analysis {
    let (a, c) = (setting.activation_bits / 8.0, setting.stored.kv / 8.0);
    let physical = Physical { shape, setting, hardware, a, c };
    Analysis { stages: StageKind::ALL.map(|kind| physical.stage(kind)) }
}

/// Query and key pairs of a head: what a causal mask leaves, of layers that look back on `seen` tokens.
fn pairs(kind: StageKind, length: u32, seen: u32) -> u128 {
    let [s, w] = [length, seen].map(u128::from);
    match kind {
        StageKind::Prefill => w * (w + 1) / 2 + (s - w) * w,
        StageKind::Decode => w,
    }
}

/// Layers whose attention is alike.
#[derive(Clone, Copy)]
struct Span {
    /// How many there are.
    layers: u32,
    /// Tokens that they look back on; none where that is all.
    window: Option<u32>,
}

impl Physical<'_> {
    fn tokens(&self, kind: StageKind) -> u128 {
        match kind {
            StageKind::Prefill => u128::from(self.setting.length),
            StageKind::Decode => 1,
        }
    }

    fn operator(&self, name: &'static str, times: u32, units: Units, ops: u128, bytes: Bytes) -> Operator {
        let (_, peak) = match units {
            Units::Matrix(bits) => self.hardware.matrix_peak(bits),
            Units::Vector => self.hardware.vector_peak(),
        };
        let access = bytes.total();
        let (compute, memory) = (ops as f64 / peak, access / self.hardware.bandwidth.value);
        let (seconds, bound) = match compute >= memory {
            true => (compute, Bound::Compute),
            false => (memory, Bound::Memory),
        };
        Operator {
            name,
            times,
            matrix: matches!(units, Units::Matrix(_)),
            ops: Count::Whole(ops),
            bytes,
            intensity: ops as f64 / access,
            performance: ops as f64 / seconds,
            peak,
            bound,
            seconds,
        }
    }

    fn linear(
        &self,
        (name, from, to, bits, bias): (&'static str, u32, u32, f64, bool),
        kind: StageKind,
    ) -> Operator {
        let rows = u128::from(self.setting.batch) * self.tokens(kind);
        let (from, to) = (u128::from(from), u128::from(to));
        let added = if bias { rows * to } else { 0 };
        let outputs = (rows * to) as f64;
        // A rotated key is cached by `rope`.
        let cached = name == "v_proj" || name == "k_proj" && self.shape.rotated == 0;
        let bytes = Bytes {
            weight: (from * to) as f64 * (bits / 8.0) + if bias { to as f64 * FP16 } else { 0.0 },
            act_read: (rows * from) as f64 * self.a,
            act_write: if cached { 0.0 } else { outputs * self.a },
            kv_read: 0.0,
            kv_write: if cached { outputs * self.c } else { 0.0 },
        };
        let units = Units::Matrix(self.setting.weight_bits.max(self.setting.activation_bits));
        self.operator(name, self.shape.layers, units, 2 * rows * from * to + added, bytes)
    }

    fn vector(&self, name: &'static str, times: u32, elements: u128, ops: u128, read: f64) -> Operator {
        let one = elements as f64 * self.a;
        let bytes = Bytes { act_read: one * read, act_write: one, ..Bytes::default() };
        self.operator(name, times, Units::Vector, elements * ops, bytes)
    }

    fn norm(&self, name: &'static str, times: u32, rows: u128, width: u32) -> Operator {
        // Square, add, times 1/root, times weight; one that centres adds, subtracts and adds its bias too.
        let (ops, vectors) = if self.shape.centred_norms { (7, 2.0) } else { (4, 1.0) };
        let mut norm = self.vector(name, times, rows * u128::from(width), ops, 1.0);
        norm.bytes.weight = vectors * f64::from(width) * FP16;
        self.operator(name, times, Units::Vector, rows * u128::from(width) * ops, norm.bytes)
    }

    fn layer(&self, kind: StageKind) -> Vec<Operator> {
        let (s, stored) = (self.shape, &self.setting.stored);
        let (h, f, q, kv) = (s.hidden, s.intermediate, s.heads * s.head_dim, s.kv_heads * s.head_dim);
        let [qkv, out, mlp] = s.biases;
        let rows = u128::from(self.setting.batch) * self.tokens(kind);
        let residual = rows * u128::from(h);
        let layers = s.layers;
        let mut all = vec![
            self.linear(("q_proj", h, q, stored.q, qkv), kind),
            self.linear(("k_proj", h, kv, stored.k, qkv), kind),
            self.linear(("v_proj", h, kv, stored.v, qkv), kind),
            self.linear(("out_proj", q, h, stored.o, out), kind),
        ];
        match s.experts {
            Some(experts) => all.extend(self.experts(experts, rows)),
            None => {
                if s.gated {
                    all.push(self.linear(("gate_proj", h, f, stored.gate, mlp), kind));
                }
                all.push(self.linear(("up_proj", h, f, stored.up, mlp), kind));
                all.push(self.linear(("down_proj", f, h, stored.down, mlp), kind));
            }
        }
        if s.rotated > 0 {
            all.push(self.rope(rows));
        }
        for span in self.spans() {
            all.extend(self.attention(kind, span));
        }
        all.push(self.norm("attn_norm", layers, rows, h));
        all.push(self.norm("mlp_norm", layers, rows, h));
        if s.sub_norms {
            all.push(self.norm("attn_sub_norm", layers, rows, q));
            all.push(self.norm("ffn_sub_norm", layers, rows, f));
        }
        if s.post_norms {
            all.push(self.norm("attn_post_norm", layers, rows, h));
            all.push(self.norm("mlp_post_norm", layers, rows, h));
        }
        all.push(self.vector("attn_add", layers, residual, 1, 2.0));
        all.push(self.vector("mlp_add", layers, residual, 1, 2.0));
        let gate = u128::from(s.gated);
        let ops = u128::from(s.activation.ops()) + gate;
        let mlps = s.experts.map_or(1, |experts| u128::from(experts.used));
        all.push(self.vector("mlp_act", layers, mlps * rows * u128::from(f), ops, 1.0 + gate as f64));
        all
    }

    /// A router, and the MLPs that `rows` tokens take: a token's row is multiplied by each of its experts, whose weights are read once.
    fn experts(&self, experts: Experts, rows: u128) -> Vec<Operator> {
        let (s, stored) = (self.shape, &self.setting.stored);
        let [h, f, count, used] = [s.hidden, s.intermediate, experts.count, experts.used].map(u128::from);
        let read = experts.read_by(rows);
        let units = Units::Matrix(self.setting.weight_bits.max(self.setting.activation_bits));
        let act = |elements: u128| elements as f64 * self.a;
        let product = |name, weights: (u128, f64, f64), times: u128, inputs: u128, outputs: u128| {
            let (size, number, bits) = weights;
            let weight = size as f64 * number * (bits / 8.0);
            let bytes = Bytes { weight, act_read: act(inputs), act_write: act(outputs), ..Bytes::default() };
            self.operator(name, s.layers, units, 2 * rows * times * size, bytes)
        };
        let mut all = vec![product("router", (h * count, 1.0, stored.router), 1, rows * h, rows * count)];
        // Largest, subtract, exp, add, divide; each of those taken is a comparison with all.
        let ops = rows * count * (5 + used);
        let bytes = Bytes { act_read: act(rows * count), act_write: act(rows * used), ..Bytes::default() };
        all.push(self.operator("router_top", s.layers, Units::Vector, ops, bytes));
        if s.gated {
            all.push(product("gate_proj", (h * f, read, stored.gate), used, rows * h, rows * used * f));
        }
        all.push(product("up_proj", (h * f, read, stored.up), used, rows * h, rows * used * f));
        all.push(product("down_proj", (h * f, read, stored.down), used, rows * used * f, rows * used * h));
        // Times the router's weight, and added.
        let bytes =
            Bytes { act_read: act(rows * used * (h + 1)), act_write: act(rows * h), ..Bytes::default() };
        all.push(self.operator("expert_sum", s.layers, Units::Vector, 2 * rows * used * h, bytes));
        all
    }

    /// Layers by how far they look back: on everything, then over a window shorter than that.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let short = self.shape.window.filter(|w| w.tokens < self.setting.length && w.layers > 0);
        let whole = self.shape.layers - short.map_or(0, |w| w.layers);
        let all = (whole > 0).then_some(Span { layers: whole, window: None });
        all.into_iter().chain(short.map(|w| Span { layers: w.layers, window: Some(w.tokens) }))
    }

    /// Queries and keys: two products and an addition per rotated element; keys go to the cache.
    fn rope(&self, rows: u128) -> Operator {
        let s = self.shape;
        let (heads, kv_heads, dim) = (u128::from(s.heads), u128::from(s.kv_heads), u128::from(s.head_dim));
        let (queries, keys) = ((rows * heads * dim) as f64, (rows * kv_heads * dim) as f64);
        let bytes = Bytes {
            act_read: (queries + keys) * self.a,
            act_write: queries * self.a,
            kv_write: keys * self.c,
            ..Bytes::default()
        };
        let ops = 3 * rows * (heads + kv_heads) * u128::from(s.rotated);
        self.operator("rope", s.layers, Units::Vector, ops, bytes)
    }

    fn attention(&self, kind: StageKind, span: Span) -> Vec<Operator> {
        let s = self.shape;
        let seen = span.window.unwrap_or(self.setting.length);
        // All tokens of a prompt are keys of some query.
        let keys = if kind == StageKind::Prefill { self.setting.length } else { seen };
        let [batch, keys, heads, kv_heads, dim] =
            [self.setting.batch, keys, s.heads, s.kv_heads, s.head_dim].map(u128::from);
        let name = |whole, short| if span.window.is_some() { short } else { whole };
        let scores = batch * heads * pairs(kind, self.setting.length, seen);
        let products = 2 * scores * dim;
        let query = (batch * self.tokens(kind) * heads * dim) as f64 * self.a;
        let units = Units::Matrix(self.setting.kv_bits.max(self.setting.activation_bits));
        // Largest, subtract, exp, add, divide; a cap multiplies, takes the tanh and multiplies.
        let softmax = if s.score_cap { 8 } else { 5 };
        if self.setting.flash {
            let rows = self.cached_rows(kind, seen);
            let bytes = Bytes {
                act_read: query,
                act_write: query,
                kv_read: (2 * batch * kv_heads * dim * rows) as f64 * self.c,
                ..Bytes::default()
            };
            let name = name("fused_attention", "fused_attention_window");
            return vec![self.operator(name, span.layers, units, 2 * products + softmax * scores, bytes)];
        }
        let score_bytes = scores as f64 * self.a;
        let cached = (batch * kv_heads * dim * keys) as f64 * self.c;
        let qk = Bytes { act_read: query, act_write: score_bytes, kv_read: cached, ..Bytes::default() };
        let sv = Bytes { act_read: score_bytes, act_write: query, kv_read: cached, ..Bytes::default() };
        vec![
            self.operator(name("qk_matmul", "qk_matmul_window"), span.layers, units, products, qk),
            self.operator(name("sv_matmul", "sv_matmul_window"), span.layers, units, products, sv),
            self.vector(name("softmax", "softmax_window"), span.layers, scores, softmax, 1.0),
        ]
    }

    /// Cached rows of a head that flash attention reads: all before the end of each block of queries, from the first that a query of
    /// the block sees on. As many queries are on the chip as leaves room for keys, values and outputs likewise; the heads of a group
    /// are there together.
    fn cached_rows(&self, kind: StageKind, seen: u32) -> u128 {
        let s = self.shape;
        let group = f64::from(s.heads / s.kv_heads);
        let fit = self.hardware.onchip.value / (4.0 * f64::from(s.head_dim) * self.a * group);
        let rows = (fit as u128).max(1);
        let (length, seen) = (u128::from(self.setting.length), u128::from(seen));
        if kind == StageKind::Decode {
            return seen;
        }
        let blocks = length.div_ceil(rows);
        let ends = rows * (blocks * (blocks - 1) / 2) + length;
        // Block b begins at b * rows and leaves out b * rows - (seen - 1) keys, where that is more than none.
        let from = (seen - 1).div_ceil(rows).min(blocks);
        let left_out = rows * (blocks * (blocks - 1) / 2 - from * from.saturating_sub(1) / 2)
            - (blocks - from) * (seen - 1);
        ends - left_out
    }

    fn stage(&self, kind: StageKind) -> Stage {
        let s = self.shape;
        let batch = u128::from(self.setting.batch);
        let rows = batch * self.tokens(kind);
        let mut all = self.layer(kind);
        let row = (rows * u128::from(s.hidden)) as f64;
        let tables = 1.0 + f64::from(u8::from(s.learned_positions));
        let bytes = Bytes { weight: tables * row * FP16, act_write: row * self.a, ..Bytes::default() };
        let ops = if s.learned_positions { rows * u128::from(s.hidden) } else { 0 };
        all.push(self.operator("embedding", 1, Units::Vector, ops, bytes));
        if s.embedding_norm {
            all.push(self.norm("embedding_norm", 1, rows, s.hidden));
        }
        // Only the last token of a sequence is asked about.
        all.push(self.norm("final_norm", 1, batch, s.hidden));
        all.push(self.head(batch));
        if s.logit_cap {
            all.push(self.vector("logit_cap", 1, batch * u128::from(s.vocab), 3, 1.0));
        }
        let memory = self.memory(&all);
        Stage::new(kind, all, memory)
    }

    fn head(&self, batch: u128) -> Operator {
        let (h, v) = (u128::from(self.shape.hidden), u128::from(self.shape.vocab));
        let bytes = Bytes {
            weight: (h * v) as f64 * (self.setting.stored.head / 8.0),
            act_read: (batch * h) as f64 * self.a,
            act_write: (batch * v) as f64 * self.a,
            ..Bytes::default()
        };
        let units = Units::Matrix(self.setting.weight_bits.max(self.setting.activation_bits));
        self.operator("lm_head", 1, units, 2 * batch * h * v, bytes)
    }

    /// Bytes of an operator's weights in DRAM, of all experts where it reads those of some.
    fn held(&self, o: &Operator) -> f64 {
        match self.shape.experts {
            Some(experts) if matches!(o.name, "gate_proj" | "up_proj" | "down_proj") => {
                let bits = match o.name {
                    "gate_proj" => self.setting.stored.gate,
                    "up_proj" => self.setting.stored.up,
                    _ => self.setting.stored.down,
                };
                let weights = u128::from(self.shape.hidden) * u128::from(self.shape.intermediate);
                (u128::from(experts.count) * weights) as f64 * (bits / 8.0)
            }
            _ => o.bytes.weight,
        }
    }

    /// All weights, the cache, and the operands of the operator that has most.
    fn memory(&self, operators: &[Operator]) -> Memory {
        let s = self.shape;
        let layers = |o: &&Operator| o.name != "embedding" && !(s.tied && o.name == "lm_head");
        let read: f64 = operators.iter().filter(layers).map(|o| self.held(o) * f64::from(o.times)).sum();
        let weight = read + f64::from(s.vocab) * f64::from(s.hidden) * FP16;
        let rows =
            |span: Span| u128::from(span.layers) * u128::from(span.window.unwrap_or(self.setting.length));
        let rows = u128::from(self.setting.batch) * self.spans().map(rows).sum::<u128>();
        let kv = (2 * rows * u128::from(s.kv_heads) * u128::from(s.head_dim)) as f64 * self.c;
        let most = |most: f64, o: &Operator| most.max(o.bytes.act_read + o.bytes.act_write);
        let activations = operators.iter().fold(0.0, most);
        Memory { whole: weight + kv + activations, weight, kv, activations }
    }
}
