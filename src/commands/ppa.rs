//! `lutsim ppa`: area and power of a chip and of cores of other kinds beside its own.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lutsim_record::{Band, Ordered};
use lutsim_reports::quantity::{digits, percent, share, si};
use lutsim_reports::table::{Align, Table};
use lutsim_reports::{Panel, bars_svg};
use lutsim_sim::chip_file::ChipFile;
use lutsim_tech::{Charged, Kind, Node, Plan, Silicon, cost};
use serde_json::{Value, json};

use crate::cli::ChipArgs;
use crate::failure::{Failure, UserError};
use crate::output::{self, OutFile};
use crate::ppa::{Comparison, Entry, Equal, WIDTHS};
use crate::silicon::{self, total};

/// Area, power and price of a chip, and cores of other kinds beside its own.
#[derive(Debug, Args)]
pub struct Ppa {
    #[command(flatten)]
    chip: ChipArgs,
    /// Process node in nm, in place of the chip's
    #[arg(long, value_name = "NM")]
    node: Option<String>,
    /// Supply in V, in place of the node's
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    voltage: Option<f64>,
    /// Kinds of cores: lut, lut-conventional, add, mac-int8, mac-int4, mac-int2, mac-fp16, figlut, unpu
    #[arg(
        long,
        value_name = "KIND,...",
        value_delimiter = ',',
        default_value = "lut,add,mac-int8,mac-int4,mac-int2"
    )]
    cores: Vec<String>,
    /// What all kinds have alike
    #[arg(long, value_enum, default_value_t = Alike::Throughput)]
    equal: Alike,
    /// Leave out registers, table builders, dequantisers, broadcast wires and placement, as papers do
    #[arg(long)]
    array_only: bool,
    /// Weight width of the picture
    #[arg(long, value_name = "BITS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    bits: u32,
    /// Write the tables to this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw area and power by part to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print everything as JSON and nothing else
    #[arg(long)]
    json: bool,
}

/// What all kinds have alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Alike {
    /// Area of all cores.
    Area,
    /// Operations per second.
    Throughput,
    /// Watts at full use.
    Power,
}

impl Alike {
    fn name(self) -> &'static str {
        match self {
            Alike::Area => "area",
            Alike::Throughput => "throughput",
            Alike::Power => "power",
        }
    }
}

impl From<Alike> for Equal {
    fn from(alike: Alike) -> Equal {
        match alike {
            Alike::Area => Equal::Area,
            Alike::Throughput => Equal::Throughput,
            Alike::Power => Equal::Power,
        }
    }
}

/// The node and supply of `--node` and `--voltage`, or the chip's.
pub(crate) fn at(chip: &ChipFile, node: Option<&str>, voltage: Option<f64>) -> Result<Silicon, Failure> {
    let silicon = match node {
        Some(name) => Silicon::at(Node::named(name)?),
        None => silicon::silicon(chip)?,
    };
    Ok(match voltage {
        Some(volts) => silicon.at_voltage(volts)?,
        None => silicon,
    })
}

/// Node and supply in words.
pub(crate) fn place(silicon: &Silicon) -> String {
    let beyond = if silicon.node.extrapolated { " (EXTRAPOLATED)" } else { "" };
    format!("{} nm{beyond}, {} V", silicon.node.nm, silicon.voltage_v)
}

/// The kinds of a list of names.
fn kinds(names: &[String]) -> Result<Vec<Kind>, Failure> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    let find = |name: &String| {
        Kind::named(name.trim()).ok_or_else(|| {
            UserError::Flag {
                flag: "--cores".into(),
                value: name.clone(),
                why: "there is no such kind of core".into(),
                help: format!("there are {}", known()),
            }
            .into()
        })
    };
    names.iter().map(find).collect()
}

