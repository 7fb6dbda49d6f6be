//! One memory channel as the machine sees it: requests of three masters in, finished bursts out, in the memory's clock.
//!
//! ```text
//! fetch --+                                     +--> replies to fetch
//! load  --+--> one read per clock --> controller +--> replies to load
//! store --+--> one write per clock -->   "       +--> acknowledged when the controller takes it
//!         |                                      +--> counted, and nothing else
//! others -+ (background.rs)
//! ```
//! A write is acknowledged when it is in the controller's queue: later reads are ordered behind it there.
//!
//! The accelerator and the other masters take turns: if both have something to ask, whoever handed the controller the
//! last request waits until the other's next one has room, in whichever direction. And while the controller drains writes,
//! no writes are added over the head of the other party's reads: a flood of them would keep it from ever going back. So
//! nobody loses more than the wait while there is room for both; at saturation each hands in half of the requests, and
//! neither starves. Within the controller all are alike.

use lutsim_dram::{Channel as Controller, Completion, Counters, Margin, UNNUMBERED as FETCH_TAG};

use crate::activity::{Activity, Cause};
use crate::background::Background;
use crate::leap::Walk;
use crate::link::Tick;
use crate::shared::{Hints, Master, Shared, Unit};

/// Latency and bandwidth and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Ideal {
    /// Clocks from request to data.
    latency: u64,
    waiting: std::collections::VecDeque<(u64, u32, bool)>,
    counters: Counters,
}

#[derive(Clone, Debug)]
enum Memory {
    Controller(Box<Controller>),
    Ideal(Ideal),
}

/// A channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    index: usize,
    period: Tick,
    memory: Memory,
    /// Bursts already taken from the run at the head of each master's requests.
    taken: [u32; 3],
    /// Other masters ask for nothing, for now.
    others_hold: bool,
    completions: Vec<Completion>,
    hints_seen: Hints,
    /// Whether requests wait, in memory clocks.
    waiting: Activity,
    waits: bool,
    /// Traffic of other masters.
    background: Option<Background>,
}

/// Tag of other masters' requests. A fetch numbers the bursts of a block, so that none of its tags is this one.
const OTHERS: u32 = u32::MAX;

/// Writes in a controller beyond which those of other masters wait for reads to be served: fewer than make it drain.
const FREE_WRITES: u32 = 12;

/// Queue of the ideal memory, entries.
const IDEAL_QUEUE: usize = 32;

impl Channel {
    pub(crate) fn new(index: usize, period: Tick, controller: Controller) -> Self {
        Self::with(index, period, Memory::Controller(Box::new(controller)))
    }
    pub(crate) fn ideal(index: usize, period: Tick, latency: u64) -> Self {
        let waiting = std::collections::VecDeque::with_capacity(IDEAL_QUEUE);
        Self::with(index, period, Memory::Ideal(Ideal { latency, waiting, counters: Counters::default() }))
    }
    fn with(index: usize, period: Tick, memory: Memory) -> Self {
        Self {
            index,
            period,
            memory,
            taken: [0; 3],
            others_hold: false,
            completions: Vec::with_capacity(4),
            hints_seen: Hints::default(),
            waiting: Activity::new(Cause::Idle),
            waits: false,
            background: None,
        }
    }
    /// The same with traffic of other masters.
    pub(crate) fn shared_with(self, background: Option<Background>) -> Self {
        Self { background, ..self }
    }

