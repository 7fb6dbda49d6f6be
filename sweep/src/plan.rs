//! Plans: which points there are, each with an id that says what it is.
//!
//! ```text
//! plan.jsonl = a line of what all points have in common, then a line per point
//! ```
//!
//! The id is a hash of everything that the point's record depends on, so equal ids are equal results, in whichever plan.

use std::collections::{HashMap, HashSet};
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
    /// What a machine does for it, a hash as `id` is, if it does the same for another point too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
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

    /// The numbers of points that are to be run, each id once, of shard `index` of `count`: every `count`-th run of a machine with all
    /// points that it is for. In blocks of runs the first point of each comes before the others, which then have what they need.
    pub fn shard(&self, index: usize, count: usize) -> Vec<usize> {
        let mut seen: HashSet<&str> = HashSet::with_capacity(self.points.len());
        let mut of_run: HashMap<&str, usize> = HashMap::new();
        // Of each run of this shard, its points.
        let (mut runs, mut mine): (usize, Vec<Vec<usize>>) = (0, Vec::new());
        for (i, point) in self.points.iter().enumerate() {
            if point.refused.is_some() || !seen.insert(&point.id) {
                continue;
            }
            let next = runs;
            let run = point.run.as_deref().map_or(next, |run| *of_run.entry(run).or_insert(next));
            runs += usize::from(run == next);
            if run % count != index {
                continue;
            }
            match run == next {
                true => mine.push(vec![i]),
                false => mine[run / count].push(i),
            }
        }
        let mut wanted = Vec::with_capacity(mine.iter().map(Vec::len).sum());
        for block in mine.chunks(BLOCK) {
            wanted.extend(block.iter().map(|run| run[0]));
            wanted.extend(block.iter().flat_map(|run| &run[1..]));
        }
        wanted
    }
}

/// Runs whose results are waited for at a time: more than threads of a machine, fewer than fill its memory.
const BLOCK: usize = 256;

/// Leaves `run` to the points that share it with others.
pub fn keep_shared(points: &mut [Point]) {
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for point in points.iter().filter(|p| p.refused.is_none() && seen.insert(&p.id)) {
        if let Some(run) = &point.run {
            *times.entry(run.clone()).or_default() += 1;
        }
    }
    for point in points {
        point.run = point.run.take().filter(|run| times.get(run).is_some_and(|&n| n > 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(runs: &[&str]) -> Plan {
        let point = |(i, run): (usize, &&str)| Point {
            id: format!("{i}"),
            set: Vec::new(),
            given: Vec::new(),
            run: (!run.is_empty()).then(|| (*run).to_owned()),
            refused: None,
        };
        let header = Header {
            sweep_plan: FORMAT,
            version: String::new(),
            file: String::new(),
            name: String::new(),
            chips: Vec::new(),
            paths: Vec::new(),
            given: Vec::new(),
            measured: Vec::new(),
        };
        Plan { header, points: runs.iter().enumerate().map(point).collect() }
    }

    #[test]
    fn points_of_one_run_are_of_one_shard_its_first_before_the_others() {
        let plan = plan(&["a", "a", "b", "", "b", "a", ""]);
        assert_eq!(plan.shard(0, 1), [0, 2, 3, 6, 1, 5, 4]);
        assert_eq!(plan.shard(0, 2), [0, 3, 1, 5]);
        assert_eq!(plan.shard(1, 2), [2, 6, 4]);
        assert_eq!(Plan::parse(&plan.to_text(), "").unwrap(), plan);
    }

    #[test]
    fn large_plans_are_taken_in_blocks() {
        let names: Vec<String> = (0..BLOCK + 1).flat_map(|i| [i.to_string(), i.to_string()]).collect();
        let plan = plan(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let order = plan.shard(0, 1);
        assert_eq!(order[..BLOCK], (0..BLOCK).map(|i| 2 * i).collect::<Vec<_>>());
        assert_eq!(order[BLOCK..2 * BLOCK], (0..BLOCK).map(|i| 2 * i + 1).collect::<Vec<_>>());
        assert_eq!(order[2 * BLOCK..], [2 * BLOCK, 2 * BLOCK + 1]);
    }

    #[test]
    fn a_run_that_nobody_shares_is_not_named() {
        let mut plan = plan(&["a", "b", "a", "c", "c"]);
        // The same point once more is no other.
        plan.points[4].id = "3".into();
        keep_shared(&mut plan.points);
        let kept: Vec<Option<&str>> = plan.points.iter().map(|p| p.run.as_deref()).collect();
        assert_eq!(kept, [Some("a"), None, Some("a"), None, None]);
    }
}
