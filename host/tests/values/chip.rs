//! A chip without time, and its answers next to the reference's.

use std::collections::VecDeque;

use lutsim_host::image::write_image;
use lutsim_host::lower::Lowered;
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_host::plan::{Plan, plan};
use lutsim_host::reference::{Cache, Machine, Numerics, Reference, argmax};
use lutsim_host::runtime::Doorbell;
use lutsim_host::target::Target;
use lutsim_host::weights::{Stream, Synthetic};
use lutsim_host::workload::Workload;
use lutsim_isa::control::{Control, Dispatch, Step};
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::order::OrderChecker;

/// The chip `tiny`.
pub(super) const TINY: Target = Target { cores: 2, n: 64, scratchpad_bytes: 512 << 10, ..Target::TINY };

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
        let mut control = Control::with_mailbox(&doorbell.registers, &doorbell.mailbox);
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

pub(super) fn check(model: &Model, workload: Workload) {
    check_on(&TINY, model, workload);
}

pub(super) fn check_on(target: &Target, model: &Model, workload: Workload) {
    let mapping = Mapping::default_for(target, model, &workload).unwrap();
    check_with(model, workload, target, &mapping);
}

pub(super) fn check_with(model: &Model, workload: Workload, target: &Target, mapping: &Mapping) {
    let plan = plan(model, &workload, target, mapping).unwrap();
    let what = format!("{} {workload:?} {mapping:?}", model.name);
    let source = Synthetic { model: model.clone(), weights: workload.weights, head: workload.head, seed: 7 };
    let reference = Reference::new(model.clone(), &source, Numerics::Machine(Machine::of(&plan))).unwrap();
    let mut chip = Chip::new(plan.clone(), &source);
    let mut caches: Vec<Cache> = (0..workload.batch).map(|_| reference.cache(workload.context)).collect();
    // Another set, which says in advance what experts tokens take.
    let routes = std::cell::RefCell::new(caches.clone());
    let mut router = |sequence: u32, _: u64, id: u32| match model.experts {
        Some(_) => reference.chosen(&mut routes.borrow_mut()[sequence as usize], id).unwrap(),
        None => Vec::new(),
    };
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
        for (step, doorbell) in plan.prefill_steps_by(&ids, &mut router) {
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
        let (step, doorbell) = plan.decode_step_by(position, &next, &mut router);
        chip.run(step, &doorbell);
        for s in 0..workload.batch {
            let logits = reference.step(&mut caches[s as usize], next[s as usize]).unwrap();
            compare(&chip, s, &logits, &format!("decode step {i}"));
            next[s as usize] = argmax(&logits);
        }
    }
}
