//! `lutsim exec`: one program on a chip.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ChipArgs;
use crate::commands::{check_fits, disasm::load_any};
use crate::failure::{Failure, UserError};

/// Run one program on a chip.
#[derive(Debug, Args)]
pub struct Exec {
    /// Assembly text (`.lasm`) or a program file
    #[arg(value_name = "PROG")]
    input: PathBuf,
    #[command(flatten)]
    chip: ChipArgs,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
}

impl Exec {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let chip = self.chip.resolve([])?;
        let program = load_any(&self.input)?;
        check_fits(&self.input.display().to_string(), &program, &chip)?;
        let _ = self.json;
        Err(UserError::Refused { what: "the machine is not there yet".into(), help: "wait".into() }.into())
    }
}
