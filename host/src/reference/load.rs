//! A model's weights as the reference multiplies with them.

use super::Numerics;
use super::linear::Linear;
use crate::model::Model;
use crate::weights::{WeightError, WeightSource};

/// One block's weights.
pub(super) struct Layer {
    pub(super) attn_norm: Vec<f32>,
    pub(super) mlp_norm: Vec<f32>,
    pub(super) attn_sub_norm: Option<Vec<f32>>,
    pub(super) ffn_sub_norm: Option<Vec<f32>>,
    pub(super) attn_post_norm: Option<Vec<f32>>,
    pub(super) mlp_post_norm: Option<Vec<f32>>,
    pub(super) qkv: [Linear; 3],
    pub(super) bias: Option<[Vec<f32>; 3]>,
    pub(super) output: Linear,
    pub(super) output_bias: Option<Vec<f32>>,
    pub(super) router: Option<Linear>,
    /// One, or one for each expert.
    pub(super) mlps: Vec<Mlp>,
    pub(super) up_bias: Option<Vec<f32>>,
    pub(super) down_bias: Option<Vec<f32>>,
}

/// The matrices of an MLP.
pub(super) struct Mlp {
    /// None of one without a gate.
    pub(super) gate: Option<Linear>,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// All of them.
pub(super) struct Weights {
    pub(super) embedding_norm: Option<Vec<f32>>,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Linear,
}

impl Weights {
    pub(super) fn load(
        model: &Model,
        source: &dyn WeightSource,
        numerics: &Numerics,
    ) -> Result<Self, WeightError> {
        let d = model;
        let (q, kv) = (d.q_width(), d.kv_width());
        let of_expert = |name: &str, layer, expert, n, k| {
            let t = source.expert(name, layer, expert)?;
            if t.shape() != (n, k) {
                let (rows, columns) = t.shape();
                return Err(shape(name, layer, format!("{rows} x {columns}"), format!("{n} x {k}")));
            }
            Ok(match numerics {
                Numerics::Float => Linear::float(&t),
                Numerics::Machine(m) => Linear::machine(&t, m.k_blocks.get(name).copied().unwrap_or(k), m),
            })
        };
        let matrix = |name: &str, layer, n, k| of_expert(name, layer, 0, n, k);
        let vector = |name: &str, layer, n: u32| {
            let v: Vec<f32> = source.vector(name, layer)?.iter().map(|x| x.to_f32()).collect();
            if v.len() != n as usize {
                return Err(shape(name, layer, format!("{} long", v.len()), format!("{n} long")));
            }
            Ok(v)
        };
        let norm = |name: &str, layer, cols| vector(name, layer, d.norm_len(cols));
        let layer = |index| {
            let l = Some(index);
            let sub = |name, n| d.sub_norms.then(|| norm(name, l, n)).transpose();
            let post = |name| d.post_norms.then(|| norm(name, l, d.hidden)).transpose();
            let bias = |given: bool, name, n| given.then(|| vector(name, l, n)).transpose();
            Ok(Layer {
                attn_norm: norm("attn_norm", l, d.hidden)?,
                mlp_norm: norm("mlp_norm", l, d.hidden)?,
                attn_sub_norm: sub("attn_sub_norm", q)?,
                ffn_sub_norm: sub("ffn_sub_norm", d.intermediate)?,
                attn_post_norm: post("attn_post_norm")?,
                mlp_post_norm: post("mlp_post_norm")?,
                qkv: [
                    matrix("wq", l, q, d.hidden)?,
                    matrix("wk", l, kv, d.hidden)?,
                    matrix("wv", l, kv, d.hidden)?,
                ],
                bias: match d.qkv_bias {
                    false => None,
                    true => Some([vector("bq", l, q)?, vector("bk", l, kv)?, vector("bv", l, kv)?]),
                },
                output: matrix("wo", l, d.hidden, q)?,
                output_bias: bias(d.output_bias, "bo", d.hidden)?,
                router: d
                    .experts
                    .map(|experts| matrix("w_router", l, experts.count, d.hidden))
                    .transpose()?,
                mlps: (0..d.experts.map_or(1, |experts| experts.count))
                    .map(|e| {
                        let gate = || of_expert("w_gate", l, e, d.intermediate, d.hidden);
                        Ok(Mlp {
                            gate: d.gated_mlp.then(gate).transpose()?,
                            up: of_expert("w_up", l, e, d.intermediate, d.hidden)?,
                            down: of_expert("w_down", l, e, d.hidden, d.intermediate)?,
                        })
                    })
                    .collect::<Result<_, WeightError>>()?,
                up_bias: bias(d.mlp_bias, "b_up", d.intermediate)?,
                down_bias: bias(d.mlp_bias, "b_down", d.hidden)?,
            })
        };
        let layers = (0..d.layers).map(layer).collect::<Result<_, _>>()?;
        let embedding_norm = d.embedding_norm.then(|| norm("embedding_norm", None, d.hidden)).transpose()?;
        let norm = norm("final_norm", None, d.hidden)?;
        let head = matrix("head", None, d.vocab, d.hidden)?;
        Ok(Self { embedding_norm, layers, norm, head })
    }
}

fn shape(name: &str, layer: Option<u32>, found: String, expected: String) -> WeightError {
    WeightError::Shape { name: name.into(), layer, found, expected }
}
