//! A model's dimensions, whichever file they come from; one row per family for what its files leave unsaid.

use crate::error::FormatError;

/// A decoder-only transformer, as its file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimensions {
    /// Family.
    pub family: Family,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the MLP, or of each expert.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; `heads` is a multiple.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Most tokens of a sequence.
    pub context: u32,
    /// How it knows where a token is.
    pub positions: Positions,
    /// What its norms are.
    pub norm: Norm,
    /// Epsilon of every norm.
    pub norm_eps: f64,
    /// Activation of the gate, or of the MLP without one.
    pub activation: Activation,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// Tokens that attention looks back on, where that is fewer than all.
    pub window: Option<Window>,
    /// Queries are scaled by one over the root of this: the width of a head, unless the file says otherwise.
    pub query_scalar: f64,
    /// Scores x become cap * tanh(x / cap).
    pub score_cap: Option<f64>,
    /// Logits likewise.
    pub logit_cap: Option<f64>,
    /// Experts of each MLP.
    pub experts: Option<Experts>,
}

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    Llama,
    Mistral,
    Mixtral,
    Qwen2,
    Phi3,
    Gemma,
    Gemma2,
    Bitnet,
    Opt,
    Gpt2,
    Bloom,
}

/// What every model of a family has.
#[derive(Debug)]
pub struct FamilyRow {
    /// Family.
    pub family: Family,
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// `general.architecture` in GGUF files; none where the family has no own there.
    pub architectures: &'static [&'static str],
    /// What its norms are in its authors' files.
    pub norm: Norm,
    /// Whether the MLP is f(gate) * up; otherwise it is f(up).
    pub gated: bool,
    /// Whether the head is the embedding unless the file says otherwise.
    pub tied: bool,
    /// Biases unless the file says otherwise: query, key and value; output projection; MLP.
    pub biases: [bool; 3],
    /// How queries and keys are rotated in GGUF files; none where they are not.
    pub pairing: Option<Pairing>,
    /// Norms before the output projection and before the down projection.
    pub sub_norms: bool,
    /// Norms behind attention and behind the MLP.
    pub post_norms: bool,
    /// Embeddings are multiplied by the root of the width.
    pub scaled_embedding: bool,
    /// A norm behind the embedding.
    pub embedding_norm: bool,
}

const PLAIN: FamilyRow = FamilyRow {
    family: Family::Llama,
    model_type: "llama",
    architectures: &["llama"],
    norm: Norm::Rms,
    gated: true,
    tied: false,
    biases: [false; 3],
    pairing: Some(Pairing::Halves),
    sub_norms: false,
    post_norms: false,
    scaled_embedding: false,
    embedding_norm: false,
};

/// Every family that is read. Sources: the configuration classes of huggingface/transformers for what is left unsaid, the
/// graphs of ggml-org/llama.cpp for GGUF's pairing; no converter there writes `opt`, whose keys follow the same pattern.
#[rustfmt::skip]
pub static FAMILIES: [FamilyRow; 11] = {
    use Family::*;
    // The converter has put the halves of a llama's rows together.
    const LLAMA: FamilyRow = FamilyRow { pairing: Some(Pairing::Neighbours), ..PLAIN };
    const LAYER: FamilyRow = FamilyRow {
        norm: Norm::Layer, gated: false, tied: true, biases: [true; 3], pairing: None, ..PLAIN
    };
    const GEMMA: FamilyRow = FamilyRow { norm: Norm::RmsPlusOne, tied: true, scaled_embedding: true, ..PLAIN };
    [
        LLAMA,
        FamilyRow { family: Mistral, model_type: "mistral", architectures: &[], ..LLAMA },
        FamilyRow { family: Mixtral, model_type: "mixtral", architectures: &[], ..LLAMA },
        FamilyRow { family: Qwen2, model_type: "qwen2", architectures: &["qwen2"], biases: [true, false, false], ..PLAIN },
        FamilyRow { family: Phi3, model_type: "phi3", architectures: &["phi3"], ..PLAIN },
        FamilyRow { family: Gemma, model_type: "gemma", architectures: &["gemma"], ..GEMMA },
        FamilyRow { family: Gemma2, model_type: "gemma2", architectures: &["gemma2"], post_norms: true, ..GEMMA },
        FamilyRow { family: Bitnet, model_type: "bitnet", architectures: &["bitnet", "bitnet-b1.58"], sub_norms: true, ..PLAIN },
        FamilyRow { family: Opt, model_type: "opt", architectures: &["opt"], ..LAYER },
        FamilyRow { family: Gpt2, model_type: "gpt2", architectures: &["gpt2"], ..LAYER },
        FamilyRow { family: Bloom, model_type: "bloom", architectures: &["bloom"], embedding_norm: true, ..LAYER },
    ]
};

