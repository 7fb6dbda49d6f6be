//! The energy table of a chip: what one event costs, from the chip's structure.

use lutsim_record::technology::{Entry, Tech};
use lutsim_record::{Band, Kind as Origin, Ordered};

use crate::bill::total;
use crate::chip::Plan;
use crate::{Component as C, Silicon, SiliconError};

/// Wires between blocks: mean way from scratchpad to a core, and from the die's edge to a bank, in sides of the square of both.
const TO_CORE: f64 = 0.5;
const FROM_EDGE: f64 = 0.75;
/// The layout is not known: half and twice the length.
pub(crate) const LENGTHS: Band = Band { mid: 1.0, low: 0.5, high: 2.0 };

/// Collects entries of one node.
pub(crate) struct Table<'a> {
    silicon: &'a Silicon,
    entries: Ordered<Entry>,
}

impl Table<'_> {
    /// An entry in `unit`, whose size in joules or watts is `scale`.
    pub(crate) fn put(
        &mut self,
        name: &str,
        band: Band,
        (unit, scale): (&str, f64),
        kind: Origin,
        note: &str,
    ) {
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

pub(crate) const FJ: (&str, f64) = ("fJ", 1e-15);
pub(crate) const PJ: (&str, f64) = ("pJ", 1e-12);
pub(crate) const PJ_BYTE: (&str, f64) = ("pJ/byte", 1e-12);
pub(crate) const UW: (&str, f64) = ("uW", 1e-6);
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
        self.cores.events(&mut table, silicon)?;
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
        Ok(Tech::of_entries(name, table.entries).lacking(&self.cores.lacks()))
    }
}
