//! What components meet through: everything written in a cycle is seen from the next one on.
//!
//! A reader at time `now` sees what was written before `now`, and a writer sees the room that was there before `now`;
//! so the order in which the components of one cycle are evaluated cannot matter.

use std::collections::VecDeque;

use crate::leap::Walk;

/// Time in ticks of the machine's timebase.
pub(crate) type Tick = u64;

/// A bounded first-in first-out queue between two components.
#[derive(Clone, Debug)]
pub(crate) struct Link<T> {
    entries: VecDeque<(Tick, T)>,
    capacity: usize,
    /// When the last pop was, and how many there were at that time.
    popped: (Tick, usize),
}

impl<T> Link<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::with_capacity(capacity), capacity, popped: (0, 0) }
    }
    /// Room as of the beginning of this cycle.
    pub(crate) fn can_push(&self, now: Tick) -> bool {
        let leaving = if self.popped.0 == now { self.popped.1 } else { 0 };
        self.entries.len() + leaving < self.capacity
    }
    pub(crate) fn push(&mut self, now: Tick, value: T) {
        debug_assert!(self.can_push(now), "pushed into a full link");
        self.entries.push_back((now, value));
    }
    /// The oldest entry that was there at the beginning of this cycle.
    pub(crate) fn front(&self, now: Tick) -> Option<&T> {
        self.entries.front().filter(|(at, _)| *at < now).map(|(_, v)| v)
    }
    pub(crate) fn pop(&mut self, now: Tick) -> Option<T> {
        self.front(now)?;
        self.popped = (now, if self.popped.0 == now { self.popped.1 + 1 } else { 1 });
        self.entries.pop_front().map(|(_, v)| v)
    }
    /// All entries, with the time at which each was pushed.
    pub(crate) fn entries(&mut self) -> &mut VecDeque<(Tick, T)> {
        &mut self.entries
    }
    /// Whether anything is in it, visible or not.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }
}

/// A count that one component raises and another reads a cycle later.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Registered {
    value: u64,
    /// When it was last raised, and by how much at that time.
    raised: (Tick, u64),
}

impl Registered {
    /// The value at the beginning of this cycle.
    pub(crate) fn get(&self, now: Tick) -> u64 {
        if self.raised.0 == now { self.value - self.raised.1 } else { self.value }
    }
    /// The value as of the next cycle.
    pub(crate) fn total(&self) -> u64 {
        self.value
    }
    pub(crate) fn set(&mut self, value: u64) {
        *self = Self { value, ..Self::default() };
    }
    pub(crate) fn raise(&mut self, now: Tick, by: u64) {
        self.raised = (now, if self.raised.0 == now { self.raised.1 + by } else { by });
        self.value += by;
    }
}

/// Counting semaphores; one queue gives, one queue takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Semaphores {
    given: [Registered; 32],
    taken: [u64; 32],
}

impl Semaphores {
    pub(crate) fn available(&self, now: Tick, sem: lutsim_isa::Sem) -> bool {
        self.given[sem.index()].get(now) > self.taken[sem.index()]
    }
    pub(crate) fn take(&mut self, now: Tick, sem: lutsim_isa::Sem) {
        debug_assert!(self.available(now, sem));
        self.taken[sem.index()] += 1;
    }
    pub(crate) fn give(&mut self, now: Tick, sem: lutsim_isa::Sem) {
        self.given[sem.index()].raise(now, 1);
    }
    /// Only what is left of each matters.
    pub(crate) fn walk(&mut self, w: &mut Walk<'_>) {
        for (given, taken) in self.given.iter_mut().zip(&mut self.taken) {
            let mut left = given.total() - *taken;
            w.exact(&mut left);
            if w.reading() {
                given.set(left);
                *taken = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_seen_one_cycle_later_and_a_pop_frees_one_cycle_later() {
        let mut link = Link::new(1);
        link.push(5, 'a');
        assert_eq!(link.pop(5), None);
        assert!(!link.can_push(6));
        assert_eq!(link.pop(6), Some('a'));
        assert!(!link.can_push(6), "the slot was taken when this cycle began");
        assert!(link.can_push(7));
    }

    #[test]
    fn a_raise_is_seen_one_cycle_later() {
        let mut count = Registered::default();
        count.raise(3, 2);
        count.raise(3, 1);
        assert_eq!((count.get(3), count.get(4)), (0, 3));
    }
}
