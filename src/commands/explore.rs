//! `lutsim explore`: sweeps of a design, and what is best in them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lutsim_record::{Band, Ordered};
use lutsim_reports::quantity::{digits, percent};
use lutsim_reports::table::{Align, Table};
use lutsim_tech::{Charged, Shape};
use serde_json::{Value, json};

use super::ppa::{at, place};
use crate::cli::ChipArgs;
use crate::explore::{Explorer, Point, Sweep, Work, better, front};
use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::silicon::{self, total};

/// Sweep a design and print what is best.
#[derive(Debug, Args)]
pub struct Explore {
    #[command(subcommand)]
    what: What,
}

/// What is swept.
#[derive(Debug, Subcommand)]
enum What {
    /// Shapes of LUT cores: the front of area and energy per useful multiply-accumulate
    Shape(ShapeArgs),
}

#[derive(Debug, Args)]
struct ShapeArgs {
    #[command(flatten)]
    chip: ChipArgs,
    /// Process node in nm, in place of the chip's
    #[arg(long, value_name = "NM")]
    node: Option<String>,
    /// Bits of the weights
    #[arg(long, value_name = "BITS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    bits: u32,
    /// Rows of activations: those that do not fill M are wasted
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    rows: u32,
    /// Weights that share a scale: accumulators hold the sum of so many products
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    group: u32,
    /// Activation rows of a core
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,4,8,16")]
    m: Vec<u32>,
    /// Weight columns of a core
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "4,8,16,32,64,128,256")]
    n: Vec<u32>,
    /// Activations per table
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "2,3,4,5,6")]
    k: Vec<u32>,
    /// Tables whose look-ups share an accumulator
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,4,8")]
    groups: Vec<u32>,
    /// Bits of an accumulator; what cannot hold the sums is left out
    #[arg(long, value_name = "BITS,...", value_delimiter = ',', default_value = "16,17,18,20,24,32")]
    accumulator: Vec<u32>,
    /// Bits of a table entry, or `exact`
    #[arg(long, value_name = "BITS,...", value_delimiter = ',', default_value = "exact,8")]
    entry: Vec<String>,
    /// One-bit products per cycle of a core, give or take a quarter, or `any`; the chip's own by default
    #[arg(long, value_name = "N|any")]
    positions: Option<String>,
    /// Leave out registers, builders, wires, operands and placement, as papers do
    #[arg(long)]
    array_only: bool,
    /// Write every shape to this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print everything as JSON and nothing else
    #[arg(long)]
    json: bool,
}

impl Explore {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match &self.what {
            What::Shape(args) => args.execute(),
        }
    }
}

/// Which shapes are compared.
type Among<'a> = &'a dyn Fn(&Shape) -> bool;

/// Everything that was found.
struct Found {
    points: Vec<Point>,
    left_out: usize,
    own: Point,
}

impl ShapeArgs {
    fn execute(&self) -> Result<(), Failure> {
        let chip = self.chip.resolve([])?;
        let silicon = at(&chip, self.node.as_deref(), None)?;
        let plan = silicon::plan(&chip)?;
        let charged = if self.array_only { Charged::ARRAY } else { Charged::ALL };
        let work = Work { weight_bits: self.bits, rows: self.rows, group: self.group };
        let explorer = Explorer::new(&plan, &silicon, work, charged)?;
        let (points, left_out) = explorer.sweep(&self.sweep(plan.cores.core.shape)?)?;
        let found = Found { points, left_out, own: explorer.own()? };
        if let Some(path) = &self.csv {
            OutFile::prepare(path)?.commit(csv_text(&found.points).as_bytes())?;
        }
        match self.json {
            true => output::print(&format!("{:#}\n", json(&found))),
            false => {
                let what = format!(
                    "Shapes of LUT cores at {}: weights of {} bit{}, activations of 8, {} rows, sums of {}\n  cores of {} one-bit products per cycle\n  charged: {}\n",
                    place(&silicon),
                    self.bits,
                    if self.bits == 1 { "" } else { "s" },
                    self.rows,
                    self.group,
                    match self.positions.as_deref() {
                        None => format!("{}, give or take a quarter,", plan.cores.core.shape.positions()),
                        Some("any") => "any number of".into(),
                        Some(n) => format!("{n}, give or take a quarter,"),
                    },
                    match self.array_only {
                        true => "the cells of the array alone",
                        false =>
                            "array, registers, builders, broadcast wires, placement; reading and bringing operands, as far as on the chip",
                    }
                );
                output::print(&(what + &found.text()))
            }
        }
    }

