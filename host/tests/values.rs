//! Whole models: the lowered programs, executed instruction by instruction over the packed image, give the reference's
//! logits and tokens bit for bit, however far the queues run ahead; and every overlap of bytes is ordered by tokens.

#[path = "values/chip.rs"]
mod chip;
#[path = "values/random.rs"]
mod random;

use chip::{check, check_on};
use lutsim_host::mix::{Formats, Mix};
use lutsim_host::model::{Experts, LearnedPositions, Model, Positions, RopeConfig, Window, WindowLayers};
use lutsim_host::target::Target;
use lutsim_host::workload::Workload;
use lutsim_isa::field::{AType, Act, Entries, Norm, Rope};
use lutsim_isa::{Group, WeightFormat, WeightKind};

fn tiny() -> Model {
    Model::builtin("tiny-2l").unwrap()
}

/// The rotary embedding of `tiny-2l`.
fn rope() -> RopeConfig {
    tiny().rope().unwrap().clone()
}

fn opt() -> Model {
    Model {
        name: "opt".into(),
        kv_heads: 4,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        gated_mlp: false,
        activation: Act::Relu,
        norm: Norm::Layer,
        positions: Positions::Learned(LearnedPositions { offset: 2 }),
        ..tiny()
    }
}

fn bloom() -> Model {
    Model {
        name: "bloom".into(),
        embedding_norm: true,
        activation: Act::Gelu,
        positions: Positions::Alibi,
        ..opt()
    }
}

/// Heads of their own width, norms behind attention and MLP, capped scores and logits, a scale of its own.
fn gemma2() -> Model {
    Model {
        name: "gemma2".into(),
        head_dim: 20,
        positions: Positions::Rotary(RopeConfig { dims: 20, ..rope() }),
        activation: Act::Gelu,
        norm: Norm::RmsPlusOne,
        post_norms: true,
        query_scalar: Some(30.0),
        score_cap: Some(2.0),
        logit_cap: Some(3.0),
        ..tiny()
    }
}

fn small() -> Workload {
    let weights = WeightFormat { kind: WeightKind::Int2, group: Group::Of(32) };
    let head = WeightFormat { kind: WeightKind::Int8, group: Group::Of(32) };
    Workload { prompt: 5, generate: 3, weights, head, sampling: true, ..Workload::default() }
}

#[test]
fn the_first_token() {
    check(&tiny(), Workload { prompt: 1, generate: 0, ..small() });
}

#[test]
fn prompt_and_decode() {
    check(&tiny(), small());
}

#[test]
fn weight_kinds_and_groups() {
    use WeightKind::*;
    for (kind, group) in [
        (Int1, Group::Of(16)),
        (Int158, Group::Of(64)),
        (Int158, Group::Row),
        (Int2, Group::Of(128)),
        (Int3, Group::Of(16)),
        (Int3, Group::Row),
        (Int4, Group::Of(64)),
        (Int8, Group::Of(128)),
        (Int8, Group::Row),
    ] {
        check(&tiny(), Workload { weights: WeightFormat { kind, group }, ..small() });
    }
}

/// Floats, on the vector unit: all matrices, the head alone, and some of the layers' with codes in the others.
#[test]
fn floats() {
    let float = WeightFormat::FLOAT;
    check(&tiny(), Workload { head: float, ..small() });
    check(&tiny(), Workload { weights: float, ..small() });
    check(&tiny(), Workload { weights: float, head: float, batch: 2, ..small() });
    check(&tiny(), Workload { weights: float, head: float, sampling: false, ..small() });
    check(&tiny(), Workload { weights: float, head: float, activations: AType::Fp16, ..small() });
    for model in [opt(), bloom(), gemma2()] {
        check(&model, Workload { weights: float, head: float, ..small() });
    }
    for names in [&["wq", "wo", "w_up"][..], &["wk", "w_gate"], &["w_down", "wv"]] {
        let formats = |layer: u32| -> Formats {
            names.iter().filter(|_| layer == 0).map(|&name| (name, float)).collect()
        };
        let all = |layer| {
            let mut all: Formats = ["wk", "wv", "wq", "wo", "w_gate", "w_up", "w_down"]
                .map(|name| (name, small().weights))
                .into();
            all.extend(formats(layer));
            all
        };
        let mix = Some(Mix::new((0..2).map(all)));
        check(&Model { mix, ..tiny() }, small());
    }
}

