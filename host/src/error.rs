//! What a user can get wrong, and what to do about it.

/// Why a model cannot be planned onto a chip.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HostError {
    /// No such built-in model.
    #[error("there is no model `{name}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The closest name, when there is one.
        near: Option<String>,
        /// Every built-in name.
        known: Vec<String>,
    },
    /// A file that does not say what it should.
    #[error("{file}: {message}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong.
        message: String,
        /// Byte range in the file, when known.
        span: Option<(usize, usize)>,
        /// What to do.
        help: Option<String>,
    },
    /// More tokens than the model was trained for.
    #[error(
        "{model} sees at most {limit} tokens; context {context} + prompt {prompt} + generate {generate} is {total}"
    )]
    Context {
        /// Model.
        model: String,
        /// Its limit.
        limit: u64,
        /// Tokens already there.
        context: u32,
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens to generate.
        generate: u32,
        /// Sum.
        total: u64,
    },
    /// A number of the workload that makes no sense.
    #[error("{what}")]
    Workload {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The image does not fit into DRAM.
    #[error("{model} needs {needed} bytes of DRAM ({short} more than the chip's {available})")]
    Dram {
        /// Model.
        model: String,
        /// Bytes of the whole image.
        needed: u64,
        /// Bytes there are.
        available: u64,
        /// Bytes too few.
        short: u64,
    },
    /// No tile fits into scratchpad.
    #[error(
        "a scratchpad of {available} bytes is too small for {what}: the least that works is {least} bytes"
    )]
    Scratchpad {
        /// What had to fit.
        what: String,
        /// The least that works.
        least: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A pair of number types that the machine cannot multiply exactly.
    #[error("{what}")]
    Types {
        /// Which, and why not.
        what: String,
        /// The nearest legal choice.
        nearest: String,
    },
    /// A mapping that cannot be used for this model, workload and chip.
    #[error("the mapping cannot be used: {what}")]
    Mapping {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The measurement behind a search failed.
    #[error("the search for a mapping failed: {message}")]
    Measure {
        /// What the device said.
        message: String,
    },
}

impl HostError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            HostError::UnknownModel { known, .. } => {
                Some(format!("built-in models: {}; a path to a model file works too", known.join(", ")))
            }
            HostError::File { help, .. } => help.clone(),
            HostError::Context { .. } => Some("lower --context, --prompt or --generate".into()),
            HostError::Workload { help, .. } | HostError::Mapping { help, .. } => Some(help.clone()),
            HostError::Dram { .. } => {
                Some("choose fewer --weights bits, a smaller model or context, or raise dram.bytes".into())
            }
            HostError::Scratchpad { least, .. } => {
                Some(format!("raise scratchpad.bytes to at least {least}, or lower --context or --batch"))
            }
            HostError::Types { nearest, .. } => Some(format!("the nearest legal choice is {nearest}")),
            HostError::Measure { .. } => None,
        }
    }
}
