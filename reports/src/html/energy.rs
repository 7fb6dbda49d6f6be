//! Energy by operator: what each component took, shared among operators by what drives it.
//!
//! The record has energy by component, and of each operator its products, lane operations, DRAM bytes and cycles. A component's
//! joules are shared in proportion to the driver below, so the parts add up to the whole; how one operator's reads differ from
//! another's within a component is not seen.

use lutsim_record::{OperatorRecord, PhaseTotals, Record};

/// What a component's energy is shared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Products,
    Lanes,
    Bytes,
    Cycles,
}

/// The driver of a component; what is not listed flows all the time.
fn driver(component: &str) -> Driver {
    match component {
        "lut" | "table_builder" | "mac_lanes" | "drain" | "wires" | "scratchpad" => Driver::Products,
        "vector" => Driver::Lanes,
        "unpacker" | "dma" | "dram_activate" | "dram_read" | "dram_write" | "interface" => Driver::Bytes,
        _ => Driver::Cycles,
    }
}

fn amount(driver: Driver, o: &OperatorRecord) -> f64 {
    (match driver {
        Driver::Products => o.macs,
        Driver::Lanes => o.vector_ops,
        Driver::Bytes => o.dram_bytes_transferred,
        Driver::Cycles => o.cycles,
    }) as f64
}

/// Joules of each operator record of a phase, in their order; they add up to the phase's energy.
pub fn by_operator(record: &Record, phase: &str, totals: &PhaseTotals) -> Vec<f64> {
    let rows: Vec<&OperatorRecord> = record.operators.iter().filter(|o| o.phase == phase).collect();
    let mut joules = vec![0.0; rows.len()];
    for (component, &energy) in totals.energy_by_component_j.iter() {
        let mut by = driver(component);
        if rows.iter().all(|o| amount(by, o) == 0.0) {
            by = Driver::Cycles;
        }
        let all: f64 = rows.iter().map(|o| amount(by, o)).sum();
        for (sum, o) in joules.iter_mut().zip(&rows) {
            *sum += if all > 0.0 { energy * amount(by, o) / all } else { 0.0 };
        }
    }
    joules
}

/// How it is shared, for the page.
pub(crate) const HOW: &str = "Energy is counted by component; each component's is shared among operators by what drives it: \
products (cores, tables, drains, wires, scratchpad), lane operations (vector unit), DRAM bytes moved (memory, pins, DMA, \
unpacker), cycles (all else).";
