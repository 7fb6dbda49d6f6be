//! Counts to record: provenance, machine, energy; everything derived is derived once, here.

use lutsim_host::model::{Model, Positions, WindowLayers};
use lutsim_host::plan::Plan;
use lutsim_host::routing;
use lutsim_isa::field::{AType, Entries};
use lutsim_isa::format::{WeightFormat, WeightKind};
use lutsim_record::{
    Clocks, DecodePhase, Energy, EnergyBreakdown, MachineSummary, OperatorRecord, Ordered, PhaseTotals,
    Phases, PrefillPhase, Provenance, Record, Tech, UnitCycles, WorkloadSummary,
};
use lutsim_sim::chip_file::ChipFile;
use lutsim_sim::config::{Build, Chip, DramKind};
use lutsim_tech::Kind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::counts::OPERATOR_UNITS;
use super::{Counts, Decode, Error, Phase, Prefill, Session};
use crate::{device, silicon};

/// The chip's energy table: the logic's and the DRAM's.
pub(super) fn technology(chip: &ChipFile) -> Result<Tech, Error> {
    let tech = silicon::technology(chip).map_err(|e| Error::Technology(e.to_string()))?;
    // A missing entry is found before anything is simulated.
    energy(&Counts::default(), &chip.chip, &tech)?;
    Ok(tech)
}

fn clocks(chip: &Chip) -> Clocks {
    Clocks { core_hz: chip.clock_hz, dram_hz: device::dram_clock(chip) }
}

fn energy(counts: &Counts, chip: &Chip, tech: &Tech) -> Result<EnergyBreakdown, Error> {
    Energy::compute(&counts.events, &clocks(chip), tech).map_err(|e| Error::Technology(e.to_string()))
}

