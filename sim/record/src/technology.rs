//! Technology files: what one event costs, with a low-high band, a source and a word on how it was obtained.
//!
//! ```toml
//! name = "28nm"
//! title = "28 nm class CMOS, 0.9 V"
//!
//! [entry.lut_select]
//! value = 0.226
//! low = 0.154
//! high = 0.578
//! unit = "pJ"
//! node_nm = 28
//! voltage_v = 0.9
//! kind = "calibrated"
//! source = "..."
//! note = "..."
//! ```

use serde::{Deserialize, Serialize};

use crate::counters::EventUnit;
use crate::ordered::Ordered;

/// A value with its low and high ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The headline.
    pub mid: f64,
    /// The low end.
    pub low: f64,
    /// The high end.
    pub high: f64,
}

impl Band {
    /// All three numbers times `factor`.
    #[must_use]
    pub fn times(self, factor: f64) -> Band {
        Band { mid: self.mid * factor, low: self.low * factor, high: self.high * factor }
    }
}

impl std::ops::Add for Band {
    type Output = Band;
    fn add(self, other: Band) -> Band {
        Band { mid: self.mid + other.mid, low: self.low + other.low, high: self.high + other.high }
    }
}

/// How a number was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From a published table or tool, scaled by a published rule at most.
    Sourced,
    /// Measured on our own netlists and fitted to a published anchor.
    Calibrated,
    /// A judgement, with the reason in the note.
    Assumed,
}

impl Kind {
    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sourced => "sourced",
            Kind::Calibrated => "calibrated",
            Kind::Assumed => "assumed",
        }
    }
}

/// One entry of a technology file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Mid value.
    pub value: f64,
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// Unit: one of `fJ`, `pJ`, `nJ` (per event), `pJ/byte`, `pJ/bit`, `nW`, `uW`, `mW`.
    pub unit: String,
    /// Node that the value holds for, nm.
    pub node_nm: f64,
    /// Supply that it holds for, V.
    pub voltage_v: f64,
    /// How it was obtained.
    pub kind: Kind,
    /// Where from.
    pub source: String,
    /// How it was derived, what it includes.
    pub note: String,
}

impl Entry {
    /// The cost in joules of one event of the given unit; `hz` is the clock of cycle-like events.
    /// None if the units do not fit.
    pub fn joules_per_event(&self, event: EventUnit, hz: u64) -> Option<Band> {
        use EventUnit::{Byte, CoreCycle, DramClock, Each};
        let per_second = || (hz > 0).then(|| 1.0 / hz as f64);
        let factor = match (self.unit.as_str(), event) {
            ("fJ", Each | CoreCycle | DramClock) => 1e-15,
            ("pJ", Each | CoreCycle | DramClock) => 1e-12,
            ("nJ", Each | CoreCycle | DramClock) => 1e-9,
            ("pJ/byte", Byte) => 1e-12,
            ("pJ/bit", Byte) => 8e-12,
            ("nW", CoreCycle | DramClock) => 1e-9 * per_second()?,
            ("uW", CoreCycle | DramClock) => 1e-6 * per_second()?,
            ("mW", CoreCycle | DramClock) => 1e-3 * per_second()?,
            _ => return None,
        };
        Some(Band { mid: self.value, low: self.low, high: self.high }.times(factor))
    }
}

const UNITS: &[&str] = &["fJ", "pJ", "nJ", "pJ/byte", "pJ/bit", "nW", "uW", "mW"];

/// A table of entries, read from one or several technology files.
#[derive(Clone, Debug, PartialEq)]
pub struct Tech {
    /// Name, for instance `7nm + lpddr5x`.
    pub name: String,
    entries: Ordered<Entry>,
}

