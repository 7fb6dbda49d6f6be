//! The record: everything that a run leaves behind, as one JSON document.
//!
//! Keys are written in the order of declaration below and floats in their shortest form, so the same run
//! writes the same bytes. There is no host name, date, path, engine or wall time in it. Adding a key bumps
//! the minor schema version, changing a meaning the major one; readers refuse another major.

use serde::{Deserialize, Serialize};

use crate::counters::Events;
use crate::energy::EnergyBreakdown;
use crate::ordered::Ordered;
use crate::silicon::{Area, Price};
use crate::technology::Band;
use crate::units::UnitCycles;

/// The schema that this crate writes, `major.minor`.
///
/// 1.1: `events` may have `dram_others_read_bytes` and `dram_others_write_bytes`, traffic of other masters; where they are
/// missing there was none. They belong to no class and to no operator. 1.2: `mac_int8`, `mac_fp16` and `mac_lane_cycles` likewise,
/// and the energy component `mac_lanes`. 1.3: `area_*` are filled, `cost_*` is new; energy of broadcast wires inside cores is part of
/// the component `wires`. 1.4: `energy_by_purpose_*`; `table_roundings` of the events, and `tables` of the workload: where it is
/// missing, table entries were exact. 1.5: cores without tables have `array_*` and `dequantised` in `events`, and the components `array`
/// and `dequantiser` in place of `lut` and `table_builder`.
pub const SCHEMA_VERSION: &str = "1.5";

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `major.minor` of the schema.
    pub schema_version: String,
    /// Which program and which input made it.
    pub provenance: Provenance,
    /// What was run.
    pub workload: WorkloadSummary,
    /// What it ran on: clocks and peaks.
    pub machine: MachineSummary,
    /// Totals per phase.
    pub phases: Phases,
    /// Energy of the run by component, joules, mid values; they sum to the phases' energy.
    pub energy_by_component_j: Ordered<f64>,
    /// The same with every table entry at its low value.
    pub energy_by_component_j_low: Ordered<f64>,
    /// The same with every table entry at its high value.
    pub energy_by_component_j_high: Ordered<f64>,
    /// The same energy by boundary: chip, dram_device, interface. The host SoC is outside.
    pub energy_by_boundary_j: Ordered<f64>,
    /// Low values.
    pub energy_by_boundary_j_low: Ordered<f64>,
    /// High values.
    pub energy_by_boundary_j_high: Ordered<f64>,
    /// The same energy by what it is spent on, across components: look-ups, accumulation, tables, SRAM, wires, leakage and so on.
    #[serde(default)]
    pub energy_by_purpose_j: Ordered<f64>,
    /// Low values.
    #[serde(default)]
    pub energy_by_purpose_j_low: Ordered<f64>,
    /// High values.
    #[serde(default)]
    pub energy_by_purpose_j_high: Ordered<f64>,
    /// Area of the chip, or the reason why there is none.
    #[serde(flatten)]
    pub area: Area,
    /// Price of chip and memory, or nulls.
    #[serde(flatten)]
    pub price: Price,
    /// One entry per operator of a phase and layer, in execution order.
    pub operators: Vec<OperatorRecord>,
    /// Where each unit's cycles went, whole run.
    pub units: Vec<UnitCycles>,
}

/// Which program and which input made the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of lutsim.
    pub version: String,
    /// SHA-256 of the canonical resolved configuration, hexadecimal.
    pub config_hash: String,
    /// The resolved configuration itself.
    pub config: serde_json::Value,
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSummary {
    /// Model name.
    pub model: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// Bytes of weights, scales and zeros as they lie in DRAM.
    pub weight_bytes: u64,
    /// Weight format, for instance `int2`.
    pub weights: String,
    /// Group along the reduction: a number, or `row`.
    pub group: String,
    /// Stored bits per weight of the format, scales and zeros included.
    pub stored_bits_per_weight: f64,
    /// Activation format.
    pub activations: String,
    /// `int8` if table entries were rounded to 8 bits; left out if they were exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// KV cache format.
    pub kv: String,
    /// Sequences at a time.
    pub batch: u64,
    /// Prompt tokens per sequence; 0 skips prefill.
    pub prompt: u64,
    /// Tokens already in the KV cache.
    pub context: u64,
    /// Decode steps.
    pub generate: u64,
    /// Rows of a prefill chunk, the host's choice; null without prefill.
    pub prefill_chunk: Option<u64>,
    /// Token ids that came out, when values were executed.
    pub output_token_ids: Option<Vec<u32>>,
}

