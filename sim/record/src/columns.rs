//! What the keys of a record and the columns of its tables mean: name, unit, meaning, declared once.
//!
//! `docs/counters.md`, `lutsim explain` and the header of `operators.csv` come from these tables; a test holds them against
//! the keys that a record really has.

/// A key of the record, or a column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The unit; `-` of names and texts.
    pub unit: &'static str,
    /// What it says.
    pub doc: &'static str,
}

macro_rules! columns {
    ($($(#[$attribute:meta])* $table:ident { $($name:literal $unit:literal $doc:literal;)* })*) => {
        $($(#[$attribute])* pub const $table: &[Column] = &[$(Column { name: $name, unit: $unit, doc: $doc },)*];)*
    };
}

columns! {
    /// Keys of a phase: `phases.prefill`, `phases.decode`. Bands have a `_low` and a `_high` beside the mid value.
    PHASE {
        "cycles" "core cycle" "Edges of the core clock from the phase's first doorbell to its last read-back.";
        "seconds" "s" "The same in seconds.";
        "tokens" "count" "Batch times tokens per sequence.";
        "tokens_per_second" "1/s" "Tokens over seconds, all sequences of the batch together.";
        "energy_j" "J" "Energy of the phase: chip, memory dies and pins; the host is outside. Low and high are the same events priced at the low and the high end of every entry of the technology.";
        "energy_per_token_j" "J" "Energy over tokens.";
        "dram_read_bytes" "byte" "Bytes that read bursts of the accelerator moved over the pins.";
        "dram_write_bytes" "byte" "Bytes that write bursts of the accelerator moved over the pins.";
        "dram_bandwidth_share" "1" "Bytes moved over what the pins could have moved in this time.";
        "dram_bytes_by_class" "byte" "The same bytes, both directions, by what they were.";
        "macs" "count" "Multiply-accumulates of the workload.";
        "energy_by_component_j" "J" "Energy by component; the sum is `energy_j`.";
        "energy_by_purpose_j" "J" "Energy by what it is spent on, across components; the sum is `energy_j`.";
        "events" "count" "Every event counter.";
        "units" "cycle" "Where each unit's cycles went: `busy_cycles`, and `stall_cycles` by cause; they sum to the cycles that passed.";
        "time_to_first_token_seconds" "s" "Of prefill: from the first doorbell to the first token read back.";
        "simulated_steps" "count" "Of decode: steps that were simulated cycle by cycle; the others are interpolated between them.";
        "interpolation_residual" "1" "Of decode: the largest relative residual of the fit through the simulated steps; null if every step was simulated.";
    }
    /// Keys of one operator of one layer in one phase, under `operators`; decode steps are added up.
    OPERATOR {
        "name" "-" "The operator, for instance `mlp.down`.";
        "phase" "-" "`prefill` or `decode`.";
        "layer" "-" "Number of the layer, from 0; null for what belongs to none (embedding, final norm, head).";
        "executions" "count" "Times that it ran: prefill chunks or decode steps.";
        "cycles" "core cycle" "From the last retirement of the operator before to its own, added over executions. They sum to the phase's cycles.";
        "macs" "count" "Multiply-accumulates.";
        "vector_ops" "count" "Operations of vector lanes.";
        "dram_bytes_transferred" "byte" "Bytes that the pins moved in its interval, prefetches of others included.";
        "dram_bytes_owned" "byte" "Bytes that it asked for, whenever they moved.";
        "busiest" "-" "The unit with the largest share of busy cycles in the interval; not a proof of what binds.";
        "stalls" "cycle" "Stall cycles in the interval by `unit.cause`, in the unit's own clock, zeros left out.";
    }
    /// Columns of `operators.csv`.
    OPERATORS_CSV {
        "phase" "-" "`prefill` or `decode`.";
        "layer" "-" "Number of the layer, from 0; empty for what belongs to none.";
        "operator" "-" "The operator, for instance `mlp.down`.";
        "executions" "count" "Times that it ran: prefill chunks or decode steps.";
        "core_cycles" "core cycle" "From the last retirement of the operator before to its own, added over executions.";
        "share_of_phase_cycles" "1" "Its core cycles over those of all operators of the phase.";
        "macs" "count" "Multiply-accumulates.";
        "vector_lane_ops" "count" "Operations of vector lanes.";
        "dram_transferred_bytes" "byte" "Bytes that the pins moved in its interval, prefetches of others included.";
        "dram_owned_bytes" "byte" "Bytes that it asked for, whenever they moved.";
        "arithmetic_intensity_ops_per_byte" "1/byte" "Two operations per multiply-accumulate, over the bytes transferred; empty without either.";
        "busiest_unit" "-" "The unit with the largest share of busy cycles in the interval; not a proof of what binds.";
        "stalls_core_cycles" "cycle" "Stall cycles by `unit.cause`, in the unit's own clock, zeros left out.";
    }
    /// Keys of the whole run. Bands have a `_low` and a `_high` beside the mid value.
    RUN {
        "schema_version" "-" "`major.minor` of the record's format; another major is refused.";
        "provenance" "-" "Version of lutsim, the resolved configuration and its hash.";
        "workload" "-" "What was run: model, formats, batch, tokens.";
        "machine" "-" "What it ran on: clocks, sizes and peaks.";
        "phases" "-" "Totals of prefill and decode; null where one was not run.";
        "energy_by_component_j" "J" "Energy of the run by component.";
        "energy_by_boundary_j" "J" "Energy of the run by side: `chip` is the accelerator, `dram_device` the memory dies, `interface` the pins on both sides.";
        "energy_by_purpose_j" "J" "Energy of the run by what it is spent on, across components.";
        "area_mm2" "mm2" "Area of the chip: synthesised cells and modelled macros, placement and wires included.";
        "area_by_component_mm2" "mm2" "The same by component.";
        "area_reason" "-" "Why there is no area; null when there is one.";
        "cost_usd" "USD" "Price of chip and memory, without design, masks, package and test.";
        "cost_by_part_usd" "USD" "The same by part: `die`, `dram`.";
        "operators" "-" "One entry per operator of a phase and layer, in the order in which they run.";
        "units" "cycle" "Where each unit's cycles went, whole run.";
    }
}
