//! The integer product of `lmma` without look-ups: q' put together from its planes once per column, then multiplied.
//! The same integers as [`super::tables`], by property test; a dozen times faster for many rows.

use super::lut::Weights;
use super::planes::transpose;
use crate::format::WeightKind;

/// q' of every weight of a column.
pub(super) fn odd_row(weights: &Weights<'_>, n: usize, out: &mut Vec<i16>) {
    let kind = weights.format.kind;
    out.clear();
    if kind == WeightKind::Int158 {
        // Two planes of equal weight: -2, 0, 0, 2.
        gather(weights, n, out, |code| 2 * (i16::from(code & 1) + i16::from(code >> 1)) - 2);
    } else {
        let largest = kind.max_odd() as i16;
        gather(weights, n, out, |code| 2 * i16::from(code) - largest);
    }
}

/// Eight codes at a time, back from planes.
fn gather(weights: &Weights<'_>, n: usize, out: &mut Vec<i16>, odd: impl Fn(u8) -> i16) {
    let row = weights.layout.row;
    out.resize(8 * row, 0);
    let eights = out.as_chunks_mut::<8>().0;
    match weights.format.kind.planes().len() {
        1 => spread(eights, [weights.plane_row(0, n)], odd),
        2 => spread(eights, std::array::from_fn::<_, 2, _>(|i| weights.plane_row(i, n)), odd),
        3 => spread(eights, std::array::from_fn::<_, 3, _>(|i| weights.plane_row(i, n)), odd),
        4 => spread(eights, std::array::from_fn::<_, 4, _>(|i| weights.plane_row(i, n)), odd),
        _ => spread(eights, std::array::from_fn::<_, 8, _>(|i| weights.plane_row(i, n)), odd),
    }
}

fn spread<const P: usize>(out: &mut [[i16; 8]], planes: [&[u8]; P], odd: impl Fn(u8) -> i16) {
    for (i, eight) in out.iter_mut().enumerate() {
        let bits = (0..P).fold(0, |x, p| x | u64::from(planes[p][i]) << (8 * p));
        *eight = transpose(bits).to_le_bytes().map(&odd);
    }
}

/// Exact inner product.
pub(super) fn dot(a: &[i16], q: &[i16]) -> i64 {
    // 127 * 255 * 4096 < 2^31.
    a.chunks(4096).zip(q.chunks(4096)).map(|(a, q)| i64::from(short_dot(a, q))).sum()
}

/// Pairs first: the shape of a multiply-add instruction on vectors of 16-bit integers.
fn short_dot(a: &[i16], q: &[i16]) -> i32 {
    let ((a, a_rest), (q, q_rest)) = (a.as_chunks::<16>(), q.as_chunks::<16>());
    let mut lanes = [0i32; 8];
    for (a, q) in a.iter().zip(q) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            let product = |j: usize| i32::from(a[j]) * i32::from(q[j]);
            *lane += product(2 * i) + product(2 * i + 1);
        }
    }
    let rest: i32 = a_rest.iter().zip(q_rest).map(|(&a, &q)| i32::from(a) * i32::from(q)).sum();
    lanes.iter().sum::<i32>() + rest
}
