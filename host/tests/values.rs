//! Whole models: the lowered programs, executed instruction by instruction over the packed image, give the reference's
//! logits and tokens bit for bit, and every overlap of bytes is ordered by tokens.

use std::collections::VecDeque;

use lutsim_host::image::write_image;
use lutsim_host::lower::Lowered;
use lutsim_host::mapping::{Hidden, Mapping};
use lutsim_host::model::{Model, RopeConfig};
use lutsim_host::plan::{Plan, plan};
use lutsim_host::reference::{Cache, Machine, Numerics, Reference, argmax};
use lutsim_host::runtime::Doorbell;
use lutsim_host::target::Target;
use lutsim_host::weights::{Stream, Synthetic};
use lutsim_host::workload::Workload;
use lutsim_isa::control::{Control, Dispatch, Step};
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::field::{AType, Act, Rope};
use lutsim_isa::order::OrderChecker;
use lutsim_isa::{Group, WeightFormat, WeightKind};
use proptest::prelude::*;

/// The chip `tiny`.
const TINY: Target = Target { cores: 2, n: 64, scratchpad_bytes: 512 << 10, ..Target::TINY };

/// A chip without time.
struct Chip {
    plan: Plan,
    state: State,
    steps: usize,
}

impl Chip {
    fn new(plan: Plan, source: &Synthetic) -> Self {
        let t = plan.target;
        let lut = LutShape { cores: t.cores, m: t.m, n: t.n };
        let mut state = State::new(t.scratchpad_bytes as u32, t.dram_bytes, lut);
        write_image(&mut state.dram, &plan.layout, &plan.model, source).unwrap_or_else(|e| panic!("{e}"));
        Self { plan, state, steps: 0 }
    }

    /// Runs a step, its queues as far ahead of each other as the tokens let them, in an order of preference that changes
    /// from step to step.
    fn run(&mut self, step: &Lowered, doorbell: &Doorbell) {
        // What was there before must not matter.
        self.state.scratchpad.fill(0xa5);
        self.state.mailbox = doorbell.mailbox.clone();
        self.steps += 1;
        if let Err(what) = self.program(step, doorbell) {
            panic!("{}\n{}: {what}", step.listing(), step.name);
        }
    }

    fn program(&mut self, step: &Lowered, doorbell: &Doorbell) -> Result<(), Box<dyn std::error::Error>> {
        let mut control = Control::new(&doorbell.registers);
        let mut order = OrderChecker::new(&doorbell.mailbox);
        let mut queues: [VecDeque<Dispatch>; 4] = Default::default();
        loop {
            match control.step(&step.program)? {
                Step::Control => {}
                Step::Dispatch(d) => {
                    order.observe(&d)?;
                    queues[d.queue as usize].push_back(d);
                }
                Step::Fence => {
                    order.fence()?;
                    self.drain(&mut queues)?;
                }
                Step::Halt => {
                    order.finish()?;
                    return self.drain(&mut queues);
                }
            }
        }
    }

    /// Executes all that was dispatched: always of the queue most preferred among those that need not wait.
    fn drain(&mut self, queues: &mut [VecDeque<Dispatch>; 4]) -> Result<(), Box<dyn std::error::Error>> {
        // The 24 orders of four queues, the greatest differences first; and at random, which they all are now and then.
        let mut preferred = vec![0, 1, 2, 3];
        let mut rank = self.steps * 7 % 25;
        let random = rank == 24;
        let order: Vec<usize> = (1..=4)
            .rev()
            .map(|n| {
                let i = rank % n;
                rank /= n;
                preferred.remove(i)
            })
            .collect();
        let mut tokens = [0u32; 32];
        let stream = Stream::new(self.steps as u64, "schedule", None);
        for count in 0.. {
            let shift = if random { stream.at(count) as usize % 4 } else { 0 };
            let ready = |&q: &usize| {
                queues[q].front().is_some_and(|d| d.wait.is_none_or(|sem| tokens[sem.index()] > 0))
            };
            let Some(q) = (0..4).map(|i| order[(i + shift) % 4]).find(ready) else { break };
            let Some(d) = queues[q].pop_front() else { break };
            if let Some(sem) = d.wait {
                tokens[sem.index()] -= 1;
            }
            self.state.exec(&d.op).map_err(|e| format!("instruction {}: {e}", d.pc))?;
            if let Some(sem) = d.signal {
                tokens[sem.index()] += 1;
            }
        }
        match queues.iter().find_map(|q| q.front()) {
            Some(d) => Err(format!("instruction {} waits for ever", d.pc).into()),
            None => Ok(()),
        }
    }

    /// What lies in the result rows: logits of a sequence, or its token.
    fn logits(&self, sequence: u32) -> Vec<u32> {
        let table = self.plan.layout.logits;
        let mut bytes = vec![0; table.row_bytes() as usize];
        self.state.dram.read(table.addr + u64::from(sequence) * table.row_bytes(), &mut bytes).unwrap();
        bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
    }
    fn token(&self, sequence: u32) -> (u32, u32) {
        let mut bytes = [0; 8];
        self.state.dram.read(self.plan.layout.result.addr + u64::from(sequence) * 8, &mut bytes).unwrap();
        let [value, token] = [&bytes[..4], &bytes[4..]].map(|b| u32::from_le_bytes(b.try_into().unwrap()));
        (value, token)
    }
}

fn check(model: &Model, workload: Workload) {
    let target = TINY;
    let mapping = Mapping::default_for(&target, model, &workload).unwrap();
    check_with(model, workload, &target, &mapping);
}

