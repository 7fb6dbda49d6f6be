//! Small programs on small chips: engines agree, evaluation order cannot matter, causes sum to cycles.

use lutsim_isa::{Program, asm};

use crate::activity::Cycles;
use crate::chip_file;
use crate::config::{Chip, DramKind};
use crate::machine::{Engine, Job, Machine};
use crate::report::Report;

/// A GEMV of `blocks` weight blocks per output tile, `tiles` tiles of `n` columns, INT2 in groups of 128.
pub(crate) fn gemv(tiles: u32, blocks: u32, n: u32, k: u32, slots: u32) -> Program {
    let format =
        lutsim_isa::WeightFormat { kind: lutsim_isa::WeightKind::Int2, group: lutsim_isa::Group::Of(128) };
    let record = format.record_bytes(n, k);
    let slot = format.scratchpad_bytes(n, k).next_multiple_of(64);
    let ring = 0x8000;
    let end = ring + slots as u64 * slot;
    let grid = n.div_ceil(64);
    let mut text = format!(
        "set r0, #0\nset r1, #{ring}\nset r2, #{ring}\nset r3, #0\nset r4, #0x100000\n\
         tile t3, r0, #0x7000, #1, #1, #4, f32\n"
    );
    for _ in 0..slots {
        text.push_str("sync.lut -, !s16\n");
    }
    text.push_str(&format!("loop #{tiles} {{\nset r3, #0\n"));
    for block in 0..blocks {
        let first = if block == 0 { "first" } else { "-" };
        text.push_str(&format!(
            "tile t0, r3, #0, #1, #{k}, #0, i8\n\
             tile t1, r1, #0, #{n}, #{k}, #0, int2g128\n\
             load.weights t1, r4, #0, #0, weights, ?s16, !s0\n\
             lmma.m2n64k4.int8.int2.i24.f32 t0, t1, 1x{grid}, {first}, ?s0, !s16\n\
             add r3, r3, #{k}\nadd r4, r4, #{record}\nring r1, #{slot}, #{ring}, #{end}\n"
        ));
    }
    text.push_str(&format!(
        "tile t2, r0, #0x6000, #1, #{n}, #{}, f32\ndrain.store t2, t3, 1x{grid}, -, !s17\nsync.vector ?s17, -\n}}\nhalt\n",
        4 * n
    ));
    asm::assemble(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn run(chip: &Chip, engine: Engine, program: &Program, reverse: bool) -> (Report, Machine) {
    let mut machine = Machine::new(chip, engine).unwrap();
    if reverse {
        machine.set_evaluation_order((0..machine.components()).rev().collect());
    }
    let marks = vec![0; program.code.len()];
    let job = Job {
        program,
        address: 0,
        marks: &marks,
        operators: 1,
        registers: &[],
        mailbox: &[],
        result_bytes: 4,
    };
    let report = machine.run(&job).unwrap();
    (report, machine)
}

fn chip(name: &str) -> Chip {
    chip_file::load_builtin(name).unwrap().chip
}

#[test]
fn tick_and_skip_agree_in_any_order() {
    let mut ideal = chip("tiny");
    ideal.dram.kind = DramKind::Ideal { latency_ns: 100, bytes_per_second: 19_200_000_000, burst_bytes: 32 };
    for chip in [chip("tiny"), ideal, chip("snapdragon_like")] {
        for program in [gemv(3, 2, 64, 512, 2), gemv(2, 3, 128, 256, 3), gemv(1, 1, 128, 128, 1)] {
            let (expected, _) = run(&chip, Engine::Tick, &program, false);
            for (engine, reverse) in [(Engine::Tick, true), (Engine::Skip, false), (Engine::Skip, true)] {
                let (report, _) = run(&chip, engine, &program, reverse);
                assert_eq!(report, expected, "{} {engine:?} reverse {reverse}", chip.name);
            }
        }
    }
}

/// Reports of one machine that runs the same program again and again.
fn again(chip: &Chip, engine: Engine, program: &Program, times: usize, audit: u32) -> (Vec<Report>, Machine) {
    let mut machine = Machine::new(chip, engine).unwrap();
    machine.set_audit(audit);
    let marks: Vec<u32> = (0..program.code.len() as u32).map(|i| i / 9).collect();
    let operators = marks.last().unwrap() + 1;
    let job = Job {
        program,
        address: 1 << 20,
        marks: &marks,
        operators,
        registers: &[],
        mailbox: &[],
        result_bytes: 4,
    };
    let reports = (0..times).map(|_| machine.run(&job).unwrap()).collect();
    (reports, machine)
}

#[test]
fn leaping_is_skipping() {
    let mut ideal = chip("tiny");
    ideal.dram.kind = DramKind::Ideal { latency_ns: 100, bytes_per_second: 19_200_000_000, burst_bytes: 32 };
    for chip in [chip("tiny"), ideal, chip("snapdragon_like")] {
        for program in [gemv(30, 2, 64, 512, 2), gemv(20, 3, 128, 256, 3), gemv(1, 1, 128, 128, 1)] {
            let (expected, _) = again(&chip, Engine::Skip, &program, 5, 0);
            for audit in [0, 100, 50] {
                let (reports, machine) = again(&chip, Engine::Leap, &program, 5, audit);
                println!("{} {audit} {:?}", chip.name, machine.leap_stats());
                for (i, (ours, theirs)) in reports.iter().zip(&expected).enumerate() {
                    assert_eq!(ours.totals, theirs.totals, "{} run {i} audit {audit}", chip.name);
                    assert_eq!(ours.operators, theirs.operators, "{} run {i} audit {audit}", chip.name);
                }
            }
        }
    }
}

#[test]
fn causes_sum_to_cycles() {
    let chip = chip("tiny");
    let (report, _) = run(&chip, Engine::Skip, &gemv(3, 2, 64, 512, 2), false);
    let t = &report.totals;
    for (name, unit) in [
        ("seq", t.sequencer),
        ("load", t.load),
        ("store", t.store),
        ("lut", t.lut),
        ("drain", t.drain),
        ("vector", t.vector),
    ] {
        assert_eq!(Cycles::total(&unit), t.cycles, "{name}");
    }
}

#[test]
fn bytes_account_to_the_byte() {
    let chip = chip("tiny");
    let (report, _) = run(&chip, Engine::Skip, &gemv(3, 2, 64, 512, 2), false);
    let t = &report.totals;
    let classes: u64 = t.bytes_read.iter().chain(&t.bytes_written).sum();
    assert_eq!(classes, t.bursts * 32);
    assert_eq!(t.channels.iter().map(|c| c.reads + c.writes).sum::<u64>(), t.bursts);
}

/// `tiny` with memory and scratchpad that a person can follow by hand: one burst per cycle after 100 cycles, no bank
/// conflicts, no time at the host.
fn by_hand() -> Chip {
    let mut chip = chip("tiny");
    chip.dram.kind = DramKind::Ideal { latency_ns: 100, bytes_per_second: 32_000_000_000, burst_bytes: 32 };
    chip.scratchpad.conflict_free = true;
    chip.lut.mac_lanes = 64;
    chip.runtime.doorbell_ns = 0;
    chip.runtime.readback_ns = 0;
    chip
}

#[test]
fn kernels_take_what_was_worked_out_by_hand() {
    for (name, text) in [
        ("1-halt", include_str!("../../tests/cases/kernels/1-halt.lasm")),
        ("2-load", include_str!("../../tests/cases/kernels/2-load.lasm")),
        ("3-lmma", include_str!("../../tests/cases/kernels/3-lmma.lasm")),
        ("4-drain", include_str!("../../tests/cases/kernels/4-drain.lasm")),
        ("5-softmax", include_str!("../../tests/cases/kernels/5-softmax.lasm")),
        ("6-lanes", include_str!("../../tests/cases/kernels/6-lanes.lasm")),
        ("7-tables", include_str!("../../tests/cases/kernels/7-tables.lasm")),
    ] {
        let program = asm::assemble(text).unwrap();
        let expected: Option<u64> = text.lines().find_map(|l| l.strip_prefix("; total: ")?.parse().ok());
        for engine in [Engine::Tick, Engine::Skip] {
            let (report, _) = run(&by_hand(), engine, &program, false);
            assert_eq!(Some(report.totals.cycles), expected, "{name} {engine:?} {:?}", report.totals);
        }
    }
}
