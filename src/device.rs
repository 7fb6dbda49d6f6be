//! The one seam between host and simulator: a simulated chip as the host's [`Device`].

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lutsim_dram::Standard;
use lutsim_host::layout::Table;
use lutsim_host::lower::{Lowered, OperatorSpan};
use lutsim_host::plan::Plan;
use lutsim_host::runtime::{Device, DeviceError, Doorbell, Outcome};
use lutsim_host::target::Target;
use lutsim_host::weights::WeightSource;
use lutsim_host::{image, lower};
use lutsim_isa::exec::{LutShape, State};
use lutsim_sim::config::{Build, Chip, DramKind};
use lutsim_sim::{
    BuildError, Demand, Engine, EngineStats, Job, LeapStats, Machine, Memory, Moment, Report, Stop, Trace,
    Window,
};

use crate::pace::Pace;

/// A simulated chip.
pub struct SimDevice {
    machine: Machine,
    /// Where the image's results and logits lie, if values are executed.
    results: Option<[Table; 2]>,
    report: Option<Report>,
}

impl SimDevice {
    /// A chip, idle; timing only.
    ///
    /// # Errors
    /// A chip that cannot be built.
    pub fn new(chip: &Chip, engine: Engine) -> Result<Self, BuildError> {
        Ok(Self { machine: Machine::new(chip, engine)?, results: None, report: None })
    }
    /// Of 100 times that `leap` recognises a state, executes `audit` all the same; gives up after `cycles` core cycles.
    pub fn limit(&mut self, audit: u32, cycles: Option<u64>) {
        self.machine.set_audit(audit);
        self.machine.set_limit(cycles);
    }
    /// Stops what it does, with [`Stop::Interrupted`], when the flag is raised.
    pub fn interrupt(&mut self, flag: Option<&Arc<AtomicBool>>) {
        flag.into_iter().for_each(|flag| self.machine.attach_interrupt(flag.clone()));
    }
    /// Puts a model's image into the DRAM and executes values from now on.
    ///
    /// # Errors
    /// A source that does not fit the plan.
    pub fn load_values(&mut self, plan: &Plan, source: &dyn WeightSource) -> Result<(), image::ImageError> {
        let mut state = empty_state(self.machine.chip());
        image::write_image(&mut state.dram, &plan.layout, &plan.model, source)?;
        self.machine.attach_values(Box::new(state));
        self.results = Some([plan.layout.result, plan.layout.logits]);
        Ok(())
    }
    /// Traces a window of what runs from now on.
    pub fn begin_trace(&mut self, window: Window) {
        self.machine.begin_trace(window);
    }
    /// What was traced, if the window was reached.
    pub fn end_trace(&mut self) -> Option<Trace> {
        self.machine.end_trace()
    }
    /// Core cycles since the chip was built.
    pub fn cycle(&self) -> u64 {
        self.machine.cycle()
    }
    /// Keeps counts over time from now on, of at most so many moments.
    pub fn begin_timeline(&mut self, most: usize) {
        self.machine.begin_timeline(most);
    }
    /// The counts over time since then.
    pub fn end_timeline(&mut self) -> Vec<Moment> {
        self.machine.end_timeline()
    }
    /// Runs a step from its doorbell to its read-back.
    ///
    /// # Errors
    /// A program that cannot go on.
    pub fn step(&mut self, step: &Lowered, doorbell: &Doorbell, vocab: Option<u32>) -> Result<Report, Stop> {
        self.machine.run(&job(step, doorbell, &marks(step), vocab))
    }
    /// Core cycles of a step up to where a layer comes again, from its doorbell on: of its first layer, if all are alike, and how it got
    /// on. `None` if it becomes clear that they are more than `most`, or, by how a `rival` got on, likely.
    /// The device is then of no further use, what it remembers is.
    ///
    /// # Errors
    /// A program that cannot go on.
    pub fn measure(
        &mut self,
        step: &Lowered,
        doorbell: &Doorbell,
        most: u64,
        rival: Option<&Pace>,
    ) -> Result<Option<(u64, Pace)>, Stop> {
        let (marks, again) = (marks(step), again(step));
        let job = job(step, doorbell, &marks, None);
        let chip = self.machine.chip().clone();
        let demand = Demand::of(&chip, burst_bytes(&chip), &job, again).map_err(Stop::Fault)?;
        let each = burst_cycles(&chip);
        let mut pace = Pace::new(demand.bursts);
        let give_up = |cycles: u64, bursts: u64| {
            pace.note(cycles, bursts);
            let rest = demand.bursts.saturating_sub(bursts) as f64 * each;
            let predicted = rival.and_then(|r| r.predict(cycles, bursts, demand.bursts));
            cycles + rest as u64 > most || predicted.is_some_and(|total| total > most as f64)
        };
        let cycles = self.machine.measure(&job, again, give_up)?.filter(|&cycles| cycles <= most);
        Ok(cycles.map(|cycles| {
            pace.end(cycles);
            (cycles, pace)
        }))
    }
    /// What the engine remembers of this chip, if it is `leap`.
    pub fn memory(self) -> Option<Memory> {
        self.machine.memory()
    }
    /// Remembers what another device of the same chip did.
    pub fn recall(&mut self, memory: Memory) {
        self.machine.recall(memory);
    }
    /// The token of each row of the last step, if values are executed.
    pub fn tokens(&mut self, step: &Lowered, doorbell: &Doorbell) -> Option<Vec<(u32, f32)>> {
        let rows = self.rows(0, step, doorbell)?;
        let token = |row: &Vec<u8>| match *row.as_chunks().0 {
            [logit, token, ..] => (u32::from_le_bytes(token), f32::from_le_bytes(logit)),
            _ => panic!("a result of {} bytes", row.len()),
        };
        Some(rows.iter().map(token).collect())
    }
    /// The logits of each row of the last step, if values are executed and the host samples.
    pub fn logits(&mut self, step: &Lowered, doorbell: &Doorbell) -> Option<Vec<Vec<f32>>> {
        let rows = self.rows(1, step, doorbell)?;
        let floats = |row: &Vec<u8>| row.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        Some(rows.iter().map(floats).collect())
    }
    /// What the last step left in a table, row by row.
    fn rows(&mut self, table: usize, step: &Lowered, doorbell: &Doorbell) -> Option<Vec<Vec<u8>>> {
        let table = self.results.filter(|_| step.phase.head)?[table];
        let first = match step.phase.decode {
            true => 0,
            false => doorbell.registers.iter().find(|r| r.0 == lower::SEQUENCE).map_or(0, |r| r.1),
        };
        let state = self.machine.values()?;
        let row = |row: u64| {
            let mut bytes = vec![0; table.row_bytes() as usize];
            let read = state.dram.read(table.addr + row * table.row_bytes(), &mut bytes);
            read.unwrap_or_else(|e| panic!("the results lie outside DRAM: {e}"));
            bytes
        };
        Some((first..first + u64::from(step.phase.head_rows())).map(row).collect())
    }
    /// How the engine fared.
    pub fn stats(&self) -> EngineStats {
        self.machine.stats()
    }
    /// How the memo of `leap` fared, if that is the engine.
    pub fn leap_stats(&self) -> Option<LeapStats> {
        self.machine.leap_stats().cloned()
    }
    /// What the last [`Device::run`] left behind.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }
}

