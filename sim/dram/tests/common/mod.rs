//! A small driver that does not use the crate's own.
#![allow(dead_code)]

use lutsim_dram::{Channel, Completion, Counters, Issued, Policy, Standard};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Clocks to wait after the previous insertion.
    pub(crate) gap: u64,
    pub(crate) burst: u64,
    pub(crate) write: bool,
}

pub(crate) struct Outcome {
    pub(crate) commands: Vec<Issued>,
    pub(crate) completions: Vec<Completion>,
    pub(crate) counters: Counters,
    pub(crate) end: u64,
}

pub(crate) fn policies() -> Vec<Policy> {
    vec![Policy::users(), Policy::users(), Policy::dramsim3(), Policy::ramulator2()]
}

/// Runs a trace, at every clock or only at the clocks the channel asks for.
pub(crate) fn run(
    standard: &Standard,
    policy: &Policy,
    trace: &[Request],
    hints: &[u64],
    tick: bool,
) -> Outcome {
    let mut channel = Channel::new(standard, policy).unwrap();
    channel.set_command_log(true);
    let (mut done, mut completions) = (Vec::new(), Vec::new());
    let (mut now, mut next, mut earliest) = (0u64, 0usize, trace[0].gap);
    let bursts = standard.channel_bursts();
    while next < trace.len() || completions.len() < trace.len() {
        assert!(now < 10_000_000, "{} {policy:?}: no progress", standard.name);
        let wake = channel.step(now, &mut done);
        assert!(wake > now);
        completions.append(&mut done);
        if next < trace.len() && earliest <= now && channel.can_accept(trace[next].write) {
            channel.push(now, trace[next].burst % bursts, trace[next].write, next as u32);
            next += 1;
            earliest = now + trace.get(next).map_or(0, |r| r.gap);
        }
        if hints.contains(&now) {
            match now % 3 {
                0 => channel.refresh_restart(now),
                _ => channel.refresh_hint(now),
            }
        }
        let mut to = channel.wake();
        if next < trace.len() && channel.can_accept(trace[next].write) {
            to = to.min(earliest.max(now + 1));
        }
        for h in hints {
            if *h > now {
                to = to.min(*h);
            }
        }
        assert!(to < u64::MAX || completions.len() == trace.len(), "asleep with work left");
        now = if tick { now + 1 } else { to.max(now + 1) };
    }
    let end = completions.iter().map(|c| c.ready).max().unwrap();
    let commands = channel.command_log().iter().filter(|c| c.clock < now).copied().collect();
    Outcome { commands, completions, counters: channel.counters_at(end), end }
}
