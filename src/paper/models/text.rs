//! The document: tables of what ran, and what was found when they were looked at.

use std::fmt::Write;

use lutsim_record::OperatorRecord;
use lutsim_reports::quantity::digits;

use super::{ATTENTION, CHIPS, DECODE, Job, PREFILL, Run, is_attention, operations, runs};
use crate::session::Error;

/// Residual of a speed-up beyond which it is said to be outside.
const BOUND: f64 = 0.25;

/// The text of docs/validation-a100.md: minutes of running.
///
/// # Errors
/// As [`super::on_gang`].
pub fn a100_markdown() -> Result<String, Error> {
    let mut out = String::from(HEAD);
    let jobs = [
        ("Prefill: one sequence of 2048 tokens", "", &PREFILL),
        ("Decode: one token of each of 1024 sequences", " in one of four steps", &DECODE),
    ];
    for (title, step, job) in jobs {
        let runs = runs(job)?;
        let _ = write!(out, "\n## {title}\n\n");
        speed_ups(&mut out, job, &runs);
        out.push_str(
            "\nMilliseconds, and how much of the published peak they are for the products' operations:\n\n",
        );
        times(&mut out, job, &runs);
        let _ = write!(out, "\nCore cycles of a layer{step}, and the busiest unit:\n\n");
        layer(&mut out, &runs);
    }
    out.push_str(WHY);
    Ok(out)
}

/// Speed-ups and residuals: as a GPU runs attention, on one gang, without attention.
fn speed_ups(out: &mut String, job: &Job, runs: &[Run]) {
    out.push_str(
        "| chip | published | ours | residual | all on one gang | residual | without attention | residual |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let kinds = |run: &Run| {
        let [others, apart, gang] = run.milliseconds(job);
        [others + apart, gang, others]
    };
    let base = kinds(&runs[0]);
    for (chip, run) in CHIPS.iter().zip(runs).skip(1) {
        let published = CHIPS[0].published[job.index] / chip.published[job.index];
        let _ = write!(out, "| `{}` | {published:.2} |", chip.name);
        for (base, ours) in base.iter().zip(kinds(run)) {
            let speed = base / ours;
            let off = speed / published - 1.0;
            let mark = if off.abs() > BOUND { " **outside**" } else { "" };
            let _ = write!(out, " {speed:.2} | {:+.0} %{mark} |", 100.0 * off);
        }
        out.push('\n');
    }
}

/// Milliseconds and shares of the peak.
fn times(out: &mut String, job: &Job, runs: &[Run]) {
    out.push_str(
        "| chip | published | of peak | products, norms, head | of peak | attention | both | of peak | all on one gang |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (chip, run) in CHIPS.iter().zip(runs) {
        let [others, apart, gang] = run.milliseconds(job);
        let of_peak = |ms: f64| 100.0 * operations(job) / (ms * 1e-3) / (chip.peak * 1e12);
        let published = chip.published[job.index];
        let _ = writeln!(
            out,
            "| `{}` | {} | {:.0} % | {} | {:.0} % | {} | {} | {:.0} % | {} |",
            chip.name,
            digits(published),
            of_peak(published),
            digits(others),
            of_peak(others),
            digits(apart),
            digits(others + apart),
            of_peak(others + apart),
            digits(gang),
        );
    }
}

/// What the second layer took, which has one before it, operator by operator; and attention on its part.
fn layer(out: &mut String, runs: &[Run]) {
    let _ = writeln!(out, "| operator | {} |", CHIPS.map(|chip| format!("`{}`", chip.name)).join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(CHIPS.len()));
    let second = |o: &&OperatorRecord| o.layer == Some(1);
    let mut row = |name: &str, what: &str, operators: fn(&Run) -> &[OperatorRecord]| {
        let cell = |run| {
            let found = operators(run).iter().filter(second).find(|o| o.name == name);
            found.map_or_else(String::new, |o| format!("{} {}", o.cycles, o.busiest))
        };
        let cells: Vec<String> = runs.iter().map(cell).collect();
        let _ = writeln!(out, "| {name}{what} | {} |", cells.join(" | "));
    };
    for operator in runs[0].gang.iter().filter(second) {
        let what = if is_attention(operator) { ", one gang" } else { "" };
        row(&operator.name, what, |run| &run.gang);
    }
    ATTENTION.iter().for_each(|name| row(name, ", a part", |run| &run.part));
}

const HEAD: &str = include_str!("head.md");
const WHY: &str = include_str!("why.md");
