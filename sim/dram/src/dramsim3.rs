//! The controller of DRAMsim3 (commit 2981759), for comparison: transactions move one per clock into per-bank command
//! queues, which are visited round-robin; writes drain in batches; a rank that is due for refresh is frozen.
//!
//! A read of a burst whose write waits is answered at once, a write of it is merged into that write, and reads of one
//! burst are served by one command. A write behind a read of its burst ends the batch until the read is issued; where the
//! original would wait for ever, because that read cannot get to its bank's queue during a batch, reads go on here.

use std::collections::VecDeque;

use crate::command::Command;
use crate::controller::{Completion, Inbox};
use crate::device::{Device, NO_ROW};
use crate::pending::Pending;
use crate::policy::{Policy, RefreshPolicy};
use crate::queue::Entry;
use crate::standard::Standard;

/// Entries of a bank's command queue.
const BANK_QUEUE: usize = 8;
/// Writes beyond this many drain when all command queues are empty.
const IDLE_DRAIN: usize = 8;

// what the entries of a bank's queue could do next
const ACTIVATE: usize = 0;
const PRECHARGE: usize = 1;
const READ: usize = 2;
const WRITE: usize = 3;
const COMMAND: [Command; 4] = [Command::Activate, Command::Precharge, Command::Read, Command::Write];

#[derive(Debug, Clone)]
pub(crate) struct Dramsim3 {
    pub(crate) wake: u64,
    transactions: [VecDeque<Entry>; 2],
    /// How many of them go to each bank, and the banks with any.
    waiting: [[u8; 64]; 2],
    waiting_banks: [u64; 2],
    write_capacity: usize,
    /// Reads and writes that have been inserted and not issued.
    pending: [Pending; 2],
    /// Reads that wait for another of the same burst.
    merged: Vec<Entry>,
    /// What was answered when it was inserted, until the next step.
    answered: Vec<Completion>,
    /// A write may wait for a read of its burst.
    behind_read: bool,
    queues: Vec<Vec<Entry>>,
    full: u64,
    busy: u64,
    /// Banks that want each of `COMMAND`, a bit each.
    wants: [u64; 4],
    /// Reads and writes in each bank's queue that hit its open row.
    hits: [[u8; 2]; 64],
    /// No command that each bank wants may issue before: a bound that holds until it wants another.
    not_before: [u64; 64],
    /// Column commands since the activate.
    served: [u32; 64],
    cap: u32,
    /// Bank served last.
    turn: usize,
    draining: usize,
    refresh_interval: u64,
    next_due: u64,
    next_rank: usize,
    due: VecDeque<usize>,
    dual: bool,
}

impl Dramsim3 {
    pub(crate) fn new(s: &Standard, p: &Policy) -> Dramsim3 {
        let ranks = s.nodes(s.refresh_level) as u64;
        let interval = p.refresh.interval.unwrap_or(s.refresh_interval) / ranks;
        let next_due = if p.refresh.policy == RefreshPolicy::Off { u64::MAX } else { interval };
        Dramsim3 {
            wake: next_due,
            transactions: Default::default(),
            waiting: [[0; 64]; 2],
            waiting_banks: [0; 2],
            write_capacity: p.write_queue as usize,
            pending: [Pending::new(), Pending::new()],
            merged: Vec::new(),
            answered: Vec::new(),
            behind_read: false,
            queues: vec![Vec::with_capacity(BANK_QUEUE); s.banks() as usize],
            full: 0,
            busy: 0,
            wants: [0; 4],
            hits: [[0; 2]; 64],
            not_before: [0; 64],
            served: [0; 64],
            cap: p.row_hit_cap,
            turn: 0,
            draining: 0,
            refresh_interval: interval,
            next_due,
            next_rank: 0,
            due: VecDeque::new(),
            dual: s.dual_command,
        }
    }

    pub(crate) fn used() -> u16 {
        use Command::*;
        [Activate, Precharge, Read, Write, RefreshAll].map(Command::bit).iter().sum()
    }

