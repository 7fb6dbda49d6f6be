//! What a run leaves behind: event counts, stall causes, energy and the record that holds them all.
//!
//! ```text
//!   simulator --Events, Tally--> Energy::compute(events, clocks, technology) --> EnergyBreakdown
//!                    |                                                             |
//!                    +------------------------> Record <---------------------------+
//!                                                 |  to_json / from_json
//!                                              reports
//! ```
//!
//! This crate knows no simulator: integers come in, a [`Record`] goes out, and reports are drawn from a
//! saved record alone. Every counter and every stall cause is declared once, in [`counters`]; every energy
//! line once, in [`energy`]; what keys and columns mean, in [`columns`]; `docs/counters.md` and [`glossary`] come from these.

#![forbid(unsafe_code)]

pub mod check;
pub mod columns;
pub mod counters;
mod document;
pub mod energy;
pub mod glossary;
mod ordered;
pub mod record;
mod silicon;
pub mod technology;
pub mod units;

pub use check::{Broken, check};
pub use counters::{EventUnit, Events, counters_markdown};
pub use energy::{Boundary, Clocks, Energy, EnergyBreakdown, EnergyError, EnergyLine};
pub use ordered::Ordered;
pub use record::{
    DecodePhase, DramBytesByClass, MachineSummary, OperatorRecord, PhaseTotals, Phases, PrefillPhase,
    Provenance, Record, RecordError, SCHEMA_VERSION, WorkloadSummary,
};
pub use silicon::{Area, Price};
pub use technology::{Band, Entry, Kind, Tech, TechError};
pub use units::{Cause, Tally, UnitCycles, UnitError, UnitKind};
