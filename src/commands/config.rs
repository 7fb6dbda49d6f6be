//! `lutsim config`: what a chip file resolves to.

use clap::Args;

use crate::cli::ChipArgs;
use crate::failure::Failure;
use crate::output;

/// Check a chip file and print what it resolves to.
#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    chip: ChipArgs,
}

impl Config {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let canonical = self.chip.resolve([])?.canonical();
        let text = serde_json::to_string_pretty(&canonical).expect("string keys only");
        output::print(&format!("{text}\n"))
    }
}
