//! The legality checker finds what is planted, mutated standards fail, and wrong input is refused with its reason.

use lutsim_dram::{
    Channel, Command, DriveOptions, Error, Issued, Pattern, Policy, PowerDown, Refresh, RefreshPolicy,
    Standard, checker, configuration, drive, parse_trace,
};

fn commands(standard: &Standard, policy: &Policy, pattern: Pattern, n: usize) -> (Vec<Issued>, u64) {
    let options = DriveOptions { commands: true, tick: false };
    let r = drive(&pattern.generate(standard, n), standard, policy, options).unwrap();
    (r.commands.into_iter().next().unwrap(), r.end)
}

/// For every row of the table: two commands that respect it by one clock too few, alone, must be reported, and with
/// the clock given back must not.
#[test]
fn a_planted_violation_of_every_row_is_found() {
    for name in Standard::builtin_names() {
        let s = Standard::builtin(name).unwrap();
        for row in s.constraints.iter().filter(|c| c.clocks > 0) {
            let (a, b) = (row.preceding[0], row.following[0]);
            let per_scope = (s.banks() / s.nodes(s.refresh_level)) as u16;
            let below = s.banks() as u16 / s.nodes(row.level) as u16;
            let count = if row.level == 0 { 1 } else { s.levels[row.level - 1].count as u16 };
            if row.sibling && count == 1 {
                continue; // one member has no sibling
            }
            let other = if row.sibling { below } else { 0 };
            let place = |c: Command, bank: u16| if c.is_scope() { bank / per_scope } else { bank };
            for (gap, legal) in [(row.clocks as u64 - 1, false), (row.clocks as u64, true)] {
                let mut trace: Vec<Issued> = (0..row.window as u64)
                    .map(|i| Issued { clock: 1000 + i, command: a, bank: place(a, 0), row: 1, column: 0 })
                    .collect();
                trace.push(Issued {
                    clock: 1000 + gap,
                    command: b,
                    bank: place(b, other),
                    row: 1,
                    column: 0,
                });
                let mut only = s.clone();
                only.constraints = vec![row.clone()];
                let found = checker::check(&only, &trace, Default::default());
                let found = found.iter().any(|v| v.rule.contains(&format!("at least {} needed", row.clocks)));
                // several preceding commands: the window row compares with the first of them only
                assert_eq!(found, !legal, "{name}: {row:?} with {gap} clocks");
            }
        }
    }
}

#[test]
fn planted_breaks_of_the_rules_beside_the_table_are_found() {
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    let (trace, end) = commands(&s, &Policy::users(), Pattern::RandomRead, 3_000);
    let rules = checker::Rules { postponed_at_most: Some(1), end };
    assert_eq!(checker::check(&s, &trace, rules), []);
    let first = |c: Command| trace.iter().position(|i| i.command == c).unwrap();
    type Plant<'a> = Box<dyn Fn(&mut Vec<Issued>) + 'a>;
    let plants: Vec<(&str, Plant)> = vec![
        (
            "to a closed bank",
            Box::new(move |t| {
                t.remove(first(Command::Activate));
            }),
        ),
        (
            "between the halves",
            Box::new(move |t| {
                t.remove(first(Command::Activate2));
            }),
        ),
        ("is open", Box::new(move |t| t[first(Command::Read)].row += 1)),
        (
            "without data clock",
            Box::new(move |t| {
                t.remove(first(Command::CasRead));
            }),
        ),
        ("share the command bus", Box::new(move |t| t[10].clock = t[9].clock)),
        ("were due", Box::new(move |t| t.retain(|c| c.command != Command::RefreshAll))),
        ("after its first half", Box::new(move |t| t[first(Command::Activate2)].clock += 9)),
        (
            "is open",
            Box::new(move |t| {
                t.remove(t.iter().rposition(|c| c.command == Command::PrechargeAll).unwrap());
            }),
        ),
    ];
    for (want, plant) in plants {
        let mut broken = trace.clone();
        plant(&mut broken);
        let found = checker::check(&s, &broken, rules);
        assert!(found.iter().any(|v| v.rule.contains(want)), "{want}: {:?}", &found[..found.len().min(2)]);
    }
}

