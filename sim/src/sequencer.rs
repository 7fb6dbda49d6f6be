//! Sequencer: fetches words into its buffer, executes control, and hands one operation per cycle to a queue.

use std::collections::VecDeque;

use lutsim_isa::program::WORD_BYTES;
use lutsim_isa::{Fault, Program, Step};

use crate::activity::{Activity, Cause};
use crate::config;
use crate::feed::Feed;
use crate::leap::Walk;
use crate::link::Tick;
use crate::shared::{BurstRun, Instance, Job, Master, Shared};
use crate::stop::Stop;

/// Bytes fetched at once.
const BLOCK: u64 = 2048;
/// Control words in a row, without work for any unit, after which the program is taken to go round in circles.
const LIVELOCK: u64 = 1 << 24;

#[derive(Clone, Copy, Debug)]
struct Fetch {
    block: u64,
    /// Bursts not requested yet: next and end, chip-wide numbers.
    next: u64,
    end: u64,
    waiting: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Run,
    Fence,
    Halt,
    Done,
}

/// The sequencer, on one program.
#[derive(Clone, Debug)]
pub(crate) struct Sequencer {
    config: config::Sequencer,
    base: u64,
    start: Tick,
    mode: Mode,
    buffer: VecDeque<u64>,
    fetch: Option<Fetch>,
    pending: Option<Job>,
    dispatched: [u64; 4],
    /// Retired counts when the program began.
    retired: [u64; 4],
    /// Current instance, its operator, and executions of each operator so far.
    instance: Option<(u32, u32)>,
    passes: Vec<u32>,
    idle_words: u64,
    pub(crate) activity: Activity,
    pub(crate) hints: u64,
}

impl Sequencer {
    pub(crate) fn new(config: config::Sequencer) -> Self {
        Self {
            config,
            base: 0,
            start: 0,
            mode: Mode::Done,
            buffer: VecDeque::new(),
            fetch: None,
            pending: None,
            dispatched: [0; 4],
            retired: [0; 4],
            instance: None,
            passes: Vec::new(),
            idle_words: 0,
            activity: Activity::new(Cause::Host),
            hints: 0,
        }
    }

    /// Puts a program in; it runs from `start` on.
    pub(crate) fn begin(&mut self, now: Tick, start: Tick, step: &crate::machine::Job<'_>, shared: &Shared) {
        self.start = start;
        self.mode = Mode::Run;
        if self.base != step.address {
            self.buffer.clear();
        }
        self.base = step.address;
        self.pending = None;
        self.dispatched = [0; 4];
        self.retired = std::array::from_fn(|q| shared.retired[q].get(now + 1));
        self.instance = None;
        self.passes = vec![0; step.operators as usize];
        self.idle_words = 0;
    }
    /// Forgets the buffered words: another program lies there now.
    pub(crate) fn flush(&mut self) {
        self.buffer.clear();
    }

    pub(crate) fn done(&self) -> bool {
        self.mode == Mode::Done
    }

    pub(crate) fn tick(
        &mut self,
        now: Tick,
        step: &crate::machine::Job<'_>,
        shared: &mut Shared,
        values: &mut crate::machine::Values,
        feed: &mut Feed,
    ) -> Result<Tick, Stop> {
        let next = now + shared.core_period;
        if self.mode == Mode::Done {
            self.activity.mark(shared.cycle, Cause::Host, Cause::Host);
            return Ok(Tick::MAX);
        }
        if now < self.start {
            self.activity.mark(shared.cycle, Cause::Host, Cause::Host);
            return Ok(self.start);
        }
        self.collect(now, shared);
        let (cause, wake) = self.advance(now, step, shared, values, feed)?;
        let requesting = self.request(now, shared);
        let after = if self.mode == Mode::Done { Cause::Host } else { cause };
        self.activity.mark(shared.cycle, cause, after);
        let mut wake = if requesting { next } else { wake };
        for lane in &shared.lanes {
            if let Some(&(ready, _)) = lane.replies[Master::Fetch as usize].front() {
                wake = wake.min(ready);
            }
        }
        Ok(wake)
    }

