//! Dimensions from a GGUF file's keys, and from the presence of tensors where keys say nothing.

use super::{Gguf, ValueType};
use crate::dimensions::{
    Activation, Dimensions, Experts, FAMILIES, Family, Names, Norm, Positions, Rotary, Scaling, Window,
    WindowLayers, dimension, head_dim,
};
use crate::error::FormatError;
use crate::roles::{Part, Place, Role};

/// Tensors of divisors of frequencies.
const DIVISORS: [&str; 3] = ["rope_factors_short.weight", "rope_factors_long.weight", "rope_freqs.weight"];

/// Keys of one architecture.
struct Keys<'g, 'a> {
    file: &'g Gguf<'a>,
    architecture: &'a str,
}

impl Keys<'_, '_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }
    fn dimension(&self, key: &str) -> Result<Option<u32>, FormatError> {
        let name = self.name(key);
        self.file.optional_u64(&name)?.map(|value| dimension(&name, value)).transpose()
    }
    fn required(&self, key: &str) -> Result<u32, FormatError> {
        self.dimension(key)?.ok_or_else(|| FormatError::key(self.name(key), "not there", "an integer"))
    }
    /// A dimension of which 0 means that there is none.
    fn or_zero(&self, key: &str) -> Result<Option<u32>, FormatError> {
        match self.file.optional_u64(&self.name(key))? {
            Some(0) => Ok(None),
            _ => self.dimension(key),
        }
    }
    fn positive(&self, key: &str) -> Result<Option<f64>, FormatError> {
        let name = self.name(key);
        match self.file.optional_f64(&name)? {
            Some(v) if v <= 0.0 => Err(FormatError::key(name, v.to_string(), "a positive number")),
            v => Ok(v),
        }
    }
    /// The values of a tensor of floats with one row.
    fn floats(&self, name: &str) -> Result<Option<Vec<f64>>, FormatError> {
        let Some(tensor) = self.file.tensor(name) else { return Ok(None) };
        if tensor.rows() != 1 || tensor.coded().is_some() {
            let found = format!("{} rows of {}", tensor.rows(), tensor.kind().name);
            return Err(FormatError::tensor(name, found, "one row of floats"));
        }
        Ok(Some(tensor.values()?.into_iter().map(f64::from).collect()))
    }
}