    fn sweep(&self, own: Shape) -> Result<Sweep, Failure> {
        let entry = |text: &String| match text.as_str() {
            "exact" => Ok(None),
            other => other.parse().map(Some).map_err(|_| UserError::Flag {
                flag: "--entry".into(),
                value: text.clone(),
                why: "neither bits nor `exact`".into(),
                help: "for example `--entry exact,8`".into(),
            }),
        };
        let positions = match self.positions.as_deref() {
            None => Some(own.positions() as u32),
            Some("any") => None,
            Some(text) => Some(text.parse().map_err(|_| UserError::Flag {
                flag: "--positions".into(),
                value: text.into(),
                why: "neither a number nor `any`".into(),
                help: "for example `--positions 512`".into(),
            })?),
        };
        Ok(Sweep {
            positions,
            m: self.m.clone(),
            n: self.n.clone(),
            k: self.k.clone(),
            groups: self.groups.clone(),
            accumulator_bits: self.accumulator.clone(),
            entry_bits: self.entry.iter().map(entry).collect::<Result<_, _>>()?,
        })
    }
}

/// A shape in words.
fn words(shape: Shape) -> String {
    format!("{shape}, accumulators of {}, entries of {}", shape.accumulator_bits, shape.entry_bits)
}

/// How much more or less, in per cent.
fn change(new: f64, old: f64) -> String {
    format!("{:+.0} %", 100.0 * (new / old - 1.0))
}

impl Found {
    fn text(&self) -> String {
        let mut out = format!(
            "  {} shapes, {} more cannot be built or do not hold their sums\n",
            self.points.len(),
            self.left_out
        );
        for (exact, title) in [(true, "Front of exact tables"), (false, "Front of tables of rounded entries")]
        {
            let front = front(self.points.iter().filter(|p| p.exact == exact));
            if !front.is_empty() {
                out += &format!("\n{title}\n{}", table(&front));
            }
        }
        out += &self.verdict();
        out
    }

