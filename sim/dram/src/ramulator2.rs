//! The controllers of Ramulator 2.1 (commit c5b1c3a), for comparison: FRFCFS-RowHit, an active buffer for requests that
//! opened a row, write mode by fractions, all-bank refresh through a priority buffer; with variants for LPDDR5 (split
//! activates, data clock synchronisation), HBM2 (row and column command in one clock) and HBM3 (column commands every
//! other clock).
//!
//! A read of a burst whose write is queued is answered in the next clock, but not before data that was under way when it
//! came; a write of it is merged into that write at once. Neither needs a free entry.
//!
//! Each clock after an event is evaluated, and then the first clock at which something becomes legal; the write mode
//! is looked at in exactly the clocks in which the reference would see a changed queue.

use std::collections::VecDeque;

use crate::command::Command;
use crate::controller::{Completion, Inbox};
use crate::device::Device;
use crate::pending::Pending;
use crate::policy::{Policy, RefreshPolicy};
use crate::queue::{Entry, Queue};
use crate::standard::Standard;

/// Where a candidate waits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Buffer {
    Active(usize),
    Queue(u32),
    /// The refresh of a scope, in the priority buffer.
    Scope(usize),
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    buffer: Buffer,
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Any,
    Column,
    Row,
}

/// The row command of a rising edge, which restricts the precharge of a later falling edge.
#[derive(Debug, Clone, Copy)]
struct RisingEdge {
    applies_at: u64,
    bank: usize,
    scope: usize,
    whole_scope: bool,
}

/// HBM3's two edges per clock pair.
#[derive(Debug, Clone, Copy)]
struct Edges {
    half_rate: bool,
    rising: Option<RisingEdge>,
    banks_per_scope: usize,
}

/// Clocks before which a command cannot issue to a bank: what it was last told, which can only have become later.
#[derive(Debug, Clone)]
struct Bounds(Box<[[u64; 64]; 4]>);

impl Bounds {
    /// The first clock at which `command` may issue to `bank`, if that is `now` or earlier; else some clock behind `now`
    /// that is not later than it.
    #[inline]
    fn earliest(&mut self, d: &Device, bank: usize, command: Command, now: u64) -> u64 {
        let kind = match command {
            Command::Read => 0,
            Command::Write => 1,
            Command::Precharge => 2,
            _ => 3,
        };
        let bound = &mut self.0[kind][bank & 63];
        if *bound <= now {
            *bound = d.timing.earliest(bank, command);
        }
        *bound
    }
}

