//! Sweeps over design spaces: which points, which were run, what came of them.
//!
//! ```text
//! sweep file --file--> parameters, metrics, constraints --space--> values --plan--> points with ids
//!                                                                              |
//!                     table, front, sensitivity <--journals-- exec <-----------+
//! ```
//!
//! Nothing here knows the simulator: a point is run by whoever implements [`exec::Evaluate`].

#![forbid(unsafe_code)]

pub mod evolve;
pub mod exec;
pub mod expression;
pub mod file;
pub mod front;
pub mod journal;
pub mod near;
pub mod nsga2;
pub mod page;
pub mod parquet;
pub mod plan;
pub mod random;
pub mod sensitivity;
pub mod slurm;
pub mod space;
pub mod table;
pub mod value;
