//! Does a record hold together: units add up, bytes add up, energy adds up, the memory roof holds.

use crate::record::{PhaseTotals, Record};

/// One statement that a record should satisfy and does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Broken {
    /// Where: a phase, a unit, an operator.
    pub place: String,
    /// What does not hold, with the numbers.
    pub message: String,
}

/// Everything that does not hold in `record`; empty if it is sound.
pub fn check(record: &Record) -> Vec<Broken> {
    let mut out = Vec::new();
    let mut broken = |place: &str, message: String| out.push(Broken { place: place.to_owned(), message });
    let mut cycles = 0;
    for (name, phase) in record.phases() {
        cycles += phase.cycles;
        for message in phase_faults(record, name, phase) {
            broken(name, message);
        }
    }
    for unit in record.units.iter().filter(|u| u.clock == "core") {
        if let Err(error) = unit.check_sum(cycles) {
            broken("units", error.to_string());
        }
    }
    let run: f64 = record.phases().map(|(_, p)| p.energy_j).sum();
    for (what, map) in [
        ("energy_by_component_j", &record.energy_by_component_j),
        ("energy_by_boundary_j", &record.energy_by_boundary_j),
    ] {
        let sum: f64 = map.iter().map(|(_, joules)| joules).sum();
        if !close(sum, run) {
            broken("energy", format!("{what} sums to {sum} J, the phases to {run} J"));
        }
    }
    out
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn phase_faults(record: &Record, name: &str, phase: &PhaseTotals) -> Vec<String> {
    let mut out = Vec::new();
    let moved = phase.dram_read_bytes + phase.dram_write_bytes;
    let classes = phase.dram_bytes_by_class.total();
    if classes != moved {
        out.push(format!("classes sum to {classes} bytes of DRAM traffic, bursts moved {moved}"));
    }
    if (phase.events.dram_read_bytes, phase.events.dram_write_bytes)
        != (phase.dram_read_bytes, phase.dram_write_bytes)
    {
        out.push("event counters and totals disagree about DRAM bytes".to_owned());
    }
    for unit in phase.units.iter().filter(|u| u.clock == "core") {
        if let Err(error) = unit.check_sum(phase.cycles) {
            out.push(error.to_string());
        }
    }
    let operators = || record.operators.iter().filter(|o| o.phase == name);
    if operators().next().is_some() {
        for (what, sum, total) in [
            ("cycles", operators().map(|o| o.cycles).sum::<u64>(), phase.cycles),
            ("DRAM bytes transferred", operators().map(|o| o.dram_bytes_transferred).sum(), moved),
            ("multiply-accumulates", operators().map(|o| o.macs).sum(), phase.macs),
        ] {
            if sum != total {
                out.push(format!("operators sum to {sum} {what}, the phase has {total}"));
            }
        }
    }
    if phase.dram_bandwidth_share > 1.0 {
        out.push(format!("DRAM moved {} times what its pins can", phase.dram_bandwidth_share));
    }
    if !(phase.energy_j_low <= phase.energy_j && phase.energy_j <= phase.energy_j_high) {
        out.push("energy is outside its own band".to_owned());
    }
    out
}
