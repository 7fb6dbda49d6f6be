//! A whole decoder in plain code, that says what the machine's answer must be, to the bit.
//!
//! It shares no code with the instructions, their tables and planes, or the lowering; only the scalar functions (`exp`,
//! `silu`) are the same, so that floats have the same bits. Every row is worked on alone, so a prompt gives the same
//! numbers token by token as in chunks, and a batch the same as its sequences one by one.
//!
//! ```text
//! x = embedding      layer:  x += output(attend(rope(qkv(norm(x)))))      head(norm(x)) = logits
//!                            x += down(act(gate(norm(x))) * up(norm(x)))
//! ```

mod attention;
mod linear;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use half::f16;
use lutsim_isa::WeightKind;
use lutsim_isa::exec::math;
use lutsim_isa::field::{Act, Rope};

use crate::rotary::Rotary;
use crate::weights::{WeightError, WeightSource};
use attention::{Rows, attend};
use linear::Linear;

/// What a decoder's arithmetic depends on.
#[derive(Clone, PartialEq, Debug)]
pub struct Decoder {
    /// Blocks.
    pub layers: u32,
    /// Width of the residual.
    pub hidden: u32,
    /// Width of the MLP.
    pub ffn: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens there are.
    pub vocab: u32,
    /// The MLP's non-linearity.
    pub act: Act,
    /// Of the norms.
    pub eps: f32,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether a norm precedes the output and down projections.
    pub sub_norms: bool,
    /// Positions.
    pub rotary: Rotary,
}

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
    /// Whether the MLP's hidden activations pass through FP16.
    pub half_hidden: bool,
    /// K of a matrix's records where that is not all of it (it matters for groups of a whole row).
    pub k_blocks: BTreeMap<String, u32>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { kv: WeightKind::Kv8, kv_tile: 128, half_hidden: false, k_blocks: BTreeMap::new() }
    }
}

