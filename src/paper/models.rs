//! Table 1 of LUT Tensor Core, whole models: run through the machine on the chips `a100_*`, with nothing fitted. docs/validation-a100.md.
//!
//! ```text
//! gang of 108   all layers' products, norms, head                  (its attention too, which the last columns of the table keep)
//! part          attention of what falls to a multiprocessor, or to eight; the others do the same beside it
//! ```
//! All layers are run. 1024 sequences are decoded as four steps of 256, which is what 16 MiB of scratchpad hold: each reads the weights again.

mod text;

use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_record::OperatorRecord;
use lutsim_sim::chip_file::{ChipFile, Override, builtin_text};
use rayon::prelude::*;

use crate::device;
use crate::session::{Error, Phase, Session};

pub use text::a100_markdown;

/// A chip of Table 1.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    /// Name of the chip file.
    pub name: &'static str,
    /// Published peak, 10^12 operations per second.
    pub peak: f64,
    /// Published milliseconds of prefill and decode.
    pub published: [f64; 2],
    /// Mappings of prefill and decode: the fastest of those that were tried.
    pub mappings: [&'static str; 2],
    /// What makes one multiprocessor of it as wide as a head, for decode.
    pub wide: &'static [&'static str],
}

macro_rules! mappings {
    ($name:literal) => {
        [
            include_str!(concat!("../../configs/mappings/", $name, "_prefill.toml")),
            include_str!(concat!("../../configs/mappings/", $name, "_decode.toml")),
        ]
    };
}

/// FP16 multiply-adds of a multiprocessor outside its tensor cores: 78 TFLOPS of 108 at 1.41 GHz (NVIDIA A100 white paper).
const LANES: &str = "attention.mac.lanes=256";

/// The chips, that of the FP16 tensor cores first.
pub const CHIPS: [Chip; 4] = [
    Chip {
        name: "a100_fp16",
        peak: 312.0,
        published: [106.71, 41.15],
        mappings: mappings!("a100_fp16"),
        wide: &["lut.m=1", "lut.weight_link_bytes=2048", "lut.activation_link_bytes=16"],
    },
    Chip {
        name: "a100_int8",
        peak: 624.0,
        published: [67.06, 21.70],
        mappings: mappings!("a100_int8"),
        wide: &["lut.m=1", "lut.weight_link_bytes=2048", "lut.activation_link_bytes=16"],
    },
    Chip {
        name: "a100_lut_4x",
        peak: 1248.0,
        published: [42.49, 11.41],
        mappings: mappings!("a100_lut_4x"),
        wide: &["lut.m=16", "lut.weight_link_bytes=64", "lut.activation_link_bytes=32", LANES],
    },
    Chip {
        name: "a100_lut_8x",
        peak: 2496.0,
        published: [38.02, 7.47],
        mappings: mappings!("a100_lut_8x"),
        wide: &["lut.m=32", "lut.weight_link_bytes=64", "lut.activation_link_bytes=64", LANES],
    },
];

/// Multiprocessors.
const MULTIPROCESSORS: u32 = 108;

/// A part of a chip, and what of attention falls to it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Their share of the chip: lanes, scratchpad at 128 bytes per cycle each, DRAM.
    pub sets: &'static [&'static str],
    /// Heads and sequences of one round.
    pub heads: u32,
    /// Sequences.
    pub batch: u32,
    /// Rounds that the parts need for all.
    pub rounds: u32,
}

/// A phase of Table 1.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Which.
    pub phase: Phase,
    /// Of the published pair.
    pub index: usize,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Sequences of a step.
    pub batch: u32,
    /// Steps.
    pub steps: u32,
    /// Where attention goes.
    pub part: Part,
}

const SEQUENCES: u32 = 1024;
const HEADS: u32 = 32;
const BATCH: u32 = 256;
/// Multiprocessors that share a head in prefill: at N 16 each no fewer are as wide as a tile of 128 keys.
const SHARING: u32 = 8;

/// BS1 SEQ2048. A head at a time on each of 13 parts.
pub const PREFILL: Job = Job {
    phase: Phase::Prefill,
    index: 0,
    prompt: 2048,
    batch: 1,
    steps: 1,
    part: Part {
        multiprocessors: SHARING,
        sets: &[
            "lut.cores=8",
            "vector.lanes=512",
            "vector.special_lanes=128",
            "scratchpad.bytes=6MiB",
            "scratchpad.banks=8",
            "scratchpad.bank_bytes=128",
            "dma.port_bytes=152",
            "dma.unpacker_bytes=304",
            "dram.channels=2",
            "dram.bytes=4GiB",
            "dram.port_bytes_per_cycle=82",
        ],
        heads: 1,
        batch: 1,
        rounds: HEADS.div_ceil(MULTIPROCESSORS / SHARING),
    },
};

/// BS1024 SEQ1. Ten sequences on each multiprocessor.
pub const DECODE: Job = Job {
    phase: Phase::Decode,
    index: 1,
    prompt: 0,
    batch: BATCH,
    steps: SEQUENCES / BATCH,
    part: Part {
        multiprocessors: 1,
        sets: &[
            "lut.cores=1",
            "lut.n=128",
            "vector.lanes=64",
            "vector.special_lanes=16",
            "scratchpad.bytes=896KiB",
            "scratchpad.banks=8",
            "scratchpad.bank_bytes=16",
            "dma.port_bytes=20",
            "dma.unpacker_bytes=40",
            "dram.channels=1",
            "dram.bytes=2GiB",
            "dram.port_bytes_per_cycle=10",
        ],
        heads: HEADS,
        batch: SEQUENCES.div_ceil(MULTIPROCESSORS),
        rounds: 1,
    },
};

