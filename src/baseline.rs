//! GPUs and CPUs given the work of a run: what their roofs allow.

use lutsim_baselines::engine::{Engine, Size};
use lutsim_baselines::published::{self, Row};
use lutsim_baselines::{Activation, Experts, Hardware, Setting, Shape, Stage, Stored, Window, physical};
use lutsim_isa::{Group, WeightFormat, WeightKind};
use lutsim_record::{Band, Record};
use lutsim_reports::Ceiling;
use lutsim_reports::compare::{Basis, PhaseFigures, Subject};
use serde_json::Value;

use crate::failure::{Failure, UserError};
use crate::roofline::quoted;

/// A key of the record's model that is not there, or not what it should be.
fn missing(key: &str) -> Failure {
    UserError::Refused {
        what: format!("the record does not say `model.{key}`"),
        help: "compare runs alone, or run it again with this version".into(),
    }
    .into()
}

/// The dimensions of the model that a record ran.
///
/// # Errors
/// The record lacks one.
fn shape(model: &Value) -> Result<Shape, Failure> {
    let int = |key: &str| model[key].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| missing(key));
    let flag = |key: &str| model[key].as_bool().ok_or_else(|| missing(key));
    let text = |key: &str| model[key].as_str().ok_or_else(|| missing(key));
    let activation = match text("activation")? {
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "relu" => Activation::Relu,
        "relu2" => Activation::SquaredRelu,
        _ => return Err(missing("activation")),
    };
    Ok(Shape {
        name: text("name")?.to_owned(),
        layers: int("layers")?,
        hidden: int("hidden")?,
        intermediate: int("intermediate")?,
        heads: int("heads")?,
        kv_heads: int("kv_heads")?,
        head_dim: int("head_dim")?,
        vocab: int("vocab")?,
        gated: flag("gated_mlp")?,
        activation,
        centred_norms: text("norm")? == "layer",
        sub_norms: flag("sub_norms")?,
        post_norms: !model["post_norms"].is_null(),
        score_cap: !model["score_cap"].is_null(),
        logit_cap: !model["logit_cap"].is_null(),
        embedding_norm: flag("embedding_norm")?,
        rotated: model["positions"]["rope_dims"].as_u64().map_or(0, |n| n as u32),
        learned_positions: !model["positions"]["learned_offset"].is_null(),
        tied: flag("tied_embeddings")?,
        biases: [flag("qkv_bias")?, flag("output_bias")?, flag("mlp_bias")?],
        experts: experts(&model["experts"])?,
        window: window(&model["window"], int("layers")?)?,
    })
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// Experts of the record's model, if it has them.
fn experts(value: &Value) -> Result<Option<Experts>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    match (whole(&value["count"]), whole(&value["used"])) {
        (Some(count), Some(used)) if used > 0 && used <= count => Ok(Some(Experts { count, used })),
        _ => Err(missing("experts")),
    }
}

/// The window of the record's model, if it has one: in all layers, in every other, or from one on.
fn window(value: &Value, layers: u32) -> Result<Option<Window>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    let with = match (value["layers"].as_str(), whole(&value["layers"]["from"])) {
        (Some("all"), _) => Some(layers),
        (Some("even"), _) => Some(layers.div_ceil(2)),
        (None, Some(from)) => Some(layers.saturating_sub(from)),
        _ => None,
    };
    match (whole(&value["tokens"]).filter(|tokens| *tokens > 0), with) {
        (Some(tokens), Some(layers)) => Ok(Some(Window { tokens, layers })),
        _ => Err(missing("window")),
    }
}

/// Bits of a weight's code, and those that are stored of the head.
fn weight_bits(record: &Record, shape: &Shape) -> Result<(f64, f64), Failure> {
    let workload = &record.provenance.config["chip"]["workload"];
    let kind = |key: &str| {
        let name = workload[key].as_str().ok_or_else(|| missing(key))?;
        WeightKind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| missing(key))
    };
    let group = workload["head_group"].as_u64().map_or(Group::Row, |n| Group::Of(n as u32));
    let head = WeightFormat::new(kind("head")?, group).bits_per_weight(shape.vocab, shape.hidden);
    let weights = kind("weights")?;
    let code = if weights.is_float() { 16.0 } else { weights.planes().len() as f64 };
    Ok((code, head))
}

