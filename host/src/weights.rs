//! Where a model's numbers come from: a source of named tensors, and one that makes them up.
//!
//! Names are those of the [layout](crate::layout): matrices `wq`, `wk`, `wv`, `wo`, `w_router`, `w_gate`, `w_up`, `w_down`, `head`;
//! vectors `embedding_norm`, `attn_norm`, `bq`, `bk`, `bv`, `attn_sub_norm`, `bo`, `attn_post_norm`, `mlp_norm`, `b_up`, `ffn_sub_norm`,
//! `b_down`, `mlp_post_norm`, `final_norm`. A norm that centres has its biases behind its weights.
//!
//! A made-up number is a function of (seed, name, layer, index) and of nothing else, so that any part of a 70-billion
//! model can be had without the rest. Magnitudes keep the numbers sane however deep the model: a matrix applied to a
//! vector of unit size gives about unit size, and what a layer adds to the residual gets smaller with more layers.

use half::f16;
use half::vec::HalfFloatVecExt;
use lutsim_isa::{WeightFormat, WeightKind};

use crate::blocks::{FloatTensor, Matrix, synthetic_blocks};
use crate::model::{Model, Positions};
use crate::quantize::QuantisedTensor;

/// Named numbers of a model.
pub trait WeightSource: Sync {
    /// A matrix: of a layer, or of the model.
    ///
    /// # Errors
    /// One that the model does not have, or cannot be read.
    fn tensor(&self, name: &str, layer: Option<u32>) -> Result<Matrix, WeightError>;
    /// A matrix of one expert of a layer; of what is no expert's, the first is all there is.
    ///
    /// # Errors
    /// As [`Self::tensor`]; an expert that the model does not have.
    fn expert(&self, name: &str, layer: Option<u32>, expert: u32) -> Result<Matrix, WeightError> {
        match expert {
            0 => self.tensor(name, layer),
            _ => Err(WeightError::Missing {
                what: "matrix",
                name: format!("{name} of expert {expert}"),
                layer,
            }),
        }
    }
    /// A norm or a bias.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    fn vector(&self, name: &str, layer: Option<u32>) -> Result<Vec<f16>, WeightError>;
    /// What a token is turned into.
    ///
    /// # Errors
    /// As [`Self::tensor`]; a token beyond the vocabulary.
    fn embedding_row(&self, token: u32) -> Result<Vec<f16>, WeightError>;
    /// A row of the table of learned positions, of a model that has one.
    ///
    /// # Errors
    /// As [`Self::tensor`]; a row beyond the table.
    fn position_row(&self, row: u32) -> Result<Vec<f16>, WeightError>;
}

/// Why there is no such tensor.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WeightError {
    /// Unknown.
    #[error("the model has no {what} `{name}`{}", at(*layer))]
    Missing {
        /// "matrix" or "vector".
        what: &'static str,
        /// Its name.
        name: String,
        /// Its layer.
        layer: Option<u32>,
    },
    /// Beyond the vocabulary.
    #[error("token {token} is beyond the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens there are.
        vocab: u32,
    },
    /// Beyond the table of learned positions.
    #[error("position row {row} is beyond the table's {rows}")]
    Position {
        /// The row.
        row: u32,
        /// Rows there are.
        rows: u32,
    },
    /// Another size than the model's.
    #[error("`{name}`{} is {found}, but the model's dimensions say {expected}", at(*layer))]
    Shape {
        /// Its name.
        name: String,
        /// Its layer.
        layer: Option<u32>,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A file that cannot be read.
    #[error("{0}")]
    Read(String),
}

fn at(layer: Option<u32>) -> String {
    layer.map_or(String::new(), |l| format!(" of layer {l}"))
}

