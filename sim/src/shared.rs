//! What the components of the core clock share: links, semaphores, scratchpad, wake times, the account of operators.

use lutsim_isa::{ByteClass, Dispatch, Queue, Sem};

use crate::activity::Cycles;
use crate::clock::Divider;
use crate::link::{Link, Registered, Semaphores, Tick};
use crate::scratchpad::Scratchpad;
use crate::stop::Stop;

/// A component of the core clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Unit {
    Sequencer,
    Load,
    Store,
    Lut,
    Vector,
    Scratchpad,
    Port,
}

impl Unit {
    pub(crate) const ALL: [Unit; 7] =
        [Unit::Sequencer, Unit::Load, Unit::Store, Unit::Lut, Unit::Vector, Unit::Scratchpad, Unit::Port];
    pub(crate) fn of(queue: Queue) -> Self {
        match queue {
            Queue::Load => Unit::Load,
            Queue::Store => Unit::Store,
            Queue::Lut => Unit::Lut,
            Queue::Vector => Unit::Vector,
        }
    }
}

/// Core units come first, channels after them.
pub(crate) const CORE_UNITS: usize = Unit::ALL.len();

/// When each component next wants to run.
///
/// Pokes are kept apart until the instant is over: a component that is evaluated after the one that pokes it must not
/// lose the poke with its own wake time.
#[derive(Clone, Debug)]
pub(crate) struct Wakes {
    pub(crate) at: Vec<Tick>,
    poked: Vec<Tick>,
    /// Components that were poked, a bit each.
    dirty: u128,
    core: Divider,
    memory: Divider,
}

impl Wakes {
    pub(crate) fn new(channels: usize, core_period: Tick, memory_period: Tick) -> Self {
        let never = vec![Tick::MAX; CORE_UNITS + channels];
        Self {
            at: never.clone(),
            poked: never,
            dirty: 0,
            core: Divider::new(core_period),
            memory: Divider::new(memory_period),
        }
    }
    /// The core cycle at `time`.
    #[inline]
    pub(crate) fn core_cycle(&self, time: Tick) -> u64 {
        self.core.quotient(time)
    }
    /// The memory clock at `time`.
    #[inline]
    pub(crate) fn memory_clock(&self, time: Tick) -> u64 {
        self.memory.quotient(time)
    }
    /// Wakes everybody at their next edge after `now`, and forgets all else.
    pub(crate) fn all_after(&mut self, now: Tick) {
        let edges = [self.core.round_up(now + 1), self.memory.round_up(now + 1)];
        for (i, at) in self.at.iter_mut().enumerate() {
            *at = edges[usize::from(i >= CORE_UNITS)];
        }
        self.poked.fill(Tick::MAX);
        self.dirty = 0;
    }
    /// Wakes a core unit at `time`, an edge of the core clock.
    #[inline]
    pub(crate) fn at(&mut self, unit: Unit, time: Tick) {
        self.dirty |= 1 << unit as u32;
        let slot = &mut self.poked[unit as usize];
        *slot = (*slot).min(time);
    }
    /// Wakes a core unit at the first edge of its clock at or after `time`, which is returned.
    #[inline]
    pub(crate) fn core_from(&mut self, unit: Unit, time: Tick) -> Tick {
        let edge = self.core.round_up(time);
        self.at(unit, edge);
        edge
    }
    /// Wakes a channel at the first edge of its clock after `now`.
    #[inline]
    pub(crate) fn channel_after(&mut self, channel: usize, now: Tick) {
        let time = self.memory.round_up(now + 1);
        self.dirty |= 1 << (CORE_UNITS + channel);
        let slot = &mut self.poked[CORE_UNITS + channel];
        *slot = (*slot).min(time);
    }
    /// Takes the pokes over; the earliest wake time of the core units, and of all.
    #[inline]
    pub(crate) fn settle(&mut self) -> (Tick, Tick) {
        let mut earliest = [Tick::MAX; 2];
        let mut dirty = std::mem::take(&mut self.dirty);
        while dirty != 0 {
            let i = dirty.trailing_zeros() as usize;
            dirty &= dirty - 1;
            self.at[i] = self.at[i].min(self.poked[i]);
            self.poked[i] = Tick::MAX;
        }
        let (core, channels) = self.at.split_at(CORE_UNITS);
        for &at in core {
            earliest[0] = earliest[0].min(at);
        }
        earliest[1] = channels.iter().fold(earliest[0], |e, &at| e.min(at));
        (earliest[0], earliest[1])
    }
    /// The components that want to run at `now`, a bit each.
    #[inline]
    pub(crate) fn due(&self, now: Tick) -> u128 {
        let bits =
            |slots: &[Tick]| slots.iter().rev().fold(0u64, |bits, &at| bits << 1 | u64::from(at <= now));
        let (core, channels) = self.at.split_at(CORE_UNITS);
        u128::from(bits(channels)) << CORE_UNITS | u128::from(bits(core))
    }
}

/// Consecutive bursts of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BurstRun {
    /// First burst, counted within the channel.
    pub(crate) burst: u64,
    /// How many.
    pub(crate) bursts: u32,
    /// The requester's number of the first.
    pub(crate) sequence: u32,
}

