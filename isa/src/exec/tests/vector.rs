use proptest::prelude::*;

use super::*;
use crate::control::VectorOp;
use crate::field::{Act, Mask, Norm, Rope};

const X: u32 = 0;
const Y: u32 = 0x4000;
const D: u32 = 0x8000;
const S: u32 = 0xc000;

fn f32s(base: u32, rows: u32, cols: u32) -> TileRef {
    plain(Elem::F32, base, rows, cols)
}

/// Runs an operation on rows of x and y; the rows of d.
fn run(op: VectorOp, x: &[f32], y: &[f32]) -> Vec<f32> {
    let mut state = state();
    put_f32(&mut state, X as usize, x);
    put_f32(&mut state, Y as usize, y);
    state.exec(&Op::Vector(op)).unwrap();
    get_f32(&state, D as usize, x.len())
}

fn close(a: &[f32], b: &[f64]) {
    for (a, b) in a.iter().zip(b) {
        assert!((f64::from(*a) - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} is not {b}");
    }
}

#[test]
fn norms() {
    let x = [1.0, -2.0, 3.0, 0.5];
    let w = [1.0, 0.5, -1.0, 2.0, 0.1, 0.2, 0.3, 0.4];
    let (d, tx) = (f32s(D, 1, 4), f32s(X, 1, 4));
    let op = |norm, rows| VectorOp::Norm { norm, d, x: tx, w: f32s(Y, rows, 4), eps: 1e-5 };
    let each = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
        (0..4).map(|i| f(x[i].into(), w[i].into(), w[i + 4].into())).collect()
    };
    let rms = ((1.0 + 4.0 + 9.0 + 0.25) / 4.0 + 1e-5f64).sqrt();
    close(&run(op(Norm::Rms, 1), &x, &w), &each(&|x, w, _| x / rms * w));
    close(&run(op(Norm::RmsPlusOne, 1), &x, &w), &each(&|x, w, _| x / rms * (1.0 + w)));
    let mean = 2.5 / 4.0;
    let std = (x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 4.0 + 1e-5).sqrt();
    close(&run(op(Norm::Layer, 2), &x, &w), &each(&|x, w, b| (x - mean) / std * w + b));
}

#[test]
fn rotary_pairs() {
    let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let tab = [0.6, 0.0, 0.8, 1.0]; // cos, cos, sin, sin
    let rope = |pairing| VectorOp::Rope {
        pairing,
        d: f32s(D, 1, 12),
        x: f32s(X, 1, 12),
        tab: f32s(Y, 1, 4),
        head: 6,
        dims: 4,
    };
    let half = [0.0 - 1.6, -3.0, 1.2, 1.0, 4.0, 5.0];
    let pair = [-0.8, 0.6, -3.0, 2.0, 4.0, 5.0];
    close(&run(rope(Rope::Half), &x, &tab)[..6], &half);
    close(&run(rope(Rope::Pair), &x, &tab)[..6], &pair);
    let second = [6.0 * 0.6 - 8.0 * 0.8, -9.0, 8.0 * 0.6 + 6.0 * 0.8, 7.0, 10.0, 11.0];
    close(&run(rope(Rope::Half), &x, &tab)[6..], &second);
}

