//! `lutsim eval`: what a model file loses on the machine.

use std::path::PathBuf;

use clap::Args;
use lutsim_formats::tokenizer::Special;
use lutsim_host::files::FileModel;
use lutsim_host::reference::{Machine, Numerics};
use lutsim_host::workload::parse_kv;
use lutsim_isa::field::{AType, Entries};
use serde_json::json;

use crate::eval::{Judged, cut, judge};
use crate::failure::{Failure, HostFault};
use crate::model_file::{self, wrong};
use crate::progress::Count;
use crate::requested::{self, WeightArgs};
use crate::{output, resolve};

/// Perplexity of a text with the machine's numbers, exact tables and tables rounded to 8 bits, and with floats; the error of each operator.
///
/// The text is tokenised in one piece and cut into windows, each read from an empty cache; all tokens of a window but the first are
/// scored, what is left at the end is not read.
#[derive(Debug, Args)]
pub struct Eval {
    /// Model file (GGUF, safetensors), or its folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    weights: WeightArgs,
    /// GGUF file whose tokeniser is used, of a model without one
    #[arg(long, value_name = "FILE.gguf")]
    tokenizer: Option<PathBuf>,
    /// Text to read
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    window: u32,
    /// Windows to read, from the first; all by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    windows: Option<u32>,
    /// Activations
    #[arg(long, value_name = "FORMAT", default_value = "int8", value_parser = ["int8", "fp16"])]
    activations: String,
    /// Judge tables of one kind of entries only; both by default
    #[arg(long, value_name = "KIND", value_parser = ["exact", "int8"])]
    tables: Option<String>,
    /// KV cache: int8, int4, fp16
    #[arg(long, value_name = "FORMAT", default_value = "int8")]
    kv: String,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let text = resolve::read_text(&self.text)?;
        let kv = parse_kv(&self.kv).map_err(HostFault::from)?;
        let activations = if self.activations == "fp16" { AType::Fp16 } else { AType::Int8 };
        let machine = |&entries: &Entries| Machine { kv, activations, entries, ..Machine::default() };
        let machines = self.kinds();
        let machines = machines.iter().map(machine).map(Numerics::Machine);
        let numerics: Vec<Numerics> = machines.chain([Numerics::Float]).collect();
        model_file::with_any_file(&self.model, |gguf, file| {
            let (own, other) = ((self.model.as_path(), gguf), (self.tokenizer.as_deref(), true));
            let (ids, requested) = model_file::with_tokenizer(own, other, file.model.vocab, |tokenizer| {
                let none = || model_file::no_tokenizer(&self.model, "give --tokenizer FILE.gguf");
                let ids = tokenizer.ok_or_else(none)?.encode(&text, Special::Text);
                Ok((ids, self.weights.of(&self.model, file, tokenizer)?))
            })?;
            let file = requested.as_ref().unwrap_or(file);
            let roundings = file.roundings().map_err(|e| wrong(&self.model, e))?;
            let ids = cut(&file.model, &ids, (self.window, self.windows), &self.text)?;
            let count = Count::new("windows", ids.len() as u64 / u64::from(self.window));
            let judged = judge(&file.model, file, &numerics, ids, self.window as usize, &|| count.one());
            count.finish();
            let judged = judged.map_err(|e| wrong(&self.model, e))?;
            match self.json {
                true => {
                    let mut out = self.json(file, &judged);
                    out["rounded_tensors"] = requested::json(&roundings);
                    output::print(&format!("{out:#}\n"))
                }
                false => output::print(&(self.words(file, &judged) + &requested::errors(&roundings))),
            }
        })
    }

    /// Entries of the tables of each machine.
    fn kinds(&self) -> Vec<Entries> {
        let wanted = |kind: &Entries| self.tables.as_deref().is_none_or(|name| name == kind.name());
        Entries::ALL.iter().copied().filter(wanted).collect()
    }

    fn json(&self, file: &FileModel<'_>, judged: &Judged) -> serde_json::Value {
        let perplexity = judged.perplexity();
        let names = || self.kinds().into_iter().map(key).chain(["float"]);
        let mut out = json!({
            "model": file.model.name,
            "weights": file.model.weight_names(file.weights),
            "activations": self.activations,
            "kv": self.kv,
            "window": self.window,
            "windows": judged.windows.len(),
            "scored_tokens": judged.windows.len() * judged.scored,
        });
        for (i, name) in names().enumerate() {
            let means: Vec<f64> = judged.windows.iter().map(|w| w[i]).collect();
            out[name] = json!({ "perplexity": perplexity[i], "window_mean_nll": means });
        }
        for (operator, errors) in &judged.operators {
            for (name, nmse) in names().zip(errors) {
                out["operator_nmse"][*operator][name] = json!(nmse);
            }
        }
        out
    }

    fn words(&self, file: &FileModel<'_>, judged: &Judged) -> String {
        let perplexity = judged.perplexity();
        let float = perplexity.last().copied().unwrap_or(f64::NAN);
        let (windows, name) = (judged.windows.len(), &file.model.name);
        let mut out = format!(
            "{name} on {windows} windows of {} tokens, {} scored\n  weights {}, activations {}, KV cache {}\n\n{:12}",
            self.window,
            windows * judged.scored,
            file.model.weight_names(file.weights),
            self.activations,
            self.kv,
            "",
        );
        let kinds = self.kinds();
        kinds.iter().for_each(|&kind| out += &format!("{:>20}", title(kind)));
        out += &format!("{:>20}\n{:12}", "floats", "perplexity");
        for machine in &perplexity[..kinds.len()] {
            let change = (machine / float - 1.0) * 100.0;
            out += &format!("{:>20}", format!("{machine:.3} ({change:+.2} %)"));
        }
        out +=
            &format!("{float:>20.3}\n\nNMSE of what comes out, against floats, errors before it included\n");
        for (name, errors) in &judged.operators {
            out += &format!("  {name:<10}");
            errors.iter().for_each(|nmse| out += &format!("{:>20}", format!("{nmse:.1e}")));
            out.push('\n');
        }
        out
    }
}

/// What JSON calls a machine.
fn key(kind: Entries) -> &'static str {
    match kind {
        Entries::Exact => "exact",
        Entries::Int8 => "int8_tables",
    }
}

/// The head of its column.
fn title(kind: Entries) -> &'static str {
    match kind {
        Entries::Exact => "exact tables",
        Entries::Int8 => "INT8 tables",
    }
}
