//! The device behind a controller: which rows are open, when each command may issue, and what was issued.

use crate::canon::Canon;
use crate::command::Command;
use crate::counters::Counters;
use crate::standard::Standard;
use crate::timing::Timing;

/// Row and column of commands that concern none.
pub const NO_ROW: u32 = u32::MAX;

/// One issued command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Command clock.
    pub clock: u64,
    /// The command.
    pub command: Command,
    /// Flat bank number, or the refresh scope's number for commands to a whole scope.
    pub bank: u16,
    /// Row of the request that caused it, or [`NO_ROW`].
    pub row: u32,
    /// Burst within the row, or [`NO_ROW`].
    pub column: u32,
}

/// Bank states, timing and counters; controllers issue through it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) timing: Timing,
    pub(crate) open_row: [u32; 64],
    /// Banks with an open row.
    pub(crate) open: u64,
    /// Banks between ACT1 and ACT2.
    pub(crate) activating: u64,
    pub(crate) split: bool,
    pub(crate) counters: Counters,
    pub(crate) log: Option<Vec<Issued>>,
    /// Clock of the last command.
    pub(crate) issued_at: u64,
    pub(crate) read_latency: u64,
    pub(crate) write_latency: u64,
    burst: u64,
    scope_of: Vec<u8>,
    /// Clock of the last change between all closed and some open, per scope.
    since: Vec<u64>,
    pub(crate) data_clock_hold: Option<(u64, u64)>,
    /// Clock at which the data clock falls out of synchronisation.
    pub(crate) data_clock_until: u64,
}

impl Device {
    pub(crate) fn new(s: &Standard, used: u16) -> Device {
        let timing = Timing::new(s, used);
        let scopes = timing.scope_banks().len();
        let banks = s.banks() as usize;
        Device {
            timing,
            open_row: [0; 64],
            open: 0,
            activating: 0,
            split: s.act2_deadline.is_some(),
            counters: Counters::default(),
            log: None,
            issued_at: 0,
            read_latency: s.read_latency,
            write_latency: s.write_latency,
            burst: s.burst,
            scope_of: (0..banks).map(|b| (b * scopes / banks) as u8).collect(),
            since: vec![0; scopes],
            data_clock_hold: s.data_clock_hold,
            data_clock_until: 0,
        }
    }

    #[inline]
    pub(crate) fn is_open(&self, bank: usize) -> bool {
        self.open >> bank & 1 != 0
    }

    /// Whether a column command to this row needs no other command before it.
    #[inline]
    pub(crate) fn hits(&self, bank: usize, row: u32) -> bool {
        self.is_open(bank) && self.open_row[bank & 63] == row
    }

    #[inline]
    fn record(&mut self, clock: u64, command: Command, bank: usize, row: u32, column: u32) {
        self.issued_at = clock;
        if let Some(log) = &mut self.log {
            log.push(Issued { clock, command, bank: bank as u16, row, column });
        }
    }

    /// Issues a read or a write.
    #[inline(always)]
    pub(crate) fn issue_data(&mut self, write: bool, bank: usize, row: u32, column: u32, now: u64) {
        let command = if write { Command::Write } else { Command::Read };
        debug_assert!(
            self.timing.earliest(bank, command) <= now,
            "{command:?} to bank {bank} at {now} is too early"
        );
        debug_assert!(self.hits(bank, row), "{command:?} to a closed row");
        self.timing.issue(bank, command, now);
        self.counters.reads += !write as u64;
        self.counters.writes += write as u64;
        self.counters.data_clocks += self.burst;
        if let Some((read, written)) = self.data_clock_hold {
            self.data_clock_until = self.data_clock_until.max(now + if write { written } else { read });
        }
        self.record(now, command, bank, row, column);
    }

