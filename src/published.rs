//! docs/validation-published.md: engines on machines that people have, beside what was published of them.
//!
//! ```text
//! reports/published/results.csv --rows an engine's file names--> its factors --> all other rows, predicted
//! ```

mod batches;
mod prompts;

use std::fmt::Write;

use lutsim_baselines::engine::{self, Engine, Factors, Machine, Size};
use lutsim_baselines::prompt::Pace;
use lutsim_baselines::published::{self, Metric, Row};
use lutsim_host::model::Model;
use lutsim_reports::quantity::{digits, percent};

use crate::roofline;

/// Models as the sources call them, by a part of the name, and the built-in ones of these dimensions; the first that fits.
const MODELS: [(&str, &str); 10] = [
    ("BitNet-b1.58-2B-4T", "bitnet-b1.58-2b4t"),
    ("BitNet-b1.58-3B", "bitnet-b1.58-3b"),
    ("BitNet-3B", "bitnet-b1.58-3b"),
    ("Llama-2-7B", "llama-2-7b"),
    ("Llama-7B", "llama-2-7b"),
    ("Llama-2-13B", "llama-2-13b"),
    ("Llama-2-70B", "llama-2-70b"),
    ("Llama-3-8B", "llama-3-8b"),
    ("Llama-SEA-LION-v3.5-8B", "llama-3-8b"),
    ("BLOOM-176B", "bloom-176b"),
];

/// Dummy models of bitnet.cpp's measurements, of which only a nominal size is known: weights in millions, and layers as models of the
/// size have (GPT-3's table 2.1 to 13B, Llama's beyond).
const NOMINAL: [(&str, f64, f64); 12] = [
    ("-125M", 125.0, 12.0),
    ("-350M", 350.0, 24.0),
    ("-700M", 700.0, 24.0),
    ("-1B", 1000.0, 24.0),
    ("-1.5B", 1500.0, 24.0),
    ("-2.5B", 2500.0, 32.0),
    ("-3.8B", 3800.0, 32.0),
    ("-7B", 7000.0, 32.0),
    ("-13B", 13_000.0, 40.0),
    ("-30B", 30_000.0, 60.0),
    ("-70B", 70_000.0, 80.0),
    ("-100B", 100_000.0, 80.0),
];

/// What a token of a built-in model asks for.
fn built_in(name: &str) -> Size {
    Size::of(&roofline::shape(&Model::builtin(name).unwrap_or_else(|e| panic!("{e}"))))
}

/// The dimensions of a row's model, if they are known.
pub fn size(row: &Row) -> Option<Size> {
    if let Some((_, name)) = MODELS.iter().find(|(part, _)| row.model.contains(part)) {
        let all = built_in(name);
        return Some(match row.kind() {
            Metric::Layer => Size {
                linear: all.linear / all.layers,
                head: 0.0,
                layers: 1.0,
                kv_bytes: all.kv_bytes / all.layers,
                attention: all.attention / all.layers,
            },
            _ => all,
        });
    }
    let dummy = row.model.starts_with("ternary") || row.model.starts_with("BitNet");
    let found = NOMINAL.iter().find(|(end, ..)| dummy && row.model.ends_with(end))?;
    Some(Size { linear: found.1 * 1e6, head: 0.0, layers: found.2, kv_bytes: 0.0, attention: 0.0 })
}

/// A row and what an engine says of it.
pub struct Pair {
    /// The row.
    pub row: Row,
    /// The engine.
    pub engine: String,
    /// Published, seconds of a token or layer.
    pub published: f64,
    /// Ours, the same.
    pub ours: f64,
    /// Ours, were a batch's rows not padded to a tile.
    pub unpadded: f64,
    /// Whether factors follow from the row.
    pub fitted: bool,
}

impl Pair {
    /// Ours over published, as rates, less one.
    pub fn error(&self) -> f64 {
        self.published / self.ours - 1.0
    }
}

