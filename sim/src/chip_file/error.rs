//! What can be wrong with a chip file, each with a code, the place underlined, and help.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::keys::Key;

/// A chip file that was refused.
#[derive(Debug)]
pub struct ChipError {
    /// What is wrong.
    pub fault: Fault,
    source: Option<NamedSource<String>>,
    span: Option<(usize, usize)>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not TOML.
    #[error("not a TOML file: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that is in no chip file.
    #[error("unknown key `{path}`")]
    UnknownKey {
        /// The key.
        path: String,
        /// The nearest that there is.
        near: Option<String>,
        /// The keys of its table.
        known: Vec<String>,
    },
    /// A key that must be there and is not.
    #[error("missing key `{path}`")]
    MissingKey {
        /// The key.
        path: String,
        /// An example of a value.
        example: String,
        /// What it means.
        doc: String,
    },
    /// A value of another type.
    #[error("`{path}` must be {expected}, found {found}")]
    Type {
        /// The key.
        path: String,
        /// What it takes.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A missing or wrong unit.
    #[error("`{path}` is {dimension}, {problem}")]
    Unit {
        /// The key.
        path: String,
        /// What it measures.
        dimension: String,
        /// What is wrong with the unit.
        problem: String,
        /// The units that there are.
        units: String,
    },
    /// A number outside what makes sense.
    #[error("`{path}` must be {rule}, found {found}")]
    Range {
        /// The key.
        path: String,
        /// What it must be.
        rule: String,
        /// What is there.
        found: String,
        /// What to do.
        help: Option<String>,
    },
    /// Two keys that do not go together.
    #[error("{message}")]
    Rule {
        /// What does not go together.
        message: String,
        /// What to do.
        help: String,
    },
    /// A name of something that does not exist.
    #[error("unknown {what} `{name}`")]
    UnknownName {
        /// What it should name.
        what: String,
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An override that is no `path=value`.
    #[error("`{text}` is not `--set path=value`")]
    Set {
        /// What was given.
        text: String,
    },
}

impl ChipError {
    pub(crate) fn new(fault: Fault) -> Box<Self> {
        Box::new(Self { fault, source: None, span: None })
    }
    pub(crate) fn at(
        fault: Fault,
        name: &str,
        text: &str,
        span: Option<std::ops::Range<usize>>,
    ) -> Box<Self> {
        let source = Some(NamedSource::new(name, text.to_owned()));
        Box::new(Self { fault, source, span: span.map(|s| (s.start, s.end)) })
    }
    /// An unknown chip, model or the like, with what there is.
    pub fn unknown(what: &str, name: &str, known: impl IntoIterator<Item = impl Into<String>>) -> Box<Self> {
        let known = known.into_iter().map(Into::into).collect();
        Self::new(Fault::UnknownName { what: what.into(), name: name.into(), known })
    }
    pub(crate) fn missing(key: Key) -> Fault {
        let row = key.row();
        Fault::MissingKey { path: row.path.into(), example: row.kind.example(), doc: row.doc.into() }
    }

    fn label(&self) -> &'static str {
        match &self.fault {
            Fault::Syntax { .. } => "here",
            Fault::UnknownKey { .. } => "no such key",
            Fault::MissingKey { path, .. } if !path.contains('.') => "not in this file",
            Fault::MissingKey { .. } => "not in this table",
            Fault::Type { .. } => "another type",
            Fault::Unit { .. } => "this unit",
            Fault::Range { .. } => "this value",
            Fault::Rule { .. } => "this one",
            Fault::UnknownName { .. } => "no such name",
            Fault::Set { .. } => "this one",
        }
    }
}

/// The nearest of `known` to `name`, if it is near.
pub fn near_miss<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let best =
        known.into_iter().map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k)).min()?;
    (best.0 <= name.len() / 4).then_some(best.1)
}

impl fmt::Display for ChipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for ChipError {}

impl Diagnostic for ChipError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(match &self.fault {
            Fault::Syntax { .. } => "config::syntax",
            Fault::UnknownKey { .. } => "config::unknown_key",
            Fault::MissingKey { .. } => "config::missing_key",
            Fault::Type { .. } => "config::type",
            Fault::Unit { .. } => "config::unit",
            Fault::Range { .. } => "config::range",
            Fault::Rule { .. } => "config::rule",
            Fault::UnknownName { .. } => "config::unknown_name",
            Fault::Set { .. } => "config::set",
        }))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = match &self.fault {
            Fault::Syntax { .. } => return None,
            Fault::UnknownKey { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Fault::UnknownKey { known, .. } => format!("keys here are {}", known.join(", ")),
            Fault::MissingKey { path, example, doc } => format!("{} For example: `{path} = {example}`", doc),
            Fault::Type { .. } => return None,
            Fault::Unit { units, .. } => format!("units are {units}"),
            Fault::Range { help, .. } => return help.as_ref().map(|h| Box::new(h) as _),
            Fault::Rule { help, .. } => help.clone(),
            Fault::UnknownName { name, known, .. } => {
                let all = format!("there are {}", known.join(", "));
                let all =
                    if self.span.is_some() { all } else { format!("no file has this path; built in, {all}") };
                match near_miss(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? ({all})"),
                    None => all,
                }
            }
            Fault::Set { .. } => "for example `--set lut.cores=8` or `--set \"clock=1.2 GHz\"`".into(),
        };
        Some(Box::new(help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().filter(|_| self.span.is_some()).map(|s| s as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (start, end) = self.span?;
        let span = LabeledSpan::new(Some(self.label().into()), start, end - start);
        Some(Box::new(std::iter::once(span)))
    }
}
