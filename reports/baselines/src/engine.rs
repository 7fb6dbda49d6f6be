//! What runs models on a machine today, and how fast: `configs/baselines/engines/*.toml`, embedded.
//!
//! A token's time is what its bytes take of DRAM and what its weights take of the cores, half hidden behind each other, and what the
//! operators take to be started:
//!
//! ```text
//!   t = sqrt( (bytes / (share * bandwidth))^2 + (work / (rate * threads))^2 + (operations / (peak_share * peak))^2 ) + launch * layers
//! ```
//! Kernels of matrix units multiply tiles of rows: a batch of more than one row takes the operations of `rows` at least, what it does
//! not fill is padded. The root of squares is between a maximum (all hidden) and a sum (nothing hidden). `work` is what a core does to a weight: it looks up
//! planes, or multiplies. `share`, `rate`, `peak_share`, `launch` and `rows` follow from as many published rows as there are of them, which the
//! file names; all other rows are predictions.

use serde::Deserialize;

use crate::prompt::Prefill;
use crate::published::{Metric, Row};
use crate::shape::Shape;

/// What a weight takes of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A lookup per plane, and half as much for the sums that a group of planes has in common.
    Planes,
    /// A multiplication, whatever the bits.
    Weights,
}

impl Work {
    /// Per weight of `bits`.
    pub(crate) fn per_weight(self, bits: f64) -> f64 {
        match self {
            Work::Planes => bits + 0.5,
            Work::Weights => 1.0,
        }
    }
}

/// How weights are stored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// Part of a row's system, model and bits that says so, as in `Q4_0` or `w2`.
    pub when: String,
    /// Bits of a weight's code.
    pub code: f64,
    /// Bits of a weight in DRAM, scales included.
    pub stored: f64,
    /// Bits of a weight of the head in DRAM.
    pub head: f64,
    /// Where from.
    pub source: String,
}

/// A bandwidth or peak with its source.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced {
    /// Value, B/s or OP/s.
    pub value: f64,
    /// Where from.
    pub source: String,
}

/// A row that factors follow from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// System, if there is more than one of this name.
    pub system: Option<String>,
    /// Device, if not the first.
    pub device: Option<String>,
    /// Model, as published.
    pub model: String,
    /// Weight bits, as published.
    pub bits: String,
    /// Threads.
    #[serde(default)]
    pub threads: String,
    /// Context, if it matters.
    pub context: Option<String>,
    /// Sequences: a row of more than one says how many rows a kernel multiplies at least.
    #[serde(default = "one")]
    pub batch: String,
}

fn one() -> String {
    "1".to_owned()
}

/// What follows from the fitted rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solve {
    /// Rate of a core and share of the bandwidth, of two rows.
    RateShare,
    /// Rate of a core, of a row; the memory is not seen.
    Rate,
    /// Share of the bandwidth and the time per layer, of two rows; of a third one, if there is one, the share of the peak.
    ShareLaunch,
    /// Share of the bandwidth, of a row; of a second one, if there is one, the share of the peak.
    Share,
}

/// An engine on a machine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Short name: `t-mac@x-elite` is an engine on it.
    pub name: String,
    /// Names in the published rows.
    pub devices: Vec<String>,
    /// Only rows that this is a part of (of system, model and bits), if given.
    pub when: Option<String>,
    /// DRAM, B/s.
    pub bandwidth: Sourced,
    /// OP/s of the type that is multiplied.
    pub peak: Option<Sourced>,
    /// Threads beyond which none helps; the published curves are flat there.
    pub threads: Option<u32>,
    /// Another machine of this engine, by the first name of its devices, whose factors hold here too.
    pub like: Option<String>,
    /// What follows from `fitted_on`.
    pub solve: Option<Solve>,
    /// The rows.
    #[serde(default)]
    pub fitted_on: Vec<Fitted>,
    /// What prefill follows from, where a rate of it is published.
    pub prefill: Option<Prefill>,
}

/// An engine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Name.
    pub name: String,
    /// Names in the published rows.
    pub systems: Vec<String>,
    /// What a weight takes of a core.
    pub work: Work,
    /// How weights are stored; the first whose `when` fits.
    #[serde(rename = "format")]
    pub formats: Vec<Format>,
    /// Where it runs.
    #[serde(rename = "machine")]
    pub machines: Vec<Machine>,
}

/// What a token of a model asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Weights of the layers.
    pub linear: f64,
    /// Weights of the head.
    pub head: f64,
    /// Layers.
    pub layers: f64,
    /// Bytes of FP16 keys and values per token in the cache.
    pub kv_bytes: f64,
    /// Multiply-accumulates of scores and values, per token and token in the cache.
    pub attention: f64,
}