/// What `hardware` allows at most of the work of `record`.
///
/// # Errors
/// The record lacks what a roofline needs.
pub(crate) fn subject(name: &str, hardware: &Hardware, record: &Record) -> Result<Subject, Failure> {
    let w = &record.workload;
    let shape = shape(&record.provenance.config["model"])?;
    let (code, head) = weight_bits(record, &shape)?;
    let activation_bits = if w.activations == "fp16" { 16.0 } else { 8.0 };
    let scale = 16.0 / f64::from(shape.head_dim.max(1));
    let (kv_bits, stored_kv) = match w.kv.as_str() {
        "fp16" => (16.0, 16.0),
        "int4" => (4.0, 4.0 + scale),
        _ => (8.0, 8.0 + scale),
    };
    let stored = Stored { head, ..Stored::uniform(w.stored_bits_per_weight, stored_kv) };
    let setting = |length: u64| Setting {
        batch: w.batch as u32,
        length: length.max(1) as u32,
        weight_bits: code,
        activation_bits,
        kv_bits,
        stored,
        flash: false,
    };
    // Stages, and how often each comes.
    let figures = |parts: &[(Stage, f64)], tokens: u64| {
        let sum = |of: &dyn Fn(&Stage) -> f64| parts.iter().map(|(stage, times)| of(stage) * times).sum();
        let seconds: f64 = sum(&|stage| stage.seconds);
        PhaseFigures {
            tokens,
            seconds,
            joules_per_token: hardware.power.as_ref().map(|watts| {
                let joules = watts.value * seconds / tokens as f64;
                Band { mid: joules, low: joules, high: joules }
            }),
            ops: sum(&|stage| stage.ops.real()),
            dram_bytes: sum(&|stage| stage.access),
        }
    };
    let stages = |length: u64| physical::analyze(&shape, &setting(length), hardware).stages;
    let prefill = (w.prompt > 0 && record.phases.prefill.is_some()).then(|| {
        let [prefill, _] = stages(w.prompt);
        figures(&[(prefill, 1.0)], w.batch * w.prompt)
    });
    // Decode gets slower with each token; the one in the middle, or the two, are the mean, since every part is linear in the context, up
    // to where it fills a window and from there on.
    let decode = record.phases.decode.as_ref().map(|_| {
        let before = w.context + w.prompt;
        let full = shape.window.map_or(0, |window| u64::from(window.tokens).saturating_sub(before));
        let full = full.min(w.generate);
        let mut parts = Vec::new();
        for (before, tokens) in [(before, full), (before + full, w.generate - full)] {
            for middle in [tokens.div_ceil(2), tokens / 2 + 1] {
                let [_, decode] = stages(before + middle);
                parts.push((decode, tokens as f64 / 2.0));
            }
        }
        figures(&parts, w.batch * w.generate)
    });
    let mut notes = Vec::new();
    if let Some(experts) = shape.experts {
        notes.push(format!(
            "{name} reads as many of the {} experts as are to be expected if each token's {} are drawn alike",
            experts.count, experts.used
        ));
    }
    notes.push(format!(
        "{name} is a roof: every operand crosses DRAM ({}) once per operator, operators follow one another at the peak; nothing \
         can be faster",
        quoted(&hardware.bandwidth)
    ));
    if let Some(power) = &hardware.power {
        notes.push(format!("{name}: energy at its rated power, {}", quoted(power)));
    }
    let work = Subject::of_record(name, record).work;
    let (matrix, peak) = hardware.matrix_peak(code.max(activation_bits));
    Ok(Subject {
        name: name.to_owned(),
        basis: Basis::Roof,
        machine: hardware.name.clone(),
        work,
        size: Some((w.weight_bytes, w.parameters)),
        lengths: (w.prompt, w.generate, w.context + w.prompt),
        first_token: prefill.as_ref().map(|p| p.seconds / w.batch as f64),
        prefill,
        decode,
        area: None,
        bandwidth: hardware.bandwidth.value,
        peaks: vec![Ceiling { label: matrix.name().into(), ops_per_s: peak }],
        notes,
    })
}

