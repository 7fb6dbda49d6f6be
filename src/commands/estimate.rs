//! `lutsim estimate`: a point in microseconds, and what that is worth.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_reports::quantity::{digits, percent, si};
use lutsim_reports::table::{Align, Table};
use lutsim_reports::{Ceiling, Line, lines_svg, png};
use lutsim_sim::chip_file::ChipFile;
use lutsim_sim::chip_file::Override;

use super::run::{Phase, WorkloadArgs};
use crate::cli::ChipArgs;
use crate::estimate::{self, Estimate};
use crate::failure::{Failure, HostFault, UserError};
use crate::output::{self, OutFile};
use crate::progress::Count;
use crate::session::Session;
use crate::{device, resolve};

/// Estimate a run in microseconds: a roofline of its parts with the chip's known overheads, nothing simulated.
#[derive(Debug, Args)]
pub struct EstimateCommand {
    #[command(flatten)]
    chip: ChipArgs,
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Which phases
    #[arg(long, value_enum, default_value_t = Phase::All)]
    phase: Phase,
    /// Draw the chip's roofline with operating lines (decode as the batch and as the context grow, prefill as the prompt does) to this
    /// SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The same as PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long)]
    force: bool,
    /// Run a list of points exactly too, and print each one's error as Markdown (docs/estimate.md); takes minutes
    #[arg(long, conflicts_with_all = ["json", "svg", "png", "config", "sets"])]
    measure: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Say on stderr how long it took
    #[arg(short, long)]
    verbose: bool,
}

impl EstimateCommand {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        if self.measure {
            return output::print(&measured()?);
        }
        let chip = self.chip.resolve(self.workload.overrides())?;
        let model = resolve::model(&chip.workload.model)?;
        let session = Session { phase: self.phase.into(), ..Session::new(chip, model) };
        let fresh =
            |path: &Option<PathBuf>| path.as_deref().map(|p| OutFile::fresh(p, self.force)).transpose();
        if self.svg.is_some() && self.svg == self.png {
            let what = "--svg and --png name the same file";
            return Err(UserError::Refused { what: what.into(), help: "give each its own".into() }.into());
        }
        let (svg, picture) = (fresh(&self.svg)?, fresh(&self.png)?);
        let begin = Instant::now();
        let found = estimate::estimate(&session).map_err(HostFault::from)?;
        if self.verbose {
            output::say(&timed(&session, begin.elapsed().as_secs_f64())?);
        }
        if svg.is_some() || picture.is_some() {
            let drawn = drawing(&session);
            if let Some(file) = svg {
                file.commit(drawn.as_bytes())?;
            }
            if let Some(file) = picture {
                file.commit(&png(&drawn, 2.0).unwrap_or_else(|e| panic!("{e}")))?;
            }
        }
        match self.json {
            true => output::print(&json(&found)),
            false => output::print(&text(&session, &found)),
        }
    }
}

/// How long it took, and how long it takes once the mapping is known: the mean of a thousand.
fn timed(session: &Session, whole: f64) -> Result<String, Failure> {
    let known = estimate::Known::of(&session.chip);
    let mapping = Mapping::default_for(&known.target, &session.model, &session.workload());
    let mapping = mapping.map_err(HostFault::from)?;
    let begin = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(estimate::of_mapping(session, &known, &mapping));
    }
    let each = begin.elapsed().as_secs_f64() / 1000.0;
    Ok(format!("{} with the choice of a mapping, {} without (mean of 1000)", si(whole, "s"), si(each, "s")))
}

fn phases(found: &Estimate) -> impl Iterator<Item = (&'static str, estimate::Phase)> {
    [("prefill", found.prefill), ("decode", found.decode)]
        .into_iter()
        .filter_map(|(name, p)| Some((name, p?)))
}

fn text(session: &Session, found: &Estimate) -> String {
    let mut out =
        format!("{} on {}: estimated, nothing was simulated\n", session.model.name, session.chip.chip.name);
    let mut table = Table::new(&[
        ("", Align::Left),
        ("tokens/s", Align::Right),
        ("time", Align::Right),
        ("DRAM alone", Align::Right),
        ("LUT cores", Align::Right),
        ("vector unit", Align::Right),
        ("pipelines", Align::Right),
        ("host", Align::Right),
        ("bound", Align::Left),
    ]);
    for (name, p) in phases(found) {
        table.row([
            name.to_owned(),
            digits(p.tokens_per_second()),
            si(p.seconds, "s"),
            si(p.sum.dram, "s"),
            si(p.sum.lut, "s"),
            si(p.sum.vector, "s"),
            si(p.sum.pipelines, "s"),
            si(p.sum.host, "s"),
            p.bound.to_owned(),
        ]);
    }
    out.push_str(&table.render());
    if let Some(t) = found.first_token {
        out.push_str(&format!("  time to first token: {}\n", si(t, "s")));
    }
    out + "  its error against exact runs: docs/estimate.md, or `lutsim estimate --measure`\n"
}

