//! The cores of the papers under the fixed switches, and what one multiply-accumulate of theirs costs.

use lutsim_record::Band;
use lutsim_tech::{Activation, Charged, Core, Kind, Node, Shape, Silicon};

use crate::silicon::total;

pub(super) fn silicon() -> Silicon {
    Silicon::at(Node::find(28).unwrap_or_else(|e| panic!("{e}")))
}

/// The paper's core under the fixed switches: exact entries, accumulators as wide, weights of up to four bits.
pub(super) fn fixed() -> Shape {
    let shape = Shape::lut(2, 64, 4, 32);
    Shape { accumulator_bits: shape.entry_bits, planes: 4, ..shape }
}

/// The same with FP16 activations.
pub(super) fn fixed_fp16() -> Shape {
    Shape { entry_bits: 16, accumulator_bits: 16, activation: Activation::Fp16, ..fixed() }
}

pub(super) fn lut(shape: Shape) -> Core {
    Core { kind: Kind::Lut, shape, builders: shape.m * shape.groups }
}

/// um2 per multiply-accumulate and cycle with weights of so many bits.
pub(super) fn um2(core: Core, bits: u32, charged: Charged) -> Band {
    total(&core.area(&silicon(), charged)).times(1.0 / core.macs_per_cycle(bits))
}

/// fJ per multiply-accumulate.
pub(super) fn fj(core: Core, bits: u32, charged: Charged) -> Band {
    total(&core.energy_per_mac(&silicon(), bits, charged)).times(1e15)
}

/// A quotient whose ends are those of the parts that move together: the node's factors cancel.
pub(super) fn ratio(a: Band, b: Band) -> Band {
    let ends = [a.low / b.low, a.mid / b.mid, a.high / b.high];
    let (low, high) =
        (ends.iter().copied().fold(f64::MAX, f64::min), ends.iter().copied().fold(0.0, f64::max));
    Band { mid: a.mid / b.mid, low, high }
}

pub(super) fn mac_int8() -> Core {
    Core::usual(Kind::MacInt8, Shape { accumulator_bits: 32, ..fixed() })
}

pub(super) fn mac_fp16() -> Core {
    Core::usual(Kind::MacFp16, fixed_fp16())
}
