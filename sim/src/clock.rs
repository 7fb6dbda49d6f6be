//! Two rational clocks on one integer timebase.

/// Periods of the two clocks, in ticks of their common timebase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timebase {
    /// Core clock.
    pub core_period: u64,
    /// Memory clock.
    pub memory_period: u64,
}

/// Division by a constant without dividing: multiplication by a rounded-up reciprocal, and one correction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Divider {
    by: u64,
    reciprocal: u64,
}

impl Divider {
    pub(crate) fn new(by: u64) -> Self {
        assert!(by > 0, "division by zero");
        Self { by, reciprocal: u64::MAX / by }
    }
    /// x / by.
    #[inline]
    pub(crate) fn quotient(self, x: u64) -> u64 {
        // The reciprocal is at most 1 + 1/by below 2^64/by, so the estimate is at most 2 too small for x < 2^64.
        let mut q = ((u128::from(x) * u128::from(self.reciprocal)) >> 64) as u64;
        while x - q * self.by >= self.by {
            q += 1;
        }
        q
    }
    /// The smallest multiple of `by` that is not below x.
    #[inline]
    pub(crate) fn round_up(self, x: u64) -> u64 {
        self.quotient(x + self.by - 1) * self.by
    }
}

/// Longest period that leaves room for 10^12 cycles in 64 bits.
const LONGEST: u64 = 1 << 23;

impl Timebase {
    /// Of a core clock of `core` Hz and a memory clock of `memory.0 / memory.1` Hz; `None` if it does not fit.
    pub fn new(core: u64, memory: (u64, u64)) -> Option<Self> {
        let (numerator, denominator) = memory;
        let scaled = core.checked_mul(denominator)?;
        let g = gcd(scaled, numerator);
        let timebase = Self { core_period: numerator / g, memory_period: scaled / g };
        (timebase.core_period.max(timebase.memory_period) <= LONGEST).then_some(timebase)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divider_divides() {
        for by in [1, 2, 3, 5, 6, 7, 1000, 4687, LONGEST - 1] {
            let d = Divider::new(by);
            for x in [0, 1, by - 1, by, by + 1, 12345, 1 << 40, (1 << 63) - 1, u64::MAX - by] {
                assert_eq!((d.quotient(x), d.round_up(x)), (x / by, x.next_multiple_of(by)), "{x} / {by}");
            }
        }
    }

    #[test]
    fn periods_are_in_lowest_terms() {
        let periods = |core, memory| Timebase::new(core, memory).map(|t| (t.core_period, t.memory_period));
        assert_eq!(periods(1_000_000_000, (1_200_000_000, 1)), Some((6, 5)));
        assert_eq!(periods(1_000_000_000, (3_200_000_000, 3)), Some((16, 15)));
        assert_eq!(periods(999_999_937, (1_200_000_000, 1)), None);
    }
}
