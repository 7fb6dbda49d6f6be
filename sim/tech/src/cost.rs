//! What a chip and its memory are paid for: wafer price, dies per wafer, yield, USD per byte.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use lutsim_record::{Band, Kind};
use serde::Deserialize;

use crate::node::Factor;
use crate::{Node, SiliconError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defects {
    per_cm2: Factor,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Geometry {
    wafer_mm: f64,
    edge_mm: f64,
    scribe_mm: f64,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Debug, Deserialize)]
struct Wafer {
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: String,
    #[serde(flatten)]
    prices: BTreeMap<String, Factor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    wafer: Wafer,
    defects: Defects,
    geometry: Geometry,
}

fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        toml::from_str(include_str!("../../../configs/tech/cost.toml"))
            .unwrap_or_else(|e| panic!("built-in cost.toml: {e}"))
    })
}

/// What a chip is paid for, USD, without design, masks, package and test.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Dies of a wafer, good and bad.
    pub dies_per_wafer: Band,
    /// Share of good ones.
    pub yielded: Band,
    /// A good die, USD.
    pub die: Band,
}

/// The cost of a die of `mm2` at a node.
///
/// # Errors
/// The node has no wafer price; the die is larger than a wafer.
pub fn cost(mm2: Band, node: &Node) -> Result<Cost, SiliconError> {
    let f = file();
    let missing = |entry: String| SiliconError::Missing {
        what: format!("{} nm", node.nm),
        entry,
        file: "cost.toml".into(),
    };
    let wafer = f.wafer.prices.get(&node.nm.to_string());
    let wafer = wafer.ok_or_else(|| missing("price of a wafer".into()))?.band();
    let dies = |mm2: f64| {
        let d = f.geometry.wafer_mm - 2.0 * f.geometry.edge_mm;
        let a = (mm2.sqrt() + f.geometry.scribe_mm).powi(2);
        let pi = std::f64::consts::PI;
        pi * d * d / 4.0 / a - pi * d / (2.0 * a).sqrt()
    };
    let density = f.defects.per_cm2.band();
    let good = |mm2: f64, per_cm2: f64| (-mm2 / 100.0 * per_cm2).exp();
    if dies(mm2.high) < 1.0 {
        return Err(missing(format!("wafer for a die of {:.0} mm2", mm2.high)));
    }
    // A small die is cheap: its low end goes with the low end of everything else.
    let dies_per_wafer = Band { mid: dies(mm2.mid), low: dies(mm2.high), high: dies(mm2.low) };
    let yielded = Band {
        mid: good(mm2.mid, density.mid),
        low: good(mm2.high, density.high),
        high: good(mm2.low, density.low),
    };
    let die = Band {
        mid: wafer.mid / dies_per_wafer.mid / yielded.mid,
        low: wafer.low / dies_per_wafer.high / yielded.high,
        high: wafer.high / dies_per_wafer.low / yielded.low,
    };
    Ok(Cost { dies_per_wafer, yielded, die })
}
