//! Two kinds of failure: the user's fault is a [`Diagnostic`] with code, label and help; ours is a panic.

use std::{fmt, io};

use lutsim_baselines::{Hardware, HardwareError};
use lutsim_host::error::HostError;
use lutsim_isa::Program;
use lutsim_isa::asm::AsmError;
use lutsim_isa::program::ProgramError;
use lutsim_sim::Stop;
use lutsim_sim::chip_file::ChipError;
use lutsim_sweep::file::FileError;
use lutsim_tech::SiliconError;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use crate::session;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The user's fault; exit code 2.
    User(Box<dyn Diagnostic + Send + Sync>),
    /// Points of a sweep failed or are missing, which was said; exit code 4.
    Points,
    /// Nobody reads our output any more: not worth a word.
    BrokenPipe,
}

/// What a user can get wrong outside a chip file.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum UserError {
    /// A file that cannot be read.
    #[error("cannot read `{path}`: {why}")]
    #[diagnostic(code(input::read))]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// A model file that cannot be used.
    #[error("`{path}`: {why}")]
    #[diagnostic(code(model::file))]
    Model {
        /// The file.
        path: String,
        /// What is wrong: where, what was found, what was expected.
        why: String,
    },
    /// An output that cannot be written.
    #[error("cannot write `{path}`: {why}")]
    #[diagnostic(code(output::write), help("choose another place"))]
    Write {
        /// The file or folder.
        path: String,
        /// What the system says.
        why: String,
    },
    /// An assembly text that is no program.
    #[error("{message}")]
    #[diagnostic(code(asm::syntax))]
    Asm {
        /// What is wrong.
        message: String,
        /// The text.
        #[source_code]
        source_code: NamedSource<String>,
        /// The line.
        #[label("this line")]
        span: SourceSpan,
    },
    /// A record that cannot be read, or does not add up.
    #[error("`{path}`: {why}")]
    #[diagnostic(code(record::check))]
    Record {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A program file that is none of ours.
    #[error("`{path}`: {error}")]
    #[diagnostic(code(program::file))]
    Program {
        /// The file.
        path: String,
        /// What is wrong.
        error: ProgramError,
    },
    /// A program that the chip cannot execute.
    #[error("`{path}`, instruction {pc}: `{inst}` {why}")]
    #[diagnostic(code(program::chip), help("{help}"))]
    Misfit {
        /// The file.
        path: String,
        /// The instruction's number.
        pc: usize,
        /// The instruction.
        inst: String,
        /// What does not fit.
        why: String,
        /// What to do.
        help: String,
    },
    /// A program that cannot go on.
    #[error("`{path}`: {what}")]
    #[diagnostic(code(program::stopped), help("{help}"))]
    Stopped {
        /// The file.
        path: String,
        /// What happened.
        what: String,
        /// What to do.
        help: String,
    },
    /// A flag whose value makes no sense.
    #[error("`{flag} {value}`: {why}")]
    #[diagnostic(code(flag::value), help("{help}"))]
    Flag {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
        /// What to do.
        help: String,
    },
    /// A name that nothing has.
    #[error("unknown {what} `{name}`")]
    #[diagnostic(code(name::unknown), help("{help}"))]
    Unknown {
        /// What it should name.
        what: String,
        /// The name.
        name: String,
        /// The near miss, or what there is.
        help: String,
    },
    /// Something this version does not do.
    #[error("{what}")]
    #[diagnostic(code(run::refused), help("{help}"))]
    Refused {
        /// What.
        what: String,
        /// What to do instead.
        help: String,
    },
}

impl UserError {
    /// A program that stopped early.
    pub fn stopped(path: &str, program: &Program, stop: &Stop) -> Self {
        let help = match stop {
            Stop::Fault(fault) => match program.code.get(fault.pc as usize) {
                Some(inst) => format!("the instruction is `{inst}`"),
                None => format!("the program has {} instructions", program.code.len()),
            },
            Stop::Deadlock { .. } => "every wait needs a signal that comes earlier in program order".into(),
            Stop::Livelock { .. } => "a loop's body has to give some unit work".into(),
            Stop::TwoWaiters { .. } => "use another semaphore for the second queue".into(),
            Stop::Order(_) => "put a semaphore or a fence between the two".into(),
            Stop::Audit { .. } => {
                "that is a fault of ours: please report it; `--engine skip` does without".into()
            }
            Stop::TooLong { .. } => "allow more".into(),
            Stop::Interrupted => "it was interrupted".into(),
        };
        Self::Stopped { path: path.into(), what: stop.to_string(), help }
    }
    /// An assembly error in its text.
    pub fn asm(path: &str, text: String, error: AsmError) -> Self {
        let (start, end) = error.span;
        let message = format!("{path}, {error}");
        Self::Asm { message, source_code: NamedSource::new(path, text), span: (start, end - start).into() }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        Failure::User(Box::new(error))
    }
}

