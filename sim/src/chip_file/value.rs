//! One raw value to one checked value, by the kind of its key.

use super::document::{Document, Raw};
use super::error::{ChipError, Fault, near_miss};
use super::keys::{Key, Kind, Need};
use super::quantity::{Dimension, FREQUENCY, RATE, SIZE, TIME, Wrong};

/// A checked value, in base units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Int(u64),
    Text(String),
    Flag(bool),
}

/// Reads the value of `key`, or its default.
pub(crate) fn read(doc: &Document, key: Key) -> Result<Value, Box<ChipError>> {
    let row = key.row();
    match (doc.get(key), row.need) {
        (Some(entry), _) => check(key, &entry.raw).map_err(|f| doc.fault(key, f)),
        (None, Need::Default(text)) => {
            let raw = match text.parse::<i128>() {
                Ok(n) => Raw::Int(n),
                Err(_) => text.parse().map_or_else(|_| Raw::Text(text.into()), Raw::Flag),
            };
            check(key, &raw).map_err(ChipError::new)
        }
        (None, _) => Err(doc.fault(key, ChipError::missing(key))),
    }
}

fn check(key: Key, raw: &Raw) -> Result<Value, Fault> {
    let row = key.row();
    let wrong_type =
        || Fault::Type { path: row.path.into(), expected: row.kind.expects(), found: describe(raw) };
    match (row.kind, raw) {
        (Kind::Text, Raw::Text(s)) if s.trim().is_empty() => Err(range(key, "not empty", "nothing", None)),
        (Kind::Text, Raw::Text(s)) => Ok(Value::Text(s.clone())),
        (Kind::Flag, Raw::Flag(b)) => Ok(Value::Flag(*b)),
        (Kind::Count(from, to), Raw::Int(n)) => within(key, *n, from, to).map(Value::Int),
        (Kind::Power(from, to), Raw::Int(n)) => {
            let n = within(key, *n, from, to)?;
            if !n.is_power_of_two() {
                let (below, above) = (n.next_power_of_two() / 2, n.next_power_of_two());
                let help = format!("address bits select it; the nearest are {below} and {above}");
                return Err(range(key, "a power of two", &n.to_string(), Some(help)));
            }
            Ok(Value::Int(n))
        }
        (Kind::Bytes(from, to), Raw::Int(n)) => within(key, *n, from, to).map(Value::Int),
        (Kind::Bytes(from, to), Raw::Text(s)) => {
            let n = quantity(key, &SIZE, s)?;
            within(key, i128::from(n), from, to).map(Value::Int)
        }
        (Kind::Frequency, _) => unit(key, &FREQUENCY, raw, 1, wrong_type),
        (Kind::Time, _) => unit(key, &TIME, raw, 0, wrong_type),
        (Kind::Rate(least), _) => unit(key, &RATE, raw, least, wrong_type),
        (Kind::Share, Raw::Int(n)) => share(key, &n.to_string()).map(Value::Int),
        (Kind::Share, Raw::Fraction(s)) => share(key, s).map(Value::Int),
        (Kind::Choice(set), Raw::Text(s)) => match set.contains(&s.as_str()) {
            true => Ok(Value::Text(s.clone())),
            false => {
                let help = near_miss(s, set.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                Err(range(key, &row.kind.expects(), &format!("`\"{s}\"`"), help))
            }
        },
        (Kind::OneOf(set), Raw::Int(n)) => match set.iter().find(|x| i128::from(**x) == *n) {
            Some(n) => Ok(Value::Int(*n)),
            None => Err(range(key, &row.kind.expects(), &n.to_string(), None)),
        },
        (Kind::Group, Raw::Text(s)) if s == "row" => Ok(Value::Text(s.clone())),
        (Kind::Group, Raw::Int(n)) => match u64::try_from(*n) {
            Ok(n) if n.is_power_of_two() && (16..=1024).contains(&n) => Ok(Value::Int(n)),
            _ => Err(range(key, &row.kind.expects(), &n.to_string(), None)),
        },
        _ => Err(wrong_type()),
    }
}

/// A share in thousandths, exactly.
fn share(key: Key, text: &str) -> Result<u64, Fault> {
    let wrong = |rule: &str, help: Option<String>| range(key, rule, text, help);
    if text.starts_with('-') {
        return Err(wrong("at least 0", None));
    }
    let digits = text.trim_start_matches('+').replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, "0"));
    let fraction = fraction.trim_end_matches('0');
    let is_number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err(wrong("a share from 0 to 1 such as `0.75`", None));
    }
    let above = match whole.parse::<u64>() {
        Ok(0) => false,
        Ok(1) => !fraction.is_empty(),
        _ => true,
    };
    if above {
        let percent = whole.parse::<u64>().ok().filter(|n| (2..=99).contains(n) && fraction.is_empty());
        return Err(wrong("at most 1", percent.map(|n| format!("{n} % is `0.{n:02}`"))));
    }
    if fraction.len() > 3 {
        return Err(wrong("a whole number of thousandths", None));
    }
    let thousandths = format!("{whole}{fraction:0<3}").parse();
    thousandths.map_err(|_| wrong("a share from 0 to 1 such as `0.75`", None))
}

