//! The one integration binary: a file per law, and the command line as users see it.

mod a100;
mod chips;
mod cli;
mod cli_cases;
mod compare;
mod docs;
mod dram;
mod explore;
mod gemm;
mod generate;
mod kinds;
mod laws;
mod ppa;
mod published;
mod report;
mod roofline;
mod run;
mod sweep;
mod trace;
mod wrong_models;
