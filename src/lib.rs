//! The `lutsim` command: the only place that joins host, simulator and reports, and the only one that does IO.
//!
//! ```text
//! cli (flags) --> commands/* --> session (what to run) --> host: plan --Device--> sim: machine
//!                     |                  |
//!                     +-- output <-------+-- record, reports
//! ```

#![forbid(unsafe_code)]

mod baseline;
pub mod cli;
pub mod commands;
mod details;
pub mod device;
mod doublings;
pub mod dram;
mod engine;
pub mod estimate;
pub mod eval;
pub mod explore;
pub mod failure;
pub mod gemm;
pub mod kernel;
mod latency;
pub mod model_file;
pub mod output;
pub mod pace;
pub mod paper;
pub mod ppa;
mod progress;
pub mod published;
pub mod records;
pub mod requested;
pub mod resolve;
pub mod roofline;
pub mod session;
pub mod shell;
pub mod silicon;
pub mod sweep;
pub mod trace;
pub mod validation;