/// Runs a changed standard and judges it by the true one.
fn judged(change: impl Fn(&mut Standard), pattern: Pattern) -> Vec<checker::Violation> {
    let truth = Standard::builtin("lpddr5x_9600").unwrap();
    let mut changed = truth.clone();
    change(&mut changed);
    let (trace, end) = commands(&changed, &Policy::users(), pattern, 4_000);
    checker::check(&truth, &trace, checker::Rules { postponed_at_most: Some(1), end })
}

#[test]
fn mutation_write_to_read_one_clock_short_is_caught() {
    let change = |s: &mut Standard| {
        for c in &mut s.constraints {
            if c.preceding.contains(&Command::Write) && c.following.contains(&Command::Read) {
                c.clocks -= 1;
            }
        }
    };
    assert!(judged(change, Pattern::MixedSeq).iter().any(|v| v.rule.contains("WR -> RD")));
}

#[test]
fn mutation_four_activate_window_dropped_is_caught() {
    // at LPDDR5X-9600 four activates at tRRD take longer than tFAW, so this needs a standard whose window binds
    let truth = Standard::builtin("ram_ddr5_4800").unwrap();
    let mut changed = truth.clone();
    changed.constraints.retain(|c| c.window != 4);
    let (trace, _) = commands(&changed, &Policy::users(), Pattern::RandomRead, 4_000);
    assert!(checker::check(&truth, &trace, Default::default()).iter().any(|v| v.rule.contains("ACT -> ACT")));
}

#[test]
fn mutation_refresh_lost_is_caught() {
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    let mut policy = Policy::users();
    policy.refresh.policy = RefreshPolicy::Off;
    let (trace, end) = commands(&s, &policy, Pattern::RandomRead, 6_000);
    let found = checker::check(&s, &trace, checker::Rules { postponed_at_most: Some(1), end });
    assert!(found.iter().any(|v| v.rule.contains("were due")));
}

#[test]
fn traces_are_refused_with_their_line() {
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    for (text, want) in [
        ("0 R 0x40\n5 X 0x40", "trace line 2: `X` is neither R nor W"),
        ("0 R 64", "trace line 1: `64` does not start with 0x"),
        ("# head\n\nx R 0x0", "trace line 3: `x` is not a tick"),
        ("0 R", "trace line 1: `0 R` is not `<tick> <R|W> 0x<address>`"),
        ("5 R 0x0\n4 R 0x0", "trace line 2: time goes backwards, from 5 to 4"),
        ("0 W 0xc0000000", "trace line 1: address 0xc0000000 lies outside the device of 0xc0000000 bytes"),
        ("0 R 0x+40", "trace line 1: `0x+40` is not a hexadecimal address"),
        ("281474976710657 R 0x0", "trace line 1: tick 281474976710657 is later than 281474976710656"),
        ("0 R 0xzz", "trace line 1: `0xzz` is not a hexadecimal address"),
    ] {
        assert_eq!(parse_trace(text, &s).unwrap_err().to_string(), want);
    }
    assert_eq!(parse_trace("0 R 0x40 # a comment\n7 W 0x80\n", &s).unwrap().len(), 2);
}

#[test]
fn contradictory_standards_are_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/dram/lpddr5x_9600.toml");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(Standard::parse("x.toml", &text).is_ok());
    for (from, to, want) in [
        ("clocks = \"tRAS + tRPpb\"", "clocks = 20", "tRC (20 clocks) is shorter than tRAS (51 clocks)"),
        ("tFAW = { ns = 15", "tFAW = { ns = 3", "tFAW (4 clocks) is shorter than tRRD (5 clocks)"),
        ("hz = 1_200_000_000", "hz = 0", "the clock must lie between 0 and 100 GHz"),
        ("hz = 1_200_000_000", "hz = 1_200_000_000_000", "the clock must lie between 0 and 100 GHz"),
        (
            "hz = 1_200_000_000",
            "hz = 9007199254740993\nper = 8796093022208",
            "no timebase with another clock",
        ),
        ("rows = 98304", "rows = 0", "must be at least 1"),
        ("rows = 98304", "rows = 98304\nchannels = 64", "`Channel:6`"),
        ("bursts_per_row = 64", "bursts_per_row = 1073741824", "more than 2^48 bytes"),
        ("bursts_per_row = 64", "bursts_per_row = 64\nchannels = 128", "channels: at most 64"),
        ("\"Column:6\"", "\"Column:200\", \"Column:200\"", "`Column:200` has more bits than an address"),
        ("\"Column:6\"", "\"Column:5\"", "Column gets 5 bits"),
        ("[\"Bank\", 4]]", "[\"Bank\", 5]]", "not a power of two"),
        ("tRFCab = { ns = 280", "tRFCab = { ns = 4000", "no time remains"),
        (
            "list = [",
            "list = [[\"Bank\", [\"CAS_RD\"], [\"RD\"], 3, 1, false],",
            "RD follows CAS_RD in the next clock",
        ),
        ("tRCD = { ns = 18", "tRCD = { ns = 4000", "no time remains"),
        ("\"tREFI\"\n", "\"tREFIX\"\n", "no timing is called `tREFIX`"),
        ("\"PREab\"], \"tRTP\"", "\"PREall\"], \"tRTP\"", "there is no command `PREall`"),
        ("rows = 98304", "rowz = 98304", "unknown field `rowz`"),
    ] {
        assert!(text.contains(from), "{from}");
        let e = Standard::parse("x.toml", &text.replacen(from, to, 1)).unwrap_err();
        assert!(e.to_string().contains(want) && e.to_string().starts_with("x.toml"), "{from} -> {to}: {e}");
    }
}

