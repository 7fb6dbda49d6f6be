//! What goes beside a record: sources, memory maps, counts over time.

use lutsim_host::lower::Lowered;
use lutsim_host::plan::Plan;
use lutsim_reports::details::{DETAILS_VERSION, Details, Region, Series, Setting};
use lutsim_sim::TIMELINE_UNITS;
use lutsim_sim::chip_file::{ChipFile, Place};

use crate::device;
use crate::session::{Finished, Timeline};

/// Moments of a phase's counts over time at most.
pub(crate) const MOMENTS: usize = 512;

/// The details of a run, doublings not simulated yet.
pub(crate) fn of(finished: &Finished, chip: &ChipFile) -> Details {
    let (plan, burst) = (&finished.plan, u64::from(device::burst_bytes(&chip.chip)));
    Details {
        schema_version: DETAILS_VERSION.into(),
        config_hash: finished.record.provenance.config_hash.clone(),
        settings: settings(chip),
        dram: dram(plan),
        dram_bytes: plan.target.dram_bytes,
        scratchpad: scratchpad(plan),
        scratchpad_bytes: plan.target.scratchpad_bytes,
        timelines: finished.timelines.iter().map(|t| series(t, burst)).collect(),
        doublings: None,
    }
}

/// Files by their names alone: no path of a machine is in what a run leaves.
fn settings(chip: &ChipFile) -> Vec<Setting> {
    chip.settings()
        .into_iter()
        .map(|s| Setting {
            key: s.key.into(),
            value: s.value,
            from: match &s.place {
                Place::Line { file, line } => {
                    format!("{}:{line}", file.rsplit(['/', '\\']).next().unwrap_or(file))
                }
                // The model may be a file somewhere.
                Place::CommandLine(_) if s.key == "workload.model" => "command line".into(),
                other => other.to_string(),
            },
            source: s.source,
            meaning: s.doc.into(),
        })
        .collect()
}

fn series(timeline: &Timeline, burst: u64) -> Series {
    let first = timeline.moments.first().copied().unwrap_or_default();
    let each = |f: &dyn Fn(&lutsim_sim::Moment) -> u64| timeline.moments.iter().map(f).collect::<Vec<_>>();
    Series {
        phase: timeline.phase.into(),
        steps: timeline.steps.iter().map(|&(number, cycle)| (number, cycle - first.cycle)).collect(),
        core_cycles: each(&|m| m.cycle - first.cycle),
        dram_bytes: each(&|m| (m.bursts - first.bursts) * burst),
        busy_cycles: TIMELINE_UNITS
            .iter()
            .enumerate()
            .map(|(i, unit)| ((*unit).to_owned(), each(&|m| m.busy[i] - first.busy[i])))
            .collect(),
    }
}

/// Regions of DRAM in address order; what is in every layer stands once, with its copies.
fn dram(plan: &Plan) -> Vec<Region> {
    let (layout, layers) = (&plan.layout, u64::from(plan.model.layers));
    let region = |name: &str, address: u64, bytes: u64, copies: u64| Region {
        name: name.into(),
        address,
        bytes: bytes * copies,
        copies,
    };
    let mut out = vec![
        region("embedding", layout.embedding.addr, layout.embedding.bytes(), 1),
        region("positions", layout.positions.addr, layout.positions.bytes(), 1),
        region("result", layout.result.addr, layout.result.bytes(), 1),
        region("logits", layout.logits.addr, layout.logits.bytes(), 1),
    ];
    for tensor in &layout.tensors {
        let copies = layout.copies(tensor);
        let name = match tensor.per_layer && layout.layers.iter().any(|kind| *kind != tensor.kind) {
            true => format!("{} ({})", tensor.name, tensor.format.kind),
            false => tensor.name.to_owned(),
        };
        out.push(region(&name, tensor.addr, u64::from(tensor.experts) * tensor.bytes(), copies));
    }
    for vector in &layout.vectors {
        let copies = if vector.per_layer { layers } else { 1 };
        out.push(region(vector.name, vector.addr, 2 * u64::from(vector.len), copies));
    }
    let (kv, items) = (&layout.kv, u64::from(layout.kv.items));
    for (name, address) in [("K cache", kv.k_scales), ("V cache", kv.v_scales)] {
        out.push(region(name, address, items * kv.stride, layers));
    }
    for step in plan.programs() {
        let bytes = step.program.code.len() as u64 * lutsim_isa::program::WORD_BYTES;
        out.push(region(&format!("program {}", step.name), step.address, bytes, 1));
    }
    out.retain(|r| r.bytes > 0);
    out.sort_by(|a, b| a.address.cmp(&b.address).then(a.name.cmp(&b.name)));
    out
}

/// Buffers and the weight ring of each phase.
fn scratchpad(plan: &Plan) -> Vec<Region> {
    let of = |phase: &str, step: &Lowered, slots: u32| {
        let buffers = plan.buffer_bytes(step);
        let ring = u64::from(slots) * u64::from(plan.mapping.slot_bytes);
        let region = |name: &str, address: u64, bytes: u64| Region {
            name: format!("{phase}: {name}"),
            address,
            bytes,
            copies: 1,
        };
        [region("activations, scores and results", 0, buffers), region("weight ring", buffers, ring)]
    };
    let mut out = Vec::new();
    if let Some(step) = plan.prefill.as_ref().or(plan.prefill_last.as_ref()) {
        out.extend(of("prefill", step, plan.mapping.prefill_slots));
    }
    if plan.workload.generate > 0 {
        out.extend(of("decode", &plan.decode, plan.mapping.decode_slots));
    }
    out
}
