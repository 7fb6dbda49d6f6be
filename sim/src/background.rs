//! Traffic of the other masters of the memory (CPU, display, modem), as one channel sees it: bursts that come at a rate,
//! whether they are served in time or not.
//!
//! ```text
//! clocks --> credit --one burst's worth--> waiting (1024 at most) --> the channel's turn --> controller
//!                                             counter, seed --> where to, read or write
//! ```
//! Everything is an integer: what a clock brings in is the rate as a fraction of a burst, so nothing drifts. What request
//! number n asks for is a function of the seed, the channel and n, and of the request before it.

use crate::config;

/// Bursts that the other masters hold back, per channel, before they produce no more. More than come while postponed
/// refreshes are made up for, so that only a memory that is too slow for the rate cuts it.
const MOST_WAITING: u32 = 1024;

/// The other masters' requests to one channel.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    /// Per mille of requests that read, and that follow the one before.
    read_share: u32,
    locality: u32,
    key: u64,
    /// Bursts of the channel, of which one is drawn.
    bursts: u64,
    /// What a clock brings in and what a burst takes, in parts of a burst.
    step: u128,
    cost: u128,
    /// What has come in up to clock `at` and is not a whole burst yet.
    credit: u128,
    at: u64,
    waiting: u32,
    /// Requests drawn so far: all of the generator's state.
    drawn: u64,
    /// The next request: its burst, and whether it writes.
    next: (u64, bool),
    /// Whether it is their turn: whoever was served last waits if both want to be.
    pub(crate) turn: bool,
    /// Bursts that the memory holds, and those that it has moved, by direction.
    held: [u32; 2],
    moved: [u64; 2],
}

/// What the memory of one channel is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its number, of so many.
    pub(crate) channel: u32,
    pub(crate) channels: u32,
    /// Bursts that it holds, and bytes of one.
    pub(crate) bursts: u64,
    pub(crate) burst_bytes: u32,
    /// Memory clock, Hz, as a fraction.
    pub(crate) clock: (u64, u64),
}

impl Background {
    /// A channel's part of the traffic, `None` if there is none: the rate divided by the channels, their bursts evenly
    /// apart.
    pub(crate) fn new(config: &config::Background, place: Place) -> Option<Self> {
        if config.bytes_per_second == 0 {
            return None;
        }
        let step = u128::from(config.bytes_per_second) * u128::from(place.clock.1);
        let cost =
            u128::from(place.burst_bytes) * u128::from(place.channels) * u128::from(place.clock.0.max(1));
        let mut background = Self {
            read_share: config.read_per_mille,
            locality: config.local_per_mille,
            key: mix(config.seed ^ mix(u64::from(place.channel) + 1)),
            bursts: place.bursts.max(1),
            step,
            cost,
            credit: cost / u128::from(place.channels.max(1)) * u128::from(place.channel),
            at: 0,
            waiting: 0,
            drawn: 0,
            next: (0, false),
            turn: false,
            held: [0; 2],
            moved: [0; 2],
        };
        background.draw();
        Some(background)
    }

    /// What has come by `clock`.
    pub(crate) fn advance(&mut self, clock: u64) {
        let brought = self.step.saturating_mul(u128::from(clock.saturating_sub(self.at)));
        self.credit = self.credit.saturating_add(brought);
        self.at = clock;
        while self.credit >= self.cost && self.waiting < MOST_WAITING {
            self.credit -= self.cost;
            self.waiting += 1;
        }
        // Who holds back all that he can produces no more than one that is ready to follow.
        self.credit = self.credit.min(self.cost);
    }
    /// Clock at which the next burst comes, as of the clock that it was advanced to.
    pub(crate) fn wake(&self) -> u64 {
        if self.waiting == MOST_WAITING {
            return u64::MAX;
        }
        let clocks = (self.cost - self.credit).div_ceil(self.step);
        u64::try_from(clocks).map_or(u64::MAX, |clocks| self.at.saturating_add(clocks))
    }
    /// Whether there is a request.
    pub(crate) fn any(&self) -> bool {
        self.waiting > 0
    }
    /// Whether the next request goes in this direction, and is there.
    pub(crate) fn wants(&self, write: bool) -> bool {
        self.waiting > 0 && self.next.1 == write
    }
    /// Hands the next request to the memory: its burst.
    pub(crate) fn take(&mut self) -> u64 {
        let (burst, write) = self.next;
        self.waiting -= 1;
        self.held[usize::from(write)] += 1;
        self.draw();
        burst
    }
    /// The memory has moved one of its bursts.
    pub(crate) fn done(&mut self, write: bool) {
        self.held[usize::from(write)] -= 1;
        self.moved[usize::from(write)] += 1;
    }
    /// Reads and writes that the memory holds.
    pub(crate) fn held(&self) -> [u32; 2] {
        self.held
    }
    /// Bursts read and written.
    pub(crate) fn moved(&self) -> [u64; 2] {
        self.moved
    }

