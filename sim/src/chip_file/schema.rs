//! What a chip file may say, for people as a table and for editors as JSON Schema; both from the key table.

use serde_json::{Map, Value as Json, json};

use super::keys::{KEYS, Kind, Need};
use super::quantity::{Dimension, FREQUENCY, RATE, SIZE, TIME};

/// A row of the table: a key and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRow {
    /// The key.
    pub key: &'static str,
    /// The type of its value.
    pub kind: &'static str,
    /// Units that it may be written in, `-` if it has none.
    pub units: String,
    /// What is allowed: a range, or the words.
    pub allowed: String,
    /// When it must be there, or its default.
    pub needed: String,
    /// What it means.
    pub doc: &'static str,
}

/// The table, in canonical order.
pub fn schema_rows() -> Vec<SchemaRow> {
    KEYS.iter()
        .map(|key| {
            let row = key.row();
            let range = |from: u64, to: u64| format!("{from} to {to}");
            let words = |set: &[&str]| set.join(", ");
            let (kind, units, allowed) = match row.kind {
                Kind::Text => ("text", "-".into(), "not empty".into()),
                Kind::Count(from, to) => ("whole number", "-".into(), range(from, to)),
                Kind::Power(from, to) => ("power of two", "-".into(), range(from, to)),
                Kind::Bytes(from, to) => ("size", SIZE.list(), range(from, to) + " bytes"),
                Kind::Frequency => ("frequency", FREQUENCY.list(), "a whole number of Hz".into()),
                Kind::Time => ("time", TIME.list(), "a whole number of ns".into()),
                Kind::Rate(least) => ("rate", RATE.list(), format!("at least {least} B/s")),
                Kind::Share => ("share", "-".into(), "0 to 1, in thousandths".into()),
                Kind::Flag => ("flag", "-".into(), "true, false".into()),
                Kind::Choice(set) => ("word", "-".into(), words(set)),
                Kind::OneOf(set) => {
                    ("number", "-".into(), set.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))
                }
                Kind::Group => ("group", "-".into(), "row, or a power of two from 16 to 1024".into()),
            };
            SchemaRow { key: row.path, kind, units, allowed, needed: needed(row.need), doc: row.doc }
        })
        .collect()
}

fn needed(need: Need) -> String {
    match need {
        Need::Always => "yes".into(),
        Need::Default(text) => format!("default {text}"),
        Need::Tables => "with a lut.kind that has tables".into(),
        Need::Dequantised => "no; of mac-fp16 only".into(),
        Need::Ingress => "with lut.build = \"ingress\"".into(),
        Need::Banked => "with dram.standard".into(),
        Need::Ideal => "with [dram.ideal]".into(),
        Need::Background => "with [background]".into(),
        Need::Optional => "no".into(),
    }
}

/// Text that is a number and one of the dimension's units.
fn quantity(dimension: &Dimension) -> Json {
    let units: Vec<&str> = dimension.units.iter().map(|u| u.0).collect();
    json!({ "type": "string", "pattern": format!("^[0-9][0-9_]*(\\.[0-9_]+)? ?({})$", units.join("|")) })
}

fn powers(from: u64, to: u64) -> Vec<u64> {
    (0..64).map(|i| 1_u64 << i).filter(|n| (from..=to).contains(n)).collect()
}

fn value(kind: Kind) -> Json {
    match kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Count(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Kind::Power(from, to) => json!({ "type": "integer", "enum": powers(from, to) }),
        Kind::Bytes(from, to) => {
            json!({ "anyOf": [quantity(&SIZE), { "type": "integer", "minimum": from, "maximum": to }] })
        }
        Kind::Frequency => quantity(&FREQUENCY),
        Kind::Time => quantity(&TIME),
        Kind::Rate(_) => quantity(&RATE),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(set) => json!({ "type": "string", "enum": set }),
        Kind::OneOf(set) => json!({ "type": "integer", "enum": set }),
        Kind::Group => {
            json!({ "anyOf": [{ "const": "row" }, { "type": "integer", "enum": powers(16, 1024) }] })
        }
    }
}

