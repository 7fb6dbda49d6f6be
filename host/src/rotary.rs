//! Rotary embedding: the row of cosines and sines of a position.

use lutsim_isa::exec::math::{pow64, sin_cos64};

use crate::model::RopeConfig;

impl RopeConfig {
    /// Radians per position of pair `i`.
    pub fn frequency(&self, i: u32) -> f64 {
        let f = 1.0 / pow64(self.theta, f64::from(2 * i) / f64::from(self.dims));
        let Some(s) = self.scaling else { return f };
        // Turns within the original context: many are kept, few are stretched, between them it is blended.
        let turns = f64::from(s.original_context) * f / std::f64::consts::TAU;
        let kept = ((turns - s.low) / (s.high - s.low)).clamp(0.0, 1.0);
        f * (kept + (1.0 - kept) / s.factor)
    }
    /// `[cos of pair 0, 1, ... | sin of pair 0, 1, ...]`, computed in double precision and rounded once.
    pub fn row(&self, position: u32) -> Vec<f32> {
        let turn = |i| sin_cos64(f64::from(position) * self.frequency(i));
        let (sin, cos): (Vec<f64>, Vec<f64>) = (0..self.dims / 2).map(turn).unzip();
        cos.into_iter().chain(sin).map(|x| x as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RopeScaling;
    use lutsim_isa::field::Rope;

    #[test]
    fn rows() {
        let plain = RopeConfig { pairing: Rope::Half, dims: 8, theta: 10000.0, scaling: None };
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
        let plain = RopeConfig { pairing: Rope::Half, dims: 128, theta: 500_000.0, scaling: None };
        let scaling = RopeScaling { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192 };
        let long = RopeConfig { scaling: Some(scaling), ..plain };
        for i in 0..64 {
            let (f, g) = (plain.frequency(i), long.frequency(i));
            match std::f64::consts::TAU / f {
                w if w < 2048.0 => assert_eq!(f, g),
                w if w > 8192.0 => assert!((g * 8.0 / f - 1.0).abs() < 1e-12),
                _ => assert!(g < f && g > f / 8.0),
            }
        }
    }
}
