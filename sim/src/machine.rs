//! The machine: components as named fields, and the loop that gives each of them its cycles.

mod counts;

use lutsim_isa::exec::State;
use lutsim_isa::{Dispatch, Program, Queue, Reg};

use crate::channel::Channel;
use crate::clock::Timebase;
use crate::config::Chip;
use crate::feed::Feed;
use crate::leap::{Leap, LeapStats, Memory};
use crate::link::{Link, Registered, Semaphores, Tick};
use crate::load::Load;
use crate::lut::Lut;
use crate::port::Port;
use crate::report::{Report, Totals};
use crate::scratchpad::Scratchpad;
use crate::sequencer::Sequencer;
use crate::shared::{ByteCounts, CORE_UNITS, Hints, Interleave, Lane, Shared, Unit, Wakes, Work};
use crate::stop::{BuildError, Stop};
use crate::store::Store;
use crate::timeline::{Moment, Timeline};
use crate::trace::Tracer;
use crate::vector::Vector;

/// How the machine is advanced; all engines give the same numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// Every component at every edge of its clock: the oracle.
    Tick,
    /// A component only when it asked to be, or was poked.
    Skip,
    /// As `skip`, but what the machine has done before from the same state is not done again.
    Leap,
}

/// One program to run, and what the doorbell carries.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The program.
    pub program: &'a Program,
    /// Where it lies in DRAM.
    pub address: u64,
    /// The operator of each word, below `operators`.
    pub marks: &'a [u32],
    /// Number of operators.
    pub operators: u32,
    /// Runtime registers.
    pub registers: &'a [(Reg, u64)],
    /// Token ids, for `gather`.
    pub mailbox: &'a [u32],
    /// Bytes that the host reads back.
    pub result_bytes: u64,
}

/// What executes values beside timing, if anything does.
#[derive(Default)]
pub(crate) struct Values {
    pub(crate) state: Option<Box<State>>,
}

impl Values {
    pub(crate) fn execute(&mut self, dispatch: &Dispatch) -> Result<(), lutsim_isa::control::FaultKind> {
        match &mut self.state {
            Some(state) => state.exec(&dispatch.op),
            None => Ok(()),
        }
    }
    pub(crate) fn fence(&mut self) {}
}

/// How the engine fared; differs between engines, and so is no part of a [`Report`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Instants at which something was evaluated.
    pub instants: u64,
    /// Component evaluations.
    pub evaluations: u64,
}

/// Core cycles between common edges of the two clocks beyond which nobody waits for one.
const LONG_PHASE: u64 = 64;

/// A chip at work.
pub struct Machine {
    chip: Chip,
    pub(crate) timebase: Timebase,
    engine: Engine,
    pub(crate) now: Tick,
    pub(crate) feed: Feed,
    pub(crate) sequencer: Sequencer,
    pub(crate) load: Load,
    pub(crate) store: Store,
    pub(crate) lut: Lut,
    pub(crate) vector: Vector,
    /// To the memory controllers, if it has a width.
    pub(crate) port: Option<Port>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) shared: Shared,
    pub(crate) values: Values,
    /// What was not executed, but counted as it was before; added to what the components counted.
    pub(crate) leapt: Totals,
    leap: Option<Box<Leap>>,
    /// Order in which the components of one instant are evaluated, if not the usual; any order gives the same numbers.
    order: Option<Vec<usize>>,
    stats: EngineStats,
    /// The time at which the run is given up.
    limit: Tick,
    /// The operator at whose second execution a measurement ends.
    pause: Option<u32>,
    /// Counts over time, if they are kept.
    timeline: Option<Timeline>,
    /// What looks on, if the run is traced.
    pub(crate) tracer: Option<Box<Tracer>>,
    /// Checked now and then; set from outside to stop.
    interrupt: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
}

