//! What holds of every program on every chip, and the one way in which tests run programs, so that it is always checked:
//! causes sum to cycles, bytes account to the byte, no part does more than it can in the time, semaphores order every
//! overlap of bytes.
//!
//! What a program asks for is worked out here from its words and the formats alone, not from the simulator's counters.

use lutsim_dram::Standard;
use lutsim_isa::control::TileRef;
use lutsim_isa::field::Unpack;
use lutsim_isa::order::OrderChecker;
use lutsim_isa::{ByteClass, Control, Format, Op, Program, Step, asm};
use lutsim_sim::config::{Chip, DramKind};
use lutsim_sim::{ByteCounts, Cycles, Engine, Job, Machine, Report, Totals, chip_file};

/// A built-in chip with some keys overridden, as `--set` does.
pub(crate) fn chip(name: &str, sets: &[&str]) -> Chip {
    chip_file(name, sets).chip
}

/// The same with its workload.
pub(crate) fn chip_file(name: &str, sets: &[&str]) -> chip_file::ChipFile {
    let sets: Vec<_> = sets.iter().map(|s| chip_file::Override::set(s).unwrap()).collect();
    let text = chip_file::builtin_text(name).unwrap();
    chip_file::ChipFile::parse(name, text, &sets).unwrap_or_else(|e| panic!("{name} {e:?}"))
}

/// A memory of latency and bandwidth (GB/s per channel) and nothing else, a scratchpad without conflicts, a host that takes
/// no time: what is left is the part under test.
pub(crate) fn isolated(chip: &Chip, gigabytes_per_second: u64) -> Chip {
    let mut chip = chip.clone();
    let bytes_per_second = gigabytes_per_second * 1_000_000_000;
    chip.dram.kind = DramKind::Ideal { latency_ns: 100, bytes_per_second, burst_bytes: 32 };
    chip.scratchpad.conflict_free = true;
    (chip.runtime.doorbell_ns, chip.runtime.readback_ns) = (0, 0);
    chip
}

/// Assembles a program.
pub(crate) fn assemble(text: &str) -> Program {
    asm::assemble(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A program as a job of one operator.
pub(crate) fn job<'a>(program: &'a Program, marks: &'a [u32], mailbox: &'a [u32]) -> Job<'a> {
    Job { program, address: 0, marks, operators: 1, registers: &[], mailbox, result_bytes: 4 }
}

/// Runs a program on a new chip and holds it to what holds of every run.
pub(crate) fn run(chip: &Chip, engine: Engine, program: &Program) -> Report {
    let marks = vec![0; program.code.len()];
    let job = job(program, &marks, &[]);
    let mut machine = Machine::new(chip, engine).unwrap();
    let report = machine.run(&job).unwrap_or_else(|stop| panic!("{stop}\n{}", asm::disassemble(program)));
    check(chip, &report, &Demand::of(&job));
    report
}

/// What a program asks of the parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Demand {
    pub(crate) read: ByteCounts,
    pub(crate) written: ByteCounts,
    pub(crate) macs: u64,
    /// Multiply-accumulates times bit-planes.
    pub(crate) plane_macs: u64,
    /// Multiply-accumulates without tables.
    pub(crate) lane_macs: u64,
    pub(crate) words: u64,
}

