//! Float matrices to codes, scales and zero points, and back.
//!
//! ```text
//! r = s (q - z)   int2 int3 int4     q, z unsigned of b bits
//! r = s code      int8               two's complement, within +-127
//! r = +-s         int1               code 1 is plus
//! r = s (code-1)  int1.58            code 0, 1, 2
//! ```

use half::f16;
use lutsim_isa::{Group, WeightFormat, WeightKind};

/// A matrix of `n` columns (outputs) x `k` weights each, as codes with a scale (and zero point) per group along K.
#[derive(Clone, PartialEq, Debug)]
pub struct QuantisedTensor {
    /// Outputs.
    pub n: u32,
    /// Inputs.
    pub k: u32,
    /// What the codes mean.
    pub format: WeightFormat,
    /// A byte per code, `n` rows of `k`.
    pub codes: Vec<u8>,
    /// `n` rows of [`Self::groups`].
    pub scales: Vec<f16>,
    /// As the scales; empty for a symmetric kind.
    pub zeros: Vec<u8>,
}

/// Why a matrix was not quantised.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum QuantiseError {
    /// Wrong number of values.
    #[error("a matrix of {n} x {k} has {expected} values, but {found} were given")]
    Size {
        /// Outputs.
        n: u32,
        /// Inputs.
        k: u32,
        /// `n * k`.
        expected: u64,
        /// Given.
        found: u64,
    },
    /// NaN or infinity.
    #[error("row {row}, column {column} is {value}, which has no quantised form")]
    NotFinite {
        /// Output.
        row: u32,
        /// Input.
        column: u32,
        /// What is there.
        value: f32,
    },
    /// Too large for an FP16 scale.
    #[error("row {row}: the scale {scale} of group {group} is beyond FP16 (65504)")]
    Scale {
        /// Output.
        row: u32,
        /// Group along K.
        group: u32,
        /// The scale.
        scale: f32,
    },
    /// A KV cache is quantised by the machine, blocks come from a file.
    #[error("`{kind}` is not made from values here: a KV cache, or a file's blocks")]
    NotOurs {
        /// The kind.
        kind: WeightKind,
    },
}

impl QuantisedTensor {
    /// Scales per row.
    pub fn groups(&self) -> u32 {
        self.format.group.count(self.k)
    }

    /// The codes of one row.
    pub fn row(&self, n: u32) -> &[u8] {
        &self.codes[n as usize * self.k as usize..][..self.k as usize]
    }

    /// Rounds an `n` x `k` matrix, row-major: to nearest, ties to even, in whole FP16 scales.
    ///
    /// # Errors
    /// Sizes that do not match, values without a quantised form, a KV cache kind.
    pub fn quantise(values: &[f32], n: u32, k: u32, format: WeightFormat) -> Result<Self, QuantiseError> {
        let (kind, expected) = (format.kind, u64::from(n) * u64::from(k));
        if kind.is_kv() || kind.is_float() || kind.blocks().is_some() {
            return Err(QuantiseError::NotOurs { kind });
        }
        if values.len() as u64 != expected {
            return Err(QuantiseError::Size { n, k, expected, found: values.len() as u64 });
        }
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let (row, column) = ((at / k as usize) as u32, (at % k as usize) as u32);
            return Err(QuantiseError::NotFinite { row, column, value: values[at] });
        }
        let mut out =
            Self { n, k, format, codes: Vec::with_capacity(values.len()), scales: vec![], zeros: vec![] };
        for (row, line) in values.chunks_exact(k.max(1) as usize).enumerate() {
            for (group, part) in line.chunks(format.group.size(k).max(1) as usize).enumerate() {
                let (row, group) = (row as u32, group as u32);
                let rounded = round_group(kind, part, 1.0);
                let rounded = rounded.map_err(|scale| QuantiseError::Scale { row, group, scale })?;
                out.scales.push(rounded.scale);
                out.zeros.extend(rounded.zero);
                out.codes.extend(rounded.codes);
            }
        }
        Ok(out)
    }

    /// The values that the codes stand for, row-major.
    pub fn dequantise(&self) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.codes.len());
        for n in 0..self.n {
            self.dequantise_row(n, &mut out);
        }
        out
    }

    /// Appends the values of one row.
    pub fn dequantise_row(&self, n: u32, out: &mut Vec<f32>) {
        let size = self.format.group.size(self.k).max(1) as usize;
        let first = n as usize * self.groups() as usize;
        for (g, part) in self.row(n).chunks(size).enumerate() {
            let s = self.scales[first + g].to_f32();
            let z = self.zeros.get(first + g).copied().unwrap_or(0);
            out.extend(part.iter().map(|&code| s * level(self.format.kind, code, z) as f32));
        }
    }

    /// The tensors one below the other, as one: same K, same format.
    ///
    /// # Panics
    /// When there are none or they do not match: a fault of the caller.
    pub fn stack(parts: &[Self]) -> Self {
        let mut out = parts[0].clone();
        for part in &parts[1..] {
            assert_eq!((part.k, part.format), (out.k, out.format), "only tensors of a kind stack");
            out.n += part.n;
            out.codes.extend_from_slice(&part.codes);
            out.scales.extend_from_slice(&part.scales);
            out.zeros.extend_from_slice(&part.zeros);
        }
        out
    }
}

