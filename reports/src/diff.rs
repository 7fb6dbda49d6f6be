//! Two records: what changed in what was asked, and which operator, unit and cause account for the difference in time and energy.
//!
//! Times are differences of cycles at each record's own clock; every table's rows add up to the difference that it explains, and
//! what is left over is printed.

use lutsim_record::{PhaseTotals, Record, UnitCycles};
use serde_json::{Value, json};

use crate::operators::by_operator;
use crate::quantity::{digits, percent, share, si};
use crate::table::{Align, Table};

/// A value of the configuration that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where it stands, `chip.lut.cores`.
    pub path: String,
    /// In the first record; none if it is not there.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// A part of a phase in both records, per token.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// In the first record.
    pub a: f64,
    /// In the second.
    pub b: f64,
}

impl Part {
    /// The second less the first.
    pub fn change(&self) -> f64 {
        self.b - self.a
    }
}

/// A phase in both records.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseDiff {
    /// `prefill` or `decode`.
    pub phase: &'static str,
    /// Seconds per token.
    pub seconds: Part,
    /// Seconds per token by operator, summed over layers; they add up to `seconds`.
    pub operators: Vec<Part>,
    /// For each unit, seconds per token by what it did: busy, and by cause; each unit's add up to `seconds`.
    pub units: Vec<(String, Vec<Part>)>,
    /// Of the operator that changed most: seconds per token of three units by cause.
    pub causes: Vec<Part>,
    /// Joules per token.
    pub joules: Part,
    /// Joules per token by component; they add up to `joules`.
    pub components: Vec<Part>,
    /// DRAM bytes per token by class.
    pub classes: Vec<Part>,
}

/// Everything that two records differ in.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What changed in the configuration.
    pub changes: Vec<Change>,
    /// Phases that both have.
    pub phases: Vec<PhaseDiff>,
    /// Phases that one has.
    pub only: Vec<String>,
}

fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, out);
            }
        }
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        other => out.push((path.to_owned(), other.to_string())),
    }
}

fn changes(a: &Record, b: &Record) -> Vec<Change> {
    let flat = |r: &Record| {
        let mut out = vec![("version".to_owned(), r.provenance.version.clone())];
        flatten("", &r.provenance.config, &mut out);
        out
    };
    let (a, b) = (flat(a), flat(b));
    let get = |all: &[(String, String)], path: &str| all.iter().find(|x| x.0 == path).map(|x| x.1.clone());
    let mut paths: Vec<&String> = a.iter().map(|x| &x.0).collect();
    paths.extend(b.iter().map(|x| &x.0).filter(|path| get(&a, path).is_none()));
    paths
        .into_iter()
        .map(|path| Change { path: path.clone(), a: get(&a, path), b: get(&b, path) })
        .filter(|change| change.a != change.b)
        .collect()
}

/// Parts of both by name, in the order of the first and then of what only the second has.
fn join(a: Named, b: Named) -> Vec<Part> {
    let mut out: Vec<Part> = a.into_iter().map(|(name, a)| Part { name, a, b: 0.0 }).collect();
    for (name, value) in b {
        match out.iter_mut().find(|part| part.name == name) {
            Some(part) => part.b += value,
            None => out.push(Part { name, a: 0.0, b: value }),
        }
    }
    out
}

/// Names and numbers.
type Named = Vec<(String, f64)>;

/// Channels as one unit of the mean, others as they are: their cycles by what they did, in seconds.
fn unit_seconds(record: &Record, units: &[UnitCycles]) -> Vec<(String, Named)> {
    let mut out: Vec<(String, Named, f64)> = Vec::new();
    for unit in units {
        let hz = record.machine.clocks_hz.get(&unit.clock).copied().unwrap_or(1) as f64;
        let name = if unit.name.starts_with("dram.") { "dram (mean of channels)" } else { &unit.name };
        let mut parts = vec![("busy".to_owned(), unit.busy_cycles as f64 / hz)];
        parts.extend(unit.stall_cycles.iter().map(|(cause, n)| (cause.to_owned(), *n as f64 / hz)));
        match out.iter_mut().find(|u| u.0 == name) {
            None => out.push((name.to_owned(), parts, 1.0)),
            Some((_, all, count)) => {
                *count += 1.0;
                for (name, seconds) in parts {
                    match all.iter_mut().find(|p| p.0 == name) {
                        Some(part) => part.1 += seconds,
                        None => all.push((name, seconds)),
                    }
                }
            }
        }
    }
    out.into_iter()
        .map(|(name, parts, count)| (name, parts.into_iter().map(|(n, s)| (n, s / count)).collect()))
        .collect()
}

