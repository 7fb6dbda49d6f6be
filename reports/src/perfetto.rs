//! A timeline as Chrome trace JSON, which ui.perfetto.dev opens: a track per unit, operators in layers in steps, counters.
//!
//! Times are whole picoseconds, written as microseconds, so that what lies inside something still does when it is written.
//! Slices of a track nest or are apart; sums over a track are exact in the `cycles` of its slices.

use std::fmt::Write;

use serde_json::json;

/// A slice of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its name: a cause, an operator, a layer, a step.
    pub name: String,
    /// First core cycle.
    pub from: u64,
    /// Core cycle behind the last.
    pub to: u64,
}

/// A track of slices, those that hold others before those that they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// Its slices.
    pub spans: Vec<Span>,
}

/// Numbers over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// Its name, with the unit.
    pub name: String,
    /// Core cycle and number, which holds until the next.
    pub points: Vec<(u64, f64)>,
}

/// Everything that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// What ran on what.
    pub title: String,
    /// Core clock, Hz.
    pub hz: u64,
    /// Tracks from top to bottom.
    pub tracks: Vec<Track>,
    /// Counters below them.
    pub counters: Vec<Counter>,
    /// The window, core cycles.
    pub window: (u64, u64),
    /// Whether there were too many events to go on to the window's end.
    pub cut: bool,
}

impl Timeline {
    /// The JSON text; the same timeline gives the same bytes.
    pub fn json(&self) -> String {
        let ps = |cycle: u64| u128::from(cycle) * 1_000_000_000_000 / u128::from(self.hz.max(1));
        let us = |ps: u128| format!("{}.{:06}", ps / 1_000_000, ps % 1_000_000);
        let other = json!({
            "title": self.title,
            "core_clock_hz": self.hz,
            "first_core_cycle": self.window.0,
            "core_cycle_behind_the_last": self.window.1,
            "cut": self.cut,
        });
        let mut out = format!("{{\"displayTimeUnit\":\"ns\",\"otherData\":{other},\"traceEvents\":[\n");
        let _ = write!(
            out,
            "{}",
            json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": self.title } })
        );
        for (i, track) in self.tracks.iter().enumerate() {
            let tid = i + 1;
            let name = json!({ "ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": { "name": track.name } });
            let sort = json!({ "ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": { "sort_index": tid } });
            let _ = write!(out, ",\n{name},\n{sort}");
            for span in &track.spans {
                let (from, to) = (ps(span.from), ps(span.to));
                let _ = write!(
                    out,
                    ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":{tid},\"ts\":{},\"dur\":{},\"name\":{},\"args\":{{\"cycles\":{}}}}}",
                    us(from),
                    us(to - from),
                    json!(span.name),
                    span.to - span.from
                );
            }
        }
        for counter in &self.counters {
            for (cycle, value) in &counter.points {
                let _ = write!(
                    out,
                    ",\n{{\"ph\":\"C\",\"pid\":1,\"ts\":{},\"name\":{},\"args\":{{\"value\":{}}}}}",
                    us(ps(*cycle)),
                    json!(counter.name),
                    json!(value)
                );
            }
        }
        out + "\n]}\n"
    }
}
