//! When refreshes fall due, are owed, and must be issued; shared by every scheduler of ours.

use crate::canon::Canon;
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
    pub(crate) margin: Margin,
}

/// How far the next due time could have been moved, since [`Refresh::watch`], without anything else changing.
///
/// Under `aligned` a refresh that falls due is only counted; what can be seen is how many are owed when a hint comes. So
/// the due times may move as long as each stays on its side of every hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// Clocks by which it could have been earlier.
    pub earlier: u64,
    /// Clocks by which it could have been later.
    pub later: u64,
    /// The last time that one fell due.
    last_due: Option<u64>,
    /// The interval was begun anew since: what comes after that does not depend on the time watched.
    restarted: bool,
}

impl Margin {
    /// Nothing has been looked at.
    pub const FREE: Margin = Margin { earlier: u64::MAX, later: u64::MAX, last_due: None, restarted: false };

    /// Somebody looks at the count at `now`; those that fall due at `now` itself come after that.
    fn look(&mut self, now: u64, next_due: u64) {
        if self.restarted {
            return;
        }
        self.earlier = self.earlier.min(next_due.saturating_sub(now));
        if let Some(last) = self.last_due {
            self.later = self.later.min(now.saturating_sub(last + 1));
        }
    }
    /// The time itself mattered.
    pub(crate) fn pin(&mut self) {
        if !self.restarted {
            (self.earlier, self.later) = (0, 0);
        }
    }
    /// Whether the next due time at the end was counted from a restart.
    pub fn is_restarted(&self) -> bool {
        self.restarted
    }
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
            margin: Margin::FREE,
        }
    }

    /// Accounts for refreshes that have fallen due by `now`; true if something new is to be issued.
    pub(crate) fn fall_due(&mut self, now: u64) -> bool {
        let mut news = false;
        while now >= self.next_due {
            self.margin.last_due = Some(self.next_due);
            self.next_due += self.interval;
            if self.policy == RefreshPolicy::Timer {
                self.margin.pin();
                self.demand();
                news = true;
            } else {
                self.owed += 1;
                if self.owed > self.postpone {
                    self.margin.pin();
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
        self.margin.pin();
        self.owed = 0;
        self.next_due = u64::MAX;
    }

    /// The device was woken at `now`.
    pub(crate) fn resume(&mut self, now: u64) {
        self.margin.pin();
        self.next_due = now + self.interval;
    }

    /// Everything owed is to be issued now; true if there was anything.
    pub(crate) fn hint(&mut self, now: u64) -> bool {
        self.margin.look(now, self.next_due);
        let owed = std::mem::take(&mut self.owed);
        for _ in 0..owed {
            self.demand();
        }
        owed > 0
    }

    /// From now on, [`Margin`] is kept anew.
    pub(crate) fn watch(&mut self) {
        self.margin = Margin::FREE;
    }

    /// The margin up to and including clock `now`.
    pub(crate) fn watched(&self, now: u64) -> Margin {
        let mut margin = self.margin;
        margin.look(now + 1, self.next_due);
        margin
    }

    /// All but the next due time, of which only [`Margin`] speaks, and whether there is one.
    pub(crate) fn walk(&mut self, c: &mut Canon) {
        let mut none = self.next_due == u64::MAX;
        c.flag(&mut none);
        c.exact(&mut self.owed);
        c.exact(&mut self.wanted);
        c.small(&mut self.turn);
        self.pending.iter_mut().for_each(|p| c.small(p));
    }

    /// One more refresh than is owed is to be issued now, and the interval begins anew; true if that is the policy.
    pub(crate) fn restart(&mut self, now: u64) -> bool {
        if self.policy != RefreshPolicy::Aligned || self.next_due == u64::MAX {
            return false;
        }
        self.margin.look(now, self.next_due);
        self.margin.restarted = true;
        self.next_due = now + self.interval;
        for _ in 0..=std::mem::take(&mut self.owed) {
            self.demand();
        }
        true
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