/// Why a technology file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TechError {
    /// Not TOML, an unknown or a missing key.
    #[error("technology `{file}`: {message}")]
    Syntax {
        /// The file's name as given.
        file: String,
        /// What is wrong, with the place.
        message: String,
    },
    /// An entry's numbers or words are wrong.
    #[error("technology `{file}`, entry `{entry}`: {message}")]
    Entry {
        /// The file's name as given.
        file: String,
        /// The entry.
        entry: String,
        /// What is wrong.
        message: String,
    },
    /// Two files give the same entry.
    #[error("technologies `{first}` and `{second}` both have the entry `{entry}`")]
    Twice {
        /// The table so far.
        first: String,
        /// The file that is added.
        second: String,
        /// The entry.
        entry: String,
    },
    /// No built-in file of that name.
    #[error("unknown technology `{name}`; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "title")]
    _title: String,
    entry: Ordered<Entry>,
}

impl Tech {
    /// The technology files that come with lutsim: name and text.
    pub const BUILTIN: &'static [(&'static str, &'static str)] = &[
        ("28nm", include_str!("../../../configs/tech/28nm.toml")),
        ("7nm", include_str!("../../../configs/tech/7nm.toml")),
        ("hbm2e", include_str!("../../../configs/tech/hbm2e.toml")),
        ("lpddr4x", include_str!("../../../configs/tech/lpddr4x.toml")),
        ("lpddr5x", include_str!("../../../configs/tech/lpddr5x.toml")),
    ];

    /// Reads a technology file; `file` names it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Tech, TechError> {
        let syntax = |e: toml::de::Error| TechError::Syntax { file: file.to_owned(), message: e.to_string() };
        let parsed: File = toml::from_str(text).map_err(syntax)?;
        for (name, entry) in parsed.entry.iter() {
            verify(name, entry).map_err(|message| TechError::Entry {
                file: file.to_owned(),
                entry: name.to_owned(),
                message,
            })?;
        }
        Ok(Tech { name: parsed.name, entries: parsed.entry })
    }

    /// A built-in technology by name, with or without `.toml`.
    pub fn builtin(name: &str) -> Result<Tech, TechError> {
        let stem = name.strip_suffix(".toml").unwrap_or(name);
        match Tech::BUILTIN.iter().find(|(known, _)| *known == stem) {
            Some((known, text)) => Tech::parse(known, text),
            None => Err(TechError::Unknown {
                name: name.to_owned(),
                known: Tech::BUILTIN.iter().map(|(known, _)| (*known).to_owned()).collect(),
            }),
        }
    }

    /// Both tables as one, for instance a logic node and a DRAM standard.
    pub fn with(mut self, other: Tech) -> Result<Tech, TechError> {
        for (name, entry) in other.entries.iter() {
            if self.entries.get(name).is_some() {
                return Err(TechError::Twice {
                    first: self.name,
                    second: other.name,
                    entry: name.to_owned(),
                });
            }
            self.entries.insert(name, entry.clone());
        }
        self.name = format!("{} + {}", self.name, other.name);
        Ok(self)
    }

    /// The built-in table of a chip: a logic node and a DRAM standard.
    pub fn for_chip(logic: &str, dram: &str) -> Result<Tech, TechError> {
        Tech::builtin(logic)?.with(Tech::builtin(dram)?)
    }

    /// The entry named `name`.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter()
    }
}

fn verify(name: &str, e: &Entry) -> Result<(), String> {
    if !crate::energy::entry_names().any(|known| known == name) {
        let known: Vec<_> = crate::energy::entry_names().collect();
        return Err(format!("no energy line uses it; known entries are {}", known.join(", ")));
    }
    if ![e.value, e.low, e.high].iter().all(|x| x.is_finite() && *x >= 0.0) {
        return Err("value, low and high must be finite and not negative".to_owned());
    }
    if !(e.low <= e.value && e.value <= e.high) {
        return Err(format!("low {} <= value {} <= high {} does not hold", e.low, e.value, e.high));
    }
    if !UNITS.contains(&e.unit.as_str()) {
        return Err(format!("unknown unit `{}`; there are {}", e.unit, UNITS.join(", ")));
    }
    if !(e.node_nm > 0.0 && e.voltage_v > 0.0) {
        return Err("node_nm and voltage_v must be positive".to_owned());
    }
    if e.source.trim().is_empty() || e.note.trim().is_empty() {
        return Err("source and note must not be empty".to_owned());
    }
    Ok(())
}
