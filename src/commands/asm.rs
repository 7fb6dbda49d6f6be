//! `lutsim asm`: text to program file.

use std::path::PathBuf;

use clap::Args;
use lutsim_isa::asm::assemble;

use crate::cli::ChipArgs;
use crate::commands::check_fits;
use crate::failure::{Failure, UserError};
use crate::output;
use crate::resolve::read_text;

/// Turn assembly text into a program file.
#[derive(Debug, Args)]
pub struct Asm {
    /// Assembly text
    #[arg(value_name = "PROG.lasm")]
    input: PathBuf,
    /// Program file to write; by default the input's name with `.lbin`
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With a chip, also check that the program fits it
    #[command(flatten)]
    chip: ChipArgs,
}

impl Asm {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let path = self.input.display().to_string();
        let text = read_text(&self.input)?;
        let program = assemble(&text).map_err(|e| UserError::asm(&path, text, e))?;
        if let Some(chip) = self.chip.resolve_if_named()? {
            check_fits(&path, &program, &chip)?;
        }
        let out = self.out.clone().unwrap_or_else(|| self.input.with_extension("lbin"));
        output::write_file(&out, &program.to_file())?;
        output::say(&format!("{}: {} instructions", out.display(), program.code.len()));
        Ok(())
    }
}