/// What an engine does of the decode steps of `record` on a machine called `machine`: a rate that follows from published ones.
///
/// # Errors
/// The engine has no such machine, or no weights like those of the run; the record lacks dimensions.
pub(crate) fn engine_subject(
    name: &str,
    engine: &Engine,
    machine: &str,
    record: &Record,
) -> Result<Subject, Failure> {
    let w = &record.workload;
    let shape = shape(&record.provenance.config["model"])?;
    let (code, _) = weight_bits(record, &shape)?;
    let last = w.context + w.prompt + w.generate;
    let unlike = match (shape.experts, shape.window) {
        (Some(_), _) => Some("MLPs of experts"),
        (None, Some(window)) if u64::from(window.tokens) < last => Some("a window shorter than its context"),
        _ => None,
    };
    if let Some(what) = unlike {
        return Err(UserError::Refused {
            what: format!(
                "{} has {what}: the rates published of {} are of models without",
                shape.name, engine.name
            ),
            help: "name the machine alone for its roof".into(),
        }
        .into());
    }
    let context = w.context + w.prompt + w.generate.div_ceil(2);
    let row = |system: &str, device: &str| Row {
        system: system.to_owned(),
        device: device.to_owned(),
        // A decode rate's context is counted in the middle.
        context: (2 * context).to_string(),
        model: w.model.clone(),
        weight_bits: code.to_string(),
        act_bits: if w.activations == "fp16" { "16".into() } else { "8".into() },
        batch: w.batch.to_string(),
        threads: "unlimited".into(),
        metric: "decode_throughput".into(),
        value: String::new(),
        unit: "tokens/s".into(),
        source: String::new(),
    };
    let machines = || engine.machines.iter().filter(|m| m.name == machine);
    let size = Size::of(&shape);
    let found = engine.systems.iter().find_map(|system| {
        machines().find_map(|m| {
            let row = row(system, &m.devices[0]);
            (engine.machine(&row) == Some(m) && engine.format(&row).is_some()).then_some((m, row))
        })
    });
    let Some((m, row)) = found else {
        return Err(UserError::Refused {
            what: format!(
                "nothing is published of {} on `{machine}` with weights of {code} bits",
                engine.name
            ),
            help: "compare a run with weights of 2 or 4 bits, or name the machine alone for its roof".into(),
        }
        .into());
    };
    let factors = engine.factors(m, &published::rows(), &crate::published::size);
    let factors = factors.unwrap_or_else(|why| panic!("{why}"));
    let seconds = engine.seconds(m, &factors, &row, &size).unwrap_or_else(|| panic!("no format of {row:?}"));
    let format = engine.format(&row).unwrap_or_else(|| panic!("no format of {row:?}"));
    let bytes = (size.linear * format.stored + size.head * format.head) / 8.0;
    let pace = engine.pace(m, &published::rows(), &crate::published::size);
    let pace = pace.unwrap_or_else(|why| panic!("{why}"));
    let asked = (w.prompt > 0 && record.phases.prefill.is_some()).then(|| {
        let row = Row { context: w.prompt.to_string(), ..row.clone() };
        engine.prompt_seconds(m, (&factors, pace), &row, &size)
    });
    // Sequences one after another.
    let first_token = asked.flatten().map(|seconds| seconds * w.prompt as f64);
    let prefill = first_token.map(|seconds| PhaseFigures {
        tokens: w.batch * w.prompt,
        seconds: seconds * w.batch as f64,
        joules_per_token: None,
        ops: (2.0 * (size.linear + size.attention * w.prompt as f64 / 2.0)) * (w.batch * w.prompt) as f64,
        dram_bytes: (bytes + size.kv_bytes * w.prompt as f64) * w.batch as f64,
    });
    let said = match first_token {
        Some(_) => "prefill from a published rate of prompts",
        None => "of prefill nothing is said",
    };
    let decode = record.phases.decode.is_some().then(|| PhaseFigures {
        tokens: w.batch * w.generate,
        seconds: seconds * w.generate as f64,
        joules_per_token: None,
        ops: 2.0 * (size.linear + size.head) * (w.batch * w.generate) as f64,
        dram_bytes: (bytes + size.kv_bytes * context as f64 * w.batch as f64) * w.generate as f64,
    });
    Ok(Subject {
        name: name.to_owned(),
        basis: Basis::Published,
        machine: format!("{} on {}", engine.name, m.devices[0]),
        work: Subject::of_record(name, record).work,
        size: Some((bytes as u64, w.parameters)),
        lengths: (w.prompt, w.generate, w.context + w.prompt),
        first_token,
        prefill,
        decode,
        area: None,
        bandwidth: m.bandwidth.value,
        peaks: Vec::new(),
        notes: vec![format!(
            "{name} is a rate that follows from published ones (docs/validation-published.md), weights in {:.2} bits, cache in FP16; \
             {said}",
            format.stored
        )],
    })
}
