//! DMA out: scratchpad to DRAM, one transfer at a time.
//!
//! A transfer is over when the controllers have taken its last burst; a later read of the same bytes comes behind it.

use lutsim_isa::{ByteClass, Op, Queue};

use crate::activity::{Activity, Cause};
use crate::config::Dma;
use crate::leap::Walk;
use crate::link::Tick;
use crate::rows::{Cells, Rows, dram_rows};
use crate::scratchpad::{Port, Run};
use crate::shared::{BurstRun, Interleave, Job, Master, Shared};

#[derive(Clone, Debug)]
struct Transfer {
    job: Job,
    rows: Rows,
    cells: Cells,
    row: u64,
    burst: u64,
    bursts: u64,
    sent: u64,
    /// Bytes asked of the scratchpad, and those of the accesses not finished yet, oldest first.
    asked: u64,
    pending: std::collections::VecDeque<u64>,
    read: u64,
}

impl Transfer {
    fn new(job: Job, pending: std::collections::VecDeque<u64>, interleave: &Interleave) -> Self {
        let rows = dram_rows(&job.dispatch.op);
        let cells = Cells::of(&job.dispatch.op);
        let bursts = (0..rows.rows)
            .map(|row| rows.bursts(rows.addr + row * rows.stride, interleave.burst_shift).1)
            .sum::<u64>();
        Self { job, rows, cells, row: 0, burst: 0, bursts, sent: 0, asked: 0, pending, read: 0 }
    }
}

/// DMA out.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    config: Dma,
    word_shift: u32,
    transfer: Option<Transfer>,
    /// Accesses of the port seen finished.
    finished: u64,
    /// Bursts sent in all.
    sent: u64,
    /// An empty queue kept for the next transfer.
    spare: std::collections::VecDeque<u64>,
    pub(crate) activity: Activity,
}

impl Store {
    pub(crate) fn new(config: Dma, word: u32) -> Self {
        let spare = std::collections::VecDeque::with_capacity(8);
        Self {
            config,
            word_shift: word.trailing_zeros(),
            transfer: None,
            finished: 0,
            sent: 0,
            spare,
            activity: Activity::new(Cause::Idle),
        }
    }

    pub(crate) fn tick(&mut self, now: Tick, shared: &mut Shared) -> Tick {
        let collected = self.collect(now, shared);
        let asked = self.read(now, shared);
        let sent = self.send(now, shared);
        let retired = self.retire(now, shared);
        let accepted = self.transfer.is_none() && self.accept(now, shared);
        let busy = collected | asked | sent | retired | accepted;
        let cause = match (&self.transfer, shared.queues[Queue::Store as usize].front(now)) {
            (Some(t), _) if t.read < t.cells.total() => Cause::Scratchpad,
            (Some(_), _) => Cause::Dram,
            (None, Some(job)) => job.dispatch.wait.map_or(Cause::Busy, Cause::waiting_for),
            (None, None) => Cause::Idle,
        };
        self.activity.mark(shared.cycle, if busy { Cause::Busy } else { cause }, cause);
        if busy { now + shared.core_period } else { Tick::MAX }
    }

    fn accept(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let Some(job) = shared.accept(now, Queue::Store) else { return false };
        let pending = std::mem::take(&mut self.spare);
        let transfer = Transfer::new(job, pending, &shared.interleave);
        let (rows, bursts, burst_bytes) = (transfer.rows, transfer.bursts, shared.interleave.burst_bytes);
        if let Op::Store { class, .. } = job.dispatch.op {
            let bytes = rows.bytes * rows.rows;
            shared.bytes_written[class as usize] += bytes;
            // A partial burst is written with its other bytes masked; they cross the bus all the same.
            shared.bytes_written[ByteClass::Overfetch as usize] += bursts * burst_bytes - bytes;
            shared.instances[job.instance as usize].owned_bytes += bursts * burst_bytes;
        }
        self.transfer = Some(transfer);
        true
    }

