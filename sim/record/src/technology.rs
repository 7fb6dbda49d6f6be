//! Technology files: what one event costs, with a low-high band, a source and a word on how it was obtained.
//!
//! ```toml
//! name = "lpddr5x"
//! title = "LPDDR5X"
//!
//! [entry.dram_read]
//! value = 3.8
//! low = 2.2
//! high = 7.0
//! unit = "pJ/bit"
//! node_nm = 14
//! voltage_v = 1.05
//! kind = "assumed"
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
    /// Unit: one of `fJ`, `pJ`, `nJ` (per event), `pJ/byte`, `pJ/bit`, `nW`, `uW`, `mW`; of a DRAM's interface `mm2`, of its price `USD/GB`.
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

const UNITS: &[&str] = &["fJ", "pJ", "nJ", "pJ/byte", "pJ/bit", "nW", "uW", "mW", "mm2", "USD/GB"];

/// A table of entries, read from one or several technology files.
#[derive(Clone, Debug, PartialEq)]
pub struct Tech {
    /// Name, for instance `7nm + lpddr5x`.
    pub name: String,
    entries: Ordered<Entry>,
    /// Entries that the chip has nothing for: what cores have depends on their kind.
    lacking: Vec<&'static str>,
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
        // Files are of chips with tables; if they have entries of other cores, they need them all.
        let of_arrays = OF_ARRAYS.iter().all(|entry| parsed.entry.get(entry).is_none());
        let lacking = if of_arrays { OF_ARRAYS.to_vec() } else { Vec::new() };
        Ok(Tech { name: parsed.name, entries: parsed.entry, lacking })
    }

    /// A table of entries that were computed, for instance from a chip's structure.
    pub fn of_entries(name: String, entries: Ordered<Entry>) -> Tech {
        Tech { name, entries, lacking: Vec::new() }
    }

    /// The same of a chip that has nothing to which some entries could apply: they may be missing, and counts of them are an error.
    #[must_use]
    pub fn lacking(self, entries: &[&'static str]) -> Tech {
        Tech { lacking: entries.to_vec(), ..self }
    }

    /// Whether the chip has nothing to which an entry could apply.
    pub fn lacks(&self, entry: &str) -> bool {
        self.lacking.contains(&entry)
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

    /// The band of an entry in `unit`.
    pub fn band(&self, name: &str, unit: &str) -> Option<Band> {
        let e = self.entry(name).filter(|e| e.unit == unit)?;
        Some(Band { mid: e.value, low: e.low, high: e.high })
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

/// Whether value, low and high are a band.
///
/// # Errors
/// One is negative or not finite, or they are not in order.
pub fn check_band(value: f64, low: f64, high: f64) -> Result<(), String> {
    if ![value, low, high].iter().all(|x| x.is_finite() && *x >= 0.0) {
        return Err("value, low and high must be finite and not negative".to_owned());
    }
    if !(low <= value && value <= high) {
        return Err(format!("low {low} <= value {value} <= high {high} does not hold"));
    }
    Ok(())
}

/// Entries of cores with tables.
pub const OF_TABLES: &[&str] = &[
    "lut_select",
    "lut_accumulate",
    "lut_pe_leakage",
    "table_add",
    "table_read",
    "wire_tables",
    "wire_stored_tables",
];
/// Entries of cores without.
pub const OF_ARRAYS: &[&str] =
    &["array_product", "array_accumulate", "array_operand", "array_leakage", "dequantise"];

/// Entries of a DRAM's file that no energy line uses.
const OF_THE_CHIP: &[&str] = &["phy_area", "price"];

fn verify(name: &str, e: &Entry) -> Result<(), String> {
    let known = || crate::energy::entry_names().chain(OF_THE_CHIP.iter().copied());
    if !known().any(|known| known == name) {
        let known: Vec<_> = known().collect();
        return Err(format!("no energy line uses it; known entries are {}", known.join(", ")));
    }
    check_band(e.value, e.low, e.high)?;
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
