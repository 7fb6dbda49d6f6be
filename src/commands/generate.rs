//! `lutsim generate`: a model file talks, through the instructions that are timed.

use std::path::PathBuf;

use clap::Args;
use lutsim_formats::tokenizer::{Special, Tokenizer};
use lutsim_host::files::{FileModel, ROUNDED, Rounding};
use lutsim_host::model::Model;
use lutsim_isa::WeightFormat;
use lutsim_sim::chip_file::Override;
use serde_json::json;

use super::run::Engine;
use crate::cli::ChipArgs;
use crate::failure::{Failure, UserError};
use crate::model_file::{self, wrong};
use crate::output::{self, OutFile};
use crate::progress::Bar;
use crate::requested::{self, WeightArgs};
use crate::session::{self, Finished, Phase, Sampler, Session};

/// Let a model file talk: its text, and what that took.
#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    chip: ChipArgs,
    #[command(flatten)]
    weights: WeightArgs,
    /// Model file (GGUF, safetensors), or its folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// GGUF file whose tokeniser is used, of a model without one
    #[arg(long, value_name = "FILE.gguf")]
    tokenizer: Option<PathBuf>,
    /// What to go on from
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_ids", conflicts_with = "prompt_ids")]
    prompt: Option<String>,
    /// The same as token ids, with commas between
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    prompt_ids: Option<Vec<u32>>,
    /// Tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// Go on behind the token that ends a text
    #[arg(long)]
    ignore_eos: bool,
    /// Choose at random, logits divided by this; 0 takes the largest
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = temperature)]
    temperature: f32,
    /// Of the largest logits only, if chosen at random
    #[arg(long, value_name = "K", default_value_t = 0, hide_default_value = true, requires = "temperature")]
    top_k: u32,
    /// Seed of the choice
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, requires = "temperature")]
    seed: u64,
    /// Activations: int8, fp16
    #[arg(long, value_name = "FORMAT")]
    activations: Option<String>,
    /// Entries of the tables: exact, or int8 (rounded to 8 bits, as T-MAC does)
    #[arg(long, value_name = "KIND")]
    tables: Option<String>,
    /// KV cache: int8, int4, fp16
    #[arg(long, value_name = "FORMAT")]
    kv: Option<String>,
    /// How time passes; the results are the same
    #[arg(long, value_enum, default_value_t = Engine::Leap)]
    engine: Engine,
    /// Write the logits of every prompt position as float32, positions x vocabulary
    #[arg(long, value_name = "FILE.npy")]
    logits: Option<PathBuf>,
    /// Print the result as JSON and nothing else
    #[arg(long)]
    json: bool,
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(t) if (0.0..=100.0).contains(&t) => Ok(t),
        _ => Err("a number from 0 to 100".into()),
    }
}