    /// One memory clock; returns when to run again.
    pub(crate) fn tick(&mut self, now: Tick, hints: Hints, shared: &mut Shared) -> Tick {
        let clock = shared.wakes.memory_clock(now);
        let mut next = match &mut self.memory {
            Memory::Controller(c) => {
                if hints != self.hints_seen {
                    if hints.restarts != self.hints_seen.restarts {
                        c.refresh_restart(clock);
                    } else {
                        c.refresh_hint(clock);
                    }
                    self.hints_seen = hints;
                }
                c.step(clock, &mut self.completions)
            }
            Memory::Ideal(m) => m.step(clock, &mut self.completions),
        };
        for done in &self.completions {
            if done.tag == OTHERS {
                if let Some(background) = &mut self.background {
                    background.done(done.write);
                }
                continue;
            }
            if done.write {
                continue;
            }
            if let Some(background) = &mut self.background {
                background.turn = true;
            }
            let (master, sequence) = match done.tag & FETCH_TAG {
                0 => (Master::Load, done.tag),
                _ => (Master::Fetch, done.tag & !FETCH_TAG),
            };
            let ready = (done.ready * self.period).max(now + 1);
            let unit = if master == Master::Load { Unit::Load } else { Unit::Sequencer };
            let edge = shared.wakes.core_from(unit, ready);
            shared.lanes[self.index].replies[master as usize].push_back((edge, sequence));
        }
        self.completions.clear();
        let more = self.accept(now, clock, shared);
        let (waited, waits) = (self.waits, self.pending() > 0);
        self.waits = waits;
        let cause = |waits| if waits { Cause::Dram } else { Cause::Idle };
        self.waiting.mark(clock, cause(waited || waits), cause(waits));
        if more {
            return now + self.period;
        }
        // Older entries of the ideal memory have waited for this clock's.
        next = next.min(self.memory.wake()).max(clock + 1);
        if let Some(background) = self.background.as_ref().filter(|_| !self.others_hold) {
            next = next.min(background.wake().max(clock + 1));
        }
        if next == u64::MAX { Tick::MAX } else { next * self.period }
    }

    /// Takes at most one read and one write from the masters; true if there is more to take in the next clock.
    #[inline]
    fn accept(&mut self, now: Tick, clock: u64, shared: &mut Shared) -> bool {
        let lane = &shared.lanes[self.index];
        let [fetch, load, store] = &lane.requests;
        let reader = if fetch.front(now).is_some() { Master::Fetch } else { Master::Load };
        let (reads, writes) = (!fetch.is_empty() || !load.is_empty(), !store.is_empty());
        let mut more = false;
        if self.background.is_some() && !self.others_hold {
            return self.accept_in_turn(reader, now, clock, shared);
        }
        if reads {
            more |= self.take(reader, now, clock, shared);
        }
        if writes {
            more |= self.take(Master::Store, now, clock, shared);
        }
        more
    }

    /// The same with other masters, who take turns with the accelerator.
    fn accept_in_turn(&mut self, reader: Master, now: Tick, clock: u64, shared: &mut Shared) -> bool {
        let Some(background) = &mut self.background else { return false };
        background.advance(clock);
        for write in [false, true] {
            let [own_waits, others_wait] = self.held_up(write);
            let Some(background) = self.background.as_mut().filter(|_| self.memory.can_accept(write)) else {
                continue;
            };
            let requests = &shared.lanes[self.index].requests;
            let master = if write { Master::Store } else { reader };
            let own = requests[master as usize].front(now).is_some();
            let any_own = requests.iter().any(|link| link.front(now).is_some());
            if background.wants(write) && !others_wait && (background.turn || !any_own) {
                background.turn = false;
                self.memory.push(clock, background.take(), write, OTHERS);
            } else if own && !own_waits && !(background.turn && background.any()) {
                background.turn = true;
                self.take(master, now, clock, shared);
            }
        }
        let Some(background) = &self.background else { return false };
        let [fetch, load, store] = &shared.lanes[self.index].requests;
        let own = [!fetch.is_empty() || !load.is_empty(), !store.is_empty()];
        [false, true].into_iter().any(|write| {
            let [own_waits, others_wait] = self.held_up(write);
            let others = background.wants(write) && !others_wait && (background.turn || own == [false; 2]);
            let own = own[usize::from(write)] && !own_waits && !(background.turn && background.any());
            (others || own) && self.memory.can_accept(write)
        })
    }

