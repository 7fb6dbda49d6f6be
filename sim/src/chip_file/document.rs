//! TOML text and overrides to one value per key, each with the place it came from.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ChipError, Fault, near_miss};
use super::keys::{KEYS, Key, Kind};

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Int(i128),
    Text(String),
    Flag(bool),
    /// A number that is not whole, as it is written.
    Fraction(String),
    /// Something that no key takes, by name.
    Other(&'static str),
}

/// A value with its place: a source (0 is the file) and a span in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) raw: Raw,
    pub(crate) source: usize,
    pub(crate) span: Range<usize>,
}

/// `path=value` from the command line, and how the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    text: String,
    path: Range<usize>,
    value: Range<usize>,
    key: String,
}

impl Override {
    /// From the operand of `--set`.
    ///
    /// # Errors
    /// There is no `=` in it.
    pub fn set(operand: &str) -> Result<Self, Box<ChipError>> {
        let (path, _) = operand
            .split_once('=')
            .ok_or_else(|| ChipError::new(Fault::Set { text: format!("--set {operand}") }))?;
        let start = "--set ".len();
        let (path, end) = (start..start + path.len(), start + operand.len());
        let key = operand[..path.end - start].trim().to_owned();
        Ok(Self { text: format!("--set {operand}"), value: path.end + 1..end, path, key })
    }
    /// From a flag of its own, such as `--prompt 8` for `workload.prompt`.
    pub fn flag(flag: &str, key: &str, value: &str) -> Self {
        let start = flag.len() + 1;
        let text = format!("{flag} {value}");
        Self { path: 0..flag.len(), value: start..text.len(), text, key: key.to_owned() }
    }
}

/// Every key's value, before it is known to make sense: a file's, and overrides on top of it. A copy shares the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    file: Arc<File>,
    /// Keys that are not as in the file; the last one of a key counts.
    changed: Vec<(Key, Option<Entry>)>,
    /// Text of each override.
    given: Vec<String>,
}

/// What a file says.
#[derive(Debug, Default, PartialEq)]
struct File {
    name: String,
    text: String,
    entries: Vec<Option<Entry>>,
    /// Spans of tables, for what is missing in them.
    tables: Vec<(String, Range<usize>)>,
}

impl Document {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Box<ChipError>> {
        let mut file = File {
            name: name.to_owned(),
            text: text.to_owned(),
            entries: vec![None; KEYS.len()],
            tables: Vec::new(),
        };
        let root = DeTable::parse(text).map_err(|e| {
            ChipError::at(Fault::Syntax { message: e.message().to_owned() }, name, text, e.span())
        })?;
        file.walk("", root.get_ref())?;
        Ok(Self { file: Arc::new(file), ..Self::default() })
    }

    /// Overrides values, in order.
    pub(crate) fn override_with(&mut self, overrides: &[Override]) -> Result<(), Box<ChipError>> {
        overrides.iter().try_for_each(|o| self.apply(o))
    }

    fn apply(&mut self, o: &Override) -> Result<(), Box<ChipError>> {
        self.given.push(o.text.clone());
        let source = self.given.len();
        let key = Key::find(&o.key)
            .ok_or_else(|| ChipError::at(unknown(&o.key), COMMAND_LINE, &o.text, Some(o.path.clone())))?;
        let raw = override_value(key, o.text[o.value.clone()].trim());
        // The other variant of a closed set gives way.
        let is_ideal = |k: Key| k.path().starts_with("dram.ideal.");
        if is_ideal(key) {
            self.changed.push((Key::DramStandard, None));
        } else if key == Key::DramStandard {
            self.changed.extend(KEYS.iter().filter(|k| is_ideal(**k)).map(|k| (*k, None)));
        }
        self.changed.push((key, Some(Entry { raw, source, span: o.value.clone() })));
        Ok(())
    }

    fn error(&self, fault: Fault, source: usize, span: Option<Range<usize>>) -> Box<ChipError> {
        let (name, text) = self.source(source);
        ChipError::at(fault, name, text, span)
    }