/// Numbers at random access: SplitMix64 of a key and an index.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of (seed, name, layer).
    pub fn new(seed: u64, name: &str, layer: Option<u32>) -> Self {
        let id = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Self(mix(mix(mix(seed) ^ id) ^ layer.map_or(0, |l| u64::from(l) + 1)))
    }
    /// Number `index`, 64 bits.
    pub fn at(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
    /// Uniform in -1..1.
    pub fn uniform(self, index: u64) -> f32 {
        (self.at(index) >> 40) as f32 / 8_388_608.0 - 1.0
    }
    /// About normal, variance 1: the sum of four 16-bit uniforms.
    pub fn normal(self, index: u64) -> f32 {
        let x = self.at(index);
        let sum = (x & 0xffff) + (x >> 16 & 0xffff) + (x >> 32 & 0xffff) + (x >> 48);
        // Four uniforms of variance 1/12 each.
        (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
    }
}

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A made-up matrix of `n` x `k` weights whose product with a vector of unit elements has elements of about `gain`.
pub fn synthetic_tensor(stream: Stream, n: u32, k: u32, format: WeightFormat, gain: f32) -> QuantisedTensor {
    let (kind, weights, groups) =
        (format.kind, u64::from(n) * u64::from(k), u64::from(n) * u64::from(format.group.count(k)));
    // Scales and zero points come from the far end of the stream.
    let far = |g: u64| u64::MAX / 2 + g;
    let zero = |g: u64| stream.at(far(g)) as u8;
    let size = |g: u64| 1.0 + 0.25 * stream.uniform(far(g));
    let scale = gain / (deviation(kind) * (k as f32).sqrt());
    let table: [u8; 256] = std::array::from_fn(|byte| code(kind, byte as u8));
    let mut codes = Vec::with_capacity(weights as usize + 8);
    for i in 0..weights.div_ceil(8) {
        codes.extend_from_slice(&stream.at(i).to_le_bytes().map(|byte| table[usize::from(byte)]));
    }
    codes.truncate(weights as usize);
    QuantisedTensor {
        n,
        k,
        format,
        codes,
        scales: (0..groups).map(|g| f16::from_f32(scale * size(g))).collect(),
        zeros: match kind.zero_bits() {
            0 => vec![],
            // Around the middle, so that the mean over many groups is zero.
            bits => (0..groups).map(|g| (1 << (bits - 2)) + zero(g) % (1 << (bits - 1))).collect(),
        },
    }
}

fn code(kind: WeightKind, byte: u8) -> u8 {
    match kind {
        WeightKind::Int1 => byte & 1,
        WeightKind::Int158 => ((u16::from(byte) * 3) >> 8) as u8,
        WeightKind::Int2 | WeightKind::Int3 | WeightKind::Int4 => byte & ((1 << kind.zero_bits()) - 1),
        _ if byte == 0x80 => 0,
        _ => byte,
    }
}

/// Standard deviation of q - z over codes and zero points as they are made up here.
fn deviation(kind: WeightKind) -> f32 {
    match kind {
        WeightKind::Int1 => 1.0,
        WeightKind::Int158 => 0.816,
        WeightKind::Int2 => 1.22,
        WeightKind::Int3 => 2.55,
        WeightKind::Int4 => 5.15,
        _ => 73.6,
    }
}

/// A model of made-up numbers: only its dimensions are known.
#[derive(Clone, PartialEq, Debug)]
pub struct Synthetic {
    /// The dimensions.
    pub model: Model,
    /// Of the layers' matrices, where the model does not say.
    pub weights: WeightFormat,
    /// Of the head.
    pub head: WeightFormat,
    /// Another seed, other numbers.
    pub seed: u64,
}

impl WeightSource for Synthetic {
    fn tensor(&self, name: &str, layer: Option<u32>) -> Result<Matrix, WeightError> {
        self.expert(name, layer, 0)
    }

    fn expert(&self, name: &str, layer: Option<u32>, expert: u32) -> Result<Matrix, WeightError> {
        let d = &self.model;
        if expert >= d.experts_of(name) {
            return Err(WeightError::Missing {
                what: "matrix",
                name: format!("{name} of expert {expert}"),
                layer,
            });
        }
        let (q, kv) = (d.q_width(), d.kv_width());
        // What goes back into the residual is small, the more so the deeper the model.
        let small = 1.0 / (2.0 * d.layers.max(1) as f32).sqrt();
        let (n, k, gain) = match (name, layer) {
            ("wq", Some(_)) => (q, d.hidden, 1.0),
            ("wk" | "wv", Some(_)) => (kv, d.hidden, 1.0),
            ("wo", Some(_)) => (d.hidden, q, small),
            ("w_router", Some(_)) if d.experts.is_some() => {
                (d.experts.map_or(1, |experts| experts.count), d.hidden, 4.0)
            }
            ("w_gate", Some(_)) if d.gated_mlp => (d.intermediate, d.hidden, 1.0),
            ("w_up", Some(_)) => (d.intermediate, d.hidden, 1.0),
            ("w_down", Some(_)) => (d.hidden, d.intermediate, small),
            ("head", None) => (d.vocab, d.hidden, 2.0),
            _ => return Err(WeightError::Missing { what: "matrix", name: name.into(), layer }),
        };
        let mixed = layer.and_then(|layer| d.mix.as_ref()?.format(name, layer));
        let format = mixed.unwrap_or(if layer.is_some() { self.weights } else { self.head });
        let stream = match expert {
            0 => Stream::new(self.seed, name, layer),
            _ => Stream::new(self.seed, &format!("{name}.{expert}"), layer),
        };
        if format.kind.is_float() {
            let unit = gain / (k as f32).sqrt();
            let values =
                (0..u64::from(n) * u64::from(k)).map(|i| f16::from_f32(unit * stream.normal(i))).collect();
            return Ok(Matrix::Floats(FloatTensor { n, k, values }));
        }
        Ok(match format.kind.blocks() {
            Some(_) => Matrix::Blocks(synthetic_blocks(stream, n, k, format.kind, gain)),
            None => Matrix::Codes(synthetic_tensor(stream, n, k, format, gain)),
        })
    }

    fn vector(&self, name: &str, layer: Option<u32>) -> Result<Vec<f16>, WeightError> {
        let d = &self.model;
        // A norm's weights are around 1; biases, behind them or alone, around 0.
        let (n, mean) = match (name, layer) {
            ("attn_norm" | "mlp_norm", Some(_)) | ("final_norm", None) => (d.hidden, 1.0),
            ("attn_post_norm" | "mlp_post_norm", Some(_)) if d.post_norms => (d.hidden, 1.0),
            ("embedding_norm", None) if d.embedding_norm => (d.hidden, 1.0),
            ("attn_sub_norm", Some(_)) if d.sub_norms => (d.q_width(), 1.0),
            ("ffn_sub_norm", Some(_)) if d.sub_norms => (d.intermediate, 1.0),
            ("bq", Some(_)) if d.qkv_bias => (d.q_width(), 0.0),
            ("bk" | "bv", Some(_)) if d.qkv_bias => (d.kv_width(), 0.0),
            ("bo", Some(_)) if d.output_bias => (d.hidden, 0.0),
            ("b_up", Some(_)) if d.mlp_bias => (d.intermediate, 0.0),
            ("b_down", Some(_)) if d.mlp_bias => (d.hidden, 0.0),
            _ => return Err(WeightError::Missing { what: "vector", name: name.into(), layer }),
        };
        let stream = Stream::new(self.seed, name, layer);
        let number = |i, mean: f32| f16::from_f32(mean + 0.25 * stream.uniform(i));
        let len = u64::from(if mean == 0.0 { n } else { d.norm_len(n) });
        Ok((0..len).map(|i| number(i, if i < u64::from(n) { mean } else { 0.0 })).collect())
    }

    fn embedding_row(&self, token: u32) -> Result<Vec<f16>, WeightError> {
        let d = &self.model;
        if token >= d.vocab {
            return Err(WeightError::Token { token, vocab: d.vocab });
        }
        Ok(self.row("token_embd", token, 1.0))
    }

    fn position_row(&self, row: u32) -> Result<Vec<f16>, WeightError> {
        let rows = match self.model.positions {
            Positions::Learned(learned) => self.model.context + learned.offset,
            Positions::Rotary(_) | Positions::Alibi => 0,
        };
        if row >= rows {
            return Err(WeightError::Position { row, rows });
        }
        Ok(self.row("position_embd", row, 0.25))
    }
}

impl Synthetic {
    /// A row of a table as wide as the residual.
    fn row(&self, name: &str, row: u32, size: f32) -> Vec<f16> {
        let width = u64::from(self.model.hidden);
        let (stream, first) = (Stream::new(self.seed, name, None), u64::from(row) * width);
        let row: Vec<f32> = (first..first + width).map(|i| size * stream.normal(i)).collect();
        Vec::from_f32_slice(&row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{KINDS, format};
    use lutsim_isa::Group;

    #[test]
    fn unit_in_unit_out() {
        for kind in KINDS {
            let (n, k) = (64, 512);
            let w = synthetic_tensor(Stream::new(1, "w", None), n, k, format(kind, Group::Of(32)), 1.0)
                .dequantise();
            let x: Vec<f32> = (0..k).map(|i| Stream::new(1, "x", None).normal(u64::from(i))).collect();
            let dot = |row: &[f32]| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>();
            let power = w.chunks(k as usize).map(|row| dot(row).powi(2)).sum::<f32>() / n as f32;
            assert!((0.5..2.0).contains(&power), "{kind}: {power}");
        }
    }

    #[test]
    fn a_number_is_a_function_of_its_name() {
        let of = |seed, name, layer| Stream::new(seed, name, layer).at(5);
        assert_eq!(of(1, "a", None), of(1, "a", None));
        let all =
            [of(1, "a", None), of(2, "a", None), of(1, "b", None), of(1, "a", Some(0)), of(1, "a", Some(1))];
        for (i, x) in all.iter().enumerate() {
            assert!(!all[..i].contains(x));
        }
        let x: Vec<f32> = (0..4096).map(|i| Stream::new(7, "n", None).normal(i)).collect();
        let (mean, power) = (x.iter().sum::<f32>() / 4096.0, x.iter().map(|x| x * x).sum::<f32>() / 4096.0);
        assert!(mean.abs() < 0.05 && (power - 1.0).abs() < 0.06, "{mean} {power}");
    }
}