impl Size {
    /// Of a dense model.
    pub fn of(shape: &Shape) -> Size {
        let [hidden, mlp, heads, kv, head] =
            [shape.hidden, shape.intermediate, shape.heads, shape.kv_heads, shape.head_dim].map(f64::from);
        let layers = f64::from(shape.layers);
        let mlp = if shape.gated { 3.0 } else { 2.0 } * hidden * mlp;
        Size {
            linear: layers * (2.0 * hidden * head * (heads + kv) + mlp),
            head: f64::from(shape.vocab) * hidden,
            layers,
            kv_bytes: layers * 2.0 * kv * head * 2.0,
            attention: layers * 2.0 * heads * head,
        }
    }
}

/// The factors of an engine on a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// Work per second and thread; infinite where cores are not seen.
    pub rate: f64,
    /// Of the bandwidth.
    pub share: f64,
    /// Of the peak; infinite where it is not seen.
    pub peak_share: f64,
    /// Seconds per layer.
    pub launch: f64,
    /// Rows that are multiplied at least when there is more than one; 1 where that is not seen.
    pub rows: f64,
}

/// What a row asks for, in seconds at full speed: of DRAM, of one core at rate 1, of the peak.
#[derive(Clone, Copy, Debug)]
struct Demand {
    bytes: f64,
    work: f64,
    operations: f64,
    layers: f64,
    /// Rows that are multiplied.
    rows: f64,
}

impl Demand {
    /// Operations when a tile of so many rows is the least that is multiplied.
    fn padded(&self, rows: f64) -> f64 {
        if self.rows > 1.0 { self.operations * (rows / self.rows).max(1.0) } else { self.operations }
    }
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../configs/baselines/engines/", $name, ".toml")))),*];
    };
}
builtin!("t-mac", "llama-cpp", "bitnet-cpp", "llama-cpp-gpu", "gpu-w4a16", "vllm", "ladder", "hexagon");

/// The built-in engines with their short names.
///
/// # Panics
/// A built-in file that does not parse, which a test would have found.
pub fn engines() -> Vec<(&'static str, Engine)> {
    let parse = |&(name, text): &(&'static str, &str)| {
        let engine = toml::from_str(text);
        (name, engine.unwrap_or_else(|e| panic!("configs/baselines/engines/{name}.toml: {e}")))
    };
    BUILTIN.iter().map(parse).collect()
}

impl Engine {
    /// Whether a row is of this engine, and on which machine.
    pub fn machine(&self, row: &Row) -> Option<&Machine> {
        let said = said(row);
        self.systems.contains(&row.system).then_some(())?;
        self.machines.iter().find(|m| {
            m.devices.contains(&row.device) && m.when.as_ref().is_none_or(|when| said.contains(when.as_str()))
        })
    }

    /// How a row's weights are stored.
    pub fn format(&self, row: &Row) -> Option<&Format> {
        let said = said(row);
        self.formats.iter().find(|f| said.contains(&f.when))
    }

    fn demand(&self, machine: &Machine, row: &Row, size: &Size) -> Option<Demand> {
        let format = self.format(row)?;
        let tokens = row.tokens();
        let rows = f64::from(tokens.rows);
        let weights = size.linear * format.stored + size.head * format.head;
        let cached = tokens.cached * rows.min(f64::from(tokens.sequences));
        let macs = rows * (size.linear + size.attention * tokens.cached);
        Some(Demand {
            bytes: (weights / 8.0 + size.kv_bytes * cached) / machine.bandwidth.value,
            work: rows * (size.linear + size.head) * self.work.per_weight(format.code) / machine.helping(row),
            operations: machine.peak.as_ref().map_or(0.0, |peak| 2.0 * macs / peak.value),
            layers: size.layers,
            rows,
        })
    }

