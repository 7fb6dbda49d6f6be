//! `lutsim eval`: what a model file loses on the machine.

use std::path::PathBuf;

use clap::Args;
use lutsim_formats::tokenizer::Special;
use lutsim_host::files::FileModel;
use lutsim_host::reference::Machine;
use lutsim_host::workload::parse_kv;
use lutsim_isa::field::AType;
use serde_json::json;

use crate::eval::{Judged, judge};
use crate::failure::{Failure, HostFault, UserError};
use crate::model_file::{self, wrong};
use crate::progress::Count;
use crate::requested::{self, WeightArgs};
use crate::{output, resolve};

/// Perplexity of a text with the machine's numbers and with floats, and the error of each operator.
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
        let machine = Machine { kv, activations, ..Machine::default() };
        model_file::with_file(&self.model, |gguf, file| {
            let (own, other) = ((self.model.as_path(), gguf), (self.tokenizer.as_deref(), true));
            let (ids, requested) = model_file::with_tokenizer(own, other, file.model.vocab, |tokenizer| {
                let none = || model_file::no_tokenizer(&self.model, "give --tokenizer FILE.gguf");
                let ids = tokenizer.ok_or_else(none)?.encode(&text, Special::Text);
                Ok((ids, self.weights.of(&self.model, file, tokenizer)?))
            })?;
            let file = requested.as_ref().unwrap_or(file);
            let roundings = file.roundings().map_err(|e| wrong(&self.model, e))?;
            let ids = self.cut(file, &ids)?;
            let count = Count::new("windows", ids.len() as u64 / u64::from(self.window));
            let judged = judge(file, &machine, ids, self.window as usize, &|| count.one());
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

    /// The tokens that are read.
    fn cut<'t>(&self, file: &FileModel<'_>, ids: &'t [u32]) -> Result<&'t [u32], UserError> {
        let refuse = |flag: &str, value: String, why: String, help: String| {
            Err(UserError::Flag { flag: flag.into(), value, why, help })
        };
        let (window, context) = (self.window as usize, file.model.context);
        if self.window > context {
            let why = format!("{} sees at most {context} tokens", file.model.name);
            return refuse(
                "--window",
                self.window.to_string(),
                why,
                format!("give --window {context} or less"),
            );
        }
        let whole = ids.len() / window;
        if whole == 0 {
            let why = format!("it has {} tokens, fewer than a window of {window}", ids.len());
            let help = "give a longer text, or a smaller --window".into();
            return refuse("--text", self.text.display().to_string(), why, help);
        }
        let wanted = self.windows.map_or(whole, |n| whole.min(n as usize));
        Ok(&ids[..wanted * window])
    }

    fn json(&self, file: &FileModel<'_>, judged: &Judged) -> serde_json::Value {
        let [machine, float] = judged.perplexity();
        let side = |i: usize| judged.windows.iter().map(|w| w[i]).collect::<Vec<_>>();
        let operators: serde_json::Map<_, _> =
            judged.operators.iter().map(|(name, nmse)| ((*name).to_owned(), json!(nmse))).collect();
        json!({
            "model": file.model.name,
            "weights": file.model.weight_names(file.weights),
            "activations": self.activations,
            "kv": self.kv,
            "window": self.window,
            "windows": judged.windows.len(),
            "scored_tokens": judged.windows.len() * judged.scored,
            "exact": { "perplexity": machine, "window_mean_nll": side(0) },
            "float": { "perplexity": float, "window_mean_nll": side(1) },
            "operator_nmse": operators,
        })
    }

    fn words(&self, file: &FileModel<'_>, judged: &Judged) -> String {
        let [machine, float] = judged.perplexity();
        let (windows, name) = (judged.windows.len(), &file.model.name);
        let mut out = format!(
            "{name} on {windows} windows of {} tokens, {} scored\n  weights {}, activations {}, KV cache {}\n\n",
            self.window,
            windows * judged.scored,
            file.model.weight_names(file.weights),
            self.activations,
            self.kv,
        );
        let change = (machine / float - 1.0) * 100.0;
        out += &format!(
            "perplexity  {machine:.3} with the machine's numbers, {float:.3} in floats ({change:+.2} %)\n\n"
        );
        out += "error of what comes out, of its power, errors before it included\n";
        for (name, nmse) in &judged.operators {
            out += &format!("  {name:<10} {nmse:.1e}\n");
        }
        out
    }
}