impl Demand {
    /// Walks the program, and has the order of its accesses proven on the way.
    pub(crate) fn of(job: &Job<'_>) -> Self {
        let mut demand = Self::default();
        let mut control = Control::with_mailbox(job.registers, job.mailbox);
        let mut order = OrderChecker::new(job.mailbox);
        loop {
            let step = control.step(job.program).unwrap();
            demand.words += 1;
            match step {
                Step::Control => {}
                Step::Fence => order.fence().unwrap(),
                Step::Halt => break,
                Step::Dispatch(d) => {
                    order.observe(&d).unwrap_or_else(|e| panic!("{e}\n{}", asm::disassemble(job.program)));
                    demand.add(&d.op);
                }
            }
        }
        order.finish().unwrap();
        demand
    }
    fn add(&mut self, op: &Op) {
        let mut read = |class: ByteClass, bytes: u64| self.read[class as usize] += bytes;
        match *op {
            Op::Load { unpack, tile, class, .. } => match (unpack, tile.format) {
                (Unpack::Weights, Format::Weights(w)) => {
                    let (n, k) = (tile.rows, tile.cols);
                    read(ByteClass::Scales, w.scale_bytes(n, k) + w.zero_bytes(n, k));
                    read(ByteClass::Weights, w.code_bytes(n, k));
                }
                (Unpack::Keys, Format::Weights(w)) => {
                    read(class, u64::from(tile.rows) * w.kind.code_bytes(tile.cols.into()))
                }
                (Unpack::Values, Format::Weights(w)) => {
                    read(class, u64::from(tile.cols) * w.kind.code_bytes(tile.rows.into()))
                }
                _ => read(class, tile.bytes()),
            },
            Op::Gather { tile, class, .. } => read(class, tile.bytes()),
            Op::Store { tile, class, .. } => self.written[class as usize] += tile.bytes(),
            Op::Lmma { ty, a, w, .. } => {
                let macs = u64::from(a.rows) * u64::from(w.rows) * u64::from(a.cols);
                self.macs += macs;
                match ty.k {
                    1 => self.lane_macs += macs,
                    _ => self.plane_macs += macs * planes(&w),
                }
            }
            _ => {}
        }
    }
}

fn planes(w: &TileRef) -> u64 {
    let Format::Weights(format) = w.format else { panic!("{w:?} holds no weights") };
    format.kind.planes().len() as u64
}

/// Everything that holds of every run.
pub(crate) fn check(chip: &Chip, report: &Report, demand: &Demand) {
    let t = &report.totals;
    causes_sum_to_cycles(t);
    bytes_account(t, burst(chip).0);
    assert_eq!(t.work.macs, demand.macs);
    assert_eq!(t.work.instructions, demand.words);
    let except = [ByteClass::Program, ByteClass::Overfetch];
    for class in ByteClass::ALL.iter().filter(|c| !except.contains(c)) {
        let found = (t.bytes_read[*class as usize], t.bytes_written[*class as usize]);
        assert_eq!(found, (demand.read[*class as usize], demand.written[*class as usize]), "{class}");
    }
    roofline(chip, t, demand);
}

/// Every cycle of every unit has one cause.
pub(crate) fn causes_sum_to_cycles(t: &Totals) {
    let units = [t.sequencer, t.load, t.store, t.unpacker, t.lut, t.drain, t.vector];
    assert_eq!(units.map(|u| Cycles::total(&u)), [t.cycles; 7], "cycles of the units by cause");
    assert!(t.scratchpad_busy <= t.cycles, "scratchpad busy {} of {} cycles", t.scratchpad_busy, t.cycles);
}

/// The classes sum to the bursts, and the bursts to what the controllers did, that for other masters apart.
pub(crate) fn bytes_account(t: &Totals, burst_bytes: u64) {
    let classes: u64 = t.bytes_read.iter().chain(&t.bytes_written).sum();
    assert_eq!(classes, t.bursts * burst_bytes, "classes and bursts");
    let reads: u64 = t.channels.iter().map(|c| c.reads).sum();
    let writes: u64 = t.channels.iter().map(|c| c.writes).sum();
    for (bytes, bursts, others) in
        [(t.bytes_read, reads, t.others[0]), (t.bytes_written, writes, t.others[1])]
    {
        assert_eq!(bytes.iter().sum::<u64>(), (bursts - others) * burst_bytes, "classes and commands");
    }
}

