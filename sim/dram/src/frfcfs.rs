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
//! touches it, so running every clock and running only at the returned clocks are the same by construction. Where a
//! command only makes all banks wait alike, the clock is known at once and the rest is asked when it comes (`late`).

use crate::command::Command;
use crate::controller::{Completion, Inbox};
use crate::device::Device;
use crate::first::{First, NEVER};
use crate::policy::{Page, Policy};
use crate::queue::{Entry, Queue};
use crate::refresh::Refresh;
use crate::standard::Standard;
use crate::timing::Class;

mod issue;
mod pick;
mod rest;
mod walk;

use pick::Pick;
use rest::Rest;

const NONE: u32 = 64;
const COLUMN: u8 = 1 << Class::Column as u8;
const ACTIVATE: u8 = 1 << Class::Activate as u8;
const PRECHARGE: u8 = 1 << Class::Precharge as u8;
/// Position of a precharge that no request asks for: behind them all.
const IDLE: u32 = 64;

#[derive(Debug, Clone)]
pub(crate) struct FrFcfs {
    /// Next clock at which a step does anything.
    pub(crate) wake: u64,
    queues: [Queue; 2],
    /// 0 serves reads, 1 writes.
    mode: usize,
    column: First,
    /// Clock at which the column pick acts: a synchronisation comes one clock before its command.
    column_at: u64,
    precharge: First,
    activate: First,
    /// Picks that an event has touched, a bit per class.
    stale: u8,
    /// Picks of which only the clock is known, and that nothing comes before it: what it is is asked then.
    late: u8,
    /// The command that must follow the CAS of the clock before.
    after_cas: Option<Pick>,
    act2: Option<(u8, u64)>,
    pub(crate) refresh: Refresh,
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

impl FrFcfs {
    pub(crate) fn new(s: &Standard, p: &Policy) -> FrFcfs {
        let refresh = Refresh::new(s, p);
        FrFcfs {
            wake: refresh.next_due,
            queues: [Queue::new(), Queue::new()],
            mode: 0,
            column: First::NOTHING,
            column_at: NEVER,
            precharge: First::NOTHING,
            activate: First::NOTHING,
            stale: 0,
            late: 0,
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

    pub(crate) fn is_draining(&self) -> bool {
        self.mode == 1
    }

    pub(crate) fn len(&self, write: bool) -> u32 {
        self.queues[write as usize].len
    }

    pub(crate) fn hint(&mut self, now: u64, device: &mut Device) {
        let idle = self.idle();
        let news = self.refresh.hint(now);
        self.refresh_news(device, now, idle, news);
    }

    pub(crate) fn restart(&mut self, now: u64, device: &mut Device) {
        let idle = self.idle();
        let news = self.refresh.restart(now);
        self.refresh_news(device, now, idle, news);
    }

    /// There is a refresh to issue that was not there before.
    fn refresh_news(&mut self, device: &mut Device, now: u64, idle: bool, news: bool) {
        if news {
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

    #[inline(always)]
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
        let calm = now < self.refresh.next_due
            && self.refresh.wanted == 0
            && self.after_cas.is_none()
            && self.rest.is_none();
        if calm && self.act_alone(d, now, done) {
            return self.wake;
        }
        self.run(d, now, done);
        self.wake
    }

    /// The common case: no refresh and no synchronisation is near, and one command is to issue at `now`. Does what
    /// [`FrFcfs::run`] would, or nothing, and says which.
    #[inline(always)]
    fn act_alone(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) -> bool {
        self.settle(d, now);
        let late = self.due_late(now);
        if late != 0 {
            self.stale |= late;
            self.settle(d, now);
        }
        let row_due = self.precharge.min(self.activate).clock() <= now;
        if self.column_at <= now {
            let unlike = self.act2.is_some()
                || d.data_clock_hold.is_some() && self.column.clock() >= d.data_clock_until;
            if unlike {
                return false;
            }
            self.issue_column_here(d, self.column.position(), self.mode, now, done);
            if self.dual {
                // the row command of the same clock
                self.stale &= !COLUMN;
                self.settle(d, now);
                if self.precharge.min(self.activate).clock() <= now {
                    self.issue_row(d, now);
                }
                self.stale |= COLUMN;
            } else if row_due {
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
        } else {
            match self.act2 {
                Some((_, deadline)) if row_due && now + 1 >= deadline => return false,
                Some((bank, _)) if !row_due => self.issue_act2(d, bank, now),
                _ if row_due => self.issue_row(d, now),
                _ => return false,
            }
            self.settle(d, now + 1);
            if self.act2.is_some() {
                self.wake = now + 1;
                return true;
            }
        }
        self.wake = self.soonest().min(self.refresh.next_due).max(now + 1);
        true
    }

    #[inline(never)]
    fn run(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) {
        if now >= self.refresh.next_due && !self.fall_asleep(d, now) && self.refresh.fall_due(now) {
            self.block(d);
            self.refresh_pick = self.pick_refresh(d, now);
        }
        if let Some(pick) = self.after_cas.take() {
            let side = (pick.command == Command::Write) as usize;
            self.issue_column(d, pick.position.into(), side, now, done);
            self.touch_refresh(d, now);
        } else {
            self.settle(d, now);
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
            self.soonest().min(self.refresh_pick.clock).min(self.refresh.next_due).max(now + 1)
        };
    }

    #[inline]
    fn update_mode(&mut self) {
        let (reads, writes) = (self.queues[0].len, self.queues[1].len);
        if self.mode as u32 | writes == 0 {
            return;
        }
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
        self.late = 0;
    }

    /// The first clock at which a pick acts.
    #[inline]
    fn soonest(&self) -> u64 {
        let clock = self.column_at.min(self.precharge.min(self.activate).clock());
        if clock == NEVER { u64::MAX } else { clock }
    }

    /// Makes the touched picks anew; nothing can issue before `from`.
    #[inline(always)]
    fn settle(&mut self, d: &Device, from: u64) {
        // between ACT1 and ACT2 no other activate may come: that pick stays touched until then
        let later = if self.act2.is_some() { ACTIVATE } else { 0 };
        let stale = self.stale & !later;
        if stale != 0 {
            self.stale &= later;
            self.late &= !stale;
            self.pick(d, stale, from);
        }
    }

    #[inline(never)]
    fn pick(&mut self, d: &Device, stale: u8, from: u64) {
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

    /// Takes a request into its queue; it may cause a command at `from` at the earliest.
    #[inline]
    pub(crate) fn insert(&mut self, d: &mut Device, entry: Entry, from: u64) {
        if self.rest.is_some() && self.idle() {
            self.rouse(d, from);
        }
        self.offer_request(d, entry, from);
        self.update_mode();
        let wake = if self.stale != 0 {
            from
        } else {
            // a pick that lost its clock to another command keeps it
            self.soonest().max(from)
        };
        self.wake = self.wake.min(wake);
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
}

#[inline]
fn column_command(side: usize) -> Command {
    if side == 0 { Command::Read } else { Command::Write }
}
