//! `lutsim validate`: published numbers, ours beside them.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::failure::Failure;
use crate::{output, paper, published, validation};

/// Hold the model against what is published.
#[derive(Debug, Args)]
pub struct Validate {
    #[command(subcommand)]
    what: What,
}

/// What is held against what.
#[derive(Debug, Subcommand)]
enum What {
    /// Area and energy of cores against published ones (docs/validation-paper.md)
    Paper {
        /// Print the rows as JSON and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Engines on CPUs, GPUs and NPUs against published rates (docs/validation-published.md)
    Published {
        /// Print every row as CSV
        #[arg(long)]
        csv: bool,
    },
    /// Whole models on the chips of LUT Tensor Core's Table 1: minutes of running (docs/validation-a100.md)
    A100,
    /// The memory model against two public simulators (docs/validation-dram.md)
    Dram,
}

impl Validate {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match self.what {
            What::Paper { json: false } => output::print(&paper::paper_markdown()),
            What::Paper { json: true } => output::print(&format!("{:#}\n", rows())),
            What::Published { csv: false } => output::print(&published::published_markdown()),
            What::Published { csv: true } => output::print(&published::published_csv()),
            What::A100 => output::print(&paper::models::a100_markdown()?),
            What::Dram => output::print(&validation::dram_markdown()),
        }
    }
}

fn rows() -> serde_json::Value {
    let row = |r: &paper::Row| {
        json!({
            "source": r.source,
            "number": r.what,
            "unit": r.unit,
            "published": r.published,
            "ours": { "mid": r.ours.mid, "low": r.ours.low, "high": r.ours.high },
            "residual": r.residual(),
            "basis": if r.basis == paper::Basis::Calibrated { "calibrated" } else { "predicted" },
            "bound": r.bound,
            "note": r.note,
        })
    };
    json!(paper::rows().iter().map(row).collect::<Vec<_>>())
}
