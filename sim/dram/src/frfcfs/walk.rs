//! The scheduler's state relative to now.

use super::{ACTIVATE, COLUMN, FrFcfs, IDLE, PRECHARGE, Pick};
use crate::canon::Canon;
use crate::command::Command;
use crate::device::Device;
use crate::first::{First, NEVER};
use crate::queue::Queue;

impl Pick {
    /// `queue` turns the position into a rank: holes are not part of the state.
    fn walk(&mut self, c: &mut Canon, queue: &Queue) {
        c.moment(&mut self.clock);
        let mut command = self.command as u8;
        c.small(&mut command);
        self.command = Command::ALL[command as usize % Command::ALL.len()];
        c.small(&mut self.bank);
        let mut rank = if c.reading() { 0 } else { queue.rank(self.position.into()) };
        c.small(&mut rank);
        if c.reading() {
            self.position = rank as u8;
        }
    }
}

/// Likewise. A `stale` one is made anew before anybody looks at it, so it is as good as nothing.
fn walk_first(first: &mut First, c: &mut Canon, queue: &Queue, stale: bool) {
    let mut nothing = stale || *first == First::NOTHING;
    c.flag(&mut nothing);
    if nothing {
        if c.reading() {
            *first = First::NOTHING;
        }
        return;
    }
    let (mut clock, mut position, mut bank) = (first.clock(), first.position(), first.bank());
    c.moment(&mut clock);
    c.size(&mut bank);
    if !c.reading() && position < IDLE {
        position = queue.rank(position);
    }
    c.small(&mut position);
    *first = if c.reading() { First::new(clock, position, bank) } else { *first };
}

impl FrFcfs {
    /// Walks everything but the next refresh's due time.
    pub(crate) fn walk(&mut self, d: &mut Device, c: &mut Canon) {
        d.walk(c);
        for queue in &mut self.queues {
            queue.walk(c, |entry| d.hits(entry.bank as usize, entry.row));
        }
        c.size(&mut self.mode);
        self.mode &= 1;
        c.small(&mut self.stale);
        c.small(&mut self.late);
        let queue = &self.queues[self.mode];
        let classes = [COLUMN, PRECHARGE, ACTIVATE];
        for (pick, class) in
            [&mut self.column, &mut self.precharge, &mut self.activate].into_iter().zip(classes)
        {
            walk_first(pick, c, queue, self.stale & class != 0);
        }
        let never = self.column_at == NEVER || self.stale & COLUMN != 0;
        let mut at = if never { u64::MAX } else { self.column_at };
        c.moment(&mut at);
        if c.reading() {
            self.column_at = at.min(NEVER);
        }
        let mut after_cas = self.after_cas.is_some();
        c.flag(&mut after_cas);
        if after_cas {
            let mut pick = self.after_cas.unwrap_or(Pick::NOTHING);
            let side = (pick.command == Command::Write) as usize;
            pick.walk(c, &self.queues[side]);
            self.after_cas = Some(pick);
        } else {
            self.after_cas = None;
        }
        let mut act2 = self.act2.is_some();
        c.flag(&mut act2);
        self.act2 = act2.then(|| {
            let (mut bank, mut deadline) = self.act2.unwrap_or_default();
            c.small(&mut bank);
            c.moment(&mut deadline);
            (bank, deadline)
        });
        self.refresh.walk(c);
        // A scope, not a position.
        c.moment(&mut self.refresh_pick.clock);
        let mut command = self.refresh_pick.command as u8;
        c.small(&mut command);
        self.refresh_pick.command = Command::ALL[command as usize % Command::ALL.len()];
        c.small(&mut self.refresh_pick.bank);
        c.small(&mut self.refresh_pick.position);
        c.exact(&mut self.blocked);
        c.exact(&mut self.capped);
        if c.reading() {
            self.served = [0; 64];
        }
        let mut rest = d.open;
        while rest != 0 {
            let served = &mut self.served[rest.trailing_zeros() as usize];
            // Behind the cap all is one: `capped` knows.
            let mut counted = (*served).min(self.cap + 1);
            c.small(&mut counted);
            *served = counted;
            rest &= rest - 1;
        }
        self.walk_rest(c);
        // What is known to come; it may wake before that, and do nothing. The next refresh is watched apart: `set_due`.
        let mut wake = match self.stale != 0 || self.after_cas.is_some() || self.act2.is_some() {
            true => 0,
            false => self.soonest().min(self.refresh_pick.clock),
        };
        c.clock(&mut wake);
        if c.reading() {
            self.wake = wake;
        }
    }

    fn walk_rest(&mut self, c: &mut Canon) {
        let Some(rest) = &mut self.rest else { return };
        c.moment(&mut rest.last_command);
        c.moment(&mut rest.last_data);
        let mut asleep = rest.asleep.is_some();
        c.flag(&mut asleep);
        rest.asleep = asleep.then(|| {
            let mut since = rest.asleep.unwrap_or_default();
            c.moment(&mut since);
            since
        });
    }
}
