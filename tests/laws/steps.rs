//! Models on chips, every step of prefill and decode: what holds of every program, per step and over each phase; weight
//! bytes as the formats say; the same input gives the same bytes; values change no cycle.

use lutsim::device::{self, SimDevice};
use lutsim::session::{Phase, Session, prompt_ids};
use lutsim_host::lower::Lowered;
use lutsim_host::mapping::Mapping;
use lutsim_host::mix::{Formats, Mix};
use lutsim_host::model::Model;
use lutsim_host::plan::{Plan, plan};
use lutsim_host::runtime::Doorbell;
use lutsim_isa::{ByteClass, Group, WeightFormat, WeightKind};
use lutsim_sim::{Engine, Job, Machine, Report};

use super::engines::permutation;
use super::every::{Demand, check, chip_file, roofline};

/// A session on a chip with overrides, on a model cut to `layers` and `vocab`.
pub(crate) fn session(chip: &str, model: &str, (layers, vocab): (u32, u32), sets: &[&str]) -> Session {
    let full = Model::builtin(model).unwrap();
    let model = Model { layers: layers.min(full.layers), vocab: vocab.min(full.vocab), ..full };
    Session::new(chip_file(chip, sets), model)
}

/// Small models of other families.
fn small_models() -> [Model; 4] {
    [
        ("tiny-opt.toml", include_str!("../data/models/tiny-opt.toml")),
        ("tiny-bloom.toml", include_str!("../data/models/tiny-bloom.toml")),
        ("tiny-gemma2.toml", include_str!("../data/models/tiny-gemma2.toml")),
        ("tiny-mixtral.toml", include_str!("../data/models/tiny-mixtral.toml")),
    ]
    .map(|(file, text)| Model::parse(file, text).unwrap())
}

/// Seven layers of two kinds, with a loop around those that come again.
fn mixed() -> Session {
    let format = |kind| WeightFormat { kind, group: Group::Of(32) };
    let kind = |base, down| -> Formats {
        let names = ["wk", "wv", "wq", "wo", "w_gate", "w_up"];
        names.map(|name| (name, format(base))).into_iter().chain([("w_down", format(down))]).collect()
    };
    let (a, b) = (kind(WeightKind::Int2, WeightKind::Int8), kind(WeightKind::Int2, WeightKind::Int4));
    let layers = [&a, &b, &b, &a, &b, &b, &a].map(Formats::clone);
    let tiny = Model::builtin("tiny-2l").unwrap();
    let model = Model { name: "mixed".into(), layers: 7, mix: Some(Mix::new(layers)), ..tiny };
    Session::new(chip_file("tiny", &["workload.generate=3"]), model)
}

/// The plan with the mapping that is used without a search.
pub(crate) fn planned(session: &Session) -> Plan {
    let (target, workload) = (device::target(&session.chip.chip), session.workload());
    let mapping = Mapping::default_for(&target, &session.model, &workload).unwrap();
    plan(&session.model, &workload, &target, &mapping).unwrap()
}

/// Every step of a plan: prefill, then decode with made-up ids.
pub(crate) fn steps(plan: &Plan) -> Vec<(&Lowered, Doorbell)> {
    let w = plan.workload;
    let mut steps = match w.prompt {
        0 => Vec::new(),
        _ => plan.prefill_steps(&prompt_ids(plan.model.vocab, w.batch, w.prompt)),
    };
    for step in 0..u64::from(w.generate) {
        let ids: Vec<u32> = (0..w.batch).map(|s| (7 * s + 3 * step as u32) % plan.model.vocab).collect();
        let position = u64::from(w.context) + u64::from(w.prompt) + step;
        steps.push(plan.decode_step(position, &ids));
    }
    steps
}

fn job<'a>(step: &'a Lowered, doorbell: &'a Doorbell, marks: &'a [u32]) -> Job<'a> {
    Job {
        program: &step.program,
        address: step.address,
        marks,
        operators: step.operators.len() as u32,
        registers: &doorbell.registers,
        mailbox: &doorbell.mailbox,
        result_bytes: 4,
    }
}

/// Chip, model, cut to layers and vocabulary, overrides.
type Case = (&'static str, &'static str, (u32, u32), &'static [&'static str]);

