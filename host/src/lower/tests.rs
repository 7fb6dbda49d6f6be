//! Programs step to their end, read each weight once, race with nothing, and compute what the reference computes.

use lutsim_isa::control::{Control, Dispatch, Op, Step};
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::field::{AType, Unpack};
use lutsim_isa::format::{ByteClass, Format, Group, WeightFormat, WeightKind};
use lutsim_isa::order::{OrderChecker, Space, accesses};

use super::Lowered;
use crate::image::write_image;
use crate::mapping::{Hidden, Mapping};
use crate::model::Model;
use crate::plan::{Plan, plan};
use crate::reference::{Machine, Numerics, Reference, argmax};
use crate::runtime::Doorbell;
use crate::target::Target;
use crate::weights::Synthetic;
use crate::workload::Workload;

fn planned(name: &str, workload: Workload, target: Target) -> Plan {
    let model = Model::builtin(name).unwrap();
    let mapping = Mapping::default_for(&target, &model, &workload).unwrap();
    plan(&model, &workload, &target, &mapping).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Every operation of a step, in order.
fn dispatches(step: &Lowered, doorbell: &Doorbell, mut each: impl FnMut(Dispatch)) {
    let mut control = Control::with_mailbox(&doorbell.registers, &doorbell.mailbox);
    loop {
        match control.step(&step.program).unwrap_or_else(|e| panic!("{}: {e}\n{}", step.name, step.listing()))
        {
            Step::Control => {}
            Step::Dispatch(d) => each(d),
            Step::Fence => panic!("a fence drains the pipeline"),
            Step::Halt => return,
        }
    }
}

/// Where an instruction is, for a failed test.
fn place(step: &Lowered, pc: u32) -> String {
    let lines: Vec<String> = (pc.saturating_sub(6)..=pc)
        .filter_map(|i| step.program.code.get(i as usize).map(|c| format!("{i}: {c}")))
        .collect();
    format!("{} {}:\n{}", step.name, step.operator(pc).map_or("", |o| o.name), lines.join("\n"))
}

/// Proves the order of a step's accesses, and that they stay where they should.
fn proven(plan: &Plan, step: &Lowered, doorbell: &Doorbell) {
    let mut order = OrderChecker::new(&doorbell.mailbox);
    let mut tokens = [0; 32];
    dispatches(step, doorbell, |d| {
        if let Some(sem) = d.wait {
            assert!(tokens[sem.index()] > 0, "{sem} is given later\n{}", place(step, d.pc));
            tokens[sem.index()] -= 1;
        }
        if let Some(sem) = d.signal {
            tokens[sem.index()] += 1;
        }
        for access in accesses(&d.op, &doorbell.mailbox) {
            let limit = match access.space {
                Space::Scratchpad => plan.target.scratchpad_bytes,
                Space::Dram => plan.layout.programs,
            };
            assert!(access.range.end() <= limit, "{:?} beyond {limit}\n{}", access.range, place(step, d.pc));
        }
        order.observe(&d).unwrap_or_else(|e| panic!("{e}\n{}", place(step, d.pc)));
    });
    order.finish().unwrap();
    assert_eq!(tokens, [0; 32], "tokens left by {}", step.name);
}

/// Runs a step in order, every access proven.
fn run(plan: &Plan, state: &mut State, step: &Lowered, doorbell: &Doorbell) {
    proven(plan, step, doorbell);
    state.mailbox = doorbell.mailbox.clone();
    dispatches(step, doorbell, |d| {
        state.exec(&d.op).unwrap_or_else(|e| panic!("{e}\n{}", place(step, d.pc)));
    });
}

/// What a step left for the host: tokens, or the bits of the logits if it samples.
fn results(plan: &Plan, state: &State) -> Vec<Vec<u32>> {
    let sampling = plan.workload.sampling;
    let table = if sampling { plan.layout.logits } else { plan.layout.result };
    let row = |i: u32| {
        let mut bytes = vec![0; table.row_bytes() as usize];
        state.dram.read(table.addr + u64::from(i) * table.row_bytes(), &mut bytes).unwrap();
        let words = bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b));
        if sampling { words.collect() } else { words.skip(1).collect() }
    };
    (0..table.rows).map(row).collect()
}

