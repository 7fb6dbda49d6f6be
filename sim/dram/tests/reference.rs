//! Our copies of the references' controllers against the references: cycles, commands, latencies, command traces.

use std::path::PathBuf;

use lutsim_dram::{
    Command, DriveOptions, Pattern, Policy, RefreshPolicy, Report, Request, Scheduler, Standard, checker,
    commands_csv, configuration, drive,
};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/dram").join(name)
}

fn builtin(name: &str) -> (Standard, Policy) {
    configuration(name).unwrap()
}

fn reference_run(config: &str, pattern: &str) -> (Standard, Report) {
    let (standard, policy) = builtin(config);
    let trace = Pattern::by_name(pattern).unwrap().generate(&standard, 20_000);
    let report = drive(&trace, &standard, &policy, DriveOptions::default()).unwrap();
    (standard, report)
}

#[test]
fn every_run_takes_exactly_the_references_cycles_commands_and_latencies() {
    let text = std::fs::read_to_string(data("results.csv")).unwrap();
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let mut rows = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let get = |name: &str| fields[head.iter().position(|h| *h == name).unwrap()];
        let label = format!("{} {}", get("config"), get("trace"));
        let (standard, r) = reference_run(get("config"), get("trace"));
        rows += 1;
        assert_eq!(r.total_cycles.to_string(), get("total_cycles"), "{label}: cycles");
        let c = &r.counters;
        let dramsim3 = get("sim").starts_with("DRAMsim3");
        for (name, ours) in [
            ("num_RD_cmds", c.reads),
            ("num_WR_cmds", c.writes),
            ("num_ACT", c.activates),
            ("num_PRE", c.precharges),
            ("num_REF", c.refreshes),
            ("read_row_hits", c.read_row_hits),
            ("write_row_hits", c.write_row_hits),
            ("row_misses", c.row_misses),
            ("row_conflicts", c.row_conflicts),
            ("min_read_latency_ticks", r.read_latency.min),
            ("max_read_latency_ticks", r.read_latency.max),
        ] {
            let derived = dramsim3 && name.starts_with("row_");
            if !derived && !get(name).is_empty() {
                assert_eq!(ours.to_string(), get(name), "{label}: {name}");
            }
        }
        if !get("E_total_pJ").is_empty() {
            let e = lutsim_dram::energy(&standard, c).unwrap();
            for (name, ours) in [
                ("E_act_pJ", e.activate),
                ("E_read_pJ", e.read),
                ("E_write_pJ", e.write),
                ("E_refresh_pJ", e.refresh),
                ("E_act_standby_pJ", e.active_standby),
                ("E_pre_standby_pJ", e.precharged_standby),
                ("E_total_pJ", e.total()),
            ] {
                let theirs: f64 = get(name).parse().unwrap();
                if get("trace") == "idle" && (name.contains("standby") || name.contains("total")) {
                    continue; // those runs were stopped 100 ticks after their last completion
                }
                assert!(
                    (ours.mid - theirs).abs() <= 0.06 + theirs * 1e-7,
                    "{label}: {name} {} {theirs}",
                    ours.mid
                );
            }
        }
        let mean: f64 = get("avg_read_latency_driver_ticks").parse().unwrap();
        assert!(
            (r.read_latency.mean() - mean).abs() < 1e-3,
            "{label}: latency {} {mean}",
            r.read_latency.mean()
        );
        if !get("latencies_idle").is_empty() {
            let idle: Vec<String> = r.latencies.iter().map(u64::to_string).collect();
            assert_eq!(idle.join(" "), get("latencies_idle"), "{label}");
        }
    }
    assert_eq!(rows, text.lines().count() - 1);
    assert!(rows >= 60);
}

#[test]
fn hbm3_and_gddr6_take_the_cycles_reported_for_them() {
    // no rows in results.csv; the cycles were reported with the same runs
    for (config, pattern, refresh, cycles) in [
        ("ram_hbm3_6400", Pattern::SeqRead, true, 92_886),
        ("ram_hbm3_6400", Pattern::SeqRead, false, 99_352),
        ("ds3_gddr6", Pattern::RandomRead, true, 265_071), // 13.25 per request
    ] {
        let (standard, mut policy) = builtin(config);
        if !refresh {
            policy.refresh.policy = RefreshPolicy::Off;
        }
        let trace = pattern.generate(&standard, 20_000);
        let r = drive(&trace, &standard, &policy, DriveOptions::default()).unwrap();
        assert_eq!(r.total_cycles, cycles, "{config} {}", pattern.name());
    }
}

/// A read alone on the bus: what its commands must wait for, and the clocks of the controller that schedules them.
#[test]
fn idle_latencies_are_the_sums_of_their_timings() {
    for name in Standard::builtin_names() {
        let (s, policy) = builtin(name);
        let bank = s.levels.len();
        let wait = |a: Command, b: Command| {
            let rows = s.constraints.iter().filter(|c| c.level == bank && c.window == 1);
            let rows = rows.filter(|c| c.preceding.contains(&a) && c.following.contains(&b));
            rows.map(|c| c.clocks as u64).max().unwrap()
        };
        let (trcd, trp) =
            (wait(Command::Activate, Command::Read), wait(Command::Precharge, Command::Activate));
        // A CAS that starts the data clock takes the clock before a read: ours hides it behind tRCD.
        let cas = u64::from(s.data_clock_hold.is_some());
        let (fixed, cas_cold, cas_hit) = match policy.scheduler {
            Scheduler::Dramsim3 => (2, 0, 0),
            Scheduler::Ramulator2 => (1, cas, cas),
            Scheduler::FrFcfs => (1, 0, cas),
        };
        // HBM3 commands other than precharges start at every second clock.
        let slot = |clock: u64| if s.half_rate_columns { clock.next_multiple_of(2) } else { clock };
        let hit = |t: u64| slot(t + fixed) + s.read_latency + cas_hit - t;
        let after = |t: u64, wait: u64| slot(slot(t + fixed + wait) + trcd) + s.read_latency + cas_cold - t;
        let trace = Pattern::Idle.generate(&s, 4);
        let r = drive(&trace, &s, &policy, DriveOptions::default()).unwrap();
        let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| trace[i].earliest);
        assert_eq!(r.latencies, [after(a, 0), hit(b), after(c, trp), after(d, 0)], "{name}");
    }
}

