//! Results put together: tables on disk, and what is best in words.

use std::collections::BTreeMap;
use std::path::Path;

use lutsim_record::Record;
use lutsim_reports::quantity::digits;
use lutsim_reports::table::{Align, Table as Text};
use lutsim_sweep::file::Goal;
use lutsim_sweep::page::{self, Page};
use lutsim_sweep::parquet::to_parquet;
use lutsim_sweep::sensitivity::{self, Effect};
use lutsim_sweep::table::{Collected, collect as put_together};
use lutsim_sweep::value::Value;

use super::Sweep;
use crate::failure::Failure;
use crate::output::{self, OutFile};
use crate::sweep::{self, Records};

/// Reports that a page holds, some 8 KB each.
const REPORTS: usize = 200;
/// Rows that are printed.
const ROWS: usize = 20;
/// Points that are listed as failed or missing.
const LISTED: usize = 10;

/// Plan and results of a folder as one table.
pub(super) fn gather(dir: &Path) -> Result<(Sweep, Collected), Failure> {
    let sweep = super::read(dir)?;
    let results = super::results(dir, &sweep.plan.key())?;
    results.damage.iter().for_each(|line| output::say(&format!("warning: {line}")));
    let collected = put_together(&sweep.plan, &sweep.setup.file, &results);
    Ok((sweep, collected))
}

/// Writes the tables and says what is best.
pub(super) fn collect(dir: &Path) -> Result<(), Failure> {
    let (sweep, collected) = gather(dir)?;
    let effects = sensitivity::effects(&collected);
    write(dir, "results.csv", &collected.table.to_csv())?;
    let parquet = to_parquet(&collected.table).unwrap_or_else(|e| panic!("results.parquet: {e}"));
    write(dir, "results.parquet", &parquet)?;
    let on_front = collected.table.only(|row| row[4] == Value::Flag(true));
    write(dir, "pareto.csv", &on_front.to_csv())?;
    write(dir, "sensitivity.csv", &sensitivity::table(&effects).to_csv())?;
    let title = sweep.setup.file.description.as_deref().unwrap_or(&sweep.plan.header.name);
    let svg = page::svg(&collected, title);
    if let Some(svg) = &svg {
        write(dir, "pareto.svg", svg.as_bytes())?;
    }
    write(dir, "index.html", html(&sweep, &collected, dir, title).as_bytes())?;
    let drawn = if svg.is_some() { " pareto.svg," } else { "" };
    output::print(&format!(
        "{}\nindex.html,{drawn} results.csv, results.parquet, pareto.csv and sensitivity.csv are in {}\n",
        said(&collected, &effects),
        dir.display()
    ))?;
    unfinished(&sweep, &collected, dir)
}

/// The page: reports of the points whose records are kept, of the front first.
fn html(sweep: &Sweep, collected: &Collected, dir: &Path, title: &str) -> String {
    let records = Records(dir.join("records"));
    let (front, others): (Vec<_>, Vec<_>) =
        collected.table.rows.iter().partition(|row| row[4] == Value::Flag(true));
    let mut reports = BTreeMap::new();
    for row in front.into_iter().chain(others) {
        let Value::Text(id) = &row[1] else { continue };
        if reports.len() >= REPORTS || reports.contains_key(&**id) {
            continue;
        }
        let record = std::fs::read_to_string(records.path(id)).ok();
        if let Some(record) = record.and_then(|text| Record::from_json(&text).ok()) {
            reports.insert(id.to_string(), lutsim_reports::summary(&record));
        }
    }
    let about = format!(
        "{}: {}. lutsim {}.",
        sweep.plan.header.name,
        sweep::words(&collected.counts),
        sweep.plan.header.version
    );
    let command = |row: usize| sweep.setup.command(&sweep.plan.points[row].set);
    page::html(collected, &Page { title, about: &about, command: &command, reports })
}

/// Says what is best so far.
pub(super) fn best_of(dir: &Path) -> Result<(), Failure> {
    let (_, collected) = gather(dir)?;
    output::print(&said(&collected, &sensitivity::effects(&collected)))
}

fn said(collected: &Collected, effects: &[Effect]) -> String {
    sweep::words(&collected.counts) + "\n" + &best(collected) + &front(collected) + &sensitivities(effects)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    OutFile::prepare(&dir.join(name))?.commit(bytes)
}