    pub(crate) fn len(&self, write: bool) -> u32 {
        self.transactions[write as usize].len() as u32
    }

    pub(crate) fn pending(&self) -> u32 {
        let queued = self.queues.iter().map(|q| q.len() as u32).sum::<u32>() + self.merged.len() as u32;
        queued + self.len(false) + self.len(true)
    }

    /// Whether a read or a write of the same burst has been inserted and not issued.
    #[inline]
    fn holds(&self, write: bool, entry: &Entry, inbox: &Inbox) -> bool {
        self.pending[write as usize].may_hold(entry)
            && (self.is_in_queue(write, entry)
                || self.transactions[write as usize].iter().any(|e| e.same_burst(entry))
                || inbox.holds(write, entry))
    }

    fn is_in_queue(&self, write: bool, entry: &Entry) -> bool {
        self.queues[entry.bank as usize].iter().any(|e| e.write == write && e.same_burst(entry))
    }

    /// Takes a request that needs no command of its own.
    #[inline]
    pub(crate) fn absorb(&mut self, entry: Entry, inbox: &Inbox) -> bool {
        if self.holds(true, &entry, inbox) {
            self.answered.push(Completion { tag: entry.tag, write: entry.write, ready: entry.arrival + 1 });
            self.wake = self.wake.min(entry.arrival + 1);
            return true;
        }
        let read_before = self.holds(false, &entry, inbox);
        if read_before && !entry.write {
            self.merged.push(entry);
            return true;
        }
        self.behind_read |= read_before;
        self.pending[entry.write as usize].add(&entry);
        false
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
        while let Some(entry) = inbox.take_before(now) {
            if entry.write {
                done.push(Completion { tag: entry.tag, write: true, ready: entry.arrival + 1 });
            }
            let side = entry.write as usize;
            self.waiting[side][entry.bank as usize & 63] += 1;
            self.waiting_banks[side] |= 1 << entry.bank;
            self.transactions[side].push_back(entry);
            self.wake = now;
        }
        if now < self.wake {
            return self.wake;
        }
        if now >= self.next_due {
            self.next_due += self.refresh_interval;
            self.due.push_back(self.next_rank);
            self.next_rank = (self.next_rank + 1) % d.timing.scope_banks().len();
        }
        self.issue(d, now, done);
        self.schedule_transaction(d);
        self.wake = if self.movable_side().is_some() { now + 1 } else { self.next_event(d, now + 1) };
        self.wake
    }

    /// Banks frozen for the refresh at the head of the line.
    fn frozen(&self, d: &Device) -> u64 {
        self.due.front().map_or(0, |rank| d.timing.scope_banks()[*rank])
    }

    fn issue(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) {
        let mut column = false;
        if !self.finish_refresh(d, now) {
            let Some((bank, index, command)) = self.pick(d, now) else { return };
            column = command.is_column();
            self.perform(d, bank, index, command, now, done);
        }
        // the round-robin position moves even if the second command cannot share the clock with the first
        if self.dual
            && let Some((bank, index, command)) = self.pick(d, now)
            && command.is_column() != column
        {
            self.perform(d, bank, index, command, now, done);
        }
    }

    /// Precharges and refreshes the rank at the head of the line, as soon as each is legal.
    fn finish_refresh(&mut self, d: &mut Device, now: u64) -> bool {
        let Some(rank) = self.due.front().copied() else { return false };
        let banks = d.timing.scope_banks()[rank];
        let mut open = d.open & banks;
        if open == 0 {
            let ready = d.timing.earliest_scope(rank, Command::RefreshAll) <= now;
            if ready {
                d.issue_scope(Command::RefreshAll, rank, now);
                self.due.pop_front();
            }
            return ready;
        }
        while open != 0 {
            let bank = open.trailing_zeros() as usize;
            if d.timing.earliest(bank, Command::Precharge) <= now {
                d.issue(Command::Precharge, bank, NO_ROW, NO_ROW, now);
                self.served[bank] = 0;
                self.look(d, bank);
                return true;
            }
            open &= open - 1;
        }
        false
    }

