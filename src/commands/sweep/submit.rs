//! A plan handed to a cluster.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use clap::Args;
use lutsim_sweep::slurm::Request;

use super::{How, Planned, exec, read};
use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::resolve::why;

/// Hand a plan to a cluster: a packed array of shards.
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    planned: Planned,
    /// To Slurm, with `sbatch`
    #[arg(long, required = true)]
    slurm: bool,
    /// Seconds that an element of the array is to take
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    chunk_seconds: f64,
    /// Seconds of a point on one core; by default the next point is run here and timed
    #[arg(long, value_name = "SECONDS")]
    point_seconds: Option<f64>,
    /// Cores of an element, each of which runs points
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    cores: u32,
    /// Elements at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Elements of an array at most [default: what the cluster says, else 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    array_limit: Option<u32>,
    /// Give up a point after so many seconds
    #[arg(long, value_name = "SECONDS")]
    point_timeout: Option<f64>,
    /// Print the job's script and submit nothing
    #[arg(long)]
    dry_run: bool,
    /// More options of `sbatch`, passed through: -- --partition=long --account=x --time=2:00:00
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Elements of an array if the cluster does not say.
const ARRAY: usize = 1000;

/// The cluster's MaxArraySize, less one for what is counted from 0.
fn array_limit() -> Option<usize> {
    let output = Command::new("scontrol").args(["show", "config"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    line.split('=').nth(1)?.trim().parse::<usize>().ok()?.checked_sub(1).filter(|n| *n > 0)
}

impl SubmitArgs {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        let positive = |flag: &str, seconds: f64| match seconds.is_finite() && seconds > 0.0 {
            true => Ok(seconds),
            false => Err(UserError::Flag {
                flag: flag.into(),
                value: seconds.to_string(),
                why: "it is no time".into(),
                help: "give seconds, for example 600".into(),
            }),
        };
        let chunk_seconds = positive("--chunk-seconds", self.chunk_seconds)?;
        let dir = &self.planned.dir;
        let sweep = read(dir)?;
        let point_seconds = match self.point_seconds {
            Some(seconds) => positive("--point-seconds", seconds)?,
            None => self.measure(dir)?,
        };
        let results = super::results(dir, &sweep.plan.key())?;
        let wanted = sweep.plan.shard(0, 1);
        let points = wanted.iter().filter(|&&i| !results.finished(&sweep.plan.points[i].id)).count();
        if points == 0 {
            return output::print("nothing to submit: all points are finished\n");
        }
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute(dir);
        let stem = folder.file_stem().map_or("sweep".into(), |s| s.to_string_lossy().into_owned());
        let request = Request {
            name: format!("lutsim-{}", stem.replace(char::is_whitespace, "_")),
            // Shards are of all points: those that are finished take no time.
            points,
            point_seconds,
            chunk_seconds,
            cores: self.cores as usize,
            array_limit: self.array_limit.map(|n| n as usize).or_else(array_limit).unwrap_or(ARRAY),
            at_once: self.at_once.map(|n| n as usize),
            options: self.options.clone(),
        };
        let program = std::env::current_exe().map_err(|e| UserError::Refused {
            what: format!("where this program lies is not known: {}", why(&e)),
            help: "run it by its path".into(),
        })?;
        let more: Vec<String> =
            self.point_timeout.iter().flat_map(|s| ["--point-timeout".to_owned(), s.to_string()]).collect();
        let script = request.script(&program, &folder, &more);
        if self.dry_run {
            return output::print(&script);
        }
        let folder = folder.join("slurm");
        std::fs::create_dir_all(&folder)
            .map_err(|e| UserError::Write { path: folder.display().to_string(), why: why(&e) })?;
        let path = folder.join("job.sh");
        OutFile::prepare(&path)?.commit(script.as_bytes())?;
        let refused = |what: String| UserError::Refused {
            what,
            help: format!("the script is {}; --dry-run prints it", path.display()),
        };
        let output = Command::new("sbatch").arg("--parsable").arg(&path).output();
        let output = output.map_err(|e| refused(format!("`sbatch` cannot be run: {}", why(&e))))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(refused(format!("`sbatch` refused the job: {said}")).into());
        }
        let job = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output::print(&format!(
            "job {job}: {} elements for {points} points of about {point_seconds:.2} s\n\
             lutsim sweep status {} says how far it is, lutsim sweep collect {} puts it together\n",
            request.elements(),
            dir.display(),
            dir.display()
        ))
    }

    /// Runs the next point here; its result is kept.
    fn measure(&self, dir: &Path) -> Result<f64, Failure> {
        let begin = Instant::now();
        let how = How {
            threads: Some(1),
            point_timeout: self.point_timeout,
            records: super::Keep::Auto,
            cache: None,
            most: Some(1),
        };
        let ran = exec::run(read(dir)?, dir, (0, 1), &how)?;
        output::say(&ran.words());
        Ok(begin.elapsed().as_secs_f64().max(1e-3))
    }
}
