//! What the keys of a `tokenizer.json` do with spaces, where its tokens have U+2581 for them (SentencePiece).

use serde_json::Value;

use super::spm::SPACE;
use crate::error::FormatError;
use crate::gguf::Gguf;

/// The key of our own that says [`Prefix`], where `tokenizer.ggml.add_space_prefix` cannot.
pub(super) const KEY: &str = "tokenizer.lutsim.space_prefix";

/// Whether a space is put before a text that begins, or that follows a special token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// No.
    Never,
    /// Yes.
    Always,
    /// Unless it begins with one.
    Missing,
    /// So, and not behind a special token.
    First,
}

const NAMES: [(&str, Prefix); 4] = [
    ("never", Prefix::Never),
    ("always", Prefix::Always),
    ("missing", Prefix::Missing),
    ("first", Prefix::First),
];

impl Prefix {
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize].0
    }
    /// Of a file's keys.
    pub(super) fn of(file: &Gguf<'_>) -> Result<Prefix, FormatError> {
        let Some(name) = file.optional_str(KEY)? else {
            let add = file.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
            return Ok(if add { Prefix::Always } else { Prefix::Never });
        };
        let row = NAMES.iter().find(|(known, _)| *known == name);
        row.map(|(_, prefix)| *prefix).ok_or_else(|| {
            FormatError::key(KEY, format!("`{name}`"), "`never`, `always`, `missing` or `first`")
        })
    }
    /// Whether a space comes before `text`, in which spaces are U+2581 already; `first` if nothing is before it.
    pub(super) fn before(self, text: &str, first: bool) -> bool {
        match self {
            Prefix::Never => false,
            Prefix::Always => true,
            Prefix::Missing => !text.starts_with(SPACE),
            Prefix::First => first && !text.starts_with(SPACE),
        }
    }
}

/// What `normalizer` and `pre_tokenizer` say: Llama 2's `Prepend` and `Replace`, Gemma's `Replace` alone, or `Metaspace`.
pub(super) fn prefix(normalizer: Option<&Value>, pre: Option<&Value>) -> Result<Prefix, FormatError> {
    let steps = steps(normalizer, "normalizers");
    let is = |step: &Value, kind: &str| step["type"] == kind;
    let replaces =
        |step: &Value| is(step, "Replace") && step["pattern"]["String"] == " " && step["content"] == SPACE;
    let replaced = match steps[..] {
        [] => None,
        [prepend, replace] if is(prepend, "Prepend") && prepend["prepend"] == SPACE && replaces(replace) => {
            Some(Prefix::Always)
        }
        [replace] if replaces(replace) => Some(Prefix::Never),
        _ => {
            let expected = "none, or spaces that become U+2581";
            return Err(FormatError::key("normalizer", names(&steps), expected));
        }
    };
    let steps = self::steps(pre, "pretokenizers");
    let wrong = |found: String| {
        let expected = "none, or Metaspace of U+2581 that does not split, where nothing else replaces spaces";
        Err(FormatError::key("pre_tokenizer", found, expected))
    };
    match (steps[..].first(), steps.len(), replaced) {
        (None, 0, Some(prefix)) => Ok(prefix),
        // There are no spaces left to split at.
        (Some(split), 1, Some(prefix)) if is(split, "Split") && split["pattern"]["String"] == " " => {
            Ok(prefix)
        }
        (Some(space), 1, None)
            if is(space, "Metaspace") && space["replacement"] == SPACE && space["split"] == false =>
        {
            match space["prepend_scheme"].as_str().unwrap_or("always") {
                "always" => Ok(Prefix::Missing),
                "first" => Ok(Prefix::First),
                "never" => Ok(Prefix::Never),
                other => wrong(format!("`prepend_scheme` is `{}`", other.escape_debug())),
            }
        }
        _ => wrong(names(&steps)),
    }
}

/// The steps of a sequence, or the one that it is; null is none.
pub(super) fn steps<'v>(value: Option<&'v Value>, of: &str) -> Vec<&'v Value> {
    match value.and_then(|value| value.get(of)).and_then(Value::as_array) {
        Some(steps) => steps.iter().collect(),
        None => value.into_iter().filter(|value| !value.is_null()).collect(),
    }
}

/// What steps are, for messages.
pub(super) fn names(steps: &[&Value]) -> String {
    match steps {
        [] => "not there".into(),
        steps => steps.iter().map(|step| step["type"].to_string()).collect::<Vec<_>>().join(", "),
    }
}