/// What it ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineSummary {
    /// Chip name.
    pub chip: String,
    /// Technology of the energy table, for instance `7nm + lpddr5x`.
    pub technology: String,
    /// Clocks by name, Hz.
    pub clocks_hz: Ordered<u64>,
    /// DRAM standard.
    pub dram_standard: String,
    /// `banked` (constraint table) or `ideal` (latency and bandwidth only).
    pub dram_model: String,
    /// Memory channels.
    pub dram_channels: u64,
    /// Peak of the pins, bytes per second.
    pub dram_peak_bytes_per_second: f64,
    /// Scratchpad size in bytes.
    pub scratchpad_bytes: u64,
    /// Peak of all banks, bytes per second.
    pub scratchpad_peak_bytes_per_second: f64,
    /// Core clock, Hz.
    pub core_clock_hz: u64,
    /// LUT cores, as text: `16 x M2 N64 K4`.
    pub lut_cores: String,
    /// Peak of the LUT cores by weight width in bits, operations per second, two per multiply-accumulate.
    pub lut_peak_ops_per_second: Ordered<f64>,
}

/// Both phases; a skipped one is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// The prompt.
    pub prefill: Option<PrefillPhase>,
    /// Token by token.
    pub decode: Option<DecodePhase>,
}

/// The prefill phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefillPhase {
    /// What both phases have.
    #[serde(flatten)]
    pub totals: PhaseTotals,
    /// From the first doorbell to the first token read back, seconds.
    pub time_to_first_token_seconds: f64,
}

/// The decode phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodePhase {
    /// What both phases have.
    #[serde(flatten)]
    pub totals: PhaseTotals,
    /// Steps that were simulated cycle by cycle; the others are interpolated.
    pub simulated_steps: u64,
    /// Largest relative residual of the fit through the simulated steps; null if every step was simulated.
    pub interpolation_residual: Option<f64>,
}

/// Totals over a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseTotals {
    /// Core-clock edges.
    pub cycles: u64,
    /// The same in seconds.
    pub seconds: f64,
    /// Batch times tokens per sequence.
    pub tokens: u64,
    /// `tokens / seconds`.
    pub tokens_per_second: f64,
    /// Joules, mid.
    pub energy_j: f64,
    /// Joules, low.
    pub energy_j_low: f64,
    /// Joules, high.
    pub energy_j_high: f64,
    /// Joules per token, mid.
    pub energy_per_token_j: f64,
    /// Joules per token, low.
    pub energy_per_token_j_low: f64,
    /// Joules per token, high.
    pub energy_per_token_j_high: f64,
    /// Bytes that read bursts of the accelerator moved.
    pub dram_read_bytes: u64,
    /// Bytes that write bursts of the accelerator moved.
    pub dram_write_bytes: u64,
    /// Bytes moved over what the pins could have moved in this time.
    pub dram_bandwidth_share: f64,
    /// The same bytes, both directions, by what they were.
    pub dram_bytes_by_class: DramBytesByClass,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Joules by component, mid.
    pub energy_by_component_j: Ordered<f64>,
    /// Joules by what they are spent on, mid.
    #[serde(default)]
    pub energy_by_purpose_j: Ordered<f64>,
    /// Every event counter.
    pub events: Events,
    /// Where each unit's cycles went in this phase.
    pub units: Vec<UnitCycles>,
}

macro_rules! classes {
    ($($name:ident $doc:literal;)*) => {
        /// The accelerator's DRAM bytes by what they were; the sum is its bursts times burst size.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct DramBytesByClass { $(#[doc = $doc] pub $name: u64,)* }

        impl DramBytesByClass {
            /// Class, meaning, in declared order.
            pub const CLASSES: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $doc),)*];

            /// Classes and bytes in declared order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl std::ops::Add for DramBytesByClass {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                DramBytesByClass { $($name: self.$name + other.$name,)* }
            }
        }
    };
}

classes! {
    weights "Weight codes.";
    scales "Scales and zero points of weights.";
    kv "KV cache, read and written, with its scales.";
    spill "Intermediate tensors that did not fit in scratchpad.";
    program "Instructions.";
    embedding "Embedding rows: of tokens, and of positions that were learned.";
    norm "Norm vectors and biases.";
    rope "Rotary tables, ALiBi slopes.";
    result "Logits or token ids for the host.";
    overfetch "Bytes of bursts that nothing asked for: ragged ends and padding.";
}