/// Bytes of a burst; memory clocks that it takes on the bus; the memory clock in Hz as a fraction.
pub(crate) fn burst(chip: &Chip) -> (u64, u64, (u64, u64)) {
    match &chip.dram.kind {
        DramKind::Standard(name) => {
            let s = Standard::builtin(name).unwrap();
            // Pseudo-channels have a data bus each.
            let buses: u32 = s.levels.iter().filter(|l| l.name == "PseudoChannel").map(|l| l.count).product();
            (s.request_bytes.into(), s.burst_clocks(), (s.clock_hz.0 * u64::from(buses), s.clock_hz.1))
        }
        // One burst a clock is the bandwidth.
        &DramKind::Ideal { bytes_per_second, burst_bytes, .. } => {
            (burst_bytes.into(), 1, (bytes_per_second, burst_bytes.into()))
        }
    }
}

/// No part does more than its peak in the cycles that passed; in integers, without an epsilon.
pub(crate) fn roofline(chip: &Chip, t: &Totals, demand: &Demand) {
    let holds = |what: &str, work: u64, per_cycle: u64| {
        assert!(
            t.cycles >= work.div_ceil(per_cycle),
            "{what}: {work} at {per_cycle} a cycle in {}",
            t.cycles
        );
    };
    // cycles >= bytes / peak bytes a cycle, multiplied out: a channel moves a burst in `clocks` memory clocks.
    let (bytes, clocks, (hz, per)) = burst(chip);
    let moved: u64 = t.bytes_read.iter().chain(&t.bytes_written).sum();
    let asked: u64 = demand.read.iter().chain(&demand.written).sum();
    assert!(moved >= asked, "DRAM moved {moved} bytes, {asked} were asked for");
    let wide = u128::from;
    // What others begin before an end is on the pins after it: a burst on each bus, of two at most in a channel.
    let ends = 2 * 2 * u64::from(chip.dram.channels);
    let moved = moved + t.others.iter().sum::<u64>().saturating_sub(ends) * bytes;
    let left = wide(t.cycles) * wide(hz) * wide(bytes) * wide(u64::from(chip.dram.channels));
    let right = wide(moved) * wide(clocks) * wide(per) * wide(chip.clock_hz);
    assert!(left >= right, "DRAM: {moved} bytes in {} cycles: {left} < {right}", t.cycles);
    if let Some(cap) = chip.dram.port_bytes_per_cycle {
        // A bucket of a cycle's bytes and almost a burst may be full before.
        let own = (t.bursts * bytes).saturating_sub(bytes - 1);
        holds("bytes of the port to the memory", own, cap.into());
    }
    let lut = &chip.lut;
    let cores = u64::from(lut.cores);
    let selects = cores * u64::from(lut.m) * u64::from(lut.n);
    if lut.kind.has_tables() {
        holds("MACs x planes", demand.plane_macs, selects * u64::from(lut.k));
        holds("MACs without tables", demand.lane_macs, cores * u64::from(lut.mac_lanes.max(1)));
        holds("selects", t.work.lut_selects, selects);
        assert_eq!((t.work.array_products, t.work.dequantised), (0, 0));
    } else {
        assert_eq!((t.work.lut_selects, t.work.table_adds, t.work.mac_int8), (0, 0, 0));
        assert!(t.work.array_products >= demand.lane_macs, "every product is counted");
        holds("products", t.work.array_products, selects * u64::from(lut.k));
        holds("sums", t.work.array_accumulates, selects);
        if lut.dequantisers > 0 {
            holds("dequantised weights", t.work.dequantised, cores * u64::from(lut.dequantisers));
        }
    }
    holds("drained groups", t.work.group_drains, cores * u64::from(lut.drain_lanes));
    if !chip.scratchpad.conflict_free {
        let words = t.scratchpad_words_read + t.scratchpad_words_written;
        holds("scratchpad words", words, chip.scratchpad.banks.into());
    }
    holds("unpacked bytes", t.work.unpacked_bytes, chip.dma.unpacker_bytes.into());
    holds("bytes of both DMA ports", t.work.dma_bytes, 2 * u64::from(chip.dma.port_bytes));
    holds("special functions", t.work.special_ops, chip.vector.special_lanes.into());
    let lanes = chip.vector.lanes.max(chip.vector.special_lanes);
    holds("vector elements", t.work.vector_lane_ops, lanes.into());
    holds("words", t.work.instructions, 1);
}
