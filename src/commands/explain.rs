//! `lutsim explain`: what a counter, a stall cause, a unit, a key or a column means.

use clap::Args;
use lutsim_record::glossary::{self, Term};
use lutsim_reports::table::{Align, Table};
use lutsim_sim::chip_file::near_miss;

use crate::failure::{Failure, UserError};
use crate::output;

/// Explain a counter, stall cause, unit, key or column; without a name, list them all.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to explain, for instance `lut_selects`, `lut.wait_load`, `dram_bytes_owned`
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print the terms as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let terms = match self.names.is_empty() {
            true => glossary::terms(),
            false => {
                let found: Result<Vec<_>, _> = self.names.iter().map(|name| find(name)).collect();
                found?.concat()
            }
        };
        let text = match (self.json, self.names.is_empty()) {
            (true, _) => json(&terms),
            (false, true) => list(&terms),
            (false, false) => terms.iter().map(entry).collect::<Vec<_>>().join("\n"),
        };
        output::print(&text)
    }
}

fn find(name: &str) -> Result<Vec<Term>, UserError> {
    let found = glossary::find(name);
    if !found.is_empty() {
        return Ok(found);
    }
    let all = glossary::terms();
    let near = near_miss(name, all.iter().map(|t| t.name.as_str()));
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let contain: Vec<&str> =
        all.iter().map(|t| t.name.as_str()).filter(|t| name.len() > 2 && t.contains(name)).collect();
    let contain = match contain.len() {
        1..=8 => format!("with it in their name: {}; ", contain.join(", ")),
        _ => String::new(),
    };
    Err(UserError::Unknown {
        what: "name".into(),
        name: name.into(),
        help: format!("{near}{contain}`lutsim explain` lists all"),
    })
}

/// A term in full.
fn entry(term: &Term) -> String {
    let unit = if term.unit == "-" { String::new() } else { format!(", in {}", plural(term.unit)) };
    let mut out = format!("{} ({}{unit})\n  {}\n", term.name, term.kind, term.doc);
    for line in &term.more {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

fn plural(unit: &str) -> String {
    match unit {
        "count" => "numbers".into(),
        "byte" | "cycle" | "core cycle" | "DRAM clock" => format!("{unit}s"),
        "core" | "dram" => format!("cycles of the {unit} clock"),
        "1" => "parts of one".into(),
        other => other.into(),
    }
}

/// All terms under their headings.
fn list(terms: &[Term]) -> String {
    let mut out = String::new();
    for of_kind in terms.chunk_by(|a, b| a.kind == b.kind) {
        let mut table =
            Table::new(&[(of_kind[0].kind, Align::Left), ("unit", Align::Left), ("", Align::Left)]);
        for term in of_kind {
            table.row([term.name.clone(), term.unit.to_owned(), term.doc.clone()]);
        }
        out.push_str(&table.render());
        out.push('\n');
    }
    out.truncate(out.trim_end().len() + 1);
    out
}

fn json(terms: &[Term]) -> String {
    let terms: Vec<_> = terms
        .iter()
        .map(|t| serde_json::json!({ "kind": t.kind, "name": t.name, "unit": t.unit, "doc": t.doc, "more": t.more }))
        .collect();
    serde_json::to_string_pretty(&terms).expect("string keys only") + "\n"
}
