//! Scratchpad: banks, ports and the arbiter that lets at most one port use a bank in a cycle.
//!
//! A port is handed strided runs, not words. Ports have a fixed order of precedence (the cores first: a stall there idles
//! all of them); a refused access tries again in the next cycle. k ports on one bank so take k times as long, on k
//! banks once.

use std::collections::VecDeque;

use crate::leap::Walk;
use crate::link::{Registered, Tick};
use crate::shared::{Unit, Wakes};

/// Who asks, in order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Port {
    LutWeights,
    LutScales,
    LutActivations,
    DrainWrite,
    DrainRead,
    Load,
    Store,
    VectorRead,
    VectorRead2,
    VectorWrite,
}

const PORTS: usize = 10;
/// Runs that a port holds.
const PORT_DEPTH: usize = 4;

impl Port {
    const ALL: [Port; PORTS] = [
        Port::LutWeights,
        Port::LutScales,
        Port::LutActivations,
        Port::DrainWrite,
        Port::DrainRead,
        Port::Load,
        Port::Store,
        Port::VectorRead,
        Port::VectorRead2,
        Port::VectorWrite,
    ];
    fn owner(self) -> Unit {
        match self {
            Port::LutWeights
            | Port::LutScales
            | Port::LutActivations
            | Port::DrainWrite
            | Port::DrainRead => Unit::Lut,
            Port::Load => Unit::Load,
            Port::Store => Unit::Store,
            Port::VectorRead | Port::VectorRead2 | Port::VectorWrite => Unit::Vector,
        }
    }
}

/// Bit p: port p writes.
const WRITES: u32 = 1 << Port::DrainWrite as u32 | 1 << Port::Load as u32 | 1 << Port::VectorWrite as u32;

/// Accesses `width` banks wide, one per `period` cycles at most: `outer` rows of `inner` accesses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// First word of the first access.
    pub(crate) word: u64,
    /// Words of one access.
    pub(crate) width: u32,
    /// Accesses of a row.
    pub(crate) inner: u32,
    /// Words from access to access.
    pub(crate) inner_step: u64,
    /// Rows.
    pub(crate) outer: u32,
    /// Words from row to row.
    pub(crate) outer_step: u64,
    /// Cycles from access to access.
    pub(crate) period: u32,
    /// Not before.
    pub(crate) earliest: Tick,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    run: Run,
    /// Accesses left, and those left in this row.
    left: u64,
    in_row: u32,
    /// First word of the next access, and of its row.
    word: u64,
    row: u64,
    next: Tick,
}

impl Active {
    fn new(run: Run, next: Tick) -> Self {
        let left = u64::from(run.inner) * u64::from(run.outer);
        Self { run, left, in_row: run.inner, word: run.word, row: run.word, next }
    }
    fn blank() -> Self {
        let run = Run {
            word: 0,
            width: 1,
            inner: 1,
            inner_step: 0,
            outer: 1,
            outer_step: 0,
            period: 1,
            earliest: 0,
        };
        Active::new(run, 0)
    }
    /// `first`: the port is at it, and may have slept over some of its accesses. Of a word its bank matters.
    fn walk(&mut self, w: &mut Walk<'_>, first: bool, banks: u64) {
        let run = &mut self.run;
        for word in [&mut run.word, &mut self.word, &mut self.row, &mut run.inner_step, &mut run.outer_step] {
            *word %= banks;
            w.exact(word);
        }
        for size in [&mut run.width, &mut run.inner, &mut run.outer, &mut run.period] {
            w.small(size);
        }
        w.exact(&mut self.left);
        w.small(&mut self.in_row);
        if first { w.moment(&mut self.next) } else { w.clock(&mut self.next) }
    }
    /// When something can happen that is not known already. The first of the occupied ports is never refused: it sleeps
    /// until its run's last access, and what it did meanwhile is caught up with.
    fn wake(&self, first: bool, period: Tick) -> Tick {
        match first {
            true => self.next + (self.left - 1) * u64::from(self.run.period) * period,
            false => self.next,
        }
    }
    fn advance(&mut self) {
        self.left -= 1;
        self.in_row -= 1;
        self.word += self.run.inner_step;
        if self.in_row == 0 {
            self.row += self.run.outer_step;
            (self.word, self.in_row) = (self.row, self.run.inner);
        }
    }
    /// `count` accesses at once.
    fn advance_by(&mut self, count: u64) {
        self.left -= count;
        if count < u64::from(self.in_row) {
            self.in_row -= count as u32;
            self.word += count * self.run.inner_step;
            return;
        }
        let inner = u64::from(self.run.inner);
        let done = inner - u64::from(self.in_row) + count;
        self.row += done / inner * self.run.outer_step;
        let column = done % inner;
        self.word = self.row + column * self.run.inner_step;
        self.in_row = (inner - column) as u32;
    }
}