#[test]
fn softmax_sees_what_it_may() {
    let x = [1.0, 2.0, 3.0, f32::NAN, -1.0, 5.0, 0.0, 9.0];
    let op = |mask, valid| VectorOp::Softmax { mask, d: f32s(D, 2, 4), x: f32s(X, 2, 4), valid, scale: 0.5 };
    let e = |x: f64| (0.5 * x).exp();
    let causal = run(op(Mask::Causal, 2), &x, &[]);
    let (s, t) = (e(1.0) + e(2.0), e(-1.0) + e(5.0) + e(0.0));
    close(&causal, &[e(1.0) / s, e(2.0) / s, 0.0, 0.0, e(-1.0) / t, e(5.0) / t, e(0.0) / t, 0.0]);
    let none = run(op(Mask::Causal, 0), &x, &[]);
    assert_eq!(none, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    assert!(run(op(Mask::Full, 9), &x, &[])[..4].iter().all(|x| x.to_bits() == 0x7fc0_0000));
    let hidden =
        VectorOp::Softmax { mask: Mask::Full, d: f32s(D, 1, 2), x: f32s(X, 1, 2), valid: 2, scale: 1.0 };
    assert_eq!(run(hidden, &[f32::NEG_INFINITY; 2], &[]), [0.0, 0.0]);
}

/// Each row has a slope, or all have one; a column's number times it is added to the scaled score.
#[test]
fn linear_biases() {
    let x = [1.0, 2.0, 3.0, 4.0, -1.0, 5.0, 0.0, 9.0];
    let (d, tx) = (f32s(D, 2, 4), f32s(X, 2, 4));
    let op = |rows, mask, valid| {
        let slope = f32s(Y, rows, 1);
        VectorOp::Alibi { mask, d, x: tx, slope, valid, scale: 0.5 }
    };
    let expected = |slopes: [f64; 2], valid: [usize; 2]| -> Vec<f64> {
        (0..2)
            .flat_map(|r| {
                let e = |c: usize| match c < valid[r] {
                    true => (0.5 * f64::from(x[4 * r + c]) + slopes[r] * c as f64).exp(),
                    false => 0.0,
                };
                let sum: f64 = (0..4).map(e).sum();
                (0..4).map(move |c| e(c) / sum).collect::<Vec<_>>()
            })
            .collect()
    };
    let slopes = [0.25, 0.0625];
    close(&run(op(2, Mask::Full, 4), &x, &slopes), &expected([0.25, 0.0625], [4, 4]));
    close(&run(op(1, Mask::Causal, 2), &x, &slopes), &expected([0.25, 0.25], [2, 3]));
    let plain = VectorOp::Softmax { mask: Mask::Full, d, x: tx, valid: 4, scale: 0.5 };
    assert_eq!(run(op(1, Mask::Full, 4), &x, &[0.0]), run(plain, &x, &[]));
    let wide = VectorOp::Alibi { mask: Mask::Full, d, x: tx, slope: f32s(Y, 1, 4), valid: 4, scale: 0.5 };
    let say = state().exec(&Op::Vector(wide)).unwrap_err().to_string();
    assert_eq!(say, "valibi: slope is 1 x 4, and 2 x 1 or 1 x 1 are wanted");
}

/// A row sees no more than the window, back from its last column.
#[test]
fn windows() {
    let x = [1.0, f32::NAN, 3.0, 4.0, -1.0, 5.0, 0.0, 9.0];
    let op = |mask, valid, window| {
        let (d, x) = (f32s(D, 2, 4), f32s(X, 2, 4));
        VectorOp::Window { mask, d, x, valid, window, scale: 0.5 }
    };
    let e = |x: f64| (0.5 * x).exp();
    let (s, t) = (e(3.0) + e(4.0), e(0.0) + e(9.0));
    let both = [0.0, 0.0, e(3.0) / s, e(4.0) / s, 0.0, 0.0, e(0.0) / t, e(9.0) / t];
    close(&run(op(Mask::Full, 4, 2), &x, &[]), &both);
    // The second row sees a column more, and not the first one of the first row.
    let t = e(5.0) + e(0.0);
    let causal = run(op(Mask::Causal, 2, 2), &[1.0, 2.0, 0.0, 0.0, -1.0, 5.0, 0.0, 9.0], &[]);
    let s = e(1.0) + e(2.0);
    close(&causal, &[e(1.0) / s, e(2.0) / s, 0.0, 0.0, 0.0, e(5.0) / t, e(0.0) / t, 0.0]);
    // A window that is wider than what there is changes nothing; one of nothing leaves nothing.
    let plain =
        VectorOp::Softmax { mask: Mask::Causal, d: f32s(D, 2, 4), x: f32s(X, 2, 4), valid: 1, scale: 0.5 };
    assert_eq!(run(op(Mask::Causal, 1, 9), &x, &[]), run(plain, &x, &[]));
    assert_eq!(run(op(Mask::Full, 4, 0), &x, &[]), [0.0; 8]);
    assert_eq!(run(op(Mask::Full, 1 << 20, 4), &x, &[]), [0.0; 8]);
}

/// The largest two of each row, the first of equals; what is no number is not taken.
#[test]
fn routes() {
    let op = |used| VectorOp::Route { d: f32s(D, 2, 4), x: f32s(X, 2, 4), used };
    let x = [1.0, 3.0, 2.0, 3.0, -1.0, f32::NAN, -5.0, -1.0];
    let half = [0.0, 0.5, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5];
    assert_eq!(run(op(2), &x, &[]), half);
    assert_eq!(run(op(1), &x, &[]), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let p = (-4f64).exp() / (2.0 + (-4f64).exp());
    close(&run(op(9), &x, &[])[4..], &[(1.0 - p) / 2.0, 0.0, p, (1.0 - p) / 2.0]);
    assert_eq!(run(op(2), &[f32::NAN; 8], &[]), [0.0; 8]);
}

#[test]
fn caps() {
    let op = VectorOp::Cap { d: f32s(D, 1, 4), x: f32s(X, 1, 4), scale: 0.02, cap: 50.0 };
    let found = run(op, &[1.0, -60.0, 1e9, f32::NEG_INFINITY], &[]);
    close(&found, &[50.0 * 0.02f64.tanh(), -50.0 * 1.2f64.tanh(), 50.0, -50.0]);
}

#[test]
fn element_by_element() {
    let (x, y) = ([1.0, -2.0, 3.0, -4.0], [10.0, 20.0]);
    let (d, tx, ty) = (f32s(D, 2, 2), f32s(X, 2, 2), f32s(Y, 1, 2));
    assert_eq!(run(VectorOp::Add { d, x: tx, y: ty }, &x, &y), [11.0, 18.0, 13.0, 16.0]);
    assert_eq!(run(VectorOp::Mul { d, x: tx, y: ty }, &x, &y), [10.0, -40.0, 30.0, -80.0]);
    assert_eq!(run(VectorOp::Act { f: Act::Relu2, d, x: tx }, &x, &[]), [1.0, 0.0, 9.0, 0.0]);
    let glu = run(VectorOp::Glu { f: Act::Silu, d, x: tx, y: ty }, &x, &y);
    let silu = |x: f64| x / (1.0 + (-x).exp());
    close(&glu, &[10.0 * silu(1.0), 20.0 * silu(-2.0), 10.0 * silu(3.0), 20.0 * silu(-4.0)]);
    let whole = VectorOp::Add { d: tx, x: tx, y: tx };
    let mut state = state();
    put_f32(&mut state, X as usize, &x);
    state.exec(&Op::Vector(whole)).unwrap();
    assert_eq!(get_f32(&state, X as usize, 4), [2.0, -4.0, 6.0, -8.0]);
}

#[test]
fn dots_are_rounded_once() {
    let mut state = state();
    // 2^30 + 1 - 2^30: a sum in single precision would lose the 1.
    let big = 1024.0 * 1024.0 * 1024.0;
    put_f32(&mut state, X as usize, &[big, 1.0, -big, 1.0, 2.0, 3.0]);
    let halves = plain(Elem::F16, Y, 2, 3);
    let w: Vec<u8> =
        [1.0, 1.0, 1.0, 0.5, -2.0, 4.0].iter().flat_map(|&w| half::f16::from_f32(w).to_le_bytes()).collect();
    state.scratchpad[Y as usize..Y as usize + 12].copy_from_slice(&w);
    state.exec(&Op::Vector(VectorOp::Dot { d: f32s(D, 2, 2), x: f32s(X, 2, 3), w: halves })).unwrap();
    assert_eq!(get_f32(&state, D as usize, 4), [1.0, -3.5 * big - 2.0, 6.0, 8.5]);
    let wrong = VectorOp::Dot { d: f32s(D, 2, 3), x: f32s(X, 2, 3), w: halves };
    assert!(state.exec(&Op::Vector(wrong)).is_err());
}

#[test]
fn copies_convert() {
    let mut state = state();
    state.scratchpad[..4].copy_from_slice(&[1, 255, 127, 128]);
    let (bytes, halves) = (plain(Elem::I8, X, 2, 2), plain(Elem::F16, Y, 2, 2));
    state.exec(&Op::Vector(VectorOp::Copy { d: halves, x: bytes })).unwrap();
    assert_eq!(get_f16(&state, Y as usize, 4), [1.0, -1.0, 127.0, -128.0]);
    let moved = TileRef { base: D, stride: 8, ..halves };
    state.exec(&Op::Vector(VectorOp::Copy { d: moved, x: halves })).unwrap();
    assert_eq!(get_f16(&state, D as usize + 8, 2), [127.0, -128.0]);
    put_f32(&mut state, X as usize, &[1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 1e9, -1e-9]);
    state.exec(&Op::Vector(VectorOp::Copy { d: halves, x: f32s(X, 2, 2) })).unwrap();
    assert_eq!(get_f16(&state, Y as usize, 4), [1.0, 1.0 + 4.0 / 2048.0, f32::INFINITY, -0.0]);
}

#[test]
fn arg_max_goes_on() {
    let mut state = state();
    let (d, x) = (plain(Elem::U32, D, 2, 2), f32s(X, 2, 3));
    let mut step = |x_values: [f32; 6], base, first| {
        put_f32(&mut state, X as usize, &x_values);
        state.exec(&Op::Vector(VectorOp::ArgMax { d, x, base, first })).unwrap();
        let words: Vec<u32> = state.scratchpad[D as usize..D as usize + 16]
            .as_chunks()
            .0
            .iter()
            .map(|&b| u32::from_le_bytes(b))
            .collect();
        [(f32::from_bits(words[0]), words[1]), (f32::from_bits(words[2]), words[3])]
    };
    assert_eq!(step([1.0, 3.0, 3.0, -5.0, -6.0, -7.0], 10, true), [(3.0, 11), (-5.0, 10)]);
    assert_eq!(step([3.0, 2.0, 1.0, -5.0, -4.0, -4.0], 13, false), [(3.0, 11), (-4.0, 14)]);
    // The first NaN is the result from then on.
    let (f, inf) = (f32::NAN, f32::INFINITY);
    for (base, first) in [(16, false), (19, false)] {
        let [(value, column), other] = step([4.0, f, f, -5.0, -4.0, inf], base, first);
        assert_eq!((value.is_nan(), column, other), (true, 17, (inf, 18)));
    }
}

#[test]
fn codes_pack_and_scales_round() {
    let mut state = state();
    let x = [7.0, -3.5, 0.5, -0.5, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0];
    put_f32(&mut state, X as usize, &x);
    let quant = |elem, s, bits, cols| VectorOp::Quant {
        d: plain(elem, D, 2, cols),
        s: plain(s, S, 2, 1),
        x: f32s(X, 2, 5),
        bits,
    };
    state.exec(&Op::Vector(quant(Elem::U8, Elem::F32, 4, 3))).unwrap();
    assert_eq!(state.scratchpad[D as usize..D as usize + 6], [0xc7, 0x00, 0x02, 0, 0, 0]);
    assert_eq!(get_f32(&state, S as usize, 2), [1.0, 0.0]);
    state.exec(&Op::Vector(quant(Elem::I8, Elem::F16, 8, 5))).unwrap();
    let scale = f16::from_f32(7.0 / 127.0).to_f32();
    assert_eq!(get_f16(&state, S as usize, 2), [scale, 0.0]);
    let codes: Vec<i8> = state.scratchpad[D as usize..D as usize + 5].iter().map(|&b| b as i8).collect();
    let expected: Vec<i8> = x[..5].iter().map(|x| (x / scale).round_ties_even() as i8).collect();
    assert_eq!(codes, expected);
    state.exec(&Op::Vector(quant(Elem::F16, Elem::F32, 16, 5))).unwrap();
    assert_eq!(get_f16(&state, D as usize, 10), x);
    assert_eq!(get_f32(&state, S as usize, 2), [1.0, 1.0]);
    let f = plain(Elem::F16, Y, 1, 5);
    put_f16(&mut state, Y as usize, &[1.0, 2.0, 127.0, 127.0, 1.0]);
    let (d, s) = (plain(Elem::I8, D, 2, 5), f32s(S, 2, 1));
    state.exec(&Op::Vector(VectorOp::Fold { d, s, x: f32s(X, 2, 5), f })).unwrap();
    assert_eq!(get_f32(&state, S as usize, 2), [0.5, 0.0]);
    assert_eq!(state.scratchpad[D as usize..D as usize + 5], [14, 242, 127, 129, 3]);
}

proptest! {
    #[test]
    fn quantised_rows_come_back(x in prop::collection::vec(-1e3f32..1e3, 1..60)) {
        let mut state = state();
        put_f32(&mut state, X as usize, &x);
        let cols = x.len() as u32;
        let (d, s, x_tile) = (plain(Elem::I8, D, 1, cols), f32s(S, 1, 1), f32s(X, 1, cols));
        state.exec(&Op::Vector(VectorOp::Quant { d, s, x: x_tile, bits: 8 })).unwrap();
        let scale = get_f32(&state, S as usize, 1)[0];
        for (i, x) in x.iter().enumerate() {
            let code = state.scratchpad[D as usize + i] as i8;
            prop_assert!(code != -128);
            prop_assert!((f32::from(code) * scale - x).abs() <= scale * 0.500_01);
        }
    }
}

#[test]
fn shapes_must_agree() {
    let mut state = state();
    let mut say = |op| state.exec(&Op::Vector(op)).unwrap_err().to_string();
    let (d, x) = (f32s(D, 2, 4), f32s(X, 2, 4));
    assert_eq!(say(VectorOp::Add { d, x, y: f32s(Y, 3, 4) }), "vadd: y is 3 x 4 and x is 2 x 4");
    assert_eq!(
        say(VectorOp::Act { f: Act::Silu, d: plain(Elem::I8, D, 2, 4), x }),
        "vact: d is a tile of i8, not of f32 or f16"
    );
    assert_eq!(
        say(VectorOp::Rope { pairing: Rope::Half, d, x, tab: f32s(Y, 2, 4), head: 3, dims: 2 }),
        "vrope: 2 of 3 elements of each head in rows of 4"
    );
    assert_eq!(
        say(VectorOp::Quant { d: plain(Elem::I8, D, 2, 4), s: f32s(S, 2, 1), x, bits: 5 }),
        "vquant: 5 bits; 4, 8 and 16 are possible"
    );
}
