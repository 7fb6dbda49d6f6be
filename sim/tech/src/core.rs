//! Cores of every kind, from their structure: what one is made of, what a cycle uses, how much it computes.
//!
//! ```text
//!   tables   M x groups x 2^(K-1) entries --broadcast--> N columns      weights  K x groups x N bits --> M rows
//!   element  select (2^(K-1) - 1 mux bits per entry bit) . sign . add the groups . shift . accumulate
//! ```

use lutsim_record::{Band, Ordered};

use crate::bill::{Bill, total};
use crate::broadcast::tree_mm;
use crate::shape::{Activation, Shape, exact_entry_bits};
use crate::{Component as C, Kind, Silicon, SiliconError};

/// What is charged beside the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Registers of tables, weights and activations, and second accumulators.
    pub registers: bool,
    /// Makers of tables, dequantisers.
    pub builders: bool,
    /// Broadcast wires inside the core.
    pub wires: bool,
    /// Placement: chip area over that of cells.
    pub layout: bool,
}

impl Charged {
    /// Everything: what a chip has.
    pub const ALL: Charged = Charged { registers: true, builders: true, wires: true, layout: true };
    /// The cells of the array alone, as papers synthesise it.
    pub const ARRAY: Charged = Charged { registers: false, builders: false, wires: false, layout: false };
}

/// A core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// Its kind.
    pub kind: Kind,
    /// Its shape.
    pub shape: Shape,
    /// Tables that it makes per cycle, or weights that it dequantises, if it does.
    pub builders: u32,
}

/// Bits of an entry of `k` activations that were aligned to 16-bit integers.
fn aligned_entry_bits(k: u32) -> u32 {
    16 + k.next_power_of_two().trailing_zeros()
}

impl Core {
    /// A core of the kind with the usual 512 one-bit products per cycle, or `lut`'s own shape, whose accumulator width and activations
    /// all kinds take.
    pub fn usual(kind: Kind, lut: Shape) -> Core {
        let shape = match kind {
            Kind::Lut => lut,
            Kind::LutConventional => Shape { m: 32, n: 4, k: 4, groups: 1, ..lut },
            Kind::Unpu => Shape { m: 2, n: 64, k: 4, groups: 1, ..lut },
            Kind::Figlut => {
                let entry_bits = aligned_entry_bits(4);
                Shape { m: 4, n: 32, k: 4, groups: 1, entry_bits, accumulator_bits: 32, ..lut }
            }
            Kind::Add | Kind::MacInt8 | Kind::MacInt4 | Kind::MacInt2 => {
                Shape { m: 8, n: 4, k: 16, groups: 1, ..lut }
            }
            Kind::MacFp16 => Shape { m: 8, n: 4, k: 16, groups: 1, activation: Activation::Fp16, ..lut },
        };
        let entry_bits = match (kind, shape.activation) {
            (Kind::Figlut | Kind::Lut, _) => shape.entry_bits,
            (_, Activation::Fp16) => 16,
            (_, Activation::Int8) => exact_entry_bits(shape.k.min(6)),
        };
        let builders = if kind.traits().dequantises { shape.n * shape.k } else { shape.m } * shape.groups;
        Core { kind, shape: Shape { entry_bits, ..shape }, builders }
    }

    /// A core of a machine: `m` rows, `n` columns, tables of `k` activations or products of `k` to an accumulator, accumulators of so
    /// many bits where they hold integers, as many builders or dequantisers as it has.
    pub fn on_chip(kind: Kind, (m, n, k): (u32, u32, u32), accumulator_bits: u32, builders: u32) -> Core {
        let lut = Shape::lut(m, n, k.min(6), accumulator_bits);
        let shape = match kind {
            Kind::Figlut => Shape { entry_bits: aligned_entry_bits(k), ..lut },
            Kind::MacFp16 => {
                Shape { entry_bits: 16, accumulator_bits: 32, activation: Activation::Fp16, ..lut }
            }
            _ => lut,
        };
        Core { kind, shape: Shape { k, ..shape }, builders }
    }