impl Family {
    /// What every model of the family has.
    pub fn row(self) -> &'static FamilyRow {
        // The rows are in the order of the variants; a test looks.
        &FAMILIES[self as usize]
    }
}

/// What a norm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// x / rms(x) * w.
    Rms,
    /// x / rms(x) * (1 + w): Gemma's own files. GGUF files hold 1 + w.
    RmsPlusOne,
    /// (x - mean) / deviation * w + b.
    Layer,
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + exp(-x)).
    Silu,
    /// x * Phi(x).
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// max(x, 0)^2.
    Relu2,
}

/// Names of activations in files.
const ACTIVATIONS: &[(&str, Activation)] = &[
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("relu2", Activation::Relu2),
];

impl Activation {
    pub(crate) fn named(key: &str, name: &str) -> Result<Activation, FormatError> {
        ACTIVATIONS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a).ok_or_else(|| {
            let known: Vec<_> = ACTIVATIONS.iter().map(|(n, _)| *n).collect();
            FormatError::key(key, format!("`{name}`"), format!("one of {}", known.join(", ")))
        })
    }
}

/// How a model knows where a token is.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// Queries and keys are rotated.
    Rotary(Rotary),
    /// A learned row is added to the embedding; that of position 0 is row `offset`.
    Learned {
        /// Row of position 0: 2 in OPT.
        offset: u32,
    },
    /// A slope for each head times the key's position is added to its scores.
    Alibi,
}

/// Rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: f64,
    /// Elements of a head that rotate, the first ones.
    pub dims: u32,
    /// Which of them pair.
    pub pairing: Pairing,
    /// Stretching for long contexts.
    pub scaling: Option<Scaling>,
}

/// Which elements of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// 2 i and 2 i + 1.
    Neighbours,
    /// i and i + dims / 2.
    Halves,
}

/// Stretching of rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// All frequencies are divided.
    Linear {
        /// By this.
        factor: f64,
    },
    /// The base grows with the sequence behind `original` tokens (NTK-aware).
    Dynamic {
        /// Stretch.
        factor: f64,
        /// Context before stretching.
        original: u32,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// Stretch.
        factor: f64,
        /// Context before stretching.
        original: u32,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is wholly stretched.
        beta_slow: f64,
        /// Queries and keys are multiplied by this; none means 0.1 ln(factor) + 1.
        attention: Option<f64>,
    },
    /// Llama 3's bands of wavelengths.
    Llama3 {
        /// Stretch.
        factor: f64,
        /// Wavelengths above `original / low` are stretched wholly.
        low: f64,
        /// Wavelengths below `original / high` are not stretched.
        high: f64,
        /// Context before stretching.
        original: u32,
    },
    /// LongRoPE: a divisor per frequency, for short sequences and for those beyond `original`.
    LongRope {
        /// Divisors up to `original` tokens, `dims / 2` of them.
        short: Vec<f64>,
        /// Divisors beyond.
        long: Vec<f64>,
        /// Context before stretching.
        original: u32,
        /// Queries and keys are multiplied by this; none means sqrt(1 + ln(context / original) / ln(original)).
        attention: Option<f64>,
    },
    /// A divisor per frequency, `dims / 2` of them: what GGUF files hold of Llama 3's bands (`rope_freqs.weight`).
    Divisors(Vec<f64>),
}

