//! Why a machine cannot be built, or cannot go on.

use lutsim_isa::{Fault, Queue, Sem};

/// Why a run stopped early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A word without a meaning.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Nothing can move any more.
    #[error("deadlock at cycle {cycle}: nothing can move any more\n{report}")]
    Deadlock {
        /// Core cycle.
        cycle: u64,
        /// A line per unit: what it waits for.
        report: String,
    },
    /// The program goes round in circles.
    #[error("livelock: {words} control instructions in a row gave no unit any work (at instruction {pc})")]
    Livelock {
        /// Where.
        pc: u32,
        /// How many.
        words: u64,
    },
    /// A semaphore is taken by two queues.
    #[error("instruction {pc}: {sem} is waited for by the {} and the {} queue; one queue takes, one gives", queues[0], queues[1])]
    TwoWaiters {
        /// The second waiter's word.
        pc: u32,
        /// The semaphore.
        sem: Sem,
        /// The queues.
        queues: [Queue; 2],
    },
    /// Two accesses without an order.
    #[error("{0}")]
    Order(String),
    /// What was remembered is not what happens.
    #[error("at cycle {cycle}, executing what was remembered came to something else")]
    Audit {
        /// Core cycle.
        cycle: u64,
    },
    /// Longer than was allowed.
    #[error("given up after {cycles} core cycles")]
    TooLong {
        /// How many were allowed.
        cycles: u64,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// A chip that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The memory standard.
    #[error(transparent)]
    Dram(#[from] lutsim_dram::Error),
    /// Clocks without a common timebase.
    #[error(
        "the core clock ({core} Hz) and the memory clock ({memory} Hz) have no common timebase that fits; \
         choose a core clock in a simpler ratio, such as 5:6"
    )]
    Timebase {
        /// Core clock, Hz.
        core: u64,
        /// Memory clock, Hz.
        memory: f64,
    },
}
