//! Our scheduler: FR-FCFS with a row-hit cap, write drain by watermarks, open or closed page, split activates, data
//! clock synchronisation, one command per clock or (HBM) one row and one column command.
//!
//! At each clock, in this order: a refresh that is due (or the precharge before it), an ACT2 about to miss its
//! deadline, the oldest ready row hit, the oldest ready precharge or activate, a pending ACT2.
//!
//! ```text
//! push -> inbox -> read queue  -+                     +-> column pick {clock, bank, position}
//!                  write queue -+-> mode (drain?) --> +-> row pick    {clock, bank, position}
//! ```
//!
//! A pick is the first clock at which anything of its class can issue and what it is; it is kept until an event
//! touches it, so running every clock and running only at the returned clocks are the same by construction.

use crate::command::Command;
use crate::controller::{Completion, Inbox};
use crate::counters::Counters;
use crate::device::{Device, NO_ROW};
use crate::policy::{Page, Policy};
use crate::queue::{Entry, Queue};
use crate::refresh::Refresh;
use crate::standard::Standard;
use crate::timing::Class;

const NONE: u32 = 64;
const COLUMN: u8 = 1 << Class::Column as u8;
const ACTIVATE: u8 = 1 << Class::Activate as u8;
const PRECHARGE: u8 = 1 << Class::Precharge as u8;
/// Position of a precharge that no request asks for.
const IDLE: u32 = 63;

#[derive(Debug, Clone, Copy)]
struct Pick {
    clock: u64,
    command: Command,
    bank: u8,
    position: u8,
}

impl Pick {
    const NOTHING: Pick =
        Pick { clock: u64::MAX, command: Command::Read, bank: u8::MAX, position: NONE as u8 };

