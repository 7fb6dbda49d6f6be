//! Who comes first: a clock, a position in a queue and a bank as one number, compared in this order.

/// The clock of nothing.
pub(crate) const NEVER: u64 = u64::MAX >> SHIFT;
const SHIFT: u32 = 13;

/// The first clock at which anything of a class can issue, and what it is: the position takes 7 bits, the bank 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct First(u64);

impl First {
    pub(crate) const NOTHING: First = First(u64::MAX);

    #[inline]
    pub(crate) fn new(clock: u64, position: u32, bank: usize) -> First {
        debug_assert!(clock < NEVER && position < 128 && bank < 64, "{clock} {position} {bank}");
        First(clock << SHIFT | u64::from(position) << 6 | bank as u64)
    }

    /// Something comes at this clock.
    #[inline]
    pub(crate) fn something(clock: u64) -> First {
        First(clock << SHIFT | ((1 << SHIFT) - 1))
    }

    #[inline]
    pub(crate) fn clock(self) -> u64 {
        self.0 >> SHIFT
    }

    #[inline]
    pub(crate) fn position(self) -> u32 {
        (self.0 >> 6) as u32 & 127
    }

    #[inline]
    pub(crate) fn bank(self) -> usize {
        self.0 as usize & 63
    }

    /// Takes `other` if it comes first, or at the same clock for an older request.
    #[inline]
    pub(crate) fn offer(&mut self, other: First) {
        *self = (*self).min(other);
    }
}