fn per_token(parts: Named, tokens: u64) -> Named {
    parts.into_iter().map(|(name, x)| (name, share(x, tokens as f64))).collect()
}

fn phase_diff(
    phase: &'static str,
    (a, b): (&Record, &Record),
    (pa, pb): (&PhaseTotals, &PhaseTotals),
) -> PhaseDiff {
    let operators = |r: &Record, p: &PhaseTotals| {
        let hz = r.machine.core_clock_hz as f64;
        let all = by_operator(r, phase).into_iter().map(|o| (o.name, o.cycles as f64 / hz)).collect();
        per_token(all, p.tokens)
    };
    let operators = join(operators(a, pa), operators(b, pb));
    let unit = |r: &Record, p: &PhaseTotals| {
        let all = unit_seconds(r, &p.units).into_iter();
        all.map(|(name, parts)| (name, per_token(parts, p.tokens))).collect::<Vec<_>>()
    };
    let (ua, ub) = (unit(a, pa), unit(b, pb));
    let units = ua
        .into_iter()
        .map(|(name, parts)| {
            let other = ub.iter().find(|u| u.0 == name).map_or(Vec::new(), |u| u.1.clone());
            (name, join(parts, other))
        })
        .collect();
    let most = operators.iter().max_by(|x, y| x.change().abs().total_cmp(&y.change().abs()));
    let causes = most.map_or(Vec::new(), |most| {
        let stalls = |r: &Record, p: &PhaseTotals| {
            let hz = r.machine.core_clock_hz as f64;
            let mut out: Named = Vec::new();
            for o in r.operators.iter().filter(|o| o.phase == phase && o.name == most.name) {
                for (cause, n) in o.stalls.iter() {
                    match out.iter_mut().find(|x| x.0 == cause) {
                        Some(x) => x.1 += *n as f64 / hz,
                        None => out.push((cause.to_owned(), *n as f64 / hz)),
                    }
                }
            }
            per_token(out, p.tokens)
        };
        join(stalls(a, pa), stalls(b, pb))
    });
    let components = |p: &PhaseTotals| {
        per_token(p.energy_by_component_j.iter().map(|(n, j)| (n.to_owned(), *j)).collect(), p.tokens)
    };
    let classes = |p: &PhaseTotals| {
        per_token(p.dram_bytes_by_class.iter().map(|(n, x)| (n.to_owned(), x as f64)).collect(), p.tokens)
    };
    let whole = |a: f64, b: f64| Part { name: "whole".into(), a, b };
    PhaseDiff {
        phase,
        seconds: whole(share(pa.seconds, pa.tokens as f64), share(pb.seconds, pb.tokens as f64)),
        operators,
        units,
        causes,
        joules: whole(pa.energy_per_token_j, pb.energy_per_token_j),
        components: join(components(pa), components(pb)),
        classes: join(classes(pa), classes(pb)),
    }
}

/// What two records differ in.
pub fn difference(a: &Record, b: &Record) -> Difference {
    let (of_a, of_b): (Vec<_>, Vec<_>) = (a.phases().collect(), b.phases().collect());
    let phases = of_a
        .iter()
        .filter_map(|&(name, pa)| {
            let pb = of_b.iter().find(|p| p.0 == name)?.1;
            Some(phase_diff(name, (a, b), (pa, pb)))
        })
        .collect();
    let lonely = |mine: &[(&str, &PhaseTotals)], others: &[(&str, &PhaseTotals)], which: &str| {
        let lonely = mine.iter().filter(|p| !others.iter().any(|o| o.0 == p.0));
        lonely.map(|p| format!("only {which} has {}", p.0)).collect::<Vec<_>>()
    };
    let only = [lonely(&of_a, &of_b, "the first"), lonely(&of_b, &of_a, "the second")].concat();
    Difference { changes: changes(a, b), phases, only }
}

/// With its unit; there are no milli-bytes.
fn amount(x: f64, unit: &str) -> String {
    if unit == "B" && x < 1.0 { format!("{} B", digits(x)) } else { si(x, unit) }
}

/// With its sign.
fn signed(x: f64, unit: &str) -> String {
    match x {
        0.0 => format!("0 {unit}"),
        x if x > 0.0 => format!("+{}", amount(x, unit)),
        x => format!("-{}", amount(-x, unit)),
    }
}

