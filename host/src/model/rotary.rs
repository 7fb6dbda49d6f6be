//! Rotary embedding: the row of cosines and sines of a position.
//!
//! Some stretchings change with the length of a sequence (`Dynamic`, `Long`). The row of position p is what their authors' code
//! makes when a sequence of p + 1 tokens is read token by token, so that a prompt gives the same numbers in chunks as one by one.

use lutsim_isa::exec::math::{ln64, pow64, sin_cos64};
use lutsim_isa::field::Rope;
use serde::Deserialize;

/// Rotary embedding.
#[derive(Clone, PartialEq, Debug)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Elements of a head that rotate.
    pub dims: u32,
    /// Which elements pair.
    pub pairing: Rope,
    /// Stretching for long contexts.
    pub scaling: Option<RopeScaling>,
}

/// Stretching of rotary frequencies. The forms are those of huggingface/transformers' `modeling_rope_utils.py`.
#[derive(Clone, PartialEq, Debug)]
pub enum RopeScaling {
    /// All frequencies are divided.
    Even {
        /// By this.
        factor: f64,
    },
    /// By bands of wavelengths, as in Llama 3.
    Bands(Bands),
    /// The base grows with what a sequence is longer than before stretching (NTK-aware).
    Dynamic {
        /// Stretch.
        factor: f64,
        /// Context before stretching.
        original_context: u32,
    },
    /// Low frequencies are divided, high ones kept, between them it is blended (YaRN, arXiv 2309.00071).
    Yarn {
        /// Stretch.
        factor: f64,
        /// Context before stretching.
        original_context: u32,
        /// Turns within that above which a frequency is kept.
        fast: f64,
        /// Turns below which it is wholly divided.
        slow: f64,
        /// Queries and keys are multiplied by this.
        attention: f64,
    },
    /// Each frequency has a divisor, and another beyond the original context (LongRoPE, arXiv 2402.13753).
    Long {
        /// Divisors up to the original context.
        short: Vec<f64>,
        /// Divisors beyond.
        long: Vec<f64>,
        /// Context before stretching.
        original_context: u32,
        /// Queries and keys are multiplied by this.
        attention: f64,
    },
    /// Each frequency has a divisor.
    Divisors(Vec<f64>),
}

/// Stretching by bands of wavelengths.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// Wavelengths are stretched by this.
    pub factor: f64,
    /// Wavelengths above `original_context / low` are stretched wholly.
    pub low: f64,
    /// Wavelengths below `original_context / high` are not stretched.
    pub high: f64,
    /// Context before stretching.
    pub original_context: u32,
}

/// What YaRN and its successors multiply queries and keys by, for a stretch.
pub(crate) fn yarn_attention(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * ln64(factor) + 1.0 }
}

/// What LongRoPE multiplies them by, for a context and what it was before stretching.
pub(crate) fn long_attention(context: u32, original_context: u32) -> f64 {
    let [now, before] = [context, original_context].map(|n| ln64(n.into()));
    if context <= original_context || original_context == 1 {
        return 1.0;
    }
    (1.0 + (now - before) / before).sqrt()
}

