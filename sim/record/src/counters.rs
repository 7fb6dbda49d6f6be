//! Every event counter, declared once: name, unit, what one event is.
//!
//! [`Events`] is generated from the table; the simulator adds to its fields in integers, the energy model
//! multiplies them once at the end, `docs/counters.md` prints them.

use serde::{Deserialize, Serialize};

/// What one count of an [`Events`] field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventUnit {
    /// A countable thing: an operation, a command, an instruction.
    Each,
    /// A byte.
    Byte,
    /// An edge of the core clock, or something times it (PE-cycles, KiB-cycles).
    CoreCycle,
    /// An edge of the DRAM command clock of one channel.
    DramClock,
}

impl EventUnit {
    /// The unit as printed.
    pub const fn name(self) -> &'static str {
        match self {
            EventUnit::Each => "count",
            EventUnit::Byte => "byte",
            EventUnit::CoreCycle => "core cycle",
            EventUnit::DramClock => "DRAM clock",
        }
    }
}

/// One row of the counter table.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// The part of the machine that counts it.
    pub part: &'static str,
    /// The field of [`Events`] and the key in the record.
    pub name: &'static str,
    /// What one count is.
    pub unit: EventUnit,
    /// What is counted.
    pub doc: &'static str,
}

/// Whether a counter that only some chips have is left out of the record.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

macro_rules! counters {
    ($($part:literal { $($(#[$attribute:meta])* $name:ident : $unit:ident, $doc:literal;)* })*) => {
        /// Integer event counts of a run, a phase or a step.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Events { $($(#[doc = $doc] $(#[$attribute])* pub $name: u64,)*)* }

        /// The counter table, in declared order.
        pub const COUNTERS: &[CounterRow] = &[
            $($(CounterRow {
                part: $part, name: stringify!($name), unit: EventUnit::$unit, doc: $doc,
            },)*)*
        ];

        impl Events {
            /// The count named `name`.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name { $($(stringify!($name) => Some(self.$name),)*)* _ => None }
            }

            /// Names and counts in declared order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$($((stringify!($name), self.$name),)*)*].into_iter()
            }

            fn zip(self, other: Events, f: impl Fn(u64, u64) -> u64) -> Events {
                Events { $($($name: f(self.$name, other.$name),)*)* }
            }
        }
    };
}

counters! {
    "time" {
        core_cycles: CoreCycle, "Edges of the core clock that passed.";
    }
    "sequencer" {
        instructions: Each, "Instructions decoded and issued, loop control included.";
        fetched_bytes: Byte, "Program bytes fetched from DRAM.";
    }
    "lut" {
        macs: Each, "Multiply-accumulates of the workload that ran on the LUT cores (a weight of any width counts once).";
        lut_selects: Each, "Table selects: one entry chosen for one bit-plane of K weights, sign applied, shifted, accumulated.";
        lut_pe_cycles: CoreCycle, "Selecting elements in arrays with tables (cores x M x N) times core cycles, busy or not: leakage.";
        table_adds: Each, "Integer additions in the table builders, the group's activation sum included.";
        table_reads: Byte, "Bytes of stored tables read instead of built (build = vector, or a mode that stores tables).";
        #[serde(skip_serializing_if = "is_zero")]
        table_roundings: Each, "Table entries multiplied with the inverse of their scale and rounded to 8 bits (`workload.tables = int8`); left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        array_products: Each, "Steps of cores without tables: one product of an activation and a weight, or as much of it as the kind multiplies at once (`add`: a bit-plane); left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        array_accumulates: Each, "Sums of K products added into an accumulator of a core without tables; left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        array_operand_bytes: Byte, "Bytes of activations that entered registers of cores without tables; left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        array_pe_cycles: CoreCycle, "Elements of cores without tables (cores x M x N) times core cycles, busy or not: leakage; left out if there are none.";
        #[serde(skip_serializing_if = "is_zero")]
        dequantised: Each, "Weights that a core put together from planes for its multipliers, or dequantised to FP16, once per receiving core; left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        mac_int8: Each, "Multiply-accumulates on lanes that multiply INT8 by INT8 (`attention.mac.lanes`); left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        mac_fp16: Each, "Multiply-accumulates on lanes that multiply FP16 by INT8; left out if none.";
        #[serde(skip_serializing_if = "is_zero")]
        mac_lane_cycles: CoreCycle, "Multiply-accumulate lanes times core cycles, busy or not: leakage; left out if there are none.";
        group_drains: Each, "Accumulators drained at a group's end: y += s' * acc - c * asum, two FP32 multiply-adds.";
        psum_accesses: Each, "Reads and writes of one FP32 partial sum, 4 bytes, in the core's own store.";
        weight_broadcast_bytes: Byte, "Bytes of weight planes and scales delivered into LUT cores, once per receiving core.";
        activation_broadcast_bytes: Byte, "Bytes of activations delivered into LUT cores, once per receiving core.";
    }
    "vector" {
        vector_lane_ops: Each, "FP32 additions, multiplications, comparisons or conversions in one vector lane.";
        sfu_ops: Each, "Special functions of one element: exp, reciprocal, rsqrt, sine, cosine.";
        vector_lane_cycles: CoreCycle, "Vector lanes times core cycles, busy or not: leakage.";
    }
    "scratchpad" {
        scratchpad_read_bytes: Byte, "Bytes read from scratchpad banks (whole words: what the bank moves, not what was wanted).";
        scratchpad_write_bytes: Byte, "Bytes written to scratchpad banks.";
        scratchpad_conflicts: Each, "Bank requests that lost arbitration in a cycle.";
        scratchpad_kib_cycles: CoreCycle, "KiB of scratchpad times core cycles: leakage.";
    }
    "dma" {
        dma_bytes: Byte, "Bytes moved by the DMA engines between memory controllers and scratchpad, both directions.";
        unpacked_bytes: Byte, "Bytes that left the unpacker towards the scratchpad, plain copies included.";
    }
    "dram" {
        dram_activates: Each, "Row activations; the precharge that ends each belongs to it.";
        dram_reads: Each, "Read bursts of the accelerator.";
        dram_writes: Each, "Write bursts of the accelerator.";
        dram_read_bytes: Byte, "Bytes that read bursts moved over the pins: bursts times burst size.";
        dram_write_bytes: Byte, "Bytes that write bursts moved over the pins.";
        #[serde(skip_serializing_if = "is_zero")]
        dram_others_read_bytes: Byte, "Bytes that read bursts of other masters moved (`[background]`); left out if none. Commands, row outcomes and clocks of this part count everybody's.";
        #[serde(skip_serializing_if = "is_zero")]
        dram_others_write_bytes: Byte, "Bytes that write bursts of other masters moved; left out if none.";
        dram_row_hits: Each, "Bursts that found their row open.";
        dram_row_misses: Each, "Bursts that found their bank closed.";
        dram_row_conflicts: Each, "Bursts that found another row open in their bank.";
        dram_refreshes: Each, "All-bank refresh commands of a rank of one channel.";
        dram_forced_refreshes: Each, "Refreshes that could be postponed no longer (policy aligned) and interrupted a stream.";
        dram_active_clocks: DramClock, "DRAM clocks of each channel with a bank open, added over channels.";
        dram_idle_clocks: DramClock, "DRAM clocks of each channel with all banks closed, added over channels.";
    }
    "host" {
        doorbells: Each, "Programs the host started on the chip.";
        read_back_bytes: Byte, "Bytes the host read back: 4 for an arg-max on chip, all logits for sampling.";
    }
}

impl std::ops::Add for Events {
    type Output = Events;
    fn add(self, other: Events) -> Events {
        self.zip(other, |a, b| a + b)
    }
}

impl std::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Events) {
        *self = *self + other;
    }
}