impl Machine {
    /// Builds a chip, everything idle at time 0.
    ///
    /// # Errors
    /// An unknown memory standard, or clocks without a common timebase.
    pub fn new(chip: &Chip, engine: Engine) -> Result<Self, BuildError> {
        let memory = crate::memory::build(chip)?;
        let timebase = memory.timebase;
        let (core_period, memory_period) = (timebase.core_period, timebase.memory_period);
        let channels = memory.channels;
        let burst_bytes = u64::from(memory.burst_bytes);
        let port = chip.dram.port_bytes_per_cycle.map(|cap| Port::new(cap, burst_bytes, channels.len()));
        let lanes = (0..channels.len()).map(|_| Lane::new(port.is_some())).collect();
        let depth = chip.sequencer.queue_depth as usize;
        let mut wakes = Wakes::new(channels.len(), core_period, memory_period);
        // A controller has its refresh to do before anyone asks it for anything.
        (0..channels.len()).for_each(|channel| wakes.channel_after(channel, 0));
        let shared = Shared {
            core_period,
            common_period: match core_period * memory_period {
                far if far > LONG_PHASE * core_period => core_period,
                near => near,
            },
            cycle: 0,
            wakes,
            queues: std::array::from_fn(|_| Link::new(depth)),
            semaphores: Semaphores::default(),
            waiter: [None; 32],
            retired: [Registered::default(); 4],
            scratchpad: Scratchpad::new(chip.scratchpad.banks, chip.scratchpad.conflict_free, core_period),
            lanes,
            interleave: Interleave::new(
                burst_bytes,
                (u64::from(chip.dram.interleave_bytes) / burst_bytes).max(1),
                channels.len() as u64,
            ),
            bytes_read: ByteCounts::default(),
            bytes_written: ByteCounts::default(),
            bursts: 0,
            work: Work::default(),
            instances: Vec::new(),
            retirements: Vec::new(),
            mailbox: Vec::new(),
        };
        let word = chip.scratchpad.bank_bytes;
        let leap = (engine == Engine::Leap).then(|| Leap::new(&shared.interleave, &channels)).flatten();
        Ok(Self {
            feed: Feed::new(leap.as_ref().map(|leap| leap.prototypes(&chip.scratchpad))),
            leap: leap.map(Box::new),
            leapt: Totals {
                channels: vec![Default::default(); channels.len()],
                channels_waited: vec![0; channels.len()],
                ..Totals::default()
            },
            sequencer: Sequencer::new(chip.sequencer),
            load: Load::new(chip.dma, word),
            store: Store::new(chip.dma, word),
            lut: Lut::new(chip.lut, word),
            vector: Vector::new(chip.vector, word),
            port,
            order: None,
            channels,
            shared,
            values: Values::default(),
            chip: chip.clone(),
            timebase,
            engine,
            now: 0,
            stats: EngineStats::default(),
            limit: Tick::MAX,
            pause: None,
            timeline: None,
            tracer: None,
            interrupt: None,
        })
    }

    /// Core cycles since the machine was built.
    pub fn cycle(&self) -> u64 {
        self.now / self.timebase.core_period
    }
    /// Keeps counts over time from now on, of at most so many moments.
    pub fn begin_timeline(&mut self, most: usize) {
        let mut timeline = Timeline::new(most);
        timeline.note(self.now, self.timebase.core_period, &self.totals().numbers());
        self.timeline = Some(timeline);
    }
    /// The counts over time since [`Self::begin_timeline`]; empty if none were kept.
    pub fn end_timeline(&mut self) -> Vec<Moment> {
        let end = Moment::of(self.now, self.timebase.core_period, &self.totals().numbers());
        self.timeline.take().map_or(Vec::new(), |timeline| timeline.finish(end))
    }
    /// A moment of the timeline, if one is kept.
    pub(crate) fn note(&mut self, numbers: &[u64]) {
        if let Some(timeline) = &mut self.timeline {
            timeline.note(self.now, self.timebase.core_period, numbers);
        }
    }
    /// Executes values beside timing from now on; the state holds scratchpad and DRAM contents.
    pub fn attach_values(&mut self, state: Box<State>) {
        self.values.state = Some(state);
    }
    /// The values, if they are executed.
    pub fn values(&mut self) -> Option<&mut State> {
        self.values.state.as_deref_mut()
    }
    /// Stops the run, with [`Stop::Interrupted`], when the flag is raised.
    pub fn attach_interrupt(&mut self, flag: std::sync::Arc<std::sync::atomic::AtomicBool>) {
        self.interrupt = Some(flag);
    }
    /// Evaluates the components of an instant in another order; for the test that it cannot matter.
    pub fn set_evaluation_order(&mut self, order: Vec<usize>) {
        assert_eq!(order.len(), self.components(), "a permutation of all components");
        self.order = Some(order);
    }
    /// Records the commands of every memory controller.
    pub fn record_commands(&mut self) {
        self.channels.iter_mut().for_each(Channel::record_commands);
    }
    /// The commands recorded of a channel.
    pub fn commands(&self, channel: usize) -> &[lutsim_dram::Issued] {
        self.channels[channel].commands()
    }
    /// How many components there are.
    pub fn components(&self) -> usize {
        CORE_UNITS + self.channels.len()
    }
    /// The chip.
    pub fn chip(&self) -> &Chip {
        &self.chip
    }
    /// Engine statistics since the machine was built.
    pub fn stats(&self) -> EngineStats {
        self.stats
    }
    /// How the memo of [`Engine::Leap`] fared.
    pub fn leap_stats(&self) -> Option<&LeapStats> {
        self.leap.as_ref().map(|leap| &leap.stats)
    }
    /// Of 100 times that [`Engine::Leap`] could leap, executes so many all the same and compares.
    pub fn set_audit(&mut self, share: u32) {
        if let Some(leap) = &mut self.leap {
            leap.audit = share;
        }
    }
    /// Lets [`Engine::Leap`] remember at most so many bytes, 192 MiB if nobody says; the numbers are the same.
    pub fn set_leap_room(&mut self, bytes: usize) {
        if let Some(leap) = &mut self.leap {
            leap.set_room(bytes);
        }
    }
    /// Another program lies where the last one lay.
    pub fn flush_program(&mut self) {
        self.sequencer.flush();
    }

