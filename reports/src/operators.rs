//! Operators: summed over layers for tables, one row each for `operators.csv`.

use lutsim_record::columns::OPERATORS_CSV;
use lutsim_record::{OperatorRecord, Record};

use crate::quantity::share;

/// One operator of a phase, summed over its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorSum {
    /// The operator.
    pub name: String,
    /// How many layers have it.
    pub layers: u64,
    /// Core cycles.
    pub cycles: u64,
    /// Its part of the phase's cycles.
    pub share: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Operations of vector lanes.
    pub vector_ops: u64,
    /// Bytes that the DRAM pins moved in its intervals.
    pub dram_bytes_transferred: u64,
    /// Bytes that it asked for.
    pub dram_bytes_owned: u64,
    /// The unit that was busiest for most of its cycles.
    pub busiest: String,
}

/// Operations per DRAM byte, two per multiply-accumulate; none without arithmetic or without traffic.
pub fn intensity(macs: u64, dram_bytes: u64) -> Option<f64> {
    (macs > 0 && dram_bytes > 0).then(|| 2.0 * macs as f64 / dram_bytes as f64)
}

/// The operators of `phase`, summed over layers, in the order in which they first run.
pub fn by_operator(record: &Record, phase: &str) -> Vec<OperatorSum> {
    let rows: Vec<&OperatorRecord> = record.operators.iter().filter(|o| o.phase == phase).collect();
    let total: u64 = rows.iter().map(|o| o.cycles).sum();
    let mut names: Vec<&str> = Vec::new();
    for row in &rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    names.into_iter().map(|name| sum(name, rows.iter().copied().filter(|o| o.name == name), total)).collect()
}

fn sum<'a>(name: &str, rows: impl Iterator<Item = &'a OperatorRecord>, total: u64) -> OperatorSum {
    let mut out = OperatorSum {
        name: name.to_owned(),
        layers: 0,
        cycles: 0,
        share: 0.0,
        macs: 0,
        vector_ops: 0,
        dram_bytes_transferred: 0,
        dram_bytes_owned: 0,
        busiest: String::new(),
    };
    let mut votes: Vec<(&str, u64)> = Vec::new();
    for row in rows {
        out.layers += 1;
        out.cycles += row.cycles;
        out.macs += row.macs;
        out.vector_ops += row.vector_ops;
        out.dram_bytes_transferred += row.dram_bytes_transferred;
        out.dram_bytes_owned += row.dram_bytes_owned;
        match votes.iter_mut().find(|(unit, _)| *unit == row.busiest) {
            Some((_, cycles)) => *cycles += row.cycles,
            None => votes.push((&row.busiest, row.cycles)),
        }
    }
    out.share = share(out.cycles as f64, total as f64);
    let most = votes.into_iter().reduce(|best, vote| if vote.1 > best.1 { vote } else { best });
    out.busiest = most.map_or_else(String::new, |(unit, _)| unit.to_owned());
    out
}

/// The text of `operators.csv`: one row per operator, phase and layer, units in the column names.
pub fn operators_csv(record: &Record) -> Result<String, csv::Error> {
    let mut out = csv::WriterBuilder::new().from_writer(Vec::new());
    out.write_record(OPERATORS_CSV.iter().map(|column| column.name))?;
    for op in &record.operators {
        let cycles: u64 = record.operators.iter().filter(|o| o.phase == op.phase).map(|o| o.cycles).sum();
        let stalls: Vec<String> = op.stalls.iter().map(|(cause, n)| format!("{cause}={n}")).collect();
        out.write_record([
            op.phase.clone(),
            op.layer.map_or_else(String::new, |layer| layer.to_string()),
            op.name.clone(),
            op.executions.to_string(),
            op.cycles.to_string(),
            format!("{:.6}", share(op.cycles as f64, cycles as f64)),
            op.macs.to_string(),
            op.vector_ops.to_string(),
            op.dram_bytes_transferred.to_string(),
            op.dram_bytes_owned.to_string(),
            intensity(op.macs, op.dram_bytes_transferred).map_or_else(String::new, |x| format!("{x:.4}")),
            op.busiest.clone(),
            stalls.join(" "),
        ])?;
    }
    let bytes = out.into_inner().map_err(|e| csv::Error::from(std::io::Error::other(e.to_string())))?;
    Ok(String::from_utf8(bytes).expect("a CSV of strings is UTF-8"))
}