/// What their own traces avoid, read off their sources: DRAMsim3 merges reads of one burst and answers what asks for a
/// waiting write's; Ramulator does so while the write is queued, behind data that is under way.
#[test]
fn requests_for_a_burst_that_is_under_way_are_answered_as_the_references_do() {
    let run = |config: &str, requests: &[(u64, bool, usize)]| {
        let (standard, policy) = builtin(config);
        // bursts 0 to 39 are rows of one bank, burst 40 lies in another
        let mut bursts = Pattern::RowConflict.generate(&standard, 40);
        bursts.push(Pattern::Idle.generate(&standard, 4)[3]);
        let request = |&(earliest, write, burst): &(u64, bool, usize)| Request {
            earliest,
            write,
            address: bursts[burst].address,
        };
        let trace: Vec<Request> = requests.iter().map(request).collect();
        let r = drive(&trace, &standard, &policy, DriveOptions::default()).unwrap();
        let tick = DriveOptions { tick: true, ..DriveOptions::default() };
        let ticked = drive(&trace, &standard, &policy, tick).unwrap();
        assert_eq!((&r.latencies, r.counters), (&ticked.latencies, ticked.counters), "{config}");
        (r.latencies, r.counters.reads, r.counters.writes)
    };
    let (read, write) = (false, true);
    // a closed row, 50 clocks; the second read takes the first one's data
    let (latencies, reads, _) = run("ds3_ddr4_3200_1r", &[(0, read, 0), (10, read, 0), (11, read, 0)]);
    assert_eq!((latencies, reads), (vec![50, 40, 39], 1));
    let (latencies, reads, _) = run("ds3_ddr4_3200_1r", &[(0, write, 0), (3, read, 0), (4, write, 0)]);
    assert_eq!((latencies, reads), (vec![1, 1, 1], 0));
    // reads of one bank keep it from writing; the first one's data comes at clock 49
    let mut requests: Vec<_> = (0..4).map(|i| (i, read, i as usize)).collect();
    requests.extend([(4, write, 40), (5, read, 40), (6, write, 40), (30, read, 40)]);
    let (latencies, reads, writes) = run("ram_ddr4_3200", &requests);
    assert_eq!((latencies[0], &latencies[5..], reads, writes), (49, &[1, 0, 19][..], 4, 1));
}

/// The other side of the checker's tests: a clock too many is legal, and still not what the reference does.
#[test]
fn mutation_write_to_read_one_clock_long_is_caught() {
    let (mut standard, policy) = builtin("ram_ddr4_3200");
    let trace = Pattern::MixedSeq.generate(&standard, 20_000);
    let cycles = |s: &Standard| drive(&trace, s, &policy, DriveOptions::default()).unwrap().total_cycles;
    let exact = cycles(&standard);
    for c in &mut standard.constraints {
        if c.preceding.contains(&Command::Write) && c.following.contains(&Command::Read) {
            c.clocks += 1;
        }
    }
    assert!(cycles(&standard) > exact + 100, "{} {exact}", cycles(&standard));
}

#[test]
fn command_traces_are_the_references_line_by_line() {
    let mut files = 0;
    for entry in std::fs::read_dir(data("cmdtrace")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (config, pattern) = name.split_once('.').unwrap();
        let (standard, policy) = builtin(config);
        let trace = Pattern::by_name(pattern).unwrap().generate(&standard, 2_000);
        let options = DriveOptions { commands: true, tick: false };
        let r = drive(&trace, &standard, &policy, options).unwrap();
        let ours = commands_csv(&standard, &policy, &r.commands);
        let theirs = std::fs::read_to_string(&path).unwrap();
        for (i, (a, b)) in ours.lines().zip(theirs.lines()).enumerate() {
            assert_eq!(a, b, "{name} line {}", i + 1);
        }
        assert!(ours.lines().count() >= theirs.lines().count(), "{name}: commands are missing");
        files += 1;
    }
    assert_eq!(files, 55);
}

#[test]
fn all_configurations_and_patterns_are_legal() {
    legal(&Pattern::ALL, 3_000, 0);
}

#[test]
fn long_runs_are_legal_and_miss_no_refresh() {
    legal(&[Pattern::MixedRandom, Pattern::RowConflict], 20_000, 5);
}

/// Every configuration under its own controller and under ours: no constraint violated, no refresh late.
fn legal(patterns: &[Pattern], requests: usize, refreshes: u64) {
    for name in Standard::builtin_names() {
        let (standard, own) = builtin(name);
        for policy in [own, Policy::users()] {
            for pattern in patterns {
                let trace = pattern.generate(&standard, requests);
                let options = DriveOptions { commands: true, tick: false };
                let r = drive(&trace, &standard, &policy, options).unwrap();
                assert!(r.counters.refreshes >= refreshes, "{name} {}", pattern.name());
                for commands in &r.commands {
                    let rules = checker::Rules { postponed_at_most: Some(2), end: r.end };
                    let broken = checker::check(&standard, commands, rules);
                    let first = &broken[..broken.len().min(3)];
                    assert!(broken.is_empty(), "{name} {:?} {}: {first:?}", policy.scheduler, pattern.name());
                }
            }
        }
    }
}