fn range(key: Key, rule: &str, found: &str, help: Option<String>) -> Fault {
    Fault::Range { path: key.path().into(), rule: rule.into(), found: found.into(), help }
}

fn within(key: Key, n: i128, from: u64, to: u64) -> Result<u64, Fault> {
    match u64::try_from(n) {
        Ok(n) if n >= from && n <= to => Ok(n),
        _ if n < i128::from(from) => Err(range(key, &format!("at least {from}"), &n.to_string(), None)),
        _ => Err(range(key, &format!("at most {to}"), &n.to_string(), None)),
    }
}

fn unit(
    key: Key,
    dimension: &Dimension,
    raw: &Raw,
    least: u64,
    wrong_type: impl Fn() -> Fault,
) -> Result<Value, Fault> {
    match raw {
        Raw::Text(s) => match quantity(key, dimension, s)? {
            n if n < least => Err(range(key, "more than zero", &format!("`\"{s}\"`"), None)),
            n => Ok(Value::Int(n)),
        },
        Raw::Int(_) | Raw::Fraction(_) => Err(wrong_unit(key, dimension, "and this number has no unit")),
        _ => Err(wrong_type()),
    }
}

fn wrong_unit(key: Key, dimension: &Dimension, problem: &str) -> Fault {
    Fault::Unit {
        path: key.path().into(),
        dimension: dimension.name.into(),
        problem: problem.into(),
        units: format!("{}: write for example `{}`", dimension.list(), key.row().kind.example()),
    }
}

fn quantity(key: Key, dimension: &Dimension, text: &str) -> Result<u64, Fault> {
    let wrong = |problem: &str| wrong_unit(key, dimension, problem);
    dimension.parse(text).map_err(|e| match e {
        Wrong::Form => wrong("and this is not a number with a unit"),
        Wrong::Negative => {
            let rule = if key.row().kind == Kind::Rate(0) { "at least zero" } else { "more than zero" };
            range(key, rule, &format!("`\"{text}\"`"), None)
        }
        Wrong::Bare => wrong("and this number has no unit"),
        Wrong::Other(what, unit) => {
            wrong(&format!("and `{unit}` is a unit of {}", what.trim_start_matches("a ")))
        }
        Wrong::Unit(unit) => wrong(&format!("and `{unit}` is no unit of it")),
        Wrong::Inexact => wrong(&format!("and this is not a whole number of {}", base(dimension))),
    })
}

fn base(dimension: &Dimension) -> &'static str {
    dimension.units.iter().find(|u| u.1 == 1 && u.2 == 1).map_or("units", |u| u.0)
}

fn describe(raw: &Raw) -> String {
    match raw {
        Raw::Int(n) => format!("the number {n}"),
        Raw::Text(s) => format!("the text `\"{s}\"`"),
        Raw::Flag(b) => format!("`{b}`"),
        Raw::Fraction(_) => "a fraction".into(),
        Raw::Other(what) => (*what).into(),
    }
}
