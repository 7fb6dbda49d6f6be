//! Sweep files: TOML text to what is to be swept, each part with its place in the text.
//!
//! The keys are W&B's where it has them: `method`, `[parameters."path"]` with `values` or `min` and `max`, `[[metric]]` with
//! `goal`, `run_cap`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::expression::Expression;
use crate::near::near_miss;
use crate::space::{Choice, Domain, Grain, Interval, Parameter};
use crate::value::Value;

/// A place in the file's text.
pub type Span = Range<usize>;

/// What is wrong with a sweep file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// What to do.
    pub help: Option<String>,
}

impl FileError {
    /// At a place.
    pub fn at(span: &Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span.clone()), help: Some(help.into()) }
    }
}

/// How points are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every combination.
    Grid,
    /// Each by chance, of a seed.
    Random,
    /// A Halton sequence: evenly over the space.
    Halton,
    /// NSGA-II: generations that search the front.
    Nsga2,
}

impl Method {
    /// Its word.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|m| m.1 == self).map_or("", |m| m.0)
    }
}

const METHODS: [(&str, Method); 4] = [
    ("grid", Method::Grid),
    ("random", Method::Random),
    ("halton", Method::Halton),
    ("nsga2", Method::Nsga2),
];

/// What is wanted of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The less the better.
    Minimize,
    /// The more the better.
    Maximize,
}

/// A column with a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name of the column.
    pub name: String,
    /// How it follows from others; none is a column of the record.
    pub formula: Option<Expression>,
    /// What is wanted; none is shown and not judged.
    pub goal: Option<Goal>,
    /// Where it is named.
    pub span: Span,
}

/// What a point must meet to count.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// What it calls itself: a name, or the formula.
    pub name: String,
    /// What is bounded.
    pub formula: Expression,
    /// At least.
    pub min: Option<f64>,
    /// At most.
    pub max: Option<f64>,
    /// Where it stands.
    pub span: Span,
}

impl Constraint {
    /// Whether a value meets it; nothing does not.
    pub fn holds(&self, value: Option<f64>) -> bool {
        value.is_some_and(|x| self.min.is_none_or(|min| x >= min) && self.max.is_none_or(|max| x <= max))
    }
}

/// A key that is the same in every point.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Its path, as written.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// Where the path stands.
    pub span: Span,
}

/// A sweep file.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepFile {
    /// What it is for, in a line.
    pub description: Option<String>,
    /// How points are chosen.
    pub method: Method,
    /// Run the prompt.
    pub prefill: bool,
    /// Run tokens.
    pub decode: bool,
    /// Simulate every decode step.
    pub every_step: bool,
    /// `quick` or `thorough`, if it says so.
    pub search: Option<String>,
    /// Keys that are the same in every point.
    pub fixed: Vec<Fixed>,
    /// What differs, in order of appearance: the last one differs fastest in a grid.
    pub parameters: Vec<Parameter>,
    /// What is judged.
    pub metrics: Vec<Metric>,
    /// What must hold.
    pub constraints: Vec<Constraint>,
    /// More of the record's columns.
    pub columns: Vec<(String, Span)>,
    /// Points at most.
    pub run_cap: Option<usize>,
    /// Of chance.
    pub seed: u64,
    /// Points of a generation.
    pub population: usize,
}

/// Keys of the file itself; others at the top are keys of the workload and of the chip.
const OWN: [&str; 16] = [
    "method",
    "chip",
    "model",
    "phases",
    "parameters",
    "metric",
    "constraint",
    "run_cap",
    "seed",
    "set",
    "columns",
    "population",
    "every_step",
    "search",
    "description",
    "name",
];

