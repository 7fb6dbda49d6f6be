//! Constants of other papers, 28 nm.

use lutsim_record::Band;
use lutsim_tech::{Charged, Component as C, Core, Kind, Shape};

use super::cores::{fj, ratio, silicon};
use super::{AREA, Basis, ENERGY, OTHERS, Row};

/// A systolic element: one product with operand registers and an accumulator of its own. Area um2, energy fJ.
pub(super) fn element(parts: &[(C, f64)]) -> [Band; 2] {
    let s = silicon();
    let sum =
        |of: &dyn Fn(C) -> Band| parts.iter().fold(Band::default(), |sum, (c, n)| sum + of(*c).times(*n));
    [sum(&|c| s.area(c)), sum(&|c| s.energy(c)).times(1e15)]
}

pub(super) fn integer_element(a: f64, w: f64, accumulator: f64) -> [Band; 2] {
    element(&[
        (C::ProductBit, a * w),
        (C::InputBit, a),
        (C::AccumulateBit, accumulator),
        (C::FlipFlop, a + w),
    ])
}

pub(super) fn floating_element(adder: C, bits: f64) -> [Band; 2] {
    element(&[(C::Fp16Mul, 1.0), (adder, 1.0), (C::FlipFlop, 32.0 + bits)])
}

/// Constants of other papers, 28 nm.
pub(super) fn others() -> Vec<Row> {
    let row = |what, unit, published, ours, bound, note| Row {
        source: OTHERS,
        what,
        unit,
        published,
        ours,
        basis: Basis::Predicted,
        bound,
        note,
    };
    let figlut = Core::usual(Kind::Figlut, Shape::lut(4, 32, 4, 32));
    let held = Charged { registers: true, ..Charged::ARRAY };
    let fp16 = floating_element(C::Fp16Add, 16.0);
    let fp32 = floating_element(C::Fp32Add, 32.0);
    let figna = integer_element(14.0, 4.0, 24.0);
    let int8 = integer_element(8.0, 8.0, 32.0);
    vec![
        row("AxCore: FP16 multiply-add, energy", "fJ", 691.0, fp16[1], ENERGY, ""),
        row(
            "AxCore: FIGNA's W4 element, energy",
            "fJ",
            155.8,
            figna[1],
            ENERGY,
            "14-bit aligned mantissa times 4 bits into 24.",
        ),
        row(
            "AxCore: FIGLUT's W4 element, energy",
            "fJ",
            217.5,
            fj(figlut, 4, held),
            ENERGY,
            "Widths and sharing in their element are not in our sources. Ours has 18-bit entries and adds every look-up into a 32-bit \
             accumulator, which takes 46 % of it; their registers of tables are shared by 32 readers, as ours are.",
        ),
        row(
            "AxCore: FIGLUT's W8 element, energy",
            "fJ",
            465.9,
            fj(figlut, 8, held),
            ENERGY,
            "As with weights of 4 bits: the same element for twice the cycles, published and here.",
        ),
        row("BitMoD: FP16 multiply-accumulate element, energy", "fJ", 770.0, fp32[1], ENERGY, ""),
        row("BitMoD: FP16 multiply-accumulate element, area", "um2", 1968.7, fp32[0], AREA, ""),
        row("EVA: INT8 systolic element, area", "um2", 0.331e6 / 1024.0, int8[0], AREA, ""),
        row(
            "EVA: INT8 systolic element, energy of a cycle at 500 MHz",
            "fJ",
            0.628e15 / 1024.0 / 500e6,
            int8[1],
            ENERGY,
            "Theirs is the power of the whole core with its clock, control and edges over its elements, 12 times what LUT Tensor Core's \
             INT8 array takes per product; ours is the element alone with that paper's activity. Without the activity factor ours is 632.",
        ),
        row("FIGNA: density over FP units, FP16-INT4", "times", 6.34, ratio(fp32[0], figna[0]), AREA, ""),
        row(
            "FIGNA: energy efficiency over FP units, FP16-INT4",
            "times",
            2.19,
            ratio(fp32[1], figna[1]),
            ENERGY,
            "Energies of FP units are Horowitz's and not corrected for activity, those of integers are; and theirs includes memories. AxCore's constants have 4.4 for the same pair.",
        ),
    ]
}