    /// Whether a request of the accelerator's, and of the others, must wait: a write does while the controller drains
    /// writes and a read of the other party's waits for the end of that; beyond [`FREE_WRITES`], one of the others comes in
    /// for each read that the accelerator was served.
    fn held_up(&self, write: bool) -> [bool; 2] {
        match (&self.memory, &self.background) {
            (Memory::Controller(c), Some(background)) if write => {
                let (others, drains) = (background.held()[0], c.is_draining());
                let reads = c.queued(false) > others;
                let many = c.queued(true) >= FREE_WRITES && !background.turn;
                [others > 0 && drains, reads && (drains || many)]
            }
            _ => [false; 2],
        }
    }

    /// Takes a burst from a master, if the controller has room; true if there are more behind it, and room.
    #[inline]
    fn take(&mut self, master: Master, now: Tick, clock: u64, shared: &mut Shared) -> bool {
        let write = master == Master::Store;
        let m = master as usize;
        // A full queue has room again when the controller has issued something: at its own next clock.
        if !self.memory.can_accept(write) {
            return false;
        }
        let lane = &mut shared.lanes[self.index];
        let Some(&run) = lane.requests[m].front(now) else { return false };
        let offset = self.taken[m];
        let tag = run.sequence.wrapping_add(offset) & !FETCH_TAG;
        let tag = if master == Master::Fetch { tag | FETCH_TAG } else { tag };
        self.memory.push(clock, run.burst + u64::from(offset), write, tag);
        shared.bursts += 1;
        self.taken[m] += 1;
        if self.taken[m] == run.bursts {
            self.taken[m] = 0;
            let was_full = lane.requests[m].is_full();
            lane.requests[m].pop(now);
            if was_full {
                let unit = match lane.asked {
                    None => [Unit::Sequencer, Unit::Load, Unit::Store][m],
                    Some(_) => Unit::Port,
                };
                shared.wakes.core_from(unit, now + 1);
            }
        }
        if write {
            lane.stored.raise(now, 1);
            shared.wakes.core_from(Unit::Store, now + 1);
        }
        let [fetch, load, store] = &lane.requests;
        let waiting = if write { !store.is_empty() } else { !fetch.is_empty() || !load.is_empty() };
        waiting && self.memory.can_accept(write)
    }