impl Generate {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        model_file::with_any_file(&self.model, |gguf, file| {
            let needed = self.prompt.is_some() || self.weights.reads_text();
            let (own, other) = ((self.model.as_path(), gguf), (self.tokenizer.as_deref(), needed));
            model_file::with_tokenizer(own, other, file.model.vocab, |tokenizer| {
                let requested = self.weights.of(&self.model, file, tokenizer)?;
                self.talk(tokenizer, requested.as_ref().unwrap_or(file))
            })
        })
    }

    fn talk(&self, tokenizer: Option<&Tokenizer<'_>>, file: &FileModel<'_>) -> Result<(), Failure> {
        let prompt = match (&self.prompt, tokenizer) {
            (Some(text), Some(tokenizer)) => tokenizer.prompt(text, Special::Text),
            (Some(_), None) => {
                let help = "give --prompt-ids, or --tokenizer FILE.gguf";
                return Err(model_file::no_tokenizer(&self.model, help));
            }
            (None, _) => self.prompt_ids.clone().unwrap_or_default(),
        };
        let is_end = |id: u32| tokenizer.is_some_and(|t| t.is_end(id));
        let text =
            |ids: &[u32]| tokenizer.map(|t| t.decode(ids)).transpose().map_err(|e| wrong(&self.model, e));
        self.check_prompt(&prompt, file.model.vocab)?;
        self.check_length(prompt.len(), &file.model)?;
        let roundings = file.roundings().map_err(|e| wrong(&self.model, e))?;
        let logits_file = self.logits.as_deref().map(OutFile::prepare).transpose()?;

        let progress = Bar::new(0);
        let mut tokens = self.tokens;
        let finished = loop {
            let session = self.session(file, &prompt, tokens, Phase::All)?;
            let finished = session.run_on(Some(file), &progress).map_err(|e| self.refused(e))?;
            let end = finished.tokens.iter().position(|&id| is_end(id));
            match end.filter(|_| !self.ignore_eos) {
                // How far it goes is known now: the same again, and no further.
                Some(end) if end + 1 < finished.tokens.len() => tokens = end as u32 + 1,
                _ => break finished,
            }
        };
        if let Some(out) = logits_file {
            out.commit(&npy(&self.prompt_logits(file, &prompt, &progress)?))?;
        }
        progress.finish();
        let ended = finished.tokens.last().is_some_and(|&id| is_end(id));
        let said = Said {
            prompt: &prompt,
            text: text(&finished.tokens)?,
            ended,
            finished: &finished,
            roundings: &roundings,
            weights: requested::words(file),
        };
        match self.json {
            true => output::print(&format!("{:#}\n", said.json())),
            false => {
                let prompt = text(&prompt)?.unwrap_or_default();
                output::print(&said.words(&prompt))
            }
        }
    }

    fn check_prompt(&self, ids: &[u32], vocab: u32) -> Result<(), UserError> {
        let refuse = |why: String| {
            let (flag, value) = match &self.prompt {
                Some(text) => ("--prompt", text.clone()),
                None => ("--prompt-ids", ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
            };
            let help = format!("the model's tokens are 0 to {}", vocab - 1);
            Err(UserError::Flag { flag: flag.into(), value, why, help })
        };
        match ids.iter().find(|id| **id >= vocab) {
            Some(id) => refuse(format!("there is no token {id}")),
            None if ids.is_empty() => refuse("there is no token to go on from".into()),
            None => Ok(()),
        }
    }

    /// Refuses more tokens than the model sees: the last one generated is not read.
    fn check_length(&self, prompt: usize, model: &Model) -> Result<(), UserError> {
        let limit = u64::from(model.context);
        let room = (limit + 1).saturating_sub(prompt as u64);
        if u64::from(self.tokens) <= room {
            return Ok(());
        }
        let why = format!("{} sees at most {limit} tokens, and the prompt has {prompt}", model.name);
        let help = match room {
            0 => "give a shorter prompt".into(),
            room => format!("give at most {room}, or a shorter prompt"),
        };
        Err(UserError::Flag { flag: "--tokens".into(), value: self.tokens.to_string(), why, help })
    }

    /// A session on a file's numbers: a prompt and `tokens` more; or the prompt alone, token by token.
    fn session(
        &self,
        file: &FileModel<'_>,
        prompt: &[u32],
        tokens: u32,
        phase: Phase,
    ) -> Result<Session, Failure> {
        let alone = phase == Phase::Decode;
        let (length, generate) =
            if alone { (0, prompt.len() as u32) } else { (prompt.len() as u32, tokens - 1) };
        let sampling = alone || self.temperature > 0.0;
        let set = |key: &str, value: String| Override::flag("--model", &format!("workload.{key}"), &value);
        let mut overrides = model_file::types(file);
        overrides.extend([
            set("model", format!("\"{}\"", file.model.name)),
            set("prompt", length.to_string()),
            set("generate", generate.to_string()),
            set("context", "0".into()),
            set("batch", "1".into()),
            set("sampling", sampling.to_string()),
        ]);
        for (name, value) in [("activations", &self.activations), ("tables", &self.tables), ("kv", &self.kv)]
        {
            let flag = |v: &String| Override::flag(&format!("--{name}"), &format!("workload.{name}"), v);
            overrides.extend(value.as_ref().map(flag));
        }
        let chip = self.chip.resolve(overrides)?;
        Ok(Session {
            phase: Phase::All,
            values: true,
            engine: self.engine.into(),
            prompt_ids: Some(prompt.to_vec()),
            decode_ids: alone.then(|| prompt.to_vec()),
            sampler: Sampler { temperature: self.temperature, top_k: self.top_k, seed: self.seed },
            ..Session::new(chip, file.model.clone())
        })
    }

    /// The logits behind each token of the prompt.
    fn prompt_logits(
        &self,
        file: &FileModel<'_>,
        prompt: &[u32],
        progress: &Bar,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let session = self.session(file, prompt, 0, Phase::Decode)?;
        Ok(session.run_on(Some(file), progress).map_err(|e| self.refused(e))?.logits)
    }

    /// What a run says, of the file where its numbers are at fault.
    fn refused(&self, error: session::Error) -> Failure {
        match error {
            session::Error::Image(error) => wrong(&self.model, error),
            error @ session::Error::NotFinite { .. } => wrong(&self.model, error),
            other => other.into(),
        }
    }
}

