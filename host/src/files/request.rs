//! A file's matrices in another type, on request: rounded to nearest, or with scales chosen by what a text feeds them.
//!
//! With a text, each group of weights w takes the scale (and zero point) of a few that makes
//!
//! ```text
//! sum over k of mean(x_k^2) (w_k - rounded w_k)^2
//! ```
//! least, where x are the activations that meet input k when the text is read in floats: inputs that are large are kept
//! well (the importance of llama.cpp's `imatrix`, the observation of AWQ, arXiv 2306.00978). Nothing else of the model changes.

use lutsim_formats::roles::Role;
use lutsim_isa::{WeightFormat, WeightKind};

use super::{FileError, FileModel};
use crate::quantize::{QuantiseError, QuantisedTensor, RoundedGroup, level, round_group};
use crate::reference::{Numerics, Reference};
use crate::weights::WeightError;

/// What the layers' matrices are to be, and what their inputs weigh.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The type.
    pub format: WeightFormat,
    /// What a text fed them, if one was read.
    pub importance: Option<Importance>,
}

/// Mean squares of the inputs of each layer's matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Of each layer, of each [`Input`].
    layers: Vec<[Vec<f64>; 4]>,
    /// Tokens that were read.
    tokens: u32,
}

/// What a matrix multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// The normed residual, before attention.
    Attention,
    /// Attention's result.
    Output,
    /// The normed residual, before the MLP.
    Mlp,
    /// The MLP's hidden activations.
    Down,
}

impl Input {
    /// Of a matrix of the machine.
    pub(super) fn of(name: &str) -> Input {
        match name {
            "wo" => Input::Output,
            "w_gate" | "w_up" => Input::Mlp,
            "w_down" => Input::Down,
            _ => Input::Attention,
        }
    }
    /// Of a matrix of a file.
    pub(super) fn of_role(role: Role) -> Input {
        match role {
            Role::AttnOutput => Input::Output,
            Role::FfnGate | Role::FfnUp => Input::Mlp,
            Role::FfnDown => Input::Down,
            _ => Input::Attention,
        }
    }
    /// That is what comes out of the operator of this name, the last one of a layer before the matrix.
    fn heard(name: &str) -> Option<Input> {
        match name {
            "attn_norm" => Some(Input::Attention),
            "attention" | "attn_sub_norm" => Some(Input::Output),
            "mlp_norm" => Some(Input::Mlp),
            "gate_up" | "up_proj" | "ffn_sub_norm" => Some(Input::Down),
            _ => None,
        }
    }
}

impl Importance {
    /// Reads `ids` in floats, from an empty cache.
    ///
    /// # Errors
    /// Weights that cannot be read; a token beyond the vocabulary.
    pub fn of(file: &FileModel<'_>, ids: &[u32]) -> Result<Self, WeightError> {
        let reference = Reference::new(file.model.clone(), file, Numerics::Float)?;
        let mut cache = reference.cache(0);
        let mut layers: Vec<[Vec<f64>; 4]> = vec![Default::default(); file.model.layers as usize];
        for &id in ids {
            // Layers that have begun.
            let mut begun = 0;
            // What was heard last of each input: a norm comes behind what it norms.
            let mut last: [Vec<f32>; 4] = Default::default();
            reference.watched(&mut cache, &[id], &mut |name, y| {
                begun += usize::from(name == "attn_norm");
                if let Some(input) = Input::heard(name) {
                    last[input as usize] = y.concat();
                }
                if name == "down_proj" {
                    for (sums, y) in layers[begun - 1].iter_mut().zip(&last) {
                        sums.resize(sums.len().max(y.len()), 0.0);
                        sums.iter_mut().zip(y).for_each(|(sum, y)| *sum += f64::from(*y).powi(2));
                    }
                }
            })?;
        }
        Ok(Self { layers, tokens: ids.len() as u32 })
    }
    /// Tokens that were read.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }
    fn weights(&self, layer: u32, input: Input) -> &[f64] {
        &self.layers[layer as usize][input as usize]
    }
}

impl Request {
    /// Whether weights can be made in this type.
    pub(super) fn check(&self) -> Result<(), FileError> {
        let kind = self.format.kind;
        if kind.is_kv() || kind.is_float() || kind.blocks().is_some() {
            let why = QuantiseError::NotOurs { kind }.to_string();
            return Err(FileError::Weights { tensor: "--weights".into(), why });
        }
        Ok(())
    }
    /// An `n` x `k` matrix of a layer in the type.
    pub(super) fn quantise(
        &self,
        values: &[f32],
        (n, k): (u32, u32),
        (layer, input): (u32, Input),
    ) -> Result<QuantisedTensor, QuantiseError> {
        let plain = QuantisedTensor::quantise(values, n, k, self.format)?;
        match &self.importance {
            Some(importance) => Ok(weighed(plain, values, importance.weights(layer, input))),
            None => Ok(plain),
        }
    }
}

/// Scales that are tried, as parts of the one that rounding to nearest takes: smaller ones cut the group's ends; of one bit
/// and of ternary weights, whose scale is a mean, larger ones too.
fn factors(kind: WeightKind) -> impl Iterator<Item = f32> {
    let most = if matches!(kind, WeightKind::Int1 | WeightKind::Int158) { 40 } else { 20 };
    (7..=most).rev().map(|i| i as f32 / 20.0)
}

/// The tensor with each group's scale chosen anew; of equals the one it has.
fn weighed(mut t: QuantisedTensor, values: &[f32], importance: &[f64]) -> QuantisedTensor {
    let (k, groups) = (t.k as usize, t.groups() as usize);
    let size = t.format.group.size(t.k) as usize;
    for (i, group) in (0..t.n as usize).flat_map(|n| (0..groups).map(move |g| (n, g))).enumerate() {
        let (n, g) = group;
        let span = n * k + g * size..(n * k + (g + 1) * size).min((n + 1) * k);
        let (part, weights) = (&values[span.clone()], &importance[g * size..][..span.len()]);
        let error = |group: &RoundedGroup| -> f64 {
            let (s, z) = (group.scale.to_f32(), group.zero.unwrap_or(0));
            let levels = group.codes.iter().map(|&code| s * level(t.format.kind, code, z) as f32);
            part.iter().zip(levels).zip(weights).map(|((x, y), h)| h * f64::from(x - y).powi(2)).sum()
        };
        let (scale, zero) = (t.scales[i], t.zeros.get(i).copied());
        let mut best = RoundedGroup { scale, zero, codes: t.codes[span.clone()].to_vec() };
        let mut least = error(&best);
        for factor in factors(t.format.kind) {
            let Ok(next) = round_group(t.format.kind, part, factor) else { continue };
            let error = error(&next);
            if error < least {
                (least, best) = (error, next);
            }
        }
        t.scales[i] = best.scale;
        if let Some(zero) = best.zero {
            t.zeros[i] = zero;
        }
        t.codes[span].copy_from_slice(&best.codes);
    }
    t
}
