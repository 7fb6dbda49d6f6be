//! The energy table of a chip: what one event costs, from the chip's structure.

use lutsim_record::technology::{Entry, Tech};
use lutsim_record::{Band, Kind as Origin, Ordered};

use crate::bill::{Bill, total};
use crate::broadcast::tree_mm;
use crate::chip::{Plan, mac_lane};
use crate::{Charged, Component as C, Silicon, SiliconError};

/// Wires between blocks: mean way from scratchpad to a core, and from the die's edge to a bank, in sides of the square of both.
const TO_CORE: f64 = 0.5;
const FROM_EDGE: f64 = 0.75;
/// The layout is not known: half and twice the length.
const LENGTHS: Band = Band { mid: 1.0, low: 0.5, high: 2.0 };

/// Collects entries of one node.
struct Table<'a> {
    silicon: &'a Silicon,
    entries: Ordered<Entry>,
}

impl Table<'_> {
    /// An entry in `unit`, whose size in joules or watts is `scale`.
    fn put(&mut self, name: &str, band: Band, (unit, scale): (&str, f64), kind: Origin, note: &str) {
        let b = band.times(1.0 / scale);
        let (nm, volts) = (self.silicon.node.nm, self.silicon.voltage_v);
        let beyond = if self.silicon.node.extrapolated { ", EXTRAPOLATED" } else { "" };
        let source = format!("configs/tech/components.toml at {nm} nm{beyond} (configs/tech/nodes.toml)");
        self.entries.insert(
            name,
            Entry {
                value: b.mid,
                low: b.low,
                high: b.high,
                unit: unit.into(),
                node_nm: nm.into(),
                voltage_v: volts,
                kind,
                source,
                note: note.into(),
            },
        );
    }
}

const FJ: (&str, f64) = ("fJ", 1e-15);
const PJ: (&str, f64) = ("pJ", 1e-12);
const PJ_BYTE: (&str, f64) = ("pJ/byte", 1e-12);
const UW: (&str, f64) = ("uW", 1e-6);
const MW: (&str, f64) = ("mW", 1e-3);

impl Plan {
    /// What every event on the chip costs; the DRAM's entries are in its own file.
    ///
    /// # Errors
    /// A core that cannot be built, a memory outside the table of macros.
    pub fn events(&self, silicon: &Silicon) -> Result<Tech, SiliconError> {
        use Origin::{Assumed, Sourced};
        let name = format!("{}nm", silicon.node.nm);
        let mut table = Table { silicon, entries: Ordered::new() };
        self.core_events(&mut table, silicon)?;
        let fp = |mul: f64, add: f64| {
            silicon.energy(C::Fp32Mul).times(mul) + silicon.energy(C::Fp32Add).times(add)
        };
        table.put(
            "group_drain",
            fp(2.0, 2.0),
            PJ,
            Sourced,
            "y += s' * acc - c * asum: two FP32 multiplications and two additions.",
        );
        let sums = self.partial_sums().cost(&silicon.macros())?;
        let lanes = f64::from(self.cores.drain_lanes);
        table.put(
            "psum_access",
            (sums.read + sums.write).times(0.5 / lanes),
            PJ,
            Sourced,
            "Mean of a read and a write of the core's store of partial sums, per FP32 of a word as wide as the drain.",
        );
        let registers = silicon.energy(C::FlipFlop).times(96.0);
        table.put(
            "vector_lane_op",
            fp(0.5, 0.5) + registers,
            PJ,
            Sourced,
            "Mean of an FP32 multiplication and addition, two operands read and one written in registers.",
        );
        table.put(
            "sfu_op",
            fp(6.0, 6.0),
            PJ,
            Assumed,
            "exp, reciprocal, rsqrt, sine or cosine as six FP32 multiply-adds.",
        );
        let vector = total(&self.vector.bill().leakage(silicon));
        table.put(
            "vector_lane_leakage",
            vector.times(1.0 / f64::from(self.vector.lanes)),
            UW,
            Assumed,
            "Per lane, special functions included.",
        );
        let bank = self.bank_cost(silicon)?;
        let word = f64::from(self.scratchpad.bank_bytes);
        for (entry, band) in [("scratchpad_read", bank.read), ("scratchpad_write", bank.write)] {
            let note = "One word of a bank, per byte.";
            table.put(entry, band.times(1.0 / word), PJ_BYTE, Sourced, note);
        }
        let kib = self.scratchpad.bytes as f64 / 1024.0 / f64::from(self.scratchpad.banks);
        table.put(
            "scratchpad_leakage",
            bank.leakage.times(1.0 / kib),
            UW,
            Sourced,
            "Per KiB; low-standby cells at 350 K. High = ten times, for faster cells.",
        );
        let mm = self.side_mm(silicon)?;
        let byte = |mm: f64| {
            let wire = crate::silicon::product(silicon.wire().times(8.0 * mm), silicon.repeaters());
            crate::silicon::product(wire, LENGTHS)
        };
        let note =
            "Half the side of cores and scratchpad as a square, repeaters included, per receiving core.";
        table.put("wire_weights", byte(TO_CORE * mm), PJ_BYTE, Assumed, note);
        table.put("wire_activations", byte(TO_CORE * mm), PJ_BYTE, Assumed, note);
        table.put(
            "wire_dma",
            byte(FROM_EDGE * mm),
            PJ_BYTE,
            Assumed,
            "From the die's edge to a bank: three quarters of the side, repeaters included.",
        );
        let unpacker = total(&self.dma.unpacker().energy(silicon));
        table.put(
            "unpack",
            unpacker.times(1.0 / f64::from(self.dma.unpacker_bytes)),
            PJ_BYTE,
            Assumed,
            "Four registers and three levels of multiplexers per bit: in, transposed, out.",
        );
        let buffer = self.dma_buffer().cost(&silicon.macros())?;
        table.put(
            "dma",
            (buffer.read + buffer.write).times(1.0 / f64::from(self.dma.port_bytes)),
            PJ_BYTE,
            Sourced,
            "One write and one read of the engine's buffer.",
        );
        let instruction = silicon.energy(C::Instruction);
        table.put("instruction", instruction, PJ, Assumed, "Fetched from the buffer, decoded, queued.");
        table.put(
            "uncore_power",
            silicon.uncore(),
            MW,
            Assumed,
            "Clock distribution, sequencer, link registers, controllers: always on.",
        );
        Ok(Tech::of_entries(name, table.entries))
    }

    /// Of the cores.
    fn core_events(&self, table: &mut Table<'_>, silicon: &Silicon) -> Result<(), SiliconError> {
        use Origin::{Assumed, Calibrated, Sourced};
        let core = self.cores.core;
        core.check()?;
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
        let held = f64::from(1u32 << (shape.k - 1)) * f64::from(shape.entry_bits);
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
}
