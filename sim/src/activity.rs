//! Where a unit's cycles went: every cycle has one cause, charged once, in integers.

/// Why a unit's cycle passed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Cause {
    /// Did its work.
    Busy,
    /// Nothing to do.
    Idle,
    /// Waits for a semaphore of the load queue.
    WaitLoad,
    /// Waits for a semaphore of the store queue.
    WaitStore,
    /// Waits for a semaphore of the lut queue.
    WaitLut,
    /// Waits for a semaphore of the vector queue.
    WaitVector,
    /// Waits for DRAM: data, or room in a controller's queue.
    Dram,
    /// Waits for a scratchpad bank.
    Scratchpad,
    /// Waits for the drain: both accumulator buffers are full.
    Drain,
    /// Waits for tables: the builders are slower than the array.
    Builder,
    /// Waits for weights, activations or tables on their links.
    Broadcast,
    /// Waits for the unpacker.
    Unpack,
    /// Waits for instructions from DRAM.
    Fetch,
    /// Waits for room in a queue.
    QueueFull,
    /// Waits at a fence or at the end of the program.
    Fence,
    /// Waits for the host's doorbell, or the host reads a result back.
    Host,
}

impl Cause {
    /// All, in reporting order.
    pub const ALL: [Cause; 16] = [
        Cause::Busy,
        Cause::Idle,
        Cause::WaitLoad,
        Cause::WaitStore,
        Cause::WaitLut,
        Cause::WaitVector,
        Cause::Dram,
        Cause::Scratchpad,
        Cause::Drain,
        Cause::Builder,
        Cause::Broadcast,
        Cause::Unpack,
        Cause::Fetch,
        Cause::QueueFull,
        Cause::Fence,
        Cause::Host,
    ];
    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Busy => "busy",
            Cause::Idle => "idle",
            Cause::WaitLoad => "wait_load",
            Cause::WaitStore => "wait_store",
            Cause::WaitLut => "wait_lut",
            Cause::WaitVector => "wait_vector",
            Cause::Dram => "dram",
            Cause::Scratchpad => "scratchpad",
            Cause::Drain => "drain",
            Cause::Builder => "builder",
            Cause::Broadcast => "broadcast",
            Cause::Unpack => "unpack",
            Cause::Fetch => "fetch",
            Cause::QueueFull => "queue_full",
            Cause::Fence => "fence",
            Cause::Host => "host",
        }
    }
    pub(crate) fn waiting_for(sem: lutsim_isa::Sem) -> Self {
        use lutsim_isa::Queue;
        match sem.producer() {
            Queue::Load => Cause::WaitLoad,
            Queue::Store => Cause::WaitStore,
            Queue::Lut => Cause::WaitLut,
            Queue::Vector => Cause::WaitVector,
        }
    }
}

/// Cycles by cause, in the unit's own clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cycles(pub [u64; Cause::ALL.len()]);

impl Cycles {
    /// Cycles of one cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }
    /// All cycles.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
    /// Both together; either may be a difference below zero.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(x, o)| *x = x.wrapping_add(o));
        self
    }
    /// So many times as much.
    pub(crate) fn times(mut self, n: u64) -> Self {
        self.0.iter_mut().for_each(|x| *x *= n);
        self
    }
    /// What was charged since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut out = *self;
        for (x, e) in out.0.iter_mut().zip(earlier.0) {
            *x -= e;
        }
        out
    }
}

/// The running account of one unit.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    cycles: Cycles,
    /// First cycle not charged yet, and what it and those after it are charged to.
    from: u64,
    cause: Cause,
}

impl Activity {
    pub(crate) fn new(cause: Cause) -> Self {
        Self { cycles: Cycles::default(), from: 0, cause }
    }
    /// Cycle `cycle` goes to `this`; those after it to `after`, until told otherwise.
    pub(crate) fn mark(&mut self, cycle: u64, this: Cause, after: Cause) {
        debug_assert!(cycle >= self.from, "cycle {cycle} was charged already (up to {})", self.from);
        self.cycles.0[self.cause as usize] += cycle - self.from;
        self.cycles.0[this as usize] += 1;
        self.from = cycle + 1;
        self.cause = after;
    }
    /// What cycles are charged to now.
    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }
    /// Goes on at cycle `next`, which goes to `cause` until told otherwise.
    pub(crate) fn resume(&mut self, next: u64, cause: Cause) {
        (self.from, self.cause) = (next, cause);
    }
    /// The account up to, not including, `cycle`.
    pub(crate) fn up_to(&self, cycle: u64) -> Cycles {
        let mut cycles = self.cycles;
        cycles.0[self.cause as usize] += cycle.saturating_sub(self.from);
        cycles
    }
}
