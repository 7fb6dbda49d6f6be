//! Chip files: TOML text, with overrides, to a validated [`Chip`] and its default workload.
//!
//! ```text
//! text, --set --document--> raw value and place per key --value--> checked value --build--> Chip
//!                              keys.rs: one table of every key -------+--> docs/config.md, canonical echo
//! ```

mod again;
mod cores;
mod document;
mod echo;
mod error;
mod keys;
mod origin;
mod quantity;
mod schema;
mod standards;
mod value;

use std::sync::Arc;

use lutsim_isa::field::{AType, Entries};
use lutsim_isa::{Group, WeightKind};
use lutsim_tech::Kind;

pub use document::Override;
pub use echo::config_markdown;
pub use error::{ChipError, Fault, near_miss};
pub use origin::{Place, Setting};
pub use schema::{SchemaRow, json_schema, schema_rows};

use crate::config::*;
use document::{Document, Entry, Raw};
use keys::{KEYS, Key, Need};
use value::Value;

/// A chip file that makes sense.
#[derive(Clone, PartialEq, Debug)]
pub struct ChipFile {
    /// The machine.
    pub chip: Chip,
    /// What is said about it.
    pub about: About,
    /// Energy table of the DRAM, by name; the logic's is [`Chip::technology`].
    pub dram_technology: String,
    /// What runs on it unless told otherwise.
    pub workload: Workload,
    values: Vec<Option<Value>>,
    /// The text that it was read from: where values come from is looked up when somebody asks.
    document: Arc<Document>,
}

/// What is said about a chip; nothing is computed from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// What it is, in a line.
    pub title: String,
    /// Process node of the logic.
    pub node: String,
    /// Supply of the logic.
    pub voltage: String,
    /// What its area and energy include, and what they do not.
    pub includes: String,
}

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Model, by name.
    pub model: String,
    /// Prompt tokens of each sequence.
    pub prompt: u32,
    /// Decode steps.
    pub generate: u32,
    /// Tokens already in the KV cache.
    pub context: u32,
    /// Sequences at a time.
    pub batch: u32,
    /// Weight format.
    pub weights: WeightKind,
    /// Weights that share a scale.
    pub group: Group,
    /// Weight format of the output head.
    pub head: WeightKind,
    /// The head's weights that share a scale.
    pub head_group: Group,
    /// Activation format.
    pub activations: AType,
    /// Entries of the tables.
    pub tables: Entries,
    /// KV cache format.
    pub kv: WeightKind,
    /// The host samples: all logits are read back.
    pub sampling: bool,
}

/// The chip files that come with lutsim: name and text.
pub const BUILTIN: &[(&str, &str)] = &[
    ("a100_fp16", include_str!("../../../configs/chips/a100_fp16.toml")),
    ("a100_int8", include_str!("../../../configs/chips/a100_int8.toml")),
    ("a100_lut_4x", include_str!("../../../configs/chips/a100_lut_4x.toml")),
    ("a100_lut_8x", include_str!("../../../configs/chips/a100_lut_8x.toml")),
    ("laptop_like", include_str!("../../../configs/chips/laptop_like.toml")),
    ("pi_like", include_str!("../../../configs/chips/pi_like.toml")),
    ("server_like", include_str!("../../../configs/chips/server_like.toml")),
    ("snapdragon_like", include_str!("../../../configs/chips/snapdragon_like.toml")),
    ("tiny", include_str!("../../../configs/chips/tiny.toml")),
];

/// The text of a built-in chip file, by name, with or without `.toml`.
///
/// # Errors
/// There is no such chip; the message lists what there is.
pub fn builtin_text(name: &str) -> Result<&'static str, Box<ChipError>> {
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    match BUILTIN.iter().find(|(known, _)| *known == stem) {
        Some((_, text)) => Ok(text),
        None => Err(ChipError::unknown("chip", name, BUILTIN.iter().map(|(known, _)| *known))),
    }
}

/// A built-in chip.
///
/// # Errors
/// There is no such chip.
pub fn load_builtin(name: &str) -> Result<ChipFile, Box<ChipError>> {
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    ChipFile::parse(&format!("{stem}.toml"), builtin_text(name)?, &[])
}

