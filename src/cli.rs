//! The command line: what can be typed.

use clap::{Args, Parser, Subcommand};
use lutsim_sim::chip_file::{ChipFile, Override};

use crate::commands::{
    asm, check, compare, config, diff, disasm, docs, dram, estimate, eval, exec, explain, explore, gemm,
    generate, ppa, quality, report, roofline, run, shell, sweep, types, validate,
};
use crate::failure::Failure;
use crate::resolve;

/// Cycle-accurate simulator of lookup-table chips for low-bit LLMs.
#[derive(Debug, Parser)]
#[command(name = "lutsim", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a model on a chip: tokens/s, joules per token, and what binds them
    Run(Box<run::Run>),
    /// Let a model file talk: its text, and what that took
    Generate(Box<generate::Generate>),
    /// Judge a model file: perplexity on the machine and in floats, and each operator's error
    Eval(eval::Eval),
    /// Hold the weight types of a model file against each other: speed, energy and perplexity of each
    Quality(quality::Quality),
    /// Run one matrix product on a chip
    Gemm(gemm::Gemm),
    /// Run one program on a chip
    Exec(exec::Exec),
    /// Run requests on a DRAM standard alone
    Dram(dram::Dram),
    /// Area, power and price of a chip, and cores of other kinds beside its own
    Ppa(ppa::Ppa),
    /// Sweep a design and print what is best
    Explore(explore::Explore),
    /// Run a design space: every point of a grid, a sample of it, or what a search finds; nothing is lost
    Sweep(Box<sweep::SweepCommand>),
    /// A model on the roofline of a GPU or a CPU: what no implementation can pass
    Roofline(Box<roofline::RooflineCommand>),
    /// Estimate a run in microseconds: a roofline of its parts, nothing simulated
    Estimate(estimate::EstimateCommand),
    /// Write the page of a run (report.html), and simulate what twice of each resource gives
    Report(report::Report),
    /// Compare runs with each other and with the roofs of GPUs and CPUs
    Compare(compare::Compare),
    /// Hold two records against each other: what changed, and what accounts for it
    Diff(diff::Diff),
    /// Hold the model against what is published
    Validate(validate::Validate),
    /// List the weight types: what each stores, and what a product with it takes
    Types(types::Types),
    /// Turn assembly text into a program file
    Asm(asm::Asm),
    /// Turn a program file into assembly text
    Disasm(disasm::Disasm),
    /// Check that a saved record adds up
    Check(check::Check),
    /// What chip files resolve to, whether they make sense, and what they may say
    Config(config::Config),
    /// Explain a counter, stall cause, unit, key or column
    Explain(explain::Explain),
    /// Print a script that completes commands and flags in a shell
    Completions(shell::Completions),
    /// Print the manual page
    Man(shell::Man),
    /// Write the generated documents
    #[command(hide = true)]
    Docs(docs::Docs),
    /// Fail as an internal fault does
    #[command(hide = true)]
    Fault,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// The user's fault, or a broken pipe.
    ///
    /// # Panics
    /// On an internal fault.
    pub fn execute(&self) -> Result<(), Failure> {
        match self {
            Command::Run(c) => c.execute(),
            Command::Generate(c) => c.execute(),
            Command::Eval(c) => c.execute(),
            Command::Quality(c) => c.execute(),
            Command::Gemm(c) => c.execute(),
            Command::Exec(c) => c.execute(),
            Command::Dram(c) => c.execute(),
            Command::Ppa(c) => c.execute(),
            Command::Explore(c) => c.execute(),
            Command::Sweep(c) => c.execute(),
            Command::Roofline(c) => c.execute(),
            Command::Estimate(c) => c.execute(),
            Command::Report(c) => c.execute(),
            Command::Compare(c) => c.execute(),
            Command::Diff(c) => c.execute(),
            Command::Validate(c) => c.execute(),
            Command::Types(c) => c.execute(),
            Command::Asm(c) => c.execute(),
            Command::Disasm(c) => c.execute(),
            Command::Check(c) => c.execute(),
            Command::Config(c) => c.execute(),
            Command::Explain(c) => c.execute(),
            Command::Completions(c) => c.execute(),
            Command::Man(c) => c.execute(),
            Command::Docs(c) => c.execute(),
            Command::Fault => panic!("asked for"),
        }
    }
}

/// Which chip: on every command.
#[derive(Debug, Clone, Args)]
pub struct ChipArgs {
    /// Chip file, or the name of a built-in chip
    #[arg(long, visible_alias = "chip", value_name = "FILE|NAME")]
    pub config: Option<String>,
    /// Override a key of the chip file; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
}

impl ChipArgs {
    /// The chip, with `--set` and then `flags` applied.
    ///
    /// # Errors
    /// There is no such chip, or something in it is wrong.
    pub fn resolve(&self, flags: impl IntoIterator<Item = Override>) -> Result<ChipFile, Failure> {
        self.resolve_over([], flags)
    }
    /// The same, over what is so unless told otherwise: `first`, `--set`, `flags`.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_over(
        &self,
        first: impl IntoIterator<Item = Override>,
        flags: impl IntoIterator<Item = Override>,
    ) -> Result<ChipFile, Failure> {
        let name = self.config.as_deref().unwrap_or("snapdragon_like");
        let mut overrides: Vec<Override> = first.into_iter().collect();
        for set in &self.sets {
            overrides.push(Override::set(set)?);
        }
        overrides.extend(flags);
        resolve::chip(name, &overrides)
    }
    /// The chip, if one was named.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_if_named(&self) -> Result<Option<ChipFile>, Failure> {
        match self.config.is_some() || !self.sets.is_empty() {
            true => self.resolve([]).map(Some),
            false => Ok(None),
        }
    }
}