    /// Takes `other` if it comes first, or at the same clock for an older request.
    #[inline]
    fn offer(&mut self, clock: u64, command: Command, bank: usize, position: u32) {
        if clock < self.clock || (clock == self.clock && position < self.position as u32) {
            *self = Pick { clock, command, bank: bank as u8, position: position as u8 };
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct FrFcfs {
    /// Next clock at which a step does anything.
    pub(crate) wake: u64,
    queues: [Queue; 2],
    /// 0 serves reads, 1 writes.
    mode: usize,
    column: Pick,
    /// Clock at which the column pick acts: a synchronisation comes one clock before its command.
    column_at: u64,
    precharge: Pick,
    activate: Pick,
    /// Picks that an event has touched, a bit per class.
    stale: u8,
    /// The command that must follow the CAS of the clock before.
    after_cas: Option<Pick>,
    act2: Option<(u8, u64)>,
    refresh: Refresh,
    refresh_pick: Pick,
    /// Banks that wait for a refresh.
    blocked: u64,
    /// Row hits served since the activate, and the banks where they reached the cap.
    served: [u32; 64],
    capped: u64,
    cap: u32,
    high: u32,
    low: u32,
    closed_page: bool,
    dual: bool,
    split_deadline: u64,
    precharge_all: bool,
    rest: Option<Rest>,
}

/// Power-down and self-refresh of an idle channel.
#[derive(Debug, Clone)]
struct Rest {
    after: u64,
    exit: u64,
    self_refresh: Option<(u64, u64)>,
    last_command: u64,
    last_data: u64,
    /// Clock at which the device began to refresh itself.
    asleep: Option<u64>,
}

impl FrFcfs {
    pub(crate) fn new(s: &Standard, p: &Policy) -> FrFcfs {
        let refresh = Refresh::new(s, p);
        FrFcfs {
            wake: refresh.next_due,
            queues: [Queue::new(), Queue::new()],
            mode: 0,
            column: Pick::NOTHING,
            column_at: u64::MAX,
            precharge: Pick::NOTHING,
            activate: Pick::NOTHING,
            stale: 0,
            after_cas: None,
            act2: None,
            refresh,
            refresh_pick: Pick::NOTHING,
            blocked: 0,
            served: [0; 64],
            capped: 0,
            cap: p.row_hit_cap,
            high: p.write_high,
            low: p.write_low,
            closed_page: p.page == Page::Closed,
            dual: s.dual_command,
            split_deadline: s.act2_deadline.unwrap_or(0),
            precharge_all: s.has(Command::PrechargeAll),
            rest: p.power_down.map(|r| Rest {
                after: r.after,
                exit: s.power_down_exit.unwrap_or(0),
                self_refresh: r.self_refresh_after.map(|after| (after, s.self_refresh_exit.unwrap_or(0))),
                last_command: 0,
                last_data: 0,
                asleep: None,
            }),
        }
    }

    /// The commands this scheduler can issue.
    pub(crate) fn used(s: &Standard, p: &Policy) -> u16 {
        use Command::*;
        let mut used =
            [Activate, Precharge, Read, Write, RefreshAll, PrechargeAll].map(Command::bit).iter().sum();
        if s.act2_deadline.is_some() {
            used |= Activate2.bit();
        }
        if s.data_clock_hold.is_some() {
            used |= CasRead.bit() | CasWrite.bit();
        }
        if p.refresh.scope == crate::policy::RefreshScope::PerBank {
            used |= RefreshBank.bit();
        }
        used
    }

    pub(crate) fn len(&self, write: bool) -> u32 {
        self.queues[write as usize].len
    }

    pub(crate) fn hint(&mut self, now: u64, device: &mut Device) {
        let idle = self.idle();
        if self.refresh.hint() {
            if idle {
                self.rouse(device, now + 1);
            }
            self.block(device);
            self.refresh_pick = self.pick_refresh(device, now + 1);
            self.wake = self.wake.min(now + 1);
        }
    }

    pub(crate) fn forced(&self) -> u64 {
        self.refresh.forced
    }

    pub(crate) fn step(
        &mut self,
        d: &mut Device,
        inbox: &mut Inbox,
        now: u64,
        done: &mut Vec<Completion>,
    ) -> u64 {
        if !inbox.is_empty() {
            while let Some(entry) = inbox.take_before(now) {
                self.insert(d, entry, now);
            }
        }
        if now < self.wake {
            return self.wake;
        }
        let plain = self.rest.is_none()
            && self.act2.is_none()
            && self.after_cas.is_none()
            && self.refresh.wanted == 0
            && !self.dual;
        if plain
            && self.stale == 0
            && now < self.refresh.next_due
            && self.column_at <= now
            && (self.column.clock < d.data_clock_until || d.data_clock_hold.is_none())
        {
            // nothing but a row hit: the common case of a stream
            self.issue_column_here(d, self.column, now, done);
            if self.precharge.clock.min(self.activate.clock) <= now {
                self.stale |= PRECHARGE | ACTIVATE;
            }
            self.update_mode();
            if self.stale == COLUMN {
                self.stale = 0;
                self.column = self.pick_column(d, now + 1);
                self.time_column(d, now + 1);
            } else {
                self.settle(d, now + 1);
            }
            self.wake =
                self.column_at.min(self.precharge.clock).min(self.activate.clock).min(self.refresh.next_due);
            return self.wake;
        }
        self.run(d, now, done);
        self.wake
    }

    fn run(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) {
        if now >= self.refresh.next_due && !self.fall_asleep(d, now) && self.refresh.fall_due(now) {
            self.block(d);
            self.refresh_pick = self.pick_refresh(d, now);
        }
        if let Some(pick) = self.after_cas.take() {
            self.issue_column(d, pick, now, done);
            self.touch_refresh(d, now);
        } else {
            if self.stale != 0 {
                self.settle(d, now);
            }
            self.act(d, now, done);
        }
        if let Some(rest) = &mut self.rest
            && d.issued_at == now
        {
            rest.last_command = now;
        }
        self.update_mode();
        self.settle(d, now + 1);
        self.wake = if self.after_cas.is_some() || self.act2.is_some() {
            now + 1
        } else {
            let pick = self.column_at.min(self.row().clock).min(self.refresh_pick.clock);
            pick.min(self.refresh.next_due).max(now + 1)
        };
    }

    #[inline]
    fn update_mode(&mut self) {
        let (reads, writes) = (self.queues[0].len, self.queues[1].len);
        let mode = if self.mode == 0 {
            writes >= self.high || (reads == 0 && writes > 0)
        } else {
            writes > 0 && (writes > self.low || reads == 0)
        } as usize;
        if mode != self.mode {
            self.mode = mode;
            self.forget();
        }
    }

    /// Every pick must be made anew.
    fn forget(&mut self) {
        self.stale = COLUMN | PRECHARGE | ACTIVATE;
    }

    /// The earlier of the row commands, the older request's if both could issue.
    #[inline]
    fn row(&self) -> &Pick {
        let (p, a) = (&self.precharge, &self.activate);
        if (a.clock, a.position) < (p.clock, p.position) { a } else { p }
    }

    /// Makes the touched picks anew; nothing can issue before `from`.
    #[inline(never)]
    fn settle(&mut self, d: &Device, from: u64) {
        // between ACT1 and ACT2 no other activate may come: that pick stays touched until then
        let later = if self.act2.is_some() { self.stale & ACTIVATE } else { 0 };
        let stale = self.stale & !later;
        if stale == 0 {
            return;
        }
        self.stale = later;
        if stale & COLUMN != 0 {
            self.column = self.pick_column(d, from);
            self.time_column(d, from);
        }
        if stale & PRECHARGE != 0 {
            self.precharge = self.pick_precharge(d, from);
        }
        if stale & ACTIVATE != 0 {
            self.activate = self.pick_activate(d, from);
        }
    }

    #[inline]
    fn time_column(&mut self, d: &Device, from: u64) {
        let clock = self.column.clock;
        self.column_at = clock;
        if d.data_clock_hold.is_some() && clock >= d.data_clock_until && clock != u64::MAX {
            let cas =
                if self.column.command == Command::Write { Command::CasWrite } else { Command::CasRead };
            self.column_at = (clock - 1).max(d.timing.earliest(self.column.bank as usize, cas)).max(from);
        }
    }

    /// Takes a request into its queue; it may cause a command at `from` at the earliest.
    #[inline]
    pub(crate) fn insert(&mut self, d: &mut Device, entry: Entry, from: u64) {
        if self.rest.is_some() && self.idle() {
            self.rouse(d, from);
        }
        self.offer(d, entry, from);
        self.update_mode();
        let wake = if self.stale != 0 {
            from
        } else {
            self.column_at.min(self.precharge.clock).min(self.activate.clock)
        };
        self.wake = self.wake.min(wake);
    }

    /// Whether nothing waits and nothing is half done.
    fn idle(&self) -> bool {
        let queued = self.queues[0].len + self.queues[1].len;
        queued == 0 && self.after_cas.is_none() && self.act2.is_none() && self.refresh.wanted == 0
    }

    /// Leaves power-down or self-refresh, if the channel was in either, for a command at `now` or later.
    fn rouse(&mut self, d: &mut Device, now: u64) {
        let Some(rest) = &mut self.rest else { return };
        let mut counters = d.counters;
        if let Some(since) = rest.asleep.take() {
            d.rest(&mut counters, since, now, true);
            d.issue_channel(Command::SelfRefreshExit, now);
            let exit = rest.self_refresh.map_or(0, |(_, exit)| exit);
            d.timing.hold(now + exit);
            self.refresh.resume(now);
        } else if now > rest.last_command + rest.after {
            d.rest(&mut counters, rest.last_command + rest.after, now, false);
            d.timing.hold(now + rest.exit);
        } else {
            return;
        }
        rest.last_command = now;
        d.counters = counters;
        self.forget();
        self.wake = self.wake.min(now);
    }

    /// A refresh falls due while the channel is idle: true if the device takes over from here.
    fn fall_asleep(&mut self, d: &mut Device, now: u64) -> bool {
        if self.rest.is_none() || !self.idle() {
            return false;
        }
        if let Some(rest) = &mut self.rest
            && let Some((after, _)) = rest.self_refresh
            && d.open == 0
            && now >= rest.last_data + after
        {
            let mut counters = d.counters;
            d.rest(&mut counters, rest.last_command + rest.after, now, false);
            counters.self_refreshes += 1;
            d.counters = counters;
            d.issue_channel(Command::SelfRefreshEnter, now);
            rest.asleep = Some(now);
            self.refresh.suspend();
            return true;
        }
        self.rouse(d, now);
        false
    }

    /// Power-down or self-refresh that lasts until `now`.
    pub(crate) fn count_rest(&self, d: &Device, c: &mut Counters, now: u64) {
        if let Some(rest) = &self.rest
            && self.idle()
        {
            match rest.asleep {
                Some(since) => d.rest(c, since, now, true),
                None => d.rest(c, rest.last_command + rest.after, now, false),
            }
        }
    }

    #[inline]
    fn offer(&mut self, d: &Device, entry: Entry, now: u64) {
        let side = entry.write as usize;
        let bank = entry.bank as usize;
        let bit = 1u64 << bank;
        let hit = d.hits(bank, entry.row);
        let queue = &mut self.queues[side];
        let (had, had_hit) = (queue.banks & bit != 0, queue.hit_banks & bit != 0);
        let (position, renumbered) = queue.push(entry, hit);
        if self.closed_page && self.precharge.bank == entry.bank {
            self.stale |= PRECHARGE;
        }
        if renumbered && let Some(pick) = &mut self.after_cas {
            pick.position = queue.oldest_hit(pick.bank as usize) as u8;
        }
        if side != self.mode {
            return;
        }
        if renumbered {
            self.forget();
        } else if self.blocked & bit != 0 {
            return;
        } else if hit {
            if !had_hit && (self.capped & bit == 0 || !had) {
                if self.precharge.bank == entry.bank {
                    self.stale |= PRECHARGE;
                }
                if self.stale & COLUMN == 0 {
                    let command = column_command(side);
                    let clock = d.timing.earliest(bank, command).max(now);
                    let before = self.column.clock;
                    self.column.offer(clock, command, bank, position);
                    if self.column.clock != before {
                        self.time_column(d, now);
                    }
                }
            }
        } else if !had && d.activating & bit == 0 {
            if d.open & bit != 0 {
                self.offer_precharge(d, bank, position, now);
            } else {
                self.offer_activate(d, bank, position, now);
            }
        }
    }

    #[inline]
    fn offer_precharge(&mut self, d: &Device, bank: usize, position: u32, from: u64) {
        if self.stale & PRECHARGE == 0 {
            let clock = d.timing.earliest(bank, Command::Precharge).max(from);
            self.precharge.offer(clock, Command::Precharge, bank, position);
        }
    }

    #[inline]
    fn offer_activate(&mut self, d: &Device, bank: usize, position: u32, from: u64) {
        if self.stale & ACTIVATE == 0 {
            let clock = d.timing.earliest(bank, Command::Activate).max(from);
            self.activate.offer(clock, Command::Activate, bank, position);
        }
    }

    /// Banks whose hits have had their share while an older request waits for another row.
    #[inline]
    fn overdue(&self, q: &Queue) -> u64 {
        let mut rest = if q.all_hit() { 0 } else { q.hit_banks & self.capped };
        let mut out = 0;
        while rest != 0 {
            let bank = rest.trailing_zeros() as usize;
            if q.oldest(bank) < q.oldest_hit(bank) {
                out |= 1 << bank;
            }
            rest &= rest - 1;
        }
        out
    }

    #[inline(always)]
    fn pick_column(&self, d: &Device, from: u64) -> Pick {
        let q = &self.queues[self.mode];
        if q.hits == 0 {
            return Pick::NOTHING;
        }
        let command = column_command(self.mode);
        let floor = d.timing.channel_earliest(command).max(from);
        let capped = q.hit_banks & self.capped != 0 && !q.all_hit();
        if !capped && q.hit_banks & self.blocked == 0 {
            // the oldest hit of all, if it need not wait longer than the bus itself
            let position = q.hits.trailing_zeros();
            let bank = q.entry(position).bank;
            if d.timing.earliest_below(bank as usize, command) <= floor {
                return Pick { clock: floor, command, bank, position: position as u8 };
            }
        }
        self.pick_column_among(d, floor)
    }

    #[inline(never)]
    fn pick_column_among(&self, d: &Device, floor: u64) -> Pick {
        let q = &self.queues[self.mode];
        let command = column_command(self.mode);
        let mut rest = q.hit_banks & !self.blocked & !self.overdue(q);
        let mut best = Pick::NOTHING;
        while rest != 0 {
            let bank = rest.trailing_zeros() as usize;
            best.offer(d.timing.earliest_below(bank, command).max(floor), command, bank, q.oldest_hit(bank));
            rest &= rest - 1;
        }
        best
    }

    fn pick_precharge(&self, d: &Device, from: u64) -> Pick {
        let q = &self.queues[self.mode];
        let mut best = Pick::NOTHING;
        let mut rest = q.banks & d.open & !self.blocked & (!q.hit_banks | self.overdue(q));
        let floor = d.timing.channel_earliest(Command::Precharge).max(from);
        while rest != 0 {
            let bank = rest.trailing_zeros() as usize;
            let clock = d.timing.earliest_below(bank, Command::Precharge).max(floor);
            best.offer(clock, Command::Precharge, bank, q.oldest(bank));
            rest &= rest - 1;
        }
        if self.closed_page {
            let mut idle =
                d.open & !self.blocked & !self.queues[0].hit_banks & !self.queues[1].hit_banks & !q.banks;
            while idle != 0 {
                let bank = idle.trailing_zeros() as usize;
                let clock = d.timing.earliest_below(bank, Command::Precharge).max(floor);
                best.offer(clock, Command::Precharge, bank, IDLE);
                idle &= idle - 1;
            }
        }
        best
    }

    fn pick_activate(&self, d: &Device, from: u64) -> Pick {
        let q = &self.queues[self.mode];
        let mut best = Pick::NOTHING;
        let mut rest = q.banks & !self.blocked & !d.activating & !d.open;
        if rest == 0 {
            return best;
        }
        let command = Command::Activate;
        let floor = d.timing.channel_earliest(command).max(from);
        while rest != 0 {
            let bank = rest.trailing_zeros() as usize;
            let clock = d.timing.earliest_below(bank, command).max(floor);
            best.offer(clock, command, bank, q.oldest(bank));
            rest &= rest - 1;
        }
        best
    }

    /// First refresh, or precharge before one, that can issue; `bank` is the scope for commands to a scope.
    fn pick_refresh(&self, d: &Device, from: u64) -> Pick {
        let mut best = Pick::NOTHING;
        let mut rest = self.refresh.wanted;
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if self.refresh.per_bank {
                let bit = 1u64 << index;
                if d.activating & bit == 0 {
                    let command = if d.open & bit != 0 { Command::Precharge } else { Command::RefreshBank };
                    best.offer(d.timing.earliest(index, command).max(from), command, index, 0);
                }
                continue;
            }
            let banks = d.timing.scope_banks()[index];
            if d.activating & banks != 0 {
                continue;
            }
            let mut open = d.open & banks;
            if open == 0 {
                let clock = d.timing.earliest_scope(index, Command::RefreshAll).max(from);
                best.offer(clock, Command::RefreshAll, index, 0);
            } else if self.precharge_all {
                let clock = d.timing.earliest_scope(index, Command::PrechargeAll).max(from);
                best.offer(clock, Command::PrechargeAll, index, 0);
            } else {
                while open != 0 {
                    let bank = open.trailing_zeros() as usize;
                    best.offer(
                        d.timing.earliest(bank, Command::Precharge).max(from),
                        Command::Precharge,
                        bank,
                        0,
                    );
                    open &= open - 1;
                }
            }
        }
        best
    }

    fn block(&mut self, d: &Device) {
        let before = self.blocked;
        self.blocked = 0;
        let mut rest = self.refresh.wanted;
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            self.blocked |= if self.refresh.per_bank { 1 << index } else { d.timing.scope_banks()[index] };
            rest &= rest - 1;
        }
        if self.blocked != before {
            self.forget();
        }
    }

    /// Issues what is best at `now`.
    fn act(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) {
        // the command bus has one slot per clock, HBM has a row and a column slot
        let (mut row_slot, mut column_slot) = (true, true);
        if self.refresh_pick.clock <= now {
            self.issue_refresh(d, now);
            (row_slot, column_slot) = (false, self.dual);
        }
        if let Some((bank, deadline)) = self.act2
            && row_slot
            && now + 1 >= deadline
        {
            self.issue_act2(d, bank, now);
            (row_slot, column_slot) = (false, self.dual);
        }
        if self.column_at <= now {
            if column_slot && self.stale & COLUMN == 0 {
                row_slot &= self.dual;
                if self.column.clock >= d.data_clock_until && d.data_clock_hold.is_some() {
                    let entry = *self.queues[self.mode].entry(self.column.position as u32);
                    let command = if entry.write { Command::CasWrite } else { Command::CasRead };
                    d.issue(command, entry.bank as usize, entry.row, entry.column, now);
                    self.after_cas = Some(self.column);
                } else {
                    self.issue_column(d, self.column, now, done);
                }
            }
            self.stale |= COLUMN;
        }
        if row_slot && self.stale & (PRECHARGE | ACTIVATE) != 0 {
            let column = self.stale & COLUMN;
            self.stale &= !COLUMN;
            self.settle(d, now);
            self.stale |= column;
        }
        let row = *self.row();
        if row.clock <= now {
            if row_slot {
                self.issue_row(d, row, now);
                row_slot = false;
            } else {
                self.stale |= PRECHARGE | ACTIVATE;
            }
        }
        if let Some((bank, _)) = self.act2
            && row_slot
        {
            self.issue_act2(d, bank, now);
        }
        self.touch_refresh(d, now);
    }

    /// Any command may have moved the refresh that waits.
    #[inline]
    fn touch_refresh(&mut self, d: &Device, now: u64) {
        if self.refresh.wanted != 0 {
            self.refresh_pick = self.pick_refresh(d, now + 1);
        }
    }

    fn issue_refresh(&mut self, d: &mut Device, now: u64) {
        let Pick { command, bank, .. } = self.refresh_pick;
        let index = bank as usize;
        let closed = match command {
            Command::Precharge => {
                d.issue(command, index, NO_ROW, NO_ROW, now);
                1u64 << index
            }
            Command::PrechargeAll => {
                d.issue_scope(command, index, now);
                d.timing.scope_banks()[index]
            }
            Command::RefreshBank => {
                d.issue(command, index, NO_ROW, NO_ROW, now);
                0
            }
            _ => {
                d.issue_scope(command, index, now);
                0
            }
        };
        if closed != 0 {
            self.closed(closed);
        } else if self.refresh.issued(index) {
            self.block(d);
        }
        self.refresh_pick = Pick::NOTHING;
        self.forget();
    }

    fn closed(&mut self, banks: u64) {
        self.queues[0].close(banks);
        self.queues[1].close(banks);
        self.capped &= !banks;
    }

    fn issue_act2(&mut self, d: &mut Device, bank: u8, now: u64) {
        self.act2 = None;
        let row = d.open_row[bank as usize];
        d.issue(Command::Activate2, bank as usize, row, 0, now);
        self.opened(d, bank as usize, now);
        self.stale |= ACTIVATE;
        self.cross(d, Class::Activate);
    }

    /// A command of this class issued: the picks it may have delayed in other banks must be made anew.
    #[inline]
    fn cross(&mut self, d: &Device, class: Class) {
        self.stale |= d.timing.crosses[class as usize];
    }

    fn opened(&mut self, d: &Device, bank: usize, now: u64) {
        let row = d.open_row[bank];
        self.queues[0].open(bank, row);
        self.queues[1].open(bank, row);
        self.served[bank & 63] = 0;
        let q = &self.queues[self.mode];
        if self.stale & COLUMN != 0 || self.blocked >> bank & 1 != 0 || q.hit_banks >> bank & 1 == 0 {
            return;
        }
        let command = column_command(self.mode);
        let clock = d.timing.earliest(bank, command).max(now + 1);
        self.column.offer(clock, command, bank, q.oldest_hit(bank));
        self.time_column(d, now + 1);
    }

    fn issue_row(&mut self, d: &mut Device, pick: Pick, now: u64) {
        let Pick { command, position, .. } = pick;
        let position = position as u32;
        let bank = pick.bank as usize;
        if command == Command::Precharge {
            self.stale |= PRECHARGE;
            let (row, column) = if position == IDLE && self.queues[self.mode].banks >> bank & 1 == 0 {
                (NO_ROW, NO_ROW)
            } else {
                let entry = self.queues[self.mode].entry_mut(position);
                entry.precharged = true;
                (entry.row, entry.column)
            };
            d.issue(command, bank, row, column, now);
            self.closed(1 << bank);
            if self.queues[self.mode].banks >> bank & 1 != 0 {
                self.offer_activate(d, bank, self.queues[self.mode].oldest(bank), now + 1);
            }
            return self.cross(d, Class::Precharge);
        }
        self.stale |= ACTIVATE;
        let entry = self.queues[self.mode].entry_mut(position);
        entry.activated = true;
        let (row, column) = (entry.row, entry.column);
        d.issue(command, bank, row, column, now);
        if d.split {
            self.act2 = Some((bank as u8, now + self.split_deadline));
            self.activate = Pick::NOTHING;
        } else {
            self.opened(d, bank, now);
        }
        self.cross(d, Class::Activate);
    }

    #[inline(never)]
    fn issue_column(&mut self, d: &mut Device, pick: Pick, now: u64, done: &mut Vec<Completion>) {
        self.issue_column_here(d, pick, now, done);
    }

    #[inline(always)]
    fn issue_column_here(&mut self, d: &mut Device, pick: Pick, now: u64, done: &mut Vec<Completion>) {
        let q = &mut self.queues[(pick.command == Command::Write) as usize];
        let entry = *q.entry(pick.position as u32);
        let bank = entry.bank as usize;
        d.issue_data(entry.write, bank, entry.row, entry.column, now);
        let c = &mut d.counters;
        if entry.precharged {
            c.row_conflicts += 1;
        } else if entry.activated {
            c.row_misses += 1;
        } else if entry.write {
            c.write_row_hits += 1;
        } else {
            c.read_row_hits += 1;
        }
        if let Some(rest) = &mut self.rest {
            rest.last_data = now;
        }
        let latency = if entry.write { d.write_latency } else { d.read_latency };
        done.push(Completion { tag: entry.tag, write: entry.write, ready: now + latency });
        q.remove(pick.position as u32);
        let bit = 1u64 << bank;
        let (any, hit) = (q.banks & bit != 0, q.hit_banks & bit != 0);
        self.stale |= COLUMN;
        self.served[bank & 63] += 1;
        if self.served[bank & 63] == self.cap {
            self.capped |= bit;
            self.stale |= if q.all_hit() { 0 } else { PRECHARGE };
        }
        if hit && self.capped & bit != 0 && q.oldest(bank) < q.oldest_hit(bank) {
            // an older request for another row is next in this bank, and its hits have had their share
            self.stale |= PRECHARGE;
        }
        if !hit {
            if self.closed_page {
                self.stale |= PRECHARGE;
            } else if any && self.blocked & bit == 0 {
                let position = q.oldest(bank);
                self.offer_precharge(d, bank, position, now + 1);
            }
        }
        if self.precharge.bank == entry.bank {
            self.stale |= PRECHARGE;
        }
        self.cross(d, Class::Column);
    }
}

#[inline]
fn column_command(side: usize) -> Command {
    if side == 0 { Command::Read } else { Command::Write }
}
