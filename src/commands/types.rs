//! `lutsim types`: every weight type, what it stores, and what a product with it takes on a chip.

use clap::Args;
use lutsim_formats::types::TYPES;
use lutsim_host::files::ROUNDED;
use lutsim_isa::{Group, WeightFormat, WeightKind};
use serde_json::json;

use crate::cli::ChipArgs;
use crate::failure::Failure;
use crate::{device, gemm, kernel, output};

/// Every weight type: stored bits, bit-planes, whether a file's weights stay exact, and the cycles of a product.
#[derive(Debug, Args)]
pub struct Types {
    #[command(flatten)]
    chip: ChipArgs,
    /// Print the table as JSON and nothing else
    #[arg(long)]
    json: bool,
}

/// Outputs and inputs of the product: large enough that its start does not count.
const SIZE: u32 = 4096;

/// A row of the table.
struct Row {
    name: String,
    /// What it is in the machine; of floats, what they are rounded to.
    format: WeightFormat,
    /// Stored bits per weight in DRAM.
    bits: f64,
    exact: bool,
}

fn rows() -> impl Iterator<Item = Row> {
    let coded = WeightKind::ALL.iter().filter(|kind| !kind.is_kv()).map(|&kind| {
        let format = WeightFormat::new(kind, Group::Of(128));
        Row { name: kind.name().into(), format, bits: format.bits_per_weight(SIZE, SIZE), exact: true }
    });
    let floats = TYPES.iter().filter(|t| t.coding().is_none()).map(|t| Row {
        name: t.name.to_lowercase(),
        format: ROUNDED,
        bits: ROUNDED.bits_per_weight(SIZE, SIZE),
        exact: false,
    });
    coded.chain(floats)
}

impl Types {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let chip = self.chip.resolve([])?;
        let mut known: Vec<(WeightFormat, u64)> = Vec::new();
        let mut cycles = |format: WeightFormat| -> Result<u64, Failure> {
            if let Some((_, cycles)) = known.iter().find(|k| k.0 == format) {
                return Ok(*cycles);
            }
            let product = gemm::Gemm { m: 1, n: SIZE, k: SIZE, format };
            let lowered = product.lower(&chip.chip)?;
            let state = device::empty_state(&chip.chip);
            let run = kernel::run("types", &lowered.program, lowered.address, &chip.chip, state)?;
            known.push((format, run.counts.cycles));
            Ok(run.counts.cycles)
        };
        let mut table = Vec::new();
        let mut text = format!(
            "Weight types on {}: a product of one row with {SIZE} x {SIZE} weights\n  \
             {:<9}{:>12}{:>8}{:>8}{:>12}  {}\n",
            chip.chip.name, "type", "bits/weight", "group", "planes", "cycles", "in the machine"
        );
        for row in rows() {
            let (planes, cycles) = (row.format.kind.planes().len(), cycles(row.format)?);
            let machine = match row.exact {
                true => "exact".into(),
                false => format!("rounded to {} in groups of {}", row.format.kind, row.format.group),
            };
            text += &format!(
                "  {:<9}{:>12.3}{:>8}{planes:>8}{cycles:>12}  {machine}\n",
                row.name,
                row.bits,
                row.format.group.to_string(),
            );
            table.push(json!({
                "type": row.name,
                "stored_bits_per_weight": row.bits,
                "group": row.format.group.to_string(),
                "planes": planes,
                "cycles": cycles,
                "exact": row.exact,
            }));
        }
        match self.json {
            true => output::print(&format!("{:#}\n", json!(table))),
            false => output::print(&text),
        }
    }
}