/// Both chips; banked and ideal memory; integer, ternary and half-precision types; batches; sampling; no bank conflicts;
/// a llama layer at its real width, with a head cut to 512 of 32000 outputs.
const CASES: &[Case] = &[
    ("tiny", "tiny-2l", (2, 320), &[]),
    ("tiny", "tiny-2l", (2, 320), &["workload.batch=2", "workload.weights=int4", "workload.kv=int4"]),
    ("tiny", "tiny-2l", (2, 320), &["workload.weights=int1.58", "workload.context=130", "workload.kv=fp16"]),
    ("tiny", "tiny-2l", (2, 320), &["workload.activations=fp16", "workload.sampling=true", "lut.cores=1"]),
    (
        "tiny",
        "tiny-2l",
        (2, 320),
        &["scratchpad.conflict_free=true", "dram.channels=2", "refresh.policy=timer"],
    ),
    ("tiny", "tiny-2l", (2, 320), &["runtime.readback=0 ns", "runtime.doorbell=0 ns", "dma.transfers=4"]),
    ("tiny", "tiny-2l", (2, 320), &["dram.standard=hbm3_6400", "dram.bytes=64 MiB"]),
    (
        "tiny",
        "tiny-2l",
        (2, 320),
        &[
            "background.rate=6 GB/s",
            "background.read_share=0.7",
            "background.locality=0.5",
            "background.seed=1",
            "dram.port_bytes_per_cycle=9",
        ],
    ),
    ("tiny", "tiny-2l", (2, 320), &["dram.standard=ddr5_6400", "dram.bytes=64 MiB"]),
    (
        "snapdragon_like",
        "tiny-2l",
        (2, 320),
        &["workload.group=32", "workload.head_group=32", "workload.prompt=33"],
    ),
    ("snapdragon_like", "qwen2.5-0.5b", (1, 512), &["workload.prompt=32", "workload.generate=2"]),
    ("snapdragon_like", "llama-2-7b", (1, 512), &["workload.prompt=8", "workload.generate=1"]),
    ("snapdragon_like", "opt-6.7b", (1, 512), &["workload.prompt=8", "workload.generate=1"]),
];

#[test]
fn every_step_and_phase_keeps_the_laws() {
    let small = small_models().map(|model| (Session::new(chip_file("tiny", &[]), model), &[][..]));
    let cases = CASES.iter().map(|&(chip, model, cut, sets)| (session(chip, model, cut, sets), sets));
    for (session, sets) in cases.chain(small).chain([(mixed(), &[][..])]) {
        let model = &session.model.name;
        let (plan, chip) = (planned(&session), &session.chip.chip);
        let mut machine = Machine::new(chip, Engine::Skip).unwrap();
        let mut phases: [Vec<(Report, Demand)>; 2] = Default::default();
        for (step, doorbell) in steps(&plan) {
            let marks = device::marks(step);
            let job = job(step, &doorbell, &marks);
            let report =
                machine.run(&job).unwrap_or_else(|stop| panic!("{model} {sets:?} {}: {stop}", step.name));
            let demand = Demand::of(&job);
            check(chip, &report, &demand);
            let position = doorbell.registers[0].1;
            assert_eq!(report.totals.work.macs, step.macs(position), "{model} {sets:?} {}", step.name);
            assert_eq!(report.operators.iter().map(|o| o.macs).sum::<u64>(), step.macs(position));
            if step.phase.decode {
                weights_are_the_records(&plan, &report);
            }
            phases[usize::from(step.phase.decode)].push((report, demand));
        }
        // The roofline of a phase: prefetch moves bytes between steps' operators, never out of the phase.
        for phase in phases.iter().filter(|p| !p.is_empty()) {
            let mut totals = phase[0].0.totals.clone();
            let mut demand = phase[0].1.clone();
            for (report, more) in &phase[1..] {
                let t = &report.totals;
                totals.cycles += t.cycles;
                totals.work.lut_selects += t.work.lut_selects;
                totals.scratchpad_words_read += t.scratchpad_words_read;
                totals.scratchpad_words_written += t.scratchpad_words_written;
                totals.bytes_read.iter_mut().zip(t.bytes_read).for_each(|(a, b)| *a += b);
                totals.bytes_written.iter_mut().zip(t.bytes_written).for_each(|(a, b)| *a += b);
                demand.read.iter_mut().zip(more.read).for_each(|(a, b)| *a += b);
                demand.written.iter_mut().zip(more.written).for_each(|(a, b)| *a += b);
                demand.plane_macs += more.plane_macs;
            }
            roofline(chip, &totals, &demand);
        }
    }
}

/// A decode step reads every record of every layer and of the head once, of experts those that its rows can choose: codes, scales and
/// zeros to the byte.
fn weights_are_the_records(plan: &Plan, report: &Report) {
    let mut sum = [0u64; 2];
    for t in &plan.layout.tensors {
        let experts = plan.model.experts.filter(|_| t.experts > 1);
        let times = plan.layout.copies(t) * experts.map_or(1, |e| u64::from(e.of_rows(plan.workload.batch)));
        for r in t.records() {
            sum[0] += times * t.format.code_bytes(r.n, r.k);
            sum[1] += times * (t.format.scale_bytes(r.n, r.k) + t.format.zero_bytes(r.n, r.k));
        }
    }
    let read = &report.totals.bytes_read;
    assert_eq!([read[ByteClass::Weights as usize], read[ByteClass::Scales as usize]], sum);
}

