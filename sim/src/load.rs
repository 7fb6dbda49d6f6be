//! DMA in and the unpacker: descriptors to burst runs, bursts back in order, bytes into the scratchpad.
//!
//! ```text
//! queue -> transfers in flight -> burst runs -> channels
//!                                                  |
//! scratchpad <- port <- staging <- unpacker <- reorder buffer
//! ```
//! Requests of the next transfer follow the last one's without a gap; transfers retire in order.

mod walk;

use std::collections::VecDeque;

use lutsim_isa::field::Unpack;
use lutsim_isa::format::WeightFormat;
use lutsim_isa::{ByteClass, Format, Op, Queue, TileRef};

use crate::activity::{Activity, Cause, Cycles};
use crate::config::Dma;
use crate::link::Tick;
use crate::rows::{Cells, Rows, dram_rows};
use crate::scratchpad::{Port, Run};
use crate::shared::{BurstRun, Hints, Interleave, Job, Master, Shared};

#[derive(Clone, Debug)]
struct Transfer {
    job: Job,
    rows: Rows,
    class: ByteClass,
    /// Token rows of a gather: the mailbox index of row 0.
    gather: Option<u32>,
    /// Next row to request and burst within it.
    row: u64,
    burst: u64,
    requested_all: bool,
    /// Bursts in all, arrived in order, and unpacked.
    bursts: u64,
    arrived: u64,
    unpacked_bursts: u64,
    cells: Cells,
    /// Scratchpad bytes in all, unpacked, and handed to the port.
    total: u64,
    unpacked: u64,
    written: u64,
    /// Accesses posted, and the port's count at which the last one is done.
    last_access: u64,
    unpacks: bool,
    /// Not over before: a refresh waits for an edge.
    until: Tick,
}

/// DMA in.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    config: Dma,
    word_shift: u32,
    transfers: VecDeque<Transfer>,
    /// Transfers whose requests are all out, from the front.
    requesting: usize,
    /// Bursts requested, in order arrived, and freed from the reorder buffer.
    next: u64,
    head: u64,
    freed: u64,
    arrived: Vec<u64>,
    accesses: u64,
    pub(crate) activity: Activity,
    pub(crate) unpacker: Activity,
    pub(crate) hints: Hints,
    /// Transfers of some length that are over: places to look whether this has been seen before.
    pub(crate) milestones: u64,
}

/// Bursts of a transfer whose end is a milestone.
const MILESTONE: u64 = 16;

impl Load {
    pub(crate) fn new(config: Dma, word: u32) -> Self {
        let words = (config.outstanding_bursts as usize).next_power_of_two().div_ceil(64).max(1);
        Self {
            config,
            word_shift: word.trailing_zeros(),
            transfers: VecDeque::with_capacity(config.transfers as usize),
            requesting: 0,
            next: 0,
            head: 0,
            freed: 0,
            arrived: vec![0; words],
            accesses: 0,
            activity: Activity::new(Cause::Idle),
            unpacker: Activity::new(Cause::Idle),
            hints: Hints::default(),
            milestones: 0,
        }
    }

    pub(crate) fn tick(&mut self, now: Tick, shared: &mut Shared) -> Tick {
        let progress = self.collect(now, shared);
        let (unpacked, blocked, unpacker_moved) = self.unpack();
        let wrote = self.write(now, shared);
        let retired = self.retire(now, shared);
        let accepted = self.accept(now, shared);
        let requested = self.request(now, shared);

        let busy = progress | unpacked | wrote | retired | accepted | requested;
        let cause = self.cause(now, shared, blocked);
        let this = if busy { Cause::Busy } else { cause };
        self.activity.mark(shared.cycle, this, cause);
        let starved = self.transfers.iter().any(|t| t.unpacks && t.unpacked < t.total);
        let unpacker = match () {
            () if blocked => Cause::Scratchpad,
            () if starved => Cause::Dram,
            () => Cause::Idle,
        };
        self.unpacker.mark(shared.cycle, if unpacker_moved { Cause::Busy } else { unpacker }, unpacker);

        let mut wake = Tick::MAX;
        if busy {
            wake = now + shared.core_period;
        }
        if let Some(front) = self.transfers.front().filter(|t| t.until > now) {
            wake = wake.min(front.until);
        }
        for lane in &shared.lanes {
            if let Some(&(ready, _)) = lane.replies[Master::Load as usize].front() {
                wake = wake.min(ready);
            }
        }
        wake
    }

    fn cause(&self, now: Tick, shared: &Shared, blocked: bool) -> Cause {
        if blocked {
            return Cause::Scratchpad;
        }
        match (self.transfers.is_empty(), shared.queues[Queue::Load as usize].front(now)) {
            (false, _) => Cause::Dram,
            (true, Some(job)) => job.dispatch.wait.map_or(Cause::Busy, Cause::waiting_for),
            (true, None) => Cause::Idle,
        }
    }

