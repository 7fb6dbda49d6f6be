//! What each unit did when: runs of cycles with one cause, queue depths and bytes over time, of a window of a run.
//!
//! Nothing is written down while components run. Before and after each instant their accounts are looked at: what was added
//! since the last look is first more of the cause that was pending, and then what the cycle itself was charged to. Inside the
//! window [`Engine::Leap`](crate::Engine::Leap) does not leap; outside of it nothing is looked at.

use crate::activity::{Activity, Cause, Cycles};
use crate::link::Tick;
use crate::machine::Machine;
use crate::timeline::TIMELINE_UNITS;

/// Core cycles that bytes over time are summed over.
pub const TRACE_BIN: u64 = 256;

/// The part of a run that is traced, in core cycles since the machine was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first cycle.
    pub from: u64,
    /// The cycle behind the last.
    pub to: u64,
    /// Runs of cycles and changes of depth at most; when there are more the trace ends early.
    pub most: usize,
}

/// Consecutive cycles of a unit with one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The unit, a number of [`TIMELINE_UNITS`].
    pub unit: usize,
    /// What it did, or why not.
    pub cause: Cause,
    /// First core cycle.
    pub from: u64,
    /// Core cycle behind the last.
    pub to: u64,
}

/// A trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// First core cycle.
    pub from: u64,
    /// Core cycle behind the last; before the window's end if there were too many events, or the run was over.
    pub to: u64,
    /// Whether there were too many events.
    pub cut: bool,
    /// Slices, of each unit without gaps.
    pub slices: Vec<Slice>,
    /// Core cycle, queue (load, store, lut, vector), entries.
    pub depths: Vec<(u64, usize, usize)>,
    /// Core cycle, and the bursts of all channels' counters up to then: the accelerator's, then those of each channel,
    /// everybody's.
    pub bursts: Vec<(u64, Vec<u64>)>,
}

/// The account of a unit as it was looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    cycles: Cycles,
    cause: Cause,
}

/// A trace under way.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    window: Window,
    units: Vec<Look>,
    /// The cycle behind the last that was looked at; none before the window.
    at: Option<u64>,
    depths: [usize; 4],
    bin: u64,
    done: bool,
    trace: Trace,
    /// The slice of each unit that goes on.
    open: Vec<Option<Slice>>,
}

fn accounts(machine: &Machine) -> [&Activity; TIMELINE_UNITS.len()] {
    [
        &machine.sequencer.activity,
        &machine.load.activity,
        &machine.store.activity,
        &machine.lut.activity,
        &machine.lut.drain_activity,
        &machine.vector.activity,
        &machine.load.unpacker,
    ]
}

