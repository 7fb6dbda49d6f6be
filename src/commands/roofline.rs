//! `lutsim roofline`: what no machine of a bandwidth and a peak can pass, operator by operator.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use lutsim_baselines::difference::{Line, between};
use lutsim_baselines::{
    Analysis, Experts, Hardware, HardwareError, Limits, Operator, Setting, Shape, Stage, csv, llm_viewer,
    physical, slide,
};
use lutsim_host::model::Model;
use lutsim_isa::{Group, WeightFormat, WeightKind};
use lutsim_reports::quantity::{digits, percent, share, si};
use lutsim_reports::table::{Align, Table};
use lutsim_reports::{Ceiling, roofline_svg};
use serde_json::{Value, json};

use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::roofline::{self, Weights};
use crate::{model_file, resolve};

/// A model on the roofline of a machine: what no implementation can pass.
#[derive(Debug, Args)]
pub struct RooflineCommand {
    /// Machine: a file, or the name of a built-in one
    #[arg(long, value_name = "FILE|NAME")]
    hardware: String,
    /// Model file (TOML, GGUF, safetensors, config.json) or its folder, or the name of a built-in model
    #[arg(long, value_name = "FILE|NAME")]
    model: String,
    /// Tokens of the prompt in prefill, and in the cache in decode, the new one included
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seq: String,
    /// Sequences at a time
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true)]
    batch: String,
    /// Weight format: fp16, or one that `lutsim types` lists, in groups of 128 [default: the file's, else fp16]
    #[arg(long, value_name = "FORMAT", conflicts_with = "weight_bits")]
    weights: Option<String>,
    /// Activation format: int8, fp16 [default: fp16]
    #[arg(long, value_name = "FORMAT", conflicts_with = "activation_bits")]
    activations: Option<String>,
    /// KV cache format: int8, int4, fp16 [default: fp16]
    #[arg(long, value_name = "FORMAT", conflicts_with = "kv_bits")]
    kv: Option<String>,
    /// Bits of a weight, no scales
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    weight_bits: Option<String>,
    /// Bits of an activation
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    activation_bits: Option<String>,
    /// Bits of a cached element, no scales
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    kv_bits: Option<String>,
    /// Whose formulas: those of the operators, or those of the tool LLM-Viewer, its quirks included
    /// [default: true; with --style slide: llm-viewer]
    #[arg(long, value_enum)]
    accounting: Option<Accounting>,
    /// DRAM bandwidth in B/s, in place of the machine's
    #[arg(long, value_name = "B/s", allow_negative_numbers = true)]
    bandwidth: Option<String>,
    /// Peak of every type in operations per second, two per multiply-accumulate, in place of the machine's
    #[arg(long, value_name = "OP/s", allow_negative_numbers = true)]
    peak: Option<String>,
    /// On-chip buffer in bytes, in place of the machine's; only flash attention looks at it
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    onchip: Option<String>,
    /// Scores stay on the chip: one operator in place of three
    #[arg(long)]
    flash_attention: bool,
    /// Write every operator in full precision to this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the roofline to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long)]
    force: bool,
    /// How to print: tables, or the CSV of one layer that a slide of LLM-Viewer's table shows
    #[arg(long, value_enum, default_value_t = Style::Table, conflicts_with = "json")]
    style: Style,
    /// Print everything as JSON and nothing else
    #[arg(long)]
    json: bool,
}

/// Whose formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Accounting {
    /// Of the operators.
    True,
    /// Of LLM-Viewer 472f71f.
    LlmViewer,
}

impl Accounting {
    fn name(self) -> &'static str {
        match self {
            Accounting::True => "physical accounting",
            Accounting::LlmViewer => "LLM-Viewer's accounting",
        }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Tables with all digits that mean something.
    Table,
    /// CSV with a slide's roundings.
    Slide,
}

/// A flag's positive number up to `most`.
fn number<T: FromStr + PartialOrd + Copy>(
    flag: &str,
    text: &str,
    (zero, most, why): (T, T, &str),
) -> Result<T, Failure> {
    match text.parse::<T>() {
        Ok(value) if value > zero && value <= most => Ok(value),
        _ => Err(UserError::Flag {
            flag: flag.into(),
            value: text.into(),
            why: why.into(),
            help: "lengths, widths, rates and sizes are positive".into(),
        }
        .into()),
    }
}

