//! Energy: integer events times a table, multiplied once, in declared order.
//!
//! The boundary is explicit. *chip* is everything inside the accelerator, *dram_device* is what the memory
//! dies burn, *interface* is the pins: PHY, IO and termination on both sides. The host SoC is outside. An entry
//! that a line needs and the technology lacks is an error that names it, never a zero.

use crate::counters::{EventUnit, Events};
use crate::ordered::Ordered;
use crate::technology::{Band, Tech};

/// Which side of the chip's edge an energy line is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Inside the accelerator.
    Chip,
    /// The DRAM dies.
    DramDevice,
    /// The pins between the two.
    Interface,
}

impl Boundary {
    /// The key in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Boundary::Chip => "chip",
            Boundary::DramDevice => "dram_device",
            Boundary::Interface => "interface",
        }
    }
}

/// What energy is spent on, across components, with what that is.
pub const PURPOSES: &[(&str, &str)] = &[
    ("lookups", "Choosing entries of tables."),
    ("accumulation", "Shifting what was chosen and adding it to an integer accumulator."),
    ("tables", "Making tables, or reading stored ones."),
    ("products", "Multiply-accumulate lanes, where a chip has them."),
    ("scales", "Scales and zero points at a group's end, and the partial sums they are added to."),
    ("vector", "The vector unit's arithmetic."),
    ("sram", "Reads and writes of the scratchpad."),
    ("wires", "Broadcasts of weights, activations and tables, and the DMA's wires."),
    ("control", "Instructions, DMA engines and the unpacker's logic."),
    ("clock", "Clock tree and whatever else runs in every cycle."),
    ("leakage", "What flows whether anything happens or not."),
    ("dram", "The memory dies: activates, reads, writes, refreshes and standing by."),
    ("interface", "Pins, PHY and termination on both sides."),
];

/// One row of the energy table: `component += events * entry`.
#[derive(Clone, Copy, Debug)]
pub struct LineRow {
    /// The component that it is summed under.
    pub component: &'static str,
    /// Which side of the boundary.
    pub boundary: Boundary,
    /// What it is spent on, one of [`PURPOSES`].
    pub purpose: &'static str,
    /// The technology entry.
    pub entry: &'static str,
    /// The event counter, a field of [`Events`].
    pub event: &'static str,
    /// What the counter counts.
    pub unit: EventUnit,
    count: fn(&Events) -> u64,
}

macro_rules! lines {
    ($($component:literal $boundary:ident { $($entry:literal : $event:ident $unit:ident $purpose:literal,)* })*) => {
        /// Every energy line, in the order in which they are summed.
        pub const LINES: &[LineRow] = &[$($(LineRow {
            component: $component, boundary: Boundary::$boundary, purpose: $purpose, entry: $entry,
            event: stringify!($event), unit: EventUnit::$unit, count: |e| e.$event,
        },)*)*];
    };
}

lines! {
    "lut" Chip {
        "lut_select": lut_selects Each "lookups",
        "lut_accumulate": lut_selects Each "accumulation",
        "lut_pe_leakage": lut_pe_cycles CoreCycle "leakage",
    }
    "table_builder" Chip {
        "table_add": table_adds Each "tables",
        "table_read": table_reads Byte "tables",
        "mac_int8": table_roundings Each "tables",
    }
    "array" Chip {
        "array_product": array_products Each "products",
        "array_accumulate": array_accumulates Each "accumulation",
        "array_operand": array_operand_bytes Byte "products",
        "array_leakage": array_pe_cycles CoreCycle "leakage",
    }
    "dequantiser" Chip {
        "dequantise": dequantised Each "scales",
    }
    "mac_lanes" Chip {
        "mac_int8": mac_int8 Each "products",
        "mac_fp16": mac_fp16 Each "products",
        "mac_lane_leakage": mac_lane_cycles CoreCycle "leakage",
    }
    "drain" Chip {
        "group_drain": group_drains Each "scales",
        "psum_access": psum_accesses Each "scales",
    }
    "vector" Chip {
        "vector_lane_op": vector_lane_ops Each "vector",
        "sfu_op": sfu_ops Each "vector",
        "vector_lane_leakage": vector_lane_cycles CoreCycle "leakage",
    }
    "scratchpad" Chip {
        "scratchpad_read": scratchpad_read_bytes Byte "sram",
        "scratchpad_write": scratchpad_write_bytes Byte "sram",
        "scratchpad_leakage": scratchpad_kib_cycles CoreCycle "leakage",
    }
    "wires" Chip {
        "wire_weights": weight_broadcast_bytes Byte "wires",
        "wire_activations": activation_broadcast_bytes Byte "wires",
        "wire_tables": table_adds Each "wires",
        "wire_stored_tables": table_reads Byte "wires",
        "wire_dma": dma_bytes Byte "wires",
    }
    "unpacker" Chip {
        "unpack": unpacked_bytes Byte "control",
    }
    "dma" Chip {
        "dma": dma_bytes Byte "control",
    }
    "sequencer" Chip {
        "instruction": instructions Each "control",
    }
    "uncore" Chip {
        "uncore_power": core_cycles CoreCycle "clock",
    }
    "dram_activate" DramDevice {
        "dram_activate": dram_activates Each "dram",
    }
    "dram_read" DramDevice {
        "dram_read": dram_read_bytes Byte "dram",
        "dram_read": dram_others_read_bytes Byte "dram",
    }
    "dram_write" DramDevice {
        "dram_write": dram_write_bytes Byte "dram",
        "dram_write": dram_others_write_bytes Byte "dram",
    }
    "dram_refresh" DramDevice {
        "dram_refresh": dram_refreshes Each "dram",
    }
    "dram_background" DramDevice {
        "dram_background_active": dram_active_clocks DramClock "dram",
        "dram_background_idle": dram_idle_clocks DramClock "dram",
    }
    "interface" Interface {
        "interface_read": dram_read_bytes Byte "interface",
        "interface_write": dram_write_bytes Byte "interface",
        "interface_read": dram_others_read_bytes Byte "interface",
        "interface_write": dram_others_write_bytes Byte "interface",
    }
}

