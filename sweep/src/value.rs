//! A cell of a table, and a value of a parameter: a number, a word, a flag, or nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number, a word, a flag, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A word.
    Text(Box<str>),
}

impl Value {
    /// A word.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Value::Text(text.into())
    }
    /// As a number, if it is one; a flag is 0 or 1.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            Value::Flag(b) => Some(f64::from(u8::from(*b))),
            Value::Null | Value::Text(_) => None,
        }
    }
    /// From JSON; what is neither number, word nor flag is nothing.
    pub fn of_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Bool(b) => Value::Flag(*b),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(n) => Value::Int(n),
                None => n.as_f64().map_or(Value::Null, Value::Float),
            },
            serde_json::Value::String(s) => Value::text(s.as_str()),
            _ => Value::Null,
        }
    }
}

/// As it stands in a CSV field and behind `--set path=`: floats in their shortest form that reads back the same.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Flag(b) => b.fmt(f),
            Value::Int(n) => n.fmt(f),
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Text(s) => s.fmt(f),
        }
    }
}