impl DramBytesByClass {
    /// All classes.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, n)| n).sum()
    }
}

/// One operator of one layer in one phase; decode steps are added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorRecord {
    /// The operator, for instance `mlp.down`.
    pub name: String,
    /// `prefill` or `decode`.
    pub phase: String,
    /// Layer number; null for what belongs to none (embedding, final norm, head).
    pub layer: Option<u64>,
    /// Times that it ran: prefill chunks or decode steps.
    pub executions: u64,
    /// Core cycles between the last retirement of the operator before and its own, added over executions.
    pub cycles: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Operations of vector lanes.
    pub vector_ops: u64,
    /// Bytes that the pins moved in its interval, prefetches of others included.
    pub dram_bytes_transferred: u64,
    /// Bytes that it asked for, whenever they moved.
    pub dram_bytes_owned: u64,
    /// The unit with the largest share of busy cycles in the interval (not a proof of what binds).
    pub busiest: String,
    /// Stall cycles in the interval by `unit.cause`, zeros left out.
    pub stalls: Ordered<u64>,
}

/// Why a text is not a record that this version reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The text ends too early.
    #[error("the record is cut off at line {line}, column {column}: was it written completely?")]
    Truncated {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Not JSON, or a key has the wrong type or is missing.
    #[error("not a lutsim record: {0}")]
    Malformed(String),
    /// No `schema_version`.
    #[error("not a lutsim record: it has no `schema_version`")]
    NotARecord,
    /// Written under another major version.
    #[error(
        "the record has schema version {found}, this lutsim reads {reads}.x: use the lutsim that wrote it"
    )]
    Version {
        /// The version found.
        found: String,
        /// The major version that is read.
        reads: u64,
    },
}

impl From<serde_json::Error> for RecordError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_eof() {
            RecordError::Truncated { line: error.line(), column: error.column() }
        } else {
            RecordError::Malformed(error.to_string())
        }
    }
}

fn major(version: &str) -> Option<u64> {
    let (major, minor) = version.split_once('.')?;
    minor.parse::<u64>().ok()?;
    major.parse().ok()
}

impl Record {
    /// The record as pretty JSON with a newline at its end.
    ///
    /// # Panics
    /// If a number is not finite: a fault of whoever computed it.
    pub fn to_json(&self) -> String {
        for (what, value) in self.floats() {
            assert!(value.is_finite(), "record: {what} is {value}");
        }
        let mut text = serde_json::to_string_pretty(self).expect("a record has string keys only");
        text.push('\n');
        text
    }