    /// Whether the chip's own shape is on the front of exact tables, and what lies between.
    fn verdict(&self) -> String {
        let own = &self.own;
        let (area, energy) = own.at();
        let mut out = format!(
            "\nThe chip's own: {}: {} um2, {} fJ\n",
            words(own.shape),
            digits(area),
            digits(energy * 1e15)
        );
        let steps: [(&str, Among<'_>); 4] = [
            ("with its accumulators and one table each, M, N, K vary", &|s| {
                s.groups == own.shape.groups && s.accumulator_bits == own.shape.accumulator_bits
            }),
            ("and accumulators vary", &|s| s.groups == own.shape.groups),
            ("and tables per accumulator vary, its accumulators", &|s| {
                s.accumulator_bits == own.shape.accumulator_bits
            }),
            ("everything varies", &|_| true),
        ];
        for (what, among) in steps {
            let points = self.points.iter().filter(|p| p.exact && among(&p.shape));
            let front = front(points);
            if front.is_empty() {
                continue;
            }
            out += &match better(&front, own) {
                None => format!("  {what}: it is on the front\n"),
                Some(p) => {
                    let (a, e) = p.at();
                    format!(
                        "  {what}: it is not; {} takes {} of area, {} of energy\n    why: area {}; energy {}\n",
                        words(p.shape),
                        change(a, area),
                        change(e, energy),
                        moved(&own.area, &p.area, area),
                        moved(&own.energy, &p.energy, energy),
                    )
                }
            };
        }
        out
    }
}

/// The parts that move most from one to the other, in per cent of the whole.
fn moved(from: &Ordered<Band>, to: &Ordered<Band>, whole: f64) -> String {
    let mid = |parts: &Ordered<Band>, name: &str| parts.get(name).map_or(0.0, |b| b.mid);
    let mut names: Vec<&str> = from.iter().chain(to.iter()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let mut moves: Vec<(&str, f64)> =
        names.iter().map(|n| (*n, (mid(to, n) - mid(from, n)) / whole)).collect();
    moves.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let shown = moves.iter().take(3).map(|(name, x)| format!("{name} {:+.0} %", 100.0 * x));
    shown.collect::<Vec<_>>().join(", ")
}

fn table(front: &[&Point]) -> String {
    let mut table = Table::new(&[
        ("shape", Align::Left),
        ("entry", Align::Right),
        ("accumulator", Align::Right),
        ("um2", Align::Right),
        ("low to high", Align::Right),
        ("fJ", Align::Right),
        ("low to high", Align::Right),
        ("largest part of area", Align::Left),
        ("of energy", Align::Left),
    ]);
    let range = |b: Band| format!("{} to {}", digits(b.low), digits(b.high));
    let largest = |parts: &Ordered<Band>| {
        let whole = total(parts).mid;
        let most = parts.iter().max_by(|a, b| a.1.mid.total_cmp(&b.1.mid));
        most.map(|(name, b)| format!("{name} {}", percent(b.mid / whole))).unwrap_or_default()
    };
    for p in front {
        let (area, energy) = (total(&p.area), total(&p.energy).times(1e15));
        table.row([
            p.shape.to_string(),
            p.shape.entry_bits.to_string(),
            p.shape.accumulator_bits.to_string(),
            digits(area.mid),
            range(area),
            digits(energy.mid),
            range(energy),
            largest(&p.area),
            largest(&p.energy),
        ]);
    }
    table.render()
}

fn numbers(p: &Point) -> [f64; 6] {
    let (area, energy) = (total(&p.area), total(&p.energy).times(1e15));
    [area.mid, area.low, area.high, energy.mid, energy.low, energy.high]
}

fn csv_text(points: &[Point]) -> String {
    let mut out = String::from(
        "m,n,k,groups,entry_bits,accumulator_bits,exact,um2,um2_low,um2_high,fj,fj_low,fj_high\n",
    );
    for p in points {
        let s = p.shape;
        let numbers = numbers(p).map(|x| format!("{x:.4}")).join(",");
        out += &format!(
            "{},{},{},{},{},{},{},{numbers}\n",
            s.m, s.n, s.k, s.groups, s.entry_bits, s.accumulator_bits, p.exact
        );
    }
    out
}

fn json(found: &Found) -> Value {
    let point = |p: &Point| {
        let ([um2, um2_low, um2_high, fj, fj_low, fj_high], s) = (numbers(p), p.shape);
        json!({
            "m": s.m, "n": s.n, "k": s.k, "groups": s.groups,
            "entry_bits": s.entry_bits, "accumulator_bits": s.accumulator_bits, "exact": p.exact,
            "um2": { "mid": um2, "low": um2_low, "high": um2_high },
            "fj": { "mid": fj, "low": fj_low, "high": fj_high },
        })
    };
    let fronts = [true, false].map(|exact| {
        let front = front(found.points.iter().filter(|p| p.exact == exact));
        front.into_iter().map(point).collect::<Vec<_>>()
    });
    let exact = front(found.points.iter().filter(|p| p.exact));
    json!({
        "shapes": found.points.len(),
        "left_out": found.left_out,
        "front_exact": fronts[0],
        "front_rounded": fronts[1],
        "own": point(&found.own),
        "own_is_on_the_front": better(&exact, &found.own).is_none(),
    })
}