fn json(found: &Estimate) -> String {
    let phase = |p: Option<estimate::Phase>| {
        p.map(|p| {
            serde_json::json!({
                "tokens": p.tokens,
                "seconds": p.seconds,
                "tokens_per_second": p.tokens_per_second(),
                "dram_seconds": p.sum.dram,
                "lut_seconds": p.sum.lut,
                "vector_seconds": p.sum.vector,
                "pipeline_seconds": p.sum.pipelines,
                "host_seconds": p.sum.host,
                "dram_bytes": p.sum.bytes,
                "macs": p.sum.macs,
                "bound": p.bound,
            })
        })
    };
    let all = serde_json::json!({
        "prefill": phase(found.prefill),
        "time_to_first_token_seconds": found.first_token,
        "decode": phase(found.decode),
    });
    format!("{all:#}\n")
}

/// The session with other lengths; none where they do not fit.
fn with(session: &Session, sets: &[(&str, u32)]) -> Option<Estimate> {
    let sets: Result<Vec<_>, _> =
        sets.iter().map(|(key, n)| Override::set(&format!("workload.{key}={n}"))).collect();
    let chip = session.chip.with(&sets.ok()?).ok()?;
    estimate::estimate(&Session::new(chip, session.model.clone())).ok()
}

/// Powers of two from `from` to `to`.
fn doubling(from: u32, to: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(from), |n| n.checked_mul(2)).take_while(move |n| *n <= to)
}

fn drawing(session: &Session) -> String {
    let w = &session.chip.workload;
    let most = session.model.context;
    let context = (w.context + w.prompt).min(most.saturating_sub(1)).max(1);
    let spot = |p: estimate::Phase| (2.0 * p.sum.macs / p.sum.bytes, 2.0 * p.sum.macs / p.seconds);
    let line = |name: String, points: Vec<(String, Option<estimate::Phase>)>| Line {
        name,
        points: points.into_iter().map_while(|(label, p)| p.map(spot).map(|(x, y)| (label, x, y))).collect(),
    };
    let decode = |batch: u32, context: u32| {
        with(session, &[("batch", batch), ("context", context), ("prompt", 0), ("generate", 1)])?.decode
    };
    let lines = vec![
        line(
            format!("decode at {context} tokens, batch 1 and on"),
            doubling(1, 1024).map(|b| (format!("{b}"), decode(b, context))).collect(),
        ),
        line(
            format!("decode at batch {}, 128 tokens and on", w.batch),
            doubling(128, most - 1).map(|c| (format!("{c}"), decode(w.batch, c))).collect(),
        ),
        line(
            "prefill of 2 tokens and on".into(),
            doubling(2, most)
                .map(|n| {
                    let found =
                        with(session, &[("batch", 1), ("context", 0), ("prompt", n), ("generate", 0)]);
                    (format!("{n}"), found.and_then(|e| e.prefill))
                })
                .collect(),
        ),
    ];
    let (chip, bits) = (&session.chip.chip, w.weights.planes().len());
    let lut = chip.lut;
    let macs = f64::from(lut.cores) * f64::from(lut.m) * f64::from(lut.n) * f64::from(lut.k);
    let peak = Ceiling {
        label: format!("{bits} planes ({})", w.weights),
        ops_per_s: 2.0 * macs * chip.clock_hz as f64 / f64::from(lut.kind.steps(bits as u32).max(1)),
    };
    let title = format!("{} on {}: operating lines", session.model.name, chip.name);
    let subtitle = format!(
        "weights {}, KV cache {}; estimated: the labels are batch, context and prompt",
        w.weights, w.kv
    );
    lines_svg((&title, &subtitle), device::dram_peak(chip), &peak, &lines).unwrap_or_else(|e| panic!("{e}"))
}