#[test]
fn names_are_suggested_and_policies_checked() {
    let e = Standard::builtin("lpddr5x_9500").unwrap_err().to_string();
    assert_eq!(e, "no DRAM standard is called `lpddr5x_9500`, did you mean `lpddr5x_9600`?");
    let e = configuration("HBM3_6400").unwrap_err().to_string();
    assert_eq!(e, "no DRAM standard is called `HBM3_6400`, did you mean `hbm3_6400`?");
    // its channels need a field that the variant's mapping lacks
    let (s, policy) = configuration("ds3_hbm2_8ch_mop").unwrap();
    assert!(Channel::new(&s, &policy).unwrap_err().to_string().contains("`Channel:3`"));
    assert_eq!(
        Policy::by_name("user").unwrap_err().to_string(),
        "no controller policy is called `user`, did you mean `users`?"
    );
    for name in Standard::builtin_names() {
        assert_eq!(&Standard::builtin(name).unwrap().name, name, "a file is called as its standard");
    }
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    assert_eq!(s.refresh_interval, 4687);
    for (policy, want) in [
        (Policy { read_queue: 65, ..Policy::users() }, "policy: read_queue = 65 must lie between 1 and 64"),
        (Policy { write_low: 24, ..Policy::users() }, "policy: write_low = 24 < write_high = 24"),
        (Policy::dramsim3(), "policy: DRAMsim3's controller knows no split activates"),
        (
            Policy {
                refresh: Refresh { interval: Some(4688), ..Policy::users().refresh },
                ..Policy::users()
            },
            "policy: refresh interval 4688 must lie between 1 and the standard's 4687 clocks",
        ),
        (
            Policy { mapping: Some(vec!["Row".into()]), ..Policy::users() },
            "policy: mapping: Column gets 0 bits",
        ),
    ] {
        match Channel::new(&s, &policy) {
            Err(e @ Error::Policy { .. }) => assert!(e.to_string().starts_with(want), "{e}"),
            other => panic!("{want}: {:?}", other.is_ok()),
        }
    }
}

#[test]
fn per_bank_refresh_keeps_every_bank_refreshed_and_is_legal() {
    for name in Standard::builtin_names() {
        let s = Standard::builtin(name).unwrap();
        let mut policy = Policy::users();
        policy.refresh.scope = lutsim_dram::RefreshScope::PerBank;
        if Channel::new(&s, &policy).is_err() {
            assert!(!s.has(Command::RefreshBank));
            continue;
        }
        for pattern in [Pattern::SeqRead, Pattern::MixedRandom] {
            let (trace, end) = commands(&s, &policy, pattern, 12_000);
            assert!(trace.iter().any(|c| c.command == Command::RefreshBank), "{name}");
            let broken = checker::check(&s, &trace, checker::Rules { postponed_at_most: Some(2), end });
            assert!(broken.is_empty(), "{name} {}: {:?}", pattern.name(), &broken[..broken.len().min(3)]);
        }
    }
}