    /// The next bank in turn that has a ready command: bank, index in its queue, command.
    fn pick(&mut self, d: &Device, now: u64) -> Option<(usize, usize, Command)> {
        let mut candidates = 0;
        for (wants, command) in self.wants.iter().zip(COMMAND) {
            if *wants != 0 && d.timing.channel_earliest(command) <= now {
                candidates |= wants;
            }
        }
        candidates &= !self.frozen(d);
        let after = !crate::timing::mask(self.turn + 1);
        for mut half in [candidates & after, candidates & !after] {
            while half != 0 {
                let bank = half.trailing_zeros() as usize;
                half &= half - 1;
                if self.not_before[bank] > now {
                    continue;
                }
                if let Some((index, command)) = self.first_ready(d, bank, now) {
                    self.turn = bank;
                    return Some((bank, index, command));
                }
                self.not_before[bank] = now + 1;
            }
        }
        None
    }

    fn first_ready(&self, d: &Device, bank: usize, now: u64) -> Option<(usize, Command)> {
        let ready =
            |what: usize| self.wants[what] >> bank & 1 != 0 && d.timing.earliest(bank, COMMAND[what]) <= now;
        if self.wants[ACTIVATE] >> bank & 1 != 0 {
            return ready(ACTIVATE).then_some((0, Command::Activate));
        }
        if ready(PRECHARGE) {
            return Some((0, Command::Precharge));
        }
        let (read, write) = (ready(READ), ready(WRITE));
        if !read && !write {
            return None;
        }
        let row = d.open_row[bank];
        let index =
            self.queues[bank].iter().position(|e| e.row == row && if e.write { write } else { read })?;
        Some((index, if self.queues[bank][index].write { Command::Write } else { Command::Read }))
    }

    fn perform(
        &mut self,
        d: &mut Device,
        bank: usize,
        index: usize,
        command: Command,
        now: u64,
        done: &mut Vec<Completion>,
    ) {
        let entry = self.queues[bank][index];
        if command.is_column() {
            d.issue_data(entry.write, bank, entry.row, entry.column, now);
            if self.served[bank] != 0 {
                let hits =
                    if entry.write { &mut d.counters.write_row_hits } else { &mut d.counters.read_row_hits };
                *hits += 1;
            }
            self.served[bank] += 1;
            self.pending[entry.write as usize].remove(&entry);
            if !entry.write {
                let ready = now + d.read_latency;
                done.push(Completion { tag: entry.tag, write: false, ready });
                if !self.merged.is_empty() {
                    let same = self.merged.extract_if(.., |e| e.same_burst(&entry));
                    done.extend(same.map(|e| Completion { tag: e.tag, write: false, ready }));
                }
            }
            self.queues[bank].remove(index);
            self.hits[bank][entry.write as usize] -= 1;
            self.full &= !(1 << bank);
            if self.queues[bank].is_empty() {
                self.busy &= !(1 << bank);
            }
            self.want(d, bank);
        } else {
            d.issue(command, bank, entry.row, entry.column, now);
            self.served[bank] = 0;
            self.look(d, bank);
        }
    }

    /// What the entries of a bank's queue could do in its present state.
    fn look(&mut self, d: &Device, bank: usize) {
        self.hits[bank] = [0; 2];
        for e in self.queues[bank].iter().filter(|e| d.hits(bank, e.row)) {
            self.hits[bank][e.write as usize] += 1;
        }
        self.want(d, bank);
    }

    /// The same where the hits are known.
    #[inline]
    fn want(&mut self, d: &Device, bank: usize) {
        let [reads, writes] = self.hits[bank].map(|n| n > 0);
        let mut wants = [false, false, reads, writes];
        if let Some(front) = self.queues[bank].first() {
            if d.is_open(bank) {
                let overdue = !(reads || writes) || self.served[bank] >= self.cap;
                wants[PRECHARGE] = overdue && front.row != d.open_row[bank];
            } else {
                wants[ACTIVATE] = true;
            }
        }
        for (mask, want) in self.wants.iter_mut().zip(wants) {
            *mask = *mask & !(1 << bank) | (want as u64) << bank;
        }
        self.not_before[bank] = 0;
    }

