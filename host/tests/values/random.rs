//! Models, workloads, chips and mappings at random.

use lutsim_host::mapping::{Hidden, Mapping};
use lutsim_host::mix::{Formats, Mix};
use lutsim_host::model::{Experts, LearnedPositions, Model, Positions, RopeConfig, Window, WindowLayers};
use lutsim_host::plan::plan;
use lutsim_host::target::Target;
use lutsim_host::workload::Workload;
use lutsim_isa::field::{AType, Act, Entries, Norm, Rope};
use lutsim_isa::format::STORED_TABLE;
use lutsim_isa::{Group, WeightFormat, WeightKind};
use proptest::prelude::*;

use super::chip::{TINY, check_with};
use super::{rope, tiny};

fn models() -> impl Strategy<Value = Model> {
    let sizes = (1u32..=3, 1u32..=40, 1u32..=40, 1u32..=3, 1u32..=3, 1u32..=12, 40u32..400);
    let flags = (any::<[bool; 7]>(), 0usize..4, 0usize..3, 0usize..4, 1u32..=12);
    let caps = prop::option::weighted(0.3, 1.0f32..30.0);
    let window = prop::option::weighted(0.3, (1u32..150, 0u32..4));
    let experts = prop::option::weighted(0.2, (1u32..6, 1u32..4));
    let others = (prop::bool::weighted(0.3), caps.clone(), caps.clone(), caps, window, experts);
    (sizes, flags, others).prop_map(|((layers, hidden, ffn, kv_heads, group, head, vocab), flags, others)| {
        let (post_norms, query_scalar, score_cap, logit_cap, window, experts) = others;
        let experts = experts.map(|(used, more)| Experts { count: used + more, used });
        let ([qkv_bias, sub_norms, pair, gated_mlp, mlp, output_bias, embedding_norm], ..) = flags;
        let (_, act, norm, positions, dims) = flags;
        let experts = experts.filter(|_| gated_mlp && !post_norms && !sub_norms);
        let pairing = if pair { Rope::Pair } else { Rope::Half };
        let positions = match positions {
            0 => Positions::Learned(LearnedPositions { offset: dims - 1 }),
            1 => Positions::Alibi,
            _ => Positions::Rotary(RopeConfig { dims: 4 * dims.min(head), pairing, ..rope() }),
        };
        Model {
            name: "random".into(),
            layers,
            hidden: 4 * hidden,
            intermediate: 4 * ffn,
            kv_heads,
            heads: kv_heads * group,
            head_dim: 4 * head,
            vocab,
            qkv_bias,
            sub_norms,
            output_bias,
            mlp_bias: mlp && !gated_mlp,
            embedding_norm,
            gated_mlp,
            activation: Act::ALL[act],
            norm: Norm::ALL[norm],
            post_norms,
            experts,
            query_scalar,
            score_cap,
            logit_cap,
            window: window.filter(|_| positions != Positions::Alibi).map(|(tokens, layers)| Window {
                tokens,
                layers: [WindowLayers::All, WindowLayers::Even, WindowLayers::From(1), WindowLayers::From(2)]
                    [layers as usize],
            }),
            positions,
            ..tiny()
        }
    })
}

fn workloads() -> impl Strategy<Value = Workload> {
    let kinds = prop::sample::select(&lutsim_host::quantize::KINDS[..]);
    let kv = prop::sample::select(&[WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16][..]);
    let lengths = prop_oneof![
        (0u32..20, 0u32..20),
        (0u32..140, Just(0)),
        (Just(0), 118u32..135),
        (1u32..30, 110u32..130)
    ];
    let group = |low: u32| prop_oneof![Just(Group::Row), (low..=7).prop_map(|p| Group::Of(1 << p))];
    (
        kinds,
        group(4),
        group(4),
        kv,
        lengths,
        1u32..=3,
        0u32..=4,
        prop::bool::weighted(0.2),
        (prop::bool::weighted(0.8), prop::sample::select(Entries::ALL)),
    )
        .prop_map(
            |(kind, group, head, kv, (prompt, context), batch, generate, half, (sampling, tables))| {
                Workload {
                    batch,
                    prompt,
                    context,
                    generate: if prompt == 0 { generate + 1 } else { generate },
                    weights: WeightFormat { kind, group },
                    head: WeightFormat { kind: WeightKind::Int8, group: head },
                    activations: if half { AType::Fp16 } else { AType::Int8 },
                    tables,
                    kv,
                    sampling,
                }
            },
        )
}

/// A type for each matrix of each layer, or one for all.
fn mixes() -> impl Strategy<Value = Option<Mix>> {
    let kinds = prop::sample::select(&lutsim_host::quantize::KINDS[..]);
    let format = (kinds, 4u32..=7).prop_map(|(kind, p)| WeightFormat { kind, group: Group::Of(1 << p) });
    let kind = prop::collection::vec(format, 7).prop_map(|formats| -> Formats {
        ["wk", "wv", "wq", "wo", "w_gate", "w_up", "w_down"].into_iter().zip(formats).collect()
    });
    let layers = prop::collection::vec(kind, 2)
        .prop_flat_map(|kinds| prop::collection::vec(prop::sample::select(kinds), 3));
    prop::option::weighted(0.4, layers.prop_map(Mix::new))
}

fn targets() -> impl Strategy<Value = Target> {
    let tables = (1u32..=5, prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    (1u32..=9, 1u32..=3, 0usize..3, 7u32..=11, tables, 0usize..3).prop_map(
        |(cores, m, n, scratchpad, (k, stored_tables, mac_attention, dequantises), bits)| {
            let (n, accumulator_bits) = ([16, 64, 128][n], [24, 32, 20][bits]);
            let cores = cores.max(128 / n);
            let k = if stored_tables { STORED_TABLE } else { k };
            let scratchpad_bytes = 1024 << scratchpad;
            let tables = match dequantises {
                false => Target { k, stored_tables, mac_attention, ..TINY },
                true => Target { k: 1, dequantises, ..TINY },
            };
            Target { cores, m, n, accumulator_bits, scratchpad_bytes, ..tables }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_model_on_any_chip(
        model in models(), mix in mixes(), workload in workloads(), target in targets(),
        cut in (0u32..3, 1u32..160, 1u32..9, 0u32..3, 0u32..3, prop::bool::weighted(0.2)),
    ) {
        let (kind, size, cores, chunk, fewer, half) = cut;
        let layers = if mix.is_some() { 3 } else { model.layers };
        let model = Model { mix, layers, ..model };
        // Tables that the vector unit makes have exact entries.
        let tables = if target.stored_tables { Entries::Exact } else { workload.tables };
        let workload = match target.dequantises {
            false => Workload { tables, ..workload },
            true => Workload { tables: Entries::Exact, activations: AType::Fp16, ..workload },
        };
        // A default mapping, or one of another grid and other tiles, and then fewer rows and slots than it could have.
        let mapping = match kind {
            0 => Mapping::default_for(&target, &model, &workload).ok(),
            _ => Mapping::with(&target, &model, &workload, cores.min(target.cores), size, 16 << (size % 6)),
        };
        if let Some(mut mapping) = mapping {
            mapping.chunk = (mapping.chunk >> chunk).max(1);
            mapping.hidden = if half { Hidden::F16 } else { mapping.hidden };
            mapping.decode_slots -= fewer.min(mapping.decode_slots - 1);
            mapping.prefill_slots -= fewer.min(mapping.prefill_slots.max(1) - 1);
            if plan(&model, &workload, &target, &mapping).is_ok() {
                check_with(&model, workload, &target, &mapping);
            }
        }
    }
}
