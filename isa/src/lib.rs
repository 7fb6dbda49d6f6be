//! The ground floor: what the chip's instructions are and what each one means.
//!
//! ```text
//! text --asm--> Program (128-bit words) --Control--> Dispatch {queue, wait, signal, Op} --exec--> State
//!                  ^                                             |
//!                  +--- one table (table.rs) ---+                +--> the simulator gives it a time
//! ```
//! This crate knows no cycle, no clock and no file. Reading order: [`table`] (the rows), [`format`](mod@format)
//! (what bytes mean), [`blocks`](mod@blocks) (of model files), [`op`] (what queues are asked), [`control`] (loops and registers), [`exec`] (values), [`order`] (semaphores, proven to suffice),
//! [`asm`] (text), [`docs`] (the manual).

pub mod asm;
pub mod blocks;
pub mod control;
mod define;
pub mod docs;
pub mod exec;
pub mod field;
pub mod format;
pub mod op;
pub mod order;
pub mod program;
pub mod table;

pub use control::{Control, Fault, Reads, Step, Word};
pub use field::{Grid, LmmaType, Queue, Reg, Sem, TileId};
pub use format::{ByteClass, Elem, Format, Group, WeightFormat, WeightKind};
pub use op::{Dispatch, Op, TileRef};
pub use program::Program;
pub use table::Inst;
