//! Sweeps joined with the simulator: a point's values to a chip, a model and a record.
//!
//! ```text
//! sweep file --names--> header --setup--> chip, model per point --id--> plan.jsonl
//!                                              |
//!                                              +--run--> record --columns--> a line of a journal
//! ```

mod bound;
mod files;
mod make;
mod memo;
mod models;
mod names;
mod run;
mod setup;

pub use files::builtin_names;
pub use files::{open, read_plan};
pub use make::{Made, Search, make};
pub use memo::Memo;
pub use run::{Records, Runner};
pub use setup::Setup;

use lutsim_sweep::table::Counts;

/// Points in words.
pub fn words(counts: &Counts) -> String {
    let mut text = format!("{} points: {} done", counts.all(), counts.done);
    let others = [
        (counts.infeasible, "cannot be built or run"),
        (counts.failed, "failed"),
        (counts.missing, "not run yet"),
    ];
    for (count, what) in others.into_iter().filter(|o| o.0 > 0) {
        text += &format!(", {count} {what}");
    }
    text
}