impl Device for SimDevice {
    fn run(&mut self, step: &Lowered, doorbell: &Doorbell) -> Result<Outcome, DeviceError> {
        let report = self.step(step, doorbell, None).map_err(|e| DeviceError(e.to_string()))?;
        let tokens = self.tokens(step, doorbell).unwrap_or_default();
        let tokens = tokens.into_iter().map(|(token, _)| token).collect();
        let cycles = report.totals.cycles;
        self.report = Some(report);
        Ok(Outcome { cycles, tokens })
    }
}

/// Memories of a chip, all zero.
pub fn empty_state(chip: &Chip) -> State {
    let lut = LutShape { cores: chip.lut.cores, m: chip.lut.m, n: chip.lut.n };
    let scratchpad = u32::try_from(chip.scratchpad.bytes).expect("the chip file limits it to 32 bits");
    State::new(scratchpad, chip.dram.bytes, lut)
}

/// A step as the machine sees it.
fn job<'a>(step: &'a Lowered, doorbell: &'a Doorbell, marks: &'a [u32], vocab: Option<u32>) -> Job<'a> {
    Job {
        program: &step.program,
        address: step.address,
        marks,
        operators: step.operators.len() as u32,
        registers: &doorbell.registers,
        mailbox: &doorbell.mailbox,
        result_bytes: result_bytes(step, vocab),
    }
}

/// The operator that begins the first layer that comes again; none that there is, if the program has none.
fn again(step: &Lowered) -> u32 {
    let comes_again = |operator: &OperatorSpan| operator.layers.is_some_and(|layers| layers.times > 1);
    let first = step.operators.iter().position(comes_again);
    first.unwrap_or(step.operators.len()) as u32
}

/// Core cycles that a step takes at least up to where a layer comes again, by what it asks of DRAM and of the select arrays.
///
/// # Errors
/// A word without a meaning.
pub fn least_cycles(chip: &Chip, step: &Lowered, doorbell: &Doorbell) -> Result<u64, Stop> {
    let marks = marks(step);
    let demand = Demand::of(chip, burst_bytes(chip), &job(step, doorbell, &marks, None), again(step));
    let Demand { bursts, lut_cycles } = demand.map_err(Stop::Fault)?;
    Ok(((bursts as f64 * burst_cycles(chip)) as u64).max(lut_cycles))
}

/// The operator span of each word.
pub fn marks(step: &Lowered) -> Vec<u32> {
    let mut marks = vec![0; step.program.code.len()];
    for (i, span) in step.operators.iter().enumerate() {
        marks[span.first_pc as usize..].fill(i as u32);
    }
    marks
}