    /// Issues a command that moves no data to one bank.
    #[inline(always)]
    pub(crate) fn issue(&mut self, command: Command, bank: usize, row: u32, column: u32, now: u64) {
        debug_assert!(
            self.timing.earliest(bank, command) <= now,
            "{command:?} to bank {bank} at {now} is too early"
        );
        self.timing.issue(bank, command, now);
        match command {
            Command::Activate => {
                self.counters.activates += 1;
                self.opening(bank, now);
                self.open_row[bank & 63] = row;
                if self.split {
                    self.activating |= 1 << bank;
                } else {
                    self.open |= 1 << bank;
                }
            }
            Command::Activate2 => {
                self.activating &= !(1 << bank);
                self.open |= 1 << bank;
            }
            Command::Precharge => {
                self.counters.precharges += 1;
                self.open &= !(1 << bank);
                self.closing(self.scope_of[bank] as usize, now);
            }
            Command::RefreshBank => self.counters.bank_refreshes += 1,
            Command::CasRead | Command::CasWrite => self.counters.cas_sync += 1,
            _ => unreachable!("{command:?} is not issued this way"),
        }
        self.record(now, command, bank, row, column);
    }

    /// Issues a command to a whole refresh scope.
    pub(crate) fn issue_scope(&mut self, command: Command, scope: usize, now: u64) {
        debug_assert!(self.timing.earliest_scope(scope, command) <= now, "{command:?} at {now} is too early");
        self.timing.issue_scope(scope, command, now);
        if command == Command::PrechargeAll {
            self.counters.precharges += 1;
            self.counters.precharge_alls += 1;
            self.open &= !self.timing.scope_banks()[scope];
            self.closing(scope, now);
        } else {
            self.counters.refreshes += 1;
        }
        self.record(now, command, scope, NO_ROW, NO_ROW);
    }

    /// Walks rows and timing; the background goes on from where it is.
    pub(crate) fn walk(&mut self, c: &mut Canon) {
        c.exact(&mut self.open);
        c.exact(&mut self.activating);
        let mut rest = self.open | self.activating;
        while rest != 0 {
            c.row(&mut self.open_row[rest.trailing_zeros() as usize]);
            rest &= rest - 1;
        }
        self.timing.walk(c);
        c.clock(&mut self.data_clock_until);
        if c.reading() {
            self.since.fill(c.now);
        }
    }

    fn opening(&mut self, bank: usize, now: u64) {
        let scope = self.scope_of[bank] as usize;
        if (self.open | self.activating) & self.timing.scope_banks()[scope] == 0 {
            self.counters.precharged_clocks += now - self.since[scope];
            self.since[scope] = now;
        }
    }

    fn closing(&mut self, scope: usize, now: u64) {
        if (self.open | self.activating) & self.timing.scope_banks()[scope] == 0 {
            self.counters.active_clocks += now - self.since[scope];
            self.since[scope] = now;
        }
    }

    /// Counts power-down or self-refresh clocks of every scope.
    pub(crate) fn rest(&self, c: &mut Counters, from: u64, to: u64, self_refresh: bool) {
        let clocks = to.saturating_sub(from);
        for banks in self.timing.scope_banks() {
            if self_refresh {
                c.self_refresh_clocks += clocks;
            } else if self.open & banks != 0 {
                c.active_power_down_clocks += clocks;
            } else {
                c.precharged_power_down_clocks += clocks;
            }
        }
    }

    /// Records a command to the whole channel.
    pub(crate) fn issue_channel(&mut self, command: Command, now: u64) {
        self.record(now, command, 0, NO_ROW, NO_ROW);
    }

    /// Counters with the background of every scope brought up to `now` (exclusive).
    pub(crate) fn counters_at(&self, now: u64) -> Counters {
        let mut c = self.counters;
        for (scope, banks) in self.timing.scope_banks().iter().enumerate() {
            let clocks = now.saturating_sub(self.since[scope]);
            if (self.open | self.activating) & banks == 0 {
                c.precharged_clocks += clocks;
            } else {
                c.active_clocks += clocks;
            }
        }
        c
    }
}
