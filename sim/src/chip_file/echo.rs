//! The canonical resolved chip for the record, and docs/config.md, both from the key table.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::ChipFile;
use super::keys::{KEYS, Kind, Need};
use super::value::Value;

impl ChipFile {
    /// Every key with its value in base units, defaults included, in the order of the key table. Two files that
    /// mean the same chip give the same bytes.
    pub fn canonical(&self) -> Json {
        // A sweep asks a hundred thousand times.
        static PATHS: LazyLock<Vec<(Vec<String>, String)>> = LazyLock::new(|| {
            let split = |path: String| {
                let mut parts: Vec<String> = path.split('.').map(str::to_owned).collect();
                let leaf = parts.pop().unwrap_or_default();
                (parts, leaf)
            };
            KEYS.iter().map(|key| split(key.canonical())).collect()
        });
        let mut root = Map::new();
        for ((parts, leaf), value) in PATHS.iter().zip(&self.values) {
            let Some(value) = value else { continue };
            let mut table = &mut root;
            for part in parts {
                if !table.contains_key(part) {
                    table.insert(part.clone(), Json::Object(Map::new()));
                }
                table = table
                    .get_mut(part)
                    .and_then(Json::as_object_mut)
                    .expect("no key is both a table and a value");
            }
            let value = match value {
                Value::Int(n) => Json::from(*n),
                Value::Text(s) => Json::from(s.as_str()),
                Value::Flag(b) => Json::from(*b),
            };
            table.insert(leaf.clone(), value);
        }
        Json::Object(root)
    }
}

/// The text of docs/config.md.
pub fn config_markdown() -> String {
    let mut out = String::from(
        "# Chip files\n\n\
         Generated from the key table in `sim/src/chip_file/keys.rs`; do not edit.\n\n\
         A chip file is TOML. Every key below is required unless it says otherwise; an unknown key is an error. A\n\
         quantity carries its unit (`clock = \"1.0 GHz\"`); SI only: 1 GB is 10^9 bytes, 1 GiB is 2^30. Any key can be\n\
         overridden on the command line: `--set lut.cores=8`. The record echoes the resolved values in base units,\n\
         under the names of the last column, and hashes them.\n\n\
         `dram` takes either `standard` or the table `[dram.ideal]`; refresh belongs to a standard.\n\
         `[background]` is there as a whole or not at all. Keys that belong to another `lut.kind` or `lut.build` are not read, so\n         that `--set lut.kind=mac-int8` needs nothing else.\n\n\
         | key | value | needed | meaning | in the record |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let row = key.row();
        let needed = match row.need {
            Need::Always => "yes".into(),
            Need::Default(text) => format!("default `{text}`"),
            Need::Tables => "with a `lut.kind` that has tables".into(),
            Need::Dequantised => "no; of `mac-fp16` only".into(),
            Need::Ingress => "with `lut.build = \"ingress\"`".into(),
            Need::Banked => "with `dram.standard`".into(),
            Need::Ideal => "with `[dram.ideal]`".into(),
            Need::Background => "with `[background]`".into(),
            Need::Optional => "no".into(),
        };
        let limits = match row.kind {
            Kind::Count(from, to) | Kind::Power(from, to) | Kind::Bytes(from, to) => {
                format!(", {from} to {to}")
            }
            _ => String::new(),
        };
        let (value, name) = (row.kind.expects(), key.canonical());
        let _ = writeln!(out, "| `{}` | {value}{limits} | {needed} | {} | `{name}` |", row.path, row.doc);
    }
    out.push_str("\n## Chips that come with lutsim\n\n");
    for (name, _) in super::BUILTIN {
        let title = super::load_builtin(name).map(|c| c.about.title).unwrap_or_default();
        let _ = writeln!(out, "- `{name}`: {title}");
    }
    out
}
