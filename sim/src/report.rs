//! What a run leaves behind: totals, and one line per execution of an operator.

use lutsim_dram::Counters as DramCounters;

use lutsim_isa::ByteClass;

use crate::activity::{Cause, Cycles};
use crate::shared::{ByteCounts, Snapshot, Work};

/// Everything that has been counted since the machine was built.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Core cycles.
    pub cycles: u64,
    /// Sequencer.
    pub sequencer: Cycles,
    /// DMA in.
    pub load: Cycles,
    /// DMA out.
    pub store: Cycles,
    /// The select arrays.
    pub lut: Cycles,
    /// The drains.
    pub drain: Cycles,
    /// Vector unit.
    pub vector: Cycles,
    /// The unpacker; what it waits for is DRAM's data or the scratchpad.
    pub unpacker: Cycles,
    /// Scratchpad: cycles with some bank in use, refused accesses, words read and written.
    pub scratchpad_busy: u64,
    /// Refused accesses.
    pub scratchpad_conflicts: u64,
    /// Words read.
    pub scratchpad_words_read: u64,
    /// Words written.
    pub scratchpad_words_written: u64,
    /// Events of the core units.
    pub work: Work,
    /// Bytes from DRAM by class.
    pub bytes_read: ByteCounts,
    /// Bytes to DRAM by class.
    pub bytes_written: ByteCounts,
    /// Bursts of the accelerator, both ways.
    pub bursts: u64,
    /// Channels.
    pub channels: Vec<DramCounters>,
    /// Memory clocks.
    pub memory_clocks: u64,
    /// Of each channel, the memory clocks in which requests waited.
    pub channels_waited: Vec<u64>,
    /// Bursts that other masters read and wrote; `channels` counts them too, `bursts` and the classes do not.
    pub others: [u64; 2],
}

/// Causes of a unit, among [`Totals::numbers`].
const CAUSES: usize = Cause::ALL.len();

/// What a moment of a run says of bursts and of three units, taken from [`Totals::numbers`].
pub(crate) fn snapshot(numbers: &[u64], time: u64) -> Snapshot {
    let of = |unit: usize| {
        let mut cycles = Cycles::default();
        cycles.0.copy_from_slice(&numbers[unit * CAUSES..][..CAUSES]);
        cycles
    };
    Snapshot { time, dram_bursts: snapshot_bursts(numbers), load: of(1), lut: of(3), vector: of(5) }
}

/// The accelerator's bursts among [`Totals::numbers`].
pub(crate) fn snapshot_bursts(numbers: &[u64]) -> u64 {
    numbers[7 * CAUSES + 5 + Work::COUNT + 2 * ByteClass::ALL.len()]
}

/// Bytes of programs read, among [`Totals::numbers`].
pub(crate) fn program_bytes(numbers: &[u64]) -> u64 {
    numbers[7 * CAUSES + 5 + Work::COUNT + ByteClass::Program as usize]
}

impl Totals {
    /// Each number, always in the same order.
    pub(crate) fn each(&mut self, mut f: impl FnMut(&mut u64)) {
        let cycles = [&mut self.sequencer, &mut self.load, &mut self.store, &mut self.lut, &mut self.drain];
        let cycles = cycles.into_iter().chain([&mut self.vector, &mut self.unpacker]);
        cycles.flat_map(|c| &mut c.0).for_each(&mut f);
        f(&mut self.cycles);
        f(&mut self.scratchpad_busy);
        f(&mut self.scratchpad_conflicts);
        f(&mut self.scratchpad_words_read);
        f(&mut self.scratchpad_words_written);
        self.work.each(&mut f);
        self.bytes_read.iter_mut().chain(&mut self.bytes_written).for_each(&mut f);
        f(&mut self.bursts);
        self.channels.iter_mut().for_each(|c| c.each(&mut f));
        f(&mut self.memory_clocks);
        self.channels_waited.iter_mut().for_each(&mut f);
        self.others.iter_mut().for_each(&mut f);
    }
    /// All numbers in order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(256);
        self.clone().each(|x| numbers.push(*x));
        numbers
    }
    /// The same numbers, in order.
    pub(crate) fn set(&mut self, numbers: &[u64]) {
        let mut numbers = numbers.iter();
        self.each(|x| *x = numbers.next().copied().unwrap_or(0));
    }
    /// Adds other totals, or a difference below zero.
    pub(crate) fn plus(&mut self, other: &Self) {
        let mut other = other.numbers().into_iter();
        self.each(|x| *x = x.wrapping_add(other.next().unwrap_or(0)));
    }
    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let bytes = |a: &ByteCounts, b: &ByteCounts| std::array::from_fn(|i| a[i] - b[i]);
        let channels = self.channels.iter().zip(&earlier.channels);
        Self {
            cycles: self.cycles - earlier.cycles,
            sequencer: self.sequencer.since(&earlier.sequencer),
            load: self.load.since(&earlier.load),
            store: self.store.since(&earlier.store),
            lut: self.lut.since(&earlier.lut),
            drain: self.drain.since(&earlier.drain),
            vector: self.vector.since(&earlier.vector),
            unpacker: self.unpacker.since(&earlier.unpacker),
            scratchpad_busy: self.scratchpad_busy - earlier.scratchpad_busy,
            scratchpad_conflicts: self.scratchpad_conflicts - earlier.scratchpad_conflicts,
            scratchpad_words_read: self.scratchpad_words_read - earlier.scratchpad_words_read,
            scratchpad_words_written: self.scratchpad_words_written - earlier.scratchpad_words_written,
            work: self.work.since(&earlier.work),
            bytes_read: bytes(&self.bytes_read, &earlier.bytes_read),
            bytes_written: bytes(&self.bytes_written, &earlier.bytes_written),
            bursts: self.bursts - earlier.bursts,
            channels: channels.map(|(now, before)| now.since(before)).collect(),
            memory_clocks: self.memory_clocks - earlier.memory_clocks,
            channels_waited: self
                .channels_waited
                .iter()
                .zip(&earlier.channels_waited)
                .map(|(a, b)| a - b)
                .collect(),
            others: std::array::from_fn(|way| self.others[way] - earlier.others[way]),
        }
    }
}

/// One execution of one operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatorRun {
    /// Index of the operator in the program's list.
    pub operator: u32,
    /// Which execution of it: the layer, for operators in the layer loop.
    pub pass: u32,
    /// From the last retirement of the operator before to its own last retirement, core cycles.
    pub cycles: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements that passed the vector lanes, once per sweep.
    pub vector_ops: u64,
    /// Bytes that crossed the DRAM bus in that interval.
    pub bytes_transferred: u64,
    /// Bytes that its own instructions asked for.
    pub bytes_owned: u64,
    /// Cycles of the LUT array in that interval.
    pub lut: Cycles,
    /// Cycles of DMA in.
    pub load: Cycles,
    /// Cycles of the vector unit.
    pub vector: Cycles,
}

/// What one program run left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was counted during the run; `cycles` from doorbell to read-back.
    pub totals: Totals,
    /// The operators, in order of their last retirements.
    pub operators: Vec<OperatorRun>,
}
