use crate::exec::math::*;

/// Distance in units of the last place.
fn ulps(a: f32, b: f32) -> i64 {
    let order = |x: f32| {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    if a.is_nan() && b.is_nan() { 0 } else { (order(a) - order(b)).abs() }
}

/// Every 2^12th single, negative ones and specials included.
fn singles() -> impl Iterator<Item = f32> {
    (0..1u32 << 20).map(|i| f32::from_bits(i << 12 | (i * 77) & 0xfff)).filter(|x| !x.is_nan())
}

fn check(name: &str, ours: fn(f32) -> f32, theirs: fn(f64) -> f64, limit: i64, range: f32) {
    for x in singles().filter(|x| x.abs() <= range) {
        let (a, b) = (ours(x), theirs(f64::from(x)) as f32);
        assert!(ulps(a, b) <= limit, "{name}({x:e}) = {a:e}, expected {b:e}");
    }
}

#[test]
fn single_precision_is_within_an_ulp() {
    check("exp", exp, f64::exp, 1, f32::INFINITY);
    check("tanh", tanh, f64::tanh, 1, f32::INFINITY);
    check("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 1, f32::INFINITY);
    check("silu", silu, |x| x / (1.0 + (-x).exp()), 1, f32::MAX);
    check("sin", sin, f64::sin, 1, 1e6);
    check("cos", cos, f64::cos, 1, 1e6);
    check("rsqrt", rsqrt, |x| 1.0 / x.sqrt(), 1, f32::INFINITY);
    let plain =
        |x: f64| x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh());
    for x in singles().filter(|x| x.abs() < 4.0) {
        let error = f64::from(gelu(x)) - plain(f64::from(x));
        assert!(error.abs() <= 6e-8 * plain(f64::from(x)).abs() + 1e-15, "gelu({x:e}) is off by {error:e}");
    }
}

#[test]
fn double_precision_is_close() {
    let mut x = 1e-300;
    while x < 1e300 {
        assert!((ln64(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1e-3), "ln({x:e})");
        x *= 1.7;
    }
    for i in -7000..7000i32 {
        let x = f64::from(i) * 0.1003;
        assert!((exp64(x) / x.exp() - 1.0).abs() < 4e-16, "exp({x})");
        let (s, c) = sin_cos64(x * 100.0);
        assert!(
            (s - (x * 100.0).sin()).abs() < 3e-16 && (c - (x * 100.0).cos()).abs() < 3e-16,
            "sin_cos({x})"
        );
        let y = pow64(10000.0, -f64::from(i.abs()) / 7000.0);
        assert!((y / 10000f64.powf(-f64::from(i.abs()) / 7000.0) - 1.0).abs() < 4e-15);
    }
    assert_eq!(ln64(0.0), f64::NEG_INFINITY);
    assert!(ln64(-1.0).is_nan() && exp64(f64::NAN).is_nan());
    assert_eq!((exp64(f64::INFINITY), exp64(f64::NEG_INFINITY)), (f64::INFINITY, 0.0));
    assert_eq!(
        (pow2(-1022), pow2(0), pow2(1023), pow2(1024)),
        (f64::MIN_POSITIVE, 1.0, 2f64.powi(1023), f64::INFINITY)
    );
    assert!((ln64(5e-324) - 5e-324f64.ln()).abs() < 1e-12);
}

/// The bits themselves: a change here changes every result of every model.
#[test]
fn bits_are_pinned() {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for x in singles() {
        for f in [exp, tanh, sigmoid, silu, gelu, sin, cos] {
            let y = f(x);
            let bits = if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() };
            hash = (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, 6_388_723_922_321_200_863);
}

#[test]
fn rounding_is_half_to_even_and_clamped() {
    let round = |x| round_clamped(x, 127);
    assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 1e20].map(round), [0, 2, 2, 0, -2, 126, 127, 127]);
    assert_eq!([f32::NEG_INFINITY, f32::NAN].map(round), [-127, 0]);
}