/// Widths and heights of a layer's matrices, from the model's dimensions alone.
fn matrices(m: &Model) -> [(u64, u64); 7] {
    let [d, f] = [m.hidden, m.intermediate].map(u64::from);
    let q = u64::from(m.heads) * u64::from(m.head_dim);
    let kv = u64::from(m.kv_heads) * u64::from(m.head_dim);
    [(q, d), (kv, d), (kv, d), (d, q), (f, d), (f, d), (d, f)]
}

#[test]
fn weight_bits_scale_decode_traffic_as_stored_bits_do() {
    // The mapping of 4 bits serves all three: the records have the same outputs and inputs.
    let session = |bits: u32| {
        let weights = format!("workload.weights=int{bits}");
        session(
            "tiny",
            "tiny-2l",
            (2, 320),
            &["workload.prompt=0", "workload.context=40", "workload.generate=1", &weights],
        )
    };
    let mapping = planned(&session(4)).mapping;
    let measure = |bits: u32| {
        let s = session(bits);
        let plan = plan(&s.model, &s.workload(), &device::target(&s.chip.chip), &mapping).unwrap();
        let mut device = SimDevice::new(&s.chip.chip, Engine::Skip).unwrap();
        let (step, doorbell) = plan.decode_step(40, &[5]);
        let report = device.step(step, &doorbell, None).unwrap();
        let t = &report.totals;
        let stored: u64 =
            plan.layout.tensors.iter().map(|t| t.bytes() * if t.per_layer { 2 } else { 1 }).sum();
        let moved = t.bursts * 32;
        (t.bytes_read[ByteClass::Weights as usize], t.bytes_read[ByteClass::Scales as usize], moved - stored)
    };
    let model = session(1).model;
    let columns: u64 = matrices(&model).iter().map(|(n, k)| n * k.div_ceil(32)).sum::<u64>() * 2;
    let weights: u64 = matrices(&model).iter().map(|(n, k)| n * k).sum::<u64>() * 2;
    // The head has 8 bits in groups of 32, whatever the layers have.
    let head = (320 * 64, 320 * 2 * 2);
    for bits in [1, 2, 4u64] {
        let (codes, scales, rest) = measure(bits as u32);
        assert_eq!(codes - head.0, bits * weights / 8, "codes of {bits} bits");
        // One bit needs no zero points.
        let zeros = if bits == 1 { 0 } else { bits * columns / 8 };
        assert_eq!(scales - head.1, 2 * columns + zeros, "scales and zeros of {bits} bits");
        assert_eq!(rest, measure(1).2, "everything else is the same");
    }
}

#[test]
fn the_order_of_evaluation_does_not_matter_for_a_model() {
    // 24 of the 5040 orders of the components, and the reverse, on a prefill and a decode step each.
    let session = session("tiny", "tiny-2l", (2, 320), &["workload.generate=1", "dram.channels=2"]);
    let plan = planned(&session);
    let run = |engine: Engine, order: Option<u64>| -> Vec<Report> {
        let mut machine = Machine::new(&session.chip.chip, engine).unwrap();
        if let Some(number) = order {
            machine.set_evaluation_order(permutation(machine.components(), number));
        }
        let run = |(step, doorbell): (&Lowered, Doorbell)| {
            machine.run(&job(step, &doorbell, &device::marks(step))).unwrap()
        };
        steps(&plan).into_iter().map(run).collect()
    };
    let expected = run(Engine::Tick, None);
    assert_eq!(run(Engine::Skip, None), expected);
    assert_eq!(run(Engine::Leap, None), expected);
    for number in 0..24u64 {
        let engine = if number % 8 == 0 { Engine::Tick } else { Engine::Skip };
        assert_eq!(run(engine, Some(number * 1679)), expected, "{engine:?} {number}");
    }
}

#[test]
fn same_input_same_bytes() {
    for sets in [
        &["workload.batch=2", "workload.kv=int4"][..],
        &["workload.sampling=true", "dram.channels=2"],
        &["dram.standard=hbm3_6400", "dram.bytes=64 MiB", "runtime.readback=0 ns"],
    ] {
        let json = |engine: Engine| {
            let mut s = session("tiny", "tiny-2l", (2, 320), sets);
            s.engine = engine;
            s.mapping = Some(planned(&s).mapping);
            serde_json::to_string(&s.run(&()).unwrap().record).unwrap()
        };
        let first = json(Engine::Skip);
        assert_eq!(json(Engine::Skip), first);
        assert_eq!(json(Engine::Tick), first);
        assert_eq!(json(Engine::Leap), first);
    }
}