    fn draw(&mut self) {
        let number = mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)));
        let below = |bits: u64, share: u32| ((bits & 0xffff_ffff) * 1000) >> 32 < u64::from(share);
        let write = !below(number, self.read_share);
        let burst = if self.drawn > 0 && below(number >> 32, self.locality) {
            (self.next.0 + 1) % self.bursts
        } else {
            ((u128::from(mix(number)) * u128::from(self.bursts)) >> 64) as u64
        };
        self.drawn += 1;
        self.next = (burst, write);
    }
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser: neighbouring numbers in, unrelated numbers out.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(GOLDEN);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn background(bytes_per_second: u64, shares: (u32, u32), seed: u64) -> Background {
        let config = config::Background {
            bytes_per_second,
            read_per_mille: shares.0,
            local_per_mille: shares.1,
            seed,
        };
        let clock = (1_200_000_000, 1);
        let place = Place { channel: 0, channels: 1, bursts: 1 << 20, burst_bytes: 32, clock };
        Background::new(&config, place).unwrap()
    }

    /// Bursts taken as they come, clock by clock.
    fn taken(b: &mut Background, clocks: u64) -> Vec<(u64, u64, bool)> {
        let mut out = Vec::new();
        for clock in 1..=clocks {
            b.advance(clock);
            while b.waiting > 0 {
                let write = b.next.1;
                out.push((clock, b.take(), write));
            }
        }
        out
    }

    #[test]
    fn the_rate_is_kept_to_a_burst() {
        // 7 GB/s of 32-byte bursts at 1.2 GHz: one in 5.4857 clocks.
        let mut b = background(7_000_000_000, (500, 500), 1);
        for (n, (clock, ..)) in (1u64..).zip(taken(&mut b, 1_000_000)) {
            assert_eq!(clock, (n * 32 * 12).div_ceil(70), "burst {n}");
        }
    }

    #[test]
    fn shares_are_met() {
        for (read, local) in [(0, 0), (1000, 1000), (700, 300), (333, 950)] {
            let all = taken(&mut background(10_000_000_000, (read, local), 3), 400_000);
            let n = all.len() as f64;
            let reads = all.iter().filter(|(.., write)| !write).count() as f64 / n;
            let follow = all.windows(2).filter(|w| w[1].1 == (w[0].1 + 1) % (1 << 20)).count() as f64 / n;
            assert!((reads - f64::from(read) / 1000.0).abs() < 0.005, "{reads} reads of {n}, asked {read}");
            assert!((follow - f64::from(local) / 1000.0).abs() < 0.005, "{follow} follow, asked {local}");
        }
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let of = |seed| taken(&mut background(10_000_000_000, (500, 500), seed), 10_000);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn no_rate_is_too_large() {
        let mut b = background(u64::MAX, (500, 500), 1);
        b.advance(u64::MAX);
        assert_eq!((b.waiting, b.wake()), (MOST_WAITING, u64::MAX));
    }

    proptest! {
        /// Who looks now and then sees what came clock by clock.
        #[test]
        fn looking_late_is_looking_often(
            rate in 1_000_000u64..200_000_000_000,
            looks in prop::collection::vec((1u64..4000, 0u32..2000), 1..40),
        ) {
            let (mut often, mut late) = (background(rate, (500, 500), 1), background(rate, (500, 500), 1));
            let mut clock = 0;
            for (later, takes) in looks {
                for _ in 0..later {
                    clock += 1;
                    often.advance(clock);
                }
                let wake = late.wake();
                prop_assert!(late.waiting == often.waiting || wake <= clock);
                late.advance(clock);
                prop_assert_eq!((late.waiting, late.credit), (often.waiting, often.credit));
                for _ in 0..takes.min(late.waiting) {
                    prop_assert_eq!(late.take(), often.take());
                }
            }
        }
    }
}