/// Whether a stall is where a wait begins, and not the wait of one unit for another or of what has nothing to do.
fn is_root(cause: &str) -> bool {
    !cause.starts_with("wait_") && !matches!(cause, "idle" | "queue_full" | "input" | "fence")
}

/// The parts that changed, largest first, with what each is of the whole difference; then the sum and what is left over.
fn parts_table(what: &str, unit: &str, parts: &[Part], whole: &Part) -> String {
    let mut table = Table::new(&[
        (what, Align::Left),
        ("first", Align::Right),
        ("second", Align::Right),
        ("difference", Align::Right),
        ("of the whole", Align::Right),
    ]);
    let mut row = |name: &str, p: &Part| {
        let of = match whole.change() {
            x if x.abs() > 1e-15 * whole.a.abs() => percent_signed(p.change() / x),
            _ => "-".into(),
        };
        table.row([name.to_owned(), amount(p.a, unit), amount(p.b, unit), signed(p.change(), unit), of]);
    };
    let mut sorted: Vec<&Part> = parts.iter().filter(|p| p.change() != 0.0).collect();
    sorted.sort_by(|x, y| y.change().abs().total_cmp(&x.change().abs()));
    // What is less than a thousandth of the difference stands together.
    let least = 1e-3 * sorted.first().map_or(0.0, |p| p.change().abs());
    let (shown, rest): (Vec<&Part>, Vec<&Part>) = sorted.iter().partition(|p| p.change().abs() >= least);
    for part in shown {
        row(&part.name, part);
    }
    if !rest.is_empty() {
        let sum = |f: fn(&Part) -> f64| rest.iter().map(|p| f(p)).sum::<f64>();
        let name = if rest.len() == 1 { rest[0].name.clone() } else { format!("{} others", rest.len()) };
        row(&name, &Part { name: String::new(), a: sum(|p| p.a), b: sum(|p| p.b) });
    }
    let same: Vec<&Part> = parts.iter().filter(|p| p.change() == 0.0 && p.a != 0.0).collect();
    if !same.is_empty() {
        let a: f64 = same.iter().map(|p| p.a).sum();
        row(&format!("{} the same", same.len()), &Part { name: String::new(), a, b: a });
    }
    let sum = |f: fn(&Part) -> f64| parts.iter().map(f).sum::<f64>();
    row("sum", &Part { name: String::new(), a: sum(|p| p.a), b: sum(|p| p.b) });
    table.render()
}

fn percent_signed(x: f64) -> String {
    if x < 0.0 { format!("-{}", percent(-x)) } else { percent(x) }
}

impl PhaseDiff {
    /// How far the sums of operators, units and components are from the whole differences, relative to the whole: rounding only.
    pub fn left_over(&self) -> f64 {
        let off = |parts: &[Part], whole: &Part| {
            let change: f64 = parts.iter().map(Part::change).sum();
            share((change - whole.change()).abs(), whole.a.abs().max(whole.b.abs()))
        };
        let units = self.units.iter().filter(|u| !u.0.starts_with("dram")).map(|u| off(&u.1, &self.seconds));
        units
            .chain([off(&self.operators, &self.seconds), off(&self.components, &self.joules)])
            .fold(0.0, f64::max)
    }

    /// The largest change among what the units did other than waiting for each other: unit, what it did, seconds per token.
    fn largest_cause(&self) -> Option<(&str, &Part)> {
        // Scratchpad and sequencer are busy for the others.
        let own = self.units.iter().filter(|u| !matches!(u.0.as_str(), "scratchpad" | "sequencer"));
        let all = own.flat_map(|(unit, parts)| parts.iter().map(move |p| (unit.as_str(), p)));
        all.filter(|(_, p)| is_root(&p.name) && p.change() != 0.0)
            .max_by(|x, y| x.1.change().abs().total_cmp(&y.1.change().abs()))
    }

