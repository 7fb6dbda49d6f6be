//! What tensors are for: roles, their dimensions in a model, and which ones it cannot run without.

use crate::dimensions::{Dimensions, Family, Norm, Positions};
use crate::error::FormatError;

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
}

const PARTS: [(Part, &str); 2] = [(Part::Weight, "weight"), (Part::Bias, "bias")];

/// Where a tensor belongs: its layer (0 for those that are no layer's), its role, and its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Layer.
    pub layer: u32,
    /// Role.
    pub role: Role,
    /// Part.
    pub part: Part,
    /// Expert, in files that have a matrix for each; otherwise 0.
    pub expert: u32,
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
    /// The weight of a role.
    pub fn weight(layer: u32, role: Role) -> Place {
        Place { layer, role, part: Part::Weight, expert: 0 }
    }
    /// Dimensions in a model, fastest first, all experts in one.
    pub fn dims(&self, d: &Dimensions) -> [u64; 4] {
        let dims = self.role.dims(d);
        match self.part {
            Part::Weight => dims,
            Part::Bias if self.role.norm() => dims,
            Part::Bias => [dims[1], dims[2], 1, 1],
        }
    }
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
        (role.per_layer() == layer.is_some()).then_some(Place {
            layer: layer.unwrap_or(0),
            role,
            part,
            expert: 0,
        })
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

/// What a layer consists of, and whether with a bias; its queries, keys and values in one or not.
fn layer_roles(d: &Dimensions, fused: bool) -> impl Iterator<Item = (Role, bool)> + use<> {
    let row = d.family.row();
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

/// What a model has outside of its layers, and whether with a bias.
fn outside_roles(d: &Dimensions) -> impl Iterator<Item = (Role, bool)> + use<> {
    let centred = d.norm == Norm::Layer;
    [
        (true, TokenEmbd, false),
        (matches!(d.positions, Positions::Learned { .. }), PositionEmbd, false),
        (d.family.row().embedding_norm, TokenEmbdNorm, centred),
        (true, OutputNorm, centred),
        (!d.tied, Output, false),
    ]
    .into_iter()
    .filter(|(yes, ..)| *yes)
    .map(|(_, role, bias)| (role, bias))
}

/// Whether a model has a use for a place; `fused` says whether its layer has queries, keys and values in one.
pub(crate) fn used(d: &Dimensions, place: &Place, fused: bool) -> bool {
    let of = |(role, bias)| place.role == role && (bias || place.part == Part::Weight);
    match place.role {
        // Divisors: they are in the dimensions.
        RopeFreqs | RopeFactorsLong | RopeFactorsShort => {
            matches!(d.positions, Positions::Rotary(_)) && place.part == Part::Weight
        }
        role if role.per_layer() => layer_roles(d, fused).any(of),
        _ => outside_roles(d).any(of),
    }
}

/// Checks that every place that is there has a use in the model, and that whatever it cannot run without is there; `name` is
/// what the file calls a place.
pub(crate) fn check_places<'p>(
    d: &Dimensions,
    mut places: impl Iterator<Item = &'p Place>,
    has: impl Fn(Place) -> bool,
    name: impl Fn(&Place) -> String,
) -> Result<(), FormatError> {
    let fused = |layer| {
        let weight = Place::weight(layer, AttnQkv);
        has(weight) || has(Place { part: Part::Bias, ..weight })
    };
    if let Some(place) = places.find(|place| !used(d, place, fused(place.layer))) {
        let expected = format!("none: this {:?} has no use for it", d.family);
        return Err(FormatError::tensor(name(place), "there", expected));
    }
    let outside = outside_roles(d).map(|(role, bias)| (0, role, bias));
    // Lazily: the number of layers is the file's, and the first one that is not there ends the walk.
    let layers = (0..d.layers)
        .flat_map(|layer| layer_roles(d, fused(layer)).map(move |(role, bias)| (layer, role, bias)));
    for (layer, role, bias) in outside.chain(layers) {
        let weight = Place::weight(layer, role);
        let bias = bias.then_some(Place { part: Part::Bias, ..weight });
        if let Some(missing) = [weight].into_iter().chain(bias).find(|&place| !has(place)) {
            return Err(FormatError::tensor(name(&missing), "not there", "this tensor"));
        }
    }
    Ok(())
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
        let place = Place { layer: 12, role: FfnDown, part: Part::Bias, expert: 0 };
        assert_eq!(Place::of("blk.12.ffn_down.bias"), Some(place));
        assert_eq!(place.name(), "blk.12.ffn_down.bias");
        for name in
            ["token_embd", "blk.x.attn_q.weight", "blk.0.output.weight", "attn_q.weight", "blk.0.attn_q.min"]
        {
            assert_eq!(Place::of(name), None, "{name}");
        }
    }
}
