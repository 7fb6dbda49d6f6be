//! `lmma` of cores that dequantise: weights become FP16, products of FP16 add up in single precision.
//!
//! `w = fp16(scale * factor * (q' - z') + offset)`, the product rounded to single precision before the offset, if there is one, is added;
//! `psum[m][n] += a * w`, which is exact, one after the other in the order of K, each sum rounded.

use super::fast::odd_row;
use super::lut::Weights;
use super::to_half;

/// What such an `lmma` adds to the partial sums.
pub(super) struct Halves<'a> {
    /// Rows of `len` activations.
    pub(super) activations: Vec<f32>,
    pub(super) len: usize,
    /// Weights that share a scale.
    pub(super) group: usize,
    pub(super) weights: Weights<'a>,
    /// The first partial sum of each row, and how far each column's is from it.
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
}

impl Halves<'_> {
    pub(super) fn add(&self, psum: &mut [f32]) {
        let (mut sums, mut odd, mut column) = (Vec::new(), Vec::new(), Vec::new());
        for (n, at) in self.columns.iter().enumerate() {
            odd_row(&self.weights, n, &mut sums, &mut odd);
            column.clear();
            for (group, codes) in odd[..self.len].chunks(self.group.max(1)).enumerate() {
                let (scale, zero) = (self.weights.scale(group, n), self.weights.zero(group, n));
                let offset = self.weights.offset(group, n);
                column.extend(codes.iter().map(|&q| {
                    let w = scale * (i32::from(q) - zero) as f32;
                    to_half(offset.map_or(w, |offset| w + offset))
                }));
            }
            for (row, a) in self.rows.iter().zip(self.activations.chunks_exact(self.len.max(1))) {
                let sum = &mut psum[row + at];
                *sum = a.iter().zip(&column).fold(*sum, |sum, (a, w)| sum + a * w);
            }
        }
    }
}
