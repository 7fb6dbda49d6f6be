//! `lutsim run`: a model on a chip.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use lutsim_host::files::Request;
use lutsim_host::model::Model;
use lutsim_host::search::Effort;
use lutsim_host::weights::WeightSource;
use lutsim_isa::WeightFormat;
use lutsim_sim::chip_file::{ChipFile, Override};

use super::check_group;
use crate::cli::ChipArgs;
use crate::details;
use crate::engine;
use crate::failure::{Failure, UserError};
use crate::model_file;
use crate::output::{self, OutDir, OutFile};
use crate::progress::Bar;
use crate::resolve;
use crate::session::{self, Finished, Session};
use crate::trace;

/// Run a model on a chip: tokens/s, joules per token, and what binds them.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    chip: ChipArgs,
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Which phases to run
    #[arg(long, value_enum, default_value_t = Phase::All)]
    phase: Phase,
    /// Keep float matrices of a model file as floats: FP16 on the vector unit, instead of rounding them to int8
    #[arg(long)]
    exact_float: bool,
    /// Execute the values too: token ids come out; cycles are the same
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    values: Switch,
    /// How time passes: every cycle, only where something happens, or from memory; the records are the same
    #[arg(long, value_enum, default_value_t = Engine::Leap)]
    engine: Engine,
    /// Of 100 times that `leap` recognises a state, execute so many all the same, and compare
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    audit: u32,
    /// Give up after so many core cycles, search not counted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_cycles: Option<u64>,
    /// Write record.json, report.html, operators.csv, roofline.svg and .png, details.json and engine.json to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a timeline of the run to this file (Chrome trace JSON, opens in ui.perfetto.dev): a track per unit, DRAM bandwidth,
    /// queue depths; at most 200,000 events
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The part of the run that is traced: core cycles (0..50000) or times (1ms..1.2ms) of the simulated steps, one behind the other
    #[arg(long, value_name = "A..B", requires = "trace")]
    trace_window: Option<String>,
    /// Write over a trace that exists
    #[arg(long, requires = "trace")]
    force: bool,
    /// Print the record as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Simulate every decode step, instead of the first, the middle and the last
    #[arg(long)]
    every_step: bool,
    /// Print the mapping that the host chose, as TOML, and stop
    #[arg(long)]
    dump_mapping: bool,
    /// Use this mapping instead of searching for one
    #[arg(long, value_name = "FILE", conflicts_with = "search")]
    mapping: Option<PathBuf>,
    /// How the mapping is searched for: by a layer of a few, or by whole steps of those of all smaller chips too, so that a larger
    /// chip is never slower [default: thorough for models up to a million parameters]
    #[arg(long, value_enum)]
    search: Option<Search>,
    /// Say more on stderr
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What to run, where it differs from the chip file's `[workload]`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Workload (the chip file's by default)")]
pub struct WorkloadArgs {
    /// Model file (TOML, GGUF, safetensors, config.json) or its folder, or the name of a built-in model
    #[arg(long, value_name = "FILE|NAME")]
    model: Option<String>,
    /// Sequences at a time
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch: Option<String>,
    /// Prompt tokens of each sequence; 0 skips prefill
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    prompt: Option<String>,
    /// Tokens already in the KV cache
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    context: Option<String>,
    /// Decode steps
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    generate: Option<String>,
    /// Weight format: int1, int1.58, int2, int3, int4, int8
    #[arg(long, value_name = "FORMAT")]
    weights: Option<String>,
    /// Weights that share a scale: a power of two from 16 to 1024, or `row`
    #[arg(long, value_name = "N|row", allow_negative_numbers = true)]
    group: Option<String>,
    /// Activation format: int8, fp16
    #[arg(long, value_name = "FORMAT")]
    activations: Option<String>,
    /// Entries of the tables: exact, or int8 (rounded to 8 bits)
    #[arg(long, value_name = "KIND")]
    tables: Option<String>,
    /// KV cache format: int8, int4, fp16
    #[arg(long, value_name = "FORMAT")]
    kv: Option<String>,
}

