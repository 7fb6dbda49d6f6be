//! `lutsim exec`: one program on a chip, its memories all zero.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ChipArgs;
use crate::commands::{check_fits, disasm::load_any};
use crate::failure::Failure;
use crate::{device, kernel, output};

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
        let path = self.input.display().to_string();
        // The program lies at the end of DRAM, where its data are least likely to be.
        let room = (program.bytes() + ALIGN).next_multiple_of(ALIGN).min(chip.chip.dram.bytes);
        let address = chip.chip.dram.bytes - room;
        let run = kernel::run(&path, &program, address, &chip.chip, device::empty_state(&chip.chip))?;
        match self.json {
            true => output::print(&format!("{:#}\n", run.json())),
            false => output::print(&run.text(&chip.chip)),
        }
    }
}

const ALIGN: u64 = 1 << 16;
