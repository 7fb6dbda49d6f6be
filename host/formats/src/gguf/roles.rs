//! Which tensor is what: names become roles, and each role's dimensions are checked against the model's.

use std::collections::BTreeMap;

use super::Gguf;
use crate::dimensions::{Dimensions, Family, Norm, Positions};
use crate::error::FormatError;
use crate::tensor::Tensor;

/// What a tensor is for. Those from [`Role::AttnNorm`] on are there once per layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Role {
    TokenEmbd,
    TokenEmbdNorm,
    PositionEmbd,
    OutputNorm,
    Output,
    RopeFreqs,
    RopeFactorsLong,
    RopeFactorsShort,
    AttnNorm,
    AttnQ,
    AttnK,
    AttnV,
    AttnQkv,
    AttnOutput,
    AttnSubNorm,
    AttnPostNorm,
    FfnNorm,
    FfnGate,
    FfnUp,
    FfnDown,
    FfnSubNorm,
    FfnPostNorm,
    FfnGateInp,
    FfnGateExps,
    FfnUpExps,
    FfnDownExps,
}

use Role::*;

/// Roles and their names in files (TENSOR_NAMES of gguf-py in ggml-org/llama.cpp).
const NAMES: &[(Role, &str)] = &[
    (TokenEmbd, "token_embd"),
    (TokenEmbdNorm, "token_embd_norm"),
    (PositionEmbd, "position_embd"),
    (OutputNorm, "output_norm"),
    (Output, "output"),
    (RopeFreqs, "rope_freqs"),
    (RopeFactorsLong, "rope_factors_long"),
    (RopeFactorsShort, "rope_factors_short"),
    (AttnNorm, "attn_norm"),
    (AttnQ, "attn_q"),
    (AttnK, "attn_k"),
    (AttnV, "attn_v"),
    (AttnQkv, "attn_qkv"),
    (AttnOutput, "attn_output"),
    (AttnSubNorm, "attn_sub_norm"),
    (AttnPostNorm, "post_attention_norm"),
    (FfnNorm, "ffn_norm"),
    (FfnGate, "ffn_gate"),
    (FfnUp, "ffn_up"),
    (FfnDown, "ffn_down"),
    (FfnSubNorm, "ffn_sub_norm"),
    (FfnPostNorm, "post_ffw_norm"),
    (FfnGateInp, "ffn_gate_inp"),
    (FfnGateExps, "ffn_gate_exps"),
    (FfnUpExps, "ffn_up_exps"),
    (FfnDownExps, "ffn_down_exps"),
];

/// Which tensor of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The matrix, or a norm's factors.
    Weight,
    /// What is added.
    Bias,
    /// A factor of the whole matrix (some BitNet files).
    Scale,
}

const PARTS: [(Part, &str); 3] = [(Part::Weight, "weight"), (Part::Bias, "bias"), (Part::Scale, "scale")];

/// Where a tensor belongs: its layer (0 for those that are no layer's), its role, and its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Layer.
    pub layer: u32,
    /// Role.
    pub role: Role,
    /// Part.
    pub part: Part,
}