impl WorkloadArgs {
    /// The flags as overrides of the chip file's `[workload]`.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let flags = [
            ("model", &self.model),
            ("batch", &self.batch),
            ("prompt", &self.prompt),
            ("context", &self.context),
            ("generate", &self.generate),
            ("weights", &self.weights),
            ("group", &self.group),
            ("activations", &self.activations),
            ("tables", &self.tables),
            ("kv", &self.kv),
        ];
        let given = flags.iter().filter_map(|(name, value)| value.as_ref().map(|v| (name, v)));
        given.map(|(name, v)| Override::flag(&format!("--{name}"), &format!("workload.{name}"), v)).collect()
    }
}

/// Which phases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// The prompt only.
    Prefill,
    /// Token by token only, with the prompt taken as done.
    Decode,
    /// Both.
    All,
}

impl From<Phase> for session::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Prefill => session::Phase::Prefill,
            Phase::Decode => session::Phase::Decode,
            Phase::All => session::Phase::All,
        }
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// How much of a search is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Search {
    /// The first layer of a few mappings.
    Quick,
    /// Whole steps of many.
    Thorough,
}

impl From<Search> for Effort {
    fn from(search: Search) -> Self {
        match search {
            Search::Quick => Effort::Quick,
            Search::Thorough => Effort::Thorough,
        }
    }
}

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Visits every cycle: the oracle.
    Tick,
    /// Visits the cycles in which something happens.
    Skip,
    /// Replays what it has seen.
    Leap,
}

impl From<Engine> for lutsim_sim::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Tick => lutsim_sim::Engine::Tick,
            Engine::Skip => lutsim_sim::Engine::Skip,
            Engine::Leap => lutsim_sim::Engine::Leap,
        }
    }
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Engine::Tick => "tick",
            Engine::Skip => "skip",
            Engine::Leap => "leap",
        }
    }
}