    fn sentence(&self) -> String {
        let (a, b) = (self.seconds.a, self.seconds.b);
        if a == b {
            return "  As fast as before, to the cycle.\n".into();
        }
        let (times, word) = if b < a { (a / b, "faster") } else { (b / a, "slower") };
        let mut out = format!(
            "  The second is {} times {word}: {} per token in place of {}.",
            digits(times),
            si(b, "s"),
            si(a, "s")
        );
        let most = self.operators.iter().max_by(|x, y| x.change().abs().total_cmp(&y.change().abs()));
        if let Some(most) = most {
            let of = percent_signed(most.change() / self.seconds.change());
            out.push_str(&format!(" {of} of the difference is in `{}`", most.name));
            // Stalls only; a part of the operator's change that is worth a word.
            let worth = 0.05 * most.change().abs();
            let cause = self
                .causes
                .iter()
                .filter(|c| c.name.rsplit('.').next().is_some_and(is_root) && c.change().abs() >= worth);
            if let Some(cause) = cause.max_by(|x, y| x.change().abs().total_cmp(&y.change().abs())) {
                out.push_str(&format!(", where `{}` changed by {}", cause.name, signed(cause.change(), "s")));
            }
            out.push('.');
        }
        if let Some((unit, part)) = self.largest_cause() {
            out.push_str(&format!(
                " Of all units, `{unit}` changed most: `{}` by {}.",
                part.name,
                signed(part.change(), "s")
            ));
        }
        out.push('\n');
        out
    }

    fn text(&self) -> String {
        let mut out = format!("\n{}, per token\n{}", self.phase, self.sentence());
        if self.seconds.change() != 0.0 {
            out.push_str(&parts_table("operator", "s", &self.operators, &self.seconds));
            out.push_str(
                "\n  What each unit did, per token; rows of a unit add up to the whole difference\n",
            );
            out.push_str(&self.units_table());
        }
        if self.joules.change() != 0.0 {
            out.push('\n');
            out.push_str(&parts_table("energy in", "J", &self.components, &self.joules));
        }
        if self.classes.iter().any(|c| c.change() != 0.0) {
            let sum = |f: fn(&Part) -> f64| self.classes.iter().map(f).sum::<f64>();
            let whole = Part { name: String::new(), a: sum(|p| p.a), b: sum(|p| p.b) };
            out.push('\n');
            out.push_str(&parts_table("DRAM bytes of", "B", &self.classes, &whole));
        }
        out
    }

    fn units_table(&self) -> String {
        let mut table =
            Table::new(&[("unit", Align::Left), ("difference", Align::Right), ("of it", Align::Left)]);
        for (unit, parts) in &self.units {
            let mut changed: Vec<&Part> = parts.iter().filter(|p| p.change() != 0.0).collect();
            changed.sort_by(|x, y| y.change().abs().total_cmp(&x.change().abs()));
            let text: Vec<String> =
                changed.iter().map(|p| format!("{} {}", p.name, signed(p.change(), "s"))).collect();
            let sum: f64 = parts.iter().map(Part::change).sum();
            table.row([unit.clone(), signed(sum, "s"), text.join(", ")]);
        }
        table.render()
    }

    fn json(&self) -> Value {
        let part =
            |p: &Part| json!({ "name": p.name, "first": p.a, "second": p.b, "difference": p.change() });
        let parts = |all: &[Part]| all.iter().map(part).collect::<Vec<_>>();
        let units = self.units.iter().map(|(unit, all)| (unit.clone(), Value::from(parts(all))));
        json!({
            "phase": self.phase,
            "seconds_per_token": part(&self.seconds),
            "operators_seconds_per_token": parts(&self.operators),
            "units_seconds_per_token": units.collect::<serde_json::Map<_, _>>(),
            "largest_operator_causes_seconds_per_token": parts(&self.causes),
            "joules_per_token": part(&self.joules),
            "components_joules_per_token": parts(&self.components),
            "dram_bytes_per_token": parts(&self.classes),
            "left_over": self.left_over(),
        })
    }
}

impl Difference {
    /// In words and tables.
    pub fn text(&self) -> String {
        let mut out = String::from("What changed\n");
        if self.changes.is_empty() {
            out.push_str("  nothing: the same chip, model and work\n");
        } else {
            let mut table =
                Table::new(&[("key", Align::Left), ("first", Align::Left), ("second", Align::Left)]);
            for c in &self.changes {
                let side = |x: &Option<String>| x.clone().unwrap_or_else(|| "-".to_owned());
                table.row([c.path.clone(), side(&c.a), side(&c.b)]);
            }
            out.push_str(&table.render());
        }
        for only in &self.only {
            out.push_str(&format!("  {only}\n"));
        }
        for phase in &self.phases {
            out.push_str(&phase.text());
        }
        out
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let changes = self.changes.iter().map(|c| json!({ "key": c.path, "first": c.a, "second": c.b }));
        json!({
            "changes": changes.collect::<Vec<_>>(),
            "only": self.only,
            "phases": self.phases.iter().map(PhaseDiff::json).collect::<Vec<_>>(),
        })
    }
}
