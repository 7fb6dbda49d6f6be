//! Table 2 of LUT Tensor Core: from UNPU in three steps.

use lutsim_tech::{Charged, Component as C, Core, Kind};

use super::cores::{fixed, lut, ratio, silicon};
use super::{AREA, Basis, ENERGY, Row, TABLE_2};
use crate::silicon::total;

/// Table 2: UNPU's core becomes LUT Tensor Core in three steps.
pub(super) fn steps_over_unpu() -> Vec<Row> {
    let s = silicon();
    let built = Charged { builders: true, ..Charged::ARRAY };
    let shape = fixed();
    let outputs = f64::from(shape.m * shape.n);
    // K - 1 index bits are inverted where the sign bit says so.
    let inverters = (f64::from(shape.k) - 1.0) * outputs;
    let unpu = Core { kind: Kind::Unpu, shape, builders: shape.m };
    let half = lut(shape);
    let area = |core: Core, charged, inverters: f64| {
        total(&core.area(&s, charged)) + s.area(C::FlipBit).times(inverters)
    };
    let milliwatts = |core: Core, charged| {
        let per_mac = total(&core.energy_per_mac(&s, 2, charged));
        per_mac.times(core.macs_per_cycle(2) * 1e9 * 1e3)
    };
    let areas = [
        area(unpu, built, 0.0),
        area(half, built, inverters),
        area(half, built, 0.0),
        area(half, Charged::ARRAY, 0.0),
    ];
    let powers = [
        milliwatts(unpu, built),
        milliwatts(half, built),
        milliwatts(half, built),
        milliwatts(half, Charged::ARRAY),
    ];
    let row = |what, unit, published, ours, bound, note| Row {
        source: TABLE_2,
        what,
        unit,
        published,
        ours,
        basis: Basis::Predicted,
        bound,
        note,
    };
    let names = [
        "UNPU with the shape M2 N64 K4, area",
        "and weights reinterpreted: half the table, area",
        "and no negation circuit, area",
        "and tables made once, outside: LUT Tensor Core, area",
    ];
    let mut rows: Vec<Row> = [17271.71, 13116.60, 12780.05, 11991.29]
        .into_iter()
        .enumerate()
        .map(|(i, published)| row(names[i], "um2", published, areas[i], AREA, ""))
        .collect();
    let names = [
        "UNPU with the shape M2 N64 K4, power",
        "and weights reinterpreted, power",
        "and no negation circuit, power",
        "and tables made once, outside: LUT Tensor Core, power",
    ];
    for (i, published) in [23.39, 17.98, 17.37, 16.22].into_iter().enumerate() {
        let note = if i == 2 {
            "The fit gives an exclusive-or no energy of its own, so ours is as before."
        } else {
            ""
        };
        rows.push(row(names[i], "mW", published, powers[i], ENERGY, note));
    }
    rows.extend([
        row("density over UNPU, weights reinterpreted", "times", 1.317, ratio(areas[0], areas[1]), AREA, ""),
        row(
            "density over UNPU, and no negation circuit",
            "times",
            1.351,
            ratio(areas[0], areas[2]),
            AREA,
            "",
        ),
        row(
            "headline: density over UNPU, all three steps",
            "times",
            1.440,
            ratio(areas[0], areas[3]),
            AREA,
            "",
        ),
        row(
            "headline: energy efficiency over UNPU, all three steps",
            "times",
            1.442,
            ratio(powers[0], powers[3]),
            ENERGY,
            "",
        ),
    ]);
    rows
}
