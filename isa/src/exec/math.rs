//! Elementary functions with the same bits on every platform: IEEE `+ - * /` and `sqrt` only, no fused multiply-add.
//!
//! All work in double precision and round once at the end, so the single-precision ones are within 1 ulp of the
//! correctly rounded result (tested against the platform's doubles). The doubles are good to a few ulp: they serve
//! tables (rotary embedding) and references.

const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000); // 32 bits, so n * LN2_HI is exact
const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
const PIO2_1: f64 = f64::from_bits(0x3ff9_21fb_5440_0000); // 33 bits each, so n * part is exact up to 2^20
const PIO2_2: f64 = f64::from_bits(0x3dd0_b461_1a60_0000);
const PIO2_3: f64 = f64::from_bits(0x3ba3_198a_2e03_7073);

/// e^x.
pub fn exp(x: f32) -> f32 {
    exp32(f64::from(x)) as f32
}

/// Hyperbolic tangent.
pub fn tanh(x: f32) -> f32 {
    let x = f64::from(x);
    if x.abs() < 1e-3 {
        return (x - x * x * x / 3.0) as f32;
    }
    (1.0 - 2.0 / (exp32(2.0 * x) + 1.0)) as f32
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f32) -> f32 {
    sigmoid32(f64::from(x)) as f32
}

/// x * sigmoid(x), rounded once.
pub fn silu(x: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        return 0.0;
    }
    let x = f64::from(x);
    (x * sigmoid32(x)) as f32
}

/// x/2 * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), rounded once.
///
/// Computed as x * sigmoid(2u): the same function without the cancellation in 1 + tanh(u).
pub fn gelu(x: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        return 0.0;
    }
    let x = f64::from(x);
    let u = 0.797_884_560_802_865_4 * (x + 0.044715 * (x * x * x));
    (x * sigmoid32(2.0 * u)) as f32
}

/// 1 / sqrt(x), two roundings in single precision.
pub fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// Sine of an angle in radians.
pub fn sin(x: f32) -> f32 {
    sin_cos64(f64::from(x)).0 as f32
}

/// Cosine of an angle in radians.
pub fn cos(x: f32) -> f32 {
    sin_cos64(f64::from(x)).1 as f32
}

/// 2^n; 0 below the normal range, infinity above.
pub fn pow2(n: i32) -> f64 {
    match n {
        -1022..=1023 => f64::from_bits(((n + 1023) as u64) << 52),
        i32::MIN..-1022 => 0.0,
        _ => f64::INFINITY,
    }
}

/// e^x in double precision.
pub fn exp64(x: f64) -> f64 {
    exponential::<13>(x) // r^14/14! is below 5e-18
}

/// e^x, good to 2e-10: enough to round to single precision.
fn exp32(x: f64) -> f64 {
    exponential::<8>(x) // r^9/9!
}

/// e^x by n = round(x / ln 2), r = x - n ln 2, |r| < 0.347, and the Taylor polynomial of degree D.
fn exponential<const D: usize>(x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    if x > 709.782_712_893_384 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    let n = (x * std::f64::consts::LOG2_E).round_ties_even();
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let p = (0..D).rev().fold(INVERSE_FACTORIAL[D], |p, k| p * r + INVERSE_FACTORIAL[k]);
    let n = n as i32;
    p * pow2(n / 2) * pow2(n - n / 2)
}

const INVERSE_FACTORIAL: [f64; 20] = {
    let mut table = [1.0; 20];
    let (mut k, mut factorial) = (1, 1.0);
    while k < 20 {
        factorial *= k as f64; // exact up to 18!
        table[k] = 1.0 / factorial;
        k += 1;
    }
    table
};

/// Natural logarithm in double precision.
pub fn ln64(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * pow2(54), -54.0) } else { (x, 0.0) };
    let exponent = ((x.to_bits() >> 52) as i64 - 1023) as f64 + bias;
    let m = f64::from_bits(x.to_bits() & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let (m, e) = if m > std::f64::consts::SQRT_2 { (m * 0.5, exponent + 1.0) } else { (m, exponent) };
    // ln m = 2 atanh(s), |s| < 0.172: the term after s^19/19 is below 1e-17.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 0.0;
    for k in (3..=19).rev().step_by(2) {
        p = z * (1.0 / k as f64 + p);
    }
    e * LN2_HI + (2.0 * s + (2.0 * s * p + e * LN2_LO))
}

/// x^y of a positive x, in double precision.
pub fn pow64(x: f64, y: f64) -> f64 {
    exp64(y * ln64(x))
}

fn sigmoid32(x: f64) -> f64 {
    1.0 / (1.0 + exp32(-x))
}

/// Sine and cosine in double precision, for |x| up to 1.6e6 to 1e-15; beyond 2^26 of x modulo 2 pi rounded.
pub fn sin_cos64(x: f64) -> (f64, f64) {
    if !x.is_finite() {
        return (f64::NAN, f64::NAN);
    }
    let x = if x.abs() > 67_108_864.0 { x % std::f64::consts::TAU } else { x };
    let n = (x * std::f64::consts::FRAC_2_PI).round_ties_even();
    let r = ((x - n * PIO2_1) - n * PIO2_2) - n * PIO2_3;
    // |r| < 0.786: the terms after r^19 and r^18 are below 1e-19.
    let z = -(r * r);
    let (mut s, mut c) = (0.0, 0.0);
    for k in (0..=9).rev() {
        s = s * z + INVERSE_FACTORIAL[2 * k + 1];
        c = c * z + INVERSE_FACTORIAL[2 * k];
    }
    let s = r * s;
    match n as i64 & 3 {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

/// The nearest integer, ties to even, kept to +-`limit`; 0 for what is no number.
pub fn round_clamped(x: f32, limit: i32) -> i32 {
    if x.is_nan() {
        return 0;
    }
    (x.round_ties_even() as i32).clamp(-limit, limit)
}
