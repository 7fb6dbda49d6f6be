//! Seeded numbers, the same on every machine.

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    /// Uniform in 0..n; `n` is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }
}

/// Term `index` of the van der Corput sequence in `base`, in 0..1.
pub fn radical_inverse(mut index: u64, base: u64) -> f64 {
    let (mut sum, mut scale) = (0.0, 1.0);
    while index > 0 {
        scale /= base as f64;
        sum += scale * (index % base) as f64;
        index /= base;
    }
    sum
}

/// The first primes: the bases of a Halton sequence, one per dimension.
pub fn primes(count: usize) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::with_capacity(count);
    let mut n = 2;
    while found.len() < count {
        if found.iter().all(|p| n % p != 0) {
            found.push(n);
        }
        n += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_what_its_authors_code_gives() {
        let mut random = Random::new(1234567);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [6457827717110365317, 3203168211198807973, 9817491932198370423]
        );
    }

    #[test]
    fn halton_fills_the_square_evenly() {
        let first: Vec<f64> = (1..6).map(|i| radical_inverse(i, 2)).collect();
        assert_eq!(first, [0.5, 0.25, 0.75, 0.125, 0.625]);
        assert_eq!(primes(6), [2, 3, 5, 7, 11, 13]);
        // Of 144 points each of 4 x 4 boxes holds 9, give or take 2; of a random sample some hold 3 and 16.
        let mut boxes = [0; 16];
        for i in 1..=144 {
            let at = |base| (radical_inverse(i, base) * 4.0) as usize;
            boxes[at(2) * 4 + at(3)] += 1;
        }
        assert!(boxes.iter().all(|&n| (7..=11).contains(&n)), "{boxes:?}");
    }
}