/// What came out.
struct Said<'a> {
    prompt: &'a [u32],
    /// None without a tokeniser.
    text: Option<String>,
    ended: bool,
    finished: &'a Finished,
    roundings: &'a [Rounding],
    /// Where they are from.
    weights: String,
}

impl Said<'_> {
    fn json(&self) -> serde_json::Value {
        let record =
            serde_json::to_value(&self.finished.record).unwrap_or_else(|e| panic!("the record: {e}"));
        json!({
            "text": self.text,
            "token_ids": self.finished.tokens,
            "prompt_token_ids": self.prompt,
            "end_of_sequence": self.ended,
            "rounded_tensors": requested::json(self.roundings),
            "record": record,
        })
    }

    fn words(&self, prompt: &str) -> String {
        let record = &self.finished.record;
        let workload = &record.workload;
        let ids = || self.finished.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut out = match &self.text {
            Some(text) => format!("{prompt}{text}\n\n"),
            None => format!("{}\n\n", ids()),
        };
        out += &format!(
            "{} on {}: {} tokens of prompt, {} generated{}\n",
            workload.model,
            record.machine.chip,
            self.prompt.len(),
            self.finished.tokens.len(),
            if self.ended { ", the last one ends the text" } else { "" },
        );
        out += &format!("  weights  {}{}", workload.weights, self.weights);
        let worst = self.roundings.iter().max_by(|a, b| a.nmse.total_cmp(&b.nmse));
        if let Some(worst) = worst {
            let (count, error, tensor) = (self.roundings.len(), worst.nmse, &worst.tensor);
            let all = |format| self.roundings.iter().all(|r| r.to == format);
            let (floats, to) = match () {
                () if all(ROUNDED) => ("float ", " to int8 in groups of 128"),
                () if all(WeightFormat::FLOAT) => ("float ", " to f16"),
                () => ("", ""),
            };
            out += &format!(
                "; {count} {floats}{} rounded{to} (error at most {error:.1e} of the power, in {tensor})",
                if count == 1 { "matrix" } else { "matrices" },
            );
        }
        out.push('\n');
        out + &lutsim_reports::phases(record)
    }
}

/// Rows of float32 as NumPy writes them, version 1.0.
fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}", rows.len());
    // Magic, version, length: 10 bytes; the data begin at a multiple of 64.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header += &" ".repeat(padded - header.len() - 1);
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(rows.iter().flatten().flat_map(|x| x.to_le_bytes()));
    out
}