/// Of layers of several kinds too, each booked by its number; with a mapping that was searched for.
#[test]
fn engines_agree_on_mixed_layers() {
    let records = [Engine::Skip, Engine::Tick, Engine::Leap].map(|engine| {
        let mut s = mixed();
        s.engine = engine;
        s.audit = 50;
        s.run(&()).unwrap().record
    });
    let json = records.each_ref().map(|record| serde_json::to_string(record).unwrap());
    assert!(json[0] == json[1], "tick");
    assert!(json[0] == json[2], "leap");
    let record = &records[0];
    assert_eq!((record.workload.weights.as_str(), record.workload.group.as_str()), ("int2+int4+int8", "32"));
    for layer in 0..7 {
        let own: Vec<_> = record.operators.iter().filter(|o| o.layer == Some(layer)).collect();
        assert!(own.iter().any(|o| o.name == "down_proj" && o.phase == "decode"), "layer {layer}");
        // Twice the bits of a down projection, twice its bytes.
        let down = own.iter().find(|o| o.name == "down_proj" && o.phase == "decode").unwrap();
        let of = |layer| {
            record
                .operators
                .iter()
                .find(|o| o.layer == Some(layer) && o.name == "down_proj" && o.phase == "decode")
                .unwrap()
        };
        let more = [0, 3, 6].contains(&layer);
        assert_eq!(down.dram_bytes_owned, of(u64::from(!more)).dram_bytes_owned, "layer {layer}");
        assert!(of(0).dram_bytes_owned > of(1).dram_bytes_owned * 3 / 2);
    }
}

/// Layers with and without a window; experts that each step finds elsewhere.
#[test]
fn engines_agree_on_windows_and_experts() {
    let [.., gemma2, mixtral] = small_models();
    for (model, batch) in
        [(gemma2, "workload.batch=1"), (mixtral.clone(), "workload.batch=1"), (mixtral, "workload.batch=2")]
    {
        let json = [Engine::Skip, Engine::Tick, Engine::Leap].map(|engine| {
            let mut s = Session::new(chip_file("tiny", &[batch]), model.clone());
            (s.engine, s.audit, s.every_step) = (engine, 50, true);
            s.mapping = Some(planned(&s).mapping);
            serde_json::to_string(&s.run(&()).unwrap().record).unwrap()
        });
        assert!(json[0] == json[1], "{} tick", model.name);
        assert!(json[0] == json[2], "{} leap", model.name);
    }
}

#[test]
fn values_change_no_cycle() {
    // Two sequences; 4-bit and FP16 caches; ternary weights; FP16 activations; prefill in two chunks of half the prompt.
    for sets in [
        &["workload.batch=2", "workload.kv=int4", "workload.generate=3"][..],
        &["workload.weights=int1.58", "workload.kv=fp16", "workload.prompt=5"],
        &["workload.activations=fp16", "workload.weights=int4"],
    ] {
        let tiny = Model::builtin("tiny-2l").unwrap();
        for model in small_models().into_iter().chain([tiny]) {
            let session = || Session::new(chip_file("tiny", sets), model.clone());
            let mut on = session();
            on.values = true;
            on.mapping = Some(planned(&on).mapping);
            let on = on.run(&()).unwrap();
            let ids = on.record.workload.output_token_ids.clone().unwrap();
            let mut off = session();
            off.decode_ids = Some(ids.clone());
            off.routed = true;
            off.mapping = Some(on.plan.mapping);
            off.every_step = true;
            let mut off = off.run(&()).unwrap().record;
            off.workload.output_token_ids = Some(ids);
            off.provenance = on.record.provenance.clone();
            assert_eq!(off, on.record, "{} {sets:?}", model.name);
        }
    }
}

#[test]
fn a_skipped_phase_takes_nothing_from_the_other() {
    let mut s = session("tiny", "tiny-2l", (2, 320), &[]);
    s.mapping = Some(planned(&s).mapping);
    let both = s.run(&()).unwrap().record;
    s.phase = Phase::Prefill;
    let prefill = s.run(&()).unwrap().record;
    let cycles = |r: &lutsim_record::Record| r.phases.prefill.as_ref().map(|p| p.totals.cycles);
    assert_eq!(cycles(&both), cycles(&prefill));
    assert!(prefill.phases.decode.is_none());
}
