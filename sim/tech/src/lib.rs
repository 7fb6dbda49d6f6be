//! What silicon costs: area, energy per event and price of a chip, from its structure.
//!
//! ```text
//! components.toml --> Library --+
//! nodes.toml ------> Node ------+--> Silicon --> Core::area, Core::cycle      one core of any kind
//! sram_cacti.csv --> Macros ----+            --> Plan::area                   a chip by component
//!                                            --> Plan::events                 the energy table of its record
//! cost.toml -----------------------------------> cost                         a die, its DRAM
//! ```
//!
//! Every number has a low-high band, a source and a word on how it was obtained; an entry that lacks one, a size that lies outside a
//! table and a node without a source are errors. Plain numbers come in: this crate knows no simulator.

#![forbid(unsafe_code)]

mod bill;
mod broadcast;
mod chip;
mod core;
mod core_events;
mod cost;
mod error;
mod events;
mod kind;
mod library;
mod node;
mod shape;
mod silicon;
mod sram;

pub use bill::{Bill, Line};
pub use chip::{Cores, Dma, Dram, Plan, Scratchpad, Sequencer, Vector};
pub use core::{Charged, Core};
pub use cost::{Cost, cost};
pub use error::SiliconError;
pub use kind::{Kind, Tables, Traits};
pub use library::{Component, Library, Quantity};
pub use node::{Node, node_names, nodes};
pub use shape::{Activation, Shape};
pub use silicon::Silicon;
pub use sram::{Bank, Macros, Sram};