/// The types of model files, in the files' own blocks.
#[test]
fn blocks_of_files() {
    let model =
        Model { hidden: 256, intermediate: 512, heads: 4, kv_heads: 2, head_dim: 64, layers: 1, ..tiny() };
    let positions = Positions::Rotary(RopeConfig { dims: 64, ..rope() });
    let model = Model { positions, name: "blocks".into(), ..model };
    for &kind in WeightKind::ALL.iter().filter(|kind| kind.blocks().is_some()) {
        let format = WeightFormat::new(kind, Group::Row);
        let work = Workload { weights: format, head: format, ..small() };
        check(&model, work);
        check(&model, Workload { activations: AType::Fp16, batch: 2, generate: 1, ..work });
    }
}

/// Layers of several kinds: runs of them, runs that come again, and each layer another; matrices of one layer in several types.
#[test]
fn mixed_layers() {
    use WeightKind::*;
    let model =
        Model { hidden: 256, intermediate: 512, heads: 4, kv_heads: 2, head_dim: 64, vocab: 40, ..tiny() };
    let positions = Positions::Rotary(RopeConfig { dims: 64, ..rope() });
    let model = Model { positions, name: "mixed".into(), ..model };
    let group = |kind| WeightFormat::new(kind, Group::Of(128));
    // As llama.cpp mixes them: more bits for values and down projections in some of the layers.
    let layer = |base, wv, down| -> Formats {
        let names = ["wk", "wq", "wo", "w_gate", "w_up"];
        names
            .map(|name| (name, group(base)))
            .into_iter()
            .chain([("wv", group(wv)), ("w_down", group(down))])
            .collect()
    };
    let (a, b) = (layer(Q4K, Q6K, Q6K), layer(Q4K, Q4K, Q4K));
    let c = layer(Q2K, Q3K, Int8);
    for layers in [vec![&a, &b], vec![&b, &b, &a, &b, &b, &a, &a], vec![&c, &a, &b, &c]] {
        let mix = Mix::new(layers.iter().map(|&l| l.clone()));
        let model = Model { layers: layers.len() as u32, mix: Some(mix), ..model.clone() };
        let work = Workload { prompt: 9, generate: 2, head: group(Q6K), ..small() };
        check(&model, work);
        check(&model, Workload { batch: 2, kv: WeightKind::Kv4, sampling: false, ..work });
        // Rows in many passes, so that loops nest as deep as they can.
        let narrow = Target { cores: 2, m: 1, ..chip::TINY };
        check_on(&narrow, &model, Workload { prompt: 20, generate: 1, ..work });
    }
}

#[test]
fn caches_and_batches() {
    for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
        for batch in [1, 2] {
            check(&tiny(), Workload { kv, batch, ..small() });
            check(&tiny(), Workload { kv, batch, prompt: 0, context: 126, generate: 4, ..small() });
        }
    }
}

#[test]
fn prompt_lengths() {
    for prompt in [1, 8, 127, 128, 130] {
        check(&tiny(), Workload { prompt, generate: 2, ..small() });
    }
    check(&tiny(), Workload { prompt: 130, batch: 2, context: 120, generate: 9, ..small() });
}

#[test]
fn greedy_tokens_come_from_the_chip() {
    for batch in [1, 3] {
        check(&tiny(), Workload { sampling: false, batch, generate: 6, ..small() });
    }
}

#[test]
fn half_precision_activations() {
    for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
        check(&tiny(), Workload { activations: AType::Fp16, kv, ..small() });
    }
}

/// Entries rounded to 8 bits, in attention too or beside lanes that have no tables.
#[test]
fn rounded_tables() {
    let tables = Entries::Int8;
    for mac_attention in [false, true] {
        let target = Target { mac_attention, ..chip::TINY };
        for activations in [AType::Int8, AType::Fp16] {
            for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
                check_on(
                    &target,
                    &tiny(),
                    Workload { tables, activations, kv, batch: 2, prompt: 9, ..small() },
                );
            }
        }
    }
    let row = WeightFormat { kind: WeightKind::Int3, group: Group::Row };
    check(&tiny(), Workload { tables, weights: row, head: row, prompt: 130, ..small() });
}

