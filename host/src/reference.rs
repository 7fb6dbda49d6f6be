//! A whole decoder in plain code, that says what the machine's answer must be, to the bit.
//!
//! It shares no code with the instructions, their tables and planes, or the lowering; only the scalar functions (`exp`,
//! `silu`) are the same, so that floats have the same bits. Every row is worked on alone, so a prompt gives the same
//! numbers token by token as in chunks, and a batch the same as its sequences one by one.
//!
//! ```text
//! x = embedding [+ position] [norm]
//!                    layer:  x += output(attend(rope(qkv(norm(x)))))      head(norm(x)) = logits
//!                            x += down(act(gate(norm(x))) * up(norm(x))), or down(act(up(norm(x))))
//!                            with norms behind both: x += norm(...)
//! ```

mod attention;
mod linear;
mod load;
mod rounded;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use half::f16;
use lutsim_isa::WeightKind;
use lutsim_isa::exec::math;
use lutsim_isa::field::{AType, Act, Entries, Norm, Rope};

use crate::alibi::slopes;
use crate::blocks::Matrix;
use crate::mapping::Hidden;
use crate::model::{Model, Positions, RopeConfig};
use crate::plan::Plan;
use crate::routing::Chosen;
use crate::weights::{WeightError, WeightSource};
use crate::workload::KV_TILE;
use attention::{Rows, Scores, attend};
use linear::Linear;
use load::{Layer, Mlp, Weights};

/// How numbers are kept and multiplied.
#[derive(Clone, PartialEq, Debug)]
pub enum Numerics {
    /// As on the chip.
    Machine(Machine),
    /// Dequantised weights and nothing else rounded.
    Float,
}

/// What the machine's arithmetic depends on beyond the model.
#[derive(Clone, PartialEq, Debug)]
pub struct Machine {
    /// How keys and values are kept.
    pub kv: WeightKind,
    /// Tokens of a tile of the weighted sum.
    pub kv_tile: u32,
    /// What the cores multiply with.
    pub activations: AType,
    /// How the entries of their tables are kept.
    pub entries: Entries,
    /// Activations of one table (FP16 activations are summed within tables first).
    pub table: u32,
    /// The same in attention; 1 if it does without tables.
    pub attention_table: u32,
    /// Whether the cores dequantise weights to FP16 and multiply with that.
    pub dequantises: bool,
    /// Whether the MLP's hidden activations pass through FP16.
    pub half_hidden: bool,
    /// K of a matrix's records where that is not all of it (it matters for groups of a whole row).
    pub k_blocks: BTreeMap<String, u32>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            kv: WeightKind::Kv8,
            kv_tile: 128,
            activations: AType::Int8,
            entries: Entries::Exact,
            table: 4,
            attention_table: 4,
            dequantises: false,
            half_hidden: false,
            k_blocks: BTreeMap::new(),
        }
    }
}

impl Machine {
    /// What a plan makes of it.
    pub fn of(plan: &Plan) -> Self {
        Self {
            kv: plan.workload.kv,
            kv_tile: KV_TILE,
            activations: plan.workload.activations,
            entries: plan.workload.entries(plan.target.k),
            table: plan.target.k,
            attention_table: if plan.target.mac_attention { 1 } else { plan.target.k },
            dequantises: plan.target.dequantises,
            half_hidden: plan.mapping.hidden == Hidden::F16,
            k_blocks: plan.layout.tensors.iter().map(|t| (t.name.to_string(), t.k_block)).collect(),
        }
    }
}

/// A decoder with its weights.
pub struct Reference<'a> {
    model: Model,
    numerics: Numerics,
    source: &'a dyn WeightSource,
    weights: Weights,
    /// Of each head, if scores are biased by position.
    slopes: Vec<f32>,
}

/// Hears an operator's name and what came out of it, a row for each token.
pub type Watch<'a> = dyn FnMut(&'static str, &[Vec<f32>]) + 'a;

/// Tokens that pass the layers together: a matrix is read once for all of them.
const TOGETHER: usize = 128;

/// Keys and values of one sequence.
#[derive(Clone, PartialEq, Debug)]
pub struct Cache {
    tokens: u32,
    /// Of each layer, for each head, keys and values.
    heads: Vec<[Rows; 2]>,
}

impl Cache {
    /// Tokens it holds.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }
}

/// What a prompt gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Generated {
    /// Logits of each position, prompt and then generated.
    pub logits: Vec<Vec<f32>>,
    /// Greedy tokens; the first follows the prompt.
    pub tokens: Vec<u32>,
}