/// The scratchpad's arbiter.
#[derive(Clone, Debug)]
pub(crate) struct Scratchpad {
    banks: u32,
    conflict_free: bool,
    period: Tick,
    /// What each port is at, if its bit is set in `occupied`, and what it holds behind that.
    at: [Active; PORTS],
    behind: [VecDeque<Active>; PORTS],
    /// Runs handed over, by port.
    posted: [u64; PORTS],
    /// Runs finished, by port.
    finished: [Registered; PORTS],
    /// Bit p: port p holds a run.
    occupied: u32,
    /// Words read and written.
    pub(crate) words_read: u64,
    pub(crate) words_written: u64,
    /// Refused accesses.
    pub(crate) conflicts: u64,
    /// Cycles in which some bank was in use.
    pub(crate) busy_cycles: u64,
    last_busy: Tick,
}

impl Scratchpad {
    pub(crate) fn new(banks: u32, conflict_free: bool, period: Tick) -> Self {
        Self {
            banks,
            conflict_free,
            period,
            at: [Active::blank(); PORTS],
            behind: std::array::from_fn(|_| VecDeque::with_capacity(PORT_DEPTH)),
            posted: [0; PORTS],
            finished: [Registered::default(); PORTS],
            occupied: 0,
            words_read: 0,
            words_written: 0,
            conflicts: 0,
            busy_cycles: 0,
            last_busy: Tick::MAX,
        }
    }
    /// Room for another run as of the beginning of this cycle.
    pub(crate) fn can_post(&self, port: Port, now: Tick) -> bool {
        self.posted[port as usize] - self.finished(port, now) < PORT_DEPTH as u64
    }
    /// Runs of this port that had finished when this cycle began.
    pub(crate) fn finished(&self, port: Port, now: Tick) -> u64 {
        self.finished[port as usize].get(now)
    }
    /// Runs that a port holds, finished or not.
    pub(crate) fn posted(&self, port: Port) -> u64 {
        self.posted[port as usize]
    }
    /// Runs of this port that have finished.
    pub(crate) fn finished_by_now(&self, port: Port) -> u64 {
        self.finished[port as usize].total()
    }
    /// Counts a port's runs from `finished` on.
    pub(crate) fn rebase(&mut self, port: Port, finished: u64) {
        let p = port as usize;
        self.finished[p].set(finished);
        self.posted[p] = finished + u64::from(self.occupied >> p & 1) + self.behind[p].len() as u64;
    }
    /// Walks the runs at every port; counts of finished ones begin at 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>) {
        if !w.reading() {
            self.catch_up(w.now + 1);
        }
        let banks = u64::from(self.banks);
        for p in 0..PORTS {
            let mut first = true;
            let runs = &mut self.behind[p];
            if self.occupied >> p & 1 != 0 && !w.reading() {
                runs.push_front(self.at[p]);
            }
            w.queue(
                runs,
                |w, active| {
                    active.walk(w, first, banks);
                    first = false;
                },
                Active::blank,
            );
            match runs.pop_front() {
                Some(active) => (self.at[p], self.occupied) = (active, self.occupied | 1 << p),
                None => self.occupied &= !(1 << p),
            }
            if w.reading() {
                self.rebase(Port::ALL[p], 0);
                self.last_busy = Tick::MAX;
            }
        }
    }
    /// Hands a run to a port; it starts in the next cycle at the earliest.
    pub(crate) fn post(&mut self, now: Tick, port: Port, mut run: Run, wakes: &mut Wakes) {
        debug_assert!(run.inner > 0 && run.outer > 0 && run.width > 0 && run.period > 0);
        if run.width > self.banks {
            // Wider than the memory: several cycles per access.
            let parts = run.width.div_ceil(self.banks);
            run.inner_step =
                if run.inner == 1 { u64::from(self.banks) } else { run.inner_step / u64::from(parts) };
            run.inner *= parts;
            run.width = run.width.div_ceil(parts);
            run.period = run.period.div_ceil(parts);
        }
        let next = run.earliest.max(now + self.period);
        let (p, active) = (port as usize, Active::new(run, next));
        match self.occupied >> p & 1 {
            0 => self.at[p] = active,
            _ => self.behind[p].push_back(active),
        }
        self.posted[p] += 1;
        self.occupied |= 1 << p;
        wakes.at(Unit::Scratchpad, now + self.period);
    }
    /// The cycle at `now`, and those after it up to `horizon`, before which nobody else does anything, or to the end of
    /// a run; returns when to run again.
    pub(crate) fn tick(&mut self, now: Tick, horizon: Tick, wakes: &mut Wakes) -> Tick {
        self.catch_up(now);
        let mut at = now;
        while let Some(next) = self.cycle(at, wakes) {
            if next >= horizon {
                return next;
            }
            at = next;
            // Who is first now was first in the last cycle: only it has slept.
            self.catch_up_port(self.occupied.trailing_zeros() as usize, at);
        }
        self.next_due()
    }
    /// One cycle; when to run again, or `None` if a run came to its end.
    fn cycle(&mut self, now: Tick, wakes: &mut Wakes) -> Option<Tick> {
        let (mut wake, mut ended) = (Tick::MAX, false);
        let first = self.occupied.trailing_zeros() as usize;
        // Who is alone is never refused.
        let asks = !self.conflict_free && !self.occupied.is_power_of_two();
        let (mut taken, mut busy) = (0, false);
        let mut remaining = self.occupied;
        while remaining != 0 {
            let p = remaining.trailing_zeros() as usize;
            remaining &= remaining - 1;
            let active = &mut self.at[p];
            if active.next > now {
                wake = wake.min(active.wake(p == first, self.period));
                continue;
            }
            if asks {
                // Banks are a power of two (checked when the chip loads).
                let bank = (active.word & u64::from(self.banks - 1)) as u32;
                let mask = mask(self.banks, bank, active.run.width);
                if taken & mask != 0 {
                    self.conflicts += 1;
                    active.next = now + self.period;
                    wake = wake.min(active.next);
                    continue;
                }
                taken |= mask;
            }
            busy = true;
            let words = u64::from(active.run.width);
            active.advance();
            active.next = now + u64::from(active.run.period) * self.period;
            if active.left == 0 {
                ended = true;
                self.finish(p, now, wakes);
            } else {
                wake = wake.min(active.wake(p == first, self.period));
            }
            self.count_words(p, words);
        }
        if busy && self.last_busy != now {
            self.busy_cycles += 1;
            self.last_busy = now;
        }
        (!ended).then_some(wake)
    }
    /// When something can happen again that is not known already.
    fn next_due(&self) -> Tick {
        let mut wake = Tick::MAX;
        let mut remaining = self.occupied;
        while remaining != 0 {
            let p = remaining.trailing_zeros() as usize;
            remaining &= remaining - 1;
            let first = p as u32 == self.occupied.trailing_zeros();
            wake = wake.min(self.at[p].wake(first, self.period));
        }
        wake
    }
    fn count_words(&mut self, p: usize, words: u64) {
        if WRITES >> p & 1 != 0 {
            self.words_written += words;
        } else {
            self.words_read += words;
        }
    }
    fn finish(&mut self, p: usize, now: Tick, wakes: &mut Wakes) {
        self.finished[p].raise(now, 1);
        match self.behind[p].pop_front() {
            Some(next) => self.at[p] = Active { next: next.next.max(now + self.period), ..next },
            None => self.occupied &= !(1 << p),
        }
        wakes.at(Port::ALL[p].owner(), now + self.period);
    }
    /// Does all accesses of ports that fell due before `now`.
    fn catch_up(&mut self, now: Tick) {
        let occupied = self.occupied;
        (0..PORTS).filter(|p| occupied >> p & 1 != 0).for_each(|p| self.catch_up_port(p, now));
    }
    /// Those of a port, which slept.
    fn catch_up_port(&mut self, p: usize, now: Tick) {
        let Some(active) = self.at.get_mut(p).filter(|active| active.next < now) else { return };
        let step = u64::from(active.run.period) * self.period;
        let due = (now - active.next).div_ceil(step).min(active.left - 1);
        active.advance_by(due);
        active.next += due * step;
        let words = due * u64::from(active.run.width);
        self.count_words(p, words);
        self.busy_cycles += due;
    }
}

/// The banks of an access, `width` from `bank` on, around the end.
#[inline]
fn mask(banks: u32, bank: u32, width: u32) -> u128 {
    if banks > 64 {
        let ones = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
        // 128 of them: more there are not.
        return ones.rotate_left(bank);
    }
    let ones = |n: u32| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
    let taken = ones(width) << bank | ones((bank + width).saturating_sub(banks));
    u128::from(taken & ones(banks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_takes_the_banks_from_its_first_on_around_the_end() {
        for banks in [1, 2, 8, 32, 64, 128] {
            for (bank, width) in (0..banks).flat_map(|bank| (1..=banks).map(move |width| (bank, width))) {
                let taken = (bank..bank + width).fold(0, |taken, b| taken | 1u128 << (b % banks));
                assert_eq!(mask(banks, bank, width), taken, "{width} of {banks} from {bank} on");
            }
        }
    }
}
