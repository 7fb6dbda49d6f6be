//! Machines that users have today, and what a roofline says about a model on them.
//!
//! ```text
//!   configs/baselines/*.toml --> Hardware --+
//!                                           +--> llm_viewer::analyze  that tool's numbers, its quirks included
//!   Shape, Setting -------------------------+--> physical::analyze    what the operators are
//!                                                      |
//!                                  both --> difference::between       line by line, with reasons
//! ```
//!
//! Plain numbers in, plain numbers out: nothing here knows the simulator or a model's file.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod csv;
pub mod difference;
pub mod engine;
pub mod hardware;
pub mod llm_viewer;
pub mod physical;
pub mod prompt;
pub mod published;
pub mod shape;
pub mod slide;

pub use analysis::{Analysis, Bound, Bytes, Count, Memory, Operator, Stage, StageKind};
pub use hardware::{Hardware, HardwareError, Limits};
pub use shape::{Activation, Experts, Setting, Shape, Stored, Window};