impl Tracer {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            units: Vec::new(),
            at: None,
            depths: [0; 4],
            bin: 0,
            done: false,
            trace: Trace::default(),
            open: vec![None; TIMELINE_UNITS.len()],
        }
    }

    /// Whether the machine may go from cycle `now` to `then` without being looked at.
    pub(crate) fn allows(&self, now: u64, then: u64) -> bool {
        self.done || then <= self.window.from || now >= self.window.to
    }

    /// Before anything happens at `cycle`.
    fn before(&mut self, machine: &Machine, cycle: u64) {
        if self.done {
            return;
        }
        if self.at.is_none() {
            if cycle < self.window.from {
                return;
            }
            let from = self.window.from;
            let look = |a: &Activity| Look { cycles: a.up_to(from), cause: a.cause() };
            self.units = accounts(machine).map(look).to_vec();
            self.at = Some(from);
            self.trace.from = from;
            self.bin = from;
            self.bursts(machine, from);
            self.queues(machine, from);
        }
        while self.bin + TRACE_BIN <= cycle.min(self.window.to) {
            self.bin += TRACE_BIN;
            let bin = self.bin;
            self.bursts(machine, bin);
        }
        if cycle >= self.window.to {
            self.close(machine, self.window.to, false);
        }
    }

    /// After everything that happens at `cycle`.
    fn after(&mut self, machine: &Machine, cycle: u64) {
        if self.done || self.at.is_none() {
            return;
        }
        self.look(machine, cycle + 1);
        self.queues(machine, cycle);
        if self.trace.slices.len() + self.trace.depths.len() > self.window.most {
            self.close(machine, cycle + 1, true);
        }
    }

    /// Takes over what the accounts have more than at the last look, up to cycle `until`.
    fn look(&mut self, machine: &Machine, until: u64) {
        let Some(at) = self.at.filter(|at| *at < until) else { return };
        for (unit, account) in accounts(machine).into_iter().enumerate() {
            let now = account.up_to(until);
            let before = self.units[unit];
            let mut cycle = at;
            let order =
                std::iter::once(before.cause).chain(Cause::ALL.into_iter().filter(|c| *c != before.cause));
            for cause in order {
                let more = now.of(cause) - before.cycles.of(cause);
                if more > 0 {
                    self.slice(Slice { unit, cause, from: cycle, to: cycle + more });
                    cycle += more;
                }
            }
            debug_assert_eq!(cycle, until, "unit {unit} has an account of every cycle");
            self.units[unit] = Look { cycles: now, cause: account.cause() };
        }
        self.at = Some(until);
    }

    fn slice(&mut self, slice: Slice) {
        let open = &mut self.open[slice.unit];
        match open {
            Some(last) if last.cause == slice.cause && last.to == slice.from => last.to = slice.to,
            _ => self.trace.slices.extend(open.replace(slice)),
        }
    }

    fn bursts(&mut self, machine: &Machine, cycle: u64) {
        let mut counts = vec![machine.shared.bursts.wrapping_add(machine.leapt.bursts)];
        let leapt = &machine.leapt.channels;
        counts.extend(machine.channels.iter().zip(leapt).map(|(channel, leapt)| {
            let now = channel.counters(machine.now);
            (now.reads + now.writes).wrapping_add(leapt.reads.wrapping_add(leapt.writes))
        }));
        self.trace.bursts.push((cycle, counts));
    }

    fn queues(&mut self, machine: &Machine, cycle: u64) {
        let first = self.trace.depths.is_empty();
        for (queue, link) in machine.shared.queues.iter().enumerate() {
            let depth = link.len();
            if first || depth != self.depths[queue] {
                self.depths[queue] = depth;
                self.trace.depths.push((cycle, queue, depth));
            }
        }
    }

    fn close(&mut self, machine: &Machine, cycle: u64, cut: bool) {
        if self.done || self.at.is_none() {
            return;
        }
        self.look(machine, cycle);
        if self.bin < cycle {
            self.bursts(machine, cycle);
        }
        self.trace.slices.extend(self.open.iter_mut().filter_map(Option::take));
        self.trace.slices.sort_by_key(|s| (s.unit, s.from));
        (self.trace.to, self.trace.cut, self.done) = (cycle, cut, true);
    }
}

impl Machine {
    /// Traces a window of what runs from now on.
    pub fn begin_trace(&mut self, window: Window) {
        self.tracer = Some(Box::new(Tracer::new(window)));
    }
    /// What was traced; none if nothing was to be, or the window was not reached.
    pub fn end_trace(&mut self) -> Option<Trace> {
        let mut tracer = self.tracer.take()?;
        let cycle = self.cycle();
        tracer.before(self, cycle);
        tracer.close(self, cycle, false);
        Some(tracer.trace).filter(|_| tracer.done)
    }
    pub(crate) fn trace_before(&mut self, now: Tick) {
        if let Some(mut tracer) = self.tracer.take() {
            tracer.before(self, now / self.timebase.core_period);
            self.tracer = Some(tracer);
        }
    }
    pub(crate) fn trace_after(&mut self, now: Tick) {
        if now.is_multiple_of(self.timebase.core_period)
            && let Some(mut tracer) = self.tracer.take()
        {
            tracer.after(self, now / self.timebase.core_period);
            self.tracer = Some(tracer);
        }
    }
    /// Whether the engine may pass over so many ticks at once.
    pub(crate) fn may_leap(&self, ticks: Tick) -> bool {
        let period = self.timebase.core_period;
        self.tracer.as_ref().is_none_or(|t| t.allows(self.now / period, (self.now + ticks) / period))
    }
}
