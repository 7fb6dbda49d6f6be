//! When refreshes fall due, are owed, and must be issued; shared by every scheduler of ours.

use crate::policy::{Policy, RefreshPolicy, RefreshScope};
use crate::standard::Standard;

/// What must be refreshed now.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    policy: RefreshPolicy,
    pub(crate) per_bank: bool,
    interval: u64,
    postpone: u64,
    /// Clock at which the next refresh falls due.
    pub(crate) next_due: u64,
    owed: u64,
    /// Refreshes to issue now, by scope (all-bank) or by bank (per-bank).
    pub(crate) pending: Vec<u32>,
    /// Scopes or banks with any pending.
    pub(crate) wanted: u64,
    /// Next bank of each scope in turn.
    turn: u32,
    banks_per_scope: u32,
    pub(crate) forced: u64,
}

impl Refresh {
    pub(crate) fn new(s: &Standard, p: &Policy) -> Refresh {
        let per_bank = p.refresh.scope == RefreshScope::PerBank;
        let scopes = s.nodes(s.refresh_level);
        let standard = if per_bank { s.refresh_bank_interval() } else { s.refresh_interval };
        let interval = p.refresh.interval.unwrap_or(standard);
        Refresh {
            policy: p.refresh.policy,
            per_bank,
            interval,
            postpone: p.refresh.postpone as u64,
            next_due: if p.refresh.policy == RefreshPolicy::Off { u64::MAX } else { interval },
            owed: 0,
            pending: vec![0; if per_bank { s.banks() } else { scopes } as usize],
            wanted: 0,
            turn: 0,
            banks_per_scope: s.banks() / scopes,
            forced: 0,
        }
    }

    /// Accounts for refreshes that have fallen due by `now`; true if something new is to be issued.
    pub(crate) fn fall_due(&mut self, now: u64) -> bool {
        let mut news = false;
        while now >= self.next_due {
            self.next_due += self.interval;
            if self.policy == RefreshPolicy::Timer {
                self.demand();
                news = true;
            } else {
                self.owed += 1;
                if self.owed > self.postpone {
                    self.owed -= 1;
                    self.forced += 1;
                    self.demand();
                    news = true;
                }
            }
        }
        news
    }

    /// The device refreshes itself from now on.
    pub(crate) fn suspend(&mut self) {
        self.owed = 0;
        self.next_due = u64::MAX;
    }

    /// The device was woken at `now`.
    pub(crate) fn resume(&mut self, now: u64) {
        self.next_due = now + self.interval;
    }

    /// Everything owed is to be issued now; true if there was anything.
    pub(crate) fn hint(&mut self) -> bool {
        let owed = std::mem::take(&mut self.owed);
        for _ in 0..owed {
            self.demand();
        }
        owed > 0
    }

    /// One more refresh of every scope, or of the next bank of every scope.
    fn demand(&mut self) {
        if !self.per_bank {
            self.pending.iter_mut().for_each(|p| *p += 1);
            self.wanted = crate::timing::mask(self.pending.len());
            return;
        }
        let mut bank = self.turn;
        while (bank as usize) < self.pending.len() {
            self.pending[bank as usize] += 1;
            self.wanted |= 1 << bank;
            bank += self.banks_per_scope;
        }
        self.turn = (self.turn + 1) % self.banks_per_scope;
    }

    /// One refresh of this scope or bank was issued; true if none is left for it.
    pub(crate) fn issued(&mut self, index: usize) -> bool {
        self.pending[index] -= 1;
        let done = self.pending[index] == 0;
        if done {
            self.wanted &= !(1 << index);
        }
        done
    }
}
