//! A GGUF file's model: dimensions from keys, every tensor in its place, and what is missing or wrong is said.

mod common;

use common::Writer;
use lutsim_formats::dimensions::{
    Activation, Dimensions, Experts, Family, Norm, Pairing, Positions, Rotary, Scaling, Window, WindowLayers,
};
use lutsim_formats::gguf::{Gguf, GgufModel};
use lutsim_formats::map::Mapped;
use lutsim_formats::roles::{Place, Role};

const PLAIN: &[&str] =
    &["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"];

/// Names of a two-layer model's tensors: what each layer has, what is outside.
fn names(architecture: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let plain = PLAIN.to_vec();
    let with = |more: &[&'static str]| [PLAIN, more].concat();
    let without_gate = |more: &[&'static str]| {
        [PLAIN, more].concat().into_iter().filter(|n| *n != "ffn_gate").collect::<Vec<_>>()
    };
    let biases: &[&str] = &[
        "attn_norm.bias",
        "attn_q.bias",
        "attn_k.bias",
        "attn_v.bias",
        "attn_output.bias",
        "ffn_norm.bias",
        "ffn_up.bias",
        "ffn_down.bias",
    ];
    let fused = |names: Vec<&'static str>| {
        let mut fused: Vec<_> = names
            .into_iter()
            .filter(|n| !["attn_q", "attn_k", "attn_v"].contains(&n.trim_end_matches(".bias")))
            .collect();
        fused.push("attn_qkv");
        if biases.iter().any(|b| fused.contains(b)) {
            fused.push("attn_qkv.bias");
        }
        fused
    };
    let outside = vec!["token_embd", "output_norm"];
    let and = |more: &[&'static str]| [&["token_embd", "output_norm"][..], more].concat();
    match architecture {
        "llama" => (plain, and(&["output", "rope_freqs"])),
        "qwen2" => (with(&["attn_q.bias", "attn_k.bias", "attn_v.bias"]), outside),
        "phi3" => (fused(without_gate(&[])), and(&["output", "rope_factors_long", "rope_factors_short"])),
        "gemma" => (plain, outside),
        "gemma2" => (with(&["post_attention_norm", "post_ffw_norm"]), outside),
        "bitnet" | "bitnet-b1.58" => (with(&["attn_sub_norm", "ffn_sub_norm"]), outside),
        "opt" => (without_gate(biases), and(&["output_norm.bias", "position_embd"])),
        "gpt2" => (fused(without_gate(biases)), and(&["output_norm.bias", "position_embd", "output"])),
        "bloom" => {
            let more = ["output_norm.bias", "token_embd_norm", "token_embd_norm.bias"];
            (fused(without_gate(biases)), and(&more))
        }
        "experts" => {
            let kept = PLAIN.iter().copied().filter(|n| !["ffn_gate", "ffn_up", "ffn_down"].contains(n));
            let more = ["ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];
            (kept.chain(more).collect(), and(&["output"]))
        }
        other => panic!("{other}"),
    }
}

/// Width 12, MLP 10, 3 heads of 4 (1 for keys), 7 tokens, context 9, 5 experts.
fn dims(name: &str, architecture: &str) -> Vec<u64> {
    let up = if architecture == "phi3" { 20 } else { 10 };
    let positions = if architecture == "opt" { 11 } else { 9 };
    let dims = match name.trim_end_matches(".bias") {
        "token_embd" | "output" => vec![12, 7],
        "position_embd" => vec![12, positions],
        "rope_freqs" | "rope_factors_long" | "rope_factors_short" => vec![2],
        "attn_q" | "attn_output" => vec![12, 12],
        "attn_k" | "attn_v" => vec![12, 4],
        "attn_qkv" => vec![12, 20],
        "ffn_gate" => vec![12, 10],
        "ffn_up" => vec![12, up],
        "ffn_down" => vec![10, 12],
        "ffn_sub_norm" => vec![10],
        "ffn_gate_inp" => vec![12, 5],
        "ffn_gate_exps" | "ffn_up_exps" => vec![12, 10, 5],
        "ffn_down_exps" => vec![10, 12, 5],
        _ => vec![12],
    };
    if name.ends_with(".bias") { vec![*dims.last().unwrap()] } else { dims }
}

fn writer(architecture: &str) -> Writer {
    let arch = if architecture == "experts" { "llama" } else { architecture };
    let key = |key: &str| format!("{arch}.{key}");
    let mut writer = Writer::default().str("general.architecture", arch);
    for (name, value) in [
        ("embedding_length", 12),
        ("feed_forward_length", 10),
        ("block_count", 2),
        ("attention.head_count", 3),
        ("attention.head_count_kv", 1),
        ("context_length", 9),
        ("vocab_size", 7),
    ] {
        writer = writer.u32(&key(name), value);
    }
    let layer_norm = ["opt", "gpt2", "bloom"].contains(&arch);
    let eps = if layer_norm { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
    writer = writer.f32(&key(eps), 1e-5);
    if architecture == "experts" {
        writer = writer.u32("llama.expert_count", 5).u32("llama.expert_used_count", 2);
    }
    let (layer, outside) = names(architecture);
    let in_layers = (0..2).flat_map(|i| layer.iter().map(move |n| (format!("blk.{i}.{n}"), *n)));
    for (full, name) in in_layers.chain(outside.into_iter().map(|n| (n.to_string(), n))) {
        let full = if name.ends_with(".bias") { full } else { format!("{full}.weight") };
        let dims = dims(name, architecture);
        writer = writer.floats(&full, &dims, &vec![1.0; dims.iter().product::<u64>() as usize]);
    }
    writer
}

fn read(writer: &Writer) -> Result<Dimensions, String> {
    let bytes = writer.bytes();
    let file = Gguf::parse(&bytes).unwrap();
    let model = GgufModel::of(&file).map_err(|e| e.to_string())?;
    assert_eq!(model.tensors().count(), writer.tensors.len());
    Ok(model.dimensions)
}

const ALL: [&str; 10] =
    ["llama", "qwen2", "phi3", "gemma", "gemma2", "bitnet", "bitnet-b1.58", "opt", "gpt2", "bloom"];

#[test]
fn every_architecture() {
    for architecture in ALL.into_iter().chain(["experts"]) {
        let writer = writer(architecture);
        let d = read(&writer).unwrap();
        assert_eq!(
            (d.hidden, d.intermediate, d.layers, d.heads, d.kv_heads, d.head_dim, d.context, d.vocab),
            (12, 10, 2, 3, 1, 4, 9, 7)
        );
        let row = d.family.row();
        assert_eq!([d.qkv_bias, d.output_bias, d.mlp_bias], row.biases, "{architecture}");
        assert_eq!(d.norm, if row.norm == Norm::Layer { Norm::Layer } else { Norm::Rms });

        // No tensor can be left out but the head (it is then the embedding) and Llama 3's divisors.
        for i in 0..writer.tensors.len() {
            let mut less = writer.clone();
            let (name, dims, ..) = less.tensors.remove(i);
            match read(&less) {
                Ok(d) => match &name[..] {
                    "output.weight" => assert!(d.tied),
                    "rope_freqs.weight" => {
                        assert!(matches!(&d.positions, Positions::Rotary(Rotary { scaling: None, .. })));
                    }
                    // Without the long divisors there is no scaling.
                    "rope_factors_long.weight" => {}
                    _ => panic!("{architecture} without {name} is accepted"),
                },
                Err(error) => assert!(
                    // Without the fused matrix the three are missed.
                    error.contains(&name.replace("attn_qkv", "attn_q")) || error.contains(&name),
                    "{architecture} without {name}: {error}"
                ),
            }
            let mut other = writer.clone();
            let dims: Vec<u64> = dims.iter().map(|d| d + 1).collect();
            other.tensors[i].3 = vec![0; 4 * dims.iter().product::<u64>() as usize];
            other.tensors[i].1 = dims;
            let error = read(&other).unwrap_err();
            assert!(error.contains(&name[..name.find('.').unwrap()]), "{architecture}, {name}: {error}");
        }
    }
}

#[test]
fn what_keys_leave_unsaid() {
    let d = |architecture: &str| read(&writer(architecture)).unwrap();
    let llama = d("llama");
    assert_eq!(
        llama.positions,
        Positions::Rotary(Rotary {
            theta: 10000.0,
            dims: 4,
            pairing: Pairing::Neighbours,
            scaling: Some(Scaling::Divisors(vec![1.0, 1.0]))
        })
    );
    assert!(!llama.tied && llama.family == Family::Llama);
    let experts = d("experts");
    assert_eq!((experts.family, experts.experts), (Family::Mixtral, Some(Experts { count: 5, used: 2 })));
    assert!(matches!(experts.positions, Positions::Rotary(Rotary { pairing: Pairing::Neighbours, .. })));
    assert!(matches!(d("qwen2").positions, Positions::Rotary(Rotary { pairing: Pairing::Halves, .. })));
    assert!(matches!(
        d("phi3").positions,
        Positions::Rotary(Rotary { scaling: Some(Scaling::LongRope { .. }), .. })
    ));
    assert_eq!(d("bitnet").activation, Activation::Silu);
    assert_eq!(d("bitnet-b1.58").activation, Activation::Relu2);
    assert_eq!(
        read(&writer("bitnet").str("bitnet.hidden_act", "relu2")).unwrap().activation,
        Activation::Relu2
    );
    assert_eq!(d("gemma2").activation, Activation::GeluTanh);
    assert_eq!(d("opt").positions, Positions::Learned { offset: 2 });
    assert_eq!(d("gpt2").positions, Positions::Learned { offset: 0 });
    assert_eq!(d("bloom").positions, Positions::Alibi);
    let gemma = writer("gemma2")
        .u32("gemma2.attention.sliding_window", 6)
        .f32("gemma2.attn_logit_softcapping", 50.0)
        .f32("gemma2.final_logit_softcapping", 30.0);
    let gemma = read(&gemma).unwrap();
    assert_eq!(gemma.window, Some(Window { tokens: 6, layers: WindowLayers::Even }));
    assert_eq!((gemma.score_cap, gemma.logit_cap, gemma.query_scalar), (Some(50.0), Some(30.0), 4.0));
    assert_eq!(read(&writer("phi3").u32("phi3.attention.sliding_window", 0)).unwrap().window, None);

    let scaling = |writer: Writer| match read(&writer).unwrap().positions {
        Positions::Rotary(rotary) => rotary.scaling,
        _ => unreachable!(),
    };
    let qwen = || writer("qwen2").f32("qwen2.rope.scaling.factor", 4.0);
    assert_eq!(scaling(qwen()), None);
    assert_eq!(
        scaling(qwen().str("qwen2.rope.scaling.type", "linear")),
        Some(Scaling::Linear { factor: 4.0 })
    );
    assert_eq!(
        scaling(
            qwen()
                .str("qwen2.rope.scaling.type", "yarn")
                .u32("qwen2.rope.scaling.original_context_length", 5)
        ),
        Some(Scaling::Yarn { factor: 4.0, original: 5, beta_fast: 32.0, beta_slow: 1.0, attention: None })
    );
}

#[test]
fn what_is_wrong_is_said() {
    let said = |writer: Writer| read(&writer).unwrap_err();
    assert_eq!(
        said(Writer::default()),
        "key `general.architecture`: not there, expected one of llama, qwen2, phi3, gemma, gemma2, bitnet, bitnet-b1.58, opt, gpt2, bloom"
    );
    assert!(
        said(Writer::default().str("general.architecture", "mamba"))
            .starts_with("key `general.architecture`: `mamba`, expected one of llama,")
    );
    for i in 1..9 {
        let mut less = writer("llama");
        less.keys.remove(i);
        match read(&less) {
            // All heads, then: the tensors say otherwise.
            Err(error) if i == 5 => assert!(error.starts_with("tensor `blk.0.attn_k.weight`"), "{error}"),
            Err(error) => assert!(error.starts_with("key `llama.") && error.contains("not there"), "{error}"),
            Ok(_) => panic!("llama without its key {i} is accepted"),
        }
    }
    let replaced = |i: usize, key: &str, value: u32| {
        let mut writer = writer("llama").u32(key, value);
        let last = writer.keys.pop().unwrap();
        writer.keys[i] = last;
        said(writer)
    };
    assert_eq!(
        replaced(3, "llama.block_count", 1 << 24),
        "tensor `blk.2.attn_norm.weight`: not there, expected this tensor"
    );
    assert_eq!(replaced(3, "llama.block_count", 0), "key `llama.block_count`: 0, expected 1 to 16777216");
    assert_eq!(
        replaced(3, "llama.block_count", 1),
        "tensor `blk.1.attn_norm.weight`: layer 1, expected 1 layers"
    );
    assert_eq!(
        replaced(4, "llama.attention.head_count", 5),
        "key `llama.attention.head_count`: 5 heads, a width of 12, and no `llama.attention.key_length`, expected a divisor of the width"
    );
    assert_eq!(
        replaced(7, "llama.vocab_size", 8),
        "tensor `token_embd.weight`: dimensions [12, 7, 1, 1], expected a width of 12 and 8 tokens"
    );
    assert_eq!(
        said(writer("llama").u32("llama.attention.value_length", 3)),
        "key `llama.attention.value_length`: 3, expected 4, the length of keys"
    );
    assert_eq!(
        said(writer("llama").u32("llama.rope.dimension_count", 6)),
        "key `llama.rope.dimension_count`: 6, expected even, at most the head's 4"
    );
    assert_eq!(
        said(writer("llama").u32("split.count", 3)),
        "key `split.count`: 3, expected 1: the others are not joined to it"
    );
    assert_eq!(
        said(writer("qwen2").u32("qwen2.expert_count", 5)),
        "key `qwen2.expert_count`: there, expected none: experts are read in the architecture llama"
    );
    assert_eq!(
        said(writer("llama").floats("blk.0.attn_x.weight", &[1], &[0.0])),
        "tensor `blk.0.attn_x.weight`: a name that has no role, expected those of the model's architecture"
    );
    assert_eq!(
        said(writer("llama").floats("blk.0.attn_sub_norm.weight", &[12], &[0.0; 12])),
        "tensor `blk.0.attn_sub_norm.weight`: there, expected none: this Llama has no use for it"
    );
    assert_eq!(
        said(writer("phi3").floats("blk.1.attn_q.weight", &[12, 12], &[0.0; 144])),
        "tensor `blk.1.attn_q.weight`: there, expected none: this Phi3 has no use for it"
    );
    assert_eq!(
        said(writer("llama").floats("blk.0.attn_norm.bias", &[12], &[0.0; 12])),
        "tensor `blk.0.attn_norm.bias`: there, expected none: this Llama has no use for it"
    );
    assert_eq!(
        said(writer("llama").floats("blk.00.ffn_sub_norm.weight", &[10], &[0.0; 10])),
        "tensor `blk.00.ffn_sub_norm.weight`: a name that has no role, expected those of the model's architecture"
    );
}

#[test]
fn the_trained_models() {
    for name in common::MODELS {
        let map = Mapped::open(&common::data(&format!("models/{name}.gguf"))).unwrap();
        let file = Gguf::parse(&map).unwrap();
        let model = GgufModel::of(&file).unwrap();
        let bitnet = name.contains("bitnet");
        let expected = Dimensions {
            family: if bitnet { Family::Bitnet } else { Family::Llama },
            layers: 4,
            hidden: 256,
            intermediate: 512,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            vocab: 1024,
            context: 256,
            positions: Positions::Rotary(Rotary {
                theta: 10000.0,
                dims: 64,
                pairing: if bitnet { Pairing::Halves } else { Pairing::Neighbours },
                scaling: None,
            }),
            norm: Norm::Rms,
            norm_eps: f64::from(1e-5f32),
            activation: Activation::Silu,
            tied: bitnet,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            window: None,
            query_scalar: 64.0,
            score_cap: None,
            logit_cap: None,
            experts: None,
        };
        assert_eq!(model.dimensions, expected, "{name}");
        let down = model.tensor(Place::weight(3, Role::FfnDown)).unwrap();
        assert_eq!((down.cols(), down.rows()), (512, 256));
    }
}