impl Ppa {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let kinds = kinds(&self.cores)?;
        let chip = self.chip.resolve([])?;
        let silicon = at(&chip, self.node.as_deref(), self.voltage)?;
        let plan = silicon::plan(&chip)?;
        let charged = if self.array_only { Charged::ARRAY } else { Charged::ALL };
        let comparison = Comparison {
            plan: &plan,
            silicon: &silicon,
            clock_hz: chip.chip.clock_hz,
            charged,
            equal: self.equal.into(),
        };
        let entries = comparison.entries(&kinds)?;
        let files = [&self.csv, &self.svg];
        let files = files.map(|f| f.as_deref().map(OutFile::prepare).transpose());
        let [csv, svg] = files;
        if let Some(file) = csv? {
            file.commit(csv_text(&entries).as_bytes())?;
        }
        if let Some(file) = svg? {
            file.commit(self.picture(&chip, &silicon, &comparison, &kinds)?.as_bytes())?;
        }
        match self.json {
            true => output::print(&format!("{:#}\n", self.json(&chip, &silicon, &plan, &entries)?)),
            false => output::print(&self.text(&chip, &comparison, &entries)?),
        }
    }

    fn title(&self, chip: &ChipFile, comparison: &Comparison<'_>) -> String {
        let cores = comparison.plan.cores;
        format!(
            "Cores beside the {} x {} of {} at {}, {}: equal {}",
            cores.count,
            cores.core.shape,
            chip.chip.name,
            place(comparison.silicon),
            si(chip.chip.clock_hz as f64, "Hz"),
            self.equal.name()
        )
    }

    fn charged(&self) -> &'static str {
        match self.array_only {
            true => "the cells of the array alone: no registers, builders, dequantisers, wires, placement",
            false => {
                "array, operand registers, second accumulators, builders or dequantisers, broadcast wires, placement"
            }
        }
    }

    fn text(
        &self,
        chip: &ChipFile,
        comparison: &Comparison<'_>,
        entries: &[Entry],
    ) -> Result<String, Failure> {
        let mut out = format!("{}\n  charged: {}\n", self.title(chip, comparison), self.charged());
        for bits in WIDTHS {
            let plural = if bits == 1 { "" } else { "s" };
            out += &format!("\nWeights of {bits} bit{plural}, activations of 8 (mac-fp16: 16)\n");
            let mut table = Table::new(&[
                ("core", Align::Left),
                ("shape", Align::Left),
                ("cores", Align::Right),
                ("TOPS", Align::Right),
                ("mm2", Align::Right),
                ("low to high", Align::Right),
                ("W", Align::Right),
                ("low to high", Align::Right),
                ("TOPS/mm2", Align::Right),
                ("TOPS/W", Align::Right),
            ]);
            for e in entries.iter().filter(|e| e.weight_bits == bits) {
                let (area, power) = (total(&e.area), total(&e.power));
                table.row([
                    e.core.kind.name().to_owned(),
                    e.core.shape.to_string(),
                    digits(e.cores),
                    digits(e.ops * 1e-12),
                    digits(area.mid),
                    range(area),
                    digits(power.mid),
                    range(power),
                    digits(e.density().mid),
                    digits(e.efficiency().mid),
                ]);
            }
            out += &table.render();
        }
        out += &self.dominating(comparison);
        out += &whole_chip(comparison.plan, comparison.silicon)?;
        Ok(out)
    }

    /// Which constants the chip's own cores rest on.
    fn dominating(&self, comparison: &Comparison<'_>) -> String {
        let shares = comparison.dominating(comparison.plan.cores.core, self.bits);
        let words = |list: &[(lutsim_tech::Component, f64)]| {
            let first = list.iter().take(5).map(|(c, s)| format!("{} {}", c.name(), percent(*s)));
            first.collect::<Vec<_>>().join(", ")
        };
        format!(
            "\nConstants that dominate the chip's own cores (change for a change of each)\n  area:  {}\n  power: {} (weights of {} bits)\n",
            words(&shares[0]),
            words(&shares[1]),
            self.bits
        )
    }

    fn picture(
        &self,
        chip: &ChipFile,
        silicon: &Silicon,
        comparison: &Comparison<'_>,
        kinds: &[Kind],
    ) -> Result<String, Failure> {
        let entries = comparison.entries_at(kinds, self.bits)?;
        let label = |e: &Entry| e.core.kind.name().to_owned();
        let panel = |title: &str, of: fn(&Entry) -> &Ordered<Band>| Panel {
            title: title.to_owned(),
            bars: entries.iter().map(|e| (label(e), of(e).clone())).collect(),
        };
        let panels = [panel("area, mm2", |e| &e.area), panel("power at full use, W", |e| &e.power)];
        let plural = if self.bits == 1 { "" } else { "s" };
        let subtitle = format!(
            "weights of {} bit{plural}, activations of 8; whiskers from low to high; {}; node factors: {}",
            self.bits,
            if self.array_only {
                "the array's cells alone"
            } else {
                "registers, builders, wires and placement charged"
            },
            silicon.node.kind.name()
        );
        let svg = bars_svg(&self.title(chip, comparison), &subtitle, &panels);
        Ok(svg.unwrap_or_else(|e| panic!("{e}")))
    }

    fn json(
        &self,
        chip: &ChipFile,
        silicon: &Silicon,
        plan: &Plan,
        entries: &[Entry],
    ) -> Result<Value, Failure> {
        let area = plan.area(silicon)?;
        let die = cost(total(&area), silicon.node)?;
        let list = entries.iter().map(|e| {
            json!({
                "core": e.core.kind.name(),
                "shape": e.core.shape.to_string(),
                "weight_bits": e.weight_bits,
                "cores": e.cores,
                "tops": e.ops * 1e-12,
                "area_mm2": band(total(&e.area)),
                "area_by_part_mm2": bands(&e.area),
                "power_w": band(total(&e.power)),
                "power_by_part_w": bands(&e.power),
                "tops_per_mm2": band(e.density()),
                "tops_per_w": band(e.efficiency()),
            })
        });
        Ok(json!({
            "chip": chip.chip.name,
            "node_nm": silicon.node.nm,
            "extrapolated": silicon.node.extrapolated,
            "voltage_v": silicon.voltage_v,
            "equal": self.equal.name(),
            "array_only": self.array_only,
            "entries": list.collect::<Vec<_>>(),
            "chip_area_mm2": band(total(&area)),
            "chip_area_by_component_mm2": bands(&area),
            "die_usd": band(die.die),
            "yield": band(die.yielded),
        }))
    }
}

