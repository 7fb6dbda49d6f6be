//! Power-down and self-refresh of an idle channel.

use super::FrFcfs;
use crate::command::Command;
use crate::counters::Counters;
use crate::device::Device;

/// Power-down and self-refresh of an idle channel.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) after: u64,
    pub(super) exit: u64,
    pub(super) self_refresh: Option<(u64, u64)>,
    pub(super) last_command: u64,
    pub(super) last_data: u64,
    /// Clock at which the device began to refresh itself.
    pub(super) asleep: Option<u64>,
}

impl FrFcfs {
    /// Whether nothing waits and nothing is half done.
    pub(super) fn idle(&self) -> bool {
        let queued = self.queues[0].len + self.queues[1].len;
        queued == 0 && self.after_cas.is_none() && self.act2.is_none() && self.refresh.wanted == 0
    }

    /// Leaves power-down or self-refresh, if the channel was in either, for a command at `now` or later.
    pub(super) fn rouse(&mut self, d: &mut Device, now: u64) {
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
    pub(super) fn fall_asleep(&mut self, d: &mut Device, now: u64) -> bool {
        if self.rest.is_none() {
            return false;
        }
        self.refresh.margin.pin();
        if !self.idle() {
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

    /// Power-down or self-refresh that lasts until `now`. Where a precharge is still to close a row, it has not begun.
    pub(crate) fn count_rest(&self, d: &Device, c: &mut Counters, now: u64) {
        let to_close = self.closed_page && d.open != 0;
        if let Some(rest) = &self.rest
            && self.idle()
            && !to_close
        {
            match rest.asleep {
                Some(since) => d.rest(c, since, now, true),
                None => d.rest(c, rest.last_command + rest.after, now, false),
            }
        }
    }
}
