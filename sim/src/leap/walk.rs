//! The machine's state relative to now: what the memory's [`Canon`] cannot know, jobs and counters of the core.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use lutsim_dram::Canon;
use lutsim_isa::{Dispatch, Op, Queue};

use crate::activity::{Activity, Cause};
use crate::feed::Prototypes;
use crate::link::{Link, Tick};
use crate::rows::{Rows, dram_rows};
use crate::shared::Job;

/// A walk over the machine.
pub(crate) struct Walk<'a> {
    pub(crate) canon: &'a mut Canon,
    pub(crate) prototypes: &'a Prototypes,
    /// Token ids that `gather` reads.
    pub(crate) mailbox: &'a [u32],
    /// Executions of operators so far: jobs count back from here.
    pub(crate) instances: u32,
    /// How far back any of them counts.
    pub(crate) oldest: u32,
    /// The next core cycle.
    pub(crate) cycle: u64,
    /// Of a burst's number in its channel: where its row begins.
    pub(crate) row_bit: u32,
}

impl Deref for Walk<'_> {
    type Target = Canon;
    fn deref(&self) -> &Canon {
        self.canon
    }
}
impl DerefMut for Walk<'_> {
    fn deref_mut(&mut self) -> &mut Canon {
        self.canon
    }
}

/// A job that is about to be read.
const BLANK: Job = Job {
    dispatch: Dispatch { queue: Queue::Load, wait: None, signal: None, op: Op::Sync, pc: 0 },
    instance: 0,
    prototype: 0,
};

impl Walk<'_> {
    pub(crate) fn job(&mut self, job: &mut Job) {
        self.canon.small(&mut job.prototype);
        self.execution(&mut job.instance);
        if self.canon.reading()
            && let Some(dispatch) = self.prototypes.dispatch(job.prototype)
        {
            job.dispatch = *dispatch;
        }
        let mailbox = self.mailbox;
        let canon = &mut *self.canon;
        addresses(&mut job.dispatch.op, mailbox, |address, bytes| canon.address(address, bytes));
    }
    /// The number of an execution of an operator.
    pub(crate) fn execution(&mut self, instance: &mut u32) {
        let mut back = self.instances.wrapping_sub(*instance);
        self.canon.small(&mut back);
        *instance = self.instances - back;
        self.oldest = self.oldest.max(back);
    }
    pub(crate) fn optional_job(&mut self, job: &mut Option<Job>) {
        self.option(job, |w, j| w.job(j), || BLANK);
    }
    pub(crate) fn blank_job() -> Job {
        BLANK
    }
    /// Something that may be there.
    pub(crate) fn option<T>(
        &mut self,
        value: &mut Option<T>,
        each: impl FnOnce(&mut Self, &mut T),
        blank: impl FnOnce() -> T,
    ) {
        let mut some = value.is_some();
        self.flag(&mut some);
        if !some {
            *value = None;
        } else {
            each(self, value.get_or_insert_with(blank));
        }
    }
    /// A queue of something.
    pub(crate) fn queue<T>(
        &mut self,
        values: &mut VecDeque<T>,
        mut each: impl FnMut(&mut Self, &mut T),
        mut blank: impl FnMut() -> T,
    ) {
        let mut len = values.len();
        self.size(&mut len);
        if self.reading() {
            values.clear();
            values.extend((0..len).map(|_| blank()));
        }
        values.iter_mut().for_each(|value| each(self, value));
    }
    /// A link: all that is in it is visible from now on.
    pub(crate) fn link<T>(
        &mut self,
        link: &mut Link<T>,
        mut each: impl FnMut(&mut Self, &mut T),
        mut blank: impl FnMut() -> T,
    ) {
        let now = self.now;
        self.queue(link.entries(), |w, (_, value)| each(w, value), || (now, blank()));
    }
    /// An account: what has been charged stays.
    pub(crate) fn activity(&mut self, activity: &mut Activity) {
        let cycle = self.cycle;
        self.account(activity, cycle);
    }
    /// The same, its next cycle given.
    pub(crate) fn account(&mut self, activity: &mut Activity, next: u64) {
        let mut cause = activity.cause() as u8;
        self.small(&mut cause);
        if self.reading() {
            activity.resume(next, Cause::ALL[cause as usize % Cause::ALL.len()]);
        }
    }
    /// A moment that something may wait for.
    pub(crate) fn optional_clock(&mut self, at: &mut Option<Tick>) {
        self.option(at, |w, at| w.clock(at), || 0);
    }
}

/// Every address in DRAM of an operation, with the bytes from there on that it may ask for.
pub(crate) fn addresses(op: &mut Op, mailbox: &[u32], mut each: impl FnMut(&mut u64, u64)) {
    let Rows { stride, bytes, rows, .. } = dram_rows(op);
    match op {
        Op::Load { addr, .. } | Op::Store { addr, .. } => {
            each(addr, rows.saturating_sub(1).saturating_mul(stride).saturating_add(bytes));
        }
        Op::Gather { addr, first, .. } => {
            let base = *addr;
            each(addr, 1);
            for row in 0..rows {
                let id = mailbox.get(*first as usize + row as usize).copied().unwrap_or(0);
                each(&mut (base + u64::from(id) * stride), bytes);
            }
        }
        _ => {}
    }
}
