//! Small programs on small chips: engines agree, evaluation order cannot matter, causes sum to cycles.

use lutsim_isa::{Program, asm};
use lutsim_tech::Kind;

use crate::activity::{Cause, Cycles};
use crate::chip_file;
use crate::config::{Build, Chip, DramKind};
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

/// Layers of six records, `stride` bytes apart from `first` on, each begun with a refresh that waits for the cores. Slots and drains go
/// round by threes and twos. `more` comes with each.
fn layers(turns: u32, stride: u64, first: u64, more: &str) -> Program {
    let format =
        lutsim_isa::WeightFormat { kind: lutsim_isa::WeightKind::Int2, group: lutsim_isa::Group::Of(128) };
    let record = format.record_bytes(64, 256);
    let slot = format.scratchpad_bytes(64, 256).next_multiple_of(1024);
    let end = 0x8000 + 3 * slot;
    let text = format!(
        "set r1, #0x8000\nset r2, #0x4000\nset r4, #{first}\ntile t3, r0, #0x7000, #1, #1, #4, f32\n\
         sync.lut -, !s16\nsync.lut -, !s16\nsync.lut -, !s16\nsync.lut -, !s17\n\
         loop #{turns} {{\nsync.vector ?s17, !s24\nsync.load ?s24, -\nrefresh -, -\n{more}\nadd r5, r4, #0\nset r3, #0\nloop #6 {{\n\
         tile t0, r3, #0, #1, #256, #0, i8\ntile t1, r1, #0, #64, #256, #0, int2g128\n\
         load.weights t1, r5, #0, #0, weights, ?s16, !s0\n\
         lmma.m2n64k4.int8.int2.i24.f32 t0, t1, 1x1, first, ?s0, !s16\n\
         tile t2, r2, #0, #1, #64, #256, f32\ndrain.store t2, t3, 1x1, -, -\n\
         add r3, r3, #256\nadd r5, r5, #{record}\nring r1, #{slot}, #0x8000, #{end}\nring r2, #1024, #0x4000, #0x4800\n}}\n\
         sync.lut -, !s17\nadd r4, r4, #{stride}\n}}\nsync.vector ?s17, -\nhalt\n"
    );
    asm::assemble(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

#[test]
fn turns_that_come_again_are_left_out_and_no_others() {
    const MIB: u64 = 1 << 20;
    let stays = "tile t4, r0, #0x7800, #1, #512, #0, f16\nload.plain t4, r0, #0, #0, norm, -, -";
    let moves = "tile t4, r0, #0x7800, #1, #512, #0, f16\nload.plain t4, r4, #8192, #0, norm, -, -";
    for chip in [chip("tiny"), chip("snapdragon_like")] {
        // The program lies at 1 MiB: beside the layers, or in the way of one, before which a stretch of turns ends.
        for (stride, first, more, least, most) in [
            (MIB, 2 * MIB, "", 53, 60),
            (MIB, 2 * MIB, moves, 53, 60),
            (MIB, 2 * MIB, stays, 0, 0),
            (MIB + 64, 2 * MIB, "", 0, 0),
            (MIB / 8, 0, "", 20, 52),
        ] {
            let program = layers(60, stride, first, more);
            let (expected, _) = again(&chip, Engine::Skip, &program, 2, 0);
            let (reports, machine) = again(&chip, Engine::Leap, &program, 1, 0);
            let (second, _) = again(&chip, Engine::Leap, &program, 2, 0);
            let turns = machine.leap_stats().unwrap().turns;
            let what = format!("{} {stride} {first} {more}: {turns}", chip.name);
            assert!((least..=most).contains(&turns), "{what}");
            for (ours, theirs) in reports.iter().chain(&second[1..]).zip(&expected) {
                assert_eq!(ours.totals, theirs.totals, "{what}");
                assert_eq!(ours.operators, theirs.operators, "{what}");
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

/// A group of 128 activations against 64 columns of INT2 takes the array as many steps as its kind needs, whatever the weights' width
/// where all their bits are multiplied at once.
#[test]
fn an_array_takes_what_its_kind_takes() {
    let text = include_str!("../../tests/cases/kernels/3-lmma.lasm");
    let lut = text.lines().find_map(|l| l.strip_prefix("; total: ")?.parse::<u64>().ok()).unwrap();
    let array_of_lut = 64;
    // Products of four at a time: 32 steps of a plane, or of 2, 4, 8 or 16 bits.
    for (kind, weights, steps) in [
        (Kind::Unpu, "int2", 64),
        (Kind::Add, "int2", 64),
        (Kind::Add, "int1", 32),
        (Kind::MacInt2, "int2", 32),
        (Kind::MacInt2, "int4", 64),
        (Kind::MacInt4, "int4", 32),
        (Kind::MacInt8, "int1", 32),
        (Kind::MacInt8, "int4", 32),
        (Kind::MacFp16, "int2", 32),
    ] {
        let mut chip = by_hand();
        (chip.lut.kind, chip.lut.dequantisers) = (kind, if kind == Kind::MacFp16 { 256 } else { 0 });
        (chip.lut.weight_link_bytes, chip.lut.activation_link_bytes) = (1 << 10, 1 << 10);
        if !kind.has_tables() {
            chip.lut.build = Build::Nobody;
        }
        let at_once = if kind.has_tables() { "k4" } else { "k1" };
        let text = text.replace("int2", weights).replace("k4", at_once);
        let program = asm::assemble(&text).unwrap();
        for engine in [Engine::Tick, Engine::Skip, Engine::Leap] {
            let (report, _) = run(&chip, engine, &program, false);
            // Operands come at a word of 32 bytes per port: 4 columns' worth of INT4 in 128 cycles is no limit here.
            let expected = lut - array_of_lut + steps;
            assert_eq!(report.totals.cycles, expected, "{} {weights} {engine:?}", kind.name());
            let (products, sums) = (report.totals.work.array_products, report.totals.work.array_accumulates);
            if !kind.has_tables() {
                assert_eq!((products, sums), (128 * 64 * steps / 32, 64 * steps), "{}", kind.name());
            }
        }
    }
    // A dequantiser of 64 weights a cycle takes four times as long as an array that takes 256.
    let mut chip = by_hand();
    (chip.lut.kind, chip.lut.build, chip.lut.dequantisers) = (Kind::MacFp16, Build::Nobody, 64);
    let program = asm::assemble(&text.replace("k4", "k1")).unwrap();
    let (report, _) = run(&chip, Engine::Tick, &program, false);
    assert_eq!(report.totals.cycles, lut - array_of_lut + 128);
    assert_eq!((report.totals.lut.of(Cause::Builder), report.totals.work.dequantised), (96, 128 * 64));
}

/// The kernel of one group of 128 activations against 64 columns of INT2, on a chip with something changed.
fn lmma_kernel(change: impl Fn(&mut Chip)) -> Report {
    let program = asm::assemble(include_str!("../../tests/cases/kernels/3-lmma.lasm")).unwrap();
    let mut chip = by_hand();
    change(&mut chip);
    run(&chip, Engine::Skip, &program, false).0
}

/// Fails if the drain took no time.
#[test]
fn mutation_drain_for_free_is_caught() {
    let cycles = |lanes: u32| lmma_kernel(|chip| chip.lut.drain_lanes = lanes).totals.cycles;
    // 64 sums over 4, 8 and 64 lanes: 16, 8 and 1 cycles.
    assert_eq!([4, 8, 64].map(cycles), [200, 192, 185]);
}

/// Fails if the links took no time.
#[test]
fn mutation_broadcast_for_free_is_caught() {
    let broadcast = |bytes: u32| {
        let report = lmma_kernel(|chip| chip.lut.weight_link_bytes = bytes);
        (report.totals.cycles, report.totals.lut.of(Cause::Broadcast))
    };
    // 2 planes x 64 columns x 128 weights are 2048 bytes: at 32, 16 and 8 a cycle 64, 128 and 256 cycles, the array's own are 64.
    assert_eq!([32, 16, 8].map(broadcast), [(200, 0), (264, 64), (392, 192)]);
}

/// Fails if scales and zero points were not read: from the scratchpad by the cores, from DRAM by the load.
#[test]
fn mutation_scales_not_read_is_caught() {
    // Planes 2048 bytes, activations 128; 64 scales of 2 bytes and 64 zero points of 2 bits: 144 bytes, 5 words of 32.
    let read = lmma_kernel(|_| ()).totals.scratchpad_words_read;
    assert_eq!(read, 64 + 4 + 5);
    let (report, _) = run(&chip("tiny"), Engine::Skip, &gemv(3, 2, 64, 512, 2), false);
    // Six records of 64 x 512 INT2 weights in groups of 128.
    let scales = report.totals.bytes_read[lutsim_isa::ByteClass::Scales as usize];
    assert_eq!(scales, 6 * (64 * 4 * 2 + 64 * 4 * 2 / 8));
}
