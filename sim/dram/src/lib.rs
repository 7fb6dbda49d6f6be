//! One DRAM channel, cycle by cycle: standards as constraint tables in TOML, an FR-FCFS controller of our own and the
//! controllers of two public simulators, and the exact next clock at which anything can happen.
//!
//! ```text
//! configs/dram/*.toml --> Standard --> Channel::new(standard, policy)
//!                                       push(now, burst, write, tag)
//!                                       step(now) -> completions, next clock
//! ```
//!
//! Reading order: `standard`, `timing`, `device`, `queue`, `frfcfs`, `controller`; then `dramsim3` and `ramulator2` (the
//! references' controllers), `drive` (traces), `checker` (the judge), `energy`.

mod canon;
pub mod checker;
mod command;
mod controller;
mod counters;
mod device;
mod dramsim3;
mod drive;
mod energy;
mod error;
mod expr;
mod first;
mod frfcfs;
mod mapping;
mod pending;
mod policy;
mod presets;
mod queue;
mod ramulator2;
mod raw;
mod refresh;
mod standard;
mod timing;
mod trace;
mod validate;
mod variant;

pub use canon::{Canon, Clusters, Rows, UNNUMBERED};
pub use command::Command;
pub use controller::{Channel, Completion};
pub use counters::Counters;
pub use device::{Issued, NO_ROW};
pub use drive::{DriveOptions, Latency, Report, commands_csv, drive};
pub use energy::{Energy, Estimate, energy};
pub use error::Error;
pub use mapping::{Mapping, Place};
pub use policy::{Page, Policy, PowerDown, Refresh, RefreshPolicy, RefreshScope, Scheduler};
pub use refresh::Margin;
pub use standard::{Constraint, EventEnergy, Level, MAX_BANKS, Power, Standard, Timing};
pub use trace::{Pattern, Request, parse_trace};
pub use variant::configuration;
