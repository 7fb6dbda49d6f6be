//! `lutsim gemm`: one matrix product on a chip.

use clap::Args;

use crate::cli::ChipArgs;
use crate::failure::{Failure, UserError};

/// Run one matrix product on a chip.
#[derive(Debug, Args)]
pub struct Gemm {
    /// Rows of activations, output columns, reduction length
    #[arg(value_name = "M,N,K")]
    shape: String,
    #[command(flatten)]
    chip: ChipArgs,
    /// Weight format
    #[arg(long, value_name = "FORMAT")]
    weights: Option<String>,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
}

impl Gemm {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        self.chip.resolve([])?;
        let (_, _, _) = self.shape()?;
        Err(UserError::Refused { what: "the machine is not there yet".into(), help: "wait".into() }.into())
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