    /// Bursts that have come back: marks them, and moves the head over those that are there in order.
    fn collect(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let mask = self.arrived.len() as u64 * 64 - 1;
        let mut any = false;
        for lane in &mut shared.lanes {
            while let Some(&(ready, sequence)) = lane.replies[Master::Load as usize].front()
                && ready <= now
            {
                lane.replies[Master::Load as usize].pop_front();
                let slot = u64::from(sequence) & mask;
                self.arrived[(slot / 64) as usize] |= 1 << (slot % 64);
                any = true;
            }
        }
        if any {
            let before = self.head;
            while self.head < self.next {
                let slot = self.head & mask;
                let bit = 1 << (slot % 64);
                let cell = &mut self.arrived[(slot / 64) as usize];
                if *cell & bit == 0 {
                    break;
                }
                *cell &= !bit;
                self.head += 1;
            }
            let mut bursts = self.head - before;
            for transfer in &mut self.transfers {
                let take = bursts.min(transfer.bursts - transfer.arrived);
                transfer.arrived += take;
                bursts -= take;
                if bursts == 0 {
                    break;
                }
            }
        }
        any
    }

    /// Bursts through the unpacker into the staging buffer of the port. (something moved, the staging buffer is full,
    /// the unpacker worked)
    fn unpack(&mut self) -> (bool, bool, bool) {
        let (mut plain, mut unpacker) =
            (u64::from(self.config.port_bytes), u64::from(self.config.unpacker_bytes));
        let staging = 2 * u64::from(self.config.port_bytes);
        let (mut moved, mut blocked, mut unpacker_moved) = (false, false, false);
        for transfer in &mut self.transfers {
            let total = transfer.total;
            let ready = match transfer.bursts {
                bursts if transfer.arrived == bursts => total,
                bursts => total * transfer.arrived / bursts,
            };
            let budget = if transfer.unpacks { &mut unpacker } else { &mut plain };
            let room = staging.saturating_sub(transfer.unpacked - transfer.written);
            let bytes = (ready - transfer.unpacked).min(*budget).min(room);
            blocked |= ready > transfer.unpacked && room == 0;
            *budget -= bytes;
            moved |= bytes > 0;
            if bytes > 0 && transfer.unpacks {
                unpacker_moved = true;
            }
            transfer.unpacked += bytes;
            if bytes > 0 || transfer.unpacked == ready {
                let freed = match transfer.unpacked == ready {
                    true => transfer.arrived,
                    false => transfer.unpacked * transfer.bursts / total,
                };
                self.freed += freed - transfer.unpacked_bursts;
                transfer.unpacked_bursts = freed;
            }
            if transfer.unpacked < total {
                break;
            }
        }
        (moved, blocked, unpacker_moved)
    }

    /// One access per cycle to the port.
    fn write(&mut self, now: Tick, shared: &mut Shared) -> bool {
        for transfer in &mut self.transfers {
            if transfer.unpacked == transfer.written {
                // Transfers are unpacked and written in order: what is not begun here is not begun behind it.
                if transfer.written < transfer.total {
                    return false;
                }
                continue;
            }
            if !shared.scratchpad.can_post(Port::Load, now) {
                return false;
            }
            let available = transfer.unpacked - transfer.written;
            let port = u64::from(self.config.port_bytes);
            let Some((word, width, bytes)) = transfer.cells.next(port, available, self.word_shift) else {
                return false;
            };
            transfer.written += bytes;
            self.accesses += 1;
            transfer.last_access = self.accesses;
            let run =
                Run { word, width, inner: 1, inner_step: 0, outer: 1, outer_step: 0, period: 1, earliest: 0 };
            shared.scratchpad.post(now, Port::Load, run, &mut shared.wakes);
            shared.work.dma_bytes += bytes;
            if transfer.unpacks {
                shared.work.unpacked_bytes += bytes;
            }
            return true;
        }
        false
    }

    fn retire(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let mut any = false;
        while let Some(front) = self.transfers.front() {
            let done = front.requested_all
                && front.arrived == front.bursts
                && front.written == front.total
                && front.until <= now
                && shared.scratchpad.finished(Port::Load, now) >= front.last_access;
            if !done {
                break;
            }
            if let Some(front) = self.transfers.pop_front() {
                if matches!(front.job.dispatch.op, Op::Refresh) {
                    self.hints.restarts += 1;
                    self.milestones += 1;
                } else if front.bursts > 0 {
                    self.hints.moments += 1;
                }
                self.milestones += u64::from(front.bursts >= MILESTONE);
                shared.retire(now, &front.job);
            }
            self.requesting -= 1;
            any = true;
        }
        any
    }

    fn accept(&mut self, now: Tick, shared: &mut Shared) -> bool {
        if self.transfers.len() == self.config.transfers as usize {
            return false;
        }
        let refresh = |job: &Job| matches!(job.dispatch.op, Op::Refresh);
        // A refresh comes when everything before it is over, and nothing begins before it is.
        let last = self.transfers.back().map(|t| t.job);
        let next = shared.queues[Queue::Load as usize].front(now);
        if last.is_some_and(|last| refresh(&last) || next.is_some_and(refresh)) {
            return false;
        }
        let Some(job) = shared.accept(now, Queue::Load) else { return false };
        let mut transfer = Transfer::new(job, &shared.mailbox, &shared.interleave);
        transfer.account(shared);
        if refresh(&job) {
            transfer.until = (now + 1).next_multiple_of(shared.common_period);
        }
        self.transfers.push_back(transfer);
        true
    }

