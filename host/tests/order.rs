//! Tokens: every program is ordered by them, and would not be without any one of its waits for data.

use lutsim_host::lower::{Lowered, POSITION};
use lutsim_host::mapping::Mapping;
use lutsim_host::model::{Experts, LearnedPositions, Model, Positions, Window, WindowLayers};
use lutsim_host::plan::{Plan, plan};
use lutsim_host::target::Target;
use lutsim_host::workload::Workload;
use lutsim_isa::control::{Control, Step};
use lutsim_isa::field::{Act, Norm, Wait};
use lutsim_isa::order::OrderChecker;
use lutsim_isa::{Inst, Program, WeightKind};

fn planned(model: &Model, workload: &Workload, target: &Target) -> Plan {
    let mapping =
        Mapping::default_for(target, model, workload).unwrap_or_else(|e| panic!("{}: {e}", model.name));
    plan(model, workload, target, &mapping).unwrap_or_else(|e| panic!("{}: {e}", model.name))
}

/// Watches a program run at a position.
fn observe(program: &Program, position: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mailbox = [1; 256];
    let mut control = Control::with_mailbox(&[(POSITION, position)], &mailbox);
    let mut order = OrderChecker::new(&mailbox);
    loop {
        match control.step(program)? {
            Step::Control => {}
            Step::Dispatch(d) => order.observe(&d)?,
            Step::Fence => order.fence()?,
            Step::Halt => return Ok(order.finish()?),
        }
    }
}

/// The program without the wait of one instruction.
fn without_wait(program: &Program, pc: usize) -> Option<Program> {
    let mut program = program.clone();
    let text = |p: &Program| lutsim_isa::asm::disassemble(p);
    let sem = program.code[pc].wait()?;
    if let Inst::Sync { wait, .. } = &mut program.code[pc] {
        *wait = Wait(None);
        return Some(program);
    }
    let all = text(&program);
    let line = |(i, line): (usize, &str)| match i == pc {
        true => line.replace(&format!("?{sem}"), "-"),
        false => line.to_string(),
    };
    let lines: Vec<String> = all.lines().enumerate().map(line).collect();
    lutsim_isa::asm::assemble(&lines.join("\n")).ok()
}

/// Semaphores that say that something is there. (Of those that say that a place is free, some are implied by others.)
const DATA: [usize; 6] = [0, 1, 2, 8, 24, 25];

#[test]
fn every_wait_for_data_is_needed() {
    let llama = Model { hidden: 128, intermediate: 352, ..Model::builtin("tiny-2l").unwrap() };
    let opt = Model {
        name: "opt".into(),
        kv_heads: llama.heads,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        gated_mlp: false,
        activation: Act::Relu,
        norm: Norm::Layer,
        positions: Positions::Learned(LearnedPositions { offset: 2 }),
        ..llama.clone()
    };
    let bloom = Model {
        name: "bloom".into(),
        embedding_norm: true,
        activation: Act::Gelu,
        positions: Positions::Alibi,
        ..opt.clone()
    };
    let gemma2 = Model {
        name: "gemma2".into(),
        // Two layers are written, one with a window and one without, and both come again.
        layers: 4,
        post_norms: true,
        score_cap: Some(50.0),
        logit_cap: Some(30.0),
        window: Some(Window { tokens: 7, layers: WindowLayers::Even }),
        ..llama.clone()
    };
    let experts = Some(Experts { count: 4, used: 2 });
    let mixtral = Model { name: "mixtral".into(), experts, ..llama.clone() };
    [llama, opt, bloom, gemma2, mixtral].iter().for_each(waits_are_needed);
}

fn waits_are_needed(model: &Model) {
    let workload = Workload { prompt: 9, batch: 2, generate: 3, context: 130, ..Workload::default() };
    let target = Target { cores: 2, n: 64, scratchpad_bytes: 512 << 10, ..Target::TINY };
    let mut mapping = Mapping::default_for(&target, model, &workload).unwrap();
    // Few slots and rows, so that everything goes round several times.
    (mapping.chunk, mapping.n_tile, mapping.prefill_slots, mapping.decode_slots) = (4, 32, 6, 3);
    let few = plan(model, &workload, &target, &mapping).unwrap();
    // And so many that a full ring does not hold the load queue back on behalf of a wait.
    (mapping.prefill_slots, mapping.decode_slots) = (24, 24);
    let many = plan(model, &workload, &target, &mapping).unwrap();
    for (lowered, roomy) in few.programs().zip(many.programs()) {
        observe(&lowered.program, 130).unwrap_or_else(|e| panic!("{}: {e}", lowered.name));
        observe(&roomy.program, 130).unwrap_or_else(|e| panic!("{}: {e}", roomy.name));
        let mut count = 0;
        for pc in 0..lowered.program.code.len() {
            let data = lowered.program.code[pc].wait().is_some_and(|sem| DATA.contains(&sem.index()));
            let (name, inst) = (lowered.name, lowered.program.code[pc]);
            let races = |program: &Program| {
                without_wait(program, pc).is_some_and(|less| observe(&less, 130).is_err())
            };
            let needed = !data || races(&lowered.program) || races(&roomy.program);
            assert!(needed, "{} {name}: `{inst}` (word {pc}) need not wait", model.name);
            count += u32::from(data);
        }
        assert!(count > 15, "{} {}: only {count} waits", model.name, lowered.name);
    }
}

/// Real models on a phone: programs of a few hundred words, ordered at any position.
#[test]
fn real_models_are_ordered() {
    for name in [
        "llama-2-7b",
        "llama-3.2-1b",
        "qwen2.5-0.5b",
        "phi-3-mini-4k",
        "bitnet-b1.58-2b4t",
        "bitnet-b1.58-3b",
        "opt-6.7b",
        "opt-175b",
        "bloom-176b",
        "mixtral-8x7b",
    ] {
        let full = Model::builtin(name).unwrap();
        // Three layers are as good as thirty.
        let model = Model { layers: 3, vocab: full.vocab.min(9000), ..full };
        for kv in [WeightKind::Kv8, WeightKind::KvF16] {
            let workload = Workload { prompt: 70, context: 100, kv, ..Workload::default() };
            let plan = planned(&model, &workload, &Target::PHONE);
            let check = |lowered: &Lowered, position| {
                observe(&lowered.program, position)
                    .unwrap_or_else(|e| panic!("{name} {}: {e}", lowered.name));
            };
            plan.programs().for_each(|lowered| check(lowered, 100));
            check(&plan.decode, 127);
            check(&plan.decode, 170);
        }
    }
}