/// Points that are measured: chip, and what is set.
const POINTS: &[(&str, &str)] = &[
    ("snapdragon_like", "model=llama-2-7b weights=int2 prompt=128 generate=1"),
    ("snapdragon_like", "model=llama-2-7b weights=int1 prompt=128 generate=1"),
    ("snapdragon_like", "model=llama-2-7b weights=int4 prompt=128 generate=1"),
    ("snapdragon_like", "model=llama-2-7b weights=int4 prompt=0 context=2047 generate=1"),
    ("snapdragon_like", "model=llama-3.2-1b weights=int2 prompt=512 generate=1"),
    ("snapdragon_like", "model=bitnet-b1.58-2b4t weights=int1.58 prompt=128 generate=1"),
    ("snapdragon_like", "model=qwen2.5-0.5b weights=int4 prompt=0 context=511 generate=1 batch=4"),
    ("pi_like", "model=llama-3.2-1b weights=int2 prompt=64 generate=1"),
    ("pi_like", "model=bitnet-b1.58-2b4t weights=int1.58 prompt=0 context=127 generate=1"),
    ("laptop_like", "model=llama-3-8b weights=int2 prompt=128 generate=1"),
    ("laptop_like", "model=llama-2-13b weights=int4 prompt=0 context=511 generate=1"),
    ("server_like", "model=llama-2-7b weights=int2 prompt=128 generate=1"),
    ("server_like", "model=llama-2-7b weights=int4 prompt=0 context=511 generate=1 batch=8"),
    ("tiny", "model=tiny-2l weights=int2 group=32 prompt=8 generate=1"),
    ("tiny", "model=tiny-2l weights=int4 group=32 prompt=64 generate=1 batch=2"),
];

/// The session of a point.
///
/// # Panics
/// A point of our own list that does not make sense.
pub(crate) fn point(chip: &str, sets: &str) -> Session {
    let sets: Vec<Override> = sets
        .split(' ')
        .map(|s| Override::set(&format!("workload.{s}")).unwrap_or_else(|e| panic!("{s}: {e}")))
        .collect();
    let chip: ChipFile = resolve::chip(chip, &sets).unwrap_or_else(|e| panic!("{chip}: {e:?}"));
    let model = Model::builtin(&chip.workload.model).unwrap_or_else(|e| panic!("{e}"));
    Session::new(chip, model)
}

/// Exact tokens per second of prefill and decode beside the estimate's.
fn both(session: &Session) -> Result<Vec<(&'static str, f64, f64)>, Failure> {
    let found = estimate::estimate(session).map_err(HostFault::from)?;
    let record = session.run(&())?.record;
    let exact = |name: &str| record.phases().find(|p| p.0 == name).map(|p| p.1.tokens_per_second);
    Ok(phases(&found).filter_map(|(name, p)| Some((name, p.tokens_per_second(), exact(name)?))).collect())
}

fn measured() -> Result<String, Failure> {
    let mut out = String::from(
        "# What an estimate is worth\n\n\
         Printed by `lutsim estimate --measure`; do not edit. An estimate takes microseconds (and the choice of a mapping some more) and simulates nothing; the exact\n\
         figure is a whole run, its mapping searched for. A positive error is an estimate that is too fast.\n\n\
         | chip | work | phase | estimated, tokens/s | exact, tokens/s | error |\n|---|---|---|--:|--:|--:|\n",
    );
    let progress = Count::new("exact runs", POINTS.len() as u64);
    let mut errors: Vec<(&str, f64)> = Vec::new();
    for (chip, sets) in POINTS {
        for (phase, estimated, exact) in both(&point(chip, sets))? {
            let error = estimated / exact - 1.0;
            errors.push((phase, error.abs()));
            let sign = if error < 0.0 { "-" } else { "" };
            let _ = writeln!(
                out,
                "| `{chip}` | {sets} | {phase} | {} | {} | {sign}{} |",
                digits(estimated),
                digits(exact),
                percent(error.abs())
            );
        }
        progress.one();
    }
    progress.finish();
    out.push('\n');
    for phase in ["prefill", "decode"] {
        let mut of: Vec<f64> = errors.iter().filter(|e| e.0 == phase).map(|e| e.1).collect();
        of.sort_by(f64::total_cmp);
        let (Some(most), Some(median)) = (of.last(), of.get(of.len() / 2)) else { continue };
        let _ = writeln!(
            out,
            "{phase}: median error {}, largest {}, of {} points.\n",
            percent(*median),
            percent(*most),
            of.len()
        );
    }
    out.truncate(out.trim_end().len() + 1);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_of_these_points_and_small_ones_are_as_it_says() {
        let text = include_str!("../../docs/estimate.md");
        for (chip, sets) in POINTS {
            let session = point(chip, sets);
            for (phase, p) in phases(&estimate::estimate(&session).unwrap()) {
                let row = format!("| `{chip}` | {sets} | {phase} | {} |", digits(p.tokens_per_second()));
                assert!(text.contains(&row), "`lutsim estimate --measure > docs/estimate.md`: no {row}");
            }
        }
        for (chip, sets) in POINTS.iter().filter(|p| p.0 == "tiny") {
            for (phase, estimated, exact) in both(&point(chip, sets)).unwrap_or_else(|_| panic!("{sets}")) {
                let row = format!("{phase} | {} | {} |", digits(estimated), digits(exact));
                assert!(text.contains(&row), "{chip} {sets}: {row}");
            }
        }
    }
}