/// Prefill and greedy decode on the instructions' meaning, against the reference.
fn same_tokens(plan: &Plan) {
    let Plan { model, workload, target, layout, .. } = plan;
    let source = Synthetic { model: model.clone(), weights: workload.weights, head: workload.head, seed: 7 };
    let shape = LutShape { cores: target.cores, m: target.m, n: target.n };
    let mut state = State::new(target.scratchpad_bytes as u32, target.dram_bytes, shape);
    write_image(&mut state.dram, layout, model, &source).unwrap();
    let k_blocks = layout.tensors.iter().map(|t| (t.name.to_string(), t.k_block)).collect();
    let machine = Machine {
        kv: workload.kv,
        kv_tile: 128,
        activations: workload.activations,
        entries: workload.entries(target.k),
        dequantises: target.dequantises,
        attention_table: target.k,
        table: target.k,
        half_hidden: plan.mapping.hidden == Hidden::F16,
        k_blocks,
    };
    let reference = Reference::new(model.clone(), &source, Numerics::Machine(machine)).unwrap();

    let (batch, prompt) = (workload.batch, workload.prompt);
    let ids: Vec<u32> = (0..batch * prompt).map(|i| (i * 37 + 11) % model.vocab).collect();
    let mut caches: Vec<_> = (0..batch).map(|_| reference.cache(workload.context)).collect();
    let mut tokens: Vec<u32> = (0..batch).collect();
    let expect = |logits: &[f32]| match workload.sampling {
        true => logits.iter().map(|x| x.to_bits()).collect(),
        false => vec![argmax(logits)],
    };
    let mut expected = vec![Vec::new(); batch as usize];
    for (b, cache) in caches.iter_mut().enumerate() {
        let ids = &ids[b * prompt as usize..(b + 1) * prompt as usize];
        if let Some(logits) = reference.prefill(cache, ids).unwrap().last() {
            expected[b] = expect(logits);
            tokens[b] = argmax(logits);
        }
    }
    for (step, doorbell) in plan.prefill_steps(&ids) {
        run(plan, &mut state, step, &doorbell);
    }
    if prompt > 0 {
        assert_eq!(results(plan, &state), expected, "{} after prefill", model.name);
    }
    for i in 0..workload.generate {
        let position = u64::from(workload.context + prompt + i);
        let (step, doorbell) = plan.decode_step(position, &tokens);
        run(plan, &mut state, step, &doorbell);
        for (b, cache) in caches.iter_mut().enumerate() {
            let logits = reference.step(cache, tokens[b]).unwrap();
            expected[b] = expect(&logits);
            tokens[b] = argmax(&logits);
        }
        assert_eq!(results(plan, &state), expected, "{} decode step {i}", model.name);
    }
}

fn tiny(change: impl FnOnce(&mut Workload)) -> Workload {
    let mut workload = Workload { prompt: 8, generate: 4, ..Workload::default() };
    change(&mut workload);
    workload
}

/// `tiny-2l` with some of its lines replaced.
fn changed(changes: &[(&str, &str)]) -> Model {
    let mut text = include_str!("../../../configs/models/tiny-2l.toml").to_string();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Model::parse("changed.toml", &text).unwrap()
}
fn same_tokens_of(model: &Model, workload: Workload, target: Target) {
    let mapping = Mapping::default_for(&target, model, &workload).unwrap();
    same_tokens(&plan(model, &workload, &target, &mapping).unwrap());
}

#[test]
fn the_tiny_model_is_exact() {
    same_tokens(&planned("tiny-2l", tiny(|_| ()), Target::TINY));
    same_tokens(&planned("tiny-2l", tiny(|w| w.sampling = true), Target::TINY));
}

#[test]
fn every_type_is_exact() {
    for kind in crate::quantize::KINDS {
        for group in [Group::Of(32), Group::Of(128), Group::Row] {
            let weights = WeightFormat { kind, group };
            same_tokens(&planned(
                "tiny-2l",
                tiny(|w| (w.weights, w.sampling) = (weights, true)),
                Target::TINY,
            ));
        }
    }
    for kv in [WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16] {
        for activations in [AType::Int8, AType::Fp16] {
            let workload = tiny(|w| (w.kv, w.activations, w.sampling) = (kv, activations, true));
            same_tokens(&planned("tiny-2l", workload, Target::TINY));
        }
    }
}

#[test]
fn long_sequences_are_exact() {
    // A prompt of several chunks, a ragged last one, over several KV tiles, into a cache that is not empty.
    let workload = tiny(|w| (w.prompt, w.context, w.sampling) = (150, 20, true));
    same_tokens(&planned("tiny-2l", workload, Target::TINY));
    let workload = tiny(|w| (w.prompt, w.context, w.generate, w.sampling) = (0, 250, 8, true));
    same_tokens(&planned("tiny-2l", workload, Target::TINY));
}