    /// Runs a program from the doorbell to the read-back.
    ///
    /// # Errors
    /// A program that cannot go on; the machine is then of no further use.
    pub fn run(&mut self, job: &Job<'_>) -> Result<Report, Stop> {
        let before = self.totals();
        let first = self.snapshot();
        self.begin(job);
        self.go_on(job, &mut |_| false)?;
        let readback = self.chip.runtime.readback_ns
            + (job.result_bytes * 1_000_000_000).div_ceil(self.chip.runtime.readback_bytes_per_second.max(1));
        let mut end = self.now + self.core_ticks(readback).max(self.timebase.core_period);
        // What the controllers took they also do, so that the bytes of a run are its own.
        // Others hold back meanwhile: while they keep reading, a last write may wait as long as they like.
        self.channels.iter_mut().for_each(|c| c.hold_others(true));
        while let Some(at) = self.earliest() {
            if at > end {
                if self.channels.iter().all(Channel::is_idle) {
                    break;
                }
                end = at.next_multiple_of(self.timebase.core_period);
            }
            self.instant(at, job)?;
        }
        self.now = end;
        for (i, channel) in self.channels.iter_mut().enumerate() {
            channel.hold_others(false);
            self.shared.wakes.channel_after(i, end);
        }
        let totals = self.totals().since(&before);
        Ok(Report { totals, operators: self.operators(first) })
    }

    /// Core cycles of a program up to where operator `again` begins for the second time, or to its end. Gives up, with
    /// `None`, when `give_up` says so, who is told core cycles and bursts so far. The machine is then of no further use;
    /// [`Machine::memory`] is.
    ///
    /// # Errors
    /// A program that cannot go on.
    pub fn measure(
        &mut self,
        job: &Job<'_>,
        again: u32,
        mut give_up: impl FnMut(u64, u64) -> bool,
    ) -> Result<Option<u64>, Stop> {
        let mut given_up = false;
        self.pause = Some(again);
        self.begin(job);
        self.go_on(job, &mut |machine| {
            let bursts = machine.shared.bursts.wrapping_add(machine.leapt.bursts);
            given_up = give_up(machine.now / machine.timebase.core_period, bursts);
            given_up
        })?;
        self.pause = None;
        Ok((!given_up).then_some(self.now / self.timebase.core_period))
    }
    /// Whether it has come to where it is to pause.
    pub(crate) fn pauses(&self) -> bool {
        self.pause.is_some_and(|again| self.sequencer.begun(again) > 1)
    }
    /// What [`Engine::Leap`] remembers, to go on with on another machine of the same chip.
    pub fn memory(self) -> Option<Memory> {
        Some(Memory::new(self.chip, self.leap?, self.feed.prototypes?))
    }
    /// Remembers what another machine of the same chip did.
    pub fn recall(&mut self, memory: Memory) {
        if let Some((leap, prototypes)) = memory.of(&self.chip).filter(|_| self.leap.is_some()) {
            self.leap = Some(leap);
            self.feed.prototypes = Some(prototypes);
        }
    }

    /// Rings the doorbell.
    fn begin(&mut self, job: &Job<'_>) {
        let begin = self.now;
        self.shared.instances.clear();
        self.shared.retirements.clear();
        self.shared.semaphores = Semaphores::default();
        self.shared.waiter = [None; 32];
        self.shared.mailbox.clear();
        self.shared.mailbox.extend_from_slice(job.mailbox);
        if let Some(state) = &mut self.values.state {
            state.mailbox.clear();
            state.mailbox.extend_from_slice(job.mailbox);
        }
        let start = begin + self.core_ticks(self.chip.runtime.doorbell_ns);
        self.sequencer.begin(begin, start, job, &self.shared);
        self.feed.begin(job.registers, job.mailbox);
        self.shared.wakes.at(Unit::Sequencer, start.max(begin + self.timebase.core_period));
    }

