//! How the host chooses a token from logits.

use lutsim_host::reference::argmax;
use lutsim_host::weights::Stream;
use lutsim_isa::exec::math::exp64;

/// Greedy, or at random by a temperature; the same seed, the same tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Logits are divided by it before they become probabilities; 0 takes the largest.
    pub temperature: f32,
    /// Of the tokens, only so many with the largest logits are in question; 0 is all.
    pub top_k: u32,
    /// Another seed, other tokens.
    pub seed: u64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, seed: 0 }
    }
}

impl Sampler {
    /// The token for some logits, which are the `number`th of this run.
    pub fn choose(&self, logits: &[f32], number: u64) -> u32 {
        if self.temperature <= 0.0 || logits.len() < 2 {
            return argmax(logits);
        }
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        if self.top_k > 0 {
            order.truncate(self.top_k as usize);
        }
        let largest = f64::from(logits[order[0] as usize]);
        let part = |id: u32| (f64::from(logits[id as usize]) - largest) / f64::from(self.temperature);
        let weight = |&id: &u32| exp64(part(id));
        let all: f64 = order.iter().map(weight).sum();
        let uniform = (Stream::new(self.seed, "sample", None).at(number) >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = uniform * all;
        for id in &order {
            left -= weight(id);
            if left < 0.0 {
                return *id;
            }
        }
        order[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_probabilities() {
        let logits = [0.0, 1.0, 2.0, -50.0];
        let at = |temperature, top_k, seed| {
            let sampler = Sampler { temperature, top_k, seed };
            let mut counts = [0u32; 4];
            (0..30_000).for_each(|i| counts[sampler.choose(&logits, i) as usize] += 1);
            counts
        };
        assert_eq!(at(0.0, 0, 1), [0, 0, 30_000, 0]);
        assert_eq!(at(1.0, 1, 1), [0, 0, 30_000, 0]);
        // exp(0), exp(1), exp(2) over their sum.
        for (found, expected) in at(1.0, 0, 1).into_iter().zip([0.0900, 0.2447, 0.6652, 0.0]) {
            assert!((f64::from(found) / 30_000.0 - expected).abs() < 0.01, "{found} {expected}");
        }
        assert_ne!(at(1.0, 0, 1), at(1.0, 0, 2));
    }
}