impl ChipFile {
    /// Reads a chip file; `name` is what messages call it.
    ///
    /// # Errors
    /// The first thing that is wrong with it or with an override.
    pub fn parse(name: &str, text: &str, overrides: &[Override]) -> Result<Self, Box<ChipError>> {
        Template::parse(name, text)?.with(overrides)
    }

    fn of(document: Document) -> Result<Self, Box<ChipError>> {
        let doc = &document;
        let ideal = is_ideal(doc)?;
        let is =
            |key: Key, text: &str| matches!(doc.get(key), Some(Entry { raw: Raw::Text(t), .. }) if t == text);
        // A word that is no kind is refused where it is read.
        let kind = Kind::ALL.into_iter().find(|kind| is(Key::LutKind, kind.name())).unwrap_or(Kind::Lut);
        let ingress = kind.has_tables() && !is(Key::LutBuild, "vector");
        let others = KEYS.iter().any(|k| k.row().need == Need::Background && doc.get(*k).is_some());
        let mut values = Vec::with_capacity(KEYS.len());
        for &key in KEYS {
            let wanted = match key.row().need {
                Need::Always | Need::Default(_) => true,
                Need::Tables => kind.has_tables(),
                Need::Ingress => ingress,
                Need::Dequantised => kind.traits().dequantises && doc.get(key).is_some(),
                Need::Banked => !ideal,
                Need::Ideal => ideal,
                Need::Background => others,
                Need::Optional => doc.get(key).is_some(),
            };
            values.push(if wanted { Some(value::read(doc, key)?) } else { None });
        }
        let mut file = build(values, ideal);
        cores::check(doc, &file)?;
        check_rules(doc, &file.chip)?;
        standards::check_node(&file.chip.technology).map_err(|f| doc.fault(Key::Technology, f))?;
        standards::check_technology(&file.dram_technology).map_err(|f| doc.fault(Key::DramTechnology, f))?;
        file.document = Arc::new(document);
        Ok(file)
    }
}

/// A chip file that was read and not yet judged: read once, overridden many times.
#[derive(Clone, Debug)]
pub struct Template(Document);

impl Template {
    /// Reads a chip file; `name` is what messages call it.
    ///
    /// # Errors
    /// Not TOML, or an unknown key.
    pub fn parse(name: &str, text: &str) -> Result<Self, Box<ChipError>> {
        Ok(Self(Document::parse(name, text)?))
    }
    /// The chip with overrides.
    ///
    /// # Errors
    /// The first thing that is wrong with it or with an override.
    pub fn with(&self, overrides: &[Override]) -> Result<ChipFile, Box<ChipError>> {
        let mut doc = self.0.clone();
        doc.override_with(overrides)?;
        ChipFile::of(doc)
    }
}

/// A key of chip files, for what chooses values of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Where it is: `lut.cores`.
    pub path: &'static str,
    /// Its name in the record's echo, with the unit of the number: `clock_hz`.
    pub canonical: String,
    /// Its numbers are powers of two.
    pub power_of_two: bool,
}

/// Every key, in canonical order.
pub fn keys() -> impl Iterator<Item = KeyInfo> {
    KEYS.iter().map(|key| KeyInfo {
        path: key.path(),
        canonical: key.canonical(),
        power_of_two: matches!(key.row().kind, keys::Kind::Power(..)),
    })
}

fn is_ideal(doc: &Document) -> Result<bool, Box<ChipError>> {
    let ideal = KEYS.iter().copied().find(|k| k.row().need == Need::Ideal && doc.get(*k).is_some());
    match (ideal, doc.get(Key::DramStandard)) {
        (Some(key), Some(_)) => Err(doc.fault(
            key,
            Fault::Rule {
                message: "`dram.standard` and `[dram.ideal]` exclude each other".into(),
                help: "keep the standard for a real memory, the ideal one to isolate effects".into(),
            },
        )),
        (ideal, _) => Ok(ideal.is_some()),
    }
}

