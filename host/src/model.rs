//! A model's dimensions: `configs/models/*.toml`, embedded.

mod file;
pub(crate) mod rotary;

use lutsim_isa::WeightFormat;
use lutsim_isa::field::{Act, Norm};
use serde::Deserialize;

use crate::error::HostError;
use crate::layout::shapes;
use crate::mix::{Mix, Repeat, fold};
pub use rotary::{Bands, RopeConfig, RopeScaling};

/// A decoder-only transformer.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    /// Name.
    pub name: String,
    /// Architecture family.
    pub family: String,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the MLP.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Most tokens of a sequence.
    pub context: u32,
    /// Whether the head is the embedding. The image then still holds both: embedding rows as FP16, the head in its own type.
    pub tied_embeddings: bool,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether there is a norm before the output projection and one before the down projection.
    pub sub_norms: bool,
    /// Whether there is a norm behind attention and one behind the MLP, before they are added to the residual.
    pub post_norms: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// Whether the up and down projections have a bias.
    pub mlp_bias: bool,
    /// Whether there is a norm behind the embedding.
    pub embedding_norm: bool,
    /// Whether the MLP is f(gate) * up; otherwise it is f(up).
    pub gated_mlp: bool,
    /// Activation of the gate, or of the MLP without one.
    pub activation: Act,
    /// What every norm is.
    pub norm: Norm,
    /// Epsilon of every norm.
    pub norm_eps: f32,
    /// How the model knows where a token is.
    pub positions: Positions,
    /// Scores are divided by the root of this; none means the width of a head.
    pub query_scalar: Option<f32>,
    /// Scores x become cap * tanh(x / cap) before the softmax.
    pub score_cap: Option<f32>,
    /// Logits likewise.
    pub logit_cap: Option<f32>,
    /// Attention to the nearest tokens only, in some layers or all.
    pub window: Option<Window>,
    /// Experts of each MLP.
    pub experts: Option<Experts>,
    /// Types of the layers' matrices, if a file has several; otherwise all are of the workload's.
    pub mix: Option<Mix>,
    /// Published size.
    pub published: Published,
}

/// How a model knows where a token is.
#[derive(Clone, PartialEq, Debug)]
pub enum Positions {
    /// Queries and keys are rotated.
    Rotary(RopeConfig),
    /// A learned row is added to the embedding.
    Learned(LearnedPositions),
    /// A slope for each head times the key's position is added to its scores (arXiv 2108.12409).
    Alibi,
}

/// Experts of an MLP: each is one of the model's width, and a token takes those that a router gives the most weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// How many there are.
    pub count: u32,
    /// How many a token takes.
    pub used: u32,
}

/// Attention to the nearest tokens only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Tokens, the query's own included.
    pub tokens: u32,
    /// Which layers look no further.
    pub layers: WindowLayers,
}

/// Which layers have a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowLayers {
    /// All.
    All,
    /// Layers 0, 2, 4, ... (Gemma 2).
    Even,
    /// Layers from this one on (Qwen2's `max_window_layers`).
    From(u32),
}

/// A table of learned rows, one per position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedPositions {
    /// Row of position 0: 2 in OPT, whose first rows were meant for padding.
    pub offset: u32,
}

/// What the model's authors say.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Parameters, 10^9.
    pub parameters_billion: f64,
    /// Where dimensions and size come from.
    pub source: String,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Built-in models: name and text, in the order they are listed.
        const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../configs/models/", $name, ".toml")))),*];
    };
}
builtin!(
    "tiny-2l",
    "llama-2-7b",
    "llama-2-13b",
    "llama-2-70b",
    "llama-2-chat-drafter-115m",
    "llama-3-8b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "qwen2.5-0.5b",
    "qwen2.5-1.5b",
    "phi-3-mini-4k",
    "bitnet-b1.58-2b4t",
    "bitnet-b1.58-3b",
    "opt-6.7b",
    "opt-175b",
    "bloom-176b",
    "mixtral-8x7b",
);

