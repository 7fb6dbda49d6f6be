//! `lutsim types`: every weight type, what it stores, and what a product with it takes on a chip.

use std::path::PathBuf;

use clap::Args;
use lutsim_formats::types::TYPES;
use lutsim_host::files::{ROUNDED, Request, Rounding};
use lutsim_host::quantize::KINDS;
use lutsim_isa::{Group, WeightFormat, WeightKind};
use serde_json::json;

use crate::cli::ChipArgs;
use crate::failure::Failure;
use crate::{device, gemm, kernel, model_file, output};

/// Every weight type: stored bits, bit-planes, whether a file's weights stay exact, and the cycles of a product.
#[derive(Debug, Args)]
pub struct Types {
    #[command(flatten)]
    chip: ChipArgs,
    /// Say too what rounding this model's matrices (GGUF, safetensors) to each type in groups of 128 loses
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
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
    let coded = WeightKind::ALL.iter().filter(|kind| !kind.is_kv() && !kind.is_float()).map(|&kind| {
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
        let Some(path) = &self.model else {
            return match self.json {
                true => output::print(&format!("{:#}\n", json!(table))),
                false => output::print(&text),
            };
        };
        let errors = model_file::with_any_file(path, |_, file| {
            let one = |&kind: &WeightKind| {
                let format = WeightFormat::new(kind, Group::Of(128));
                let made = file.clone().requested(Request { format, importance: None });
                made.and_then(|file| file.roundings()).map_err(|e| model_file::wrong(path, e))
            };
            KINDS.iter().map(one).collect::<Result<Vec<_>, _>>()
        })?;
        // The head keeps its type: its error is the same in every column, and no part of this.
        let layers = |r: &&Rounding| r.to.kind == KINDS[0];
        text += &format!(
            "\nRounding error in groups of 128, of the power: {}\n  {:<32}",
            path.display(),
            "tensor"
        );
        KINDS.iter().for_each(|kind| text += &format!("{:>9}", kind.name()));
        let mut tensors = Vec::new();
        for (i, first) in errors[0].iter().enumerate().filter(|(_, r)| layers(r)) {
            text += &format!("\n  {:<32}", first.tensor);
            let of = |column: &Vec<Rounding>| column[i].nmse;
            errors.iter().for_each(|column| text += &format!("{:>9.1e}", of(column)));
            let row: serde_json::Map<_, _> = KINDS
                .iter()
                .zip(&errors)
                .map(|(kind, column)| (kind.name().into(), json!(of(column))))
                .collect();
            tensors.push(json!({ "tensor": first.tensor, "from": first.from, "nmse": row }));
        }
        match self.json {
            true => output::print(&format!("{:#}\n", json!({ "types": table, "tensors": tensors }))),
            false => output::print(&(text + "\n")),
        }
    }
}