    /// Sends burst runs, at most one per channel and cycle.
    fn request(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let mut sent = 0u128;
        let mut any = false;
        while let Some(transfer) = self.transfers.get_mut(self.requesting) {
            if transfer.requested_all {
                self.requesting += 1;
                continue;
            }
            let room = u64::from(self.config.outstanding_bursts) - (self.next - self.freed);
            let row_addr = match transfer.gather {
                None => transfer.rows.addr + transfer.row * transfer.rows.stride,
                Some(first) => {
                    let id = shared.mailbox.get(first as usize + transfer.row as usize).copied().unwrap_or(0);
                    transfer.rows.addr + u64::from(id) * transfer.rows.stride
                }
            };
            let (first, count) = transfer.rows.bursts(row_addr, shared.interleave.burst_shift);
            let (channel, burst, in_turn) = shared.interleave.locate(first + transfer.burst);
            // A turn longer than the reorder buffer goes out in parts.
            let most = u64::from(self.config.outstanding_bursts).div_ceil(2);
            let bursts = u64::from(in_turn).min(count - transfer.burst).min(most);
            let can_ask = shared.lanes[channel].can_ask(now, Master::Load);
            if bursts > room || sent >> channel & 1 != 0 || !can_ask {
                break;
            }
            let sequence = self.next as u32 & (u32::MAX >> 1);
            shared.ask(now, channel, Master::Load, BurstRun { burst, bursts: bursts as u32, sequence });
            sent |= 1 << channel;
            any = true;
            self.next += bursts;
            transfer.burst += bursts;
            if transfer.burst == count {
                (transfer.row, transfer.burst) = (transfer.row + 1, 0);
                transfer.requested_all = transfer.row == transfer.rows.rows;
            }
        }
        any
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.transfers.is_empty()
    }
    pub(crate) fn cycles(&self, cycle: u64) -> Cycles {
        self.activity.up_to(cycle)
    }
}

impl Transfer {
    fn new(job: Job, mailbox: &[u32], interleave: &Interleave) -> Self {
        let rows = dram_rows(&job.dispatch.op);
        let (gather, class, unpacks) = match job.dispatch.op {
            Op::Gather { first, class, .. } => (Some(first), class, false),
            Op::Load { class, unpack, .. } => (None, class, unpack != Unpack::Plain),
            _ => (None, ByteClass::Overfetch, false),
        };
        let mut transfer = Self {
            job,
            rows,
            class,
            gather,
            row: 0,
            burst: 0,
            requested_all: rows.rows == 0 || rows.bytes == 0,
            bursts: 0,
            arrived: 0,
            unpacked_bursts: 0,
            total: Cells::of(&job.dispatch.op).total(),
            cells: Cells::of(&job.dispatch.op),
            unpacked: 0,
            written: 0,
            last_access: 0,
            unpacks,
            until: 0,
        };
        transfer.bursts = transfer.count(mailbox, interleave);
        transfer
    }

    fn count(&self, mailbox: &[u32], interleave: &Interleave) -> u64 {
        let at = |row: u64| match self.gather {
            None => row,
            Some(first) => mailbox.get(first as usize + row as usize).copied().unwrap_or(0).into(),
        };
        let bursts =
            |row| self.rows.bursts(self.rows.addr + at(row) * self.rows.stride, interleave.burst_shift).1;
        (0..self.rows.rows).map(bursts).sum()
    }

    /// Books its bytes by class.
    fn account(&self, shared: &mut Shared) {
        let burst_bytes = shared.interleave.burst_bytes;
        let useful = match self.job.dispatch.op {
            Op::Load {
                unpack: Unpack::Weights,
                tile: TileRef { rows, cols, format: Format::Weights(w), .. },
                ..
            } => weight_bytes(w, rows, cols, &mut shared.bytes_read),
            _ => {
                let bytes = self.rows.bytes * self.rows.rows;
                shared.bytes_read[self.class as usize] += bytes;
                bytes
            }
        };
        shared.bytes_read[ByteClass::Overfetch as usize] += self.bursts * burst_bytes - useful;
        shared.instances[self.job.instance as usize].owned_bytes += self.bursts * burst_bytes;
    }
}

/// Books a weight record; returns its useful bytes.
fn weight_bytes(w: WeightFormat, n: u32, k: u32, counts: &mut [u64]) -> u64 {
    let scales = w.scale_bytes(n, k) + w.zero_bytes(n, k);
    let codes = w.code_bytes(n, k);
    counts[ByteClass::Scales as usize] += scales;
    counts[ByteClass::Weights as usize] += codes;
    scales + codes
}
