//! A model's dimensions: `configs/models/*.toml`, embedded.

use lutsim_isa::field::{Act, Rope};
use serde::Deserialize;

use crate::error::HostError;

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
    /// Activation of the gate.
    pub activation: Act,
    /// Epsilon of every norm.
    pub norm_eps: f32,
    /// Rotary embedding.
    pub rope: RopeConfig,
    /// Published size.
    pub published: Published,
}

/// Rotary embedding.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Elements of a head that rotate.
    pub dims: u32,
    /// Which elements pair.
    pub pairing: Rope,
    /// Stretching for long contexts.
    pub scaling: Option<RopeScaling>,
}

/// Stretching of rotary frequencies as in Llama 3.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// Wavelengths are stretched by this.
    pub factor: f64,
    /// Wavelengths above `original_context / low` are stretched wholly.
    pub low: f64,
    /// Wavelengths below `original_context / high` are not stretched.
    pub high: f64,
    /// Context before stretching.
    pub original_context: u32,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    family: String,
    layers: u32,
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocab: u32,
    context: u32,
    tied_embeddings: bool,
    qkv_bias: bool,
    sub_norms: bool,
    activation: String,
    norm_eps: f32,
    rope: RawRope,
    published: Published,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRope {
    theta: f64,
    dims: Option<u32>,
    scaling: Option<RopeScaling>,
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
                    near: near.filter(|(d, _)| *d <= 4).map(|(_, n)| n.into()),
                    known: Model::names().map(String::from).collect(),
                })
            }
        }
    }
    /// The model of a file; the file's name without its ending is the model's.
    pub fn parse(file: &str, text: &str) -> Result<Model, HostError> {
        let error = |message: String, span| HostError::File { file: file.into(), message, span, help: None };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| error(e.message().to_string(), e.span().map(|s| (s.start, s.end))))?;
        let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let at = |key: &str| {
            let start = text.find(key).unwrap_or(0);
            Some((start, start + key.len()))
        };
        let activation = raw
            .activation
            .parse()
            .map_err(|message: String| error(format!("activation: {message}"), at("activation")))?;
        let model = Model {
            name: stem.strip_suffix(".toml").unwrap_or(stem).into(),
            family: raw.family,
            layers: raw.layers,
            hidden: raw.hidden,
            intermediate: raw.intermediate,
            heads: raw.heads,
            kv_heads: raw.kv_heads,
            head_dim: raw.head_dim,
            vocab: raw.vocab,
            context: raw.context,
            tied_embeddings: raw.tied_embeddings,
            qkv_bias: raw.qkv_bias,
            sub_norms: raw.sub_norms,
            activation,
            norm_eps: raw.norm_eps,
            rope: RopeConfig {
                theta: raw.rope.theta,
                dims: raw.rope.dims.unwrap_or(raw.head_dim),
                pairing: Rope::Half,
                scaling: raw.rope.scaling,
            },
            published: raw.published,
        };
        model.check().map_err(|(key, message)| error(format!("{key}: {message}"), at(key)))?;
        Ok(model)
    }
    fn check(&self) -> Result<(), (&'static str, String)> {
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
        if !self.rope.dims.is_multiple_of(2) || self.rope.dims > self.head_dim {
            return Err(("dims", format!("{} is not even or is more than head_dim", self.rope.dims)));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(("norm_eps", format!("{} is not between 0 and 1", self.norm_eps)));
        }
        Ok(())
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
    /// Parameters, counted from the dimensions.
    pub fn parameters(&self) -> u64 {
        let [d, f, q, kv] = [self.hidden, self.intermediate, self.q_width(), self.kv_width()].map(u64::from);
        let embedding = u64::from(self.vocab) * d;
        let mut layer = d * (2 * q + 2 * kv) + 3 * d * f + 2 * d;
        if self.qkv_bias {
            layer += q + 2 * kv;
        }
        if self.sub_norms {
            layer += q + f;
        }
        let head = if self.tied_embeddings { 0 } else { embedding };
        embedding + head + u64::from(self.layers) * layer + d
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

    #[test]
    fn a_bad_file_is_underlined() {
        let text = include_str!("../../configs/models/tiny-2l.toml");
        let odd = text.replace("kv_heads = 2", "kv_heads = 3");
        let HostError::File { message, span: Some((start, end)), .. } =
            Model::parse("x.toml", &odd).unwrap_err()
        else {
            panic!("not a file error")
        };
        assert_eq!(message, "kv_heads: 4 heads cannot share 3 evenly");
        assert_eq!(&odd[start..end], "kv_heads");
        let unknown = text.replace("vocab", "vocabulary");
        let message = Model::parse("x.toml", &unknown).unwrap_err().to_string();
        assert!(message.starts_with("x.toml: unknown field `vocabulary`"), "{message}");
    }
}