impl Model {
    /// Names of the built-in models.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }
    /// A built-in model, by name, with or without `.toml`.
    pub fn builtin(name: &str) -> Result<Model, HostError> {
        let bare = name.strip_suffix(".toml").unwrap_or(name);
        match BUILTIN.iter().find(|(n, _)| *n == bare) {
            Some((n, text)) => Model::parse(&format!("{n}.toml"), text),
            None => {
                let near = Model::names().map(|n| (strsim::levenshtein(n, &bare.to_lowercase()), n)).min();
                Err(HostError::UnknownModel {
                    name: name.into(),
                    // No more than half of what was typed may be wrong.
                    near: near.filter(|(d, _)| *d <= 4.min(bare.len() / 2)).map(|(_, n)| n.into()),
                    known: Model::names().map(String::from).collect(),
                })
            }
        }
    }
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("intermediate", self.intermediate),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("vocab", self.vocab),
            ("context", self.context),
        ] {
            if value == 0 || value >= 1 << 20 {
                return Err((key, format!("{value} is not between 1 and 1048575")));
            }
        }
        // Sizes in instructions have 20 bits: that of a row, and that of a norm's weights and biases.
        if u64::from(self.heads) * u64::from(self.head_dim) >= 1 << 20 {
            return Err(("heads", format!("{} of {} are more than 1048575", self.heads, self.head_dim)));
        }
        let sub_norms = [("heads", self.q_width()), ("intermediate", self.intermediate)];
        let normed = sub_norms.into_iter().filter(|_| self.sub_norms).chain([("hidden", self.hidden)]);
        for (key, cols) in normed {
            if self.norm_len(cols) >= 1 << 20 {
                return Err((key, format!("a norm of rows of {cols} has more than 1048575 numbers")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(("kv_heads", format!("{} heads cannot share {} evenly", self.heads, self.kv_heads)));
        }
        for (key, value) in
            [("hidden", self.hidden), ("head_dim", self.head_dim), ("intermediate", self.intermediate)]
        {
            if !value.is_multiple_of(4) {
                return Err((key, format!("{value} is not a multiple of 4, the activations of one table")));
            }
        }
        match &self.positions {
            Positions::Rotary(rope) if !rope.dims.is_multiple_of(2) || rope.dims > self.head_dim => {
                return Err(("dims", format!("{} is not even or is more than head_dim", rope.dims)));
            }
            Positions::Learned(learned) if learned.offset >= 1 << 20 => {
                return Err(("offset", format!("{} is not below 1048576", learned.offset)));
            }
            _ => {}
        }
        for (key, value) in [
            ("query_scalar", self.query_scalar),
            ("score_cap", self.score_cap),
            ("logit_cap", self.logit_cap),
        ] {
            if let Some(value) = value.filter(|v| !(*v > 0.0 && v.is_finite())) {
                return Err((key, format!("{value} is not a positive number")));
            }
        }
        match self.window {
            Some(window) if window.tokens == 0 || window.tokens >= 1 << 20 => {
                return Err(("window", format!("{} tokens are not between 1 and 1048575", window.tokens)));
            }
            Some(_) if self.positions == Positions::Alibi => {
                return Err(("window", "there is no softmax with linear biases and a window".into()));
            }
            _ => {}
        }
        if let Some(Experts { count, used }) = self.experts {
            if used == 0 || used > count || count > 1024 {
                return Err(("experts", format!("a token cannot take {used} of {count} (1024 at most)")));
            }
            if !self.gated_mlp || self.sub_norms || self.post_norms {
                return Err(("experts", "they must have a gate, and no norm but the one before them".into()));
            }
        }
        if self.gated_mlp && self.mlp_bias {
            return Err(("mlp_bias", "an MLP with a gate cannot have biases".into()));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(("norm_eps", format!("{} is not between 0 and 1", self.norm_eps)));
        }
        Ok(())
    }
    /// How many of a layer's matrices have this name: as many as there are experts, if each has one.
    pub fn experts_of(&self, name: &str) -> u32 {
        let own = matches!(name, "w_gate" | "w_up" | "w_down");
        self.experts.filter(|_| own).map_or(1, |experts| experts.count)
    }
    /// The types of the layers' matrices and how many weights are of each, most first; all are `weights` unless they are mixed.
    pub fn weight_types(&self, weights: WeightFormat) -> Vec<(WeightFormat, u64)> {
        let mut sizes: Vec<(WeightFormat, u64)> = Vec::new();
        for layer in 0..self.layers {
            for (name, n, k) in shapes(self) {
                let format = self.mix.as_ref().and_then(|mix| mix.format(name, layer)).unwrap_or(weights);
                let size = u64::from(self.experts_of(name)) * u64::from(n) * u64::from(k);
                match sizes.iter_mut().find(|s| s.0 == format) {
                    Some((_, sum)) => *sum += size,
                    None => sizes.push((format, size)),
                }
            }
        }
        sizes.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
        sizes
    }
    /// The same in words.
    pub fn weight_names(&self, weights: WeightFormat) -> String {
        let types = self.weight_types(weights);
        types.iter().map(|(format, _)| format.kind.name()).collect::<Vec<_>>().join("+")
    }
    /// The loops over its layers.
    pub fn repeats(&self) -> Vec<Repeat> {
        let types = |layer| self.mix.as_ref().map_or(0, |mix| mix.layers()[layer as usize]);
        // Layers are alike if their types are, and if they look back as far.
        let alike = |layer| 2 * types(layer) + usize::from(self.window(layer).is_some());
        let mut repeats = fold(&(0..self.layers).map(alike).collect::<Vec<_>>());
        repeats.iter_mut().flat_map(|repeat| &mut repeat.kinds).for_each(|kind| *kind /= 2);
        repeats
    }
    /// Query heads that share a key and value head.
    pub fn group(&self) -> u32 {
        self.heads / self.kv_heads
    }
    /// Width of all query heads.
    pub fn q_width(&self) -> u32 {
        self.heads * self.head_dim
    }
    /// Width of all key heads, or of all value heads.
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }
    /// What scores are multiplied by.
    pub fn score_scale(&self) -> f32 {
        1.0 / self.query_scalar.unwrap_or(self.head_dim as f32).sqrt()
    }
    /// The tokens that a layer looks back on, if that is not all.
    pub fn window(&self, layer: u32) -> Option<u32> {
        let window = self.window?;
        let has = match window.layers {
            WindowLayers::All => true,
            WindowLayers::Even => layer.is_multiple_of(2),
            WindowLayers::From(first) => layer >= first,
        };
        has.then_some(window.tokens)
    }
    /// Its rotary embedding, if it has one.
    pub fn rope(&self) -> Option<&RopeConfig> {
        match &self.positions {
            Positions::Rotary(rope) => Some(rope),
            Positions::Learned(_) | Positions::Alibi => None,
        }
    }
    /// Elements that a norm of rows of `cols` has: weights, and biases behind them if it centres.
    pub fn norm_len(&self, cols: u32) -> u32 {
        match self.norm {
            Norm::Layer => 2 * cols,
            Norm::Rms | Norm::RmsPlusOne => cols,
        }
    }
    /// Parameters, counted from the dimensions.
    pub fn parameters(&self) -> u64 {
        let [d, f, q, kv] = [self.hidden, self.intermediate, self.q_width(), self.kv_width()].map(u64::from);
        let norm = |cols| u64::from(self.norm_len(cols));
        let given = |yes, count| if yes { count } else { 0 };
        let embedding = u64::from(self.vocab) * d;
        let experts = self.experts.map_or(1, |experts| u64::from(experts.count));
        let layer = d * (2 * q + 2 * kv)
            + given(self.experts.is_some(), experts * d)
            + experts * (given(self.gated_mlp, d * f) + 2 * d * f)
            + 2 * norm(self.hidden)
            + given(self.qkv_bias, q + 2 * kv)
            + given(self.output_bias, d)
            + given(self.mlp_bias, f + d)
            + given(self.post_norms, 2 * norm(self.hidden))
            + given(self.sub_norms, norm(self.q_width()) + norm(self.intermediate));
        let positions = match self.positions {
            Positions::Learned(learned) => (u64::from(self.context) + u64::from(learned.offset)) * d,
            Positions::Rotary(_) | Positions::Alibi => 0,
        };
        let head = given(!self.tied_embeddings, embedding);
        let norms = norm(self.hidden) * (1 + u64::from(self.embedding_norm));
        embedding + positions + head + u64::from(self.layers) * layer + norms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_published_ones() {
        for name in Model::names() {
            let model = Model::builtin(name).unwrap();
            let counted = model.parameters() as f64 / 1e9;
            let published = model.published.parameters_billion;
            // The drafter's layer dimensions are not published, only its size.
            let tolerance = if name.contains("drafter") { 0.02 } else { 0.004 };
            assert!(
                (counted - published).abs() <= tolerance * published,
                "{name}: {counted} counted, {published} published"
            );
        }
    }

    #[test]
    fn a_near_miss_is_named() {
        let error = Model::builtin("llama-2-7B.toml").unwrap_err();
        assert_eq!(error.to_string(), "there is no model `llama-2-7B.toml`; did you mean `llama-2-7b`?");
        assert!(error.help().unwrap().starts_with("built-in models: tiny-2l, llama-2-7b, "));
        assert_eq!(Model::builtin("gpt-5").unwrap_err().to_string(), "there is no model `gpt-5`");
    }
}
