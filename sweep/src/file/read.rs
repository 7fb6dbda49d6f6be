//! Values of a sweep file, each read as what it must be.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{FileError, Span};
use crate::near::near_miss;
use crate::value::Value;

/// A table with its readers.
pub(super) struct Table<'a>(pub(super) &'a DeTable<'a>);

pub(super) type Item<'a> = Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Item<'a>> {
        self.0.get(key)
    }
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        match self.get(key).map(|v| (v, v.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::String(s))) => Ok(Some(s.to_string())),
            Some((v, _)) => Err(wrong_type(key, "text in quotes", v)),
        }
    }
    pub(super) fn word(&self, key: &str, known: &[&str]) -> Result<Option<String>, FileError> {
        match self.text(key)? {
            Some(word) if !known.contains(&word.as_str()) => {
                let span = self.get(key).map_or(0..0, Spanned::span);
                Err(FileError::at(
                    &span,
                    format!("`{key}` cannot be `{word}`"),
                    format!("there are {}", quoted(known)),
                ))
            }
            word => Ok(word),
        }
    }
    pub(super) fn flag(&self, key: &str) -> Result<bool, FileError> {
        match self.get(key).map(|v| (v, v.get_ref())) {
            None => Ok(false),
            Some((_, DeValue::Boolean(b))) => Ok(*b),
            Some((v, _)) => Err(wrong_type(key, "`true` or `false`", v)),
        }
    }
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match scalar(value)?.number().filter(|_| !matches!(value.get_ref(), DeValue::Boolean(_))) {
            Some(x) => Ok(Some(x)),
            None => Err(wrong_type(key, "a number", value)),
        }
    }
    pub(super) fn whole(&self, key: &str, least: usize) -> Result<Option<usize>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match scalar(value)? {
            Value::Int(n) => match usize::try_from(n) {
                Ok(n) if n >= least => Ok(Some(n)),
                _ => {
                    Err(FileError::at(&value.span(), format!("`{key}` is {n}"), format!("at least {least}")))
                }
            },
            _ => Err(wrong_type(key, "a whole number", value)),
        }
    }
    /// Refuses keys that are not `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), FileError> {
        for (key, _) in self.0 {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let help = match near_miss(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("keys here are {}", quoted(known)),
                };
                return Err(FileError::at(&key.span(), format!("unknown key `{name}`"), help));
            }
        }
        Ok(())
    }
}

pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn wrong_type(key: &str, wanted: &str, value: &Item<'_>) -> FileError {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a flag",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    FileError {
        message: format!("`{key}` must be {wanted}, found {found}"),
        span: Some(value.span()),
        help: None,
    }
}

pub(super) fn scalar(value: &Item<'_>) -> Result<Value, FileError> {
    let out_of_range = || FileError::at(&value.span(), "a number out of range", "64 bits are the most");
    match value.get_ref() {
        DeValue::String(s) => Ok(Value::text(s.as_ref())),
        DeValue::Boolean(b) => Ok(Value::Flag(*b)),
        DeValue::Integer(i) => {
            let text = i.as_str().replace('_', "");
            i64::from_str_radix(&text, i.radix()).map(Value::Int).map_err(|_| out_of_range())
        }
        DeValue::Float(f) => match f.as_str().replace('_', "").parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(out_of_range()),
        },
        _ => Err(wrong_type("value", "a number, a word or a flag", value)),
    }
}

pub(super) fn words(value: &Item<'_>, key: &str) -> Result<Vec<(String, Span)>, FileError> {
    let one = |item: &Item<'_>| match item.get_ref() {
        DeValue::String(s) => Ok((s.to_string(), item.span())),
        _ => Err(wrong_type(key, "words in quotes", item)),
    };
    match value.get_ref() {
        DeValue::Array(items) if items.is_empty() => {
            Err(FileError::at(&value.span(), format!("`{key}` is empty"), "leave it out, or name one"))
        }
        DeValue::Array(items) => items.iter().map(one).collect(),
        _ => Err(wrong_type(key, "an array of words", value)),
    }
}

/// Leaves of a table by their dotted path.
pub(super) fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    leaf: &mut dyn FnMut(String, Span, &Item<'_>) -> Result<(), FileError>,
) -> Result<(), FileError> {
    for (key, value) in table {
        let path =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&path, inner, leaf)?,
            _ => leaf(path, key.span(), value)?,
        }
    }
    Ok(())
}
