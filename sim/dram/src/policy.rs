//! What a controller may choose freely: queues, scheduling, write drain, pages, refresh, address mapping.

use crate::error::Error;

/// Which controller schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// Ours: ready column commands first, then the oldest; see `frfcfs.rs`.
    FrFcfs,
    /// As DRAMsim3 (commit 2981759) schedules: per-bank command queues visited round-robin.
    Dramsim3,
    /// As Ramulator 2.1 (commit c5b1c3a) schedules: FRFCFS-RowHit with an active buffer.
    Ramulator2,
}

/// What happens to an open row that nobody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// It stays open.
    Open,
    /// It is precharged as soon as the bus is free.
    Closed,
}

/// When refreshes are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// As each falls due.
    Timer,
    /// Owed until [`crate::Channel::refresh_hint`]; forced one by one beyond the postponement limit.
    Aligned,
    /// Never (to isolate its effect).
    Off,
}

/// What one refresh covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshScope {
    /// All banks of a rank or pseudo-channel.
    AllBank,
    /// One bank, in turn.
    PerBank,
}

/// Refresh settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// When.
    pub policy: RefreshPolicy,
    /// What.
    pub scope: RefreshScope,
    /// Clocks between refreshes; the standard's own interval if absent. At most that interval.
    pub interval: Option<u64>,
    /// Refreshes that may be owed at any time under `Aligned` (JEDEC: 8).
    pub postpone: u32,
}

/// What an idle channel does to save power (`FrFcfs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerDown {
    /// Power-down this many clocks after the last command; leaving it costs the standard's tXP.
    pub after: u64,
    /// Self-refresh instead of the first refresh that falls due this many clocks after the last data command, if all
    /// rows are closed; leaving it costs the standard's tXS.
    pub self_refresh_after: Option<u64>,
}

/// A controller policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which controller.
    pub scheduler: Scheduler,
    /// Read queue entries, at most 64.
    pub read_queue: u32,
    /// Write queue entries, at most 64.
    pub write_queue: u32,
    /// Writes start to drain at this many (`FrFcfs`).
    pub write_high: u32,
    /// Draining stops at this many if reads wait (`FrFcfs`).
    pub write_low: u32,
    /// Row hits served since the activate after which an older request for another row wins (`FrFcfs`).
    pub row_hit_cap: u32,
    /// Open or closed page (`FrFcfs`).
    pub page: Page,
    /// Refresh.
    pub refresh: Refresh,
    /// Power-down when idle; none if absent.
    pub power_down: Option<PowerDown>,
    /// Mapping fields, lowest bit first; the standard's own if absent.
    pub mapping: Option<Vec<String>>,
    /// Exclusive-or rules of `mapping`.
    pub mapping_xor: Vec<String>,
}

impl Policy {
    /// The default for users: FR-FCFS with row-hit cap, 32 + 32 entries, open page, all-bank refresh on the timer.
    pub fn users() -> Policy {
        Policy {
            scheduler: Scheduler::FrFcfs,
            read_queue: 32,
            write_queue: 32,
            write_high: 24,
            write_low: 8,
            row_hit_cap: 16,
            page: Page::Open,
            refresh: Refresh {
                policy: RefreshPolicy::Timer,
                scope: RefreshScope::AllBank,
                interval: None,
                postpone: 8,
            },
            power_down: None,
            mapping: None,
            mapping_xor: Vec::new(),
        }
    }

    /// DRAMsim3's controller.
    pub fn dramsim3() -> Policy {
        Policy { scheduler: Scheduler::Dramsim3, row_hit_cap: 4, ..Policy::users() }
    }

    /// Ramulator 2.1's controller.
    pub fn ramulator2() -> Policy {
        Policy { scheduler: Scheduler::Ramulator2, ..Policy::users() }
    }

    /// Names that [`Policy::by_name`] knows.
    pub const NAMES: &'static [&'static str] = &["users", "dramsim3", "ramulator2"];

    /// A policy by its name in configurations.
    pub fn by_name(name: &str) -> Result<Policy, Error> {
        match name {
            "users" => Ok(Policy::users()),
            "dramsim3" => Ok(Policy::dramsim3()),
            "ramulator2" => Ok(Policy::ramulator2()),
            _ => Err(Error::unknown("controller policy", name, Policy::NAMES)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (what, n) in [("read_queue", self.read_queue), ("write_queue", self.write_queue)] {
            if !(1..=64).contains(&n) {
                return Err(Error::policy(format!("{what} = {n} must lie between 1 and 64")));
            }
        }
        if self.write_high > self.write_queue || self.write_low >= self.write_high {
            return Err(Error::policy(format!(
                "write_low = {} < write_high = {} <= write_queue = {} does not hold",
                self.write_low, self.write_high, self.write_queue
            )));
        }
        if self.row_hit_cap == 0 {
            return Err(Error::policy("row_hit_cap must be at least 1"));
        }
        Ok(())
    }
}