impl From<Box<ChipError>> for Failure {
    fn from(error: Box<ChipError>) -> Self {
        Failure::User(error)
    }
}

impl From<SiliconError> for Failure {
    fn from(error: SiliconError) -> Self {
        let help = match &error {
            SiliconError::Node { .. } => "name one of these with --node or in the chip file's `technology`",
            SiliconError::Voltage { .. } => "choose a supply nearer to the node's own",
            SiliconError::Shape { .. } => "K = 4 and accumulators of 20 bits or more are usual",
            SiliconError::Sram { .. } => "choose a size within the table: nothing is extrapolated",
            SiliconError::File { .. } | SiliconError::Missing { .. } => {
                "add it with value, low, high and source"
            }
        };
        UserError::Refused { what: error.to_string(), help: help.into() }.into()
    }
}

/// An error while writing to stdout.
pub fn stdout(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => UserError::Write { path: "stdout".into(), why: error.to_string() }.into(),
    }
}

/// What the host says about a model, a workload or a mapping, with the file's text where there is one.
#[derive(Debug)]
pub struct HostFault {
    error: HostError,
    source: Option<NamedSource<String>>,
}

impl HostFault {
    /// An error in a file whose text is at hand.
    pub fn of_file(error: HostError, text: String) -> Self {
        let source = match &error {
            HostError::File { file, .. } => Some(NamedSource::new(file, text)),
            _ => None,
        };
        Self { error, source }
    }
}

impl From<HostError> for HostFault {
    fn from(error: HostError) -> Self {
        Self { error, source: None }
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for HostFault {}

impl Diagnostic for HostFault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(match &self.error {
            HostError::UnknownModel { .. } => "model::unknown",
            HostError::File { .. } => "model::file",
            HostError::Context { .. } => "workload::context",
            HostError::Workload { .. } => "workload::lengths",
            HostError::Dram { .. } => "model::dram",
            HostError::Scratchpad { .. } => "mapping::scratchpad",
            HostError::Types { .. } => "workload::types",
            HostError::Mapping { .. } => "mapping::rule",
            HostError::Measure { .. } => "mapping::search",
        }))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help().map(|h| Box::new(h) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match &self.error {
            HostError::File { span: Some((start, end)), .. } if self.source.is_some() => {
                let span = LabeledSpan::new(Some("here".into()), *start, end - start);
                Some(Box::new(std::iter::once(span)))
            }
            _ => None,
        }
    }
}

impl From<HostFault> for Failure {
    fn from(error: HostFault) -> Self {
        Failure::User(Box::new(error))
    }
}

/// What is wrong with a sweep file, with its text.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SweepFault {
    error: FileError,
    source_code: NamedSource<String>,
}

impl SweepFault {
    /// An error in the text of the file called `name`.
    pub fn of_file(error: FileError, name: &str, text: &str) -> Self {
        Self { error, source_code: NamedSource::new(name, text.to_owned()) }
    }
}

impl Diagnostic for SweepFault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("sweep::file"))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help.as_ref().map(|h| Box::new(h) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.error.span.as_ref().map(|_| &self.source_code as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.error.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(Some("here".into()), span.start, span.len()))))
    }
}

impl From<SweepFault> for Failure {
    fn from(error: SweepFault) -> Self {
        Failure::User(Box::new(error))
    }
}

/// What is wrong with a machine of a roofline, with its file's text where there is one.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct HardwareFault {
    error: HardwareError,
    source_code: Option<NamedSource<String>>,
}

impl HardwareFault {
    /// An error in a file whose text is at hand.
    pub fn of_file(error: HardwareError, text: String) -> Self {
        let source_code = match &error {
            HardwareError::File { file, .. } => Some(NamedSource::new(file, text)),
            _ => None,
        };
        Self { error, source_code }
    }
}

