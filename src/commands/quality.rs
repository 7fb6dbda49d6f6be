//! `lutsim quality`: what the bits of a model's weights cost and save.

use std::path::PathBuf;

use clap::Args;
use lutsim_formats::tokenizer::Special;
use lutsim_host::files::{FileModel, Request};
use lutsim_host::model::Model;
use lutsim_host::quantize::KINDS;
use lutsim_host::reference::{Machine, Numerics};
use lutsim_isa::{Group, WeightFormat};
use lutsim_sim::chip_file::Override;
use serde::Serialize;

use crate::cli::ChipArgs;
use crate::eval::{cut, judge};
use crate::failure::Failure;
use crate::model_file::{self, wrong};
use crate::progress::{Bar, Count};
use crate::session::{Phase, Session};
use crate::{output, resolve};

/// A row per weight type: tokens/s and J/token of decode on a chip, stored bits, and perplexity of a text.
///
/// The layers' matrices are rounded to nearest in groups; embedding, head, norms and biases stay as the file has them. Perplexity is that of
/// the machine's numbers with exact tables (`lutsim eval` has more of one type), and of the file's own numbers in floats.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("form").args(["json", "csv"]))]
pub struct Quality {
    #[command(flatten)]
    chip: ChipArgs,
    /// Model file (GGUF, safetensors), or its folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// GGUF file whose tokeniser is used, of a model without one
    #[arg(long, value_name = "FILE.gguf")]
    tokenizer: Option<PathBuf>,
    /// Text to read; without one there is no perplexity
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Tokens of a window of the text, and of the context that speed and energy are measured at
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    window: u32,
    /// Windows to read, from the first; all by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    windows: Option<u32>,
    /// Weights that share a scale where they are rounded: a power of two from 16 to 1024, or `row`
    #[arg(long, value_name = "N|row", default_value = "64")]
    group: Group,
    /// Print the table as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Print the table as CSV and nothing else
    #[arg(long)]
    csv: bool,
}

/// Decode steps that are measured, behind the window.
const STEPS: u32 = 4;

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    /// Weight type.
    weights: String,
    /// Its group.
    group: String,
    /// Whether the file has it so.
    own: bool,
    stored_bits_per_weight: f64,
    tokens_per_second: f64,
    energy_per_token_j: f64,
    energy_per_token_j_low: f64,
    energy_per_token_j_high: f64,
    /// None without a text.
    perplexity: Option<f64>,
}