    fn advance(
        &mut self,
        now: Tick,
        step: &crate::machine::Job<'_>,
        shared: &mut Shared,
        values: &mut crate::machine::Values,
        feed: &mut Feed,
    ) -> Result<(Cause, Tick), Stop> {
        let next = now + shared.core_period;
        if matches!(self.mode, Mode::Fence | Mode::Halt) {
            if !self.drained(now, shared) {
                return Ok((Cause::Fence, Tick::MAX));
            }
            self.hints += 1;
            values.fence();
            self.mode = if self.mode == Mode::Fence { Mode::Run } else { Mode::Done };
            return Ok((Cause::Busy, if self.mode == Mode::Run { next } else { Tick::MAX }));
        }
        // While an operation waits for room in its queue the program goes on to be read.
        if self.pending.is_none() || self.is_short(step.program) {
            let block = u64::from(feed.look()) * WORD_BYTES / BLOCK;
            if !self.buffer.contains(&block) {
                self.start_fetch(block, step.program);
                // A word past the end has no block: the fault is the program's.
                if self.pending.is_none() && block * BLOCK < step.program.bytes() {
                    return Ok((Cause::Fetch, Tick::MAX));
                }
            } else if let Some(next) = self.ahead(block) {
                self.start_fetch(next, step.program);
            }
        }
        if self.pending.is_none() {
            let (pc, what, prototype) = feed.next(step).map_err(Stop::Fault)?;
            shared.work.instructions += 1;
            self.idle_words += 1;
            match what {
                Step::Control => {
                    if self.idle_words > LIVELOCK {
                        return Err(Stop::Livelock { pc, words: LIVELOCK });
                    }
                    return Ok((Cause::Busy, next));
                }
                Step::Fence => {
                    self.mode = Mode::Fence;
                    return Ok((Cause::Busy, next));
                }
                Step::Halt => {
                    self.mode = Mode::Halt;
                    return Ok((Cause::Busy, next));
                }
                Step::Dispatch(dispatch) => {
                    self.idle_words = 0;
                    values.execute(&dispatch).map_err(|kind| Stop::Fault(Fault { pc: dispatch.pc, kind }))?;
                    let instance = self.instance_of(step.marks[pc as usize], shared);
                    self.pending = Some(Job { dispatch, instance, prototype });
                }
            }
        }
        let Some(job) = self.pending else { return Ok((Cause::Busy, next)) };
        let queue = job.dispatch.queue;
        shared.waits(&job.dispatch)?;
        let link = &mut shared.queues[queue as usize];
        if !link.can_push(now) {
            return Ok((Cause::QueueFull, Tick::MAX));
        }
        link.push(now, job);
        shared.wakes.at(crate::shared::Unit::of(queue), next);
        self.dispatched[queue as usize] += 1;
        self.pending = None;
        Ok((Cause::Busy, next))
    }

    fn drained(&self, now: Tick, shared: &Shared) -> bool {
        (0..4).all(|q| shared.retired[q].get(now) - self.retired[q] == self.dispatched[q])
    }

    fn instance_of(&mut self, operator: u32, shared: &mut Shared) -> u32 {
        match self.instance {
            Some((current, instance)) if current == operator => instance,
            _ => {
                let instance = shared.instances.len() as u32;
                let pass = self.count_pass(operator);
                shared.instances.push(Instance::new(operator, pass));
                self.instance = Some((operator, instance));
                instance
            }
        }
    }

    /// Whether there is more of the program to read, and room for it.
    fn is_short(&self, program: &Program) -> bool {
        let whole = program.bytes().min(u64::from(self.config.buffer_bytes));
        self.fetch.is_none() && (self.buffer.len() as u64 + 1) * BLOCK <= whole.next_multiple_of(BLOCK)
    }

    /// What to fetch while `block` is executed: the one behind it; if that is there and there is room, the program goes on
    /// to be read.
    fn ahead(&self, block: u64) -> Option<u64> {
        if !self.buffer.contains(&(block + 1)) {
            return Some(block + 1);
        }
        let room = (self.buffer.len() as u64 + 1) * BLOCK <= u64::from(self.config.buffer_bytes);
        self.buffer.iter().max().filter(|_| room).map(|last| last + 1)
    }

    fn start_fetch(&mut self, block: u64, program: &Program) {
        if self.fetch.is_some() || block * BLOCK >= program.bytes() {
            return;
        }
        let end = ((block + 1) * BLOCK).min(program.bytes());
        self.fetch = Some(Fetch { block, next: self.base + block * BLOCK, end: self.base + end, waiting: 0 });
    }