impl SweepFile {
    /// Reads a sweep file.
    ///
    /// # Errors
    /// The first thing that is wrong with it; paths of keys and names of columns are the caller's to judge.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let root = DeTable::parse(text).map_err(|e| FileError {
            message: e.message().to_owned(),
            span: e.span(),
            help: None,
        })?;
        let top = Table(root.get_ref());
        let mut file = SweepFile {
            description: top.text("description")?,
            method: method(&top)?,
            prefill: true,
            decode: true,
            every_step: top.flag("every_step")?,
            search: top.word("search", &["quick", "thorough"])?,
            fixed: Vec::new(),
            parameters: Vec::new(),
            metrics: Vec::new(),
            constraints: Vec::new(),
            columns: Vec::new(),
            run_cap: top.whole("run_cap", 1)?,
            seed: top.whole("seed", 0)?.unwrap_or(0) as u64,
            population: top.whole("population", 4)?.unwrap_or(32),
        };
        if let Some(value) = top.get("phases") {
            let words = words(value, "phases")?;
            for (word, span) in &words {
                if !["prefill", "decode"].contains(&word.as_str()) {
                    return Err(FileError::at(
                        span,
                        format!("there is no phase `{word}`"),
                        "phases are \"prefill\" and \"decode\"",
                    ));
                }
            }
            let has = |phase: &str| words.iter().any(|w| w.0 == phase);
            (file.prefill, file.decode) = (has("prefill"), has("decode"));
        }
        if let Some(value) = top.get("columns") {
            file.columns = words(value, "columns")?;
        }
        for (key, value) in top.0 {
            let (name, span) = (key.get_ref().as_ref(), key.span());
            match (name, value.get_ref()) {
                ("chip" | "model", DeValue::Array(_)) => {
                    let choices = choices(name, value)?;
                    let domain = Domain::Choices(choices);
                    file.parameters.push(Parameter { name: name.into(), domain, span });
                }
                ("chip" | "model", _) => {
                    file.fixed.push(Fixed { path: name.into(), value: scalar(value)?, span })
                }
                ("set", DeValue::Table(table)) => flatten("", table, &mut |path, span, value| {
                    file.fixed.push(Fixed { path, value: scalar(value)?, span });
                    Ok(())
                })?,
                ("parameters", DeValue::Table(table)) => parameters(table, &mut file.parameters)?,
                ("metric", DeValue::Array(array)) => {
                    file.metrics = array.iter().map(metric).collect::<Result<_, _>>()?;
                }
                ("constraint", DeValue::Array(array)) => {
                    file.constraints = array.iter().map(constraint).collect::<Result<_, _>>()?;
                }
                ("set" | "parameters", _) => return Err(wrong_type(name, "a table", value)),
                ("metric" | "constraint", _) => {
                    return Err(wrong_type(name, "an array of tables", value));
                }
                (name, _) if OWN.contains(&name) => {}
                (name, DeValue::Table(_) | DeValue::Array(_)) => return Err(unknown(name, &span)),
                (name, _) => file.fixed.push(Fixed { path: name.into(), value: scalar(value)?, span }),
            }
        }
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), FileError> {
        if self.parameters.is_empty() {
            return Err(FileError {
                message: "nothing differs from point to point: there are no parameters".into(),
                span: None,
                help: Some("for example `[parameters.\"lut.cores\"]` with `values = [4, 8, 16]`".into()),
            });
        }
        for (i, parameter) in self.parameters.iter().enumerate() {
            let twice = |path: &str| {
                let before = self.parameters[..i].iter().any(|p| p.paths().any(|other| other == path));
                before || self.fixed.iter().any(|f| f.path == path)
            };
            if let Some(path) = parameter.paths().find(|path| twice(path)) {
                let message = format!("`{path}` is set twice");
                return Err(FileError::at(
                    &parameter.span,
                    message,
                    "name it once: as a parameter or as a fixed key",
                ));
            }
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            if self.metrics[..i].iter().any(|m| m.name == metric.name) {
                let message = format!("the metric `{}` is there twice", metric.name);
                return Err(FileError::at(&metric.span, message, "keep one of them"));
            }
        }
        self.check_constraints()?;
        let judged = self.metrics.iter().filter(|m| m.goal.is_some()).count();
        if self.method == Method::Nsga2 && judged == 0 {
            return Err(FileError {
                message: "`nsga2` has nothing to search for: no metric has a goal".into(),
                span: None,
                help: Some("add `[[metric]]` with `name` and `goal`".into()),
            });
        }
        if self.method != Method::Grid && self.run_cap.is_none() {
            return Err(FileError {
                message: format!("`{}` goes on for ever without `run_cap`", self.method.name()),
                span: None,
                help: Some("for example `run_cap = 200`: so many points".into()),
            });
        }
        Ok(())
    }

    /// Bounds on one quantity that leave nothing between them.
    fn check_constraints(&self) -> Result<(), FileError> {
        for c in &self.constraints {
            let same = || self.constraints.iter().filter(|other| other.formula == c.formula);
            let min = same().filter_map(|c| c.min).fold(f64::NEG_INFINITY, f64::max);
            let max = same().filter_map(|c| c.max).fold(f64::INFINITY, f64::min);
            if min > max {
                let message = format!(
                    "constraints contradict each other: `{}` at least {min} and at most {max}",
                    c.name
                );
                return Err(FileError::at(&c.span, message, "no point can meet both"));
            }
        }
        Ok(())
    }
}