/// What the host reads back: a token id per row, or all logits of a vocabulary.
fn result_bytes(step: &Lowered, vocab: Option<u32>) -> u64 {
    match step.phase.head {
        true => u64::from(step.phase.head_rows()) * 4 * u64::from(vocab.unwrap_or(1)),
        false => 0,
    }
}

/// Bytes per second of all pins.
pub fn dram_peak(chip: &Chip) -> f64 {
    let channel = match &chip.dram.kind {
        DramKind::Standard(name) => standard(name).peak_bytes_per_second(),
        DramKind::Ideal { bytes_per_second, .. } => *bytes_per_second as f64,
    };
    channel * f64::from(chip.dram.channels)
}

/// The part of time in which the memory refreshes.
pub fn refresh_share(chip: &Chip) -> f64 {
    match &chip.dram.kind {
        DramKind::Standard(name) => {
            standard(name).refresh_clocks() as f64 / f64::from(chip.refresh.interval_cycles)
        }
        DramKind::Ideal { .. } => 0.0,
    }
}

/// Core cycles of a burst at the peak of all channels, next to the refreshes.
fn burst_cycles(chip: &Chip) -> f64 {
    f64::from(burst_bytes(chip)) / (dram_peak(chip) * (1.0 - refresh_share(chip))) * chip.clock_hz as f64
}

/// The memory's clock, Hz.
pub fn dram_clock(chip: &Chip) -> u64 {
    match &chip.dram.kind {
        DramKind::Standard(name) => {
            let (numerator, denominator) = standard(name).clock_hz;
            numerator / denominator
        }
        DramKind::Ideal { bytes_per_second, burst_bytes, .. } => bytes_per_second / u64::from(*burst_bytes),
    }
}

/// Memory clocks of an all-bank refresh; none under ideal memory.
pub fn refresh_clocks(chip: &Chip) -> u64 {
    match &chip.dram.kind {
        DramKind::Standard(name) => standard(name).refresh_clocks(),
        DramKind::Ideal { .. } => 0,
    }
}

/// Bytes of one burst.
pub fn burst_bytes(chip: &Chip) -> u32 {
    match &chip.dram.kind {
        DramKind::Standard(name) => standard(name).request_bytes,
        DramKind::Ideal { burst_bytes, .. } => *burst_bytes,
    }
}

fn standard(name: &str) -> Standard {
    Standard::builtin(name).unwrap_or_else(|e| panic!("the chip file named the standard {name}: {e}"))
}

/// The chip as lowering sees it.
pub fn target(chip: &Chip) -> Target {
    Target {
        cores: chip.lut.cores,
        m: chip.lut.m,
        n: chip.lut.n,
        k: if chip.lut.kind.has_tables() { chip.lut.k } else { 1 },
        dequantises: chip.lut.kind.traits().dequantises,
        stored_tables: chip.lut.build == Build::Vector,
        mac_attention: chip.lut.mac_lanes > 0,
        accumulator_bits: chip.lut.accumulator_bits,
        scratchpad_bytes: chip.scratchpad.bytes,
        dram_bytes: chip.dram.bytes,
        burst_bytes: burst_bytes(chip),
        scratchpad_row_bytes: chip.scratchpad.banks * chip.scratchpad.bank_bytes,
        bank_span_bytes: span(chip, "Column"),
        row_span_bytes: span(chip, "Row"),
        queue_depth: chip.sequencer.queue_depth,
        buffer_bytes: chip.sequencer.buffer_bytes,
        vector_lanes: chip.vector.lanes,
    }
}

/// Consecutive bytes that the address mapping counts up to the last bit of `level`, or up to where rows begin.
fn span(chip: &Chip, level: &str) -> u64 {
    let DramKind::Standard(name) = &chip.dram.kind else { return u64::from(chip.dram.interleave_bytes) };
    let standard = standard(name);
    let fields = standard.mapping.iter().map(|item| item.split_once(':').unwrap_or((item, "")));
    let last = fields.clone().position(|(name, _)| name == level).unwrap_or(0);
    let counted = fields.take(last + 1).filter(|(name, _)| !matches!(*name, "Row" | "Channel"));
    let bursts: u64 = counted
        .map(|(name, bits)| match (bits.parse::<u32>(), name) {
            (Ok(bits), _) => 1 << bits,
            (_, "Column") => u64::from(standard.bursts_per_row),
            (_, name) => standard.levels.iter().find(|l| l.name == name).map_or(1, |l| u64::from(l.count)),
        })
        .product();
    bursts * u64::from(standard.request_bytes) * u64::from(chip.dram.channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_span_is_one_row_of_each_bank_group_of_each_channel() {
        let chip = lutsim_sim::chip_file::load_builtin("snapdragon_like").unwrap().chip;
        assert_eq!((span(&chip, "Column"), span(&chip, "Row")), (4 * 4 * 2048, 4 * 16 * 2048));
        assert_eq!(dram_peak(&chip), 76.8e9);
        assert_eq!(dram_clock(&chip), 1_200_000_000);
    }
}
