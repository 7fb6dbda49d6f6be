//! `lutsim dram`: a memory alone, under a trace or a pattern of requests.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Args, ValueEnum};
use lutsim_dram::{
    DriveOptions, Pattern, Policy, PowerDown, Request, Standard, commands_csv, drive, parse_trace,
};

use crate::dram::DramRun;
use crate::failure::{DramFault, Failure, UserError};
use crate::output::{self, OutFile};
use crate::resolve;

/// Run requests on a DRAM standard alone: cycles, bandwidth, latencies, commands, energy.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("requests").required(true).args(["trace", "pattern"])))]
pub struct Dram {
    /// DRAM standard: a file, or the name of a built-in one
    #[arg(long, value_name = "FILE|NAME")]
    config: String,
    /// Requests of a file, `<earliest clock> <R|W> 0x<byte address>` per line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Requests made up: seq_read, row_conflict, random_read, mixed_seq, copy_32, mixed_random, idle
    #[arg(long, value_name = "NAME")]
    pattern: Option<String>,
    /// Requests of the pattern (`idle` always has 4)
    #[arg(short, value_name = "N", default_value_t = 20_000, conflicts_with = "trace")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_REQUESTS))]
    n: usize,
    /// How time passes: every clock, or only where something happens; the results are the same
    #[arg(long, value_enum, default_value_t = Engine::Skip)]
    engine: Engine,
    /// Power down this many clocks after the last command
    #[arg(long, value_name = "CLOCKS")]
    power_down: Option<u64>,
    /// Refresh itself from the first refresh that falls due this many clocks after the last data
    #[arg(long, value_name = "CLOCKS", requires = "power_down")]
    self_refresh: Option<u64>,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Write every DRAM command with its clock to this CSV file
    #[arg(long, value_name = "FILE")]
    commands: Option<PathBuf>,
}

/// A request takes some 50 bytes while it waits and runs.
const MOST_REQUESTS: u64 = 100_000_000;

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Every clock.
    Tick,
    /// Only clocks at which something can happen.
    Skip,
}

impl Dram {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let (standard, mut policy) = resolve::standard(&self.config)?;
        if let Some(after) = self.power_down {
            policy.power_down = Some(PowerDown { after, self_refresh_after: self.self_refresh });
        }
        let (name, requests) = self.requests(&standard)?;
        // One that cannot be written is found before the run.
        let file = self.commands.as_deref().map(OutFile::prepare).transpose()?;
        let options = DriveOptions { tick: self.engine == Engine::Tick, commands: file.is_some() };
        let report = drive(&requests, &standard, &policy, options).map_err(DramFault::from)?;
        if let Some(file) = file {
            file.commit(commands_csv(&standard, &policy, &report.commands).as_bytes())?;
        }
        let run = self.result(&name, standard, policy, report)?;
        match self.json {
            true => output::print(&format!("{:#}\n", run.json())),
            false => output::print(&run.text()),
        }
    }

    fn requests(&self, standard: &Standard) -> Result<(String, Vec<Request>), Failure> {
        let Some(path) = &self.trace else {
            let name = self.pattern.as_deref().unwrap_or_default();
            let pattern = Pattern::by_name(name).map_err(DramFault::from)?;
            return Ok((name.into(), pattern.generate(standard, self.n)));
        };
        let name = path.display().to_string();
        let text = resolve::read_text(path)?;
        let requests =
            parse_trace(&text, standard).map_err(|e| DramFault::of_text(e, &name, text.clone()))?;
        if requests.is_empty() {
            let what = format!("`{name}` holds no request");
            let help = "one per line, for example `0 R 0x40`: earliest clock, R or W, byte address".into();
            return Err(UserError::Refused { what, help }.into());
        }
        Ok((name, requests))
    }

    fn result(
        &self,
        trace: &str,
        standard: Standard,
        policy: Policy,
        report: lutsim_dram::Report,
    ) -> Result<DramRun, Failure> {
        let config = self.config.strip_suffix(".toml").unwrap_or(&self.config);
        Ok(DramRun::new(config, trace, standard, policy, report).map_err(DramFault::from)?)
    }
}
