//! Happens-before: proves that operations which share bytes are ordered by semaphores, not by luck.
//!
//! ```text
//! load   L1 --- L2 --!s0-- L3             an operation starts after its predecessor in the queue has started
//!                     \                   it is done after its predecessor is done
//! lut               ?s0 -- G1 -- G2       k-th wait of a queue: after the k-th signal, and all before that in its queue
//! ```
//! Two operations of different queues that touch the same byte, at least one writing, must be ordered as the program
//! has them: the first done before the second starts. Within a queue nothing is to be proven, since each retires in
//! order, the lut and vector queues execute one operation at a time, and neither DMA engine reads what it writes.
//! The partial sums belong to the lut queue alone.
//!
//! Per queue a clock counts the operations of each queue that are known to be done. Of the accesses to a byte only those
//! are kept that a later one could meet unordered: a write that is itself in order stands for all it covers.

mod access;
mod index;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::control::Dispatch;
use crate::field::{Queue, Sem};

pub use access::{Access, Range, Space, accesses};
use index::{Entry, Index};

/// How many operations of each queue are known to be done.
type Clock = [u32; 4];

fn join(clock: &mut Clock, other: &Clock) {
    clock.iter_mut().zip(other).for_each(|(a, &b)| *a = b.max(*a));
}

/// One side of a race.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Side {
    /// The word.
    pub pc: u32,
    /// How many operations the program had dispatched before it.
    pub order: u64,
    /// Where it executes.
    pub queue: Queue,
    /// Whether it writes the bytes, or else reads them.
    pub write: bool,
    /// The bytes.
    pub range: Range,
}
impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let does = if self.write { "writes" } else { "reads" };
        write!(
            f,
            "instruction {} ({} queue, operation {}) {does} {}",
            self.pc, self.queue, self.order, self.range
        )
    }
}

/// Why the order of a program is not proven.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OrderError {
    /// Two operations share bytes, and nothing makes the second wait for the first.
    #[error(
        "{second} of {space} before it is known that {first} is done: no token that the {} queue gives from \
         instruction {} on (s{} to s{}) reaches the {} queue before instruction {}",
        first.queue, first.pc, 8 * (first.queue as u32), 8 * (first.queue as u32) + 7, second.queue, second.pc
    )]
    Race {
        /// Where the bytes are.
        space: Space,
        /// Comes first in the program.
        first: Box<Side>,
        /// Comes second.
        second: Box<Side>,
    },
    /// A token is waited for that nobody gives.
    #[error(
        "instruction {pc} ({queue} queue, operation {order}) waits for {sem}, and no one gives that token"
    )]
    Unsignalled {
        /// The word.
        pc: u32,
        /// How many operations the program had dispatched before it.
        order: u64,
        /// Where it would execute.
        queue: Queue,
        /// The semaphore.
        sem: Sem,
    },
}

/// A semaphore's history.
#[derive(Clone, Debug, Default)]
struct Tokens {
    /// Given before the last fence; waiting for one of them says nothing new.
    settled: usize,
    /// The giver's clock at each signal since.
    clocks: Vec<Clock>,
    /// Taken by each queue. Its k-th wait is over no sooner than the k-th signal, whoever else waits.
    taken: [usize; 4],
}
impl Tokens {
    fn given(&self) -> usize {
        self.settled + self.clocks.len()
    }
    fn left(&self) -> usize {
        self.given() - self.taken.iter().sum::<usize>()
    }
}

/// Watches a program's operations as they are dispatched.
#[derive(Clone, Debug, Default)]
pub struct OrderChecker {
    mailbox: Vec<u32>,
    /// Dispatched, and waiting for a token that has not been given so far in the program.
    pending: [VecDeque<(u64, Dispatch)>; 4],
    /// Operations of each queue so far.
    seq: Clock,
    /// What each queue's latest operation knows to be done when it starts.
    known: [Clock; 4],
    tokens: [Tokens; 32],
    scratchpad: Index,
    dram: Index,
    dispatched: u64,
}

impl OrderChecker {
    /// At the start of a program; the mailbox says which rows a `gather` reads.
    pub fn new(mailbox: &[u32]) -> Self {
        Self { mailbox: mailbox.to_vec(), ..Self::default() }
    }

