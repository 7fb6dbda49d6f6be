//! Table 1 of LUT Tensor Core: tensor cores, area and energy.

use lutsim_tech::Charged;

use super::cores::{fixed, fj, lut, mac_fp16, mac_int8, ratio, um2};
use super::{AREA, Basis, ENERGY, Row, TABLE_1};

/// Table 1.
pub(super) fn tensor_cores() -> Vec<Row> {
    use Basis::{Calibrated, Predicted};
    let array = Charged::ARRAY;
    let row = |what, unit, published, ours, basis, bound, note| Row {
        source: TABLE_1,
        what,
        unit,
        published,
        ours,
        basis,
        bound,
        note,
    };
    let (w2, int8, fp16) = (lut(fixed()), mac_int8(), mac_fp16());
    let fp_note = "Ours is a bare multiplier and adder in FP16 that flushes denormals, without pipeline registers; a tensor core of the \
                   A100 adds in FP32 too, rounds once per dot product and handles denormals. With our FP32 adder it would be 2.9 times as large.";
    vec![
        row(
            "INT8 tensor core, area per multiply-accumulate",
            "um2",
            0.312e6 / 2048.0,
            um2(int8, 8, array),
            Calibrated,
            AREA,
            "The area factor of 28 nm.",
        ),
        row(
            "INT8 tensor core, energy per multiply-accumulate",
            "fJ",
            2e3 / 19.94,
            fj(int8, 8, array),
            Calibrated,
            ENERGY,
            "The activity factor.",
        ),
        row(
            "LUT-4X W2A8, area per multiply-accumulate",
            "um2",
            0.187e6 / 4096.0,
            um2(w2, 2, array),
            Predicted,
            AREA,
            "",
        ),
        row(
            "LUT-8X W2A8, area per multiply-accumulate",
            "um2",
            0.373e6 / 8192.0,
            um2(w2, 2, array),
            Predicted,
            AREA,
            "",
        ),
        row(
            "LUT-4X W2A8, energy per multiply-accumulate",
            "fJ",
            2e3 / 33.32,
            fj(w2, 2, array),
            Predicted,
            ENERGY,
            "",
        ),
        row(
            "LUT-8X W2A8, energy per multiply-accumulate",
            "fJ",
            2e3 / 33.65,
            fj(w2, 2, array),
            Predicted,
            ENERGY,
            "",
        ),
        row(
            "FP16 tensor core, area per multiply-accumulate",
            "um2",
            0.975e6 / 1024.0,
            um2(fp16, 16, array),
            Predicted,
            AREA,
            fp_note,
        ),
        row(
            "FP16 tensor core, energy per multiply-accumulate",
            "fJ",
            2e3 / 2.98,
            fj(fp16, 16, array),
            Predicted,
            ENERGY,
            "Horowitz's FP16 multiplier and adder, scaled: no activity factor.",
        ),
        row(
            "headline: density, LUT-8X W2A8 over FP16 tensor core",
            "times",
            20.9,
            ratio(um2(fp16, 16, array), um2(w2, 2, array)),
            Predicted,
            AREA,
            "The FP16 tensor core's residual above, and the LUT core's of +12 %: both make the quotient smaller. Against \
             INT8 the same paper has 3.5.",
        ),
        row(
            "headline: energy efficiency, LUT-8X W2A8 over FP16 tensor core",
            "times",
            11.2,
            ratio(fj(fp16, 16, array), fj(w2, 2, array)),
            Predicted,
            ENERGY,
            "Against INT8 the same paper has 1.7.",
        ),
        row(
            "density, LUT-8X W2A8 over INT8 tensor core",
            "times",
            61.95 / 17.73,
            ratio(um2(int8, 8, array), um2(w2, 2, array)),
            Predicted,
            AREA,
            "",
        ),
        row(
            "energy efficiency, LUT-8X W2A8 over INT8 tensor core",
            "times",
            33.65 / 19.94,
            ratio(fj(int8, 8, array), fj(w2, 2, array)),
            Predicted,
            ENERGY,
            "",
        ),
    ]
}
