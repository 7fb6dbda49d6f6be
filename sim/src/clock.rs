//! Two rational clocks on one integer timebase.

/// Periods of the two clocks, in ticks of their common timebase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timebase {
    /// Core clock.
    pub core_period: u64,
    /// Memory clock.
    pub memory_period: u64,
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
    fn periods_are_in_lowest_terms() {
        let periods = |core, memory| Timebase::new(core, memory).map(|t| (t.core_period, t.memory_period));
        assert_eq!(periods(1_000_000_000, (1_200_000_000, 1)), Some((6, 5)));
        assert_eq!(periods(1_000_000_000, (3_200_000_000, 3)), Some((16, 15)));
        assert_eq!(periods(999_999_937, (1_200_000_000, 1)), None);
    }
}
