//! `lutsim diff`: two records, what changed and what accounts for it.

use std::path::PathBuf;

use clap::Args;
use lutsim_reports::diff::difference;

use crate::failure::Failure;
use crate::{output, records};

/// Hold two records against each other: what changed, and which operator, unit and cause account for the difference.
#[derive(Debug, Args)]
pub struct Diff {
    /// The first record: a file, or the folder of a run
    #[arg(value_name = "A")]
    first: PathBuf,
    /// The second
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let difference = difference(&records::read(&self.first)?, &records::read(&self.second)?);
        match self.json {
            true => output::print(&format!("{:#}\n", difference.json())),
            false => output::print(&difference.text()),
        }
    }
}
