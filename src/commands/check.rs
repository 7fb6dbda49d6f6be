//! `lutsim check`: whether a saved record adds up, and its headline.

use std::path::PathBuf;

use clap::Args;
use lutsim_record::Record;

use crate::failure::{Failure, UserError};
use crate::output;
use crate::resolve::read_text;

/// Check that a saved record adds up: causes to cycles, byte classes to bursts, the DRAM roof, energy to its parts.
#[derive(Debug, Args)]
pub struct Check {
    /// Record of a run
    #[arg(value_name = "record.json")]
    record: PathBuf,
}

impl Check {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let path = self.record.display().to_string();
        let refuse = |why: String| UserError::Record { path: path.clone(), why };
        let record = Record::from_json(&read_text(&self.record)?).map_err(|e| refuse(e.to_string()))?;
        let broken = lutsim_record::check(&record);
        if !broken.is_empty() {
            let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
            return Err(refuse(lines.join("; ")).into());
        }
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