/// Most bits of a number.
const BITS: (f64, f64, &str) = (0.0, 64.0, "it is not a number of bits above 0 and up to 64");
/// Largest rate or size.
const RATE: (f64, f64, &str) = (0.0, 1e30, "it is not a positive number");
/// Most tokens or sequences.
const COUNT: (u32, u32, &str) = (0, u32::MAX, "it is not a whole number above 0");

/// The bits of a format's name.
fn format_bits(flag: &str, name: &str, known: &[(&str, f64)]) -> Result<f64, Failure> {
    let found = known.iter().find(|(n, _)| *n == name).map(|(_, bits)| *bits);
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
        UserError::Flag {
            flag: flag.into(),
            value: name.into(),
            why: "there is no such format".into(),
            help: format!("there are {}", names.join(", ")),
        }
        .into()
    })
}

/// Everything that was asked.
struct Asked {
    model: Model,
    shape: Shape,
    setting: Setting,
    hardware: Hardware,
    weights: Weights,
}

/// Both accountings; LLM-Viewer's where the machine has the peak that it takes.
struct Found {
    physical: Analysis,
    tool: Result<(Limits, Analysis), HardwareError>,
    lines: Vec<Line>,
}

impl RooflineCommand {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let accounting = self.accounting.unwrap_or(match self.style {
            Style::Slide => Accounting::LlmViewer,
            Style::Table => Accounting::True,
        });
        let asked = self.asked()?;
        let found = asked.analyze();
        let chosen = match accounting {
            Accounting::True => &found.physical,
            Accounting::LlmViewer => &found.tool.as_ref().map_err(|e| Failure::from(e.clone()))?.1,
        };
        if self.csv.is_some() && self.csv == self.svg {
            let what = "--csv and --svg name the same file";
            return Err(UserError::Refused { what: what.into(), help: "give each its own".into() }.into());
        }
        let prepare =
            |path: &Option<PathBuf>| path.as_deref().map(|p| OutFile::fresh(p, self.force)).transpose();
        let (to_csv, to_svg) = (prepare(&self.csv)?, prepare(&self.svg)?);
        if let Some(file) = to_csv {
            file.commit(csv::text(chosen).as_bytes())?;
        }
        if let Some(file) = to_svg {
            file.commit(asked.picture(accounting, &found, chosen).as_bytes())?;
        }
        match (self.json, self.style) {
            (true, _) => output::print(&format!("{:#}\n", asked.json(accounting, &found, chosen))),
            (false, Style::Slide) => output::print(&slide::text(chosen)),
            (false, Style::Table) => output::print(&asked.text(accounting, &found, chosen)),
        }
    }

    fn asked(&self) -> Result<Asked, Failure> {
        let rate =
            |flag: &str, text: &Option<String>| text.as_deref().map(|t| number(flag, t, RATE)).transpose();
        let length = number("--seq", &self.seq, COUNT)?;
        let batch = number("--batch", &self.batch, COUNT)?;
        let mut hardware = resolve::hardware(&self.hardware)?;
        hardware.replace(
            rate("--bandwidth", &self.bandwidth)?,
            rate("--peak", &self.peak)?,
            rate("--onchip", &self.onchip)?,
        );
        let (model, file) = self.model()?;
        if length > model.context {
            return Err(UserError::Refused {
                what: format!("{} sees at most {} tokens; --seq is {length}", model.name, model.context),
                help: "lower --seq".into(),
            }
            .into());
        }
        let bits =
            |flag: &str, text: &Option<String>| text.as_deref().map(|t| number(flag, t, BITS)).transpose();
        let weights = self.weight_types(bits("--weight-bits", &self.weight_bits)?, file)?;
        let activation_bits = match bits("--activation-bits", &self.activation_bits)? {
            Some(bits) => bits,
            None => format_bits(
                "--activations",
                self.activations.as_deref().unwrap_or("fp16"),
                &[("int8", 8.0), ("fp16", 16.0)],
            )?,
        };
        let kv = self.kv.as_deref().unwrap_or("fp16");
        let (kv_bits, stored_kv) = match bits("--kv-bits", &self.kv_bits)? {
            Some(bits) => (bits, bits),
            None => {
                let bits = format_bits("--kv", kv, &[("int8", 8.0), ("int4", 4.0), ("fp16", 16.0)])?;
                // An FP16 scale for each head of a token.
                let scale = if kv == "fp16" { 0.0 } else { 16.0 / f64::from(model.head_dim) };
                (bits, bits + scale)
            }
        };
        let setting = Setting {
            batch,
            length,
            weight_bits: weights.code_bits(),
            activation_bits,
            kv_bits,
            stored: weights.stored(&model, stored_kv),
            flash: self.flash_attention,
        };
        Ok(Asked { shape: roofline::shape(&model), model, setting, hardware, weights })
    }

    /// The model, and the types of its weights where it is a file with weights.
    fn model(&self) -> Result<(Model, Option<Weights>), Failure> {
        match model_file::weights(&self.model) {
            Some(path) => model_file::with_file(&path, |_, file| {
                Ok((file.model.clone(), Some(Weights::File(file.weights, file.head))))
            }),
            None => Ok((resolve::model(&self.model)?, None)),
        }
    }

    fn weight_types(&self, bits: Option<f64>, file: Option<Weights>) -> Result<Weights, Failure> {
        let fp16 = Weights::Bits(16.0);
        match (bits, self.weights.as_deref()) {
            (Some(bits), _) => Ok(Weights::Bits(bits)),
            (None, Some("fp16")) => Ok(fp16),
            (None, None) => Ok(file.unwrap_or(fp16)),
            (None, Some(name)) => {
                let kinds = || WeightKind::ALL.iter().filter(|kind| !kind.is_kv() && !kind.is_float());
                let kind = kinds().find(|kind| kind.name() == name).ok_or_else(|| UserError::Flag {
                    flag: "--weights".into(),
                    value: name.into(),
                    why: "there is no such format".into(),
                    help: format!(
                        "there are fp16, {}",
                        kinds().map(|k| k.name()).collect::<Vec<_>>().join(", ")
                    ),
                })?;
                Ok(Weights::Format(WeightFormat::new(*kind, Group::Of(128))))
            }
        }
    }
}