/// The JSON Schema (draft 2020-12) of a chip file: keys, types, ranges and words. Rules between keys are the reader's.
pub fn json_schema() -> Json {
    let mut root = table();
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), "lutsim chip file".into());
    for key in KEYS {
        let row = key.row();
        let mut at = &mut root;
        let mut parts: Vec<&str> = row.path.split('.').collect();
        let leaf = parts.pop().unwrap_or_default();
        let always = row.need == Need::Always;
        for part in parts {
            if always {
                require(at, part);
            }
            let properties = at["properties"].as_object_mut().expect("made by `table`");
            let inner = properties.entry(part).or_insert_with(|| Json::Object(table()));
            at = inner.as_object_mut().expect("no key is both a table and a value");
        }
        if always {
            require(at, leaf);
        }
        let mut schema = value(row.kind);
        schema["description"] = row.doc.into();
        if let Need::Default(text) = row.need {
            schema["default"] = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        }
        at["properties"][leaf] = schema;
    }
    Json::Object(root)
}

fn table() -> Map<String, Json> {
    let empty = json!({ "type": "object", "additionalProperties": false, "properties": {}, "required": [] });
    empty.as_object().cloned().unwrap_or_default()
}

fn require(table: &mut Map<String, Json>, name: &str) {
    let required = table["required"].as_array_mut().expect("made by `table`");
    if !required.iter().any(|r| r == name) {
        required.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a JSON value is what a schema of ours allows: the few words that we use.
    fn allowed(schema: &Json, value: &Json) -> bool {
        if let Some(any) = schema["anyOf"].as_array() {
            return any.iter().any(|s| allowed(s, value));
        }
        let within = |n: f64| {
            schema["minimum"].as_f64().is_none_or(|least| n >= least)
                && schema["maximum"].as_f64().is_none_or(|most| n <= most)
        };
        let typed = match schema["type"].as_str() {
            Some("object") => {
                let (Some(has), Some(may)) = (value.as_object(), schema["properties"].as_object()) else {
                    return false;
                };
                let required = schema["required"].as_array().expect("of a table");
                return has.iter().all(|(k, v)| may.get(k).is_some_and(|s| allowed(s, v)))
                    && required.iter().all(|k| has.contains_key(k.as_str().unwrap_or_default()));
            }
            Some("string") => value.is_string(),
            Some("integer") => value.as_u64().is_some_and(|n| within(n as f64)),
            Some("number") => value.as_f64().is_some_and(within),
            Some("boolean") => value.is_boolean(),
            _ => value == &schema["const"],
        };
        typed && schema["enum"].as_array().is_none_or(|set| set.contains(value))
    }

    #[test]
    fn the_chips_that_come_with_lutsim_are_what_the_schema_says() {
        let schema = json_schema();
        for (name, text) in super::super::BUILTIN {
            let table: toml::Table = text.parse().unwrap();
            let mut chip = serde_json::to_value(table).unwrap();
            assert!(allowed(&schema, &chip), "{name}");
            chip["lut"]["cores"] = 0.into();
            assert!(!allowed(&schema, &chip), "{name} without cores");
            chip["lut"]["cores"] = 4.into();
            chip["lut"]["coers"] = 4.into();
            assert!(!allowed(&schema, &chip), "{name} with another key");
        }
    }

    #[test]
    fn the_table_has_every_key_with_units_where_there_are_some() {
        let rows = schema_rows();
        assert_eq!(rows.len(), KEYS.len());
        let row = |key: &str| rows.iter().find(|r| r.key == key).unwrap();
        assert_eq!(row("clock").units, "Hz, kHz, MHz, GHz");
        assert_eq!(row("lut.accumulator_bits").allowed, "20, 24, 32");
        assert_eq!(row("workload.batch").needed, "default 1");
    }
}