    /// Whether [`Channel::walk`] knows this memory. With other masters no state is ever met again: how many requests they
    /// have made belongs to it, and only grows. So nobody needs to look.
    pub(crate) fn can_walk(&self) -> bool {
        if self.background.is_some() {
            return false;
        }
        match &self.memory {
            Memory::Controller(c) => c.can_walk(),
            Memory::Ideal(_) => true,
        }
    }
    /// First bit of the row in a burst's number, and low bits of the row that belong together.
    pub(crate) fn row_bits(&self) -> Option<(u32, u32)> {
        match &self.memory {
            Memory::Controller(c) => Some((c.row_bit(), c.row_unit())),
            Memory::Ideal(_) => None,
        }
    }
    /// Whether no other masters use it.
    pub(crate) fn is_alone(&self) -> bool {
        self.background.is_none()
    }
    /// Walks queues and memory; `hints` have been given so far, and are 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, hints: Hints) {
        let now = w.now;
        w.now = now / self.period;
        let clock = w.now;
        self.taken.iter_mut().for_each(|taken| w.small(taken));
        w.flag(&mut self.waits);
        w.account(&mut self.waiting, clock + 1);
        // Whether there are new ones is all that matters of their numbers.
        let Hints { moments, restarts } = &mut self.hints_seen;
        for (seen, given) in [(moments, hints.moments), (restarts, hints.restarts)] {
            let mut new = *seen != given;
            w.flag(&mut new);
            if w.reading() {
                *seen = if new { u64::MAX } else { 0 };
            }
        }
        match &mut self.memory {
            Memory::Controller(c) => c.walk(w),
            Memory::Ideal(m) => w.queue(
                &mut m.waiting,
                |w, (_, tag, write)| {
                    w.flag(write);
                    // Nobody waits for a write's.
                    if !*write {
                        w.tag(tag);
                    }
                },
                || (clock, 0, false),
            ),
        }
        w.now = now;
    }
    /// Clock at which the next refresh falls due.
    pub(crate) fn due(&self) -> u64 {
        match &self.memory {
            Memory::Controller(c) => c.due(),
            Memory::Ideal(_) => u64::MAX,
        }
    }
    /// The next refresh falls due at `clock`.
    pub(crate) fn set_due(&mut self, clock: u64) {
        if let Memory::Controller(c) = &mut self.memory {
            c.set_due(clock);
        }
    }
    /// Watches how far the next due time could be moved.
    pub(crate) fn watch_due(&mut self) {
        if let Memory::Controller(c) = &mut self.memory {
            c.watch_due();
        }
    }
    /// How far it could have been moved since then, as of `now`.
    pub(crate) fn due_margin(&self, now: Tick) -> Margin {
        match &self.memory {
            Memory::Controller(c) => c.due_margin(now / self.period),
            Memory::Ideal(_) => Margin::FREE,
        }
    }

    /// Whether no burst of the accelerator's is on its way or waits. Nobody waits for those of other masters.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending() == self.background.as_ref().map_or(0, |b| b.held().iter().sum())
    }
    /// Other masters ask for nothing, for now.
    pub(crate) fn hold_others(&mut self, hold: bool) {
        self.others_hold = hold;
    }
    /// Bursts on their way or waiting.
    fn pending(&self) -> u32 {
        match &self.memory {
            Memory::Controller(c) => c.pending(),
            Memory::Ideal(m) => m.waiting.len() as u32,
        }
    }
    /// Bursts that other masters have read and written.
    pub(crate) fn others(&self) -> [u64; 2] {
        self.background.as_ref().map_or([0; 2], Background::moved)
    }
    /// Memory clocks in which requests waited, that of `now` included.
    pub(crate) fn waited(&self, now: Tick) -> u64 {
        self.waiting.up_to(now / self.period + 1).of(Cause::Dram)
    }
    /// The controller's counters, background complete up to `now`.
    pub(crate) fn counters(&self, now: Tick) -> Counters {
        match &self.memory {
            Memory::Controller(c) => c.counters_at(now / self.period),
            Memory::Ideal(m) => m.counters,
        }
    }
    pub(crate) fn record_commands(&mut self) {
        if let Memory::Controller(c) = &mut self.memory {
            c.set_command_log(true);
        }
    }
    pub(crate) fn commands(&self) -> &[lutsim_dram::Issued] {
        match &self.memory {
            Memory::Controller(c) => c.command_log(),
            Memory::Ideal(_) => &[],
        }
    }
}

impl Memory {
    fn can_accept(&self, write: bool) -> bool {
        match self {
            Memory::Controller(c) => c.can_accept(write),
            Memory::Ideal(m) => m.waiting.len() < IDEAL_QUEUE,
        }
    }
    /// Next clock at which something happens, as far as known now.
    fn wake(&self) -> u64 {
        match self {
            Memory::Controller(c) => c.wake(),
            Memory::Ideal(m) => m.waiting.front().map_or(u64::MAX, |w| w.0 + 1),
        }
    }
    fn push(&mut self, clock: u64, burst: u64, write: bool, tag: u32) {
        match self {
            Memory::Controller(c) => c.push(clock, burst, write, tag),
            Memory::Ideal(m) => m.waiting.push_back((clock, tag, write)),
        }
    }
}

impl Ideal {
    /// Serves one burst per clock, in order: the clock is chosen so that this is the bandwidth.
    fn step(&mut self, clock: u64, done: &mut Vec<Completion>) -> u64 {
        match self.waiting.front() {
            None => u64::MAX,
            Some(&(arrival, ..)) if arrival >= clock => arrival + 1,
            Some(&(_, tag, write)) => {
                self.waiting.pop_front();
                self.counters.data_clocks += 1;
                if write {
                    self.counters.writes += 1
                } else {
                    self.counters.reads += 1
                }
                done.push(Completion { tag, write, ready: clock + self.latency });
                if self.waiting.is_empty() { u64::MAX } else { clock + 1 }
            }
        }
    }
}