fn band(b: Band) -> Value {
    json!({ "mid": b.mid, "low": b.low, "high": b.high })
}

fn bands(parts: &Ordered<Band>) -> Value {
    Value::Object(parts.iter().map(|(name, b)| (name.to_owned(), band(*b))).collect())
}

fn range(b: Band) -> String {
    format!("{} to {}", digits(b.low), digits(b.high))
}

/// Area of the chip by component, and its price.
fn whole_chip(plan: &Plan, silicon: &Silicon) -> Result<String, Failure> {
    let parts = plan.area(silicon)?;
    let whole = total(&parts);
    let mut table = Table::new(&[
        ("component", Align::Left),
        ("mm2", Align::Right),
        ("low to high", Align::Right),
        ("share", Align::Right),
    ]);
    for (name, b) in parts.iter() {
        table.row([name.to_owned(), digits(b.mid), range(*b), percent(share(b.mid, whole.mid))]);
    }
    table.row(["total".to_owned(), digits(whole.mid), range(whole), percent(1.0)]);
    let die = cost(whole, silicon.node)?;
    let memory = plan.dram.usd_per_gb.times(plan.dram.bytes as f64 / 1e9);
    Ok(format!(
        "\nThe whole chip at {}\n{}  die: {} USD ({}), {} dies per wafer, yield {} ({}); {} of DRAM {} USD ({}); without design, masks, package and test\n",
        place(silicon),
        table.render(),
        digits(die.die.mid),
        range(die.die),
        digits(die.dies_per_wafer.mid),
        percent(die.yielded.mid),
        range(die.yielded.times(100.0)),
        lutsim_reports::quantity::size(plan.dram.bytes),
        digits(memory.mid),
        range(memory),
    ))
}

fn csv_text(entries: &[Entry]) -> String {
    let mut out = String::from(
        "core,shape,weight_bits,cores,tops,area_mm2,area_mm2_low,area_mm2_high,power_w,power_w_low,power_w_high,\
         tops_per_mm2,tops_per_mm2_low,tops_per_mm2_high,tops_per_w,tops_per_w_low,tops_per_w_high\n",
    );
    for e in entries {
        let bands = [total(&e.area), total(&e.power), e.density(), e.efficiency()];
        let numbers: Vec<String> =
            bands.iter().flat_map(|b| [b.mid, b.low, b.high]).map(|x| format!("{x:.6e}")).collect();
        out += &format!(
            "{},{},{},{:.4},{:.6},{}\n",
            e.core.kind.name(),
            e.core.shape,
            e.weight_bits,
            e.cores,
            e.ops * 1e-12,
            numbers.join(",")
        );
    }
    out
}