impl Quality {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let text = self.text.as_ref().map(|path| resolve::read_text(path)).transpose()?;
        model_file::with_file(&self.model, |gguf, file| {
            let mut ids = Vec::new();
            if let (Some(text), Some(path)) = (&text, &self.text) {
                let (own, other) = ((self.model.as_path(), gguf), (self.tokenizer.as_deref(), true));
                let all = model_file::with_tokenizer(own, other, file.model.vocab, |tokenizer| {
                    let none = || model_file::no_tokenizer(&self.model, "give --tokenizer FILE.gguf");
                    Ok(tokenizer.ok_or_else(none)?.encode(text, Special::Text))
                })?;
                ids = cut(&file.model, &all, (self.window, self.windows), path)?.to_vec();
            }
            let formats = KINDS.iter().rev().map(|&kind| WeightFormat::new(kind, self.group));
            let own = file.model.mix.is_none().then_some(file.weights);
            let types: Vec<Option<WeightFormat>> =
                [None].into_iter().chain(formats.filter(|f| own != Some(*f)).map(Some)).collect();
            // What is wrong with the chip is said before a text is read.
            let mut rows: Vec<Row> = types.iter().map(|f| self.speed(file, *f)).collect::<Result<_, _>>()?;
            let float = self.perplexities(file, &types, &mut rows, &ids)?;
            self.print(file, &rows, float)
        })
    }

    /// Speed and energy of a type; of the file's own, if there is no other.
    fn speed(&self, file: &FileModel<'_>, rounded: Option<WeightFormat>) -> Result<Row, Failure> {
        let (model, format) = match rounded {
            None => (file.model.clone(), file.weights),
            Some(format) => (Model { mix: None, ..file.model.clone() }, format),
        };
        let set = |key: &str, value: String| Override::flag("--model", &format!("workload.{key}"), &value);
        let mut overrides = model_file::types(file);
        overrides.extend([
            set("model", format!("\"{}\"", file.model.name)),
            set("weights", format.kind.to_string()),
            set("group", format.group.to_string()),
            set("prompt", "0".into()),
            set("context", self.window.min(file.model.context.saturating_sub(STEPS)).to_string()),
            set("generate", STEPS.min(file.model.context).to_string()),
            set("batch", "1".into()),
        ]);
        let chip = self.chip.resolve(overrides)?;
        let session = Session { phase: Phase::Decode, ..Session::new(chip, model.clone()) };
        let record = session.run(&Bar::new(0))?.record;
        let decode = record.phases.decode.unwrap_or_else(|| panic!("{STEPS} steps make a phase"));
        Ok(Row {
            weights: model.weight_names(format),
            group: if model.mix.is_some() { "-".into() } else { format.group.to_string() },
            own: rounded.is_none(),
            stored_bits_per_weight: record.workload.stored_bits_per_weight,
            tokens_per_second: decode.totals.tokens_per_second,
            energy_per_token_j: decode.totals.energy_per_token_j,
            energy_per_token_j_low: decode.totals.energy_per_token_j_low,
            energy_per_token_j_high: decode.totals.energy_per_token_j_high,
            perplexity: None,
        })
    }

    /// Perplexity of every row, and of the file's numbers in floats.
    fn perplexities(
        &self,
        file: &FileModel<'_>,
        types: &[Option<WeightFormat>],
        rows: &mut [Row],
        ids: &[u32],
    ) -> Result<Option<f64>, Failure> {
        if ids.is_empty() {
            return Ok(None);
        }
        let windows = ids.len() as u64 / u64::from(self.window);
        let count = Count::new("windows", windows * rows.len() as u64);
        let machine = Numerics::Machine(Machine::default());
        let mut float = None;
        for (row, rounded) in rows.iter_mut().zip(types) {
            let window = self.window as usize;
            let judged = match *rounded {
                None => {
                    let numerics = [machine.clone(), Numerics::Float];
                    judge(&file.model, file, &numerics, ids, window, &|| count.one())
                }
                Some(format) => {
                    let request = Request { format, importance: None };
                    let other = file.clone().requested(request).map_err(|e| wrong(&self.model, e))?;
                    judge(&other.model, &other, std::slice::from_ref(&machine), ids, window, &|| count.one())
                }
            };
            let perplexity = judged.map_err(|e| wrong(&self.model, e))?.perplexity();
            row.perplexity = perplexity.first().copied();
            float = float.or(perplexity.get(1).copied());
        }
        count.finish();
        Ok(float)
    }

    fn print(&self, file: &FileModel<'_>, rows: &[Row], float: Option<f64>) -> Result<(), Failure> {
        if self.json {
            let table = serde_json::json!({
                "model": file.model.name,
                "chip": self.chip.resolve([])?.chip.name,
                "head": file.head.to_string(),
                "context": self.window,
                "float_perplexity": float,
                "types": rows,
            });
            return output::print(&format!("{table:#}\n"));
        }
        if self.csv {
            let mut writer = csv::Writer::from_writer(Vec::new());
            rows.iter().for_each(|row| writer.serialize(row).unwrap_or_else(|e| panic!("a row of CSV: {e}")));
            let bytes = writer.into_inner().unwrap_or_else(|e| panic!("CSV in memory: {e}"));
            return output::print(&String::from_utf8_lossy(&bytes));
        }
        output::print(&self.words(file, rows, float)?)
    }

    fn words(&self, file: &FileModel<'_>, rows: &[Row], float: Option<f64>) -> Result<String, Failure> {
        let mut out = format!(
            "{} on {}, decode at {} tokens of context, head {}\n  {:<10}{:>8}{:>14}{:>14}{:>14}{:>24}",
            file.model.name,
            self.chip.resolve([])?.chip.name,
            self.window,
            file.head,
            "weights",
            "group",
            "bits/weight",
            "tokens/s",
            "J/token",
            "low to high",
        );
        out += if float.is_some() { "    perplexity\n" } else { "\n" };
        for row in rows {
            let band = format!("{:.3e} to {:.3e}", row.energy_per_token_j_low, row.energy_per_token_j_high);
            out += &format!(
                "  {:<10}{:>8}{:>14.3}{:>14.1}{:>14.3e}{band:>24}",
                row.weights,
                row.group,
                row.stored_bits_per_weight,
                row.tokens_per_second,
                row.energy_per_token_j,
            );
            if let Some(perplexity) = row.perplexity {
                out += &format!("{perplexity:>14.3}");
            }
            out += if row.own { "  as in the file\n" } else { "\n" };
        }
        if let Some(float) = float {
            out += &format!("  perplexity of the file's numbers in floats: {float:.3}\n");
        }
        Ok(out)
    }
}
