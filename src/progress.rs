//! How far a run is, on stderr; nothing where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;
use crate::session::Progress;

/// A line that moves, or with `-v` a line per step.
pub(crate) struct Bar {
    bar: ProgressBar,
    verbose: bool,
}

impl Bar {
    pub(crate) fn new(verbose: u8) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, verbose: verbose > 0 }
    }
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn step(&self, stage: &str, done: u64, all: Option<u64>) {
        let line = match all {
            Some(all) => format!("{stage}: step {} of {all}", done + 1),
            None => format!("{stage}: measurement {}", done + 1),
        };
        if self.verbose {
            self.bar.suspend(|| output::say(&line));
        }
        self.bar.set_message(line);
    }
}

/// How many of a known number are done.
pub(crate) struct Count(ProgressBar);

impl Count {
    pub(crate) fn new(what: &str, all: u64) -> Self {
        let bar = ProgressBar::new(all);
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {pos} of {len} {msg} [{elapsed}, {eta} left]")
        {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }
    pub(crate) fn one(&self) {
        self.0.inc(1);
    }
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}