impl<'a> Reference<'a> {
    /// Loads the weights.
    ///
    /// # Errors
    /// A tensor that is missing or of another size than the decoder's.
    pub fn new(model: Model, source: &'a dyn WeightSource, numerics: Numerics) -> Result<Self, WeightError> {
        let weights = Weights::load(&model, source, &numerics)?;
        let slopes = if model.positions == Positions::Alibi { slopes(model.heads) } else { vec![] };
        Ok(Self { model, numerics, source, weights, slopes })
    }

    /// A cache of `context` tokens of which nothing is known: all zero, as in untouched memory.
    pub fn cache(&self, context: u32) -> Cache {
        let d = &self.model;
        let rows = Rows::zero(context as usize, d.head_dim as usize);
        Cache { tokens: context, heads: vec![[rows.clone(), rows]; (d.layers * d.kv_heads) as usize] }
    }

    /// The logits after one more token.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn step(&self, cache: &mut Cache, token: u32) -> Result<Vec<f32>, WeightError> {
        Ok(self.prefill(cache, &[token])?.pop().unwrap_or_default())
    }

    /// The experts that one more token takes in each layer; none if the model has none.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn chosen(&self, cache: &mut Cache, token: u32) -> Result<Chosen, WeightError> {
        let mut chosen = Chosen::new();
        self.watched(cache, &[token], &mut |name, weights| {
            if name == ROUTER {
                let weights = (0..).zip(weights.iter().flatten());
                chosen.push(weights.filter(|(_, w)| **w > 0.0).map(|(expert, _)| expert).collect());
            }
        })?;
        Ok(chosen)
    }

    /// The logits of each of a prompt's positions.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn prefill(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Vec<Vec<f32>>, WeightError> {
        let each = |tokens: &[u32]| self.watched(cache, tokens, &mut |_, _| {});
        Ok(tokens.chunks(TOGETHER).map(each).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// As [`Self::prefill`], all positions together; `watch` hears each operator's name, layer after layer, and what came out of it.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn watched(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Vec<f32>>, WeightError> {
        let floats = |row: Vec<f16>| -> Vec<f32> { row.into_iter().map(f16::to_f32).collect() };
        let (mut x, mut turns) = (Vec::with_capacity(tokens.len()), Vec::with_capacity(tokens.len()));
        for (&token, position) in tokens.iter().zip(cache.tokens..) {
            let mut row = floats(self.source.embedding_row(token)?);
            if let Positions::Learned(learned) = self.model.positions {
                add(&mut row, &floats(self.source.position_row(position + learned.offset)?));
            }
            if let Some(w) = &self.weights.embedding_norm {
                row = self.normed(&row, w);
            }
            x.push(row);
            turns.push(self.model.rope().map(|rope| rope.row(position)).unwrap_or_default());
        }
        cache.tokens += tokens.len() as u32;
        let heads = cache.heads.chunks_exact_mut(self.model.kv_heads as usize);
        for (i, (layer, heads)) in (0..).zip(self.weights.layers.iter().zip(heads)) {
            self.attention((i, layer), &turns, heads, &mut x, watch);
            self.mlp(layer, &mut x, watch);
        }
        let mut logits = self.weights.head.apply(&self.all_normed(&x, &self.weights.norm));
        if let Some(cap) = self.model.logit_cap {
            logits.iter_mut().flatten().for_each(|x| *x = cap * math::tanh(*x * (1.0 / cap)));
        }
        watch("head", &logits);
        Ok(logits)
    }

    /// A prompt and then `steps` greedy decode steps: `steps + 1` tokens (`steps` without a prompt, from token 0).
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn generate(&self, cache: &mut Cache, prompt: &[u32], steps: u32) -> Result<Generated, WeightError> {
        let mut logits = self.prefill(cache, prompt)?;
        let mut tokens: Vec<u32> = logits.last().map(|l| argmax(l)).into_iter().collect();
        for _ in 0..steps {
            let next = self.step(cache, tokens.last().copied().unwrap_or(0))?;
            tokens.push(argmax(&next));
            logits.push(next);
        }
        Ok(Generated { logits, tokens })
    }

    fn attention(
        &self,
        (index, layer): (u32, &Layer),
        turns: &[Vec<f32>],
        cache: &mut [[Rows; 2]],
        x: &mut [Vec<f32>],
        watch: &mut Watch<'_>,
    ) {
        let d = &self.model;
        let (dim, grouped) = (d.head_dim as usize, d.group() as usize);
        let h = self.all_normed(x, &layer.attn_norm);
        watch("attn_norm", &h);
        let [mut q, mut k, v] = [0, 1, 2].map(|i| {
            let mut y = layer.qkv[i].apply(&h);
            if let Some(bias) = &layer.bias {
                y.iter_mut().for_each(|y| add(y, &bias[i]));
            }
            y
        });
        for (name, y) in [("q_proj", &q), ("k_proj", &k), ("v_proj", &v)] {
            watch(name, y);
        }
        if let Some(rope) = d.rope() {
            for ((q, k), turns) in q.iter_mut().zip(&mut k).zip(turns) {
                let heads = q.chunks_exact_mut(dim).chain(k.chunks_exact_mut(dim));
                heads.for_each(|head| rotate(rope, turns, head));
            }
        }
        let before = cache.first().map_or(0, |[keys, _]| keys.tokens(dim));
        for (k, v) in k.iter().zip(&v) {
            let rows = k.chunks_exact(dim).zip(v.chunks_exact(dim));
            for (rows, (k, v)) in cache.iter_mut().zip(rows) {
                rows[0].push(k, &self.numerics);
                rows[1].push(v, &self.numerics);
            }
        }
        let scores = Scores { cap: d.score_cap, window: d.window(index), ..Scores::scaled(d.score_scale()) };
        let attend = |(row, q): (usize, &Vec<f32>)| -> Vec<f32> {
            let heads = q.chunks_exact(dim).enumerate();
            let one = |(i, q)| {
                let [keys, values] = &cache[i / grouped];
                let scores = Scores { slope: self.slopes.get(i).copied(), ..scores };
                attend(q, [keys, values], before + row + 1, &scores, &self.numerics)
            };
            heads.flat_map(one).collect()
        };
        let mut o: Vec<Vec<f32>> = q.iter().enumerate().map(attend).collect();
        watch("attention", &o);
        if let Some(w) = &layer.attn_sub_norm {
            o = self.all_normed(&o, w);
            watch("attn_sub_norm", &o);
        }
        let y = layer.output.apply(&o);
        watch("o_proj", &y);
        self.residual(x, y, layer.output_bias.as_deref(), layer.attn_post_norm.as_deref());
    }

    fn mlp(&self, layer: &Layer, x: &mut [Vec<f32>], watch: &mut Watch<'_>) {
        let h = self.all_normed(x, &layer.mlp_norm);
        watch("mlp_norm", &h);
        let (Some(router), Some(experts)) = (&layer.router, self.model.experts) else {
            let hidden = self.hidden(layer, &layer.mlps[0], &h, watch);
            let y = layer.mlps[0].down.apply(&hidden);
            watch("down_proj", &y);
            return self.residual(x, y, layer.down_bias.as_deref(), layer.mlp_post_norm.as_deref());
        };
        let weights: Vec<Vec<f32>> =
            router.apply(&h).iter().map(|logits| route(logits, experts.used as usize)).collect();
        watch(ROUTER, &weights);
        for (i, mlp) in layer.mlps.iter().enumerate() {
            // The rows that chose it.
            let rows: Vec<usize> = (0..x.len()).filter(|&row| weights[row][i] > 0.0).collect();
            let inputs: Vec<Vec<f32>> = rows.iter().map(|&row| h[row].clone()).collect();
            let factors: Vec<f32> = rows.iter().map(|&row| weights[row][i]).collect();
            let y = mlp.down.apply_times(&self.hidden(layer, mlp, &inputs, watch), &factors);
            watch("down_proj", &y);
            rows.iter().zip(&y).for_each(|(&row, y)| add(&mut x[row], y));
        }
    }

    /// What the down projection takes.
    fn hidden(&self, layer: &Layer, mlp: &Mlp, h: &[Vec<f32>], watch: &mut Watch<'_>) -> Vec<Vec<f32>> {
        let mut up = mlp.up.apply(h);
        if let Some(bias) = &layer.up_bias {
            up.iter_mut().for_each(|up| add(up, bias));
        }
        let f = |x: f32| match self.model.activation {
            Act::Silu => math::silu(x),
            Act::Gelu => math::gelu(x),
            Act::Relu => x.max(0.0),
            Act::Relu2 => x.max(0.0) * x.max(0.0),
        };
        let half = matches!(&self.numerics, Numerics::Machine(m) if m.half_hidden);
        let stored = |mut x: Vec<Vec<f32>>| {
            if half {
                x.iter_mut().flatten().for_each(|x| *x = f16::from_f32(*x).to_f32());
            }
            x
        };
        let mut hidden = stored(match &mlp.gate {
            Some(gate) => {
                let mut gated = gate.apply(h);
                let pairs = gated.iter_mut().flatten().zip(up.iter().flatten());
                pairs.for_each(|(g, u)| *g = f(*g) * u);
                gated
            }
            None => {
                up.iter_mut().flatten().for_each(|u| *u = f(*u));
                up
            }
        });
        watch(if mlp.gate.is_some() { "gate_up" } else { "up_proj" }, &hidden);
        if let Some(w) = &layer.ffn_sub_norm {
            hidden = stored(self.all_normed(&hidden, w));
            watch("ffn_sub_norm", &hidden);
        }
        hidden
    }

    /// What a projection adds to the residual: its bias comes behind that, or before a norm of its result.
    fn residual(&self, x: &mut [Vec<f32>], mut y: Vec<Vec<f32>>, bias: Option<&[f32]>, norm: Option<&[f32]>) {
        match norm {
            None => {
                add_all(x, &y);
                bias.iter().for_each(|bias| x.iter_mut().for_each(|x| add(x, bias)));
            }
            Some(norm) => {
                bias.iter().for_each(|bias| y.iter_mut().for_each(|y| add(y, bias)));
                add_all(x, &self.all_normed(&y, norm));
            }
        }
    }

    fn all_normed(&self, x: &[Vec<f32>], w: &[f32]) -> Vec<Vec<f32>> {
        x.iter().map(|x| self.normed(x, w)).collect()
    }

    fn normed(&self, x: &[f32], w: &[f32]) -> Vec<f32> {
        let mean = |x: &[f32], f: fn(f64) -> f64| {
            (x.iter().fold(0.0f64, |sum, &x| sum + f(f64::from(x))) / x.len() as f64) as f32
        };
        let inverse = |x: &[f32]| 1.0 / (mean(x, |x| x * x) + self.model.norm_eps).sqrt();
        let (w, b) = w.split_at(x.len());
        match self.model.norm {
            Norm::Rms => {
                let inverse = inverse(x);
                x.iter().zip(w).map(|(&x, &w)| x * inverse * w).collect()
            }
            Norm::RmsPlusOne => {
                let inverse = inverse(x);
                x.iter().zip(w).map(|(&x, &w)| x * inverse * (1.0 + w)).collect()
            }
            Norm::Layer => {
                let centre = mean(x, |x| x);
                let centred: Vec<f32> = x.iter().map(|x| x - centre).collect();
                let inverse = inverse(&centred);
                centred.iter().zip(w.iter().zip(b)).map(|(x, (w, b))| x * inverse * w + b).collect()
            }
        }
    }
}

