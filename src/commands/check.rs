//! `lutsim check`: whether a saved record adds up, and its headline.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::{output, records};

/// Check that a saved record adds up: causes to cycles, byte classes to bursts, the DRAM roof, energy to its parts.
#[derive(Debug, Args)]
pub struct Check {
    /// Record of a run, or the run's folder
    #[arg(value_name = "record.json")]
    record: PathBuf,
}

impl Check {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let record = records::read(&self.record)?;
        let path = records::path(&self.record).display().to_string();
        let headline: String = record
            .phases()
            .map(|(name, p)| {
                let (rate, joules) = (p.tokens_per_second, p.energy_per_token_j);
                format!("{name}: {} cycles, {rate:.2} tokens/s, {joules:.4} J/token\n", p.cycles)
            })
            .collect();
        output::print(&format!("{path} adds up\n{headline}"))
    }
}