/// Who asks a channel for bursts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Master {
    Fetch,
    Load,
    Store,
}

/// What the memory controllers have been told about refreshes so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Hints {
    /// Good moments.
    pub(crate) moments: u64,
    /// Good moments at which the interval is to begin anew.
    pub(crate) restarts: u64,
}

/// What runs between a master and the channels: requests out, numbers of finished bursts back.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// Requests, by master.
    pub(crate) requests: [Link<BurstRun>; Lane::MASTERS],
    /// Requests that have not passed the port, if it has a width.
    pub(crate) asked: Option<[Link<BurstRun>; Lane::MASTERS]>,
    /// Finished reads of fetch and load: (first core edge with all their data, number), in time order.
    pub(crate) replies: [std::collections::VecDeque<(Tick, u32)>; 2],
    /// Bursts of the store master that the controller has taken.
    pub(crate) stored: Registered,
}

impl Lane {
    /// Who asks: see [`Master`].
    pub(crate) const MASTERS: usize = 3;

    /// Nothing on its way.
    pub(crate) fn new(port: bool) -> Self {
        let links = || std::array::from_fn(|_| Link::new(8));
        Self {
            requests: links(),
            asked: port.then(links),
            replies: std::array::from_fn(|_| std::collections::VecDeque::with_capacity(64)),
            stored: Registered::default(),
        }
    }
    /// Whether a master may ask for more.
    #[inline]
    pub(crate) fn can_ask(&self, now: Tick, master: Master) -> bool {
        self.asked.as_ref().unwrap_or(&self.requests)[master as usize].can_push(now)
    }
}

/// How DRAM addresses map to channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interleave {
    pub(crate) burst_bytes: u64,
    /// Bursts are a power of two bytes.
    pub(crate) burst_shift: u32,
    bursts: u64,
    turn: Divider,
    channels: u64,
    channel: Divider,
    /// Of a turn and of the channels, if both are powers of two.
    shifts: Option<(u32, u32)>,
}

impl Interleave {
    /// `bursts` in one of `channels` channels before it is the next one's turn.
    pub(crate) fn new(burst_bytes: u64, bursts: u64, channels: u64) -> Self {
        assert!(burst_bytes.is_power_of_two(), "bursts of {burst_bytes} bytes");
        let burst_shift = burst_bytes.trailing_zeros();
        let shifts = (bursts.is_power_of_two() && channels.is_power_of_two())
            .then(|| (bursts.trailing_zeros(), channels.trailing_zeros()));
        Self {
            shifts,
            burst_bytes,
            burst_shift,
            bursts,
            turn: Divider::new(bursts),
            channels,
            channel: Divider::new(channels),
        }
    }
    /// Bursts of a channel's turn.
    pub(crate) fn turn(&self) -> u64 {
        self.bursts
    }
    /// Channel, burst within the channel, and bursts left in this channel's turn, of a chip-wide burst number.
    #[inline]
    pub(crate) fn locate(&self, burst: u64) -> (usize, u64, u32) {
        if let Some((turn, channel)) = self.shifts {
            // The common case: everything is a power of two.
            let (block, within) = (burst >> turn, burst & (self.bursts - 1));
            let (round, channel) = (block >> channel, block & (self.channels - 1));
            return (channel as usize, round << turn | within, (self.bursts - within) as u32);
        }
        let block = self.turn.quotient(burst);
        let within = burst - block * self.bursts;
        let round = self.channel.quotient(block);
        let channel = block - round * self.channels;
        (channel as usize, round * self.bursts + within, (self.bursts - within) as u32)
    }
}

/// Bytes that crossed the DRAM bus, by class.
pub type ByteCounts = [u64; ByteClass::ALL.len()];

macro_rules! work {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of the core units; integers, added where the work happens.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct Work { $($(#[$doc])* pub $name: u64),* }
        impl Work {
            /// How many there are.
            pub(crate) const COUNT: usize = [$(stringify!($name)),*].len();
            /// Each of them.
            pub(crate) fn each(&mut self, mut f: impl FnMut(&mut u64)) {
                $(f(&mut self.$name);)*
            }
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name - earlier.$name),* }
            }
        }
    };
}
work! {
    /// Words that the sequencer executed.
    instructions,
    /// Selections of a table entry, one per weight group, plane and row.
    lut_selects,
    /// Additions of the table builders.
    table_adds,
    /// Multiply-adds of the drains: a scaled integer into a partial sum.
    group_drains,
    /// Partial sums read or written.
    psum_accesses,
    /// Bytes of weight planes sent to the cores.
    weight_broadcast_bytes,
    /// Bytes of activations sent to the cores, once per receiving column of the grid.
    activation_broadcast_bytes,
    /// Elements that passed the vector lanes, once per sweep.
    vector_lane_ops,
    /// Special functions.
    special_ops,
    /// Bytes out of the unpacker.
    unpacked_bytes,
    /// Bytes between DMA and scratchpad.
    dma_bytes,
    /// Multiply-accumulates.
    macs,
    /// Of these, on lanes that multiply INT8 by INT8.
    mac_int8,
    /// Of these, on lanes that multiply FP16 by INT8.
    mac_fp16,
    /// Multiply-accumulates of cores without tables, each as often as their width passes.
    array_products,
    /// Sums of K of them added into an accumulator.
    array_accumulates,
    /// Bytes of activations that entered registers of such cores.
    array_operand_bytes,
    /// Weights put together for multipliers, or dequantised.
    dequantised,
    /// Bytes of stored tables read by the cores.
    table_reads,
    /// Entries that the builders rounded to 8 bits.
    table_roundings,
}

