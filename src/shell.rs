//! The process: exit codes, panics, Ctrl-C.
//!
//! ```text
//! 0 done   2 the user's fault   4 a sweep with points that failed   70 our fault   130 interrupted
//! ```

use std::panic;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::{self, Unfinished};

/// Exit code of the user's fault.
pub const USER: u8 = 2;
/// Exit code of a sweep in which points failed or are missing.
pub const POINTS: u8 = 4;
/// Exit code of an internal fault.
pub const INTERNAL: u8 = 70;
/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// Parses the command line, runs the command, and says how it went.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(report_panic));
    // Fails only if a handler is there already, which nobody else installs.
    let _ = ctrlc::set_handler(|| {
        Unfinished::remove();
        std::process::exit(i32::from(INTERRUPTED));
    });
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let quiet = e.print().is_err();
            return ExitCode::from(if quiet { 0 } else { e.exit_code() as u8 });
        }
    };
    match panic::catch_unwind(panic::AssertUnwindSafe(|| cli.command.execute())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure::BrokenPipe)) => ExitCode::SUCCESS,
        Ok(Err(Failure::Points)) => ExitCode::from(POINTS),
        Ok(Err(Failure::User(report))) => {
            output::complain(&*report);
            ExitCode::from(USER)
        }
        Err(_) => {
            Unfinished::remove();
            ExitCode::from(INTERNAL)
        }
    }
}

fn report_panic(info: &panic::PanicHookInfo<'_>) {
    // A point of a sweep reports its own.
    if lutsim_sweep::exec::is_at_point() {
        return;
    }
    let payload = info.payload();
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
    output::say(&format!(
        "internal fault: {message}{place}\n\
         This is a fault of lutsim, not yours. The command that reproduces it, version {}:\n  {}",
        env!("CARGO_PKG_VERSION"),
        command_line(std::env::args().skip(1)),
    ));
}

/// The command line as it can be pasted into a shell.
pub(crate) fn command_line(args: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c);
    let quote = |a: String| match !a.is_empty() && a.chars().all(plain) {
        true => a,
        false => format!("'{}'", a.replace('\'', r"'\''")),
    };
    std::iter::once("lutsim".to_owned()).chain(args.map(quote)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn command_lines_can_be_pasted() {
        let args = ["run", "--set", "clock=1 GHz", "it's", ""].map(str::to_owned);
        assert_eq!(super::command_line(args.into_iter()), r"lutsim run --set 'clock=1 GHz' 'it'\''s' ''");
    }
}