    /// Sends the fetch's burst runs; true while some are left to send.
    fn request(&mut self, now: Tick, shared: &mut Shared) -> bool {
        let Some(fetch) = &mut self.fetch else { return false };
        let burst_bytes = shared.interleave.burst_bytes;
        let mut sent = 0u128;
        while fetch.next < fetch.end {
            let first = fetch.next / burst_bytes;
            let last = (fetch.end - 1) / burst_bytes;
            let (channel, burst, in_turn) = shared.interleave.locate(first);
            let bursts = u64::from(in_turn).min(last - first + 1);
            if sent >> channel & 1 != 0 || !shared.lanes[channel].can_ask(now, Master::Fetch) {
                return true;
            }
            shared.ask(now, channel, Master::Fetch, BurstRun { burst, bursts: bursts as u32, sequence: 0 });
            sent |= 1 << channel;
            let until = ((first + bursts) * burst_bytes).min(fetch.end);
            shared.bytes_read[lutsim_isa::ByteClass::Program as usize] += until - fetch.next;
            shared.bytes_read[lutsim_isa::ByteClass::Overfetch as usize] +=
                bursts * burst_bytes - (until - fetch.next);
            fetch.next = until;
            fetch.waiting += bursts;
        }
        false
    }

    fn collect(&mut self, now: Tick, shared: &mut Shared) {
        for lane in &mut shared.lanes {
            let replies = &mut lane.replies[Master::Fetch as usize];
            while replies.front().is_some_and(|&(ready, _)| ready <= now) {
                replies.pop_front();
                if let Some(fetch) = &mut self.fetch {
                    fetch.waiting -= 1;
                }
            }
        }
        if let Some(fetch) = self.fetch.take_if(|f| f.waiting == 0 && f.next == f.end) {
            if self.buffer.len() as u64 * BLOCK >= u64::from(self.config.buffer_bytes) {
                self.buffer.pop_front();
            }
            self.buffer.push_back(fetch.block);
        }
    }

    /// Walks everything but the words themselves; counts of operations begin at 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, shared: &mut Shared, program_bytes: u64) {
        w.address(&mut self.base, program_bytes);
        let mut bytes = program_bytes;
        w.exact(&mut bytes);
        w.clock(&mut self.start);
        let mut mode = self.mode as u8;
        w.small(&mut mode);
        self.mode = [Mode::Run, Mode::Fence, Mode::Halt, Mode::Done][usize::from(mode & 3)];
        w.queue(&mut self.buffer, |w, block| w.exact(block), || 0);
        let base = self.base;
        w.option(
            &mut self.fetch,
            |w, f| {
                w.exact(&mut f.block);
                w.exact(&mut f.waiting);
                for address in [&mut f.next, &mut f.end] {
                    w.since(address, base);
                    if w.reading() {
                        *address += base;
                    }
                }
            },
            || Fetch { block: 0, next: 0, end: 0, waiting: 0 },
        );
        w.optional_job(&mut self.pending);
        for (q, retired) in shared.retired.iter_mut().enumerate() {
            let mut under_way = self.dispatched[q] - (retired.total() - self.retired[q]);
            w.exact(&mut under_way);
            if w.reading() {
                retired.set(0);
                (self.retired[q], self.dispatched[q]) = (0, under_way);
            }
        }
        w.option(
            &mut self.instance,
            |w, (operator, instance)| {
                w.small(operator);
                w.execution(instance);
            },
            || (0, 0),
        );
        if w.reading() {
            self.hints = 0;
            self.idle_words = 0;
        }
        w.activity(&mut self.activity);
    }

    /// An execution of `operator` begins, without its words being executed.
    pub(crate) fn count_pass(&mut self, operator: u32) -> u32 {
        let pass = &mut self.passes[operator as usize];
        *pass += 1;
        *pass - 1
    }

    /// Executions of each operator that have begun.
    pub(crate) fn passes(&self) -> &[u32] {
        &self.passes
    }
    /// So many times more of each have begun.
    pub(crate) fn pass(&mut self, more: &[u32], times: u32) {
        self.passes.iter_mut().zip(more).for_each(|(pass, more)| *pass += times * more);
    }

    /// Executions of an operator that have begun.
    pub(crate) fn begun(&self, operator: u32) -> u32 {
        self.passes.get(operator as usize).copied().unwrap_or(0)
    }

    /// What it is doing, for a deadlock report.
    pub(crate) fn describe(&self, feed: &Feed) -> String {
        let at = match &self.pending {
            Some(job) => {
                format!("holds instruction {} for the full {} queue", job.dispatch.pc, job.dispatch.queue)
            }
            None => format!("is at instruction {}", feed.pc()),
        };
        match self.mode {
            Mode::Run => at,
            Mode::Fence => format!("{at}, behind a fence"),
            Mode::Halt => "has halted and waits for the queues to drain".into(),
            Mode::Done => "is done".into(),
        }
    }
}