    /// Reads a record of the same major schema version; keys of newer minor versions are ignored.
    pub fn from_json(text: &str) -> Result<Record, RecordError> {
        #[derive(Deserialize)]
        struct Probe {
            schema_version: Option<String>,
        }
        let version = serde_json::from_str::<Probe>(text)?.schema_version.ok_or(RecordError::NotARecord)?;
        let reads = major(SCHEMA_VERSION).expect("the schema version is major.minor");
        if major(&version) != Some(reads) {
            return Err(RecordError::Version { found: version, reads });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// A record from its parts; energy of the run is `energy`, units are the sum over phases.
    pub fn new(
        provenance: Provenance,
        workload: WorkloadSummary,
        machine: MachineSummary,
        phases: Phases,
        energy: &EnergyBreakdown,
        (area, price): (Area, Price),
        operators: Vec<OperatorRecord>,
    ) -> Record {
        let pick = |map: &Ordered<Band>, f: fn(&Band) -> f64| -> Ordered<f64> {
            map.iter().map(|(name, band)| (name, f(band))).collect()
        };
        let (component, boundary, purpose) =
            (energy.by_component(), energy.by_boundary(), energy.by_purpose());
        let mut record = Record {
            schema_version: SCHEMA_VERSION.to_owned(),
            provenance,
            workload,
            machine,
            phases,
            energy_by_component_j: pick(&component, |b| b.mid),
            energy_by_component_j_low: pick(&component, |b| b.low),
            energy_by_component_j_high: pick(&component, |b| b.high),
            energy_by_boundary_j: pick(&boundary, |b| b.mid),
            energy_by_boundary_j_low: pick(&boundary, |b| b.low),
            energy_by_boundary_j_high: pick(&boundary, |b| b.high),
            energy_by_purpose_j: pick(&purpose, |b| b.mid),
            energy_by_purpose_j_low: pick(&purpose, |b| b.low),
            energy_by_purpose_j_high: pick(&purpose, |b| b.high),
            area,
            price,
            operators,
            units: Vec::new(),
        };
        let mut units: Vec<UnitCycles> = Vec::new();
        for (_, phase) in record.phases() {
            for unit in &phase.units {
                match units.iter_mut().find(|u| u.name == unit.name) {
                    Some(sum) => *sum = sum.plus(unit),
                    None => units.push(unit.clone()),
                }
            }
        }
        record.units = units;
        record
    }

    /// The phases that ran, with their names, in order of time.
    pub fn phases(&self) -> impl Iterator<Item = (&'static str, &PhaseTotals)> {
        let prefill = self.phases.prefill.iter().map(|p| ("prefill", &p.totals));
        prefill.chain(self.phases.decode.iter().map(|p| ("decode", &p.totals)))
    }

    fn floats(&self) -> Vec<(String, f64)> {
        let mut all = vec![
            ("stored_bits_per_weight".to_owned(), self.workload.stored_bits_per_weight),
            ("dram_peak_bytes_per_second".to_owned(), self.machine.dram_peak_bytes_per_second),
            ("scratchpad_peak_bytes_per_second".to_owned(), self.machine.scratchpad_peak_bytes_per_second),
        ];
        for (phase, p) in self.phases() {
            for (name, value) in [
                ("seconds", p.seconds),
                ("tokens_per_second", p.tokens_per_second),
                ("energy_j", p.energy_j),
                ("energy_j_low", p.energy_j_low),
                ("energy_j_high", p.energy_j_high),
                ("energy_per_token_j", p.energy_per_token_j),
                ("dram_bandwidth_share", p.dram_bandwidth_share),
            ] {
                all.push((format!("{phase}.{name}"), value));
            }
        }
        let maps =
            [&self.energy_by_component_j, &self.energy_by_component_j_high, &self.energy_by_boundary_j];
        all.extend(maps.into_iter().flat_map(|m| m.iter().map(|(k, v)| (k.to_owned(), *v))));
        all.extend(
            self.phases
                .decode
                .iter()
                .filter_map(|d| d.interpolation_residual.map(|r| ("interpolation_residual".to_owned(), r))),
        );
        all.extend(
            self.phases
                .prefill
                .iter()
                .map(|p| ("time_to_first_token".to_owned(), p.time_to_first_token_seconds)),
        );
        all
    }
}

impl PhaseTotals {
    /// Totals from integers: everything derived is computed here, once.
    ///
    /// `tokens` is batch times tokens per sequence; `core_hz` and `dram_peak` (bytes per second) are the machine's.
    pub fn derive(
        cycles: u64,
        tokens: u64,
        events: Events,
        classes: DramBytesByClass,
        units: Vec<UnitCycles>,
        energy: &EnergyBreakdown,
        (core_hz, dram_peak): (u64, f64),
    ) -> PhaseTotals {
        let per = |value: f64, by: f64| if by > 0.0 { value / by } else { 0.0 };
        let seconds = per(cycles as f64, core_hz as f64);
        let total = energy.total();
        let moved = events.dram_read_bytes + events.dram_write_bytes;
        PhaseTotals {
            cycles,
            seconds,
            tokens,
            tokens_per_second: per(tokens as f64, seconds),
            energy_j: total.mid,
            energy_j_low: total.low,
            energy_j_high: total.high,
            energy_per_token_j: per(total.mid, tokens as f64),
            energy_per_token_j_low: per(total.low, tokens as f64),
            energy_per_token_j_high: per(total.high, tokens as f64),
            dram_read_bytes: events.dram_read_bytes,
            dram_write_bytes: events.dram_write_bytes,
            dram_bandwidth_share: per(moved as f64, dram_peak * seconds),
            dram_bytes_by_class: classes,
            macs: events.macs,
            energy_by_component_j: energy.by_component().iter().map(|(k, b)| (k, b.mid)).collect(),
            energy_by_purpose_j: energy.by_purpose().iter().map(|(k, b)| (k, b.mid)).collect(),
            events,
            units,
        }
    }
}