/// Factors of every engine on every machine.
fn fits(engines: &[(&str, Engine)], rows: &[Row]) -> Vec<Vec<Factors>> {
    let of = |e: &Engine| {
        let of = |m: &Machine| e.factors(m, rows, &size).unwrap_or_else(|why| panic!("{why}"));
        e.machines.iter().map(of).collect()
    };
    engines.iter().map(|(_, e)| of(e)).collect()
}

/// Paces of prefill of every engine on every machine.
fn paces(engines: &[(&str, Engine)], rows: &[Row]) -> Vec<Vec<Option<Pace>>> {
    let of = |e: &Engine| {
        let of = |m: &Machine| e.pace(m, rows, &size).unwrap_or_else(|why| panic!("{why}"));
        e.machines.iter().map(of).collect()
    };
    engines.iter().map(|(_, e)| of(e)).collect()
}

/// All rows that an engine speaks of, in the order of the file.
pub fn pairs() -> Vec<Pair> {
    let (engines, rows) = (engine::engines(), published::rows());
    let (factors, paces) = (fits(&engines, &rows), paces(&engines, &rows));
    let pair = |row: &Row| {
        if row.kind() == Metric::Other {
            return None;
        }
        let (e, m) = engines.iter().enumerate().find_map(|(i, (_, e))| Some((i, e.machine(row)?)))?;
        let engine = &engines[e].1;
        let which = engine.machines.iter().position(|x| x == m)?;
        let factors = factors[e][which];
        if row.kind() == Metric::Prefill {
            // A pace may be of another machine's row; without one nothing is said.
            let pace = paces[e][which]?;
            let ours = engine.prompt_seconds(m, (&factors, Some(pace)), row, &size(row)?)?;
            let fitted = engine.machines.iter().any(|m| engine.is_prompt_fitted(m, row));
            let (engine, published) = (engine.name.clone(), row.seconds());
            return Some(Pair { row: row.clone(), engine, published, ours, unpadded: ours, fitted });
        }
        let ours = engine.seconds(m, &factors, row, &size(row)?)?;
        let unpadded = engine.seconds(m, &Factors { rows: 1.0, ..factors }, row, &size(row)?)?;
        // A fit may be of another machine's row.
        let fitted = engine.machines.iter().any(|m| m.fitted_on.iter().any(|f| engine.is_fitted(m, f, row)));
        let (engine, published) = (engine.name.clone(), row.seconds());
        Some(Pair { row: row.clone(), engine, published, ours, unpadded, fitted })
    };
    rows.iter().filter_map(pair).collect()
}

/// Sizes of errors of a kind of rows that nothing was fitted on: how many, median, 90th percentile, largest.
pub struct Spread {
    /// Rows.
    pub rows: usize,
    /// Half of the errors are smaller.
    pub median: f64,
    /// Nine of ten are smaller.
    pub p90: f64,
    /// The largest.
    pub worst: f64,
}

impl Spread {
    /// Of some pairs; `None` if all of them were fitted.
    pub fn of<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Option<Spread> {
        let held = pairs.into_iter().filter(|p| !p.fitted);
        let mut errors: Vec<f64> = held.map(|p| p.error().abs()).collect();
        errors.sort_by(f64::total_cmp);
        let at = |share: f64| errors[((errors.len() - 1) as f64 * share).round() as usize];
        (!errors.is_empty()).then(|| Spread {
            rows: errors.len(),
            median: at(0.5),
            p90: at(0.9),
            worst: at(1.0),
        })
    }
}

const INTRODUCTION: &str = "# Baselines beside what was published of them

Generated by `lutsim docs` (and printed by `lutsim validate published`); do not edit. The published rows with their sources are
`reports/published/results.csv`; engines with the rows that their factors follow from are `configs/baselines/engines/*.toml`;
`docs/validation-published.csv` has every row that is compared. Errors are our rate over the published one, less one.

A token takes `sqrt((bytes / (share x bandwidth))^2 + (work / (rate x threads))^2 + (operations / (peak share x peak))^2) + launch x layers`:
between a maximum and a sum, as memory and cores hide behind each other in part; operations are those of a tile of rows at least where
there is more than one (\"Batches of 32\"). `work` is planes looked up (T-MAC: bits + 1/2 per
weight) or weights multiplied. Published runs of one point differ by up to 30 % among themselves: T-MAC's own tables have Llama-2-7B
with 2-bit weights on one core of an M2 Ultra at 12.3 and at 16.7 tokens/s.
";