/// A group of weights, rounded.
pub(crate) struct RoundedGroup {
    pub(crate) scale: f16,
    /// Of an asymmetric kind.
    pub(crate) zero: Option<u8>,
    pub(crate) codes: Vec<u8>,
}

/// Rounds a group to nearest, in `factor` times the scale that just holds it; of a scale beyond FP16, the scale.
pub(crate) fn round_group(kind: WeightKind, part: &[f32], factor: f32) -> Result<RoundedGroup, f32> {
    let (scale, low) = scale_of(kind, part);
    let rounded = f16::from_f32(scale * factor);
    if !rounded.is_finite() {
        return Err(scale);
    }
    let s = rounded.to_f32();
    let zero = low.map(|low| zero_point(kind, low * factor, s));
    let codes = part.iter().map(|&x| code_of(kind, x, s, zero.unwrap_or(0))).collect();
    Ok(RoundedGroup { scale: rounded, zero, codes })
}

/// `r / s` of a code.
pub fn level(kind: WeightKind, code: u8, zero: u8) -> i32 {
    match kind {
        WeightKind::Int1 => 2 * i32::from(code) - 1,
        WeightKind::Int158 => i32::from(code) - 1,
        WeightKind::Int2 | WeightKind::Int3 | WeightKind::Int4 => i32::from(code) - i32::from(zero),
        // Eight bits, and KV caches; blocks unpack themselves.
        _ => i32::from(code as i8),
    }
}

/// Largest unsigned code of an asymmetric kind.
fn top(kind: WeightKind) -> f32 {
    ((1u32 << kind.zero_bits()) - 1) as f32
}

/// The scale of a group and, for an asymmetric kind, its low end (zero is always in range).
fn scale_of(kind: WeightKind, part: &[f32]) -> (f32, Option<f32>) {
    let mean = || (part.iter().map(|x| f64::from(x.abs())).sum::<f64>() / part.len() as f64) as f32;
    match kind {
        WeightKind::Int1 | WeightKind::Int158 => (mean(), None),
        WeightKind::Int2 | WeightKind::Int3 | WeightKind::Int4 => {
            let low = part.iter().copied().fold(0.0, f32::min);
            let high = part.iter().copied().fold(0.0, f32::max);
            (high / top(kind) - low / top(kind), Some(low))
        }
        _ => (part.iter().map(|x| x.abs()).fold(0.0, f32::max) / 127.0, None),
    }
}

fn zero_point(kind: WeightKind, low: f32, s: f32) -> u8 {
    if s == 0.0 { 0 } else { (-low / s).round_ties_even().clamp(0.0, top(kind)) as u8 }
}

fn code_of(kind: WeightKind, x: f32, s: f32, z: u8) -> u8 {
    let q = if s == 0.0 { 0.0 } else { (x / s).round_ties_even() };
    match kind {
        WeightKind::Int1 => u8::from(x >= 0.0),
        WeightKind::Int158 => (q.clamp(-1.0, 1.0) + 1.0) as u8,
        WeightKind::Int2 | WeightKind::Int3 | WeightKind::Int4 => {
            (q + f32::from(z)).clamp(0.0, top(kind)) as u8
        }
        _ => q.clamp(-127.0, 127.0) as i8 as u8,
    }
}