    /// Name and text of a source.
    pub(crate) fn source(&self, number: usize) -> (&str, &str) {
        match number.checked_sub(1) {
            None => (&self.file.name, &self.file.text),
            Some(at) => (COMMAND_LINE, &self.given[at]),
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Entry> {
        match self.changed.iter().rfind(|(changed, _)| *changed == key) {
            Some((_, entry)) => entry.as_ref(),
            None => self.file.entries.get(key as usize)?.as_ref(),
        }
    }

    /// A fault in the value of `key`; in the table it should be in, if it is not there.
    pub(crate) fn fault(&self, key: Key, fault: Fault) -> Box<ChipError> {
        match self.get(key) {
            Some(entry) => self.error(fault, entry.source, Some(entry.span.clone())),
            None => {
                let mut table = key.path();
                while let Some((outer, _)) = table.rsplit_once('.') {
                    if let Some((_, span)) = self.file.tables.iter().find(|t| t.0 == outer) {
                        return self.error(fault, 0, Some(span.clone()));
                    }
                    table = outer;
                }
                self.error(fault, 0, Some(0..0))
            }
        }
    }
}

/// What overrides are called in messages.
const COMMAND_LINE: &str = "command line";

/// The value of an override: TOML, or text where the key takes text or where it is no TOML.
fn override_value(key: Key, text: &str) -> Raw {
    // Whole numbers, which are most of a sweep's, need no parser.
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if let (true, false, Ok(n)) = (plain, wants_text(key), text.parse::<i64>()) {
        return Raw::Int(n.into());
    }
    let parsed = format!("x = {text}");
    match DeTable::parse(&parsed) {
        Ok(table) if !wants_text(key) || text.starts_with('"') => {
            table.get_ref().get("x").map_or(Raw::Text(text.into()), raw)
        }
        _ => Raw::Text(text.into()),
    }
}

impl File {
    fn walk(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), Box<ChipError>> {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let inner = format!("{path}.");
            let is_table = KEYS.iter().any(|k| k.path().starts_with(&inner));
            match value.get_ref() {
                DeValue::Table(t) if is_table => {
                    self.tables.push((path.clone(), name.span()));
                    self.walk(&path, t)?;
                }
                _ => {
                    let key = Key::find(&path).ok_or_else(|| {
                        ChipError::at(unknown(&path), &self.name, &self.text, Some(name.span()))
                    })?;
                    self.entries[key as usize] =
                        Some(Entry { raw: raw(value), source: 0, span: value.span() });
                }
            }
        }
        Ok(())
    }
}

/// That there is no such key.
fn unknown(path: &str) -> Fault {
    let near = near_miss(path, KEYS.iter().map(|k| k.path())).map(str::to_owned).or_else(|| {
        let tables = KEYS.iter().filter_map(|k| k.path().rsplit_once('.')).map(|(t, _)| t);
        near_miss(path, tables).map(|t| format!("[{t}]"))
    });
    let table = path.rsplit_once('.').map_or("", |(t, _)| t);
    let in_table = |k: &&Key| k.path().rsplit_once('.').map_or("", |(t, _)| t) == table;
    let mut known: Vec<String> = KEYS.iter().filter(in_table).map(|k| format!("`{}`", k.path())).collect();
    if known.is_empty() || table.is_empty() {
        let tables = KEYS.iter().filter_map(|k| k.path().split_once('.')).map(|(t, _)| format!("`[{t}]`"));
        for t in tables {
            if !known.contains(&t) {
                known.push(t);
            }
        }
    }
    Fault::UnknownKey { path: path.into(), near, known }
}

fn wants_text(key: Key) -> bool {
    matches!(key.row().kind, Kind::Text | Kind::Choice(_))
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(s) => Raw::Text(s.to_string()),
        DeValue::Integer(i) => match i128::from_str_radix(&i.as_str().replace('_', ""), i.radix()) {
            Ok(n) => Raw::Int(n),
            Err(_) => Raw::Other("a number out of range"),
        },
        DeValue::Boolean(b) => Raw::Flag(*b),
        DeValue::Float(f) => Raw::Fraction(f.as_str().to_owned()),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(_) => Raw::Other("an array"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}
