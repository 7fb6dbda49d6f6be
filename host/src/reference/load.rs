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
    pub(super) qkv: [Linear; 3],
    pub(super) bias: Option<[Vec<f32>; 3]>,
    pub(super) output: Linear,
    pub(super) output_bias: Option<Vec<f32>>,
    /// None of an MLP without a gate.
    pub(super) gate: Option<Linear>,
    pub(super) up: Linear,
    pub(super) up_bias: Option<Vec<f32>>,
    pub(super) down: Linear,
    pub(super) down_bias: Option<Vec<f32>>,
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
        let matrix = |name: &str, layer, n, k| {
            let t = source.tensor(name, layer)?;
            if t.shape() != (n, k) {
                let (rows, columns) = t.shape();
                return Err(shape(name, layer, format!("{rows} x {columns}"), format!("{n} x {k}")));
            }
            Ok(match numerics {
                Numerics::Float => Linear::float(&t),
                Numerics::Machine(m) => Linear::machine(&t, m.k_blocks.get(name).copied().unwrap_or(k), m),
            })
        };
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
            let bias = |given: bool, name, n| given.then(|| vector(name, l, n)).transpose();
            Ok(Layer {
                attn_norm: norm("attn_norm", l, d.hidden)?,
                mlp_norm: norm("mlp_norm", l, d.hidden)?,
                attn_sub_norm: sub("attn_sub_norm", q)?,
                ffn_sub_norm: sub("ffn_sub_norm", d.intermediate)?,
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
                gate: match d.gated_mlp {
                    false => None,
                    true => Some(matrix("w_gate", l, d.intermediate, d.hidden)?),
                },
                up: matrix("w_up", l, d.intermediate, d.hidden)?,
                up_bias: bias(d.mlp_bias, "b_up", d.intermediate)?,
                down: matrix("w_down", l, d.hidden, d.intermediate)?,
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
