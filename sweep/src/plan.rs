//! Plans: which points there are, each with an id that says what it is.
//!
//! ```text
//! plan.jsonl = a line of what all points have in common, then a line per point
//! ```
//!
//! The id is a hash of everything that the point's record depends on, so equal ids are equal results, in whichever plan.

use std::collections::HashMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::value::Value;

/// The plan format that this crate writes.
pub const FORMAT: u32 = 1;

/// What all points of a plan have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub sweep_plan: u32,
    /// Version of lutsim.
    pub version: String,
    /// The sweep file's text.
    pub file: String,
    /// What the file is called in messages.
    pub name: String,
    /// Chip files by name, with their text, so that what is run is what was planned.
    pub chips: Vec<(String, String)>,
    /// The paths that points set.
    pub paths: Vec<String>,
    /// Columns that are known before a point is run, each behind the path that it comes from: first those of `paths`, in order, then
    /// keys that formulas ask for. Values are in base units.
    pub given: Vec<(String, String)>,
    /// Columns of the record.
    pub measured: Vec<String>,
}

/// A point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What it is: 16 hexadecimal digits; of a point that cannot be built, of its values.
    pub id: String,
    /// A value per path.
    pub set: Vec<Value>,
    /// A value per given column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Value>,
    /// Why it cannot be built, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What all points have in common.
    pub header: Header,
    /// The points, in order.
    pub points: Vec<Point>,
}

/// Why a text is no plan that this version takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Another version made it.
    #[error("the plan was made by lutsim {found}, this is {own}")]
    Version {
        /// Which.
        found: String,
        /// Ours.
        own: String,
    },
    /// Not a plan.
    #[error("line {line} is not a plan's: {why}")]
    Malformed {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The id of a text that says everything: the first 16 hexadecimal digits of its SHA-256.
pub fn id_of(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8].iter().fold(String::with_capacity(16), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

impl Plan {
    /// The text of `plan.jsonl`.
    ///
    /// # Panics
    /// Never: a plan is words and finite numbers.
    pub fn to_text(&self) -> String {
        let line = |json: serde_json::Result<String>| json.expect("words and finite numbers") + "\n";
        let mut text = line(serde_json::to_string(&self.header));
        for point in &self.points {
            text += &line(serde_json::to_string(point));
        }
        text
    }

    /// Reads `plan.jsonl`.
    ///
    /// # Errors
    /// It is another version's, or damaged.
    pub fn parse(text: &str, version: &str) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Probe {
            sweep_plan: u32,
            version: String,
        }
        let malformed =
            |line: usize, why: &dyn std::fmt::Display| PlanError::Malformed { line, why: why.to_string() };
        let mut lines = text.split_inclusive('\n');
        let first = lines.next().unwrap_or("");
        let probe: Probe = serde_json::from_str(first).map_err(|e| malformed(1, &e))?;
        if probe.version != version || probe.sweep_plan != FORMAT {
            return Err(PlanError::Version { found: probe.version, own: version.into() });
        }
        let header: Header = serde_json::from_str(first).map_err(|e| malformed(1, &e))?;
        let mut points = Vec::new();
        for (i, line) in lines.enumerate() {
            if !line.ends_with('\n') {
                return Err(malformed(i + 2, &"it is cut off"));
            }
            let point: Point = serde_json::from_str(line).map_err(|e| malformed(i + 2, &e))?;
            if point.set.len() != header.paths.len() {
                return Err(malformed(i + 2, &"its values are not as many as the paths"));
            }
            points.push(point);
        }
        Ok(Plan { header, points })
    }

    /// What makes results comparable: everything but the points.
    pub fn key(&self) -> String {
        let h = &self.header;
        let text = serde_json::to_string(&(&h.sweep_plan, &h.version, &h.measured));
        id_of(&text.expect("words"))
    }

    /// The numbers of points that are to be run, each id once, of shard `index` of `count`.
    pub fn shard(&self, index: usize, count: usize) -> Vec<usize> {
        let mut seen: HashMap<&str, ()> = HashMap::with_capacity(self.points.len());
        let wanted = self.points.iter().enumerate().filter(|(_, p)| p.refused.is_none());
        let distinct = wanted.filter(|(_, p)| seen.insert(&p.id, ()).is_none());
        distinct.enumerate().filter(|(n, _)| n % count == index).map(|(_, (i, _))| i).collect()
    }
}
