//! Tables and pictures from what a run left behind: records in, text, CSV, SVG, PNG and HTML out.
//!
//! ```text
//!                    +--> text::summary        what `lutsim run` prints
//!   Record (saved) --+--> operators::csv       operators.csv
//!                    +--> Roofline --> plot    roofline.svg --> png
//!   record, details -----> html                report.html
//!   records, roofs ------> compare, machines   several machines side by side
//!   two records ---------> diff                what changed, and what accounts for it
//!   bands by part ------> bars                 stacked bars of `lutsim ppa`
//! ```
//!
//! Nothing here knows the simulator: everything is drawn from a [`lutsim_record::Record`] alone, and the same
//! record gives the same bytes.

#![forbid(unsafe_code)]

mod axes;
pub mod bars;
mod canvas;
mod ceilings;
pub mod compare;
pub mod details;
pub mod diff;
mod html;
mod lines;
mod machines;
pub mod operators;
pub mod perfetto;
pub mod plot;
pub mod png;
pub mod quantity;
pub mod roofline;
mod side;
pub mod table;
pub mod text;

pub use bars::{Panel, bars_svg};
pub use compare::{Comparison, Subject};
pub use details::Details;
pub use html::{CLOCK, energy_by_operator, report_html};
pub use lines::{Line, lines_svg};
pub use machines::machines_svg;
pub use operators::{OperatorSum, by_operator, operators_csv};
pub use plot::{PlotError, roofline_svg};
pub use png::png;
pub use roofline::{Ceiling, Point, PointKind, Roofline};
pub use text::{phases, summary};