    fn collect(&mut self, now: Tick, shared: &Shared) -> bool {
        let finished = shared.scratchpad.finished(Port::Store, now);
        let Some(transfer) = &mut self.transfer else { return false };
        let any = finished > self.finished;
        while self.finished < finished {
            self.finished += 1;
            transfer.read += transfer.pending.pop_front().unwrap_or(0);
        }
        any
    }

    fn read(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let Some(transfer) = &mut self.transfer else { return false };
        let port = u64::from(self.config.port_bytes);
        if !shared.scratchpad.can_post(Port::Store, now) {
            return false;
        }
        let Some((word, width, bytes)) = transfer.cells.next(port, u64::MAX, self.word_shift) else {
            return false;
        };
        transfer.asked += bytes;
        transfer.pending.push_back(bytes);
        shared.work.dma_bytes += bytes;
        let run =
            Run { word, width, inner: 1, inner_step: 0, outer: 1, outer_step: 0, period: 1, earliest: 0 };
        shared.scratchpad.post(now, Port::Store, run, &mut shared.wakes);
        true
    }

    /// Sends the bursts whose bytes have been read, at most one run per channel and cycle.
    fn send(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let Some(t) = &mut self.transfer else { return false };
        let total = t.cells.total();
        let covered = if t.read == total { t.bursts } else { t.bursts * t.read / total };
        let mut used = 0u128;
        let before = t.sent;
        while t.sent < covered {
            let (first, count) =
                t.rows.bursts(t.rows.addr + t.row * t.rows.stride, shared.interleave.burst_shift);
            let (channel, burst, in_turn) = shared.interleave.locate(first + t.burst);
            let bursts = u64::from(in_turn).min(count - t.burst).min(covered - t.sent);
            if used >> channel & 1 != 0 || !shared.lanes[channel].can_ask(now, Master::Store) {
                break;
            }
            shared.ask(now, channel, Master::Store, BurstRun { burst, bursts: bursts as u32, sequence: 0 });
            used |= 1 << channel;
            t.sent += bursts;
            t.burst += bursts;
            if t.burst == count {
                (t.row, t.burst) = (t.row + 1, 0);
            }
        }
        self.sent += t.sent - before;
        t.sent > before
    }

    fn retire(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let stored: u64 = shared.lanes.iter().map(|lane| lane.stored.get(now)).sum();
        match self
            .transfer
            .take_if(|t| t.sent == t.bursts && t.read == t.cells.total() && stored == self.sent)
        {
            None => false,
            Some(t) => {
                self.spare = t.pending;
                shared.retire(now, &t.job);
                true
            }
        }
    }
    /// Walks the transfer; counts begin at 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, shared: &mut Shared) {
        let mut unseen = shared.scratchpad.finished_by_now(Port::Store).wrapping_sub(self.finished);
        let mut unacknowledged =
            self.sent.wrapping_sub(shared.lanes.iter().map(|lane| lane.stored.total()).sum::<u64>());
        w.exact(&mut unseen);
        w.exact(&mut unacknowledged);
        if w.reading() {
            self.finished = 0;
            shared.scratchpad.rebase(Port::Store, unseen);
            self.sent = unacknowledged;
            shared.lanes.iter_mut().for_each(|lane| lane.stored.set(0));
        }
        let interleave = shared.interleave;
        w.option(
            &mut self.transfer,
            |w, t| {
                w.job(&mut t.job);
                if w.reading() {
                    *t = Transfer::new(t.job, Default::default(), &interleave);
                }
                for x in [&mut t.row, &mut t.burst, &mut t.sent, &mut t.asked, &mut t.read] {
                    w.exact(x);
                }
                t.cells.walk(w);
                w.queue(&mut t.pending, |w, bytes| w.exact(bytes), || 0);
            },
            || Transfer::new(Walk::blank_job(), Default::default(), &interleave),
        );
        w.activity(&mut self.activity);
    }
    pub(crate) fn is_idle(&self) -> bool {
        self.transfer.is_none()
    }
}