impl RopeConfig {
    /// Radians per position of pair `i`, in the row of a position.
    pub fn frequency(&self, i: u32, position: u32) -> f64 {
        let dims = f64::from(self.dims);
        let of_base = |theta: f64| 1.0 / pow64(theta, f64::from(2 * i) / dims);
        let f = of_base(self.theta);
        match &self.scaling {
            None => f,
            Some(RopeScaling::Even { factor }) => f / factor,
            Some(RopeScaling::Bands(bands)) => {
                // Turns within the original context: many are kept, few are stretched, between them it is blended.
                let turns = f64::from(bands.original_context) * f / std::f64::consts::TAU;
                let kept = ((turns - bands.low) / (bands.high - bands.low)).clamp(0.0, 1.0);
                f * (kept + (1.0 - kept) / bands.factor)
            }
            // The first pair does not depend on the base, and of two elements there is no other.
            Some(RopeScaling::Dynamic { .. }) if i == 0 => f,
            Some(RopeScaling::Dynamic { factor, original_context }) => {
                let tokens = (position + 1).max(*original_context);
                let longer = factor * f64::from(tokens) / f64::from(*original_context) - (factor - 1.0);
                of_base(self.theta * pow64(longer, dims / (dims - 2.0)))
            }
            Some(RopeScaling::Yarn { factor, original_context, fast, slow, .. }) => {
                // The pair that turns so often within the original context.
                let pair = |turns: f64| {
                    let wavelength = f64::from(*original_context) / (turns * std::f64::consts::TAU);
                    dims * ln64(wavelength) / (2.0 * ln64(self.theta))
                };
                let first = pair(*fast).floor().max(0.0);
                let last = pair(*slow).ceil().min(dims - 1.0);
                let divided = ((f64::from(i) - first) / (last - first).max(0.001)).clamp(0.0, 1.0);
                f * (1.0 - divided) + f / factor * divided
            }
            Some(RopeScaling::Long { short, long, original_context, .. }) => {
                let divisors = if position < *original_context { short } else { long };
                f / divisors[i as usize]
            }
            Some(RopeScaling::Divisors(divisors)) => f / divisors[i as usize],
        }
    }
    /// What queries and keys are multiplied by.
    fn attention(&self) -> f64 {
        match self.scaling {
            Some(RopeScaling::Yarn { attention, .. } | RopeScaling::Long { attention, .. }) => attention,
            _ => 1.0,
        }
    }
    /// `[cos of pair 0, 1, ... | sin of pair 0, 1, ...]`, computed in double precision and rounded once; times what queries and keys
    /// are multiplied by.
    pub fn row(&self, position: u32) -> Vec<f32> {
        let turn = |i| sin_cos64(f64::from(position) * self.frequency(i, position));
        let (sin, cos): (Vec<f64>, Vec<f64>) = (0..self.dims / 2).map(turn).unzip();
        let attention = self.attention();
        cos.into_iter().chain(sin).map(|x| (x * attention) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(theta: f64, dims: u32) -> RopeConfig {
        RopeConfig { pairing: Rope::Half, dims, theta, scaling: None }
    }

    #[test]
    fn rows() {
        let plain = plain(10000.0, 8);
        assert_eq!(plain.row(0), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let row = plain.row(1234);
        for (i, f) in [1.0f64, 0.1, 0.01, 0.001].into_iter().enumerate() {
            assert!((f64::from(row[i]) - (1234.0 * f).cos()).abs() < 1e-7);
            assert!((f64::from(row[i + 4]) - (1234.0 * f).sin()).abs() < 1e-7);
        }
    }

    /// Llama 3.1: wavelengths below 8192/4 are kept, those above 8192 are eight times longer.
    #[test]
    fn llama3() {
        let plain = plain(500_000.0, 128);
        let bands = Bands { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192 };
        let long = RopeConfig { scaling: Some(RopeScaling::Bands(bands)), ..plain.clone() };
        for i in 0..64 {
            let (f, g) = (plain.frequency(i, 0), long.frequency(i, 0));
            match std::f64::consts::TAU / f {
                w if w < 2048.0 => assert_eq!(f, g),
                w if w > 8192.0 => assert!((g * 8.0 / f - 1.0).abs() < 1e-12),
                _ => assert!(g < f && g > f / 8.0),
            }
        }
    }

    /// 4096 tokens, a head of 128, base 10000: 32 turns and more are those of pairs up to 20, one and less those from 46 on.
    #[test]
    fn yarn() {
        let plain = plain(10000.0, 128);
        let yarn = |attention| RopeScaling::Yarn {
            factor: 16.0,
            original_context: 4096,
            fast: 32.0,
            slow: 1.0,
            attention,
        };
        let long = RopeConfig { scaling: Some(yarn(yarn_attention(16.0))), ..plain.clone() };
        for i in 0..64 {
            let (f, g) = (plain.frequency(i, 7), long.frequency(i, 7));
            match i {
                0..=20 => assert_eq!(f, g),
                46.. => assert!((g * 16.0 / f - 1.0).abs() < 1e-12),
                _ => {
                    let divided = f64::from(i - 20) / 26.0;
                    assert!((g / f - (1.0 - divided + divided / 16.0)).abs() < 1e-12);
                }
            }
        }
        // 0.1 ln 16 + 1.
        assert!((f64::from(long.row(0)[0]) - 1.277_258_872).abs() < 1e-7);
        assert_eq!(yarn_attention(1.0), 1.0);
    }

    /// Up to 2048 tokens nothing changes; at twice as many the base is 10000 x 5^(64/62), 5 = 4 x 2 - 3.
    #[test]
    fn dynamic() {
        let plain = plain(10000.0, 64);
        let scaling = RopeScaling::Dynamic { factor: 4.0, original_context: 2048 };
        let long = RopeConfig { scaling: Some(scaling), ..plain.clone() };
        let base = 10000.0 * 5f64.powf(64.0 / 62.0);
        for i in 0..32 {
            assert_eq!(long.frequency(i, 2047), plain.frequency(i, 0));
            let expected = base.powf(f64::from(i) / -32.0);
            assert!((long.frequency(i, 4095) / expected - 1.0).abs() < 1e-12);
        }
        assert_eq!(RopeConfig { dims: 2, ..long }.frequency(0, 4095), 1.0);
    }

    #[test]
    fn long_rope() {
        let plain = plain(10000.0, 4);
        let scaling = RopeScaling::Long {
            short: vec![1.0, 2.0],
            long: vec![4.0, 8.0],
            original_context: 4096,
            attention: long_attention(131_072, 4096),
        };
        let long = RopeConfig { scaling: Some(scaling), ..plain.clone() };
        for (position, divisors) in [(0, [1.0, 2.0]), (4095, [1.0, 2.0]), (4096, [4.0, 8.0])] {
            for i in 0..2 {
                assert_eq!(long.frequency(i, position), plain.frequency(i, 0) / divisors[i as usize]);
            }
        }
        // Phi-3-mini-128k's: sqrt(1 + ln 32 / ln 4096).
        assert!((f64::from(long.row(0)[0]) - 1.190_238_071).abs() < 1e-7);
        assert_eq!((long_attention(4096, 4096), long_attention(64, 1)), (1.0, 1.0));
        let divided = RopeConfig { scaling: Some(RopeScaling::Divisors(vec![3.0, 5.0])), ..plain.clone() };
        assert_eq!(divided.frequency(1, 9), plain.frequency(1, 0) / 5.0);
    }
}
