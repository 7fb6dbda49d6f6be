//! `lutsim disasm`: program file to text.

use std::path::{Path, PathBuf};

use clap::Args;
use lutsim_isa::Program;
use lutsim_isa::asm::{assemble, disassemble};

use crate::cli::ChipArgs;
use crate::commands::check_fits;
use crate::failure::{Failure, UserError};
use crate::output;
use crate::resolve::{read_bytes, read_text};

/// Turn a program file into assembly text.
#[derive(Debug, Args)]
pub struct Disasm {
    /// Program file
    #[arg(value_name = "PROG.lbin")]
    input: PathBuf,
    /// With a chip, also check that the program fits it
    #[command(flatten)]
    chip: ChipArgs,
}

impl Disasm {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let program = load(&self.input)?;
        if let Some(chip) = self.chip.resolve_if_named()? {
            check_fits(&self.input.display().to_string(), &program, &chip)?;
        }
        output::print(&disassemble(&program))
    }
}

fn load(path: &Path) -> Result<Program, Failure> {
    let error = |error| UserError::Program { path: path.display().to_string(), error };
    Ok(Program::from_file(&read_bytes(path)?).map_err(error)?)
}

/// A program from a file: assembly text by its extension `.lasm`, else a program file.
pub(crate) fn load_any(path: &Path) -> Result<Program, Failure> {
    if path.extension().is_some_and(|e| e == "lasm") {
        let text = read_text(path)?;
        let name = path.display().to_string();
        return Ok(assemble(&text).map_err(|e| UserError::asm(&name, text, e))?);
    }
    load(path)
}