    /// Writes to drain in this batch.
    fn batch(&self) -> usize {
        let writes = self.transactions[1].len();
        if self.draining == 0 && (writes >= self.write_capacity || (writes > IDLE_DRAIN && self.busy == 0)) {
            writes
        } else {
            self.draining
        }
    }

    /// Where a transaction waits whose bank has room, reads or writes.
    #[inline]
    fn movable_side(&self) -> Option<usize> {
        let side = usize::from(self.batch() > 0);
        let side = if side == 1 && self.behind_read { self.side_behind_read()? } else { side };
        (self.waiting_banks[side] & !self.full != 0).then_some(side)
    }

    fn first_movable(&self, side: usize) -> Option<usize> {
        self.transactions[side].iter().position(|e| self.full >> e.bank & 1 == 0)
    }

    /// The same during a batch, if the next write waits for a read of its burst.
    #[cold]
    fn side_behind_read(&self) -> Option<usize> {
        let Some(write) = self.first_movable(1).map(|i| self.transactions[1][i]) else { return Some(1) };
        if !self.pending[0].may_hold(&write) {
            return Some(1);
        }
        if self.is_in_queue(false, &write) {
            return None;
        }
        let waits = self.transactions[0].iter().any(|e| e.same_burst(&write));
        Some(usize::from(!waits))
    }

    /// Moves one transaction to its bank's queue, the oldest whose bank has room; one per clock.
    fn schedule_transaction(&mut self, d: &Device) {
        let batch = self.batch();
        let movable = self.movable_side();
        let write_waits = batch > 0 && movable != Some(1) && self.waiting_banks[1] & !self.full != 0;
        self.draining = if write_waits { 0 } else { batch };
        let Some(side) = movable else { return };
        let first = self.first_movable(side);
        let Some(entry) = first.and_then(|index| self.transactions[side].remove(index)) else { return };
        self.draining -= side;
        self.behind_read &= !self.transactions[1].is_empty();
        let bank = entry.bank as usize;
        self.waiting[side][bank & 63] -= 1;
        if self.waiting[side][bank & 63] == 0 {
            self.waiting_banks[side] &= !(1 << bank);
        }
        self.queues[bank].push(entry);
        self.busy |= 1 << bank;
        if self.queues[bank].len() == BANK_QUEUE {
            self.full |= 1 << bank;
        }
        if d.hits(bank, entry.row) {
            self.hits[bank][entry.write as usize] += 1;
        }
        self.want(d, bank);
    }

    /// First clock at which a bank that wants anything may have it.
    #[inline]
    fn earliest(&self, d: &Device, bank: usize) -> u64 {
        let mut at = u64::MAX;
        for (wants, command) in self.wants.iter().zip(COMMAND) {
            if wants >> bank & 1 != 0 {
                at = at.min(d.timing.earliest(bank, command));
            }
        }
        at
    }

    /// First clock from `from` at which a command could issue or a refresh falls due.
    fn next_event(&mut self, d: &Device, from: u64) -> u64 {
        let mut at = self.next_due;
        let frozen = self.frozen(d);
        let mut rest = self.busy & !frozen;
        while rest != 0 && at > from {
            let bank = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if self.not_before[bank] < at {
                self.not_before[bank] = self.earliest(d, bank);
                at = at.min(self.not_before[bank]);
            }
        }
        if let Some(rank) = self.due.front() {
            let mut open = d.open & frozen;
            if open == 0 {
                at = at.min(d.timing.earliest_scope(*rank, Command::RefreshAll));
            }
            while open != 0 {
                at = at.min(d.timing.earliest(open.trailing_zeros() as usize, Command::Precharge));
                open &= open - 1;
            }
        }
        at.max(from)
    }
}
