//! How far a sweep is: what journals hold, and what running processes say of themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lutsim_sweep::journal::Status;
use lutsim_sweep::table::count;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output;
use crate::sweep;

/// What a running process says of itself, once a second, in `DIR/live`; no result depends on it.
pub(super) struct Live {
    path: PathBuf,
    said: Instant,
    state: State,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// Seconds since 1970.
    begun: f64,
    now: f64,
    wanted: usize,
    over: usize,
    failed: usize,
}

/// How often it says so.
const EVERY: Duration = Duration::from_secs(1);
/// After so many seconds of silence a process is taken for dead.
const SILENCE: f64 = 30.0;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

impl Live {
    pub(super) fn new(dir: &Path, journal: &Path, wanted: usize) -> Self {
        let name = journal.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let state = State { begun: now(), now: now(), wanted, over: 0, failed: 0 };
        let live = Self { path: dir.join("live").join(format!("{name}.json")), said: Instant::now(), state };
        live.say();
        live
    }
    /// For people only: what cannot be written is left.
    fn say(&self) {
        let work = self.path.with_extension("unfinished");
        let Ok(text) = serde_json::to_string(&self.state) else { return };
        let folder = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = folder
            .and_then(|()| std::fs::write(&work, text))
            .and_then(|()| std::fs::rename(&work, &self.path));
    }
    pub(super) fn over(&mut self, status: Status) {
        self.state.over += 1;
        self.state.failed += usize::from(status == Status::Failed);
    }
    pub(super) fn tick(&mut self) {
        if self.said.elapsed() > EVERY {
            self.said = Instant::now();
            self.state.now = now();
            self.say();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Prints how far a sweep is.
pub(super) fn status(dir: &Path) -> Result<(), Failure> {
    let (plan, _) = sweep::read_plan(dir)?;
    let results = super::results(dir, &plan.key())?;
    let counts = count(&plan, &results);
    let mut text = sweep::words(&counts) + "\n";
    let running = live(dir);
    if !running.is_empty() {
        let rate: f64 = running.iter().map(|s| s.over as f64 / (s.now - s.begun).max(0.1)).sum();
        let left: usize = running.iter().map(|s| s.wanted.saturating_sub(s.over)).sum();
        text += &format!("{} running, {rate:.2} points/s", running.len());
        if rate > 0.0 {
            text += &format!(", {} left there, {:.0} s to go", left, left as f64 / rate);
        }
        text.push('\n');
    }
    results.damage.iter().for_each(|line| text += &format!("warning: {line}\n"));
    output::print(&text)
}

fn live(dir: &Path) -> Vec<State> {
    let Ok(entries) = std::fs::read_dir(dir.join("live")) else { return Vec::new() };
    let paths = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
    let states = paths.filter_map(|p| serde_json::from_str::<State>(&std::fs::read_to_string(p).ok()?).ok());
    states.filter(|s| now() - s.now < SILENCE).collect()
}
