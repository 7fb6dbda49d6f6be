//! What steps counted, in integers: added up, and interpolated where a step was not simulated.

use lutsim_dram::Standard;
use lutsim_host::lower::Lowered;
use lutsim_isa::ByteClass;
use lutsim_record::{DramBytesByClass, Events, Tally, UnitKind};
use lutsim_sim::config::{Chip, DramKind};
use lutsim_sim::{ByteCounts, Cause, Cycles, OperatorRun, Report, Totals};

use crate::device;

/// What one step, or several, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Core cycles.
    pub cycles: u64,
    /// Memory clocks.
    pub memory_clocks: u64,
    /// Every event counter.
    pub events: Events,
    /// DRAM bytes, both ways, by class.
    pub classes: DramBytesByClass,
    /// Where each unit's cycles went.
    pub units: Vec<(UnitKind, Option<u32>, Tally)>,
    /// By operator and layer, in order of first execution.
    pub operators: Vec<OperatorCounts>,
}

/// What one operator of one layer counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorCounts {
    /// Operator.
    pub name: String,
    /// Layer, if it belongs to one.
    pub layer: Option<u64>,
    /// Steps that it was part of.
    pub executions: u64,
    /// Core cycles.
    pub cycles: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements that passed the vector lanes, once per sweep.
    pub vector_ops: u64,
    /// Bytes that the pins moved in its intervals.
    pub transferred: u64,
    /// Bytes that it asked for.
    pub owned: u64,
    /// Cycles of the LUT cores, DMA in and the vector unit in its intervals.
    pub units: [Tally; 3],
}

/// The units whose cycles are known per operator.
pub(crate) const OPERATOR_UNITS: [UnitKind; 3] = [UnitKind::Lut, UnitKind::DmaLoad, UnitKind::Vector];

impl Counts {
    /// What one step counted.
    pub(crate) fn of(report: &Report, step: &Lowered, chip: &Chip, vocab: Option<u32>) -> Self {
        let mut counts = Self::of_totals(&report.totals, chip);
        if step.phase.head {
            counts.events.read_back_bytes =
                4 * u64::from(step.phase.head_rows()) * u64::from(vocab.unwrap_or(1));
        }
        counts.operators = operators(report, step);
        // From the last retirement to the host's having the result.
        let booked: u64 = counts.operators.iter().map(|o| o.cycles).sum();
        let moved: u64 = counts.operators.iter().map(|o| o.transferred).sum();
        let all = counts.events.dram_read_bytes + counts.events.dram_write_bytes;
        let rest = |what: &str, all: u64, booked: u64| {
            all.checked_sub(booked)
                .unwrap_or_else(|| panic!("operators have {booked} {what}, the step has {all}"))
        };
        counts.operators.push(OperatorCounts {
            name: "host".into(),
            executions: 1,
            cycles: rest("cycles", counts.cycles, booked),
            transferred: rest("bytes", all, moved),
            ..OperatorCounts::default()
        });
        counts
    }

    /// What a run counted, without its operators.
    pub(crate) fn of_totals(t: &Totals, chip: &Chip) -> Self {
        let read = classes(&t.bytes_read);
        Self {
            cycles: t.cycles,
            memory_clocks: t.memory_clocks,
            events: events(t, chip),
            classes: read + classes(&t.bytes_written),
            units: units(t, chip),
            operators: Vec::new(),
        }
    }

    /// Adds `other`, `times` over.
    pub(crate) fn add(&mut self, other: &Counts, times: u64) {
        self.cycles += other.cycles * times;
        self.memory_clocks += other.memory_clocks * times;
        self.events += other.events.scale(times);
        for _ in 0..times {
            self.classes = self.classes + other.classes;
        }
        if self.units.is_empty() {
            self.units =
                other.units.iter().map(|&(kind, index, _)| (kind, index, Tally::default())).collect();
        }
        for (mine, more) in self.units.iter_mut().zip(&other.units) {
            assert_eq!((mine.0, mine.1), (more.0, more.1), "units of one chip are the same in every step");
            add_tally(&mut mine.2, &more.2, times);
        }
        for more in &other.operators {
            let at = self.operators.iter().position(|o| o.name == more.name && o.layer == more.layer);
            let at = at.unwrap_or_else(|| {
                let (name, layer) = (more.name.clone(), more.layer);
                self.operators.push(OperatorCounts { name, layer, ..OperatorCounts::default() });
                self.operators.len() - 1
            });
            let mine = &mut self.operators[at];
            mine.executions += more.executions * times;
            mine.cycles += more.cycles * times;
            mine.macs += more.macs * times;
            mine.vector_ops += more.vector_ops * times;
            mine.transferred += more.transferred * times;
            mine.owned += more.owned * times;
            for (mine, more) in mine.units.iter_mut().zip(&more.units) {
                add_tally(mine, more, times);
            }
        }
    }
}