    /// Executes until the program is over, where it is to pause, or at a milestone at which `enough` says so.
    fn go_on(&mut self, job: &Job<'_>, enough: &mut dyn FnMut(&Machine) -> bool) -> Result<(), Stop> {
        let mut checks = 0u32;
        let walks = self.channels.iter().all(Channel::can_walk) && self.order.is_none();
        let mut leap = self.leap.take_if(|_| walks);
        if let Some(leap) = &mut leap {
            leap.here(self, job)?;
        }
        while !self.sequencer.done() && !self.pauses() {
            let at = self.next_instant().ok_or_else(|| self.deadlock())?;
            let milestones = self.milestones();
            self.instant(at, job)?;
            if self.milestones() != milestones && !self.sequencer.done() {
                if self.timeline.is_some() {
                    let numbers = self.totals().numbers();
                    self.note(&numbers);
                }
                if let Some(leap) = &mut leap {
                    leap.here(self, job)?;
                }
                if enough(self) {
                    break;
                }
            }
            self.check_limit()?;
            checks = checks.wrapping_add(1);
            if checks & 0xffff == 0 && self.is_interrupted() {
                return Err(Stop::Interrupted);
            }
        }
        if let Some(mut leap) = leap {
            leap.leave(self);
            self.leap = Some(leap);
        }
        Ok(())
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(|f| f.load(std::sync::atomic::Ordering::Relaxed))
    }
    /// Stops a run, with [`Stop::TooLong`], when the machine has been at work for so many core cycles.
    pub fn set_limit(&mut self, cycles: Option<u64>) {
        self.limit = cycles.map_or(Tick::MAX, |cycles| cycles.saturating_mul(self.timebase.core_period));
    }
    pub(crate) fn check_limit(&self) -> Result<(), Stop> {
        match self.now > self.limit {
            true => Err(Stop::TooLong { cycles: self.limit / self.timebase.core_period }),
            false => Ok(()),
        }
    }
    /// Whether nobody looks on, takes part, or waits for a moment.
    pub(crate) fn is_alone(&self) -> bool {
        self.pause.is_none()
            && self.timeline.is_none()
            && self.tracer.is_none()
            && self.values.state.is_none()
    }
    /// Turns of so many ticks before the run is given up.
    pub(crate) fn most_turns(&self, ticks: Tick) -> u64 {
        self.limit.saturating_sub(self.now) / ticks.max(1)
    }
    /// Core cycles, rounded up, as ticks.
    fn core_ticks(&self, ns: u64) -> Tick {
        let cycles = (u128::from(ns) * u128::from(self.chip.clock_hz)).div_ceil(1_000_000_000);
        cycles as u64 * self.timebase.core_period
    }

    /// The next instant, unless nothing can ever happen again.
    fn next_instant(&mut self) -> Option<Tick> {
        let (core, all) = self.shared.wakes.settle();
        if core == Tick::MAX
            && self.channels.iter().all(Channel::is_idle)
            && self.shared.lanes.iter().all(|l| l.requests.iter().all(Link::is_empty))
        {
            return None;
        }
        self.after_settling(all)
    }

    fn earliest(&mut self) -> Option<Tick> {
        let (_, all) = self.shared.wakes.settle();
        self.after_settling(all)
    }

    fn after_settling(&self, all: Tick) -> Option<Tick> {
        match self.engine {
            Engine::Tick => {
                let (c, m) = (self.timebase.core_period, self.timebase.memory_period);
                Some((self.now + 1).next_multiple_of(c).min((self.now + 1).next_multiple_of(m)))
            }
            Engine::Skip | Engine::Leap => Some(all).filter(|&at| at != Tick::MAX),
        }
    }