    /// The factors on a machine, from the rows that its file names; `size` knows the models.
    ///
    /// # Errors
    /// A row that is not there, or rows that no factors give.
    pub fn factors(
        &self,
        machine: &Machine,
        rows: &[Row],
        size: &dyn Fn(&Row) -> Option<Size>,
    ) -> Result<Factors, String> {
        if let Some(like) = &machine.like {
            let other = self.machines.iter().find(|m| m.devices[0] == *like && m.when == machine.when);
            let other = other.filter(|m| m.like.is_none());
            let other =
                other.ok_or_else(|| format!("{}: no machine `{like}` with factors of its own", self.name))?;
            return self.factors(other, rows, size);
        }
        let solved = |fitted: &Fitted| {
            let row = rows.iter().find(|row| self.is_fitted(machine, fitted, row));
            let row = row.ok_or_else(|| format!("{}: there is no row of {fitted:?}", self.name))?;
            let size = size(row).ok_or_else(|| format!("{}: no dimensions of {}", self.name, row.model))?;
            let demand = self.demand(machine, row, &size).ok_or_else(|| format!("no format of {row:?}"))?;
            Ok((demand, row.seconds()))
        };
        let (single, batches): (Vec<_>, Vec<_>) =
            machine.fitted_on.iter().partition(|fitted| fitted.batch == "1");
        let found = single.into_iter().map(solved).collect::<Result<Vec<_>, String>>()?;
        let batches = batches.into_iter().map(solved).collect::<Result<Vec<_>, String>>()?;
        let none = || format!("{} on {}: no factors give the rows", self.name, machine.devices[0]);
        let base = Factors {
            rate: f64::INFINITY,
            share: f64::INFINITY,
            peak_share: f64::INFINITY,
            launch: 0.0,
            rows: 1.0,
        };
        let positive = |solved: [f64; 2]| solved.iter().all(|x| *x > 0.0).then_some(solved);
        let solve = machine.solve.ok_or_else(|| format!("{}: neither `like` nor `solve`", self.name))?;
        // What is left of a row's time is the peak's.
        let with_peak = |f: Factors, rest: &[(Demand, f64)]| match rest {
            [] => Some(f),
            [(d, t)] => {
                let left = (t - f.launch * d.layers).powi(2) - (d.bytes / f.share).powi(2);
                (left > 0.0).then(|| Factors { peak_share: d.operations / left.sqrt(), ..f })
            }
            _ => None,
        };
        let found = match (solve, &found[..]) {
            (Solve::RateShare, [(a, ta), (b, tb)]) => {
                // Linear in the squares.
                let [a, b] = [(a, ta), (b, tb)].map(|(d, t)| [d.work, d.bytes, *t].map(|x| x * x));
                let solved = linear(a, b).and_then(positive).map(|both| both.map(|x| 1.0 / x.sqrt()));
                solved.map(|[rate, share]| Factors { rate, share, ..base })
            }
            (Solve::ShareLaunch, [(a, ta), (b, tb), rest @ ..]) => {
                let solved = linear([a.bytes, a.layers, *ta], [b.bytes, b.layers, *tb]);
                let solved = solved.and_then(positive);
                solved.and_then(|[inverse, launch]| {
                    with_peak(Factors { share: 1.0 / inverse, launch, ..base }, rest)
                })
            }
            (Solve::Share, [(d, t), rest @ ..]) => with_peak(Factors { share: d.bytes / t, ..base }, rest),
            (Solve::Rate, [(d, t)]) => Some(Factors { rate: d.work / t, ..base }),
            _ => None,
        };
        // What is left of a batch's time is the peak's, too: of the rows that it is padded to.
        let with_rows = |f: Factors| match &batches[..] {
            [] => Some(f),
            [(d, t)] => {
                let left = (t - f.launch * d.layers).powi(2) - (d.bytes / f.share).powi(2);
                let rows = d.rows * left.max(0.0).sqrt() * f.peak_share / d.operations;
                (rows >= d.rows && rows.is_finite()).then_some(Factors { rows, ..f })
            }
            _ => None,
        };
        found.filter(Factors::are_shares).and_then(with_rows).ok_or_else(none)
    }

    /// Whether factors of a machine follow from this row.
    pub fn is_fitted(&self, machine: &Machine, fitted: &Fitted, row: &Row) -> bool {
        let device = fitted.device.as_ref().unwrap_or(&machine.devices[0]);
        self.systems.contains(&row.system)
            && fitted.system.as_ref().is_none_or(|s| *s == row.system)
            && row.device == *device
            && row.model == fitted.model
            && row.weight_bits == fitted.bits
            && row.threads == fitted.threads
            && row.batch == fitted.batch
            && fitted.context.as_ref().is_none_or(|c| *c == row.context)
            && machine.when.as_ref().is_none_or(|when| said(row).contains(when.as_str()))
            && matches!(row.kind(), Metric::Decode | Metric::Layer)
    }

    /// Seconds of what a row measured.
    pub fn seconds(&self, machine: &Machine, factors: &Factors, row: &Row, size: &Size) -> Option<f64> {
        let d = self.demand(machine, row, size)?;
        let parts =
            [d.work / factors.rate, d.bytes / factors.share, d.padded(factors.rows) / factors.peak_share];
        Some(parts.iter().map(|p| p * p).sum::<f64>().sqrt() + factors.launch * d.layers)
    }
}

impl Factors {
    /// Nobody gets more than there is.
    fn are_shares(&self) -> bool {
        [self.share, self.peak_share].iter().all(|s| *s > 0.0 && (*s <= 1.0 || s.is_infinite()))
    }
}

impl Machine {
    /// Threads that help.
    pub(crate) fn helping(&self, row: &Row) -> f64 {
        let most = self.threads.unwrap_or(1);
        // "unlimited" or not said: as many as help.
        f64::from(row.threads.parse::<u32>().unwrap_or(most).min(most))
    }
}

/// What a row says of its weights.
fn said(row: &Row) -> String {
    format!("{} {} w{} a{}", row.system, row.model, row.weight_bits, row.act_bits)
}

/// x, y of a x + b y = c, twice.
fn linear([a, b, c]: [f64; 3], [d, e, f]: [f64; 3]) -> Option<[f64; 2]> {
    let determinant = a * e - b * d;
    (determinant != 0.0).then(|| [(c * e - b * f) / determinant, (a * f - c * d) / determinant])
}