/// The document.
pub fn published_markdown() -> String {
    let pairs = pairs();
    let mut out = String::from(INTRODUCTION);
    spreads(&mut out, &pairs);
    batches::section(&mut out, &pairs);
    prompts::section(&mut out, &pairs);
    claims(&mut out, &pairs);
    factors(&mut out);
    largest(&mut out, &pairs);
    out
}

fn spreads(out: &mut String, pairs: &[Pair]) {
    out.push_str(
        "\n## How far off\n\nRows that no factor follows from. Layers are of Ladder's artefact: one layer, batches of 1 and 32, prefill of \
         4096 tokens; narrow types on GPUs that do not know them are where kernels are slow for reasons of their own, and no bound is kept \
         there.\n\n| rows | engine | fitted on | predicted | median | 90 % below | largest |\n|---|---|---|---|---|---|---|\n",
    );
    let mut names: Vec<&str> = pairs.iter().map(|p| p.engine.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for (kind, what) in [(Metric::Decode, "decode"), (Metric::Layer, "layers"), (Metric::Prefill, "prefill")]
    {
        for engine in std::iter::once(None).chain(names.iter().map(|n| Some(*n))) {
            let of = || {
                let of = |p: &&Pair| p.row.kind() == kind && engine.is_none_or(|e| e == p.engine);
                pairs.iter().filter(of)
            };
            let Some(s) = Spread::of(of()) else { continue };
            let _ = writeln!(
                out,
                "| {what} | {} | {} | {} | {} | {} | {} |",
                engine.unwrap_or("**all**"),
                of().filter(|p| p.fitted).count(),
                s.rows,
                percent(s.median),
                percent(s.p90),
                percent(s.worst),
            );
        }
    }
}

/// The engines, with their factors.
fn factors(out: &mut String) {
    out.push_str(
        "\n## Factors\n\nRates are work per second and thread; a factor that is not seen in the rows has a dash. Machines without rows of their \
         own have the factors of another one.\n\n| engine | machine | of | bandwidth, GB/s | share | rate, G/s | threads that help | peak share | launch, us per layer | rows at least | fitted on |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let (engines, rows) = (engine::engines(), published::rows());
    for ((_, e), factors) in engines.iter().zip(fits(&engines, &rows)) {
        for (m, f) in e.machines.iter().zip(factors) {
            let seen = |x: f64, text: String| if x.is_finite() && x > 0.0 { text } else { "-".into() };
            let rows = match &m.like {
                Some(like) => format!("as {like}"),
                None => {
                    let row = |r: &engine::Fitted| {
                        let [threads, context] = [
                            if r.threads.is_empty() {
                                String::new()
                            } else {
                                format!(", {} threads", r.threads)
                            },
                            r.context.as_ref().map_or_else(String::new, |c| format!(", context {c}")),
                        ];
                        let batch =
                            if r.batch == "1" { String::new() } else { format!(", batch {}", r.batch) };
                        format!("{} {} bits{threads}{context}{batch}", r.model, r.bits)
                    };
                    m.fitted_on.iter().map(row).collect::<Vec<_>>().join("; ")
                }
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {rows} |",
                e.name,
                m.devices[0],
                m.when.as_deref().unwrap_or("all"),
                digits(m.bandwidth.value / 1e9),
                seen(f.share, percent(f.share)),
                seen(f.rate, digits(f.rate / 1e9)),
                m.threads.map_or("-".into(), |t| t.to_string()),
                seen(f.peak_share, percent(f.peak_share)),
                seen(f.launch, digits(f.launch * 1e6)),
                seen(f.rows - 1.0, digits(f.rows)),
            );
        }
    }
}

/// A published sentence, as a row of the table has it.
struct Claim {
    said: &'static str,
    /// System, device, model, bits, threads of the row that ours is beside.
    row: [&'static str; 5],
}

const CLAIMS: [Claim; 9] = [
    Claim {
        said: "48 tokens/s: BitNet 3B on Snapdragon X Elite, four cores (T-MAC)",
        row: [
            "T-MAC",
            "Surface Laptop 7 (Snapdragon X Elite, Better Performance mode)",
            "BitNet-b1.58-3B",
            "2",
            "4",
        ],
    },
    Claim {
        said: "30 tokens/s: Llama-2-7B, 2 bits, on X Elite (T-MAC; its table has 28.4 on four cores)",
        row: ["T-MAC", "Snapdragon X Elite", "Llama-2-7B", "2", "4"],
    },
    Claim {
        said: "20 tokens/s: Llama-2-7B, 4 bits, on X Elite (T-MAC; its table has 18.7 on four cores)",
        row: ["T-MAC", "Snapdragon X Elite", "Llama-2-7B", "4", "4"],
    },
    Claim {
        said: "11 tokens/s: BitNet 3B on a Raspberry Pi 5, two cores (T-MAC)",
        row: ["T-MAC", "Raspberry Pi 5", "BitNet-3B", "2", "2"],
    },
    Claim {
        said: "71 tokens/s: BitNet 3B on M2 Ultra, eight cores (T-MAC's paper; its repository has 66)",
        row: ["T-MAC", "M2-Ultra", "BitNet-b1.58-3B", "2", "8"],
    },
    Claim {
        said: "10.4 tokens/s: Llama-2-7B, 4 bits, on X Elite's NPU, half of what its CPU does",
        row: ["Qualcomm NPE (Hexagon NPU)", "Snapdragon X Elite", "Llama-2-7B", "4", ""],
    },
    Claim {
        said: "50 tokens/s, up to: BitNet 2B on 8 Gen 3's NPU (T-MAN)",
        row: ["T-MAN", "Snapdragon 8 Gen 3 NPU", "BitNet-b1.58-2B-4T", "1.58", ""],
    },
    Claim {
        said: "15.6 tokens/s: Llama-2-7B, 2 bits, on the CPU of AGX Orin (T-MAC)",
        row: ["T-MAC (CPU)", "AGX Orin (MAXN)", "Llama-2-7B", "2", "12"],
    },
    Claim {
        said: "20 tokens/s: the same on its GPU (llama.cpp)",
        row: ["llama.cpp (GPU)", "AGX Orin (MAXN)", "Llama-2-7B", "2", ""],
    },
];

/// Distance up to which a claim is said to be reproduced: what published runs of one point differ by.
const NEAR: f64 = 0.3;

fn claims(out: &mut String, pairs: &[Pair]) {
    out.push_str("\n## Headline claims\n\n| claim | published row | ours | outcome |\n|---|---|---|---|\n");
    for claim in &CLAIMS {
        let is = |p: &&Pair| {
            let r = &p.row;
            [&r.system, &r.device, &r.model, &r.weight_bits, &r.threads] == claim.row
        };
        let pair = pairs.iter().find(is).unwrap_or_else(|| panic!("no row of {:?}", claim.row));
        let outcome = match pair.error() {
            _ if pair.fitted => "fitted on it".to_owned(),
            e if e.abs() <= NEAR => format!("reproduced, {:+.0} %", 100.0 * e),
            e => format!("not reproduced, {:+.0} %", 100.0 * e),
        };
        let [published, ours] = [pair.published, pair.ours].map(|t| digits(1.0 / t));
        let _ = writeln!(out, "| {} | {published} tokens/s | {ours} tokens/s | {outcome} |", claim.said);
    }
    speculation(out);
    crossover(out);
}

/// 20 tokens/s on 8 Gen 3 need speculation.
fn speculation(out: &mut String) {
    let llama = built_in("llama-2-7b");
    let bytes = (llama.linear + llama.head) / 2.0;
    let hexagon = engine::engines().into_iter().find(|(name, _)| *name == "hexagon");
    let (_, engine) = hexagon.unwrap_or_else(|| panic!("no engine of NPUs"));
    let machine = engine.machines.iter().find(|m| m.devices[0] == "Snapdragon 8 Gen 3 NPU");
    let machine = machine.unwrap_or_else(|| panic!("no 8 Gen 3"));
    let share = engine.factors(machine, &published::rows(), &size).unwrap_or_else(|e| panic!("{e}")).share;
    let roof = machine.bandwidth.value / bytes;
    // Three drafted tokens, each taken with probability 0.6; the drafter has 1.74 % of the weights (Leviathan et al.).
    let (taken, drafted, drafter) = (0.6f64, 3, 0.0174);
    let tokens = (1.0 - taken.powi(drafted + 1)) / (1.0 - taken);
    let faster = tokens / (1.0 + f64::from(drafted) * drafter);
    let _ = writeln!(
        out,
        "| 20 tokens/s: Llama-2-7B, 4 bits, on 8 Gen 3, without speculation | needs {} of 76.8 GB/s; no design passes {} | {} | not \
         reproduced: NPUs were seen at {} of their bandwidth |",
        percent(20.0 / roof),
        digits(roof),
        digits(roof * share),
        percent(share),
    );
    let _ = writeln!(
        out,
        "| the same with speculation (three drafted, 0.6 taken: x {}) | needs {} | {} | {} |",
        digits(faster),
        percent(20.0 / roof / faster),
        digits(roof * share * faster),
        if roof * share * faster >= 20.0 * (1.0 - NEAR) { "reproduced" } else { "not reproduced" },
    );
}

/// Attention as large as everything else.
fn crossover(out: &mut String) {
    let llama = built_in("llama-2-7b");
    let weights = llama.linear + llama.head;
    let _ = writeln!(
        out,
        "| attention costs as much as all else after some 400 tokens (Llama-2-7B) | | {:.0} tokens by multiply-accumulates, {:.0} by bytes \
         (FP16 cache, 4-bit weights) | does not reproduce: it can only be the wall clock of a slow attention |",
        weights / llama.attention,
        weights / 2.0 / llama.kv_bytes,
    );
}

/// Where the model is most wrong.
fn largest(out: &mut String, pairs: &[Pair]) {
    out.push_str(
        "\n## The largest errors of decode\n\n| system | device | model | bits | threads | published | ours | error |\n|---|---|---|---|---|---|---|---|\n",
    );
    let held = pairs.iter().filter(|p| !p.fitted && p.row.kind() == Metric::Decode);
    let mut held: Vec<&Pair> = held.collect();
    held.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    for p in held.iter().take(15) {
        let r = &p.row;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {:+.0} % |",
            r.system,
            r.device,
            r.model,
            r.weight_bits,
            r.threads,
            digits(1.0 / p.published),
            digits(1.0 / p.ours),
            100.0 * p.error(),
        );
    }
}

/// Every row, as CSV.
pub fn published_csv() -> String {
    let mut out = csv::Writer::from_writer(Vec::new());
    let header = [
        "engine",
        "system",
        "device",
        "model",
        "weight_bits",
        "act_bits",
        "batch",
        "context",
        "threads",
        "measured",
        "published_seconds",
        "ours_seconds",
        "error_of_rate",
        "fitted",
        "source",
    ];
    let mut put = |fields: &[&str]| out.write_record(fields).unwrap_or_else(|e| panic!("{e}"));
    put(&header);
    for p in pairs() {
        let r = &p.row;
        let measured = match r.kind() {
            Metric::Decode => "token",
            Metric::Prefill => "token of a prompt",
            Metric::Layer | Metric::Other => "layer",
        };
        let [published, ours] = [p.published, p.ours].map(|t| format!("{t:.4e}"));
        let error = format!("{:+.3}", p.error());
        put(&[
            &p.engine,
            &r.system,
            &r.device,
            &r.model,
            &r.weight_bits,
            &r.act_bits,
            &r.batch,
            &r.context,
            &r.threads,
            measured,
            &published,
            &ours,
            &error,
            if p.fitted { "yes" } else { "no" },
            &r.source,
        ]);
    }
    String::from_utf8(out.into_inner().unwrap_or_else(|e| panic!("{e}"))).unwrap_or_else(|e| panic!("{e}"))
}
