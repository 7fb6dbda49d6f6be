//! A chip with more of something is not slower, each with the best of all mappings that fit it, by simulated cycles.
//!
//! Under ideal memory and a scratchpad without conflicts that is exact: what a chip can use a larger one can use too, and
//! nothing that arrives earlier makes anything later. Banked memory may reorder to its loss: by 2 % at most per doubling,
//! and not more than what `monotone.txt` says has been seen.

use lutsim::device::{self, SimDevice};
use lutsim_host::lower::Lowered;
use lutsim_host::plan::plan;
use lutsim_host::runtime::Doorbell;
use lutsim_host::search::candidates;
use lutsim_sim::Engine;

use super::steps::{session, steps};

/// Cycles of the best mapping: a prompt of 8 tokens after 24 others and one more token, on a layer of `tiny-2l` with 64 of its
/// outputs.
fn best(sets: &[&str]) -> u64 {
    let common = ["workload.prompt=8", "workload.context=24", "workload.generate=1", "runtime.doorbell=0 ns"];
    let mut session = session("tiny", "tiny-2l", (1, 64), &[&common[..], sets].concat());
    session.chip.chip.runtime.readback_ns = 0;
    let (target, workload, chip) =
        (device::target(&session.chip.chip), session.workload(), &session.chip.chip);
    let mut measured: Vec<(Lowered, Doorbell, u64)> = Vec::new();
    let mut cycles = |step: &Lowered, doorbell: Doorbell| {
        // Mappings that differ elsewhere give the same program for a phase.
        if let Some(known) = measured.iter().find(|m| m.1 == doorbell && m.0.program == step.program) {
            return known.2;
        }
        let report = SimDevice::new(chip, Engine::Skip).unwrap().step(step, &doorbell, None).unwrap();
        measured.push((step.clone(), doorbell, report.totals.cycles));
        report.totals.cycles
    };
    let all = candidates(&session.model, &workload, &target);
    let total = |mapping| {
        let plan = plan(&session.model, &workload, &target, mapping).unwrap();
        steps(&plan).into_iter().map(|(step, doorbell)| cycles(step, doorbell)).sum::<u64>()
    };
    all.iter().map(total).min().unwrap()
}

#[test]
fn more_is_never_slower_without_banks_and_conflicts() {
    let memory = ["dram.ideal.latency=100 ns", "dram.ideal.burst_bytes=32", "scratchpad.conflict_free=true"];
    let at = |bandwidth: &str, cores: u32, kib: u32| {
        let sets = [
            format!("dram.ideal.bandwidth={bandwidth} GB/s"),
            format!("lut.cores={cores}"),
            format!("scratchpad.bytes={kib} KiB"),
        ];
        let sets: Vec<&str> = memory.into_iter().chain(sets.iter().map(String::as_str)).collect();
        best(&sets)
    };
    let base = at("9.6", 1, 64);
    for (what, larger) in
        [("bandwidth", at("19.2", 1, 64)), ("cores", at("9.6", 2, 64)), ("scratchpad", at("9.6", 1, 128))]
    {
        assert!(larger <= base, "twice the {what}: {larger} cycles in place of {base}");
    }
    let base = at("19.2", 2, 128);
    for (what, larger) in
        [("bandwidth", at("38.4", 2, 128)), ("cores", at("19.2", 4, 128)), ("scratchpad", at("19.2", 2, 256))]
    {
        assert!(larger <= base, "twice the {what}: {larger} cycles in place of {base}");
    }
}

/// The same of the mapping that a run chooses by itself, over the whole run: of a small model its search is thorough.
#[test]
fn a_run_on_more_is_never_slower() {
    let cycles = |bandwidth: &str, cores: u32, kib: u32| {
        let sets = [
            "dram.ideal.latency=100 ns".into(),
            "dram.ideal.burst_bytes=32".into(),
            "scratchpad.conflict_free=true".into(),
            format!("dram.ideal.bandwidth={bandwidth} GB/s"),
            format!("lut.cores={cores}"),
            format!("scratchpad.bytes={kib} KiB"),
        ];
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let session = session("tiny", "tiny-2l", (2, 320), &sets);
        let phases = session.run(&()).unwrap().record.phases;
        phases.prefill.unwrap().totals.cycles + phases.decode.unwrap().totals.cycles
    };
    for (cores, kib) in [(1, 64), (2, 128), (1, 256), (2, 512), (4, 512)] {
        let base = cycles("9.6", cores, kib);
        for (what, larger) in [
            ("bandwidth", cycles("19.2", cores, kib)),
            ("cores", cycles("9.6", 2 * cores, kib)),
            ("scratchpad", cycles("9.6", cores, 2 * kib)),
        ] {
            assert!(
                larger <= base,
                "{cores} cores, {kib} KiB, twice the {what}: {larger} cycles in place of {base}"
            );
        }
    }
}

/// Loss of a doubling in hundredths of a percent, rounded up; 0 for none.
fn loss(base: u64, larger: u64) -> u64 {
    (larger.saturating_sub(base) * 10_000).div_ceil(base)
}

#[test]
fn a_doubling_costs_at_most_two_percent_under_banked_memory() {
    let at = |channels: u32, cores: u32, kib: u32| {
        let sets = [
            format!("dram.channels={channels}"),
            format!("lut.cores={cores}"),
            format!("scratchpad.bytes={kib} KiB"),
        ];
        best(&sets.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut worst = 0;
    let small = at(1, 1, 64);
    let middle = at(1, 2, 128);
    for (base, larger) in [
        (small, at(2, 1, 64)),
        (small, at(1, 2, 64)),
        (small, at(1, 1, 128)),
        (middle, at(2, 2, 128)),
        (middle, at(1, 4, 128)),
        (middle, at(1, 2, 256)),
    ] {
        worst = worst.max(loss(base, larger));
    }
    assert!(worst <= 200, "a doubling costs {worst} hundredths of a percent");
    let committed = include_str!("monotone.txt");
    let seen = committed.lines().find_map(|l| l.strip_prefix("worst = ")?.parse::<u64>().ok()).unwrap();
    assert!(worst <= seen, "a doubling costs {worst} hundredths of a percent, {seen} were seen so far");
}