fn check_with(model: &Model, workload: Workload, target: &Target, mapping: &Mapping) {
    let plan = plan(model, &workload, target, mapping).unwrap();
    let what = format!("{} {workload:?} {mapping:?}", model.name);
    let source = Synthetic { model: model.clone(), weights: workload.weights, head: workload.head, seed: 7 };
    let reference = Reference::new(model.clone(), &source, Numerics::Machine(Machine::of(&plan))).unwrap();
    let mut chip = Chip::new(plan.clone(), &source);
    let mut caches: Vec<Cache> = (0..workload.batch).map(|_| reference.cache(workload.context)).collect();
    // Tokens of the next step, of each sequence.
    let mut next: Vec<u32> = (0..workload.batch).map(|s| 5 + s).collect();

    let compare = |chip: &Chip, sequence: u32, expected: &[f32], at: &str| {
        let bits: Vec<u32> = expected.iter().map(|x| x.to_bits()).collect();
        if workload.sampling {
            let found = chip.logits(sequence);
            let wrong = (0..bits.len()).filter(|&i| found[i] != bits[i]).collect::<Vec<_>>();
            if let Some(&i) = wrong.first() {
                let (found, expected) = (f32::from_bits(found[i]), expected[i]);
                let count = wrong.len();
                panic!(
                    "{what}: {at}, sequence {sequence}: {count} logits differ, first {i}: {found} for {expected}"
                );
            }
        } else {
            let token = argmax(expected);
            assert_eq!(
                chip.token(sequence),
                (bits[token as usize], token),
                "{what}: {at}, sequence {sequence}"
            );
        }
    };

    let prompt = |s: u32| {
        (0..workload.prompt).map(move |i| (i * 97 + 13 * s + 11) % model.vocab).collect::<Vec<u32>>()
    };
    let ids: Vec<u32> = (0..workload.batch).flat_map(prompt).collect();
    if workload.prompt > 0 {
        for (step, doorbell) in plan.prefill_steps(&ids) {
            chip.run(step, &doorbell);
        }
        for s in 0..workload.batch {
            let logits = reference.prefill(&mut caches[s as usize], &prompt(s)).unwrap().pop().unwrap();
            compare(&chip, s, &logits, "prefill");
            next[s as usize] = argmax(&logits);
        }
    }
    for i in 0..workload.generate {
        let position = u64::from(workload.context + workload.prompt + i);
        let (step, doorbell) = plan.decode_step(position, &next);
        chip.run(step, &doorbell);
        for s in 0..workload.batch {
            let logits = reference.step(&mut caches[s as usize], next[s as usize]).unwrap();
            compare(&chip, s, &logits, &format!("decode step {i}"));
            next[s as usize] = argmax(&logits);
        }
    }
}

fn tiny() -> Model {
    Model::builtin("tiny-2l").unwrap()
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
    let rope = RopeConfig { dims: 12, ..odd.rope };
    check(&Model { rope, ..odd.clone() }, small());
    let rope = RopeConfig { pairing: Rope::Pair, ..rope };
    check(&Model { rope, ..odd }, Workload { prompt: 9, batch: 2, ..small() });
}

fn models() -> impl Strategy<Value = Model> {
    let sizes = (1u32..=3, 1u32..=40, 1u32..=40, 1u32..=3, 1u32..=3, 1u32..=12, 40u32..400);
    let flags = (any::<bool>(), any::<bool>(), 0usize..4, any::<bool>(), 1u32..=12);
    (sizes, flags).prop_map(|((layers, hidden, ffn, kv_heads, group, head, vocab), flags)| {
        let (qkv_bias, sub_norms, act, pair, dims) = flags;
        let pairing = if pair { Rope::Pair } else { Rope::Half };
        let rope = RopeConfig { dims: 4 * dims.min(head), pairing, ..tiny().rope };
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
            activation: Act::ALL[act],
            rope,
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
        prop::bool::weighted(0.8),
    )
        .prop_map(|(kind, group, head, kv, (prompt, context), batch, generate, half, sampling)| {
            Workload {
                batch,
                prompt,
                context,
                generate: if prompt == 0 { generate + 1 } else { generate },
                weights: WeightFormat { kind, group },
                head: WeightFormat { kind: WeightKind::Int8, group: head },
                activations: if half { AType::Fp16 } else { AType::Int8 },
                kv,
                sampling,
            }
        })
}

fn targets() -> impl Strategy<Value = Target> {
    (1u32..=9, 1u32..=3, 0usize..3, 7u32..=11).prop_map(|(cores, m, n, scratchpad)| {
        let n = [16, 64, 128][n];
        Target { cores: cores.max(128 / n), m, n, scratchpad_bytes: 1024 << scratchpad, ..TINY }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_model_on_any_chip(
        model in models(), workload in workloads(), target in targets(),
        cut in (0u32..3, 1u32..160, 1u32..9, 0u32..3, 0u32..3, prop::bool::weighted(0.2)),
    ) {
        let (kind, size, cores, chunk, fewer, half) = cut;
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
        rope: RopeConfig { dims: 64, ..tiny().rope },
        name: "hidden 320".into(),
        ..tiny()
    };
    let weights = WeightFormat { kind: WeightKind::Int158, group: Group::Of(256) };
    let head = Workload::default().head;
    check(&model, Workload { prompt: 296, generate: 4, weights, head, ..small() });
}