#[test]
fn batches_are_exact() {
    for batch in [2, 5] {
        let workload = tiny(|w| (w.batch, w.sampling) = (batch, true));
        same_tokens(&planned("tiny-2l", workload, Target::TINY));
        same_tokens(&planned("tiny-2l", Workload { sampling: false, ..workload }, Target::TINY));
    }
}

#[test]
fn other_families_are_exact() {
    let sampling = tiny(|w| w.sampling = true);
    let qwen = changed(&[("qkv_bias = false", "qkv_bias = true")]);
    same_tokens_of(&qwen, sampling, Target::TINY);
    let bitnet = changed(&[("sub_norms = false", "sub_norms = true"), ("\"silu\"", "\"relu2\"")]);
    let ternary = WeightFormat { kind: WeightKind::Int158, group: Group::Row };
    same_tokens_of(&bitnet, Workload { weights: ternary, ..sampling }, Target::TINY);
    // head_dim 100, partial rotation, one KV head for all.
    let odd = changed(&[
        ("head_dim = 16", "head_dim = 100"),
        ("kv_heads = 2", "kv_heads = 1"),
        ("theta = 10000.0", "theta = 10000.0\ndims = 24"),
    ]);
    same_tokens_of(&odd, sampling, Target::TINY);
    // Wider than a gang of one core.
    for kv in [WeightKind::Kv8, WeightKind::Kv4] {
        let narrow = Target { cores: 1, n: 40, ..Target::TINY };
        same_tokens_of(&odd, Workload { kv, context: 140, ..sampling }, narrow);
    }
    let multi_head = changed(&[("kv_heads = 2", "kv_heads = 4")]);
    same_tokens_of(&multi_head, sampling, Target::TINY);
}

#[test]
fn llama_reads_each_weight_once_per_token() {
    let plan = planned("llama-2-7b", Workload::default(), Target::PHONE);
    let (step, doorbell) = plan.decode_step(128, &[1]);
    let mut records = 0;
    let mut kv = 0;
    dispatches(step, &doorbell, |d| match d.op {
        Op::Load { unpack: Unpack::Weights, tile, .. } => {
            let Format::Weights(format) = tile.format else { panic!("{tile:?}") };
            records += format.record_bytes(tile.rows, tile.cols);
        }
        Op::Load { tile, class: ByteClass::Kv, .. } => {
            kv += match tile.format {
                Format::Weights(f) => f.code_bytes(tile.rows, tile.cols),
                Format::Plain(_) => tile.bytes(),
            }
        }
        _ => {}
    });
    assert_eq!(records, plan.layout.record_bytes());
    // 6.476e9 weights of 2.140625 bits and a head of 131e6 weights of 8.125 bits, no padding.
    assert_eq!(records, 6_476_005_376 / 512 * 137 + 131_072_000 / 64 * 65);
    assert_eq!(kv, 129 * 2 * 32 * 32 * (128 + 2));
}

/// 12 h^2 weights of a layer at 2.140625 bits, a head of 8.125 bits; a product with each, and two with each token and head.
#[test]
fn opt_and_bloom_weigh_what_they_should() {
    for (name, layers, hidden, vocab, records) in [
        ("opt-6.7b", 32, 4096, 50272, 1_932_990_464),
        ("opt-175b", 96, 12288, 50272, 47_171_586_048),
        ("bloom-176b", 70, 14336, 250880, 49_846_845_440),
    ] {
        let target = Target { dram_bytes: 64 << 30, ..Target::PHONE };
        let plan = planned(name, Workload { prompt: 8, generate: 1, ..Workload::default() }, target);
        let (blocks, head): (u64, u64) = (layers * 12 * hidden * hidden, vocab * hidden);
        assert_eq!(records, blocks / 512 * 137 + head / 64 * 65, "{name}");
        assert_eq!(plan.layout.record_bytes(), records, "{name}");
        assert_eq!(plan.decode.macs(8), blocks + head + 2 * layers * hidden * 9, "{name}");
        // Each layer has 4 vectors of norms and biases of its four matrices in attention, of 4 h and of h in the MLP.
        let vectors: u64 = plan.layout.vectors.iter().filter(|v| v.per_layer).map(|v| u64::from(v.len)).sum();
        assert_eq!(vectors, 13 * hidden, "{name}");
    }
}