/// The sum over all steps. Those between two simulated ones lie on the line between them, so that together they are as
/// many times the mean of both; integers stay integers: of an odd number, the earlier one stands for one more.
pub(crate) fn total(simulated: &[(u64, Counts)]) -> Counts {
    let mut total = Counts::default();
    for (_, counts) in simulated {
        total.add(counts, 1);
    }
    for pair in simulated.windows(2) {
        let between = pair[1].0 - pair[0].0 - 1;
        total.add(&pair[0].1, between.div_ceil(2));
        total.add(&pair[1].1, between / 2);
    }
    total
}

impl Counts {
    /// Gives the memory's units the clocks that their cycles last. A step ends between two memory clocks; a simulated
    /// step that stands for many multiplies its fraction of a clock, and idle takes the difference.
    pub(crate) fn settle_memory_clocks(&mut self, core_hz: u64, memory_hz: u64) {
        let passed = u128::from(self.cycles) * u128::from(memory_hz) / u128::from(core_hz.max(1));
        for (kind, _, tally) in &mut self.units {
            if *kind == UnitKind::Dram {
                let idle = lutsim_record::Cause::Idle as usize;
                let others = tally.total() - tally.stalls[idle];
                tally.stalls[idle] = (passed as u64).saturating_sub(others);
            }
        }
    }
}

/// How far simulated steps are from the least-squares line through their cycles, the largest relative distance.
pub(crate) fn residual(simulated: &[(u64, Counts)]) -> f64 {
    let points: Vec<(f64, f64)> = simulated.iter().map(|(i, c)| (*i as f64, c.cycles as f64)).collect();
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    let slope = if under > 0.0 { over / under } else { 0.0 };
    points.iter().map(|p| (y + slope * (p.0 - x) - p.1).abs() / p.1).fold(0.0, f64::max)
}

fn add_tally(mine: &mut Tally, more: &Tally, times: u64) {
    mine.busy += more.busy * times;
    for (mine, more) in mine.stalls.iter_mut().zip(more.stalls) {
        *mine += more * times;
    }
}