/// Cores without tables: integers as they are, or FP16 weights that a dequantiser made.
#[test]
fn cores_without_tables() {
    for (activations, dequantises) in [(AType::Int8, false), (AType::Fp16, true)] {
        let target = Target { k: 1, dequantises, ..chip::TINY };
        for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
            let work = Workload { activations, kv, batch: 2, prompt: 9, ..small() };
            check_on(&target, &tiny(), work);
            check_on(&target, &bloom(), Workload { prompt: 130, generate: 2, ..work });
        }
        for kind in [WeightKind::Int1, WeightKind::Int158, WeightKind::Int4, WeightKind::Int8] {
            for group in [Group::Of(16), Group::Row] {
                let weights = WeightFormat { kind, group };
                check_on(&target, &tiny(), Workload { activations, weights, ..small() });
            }
        }
        check_on(&target, &tiny(), Workload { activations, head: WeightFormat::FLOAT, ..small() });
    }
}

/// Tables that the vector unit made, attention without tables, and both.
#[test]
fn tables_in_scratchpad_and_attention_on_lanes() {
    for (stored_tables, mac_attention) in [(true, false), (false, true), (true, true)] {
        let target = Target { stored_tables, mac_attention, ..chip::TINY };
        for activations in [AType::Int8, AType::Fp16] {
            for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
                let small = Workload { activations, kv, batch: 2, ..small() };
                check_on(&target, &tiny(), Workload { prompt: 9, ..small });
                check_on(&target, &tiny(), Workload { prompt: 0, context: 126, generate: 4, ..small });
                check_on(&target, &bloom(), Workload { prompt: 130, generate: 2, ..small });
            }
        }
        // Heads whose tables are padded.
        let odd = Model { head_dim: 18, heads: 3, kv_heads: 3, hidden: 54, intermediate: 90, ..opt() };
        check_on(&target, &odd, Workload { prompt: 9, ..small() });
    }
}

#[test]
fn families() {
    check(&Model { qkv_bias: true, name: "qwen2".into(), ..tiny() }, small());
    let bitnet = Model { sub_norms: true, activation: Act::Relu2, name: "bitnet".into(), ..tiny() };
    let weights = WeightFormat { kind: WeightKind::Int158, group: Group::Row };
    check(&bitnet, Workload { weights, ..small() });
    // Odd sizes: heads of 100, K not a multiple of the group, one key head for each query head.
    let odd = Model {
        head_dim: 20,
        heads: 3,
        kv_heads: 3,
        hidden: 60,
        intermediate: 100,
        name: "odd".into(),
        ..tiny()
    };
    let rope = RopeConfig { dims: 12, ..rope() };
    check(&Model { positions: Positions::Rotary(rope.clone()), ..odd.clone() }, small());
    let positions = Positions::Rotary(RopeConfig { pairing: Rope::Pair, ..rope });
    check(&Model { positions, ..odd }, Workload { prompt: 9, batch: 2, ..small() });
}

/// LayerNorm with biases, biases of all projections, an MLP without a gate; learned positions, or ALiBi and a normed embedding.
#[test]
fn opt_and_bloom() {
    for model in [opt(), bloom()] {
        check(&model, small());
        check(&model, Workload { sampling: false, batch: 3, generate: 6, ..small() });
        for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
            check(&model, Workload { kv, batch: 2, prompt: 0, context: 126, generate: 4, ..small() });
        }
        let weights = WeightFormat { kind: WeightKind::Int158, group: Group::Row };
        check(&model, Workload { weights, activations: AType::Fp16, prompt: 9, ..small() });
        for prompt in [1, 8, 127, 128, 130] {
            check(&model, Workload { prompt, generate: 2, ..small() });
        }
        check(&model, Workload { prompt: 130, batch: 2, context: 120, generate: 9, ..small() });
    }
}