impl Role {
    /// Whether each layer has one.
    pub fn per_layer(self) -> bool {
        self >= AttnNorm
    }
    fn norm(self) -> bool {
        matches!(
            self,
            TokenEmbdNorm
                | OutputNorm
                | AttnNorm
                | AttnSubNorm
                | AttnPostNorm
                | FfnNorm
                | FfnSubNorm
                | FfnPostNorm
        )
    }
    /// Dimensions of its weight, fastest first.
    fn dims(self, d: &Dimensions) -> [u64; 4] {
        let of = |v: u32| u64::from(v);
        let (hidden, ff, vocab) = (of(d.hidden), of(d.intermediate), of(d.vocab));
        let (q, kv) = (of(d.heads) * of(d.head_dim), of(d.kv_heads) * of(d.head_dim));
        let experts = d.experts.map_or(1, |e| of(e.count));
        let rotary = match &d.positions {
            Positions::Rotary(rotary) => of(rotary.dims) / 2,
            _ => 0,
        };
        let rows = match d.positions {
            Positions::Learned { offset } => of(d.context) + of(offset),
            _ => 0,
        };
        // Phi-3 keeps gate and up in one matrix.
        let up = if d.family == Family::Phi3 { 2 * ff } else { ff };
        match self {
            TokenEmbd | Output => [hidden, vocab, 1, 1],
            PositionEmbd => [hidden, rows, 1, 1],
            TokenEmbdNorm | OutputNorm | AttnNorm | AttnPostNorm | FfnNorm | FfnPostNorm => [hidden, 1, 1, 1],
            RopeFreqs | RopeFactorsLong | RopeFactorsShort => [rotary, 1, 1, 1],
            AttnQ => [hidden, q, 1, 1],
            AttnK | AttnV => [hidden, kv, 1, 1],
            AttnQkv => [hidden, q + 2 * kv, 1, 1],
            AttnOutput => [q, hidden, 1, 1],
            AttnSubNorm => [q, 1, 1, 1],
            FfnGate => [hidden, ff, 1, 1],
            FfnUp => [hidden, up, 1, 1],
            FfnDown => [ff, hidden, 1, 1],
            FfnSubNorm => [ff, 1, 1, 1],
            FfnGateInp => [hidden, experts, 1, 1],
            FfnGateExps | FfnUpExps => [hidden, ff, experts, 1],
            FfnDownExps => [ff, hidden, experts, 1],
        }
    }
}

impl Place {
    /// The place of a name; none if no role has it.
    pub fn of(name: &str) -> Option<Place> {
        let (stem, part) = name.rsplit_once('.')?;
        let part = PARTS.iter().find(|(_, n)| *n == part)?.0;
        let (layer, stem) = match stem.strip_prefix("blk.") {
            Some(rest) => {
                let (layer, stem) = rest.split_once('.')?;
                (Some(layer.parse().ok()?), stem)
            }
            None => (None, stem),
        };
        let role = NAMES.iter().find(|(_, n)| *n == stem)?.0;
        (role.per_layer() == layer.is_some()).then_some(Place { layer: layer.unwrap_or(0), role, part })
    }
    /// Its name in files.
    pub fn name(&self) -> String {
        let stem = NAMES[self.role as usize].1;
        let part = PARTS[self.part as usize].1;
        if self.role.per_layer() {
            format!("blk.{}.{stem}.{part}", self.layer)
        } else {
            format!("{stem}.{part}")
        }
    }
}

/// A model in a GGUF file: its dimensions and every tensor in its place.
#[derive(Debug, Clone)]
pub struct GgufModel<'a> {
    /// Its dimensions.
    pub dimensions: Dimensions,
    tensors: BTreeMap<Place, Tensor<'a>>,
}

