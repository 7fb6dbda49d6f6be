//! Parts of a sweep file: the method, parameters, metrics, constraints.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::read::{Item, Table, flatten, quoted, scalar, wrong_type};
use super::{Constraint, FileError, Goal, METHODS, Method, Metric, Span};
use crate::expression::Expression;
use crate::space::{Choice, Domain, Grain, Interval, Parameter};

pub(super) fn method(top: &Table<'_>) -> Result<Method, FileError> {
    let names = METHODS.map(|m| m.0);
    match top.word("method", &names)? {
        None => Err(FileError {
            message: "missing key `method`".into(),
            span: None,
            help: Some(format!("there are {}", quoted(&names))),
        }),
        Some(word) => Ok(METHODS.iter().find(|m| m.0 == word).map_or(Method::Grid, |m| m.1)),
    }
}

pub(super) fn choices(name: &str, value: &Item<'_>) -> Result<Vec<Choice>, FileError> {
    let DeValue::Array(items) = value.get_ref() else { return Err(wrong_type("values", "an array", value)) };
    if items.is_empty() {
        return Err(FileError::at(&value.span(), format!("`{name}` has no values"), "name at least one"));
    }
    let mut found: Vec<Choice> = Vec::new();
    for item in items.iter() {
        let mut choice = Choice::default();
        match item.get_ref() {
            DeValue::Table(table) => flatten("", table, &mut |path, _, value| {
                choice.0.push((path, scalar(value)?));
                Ok(())
            })?,
            _ => choice.0.push((name.to_owned(), scalar(item)?)),
        }
        if found.contains(&choice) {
            return Err(FileError::at(
                &item.span(),
                format!("`{name}` has this value twice"),
                "keep one of them",
            ));
        }
        found.push(choice);
    }
    Ok(found)
}

/// `[parameters."path"]`, or `[parameters.table]` with more tables in it.
pub(super) fn parameters(table: &DeTable<'_>, found: &mut Vec<Parameter>) -> Result<(), FileError> {
    inner_parameters("", table, found)
}

pub(super) fn inner_parameters(
    prefix: &str,
    table: &DeTable<'_>,
    found: &mut Vec<Parameter>,
) -> Result<(), FileError> {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let span = key.span();
        let DeValue::Table(inner) = value.get_ref() else {
            return Err(wrong_type(&name, "a table with `values`, or with `min` and `max`", value));
        };
        let tables = inner.iter().filter(|(_, v)| matches!(v.get_ref(), DeValue::Table(_))).count();
        if tables > 0 && tables == inner.len() {
            inner_parameters(&name, inner, found)?;
            continue;
        }
        let domain = domain(&name, &span, &Table(inner))?;
        found.push(Parameter { name, domain, span });
    }
    Ok(())
}

pub(super) fn domain(name: &str, span: &Span, table: &Table<'_>) -> Result<Domain, FileError> {
    table.only(&["values", "min", "max", "log", "multiple", "unit", "points"])?;
    if let Some(values) = table.get("values") {
        table.only(&["values"])?;
        return Ok(Domain::Choices(choices(name, values)?));
    }
    let (Some(min), Some(max)) = (table.number("min")?, table.number("max")?) else {
        let message = format!("`{name}` needs `values`, or `min` and `max`");
        return Err(FileError::at(span, message, "for example `values = [1, 2, 4]`"));
    };
    let whole = [table.get("min"), table.get("max")]
        .iter()
        .flatten()
        .all(|v| matches!(v.get_ref(), DeValue::Integer(_)));
    let multiple = table.whole("multiple", 1)?;
    let interval = Interval {
        min,
        max,
        log: table.flag("log")?,
        grain: match (multiple, whole) {
            (Some(n), _) => Grain::Multiple(n as i64),
            (None, true) => Grain::Multiple(1),
            (None, false) => Grain::None,
        },
        unit: table.text("unit")?,
        points: table.whole("points", 1)?,
    };
    interval.check().map_err(|(message, help)| FileError::at(span, format!("`{name}`: {message}"), help))?;
    Ok(Domain::Interval(interval))
}

pub(super) fn formula(table: &Table<'_>, key: &str) -> Result<Option<Expression>, FileError> {
    let Some(text) = table.text(key)? else { return Ok(None) };
    let span = table.get(key).map_or(0..0, Spanned::span);
    Expression::parse(&text).map(Some).map_err(|why| {
        FileError::at(
            &span,
            format!("`{text}` is no formula: {why}"),
            "names, numbers, + - * / ( ), min(a, b), max(a, b)",
        )
    })
}

pub(super) fn metric(item: &Item<'_>) -> Result<Metric, FileError> {
    let DeValue::Table(table) = item.get_ref() else { return Err(wrong_type("metric", "a table", item)) };
    let table = Table(table);
    table.only(&["name", "goal", "formula"])?;
    let Some(name) = table.text("name")? else {
        let help = "for example `name = \"decode.tokens_per_second\"`";
        return Err(FileError::at(&item.span(), "the metric has no `name`", help));
    };
    let goal = table.word("goal", &["minimize", "maximize"])?.map(|word| match word.as_str() {
        "minimize" => Goal::Minimize,
        _ => Goal::Maximize,
    });
    let span = table.get("name").map_or(item.span(), Spanned::span);
    Ok(Metric { name, formula: formula(&table, "formula")?, goal, span })
}

pub(super) fn constraint(item: &Item<'_>) -> Result<Constraint, FileError> {
    let DeValue::Table(table) = item.get_ref() else { return Err(wrong_type("constraint", "a table", item)) };
    let table = Table(table);
    table.only(&["name", "min", "max"])?;
    let Some(formula) = formula(&table, "name")? else {
        let help = "for example `name = \"area_mm2\"` with `max = 10`; a formula works too";
        return Err(FileError::at(&item.span(), "the constraint has no `name`", help));
    };
    let (min, max) = (table.number("min")?, table.number("max")?);
    if min.is_none() && max.is_none() {
        return Err(FileError::at(&item.span(), "the constraint bounds nothing", "add `min`, `max` or both"));
    }
    let span = table.get("name").map_or(item.span(), Spanned::span);
    let name = table.text("name")?.unwrap_or_default();
    Ok(Constraint { name, formula, min, max, span })
}
