//! The energy table's entries of cores: of those that look up, of those that multiply or add, of lanes for attention.

use lutsim_record::technology::{OF_ARRAYS, OF_TABLES};
use lutsim_record::{Band, Kind as Origin};

use crate::bill::Bill;
use crate::broadcast::tree_mm;
use crate::chip::{Cores, mac_lane};
use crate::events::{FJ, LENGTHS, PJ, PJ_BYTE, Table, UW};
use crate::{Charged, Component as C, Core, Silicon, SiliconError};

/// The entry of what puts weights together.
const DEQUANTISE: &str = "dequantise";

impl Cores {
    /// What every event in them costs.
    pub(crate) fn events(&self, table: &mut Table<'_>, silicon: &Silicon) -> Result<(), SiliconError> {
        use Origin::{Calibrated, Sourced};
        let core = self.core;
        core.check()?;
        match core.kind.has_tables() {
            true => core.look_up_events(table, silicon),
            false => core.array_events(table, silicon),
        }
        let lane = mac_lane();
        let part = |bill: &Bill, name: &str| bill.energy(silicon).get(name).copied().unwrap_or_default();
        table.put(
            "mac_int8",
            part(&lane, "int8"),
            FJ,
            Calibrated,
            "One INT8 product of an array that adds 16 into one 32-bit accumulator.",
        );
        table.put(
            "mac_fp16",
            part(&lane, "fp16"),
            PJ,
            Sourced,
            "One product of FP16 and a converted INT8 code, added in FP32.",
        );
        table.put(
            "mac_lane_leakage",
            lane.leakage(silicon).get("int8").copied().unwrap_or_default(),
            UW,
            Calibrated,
            "Its INT8 part: what multiplies FP16 is taken to be switched off where it is not used.",
        );
        Ok(())
    }

    /// Entries of the energy table that the chip has nothing for.
    pub(crate) fn lacks(&self) -> Vec<&'static str> {
        if self.core.kind.has_tables() {
            return OF_ARRAYS.to_vec();
        }
        let widens = self.core.kind.native_bits().is_some();
        OF_TABLES.iter().copied().chain((!widens).then_some(DEQUANTISE)).collect()
    }
}

impl Core {
    fn look_up_events(&self, table: &mut Table<'_>, silicon: &Silicon) {
        use Origin::{Assumed, Calibrated};
        let core = self;
        let shape = core.shape;
        let elements = f64::from(shape.m) * f64::from(shape.n);
        let array = core.bill(silicon, 1, Charged::ARRAY).energy(silicon);
        let accumulate = array.get("accumulate").copied().unwrap_or_default();
        let select = array.iter().filter(|(part, _)| *part != "accumulate");
        let select = select.fold(Band::default(), |sum, (_, band)| sum + *band);
        let each = 1.0 / (elements * f64::from(shape.groups));
        table.put(
            "lut_select",
            select.times(each),
            FJ,
            Calibrated,
            "One element in one cycle: an entry selected, sign, shift.",
        );
        table.put(
            "lut_accumulate",
            accumulate.times(each),
            FJ,
            Calibrated,
            "The element's accumulator with its register, in the same cycle.",
        );
        let leakage = core.leakage(silicon, Charged { builders: false, ..Charged::ALL });
        table.put(
            "lut_pe_leakage",
            leakage.times(1.0 / elements),
            UW,
            Calibrated,
            "An element with its share of operand registers and second accumulator.",
        );
        let adds = core.additions();
        let held = core.entries() * f64::from(shape.entry_bits);
        let bit = silicon.energy(C::EnabledFlipFlop);
        // Into the shadow register, and from there into the one that is read.
        let stored = bit.times(2.0 * held / adds);
        table.put(
            "table_add",
            silicon.energy(C::AdderBit).times(f64::from(shape.entry_bits)) + stored,
            FJ,
            Calibrated,
            "One addition of a builder, with its share of writing the table's registers twice.",
        );
        table.put(
            "table_read",
            bit.times(2.0 * 8.0),
            PJ_BYTE,
            Calibrated,
            "One byte of a stored table into the core's registers, twice; the scratchpad read is counted by itself.",
        );
        let tree = tree_mm(shape.n, core.element_um2(silicon));
        let spread = |bits: f64| crate::silicon::product(silicon.wire().times(bits * tree), LENGTHS);
        table.put(
            "wire_tables",
            spread(held / adds),
            FJ,
            Assumed,
            "From a table's registers to all columns of the core, per addition that made it.",
        );
        table.put(
            "wire_stored_tables",
            spread(8.0),
            PJ_BYTE,
            Assumed,
            "From a table's registers to all columns of the core, per byte that was stored.",
        );
    }

    fn array_events(&self, table: &mut Table<'_>, silicon: &Silicon) {
        use Origin::{Assumed, Calibrated};
        let shape = self.shape;
        let elements = f64::from(shape.m) * f64::from(shape.n);
        let array = self.bill(silicon, 1, Charged::ARRAY).energy(silicon);
        let accumulate = array.get("accumulate").copied().unwrap_or_default();
        let products = array.iter().filter(|(part, _)| *part != "accumulate");
        let products = products.fold(Band::default(), |sum, (_, band)| sum + *band);
        table.put(
            "array_product",
            products.times(1.0 / shape.positions()),
            FJ,
            Calibrated,
            "One product, or one signed addition of a bit-plane, with its share of the tree that adds K of them.",
        );
        table.put(
            "array_accumulate",
            accumulate.times(1.0 / elements),
            FJ,
            Calibrated,
            "The accumulator of an element with its register, in the same cycle; of FP16 an addition for each product.",
        );
        let bit = silicon.energy(C::EnabledFlipFlop).times(2.0 * 8.0);
        let tree = tree_mm(shape.n, self.element_um2(silicon));
        let spread = crate::silicon::product(silicon.wire().times(8.0 * tree), LENGTHS);
        table.put(
            "array_operand",
            bit + spread,
            PJ_BYTE,
            Assumed,
            "One byte of activations into the core's registers, twice, and from there to all columns.",
        );
        let leakage = self.leakage(silicon, Charged::ALL);
        table.put(
            "array_leakage",
            leakage.times(1.0 / elements),
            UW,
            Calibrated,
            "An element with its share of operand registers, second accumulator and dequantiser.",
        );
        if let Some(native) = self.kind.native_bits() {
            let wide = silicon.energy(C::MuxBit).times(f64::from(native));
            let scaled = match self.kind.traits().dequantises {
                true => silicon.energy(C::Fp16Mul),
                false => Band::default(),
            };
            table.put(
                DEQUANTISE,
                wide + scaled,
                FJ,
                Assumed,
                "One weight from its planes to the array's width; to FP16, multiplied with its scale.",
            );
        }
    }
}