fn build(values: Vec<Option<Value>>, ideal: bool) -> ChipFile {
    let wide = |key: Key| match &values[key as usize] {
        Some(Value::Int(n)) => *n,
        other => panic!("`{}` was read as {other:?}", key.path()),
    };
    let any = |key: Key| match &values[key as usize] {
        Some(Value::Int(n)) => *n,
        _ => 0,
    };
    let small = |key: Key| u32::try_from(any(key)).expect("the key table limits it to 32 bits");
    let int = |key: Key| u32::try_from(wide(key)).expect("the key table limits it to 32 bits");
    let text = |key: Key| match &values[key as usize] {
        Some(Value::Text(s)) => s.clone(),
        other => panic!("`{}` was read as {other:?}", key.path()),
    };
    let flag = |key: Key| values[key as usize] == Some(Value::Flag(true));
    let group = |key: Key| match &values[key as usize] {
        Some(Value::Int(n)) => Group::Of(*n as u32),
        _ => Group::Row,
    };
    let kind = match ideal {
        false => DramKind::Standard(text(Key::DramStandard)),
        true => DramKind::Ideal {
            latency_ns: wide(Key::IdealLatency),
            bytes_per_second: wide(Key::IdealBandwidth),
            burst_bytes: int(Key::IdealBurstBytes),
        },
    };
    let refresh = match ideal {
        true => Refresh { policy: RefreshPolicy::Timer, interval_cycles: u32::MAX },
        false => Refresh {
            policy: match text(Key::RefreshPolicy).as_str() {
                "aligned" => RefreshPolicy::Aligned,
                _ => RefreshPolicy::Timer,
            },
            interval_cycles: int(Key::RefreshIntervalCycles),
        },
    };
    let cores = Kind::named(&text(Key::LutKind)).expect("the key table lists kinds");
    let (n, k) = (int(Key::LutN), int(Key::LutK));
    let chip = Chip {
        name: text(Key::Name),
        clock_hz: wide(Key::Clock),
        technology: text(Key::Technology),
        lut: Lut {
            kind: cores,
            cores: int(Key::LutCores),
            m: int(Key::LutM),
            n,
            k,
            drain_lanes: int(Key::LutDrainLanes),
            accumulator_bits: int(Key::LutAccumulatorBits),
            pipeline_cycles: int(Key::LutPipelineCycles),
            build: match &values[Key::LutBuild as usize] {
                None => Build::Nobody,
                Some(Value::Text(t)) if t == "vector" => Build::Vector,
                Some(_) => Build::Ingress { builders: int(Key::LutBuilders) },
            },
            dequantisers: match cores.traits().dequantises {
                true if any(Key::LutDequantisers) == 0 => n * k,
                _ => small(Key::LutDequantisers),
            },
            weight_link_bytes: int(Key::LutWeightLinkBytes),
            activation_link_bytes: int(Key::LutActivationLinkBytes),
            mac_lanes: small(Key::AttentionMacLanes),
        },
        scratchpad: Scratchpad {
            bytes: wide(Key::ScratchpadBytes),
            banks: int(Key::ScratchpadBanks),
            bank_bytes: int(Key::ScratchpadBankBytes),
            conflict_free: flag(Key::ScratchpadConflictFree),
        },
        vector: Vector {
            lanes: int(Key::VectorLanes),
            special_lanes: int(Key::VectorSpecialLanes),
            pipeline_cycles: int(Key::VectorPipelineCycles),
        },
        dma: Dma {
            outstanding_bursts: int(Key::DmaOutstandingBursts),
            port_bytes: int(Key::DmaPortBytes),
            unpacker_bytes: int(Key::DmaUnpackerBytes),
            transfers: int(Key::DmaTransfers),
        },
        sequencer: Sequencer {
            queue_depth: int(Key::SequencerQueueDepth),
            buffer_bytes: int(Key::SequencerBufferBytes),
        },
        dram: Dram {
            kind,
            channels: int(Key::DramChannels),
            interleave_bytes: int(Key::DramInterleaveBytes),
            bytes: wide(Key::DramBytes),
            port_bytes_per_cycle: Some(small(Key::DramPortBytesPerCycle)).filter(|cap| *cap > 0),
        },
        refresh,
        background: Background {
            bytes_per_second: any(Key::BackgroundRate),
            read_per_mille: small(Key::BackgroundReadShare),
            local_per_mille: small(Key::BackgroundLocality),
            seed: any(Key::BackgroundSeed),
        },
        runtime: Runtime {
            doorbell_ns: wide(Key::RuntimeDoorbell),
            readback_ns: wide(Key::RuntimeReadback),
            readback_bytes_per_second: wide(Key::RuntimeReadbackRate),
        },
    };
    let about = About {
        title: text(Key::Title),
        node: text(Key::Node),
        voltage: text(Key::Voltage),
        includes: text(Key::Includes),
    };
    let workload = Workload {
        model: text(Key::WorkloadModel),
        prompt: int(Key::WorkloadPrompt),
        generate: int(Key::WorkloadGenerate),
        context: int(Key::WorkloadContext),
        batch: int(Key::WorkloadBatch),
        weights: text(Key::WorkloadWeights).parse().expect("the key table lists weight formats"),
        group: group(Key::WorkloadGroup),
        head: text(Key::WorkloadHead).parse().expect("the key table lists weight formats"),
        head_group: group(Key::WorkloadHeadGroup),
        activations: text(Key::WorkloadActivations).parse().expect("the key table lists activation formats"),
        tables: text(Key::WorkloadTables).parse().expect("the key table lists kinds of entries"),
        kv: match text(Key::WorkloadKv).as_str() {
            "int4" => WeightKind::Kv4,
            "fp16" => WeightKind::KvF16,
            _ => WeightKind::Kv8,
        },
        sampling: flag(Key::WorkloadSampling),
    };
    let dram_technology = text(Key::DramTechnology);
    ChipFile { chip, about, dram_technology, workload, values, document: Arc::default() }
}