    /// Evaluates what is due at `at`.
    fn instant(&mut self, at: Tick, job: &Job<'_>) -> Result<(), Stop> {
        debug_assert!(at > self.now || self.now == 0, "time goes forward");
        if self.tracer.is_some() {
            self.trace_before(at);
        }
        self.now = at;
        self.shared.cycle = self.shared.wakes.core_cycle(at);
        self.stats.instants += 1;
        let before = self.hints();
        let mut due = self.shared.wakes.due(at);
        if self.engine == Engine::Tick {
            due |= self.on_edge(at);
        }
        match &self.order {
            // Alone, the scratchpad may go on to where the next of the others wakes up.
            None if due == 1 << Unit::Scratchpad as u32 && self.engine != Engine::Tick => {
                self.stats.evaluations += 1;
                let Shared { scratchpad, wakes, .. } = &mut self.shared;
                let others = wakes.at.iter().enumerate().filter(|(i, _)| *i != Unit::Scratchpad as usize);
                let horizon = others.map(|(_, &at)| at).min().unwrap_or(0);
                wakes.at[Unit::Scratchpad as usize] = scratchpad.tick(at, horizon, wakes);
            }
            None => {
                while due != 0 {
                    let component = due.trailing_zeros() as usize;
                    due &= due - 1;
                    self.evaluate(component, at, before, job)?;
                }
            }
            Some(order) => {
                for component in order.clone() {
                    if due >> component & 1 != 0 {
                        self.evaluate(component, at, before, job)?;
                    }
                }
            }
        }
        if !self.shared.retirements.is_empty() {
            self.book_retirements();
        }
        if self.hints() != before {
            for channel in 0..self.channels.len() {
                self.shared.wakes.channel_after(channel, at);
            }
        }
        if self.tracer.is_some() {
            self.trace_after(at);
        }
        Ok(())
    }

    /// What the controllers have been told so far.
    pub(crate) fn hints(&self) -> Hints {
        Hints { moments: self.load.hints.moments + self.sequencer.hints, ..self.load.hints }
    }

    /// The components whose clock has an edge at `at`, a bit each.
    fn on_edge(&self, at: Tick) -> u128 {
        let core = (1 << CORE_UNITS) - 1;
        let all = if self.components() >= 128 { u128::MAX } else { (1 << self.components()) - 1 };
        let (core_edge, memory_edge) =
            (at.is_multiple_of(self.timebase.core_period), at.is_multiple_of(self.timebase.memory_period));
        (if core_edge { core } else { 0 }) | if memory_edge { all & !core } else { 0 }
    }

    #[inline]
    fn evaluate(&mut self, component: usize, now: Tick, hints: Hints, job: &Job<'_>) -> Result<(), Stop> {
        self.shared.wakes.at[component] = Tick::MAX;
        self.stats.evaluations += 1;
        let shared = &mut self.shared;
        let wake = match Unit::ALL.get(component) {
            None => self.channels[component - CORE_UNITS].tick(now, hints, shared),
            Some(Unit::Load) => self.load.tick(now, shared),
            Some(Unit::Scratchpad) => {
                let Shared { scratchpad, wakes, .. } = shared;
                scratchpad.tick(now, 0, wakes)
            }
            Some(Unit::Sequencer) => {
                self.sequencer.tick(now, job, shared, &mut self.values, &mut self.feed)?
            }
            Some(Unit::Store) => self.store.tick(now, shared),
            Some(Unit::Lut) => self.lut.tick(now, shared),
            Some(Unit::Vector) => self.vector.tick(now, shared),
            Some(Unit::Port) => self.port.as_mut().map_or(Tick::MAX, |port| port.tick(now, shared)),
        };
        debug_assert!(wake > now, "component {component} wants to run in the past");
        self.shared.wakes.at[component] = wake;
        Ok(())
    }

    fn deadlock(&self) -> Stop {
        let now = self.now + 1;
        let mut report = format!("  sequencer {}\n", self.sequencer.describe(&self.feed));
        for &queue in Queue::ALL {
            let head = self.shared.queues[queue as usize].front(now);
            let line = match head {
                None => "has nothing to do".to_string(),
                Some(job) => match job.dispatch.wait {
                    Some(sem) if !self.shared.semaphores.available(now, sem) => format!(
                        "instruction {} waits for {sem}, which the {} queue signals",
                        job.dispatch.pc,
                        sem.producer()
                    ),
                    _ => format!("instruction {} is next", job.dispatch.pc),
                },
            };
            let idle = match queue {
                Queue::Load => self.load.is_idle(),
                Queue::Store => self.store.is_idle(),
                Queue::Lut => self.lut.is_idle(),
                Queue::Vector => self.vector.is_idle(),
            };
            let unit = if idle { "idle" } else { "busy" };
            report.push_str(&format!("  {queue} ({unit}): {line}\n"));
        }
        Stop::Deadlock { cycle: self.now / self.timebase.core_period, report: report.trim_end().into() }
    }
}