impl Asked {
    fn analyze(&self) -> Found {
        let s = &self.setting;
        let physical = physical::analyze(&self.shape, s, &self.hardware);
        let limits = self.hardware.tool_limits([s.weight_bits, s.activation_bits, s.kv_bits]);
        let tool = limits.map(|limits| (limits, llm_viewer::analyze(&self.shape, s, &limits)));
        let lines = match &tool {
            Ok((limits, tool)) => {
                let bandwidths = [self.hardware.bandwidth.value, limits.bandwidth];
                between(&self.shape, s, bandwidths, tool, &physical)
            }
            Err(_) => Vec::new(),
        };
        Found { physical, tool, lines }
    }

    fn title(&self, accounting: Accounting) -> String {
        format!("{} on {}: roofline, {}", self.model.name, self.hardware.name, accounting.name())
    }

    fn subtitle(&self) -> String {
        let s = &self.setting;
        let flash = if s.flash { ", flash attention" } else { "" };
        format!(
            "batch {}, {} tokens; weights {}, activations {} bits, KV cache {} bits{flash}",
            s.batch,
            s.length,
            self.weights.name(),
            s.activation_bits,
            s.kv_bits
        )
    }

    /// DRAM and peaks that an accounting looks at.
    fn roofs(&self, accounting: Accounting, found: &Found) -> (f64, Vec<Ceiling>) {
        let ceiling = |label: String, ops_per_s| Ceiling { label, ops_per_s };
        match (&found.tool, accounting) {
            (Ok((limits, _)), Accounting::LlmViewer) => {
                (limits.bandwidth, vec![ceiling("peak of LLM-Viewer".into(), limits.peak)])
            }
            _ => {
                let peaks = self.hardware.peaks.iter();
                let peaks = peaks.map(|(ty, q)| ceiling(ty.name().into(), q.value)).collect();
                (self.hardware.bandwidth.value, peaks)
            }
        }
    }

