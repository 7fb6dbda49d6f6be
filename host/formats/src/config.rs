//! Hugging Face `config.json`: dimensions, and how the weights are packed.

use serde_json::{Map, Value};

use crate::dimensions::{
    Activation, Dimensions, Experts, FAMILIES, Family, Names, Pairing, Positions, Rotary, Scaling, Window,
    WindowLayers, dimension, head_dim,
};
use crate::error::FormatError;
use crate::packed::Packing;

/// Longest file that is read: it is parsed into a tree, which is many times its size.
const LONGEST: usize = 1 << 20;

/// What a `config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The model.
    pub dimensions: Dimensions,
    /// How its layers are packed; none if they are plain floats.
    pub packing: Option<Packing>,
}

const NAMES: Names<'_> = Names {
    heads: "num_attention_heads",
    kv_heads: "num_key_value_heads",
    head_dim: "head_dim",
    norm_eps: "rms_norm_eps",
    rope_dims: "partial_rotary_factor",
    theta: "rope_theta",
    experts_used: "num_experts_per_tok",
    divisors: ["rope_scaling.short_factor", "rope_scaling.long_factor", ""],
};

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// A key that is missing, contradictory or not supported, by its name.
    pub fn parse(bytes: &[u8]) -> Result<Config, FormatError> {
        if bytes.len() > LONGEST {
            let message = format!("{} bytes long, expected at most {LONGEST}", bytes.len());
            return Err(FormatError::Json { what: "config.json".into(), message });
        }
        let map: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|e| FormatError::Json { what: "config.json".into(), message: e.to_string() })?;
        let keys = Keys { map: &map, path: "" };
        Ok(Config { dimensions: dimensions(&keys)?, packing: packing(&keys)? })
    }
}

/// A JSON object, and where it is in the file.
struct Keys<'j> {
    map: &'j Map<String, Value>,
    path: &'static str,
}

