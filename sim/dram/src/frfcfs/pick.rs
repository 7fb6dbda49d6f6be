//! What could issue first: a pick per class of commands, kept until an event touches it.

use super::{ACTIVATE, COLUMN, FrFcfs, IDLE, NONE, PRECHARGE, column_command};
use crate::command::Command;
use crate::device::Device;
use crate::first::{First, NEVER};
use crate::queue::{Entry, Queue, Renumbered};

/// A command to come; the bank is the scope's number for commands to a whole scope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) clock: u64,
    pub(super) command: Command,
    pub(super) bank: u8,
    pub(super) position: u8,
}

impl Pick {
    pub(super) const NOTHING: Pick =
        Pick { clock: u64::MAX, command: Command::Read, bank: u8::MAX, position: NONE as u8 };

    /// Takes `other` if it comes first.
    fn offer(&mut self, clock: u64, command: Command, bank: usize) {
        if clock < self.clock {
            *self = Pick { clock, command, bank: bank as u8, position: 0 };
        }
    }
}

impl FrFcfs {
    #[inline]
    pub(super) fn offer_request(&mut self, d: &Device, entry: Entry, now: u64) {
        let side = entry.write as usize;
        let bank = entry.bank as usize;
        let bit = 1u64 << bank;
        let hit = d.hits(bank, entry.row);
        let queue = &mut self.queues[side];
        let (had, had_hit) = (queue.banks & bit != 0, queue.hit_banks & bit != 0);
        let (position, renumbered) = queue.push(entry, hit);
        if let Some(renumbered) = renumbered {
            self.renumber(renumbered, side);
        }
        if self.closed_page && self.precharge.bank() == bank {
            self.stale |= PRECHARGE;
        }
        if side != self.mode {
            return;
        }
        if self.blocked & bit != 0 {
            // it waits for the refresh
        } else if hit {
            if !had_hit && (self.capped & bit == 0 || !had) {
                if self.precharge.bank() == bank {
                    self.stale |= PRECHARGE;
                }
                if (self.stale | self.late) & COLUMN == 0 {
                    let command = column_command(side);
                    let clock = d.timing.earliest(bank, command).max(now);
                    let before = self.column.clock();
                    self.column.offer(First::new(clock, position, bank));
                    if self.column.clock() != before {
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

    /// The picks that remember positions of this queue.
    fn renumber(&mut self, renumbered: Renumbered, side: usize) {
        if side == self.mode {
            for pick in [&mut self.column, &mut self.precharge, &mut self.activate] {
                if pick.position() < IDLE {
                    *pick = First::new(pick.clock(), renumbered.of(pick.position()), pick.bank());
                }
            }
        }
        if let Some(pick) = &mut self.after_cas
            && (pick.command == Command::Write) as usize == side
        {
            pick.position = renumbered.of(pick.position.into()) as u8;
        }
    }

    #[inline]
    pub(super) fn offer_precharge(&mut self, d: &Device, bank: usize, position: u32, from: u64) {
        if (self.stale | self.late) & PRECHARGE == 0 {
            let clock = d.timing.earliest(bank, Command::Precharge).max(from);
            self.precharge.offer(First::new(clock, position, bank));
        }
    }

    #[inline]
    pub(super) fn offer_activate(&mut self, d: &Device, bank: usize, position: u32, from: u64) {
        if (self.stale | self.late) & ACTIVATE == 0 {
            let clock = d.timing.earliest(bank, Command::Activate).max(from);
            self.activate.offer(First::new(clock, position, bank));
        }
    }

    /// Banks whose hits have had their share while an older request waits for another row.
    #[inline]
    pub(super) fn overdue(&self, q: &Queue) -> u64 {
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
    pub(super) fn pick_column(&self, d: &Device, from: u64) -> First {
        let q = &self.queues[self.mode];
        if q.hits == 0 {
            return First::NOTHING;
        }
        let command = column_command(self.mode);
        let floor = d.timing.channel_earliest(command).max(from);
        let capped = q.hit_banks & self.capped != 0 && !q.all_hit();
        if !capped && q.hit_banks & self.blocked == 0 {
            // the oldest hit of all, if it need not wait longer than the bus itself
            let position = q.hits.trailing_zeros();
            let bank = q.entry(position).bank;
            if d.timing.earliest(bank as usize, command) <= floor {
                return First::new(floor, position, bank.into());
            }
        }
        self.pick_column_among(d, floor)
    }

    #[inline(never)]
    pub(super) fn pick_column_among(&self, d: &Device, floor: u64) -> First {
        let q = &self.queues[self.mode];
        let banks = q.hit_banks & !self.blocked & !self.overdue(q);
        d.timing.first(banks, column_command(self.mode), floor, |bank| q.oldest_hit(bank))
    }

    pub(super) fn pick_precharge(&self, d: &Device, from: u64) -> First {
        let q = &self.queues[self.mode];
        let banks = q.banks & d.open & !self.blocked & (!q.hit_banks | self.overdue(q));
        let command = Command::Precharge;
        let floor = d.timing.channel_earliest(command).max(from);
        let mut best = d.timing.first(banks, command, floor, |bank| q.oldest(bank));
        if self.closed_page {
            let idle =
                d.open & !self.blocked & !self.queues[0].hit_banks & !self.queues[1].hit_banks & !q.banks;
            best.offer(d.timing.first(idle, command, floor, |_| IDLE));
        }
        best
    }

    pub(super) fn pick_activate(&self, d: &Device, from: u64) -> First {
        let q = &self.queues[self.mode];
        let banks = q.banks & !self.blocked & !d.activating & !d.open;
        let command = Command::Activate;
        let floor = d.timing.channel_earliest(command).max(from);
        d.timing.first(banks, command, floor, |bank| q.oldest(bank))
    }

    /// First refresh, or precharge before one, that can issue; `bank` is the scope for commands to a scope.
    pub(super) fn pick_refresh(&self, d: &Device, from: u64) -> Pick {
        let mut best = Pick::NOTHING;
        let mut rest = self.refresh.wanted;
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if self.refresh.per_bank {
                let bit = 1u64 << index;
                if d.activating & bit == 0 {
                    let command = if d.open & bit != 0 { Command::Precharge } else { Command::RefreshBank };
                    best.offer(d.timing.earliest(index, command).max(from), command, index);
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
                best.offer(clock, Command::RefreshAll, index);
            } else if self.precharge_all {
                let clock = d.timing.earliest_scope(index, Command::PrechargeAll).max(from);
                best.offer(clock, Command::PrechargeAll, index);
            } else {
                while open != 0 {
                    let bank = open.trailing_zeros() as usize;
                    best.offer(
                        d.timing.earliest(bank, Command::Precharge).max(from),
                        Command::Precharge,
                        bank,
                    );
                    open &= open - 1;
                }
            }
        }
        best
    }

    #[inline]
    pub(super) fn time_column(&mut self, d: &Device, from: u64) {
        let clock = self.column.clock();
        self.column_at = clock;
        if d.data_clock_hold.is_some() && clock >= d.data_clock_until && clock != NEVER {
            let cas = if self.mode == 1 { Command::CasWrite } else { Command::CasRead };
            self.column_at = (clock - 1).max(d.timing.earliest(self.column.bank(), cas)).max(from);
        }
    }
}
