//! Issuing commands, and what each changes in queues and picks.

use super::{ACTIVATE, COLUMN, FrFcfs, IDLE, PRECHARGE, Pick, column_command};
use crate::command::Command;
use crate::controller::Completion;
use crate::device::{Device, NO_ROW};
use crate::first::First;
use crate::timing::Class;

impl FrFcfs {
    /// Issues what is best at `now`.
    pub(super) fn act(&mut self, d: &mut Device, now: u64, done: &mut Vec<Completion>) {
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
        let late = self.due_late(now);
        if late != 0 {
            self.stale |= late;
            self.settle(d, now);
        }
        if self.column_at <= now {
            if column_slot && self.stale & COLUMN == 0 {
                row_slot &= self.dual;
                let (clock, position) = (self.column.clock(), self.column.position());
                if clock >= d.data_clock_until && d.data_clock_hold.is_some() {
                    let entry = *self.queues[self.mode].entry(position);
                    let command = if entry.write { Command::CasWrite } else { Command::CasRead };
                    d.issue(command, entry.bank as usize, entry.row, entry.column, now);
                    let (command, position) = (column_command(self.mode), position as u8);
                    self.after_cas = Some(Pick { clock, command, bank: entry.bank, position });
                } else {
                    self.issue_column(d, position, self.mode, now, done);
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
        if self.precharge.min(self.activate).clock() <= now {
            if row_slot {
                self.issue_row(d, now);
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
    pub(super) fn touch_refresh(&mut self, d: &Device, now: u64) {
        if self.refresh.wanted != 0 {
            self.refresh_pick = self.pick_refresh(d, now + 1);
        }
    }

    pub(super) fn issue_refresh(&mut self, d: &mut Device, now: u64) {
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

    pub(super) fn closed(&mut self, banks: u64) {
        self.queues[0].close(banks);
        self.queues[1].close(banks);
        self.capped &= !banks;
    }

    pub(super) fn issue_act2(&mut self, d: &mut Device, bank: u8, now: u64) {
        self.act2 = None;
        let row = d.open_row[bank as usize];
        d.issue(Command::Activate2, bank as usize, row, 0, now);
        self.opened(d, bank as usize, now);
        self.stale |= ACTIVATE;
        self.cross(d, Class::Activate);
    }

    /// A command of this class issued: the picks it may have delayed in other banks must be made anew, or, if all banks
    /// wait alike, only when they are due. Whoever was first is ready by then, so this clock is exact.
    #[inline]
    pub(super) fn cross(&mut self, d: &Device, class: Class) {
        self.stale |= d.timing.crosses()[class as usize];
        let raised = d.timing.raises()[class as usize] & !self.stale;
        if raised != 0 {
            self.raise(d, raised);
        }
    }

    fn raise(&mut self, d: &Device, raised: u8) {
        if raised & COLUMN != 0 {
            if d.data_clock_hold.is_some() {
                self.stale |= COLUMN;
            } else {
                let floor = d.timing.channel_earliest(column_command(self.mode));
                if floor > self.column.clock() {
                    self.column = First::something(floor);
                    self.column_at = floor;
                    self.late |= COLUMN;
                }
            }
        }
        if raised & PRECHARGE != 0 {
            let floor = d.timing.channel_earliest(Command::Precharge);
            if floor > self.precharge.clock() {
                self.precharge = First::something(floor);
                self.late |= PRECHARGE;
            }
        }
        if raised & ACTIVATE != 0 {
            let floor = d.timing.channel_earliest(Command::Activate);
            if floor > self.activate.clock() {
                self.activate = First::something(floor);
                self.late |= ACTIVATE;
            }
        }
    }

    /// The picks of which only the clock is known, and it has come.
    #[inline]
    pub(super) fn due_late(&self, now: u64) -> u8 {
        if self.late == 0 {
            return 0;
        }
        let due = |first: First, class: u8| if first.clock() <= now { class } else { 0 };
        let rows = due(self.precharge, PRECHARGE) | due(self.activate, ACTIVATE);
        self.late & (due(self.column, COLUMN) | rows)
    }

    pub(super) fn opened(&mut self, d: &Device, bank: usize, now: u64) {
        let row = d.open_row[bank];
        self.queues[0].open(bank, row);
        self.queues[1].open(bank, row);
        self.served[bank & 63] = 0;
        let q = &self.queues[self.mode];
        if self.blocked >> bank & 1 != 0 {
            return;
        }
        if q.hit_banks >> bank & 1 == 0 {
            // Opened for the other queue, and the mode has changed since: those of this one want another row.
            if q.banks >> bank & 1 != 0 {
                let position = q.oldest(bank);
                self.offer_precharge(d, bank, position, now + 1);
            }
            return;
        }
        if (self.stale | self.late) & COLUMN != 0 {
            return;
        }
        let command = column_command(self.mode);
        let clock = d.timing.earliest(bank, command).max(now + 1);
        self.column.offer(First::new(clock, q.oldest_hit(bank), bank));
        self.time_column(d, now + 1);
    }

    /// The earlier of the row commands, the older request's if both could issue.
    pub(super) fn issue_row(&mut self, d: &mut Device, now: u64) {
        let pick = self.precharge.min(self.activate);
        let (position, bank) = (pick.position(), pick.bank());
        if pick == self.precharge {
            let command = Command::Precharge;
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
        d.issue(Command::Activate, bank, row, column, now);
        if d.split {
            self.act2 = Some((bank as u8, now + self.split_deadline));
            self.activate = First::NOTHING;
        } else {
            self.opened(d, bank, now);
        }
        self.cross(d, Class::Activate);
    }

    #[inline(never)]
    pub(super) fn issue_column(
        &mut self,
        d: &mut Device,
        position: u32,
        side: usize,
        now: u64,
        done: &mut Vec<Completion>,
    ) {
        self.issue_column_here(d, position, side, now, done);
    }

    #[inline(always)]
    pub(super) fn issue_column_here(
        &mut self,
        d: &mut Device,
        position: u32,
        side: usize,
        now: u64,
        done: &mut Vec<Completion>,
    ) {
        let q = &mut self.queues[side & 1];
        let entry = *q.entry(position);
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
        q.remove(position);
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
        if self.precharge.bank() == bank {
            self.stale |= PRECHARGE;
        }
        self.cross(d, Class::Column);
    }
}
