//! Results asked in SQL: SQLite in memory, filled with the table.

use std::path::PathBuf;

use clap::Args;
use lutsim_reports::table::{Align, Table as Text};
use lutsim_sweep::table::Table;
use lutsim_sweep::value::Value;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};

use super::collect::gather;
use crate::failure::{Failure, UserError};
use crate::output;

/// Ask the results so far in SQL.
///
/// The table is called `results`, its columns as in results.csv: names with a point in them are written in double quotes.
/// It is a copy in memory: nothing that is asked can change what was run.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// What to ask, for instance 'select "lut.cores", max(area_mm2) from results group by 1'
    #[arg(value_name = "SQL")]
    sql: String,
    /// Folder with a plan
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

impl QueryArgs {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        let (_, collected) = gather(&self.dir)?;
        let answer = ask(&collected.table, &self.sql).map_err(|e| {
            let known: Vec<String> = collected.table.columns.iter().map(|c| format!("\"{c}\"")).collect();
            UserError::Refused {
                what: format!("the question cannot be answered: {}", words(&e)),
                help: format!("SQL of SQLite, of the table `results` with the columns {}", known.join(", ")),
            }
        })?;
        if self.csv {
            return output::print(&String::from_utf8_lossy(&answer.to_csv()));
        }
        let heads: Vec<(&str, Align)> = answer.columns.iter().map(|c| (c.as_str(), Align::Right)).collect();
        let mut text = Text::new(&heads);
        answer.rows.iter().for_each(|row| text.row(row.iter().map(Value::to_string)));
        output::print(&text.render())
    }
}

/// What SQLite says, without the text of the question.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The answer to a question about a table.
fn ask(table: &Table, sql: &str) -> rusqlite::Result<Table> {
    let mut database = Connection::open_in_memory()?;
    let columns: Vec<String> = table.columns.iter().map(|c| quoted(c)).collect();
    database.execute_batch(&format!("create table results ({})", columns.join(", ")))?;
    let filling = database.transaction()?;
    {
        let places = vec!["?"; columns.len()].join(", ");
        let mut insert = filling.prepare(&format!("insert into results values ({places})"))?;
        for row in &table.rows {
            insert.execute(params_from_iter(row.iter().map(cell)))?;
        }
    }
    filling.commit()?;
    let mut question = database.prepare(sql)?;
    let columns: Vec<String> = question.column_names().into_iter().map(str::to_owned).collect();
    let count = columns.len();
    let mut answer = Table { columns, rows: Vec::new() };
    let mut rows = question.query([])?;
    while let Some(row) = rows.next()? {
        let value = |at| row.get_ref(at).map(of_sql);
        answer.rows.push((0..count).map(value).collect::<rusqlite::Result<_>>()?);
    }
    Ok(answer)
}

fn cell(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        Value::Null => Sql::Null,
        Value::Flag(b) => Sql::Integer(i64::from(*b)),
        Value::Int(n) => Sql::Integer(*n),
        Value::Float(x) => Sql::Real(*x),
        Value::Text(s) => Sql::Text(s.to_string()),
    }
}

fn of_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(x) => Value::Float(x),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::text(String::from_utf8_lossy(bytes)),
    }
}