/// What must hold between keys.
fn check_rules(doc: &Document, chip: &Chip) -> Result<(), Box<ChipError>> {
    let rule = |key, message: String, help: String| Err(doc.fault(key, Fault::Rule { message, help }));
    let row = u64::from(chip.scratchpad.banks) * u64::from(chip.scratchpad.bank_bytes);
    if !chip.scratchpad.bytes.is_multiple_of(row) {
        return rule(
            Key::ScratchpadBytes,
            format!("`scratchpad.bytes` ({}) does not fill whole words of all banks", chip.scratchpad.bytes),
            format!(
                "{} banks of {} bytes take multiples of {row} bytes",
                chip.scratchpad.banks, chip.scratchpad.bank_bytes
            ),
        );
    }
    let burst_bytes = match &chip.dram.kind {
        DramKind::Ideal { burst_bytes, .. } => *burst_bytes,
        DramKind::Standard(name) => {
            let limits = standards::limits(name).map_err(|f| doc.fault(Key::DramStandard, f))?;
            if u64::from(chip.refresh.interval_cycles) > limits.refresh_interval {
                return Err(doc.fault(
                    Key::RefreshIntervalCycles,
                    Fault::Range {
                        path: Key::RefreshIntervalCycles.path().into(),
                        rule: format!("at most {}, the tREFI of {name}", limits.refresh_interval),
                        found: chip.refresh.interval_cycles.to_string(),
                        help: Some("the memory would lose data; refreshing more often is legal".into()),
                    },
                ));
            }
            if u64::from(chip.refresh.interval_cycles) < 2 * limits.refresh_clocks {
                return Err(doc.fault(
                    Key::RefreshIntervalCycles,
                    Fault::Range {
                        path: Key::RefreshIntervalCycles.path().into(),
                        rule: format!("at least {}, twice the tRFC of {name}", 2 * limits.refresh_clocks),
                        found: chip.refresh.interval_cycles.to_string(),
                        help: Some("the memory would do little but refresh".into()),
                    },
                ));
            }
            let capacity = limits.channel_bytes.saturating_mul(u64::from(chip.dram.channels));
            if chip.dram.bytes > capacity {
                return rule(
                    Key::DramBytes,
                    format!(
                        "`dram.bytes` ({}) is more than {} channels of {name} hold",
                        chip.dram.bytes, chip.dram.channels
                    ),
                    format!("{} bytes per channel, {capacity} in all", limits.channel_bytes),
                );
            }
            limits.burst_bytes
        }
    };
    if chip.dram.interleave_bytes < burst_bytes {
        return rule(
            Key::DramInterleaveBytes,
            format!(
                "`dram.interleave_bytes` ({}) is less than a burst of {burst_bytes} bytes",
                chip.dram.interleave_bytes
            ),
            "a burst lies in one channel".into(),
        );
    }
    let turn = u64::from(chip.dram.interleave_bytes) * u64::from(chip.dram.channels);
    if !chip.dram.bytes.is_multiple_of(turn) {
        return rule(
            Key::DramBytes,
            format!("`dram.bytes` ({}) does not divide evenly over the channels", chip.dram.bytes),
            format!("it must be a multiple of interleave_bytes x channels = {turn}"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
