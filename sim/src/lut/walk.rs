//! The gang's state relative to now.

use lutsim_isa::Op;

use super::{DRAIN_PORTS, DrainTask, Draining, Group, Lut, OPERANDS, Pass};
use crate::leap::Walk;
use crate::shared::Shared;

impl Lut {
    /// Walks what is under way; counts of scratchpad runs begin at 0 when it is read.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>, shared: &Shared) {
        let pad = &shared.scratchpad;
        let base = OPERANDS.map(|port| pad.finished_by_now(port));
        let drain_base = DRAIN_PORTS.map(|port| pad.finished_by_now(port));
        let group = |w: &mut Walk<'_>, g: &mut Group| {
            w.exact(&mut g.cycles);
            g.late.iter_mut().for_each(|late| w.exact(late));
            w.exact(&mut g.drain_cycles);
            g.runs.iter_mut().zip(base).for_each(|(runs, base)| w.since(runs, base));
            w.optional_job(&mut g.ends);
        };
        let mut pass = self.pass.map(|pass| (pass.job, pass.next));
        w.option(
            &mut pass,
            |w, (job, next)| {
                w.job(job);
                w.small(next);
            },
            || (Walk::blank_job(), 0),
        );
        self.pass = pass.and_then(|(job, next)| match job.dispatch.op {
            Op::Lmma { ty, a, w, grid, .. } => {
                Pass::new(job, ty, a, w, grid, &self.config).map(|pass| Pass { next, ..pass })
            }
            _ => None,
        });
        w.option(&mut self.staged, group, Group::default);
        w.option(
            &mut self.active,
            |w, (g, until)| {
                group(w, g);
                w.clock(until);
            },
            Default::default,
        );
        w.queue(&mut self.drain, |w, task| task.walk(w), || DrainTask::Group { cycles: 0, ends: None });
        w.option(
            &mut self.draining,
            |w, d| {
                w.clock(&mut d.until);
                d.runs.iter_mut().zip(drain_base).for_each(|(runs, base)| w.since(runs, base));
                w.optional_job(&mut d.ends);
                w.flag(&mut d.group);
            },
            || Draining { until: 0, runs: [0; 2], ends: None, group: false },
        );
        w.small(&mut self.full);
        w.queue(
            &mut self.retiring,
            |w, (at, job)| {
                w.clock(at);
                w.job(job);
            },
            || (0, Walk::blank_job()),
        );
        if w.reading() {
            self.posted = OPERANDS.map(|port| pad.posted(port));
            self.drain_posted = DRAIN_PORTS.map(|port| pad.posted(port));
        }
        w.activity(&mut self.activity);
        w.activity(&mut self.drain_activity);
    }
}

impl DrainTask {
    fn walk(&mut self, w: &mut Walk<'_>) {
        // Which it is, and a group's cycles; all else is in the job.
        let (mut kind, mut cycles, mut job) = match *self {
            DrainTask::Group { cycles, ends } => (0u32, cycles, ends),
            DrainTask::Token { job } => (1, 0, Some(job)),
            DrainTask::WriteOut { job, .. } => (2, 0, Some(job)),
        };
        w.small(&mut kind);
        w.exact(&mut cycles);
        w.optional_job(&mut job);
        *self = match (kind, job) {
            (1, Some(job)) => DrainTask::Token { job },
            (2, Some(job)) => match job.dispatch.op {
                Op::Drain { mode, o, grid, .. } => DrainTask::WriteOut { job, o, grid, mode },
                _ => DrainTask::Token { job },
            },
            (_, ends) => DrainTask::Group { cycles, ends },
        };
    }
}