/// Mixtral-8x7B's 46.7 billion weights, of which a token meets 12.9: the router and two of eight experts.
#[test]
fn experts_weigh_what_they_should() {
    let target = Target { dram_bytes: 64 << 30, ..Target::PHONE };
    let plan = planned("mixtral-8x7b", Workload { prompt: 8, generate: 1, ..Workload::default() }, target);
    let (attention, router, expert) = (4096 * (2 * 4096 + 2 * 1024), 8 * 4096, 3 * 4096 * 14336);
    let (blocks, head): (u64, u64) = (32 * (attention + router + 8 * expert), 32000 * 4096);
    // The router's records have eight rows: four of 2192 bytes a layer, padded to 2240.
    assert_eq!(plan.layout.record_bytes(), blocks / 512 * 137 + head / 64 * 65 + 32 * 4 * 48);
    let met = 32 * (attention + router + 2 * expert) + head;
    assert_eq!(plan.decode.macs(8), met + 2 * 32 * 4096 * 9);
    // A prompt of eight tokens can choose all.
    let rows: u64 = plan.prefill_last.as_ref().map_or(0, |p| p.macs(0));
    assert_eq!(rows, 8 * (blocks + 2 * 32 * 4096 * 8) + head);
}

#[test]
fn narrow_cores_are_exact() {
    let target = Target { cores: 6, m: 1, n: 16, scratchpad_bytes: 96 << 10, ..Target::TINY };
    for n_tile in [16, 24, 40, 96] {
        let (model, workload) = (changed(&[]), tiny(|w| (w.prompt, w.sampling) = (13, true)));
        let mapping = Mapping::with(&target, &model, &workload, 6, n_tile, 128).unwrap();
        same_tokens(&plan(&model, &workload, &target, &mapping).unwrap());
    }
}

/// Two layers of every model: they lower, stay within their buffers, race with nothing and fit the instruction buffer.
#[test]
fn blocks_of_rows_are_exact() {
    let grouped = changed(&[("kv_heads = 2", "kv_heads = 1")]);
    for (model, batch) in [(changed(&[]), 2), (grouped, 1)] {
        let workload = tiny(|w| (w.prompt, w.batch, w.sampling) = (29, batch, true));
        let mapping = Mapping::default_for(&Target::TINY, &model, &workload).unwrap();
        for (decode_rows, prefill_rows, chunk) in [(1, 3, 8), (2, 1, 8), (1, 16, 24)] {
            let mapping = Mapping { decode_rows, prefill_rows, chunk, ..mapping };
            same_tokens(&plan(&model, &workload, &Target::TINY, &mapping).unwrap());
        }
    }
}

#[test]
fn long_contexts_take_fewer_rows_at_once() {
    let model = Model { layers: 1, ..changed(&[("context = 512", "context = 40000")]) };
    let workload = Workload { context: 30_000, prompt: 20, generate: 1, ..Workload::default() };
    let mapping = Mapping::default_for(&Target::TINY, &model, &workload).unwrap();
    assert_eq!((mapping.decode_rows, mapping.chunk, mapping.prefill_rows), (1, 20, 1));
    let plan = plan(&model, &workload, &Target::TINY, &mapping).unwrap();
    for (step, doorbell) in plan.prefill_steps(&[5; 20]).into_iter().chain([plan.decode_step(30_020, &[7])]) {
        proven(&plan, step, &doorbell);
    }
}

#[test]
fn every_model_lowers() {
    let base = Workload { prompt: 70, generate: 2, ..Workload::default() };
    let row = |kind| WeightFormat { kind, group: Group::Row };
    let workloads = [
        base,
        Workload { weights: row(WeightKind::Int158), kv: WeightKind::Kv4, ..base },
        Workload { weights: row(WeightKind::Int8), kv: WeightKind::KvF16, activations: AType::Fp16, ..base },
        Workload { batch: 8, context: 200, ..base },
    ];
    for (i, name) in Model::names().enumerate() {
        let model = Model { layers: 2, vocab: 4100, ..Model::builtin(name).unwrap() };
        // Each model with one kind of workload, the first model with all.
        for workload in
            workloads.into_iter().enumerate().filter(|(w, _)| i == 0 || i % 4 == *w).map(|(_, w)| w)
        {
            let mapping = Mapping::default_for(&Target::PHONE, &model, &workload)
                .unwrap_or_else(|e| panic!("{name} {workload:?}: {e}"));
            let plan = plan(&model, &workload, &Target::PHONE, &mapping).unwrap();
            let position = u64::from(workload.context + workload.prompt);
            let mut steps = plan.prefill_steps(&vec![3; 70]);
            steps.push(plan.decode_step(position, &vec![3; workload.batch as usize]));
            for (step, doorbell) in steps {
                proven(&plan, step, &doorbell);
                // A decode layer is fetched once; of a prefill layer, the inner loops are.
                let words = step.program.code.len();
                assert!(words < if step.phase.decode { 1024 } else { 2048 }, "{name} {}: {words}", step.name);
            }
        }
    }
}
