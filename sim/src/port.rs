//! The accelerator's port to the memory controllers, if its width is given: so many bytes per core cycle of all masters
//! together, both ways.
//!
//! ```text
//! fetch, load, store --asked--> port (a bucket of bytes) --requests--> channels
//! ```
//! A burst's bytes are charged when its request passes; a request passes a cycle after it was made at the earliest. The
//! queues of all masters and channels have turns, a run at a time, so nobody starves.

use crate::leap::Walk;
use crate::link::Tick;
use crate::shared::{BurstRun, Lane, Shared, Unit};

/// The port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// Bytes per cycle, of one burst, and the most that are kept: what is left of a burst and a cycle's.
    cap: u64,
    burst: u64,
    most: u64,
    /// Bytes that may pass, as of cycle `at`.
    bytes: u64,
    at: u64,
    /// Whose turn it is: channel times masters plus master.
    turn: u32,
    /// Bursts of the run at the head of each queue that have passed.
    passed: Vec<u32>,
}

impl Port {
    pub(crate) fn new(cap: u32, burst_bytes: u64, channels: usize) -> Self {
        let cap = u64::from(cap);
        let most = cap + burst_bytes - 1;
        Self {
            cap,
            burst: burst_bytes,
            most,
            bytes: 0,
            at: 0,
            turn: 0,
            passed: vec![0; channels * Lane::MASTERS],
        }
    }

    /// Fills the bucket up to `cycle`.
    fn fill(&mut self, cycle: u64) {
        let cycles = cycle.saturating_sub(self.at);
        self.bytes = self.bytes.saturating_add(self.cap.saturating_mul(cycles)).min(self.most);
        self.at = cycle;
    }

    pub(crate) fn tick(&mut self, now: Tick, shared: &mut Shared) -> Tick {
        self.fill(shared.cycle);
        let queues = self.passed.len();
        let (mut passed, mut short, mut blocked) = (false, false, 0);
        // Until nobody has anything that may pass: what is left of the bucket is then less than a burst, or is full.
        while blocked < queues && !short {
            let queue = self.turn as usize;
            self.turn = if queue + 1 == queues { 0 } else { queue as u32 + 1 };
            blocked += 1;
            let (channel, master) = (queue / Lane::MASTERS, queue % Lane::MASTERS);
            let lane = &mut shared.lanes[channel];
            let Some(asked) = &mut lane.asked else { return Tick::MAX };
            let Some(&run) = asked[master].front(now) else { continue };
            if !lane.requests[master].can_push(now) {
                continue;
            }
            let room = u32::try_from(self.bytes / self.burst).unwrap_or(u32::MAX);
            if room == 0 {
                // It is his turn when there is room.
                self.turn = queue as u32;
                short = true;
                continue;
            }
            let done = self.passed[queue];
            let bursts = room.min(run.bursts - done);
            let sequence = run.sequence.wrapping_add(done) & (u32::MAX >> 1);
            lane.requests[master]
                .push(now, BurstRun { burst: run.burst + u64::from(done), bursts, sequence });
            self.bytes -= u64::from(bursts) * self.burst;
            self.passed[queue] = done + bursts;
            if self.passed[queue] == run.bursts {
                self.passed[queue] = 0;
                let was_full = asked[master].is_full();
                asked[master].pop(now);
                if was_full {
                    let unit = [Unit::Sequencer, Unit::Load, Unit::Store][master];
                    shared.wakes.at(unit, now + shared.core_period);
                }
            }
            shared.wakes.channel_after(channel, now);
            (passed, blocked) = (true, 0);
        }
        // A full queue of a channel tells when it has room again.
        if !passed && !short {
            return Tick::MAX;
        }
        let cycles = self.burst.saturating_sub(self.bytes).div_ceil(self.cap).max(1);
        now + cycles * shared.core_period
    }

    /// Walks the bucket and the queues before it; `now` is in the cycle before the next one to come.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>) {
        let cycle = w.cycle - 1;
        self.fill(cycle);
        w.exact(&mut self.bytes);
        w.small(&mut self.turn);
        self.passed.iter_mut().for_each(|passed| w.small(passed));
        self.at = cycle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_burst_counts() {
        // 48 bytes a cycle are 3 bursts of 32 in two cycles; after a pause, not more than what a burst lacks comes on top.
        let mut port = Port::new(48, 32, 1);
        let mut bursts = 0;
        for cycle in 1..=1000 {
            port.fill(cycle);
            bursts += port.bytes / 32;
            port.bytes %= 32;
        }
        assert_eq!(bursts, 1500);
        port.fill(1_000_000);
        assert_eq!(port.bytes, 48 + 31);
    }
}
