//! `details.json`: what a report shows and a record does not hold, in a bounded file beside it.
//!
//! Sources of the configuration, where things lie in memory, counts over time, and what doubling each resource gives once that
//! was simulated. Deterministic as the record is: the same run leaves the same bytes.

use serde::{Deserialize, Serialize};

/// The schema that this crate writes, `major.minor`; another major is refused.
pub const DETAILS_VERSION: &str = "1.0";

/// Everything beside a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Hash of the configuration of the record that it belongs to.
    pub config_hash: String,
    /// Every key of the chip file, with where its value came from.
    pub settings: Vec<Setting>,
    /// What lies in DRAM, in address order.
    pub dram: Vec<Region>,
    /// Bytes of DRAM.
    pub dram_bytes: u64,
    /// What lies in the scratchpad in each phase.
    pub scratchpad: Vec<Region>,
    /// Bytes of the scratchpad.
    pub scratchpad_bytes: u64,
    /// Counts over time, a series per phase.
    pub timelines: Vec<Series>,
    /// What doubling each resource gives; null until it was simulated.
    pub doublings: Option<Vec<Doubling>>,
}

/// A key of the chip file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Its value as written.
    pub value: String,
    /// File and line, `default`, or the flag.
    pub from: String,
    /// The source that is given for it.
    pub source: String,
    /// What it means.
    pub meaning: String,
}

/// A range of a memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// What lies there.
    pub name: String,
    /// The first byte, of the first of its copies.
    pub address: u64,
    /// Bytes of all copies.
    pub bytes: u64,
    /// How many copies there are, a layer apart.
    pub copies: u64,
}

/// Counts over time of the simulated steps of a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// `prefill` or `decode`.
    pub phase: String,
    /// Number and first core cycle of each simulated step, from the phase's first.
    pub steps: Vec<(u64, u64)>,
    /// Core cycles at which the counts below were taken, from the phase's first; rising.
    pub core_cycles: Vec<u64>,
    /// DRAM bytes of the accelerator that the controllers had taken up to then.
    pub dram_bytes: Vec<u64>,
    /// Busy cycles up to then, by unit.
    pub busy_cycles: Vec<(String, Vec<u64>)>,
}

/// What twice of a resource gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubling {
    /// The resource.
    pub resource: String,
    /// Keys with the value before and the value after.
    pub keys: Vec<(String, String, String)>,
    /// Tokens per second of prefill; null if it was not run.
    pub prefill_tokens_per_second: Option<f64>,
    /// Tokens per second of decode; null if it was not run.
    pub decode_tokens_per_second: Option<f64>,
    /// Joules per token of decode, mid.
    pub decode_energy_per_token_j: Option<f64>,
    /// Area, mm2, mid.
    pub area_mm2: Option<f64>,
    /// Why there is none: the chip cannot be built so; null if there is one.
    pub refused: Option<String>,
}

/// Why a text is not the details of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailsError {
    /// Not JSON, cut off, or a key is wrong.
    #[error("not the details of a run: {0}")]
    Malformed(String),
    /// Another major version.
    #[error("the details have schema version {0}, this lutsim reads 1.x: use the lutsim that wrote them")]
    Version(String),
    /// Of another record.
    #[error("the details belong to another record: their configuration's hash is {0}")]
    Other(String),
}

impl Details {
    /// As pretty JSON with a newline at its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("string keys only") + "\n"
    }

    /// Reads the details of the record whose configuration has this hash.
    ///
    /// # Errors
    /// It is none, or of another version or record.
    pub fn from_json(text: &str, config_hash: &str) -> Result<Details, DetailsError> {
        #[derive(Deserialize)]
        struct Probe {
            schema_version: String,
        }
        let malformed = |e: serde_json::Error| DetailsError::Malformed(e.to_string());
        let version = serde_json::from_str::<Probe>(text).map_err(malformed)?.schema_version;
        if !version.starts_with("1.") {
            return Err(DetailsError::Version(version));
        }
        let details: Details = serde_json::from_str(text).map_err(malformed)?;
        match details.config_hash == config_hash {
            true => Ok(details),
            false => Err(DetailsError::Other(details.config_hash)),
        }
    }
}