/// The entries of all lines, each once. A technology has those of the components that its chip has: of cores, by their kind.
pub fn entry_names() -> impl Iterator<Item = &'static str> {
    let first = |(i, line): &(usize, &LineRow)| LINES[..*i].iter().all(|before| before.entry != line.entry);
    LINES.iter().enumerate().filter(first).map(|(_, line)| line.entry)
}

/// Frequencies of the clocks that events are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Core clock, Hz.
    pub core_hz: u64,
    /// DRAM command clock, Hz.
    pub dram_hz: u64,
}

/// Why energy could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnergyError {
    /// The technology lacks an entry that a line needs.
    #[error(
        "technology `{tech}` has no entry `{entry}`, which component `{component}` needs for its `{event}`: \
         add it with value, low, high, unit and source (a missing entry is never counted as zero)"
    )]
    Missing {
        /// The technology.
        tech: String,
        /// The entry.
        entry: &'static str,
        /// The component.
        component: &'static str,
        /// The event counter.
        event: &'static str,
    },
    /// The entry's unit does not fit what the counter counts.
    #[error(
        "technology `{tech}`: entry `{entry}` is in {unit}, which does not fit `{event}`, a {counted} counter"
    )]
    Unit {
        /// The technology.
        tech: String,
        /// The entry.
        entry: &'static str,
        /// Its unit.
        unit: String,
        /// The event counter.
        event: &'static str,
        /// What it counts.
        counted: &'static str,
    },
}

/// One computed line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyLine {
    /// The component.
    pub component: &'static str,
    /// Which side of the boundary.
    pub boundary: Boundary,
    /// What it is spent on.
    pub purpose: &'static str,
    /// The technology entry.
    pub entry: &'static str,
    /// How many events.
    pub events: u64,
    /// Joules.
    pub joules: Band,
}

/// Energy by line, in declared order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnergyBreakdown {
    /// Every line of the table that the chip has something for.
    pub lines: Vec<EnergyLine>,
}

/// Computes energy.
#[derive(Clone, Copy, Debug)]
pub struct Energy;

impl Energy {
    /// Events times entries, each multiplied once.
    pub fn compute(events: &Events, clocks: &Clocks, tech: &Tech) -> Result<EnergyBreakdown, EnergyError> {
        let mut lines = Vec::with_capacity(LINES.len());
        for row in LINES {
            // What a chip has nothing of has no line; a count of it all the same is an error.
            if tech.lacks(row.entry) && (row.count)(events) == 0 {
                continue;
            }
            let entry = tech.entry(row.entry).ok_or_else(|| EnergyError::Missing {
                tech: tech.name.clone(),
                entry: row.entry,
                component: row.component,
                event: row.event,
            })?;
            let hz = if row.unit == EventUnit::DramClock { clocks.dram_hz } else { clocks.core_hz };
            let each = entry.joules_per_event(row.unit, hz).ok_or_else(|| EnergyError::Unit {
                tech: tech.name.clone(),
                entry: row.entry,
                unit: entry.unit.clone(),
                event: row.event,
                counted: row.unit.name(),
            })?;
            let count = (row.count)(events);
            lines.push(EnergyLine {
                component: row.component,
                boundary: row.boundary,
                purpose: row.purpose,
                entry: row.entry,
                events: count,
                joules: each.times(count as f64),
            });
        }
        Ok(EnergyBreakdown { lines })
    }
}

impl EnergyBreakdown {
    /// All lines.
    pub fn total(&self) -> Band {
        self.by_component().iter().fold(Band::default(), |sum, (_, b)| sum + *b)
    }

    /// By component, in declared order.
    pub fn by_component(&self) -> Ordered<Band> {
        self.group(|line| line.component)
    }

    /// By side of the boundary: chip, dram_device, interface.
    pub fn by_boundary(&self) -> Ordered<Band> {
        self.group(|line| line.boundary.name())
    }

    /// By what it is spent on, in the order of [`PURPOSES`].
    pub fn by_purpose(&self) -> Ordered<Band> {
        let mut out: Ordered<Band> = PURPOSES.iter().map(|(p, _)| (*p, Band::default())).collect();
        for line in &self.lines {
            out.add(line.purpose, line.joules);
        }
        out
    }

    fn group(&self, key: impl Fn(&EnergyLine) -> &'static str) -> Ordered<Band> {
        let mut out = Ordered::new();
        for line in &self.lines {
            out.add(key(line), line.joules);
        }
        out
    }
}
