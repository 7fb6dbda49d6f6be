//! `lutsim config`: what a chip file resolves to, whether it makes sense, and what it may say.

use clap::{Args, Subcommand};
use lutsim_reports::table::{Align, Table};
use lutsim_sim::chip_file::{self, ChipFile, near_miss};

use crate::cli::ChipArgs;
use crate::failure::{Failure, UserError};
use crate::session::Session;
use crate::{output, resolve};

/// Print what a chip file resolves to (without a command: as JSON, in base units).
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Config {
    #[command(flatten)]
    chip: ChipArgs,
    #[command(subcommand)]
    what: Option<What>,
}

/// What to do with chip files.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Check that chip files make sense: keys, units, ranges, rules; that the machine can be built; that its workload fits
    Check(Check),
    /// Every key that a chip file may have: type, units, allowed values, meaning; or the JSON Schema
    Schema(Schema),
    /// Every key of a chip with its value, where that came from, and the source that is given for it
    Show(Show),
}

impl Config {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match &self.what {
            None => output::print(&pretty(&self.chip.resolve([])?.canonical())),
            Some(What::Check(c)) => c.execute(),
            Some(What::Schema(c)) => c.execute(),
            Some(What::Show(c)) => c.execute(),
        }
    }
}

fn pretty(json: &serde_json::Value) -> String {
    serde_json::to_string_pretty(json).expect("string keys only") + "\n"
}

/// Check chip files.
#[derive(Debug, Args)]
pub struct Check {
    /// Chip files, or names of built-in chips
    #[arg(value_name = "FILE|NAME", required_unless_present = "config")]
    chips: Vec<String>,
    #[command(flatten)]
    chip: ChipArgs,
}

impl Check {
    fn execute(&self) -> Result<(), Failure> {
        let names = self.chips.iter().chain(&self.chip.config);
        for name in names {
            let args = ChipArgs { config: Some(name.clone()), sets: self.chip.sets.clone() };
            let file = args.resolve([])?;
            let model = resolve::model(&file.workload.model)?;
            let session = Session::new(file, model);
            session.check()?;
            let (chip, w) = (&session.chip.chip.name, &session.chip.workload);
            let keys = session.chip.settings().len();
            output::print(&format!("{name}: {keys} keys of {chip} make sense; {} fits\n", w.model))?;
        }
        Ok(())
    }
}

/// What chip files may say.
#[derive(Debug, Args)]
pub struct Schema {
    /// Only this key, or the keys of this table
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Print the JSON Schema of a chip file, which editors check against
    #[arg(long, conflicts_with = "key")]
    json: bool,
}

impl Schema {
    fn execute(&self) -> Result<(), Failure> {
        if self.json {
            return output::print(&pretty(&chip_file::json_schema()));
        }
        let all = chip_file::schema_rows();
        let rows: Vec<_> = match &self.key {
            None => all,
            Some(key) => within(&all, key, |row| row.key)?,
        };
        if let ([row], Some(_)) = (&rows[..], &self.key) {
            let units = if row.units == "-" { String::new() } else { format!("\n  units: {}", row.units) };
            let (key, kind, allowed, needed) = (row.key, row.kind, &row.allowed, &row.needed);
            return output::print(&format!(
                "{key} ({kind})\n  {}{units}\n  allowed: {allowed}\n  needed: {needed}\n",
                row.doc
            ));
        }
        let mut table = Table::new(
            &["key", "type", "units", "allowed", "needed", "meaning"].map(|name| (name, Align::Left)),
        );
        for row in rows {
            let cells = [row.key, row.kind, &row.units, &row.allowed, &row.needed, row.doc];
            table.row(cells.map(str::to_owned));
        }
        output::print(&table.render())
    }
}

/// The rows of a key or a table, or a refusal with the near miss.
fn within<T: Clone>(rows: &[T], key: &str, name: fn(&T) -> &'static str) -> Result<Vec<T>, UserError> {
    let inner = format!("{key}.");
    let found: Vec<T> =
        rows.iter().filter(|r| name(r) == key || name(r).starts_with(&inner)).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let near = near_miss(key, rows.iter().map(name)).or_else(|| {
        near_miss(key, rows.iter().filter_map(|r| name(r).rsplit_once('.')).map(|(table, _)| table))
    });
    let help =
        near.map_or("`lutsim config schema` lists all".into(), |near| format!("did you mean `{near}`?"));
    Err(UserError::Unknown { what: "key".into(), name: key.into(), help })
}

/// A chip, key by key.
#[derive(Debug, Args)]
pub struct Show {
    /// Only this key, or the keys of this table
    #[arg(value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    chip: ChipArgs,
    /// Print the same as JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    fn execute(&self) -> Result<(), Failure> {
        let file = self.chip.resolve([])?;
        let all = file.settings();
        let settings = match &self.key {
            None => all,
            Some(key) => within(&all, key, |setting| setting.key)?,
        };
        if self.json {
            return output::print(&pretty(&settings_json(&file)));
        }
        // Sentences would make the column of values too wide for all others.
        let (sentences, values): (Vec<_>, Vec<_>) =
            settings.into_iter().partition(|s| s.key.starts_with("about."));
        let mut out: String = sentences.iter().map(|s| format!("  {}: {}\n", s.key, s.value)).collect();
        if !values.is_empty() {
            let columns = ["key", "value", "from", "source given for it"].map(|name| (name, Align::Left));
            let mut table = Table::new(&columns);
            for s in values {
                table.row([s.key.to_owned(), s.value, s.place.to_string(), s.source]);
            }
            out.push_str(&table.render());
        }
        output::print(&out)
    }
}

/// Every key of a chip with value, place and source.
pub(crate) fn settings_json(file: &ChipFile) -> serde_json::Value {
    let settings = file.settings().into_iter().map(|s| {
        serde_json::json!({
            "key": s.key, "value": s.value, "from": s.place.to_string(), "source": s.source, "meaning": s.doc,
        })
    });
    settings.collect()
}