    fn picture(&self, accounting: Accounting, found: &Found, chosen: &Analysis) -> String {
        let (bandwidth, peaks) = self.roofs(accounting, found);
        let words = (self.title(accounting), self.subtitle());
        let svg = roofline_svg(&roofline::picture(words, bandwidth, peaks, chosen));
        svg.unwrap_or_else(|e| panic!("{e}"))
    }

    fn text(&self, accounting: Accounting, found: &Found, chosen: &Analysis) -> String {
        let mut out = format!("{}\n  {}\n", self.title(accounting), self.subtitle());
        out += &roofline::sources(&self.hardware);
        out += &self.parts();
        if let (Accounting::LlmViewer, Some(tool)) = (accounting, &self.hardware.llm_viewer) {
            out +=
                &format!("  LLM-Viewer has {}: {} ({})\n", tool.name, si(tool.bandwidth, "B/s"), tool.source);
        }
        for stage in &chosen.stages {
            out += &self.stage(stage);
        }
        out += &self.difference(found);
        out
    }

    /// What is read of experts and of the cache, where that is not all.
    fn parts(&self) -> String {
        let mut out = String::new();
        if let Some(experts) = self.shape.experts {
            let [prefill, decode] = self.experts_read(experts);
            out += &format!(
                "  experts  {} of {} per token; prefill reads {} of a layer, decode {}: the expectation if each token's are drawn alike\n",
                experts.used,
                experts.count,
                digits(prefill),
                digits(decode)
            );
        }
        if let Some(window) = self.shape.window.filter(|w| w.tokens < self.setting.length) {
            out += &format!(
                "  window   {} of {} layers look back on {} tokens\n",
                window.layers, self.shape.layers, window.tokens
            );
        }
        out
    }

    /// Different experts that a layer's prefill and decode read.
    fn experts_read(&self, experts: Experts) -> [f64; 2] {
        let batch = u128::from(self.setting.batch);
        [batch * u128::from(self.setting.length), batch].map(|rows| experts.read_by(rows))
    }

    fn stage(&self, stage: &Stage) -> String {
        let tokens = match stage.kind {
            lutsim_baselines::StageKind::Prefill => {
                f64::from(self.setting.batch) * f64::from(self.setting.length)
            }
            lutsim_baselines::StageKind::Decode => f64::from(self.setting.batch),
        };
        let mut table = Table::new(&[
            ("operator", Align::Left),
            ("times", Align::Right),
            ("OPs", Align::Right),
            ("bytes", Align::Right),
            ("OPs/byte", Align::Right),
            ("OPs/s", Align::Right),
            ("bound", Align::Left),
            ("time", Align::Right),
            ("share", Align::Right),
        ]);
        for o in &stage.operators {
            table.row([
                o.name.to_owned(),
                o.times.to_string(),
                si(o.ops.real(), ""),
                si(o.bytes.total(), "B"),
                digits(o.intensity),
                si(o.performance, ""),
                o.bound.name().to_owned(),
                si(o.seconds, "s"),
                percent(share(o.seconds * f64::from(o.times), stage.seconds)),
            ]);
        }
        let memory = &stage.memory;
        format!(
            "\n{}: {} in {}, at most {} tokens/s\n{}  whole model: {} operations, {}; memory {} (weights {}, KV cache {}, activations {})\n",
            stage.kind.name(),
            plural(tokens, "token"),
            si(stage.seconds, "s"),
            digits(tokens / stage.seconds),
            table.render(),
            si(stage.ops.real(), "").trim_end(),
            si(stage.access, "B"),
            si(memory.whole, "B"),
            si(memory.weight, "B"),
            si(memory.kv, "B"),
            si(memory.activations, "B"),
        )
    }