/// Operators that are attention: their work is the same on all chips.
const ATTENTION: &[&str] = &["rope", "kv_write", "scores", "softmax", "weighted_sum"];
/// Of the chips.
const CLOCK_MHZ: f64 = 1400.0;

/// What a job took on a chip.
#[derive(Clone, Debug)]
pub struct Run {
    /// Operators on the gang of all multiprocessors, of one step.
    pub gang: Vec<OperatorRecord>,
    /// On a part, of one round.
    pub part: Vec<OperatorRecord>,
}

/// Core cycles of some operators.
fn cycles<'a>(operators: impl IntoIterator<Item = &'a OperatorRecord>) -> u64 {
    operators.into_iter().map(|o| o.cycles).sum()
}

/// Whether an operator is part of attention.
pub fn is_attention(operator: &OperatorRecord) -> bool {
    ATTENTION.contains(&operator.name.as_str())
}

/// Core cycles of all but attention. Values and queries are projected while keys are rotated and written, so their own intervals say
/// nothing: all three are products of one size, and each counts as what the first took.
pub fn others(operators: &[OperatorRecord]) -> u64 {
    let like_keys = |o: &OperatorRecord| o.name == "v_proj" || o.name == "q_proj";
    let keys = operators.iter().filter(|o| o.name == "k_proj");
    2 * cycles(keys) + cycles(operators.iter().filter(|o| !is_attention(o) && !like_keys(o)))
}

impl Run {
    /// Milliseconds of a job: of all but attention, of attention on its parts, of everything on one gang.
    pub fn milliseconds(&self, job: &Job) -> [f64; 3] {
        let ms = |times: u32, cycles: u64| f64::from(times) * cycles as f64 / (CLOCK_MHZ * 1e3);
        let attention = cycles(self.part.iter().filter(|o| is_attention(o)));
        [ms(job.steps, others(&self.gang)), ms(job.part.rounds, attention), ms(job.steps, cycles(&self.gang))]
    }
}

/// The model of Table 1.
pub fn model() -> Model {
    Model::builtin("bitnet-b1.58-3b").unwrap_or_else(|e| panic!("{e}"))
}

/// The model's attention as a part sees it: some of its heads, between matrices of no account.
fn attention_of(model: Model, heads: u32) -> Model {
    Model { heads, kv_heads: heads, hidden: 128, intermediate: 128, vocab: 128, ..model }
}

/// Runs a phase of a model on a built-in chip with some keys changed.
fn operators(
    chip: &Chip,
    sets: &[&str],
    (phase, prompt, batch): (Phase, u32, u32),
    model: Model,
    mapping: Option<Mapping>,
) -> Result<Vec<OperatorRecord>, Error> {
    let generate = u32::from(phase == Phase::Decode);
    let workload = [("prompt", prompt), ("generate", generate), ("batch", batch)];
    let workload = workload.map(|(key, value)| format!("workload.{key}={value}"));
    let sets = sets.iter().copied().chain(workload.iter().map(String::as_str));
    let sets: Vec<Override> =
        sets.map(|set| Override::set(set).unwrap_or_else(|e| panic!("{e:?}"))).collect();
    let text = builtin_text(chip.name).unwrap_or_else(|e| panic!("{e:?}"));
    let file = ChipFile::parse(chip.name, text, &sets).unwrap_or_else(|e| panic!("{e:?}"));
    let target = device::target(&file.chip);
    let mut session = Session { phase, ..Session::new(file, model) };
    // What a search measures and keeps may change with it; this does not.
    let mapping =
        mapping.map_or_else(|| Mapping::default_for(&target, &session.model, &session.workload()), Ok);
    session.mapping = Some(mapping?);
    Ok(session.run(&())?.record.operators)
}

/// Runs a job on all of a chip, with a model of fewer layers or a shorter prompt if need be.
///
/// # Errors
/// A model or prompt that does not fit the chip.
pub fn on_gang(chip: &Chip, job: &Job, model: Model) -> Result<Vec<OperatorRecord>, Error> {
    let name = format!("{}, mapping {}", chip.name, job.index);
    let mapping = Mapping::parse(&name, chip.mappings[job.index])?;
    operators(chip, &[], (job.phase, job.prompt, job.batch), model, Some(mapping))
}

/// Runs a round of a job's attention on a part of a chip.
///
/// # Errors
/// Heads that do not fit it.
pub fn on_part(chip: &Chip, job: &Job, model: Model) -> Result<Vec<OperatorRecord>, Error> {
    let part = &job.part;
    let wide = if part.multiprocessors == 1 { chip.wide } else { &[] };
    let sets: Vec<&str> = part.sets.iter().chain(wide).copied().collect();
    let model = attention_of(model, part.heads);
    operators(chip, &sets, (job.phase, job.prompt, part.batch), model, None)
}

/// Runs a job on all chips.
///
/// # Errors
/// As [`on_gang`].
fn runs(job: &Job) -> Result<Vec<Run>, Error> {
    let run =
        |chip: &Chip| Ok(Run { gang: on_gang(chip, job, model())?, part: on_part(chip, job, model())? });
    CHIPS.par_iter().map(run).collect()
}

/// Operations of a job's products, two per multiply-accumulate, those of attention left out.
fn operations(job: &Job) -> f64 {
    let m = model();
    let (q, kv) = (f64::from(m.heads * m.head_dim), f64::from(m.kv_heads * m.head_dim));
    let (hidden, inner) = (f64::from(m.hidden), f64::from(m.intermediate));
    let layers = f64::from(m.layers) * hidden * (2.0 * q + 2.0 * kv + 3.0 * inner);
    let head = hidden * f64::from(m.vocab);
    2.0 * match job.phase {
        Phase::Decode => f64::from(job.steps * job.batch) * (layers + head),
        _ => f64::from(job.prompt) * layers + head,
    }
}
