//! config.json: what real files of each family say, and what is wrong is said.

mod common;

use lutsim_formats::config::Config;
use lutsim_formats::dimensions::{
    Activation, Dimensions, Experts, Family, Norm, Pairing, Positions, Rotary, Scaling, Window, WindowLayers,
};
use lutsim_formats::packed::Packing;
use serde_json::{Value, json};

/// The keys of the models' own files that matter, as published on Hugging Face.
fn files() -> Vec<(&'static str, Value)> {
    vec![
        (
            "llama-3.2-1b",
            json!({"model_type": "llama", "attention_bias": false, "head_dim": 64, "hidden_act": "silu",
            "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
            "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
            "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192, "rope_type": "llama3"},
            "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256}),
        ),
        (
            "mistral-7b-v0.1",
            json!({"model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096,
            "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
            "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000}),
        ),
        (
            "mixtral-8x7b",
            json!({"model_type": "mixtral", "hidden_act": "silu", "hidden_size": 4096,
            "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
            "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8,
            "rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": null, "tie_word_embeddings": false,
            "vocab_size": 32000}),
        ),
        (
            "qwen2.5-0.5b",
            json!({"model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896,
            "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24,
            "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "rope_theta": 1e6, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false,
            "vocab_size": 151936}),
        ),
        (
            "phi-3-mini-4k",
            json!({"model_type": "phi3", "hidden_act": "silu", "hidden_size": 3072,
            "intermediate_size": 8192, "max_position_embeddings": 4096, "num_attention_heads": 32,
            "num_hidden_layers": 32, "num_key_value_heads": 32, "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5, "rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047,
            "tie_word_embeddings": false, "attention_bias": false, "vocab_size": 32064}),
        ),
        (
            "gemma-2b",
            json!({"model_type": "gemma", "head_dim": 256, "hidden_act": "gelu", "hidden_size": 2048,
            "intermediate_size": 16384, "max_position_embeddings": 8192, "num_attention_heads": 8,
            "num_hidden_layers": 18, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "vocab_size": 256000}),
        ),
        (
            "gemma-2-2b",
            json!({"model_type": "gemma2", "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
            "max_position_embeddings": 8192, "num_attention_heads": 8, "num_hidden_layers": 26,
            "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "sliding_window": 4096, "vocab_size": 256000}),
        ),
        (
            "bitnet-b1.58-2b4t",
            json!({"model_type": "bitnet", "hidden_act": "relu2", "hidden_size": 2560,
            "intermediate_size": 6912, "max_position_embeddings": 4096, "num_attention_heads": 20,
            "num_hidden_layers": 30, "num_key_value_heads": 5, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
            "tie_word_embeddings": true, "vocab_size": 128256, "quantization_config": {"quant_method": "bitnet",
                "linear_class": "autobitlinear", "quantization_mode": "offline"}}),
        ),
        (
            "opt-6.7b",
            json!({"model_type": "opt", "activation_function": "relu", "do_layer_norm_before": true,
            "ffn_dim": 16384, "hidden_size": 4096, "max_position_embeddings": 2048, "num_attention_heads": 32,
            "num_hidden_layers": 32, "vocab_size": 50272, "word_embed_proj_dim": 4096}),
        ),
        (
            "gpt2",
            json!({"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}),
        ),
        (
            "bloom-176b",
            json!({"model_type": "bloom", "apply_residual_connection_post_layernorm": false,
            "layer_norm_epsilon": 1e-5, "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112,
            "seq_length": 2048, "vocab_size": 250880}),
        ),
    ]
}

fn parse(value: &Value) -> Result<Config, String> {
    Config::parse(value.to_string().as_bytes()).map_err(|e| e.to_string())
}

fn model(name: &str) -> Value {
    files().into_iter().find(|(n, _)| *n == name).unwrap().1
}

fn dimensions(name: &str) -> Dimensions {
    parse(&model(name)).unwrap().dimensions
}

/// Weights of a model, counted from its dimensions, without norms and biases.
fn matrices(d: &Dimensions) -> u64 {
    let [hidden, ff, q, kv, vocab] =
        [d.hidden, d.intermediate, d.heads * d.head_dim, d.kv_heads * d.head_dim, d.vocab].map(u64::from);
    let mlp =
        (2 + u64::from(d.family.row().gated)) * hidden * ff * d.experts.map_or(1, |e| u64::from(e.count));
    u64::from(d.layers) * (2 * hidden * (q + kv) + mlp) + vocab * hidden * (2 - u64::from(d.tied))
}

#[test]
fn real_files_give_the_published_sizes() {
    for ((name, file), billion) in
        files().iter().zip([1.236, 7.24, 46.7, 0.494, 3.82, 2.51, 2.61, 2.41, 6.65, 0.1237, 176.2])
    {
        let counted = matrices(&parse(file).unwrap().dimensions) as f64 / 1e9;
        assert!((counted / billion - 1.0).abs() < 0.004, "{name}: {counted} counted, {billion} published");
    }
}

#[test]
fn what_families_leave_unsaid() {
    let llama = dimensions("llama-3.2-1b");
    let bands = Scaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192 };
    assert_eq!(
        llama.positions,
        Positions::Rotary(Rotary { theta: 5e5, dims: 64, pairing: Pairing::Halves, scaling: Some(bands) })
    );
    assert!(llama.tied && !llama.qkv_bias && llama.activation == Activation::Silu);
    assert_eq!((llama.norm, llama.norm_eps, llama.window), (Norm::Rms, 1e-5, None));
    let mistral = dimensions("mistral-7b-v0.1");
    assert_eq!(mistral.window, Some(Window { tokens: 4096, layers: WindowLayers::All }));
    let mixtral = dimensions("mixtral-8x7b");
    assert_eq!((mixtral.window, mixtral.experts), (None, Some(Experts { count: 8, used: 2 })));
    let qwen = dimensions("qwen2.5-0.5b");
    assert!(qwen.qkv_bias && !qwen.output_bias && qwen.window.is_none() && qwen.head_dim == 64);
    let gemma = dimensions("gemma-2b");
    assert!(gemma.tied && gemma.norm == Norm::RmsPlusOne && gemma.activation == Activation::GeluTanh);
    let gemma2 = dimensions("gemma-2-2b");
    assert_eq!((gemma2.score_cap, gemma2.logit_cap, gemma2.query_scalar), (Some(50.0), Some(30.0), 256.0));
    assert_eq!(gemma2.window, Some(Window { tokens: 4096, layers: WindowLayers::Even }));
    let bitnet = parse(&model("bitnet-b1.58-2b4t")).unwrap();
    assert_eq!(bitnet.packing, Some(Packing::Bitnet { divide: false }));
    assert_eq!(bitnet.dimensions.activation, Activation::Relu2);
    let opt = dimensions("opt-6.7b");
    assert_eq!((&opt.positions, opt.norm), (&Positions::Learned { offset: 2 }, Norm::Layer));
    assert!(opt.qkv_bias && opt.output_bias && opt.mlp_bias && opt.tied && opt.kv_heads == 32);
    let gpt2 = dimensions("gpt2");
    assert_eq!((gpt2.intermediate, &gpt2.positions), (3072, &Positions::Learned { offset: 0 }));
    let bloom = dimensions("bloom-176b");
    assert_eq!((bloom.positions, bloom.family, bloom.head_dim), (Positions::Alibi, Family::Bloom, 128));
}

/// A file of `name` with `keys` changed; null removes one.
fn with(name: &str, keys: Value) -> Value {
    let mut file = model(name);
    for (key, value) in keys.as_object().unwrap() {
        if value.is_null() {
            file.as_object_mut().unwrap().remove(key);
        } else {
            file[key] = value.clone();
        }
    }
    file
}

#[test]
fn every_scaling() {
    let scaling = |value: Value| -> Result<Option<Scaling>, String> {
        let file = with("phi-3-mini-4k", json!({"rope_scaling": value, "max_position_embeddings": 131072}));
        match parse(&file)?.dimensions.positions {
            Positions::Rotary(rotary) => Ok(rotary.scaling),
            _ => unreachable!(),
        }
    };
    assert_eq!(scaling(json!({"rope_type": "default"})), Ok(None));
    assert_eq!(scaling(json!({"type": "linear", "factor": 2.0})), Ok(Some(Scaling::Linear { factor: 2.0 })));
    assert_eq!(
        scaling(json!({"type": "dynamic", "factor": 4})),
        Ok(Some(Scaling::Dynamic { factor: 4.0, original: 4096 }))
    );
    assert_eq!(
        scaling(json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})),
        Ok(Some(Scaling::Yarn {
            factor: 4.0,
            original: 32768,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention: None
        }))
    );
    let long = json!({"type": "su", "short_factor": vec![1.05; 48], "long_factor": vec![3.0; 48]});
    assert_eq!(
        scaling(long),
        Ok(Some(Scaling::LongRope {
            short: vec![1.05; 48],
            long: vec![3.0; 48],
            original: 4096,
            attention: None
        }))
    );
    // The same in the place of transformers 5.
    let new = with(
        "llama-3.2-1b",
        json!({"rope_theta": null, "rope_scaling": null, "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3",
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192}}),
    );
    assert_eq!(parse(&new).unwrap().dimensions, dimensions("llama-3.2-1b"));

    let refused = |value| scaling(value).unwrap_err();
    assert_eq!(refused(json!({"factor": 2.0})), "key `rope_scaling.rope_type`: not there, expected a string");
    assert_eq!(
        refused(json!({"rope_type": "mrope"})),
        "key `rope_scaling.rope_type`: `mrope`, expected one of default, linear, dynamic, yarn, llama3, longrope"
    );
    assert_eq!(
        refused(json!({"rope_type": "linear", "type": "yarn", "factor": 2.0})),
        "key `rope_scaling.type`: `yarn`, expected `linear`, as `rope_type` says"
    );
    assert_eq!(
        refused(json!({"type": "linear"})),
        "key `rope_scaling.factor`: not there, expected a positive number"
    );
    assert_eq!(
        refused(json!({"type": "linear", "factor": -1})),
        "key `rope_scaling.factor`: -1, expected a positive number"
    );
    assert!(
        refused(json!({"type": "yarn", "factor": 4, "mscale": 0.7}))
            .starts_with("key `rope_scaling.mscale`: 0.7,")
    );
    assert_eq!(
        refused(json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]})),
        "key `rope_scaling.short_factor`: 1 divisors, expected 48, all positive"
    );
    assert_eq!(
        refused(json!({"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1})),
        "key `rope_scaling.high_freq_factor`: 1, expected more than `low_freq_factor`, 4"
    );
}

#[test]
fn every_packing() {
    let packing = |value: Value| {
        parse(&with("llama-3.2-1b", json!({ "quantization_config": value }))).map(|config| config.packing)
    };
    let gptq = |extra: Value| {
        let mut value = json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true});
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        packing(value)
    };
    let expected = |group, zero_add| Ok(Some(Packing::Gptq { bits: 4, group, zero_add }));
    assert_eq!(gptq(json!({})), expected(Some(128), 1));
    assert_eq!(gptq(json!({"group_size": -1, "checkpoint_format": "gptq_v2"})), expected(None, 0));
    assert_eq!(
        gptq(json!({"group_size": 0})).unwrap_err(),
        "key `quantization_config.group_size`: 0, expected -1, or 1 and more"
    );
    assert_eq!(
        gptq(json!({"bits": 3})).unwrap_err(),
        "key `quantization_config.bits`: 3, expected 2, 4 or 8"
    );
    assert_eq!(
        gptq(json!({"checkpoint_format": "marlin"})).unwrap_err(),
        "key `quantization_config.checkpoint_format`: `marlin`, expected `gptq` or `gptq_v2`"
    );
    let awq =
        json!({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "GEMM", "zero_point": true});
    assert_eq!(packing(awq), Ok(Some(Packing::Awq { group: Some(128) })));
    assert_eq!(
        packing(json!({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemv"})).unwrap_err(),
        "key `quantization_config.version`: `gemv`, expected `gemm`"
    );
    assert_eq!(packing(json!({"quant_method": "bitnet"})), Ok(Some(Packing::Bitnet { divide: true })));
    assert_eq!(
        packing(json!({"quant_method": "fp8"})).unwrap_err(),
        "key `quantization_config.quant_method`: `fp8`, expected `gptq`, `awq` or `bitnet`"
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (name, key) in [
        ("llama-3.2-1b", "model_type"),
        ("llama-3.2-1b", "hidden_size"),
        ("llama-3.2-1b", "intermediate_size"),
        ("llama-3.2-1b", "num_hidden_layers"),
        ("llama-3.2-1b", "num_attention_heads"),
        ("llama-3.2-1b", "vocab_size"),
        ("llama-3.2-1b", "max_position_embeddings"),
        ("llama-3.2-1b", "rms_norm_eps"),
        ("llama-3.2-1b", "hidden_act"),
        ("mixtral-8x7b", "num_local_experts"),
        ("opt-6.7b", "activation_function"),
        ("gpt2", "layer_norm_epsilon"),
    ] {
        let error = parse(&with(name, json!({ key: null }))).unwrap_err();
        assert!(error.starts_with(&format!("key `{key}`: not there, expected ")), "{error}");
    }
    let said = |name: &str, keys: Value| parse(&with(name, keys)).unwrap_err();
    assert_eq!(
        said("llama-3.2-1b", json!({"model_type": "mamba"})),
        "key `model_type`: `mamba`, expected one of llama, mistral, mixtral, qwen2, phi3, gemma, gemma2, bitnet, opt, gpt2, bloom"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"hidden_size": "2048"})),
        "key `hidden_size`: \"2048\", expected an integer, not negative"
    );
    assert_eq!(said("llama-3.2-1b", json!({"vocab_size": 0})), "key `vocab_size`: 0, expected 1 to 16777216");
    assert_eq!(
        said("llama-3.2-1b", json!({"num_key_value_heads": 5})),
        "key `num_key_value_heads`: 5, expected a divisor of the 32 heads"
    );
    assert_eq!(
        said("qwen2.5-0.5b", json!({"num_attention_heads": 15, "num_key_value_heads": 5})),
        "key `num_attention_heads`: 15 heads, a width of 896, and no `head_dim`, expected a divisor of the width"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"n_embd": 4096})),
        "key `n_embd`: 4096, expected 2048, as `hidden_size` says"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"hidden_act": "mish"})),
        "key `hidden_act`: `mish`, expected one of silu, swish, gelu, gelu_new, gelu_pytorch_tanh, relu, relu2"
    );
    assert_eq!(
        said("opt-6.7b", json!({"do_layer_norm_before": false})),
        "key `do_layer_norm_before`: false, expected true"
    );
    assert_eq!(
        said("opt-6.7b", json!({"word_embed_proj_dim": 512})),
        "key `word_embed_proj_dim`: 512, expected 4096, as `hidden_size` says"
    );
    assert_eq!(
        said("mixtral-8x7b", json!({"num_experts_per_tok": 9})),
        "key `num_experts_per_tok`: 9, expected at most 8"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"rope_theta": 0})),
        "key `rope_theta`: 0, expected a positive number"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"partial_rotary_factor": 1.5})),
        "key `partial_rotary_factor`: 1.5, expected more than 0, at most 1"
    );
    assert_eq!(
        said("llama-3.2-1b", json!({"rms_norm_eps": 2})),
        "key `rms_norm_eps`: 2, expected between 0 and 1"
    );
    assert_eq!(
        Config::parse(b"{\"model_type\": llama}").unwrap_err().to_string(),
        "config.json: expected value at line 1 column 16"
    );
    let deep = "[".repeat(100_000);
    assert!(Config::parse(deep.as_bytes()).is_err());
    let long = vec![b' '; (1 << 20) + 1];
    assert_eq!(
        Config::parse(&long).unwrap_err().to_string(),
        "config.json: 1048577 bytes long, expected at most 1048576"
    );
}