/// A table with its readers.
struct Table<'a>(&'a DeTable<'a>);

type Item<'a> = Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    fn get(&self, key: &str) -> Option<&'a Item<'a>> {
        self.0.get(key)
    }
    fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        match self.get(key).map(|v| (v, v.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::String(s))) => Ok(Some(s.to_string())),
            Some((v, _)) => Err(wrong_type(key, "text in quotes", v)),
        }
    }
    fn word(&self, key: &str, known: &[&str]) -> Result<Option<String>, FileError> {
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
    fn flag(&self, key: &str) -> Result<bool, FileError> {
        match self.get(key).map(|v| (v, v.get_ref())) {
            None => Ok(false),
            Some((_, DeValue::Boolean(b))) => Ok(*b),
            Some((v, _)) => Err(wrong_type(key, "`true` or `false`", v)),
        }
    }
    fn number(&self, key: &str) -> Result<Option<f64>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match scalar(value)?.number().filter(|_| !matches!(value.get_ref(), DeValue::Boolean(_))) {
            Some(x) => Ok(Some(x)),
            None => Err(wrong_type(key, "a number", value)),
        }
    }
    fn whole(&self, key: &str, least: usize) -> Result<Option<usize>, FileError> {
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
    fn only(&self, known: &[&str]) -> Result<(), FileError> {
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

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

fn unknown(name: &str, span: &Span) -> FileError {
    let help = match near_miss(name, OWN) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("tables here are {}", quoted(&["set", "parameters", "metric", "constraint"])),
    };
    FileError::at(span, format!("unknown key `{name}`"), help)
}

fn wrong_type(key: &str, wanted: &str, value: &Item<'_>) -> FileError {
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

fn method(top: &Table<'_>) -> Result<Method, FileError> {
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

fn scalar(value: &Item<'_>) -> Result<Value, FileError> {
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

fn words(value: &Item<'_>, key: &str) -> Result<Vec<(String, Span)>, FileError> {
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
fn flatten(
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

fn choices(name: &str, value: &Item<'_>) -> Result<Vec<Choice>, FileError> {
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
fn parameters(table: &DeTable<'_>, found: &mut Vec<Parameter>) -> Result<(), FileError> {
    inner_parameters("", table, found)
}

fn inner_parameters(prefix: &str, table: &DeTable<'_>, found: &mut Vec<Parameter>) -> Result<(), FileError> {
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

fn domain(name: &str, span: &Span, table: &Table<'_>) -> Result<Domain, FileError> {
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

fn formula(table: &Table<'_>, key: &str) -> Result<Option<Expression>, FileError> {
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

fn metric(item: &Item<'_>) -> Result<Metric, FileError> {
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

fn constraint(item: &Item<'_>) -> Result<Constraint, FileError> {
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

#[cfg(test)]
mod tests;
