//! When things happen: the machine, cycle by cycle.

pub mod chip_file;
pub mod config;
