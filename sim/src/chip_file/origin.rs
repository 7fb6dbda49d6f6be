//! Where each value of a chip came from: the line of its file and what that says about it, a default, or the command line.

use super::ChipFile;
use super::document::Document;
use super::keys::{KEYS, Key, Need};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the chip file, counted from 1.
    Line {
        /// The file's name.
        file: String,
        /// The line.
        line: usize,
    },
    /// The key's default.
    Default,
    /// An override, as it was typed.
    CommandLine(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line { file, line } => write!(f, "{file}:{line}"),
            Place::Default => f.write_str("default"),
            Place::CommandLine(text) => f.write_str(text),
        }
    }
}

/// One key of a chip, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The value as it was written, `0.75` or `1.2 GHz`.
    pub value: String,
    /// Where it came from.
    pub place: Place,
    /// The source that its line gives, or `assumed` with the reason; empty if it gives none.
    pub source: String,
    /// What the key means.
    pub doc: &'static str,
}

pub(crate) type Origin = Option<(String, Place, String)>;

/// What was written for each key, and where.
fn origins(doc: &Document) -> Vec<Origin> {
    KEYS.iter().map(|key| origin(doc, *key)).collect()
}

fn origin(doc: &Document, key: Key) -> Origin {
    let Some(entry) = doc.get(key) else {
        return match key.row().need {
            Need::Default(text) => Some((text.to_owned(), Place::Default, String::new())),
            _ => None,
        };
    };
    let (file, text) = doc.source(entry.source);
    let value = text[entry.span.clone()].trim().trim_matches('"').to_owned();
    if entry.source > 0 {
        return Some((value, Place::CommandLine(text.to_owned()), String::new()));
    }
    let line = text[..entry.span.start].matches('\n').count() + 1;
    // A value of one line ends before its comment; none of our kinds has more than one line, or a `#` behind it.
    let rest = text[entry.span.end..].lines().next().unwrap_or("");
    let source = rest.split_once('#').map_or("", |(_, comment)| comment).trim().to_owned();
    Some((value, Place::Line { file: file.to_owned(), line }, source))
}

impl ChipFile {
    /// Every key that this chip has, in canonical order, with its value as written and where that came from.
    pub fn settings(&self) -> Vec<Setting> {
        let keys = KEYS.iter().zip(&self.values).zip(origins(&self.document));
        keys.filter_map(|((key, value), origin)| {
            value.as_ref()?;
            let (value, place, source) = origin?;
            Some(Setting { key: key.path(), value, place, source, doc: key.row().doc })
        })
        .collect()
    }
}