/// What [`Reference::watched_step`] calls a router's weights.
const ROUTER: &str = "router";

/// The `used` largest weighed by a softmax among them, the first of equals; 0 for the others.
fn route(x: &[f32], used: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..x.len()).filter(|&i| !x[i].is_nan()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]).then(a.cmp(&b)));
    order.truncate(used);
    order.sort_unstable();
    let largest = order.iter().fold(f32::NEG_INFINITY, |largest, &i| largest.max(x[i]));
    let mut weights = vec![0.0; x.len()];
    let mut sum = 0.0f64;
    for &i in &order {
        weights[i] = math::exp(x[i] - largest);
        sum += f64::from(weights[i]);
    }
    let inverse = 1.0 / sum as f32;
    order.iter().for_each(|&i| weights[i] *= inverse);
    weights
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn add_all(x: &mut [Vec<f32>], y: &[Vec<f32>]) {
    x.iter_mut().zip(y).for_each(|(x, y)| add(x, y));
}

fn rotate(rope: &RopeConfig, turns: &[f32], head: &mut [f32]) {
    let pairs = rope.dims as usize / 2;
    for i in 0..pairs {
        let (a, b) = match rope.pairing {
            Rope::Half => (i, i + pairs),
            Rope::Pair => (2 * i, 2 * i + 1),
        };
        let (c, s, x, y) = (turns[i], turns[pairs + i], head[a], head[b]);
        (head[a], head[b]) = (x * c - y * s, x * s + y * c);
    }
}