/// SHA-256 of a canonical configuration, hexadecimal.
pub(super) fn hash(config: &Value) -> String {
    Sha256::digest(config.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn assemble(
    session: &Session,
    plan: &Plan,
    tech: &Tech,
    prefill: Option<&Prefill>,
    decode: Option<&Decode>,
    tokens: Option<Vec<u32>>,
) -> Result<Record, Error> {
    let chip = &session.chip.chip;
    let batch = u64::from(plan.workload.batch);
    let totals = |counts: &Counts, tokens: u64| -> Result<PhaseTotals, Error> {
        let energy = energy(counts, chip, tech)?;
        let machine = (chip.clock_hz, device::dram_peak(chip));
        let events = counts.events;
        Ok(PhaseTotals::derive(
            counts.cycles,
            tokens,
            events,
            counts.classes,
            units(counts),
            &energy,
            machine,
        ))
    };
    let mut all = Counts::default();
    let mut operators = Vec::new();
    let mut phases = Phases::default();
    if let Some(p) = prefill {
        let totals = totals(&p.counts, batch * u64::from(plan.workload.prompt))?;
        let time_to_first_token_seconds = p.first_token as f64 / chip.clock_hz as f64;
        phases.prefill = Some(PrefillPhase { totals, time_to_first_token_seconds });
        operators.extend(operator_records(&p.counts, "prefill", chip));
        all.events += p.counts.events;
    }
    if let Some(d) = decode {
        let totals = totals(&d.counts, batch * u64::from(plan.workload.generate))?;
        let (simulated_steps, interpolation_residual) = (d.simulated, d.residual);
        phases.decode = Some(DecodePhase { totals, simulated_steps, interpolation_residual });
        operators.extend(operator_records(&d.counts, "decode", chip));
        all.events += d.counts.events;
    }
    let record = Record::new(
        provenance(session, plan),
        workload(session, plan, tokens),
        machine(chip, tech),
        phases,
        &energy(&all, chip, tech)?,
        silicon::area_and_price(&session.chip).map_err(|e| Error::Technology(e.to_string()))?,
        operators,
    );
    let broken = lutsim_record::check(&record);
    assert!(broken.is_empty(), "the record does not add up:\n{}", lines(&broken));
    Ok(record)
}

fn lines(broken: &[lutsim_record::Broken]) -> String {
    broken.iter().map(|b| format!("  {b}")).collect::<Vec<_>>().join("\n")
}

fn provenance(session: &Session, plan: &Plan) -> Provenance {
    let phase = match session.phase {
        Phase::Prefill => "prefill",
        Phase::Decode => "decode",
        Phase::All => "all",
    };
    let mapping = serde_json::to_value(plan.mapping).expect("a mapping is plain numbers");
    let mut config = json!({
        "chip": session.chip.canonical(),
        "model": model(&plan.model),
        "phase": phase,
        "every_step": session.every_step,
        "values": session.values,
        "mapping": mapping,
    });
    if plan.model.experts.is_some() {
        config["routing"] = match session.values || session.routed {
            true => json!("values"),
            false => json!({ "uniform": true, "seed": routing::SEED }),
        };
    }
    Provenance { version: env!("CARGO_PKG_VERSION").into(), config_hash: hash(&config), config }
}

/// A model as the record echoes it.
pub(crate) fn model(m: &Model) -> Value {
    let positions = match &m.positions {
        Positions::Rotary(rope) => json!({ "rope_theta": rope.theta, "rope_dims": rope.dims }),
        Positions::Learned(learned) => json!({ "learned_offset": learned.offset }),
        Positions::Alibi => json!("alibi"),
    };
    let mut model = json!({
        "name": m.name,
        "family": m.family,
        "layers": m.layers,
        "hidden": m.hidden,
        "intermediate": m.intermediate,
        "heads": m.heads,
        "kv_heads": m.kv_heads,
        "head_dim": m.head_dim,
        "vocab": m.vocab,
        "context": m.context,
        "tied_embeddings": m.tied_embeddings,
        "qkv_bias": m.qkv_bias,
        "output_bias": m.output_bias,
        "mlp_bias": m.mlp_bias,
        "sub_norms": m.sub_norms,
        "embedding_norm": m.embedding_norm,
        "gated_mlp": m.gated_mlp,
        "activation": m.activation.name(),
        "norm": m.norm.name(),
        "norm_eps": m.norm_eps,
        "positions": positions,
    });
    // What few models have is there where it is.
    let window = m.window.map(|w| {
        let layers = match w.layers {
            WindowLayers::All => json!("all"),
            WindowLayers::Even => json!("even"),
            WindowLayers::From(first) => json!({ "from": first }),
        };
        json!({ "tokens": w.tokens, "layers": layers })
    });
    let others = [
        ("post_norms", m.post_norms.then(|| json!(true))),
        ("query_scalar", m.query_scalar.map(|x| json!(x))),
        ("score_cap", m.score_cap.map(|x| json!(x))),
        ("logit_cap", m.logit_cap.map(|x| json!(x))),
        ("window", window),
        ("experts", m.experts.map(|e| json!({ "count": e.count, "used": e.used }))),
    ];
    for (key, value) in others {
        if let Some(value) = value {
            model[key] = value;
        }
    }
    model
}

fn workload(session: &Session, plan: &Plan, tokens: Option<Vec<u32>>) -> WorkloadSummary {
    let w = &session.chip.workload;
    let weight_bytes = plan.layout.record_bytes();
    WorkloadSummary {
        model: plan.model.name.clone(),
        parameters: plan.model.parameters(),
        weight_bytes,
        weights: plan.model.weight_names(plan.workload.weights),
        group: groups(plan),
        stored_bits_per_weight: stored_bits(plan),
        activations: match w.activations {
            AType::Int8 => "int8",
            AType::Fp16 => "fp16",
        }
        .into(),
        tables: (w.tables == Entries::Int8).then(|| w.tables.name().into()),
        kv: match w.kv {
            WeightKind::Kv4 => "int4",
            WeightKind::KvF16 => "fp16",
            _ => "int8",
        }
        .into(),
        batch: w.batch.into(),
        prompt: w.prompt.into(),
        context: w.context.into(),
        generate: w.generate.into(),
        prefill_chunk: (plan.workload.prompt > 0).then(|| plan.chunk().into()),
        output_token_ids: tokens,
    }
}

/// Weights that share a scale, in each of the layers' types.
fn groups(plan: &Plan) -> String {
    let mut groups: Vec<String> = Vec::new();
    for (format, _) in plan.model.weight_types(plan.workload.weights) {
        let group = format.group.to_string();
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.join(", ")
}

/// Bits per weight of a row of the model's width, scales and zeros included; of several types the mean over the weights.
fn stored_bits(plan: &Plan) -> f64 {
    let (n, k) = (64, plan.model.hidden);
    let bits = |format: WeightFormat| format.record_bytes(n, k) as f64 * 8.0 / (f64::from(n) * f64::from(k));
    let types = plan.model.weight_types(plan.workload.weights);
    if let [(format, _)] = types[..] {
        return bits(format);
    }
    let sum =
        |f: &dyn Fn(WeightFormat) -> f64| types.iter().map(|&(t, size)| f(t) * size as f64).sum::<f64>();
    sum(&bits) / sum(&|_| 1.0)
}

fn machine(chip: &Chip, tech: &Tech) -> MachineSummary {
    let (lut, pad) = (chip.lut, chip.scratchpad);
    let macs = f64::from(lut.cores) * f64::from(lut.m) * f64::from(lut.n) * f64::from(lut.k);
    let peak = |bits: u32| 2.0 * macs * chip.clock_hz as f64 / f64::from(lut.kind.steps(bits));
    let (standard, model) = match &chip.dram.kind {
        DramKind::Standard(name) => (name.clone(), "banked"),
        DramKind::Ideal { .. } => ("ideal".into(), "ideal"),
    };
    MachineSummary {
        chip: chip.name.clone(),
        technology: tech.name.clone(),
        clocks_hz: [("core", chip.clock_hz), ("dram", device::dram_clock(chip))].into_iter().collect(),
        dram_standard: standard,
        dram_model: model.into(),
        dram_channels: chip.dram.channels.into(),
        dram_peak_bytes_per_second: device::dram_peak(chip),
        scratchpad_bytes: pad.bytes,
        scratchpad_peak_bytes_per_second: f64::from(pad.banks)
            * f64::from(pad.bank_bytes)
            * chip.clock_hz as f64,
        core_clock_hz: chip.clock_hz,
        lut_cores: lut_cores(lut),
        lut_peak_ops_per_second: [1, 2, 3, 4, 8]
            .map(|bits| (bits.to_string(), peak(bits)))
            .into_iter()
            .collect(),
    }
}

/// The cores in words: how many, their shape, and what is not as usual.
fn lut_cores(lut: lutsim_sim::config::Lut) -> String {
    let mut text = format!("{} x M{} N{} K{}", lut.cores, lut.m, lut.n, lut.k);
    if lut.kind != Kind::Lut {
        text = format!("{text} of `{}`", lut.kind.name());
    }
    if lut.build == Build::Vector {
        text += ", tables by the vector unit,";
    }
    if lut.mac_lanes > 0 {
        text += &format!(", attention on {} lanes per core,", lut.mac_lanes);
    }
    text
}

fn units(counts: &Counts) -> Vec<UnitCycles> {
    let unit = |(kind, index, tally): &(lutsim_record::UnitKind, Option<u32>, lutsim_record::Tally)| {
        tally.unit(*kind, *index).unwrap_or_else(|e| panic!("{e}"))
    };
    counts.units.iter().map(unit).collect()
}

fn operator_records(counts: &Counts, phase: &str, chip: &Chip) -> Vec<OperatorRecord> {
    let peak = device::dram_peak(chip) / chip.clock_hz as f64;
    let record = |o: &super::OperatorCounts| {
        let mut stalls = Ordered::new();
        let mut busiest = ("dram".to_owned(), o.transferred as f64 / peak);
        for (kind, tally) in OPERATOR_UNITS.iter().zip(&o.units) {
            let unit = tally.unit(*kind, None).unwrap_or_else(|e| panic!("{e}"));
            for (cause, cycles) in unit.stall_cycles.iter().filter(|(_, cycles)| **cycles > 0) {
                stalls.insert(format!("{}.{cause}", unit.name), *cycles);
            }
            if unit.busy_cycles as f64 > busiest.1 {
                busiest = (unit.name.clone(), unit.busy_cycles as f64);
            }
        }
        if busiest.1 <= 0.0 {
            busiest.0 = "none".into();
        }
        OperatorRecord {
            name: o.name.clone(),
            phase: phase.into(),
            layer: o.layer,
            executions: o.executions,
            cycles: o.cycles,
            macs: o.macs,
            vector_ops: o.vector_ops,
            dram_bytes_transferred: o.transferred,
            dram_bytes_owned: o.owned,
            busiest: busiest.0,
            stalls,
        }
    };
    counts.operators.iter().map(record).collect()
}
