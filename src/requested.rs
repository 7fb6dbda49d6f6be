//! Weights in another type than the file's, as the command line asks for them.

use std::path::{Path, PathBuf};

use clap::Args;
use lutsim_formats::tokenizer::{Special, Tokenizer};
use lutsim_host::files::{FileModel, Importance, Request, Rounding};
use lutsim_host::workload::parse_weights;
use lutsim_isa::{Group, WeightFormat};
use serde_json::json;

use crate::failure::{Failure, HostFault, UserError};
use crate::model_file::{self, wrong};
use crate::resolve;

/// Tokens of a text that are read to choose scales.
const TOKENS: usize = 512;

/// What the layers' matrices are to be.
#[derive(Debug, Args)]
#[command(next_help_heading = "Weights (the file's own by default)")]
pub struct WeightArgs {
    /// Round the layers' matrices to this format: int1, int1.58, int2, int3, int4, int8
    #[arg(long, value_name = "FORMAT")]
    weights: Option<String>,
    /// Weights that share a scale: a power of two from 16 to 1024, or `row`; 128 by default
    #[arg(long, value_name = "N|row", requires = "weights")]
    group: Option<String>,
    /// Choose their scales by what this text feeds them, its first 512 tokens, instead of rounding to nearest
    #[arg(long, value_name = "FILE", requires = "weights")]
    calibrate: Option<PathBuf>,
    /// Keep float matrices as floats: FP16 on the vector unit, instead of rounding them to int8
    #[arg(long)]
    exact_float: bool,
}

impl WeightArgs {
    /// Whether a text is read, for which a tokeniser is needed.
    pub fn reads_text(&self) -> bool {
        self.calibrate.is_some()
    }
    /// The file's model with such weights; none if they are the file's.
    ///
    /// # Errors
    /// A format that is none, or that weights are not made in; a text that cannot be read.
    pub fn of<'a>(
        &self,
        path: &Path,
        file: &FileModel<'a>,
        tokenizer: Option<&Tokenizer<'_>>,
    ) -> Result<Option<FileModel<'a>>, Failure> {
        let exact = if self.exact_float {
            Some(file.clone().exact_float().map_err(|e| wrong(path, e))?)
        } else {
            None
        };
        let Some(weights) = &self.weights else {
            exact.as_ref().unwrap_or(file).check().map_err(|e| wrong(path, e))?;
            return Ok(exact);
        };
        let kind = parse_weights(weights).map_err(HostFault::from)?;
        let group = self.group.as_deref().unwrap_or("128");
        let group: Group = group.parse().map_err(|why| UserError::Flag {
            flag: "--group".into(),
            value: group.into(),
            why,
            help: "give a power of two from 16 to 1024, or `row`".into(),
        })?;
        let format = WeightFormat::new(kind, group);
        let own = file.check().is_ok();
        if own && file.model.mix.is_none() && format == file.weights && self.calibrate.is_none() {
            return Ok(exact);
        }
        if kind.blocks().is_some() {
            return Err(UserError::Flag {
                flag: "--weights".into(),
                value: weights.clone(),
                why: "blocks of files are read, not made".into(),
                help: "give int1, int1.58, int2, int3, int4 or int8".into(),
            }
            .into());
        }
        let importance = self.calibrate.as_deref().map(|text| importance(path, file, tokenizer, text));
        let request = Request { format, importance: importance.transpose()? };
        let made = exact.unwrap_or_else(|| file.clone()).requested(request).map_err(|e| wrong(path, e))?;
        made.check().map_err(|e| wrong(path, e))?;
        Ok(Some(made))
    }
}

/// What a text feeds a model's matrices.
fn importance(
    path: &Path,
    file: &FileModel<'_>,
    tokenizer: Option<&Tokenizer<'_>>,
    text: &Path,
) -> Result<Importance, Failure> {
    let read = resolve::read_text(text)?;
    let none = || model_file::no_tokenizer(path, "give --tokenizer FILE.gguf");
    let mut ids = tokenizer.ok_or_else(none)?.encode(&read, Special::Text);
    ids.truncate(TOKENS.min(file.model.context as usize));
    if ids.is_empty() {
        return Err(UserError::Flag {
            flag: "--calibrate".into(),
            value: text.display().to_string(),
            why: "it is empty".into(),
            help: "give a text as the model will read".into(),
        }
        .into());
    }
    // Codes that no record holds are read as floats.
    let floats = match file.check() {
        Ok(()) => None,
        Err(_) => Some(file.clone().exact_float().map_err(|e| wrong(path, e))?),
    };
    Importance::of(floats.as_ref().unwrap_or(file), &ids).map_err(|e| wrong(path, e))
}

/// What the weights are, in words: behind their type.
pub fn words(file: &FileModel<'_>) -> String {
    let Some(request) = file.request() else { return ", as in the file".into() };
    let group = match request.format.group {
        Group::Of(size) => format!(" in groups of {size}"),
        Group::Row => " with one group per row".into(),
    };
    match &request.importance {
        None => format!("{group}, rounded to nearest"),
        Some(importance) => format!("{group}, scales chosen by {} tokens of a text", importance.tokens()),
    }
}

/// Tensors of the largest errors that are listed.
const LISTED: usize = 8;

/// How far tensors were rounded, in words: the largest errors.
pub fn errors(roundings: &[Rounding]) -> String {
    if roundings.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<_> = roundings.iter().collect();
    sorted.sort_by(|a, b| b.nmse.total_cmp(&a.nmse));
    let mut out = format!("\nerror of rounded weights, of their power ({} tensors)\n", sorted.len());
    for r in sorted.iter().take(LISTED) {
        out += &format!("  {:<32} {:>8} to {:<8} {:.1e}\n", r.tensor, r.from, r.to.kind.name(), r.nmse);
    }
    if sorted.len() > LISTED {
        out += &format!("  and {} with less\n", sorted.len() - LISTED);
    }
    out
}

/// Rounded tensors as JSON.
pub fn json(roundings: &[Rounding]) -> serde_json::Value {
    let group = |format: WeightFormat| match format.group {
        Group::Of(size) => json!(size),
        Group::Row => json!("row"),
    };
    let one = |r: &Rounding| {
        json!({
            "tensor": r.tensor,
            "from": r.from,
            "to": r.to.kind.name(),
            "group": group(r.to),
            "nmse": r.nmse,
        })
    };
    roundings.iter().map(one).collect()
}
