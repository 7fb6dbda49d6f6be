//! The whole machine, relative to now.

use lutsim_dram::Canon;

use super::Walk;
use crate::machine::Machine;
use crate::shared::{BurstRun, Lane, Master};

impl Machine {
    /// Walks everything that what happens next depends on, except the words to come and the next refresh's due time (and
    /// who waits for which semaphore, which only says whom to wake);
    /// returns how many of the last executions of operators are still referred to.
    pub(super) fn walk(&mut self, canon: &mut Canon, row_bit: u32, program_bytes: u64) -> u32 {
        let mailbox = std::mem::take(&mut self.shared.mailbox);
        let Some(prototypes) = self.feed.prototypes.take() else { return 0 };
        canon.now = self.now;
        canon.first_tag = self.load.first_burst() as u32;
        let hints = self.hints();
        let mut w = Walk {
            canon,
            prototypes: &prototypes,
            mailbox: &mailbox,
            instances: self.shared.instances.len() as u32,
            oldest: 0,
            cycle: self.now / self.timebase.core_period + 1,
            row_bit,
        };
        let mut phase = self.now % (self.timebase.core_period * self.timebase.memory_period);
        w.exact(&mut phase);
        w.part();
        self.shared.scratchpad.walk(&mut w);
        w.part();
        self.sequencer.walk(&mut w, &mut self.shared, program_bytes);
        w.part();
        for queue in &mut self.shared.queues {
            w.link(queue, |w, job| w.job(job), Walk::blank_job);
        }
        self.shared.semaphores.walk(&mut w);
        w.part();
        self.store.walk(&mut w, &mut self.shared);
        w.part();
        self.lut.walk(&mut w, &self.shared);
        w.part();
        self.vector.walk(&mut w, &self.shared);
        w.part();
        self.load.walk(&mut w, &mut self.shared, &mailbox);
        w.part();
        for lane in &mut self.shared.lanes {
            lane.walk(&mut w);
        }
        if let Some(port) = &mut self.port {
            port.walk(&mut w);
        }
        w.part();
        for channel in &mut self.channels {
            channel.walk(&mut w, hints);
        }
        w.part();
        let oldest = w.oldest;
        self.shared.mailbox = mailbox;
        self.feed.prototypes = Some(prototypes);
        oldest
    }
}

impl Lane {
    fn walk(&mut self, w: &mut Walk<'_>) {
        let row_bit = w.row_bit;
        let links = self.requests.iter_mut().enumerate();
        for (master, link) in
            links.chain(self.asked.iter_mut().flat_map(|asked| asked.iter_mut().enumerate()))
        {
            w.link(
                link,
                |w, run| {
                    w.burst(&mut run.burst, row_bit);
                    w.small(&mut run.bursts);
                    if master == Master::Load as usize {
                        w.tag(&mut run.sequence);
                    } else {
                        w.small(&mut run.sequence);
                    }
                },
                || BurstRun { burst: 0, bursts: 0, sequence: 0 },
            );
        }
        for (master, replies) in self.replies.iter_mut().enumerate() {
            w.queue(
                replies,
                |w, (edge, sequence)| {
                    w.clock(edge);
                    if master == Master::Load as usize { w.tag(sequence) } else { w.small(sequence) }
                },
                || (0, 0),
            );
        }
    }
}