/// What the machine makes of a matrix and a row of activations: the product that `lmma` and `drain` give.
///
/// `k_block` is the K of one record; it matters for groups of a whole row.
pub fn product(t: &Matrix, k_block: u32, machine: &Machine, x: &[f32]) -> Vec<f32> {
    Linear::machine(t, k_block, machine).apply(&[x.to_vec()]).concat()
}

/// What the machine makes of a query and the keys and values of one head: scores, softmax, weighted sum.
pub fn attention(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>], machine: &Machine) -> Vec<f32> {
    let numerics = Numerics::Machine(machine.clone());
    let mut rows = [Rows::default(), Rows::default()];
    for (rows, from) in rows.iter_mut().zip([keys, values]) {
        from.iter().for_each(|row| rows.push(row, &numerics));
    }
    let scores = Scores::scaled(1.0 / (query.len() as f32).sqrt());
    attend(query, rows.each_ref(), keys.len(), &scores, &numerics)
}

/// The column of the largest, the first of equals; a NaN is larger than all numbers.
pub fn argmax(x: &[f32]) -> u32 {
    let (mut best, mut column) = (f32::NEG_INFINITY, 0);
    for (i, &x) in x.iter().enumerate() {
        if x > best || x.is_nan() && !best.is_nan() {
            (best, column) = (x, i as u32);
        }
    }
    column
}