    /// Takes the next operation in program order.
    ///
    /// # Errors
    /// An operation (this one, or an earlier one that waited for this one's signal) that races with another.
    pub fn observe(&mut self, dispatch: &Dispatch) -> Result<(), OrderError> {
        let queue = dispatch.queue as usize;
        self.pending[queue].push_back((self.dispatched, *dispatch));
        self.dispatched += 1;
        // A signal may set another queue free, whose signal sets this one free.
        let mut progress = true;
        while progress {
            progress = false;
            for queue in 0..4 {
                while let Some((order, dispatch)) = self.ready(queue) {
                    self.pending[queue].pop_front();
                    self.run(order, &dispatch)?;
                    progress = true;
                }
            }
        }
        Ok(())
    }

    /// Every queue drains: what comes after is ordered with all before.
    ///
    /// # Errors
    /// An operation that waits for a token nobody gave; it would never drain.
    pub fn fence(&mut self) -> Result<(), OrderError> {
        let stuck = self.pending.iter().filter_map(VecDeque::front).min_by_key(|(order, _)| *order);
        if let Some(&(order, Dispatch { pc, queue, wait: Some(sem), .. })) = stuck {
            return Err(OrderError::Unsignalled { pc, order, queue, sem });
        }
        self.known = [self.seq; 4];
        for tokens in &mut self.tokens {
            tokens.settled = tokens.given();
            tokens.clocks.clear();
        }
        self.scratchpad.clear();
        self.dram.clear();
        Ok(())
    }

    /// The program is over.
    ///
    /// # Errors
    /// As for [`Self::fence`].
    pub fn finish(&mut self) -> Result<(), OrderError> {
        self.fence()
    }

    /// Tokens that were given and not taken, of each semaphore: they would count in a program that follows.
    pub fn left_over(&self) -> [usize; 32] {
        std::array::from_fn(|sem| self.tokens[sem].left())
    }

    /// The first operation of a queue, if the token it waits for is there.
    fn ready(&self, queue: usize) -> Option<(u64, Dispatch)> {
        let &(order, dispatch) = self.pending[queue].front()?;
        match dispatch.wait {
            Some(sem) if self.tokens[sem.index()].left() == 0 => None,
            _ => Some((order, dispatch)),
        }
    }

    fn run(&mut self, order: u64, dispatch: &Dispatch) -> Result<(), OrderError> {
        let queue = dispatch.queue as usize;
        if let Some(sem) = dispatch.wait {
            let tokens = &mut self.tokens[sem.index()];
            let k = tokens.taken[queue];
            tokens.taken[queue] += 1;
            if let Some(clock) = k.checked_sub(tokens.settled).and_then(|k| tokens.clocks.get(k)) {
                join(&mut self.known[queue], clock);
            }
        }
        self.seq[queue] += 1;
        let seq = self.seq[queue];
        for Access { space, range, write } in accesses(&dispatch.op, &self.mailbox) {
            self.touch(space, Entry { range, write, queue, seq, order, pc: dispatch.pc })?;
        }
        if let Some(sem) = dispatch.signal {
            let mut clock = self.known[queue];
            clock[queue] = seq;
            self.tokens[sem.index()].clocks.push(clock);
        }
        Ok(())
    }

    /// Compares an access with those it meets, and keeps it.
    fn touch(&mut self, space: Space, new: Entry) -> Result<(), OrderError> {
        let index = match space {
            Space::Scratchpad => &mut self.scratchpad,
            Space::Dram => &mut self.dram,
        };
        let known = self.known[new.queue];
        index.visit(&new.range, |old| {
            let same_queue = old.queue == new.queue;
            let ordered = known[old.queue] >= old.seq && old.order < new.order;
            if !same_queue && (old.write || new.write) && !ordered {
                return Err(race(space, old, &new));
            }
            // Whoever is ordered with the new access is then ordered with the old one too.
            let stands_for = new.write || (same_queue && !old.write);
            Ok(!(stands_for && new.range.covers(&old.range)))
        })?;
        index.insert(new);
        Ok(())
    }
}

fn race(space: Space, a: &Entry, b: &Entry) -> OrderError {
    let side = |e: &Entry| {
        let Entry { pc, order, queue, write, range, .. } = *e;
        Box::new(Side { pc, order, queue: Queue::ALL[queue], write, range })
    };
    let (first, second) = if a.order < b.order { (a, b) } else { (b, a) };
    OrderError::Race { space, first: side(first), second: side(second) }
}
