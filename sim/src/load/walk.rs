//! DMA in, relative to now.

use super::{Load, Transfer};
use crate::leap::Walk;
use crate::scratchpad::Port;
use crate::shared::{Hints, Shared};

impl Load {
    /// Number of the first burst that still takes up room.
    pub(crate) fn first_burst(&self) -> u64 {
        self.freed
    }
    /// Walks the transfers; bursts are numbered from 0 again when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, shared: &mut Shared, mailbox: &[u32]) {
        let base = shared.scratchpad.finished_by_now(Port::Load);
        let interleave = &shared.interleave;
        w.queue(
            &mut self.transfers,
            |w, t| {
                w.job(&mut t.job);
                if w.reading() {
                    *t = Transfer::new(t.job, mailbox, interleave);
                }
                let progress = [&mut t.row, &mut t.burst, &mut t.arrived, &mut t.unpacked_bursts];
                progress.into_iter().for_each(|x| w.exact(x));
                w.flag(&mut t.requested_all);
                t.cells.walk(w);
                w.exact(&mut t.unpacked);
                w.exact(&mut t.written);
                w.since(&mut t.last_access, base);
                w.clock(&mut t.until);
            },
            || Transfer::new(Walk::blank_job(), &[], interleave),
        );
        w.size(&mut self.requesting);
        let (head, next, freed) = (self.head, self.next, self.freed);
        w.since(&mut self.head, freed);
        w.since(&mut self.next, freed);
        let mask = self.arrived.len() as u64 * 64 - 1;
        if w.reading() {
            self.freed = 0;
            self.arrived.fill(0);
            self.accesses = shared.scratchpad.posted(Port::Load);
            self.hints = Hints::default();
        }
        // Which of those between head and next have come, 32 at a time.
        let (head, next) = if w.reading() { (self.head, self.next) } else { (head, next) };
        let mut at = head;
        while at < next {
            let of = |i: u64| (((at + i) & mask) / 64, (at + i) & mask & 63);
            let count = (next - at).min(32);
            let mut bits = (0..count).fold(0u64, |bits, i| {
                let (cell, bit) = of(i);
                bits | (self.arrived[cell as usize] >> bit & 1) << i
            });
            w.exact(&mut bits);
            if w.reading() {
                for i in (0..count).filter(|i| bits >> i & 1 != 0) {
                    let (cell, bit) = of(i);
                    self.arrived[cell as usize] |= 1 << bit;
                }
            }
            at += count;
        }
        w.activity(&mut self.activity);
        w.activity(&mut self.unpacker);
    }
}
