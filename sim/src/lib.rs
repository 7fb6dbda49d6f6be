//! When things happen: the machine, cycle by cycle.
//!
//! ```text
//! sequencer --> queues --> load . store . lut . vector --> scratchpad      core clock
//!     |                      |      |
//!     +----------------------+------+--> channels                          memory clock
//! ```
//! Components meet only through registered links (`link.rs`), so the order in which those of one instant are
//! evaluated cannot matter; each says when it next wants to run, so the rest of time can be skipped.

mod activity;
mod background;
mod channel;
pub mod chip_file;
mod clock;
pub mod config;
mod demand;
mod feed;
mod leap;
mod link;
mod load;
mod lut;
pub mod machine;
mod memory;
mod port;
pub mod report;
mod rows;
mod scratchpad;
mod sequencer;
mod shared;
mod stop;
mod store;
#[cfg(test)]
mod tests;
mod timeline;
mod trace;
mod vector;

pub use activity::{Cause, Cycles};
pub use clock::Timebase;
pub use config::Chip;
pub use demand::Demand;
pub use leap::{LeapStats, Memory, PARTS};
pub use machine::{Engine, EngineStats, Job, Machine};
pub use report::{OperatorRun, Report, Totals};
pub use shared::{ByteCounts, Work};
pub use stop::{BuildError, Stop};
pub use timeline::{Moment, TIMELINE_UNITS};
pub use trace::{Slice, TRACE_BIN, Trace, Window};