impl<'a> GgufModel<'a> {
    /// The model of a file.
    ///
    /// # Errors
    /// As [`Dimensions::of_gguf`]; a tensor that has no role, other dimensions than the model's, or is missing.
    pub fn of(file: &Gguf<'a>) -> Result<GgufModel<'a>, FormatError> {
        let dimensions = Dimensions::of_gguf(file)?;
        let mut tensors = BTreeMap::new();
        for tensor in file.tensors() {
            let wrong =
                |found: String, expected: String| Err(FormatError::tensor(tensor.name(), found, expected));
            let Some(place) = Place::of(tensor.name()).filter(|place| place.name() == tensor.name()) else {
                return wrong("a name that has no role".into(), "those of the model's architecture".into());
            };
            if place.role.per_layer() && place.layer >= dimensions.layers {
                return wrong(format!("layer {}", place.layer), format!("{} layers", dimensions.layers));
            }
            let dims = place.role.dims(&dimensions);
            let dims = match place.part {
                Part::Weight => dims,
                Part::Bias if place.role.norm() => dims,
                Part::Bias => [dims[1], dims[2], 1, 1],
                Part::Scale => [1; 4],
            };
            if tensor.dims() != dims {
                return wrong(format!("dimensions {:?}", tensor.dims()), format!("{dims:?}"));
            }
            tensors.insert(place, tensor);
        }
        let model = GgufModel { dimensions, tensors };
        model.check()?;
        Ok(model)
    }
    /// The tensor of a place, if it is there.
    pub fn get(&self, place: Place) -> Option<Tensor<'a>> {
        self.tensors.get(&place).copied()
    }
    /// The tensor of a place.
    ///
    /// # Errors
    /// If it is not there.
    pub fn tensor(&self, place: Place) -> Result<Tensor<'a>, FormatError> {
        self.get(place).ok_or_else(|| FormatError::tensor(place.name(), "not there", "this tensor"))
    }
    /// Every place and its tensor: what is no layer's among layer 0's.
    pub fn tensors(&self) -> impl Iterator<Item = (Place, Tensor<'a>)> + '_ {
        self.tensors.iter().map(|(place, tensor)| (*place, *tensor))
    }
    /// Roles that layer `layer` cannot run without, and whether their bias is needed too.
    fn needed(&self, layer: u32) -> impl Iterator<Item = (Role, bool)> + use<> {
        let d = &self.dimensions;
        let row = d.family.row();
        let fused = self.get(Place { layer, role: AttnQkv, part: Part::Weight }).is_some();
        let experts = d.experts.is_some();
        // A norm has a bias if it centres.
        let centred = d.norm == Norm::Layer;
        [
            (true, AttnNorm, centred),
            (fused, AttnQkv, d.qkv_bias),
            (!fused, AttnQ, d.qkv_bias),
            (!fused, AttnK, d.qkv_bias),
            (!fused, AttnV, d.qkv_bias),
            (true, AttnOutput, d.output_bias),
            (row.sub_norms, AttnSubNorm, centred),
            (row.post_norms, AttnPostNorm, centred),
            (true, FfnNorm, centred),
            (row.gated && !experts && d.family != Family::Phi3, FfnGate, false),
            (!experts, FfnUp, d.mlp_bias),
            (!experts, FfnDown, d.mlp_bias),
            (experts, FfnGateInp, false),
            (experts, FfnGateExps, false),
            (experts, FfnUpExps, false),
            (experts, FfnDownExps, false),
            (row.sub_norms, FfnSubNorm, centred),
            (row.post_norms, FfnPostNorm, centred),
        ]
        .into_iter()
        .filter(|(yes, ..)| *yes)
        .map(|(_, role, bias)| (role, bias))
    }
    fn check(&self) -> Result<(), FormatError> {
        let d = &self.dimensions;
        let centred = d.norm == Norm::Layer;
        let outside = [
            (true, TokenEmbd, false),
            (matches!(d.positions, Positions::Learned { .. }), PositionEmbd, false),
            (d.family.row().embedding_norm, TokenEmbdNorm, centred),
            (true, OutputNorm, centred),
        ];
        let outside = outside.into_iter().filter(|(yes, ..)| *yes).map(|(_, role, bias)| (0, role, bias));
        // Lazily: the number of layers is the file's, and the first one that is not there ends the walk.
        let layers =
            (0..d.layers).flat_map(|layer| self.needed(layer).map(move |(role, bias)| (layer, role, bias)));
        for (layer, role, bias) in outside.chain(layers) {
            self.tensor(Place { layer, role, part: Part::Weight })?;
            if bias {
                self.tensor(Place { layer, role, part: Part::Bias })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_roles() {
        for (i, (role, name)) in NAMES.iter().enumerate() {
            assert_eq!(*role as usize, i, "{name}");
        }
        for (i, (part, name)) in PARTS.iter().enumerate() {
            assert_eq!(*part as usize, i, "{name}");
        }
        let place = Place { layer: 12, role: FfnDown, part: Part::Bias };
        assert_eq!(Place::of("blk.12.ffn_down.bias"), Some(place));
        assert_eq!(place.name(), "blk.12.ffn_down.bias");
        for name in
            ["token_embd", "blk.x.attn_q.weight", "blk.0.output.weight", "attn_q.weight", "blk.0.attn_q.min"]
        {
            assert_eq!(Place::of(name), None, "{name}");
        }
    }
}
