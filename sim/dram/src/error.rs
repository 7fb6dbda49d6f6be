//! What a user can get wrong: an unknown name, a malformed description, a policy that cannot be built, a bad trace line.

use std::ops::Range;

/// The user's fault, with enough context to find it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No built-in standard, policy or pattern has this name.
    #[error("no {what} is called `{name}`{}", near.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// Kind of thing that was looked up.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The closest known name, if one is close.
        near: Option<String>,
    },
    /// The text is not TOML of the expected shape.
    #[error("{file}: {message}")]
    Toml {
        /// Name of the file as given by the caller.
        file: String,
        /// What the TOML reader said.
        message: String,
        /// Byte range in the text, where known.
        span: Option<Range<usize>>,
    },
    /// The text is well formed, but says something that cannot be.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// Name of the file as given by the caller.
        file: String,
        /// The key or table row that is wrong.
        key: String,
        /// Why it is wrong.
        message: String,
        /// Byte range of the key in the text, where known.
        span: Option<Range<usize>>,
    },
    /// The controller policy does not fit the standard or itself.
    #[error("policy: {message}")]
    Policy {
        /// Why it cannot be built.
        message: String,
    },
    /// A request trace cannot be run.
    #[error("trace line {line}: {message}")]
    Trace {
        /// Line number, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    pub(crate) fn policy(message: impl Into<String>) -> Error {
        Error::Policy { message: message.into() }
    }

    /// An [`Error::Unknown`] that suggests the closest of `known`, letters in either case.
    pub fn unknown(what: &'static str, name: &str, known: &[&str]) -> Error {
        let lower = name.to_lowercase();
        let near = known
            .iter()
            .map(|k| (strsim::levenshtein(k, &lower), *k))
            .min()
            .filter(|(d, k)| *d <= 3.max(k.len() / 4))
            .map(|(_, k)| k.to_string());
        Error::Unknown { what, name: name.to_string(), near }
    }
}
