//! Running the points of a plan.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lutsim_sweep::exec::{self, Limits, Watch};
use lutsim_sweep::journal::{Entry, Journal, Status};
use lutsim_sweep::plan::Point;

use super::status::Live;
use super::{How, Sweep};
use crate::failure::{Failure, UserError};
use crate::output;
use crate::progress::Count;
use crate::resolve::why;
use crate::sweep::{Memo, Records, Runner};

/// Time that a point has to stop once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What became of the points that were to be run.
pub(super) struct Ran {
    wanted: usize,
    before: usize,
    infeasible: usize,
    /// Those that took what another's machine had done.
    shared: usize,
    /// Those that failed: why, and the command that runs them alone.
    failed: Vec<(String, String)>,
    seconds: f64,
}

impl Ran {
    /// In words; how long it took is for people only.
    pub(super) fn words(&self) -> String {
        let mut text = match self.wanted {
            0 => format!("nothing to run: {} points are finished", self.before),
            1 => format!("ran 1 point in {:.1} s", self.seconds),
            n => format!("ran {n} points in {:.1} s", self.seconds),
        };
        if self.before > 0 && self.wanted > 0 {
            text += &format!(", {} were finished before", self.before);
        }
        if self.shared > 0 {
            text += &format!("; {} took what another's machine had done", self.shared);
        }
        if self.infeasible > 0 {
            text += &format!("; {} cannot be run", self.infeasible);
        }
        if !self.failed.is_empty() {
            text += &format!("; {} FAILED", self.failed.len());
        }
        text
    }
    /// How many failed.
    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }
    /// Exit code 4 if a point failed.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        for (why, command) in &self.failed {
            output::say(&format!("failed: {why}\n  {command}"));
        }
        if self.failed.is_empty() { Ok(()) } else { Err(Failure::Points) }
    }
}

struct Bar {
    count: Count,
    live: Live,
}

impl Watch for Bar {
    fn over(&mut self, _: &Point, entry: &Entry) {
        self.count.one();
        self.live.over(entry.status);
    }
    fn tick(&mut self) {
        self.live.tick();
    }
}

/// Runs the points of a shard that are not finished.
pub(super) fn run(sweep: Sweep, dir: &Path, shard: (usize, usize), how: &How) -> Result<Ran, Failure> {
    let timeout = how.timeout()?;
    let refuse = |path: &Path, e: &std::io::Error| {
        Failure::from(UserError::Write { path: path.display().to_string(), why: why(e) })
    };
    let key = sweep.plan.key();
    let results = super::results(dir, &key)?;
    results.damage.iter().for_each(|line| output::say(&format!("warning: {line}")));
    let mut wanted = sweep.plan.shard(shard.0, shard.1);
    let all = wanted.len();
    wanted.retain(|&i| !results.finished(&sweep.plan.points[i].id));
    let before = all - wanted.len();
    wanted.truncate(how.most.unwrap_or(usize::MAX));
    let mut ran =
        Ran { wanted: wanted.len(), before, infeasible: 0, shared: 0, failed: Vec::new(), seconds: 0.0 };
    if wanted.is_empty() {
        return Ok(ran);
    }
    let (mut journal, path) =
        Journal::create(dir, shard, &key).map_err(|e| refuse(&dir.join("shards"), &e))?;
    let records = how.keeps(&sweep.plan).then(|| Records(dir.join("records")));
    let measured = sweep.plan.header.measured.clone();
    let cache = how.cache.as_deref().map(Records::cache).transpose()?;
    let runner = Arc::new(Runner { setup: sweep.setup, measured, records, cache, memo: Memo::default() });
    let plan = Arc::new(sweep.plan);
    let mut bar =
        Bar { count: Count::new("points", wanted.len() as u64), live: Live::new(dir, &path, wanted.len()) };
    let limits = Limits { threads: how.threads(), point: timeout, grace: GRACE };
    let begin = Instant::now();
    let mut keep = |point: &Point, entry: Entry| {
        let entry = match journal.write(&entry) {
            Ok(()) => entry,
            Err(e) => {
                let reason = format!("its result cannot be written to `{}`: {}", path.display(), why(&e));
                Entry { status: Status::Failed, cells: Vec::new(), reason: Some(reason), ..entry }
            }
        };
        match entry.status {
            Status::Done => {}
            Status::Infeasible => ran.infeasible += 1,
            Status::Failed => {
                let reason = entry.reason.clone().unwrap_or_default();
                ran.failed.push((reason, runner.setup.command(&point.set)));
            }
        }
        entry
    };
    exec::exec(&plan, wanted, limits, &runner, &mut bar, &mut keep).map_err(|e| refuse(dir, &e))?;
    bar.count.finish();
    journal.sync().map_err(|e| refuse(&path, &e))?;
    ran.shared = runner.memo.shared();
    ran.seconds = begin.elapsed().as_secs_f64();
    Ok(ran)
}
