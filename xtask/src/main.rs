//! Chores of the project: `cargo xtask NAME`.

#![forbid(unsafe_code)]

mod cluster;
mod process;
mod slurm;

use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("slurm-test") => slurm::test(std::env::args().nth(2).map(Into::into)),
        _ => Err(
            "cargo xtask slurm-test [LUTSIM]: a real Slurm on this machine runs a sweep and loses a node, \
             with target/release/lutsim or another that was built"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
