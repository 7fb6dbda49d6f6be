//! The integer product of `lmma` without look-ups: q' put together from its planes once per column, then multiplied.
//! The same integers as [`super::tables`], by property test; several times faster.

use super::lut::Weights;

/// The bits of a byte, one per byte.
const BITS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut i = 0;
        while i < 8 {
            table[byte] |= (byte as u64 >> i & 1) << (8 * i);
            i += 1;
        }
        byte += 1;
    }
    table
};

/// q' of every weight of a column: the sum of 2^shift * (2 bit - 1) over the planes.
pub(super) fn odd_row(weights: &Weights<'_>, n: usize, sums: &mut Vec<u8>, out: &mut Vec<i16>) {
    let kind = weights.format.kind;
    sums.clear();
    sums.resize(8 * weights.layout.row, 0);
    for (plane, shift) in kind.planes().iter().enumerate() {
        let bits = weights.plane_row(plane, n);
        for (eight, &byte) in sums.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
            *eight = (u64::from_le_bytes(*eight) + (BITS[usize::from(byte)] << shift)).to_le_bytes();
        }
    }
    let largest = kind.max_odd() as i16;
    out.clear();
    out.extend(sums.iter().map(|&sum| 2 * i16::from(sum) - largest));
}

/// Exact inner product.
pub(super) fn dot(a: &[i16], q: &[i16]) -> i64 {
    // 127 * 255 * 4096 < 2^31.
    a.chunks(4096).zip(q.chunks(4096)).map(|(a, q)| i64::from(short_dot(a, q))).sum()
}

/// Sixteen at a time: the shape that compilers make a vector multiply-add of.
fn short_dot(a: &[i16], q: &[i16]) -> i32 {
    let product = |(&a, &q): (&i16, &i16)| i32::from(a).wrapping_mul(i32::from(q));
    let sum = |a: &[i16], q: &[i16]| a.iter().zip(q).map(product).fold(0, i32::wrapping_add);
    let ((a, a_rest), (q, q_rest)) = (a.as_chunks::<16>(), q.as_chunks::<16>());
    let whole = a.iter().zip(q).map(|(a, q)| sum(a, q)).fold(0, i32::wrapping_add);
    whole.wrapping_add(sum(a_rest, q_rest))
}