struct Layer {
    attn_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    attn_sub_norm: Option<Vec<f32>>,
    ffn_sub_norm: Option<Vec<f32>>,
    qkv: [Linear; 3],
    bias: Option<[Vec<f32>; 3]>,
    output: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// A decoder with its weights.
pub struct Reference<'a> {
    decoder: Decoder,
    numerics: Numerics,
    source: &'a dyn WeightSource,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
}

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
    pub fn new(
        decoder: Decoder,
        source: &'a dyn WeightSource,
        numerics: Numerics,
    ) -> Result<Self, WeightError> {
        let d = &decoder;
        let (q, kv) = (d.heads * d.head_dim, d.kv_heads * d.head_dim);
        let matrix = |name: &str, layer, n, k| {
            let t = source.tensor(name, layer)?;
            if (t.n, t.k) != (n, k) {
                return Err(shape(name, layer, format!("{} x {}", t.n, t.k), format!("{n} x {k}")));
            }
            Ok(match &numerics {
                Numerics::Float => Linear::float(&t),
                Numerics::Machine(m) => Linear::machine(&t, m.k_blocks.get(name).copied().unwrap_or(k)),
            })
        };
        let vector = |name: &str, layer, n: u32| {
            let v: Vec<f32> = source.vector(name, layer)?.iter().map(|x| x.to_f32()).collect();
            if v.len() != n as usize {
                return Err(shape(name, layer, format!("{} long", v.len()), format!("{n} long")));
            }
            Ok(v)
        };
        let layer = |index| {
            let l = Some(index);
            let sub = |name, n| d.sub_norms.then(|| vector(name, l, n)).transpose();
            Ok(Layer {
                attn_norm: vector("attn_norm", l, d.hidden)?,
                ffn_norm: vector("ffn_norm", l, d.hidden)?,
                attn_sub_norm: sub("attn_sub_norm", q)?,
                ffn_sub_norm: sub("ffn_sub_norm", d.ffn)?,
                qkv: [
                    matrix("attn_q", l, q, d.hidden)?,
                    matrix("attn_k", l, kv, d.hidden)?,
                    matrix("attn_v", l, kv, d.hidden)?,
                ],
                bias: match d.qkv_bias {
                    false => None,
                    true => Some([
                        vector("attn_q.bias", l, q)?,
                        vector("attn_k.bias", l, kv)?,
                        vector("attn_v.bias", l, kv)?,
                    ]),
                },
                output: matrix("attn_output", l, d.hidden, q)?,
                gate: matrix("ffn_gate", l, d.ffn, d.hidden)?,
                up: matrix("ffn_up", l, d.ffn, d.hidden)?,
                down: matrix("ffn_down", l, d.hidden, d.ffn)?,
            })
        };
        let layers = (0..d.layers).map(layer).collect::<Result<_, _>>()?;
        let norm = vector("output_norm", None, d.hidden)?;
        let head = matrix("output", None, d.vocab, d.hidden)?;
        Ok(Self { decoder, numerics, source, layers, norm, head })
    }

    /// A cache of `context` tokens of which nothing is known: all zero, as in untouched memory.
    pub fn cache(&self, context: u32) -> Cache {
        let d = &self.decoder;
        let len = context as usize * d.head_dim as usize;
        let rows = match &self.numerics {
            Numerics::Machine(m) => {
                Rows::Codes { kind: m.kv, codes: vec![0; len], scales: vec![0.0; context as usize] }
            }
            Numerics::Float => Rows::Float { values: vec![0.0; len] },
        };
        Cache { tokens: context, heads: vec![[rows.clone(), rows]; (d.layers * d.kv_heads) as usize] }
    }

    /// The logits after one more token.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn step(&self, cache: &mut Cache, token: u32) -> Result<Vec<f32>, WeightError> {
        let mut x: Vec<f32> = self.source.embedding_row(token)?.into_iter().map(f16::to_f32).collect();
        let turns = self.decoder.rotary.row(cache.tokens);
        cache.tokens += 1;
        let heads = cache.heads.chunks_exact_mut(self.decoder.kv_heads as usize);
        for (layer, heads) in self.layers.iter().zip(heads) {
            self.attention(layer, &turns, heads, &mut x);
            self.mlp(layer, &mut x);
        }
        Ok(self.head.apply(&self.normed(&x, &self.norm)))
    }

    /// The logits of each of a prompt's positions.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn prefill(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Vec<Vec<f32>>, WeightError> {
        tokens.iter().map(|&t| self.step(cache, t)).collect()
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

    fn attention(&self, layer: &Layer, turns: &[f32], cache: &mut [[Rows; 2]], x: &mut [f32]) {
        let d = &self.decoder;
        let (dim, grouped) = (d.head_dim as usize, (d.heads / d.kv_heads) as usize);
        let h = self.normed(x, &layer.attn_norm);
        let [mut q, mut k, v] = [0, 1, 2].map(|i| {
            let mut y = layer.qkv[i].apply(&h);
            if let Some(bias) = &layer.bias {
                add(&mut y, &bias[i]);
            }
            y
        });
        q.chunks_exact_mut(dim)
            .chain(k.chunks_exact_mut(dim))
            .for_each(|head| rotate(&d.rotary, turns, head));
        let rows = k.chunks_exact(dim).zip(v.chunks_exact(dim));
        for (rows, (k, v)) in cache.iter_mut().zip(rows) {
            rows[0].push(k);
            rows[1].push(v);
        }
        let scale = 1.0 / (d.head_dim as f32).sqrt();
        let tile = match &self.numerics {
            Numerics::Machine(m) => m.kv_tile as usize,
            Numerics::Float => 1,
        };
        let heads = q.chunks_exact(dim).enumerate();
        let mut o: Vec<f32> = heads
            .flat_map(|(i, q)| attend(q, &cache[i / grouped][0], &cache[i / grouped][1], scale, tile))
            .collect();
        if let Some(w) = &layer.attn_sub_norm {
            o = self.normed(&o, w);
        }
        add(x, &layer.output.apply(&o));
    }

    fn mlp(&self, layer: &Layer, x: &mut [f32]) {
        let h = self.normed(x, &layer.ffn_norm);
        let (gate, up) = (layer.gate.apply(&h), layer.up.apply(&h));
        let f = |x: f32| match self.decoder.act {
            Act::Silu => math::silu(x),
            Act::Gelu => math::gelu(x),
            Act::Relu => x.max(0.0),
            Act::Relu2 => x.max(0.0) * x.max(0.0),
        };
        let mut hidden: Vec<f32> = gate.iter().zip(&up).map(|(&g, &u)| f(g) * u).collect();
        if matches!(&self.numerics, Numerics::Machine(m) if m.half_hidden) {
            hidden.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
        if let Some(w) = &layer.ffn_sub_norm {
            hidden = self.normed(&hidden, w);
        }
        add(x, &layer.down.apply(&hidden));
    }

    fn normed(&self, x: &[f32], w: &[f32]) -> Vec<f32> {
        let squares = x.iter().fold(0.0f64, |sum, &x| sum + f64::from(x) * f64::from(x));
        let mean = (squares / x.len() as f64) as f32;
        let inverse = 1.0 / (mean + self.decoder.eps).sqrt();
        x.iter().zip(w).map(|(&x, &w)| x * inverse * w).collect()
    }
}

fn shape(name: &str, layer: Option<u32>, found: String, expected: String) -> WeightError {
    WeightError::Shape { name: name.into(), layer, found, expected }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn rotate(rotary: &Rotary, turns: &[f32], head: &mut [f32]) {
    let pairs = rotary.dims as usize / 2;
    for i in 0..pairs {
        let (a, b) = match rotary.pairing {
            Rope::Half => (i, i + pairs),
            Rope::Pair => (2 * i, 2 * i + 1),
        };
        let (c, s, x, y) = (turns[i], turns[pairs + i], head[a], head[b]);
        (head[a], head[b]) = (x * c - y * s, x * s + y * c);
    }
}

/// The column of the largest, the first of equals.
pub fn argmax(x: &[f32]) -> u32 {
    let mut best = 0;
    for (i, x_i) in x.iter().enumerate() {
        if *x_i > x[best] {
            best = i;
        }
    }
    best as u32
}