/// Attention to the nearest tokens only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Tokens, the query's own included.
    pub tokens: u32,
    /// Which layers have it.
    pub layers: WindowLayers,
}

/// Which layers have a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowLayers {
    /// All.
    All,
    /// Layers 0, 2, 4, ... (Gemma 2).
    Even,
    /// Layers from this one on (Qwen2's `max_window_layers`).
    From(u32),
}

/// Experts of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub count: u32,
    /// How many each token takes.
    pub used: u32,
}

/// Largest dimension that is believed.
const LARGEST: u64 = 1 << 24;

/// `value` as a dimension.
pub(crate) fn dimension(key: &str, value: u64) -> Result<u32, FormatError> {
    if value == 0 || value > LARGEST {
        return Err(FormatError::key(key, value.to_string(), format!("1 to {LARGEST}")));
    }
    Ok(value as u32)
}

/// The keys by which a file calls the dimensions, for messages.
pub(crate) struct Names<'k> {
    pub(crate) heads: &'k str,
    pub(crate) kv_heads: &'k str,
    pub(crate) head_dim: &'k str,
    pub(crate) norm_eps: &'k str,
    pub(crate) rope_dims: &'k str,
    pub(crate) theta: &'k str,
    pub(crate) experts_used: &'k str,
    /// Divisors: LongRoPE's short and long ones, Llama 3's.
    pub(crate) divisors: [&'k str; 3],
}

/// The width of a head where the file does not say it.
pub(crate) fn head_dim(hidden: u32, heads: u32, names: &Names<'_>) -> Result<u32, FormatError> {
    if hidden.is_multiple_of(heads) {
        return Ok(hidden / heads);
    }
    let found = format!("{heads} heads, a width of {hidden}, and no `{}`", names.head_dim);
    Err(FormatError::key(names.heads, found, "a divisor of the width"))
}

impl Dimensions {
    /// Checks what no single key can be blamed for alone.
    pub(crate) fn check(self, names: &Names<'_>) -> Result<Dimensions, FormatError> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a divisor of the {} heads", self.heads);
            return Err(FormatError::key(names.kv_heads, self.kv_heads.to_string(), expected));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(FormatError::key(names.norm_eps, self.norm_eps.to_string(), "between 0 and 1"));
        }
        if let Some(Experts { count, used }) = self.experts
            && used > count
        {
            return Err(FormatError::key(names.experts_used, used.to_string(), format!("at most {count}")));
        }
        if let Positions::Rotary(rotary) = &self.positions {
            if !rotary.dims.is_multiple_of(2) || rotary.dims > self.head_dim || rotary.dims == 0 {
                let expected = format!("even, at most the head's {}", self.head_dim);
                return Err(FormatError::key(names.rope_dims, rotary.dims.to_string(), expected));
            }
            if !(rotary.theta.is_finite() && rotary.theta > 1.0) {
                return Err(FormatError::key(names.theta, rotary.theta.to_string(), "more than 1"));
            }
            for (key, divisors) in rotary.scaling.iter().flat_map(|scaling| scaling.divisors(names)) {
                let n = rotary.dims as usize / 2;
                if divisors.len() != n || divisors.iter().any(|d| !(d.is_finite() && *d > 0.0)) {
                    let found = format!("{} divisors", divisors.len());
                    return Err(FormatError::key(key, found, format!("{n}, all positive")));
                }
            }
        }
        Ok(self)
    }
}

impl Scaling {
    fn divisors<'s>(&'s self, names: &Names<'s>) -> Vec<(&'s str, &'s [f64])> {
        let [shorts, longs, bands] = names.divisors;
        match self {
            Scaling::LongRope { short, long, .. } => vec![(shorts, short), (longs, long)],
            Scaling::Divisors(divisors) => vec![(bands, divisors)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FAMILIES;

    #[test]
    fn rows_are_in_the_order_of_families() {
        for row in &FAMILIES {
            assert_eq!(row.family.row().model_type, row.model_type);
            assert_eq!(row.family.row().family, row.family);
        }
    }
}
