//! A model of ours as the accounting of rooflines takes it, and its picture.

use lutsim_baselines::analysis::Stage;
use lutsim_baselines::hardware::Quoted;
use lutsim_baselines::{Activation, Analysis, Experts, Hardware, Shape, Stored, Window};
use lutsim_host::files::ROUNDED;
use lutsim_host::model::{Model, Positions};
use lutsim_isa::WeightFormat;
use lutsim_isa::field::{Act, Norm};
use lutsim_reports::{Ceiling, Point, PointKind, Roofline};

/// Types of a model's matrices.
#[derive(Debug, Clone, Copy)]
pub enum Weights {
    /// All of so many bits, nothing beside them.
    Bits(f64),
    /// All of one type.
    Format(WeightFormat),
    /// As the model's file has them: the layers' matrices that are of no type of their own, and the head.
    File(WeightFormat, WeightFormat),
}

/// Bits of a float in a file.
const FLOAT: f64 = 16.0;

impl Weights {
    /// Bits of a code: of most of the layers' matrices.
    pub fn code_bits(self) -> f64 {
        match self {
            Weights::Bits(bits) => bits,
            Weights::File(format, _) if format == ROUNDED => FLOAT,
            Weights::Format(format) | Weights::File(format, _) => format.kind.planes().len() as f64,
        }
    }
    /// In words.
    pub fn name(self) -> String {
        match self {
            Weights::Bits(bits) => format!("{bits} bits"),
            Weights::File(format, _) if format == ROUNDED => "16-bit floats (the file's)".into(),
            Weights::Format(format) => format!("{} in groups of {}", format.kind, format.group),
            Weights::File(format, _) => format!("{} (the file's)", format.kind),
        }
    }
    /// Bits of what is stored of each matrix, scales included: the mean over the layers.
    pub fn stored(self, model: &Model, kv: f64) -> Stored {
        let (h, f, q, k) = (model.hidden, model.intermediate, model.q_width(), model.kv_width());
        let bits = |format: WeightFormat, (rows, cols): (u32, u32)| match self {
            Weights::Bits(bits) => bits,
            // What the machine rounds is stored as floats.
            Weights::File(..) if format == ROUNDED => FLOAT,
            _ => format.bits_per_weight(rows, cols),
        };
        let mean = |name: &str, size| match self {
            Weights::Bits(bits) => bits,
            Weights::Format(format) => bits(format, size),
            Weights::File(format, _) => {
                let own =
                    |layer| model.mix.as_ref().and_then(|mix| mix.format(name, layer)).unwrap_or(format);
                let sum: f64 = (0..model.layers).map(|layer| bits(own(layer), size)).sum();
                sum / f64::from(model.layers)
            }
        };
        let head = match self {
            Weights::Bits(bits) => bits,
            Weights::Format(format) | Weights::File(_, format) => bits(format, (model.vocab, h)),
        };
        Stored {
            q: mean("wq", (q, h)),
            k: mean("wk", (k, h)),
            v: mean("wv", (k, h)),
            o: mean("wo", (h, q)),
            gate: mean("w_gate", (f, h)),
            up: mean("w_up", (f, h)),
            down: mean("w_down", (h, f)),
            router: model.experts.map_or(FLOAT, |experts| mean("w_router", (experts.count, h))),
            head,
            kv,
        }
    }
}

/// The dimensions that the accounting takes.
pub fn shape(model: &Model) -> Shape {
    Shape {
        name: model.name.clone(),
        layers: model.layers,
        hidden: model.hidden,
        intermediate: model.intermediate,
        heads: model.heads,
        kv_heads: model.kv_heads,
        head_dim: model.head_dim,
        vocab: model.vocab,
        gated: model.gated_mlp,
        activation: match model.activation {
            Act::Silu => Activation::Silu,
            Act::Gelu => Activation::Gelu,
            Act::Relu => Activation::Relu,
            Act::Relu2 => Activation::SquaredRelu,
        },
        centred_norms: model.norm == Norm::Layer,
        sub_norms: model.sub_norms,
        post_norms: model.post_norms,
        score_cap: model.score_cap.is_some(),
        logit_cap: model.logit_cap.is_some(),
        embedding_norm: model.embedding_norm,
        rotated: model.rope().map_or(0, |rope| rope.dims),
        learned_positions: matches!(model.positions, Positions::Learned(_)),
        tied: model.tied_embeddings,
        biases: [model.qkv_bias, model.output_bias, model.mlp_bias],
        experts: model.experts.map(|experts| Experts { count: experts.count, used: experts.used }),
        window: model.window.map(|window| Window {
            tokens: window.tokens,
            layers: (0..model.layers).filter(|layer| model.window(*layer).is_some()).count() as u32,
        }),
    }
}

/// What the numbers of the picture are.
const NOTES: [&str; 4] = [
    "Size of a marker: its part of the phase's time. Operators are summed",
    "over layers. Every operand crosses DRAM once per operator, and every",
    "operator is as fast as the roofline allows: nothing is measured here.",
    "Grey: operators that multiply no matrices.",
];

/// The picture of an analysis: a point per operator and stage, on the roof.
pub fn picture(
    (title, subtitle): (String, String),
    bandwidth: f64,
    peaks: Vec<Ceiling>,
    analysis: &Analysis,
) -> Roofline {
    let point = |stage: &Stage, name: &str, kind, ops: f64, bytes: f64, seconds: f64| Point {
        name: name.to_owned(),
        phase: stage.kind.name().to_owned(),
        kind,
        ops,
        dram_bytes: bytes,
        seconds,
        share: seconds / stage.seconds,
    };
    let whole = analysis
        .stages
        .iter()
        .map(|s| point(s, s.kind.name(), PointKind::Phase, s.ops.real(), s.access, s.seconds));
    let mut points: Vec<Point> = whole.collect();
    for stage in &analysis.stages {
        points.extend(stage.operators.iter().map(|o| {
            let times = f64::from(o.times);
            let kind = if o.matrix { PointKind::Operator } else { PointKind::Vector };
            point(stage, o.name, kind, o.ops.real() * times, o.bytes.total() * times, o.seconds * times)
        }));
    }
    Roofline {
        title,
        subtitle,
        dram_bytes_per_s: bandwidth,
        scratchpad_bytes_per_s: 0.0,
        compute: peaks,
        points,
        notes: NOTES.to_vec(),
    }
}

/// A quoted number with its source.
pub fn quoted(q: &Quoted) -> String {
    format!("{} ({}: {})", lutsim_reports::quantity::si(q.value, q.unit), q.basis.name(), q.source)
}

/// A machine's numbers with their sources, a line each.
pub fn sources(hardware: &Hardware) -> String {
    let mut out =
        format!("  DRAM     {}\n  on chip  {}\n", quoted(&hardware.bandwidth), quoted(&hardware.onchip));
    for (ty, peak) in &hardware.peaks {
        out += &format!("  {:<8} {}\n", ty.name(), quoted(peak));
    }
    if let Some(power) = &hardware.power {
        out += &format!("  power    {}\n", quoted(power));
    }
    out
}
