//! Units and single cores of LUT Tensor Core, and other settings than the fixed ones.

use lutsim_record::Band;
use lutsim_tech::{Charged, Core, Kind, Shape};

use super::cores::{fixed, fixed_fp16, fj, lut, mac_fp16, mac_int8, ratio, silicon, um2};
use super::{AREA, Basis, ENERGY, Row, UNITS};
use crate::silicon::total;

/// Units and single cores.
pub(super) fn units() -> Vec<Row> {
    let row = |what, unit, published, ours, bound, note| Row {
        source: UNITS,
        what,
        unit,
        published,
        ours,
        basis: Basis::Predicted,
        bound,
        note,
    };
    let array = Charged::ARRAY;
    let (int8, fp16, wa8, wa16) = (mac_int8(), mac_fp16(), lut(fixed()), lut(fixed_fp16()));
    let single = |core: Core| Core { shape: Shape { m: 1, n: 1, ..core.shape }, ..core };
    let dot = Core { kind: Kind::MacFp16, shape: Shape { m: 1, n: 1, ..fixed_fp16() }, builders: 0 };
    let s = silicon();
    let select = single(wa16).area(&s, array).get("select").copied().unwrap_or_default();
    let percent = |b: Band| b.times(100.0);
    vec![
        row("dot product of four FP16 (MAC), area", "um2", 8e3 / 3.39, total(&dot.area(&s, array)), AREA, ""),
        row(
            "dot product of four W1A16 (LUT), area",
            "um2",
            8e3 / 61.55,
            select,
            AREA,
            "Published: 130 um2, in which no FP16 adder fits (ours has 214). Ours is the selection alone; with the adder and its register 312. \
             The paper's own tensor core has 545 per element.",
        ),
        row(
            "W1A16 element of a tensor core, area",
            "um2",
            0.143 * 0.975e6 / 256.0,
            um2(wa16, 1, array).times(4.0),
            AREA,
            "As the FP16 tensor core: our FP16 adder is bare. The quotient of the two is the next row.",
        ),
        row(
            "W1A16 core in the area of the FP16 tensor core of the same rate",
            "%",
            14.3,
            percent(ratio(um2(wa16, 1, array), um2(fp16, 16, array))),
            AREA,
            "",
        ),
        row(
            "W1A8 core, area under the INT8 tensor core (published: 4 to 6)",
            "times",
            5.0,
            ratio(um2(int8, 8, array), um2(wa8, 1, array)),
            AREA,
            "",
        ),
        row(
            "W1A8 core, power under the INT8 tensor core (published: 4 to 6)",
            "times",
            5.0,
            ratio(fj(int8, 8, array), fj(wa8, 1, array)),
            ENERGY,
            "The range covers all activation formats; the paper's Tables 1 and 3 give 3.2 for INT8.",
        ),
        row(
            "W1A8 core, energy per multiply-accumulate (Table 3: 63.78 TOPS/W)",
            "fJ",
            2e3 / 63.78,
            fj(wa8, 1, array),
            ENERGY,
            "",
        ),
    ]
}

/// Other settings than the fixed ones: area and energy of a W2A8 multiply-accumulate.
pub(super) fn settings() -> Vec<(&'static str, Band, Band)> {
    let shape = fixed();
    let wide = |bits| lut(Shape { accumulator_bits: bits, ..shape });
    let own = lut(Shape { accumulator_bits: 24, planes: 8, ..shape });
    let with = |registers, builders, wires, layout| Charged { registers, builders, wires, layout };
    let array = Charged::ARRAY;
    let cases = [
        ("fixed: entries and accumulators of 10 bits, shifts 0 to 3", lut(shape), array),
        (
            "entries and accumulators of 8 bits",
            lut(Shape { entry_bits: 8, accumulator_bits: 8, ..shape }),
            array,
        ),
        ("accumulators of 16 bits", wide(16), array),
        ("accumulators of 20 bits", wide(20), array),
        ("accumulators of 32 bits", wide(32), array),
        ("as in the chips here: accumulators of 24 bits, shifts 0 to 7", own, array),
        ("and operand registers, second accumulators", own, with(true, false, false, false)),
        ("and table builders", own, with(true, true, false, false)),
        ("and broadcast wires", own, with(true, true, true, false)),
        ("and placement", own, Charged::ALL),
        (
            "four K-groups per accumulator of 32 bits, M2 N16",
            lut(Shape { n: 16, groups: 4, accumulator_bits: 32, ..shape }),
            array,
        ),
    ];
    cases
        .into_iter()
        .map(|(what, core, charged)| (what, um2(core, 2, charged), fj(core, 2, charged)))
        .collect()
}