/// The weight kinds that a model can be stored in.
pub const KINDS: [WeightKind; 6] = [
    WeightKind::Int1,
    WeightKind::Int158,
    WeightKind::Int2,
    WeightKind::Int3,
    WeightKind::Int4,
    WeightKind::Int8,
];

/// A format of a kind and group, for short.
pub const fn format(kind: WeightKind, group: Group) -> WeightFormat {
    WeightFormat { kind, group }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group() -> impl Strategy<Value = Group> {
        prop_oneof![Just(Group::Row), (4u32..=10).prop_map(|p| Group::Of(1 << p))]
    }

    proptest! {
        /// Every value is within half a step of what it came from (asymmetric and int8), or keeps its sign.
        #[test]
        fn rounds_to_nearest(kind in prop::sample::select(&KINDS[..]), group in group(), n in 1u32..5, k in 1u32..300,
                             seed in any::<u64>()) {
            let mut at = seed;
            let values: Vec<f32> = (0..n * k).map(|_| {
                at = at.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (at >> 40) as f32 / 8388608.0 - 1.0
            }).collect();
            let t = QuantisedTensor::quantise(&values, n, k, format(kind, group)).unwrap();
            prop_assert_eq!(t.scales.len() as u32, n * group.count(k));
            prop_assert_eq!(t.zeros.len(), if kind.zero_bits() > 0 { t.scales.len() } else { 0 });
            let size = group.size(k) as usize;
            for (i, (x, y)) in values.iter().zip(t.dequantise()).enumerate() {
                let (row, column) = (i / k as usize, i % k as usize);
                let s = t.scales[row * t.groups() as usize + column / size].to_f32();
                match kind {
                    WeightKind::Int1 => prop_assert!((*x >= 0.0) == (y >= 0.0) && y.abs() == s),
                    WeightKind::Int158 => prop_assert!((x - y).abs() <= s / 2.0 + 1e-6 || y.abs() == s),
                    // The zero point and the FP16 scale each cost up to half a step at the ends.
                    _ => prop_assert!((x - y).abs() <= s * 1.1, "{} {} {}", x, y, s),
                }
            }
        }
    }

    #[test]
    fn by_hand() {
        let t = |kind, values: &[f32]| {
            QuantisedTensor::quantise(values, 1, values.len() as u32, format(kind, Group::Row)).unwrap()
        };
        let a = t(WeightKind::Int2, &[-1.0, 0.0, 1.0, 2.0]);
        assert_eq!((a.codes, a.scales, a.zeros), (vec![0, 1, 2, 3], vec![f16::ONE], vec![1]));
        let b = t(WeightKind::Int8, &[-127.0, 2.5, 3.5, 127.0]);
        assert_eq!((b.codes, b.scales), (vec![129, 2, 4, 127], vec![f16::ONE]));
        let c = t(WeightKind::Int158, &[-3.0, 0.1, 1.1, -0.2]);
        assert_eq!(c.dequantise(), [-c.scales[0].to_f32(), 0.0, c.scales[0].to_f32(), 0.0]);
        assert_eq!(t(WeightKind::Int1, &[-3.0, 1.0, 0.0]).codes, [0, 1, 1]);
        assert_eq!(t(WeightKind::Int4, &[0.0; 3]).dequantise(), [0.0; 3]);
    }

    #[test]
    fn refusals() {
        let q = |values: &[f32], n, k, kind| {
            QuantisedTensor::quantise(values, n, k, format(kind, Group::Row)).unwrap_err().to_string()
        };
        assert_eq!(q(&[1.0], 1, 2, WeightKind::Int2), "a matrix of 1 x 2 has 2 values, but 1 were given");
        assert_eq!(
            q(&[1.0, 2.0, f32::NAN, 0.0], 2, 2, WeightKind::Int2),
            "row 1, column 0 is NaN, which has no quantised form"
        );
        assert!(q(&[1e30], 1, 1, WeightKind::Int8).contains("beyond FP16"));
        assert!(q(&[1.0], 1, 1, WeightKind::Kv8).contains("KV cache"));
    }
}