impl Run {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let chip = self.chip.resolve(self.workload.overrides())?;
        let Some(path) = model_file::weights(&chip.workload.model) else {
            if self.exact_float {
                let what = format!("--exact-float, and `{}` is no file with weights", chip.workload.model);
                let help = "give --model a GGUF or safetensors file, or leave it out".into();
                return Err(UserError::Refused { what, help }.into());
            }
            let model = resolve::model(&chip.workload.model)?;
            return self.go(self.named(&model, [])?, model, None);
        };
        model_file::with_any_file(&path, |_, file| {
            let exact = match self.exact_float {
                true => Some(file.clone().exact_float().map_err(|e| model_file::wrong(&path, e))?),
                false => None,
            };
            let file = exact.as_ref().unwrap_or(file);
            let usable = file.check();
            if self.workload.weights.is_none() {
                usable.clone().map_err(|e| model_file::wrong(&path, e))?;
            }
            // The file's types, unless others are asked for: then its numbers are of no use.
            let chip = self.named(&file.model, model_file::types(file))?;
            let w = &chip.workload;
            let own = (WeightFormat::new(w.weights, w.group), WeightFormat::new(w.head, w.head_group));
            let same = own == (file.weights, file.head) && usable.is_ok();
            let made = !same && own.1 == file.head && own.0.kind.blocks().is_none();
            if made && self.values == Switch::On {
                // Rounded to nearest.
                let request = Request { format: own.0, importance: None };
                let file = file.clone().requested(request).map_err(|e| model_file::wrong(&path, e))?;
                file.check().map_err(|e| model_file::wrong(&path, e))?;
                return self.go(chip, file.model.clone(), Some(&file));
            }
            let source: Option<&dyn WeightSource> = if same { Some(file) } else { None };
            if source.is_none() && self.values == Switch::On {
                let holds = match file.model.mix {
                    Some(_) => file.model.weight_names(file.weights),
                    None => file.weights.to_string(),
                };
                return Err(UserError::Refused {
                    what: format!("`{}` holds {holds} weights, not {}", path.display(), own.0),
                    help: "leave --weights and --group out, or --values off".into(),
                }
                .into());
            }
            let mix = file.model.mix.clone().filter(|_| same);
            self.go(chip, Model { mix, ..file.model.clone() }, source)
        })
    }

    /// The chip with `--set` and the workload's flags over `first`, the model called by its name and not by a path.
    fn named(&self, model: &Model, first: impl IntoIterator<Item = Override>) -> Result<ChipFile, Failure> {
        let name = Override::flag("--model", "workload.model", &format!("\"{}\"", model.name));
        self.chip.resolve_over(first, self.workload.overrides().into_iter().chain([name]))
    }

    fn go(&self, chip: ChipFile, model: Model, source: Option<&dyn WeightSource>) -> Result<(), Failure> {
        let format = WeightFormat::new(chip.workload.weights, chip.workload.group);
        check_group(self.workload.group.as_deref(), format)?;
        let mapping = self.mapping.as_deref().map(resolve::mapping).transpose()?;
        let window = match (&self.trace, &self.trace_window) {
            (None, _) => None,
            (Some(_), text) => Some(trace::window(text.as_deref().unwrap_or(".."), chip.chip.clock_hz)?),
        };
        let new = Session::new(chip, model);
        let session = Session {
            effort: self.search.map_or(new.effort, Effort::from),
            phase: self.phase.into(),
            values: self.values == Switch::On,
            engine: self.engine.into(),
            every_step: self.every_step,
            mapping,
            audit: self.audit,
            max_cycles: self.max_cycles,
            trace: window,
            moments: if self.out.is_some() { details::MOMENTS } else { 0 },
            ..new
        };
        let progress = Bar::new(self.verbose);
        if self.dump_mapping {
            let plan = session.plan(&progress)?;
            return output::print(&plan.mapping.dump());
        }
        // Found out before the simulation: a combination that cannot run, a folder that cannot be written.
        let out = self.out.as_deref().map(OutDir::prepare).transpose()?;
        let to_trace = self.trace.as_deref().map(|path| OutFile::fresh(path, self.force)).transpose()?;
        let begin = Instant::now();
        let finished = session.run_on(source, &progress)?;
        let wall = begin.elapsed().as_secs_f64();
        progress.finish();
        if self.verbose > 0 {
            output::say(&engine::words(&finished, wall));
        }
        if let (Some(file), Some(window)) = (to_trace, window) {
            let (text, words) = trace::file(&finished, &session, window)?;
            file.commit(text.as_bytes())?;
            output::say(&words);
        }
        if let Some(out) = out {
            out.commit(&files(&finished, &session.chip, self.engine, wall))?;
        }
        match self.json {
            true => output::print(&finished.record.to_json()),
            false => output::print(&text(&finished)),
        }
    }
}

fn text(finished: &Finished) -> String {
    lutsim_reports::summary(&finished.record)
}

/// The files of `--out`; the record last, so that where it is, everything is.
fn files(finished: &Finished, chip: &ChipFile, engine: Engine, wall: f64) -> Vec<(&'static str, Vec<u8>)> {
    let record = &finished.record;
    // Before anything is drawn: what the simulation took.
    let stats = engine::json(finished, engine.name(), wall);
    let csv = lutsim_reports::operators_csv(record).unwrap_or_else(|e| panic!("operators.csv: {e}"));
    let roofline = lutsim_reports::Roofline::from_record(record);
    let svg = lutsim_reports::roofline_svg(&roofline).unwrap_or_else(|e| panic!("roofline.svg: {e}"));
    let png = lutsim_reports::png(&svg, 2.0).unwrap_or_else(|e| panic!("roofline.png: {e}"));
    let details = details::of(finished, chip);
    vec![
        ("operators.csv", csv.into_bytes()),
        ("engine.json", stats.into_bytes()),
        ("roofline.svg", svg.into_bytes()),
        ("roofline.png", png),
        ("report.html", lutsim_reports::report_html(record, Some(&details)).into_bytes()),
        ("details.json", details.to_json().into_bytes()),
        ("record.json", record.to_json().into_bytes()),
    ]
}
