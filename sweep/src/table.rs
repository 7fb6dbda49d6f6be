//! Plan and results to one table: a row per point, in the plan's order whatever order they were run in.

use std::collections::HashMap;

use crate::file::{Constraint, Goal, Metric, SweepFile};
use crate::front::front;
use crate::journal::{Results, Status};
use crate::plan::Plan;
use crate::value::Value;

/// Columns before those of the plan.
pub const LEADING: [&str; 5] = ["point", "id", "status", "meets_constraints", "pareto"];

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// Rows of as many values.
    pub rows: Vec<Vec<Value>>,
}

/// A table and what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// The table.
    pub table: Table,
    /// Where the columns of parameters are.
    pub parameters: Vec<usize>,
    /// Metrics and their columns.
    pub metrics: Vec<(Metric, usize)>,
    /// Points by status; the last ones have no result.
    pub counts: Counts,
}

/// Points by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Run.
    pub done: usize,
    /// Cannot be run.
    pub infeasible: usize,
    /// Went wrong.
    pub failed: usize,
    /// Not run yet.
    pub missing: usize,
}

impl Counts {
    /// All of them.
    pub fn all(&self) -> usize {
        self.done + self.infeasible + self.failed + self.missing
    }
    fn add(&mut self, status: Option<Status>) {
        *match status {
            Some(Status::Done) => &mut self.done,
            Some(Status::Infeasible) => &mut self.infeasible,
            Some(Status::Failed) => &mut self.failed,
            None => &mut self.missing,
        } += 1;
    }
}

/// Points of a plan by status.
pub fn count(plan: &Plan, results: &Results) -> Counts {
    let mut counts = Counts::default();
    for point in &plan.points {
        counts.add(match point.refused {
            Some(_) => Some(Status::Infeasible),
            None => results.entries.get(&point.id).map(|e| e.status),
        });
    }
    counts
}

/// Formulas evaluated row by row.
pub struct Formulas<'a> {
    places: HashMap<&'a str, usize>,
    metrics: Vec<&'a Metric>,
    constraints: &'a [Constraint],
}

impl<'a> Formulas<'a> {
    /// Of a file, over the columns of a plan: rows are what is given and then what was measured.
    pub fn of(plan: &'a Plan, file: &'a SweepFile) -> Self {
        let mut places = HashMap::new();
        let given = plan.header.given.len();
        for (i, (path, column)) in plan.header.given.iter().enumerate() {
            places.entry(path.as_str()).or_insert(i);
            places.entry(column.as_str()).or_insert(i);
        }
        for (i, column) in plan.header.measured.iter().enumerate() {
            places.entry(column.as_str()).or_insert(given + i);
        }
        let metrics = file.metrics.iter().filter(|m| m.formula.is_some()).collect();
        Self { places, metrics, constraints: &file.constraints }
    }
    /// Where a column is in a row that is given, measured, formulas.
    pub fn place(&self, name: &str) -> Option<usize> {
        let made = || self.metrics.iter().position(|m| m.name == name).map(|i| self.places_end() + i);
        self.places.get(name).copied().or_else(made)
    }
    fn places_end(&self) -> usize {
        self.places.values().max().map_or(0, |n| n + 1)
    }
    /// Adds the formulas' values to a row.
    pub fn extend(&self, row: &mut Vec<Value>) {
        for metric in &self.metrics {
            let of = |name: &str| self.place(name).and_then(|at| row.get(at)?.number());
            let value = metric.formula.as_ref().and_then(|f| f.value(&of));
            row.push(value.map_or(Value::Null, Value::Float));
        }
    }
    /// Whether a row meets every constraint.
    pub fn meets(&self, row: &[Value]) -> bool {
        let of = |name: &str| self.place(name).and_then(|at| row.get(at)?.number());
        self.constraints.iter().all(|c| c.holds(c.formula.value(&of)))
    }
}