fn events(t: &Totals, chip: &Chip) -> Events {
    let burst = u64::from(device::burst_bytes(chip));
    let (lut, pad) = (chip.lut, chip.scratchpad);
    let dram = t.channels.iter().fold(lutsim_dram::Counters::default(), |mut sum, c| {
        sum.add(c);
        sum
    });
    // The controllers count everybody's bursts.
    let [reads, writes] = [dram.reads - t.others[0], dram.writes - t.others[1]];
    let elements = u64::from(lut.cores) * u64::from(lut.m) * u64::from(lut.n) * t.cycles;
    let (lut_pe_cycles, array_pe_cycles) = if lut.kind.has_tables() { (elements, 0) } else { (0, elements) };
    Events {
        core_cycles: t.cycles,
        instructions: t.work.instructions,
        fetched_bytes: t.bytes_read[ByteClass::Program as usize],
        macs: t.work.macs,
        lut_selects: t.work.lut_selects,
        lut_pe_cycles,
        table_adds: t.work.table_adds,
        table_reads: t.work.table_reads,
        table_roundings: t.work.table_roundings,
        array_products: t.work.array_products,
        array_accumulates: t.work.array_accumulates,
        array_operand_bytes: t.work.array_operand_bytes,
        array_pe_cycles,
        dequantised: t.work.dequantised,
        mac_int8: t.work.mac_int8,
        mac_fp16: t.work.mac_fp16,
        mac_lane_cycles: u64::from(lut.cores) * u64::from(lut.mac_lanes) * t.cycles,
        group_drains: t.work.group_drains,
        psum_accesses: t.work.psum_accesses,
        weight_broadcast_bytes: t.work.weight_broadcast_bytes,
        activation_broadcast_bytes: t.work.activation_broadcast_bytes,
        vector_lane_ops: t.work.vector_lane_ops,
        sfu_ops: t.work.special_ops,
        vector_lane_cycles: u64::from(chip.vector.lanes) * t.cycles,
        scratchpad_read_bytes: t.scratchpad_words_read * u64::from(pad.bank_bytes),
        scratchpad_write_bytes: t.scratchpad_words_written * u64::from(pad.bank_bytes),
        scratchpad_conflicts: t.scratchpad_conflicts,
        scratchpad_kib_cycles: pad.bytes.div_ceil(1024) * t.cycles,
        dma_bytes: t.work.dma_bytes,
        unpacked_bytes: t.work.unpacked_bytes,
        dram_activates: dram.activates,
        dram_reads: reads,
        dram_writes: writes,
        dram_read_bytes: reads * burst,
        dram_write_bytes: writes * burst,
        dram_others_read_bytes: t.others[0] * burst,
        dram_others_write_bytes: t.others[1] * burst,
        dram_row_hits: dram.row_hits(),
        dram_row_misses: dram.row_misses,
        dram_row_conflicts: dram.row_conflicts,
        dram_refreshes: dram.refreshes,
        dram_forced_refreshes: dram.forced_refreshes,
        dram_active_clocks: dram.active_clocks,
        dram_idle_clocks: dram.precharged_clocks,
        doorbells: 1,
        read_back_bytes: 0,
    }
}

fn classes(bytes: &ByteCounts) -> DramBytesByClass {
    let of = |class: ByteClass| bytes[class as usize];
    DramBytesByClass {
        weights: of(ByteClass::Weights),
        scales: of(ByteClass::Scales),
        kv: of(ByteClass::Kv),
        spill: of(ByteClass::Spill),
        program: of(ByteClass::Program),
        embedding: of(ByteClass::Embedding),
        norm: of(ByteClass::Norm),
        rope: of(ByteClass::Rope),
        result: of(ByteClass::Result),
        overfetch: of(ByteClass::Overfetch),
    }
}

fn units(t: &Totals, chip: &Chip) -> Vec<(UnitKind, Option<u32>, Tally)> {
    let partly = |busy: u64, all: u64| {
        let mut tally = Tally { busy, ..Tally::default() };
        tally.charge(lutsim_record::Cause::Idle, all - busy);
        tally
    };
    let mut units = vec![
        (UnitKind::Sequencer, None, tally(&t.sequencer)),
        (UnitKind::DmaLoad, None, tally(&t.load)),
        (UnitKind::DmaStore, None, tally(&t.store)),
        (UnitKind::Unpacker, None, unpacker(&t.unpacker)),
        (UnitKind::Lut, None, tally(&t.lut)),
        (UnitKind::Drain, None, tally(&t.drain)),
        (UnitKind::Vector, None, tally(&t.vector)),
        (UnitKind::Scratchpad, None, partly(t.scratchpad_busy, t.cycles)),
    ];
    let refresh_clocks = device::refresh_clocks(chip);
    let (buses, scopes) = sharing(chip);
    for (i, (channel, &waited)) in t.channels.iter().zip(&t.channels_waited).enumerate() {
        units.push((
            UnitKind::Dram,
            Some(i as u32),
            channel_clocks(
                channel.data_clocks / buses,
                channel.refreshes * refresh_clocks / scopes,
                waited,
                t.memory_clocks,
            ),
        ));
    }
    units
}

/// The unpacker waits for its input, which is DRAM's data.
fn unpacker(cycles: &Cycles) -> Tally {
    let mut tally = Tally { busy: cycles.of(Cause::Busy), ..Tally::default() };
    tally.charge(lutsim_record::Cause::Input, cycles.of(Cause::Dram));
    tally.charge(lutsim_record::Cause::Scratchpad, cycles.of(Cause::Scratchpad));
    tally.charge(lutsim_record::Cause::Idle, cycles.of(Cause::Idle));
    tally
}

