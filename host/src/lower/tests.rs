//! Programs step to their end, read each weight once, race with nothing, and compute what the reference computes.

use lutsim_isa::control::{Control, Dispatch, Op, Step};
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::field::{AType, Unpack};
use lutsim_isa::format::{ByteClass, Format, Group, WeightFormat, WeightKind};
use lutsim_isa::order::OrderChecker;

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
    let mut control = Control::new(&doorbell.registers);
    loop {
        match control.step(&step.program).unwrap_or_else(|e| panic!("{}: {e}\n{}", step.name, step.listing())) {
            Step::Control => {}
            Step::Dispatch(d) => each(d),
            Step::Fence => panic!("a fence drains the pipeline"),
            Step::Halt => return,
        }
    }
}

/// Runs a step in order, every access proven.
fn run(plan: &Plan, state: &mut State, step: &Lowered, doorbell: &Doorbell) {
    let mut order = OrderChecker::new(&doorbell.mailbox);
    state.mailbox = doorbell.mailbox.clone();
    let where_ = |pc: u32| {
        let lines: Vec<String> = (pc.saturating_sub(6)..=pc)
            .filter_map(|i| step.program.code.get(i as usize).map(|c| format!("{i}: {c}")))
            .collect();
        format!("{} {}:\n{}", step.name, step.operator(pc).map_or("", |o| o.name), lines.join("\n"))
    };
    dispatches(step, doorbell, |d| {
        order.observe(&d).unwrap_or_else(|e| panic!("{e}\n{}", where_(d.pc)));
        state.exec(&d.op).unwrap_or_else(|e| panic!("{e}\n{}", where_(d.pc)));
    });
    order.finish().unwrap();
    assert!(plan.layout.bytes <= plan.target.dram_bytes);
}

fn results(plan: &Plan, state: &State) -> Vec<u32> {
    let table = plan.layout.result;
    let word = |i: u32| {
        let mut bytes = [0; 4];
        state.dram.read(table.addr + u64::from(i) * table.row_bytes() + 4, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    };
    (0..table.rows).map(word).collect()
}

/// Prefill and greedy decode on the instructions' meaning, against the reference.
fn same_tokens(plan: &Plan) {
    let Plan { model, workload, target, layout, .. } = plan;
    let source =
        Synthetic { model: model.clone(), weights: workload.weights, head: workload.head, seed: 7 };
    let shape = LutShape { cores: target.cores, m: target.m, n: target.n };
    let mut state = State::new(target.scratchpad_bytes as u32, target.dram_bytes, shape);
    write_image(&mut state.dram, layout, model, &source).unwrap();
    let machine = Machine::of(plan);
    let reference = Reference::new(model.clone(), &source, Numerics::Machine(machine)).unwrap();

    let (batch, prompt) = (workload.batch, workload.prompt);
    let ids: Vec<u32> = (0..batch * prompt).map(|i| (i * 37 + 11) % model.vocab).collect();
    let mut caches: Vec<_> = (0..batch).map(|_| reference.cache(workload.context)).collect();
    let mut expected: Vec<u32> = (0..batch).collect();
    for (b, cache) in caches.iter_mut().enumerate() {
        let ids = &ids[b * prompt as usize..(b + 1) * prompt as usize];
        if let Some(logits) = reference.prefill(cache, ids).unwrap().last() {
            expected[b] = argmax(logits);
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
        let (step, doorbell) = plan.decode_step(position, &expected);
        run(plan, &mut state, step, &doorbell);
        for (cache, token) in caches.iter_mut().zip(&mut expected) {
            *token = argmax(&reference.step(cache, *token).unwrap());
        }
        assert_eq!(results(plan, &state), expected, "{} decode step {i}", model.name);
    }
}

fn tiny(change: impl FnOnce(&mut Workload)) -> Workload {
    let mut workload = Workload { prompt: 8, generate: 4, ..Workload::default() };
    change(&mut workload);
    workload
}

#[test]
fn the_tiny_model_is_exact() {
    same_tokens(&planned("tiny-2l", tiny(|_| ()), Target::TINY));
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

#[test]
fn narrow_cores_are_exact() {
    let target = Target { cores: 6, m: 1, n: 16, scratchpad_bytes: 96 << 10, ..Target::TINY };
    same_tokens(&planned("tiny-2l", tiny(|_| ()), target));
}