/// The table of a plan's results.
pub fn collect(plan: &Plan, file: &SweepFile, results: &Results) -> Collected {
    let formulas = Formulas::of(plan, file);
    let (given, measured) = (plan.header.given.len(), plan.header.measured.len());
    let mut rows = Vec::with_capacity(plan.points.len());
    for (index, point) in plan.points.iter().enumerate() {
        let entry = results.entries.get(&point.id).filter(|_| point.refused.is_none());
        let status = if point.refused.is_some() { Some(Status::Infeasible) } else { entry.map(|e| e.status) };
        let mut row = Vec::with_capacity(LEADING.len() + given + measured + formulas.metrics.len() + 1);
        let mut cells = point.given.clone();
        cells.resize(given, Value::Null);
        if let Some(entry) = entry {
            cells.extend(entry.cells.iter().cloned());
        }
        cells.resize(given + measured, Value::Null);
        let done = status == Some(Status::Done);
        match done {
            true => formulas.extend(&mut cells),
            false => cells.resize(given + measured + formulas.metrics.len(), Value::Null),
        }
        row.push(Value::Int(index as i64));
        row.push(Value::text(point.id.as_str()));
        row.push(Value::text(status.map_or("missing", Status::name)));
        row.push(if done { Value::Flag(formulas.meets(&cells)) } else { Value::Null });
        row.push(Value::Null);
        row.extend(cells);
        let reason = point.refused.as_deref().or(entry.and_then(|e| e.reason.as_deref()));
        row.push(reason.map_or(Value::Null, |why| Value::text(why.replace('\n', "; "))));
        rows.push(row);
    }
    let mut columns: Vec<String> = LEADING.map(str::to_owned).into();
    columns.extend(plan.header.given.iter().map(|(_, column)| column.clone()));
    columns.extend(plan.header.measured.iter().cloned());
    columns.extend(formulas.metrics.iter().map(|m| m.name.clone()));
    columns.push("reason".into());
    let place = |m: &Metric| formulas.place(&m.name).map(|at| (m.clone(), LEADING.len() + at));
    let metrics: Vec<(Metric, usize)> = file.metrics.iter().filter_map(place).collect();
    let mut table = Table { columns, rows };
    mark_front(&mut table, &metrics);
    let parameters = (LEADING.len()..LEADING.len() + plan.header.paths.len()).collect();
    Collected { table, parameters, metrics, counts: count(plan, results) }
}

/// Rows that count: run, within the constraints, every goal a number. With what is wanted of them, the less the better.
pub fn judged(table: &Table, metrics: &[(Metric, usize)]) -> Vec<(usize, Vec<f64>)> {
    let goals: Vec<(Goal, usize)> = metrics.iter().filter_map(|(m, at)| Some((m.goal?, *at))).collect();
    let counts = |row: &&(usize, &Vec<Value>)| row.1[3] == Value::Flag(true);
    let rows = table.rows.iter().enumerate();
    rows.filter(|r| counts(&r))
        .filter_map(|(i, row)| {
            let wanted = goals.iter().map(|&(goal, at)| {
                let x = row[at].number()?;
                Some(if goal == Goal::Maximize { -x } else { x })
            });
            Some((i, wanted.collect::<Option<Vec<f64>>>()?))
        })
        .collect()
}

fn mark_front(table: &mut Table, metrics: &[(Metric, usize)]) {
    if metrics.iter().all(|(m, _)| m.goal.is_none()) {
        return;
    }
    let judged = judged(table, metrics);
    let points: Vec<&[f64]> = judged.iter().map(|(_, wanted)| wanted.as_slice()).collect();
    let on = front(&points);
    judged.iter().for_each(|(i, _)| table.rows[*i][4] = Value::Flag(false));
    on.iter().for_each(|&n| table.rows[judged[n].0][4] = Value::Flag(true));
}

impl Table {
    /// As CSV.
    ///
    /// # Panics
    /// Never: it is written to memory.
    pub fn to_csv(&self) -> Vec<u8> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(&self.columns).expect("memory takes it");
        for row in &self.rows {
            for value in row {
                match value {
                    Value::Text(text) => out.write_field(text.as_bytes()),
                    other => out.write_field(other.to_string()),
                }
                .expect("memory takes it");
            }
            out.write_record(None::<&[u8]>).expect("memory takes it");
        }
        out.into_inner().expect("memory takes it")
    }
    /// Only the rows that `keep` says.
    pub fn only(&self, keep: impl Fn(&[Value]) -> bool) -> Table {
        let rows = self.rows.iter().filter(|row| keep(row)).cloned().collect();
        Table { columns: self.columns.clone(), rows }
    }
}
