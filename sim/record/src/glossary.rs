//! Every name of a record, a table or a report with what it means: what `lutsim explain` looks things up in.
//!
//! Nothing is written here that stands in another table: terms are the rows of the counter, class, unit, cause, energy and
//! column tables, joined by name.

use crate::columns::{Column, OPERATOR, OPERATORS_CSV, PHASE, RUN};
use crate::counters::COUNTERS;
use crate::energy::{LINES, LineRow, PURPOSES};
use crate::record::DramBytesByClass;
use crate::units::{Cause, UnitKind};

/// A name, and what it means in one place; a name may stand in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What kind of name it is: the heading that it is listed under.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The unit of its number, `-` if it has none.
    pub unit: &'static str,
    /// What it means.
    pub doc: String,
    /// What is known of it from other tables, a line each.
    pub more: Vec<String>,
}

/// All terms: counters, byte classes, units, causes, energy components and purposes, keys and columns, in that order.
pub fn terms() -> Vec<Term> {
    let mut out: Vec<Term> = COUNTERS
        .iter()
        .map(|row| Term {
            kind: "event counter",
            name: row.name.into(),
            unit: row.unit.name(),
            doc: row.doc.into(),
            more: std::iter::once(format!("counted by: {}", row.part))
                .chain(LINES.iter().filter(|l| l.event == row.name).map(line))
                .collect(),
        })
        .collect();
    out.extend(DramBytesByClass::CLASSES.iter().map(|(name, doc)| Term {
        kind: "class of DRAM bytes",
        name: (*name).into(),
        unit: "byte",
        doc: (*doc).into(),
        more: Vec::new(),
    }));
    out.extend(UnitKind::ALL.iter().map(|kind| {
        let row = kind.row();
        let causes: Vec<_> = row.causes.iter().map(|c| c.name()).collect();
        Term {
            kind: "unit",
            name: row.name.into(),
            unit: row.clock,
            doc: format!("Busy: {}", row.busy),
            more: vec![
                format!(
                    "clock: {}{}",
                    row.clock,
                    if *kind == UnitKind::Dram { "; one unit per channel, dram.0 and on" } else { "" }
                ),
                format!("stall causes, highest priority first: {}", causes.join(", ")),
            ],
        }
    }));
    out.extend(Cause::ALL.iter().map(|cause| {
        let units: Vec<_> = UnitKind::ALL
            .iter()
            .map(|k| k.row())
            .filter(|r| r.causes.contains(cause))
            .map(|r| r.name)
            .collect();
        Term {
            kind: "stall cause",
            name: cause.name().into(),
            unit: "cycle",
            doc: cause.doc().into(),
            more: vec![format!("of the units: {}", units.join(", "))],
        }
    }));
    let mut components: Vec<&str> = LINES.iter().map(|l| l.component).collect();
    components.dedup();
    out.extend(components.into_iter().map(|name| {
        let mut lines = LINES.iter().filter(|l| l.component == name).peekable();
        let boundary = lines.peek().map_or("", |l| l.boundary.name());
        Term {
            kind: "energy component",
            name: name.into(),
            unit: "J",
            doc: format!("Energy on the side `{boundary}`, the sum of its lines."),
            more: lines.map(line).collect(),
        }
    }));
    out.extend(PURPOSES.iter().map(|(name, doc)| Term {
        kind: "purpose of energy",
        name: (*name).into(),
        unit: "J",
        doc: (*doc).into(),
        more: LINES.iter().filter(|l| l.purpose == *name).map(line).collect(),
    }));
    for (kind, table) in COLUMNS {
        out.extend(table.iter().map(|c| Term {
            kind,
            name: c.name.into(),
            unit: c.unit,
            doc: c.doc.into(),
            more: Vec::new(),
        }));
    }
    out
}

/// The tables of keys and columns, with what each is of.
pub(crate) const COLUMNS: &[(&str, &[Column])] = &[
    ("key of a run", RUN),
    ("key of a phase", PHASE),
    ("key of an operator", OPERATOR),
    ("column of operators.csv", OPERATORS_CSV),
];

fn line(line: &LineRow) -> String {
    format!("energy: {} += {} x {} ({})", line.component, line.event, line.entry, line.purpose)
}

/// The terms that `name` means: a term's own name, `unit.cause`, `dram.3`, or a key with `_low` or `_high`; none if it is unknown.
pub fn find(name: &str) -> Vec<Term> {
    let name = name.to_lowercase();
    let all = terms();
    let pick = |wanted: &str, kind: Option<&str>| -> Vec<Term> {
        all.iter().filter(|t| t.name == wanted && kind.is_none_or(|k| t.kind == k)).cloned().collect()
    };
    let exact = pick(&name, None);
    if !exact.is_empty() {
        return exact;
    }
    if let Some(stem) = name.strip_suffix("_low").or_else(|| name.strip_suffix("_high")) {
        return pick(stem, None);
    }
    let Some((left, right)) = name.rsplit_once('.') else { return Vec::new() };
    let Some(unit) = UnitKind::from_name(left) else { return Vec::new() };
    let units = pick(unit.row().name, Some("unit"));
    let causes = pick(right, Some("stall cause"));
    match (unit.row().causes.iter().any(|c| c.name() == right), right.parse::<u32>()) {
        (true, _) => units.into_iter().chain(causes).collect(),
        (false, Ok(_)) if unit == UnitKind::Dram => units,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_table_and_combinations_too() {
        let kinds = |name: &str| find(name).iter().map(|t| t.kind).collect::<Vec<_>>();
        assert_eq!(kinds("lut_selects"), ["event counter"]);
        assert_eq!(kinds("drain"), ["unit", "stall cause", "energy component"]);
        assert_eq!(kinds("lut.wait_load"), ["unit", "stall cause"]);
        assert_eq!(kinds("dram.3"), ["unit"]);
        assert_eq!(kinds("dram.3.refresh"), ["unit", "stall cause"]);
        assert_eq!(kinds("energy_j_low"), ["key of a phase"]);
        assert_eq!(kinds("Weights"), ["class of DRAM bytes"]);
        for unknown in ["lut.refresh", "lut.3", "nonsense", "", "."] {
            assert_eq!(kinds(unknown), [""; 0], "{unknown}");
        }
    }

    #[test]
    fn every_term_says_something_and_stands_once_in_its_table() {
        let all = terms();
        for (i, term) in all.iter().enumerate() {
            assert!(!term.doc.is_empty() && term.doc.ends_with('.'), "{term:?}");
            let same = |t: &Term| t.kind == term.kind && t.name == term.name;
            assert!(!all[..i].iter().any(same), "{term:?} twice");
        }
    }
}
