//! Area and price in the record: numbers (mid) with low and high beside them, by part; they sum to the whole.

use serde::{Deserialize, Serialize};

use crate::ordered::Ordered;
use crate::technology::Band;

/// Area, numbers (mid) with siblings; all null with `area_reason` when it was not computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Area {
    /// Square millimetres, mid.
    pub area_mm2: Option<f64>,
    /// Square millimetres, low.
    pub area_mm2_low: Option<f64>,
    /// Square millimetres, high.
    pub area_mm2_high: Option<f64>,
    /// By component, mid.
    pub area_by_component_mm2: Option<Ordered<f64>>,
    /// By component, low.
    pub area_by_component_mm2_low: Option<Ordered<f64>>,
    /// By component, high.
    pub area_by_component_mm2_high: Option<Ordered<f64>>,
    /// Why there is no area; null when there is one.
    pub area_reason: Option<String>,
}

/// Price of chip and memory, USD (mid) with siblings, without design, masks, package and test; all null when it was not computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// USD, mid.
    pub cost_usd: Option<f64>,
    /// USD, low.
    pub cost_usd_low: Option<f64>,
    /// USD, high.
    pub cost_usd_high: Option<f64>,
    /// By part (`die`, `dram`), mid.
    pub cost_by_part_usd: Option<Ordered<f64>>,
    /// By part, low.
    pub cost_by_part_usd_low: Option<Ordered<f64>>,
    /// By part, high.
    pub cost_by_part_usd_high: Option<Ordered<f64>>,
}

/// The whole and its parts: mid, low, high.
type Split = [(Option<f64>, Option<Ordered<f64>>); 3];

fn split(parts: &Ordered<Band>) -> Split {
    let pick = |f: fn(&Band) -> f64| {
        let parts: Ordered<f64> = parts.iter().map(|(name, band)| (name, f(band))).collect();
        (Some(parts.iter().map(|(_, x)| x).sum()), Some(parts))
    };
    [pick(|b| b.mid), pick(|b| b.low), pick(|b| b.high)]
}

impl Area {
    /// No area, for this reason.
    pub fn none(reason: impl Into<String>) -> Area {
        Area { area_reason: Some(reason.into()), ..Area::default() }
    }

    /// The area of these components, mm2.
    pub fn of(parts: &Ordered<Band>) -> Area {
        let [(mid, mids), (low, lows), (high, highs)] = split(parts);
        Area {
            area_mm2: mid,
            area_mm2_low: low,
            area_mm2_high: high,
            area_by_component_mm2: mids,
            area_by_component_mm2_low: lows,
            area_by_component_mm2_high: highs,
            area_reason: None,
        }
    }

    /// The whole, if it was computed.
    pub fn band(&self) -> Option<Band> {
        Some(Band { mid: self.area_mm2?, low: self.area_mm2_low?, high: self.area_mm2_high? })
    }
}

impl Price {
    /// The price of these parts, USD.
    pub fn of(parts: &[(&str, Band)]) -> Price {
        let [(mid, mids), (low, lows), (high, highs)] = split(&parts.iter().copied().collect());
        Price {
            cost_usd: mid,
            cost_usd_low: low,
            cost_usd_high: high,
            cost_by_part_usd: mids,
            cost_by_part_usd_low: lows,
            cost_by_part_usd_high: highs,
        }
    }

    /// The whole, if it was computed.
    pub fn band(&self) -> Option<Band> {
        Some(Band { mid: self.cost_usd?, low: self.cost_usd_low?, high: self.cost_usd_high? })
    }
}