impl Edges {
    /// On falling edges only precharges, and not right behind certain row commands of the rising edge.
    #[inline]
    fn allow(&self, command: Command, bank: usize, now: u64) -> bool {
        if !self.half_rate || rising(now) {
            return true;
        }
        if !matches!(command, Command::Precharge | Command::PrechargeAll) {
            return false;
        }
        match &self.rising {
            Some(edge) if edge.applies_at == now && edge.scope == bank / self.banks_per_scope => {
                !edge.whole_scope && command == Command::Precharge && edge.bank != bank
            }
            _ => true,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Ramulator2 {
    pub(crate) wake: u64,
    queues: [Queue; 2],
    /// Writes that have been inserted and neither issued nor moved to the active buffer.
    pending: Pending,
    /// What was answered when it was inserted, until the next step.
    answered: Vec<Completion>,
    /// Clock of the last data that is under way.
    last_data: u64,
    active: Vec<Entry>,
    /// Requests in the active buffer, by bank (a bit each; there is one per bank at most at a time).
    active_banks: u64,
    /// Request between ACT1 and ACT2, and the last clock for the latter.
    activating: Option<(Entry, u64)>,
    /// Request whose CAS was issued.
    after_cas: Option<Candidate>,
    priority: VecDeque<usize>,
    write_mode: bool,
    high: f32,
    low: f32,
    refresh_interval: u64,
    /// Clock at which the next refreshes are requested.
    next_due: u64,
    split_deadline: u64,
    dual: bool,
    edges: Edges,
    bounds: Bounds,
    /// First clock, or one before it, at which something eligible becomes legal, collected while evaluating.
    next: u64,
}

impl Ramulator2 {
    pub(crate) fn new(s: &Standard, p: &Policy) -> Ramulator2 {
        let interval = p.refresh.interval.unwrap_or(s.refresh_interval);
        // its clock is one ahead of the driver's tick
        let next_due = if p.refresh.policy == RefreshPolicy::Off { u64::MAX } else { interval - 1 };
        Ramulator2 {
            wake: next_due,
            queues: [Queue::new(), Queue::new()],
            pending: Pending::new(),
            answered: Vec::new(),
            last_data: 0,
            active: Vec::new(),
            active_banks: 0,
            activating: None,
            after_cas: None,
            priority: VecDeque::new(),
            write_mode: false,
            high: 0.8 * p.write_queue as f32,
            low: 0.2 * p.write_queue as f32,
            refresh_interval: interval,
            next_due,
            split_deadline: s.act2_deadline.unwrap_or(0),
            dual: s.dual_command,
            edges: Edges {
                half_rate: s.half_rate_columns,
                rising: None,
                banks_per_scope: (s.banks() / s.nodes(s.refresh_level)) as usize,
            },
            bounds: Bounds(Box::new([[0; 64]; 4])),
            next: u64::MAX,
        }
    }

    pub(crate) fn used(s: &Standard) -> u16 {
        use Command::*;
        let mut used =
            [Activate, Precharge, PrechargeAll, Read, Write, RefreshAll].map(Command::bit).iter().sum();
        if s.act2_deadline.is_some() {
            used |= Activate2.bit();
        }
        if s.data_clock_hold.is_some() {
            used |= CasRead.bit() | CasWrite.bit();
        }
        used
    }

    pub(crate) fn len(&self, write: bool) -> u32 {
        self.queues[write as usize].len
    }

    pub(crate) fn pending(&self) -> u32 {
        self.len(false) + self.len(true) + self.active.len() as u32 + self.activating.is_some() as u32
    }

    pub(crate) fn step(
        &mut self,
        d: &mut Device,
        inbox: &mut Inbox,
        now: u64,
        done: &mut Vec<Completion>,
    ) -> u64 {
        if !self.answered.is_empty() {
            done.append(&mut self.answered);
        }
        if now >= self.next_due {
            self.next_due += self.refresh_interval;
            self.priority.extend(0..d.timing.scope_banks().len());
        }
        // a CAS is followed by its command, whatever has arrived meanwhile
        if let Some(candidate) = self.after_cas.take() {
            self.issue(d, candidate, now, done);
            self.wake = now + 1;
            return self.wake;
        }
        while let Some(entry) = inbox.take_before(now) {
            let hit = d.hits(entry.bank as usize, entry.row);
            self.queues[entry.write as usize].push(entry, hit);
            self.wake = now;
        }
        if now < self.wake {
            return self.wake;
        }
        self.next = self.next_due;
        let issued = if d.split {
            self.tick_split(d, now, done)
        } else if self.dual {
            self.tick_dual(d, now, done)
        } else {
            self.serve(d, now, Slot::Any, done)
        };
        self.wake = if issued { now + 1 } else { self.next.max(now + 1) };
        self.wake
    }

    /// Whether a request needs no command of its own, because a write of its burst is queued.
    #[inline]
    pub(crate) fn absorbs(&self, entry: &Entry, inbox: &Inbox) -> bool {
        self.pending.may_hold(entry) && (self.queues[1].holds(entry) || inbox.holds(true, entry))
    }

    /// Takes such a request.
    #[inline]
    pub(crate) fn absorb(&mut self, entry: Entry, inbox: &Inbox) -> bool {
        let absorbed = self.absorbs(&entry, inbox);
        if absorbed {
            let Entry { arrival, tag, write, .. } = entry;
            let ready = if write { arrival } else { self.last_data.max(arrival + 1) };
            self.answered.push(Completion { tag, write, ready });
            self.wake = self.wake.min(arrival + 1);
        } else if entry.write {
            self.pending.add(&entry);
        }
        absorbed
    }

    /// Active buffer, then the refresh in line, then (if none is) the queue of the mode.
    fn candidate(&mut self, d: &Device, now: u64, slot: Slot) -> Option<Candidate> {
        if slot != Slot::Row
            && let Some(c) = self.ready_active(d, now)
        {
            return Some(c);
        }
        if let Some(scope) = self.priority.front().copied() {
            return if slot == Slot::Column { None } else { self.ready_refresh(d, scope, now) };
        }
        self.update_mode();
        self.ready_queued(d, now, slot)
    }

    fn serve(&mut self, d: &mut Device, now: u64, slot: Slot, done: &mut Vec<Completion>) -> bool {
        let candidate = self.candidate(d, now, slot);
        if let Some(c) = candidate {
            self.issue(d, c, now, done);
        }
        candidate.is_some()
    }

    /// HBM: a column and a row command; HBM3: column commands on rising edges only.
    fn tick_dual(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) -> bool {
        let column = (!self.edges.half_rate || rising(now)) && self.serve(d, now, Slot::Column, done);
        let row = self.candidate(d, now, Slot::Row);
        if let Some(c) = row {
            if self.edges.half_rate && rising(now) {
                self.edges.rising = Some(self.edge(&c, now));
            }
            self.issue(d, c, now, done);
        }
        if self.edges.half_rate && !rising(now) && !column {
            // look again at the next rising edge
            self.next = self.next.min(self.next_column(d, now).max(now + 1));
        }
        column || row.is_some()
    }

    /// LPDDR5: ACT2 at its deadline or when nothing else can issue, CAS before data if the data clock has stopped.
    fn tick_split(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) -> bool {
        if let Some((_, deadline)) = self.activating {
            self.next = now + 1;
            if deadline <= now {
                return self.issue_act2(d, now);
            }
        }
        let Some(c) = self.candidate(d, now, Slot::Any) else { return self.issue_act2(d, now) };
        if c.command.is_column() && now >= d.data_clock_until {
            if self.activating.is_some_and(|(_, deadline)| deadline <= now + 1) {
                return self.issue_act2(d, now);
            }
            let entry = *self.entry(&c);
            let command = if entry.write { Command::CasWrite } else { Command::CasRead };
            d.issue(command, entry.bank as usize, entry.row, entry.column, now);
            self.after_cas = Some(c);
        } else {
            self.issue(d, c, now, done);
        }
        true
    }

    fn issue_act2(&mut self, d: &mut Device, now: u64) -> bool {
        let Some((entry, _)) = self.activating.take() else { return false };
        d.issue(Command::Activate2, entry.bank as usize, entry.row, entry.column, now);
        self.opened(d, entry);
        true
    }

    /// The oldest request of the active buffer that is ready.
    fn ready_active(&mut self, d: &Device, now: u64) -> Option<Candidate> {
        let mut best: Option<(u64, usize)> = None;
        for (index, e) in self.active.iter().enumerate() {
            let at = self.bounds.earliest(d, e.bank as usize, column_command(e), now);
            if at > now {
                self.next = self.next.min(at);
            } else if best.is_none_or(|(arrival, _)| e.arrival < arrival) {
                best = Some((e.arrival, index));
            }
        }
        let (_, index) = best?;
        Some(Candidate { buffer: Buffer::Active(index), command: column_command(&self.active[index]) })
    }

    fn ready_refresh(&mut self, d: &Device, scope: usize, now: u64) -> Option<Candidate> {
        let banks = d.timing.scope_banks()[scope];
        if d.activating & banks != 0 {
            return None;
        }
        let closing = d.open & banks != 0;
        if closing && self.active_banks & banks != 0 {
            return None;
        }
        let command = if closing { Command::PrechargeAll } else { Command::RefreshAll };
        let at = d.timing.earliest_scope(scope, command);
        if at > now {
            self.next = self.next.min(at);
            return None;
        }
        if !self.edges.allow(command, banks.trailing_zeros() as usize, now) {
            self.next = self.next.min(now + 1);
            return None;
        }
        Some(Candidate { buffer: Buffer::Scope(scope), command })
    }

    /// The oldest request of the mode's queue whose next command is ready; a row that an older request hits stays.
    fn ready_queued(&mut self, d: &Device, now: u64, slot: Slot) -> Option<Candidate> {
        let q = &self.queues[self.write_mode as usize];
        let command = if self.write_mode { Command::Write } else { Command::Read };
        let (edges, bounds) = (self.edges, &mut self.bounds);
        let (mut best, mut next) = (u32::MAX, self.next);
        let mut found = command;
        let mut consider = |position: u32, command: Command, bank: usize| {
            let at = bounds.earliest(d, bank, command, now);
            if at > now {
                next = next.min(at);
            } else if !edges.allow(command, bank, now) {
                next = next.min(now + 1);
            } else if position < best {
                (best, found) = (position, command);
            }
        };
        // a class that the channel as a whole still forbids need not be looked at bank by bank
        let open_class = |command: Command, banks: u64, soonest: &mut u64| {
            let at = d.timing.channel_earliest(command);
            if banks != 0 && at > now {
                *soonest = (*soonest).min(at);
            }
            if at > now { 0 } else { banks }
        };
        let (mut columns, mut precharges, mut activates) = (0, 0, 0);
        let mut soonest = u64::MAX;
        if slot != Slot::Row {
            columns = open_class(command, q.hit_banks, &mut soonest);
        }
        if slot != Slot::Column {
            let closable = q.banks & d.open & !self.active_banks;
            precharges = open_class(Command::Precharge, closable, &mut soonest);
            if d.activating == 0 {
                activates = open_class(Command::Activate, q.banks & !d.open, &mut soonest);
            }
        }
        while columns != 0 {
            let bank = columns.trailing_zeros() as usize;
            consider(q.oldest_hit(bank), command, bank);
            columns &= columns - 1;
        }
        while precharges != 0 {
            let bank = precharges.trailing_zeros() as usize;
            if q.oldest(bank) != q.oldest_hit(bank) {
                consider(q.oldest(bank), Command::Precharge, bank);
            }
            precharges &= precharges - 1;
        }
        while activates != 0 {
            let bank = activates.trailing_zeros() as usize;
            consider(q.oldest(bank), Command::Activate, bank);
            activates &= activates - 1;
        }
        next = next.min(soonest);
        self.next = next;
        (best != u32::MAX).then_some(Candidate { buffer: Buffer::Queue(best), command: found })
    }

    /// First clock, or one before it, at which any column command becomes legal.
    fn next_column(&mut self, d: &Device, now: u64) -> u64 {
        let mut at = u64::MAX;
        for e in &self.active {
            at = at.min(self.bounds.earliest(d, e.bank as usize, column_command(e), now));
        }
        let q = &self.queues[self.write_mode as usize];
        let command = if self.write_mode { Command::Write } else { Command::Read };
        let mut rest = if self.priority.is_empty() { q.hit_banks } else { 0 };
        while rest != 0 {
            at = at.min(self.bounds.earliest(d, rest.trailing_zeros() as usize, command, now));
            rest &= rest - 1;
        }
        at
    }

    fn edge(&self, c: &Candidate, now: u64) -> RisingEdge {
        let (bank, scope, whole_scope) = match c.buffer {
            Buffer::Scope(scope) => (usize::MAX, scope, true),
            _ => {
                let bank = self.entry(c).bank as usize;
                (bank, bank / self.edges.banks_per_scope, false)
            }
        };
        let applies_at = now + if c.command == Command::Activate { 3 } else { 1 };
        RisingEdge { applies_at, bank, scope, whole_scope }
    }

    fn update_mode(&mut self) {
        let (reads, writes) = (self.queues[0].len, self.queues[1].len as f32);
        if !self.write_mode {
            self.write_mode = writes > self.high || reads == 0;
        } else if writes < self.low && reads != 0 {
            self.write_mode = false;
        }
    }

    fn entry(&self, c: &Candidate) -> &Entry {
        match c.buffer {
            Buffer::Active(index) => &self.active[index],
            Buffer::Queue(position) => self.queues[self.write_mode as usize].entry(position),
            Buffer::Scope(_) => unreachable!("refreshes have no entry"),
        }
    }

    fn opened(&mut self, d: &Device, entry: Entry) {
        let bank = entry.bank as usize;
        self.queues[0].open(bank, d.open_row[bank]);
        self.queues[1].open(bank, d.open_row[bank]);
        self.active.push(entry);
        self.active_banks |= 1 << bank;
    }

    fn closed(&mut self, banks: u64) {
        self.queues[0].close(banks);
        self.queues[1].close(banks);
    }

    fn issue(&mut self, d: &mut Device, c: Candidate, now: u64, done: &mut Vec<Completion>) {
        let Candidate { buffer, command } = c;
        if let Buffer::Scope(scope) = buffer {
            d.issue_scope(command, scope, now);
            if command == Command::PrechargeAll {
                self.closed(d.timing.scope_banks()[scope]);
            } else {
                self.priority.pop_front();
            }
            return;
        }
        let mut entry = *self.entry(&c);
        let bank = entry.bank as usize;
        // what the request met is what its first command says
        if !(entry.precharged || entry.activated) {
            let counters = &mut d.counters;
            *match command {
                Command::Precharge => &mut counters.row_conflicts,
                Command::Activate => &mut counters.row_misses,
                Command::Write => &mut counters.write_row_hits,
                _ => &mut counters.read_row_hits,
            } += 1;
        }
        let queue = &mut self.queues[self.write_mode as usize];
        if command.is_column() {
            d.issue_data(entry.write, bank, entry.row, entry.column, now);
            let ready = if entry.write { now } else { now + d.read_latency };
            self.last_data = self.last_data.max(ready);
            done.push(Completion { tag: entry.tag, write: entry.write, ready });
            match buffer {
                Buffer::Active(index) => {
                    self.active.remove(index);
                    self.active_banks &= !(1 << bank);
                }
                Buffer::Queue(position) => {
                    queue.remove(position);
                    if entry.write {
                        self.pending.remove(&entry);
                    }
                }
                Buffer::Scope(_) => {}
            }
            return;
        }
        d.issue(command, bank, entry.row, entry.column, now);
        let Buffer::Queue(position) = buffer else { return };
        if command == Command::Precharge {
            queue.entry_mut(position).precharged = true;
            self.closed(1 << bank);
            return;
        }
        entry.activated = true;
        queue.remove(position);
        if entry.write {
            self.pending.remove(&entry);
        }
        if d.split {
            self.activating = Some((entry, now + self.split_deadline));
        } else {
            self.opened(d, entry);
        }
    }
}

/// Its clock, one ahead of the driver's tick, is odd on rising edges.
fn rising(now: u64) -> bool {
    now.is_multiple_of(2)
}

fn column_command(e: &Entry) -> Command {
    if e.write { Command::Write } else { Command::Read }
}