/// A value in a few digits.
fn short(value: &Value) -> String {
    match value {
        Value::Float(x) => digits(*x),
        other => other.to_string(),
    }
}

/// What a point sets: `lut.cores=8, weights=int2`.
fn settings(collected: &Collected, row: &[Value]) -> String {
    let one = |&at: &usize| format!("{}={}", collected.table.columns[at], short(&row[at]));
    collected.parameters.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The best point of each metric with a goal.
fn best(collected: &Collected) -> String {
    let mut text = String::new();
    for (metric, at) in &collected.metrics {
        let Some(goal) = metric.goal else { continue };
        let counted = collected.table.rows.iter().filter(|row| row[3] == Value::Flag(true));
        let valued = counted.filter_map(|row| Some((row, row[*at].number()?)));
        let sign = if goal == Goal::Maximize { -1.0 } else { 1.0 };
        let Some((row, _)) = valued.min_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1))) else { continue };
        let word = if goal == Goal::Maximize { "most" } else { "least" };
        text += &format!("\n{word} {}: {}  ({})", metric.name, short(&row[*at]), settings(collected, row));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The points that nothing is better than in everything.
fn front(collected: &Collected) -> String {
    let rows: Vec<_> = collected.table.rows.iter().filter(|row| row[4] == Value::Flag(true)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let metrics: Vec<usize> = collected.metrics.iter().map(|(_, at)| *at).collect();
    let columns: Vec<usize> = [vec![0], collected.parameters.clone(), metrics].concat();
    let names: Vec<&str> = columns.iter().map(|&at| collected.table.columns[at].as_str()).collect();
    let heads: Vec<(&str, Align)> = names.iter().map(|name| (*name, Align::Right)).collect();
    let mut table = Text::new(&heads);
    for row in rows.iter().take(ROWS) {
        table.row(columns.iter().map(|&at| short(&row[at])).collect::<Vec<_>>());
    }
    let of = collected.table.rows.iter().filter(|row| row[4] != Value::Null).count();
    let mut text = format!("\nPareto front: {} of {of} points\n{}", rows.len(), table.render());
    if rows.len() > ROWS {
        text += &format!("  and {} more in pareto.csv\n", rows.len() - ROWS);
    }
    text
}

/// What metrics depend on.
fn sensitivities(effects: &[Effect]) -> String {
    if effects.is_empty() {
        return String::new();
    }
    let heads = [
        ("metric", Align::Left),
        ("parameter", Align::Left),
        ("share", Align::Right),
        ("rank", Align::Right),
        ("least at", Align::Right),
        ("mean", Align::Right),
        ("most at", Align::Right),
        ("mean", Align::Right),
    ];
    let mut table = Text::new(&heads);
    for e in effects {
        table.row(vec![
            e.metric.clone(),
            e.parameter.clone(),
            format!("{:.1} %", 100.0 * e.share),
            e.correlation.map_or("-".into(), |r| format!("{r:+.2}")),
            e.least.0.clone(),
            digits(e.least.1),
            e.most.0.clone(),
            digits(e.most.1),
        ]);
    }
    format!(
        "\nWhat metrics depend on: a parameter's share of the variance, the rest is interaction\n{}",
        table.render()
    )
}

/// Lists what failed or is missing; exit code 4 if there is any.
fn unfinished(sweep: &Sweep, collected: &Collected, dir: &Path) -> Result<(), Failure> {
    let counts = collected.counts;
    if counts.failed + counts.missing == 0 {
        return Ok(());
    }
    let bad = |row: &&Vec<Value>| [Value::text("failed"), Value::text("missing")].contains(&row[2]);
    for row in collected.table.rows.iter().filter(bad).take(LISTED) {
        let Value::Int(index) = row[0] else { continue };
        let point = &sweep.plan.points[index as usize];
        let reason = row
            .last()
            .map(Value::to_string)
            .filter(|r| !r.is_empty())
            .map_or(String::new(), |r| format!(": {r}"));
        let (status, set) = (&row[2], settings(collected, row));
        output::say(&format!(
            "point {index} is {status}{reason}\n  {set}\n  {}",
            sweep.setup.command(&point.set)
        ));
    }
    let more = (counts.failed + counts.missing).saturating_sub(LISTED);
    if more > 0 {
        output::say(&format!("and {more} more, listed in results.csv"));
    }
    output::say(&format!("to run them: lutsim sweep exec {}", dir.display()));
    Err(Failure::Points)
}
