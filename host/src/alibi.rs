//! Attention with linear biases (arXiv 2108.12409): the slope of each head.

use lutsim_isa::exec::math::pow64;

/// The slopes of `heads` heads, FP32, by head: a score gets slope x the key's position more.
///
/// A power of two n gets the geometric sequence 2^(-8/n), 2^(-16/n), ..., 2^-8. Between powers, as in the paper's own code
/// and in BLOOM: the sequence of the largest power of two below, and then every other slope of twice that many heads.
pub fn slopes(heads: u32) -> Vec<f32> {
    let power = 1u32 << heads.max(1).ilog2();
    // Slope i of a sequence of n, from 1.
    let slope = |i: u32, n: u32| pow64(2.0, -8.0 * f64::from(i) / f64::from(n)) as f32;
    let first = (1..=power).map(|i| slope(i, power));
    let others = (0..heads.saturating_sub(power)).map(|i| slope(2 * i + 1, 2 * power));
    first.chain(others).take(heads as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_eight_heads() {
        assert_eq!(slopes(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        assert_eq!(slopes(1), [0.00390625]);
    }

    /// Twelve heads: those of eight, and then 2^-0.5, 2^-1.5, ... of sixteen.
    #[test]
    fn heads_between_powers_of_two() {
        let twelve = slopes(12);
        assert_eq!(twelve[..8], slopes(8));
        for (i, slope) in twelve[8..].iter().enumerate() {
            assert!((f64::from(*slope) - 2f64.powf(-0.5 - i as f64)).abs() < 1e-7, "{i}: {slope}");
        }
        // BLOOM: 64 of 2^(-i/8), then 48 of 2^(-(2i + 1)/16).
        let bloom = slopes(112);
        assert_eq!(bloom.len(), 112);
        assert!((f64::from(bloom[0]) - 2f64.powf(-0.125)).abs() < 1e-7);
        assert!((f64::from(bloom[63]) - 2f64.powf(-8.0)).abs() < 1e-9);
        assert!((f64::from(bloom[64]) - 2f64.powf(-0.0625)).abs() < 1e-7);
        assert!((f64::from(bloom[111]) - 2f64.powf(-95.0 / 16.0)).abs() < 1e-8);
    }
}