/// Data buses of a channel, and scopes that refresh apart: pseudo-channels have both for themselves, and their clocks
/// are counted together.
fn sharing(chip: &Chip) -> (u64, u64) {
    match &chip.dram.kind {
        DramKind::Ideal { .. } => (1, 1),
        DramKind::Standard(name) => {
            let s = Standard::builtin(name).unwrap_or_else(|e| panic!("the chip file named {name}: {e}"));
            (u64::from(s.data_buses()), u64::from(s.nodes(s.refresh_level)))
        }
    }
}

/// A channel's clocks: data on the bus; requests that wait, first for refreshes and then for the standard's timing; idle.
fn channel_clocks(data: u64, refreshing: u64, waited: u64, all: u64) -> Tally {
    let mut tally = Tally { busy: data.min(all), ..Tally::default() };
    let stalled = waited.saturating_sub(tally.busy).min(all - tally.busy);
    let refresh = stalled.min(refreshing);
    tally.charge(lutsim_record::Cause::Refresh, refresh);
    tally.charge(lutsim_record::Cause::Timing, stalled - refresh);
    tally.charge(lutsim_record::Cause::Idle, all - tally.busy - stalled);
    tally
}

fn tally(cycles: &Cycles) -> Tally {
    use lutsim_record::Cause as To;
    let mut tally = Tally { busy: cycles.of(Cause::Busy), ..Tally::default() };
    for cause in Cause::ALL {
        let to = match cause {
            Cause::Busy => continue,
            Cause::Idle => To::Idle,
            Cause::WaitLoad => To::WaitLoad,
            Cause::WaitStore => To::WaitStore,
            Cause::WaitLut => To::WaitLut,
            Cause::WaitVector => To::WaitVector,
            Cause::Dram => To::Dram,
            Cause::Scratchpad => To::Scratchpad,
            Cause::Drain => To::Drain,
            Cause::Builder => To::Builder,
            Cause::Broadcast => To::Broadcast,
            Cause::Unpack => To::Unpack,
            Cause::Fetch => To::Fetch,
            Cause::QueueFull => To::QueueFull,
            Cause::Fence => To::Fence,
            Cause::Host => To::Host,
        };
        tally.charge(to, cycles.of(cause));
    }
    tally
}

/// Executions of spans, booked to operator and layer. A span runs equally often in each of its layers.
fn operators(report: &Report, step: &Lowered) -> Vec<OperatorCounts> {
    let mut times = vec![0u64; step.operators.len()];
    for run in &report.operators {
        times[run.operator as usize] += 1;
    }
    let layer = |run: &OperatorRun| {
        let span = &step.operators[run.operator as usize];
        let layers = span.layers?;
        let per_layer = times[run.operator as usize] / u64::from(layers.times);
        Some(u64::from(layers.nth(run.pass / (per_layer.max(1) as u32))))
    };
    let mut booked = Counts::default();
    for run in &report.operators {
        let one = OperatorCounts {
            name: step.operators[run.operator as usize].name.into(),
            layer: layer(run),
            executions: 0,
            cycles: run.cycles,
            macs: run.macs,
            vector_ops: run.vector_ops,
            transferred: run.bytes_transferred,
            owned: run.bytes_owned,
            units: [tally(&run.lut), tally(&run.load), tally(&run.vector)],
        };
        booked.add(&Counts { operators: vec![one], ..Counts::default() }, 1);
    }
    for operator in &mut booked.operators {
        operator.executions = 1;
    }
    booked.operators
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_affine_run_is_interpolated_exactly_but_for_half_a_step() {
        let cycles = |i: u64| 1000 + 10 * i;
        let step = |i: u64| (i, Counts { cycles: cycles(i), ..Counts::default() });
        let all: u64 = (0..31).map(cycles).sum();
        let samples = [step(0), step(15), step(30)];
        assert_eq!(total(&samples).cycles, all);
        assert!(residual(&samples) < 1e-12);
        let bent = [step(0), (15, Counts { cycles: 1200, ..Counts::default() }), step(30)];
        assert!((residual(&bent) - 100.0 / 3.0 / 1200.0).abs() < 0.02, "{}", residual(&bent));
    }
}
