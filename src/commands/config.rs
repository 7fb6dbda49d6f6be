//! `lutsim config`: what a chip file resolves to.

use clap::Args;
use sha2::{Digest, Sha256};

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

/// SHA-256 of a canonical configuration, hexadecimal.
pub(crate) fn hash(canonical: &serde_json::Value) -> String {
    let digest = Sha256::digest(canonical.to_string().as_bytes());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