    /// Whether it can be built.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), SiliconError> {
        match self.kind.has_tables() {
            true => self.shape.check_tables(),
            false => self.shape.check(),
        }
    }

    /// Multiply-accumulates per cycle with weights of so many bits.
    pub fn macs_per_cycle(&self, weight_bits: u32) -> f64 {
        self.shape.positions() / f64::from(self.cycles(weight_bits))
    }

    /// Cycles that a weight takes: one per bit-plane, or per native width.
    pub fn cycles(&self, weight_bits: u32) -> u32 {
        self.kind.steps(weight_bits)
    }

    /// What it is made of, and what a cycle with weights of so many bits uses.
    pub fn bill(&self, silicon: &Silicon, weight_bits: u32, charged: Charged) -> Bill {
        let mut bill = self.array();
        if charged.registers {
            self.registers(&mut bill, weight_bits);
        }
        if charged.builders {
            self.makers(&mut bill, weight_bits);
        }
        if charged.wires {
            self.wires(&mut bill, silicon, weight_bits);
        }
        bill
    }

    /// Area by part, um2.
    pub fn area(&self, silicon: &Silicon, charged: Charged) -> Ordered<Band> {
        let parts = self.bill(silicon, 1, charged).area(silicon);
        let layout = match charged.layout {
            true => silicon.layout(),
            false => Band { mid: 1.0, low: 1.0, high: 1.0 },
        };
        let placed = |name: &str, band: &Band| match name {
            "broadcast" => *band,
            _ => crate::silicon::product(*band, layout),
        };
        parts.iter().map(|(name, band)| (name, placed(name, band))).collect()
    }

    /// Energy by part of one multiply-accumulate at full use, joules, without leakage.
    pub fn energy_per_mac(&self, silicon: &Silicon, weight_bits: u32, charged: Charged) -> Ordered<Band> {
        let macs = self.macs_per_cycle(weight_bits);
        let parts = self.bill(silicon, weight_bits, charged).energy(silicon);
        parts.iter().map(|(name, band)| (name, band.times(1.0 / macs))).collect()
    }

    /// Leakage, watts.
    pub fn leakage(&self, silicon: &Silicon, charged: Charged) -> Band {
        total(&self.bill(silicon, 1, charged).leakage(silicon))
    }

    /// Elements that accumulate.
    fn outputs(&self) -> f64 {
        f64::from(self.shape.m) * f64::from(self.shape.n)
    }

    /// Stored entries of one table.
    pub(crate) fn entries(&self) -> f64 {
        let half = f64::from(1u32 << (self.shape.k.min(31) - 1));
        if self.kind.full_tables() { 2.0 * half } else { half }
    }

    fn array(&self) -> Bill {
        match self.kind {
            Kind::Lut | Kind::LutConventional | Kind::Figlut | Kind::Unpu => self.selecting(),
            Kind::Add => self.adding(),
            Kind::MacInt8 | Kind::MacInt4 | Kind::MacInt2 | Kind::MacFp16 => self.multiplying(),
        }
    }

    /// M x N elements that select.
    fn selecting(&self) -> Bill {
        let (s, n) = (self.shape, self.outputs());
        let (t, groups) = (f64::from(s.entry_bits), f64::from(s.groups));
        let mut bill = Bill::default();
        let mut each = |part, component, count: f64| bill.line(part, component, n * count, n * count);
        each("select", C::MuxBit, groups * t * (self.entries() - 1.0));
        let sum_bits = f64::from(s.entry_bits + s.group_bits());
        match s.activation {
            Activation::Int8 => {
                if !self.kind.full_tables() {
                    each("sign", C::FlipBit, groups * t);
                }
                if s.groups > 1 {
                    each("reduce", C::AdderBit, (groups - 1.0) * sum_bits);
                }
                let stages = f64::from(s.stages());
                each("shift", C::ShiftBit, stages * (sum_bits + stages));
            }
            Activation::Fp16 => {
                each("sign", C::FlipBit, groups);
                each("reduce", C::Fp16Add, groups - 1.0);
                // The plane's weight is added to the exponent.
                each("shift", C::AdderBit, 5.0);
            }
        }
        self.accumulators(&mut bill, 1.0);
        bill
    }

    /// M x N sums of K activations with signs, a bit-plane at a time.
    fn adding(&self) -> Bill {
        let (s, n) = (self.shape, self.outputs());
        let terms = f64::from(s.k) * f64::from(s.groups);
        let log = f64::from((s.k * s.groups).next_power_of_two().trailing_zeros());
        let a = f64::from(s.activation.bits());
        let mut bill = Bill::default();
        let mut each = |part, component, count: f64| bill.line(part, component, n * count, n * count);
        match s.activation {
            Activation::Int8 => {
                each("sign", C::FlipBit, terms * a);
                each("reduce", C::AdderBit, (terms - 1.0) * (a + log));
                let stages = f64::from(s.stages());
                each("shift", C::ShiftBit, stages * (a + log + stages));
            }
            Activation::Fp16 => {
                each("sign", C::FlipBit, terms);
                each("reduce", C::Fp16Add, terms - 1.0);
                each("shift", C::AdderBit, 5.0);
            }
        }
        bill.line("reduce", C::InputBit, 0.0, n * terms * a);
        self.accumulators(&mut bill, 1.0);
        bill
    }

    /// M x N dot products of K.
    fn multiplying(&self) -> Bill {
        let (s, n) = (self.shape, self.outputs());
        let terms = f64::from(s.k) * f64::from(s.groups);
        let mut bill = Bill::default();
        match self.kind.native_bits().filter(|_| self.kind != Kind::MacFp16) {
            Some(width) => {
                let (a, w) = (f64::from(s.activation.bits()), f64::from(width));
                bill.line("multiply", C::ProductBit, n * terms * a * w, n * terms * a * w);
                bill.line("multiply", C::InputBit, 0.0, n * terms * a);
                self.accumulators(&mut bill, 1.0);
            }
            None => {
                bill.line("multiply", C::Fp16Mul, n * terms, n * terms);
                self.accumulators(&mut bill, terms);
            }
        }
        bill
    }

    /// Adders into accumulators, and their registers; of floating point, `adds` per output.
    fn accumulators(&self, bill: &mut Bill, adds: f64) {
        let (n, bits) = (self.outputs(), f64::from(self.shape.accumulator_bits));
        match self.shape.activation {
            Activation::Int8 => bill.line("accumulate", C::AccumulateBit, n * bits, n * bits),
            Activation::Fp16 => {
                let adder = if self.shape.accumulator_bits > 16 { C::Fp32Add } else { C::Fp16Add };
                bill.line("accumulate", adder, n * adds, n * adds);
                bill.line("accumulate", C::FlipFlop, n * bits, 0.0);
            }
        }
        bill.line("accumulate", C::FlipFlop, 0.0, n * bits);
    }

    /// Registers of operands, each twice: one is filled while the other is used. And accumulators that wait for their drain.
    fn registers(&self, bill: &mut Bill, weight_bits: u32) {
        let (s, cycles) = (self.shape, f64::from(self.cycles(weight_bits)));
        let (m, n, k, groups) = (f64::from(s.m), f64::from(s.n), f64::from(s.k), f64::from(s.groups));
        let weights = n * k * groups * f64::from(self.kind.native_bits().unwrap_or(1));
        bill.line("weights", C::FlipFlop, 2.0 * weights, 2.0 * weights);
        let held = match self.kind.has_tables() {
            true => m * groups * self.entries() * f64::from(s.entry_bits),
            false => m * k * groups * f64::from(s.activation.bits()),
        };
        let part = if self.kind.has_tables() { "tables" } else { "activations" };
        bill.line(part, C::EnabledFlipFlop, 2.0 * held, 2.0 * held / cycles);
        bill.line("second accumulators", C::FlipFlop, self.outputs() * f64::from(s.accumulator_bits), 0.0);
    }

    /// What makes tables, or widens weights.
    fn makers(&self, bill: &mut Bill, weight_bits: u32) {
        let s = self.shape;
        let cycles = f64::from(self.cycles(weight_bits));
        if self.kind.has_tables() {
            let (made, adds) = (f64::from(self.builders), self.additions());
            let used = f64::from(s.m) * f64::from(s.groups) / cycles;
            let (adder, width) = match s.activation {
                Activation::Int8 => (C::AdderBit, f64::from(s.entry_bits)),
                Activation::Fp16 => (C::Fp16Add, 1.0),
            };
            bill.line("builders", adder, made * adds * width, used * adds * width);
            // Its outputs, and the activations' sum for zero points, are registered.
            let bits = self.entries() * f64::from(s.entry_bits);
            bill.line("builders", C::FlipFlop, made * bits, used * bits);
        } else if let Some(native) = self.kind.native_bits() {
            let weights = f64::from(s.n) * f64::from(s.k) * f64::from(s.groups);
            let width = f64::from(native);
            bill.line("dequantiser", C::MuxBit, weights * width, weights * width);
            if self.kind.traits().dequantises {
                bill.line("dequantiser", C::Fp16Mul, f64::from(self.builders), weights);
            }
        }
    }

    /// Additions that make one table.
    pub(crate) fn additions(&self) -> f64 {
        f64::from(self.kind.table_additions(self.shape.k))
    }

    /// From tables or activations to N columns, from weights to M rows.
    fn wires(&self, bill: &mut Bill, silicon: &Silicon, weight_bits: u32) {
        let (s, cycles) = (self.shape, f64::from(self.cycles(weight_bits)));
        let (m, n, groups) = (f64::from(s.m), f64::from(s.n), f64::from(s.groups));
        let element = self.element_um2(silicon);
        let held = match self.kind.has_tables() {
            true => m * groups * self.entries() * f64::from(s.entry_bits),
            false => m * f64::from(s.k) * groups * f64::from(s.activation.bits()),
        };
        let across = held * tree_mm(s.n, element);
        bill.line("broadcast", C::Wire, across, across / cycles);
        let bits = n * f64::from(s.k) * groups * f64::from(self.kind.native_bits().unwrap_or(1));
        let down = bits * tree_mm(s.m, element);
        bill.line("broadcast", C::Wire, down, down);
    }

    /// Area of one element as placed, um2.
    pub(crate) fn element_um2(&self, silicon: &Silicon) -> f64 {
        total(&self.array().area(silicon)).mid / self.outputs() * silicon.layout().mid
    }
}