impl<'j> Keys<'j> {
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }
    fn wrong(&self, key: &str, found: &Value, expected: &str) -> FormatError {
        let found: String = found.to_string().chars().take(60).collect();
        FormatError::key(self.name(key), found, expected)
    }
    fn missing(&self, key: &str, expected: &str) -> FormatError {
        FormatError::key(self.name(key), "not there", expected)
    }
    /// What a key holds; none if it is not there or null.
    fn get(&self, key: &str) -> Option<&'j Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }
    fn cast<T>(
        &self,
        key: &str,
        expected: &str,
        cast: impl FnOnce(&'j Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        self.get(key).map(|v| cast(v).ok_or_else(|| self.wrong(key, v, expected))).transpose()
    }
    fn u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.cast(key, "an integer, not negative", Value::as_u64)
    }
    fn f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.cast(key, "a number", Value::as_f64)
    }
    fn bool(&self, key: &str, default: bool) -> Result<bool, FormatError> {
        Ok(self.cast(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }
    fn str(&self, key: &str) -> Result<Option<&'j str>, FormatError> {
        self.cast(key, "a string", Value::as_str)
    }
    fn object(&self, key: &str, path: &'static str) -> Result<Option<Keys<'j>>, FormatError> {
        Ok(self.cast(key, "an object", Value::as_object)?.map(|map| Keys { map, path }))
    }
    /// A dimension that has one of these names; if it has several, they must agree.
    fn dimension(&self, keys: &[&str]) -> Result<Option<u32>, FormatError> {
        let mut found: Option<(&str, u32)> = None;
        for key in keys {
            let Some(value) = self.u64(key)? else { continue };
            let value = dimension(&self.name(key), value)?;
            match found {
                Some((first, v)) if v != value => {
                    return Err(FormatError::key(
                        self.name(key),
                        value.to_string(),
                        format!("{v}, as `{first}` says"),
                    ));
                }
                _ => found = Some((key, value)),
            }
        }
        Ok(found.map(|(_, value)| value))
    }
    fn required(&self, keys: &[&str]) -> Result<u32, FormatError> {
        self.dimension(keys)?.ok_or_else(|| self.missing(keys[0], "an integer"))
    }
    fn positive(&self, key: &str) -> Result<Option<f64>, FormatError> {
        match self.f64(key)? {
            Some(v) if !(v.is_finite() && v > 0.0) => {
                Err(FormatError::key(self.name(key), v.to_string(), "a positive number"))
            }
            v => Ok(v),
        }
    }
    fn required_positive(&self, key: &str) -> Result<f64, FormatError> {
        self.positive(key)?.ok_or_else(|| self.missing(key, "a positive number"))
    }
    /// A key that must have this value if it is there, because no other is implemented.
    fn only(&self, key: &str, value: bool) -> Result<(), FormatError> {
        match self.bool(key, value)? == value {
            true => Ok(()),
            false => Err(FormatError::key(self.name(key), (!value).to_string(), value.to_string())),
        }
    }
    fn numbers(&self, key: &str) -> Result<Vec<f64>, FormatError> {
        let list = |v: &Value| v.as_array().and_then(|a| a.iter().map(Value::as_f64).collect());
        self.cast(key, "a list of numbers", list)?.ok_or_else(|| self.missing(key, "a list of numbers"))
    }
}

fn dimensions(keys: &Keys<'_>) -> Result<Dimensions, FormatError> {
    let known = || {
        let names: Vec<_> = FAMILIES.iter().map(|row| row.model_type).collect();
        format!("one of {}", names.join(", "))
    };
    let model_type = keys.str("model_type")?.ok_or_else(|| keys.missing("model_type", &known()))?;
    let row = FAMILIES
        .iter()
        .find(|row| row.model_type == model_type)
        .ok_or_else(|| FormatError::key("model_type", format!("`{model_type}`"), known()))?;
    let family = row.family;

    let hidden = keys.required(&["hidden_size", "n_embd", "n_embed"])?;
    let heads = keys.required(&["num_attention_heads", "n_head"])?;
    let context = match (family, keys.dimension(&["max_position_embeddings", "n_positions", "seq_length"])?) {
        (_, Some(context)) => context,
        // BLOOM was trained on 2048; its positions have no end.
        (Family::Bloom, None) => 2048,
        (_, None) => return Err(keys.missing("max_position_embeddings", "an integer")),
    };
    let head_dim = match keys.dimension(&["head_dim"])? {
        Some(head_dim) => head_dim,
        None => head_dim(hidden, heads, &NAMES)?,
    };
    let intermediate = match (family, keys.dimension(&["intermediate_size", "ffn_dim", "n_inner"])?) {
        (_, Some(intermediate)) => intermediate,
        (Family::Gpt2 | Family::Bloom, None) => 4 * hidden,
        (_, None) => return Err(keys.missing("intermediate_size", "an integer")),
    };
    let norm_eps = match family {
        // `torch.nn.LayerNorm`'s; the file has no key.
        Family::Opt => 1e-5,
        Family::Gpt2 | Family::Bloom => keys.required_positive("layer_norm_epsilon")?,
        _ => keys.required_positive("rms_norm_eps")?,
    };
    let experts = match family {
        Family::Mixtral => Some(Experts {
            count: keys.required(&["num_local_experts"])?,
            used: keys.required(&["num_experts_per_tok"])?,
        }),
        _ => None,
    };
    match family {
        Family::Opt => {
            keys.only("do_layer_norm_before", true)?;
            keys.only("_remove_final_layer_norm", false)?;
            let embedded = keys.dimension(&["word_embed_proj_dim"])?.unwrap_or(hidden);
            if embedded != hidden {
                let expected = format!("{hidden}, as `hidden_size` says");
                return Err(FormatError::key("word_embed_proj_dim", embedded.to_string(), expected));
            }
        }
        Family::Gpt2 => {
            keys.only("scale_attn_by_inverse_layer_idx", false)?;
            keys.only("scale_attn_weights", true)?;
        }
        Family::Bloom => keys.only("apply_residual_connection_post_layernorm", false)?,
        _ => {}
    }
    let qkv_bias = keys.bool("attention_bias", row.biases[0])?;
    let all_biases = keys.bool("enable_bias", true)?;
    Dimensions {
        family,
        layers: keys.required(&["num_hidden_layers", "n_layer"])?,
        hidden,
        intermediate,
        heads,
        kv_heads: keys.dimension(&["num_key_value_heads"])?.unwrap_or(heads),
        head_dim,
        vocab: keys.required(&["vocab_size"])?,
        context,
        positions: positions(keys, family, head_dim, context)?,
        norm: row.norm,
        norm_eps,
        activation: activation(keys, family)?,
        tied: keys.bool("tie_word_embeddings", row.tied)?,
        qkv_bias: qkv_bias && all_biases,
        // Llama's `attention_bias` is the output projection's too.
        output_bias: keys.bool("attention_bias", row.biases[1])? && family != Family::Qwen2 && all_biases,
        mlp_bias: keys.bool("mlp_bias", row.biases[2])? && all_biases,
        window: window(keys, family)?,
        query_scalar: keys.positive("query_pre_attn_scalar")?.unwrap_or(f64::from(head_dim)),
        score_cap: keys.positive("attn_logit_softcapping")?,
        logit_cap: keys.positive("final_logit_softcapping")?,
        experts,
    }
    .check(&NAMES)
}

fn activation(keys: &Keys<'_>, family: Family) -> Result<Activation, FormatError> {
    // Gemma's first files say `gelu` in `hidden_act` and mean tanh's; `hidden_activation` came later.
    if matches!(family, Family::Gemma | Family::Gemma2) {
        let key = "hidden_activation";
        return keys.str(key)?.map_or(Ok(Activation::GeluTanh), |name| Activation::named(key, name));
    }
    if family == Family::Bloom {
        return Ok(Activation::GeluTanh);
    }
    let key = match family {
        Family::Opt | Family::Gpt2 => "activation_function",
        _ => "hidden_act",
    };
    Activation::named(key, keys.str(key)?.ok_or_else(|| keys.missing(key, "a string"))?)
}

fn window(keys: &Keys<'_>, family: Family) -> Result<Option<Window>, FormatError> {
    let layers = match family {
        Family::Gemma2 => WindowLayers::Even,
        Family::Qwen2 if keys.bool("use_sliding_window", false)? => {
            WindowLayers::From(keys.u64("max_window_layers")?.unwrap_or(0).min(u64::from(u32::MAX)) as u32)
        }
        Family::Qwen2 => return Ok(None),
        _ => WindowLayers::All,
    };
    let tokens = match keys.map.get("sliding_window") {
        // The class's default; a file that has none says null.
        None if family == Family::Mistral => Some(4096),
        _ => keys.dimension(&["sliding_window"])?,
    };
    Ok(tokens.map(|tokens| Window { tokens, layers }))
}

fn positions(keys: &Keys<'_>, family: Family, head_dim: u32, context: u32) -> Result<Positions, FormatError> {
    match family {
        Family::Opt => return Ok(Positions::Learned { offset: 2 }),
        Family::Gpt2 => return Ok(Positions::Learned { offset: 0 }),
        Family::Bloom => return Ok(Positions::Alibi),
        _ => {}
    }
    // transformers 5 keeps base and scaling together in `rope_parameters`.
    let parameters = keys.object("rope_parameters", "rope_parameters.")?;
    let scaling = keys.object("rope_scaling", "rope_scaling.")?;
    let inner = match &parameters {
        Some(parameters) => parameters.positive("rope_theta")?,
        None => None,
    };
    let outer = keys.positive("rope_theta")?;
    if let (Some(inner), Some(outer)) = (inner, outer)
        && inner != outer
    {
        let expected = format!("{inner}, as `rope_parameters.rope_theta` says");
        return Err(FormatError::key("rope_theta", outer.to_string(), expected));
    }
    let part = match (keys.f64("partial_rotary_factor")?, &parameters) {
        (None, Some(parameters)) => parameters.f64("partial_rotary_factor")?,
        (part, _) => part,
    };
    let part = part.unwrap_or(1.0);
    if !(part > 0.0 && part <= 1.0) {
        return Err(FormatError::key("partial_rotary_factor", part.to_string(), "more than 0, at most 1"));
    }
    let scaling = match parameters.or(scaling) {
        Some(scaling) => read_scaling(keys, &scaling, context)?,
        None => None,
    };
    Ok(Positions::Rotary(Rotary {
        theta: outer.or(inner).unwrap_or(10000.0),
        dims: (f64::from(head_dim) * part) as u32,
        pairing: Pairing::Halves,
        scaling,
    }))
}

/// Keys of a scaling that are understood; another would change what it means.
const SCALING_KEYS: &[&str] = &[
    "type",
    "rope_type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "low_freq_factor",
    "high_freq_factor",
    "short_factor",
    "long_factor",
];

fn read_scaling(keys: &Keys<'_>, scaling: &Keys<'_>, context: u32) -> Result<Option<Scaling>, FormatError> {
    let (old, new) = (scaling.str("type")?, scaling.str("rope_type")?);
    if let (Some(old), Some(new)) = (old, new)
        && old != new
        && !(old == "su" && new == "longrope")
    {
        let expected = format!("`{new}`, as `rope_type` says");
        return Err(FormatError::key(scaling.name("type"), format!("`{old}`"), expected));
    }
    let kind = new.or(old).ok_or_else(|| scaling.missing("rope_type", "a string"))?;
    if let Some((key, value)) =
        scaling.map.iter().find(|(key, value)| !value.is_null() && !SCALING_KEYS.contains(&key.as_str()))
    {
        return Err(scaling.wrong(key, value, &format!("one of {}", SCALING_KEYS.join(", "))));
    }
    let factor = || scaling.required_positive("factor");
    let within = scaling.dimension(&["original_max_position_embeddings"])?;
    let original = within.or(keys.dimension(&["original_max_position_embeddings"])?);
    let required =
        || original.ok_or_else(|| scaling.missing("original_max_position_embeddings", "an integer"));
    Ok(Some(match kind {
        "default" => return Ok(None),
        "linear" => Scaling::Linear { factor: factor()? },
        "dynamic" => Scaling::Dynamic { factor: factor()?, original: original.unwrap_or(context) },
        "yarn" => Scaling::Yarn {
            factor: factor()?,
            original: original.unwrap_or(context),
            beta_fast: scaling.positive("beta_fast")?.unwrap_or(32.0),
            beta_slow: scaling.positive("beta_slow")?.unwrap_or(1.0),
            attention: scaling.positive("attention_factor")?,
        },
        "llama3" => {
            let [low, high] =
                ["low_freq_factor", "high_freq_factor"].map(|key| scaling.required_positive(key));
            let (low, high) = (low?, high?);
            if low >= high {
                let expected = format!("more than `low_freq_factor`, {low}");
                return Err(FormatError::key(scaling.name("high_freq_factor"), high.to_string(), expected));
            }
            Scaling::Llama3 { factor: factor()?, low, high, original: required()? }
        }
        "longrope" | "su" => Scaling::LongRope {
            short: scaling.numbers("short_factor")?,
            long: scaling.numbers("long_factor")?,
            original: required()?,
            attention: scaling.positive("attention_factor")?,
        },
        other => {
            let expected = "one of default, linear, dynamic, yarn, llama3, longrope";
            return Err(FormatError::key(scaling.name("rope_type"), format!("`{other}`"), expected));
        }
    }))
}

fn packing(keys: &Keys<'_>) -> Result<Option<Packing>, FormatError> {
    let Some(keys) = keys.object("quantization_config", "quantization_config.")? else { return Ok(None) };
    let word = |key: &str, default: &'static str| Ok(keys.str(key)?.unwrap_or(default));
    let wrong = |key: &str, found: &str, expected: &str| {
        Err(FormatError::key(keys.name(key), format!("`{found}`"), expected))
    };
    let group = || match keys.cast("group_size", "-1, or 1 and more", Value::as_i64)? {
        Some(-1) => Ok(None),
        Some(n) if n > 0 => Ok(Some(n as usize)),
        Some(n) => Err(FormatError::key(keys.name("group_size"), n.to_string(), "-1, or 1 and more")),
        None => Err(keys.missing("group_size", "-1, or 1 and more")),
    };
    let bits = || keys.u64("bits")?.ok_or_else(|| keys.missing("bits", "2, 4 or 8"));
    Ok(Some(match word("quant_method", "")? {
        "gptq" => {
            let bits = match bits()? {
                bits @ (2 | 4 | 8) => bits as u32,
                bits => {
                    return Err(FormatError::key(keys.name("bits"), bits.to_string(), "2, 4 or 8"));
                }
            };
            let zero_add = match word("checkpoint_format", "gptq")? {
                "gptq" => 1,
                "gptq_v2" => 0,
                other => return wrong("checkpoint_format", other, "`gptq` or `gptq_v2`"),
            };
            Packing::Gptq { bits, group: group()?, zero_add }
        }
        "awq" => {
            match word("version", "gemm")?.to_ascii_lowercase().as_str() {
                "gemm" => {}
                other => return wrong("version", other, "`gemm`"),
            }
            match bits()? {
                4 => Packing::Awq { group: group()? },
                bits => return Err(FormatError::key(keys.name("bits"), bits.to_string(), "4")),
            }
        }
        "bitnet" => {
            // Online: the file holds floats, which are rounded when the model is loaded.
            if word("quantization_mode", "offline")? == "online" {
                return Ok(None);
            }
            match word("linear_class", "bitlinear")? {
                "bitlinear" => Packing::Bitnet { divide: true },
                "autobitlinear" => Packing::Bitnet { divide: false },
                other => return wrong("linear_class", other, "`bitlinear` or `autobitlinear`"),
            }
        }
        other => return wrong("quant_method", other, "`gptq`, `awq` or `bitnet`"),
    }))
}
