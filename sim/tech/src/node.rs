//! Process nodes: factors from 45 nm, from `configs/tech/nodes.toml`.

use std::sync::OnceLock;

use lutsim_record::technology::check_band;
use lutsim_record::{Band, Kind};
use serde::Deserialize;

use crate::SiliconError;

/// Value, low and high in the file.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factor {
    value: f64,
    low: f64,
    high: f64,
}

impl Factor {
    pub(crate) fn band(self) -> Band {
        Band { mid: self.value, low: self.low, high: self.high }
    }
}

/// Where a node's SRAM comes from.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SramFrom {
    /// Node of the macros, nm.
    pub(crate) table_nm: u32,
    /// Factor on their area.
    pub(crate) area: f64,
    /// Factor on their energy.
    pub(crate) energy: f64,
    /// Factor on their leakage.
    pub(crate) leakage: f64,
}

/// A process node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name, nm.
    pub nm: u32,
    /// Supply that its factors hold for, V.
    pub voltage_v: f64,
    /// Whether it lies beyond what the source reaches.
    #[serde(default)]
    pub extrapolated: bool,
    pub(crate) area: Factor,
    pub(crate) energy: Factor,
    pub(crate) activity: Factor,
    pub(crate) leakage: Factor,
    pub(crate) sram: SramFrom,
    /// How it was obtained.
    pub kind: Kind,
    /// Where from.
    pub source: String,
    /// Derivation.
    pub note: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Voltage {
    pub(crate) exponent: Factor,
    pub(crate) span: f64,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    node: Vec<Node>,
    pub(crate) voltage: Voltage,
}

pub(crate) fn parse(file: &str, text: &str) -> Result<File, SiliconError> {
    let fault = |place: String, message: String| SiliconError::File { file: file.into(), place, message };
    let read: File = toml::from_str(text).map_err(|e| fault(String::new(), e.to_string()))?;
    for node in &read.node {
        for (name, f) in [
            ("area", node.area),
            ("energy", node.energy),
            ("activity", node.activity),
            ("leakage", node.leakage),
        ] {
            check_band(f.value, f.low, f.high)
                .map_err(|m| fault(format!(", node {} nm, `{name}`", node.nm), m))?;
        }
        if node.source.trim().is_empty() || node.note.trim().is_empty() {
            return Err(fault(format!(", node {} nm", node.nm), "source and note must not be empty".into()));
        }
    }
    Ok(read)
}

pub(crate) fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        parse("nodes.toml", include_str!("../../../configs/tech/nodes.toml"))
            .unwrap_or_else(|e| panic!("built-in {e}"))
    })
}

/// Every node, largest first.
pub fn nodes() -> &'static [Node] {
    &file().node
}

/// Their names as chip files write them: `7nm`.
pub fn node_names() -> impl Iterator<Item = String> {
    nodes().iter().map(|n| format!("{}nm", n.nm))
}

impl Node {
    /// The node of so many nm.
    ///
    /// # Errors
    /// There is none with a source.
    pub fn find(nm: u32) -> Result<&'static Node, SiliconError> {
        nodes().iter().find(|n| n.nm == nm).ok_or_else(|| unknown(&nm.to_string()))
    }

    /// The node that a chip file or a flag names: `7nm` or `7`.
    ///
    /// # Errors
    /// There is none with a source.
    pub fn named(name: &str) -> Result<&'static Node, SiliconError> {
        let digits = name.trim_end_matches(".toml").trim_end_matches("nm");
        digits.parse().map_or_else(|_| Err(unknown(name)), Node::find)
    }
}

fn unknown(nm: &str) -> SiliconError {
    let known: Vec<_> = nodes().iter().map(|n| n.nm.to_string()).collect();
    SiliconError::Node { nm: nm.trim_end_matches("nm").to_owned(), known: known.join(", ") }
}
