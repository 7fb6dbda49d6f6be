//! Counts over time: what the machine had counted at moments of a run, as many as are asked for at most.
//!
//! Moments are the machine's milestones (a transfer is over, a fence is passed), which every engine meets at the same instants;
//! the counts at each are exact, also where [`Engine::Leap`](crate::Engine::Leap) passed it by, since what it remembers is kept
//! from milestone to milestone. When there are too many, every second one goes, so an interval is longer and its counts still
//! exact.

use crate::activity::Cause;
use crate::link::Tick;
use crate::report::snapshot_bursts;

/// Units whose busy cycles are noted, in the order of [`Moment::busy`].
pub const TIMELINE_UNITS: [&str; 7] =
    ["sequencer", "dma_load", "dma_store", "lut", "drain", "vector", "unpacker"];

/// What had been counted at a moment, since the machine was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moment {
    /// Core cycle.
    pub cycle: u64,
    /// Bursts of the accelerator that the controllers had taken, both ways.
    pub bursts: u64,
    /// Busy cycles of [`TIMELINE_UNITS`].
    pub busy: [u64; TIMELINE_UNITS.len()],
}

/// Moments of a run.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    most: usize,
    /// Cycles that moments are apart at least.
    apart: u64,
    moments: Vec<Moment>,
}

impl Timeline {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(2), apart: 1, moments: Vec::new() }
    }

    /// Notes the counts at `now`; `numbers` are those of [`Totals::numbers`](crate::Totals).
    pub(crate) fn note(&mut self, now: Tick, core_period: Tick, numbers: &[u64]) {
        let cycle = now / core_period;
        if self.moments.last().is_some_and(|last| cycle < last.cycle + self.apart) {
            return;
        }
        let causes = Cause::ALL.len();
        self.moments.push(Moment {
            cycle,
            bursts: snapshot_bursts(numbers),
            busy: std::array::from_fn(|unit| numbers[unit * causes + Cause::Busy as usize]),
        });
        while self.moments.len() > 2 * self.most {
            self.apart *= 2;
            self.thin();
        }
    }

    /// Keeps moments that are far enough apart; the first always.
    fn thin(&mut self) {
        let mut last = None;
        let apart = self.apart;
        self.moments.retain(|m| {
            let keep = last.is_none_or(|last| m.cycle >= last + apart);
            if keep {
                last = Some(m.cycle);
            }
            keep
        });
    }

    /// At most as many moments as were asked for, and `end` behind them.
    pub(crate) fn finish(mut self, end: Moment) -> Vec<Moment> {
        while self.moments.len() > self.most {
            self.apart *= 2;
            self.thin();
        }
        self.moments.retain(|m| m.cycle < end.cycle);
        self.moments.push(end);
        self.moments
    }
}

impl Moment {
    pub(crate) fn of(now: Tick, core_period: Tick, numbers: &[u64]) -> Moment {
        let mut one = Timeline::new(2);
        one.note(now, core_period, numbers);
        one.moments[0]
    }
}