impl std::ops::Sub for Events {
    type Output = Events;
    fn sub(self, other: Events) -> Events {
        self.zip(other, |a, b| a - b)
    }
}

impl std::iter::Sum for Events {
    fn sum<I: Iterator<Item = Events>>(items: I) -> Events {
        items.fold(Events::default(), |a, b| a + b)
    }
}

impl Events {
    /// These events, `times` over.
    #[must_use]
    pub fn scale(self, times: u64) -> Events {
        self.zip(self, |a, _| a * times)
    }
}

/// The text of `docs/counters.md`: counters, units and stall causes, energy lines.
pub fn counters_markdown() -> String {
    crate::document::counters_markdown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_struct_agree() {
        let events = Events { macs: 7, dram_reads: 3, ..Events::default() };
        for (row, (name, value)) in COUNTERS.iter().zip(events.iter()) {
            assert_eq!(row.name, name);
            assert_eq!(events.get(name), Some(value));
            assert!(row.doc.ends_with('.'), "{name}: documentation is a sentence");
        }
        assert_eq!(COUNTERS.len(), events.iter().count());
        assert_eq!(events.get("no_such_counter"), None);
    }

    #[test]
    fn arithmetic_is_per_field() {
        let a = Events { macs: 7, dram_reads: 3, ..Events::default() };
        let b = Events { macs: 1, sfu_ops: 2, ..Events::default() };
        assert_eq!((a + b) - b, a);
        assert_eq!(a + a + a, a.scale(3));
        assert_eq!([a, b].into_iter().sum::<Events>(), a + b);
    }
}
