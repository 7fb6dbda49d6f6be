//! `lutsim gemm`: one matrix product on a chip.

use clap::Args;
use lutsim_isa::format::WeightFormat;
use lutsim_sim::chip_file::Override;

use super::check_group;
use crate::cli::ChipArgs;
use crate::failure::{Failure, UserError};
use crate::{device, gemm, kernel, output};

/// Run one matrix product on a chip.
#[derive(Debug, Args)]
pub struct Gemm {
    /// Rows of activations, output columns, reduction length
    #[arg(value_name = "M,N,K")]
    shape: String,
    #[command(flatten)]
    chip: ChipArgs,
    /// Weight format: int1, int1.58, int2, int3, int4, int8
    #[arg(long, value_name = "FORMAT")]
    weights: Option<String>,
    /// Weights that share a scale: a power of two from 16 to 1024, or `row`; 128 by default, `row` if K is less
    #[arg(long, value_name = "N|row", allow_negative_numbers = true)]
    group: Option<String>,
    /// Print the program and stop
    #[arg(long)]
    asm: bool,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
}

impl Gemm {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let flag = |name: &str, value: &Option<String>| {
            value.as_ref().map(|v| Override::flag(&format!("--{name}"), &format!("workload.{name}"), v))
        };
        let flags = [flag("weights", &self.weights), flag("group", &self.group)];
        let chip = self.chip.resolve(flags.into_iter().flatten())?;
        let (m, n, k) = self.shape()?;
        let group = if self.group.is_some() { chip.workload.group } else { gemm::group(k) };
        let format = WeightFormat::new(chip.workload.weights, group);
        check_group(self.group.as_deref(), format)?;
        let lowered = gemm::Gemm { m, n, k, format }.lower(&chip.chip)?;
        if self.asm {
            return output::print(&lowered.text);
        }
        let state = device::empty_state(&chip.chip);
        let run = kernel::run("gemm", &lowered.program, lowered.address, &chip.chip, state)?;
        match self.json {
            true => output::print(&format!("{:#}\n", run.json())),
            false => output::print(&run.text(&chip.chip)),
        }
    }

    fn shape(&self) -> Result<(u32, u32, u32), Failure> {
        let refuse = |why: &str| UserError::Flag {
            flag: "gemm".into(),
            value: self.shape.clone(),
            why: why.into(),
            help: "three sizes, rows,columns,reduction: for example `lutsim gemm 1,4096,4096`".into(),
        };
        let parts: Vec<&str> = self.shape.split(',').map(str::trim).collect();
        let [m, n, k] = parts[..] else { return Err(refuse("not three sizes with commas between").into()) };
        let size = |s: &str| match s.parse::<u32>() {
            Ok(0) => Err(refuse("a size of zero")),
            Ok(x) if x >= 1 << 20 => Err(refuse("sizes go up to 1048575")),
            Ok(x) => Ok(x),
            Err(_) => Err(refuse(&format!("`{s}` is not a size"))),
        };
        Ok((size(m)?, size(n)?, size(k)?))
    }
}
