//! `lutsim sweep`: a design space, planned, run and collected.

mod collect;
mod exec;
mod query;
mod status;
mod submit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use lutsim_sweep::journal::Results;
use lutsim_sweep::plan::Plan;

use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::sweep::{self, Made, Setup};

/// Run a design space: every point of a grid, a sample of it, or what a search finds; nothing is lost.
///
/// `lutsim sweep FILE` plans, runs on all cores and collects; the same command again goes on where it was stopped. The
/// subcommands are the same in steps, for clusters.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct SweepCommand {
    #[command(subcommand)]
    step: Option<Step>,
    /// Sweep file (TOML), or the name of a built-in sweep
    #[arg(value_name = "FILE|NAME")]
    file: Option<String>,
    #[command(flatten)]
    out: Folder,
    #[command(flatten)]
    how: How,
}

/// One step of a sweep.
#[derive(Debug, Subcommand)]
enum Step {
    /// Write the points to DIR/plan.jsonl, each with its id, and run nothing
    Plan(PlanArgs),
    /// Run the points of a plan that are not finished, or those of a shard of it
    Exec(ExecArgs),
    /// Put all results into results.csv and results.parquet, and say what is best
    Collect(Planned),
    /// Say how far a sweep is, while it runs
    Status(Planned),
    /// Say what is best so far: of each metric, the Pareto front, what depends on what
    Best(Planned),
    /// Ask the results so far in SQL: the table is called `results`
    Query(query::QueryArgs),
    /// Hand a plan to a cluster: a packed array of shards
    Submit(submit::SubmitArgs),
}

#[derive(Debug, Args)]
struct Folder {
    /// Folder of plan and results [default: the file's name with .sweep]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// Sweep file (TOML), or the name of a built-in sweep
    #[arg(value_name = "FILE|NAME")]
    file: String,
    #[command(flatten)]
    out: Folder,
}

#[derive(Debug, Args)]
struct Planned {
    /// Folder with a plan
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct ExecArgs {
    #[command(flatten)]
    planned: Planned,
    /// Run shard I of N: every N-th machine from the I-th, counted from 0, with all its points
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: String,
    #[command(flatten)]
    how: How,
}

/// How points are run.
#[derive(Debug, Args)]
struct How {
    /// Points at a time [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Give up a point after so many seconds
    #[arg(long, value_name = "SECONDS")]
    point_timeout: Option<f64>,
    /// Keep each point's whole record in DIR/records: some 170 KB of a point of Llama-2-7B
    #[arg(long, value_enum, default_value_t = Keep::Auto)]
    records: Keep,
    /// Look for points' records in this folder first, and leave them there: shared by sweeps of one version
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Run so many points at most
    #[arg(long, value_name = "N")]
    most: Option<usize>,
}

/// Which records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// Of plans up to 1000 points.
    Auto,
    /// Always.
    All,
    /// Never.
    None,
}

/// Points up to which records are kept without being asked for.
const RECORDS: usize = 1000;

impl How {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, |n| n as usize)
    }
    fn timeout(&self) -> Result<Option<Duration>, Failure> {
        let Some(seconds) = self.point_timeout else { return Ok(None) };
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => Ok(Some(time)),
            _ => Err(UserError::Flag {
                flag: "--point-timeout".into(),
                value: seconds.to_string(),
                why: "it is no time".into(),
                help: "give seconds, for example 60".into(),
            }
            .into()),
        }
    }
    fn keeps(&self, plan: &Plan) -> bool {
        match self.records {
            Keep::Auto => plan.points.len() <= RECORDS,
            Keep::All => true,
            Keep::None => false,
        }
    }
}

impl Folder {
    /// The folder that was named, or one beside us called after the file.
    fn of(&self, file: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let stem =
                Path::new(file).file_stem().map_or("sweep".into(), |s| s.to_string_lossy().into_owned());
            PathBuf::from(format!("{stem}.sweep"))
        })
    }
}