/// What is known of the machine at the moment an operator's last operation retires.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Snapshot {
    pub(crate) time: Tick,
    pub(crate) dram_bursts: u64,
    pub(crate) lut: Cycles,
    pub(crate) load: Cycles,
    pub(crate) vector: Cycles,
}

/// One execution of one operator: of the program's operator `operator` in pass `pass` of its layer loop.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) operator: u32,
    pub(crate) pass: u32,
    pub(crate) owned_bytes: u64,
    pub(crate) macs: u64,
    pub(crate) vector_ops: u64,
    pub(crate) last: Snapshot,
}

impl Instance {
    pub(crate) fn new(operator: u32, pass: u32) -> Self {
        Self { operator, pass, owned_bytes: 0, macs: 0, vector_ops: 0, last: Snapshot::default() }
    }
}

/// A dispatched operation and the operator that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) dispatch: Dispatch,
    pub(crate) instance: u32,
    /// The word's number among those known to the feed.
    pub(crate) prototype: u32,
}

/// Shared state.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) core_period: Tick,
    /// From one common edge of the two clocks to the next; of the core's alone if that is far.
    pub(crate) common_period: Tick,
    /// Core cycle of this instant.
    pub(crate) cycle: u64,
    pub(crate) wakes: Wakes,
    pub(crate) queues: [Link<Job>; 4],
    pub(crate) semaphores: Semaphores,
    /// The queue that waits for each semaphore.
    pub(crate) waiter: [Option<Queue>; 32],
    /// Operations retired, by queue.
    pub(crate) retired: [Registered; 4],
    pub(crate) scratchpad: Scratchpad,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) interleave: Interleave,
    pub(crate) bytes_read: ByteCounts,
    pub(crate) bytes_written: ByteCounts,
    pub(crate) bursts: u64,
    pub(crate) work: Work,
    pub(crate) instances: Vec<Instance>,
    /// Retirements since the machine last looked: (instance, owned bytes, macs).
    pub(crate) retirements: Vec<u32>,
    /// Token ids that the doorbell carried.
    pub(crate) mailbox: Vec<u32>,
}

impl Shared {
    /// A master asks a channel for bursts: by way of the port, if it has a width.
    #[inline]
    pub(crate) fn ask(&mut self, now: Tick, channel: usize, master: Master, run: BurstRun) {
        let lane = &mut self.lanes[channel];
        match &mut lane.asked {
            None => {
                lane.requests[master as usize].push(now, run);
                self.wakes.channel_after(channel, now);
            }
            Some(asked) => {
                asked[master as usize].push(now, run);
                self.wakes.at(Unit::Port, now + self.core_period);
            }
        }
    }
    /// Gives a finished operation's semaphore and tells the sequencer.
    pub(crate) fn retire(&mut self, now: Tick, job: &Job) {
        self.retired[job.dispatch.queue as usize].raise(now, 1);
        self.wakes.at(Unit::Sequencer, now + self.core_period);
        if let Some(sem) = job.dispatch.signal {
            self.give(now, sem);
        }
        self.retirements.push(job.instance);
    }
    fn give(&mut self, now: Tick, sem: Sem) {
        self.semaphores.give(now, sem);
        if let Some(queue) = self.waiter[sem.index()] {
            self.wakes.at(Unit::of(queue), now + self.core_period);
        }
    }
    /// Notes who waits for an operation's semaphore.
    pub(crate) fn waits(&mut self, dispatch: &Dispatch) -> Result<(), Stop> {
        let &Dispatch { queue, pc, wait, .. } = dispatch;
        let Some(sem) = wait else { return Ok(()) };
        match self.waiter[sem.index()].replace(queue) {
            Some(other) if other != queue => Err(Stop::TwoWaiters { pc, sem, queues: [other, queue] }),
            _ => Ok(()),
        }
    }
    /// Takes the oldest operation off a queue, and its semaphore.
    pub(crate) fn accept(&mut self, now: Tick, queue: Queue) -> Option<Job> {
        let link = &mut self.queues[queue as usize];
        let job = *link.front(now)?;
        if let Some(sem) = job.dispatch.wait {
            if !self.semaphores.available(now, sem) {
                return None;
            }
            self.semaphores.take(now, sem);
        }
        let was_full = link.is_full();
        link.pop(now);
        if was_full {
            self.wakes.at(Unit::Sequencer, now + self.core_period);
        }
        Some(job)
    }
}
