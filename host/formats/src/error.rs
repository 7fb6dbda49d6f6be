//! What can be wrong with a model file: where, what was found, and what was expected.

/// Why a model file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The file cannot be opened or mapped.
    #[error("{path}: {message}")]
    Io {
        /// Path as given.
        path: String,
        /// What the system says.
        message: String,
    },
    /// The file ends inside of something.
    #[error("byte {offset}: {what} needs {needed} bytes, {left} are left in the file")]
    Truncated {
        /// Byte at which it begins.
        offset: u64,
        /// What was being read.
        what: String,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A field that does not hold what the format allows.
    #[error("byte {offset}: {what} is {found}, expected {expected}")]
    Field {
        /// Byte at which the field begins.
        offset: u64,
        /// Which field.
        what: String,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: String,
    },
    /// A tensor that is missing, or not what it should be.
    #[error("tensor `{tensor}`: {found}, expected {expected}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A metadata or configuration key that is missing, or not what it should be.
    #[error("key `{key}`: {found}, expected {expected}")]
    Key {
        /// Its name.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// Text that is not JSON, or not of the expected shape.
    #[error("{what}: {message}")]
    Json {
        /// Which part of the file.
        what: String,
        /// What the parser says, with line and column.
        message: String,
    },
}

impl FormatError {
    pub(crate) fn tensor(
        tensor: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> FormatError {
        FormatError::Tensor { tensor: tensor.into(), found: found.into(), expected: expected.into() }
    }
    pub(crate) fn key(
        key: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> FormatError {
        FormatError::Key { key: key.into(), found: found.into(), expected: expected.into() }
    }
}
