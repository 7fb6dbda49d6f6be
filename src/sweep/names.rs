//! What names mean in a sweep file: paths of chip and workload, columns of the record.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lutsim_host::search::Effort;
use lutsim_sim::chip_file::{self, KeyInfo, load_builtin};
use lutsim_sweep::near::near_miss;
use serde_json::Value as Json;

use crate::resolve;
use crate::session::{Phase, Session};

static KEYS: LazyLock<Vec<KeyInfo>> = LazyLock::new(|| chip_file::keys().collect());

/// A key that a sweep file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its path in the chip file; `chip` is none.
    pub(super) path: String,
    /// Its column: the workload's words bare, others with the unit of their numbers.
    pub(super) column: String,
    /// Its numbers are powers of two.
    pub(super) power_of_two: bool,
}

/// What a path means: a key of the chip file, a bare key of its workload, or `chip`.
pub(super) fn key(name: &str) -> Option<Named> {
    if name == "chip" {
        return Some(Named { path: name.into(), column: name.into(), power_of_two: false });
    }
    let full = format!("workload.{name}");
    let found = KEYS.iter().find(|k| k.path == name || k.path == full || k.canonical == name)?;
    let column = found.canonical.strip_prefix("workload.").unwrap_or(&found.canonical);
    Some(Named { path: found.path.into(), column: column.into(), power_of_two: found.power_of_two })
}

/// The nearest name of a key.
pub(super) fn near_key(name: &str) -> Option<&'static str> {
    let bare = KEYS.iter().filter_map(|k| k.path.strip_prefix("workload."));
    near_miss(name, KEYS.iter().map(|k| k.path).chain(bare).chain(["chip"]))
}

/// A key's value in the canonical echo of a chip.
pub(super) fn value<'a>(canonical: &'a Json, named: &Named) -> &'a Json {
    let workload = &canonical["workload"];
    let of = |root: &'a Json| named.column.split('.').try_fold(root, |at, part| at.get(part));
    let found = if named.path.starts_with("workload.") { of(workload) } else { of(canonical) };
    found.unwrap_or(&Json::Null)
}

/// Columns of each phase that every table has.
const OF_PHASES: [&str; 12] = [
    "seconds",
    "cycles",
    "tokens",
    "tokens_per_second",
    "energy_j",
    "energy_per_token_j",
    "energy_per_token_j_low",
    "energy_per_token_j_high",
    "dram_read_bytes",
    "dram_write_bytes",
    "dram_bandwidth_share",
    "macs",
];
/// Columns of the whole that every table has.
const OF_ALL: [&str; 10] = [
    "area_mm2",
    "area_mm2_low",
    "area_mm2_high",
    "cost_usd",
    "cost_usd_low",
    "cost_usd_high",
    "workload.weight_bytes",
    "workload.stored_bits_per_weight",
    "machine.dram_peak_bytes_per_second",
    "provenance.config_hash",
];

/// The columns that every table has.
pub(super) fn usual(prefill: bool, decode: bool) -> Vec<String> {
    let mut found = Vec::new();
    for phase in [("prefill", prefill), ("decode", decode)].iter().filter(|p| p.1).map(|p| p.0) {
        found.extend(OF_PHASES.iter().map(|name| format!("{phase}.{name}")));
    }
    if prefill {
        found.push("prefill.time_to_first_token_seconds".into());
    }
    found.extend(OF_ALL.map(str::to_owned));
    found
}

/// A column's value in a record.
pub(super) fn cell<'a>(record: &'a Json, column: &str) -> &'a Json {
    let phase = ["decode", "prefill"].iter().any(|p| column.split('.').next() == Some(p));
    let root = if phase { &record["phases"] } else { record };
    column.split('.').try_fold(root, |at, part| at.get(part)).unwrap_or(&Json::Null)
}

/// Every column that a record can give: those of a record of both phases of the smallest model.
pub(super) fn columns() -> &'static BTreeSet<String> {
    static COLUMNS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let chip = load_builtin("tiny").expect("it is built in");
        let model = resolve::model(&chip.workload.model).unwrap_or_else(|e| panic!("it is built in: {e:?}"));
        let session = Session { effort: Effort::Quick, phase: Phase::All, ..Session::new(chip, model) };
        let record = session.run(&()).unwrap_or_else(|e| panic!("it runs: {e}")).record;
        let mut record = serde_json::to_value(record).expect("string keys only");
        let phases = record["phases"].take();
        let mut found = BTreeSet::new();
        leaves("", &record, &mut found);
        leaves("", &phases, &mut found);
        found.retain(|name| !name.starts_with("provenance.config."));
        found
    });
    &COLUMNS
}

fn leaves(prefix: &str, json: &Json, found: &mut BTreeSet<String>) {
    match json {
        Json::Object(map) => {
            for (name, value) in map {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                leaves(&path, value, found);
            }
        }
        Json::Array(_) => {}
        _ if prefix.starts_with("phases") => {}
        _ => {
            found.insert(prefix.to_owned());
        }
    }
}

/// The nearest name of a column of the record.
pub(super) fn near_column(name: &str) -> Option<&'static str> {
    let all = || columns().iter().map(String::as_str);
    // What is right but for the phase before it is nearer than any spelling.
    let in_phase = |phase: &str| all().find(|c| c.strip_prefix(phase) == Some(name));
    in_phase("decode.").or_else(|| in_phase("prefill.")).or_else(|| near_miss(name, all()))
}