    fn difference(&self, found: &Found) -> String {
        let mut out = String::from("\nWhere LLM-Viewer's accounting differs from the physical one\n");
        let (_, tool) = match &found.tool {
            Ok(tool) => tool,
            Err(e) => return out + &format!("  it says nothing here: {e}\n"),
        };
        let mut table = Table::new(&[
            ("stage", Align::Left),
            ("operator", Align::Left),
            ("its OPs", Align::Right),
            ("OPs", Align::Right),
            ("its bytes", Align::Right),
            ("bytes", Align::Right),
            ("its time", Align::Right),
            ("time", Align::Right),
            ("why", Align::Left),
        ]);
        for line in found.lines.iter().filter(|l| !l.reasons.is_empty()) {
            let cell = |o: &Option<Operator>, f: &dyn Fn(&Operator) -> String| {
                o.as_ref().map_or_else(|| "-".to_owned(), f)
            };
            let why: Vec<&str> = line.reasons.iter().map(|r| r.text.as_str()).collect();
            let both = |f: &dyn Fn(&Operator) -> String| [cell(&line.tool, f), cell(&line.physical, f)];
            let names = [line.stage.name().to_owned(), line.name.to_owned()];
            let numbers = [
                both(&|o| si(o.ops.real(), "").trim_end().to_owned()),
                both(&|o| si(o.bytes.total(), "B")),
                both(&|o| si(o.seconds, "s")),
            ];
            table.row(names.into_iter().chain(numbers.into_iter().flatten()).chain([why.join("; ")]));
        }
        out += &table.render();
        for (theirs, ours) in tool.stages.iter().zip(&found.physical.stages) {
            out += &format!(
                "  {} of the whole model: {} by LLM-Viewer, {} physically ({})\n",
                ours.kind.name(),
                si(theirs.seconds, "s"),
                si(ours.seconds, "s"),
                percent(ours.seconds / theirs.seconds)
            );
        }
        out
    }

    fn json(&self, accounting: Accounting, found: &Found, chosen: &Analysis) -> Value {
        let s = &self.setting;
        let operator = |o: &Operator| {
            json!({
                "name": o.name,
                "times": o.times,
                "ops": o.ops.real(),
                "bytes": o.bytes.total(),
                "weight_bytes": o.bytes.weight,
                "activation_read_bytes": o.bytes.act_read,
                "activation_write_bytes": o.bytes.act_write,
                "kv_read_bytes": o.bytes.kv_read,
                "kv_write_bytes": o.bytes.kv_write,
                "ops_per_byte": o.intensity,
                "ops_per_second": o.performance,
                "bound": o.bound.name(),
                "seconds": o.seconds,
            })
        };
        let stage = |s: &Stage| {
            json!({
                "stage": s.kind.name(),
                "operators": s.operators.iter().map(operator).collect::<Vec<_>>(),
                "ops": s.ops.real(),
                "bytes": s.access,
                "seconds": s.seconds,
                "memory_bytes": s.memory.whole,
                "memory_weight_bytes": s.memory.weight,
                "memory_kv_bytes": s.memory.kv,
                "memory_activation_bytes": s.memory.activations,
            })
        };
        let differing = found.lines.iter().filter(|l| !l.reasons.is_empty());
        let differences = differing.map(|l| {
            json!({
                "stage": l.stage.name(),
                "operator": l.name,
                "llm_viewer": l.tool.as_ref().map(operator),
                "physical": l.physical.as_ref().map(operator),
                "why": l.reasons.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(),
            })
        });
        let (bandwidth, peaks) = self.roofs(accounting, found);
        let experts = self.shape.experts.map(|experts| {
            let [prefill, decode] = self.experts_read(experts);
            json!({ "count": experts.count, "used": experts.used, "read_in_prefill": prefill, "read_in_decode": decode })
        });
        let window = self.shape.window.map(|w| json!({ "tokens": w.tokens, "layers": w.layers }));
        json!({
            "model": self.model.name,
            "hardware": self.hardware.name,
            "accounting": match accounting { Accounting::True => "true", Accounting::LlmViewer => "llm-viewer" },
            "batch": s.batch,
            "length": s.length,
            "weight_bits": s.weight_bits,
            "activation_bits": s.activation_bits,
            "kv_bits": s.kv_bits,
            "flash_attention": s.flash,
            "experts": experts,
            "window": window,
            "dram_bytes_per_second": bandwidth,
            "peaks_ops_per_second": peaks.iter().map(|c| (c.label.clone(), json!(c.ops_per_s))).collect::<serde_json::Map<_, _>>(),
            "stages": chosen.stages.iter().map(stage).collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
        })
    }
}

fn plural(n: f64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1.0 { "" } else { "s" })
}