impl Diagnostic for HardwareFault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(match &self.error {
            HardwareError::Unknown { .. } => "hardware::unknown",
            HardwareError::File { .. } => "hardware::file",
            HardwareError::Peak { .. } => "hardware::peak",
        }))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = match &self.error {
            HardwareError::Unknown { .. } => {
                let names = Hardware::names().collect::<Vec<_>>().join(", ");
                format!("built in: {names}; a path to a file works too")
            }
            HardwareError::Peak { .. } => {
                "choose other widths, add the peak to a hardware file, or use --accounting true".into()
            }
            HardwareError::File { .. } => return None,
        };
        Some(Box::new(help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source_code.as_ref().map(|s| s as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match &self.error {
            HardwareError::File { span: Some((start, end)), .. } if self.source_code.is_some() => {
                let span = LabeledSpan::new(Some("here".into()), *start, end - start);
                Some(Box::new(std::iter::once(span)))
            }
            _ => None,
        }
    }
}

impl From<HardwareError> for Failure {
    fn from(error: HardwareError) -> Self {
        Failure::User(Box::new(HardwareFault { error, source_code: None }))
    }
}

impl From<HardwareFault> for Failure {
    fn from(error: HardwareFault) -> Self {
        Failure::User(Box::new(error))
    }
}

/// What the memory model says about a standard, a policy or a trace, with the file's text where there is one.
#[derive(Debug)]
pub struct DramFault {
    error: lutsim_dram::Error,
    source: Option<NamedSource<String>>,
    span: Option<(usize, usize)>,
}

impl DramFault {
    /// An error in the text of the file called `name`.
    pub fn of_text(error: lutsim_dram::Error, name: &str, text: String) -> Self {
        use lutsim_dram::Error::{Invalid, Toml, Trace};
        let span = match &error {
            Toml { span, .. } | Invalid { span, .. } => span.as_ref().map(|s| (s.start, s.end)),
            Trace { line, .. } => line_span(&text, *line),
            _ => None,
        };
        Self { error, source: Some(NamedSource::new(name, text)), span }
    }
}

/// Start and end of a line, counted from 1.
fn line_span(text: &str, number: usize) -> Option<(usize, usize)> {
    let before = text.split_inclusive('\n').take(number.checked_sub(1)?).map(str::len).sum();
    let line = text.get(before..)?.lines().next()?;
    Some((before, before + line.len()))
}

impl From<lutsim_dram::Error> for DramFault {
    fn from(error: lutsim_dram::Error) -> Self {
        Self { error, source: None, span: None }
    }
}

impl fmt::Display for DramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for DramFault {}

impl Diagnostic for DramFault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        use lutsim_dram::Error;
        Some(Box::new(match &self.error {
            Error::Unknown { .. } => "dram::unknown",
            Error::Toml { .. } | Error::Invalid { .. } => "dram::standard",
            Error::Policy { .. } => "dram::policy",
            Error::Trace { .. } => "dram::trace",
        }))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        use lutsim_dram::{Error, Pattern, Policy, Standard};
        let help = match &self.error {
            Error::Unknown { what: "DRAM standard", .. } => {
                format!("built in: {}; a path to a file works too", Standard::builtin_names().join(", "))
            }
            Error::Unknown { what: "pattern", .. } => {
                format!("there are {}", Pattern::ALL.map(Pattern::name).join(", "))
            }
            Error::Unknown { .. } => format!("there are {}", Policy::NAMES.join(", ")),
            _ => return None,
        };
        Some(Box::new(help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().filter(|_| self.span.is_some()).map(|s| s as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (start, end) = self.span?;
        let span = LabeledSpan::new(Some("here".into()), start, end - start);
        Some(Box::new(std::iter::once(span)))
    }
}

impl From<DramFault> for Failure {
    fn from(error: DramFault) -> Self {
        Failure::User(Box::new(error))
    }
}

impl From<session::Error> for Failure {
    fn from(error: session::Error) -> Self {
        match error {
            session::Error::Host(e) => HostFault::from(e).into(),
            session::Error::TooLong(_) => UserError::Refused {
                what: error.to_string(),
                help: "raise --max-cycles, or ask for fewer tokens".into(),
            }
            .into(),
            session::Error::Image(_) | session::Error::NotFinite { .. } => UserError::Refused {
                what: error.to_string(),
                help: "the numbers of the model's file are at fault: give another file".into(),
            }
            .into(),
            other => UserError::Refused {
                what: other.to_string(),
                help: "change the chip file, or give another value with `--set`".into(),
            }
            .into(),
        }
    }
}