#[test]
fn gemma() {
    let plain = Model { post_norms: false, query_scalar: None, score_cap: None, logit_cap: None, ..gemma2() };
    check(&plain, small());
    for model in [gemma2(), Model { score_cap: None, ..gemma2() }, Model { norm: Norm::Layer, ..gemma2() }] {
        check(&model, small());
        check(&model, Workload { sampling: false, batch: 3, generate: 6, ..small() });
        for kv in [WeightKind::Kv8, WeightKind::KvF16] {
            check(&model, Workload { kv, batch: 2, prompt: 0, context: 126, generate: 4, ..small() });
        }
        check(&model, Workload { activations: AType::Fp16, prompt: 130, generate: 2, ..small() });
    }
    // A bias of a projection comes before the norm behind it.
    check(&Model { post_norms: true, norm: Norm::RmsPlusOne, ..opt() }, small());
}

/// A router and its experts: one row, several that do not agree, more than there are experts for; all and one of one.
#[test]
fn experts() {
    for (count, used) in [(4, 2), (8, 2), (3, 3), (1, 1), (9, 1)] {
        let model = Model { name: "mixtral".into(), experts: Some(Experts { count, used }), ..tiny() };
        check(&model, small());
        check(&model, Workload { sampling: false, batch: 3, generate: 4, ..small() });
        check(&model, Workload { activations: AType::Fp16, prompt: 1, ..small() });
        check(&model, Workload { prompt: 130, generate: 1, ..small() });
        let target = Target { stored_tables: true, ..chip::TINY };
        check_on(&target, &model, Workload { batch: 2, ..small() });
    }
}

/// Attention to the nearest tokens: windows that begin in a tile of keys or between tiles, shorter and longer than a chunk.
#[test]
fn windows() {
    for tokens in [1, 7, 128, 130, 200] {
        let window = Some(Window { tokens, layers: WindowLayers::All });
        let model = Model { window, ..tiny() };
        check(&model, Workload { prompt: 9, ..small() });
        check(&model, Workload { prompt: 280, generate: 2, ..small() });
        for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
            check(&model, Workload { kv, batch: 2, prompt: 0, context: 254, generate: 4, ..small() });
        }
        let workload = Workload { prompt: 150, batch: 2, context: 120, generate: 9, ..small() };
        check(&Model { window, ..gemma2() }, workload);
        // Some layers only: one after the other, and runs of them.
        for (layers, pattern) in
            [(3, WindowLayers::Even), (4, WindowLayers::Even), (3, WindowLayers::From(1))]
        {
            let window = Some(Window { tokens, layers: pattern });
            check(&Model { window, layers, ..tiny() }, Workload { prompt: 140, generate: 2, ..small() });
        }
    }
}

/// Twelve heads of 20 in a width of 60, an MLP of 100: no power of two, and tiles that are not full.
#[test]
fn opt_and_bloom_of_odd_sizes() {
    for model in [opt(), bloom()] {
        let odd = Model { head_dim: 20, heads: 12, kv_heads: 12, hidden: 60, intermediate: 100, ..model };
        check(&odd, small());
        check(&odd, Workload { prompt: 37, batch: 2, ..small() });
        // Each of these is a model's choice of its own.
        for mlp_bias in [false, true] {
            check(&Model { mlp_bias, output_bias: !mlp_bias, qkv_bias: false, ..odd.clone() }, small());
        }
        check(&Model { sub_norms: true, embedding_norm: true, ..odd.clone() }, small());
        let gated = Model { gated_mlp: true, mlp_bias: false, norm: Norm::RmsPlusOne, ..odd.clone() };
        check(&gated, Workload { prompt: 9, ..small() });
        // Heads that share keys have a slope each.
        check(&Model { kv_heads: 3, ..odd }, Workload { prompt: 9, batch: 2, ..small() });
    }
}

/// As large as the chip `tiny` must hold: hidden 320, FFN 864, 300 tokens.
#[test]
fn the_largest_model_of_the_chip() {
    let model = Model {
        hidden: 320,
        intermediate: 864,
        heads: 5,
        kv_heads: 5,
        head_dim: 64,
        vocab: 1024,
        positions: Positions::Rotary(RopeConfig { dims: 64, ..rope() }),
        name: "hidden 320".into(),
        ..tiny()
    };
    let weights = WeightFormat { kind: WeightKind::Int158, group: Group::Of(256) };
    let head = Workload::default().head;
    check(&model, Workload { prompt: 296, generate: 4, weights, head, ..small() });
}
