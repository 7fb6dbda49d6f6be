//! Rotary embedding: the row of cosines and sines of a position.

use lutsim_isa::exec::math::{pow64, sin_cos64};
use lutsim_isa::field::Rope;

/// A model's rotary embedding.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rotary {
    /// Which elements turn together.
    pub pairing: Rope,
    /// Elements of a head that turn, the first ones.
    pub dims: u32,
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for longer contexts.
    pub scaling: Scaling,
}

/// Stretching of the frequencies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scaling {
    /// As trained.
    None,
    /// Every position divided by the factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Wavelengths longer than `original / low` are stretched whole.
        low: f64,
        /// Wavelengths shorter than `original / high` are kept.
        high: f64,
        /// The context it was trained with.
        original: f64,
    },
}

impl Rotary {
    /// Radians per position of pair `i`.
    pub fn frequency(&self, i: u32) -> f64 {
        let f = 1.0 / pow64(self.theta, f64::from(2 * i) / f64::from(self.dims));
        match self.scaling {
            Scaling::None => f,
            Scaling::Linear { factor } => f / factor,
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = original * f / std::f64::consts::TAU;
                let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                f * (blend + (1.0 - blend) / factor)
            }
        }
    }
    /// `[cos of pair 0, 1, ... | sin of pair 0, 1, ...]`, computed in double precision and rounded once.
    pub fn row(&self, position: u32) -> Vec<f32> {
        let turn = |i| sin_cos64(f64::from(position) * self.frequency(i));
        let pairs = self.dims / 2;
        let cos = (0..pairs).map(|i| turn(i).1 as f32);
        cos.chain((0..pairs).map(|i| turn(i).0 as f32)).collect()
    }
    /// Bytes of a row.
    pub fn row_bytes(&self) -> u64 {
        u64::from(self.dims / 2) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let plain = Rotary { pairing: Rope::Half, dims: 8, theta: 10000.0, scaling: Scaling::None };
        assert_eq!(plain.row(0), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let row = plain.row(1234);
        for (i, f) in [1.0, 0.1, 0.01, 0.001].into_iter().enumerate() {
            assert!((f64::from(row[i]) - (1234.0 * f).cos()).abs() < 1e-7);
            assert!((f64::from(row[i + 4]) - (1234.0 * f).sin()).abs() < 1e-7);
        }
        let half = Rotary { scaling: Scaling::Linear { factor: 2.0 }, ..plain };
        assert_eq!(half.row(1234), plain.row(617));
    }

    /// Llama 3.1: wavelengths below 8192/4 are kept, those above 8192 are eight times longer.
    #[test]
    fn llama3() {
        let plain = Rotary { pairing: Rope::Half, dims: 128, theta: 500_000.0, scaling: Scaling::None };
        let scaling = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let long = Rotary { scaling, ..plain };
        for i in 0..64 {
            let (f, g) = (plain.frequency(i), long.frequency(i));
            let wavelength = std::f64::consts::TAU / f;
            match wavelength {
                w if w < 2048.0 => assert_eq!(f, g),
                w if w > 8192.0 => assert!((g * 8.0 / f - 1.0).abs() < 1e-12),
                _ => assert!(g < f && g > f / 8.0),
            }
        }
    }
}
