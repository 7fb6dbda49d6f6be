//! `run --trace`: what was looked at in a window of a run, as tracks and counters.

use lutsim_reports::perfetto::{Counter, Span, Timeline, Track};
use lutsim_sim::{Cause, TIMELINE_UNITS, Trace, Window};

use crate::device;
use crate::failure::UserError;
use crate::session::{Finished, Session};

/// Events of a trace at most: about 20 MB of JSON.
pub(crate) const MOST: usize = 200_000;

/// A simulated step of a run, for the track of operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `prefill chunk 0`, `decode step 3`.
    pub name: String,
    /// Core cycles at which it began and was over.
    pub cycles: (u64, u64),
    /// Operators in order of their last retirements: name, layer, core cycles.
    pub operators: Vec<(String, Option<u64>, u64)>,
}

/// A window as it is typed: `A..B`, each end core cycles or a time (`0..50000`, `1ms..1.2ms`); either may be left out.
///
/// # Errors
/// It is none.
pub(crate) fn window(text: &str, clock_hz: u64) -> Result<Window, UserError> {
    let wrong = |why: &str| UserError::Flag {
        flag: "--trace-window".into(),
        value: text.into(),
        why: why.into(),
        help: "write core cycles, `0..50000`, or times, `1ms..1.2ms`; either end may be left out".into(),
    };
    let (from, to) = text.split_once("..").ok_or_else(|| wrong("there is no `..` in it"))?;
    let end = |part: &str, empty: u64| -> Result<u64, UserError> {
        let part = part.trim();
        if part.is_empty() {
            return Ok(empty);
        }
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(part.len());
        let (number, unit) = (part[..digits].replace('_', ""), part[digits..].trim());
        let scale = match unit {
            "" => return number.parse().map_err(|_| wrong("an end is no whole number of core cycles")),
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            _ => return Err(wrong("units are ns, us, ms and s")),
        };
        let seconds = number.parse::<f64>().map_err(|_| wrong("an end is no number"))? * scale;
        Ok((seconds * clock_hz as f64).round() as u64)
    };
    let (from, to) = (end(from, 0)?, end(to, u64::MAX)?);
    match from < to {
        true => Ok(Window { from, to, most: MOST }),
        false => Err(wrong("it ends before it begins")),
    }
}

/// The file's text, and how it went in words.
///
/// # Errors
/// The window lies behind the run.
pub(crate) fn file(
    finished: &Finished,
    session: &Session,
    window: Window,
) -> Result<(String, String), UserError> {
    let chip = &session.chip.chip;
    let end = finished.steps.last().map_or(0, |s| s.cycles.1);
    let Some(trace) = finished.trace.as_ref().filter(|t| t.to > t.from) else {
        return Err(UserError::Refused {
            what: format!(
                "--trace-window begins at core cycle {}, the simulated steps end at {end}",
                window.from
            ),
            help: "choose an earlier window; --every-step simulates all steps".into(),
        });
    };
    let burst = f64::from(device::burst_bytes(chip));
    let mut tracks = vec![Track { name: "operators".into(), spans: operators(&finished.steps, trace) }];
    tracks.extend(TIMELINE_UNITS.iter().enumerate().map(|(unit, name)| {
        Track {
            name: (*name).into(),
            // What a unit idles is the gap in its track.
            spans: trace
                .slices
                .iter()
                .filter(|s| s.unit == unit && s.cause != Cause::Idle)
                .map(|s| Span { name: cause(name, s.cause).into(), from: s.from, to: s.to })
                .collect(),
        }
    }));
    let rates = |index: usize| -> Vec<(u64, f64)> {
        let bins = trace.bursts.windows(2);
        let rate = |from: &(u64, Vec<u64>), to: &(u64, Vec<u64>)| {
            let seconds = (to.0 - from.0) as f64 / chip.clock_hz as f64;
            (from.0, (to.1[index] - from.1[index]) as f64 * burst / seconds / 1e9)
        };
        let mut points: Vec<_> = bins.map(|pair| rate(&pair[0], &pair[1])).collect();
        points.push((trace.to, 0.0));
        points
    };
    let mut counters = vec![Counter { name: "DRAM, GB/s".into(), points: rates(0) }];
    counters.extend(
        (0..chip.dram.channels as usize)
            .map(|i| Counter { name: format!("dram.{i}, GB/s, all masters"), points: rates(i + 1) }),
    );
    for (queue, name) in ["load", "store", "lut", "vector"].into_iter().enumerate() {
        let points = trace.depths.iter().filter(|d| d.1 == queue).map(|d| (d.0, d.2 as f64)).collect();
        counters.push(Counter { name: format!("queue of {name}, instructions"), points });
    }
    let timeline = Timeline {
        title: format!("{} on {}", finished.record.workload.model, chip.name),
        hz: chip.clock_hz,
        tracks,
        counters,
        window: (trace.from, trace.to),
        cut: trace.cut,
    };
    let cut = match trace.cut {
        true => format!(": {MOST} events, no more are written; choose a later --trace-window for the rest"),
        false => String::new(),
    };
    let words = format!("trace of core cycles {} to {} of {end}{cut}", trace.from, trace.to);
    Ok((timeline.json(), words))
}

/// A cause as the record calls it: what the unpacker waits for is its input.
fn cause(unit: &str, cause: Cause) -> &'static str {
    match (unit, cause) {
        ("unpacker", Cause::Dram) => "input",
        (_, cause) => cause.name(),
    }
}

/// Steps, in them layers, in them operators; cut at the window.
fn operators(steps: &[Step], trace: &Trace) -> Vec<Span> {
    let clip = |name: String, from: u64, to: u64| {
        let (from, to) = (from.max(trace.from), to.min(trace.to));
        (from < to).then_some(Span { name, from, to })
    };
    let mut out = Vec::new();
    for step in steps {
        out.extend(clip(step.name.clone(), step.cycles.0, step.cycles.1));
        let mut at = step.cycles.0;
        for of_layer in step.operators.chunk_by(|a, b| a.1 == b.1) {
            let cycles: u64 = of_layer.iter().map(|o| o.2).sum();
            if let Some(layer) = of_layer[0].1 {
                out.extend(clip(format!("layer {layer}"), at, at + cycles));
            }
            for (name, _, cycles) in of_layer {
                out.extend(clip(name.clone(), at, at + cycles));
                at += cycles;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_cycles_or_times() {
        let of = |text: &str| window(text, 2_000_000_000).map(|w| (w.from, w.to)).map_err(|e| e.to_string());
        assert_eq!(of("10..1_000"), Ok((10, 1000)));
        assert_eq!(of(".."), Ok((0, u64::MAX)));
        assert_eq!(of("1us..1.5 us"), Ok((2000, 3000)));
        for (text, why) in [
            ("5", "no `..`"),
            ("9..9", "ends before"),
            ("1x..", "units are"),
            ("1.5..", "no whole"),
            (".ms..", "no number"),
        ] {
            assert!(of(text).unwrap_err().contains(why), "{text}: {:?}", of(text));
        }
    }
}