impl Dimensions {
    /// Dimensions of a GGUF file.
    ///
    /// # Errors
    /// A key that is missing, contradictory or not supported, by its name.
    pub fn of_gguf(file: &Gguf<'_>) -> Result<Dimensions, FormatError> {
        let known =
            || FAMILIES.iter().flat_map(|row| row.architectures).copied().collect::<Vec<_>>().join(", ");
        let architecture = file.optional_str("general.architecture")?.ok_or_else(|| {
            FormatError::key("general.architecture", "not there", format!("one of {}", known()))
        })?;
        let row = FAMILIES.iter().find(|row| row.architectures.contains(&architecture)).ok_or_else(|| {
            let expected = format!("one of {}", known());
            FormatError::key("general.architecture", format!("`{architecture}`"), expected)
        })?;
        file.check_whole()?;
        let keys = Keys { file, architecture };
        let names = [
            "attention.head_count",
            "attention.head_count_kv",
            "attention.key_length",
            match row.norm {
                Norm::Layer => "attention.layer_norm_epsilon",
                Norm::Rms | Norm::RmsPlusOne => "attention.layer_norm_rms_epsilon",
            },
            "rope.dimension_count",
            "rope.freq_base",
            "expert_used_count",
        ]
        .map(|key| keys.name(key));
        let [heads, kv_heads, head, norm_eps, rope_dims, theta, experts_used] =
            names.each_ref().map(String::as_str);
        let names = Names {
            heads,
            kv_heads,
            head_dim: head,
            norm_eps,
            rope_dims,
            theta,
            experts_used,
            divisors: DIVISORS,
        };

        let experts = match keys.or_zero("expert_count")? {
            None => None,
            Some(_) if row.family != Family::Llama => {
                let expected = "none: experts are read in the architecture llama";
                return Err(FormatError::key(keys.name("expert_count"), "there", expected));
            }
            Some(count) => Some(Experts { count, used: keys.required("expert_used_count")? }),
        };
        let family = if experts.is_some() { Family::Mixtral } else { row.family };
        let hidden = keys.required("embedding_length")?;
        let layers = keys.required("block_count")?;
        let heads = keys.required("attention.head_count")?;
        let head_dim = match keys.dimension("attention.key_length")? {
            Some(head_dim) => head_dim,
            None => head_dim(hidden, heads, &names)?,
        };
        if let Some(value) = keys.dimension("attention.value_length")?
            && value != head_dim
        {
            let expected = format!("{head_dim}, the length of keys");
            return Err(FormatError::key(keys.name("attention.value_length"), value.to_string(), expected));
        }
        let context = keys.required("context_length")?;
        let has = |name: &str| file.tensor(name).is_some();
        let places: Vec<_> = file.tensors().filter_map(|tensor| Place::of(tensor.name())).collect();
        // If one layer has a bias, all must: that is checked where tensors get their places.
        let bias = |roles: &[Role]| {
            places.iter().any(|place| place.part == Part::Bias && roles.contains(&place.role))
        };
        Dimensions {
            family,
            layers,
            hidden,
            intermediate: keys.required("feed_forward_length")?,
            heads,
            kv_heads: keys.dimension("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocab: vocab(&keys, hidden)?,
            context,
            positions: positions(&keys, family, head_dim, context)?,
            // The converter has added the 1.
            norm: if row.norm == Norm::Layer { Norm::Layer } else { Norm::Rms },
            norm_eps: keys
                .positive(&names.norm_eps[architecture.len() + 1..])?
                .ok_or_else(|| FormatError::key(names.norm_eps, "not there", "a positive number"))?,
            activation: activation(&keys, family)?,
            tied: if file.tensors().next().is_none() { row.tied } else { !has("output.weight") },
            qkv_bias: bias(&[Role::AttnQ, Role::AttnK, Role::AttnV, Role::AttnQkv]),
            output_bias: bias(&[Role::AttnOutput]),
            mlp_bias: bias(&[Role::FfnUp, Role::FfnDown]),
            window: keys.or_zero("attention.sliding_window")?.map(|tokens| Window {
                tokens,
                layers: if family == Family::Gemma2 { WindowLayers::Even } else { WindowLayers::All },
            }),
            // No key has it; llama.cpp knows the 27-billion model by its 46 layers.
            query_scalar: if family == Family::Gemma2 && layers == 46 {
                f64::from(hidden) / f64::from(heads)
            } else {
                f64::from(head_dim)
            },
            score_cap: keys.positive("attn_logit_softcapping")?,
            logit_cap: keys.positive("final_logit_softcapping")?,
            experts,
        }
        .check(&names)
    }
}

/// The tokeniser's tokens, or the key that says how many there would be; the embedding must have as many rows.
fn vocab(keys: &Keys<'_, '_>, hidden: u32) -> Result<u32, FormatError> {
    let tokens = keys.file.optional_array("tokenizer.ggml.tokens", ValueType::Str)?;
    let vocab = match tokens {
        Some(tokens) => dimension("tokenizer.ggml.tokens", tokens.len)?,
        None => keys.required("vocab_size")?,
    };
    match keys.file.tensor("token_embd.weight") {
        Some(embedding) if embedding.dims() != [hidden.into(), vocab.into(), 1, 1] => {
            Err(FormatError::tensor(
                embedding.name(),
                format!("dimensions {:?}", embedding.dims()),
                format!("a width of {hidden} and {vocab} tokens"),
            ))
        }
        _ => Ok(vocab),
    }
}

fn activation(keys: &Keys<'_, '_>, family: Family) -> Result<Activation, FormatError> {
    Ok(match family {
        Family::Gemma | Family::Gemma2 | Family::Gpt2 | Family::Bloom => Activation::GeluTanh,
        Family::Opt => Activation::Relu,
        Family::Bitnet => {
            let key = keys.name("hidden_act");
            match keys.file.optional_str(&key)? {
                Some(name) => Activation::named(&key, name)?,
                None if keys.architecture == "bitnet" => Activation::Silu,
                None => Activation::Relu2,
            }
        }
        _ => Activation::Silu,
    })
}

fn positions(
    keys: &Keys<'_, '_>,
    family: Family,
    head_dim: u32,
    context: u32,
) -> Result<Positions, FormatError> {
    let pairing = match (family, family.row().pairing) {
        (Family::Opt, _) => return Ok(Positions::Learned { offset: 2 }),
        (Family::Bloom, _) => return Ok(Positions::Alibi),
        (_, None) => return Ok(Positions::Learned { offset: 0 }),
        (_, Some(pairing)) => pairing,
    };
    Ok(Positions::Rotary(Rotary {
        theta: keys.positive("rope.freq_base")?.unwrap_or(10000.0),
        dims: keys.dimension("rope.dimension_count")?.unwrap_or(head_dim),
        pairing,
        scaling: scaling(keys, context)?,
    }))
}

fn scaling(keys: &Keys<'_, '_>, context: u32) -> Result<Option<Scaling>, FormatError> {
    let original = keys.dimension("rope.scaling.original_context_length")?.unwrap_or(context);
    let factor = keys.positive("rope.scaling.factor")?;
    let attention = keys.positive("rope.scaling.attn_factor")?;
    let required = || {
        factor.ok_or_else(|| {
            FormatError::key(keys.name("rope.scaling.factor"), "not there", "a positive number")
        })
    };
    // Phi-3's files have the tensors and no type.
    if let Some(long) = keys.floats(DIVISORS[1])? {
        let short = keys
            .floats(DIVISORS[0])?
            .ok_or_else(|| FormatError::tensor(DIVISORS[0], "not there", "divisors, as for the long ones"))?;
        return Ok(Some(Scaling::LongRope { short, long, original, attention }));
    }
    let key = keys.name("rope.scaling.type");
    match keys.file.optional_str(&key)?.unwrap_or("none") {
        "linear" => Ok(Some(Scaling::Linear { factor: required()? }).filter(|_| factor != Some(1.0))),
        "yarn" => {
            let factor = required()?;
            Ok(Some(Scaling::Yarn {
                factor,
                original,
                beta_fast: keys.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                // Here it is on top of the usual one.
                attention: attention.map(|extra| extra * (0.1 * factor.ln() + 1.0)),
            }))
        }
        "none" => Ok(keys.floats(DIVISORS[2])?.map(Scaling::Divisors)),
        "longrope" => {
            Err(FormatError::tensor(DIVISORS[1], "not there", "divisors, because the type is longrope"))
        }
        other => Err(FormatError::key(key, format!("`{other}`"), "one of none, linear, yarn, longrope")),
    }
}