#[test]
fn an_idle_channel_powers_down_then_refreshes_itself_and_pays_for_waking() {
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    let trace = parse_trace("0 R 0x0\n20000 R 0x20\n60000 R 0x40\n", &s).unwrap();
    let options = DriveOptions { commands: true, tick: false };
    let awake = drive(&trace, &s, &Policy::users(), options).unwrap();
    let policy = Policy {
        power_down: Some(PowerDown { after: 100, self_refresh_after: Some(30_000) }),
        ..Policy::users()
    };
    let down = drive(&trace, &s, &policy, options).unwrap();
    let (xp, xs) = (s.power_down_exit.unwrap(), s.self_refresh_exit.unwrap());
    assert_eq!(down.latencies[0], awake.latencies[0]);
    assert_eq!(down.latencies[1], awake.latencies[1] + xp);
    assert_eq!(down.latencies[2], awake.latencies[2] + xs);
    let (a, b) = (&awake.counters, &down.counters);
    assert_eq!(a.active_power_down_clocks + a.precharged_power_down_clocks + a.self_refresh_clocks, 0);
    // 4687 x 11 is the first refresh more than 30000 clocks after the second read
    assert_eq!((b.self_refreshes, b.self_refresh_clocks), (1, 60_001 - 4687 * 11));
    assert!(b.active_power_down_clocks > 4_000 && b.precharged_power_down_clocks > 30_000);
    assert_eq!(b.active_clocks + b.precharged_clocks, down.end + 1);
    let rules = checker::Rules { postponed_at_most: Some(1), end: down.end };
    assert_eq!(checker::check(&s, &down.commands[0], rules), []);
    let (ea, eb) = (lutsim_dram::energy(&s, a).unwrap(), lutsim_dram::energy(&s, b).unwrap());
    assert!(eb.total().mid < 0.6 * ea.total().mid && eb.idle.mid > 0.0 && ea.idle.mid == 0.0);
}

#[test]
fn aligned_refresh_waits_for_hints_and_forces_beyond_the_limit() {
    let s = Standard::builtin("lpddr5x_9600").unwrap();
    let mut policy = Policy::users();
    policy.refresh.policy = RefreshPolicy::Aligned;
    policy.refresh.interval = Some(4608);
    let mut done = Vec::new();
    // without hints: nothing for eight intervals, then one per interval
    let mut c = Channel::new(&s, &policy).unwrap();
    let mut now = 0;
    while now < 4608 * 12 {
        now = c.step(now, &mut done);
    }
    assert_eq!((c.counters().refreshes, c.counters_at(now).forced_refreshes), (3, 3));
    // with a hint every 4 intervals: all at the hints, none forced
    let mut c = Channel::new(&s, &policy).unwrap();
    c.set_command_log(true);
    for round in 1..=5u64 {
        let hint = 4608 * 4 * round + 10;
        let mut now = 4608 * 4 * (round - 1) + 11;
        while now < hint {
            now = c.step(now, &mut done).min(hint);
        }
        c.step(hint, &mut done);
        c.refresh_hint(hint);
        let mut now = hint + 1;
        while now < hint + 4 * 400 {
            now = c.step(now, &mut done);
        }
    }
    assert_eq!((c.counters().refreshes, c.counters_at(0).forced_refreshes), (20, 0));
    assert!(c.command_log().iter().all(|i| i.clock % (4608 * 4) < 2000));
    let rules = checker::Rules { postponed_at_most: Some(8), end: 4608 * 20 };
    assert_eq!(checker::check(&s, c.command_log(), rules), []);
}

/// Each self-refresh begins with a refresh of the device's own, in place of the one that fell due.
#[test]
fn a_channel_that_often_refreshes_itself_misses_no_refresh() {
    let s = Standard::builtin("ds3_hbm2_1ch").unwrap();
    let policy = Policy {
        power_down: Some(PowerDown { after: 100, self_refresh_after: Some(3 * s.refresh_interval) }),
        ..Policy::users()
    };
    let requests: String = (0..40).map(|i| format!("{} R 0x{:x}\n", i * 24_000, i * 4096)).collect();
    let trace = parse_trace(&requests, &s).unwrap();
    let r = drive(&trace, &s, &policy, DriveOptions { commands: true, tick: false }).unwrap();
    assert!(r.counters.self_refreshes > 20, "{}", r.counters.self_refreshes);
    let rules = checker::Rules { postponed_at_most: Some(1), end: r.end };
    assert_eq!(checker::check(&s, &r.commands[0], rules), []);
}