impl SweepCommand {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match (&self.step, &self.file) {
            (Some(Step::Plan(args)), _) => {
                let dir = args.out.of(&args.file);
                let planned = plan(&args.file, &dir)?;
                output::print(&format!("{}\n", said(&planned, &dir)))
            }
            (Some(Step::Exec(args)), _) => {
                let (dir, shard) = (&args.planned.dir, shard(&args.shard)?);
                let sweep = read(dir)?;
                let ran = exec::run(sweep, dir, shard, &args.how)?;
                output::print(&format!("{}\n", ran.words()))?;
                ran.verdict()
            }
            (Some(Step::Collect(args)), _) => collect::collect(&args.dir),
            (Some(Step::Status(args)), _) => status::status(&args.dir),
            (Some(Step::Best(args)), _) => collect::best_of(&args.dir),
            (Some(Step::Query(args)), _) => args.execute(),
            (Some(Step::Submit(args)), _) => args.execute(),
            (None, Some(file)) => self.all(file),
            (None, None) => Err(UserError::Refused {
                what: "which sweep?".into(),
                help: format!(
                    "give a file, or one of {}",
                    sweep::builtin_names().collect::<Vec<_>>().join(", ")
                ),
            }
            .into()),
        }
    }

    /// Plan, run, collect.
    fn all(&self, file: &str) -> Result<(), Failure> {
        let dir = self.out.of(file);
        let mut failed = 0;
        loop {
            let planned = plan(file, &dir)?;
            output::say(&said(&planned, &dir));
            if planned.search.as_ref().is_some_and(|s| s.complete) {
                break;
            }
            let (search, points) = (planned.search.is_some(), planned.sweep.plan.points.len());
            let ran = exec::run(planned.sweep, &dir, (0, 1), &self.how)?;
            output::say(&ran.words());
            // A search goes on, unless what fails now has failed before.
            if !search || (ran.failed() > 0 && points == failed) {
                break;
            }
            failed = if ran.failed() > 0 { points } else { 0 };
        }
        collect::collect(&dir)
    }
}

/// A plan and what it means.
struct Sweep {
    setup: Setup,
    plan: Plan,
}

/// A plan that was made, or was there.
struct MadePlan {
    sweep: Sweep,
    left_out: usize,
    search: Option<sweep::Search>,
    /// It was there: what is finished stays.
    again: bool,
}

/// Makes the plan of a file and writes it, or finds that it is there; a search's grows by a generation once the last one was run.
fn plan(file: &str, dir: &Path) -> Result<MadePlan, Failure> {
    let (name, text) = sweep::open(file)?;
    let setup = Setup::of(&name, &text, &[])?;
    let Made { plan, left_out, search } = sweep::make(&setup, &|key| results(dir, key))?;
    let path = dir.join("plan.jsonl");
    let mut again = false;
    if path.is_file() {
        let (known, _) = sweep::read_plan(dir)?;
        let same = known.key() == plan.key() && known.header.file == plan.header.file;
        again = same && known.points == plan.points;
        let grows = same && search.is_some();
        if !(again || grows) {
            return Err(UserError::Refused {
                what: format!("`{}` holds another plan", dir.display()),
                help: "choose another folder with --out, or remove this one".into(),
            }
            .into());
        }
    }
    if !again {
        std::fs::create_dir_all(dir).map_err(|e| UserError::Write {
            path: dir.display().to_string(),
            why: crate::resolve::why(&e),
        })?;
        OutFile::prepare(&path)?.commit(plan.to_text().as_bytes())?;
    }
    Ok(MadePlan { sweep: Sweep { setup, plan }, left_out, search, again })
}

/// What the journals of a folder hold.
fn results(dir: &Path, key: &str) -> Result<Results, Failure> {
    Results::read(dir, key).map_err(|e| {
        let (path, why) = (dir.join("shards").display().to_string(), crate::resolve::why(&e));
        UserError::Read { path, why }.into()
    })
}

fn said(planned: &MadePlan, dir: &Path) -> String {
    let points = planned.sweep.plan.points.len();
    let refused = planned.sweep.plan.points.iter().filter(|p| p.refused.is_some()).count();
    let mut text = format!("{points} points in {}", dir.join("plan.jsonl").display());
    if let Some(search) = &planned.search {
        text += &format!(", generation {}", search.generations);
        if search.cut > 0 {
            text +=
                &format!("; {} candidates were cut, as they cannot be better than what there is", search.cut);
        }
        if search.complete {
            text += "; the search is over";
        }
    } else if planned.again {
        text += ", which was there";
    }
    if refused > 0 {
        text += &format!("; {refused} of them cannot be built");
    }
    if planned.left_out > 0 {
        text += &format!("; {} more were left out by constraints on what is set", planned.left_out);
    }
    text
}

/// The sweep of a folder.
fn read(dir: &Path) -> Result<Sweep, Failure> {
    let (plan, _) = sweep::read_plan(dir)?;
    let setup = Setup::of(&plan.header.name, &plan.header.file, &plan.header.chips)?;
    Ok(Sweep { setup, plan })
}

/// `I/N`.
fn shard(text: &str) -> Result<(usize, usize), Failure> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if i < n => Ok((i, n)),
        _ => Err(UserError::Flag {
            flag: "--shard".into(),
            value: text.into(),
            why: "it is no shard".into(),
            help: "give I/N with I from 0 to N - 1, for example 0/8".into(),
        }
        .into()),
    }
}
