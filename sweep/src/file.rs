//! Sweep files: TOML text to what is to be swept, each part with its place in the text.
//!
//! The keys are W&B's where it has them: `method`, `[parameters."path"]` with `values` or `min` and `max`, `[[metric]]` with
//! `goal`, `run_cap`.

mod parts;
mod read;

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use self::parts::{choices, constraint, method, metric, parameters};
use self::read::{Table, flatten, quoted, scalar, words, wrong_type};
use crate::expression::Expression;
use crate::near::near_miss;
use crate::space::{Domain, Parameter};
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

fn unknown(name: &str, span: &Span) -> FileError {
    let help = match near_miss(name, OWN) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("tables here are {}", quoted(&["set", "parameters", "metric", "constraint"])),
    };
    FileError::at(span, format!("unknown key `{name}`"), help)
}

#[cfg(test)]
mod tests;
