//! What a chip file's names refer to in other tables: DRAM standards and technologies.

use std::sync::{LazyLock, OnceLock};

use lutsim_dram::Standard;
use lutsim_record::technology::Tech;

use super::error::Fault;

/// What a standard limits.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// tREFI, memory clocks.
    pub(crate) refresh_interval: u64,
    /// tRFC, memory clocks.
    pub(crate) refresh_clocks: u64,
    /// Bytes of one burst.
    pub(crate) burst_bytes: u32,
    /// Capacity of one channel.
    pub(crate) channel_bytes: u64,
}

/// The limits of a standard.
pub(crate) fn limits(name: &str) -> Result<Limits, Fault> {
    // A standard's file is read once per process: a sweep asks a hundred thousand times.
    static READ: LazyLock<Vec<OnceLock<Limits>>> =
        LazyLock::new(|| Standard::builtin_names().iter().map(|_| OnceLock::new()).collect());
    let known = Standard::builtin_names();
    let Some(at) = known.iter().position(|k| *k == name) else {
        return Err(unknown("DRAM standard", name, known.iter().copied()));
    };
    Ok(*READ[at].get_or_init(|| read(name)))
}

fn read(name: &str) -> Limits {
    let s = Standard::builtin(name).unwrap_or_else(|e| panic!("built-in standard {name}: {e}"));
    let banks: u64 = s.levels.iter().map(|l| u64::from(l.count)).product();
    Limits {
        refresh_interval: s.refresh_interval,
        refresh_clocks: s.refresh_clocks(),
        burst_bytes: s.request_bytes,
        channel_bytes: banks * u64::from(s.rows) * u64::from(s.bursts_per_row) * u64::from(s.request_bytes),
    }
}

/// Whether there is such a node.
pub(crate) fn check_node(name: &str) -> Result<(), Fault> {
    static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| lutsim_tech::node_names().collect());
    match KNOWN.iter().any(|known| known == name) {
        true => Ok(()),
        false => Err(unknown("technology", name, KNOWN.iter().map(String::as_str))),
    }
}

/// Whether there is such a technology of memories.
pub(crate) fn check_technology(name: &str) -> Result<(), Fault> {
    let known = || Tech::BUILTIN.iter().map(|(known, _)| *known);
    match known().any(|k| k == name) {
        true => Ok(()),
        false => Err(unknown("technology", name, known())),
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Fault {
    Fault::UnknownName { what: what.into(), name: name.into(), known: known.map(str::to_owned).collect() }
}
