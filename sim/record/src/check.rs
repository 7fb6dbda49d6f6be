//! Does a record hold together: units add up, bytes add up, energy adds up, the memory roof holds.

use crate::record::{PhaseTotals, Record};
use crate::units::UnitCycles;

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
    for message in unit_faults(record, &record.units, cycles) {
        broken("units", message);
    }
    let run: f64 = record.phases().map(|(_, p)| p.energy_j).sum();
    for (what, map) in [
        ("energy_by_component_j", &record.energy_by_component_j),
        ("energy_by_boundary_j", &record.energy_by_boundary_j),
        ("energy_by_purpose_j", &record.energy_by_purpose_j),
    ] {
        let sum: f64 = map.iter().map(|(_, joules)| joules).sum();
        // A record before 1.4 has no purposes.
        if !close(sum, run) && !map.is_empty() {
            broken("energy", format!("{what} sums to {sum} J, the phases to {run} J"));
        }
    }
    let (area, price) = (&record.area, &record.price);
    for (what, whole, parts) in [
        ("area_by_component_mm2", area.area_mm2, &area.area_by_component_mm2),
        ("cost_by_part_usd", price.cost_usd, &price.cost_by_part_usd),
    ] {
        let sum = parts.as_ref().map(|parts| parts.iter().map(|(_, x)| x).sum::<f64>());
        let same = match (whole, sum) {
            (Some(whole), Some(sum)) => close(whole, sum),
            (whole, sum) => whole.is_none() && sum.is_none(),
        };
        if !same {
            broken("silicon", format!("{what} sums to {sum:?}, the whole is {whole:?}"));
        }
    }
    out
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Core units pass exactly `cycles`; those of another clock as many edges as fit, give or take one at each end
/// of a phase.
fn unit_faults(record: &Record, units: &[UnitCycles], cycles: u64) -> Vec<String> {
    let mut out = Vec::new();
    for unit in units {
        let Some(hz) = record.machine.clocks_hz.get(&unit.clock) else {
            out.push(format!(
                "unit `{}` counts in clock `{}`, which the machine does not list",
                unit.name, unit.clock
            ));
            continue;
        };
        let core = u128::from(record.machine.core_clock_hz.max(1));
        let expected = u64::try_from(u128::from(cycles) * u128::from(*hz) / core).unwrap_or(u64::MAX);
        let slack = if unit.clock == "core" { 0 } else { 4 };
        if unit.total().abs_diff(expected) > slack
            && let Err(error) = unit.check_sum(expected)
        {
            out.push(error.to_string());
        }
    }
    out
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
    out.extend(unit_faults(record, &phase.units, phase.cycles));
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
    let others = phase.events.dram_others_read_bytes + phase.events.dram_others_write_bytes;
    let pins = record.machine.dram_peak_bytes_per_second * phase.seconds;
    let share =
        phase.dram_bandwidth_share + if others > 0 && pins > 0.0 { others as f64 / pins } else { 0.0 };
    // What others begin in one step ends in the next.
    if share > if others > 0 { 1.01 } else { 1.0 } {
        out.push(format!("DRAM moved {share} times what its pins can"));
    }
    if !(phase.energy_j_low <= phase.energy_j && phase.energy_j <= phase.energy_j_high) {
        out.push("energy is outside its own band".to_owned());
    }
    out
}
