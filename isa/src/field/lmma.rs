//! The type of an `lmma`.

use std::fmt;
use std::str::FromStr;

use super::Field;

closed_set!(/// Activation type of an `lmma`.
    AType, 2 bits, "an activation type" {
    /// 8-bit integers in +-127, one FP32 scale per row.
    Int8 = "int8",
    /// Half precision, no scale.
    Fp16 = "fp16",
});
closed_set!(/// Accumulator type of an `lmma`.
    AccType, 2 bits, "an accumulator type" {
    /// 24-bit integers.
    I24 = "i24",
    /// 20-bit integers, provably enough for 4-bit weights in groups of at most 128.
    I20 = "i20",
    /// 32-bit integers.
    I32 = "i32",
    /// Single precision, for FP16 activations.
    F32 = "f32",
});
closed_set!(/// Output type of an `lmma`.
    OType, 1 bits, "an output type" {
    /// Single precision.
    F32 = "f32",
});

closed_set!(/// How the entries of an `lmma`'s tables are kept.
    Entries, 1 bits, "a kind of table entries" {
    /// As they are summed: 10 bits of four INT8 activations, FP16 of FP16 ones.
    Exact = "exact",
    /// Rounded to 8 bits in +-127, one FP32 scale per row and group of weights.
    Int8 = "int8",
});

/// The type of an `lmma`: `m{M}n{N}k{K}.{A}.{W}.{Acc}.{O}` of one core, `k{K}t8` if table entries are rounded to 8 bits, `k1h` if weights
/// become FP16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LmmaType {
    /// Rows of one core.
    pub m: u16,
    /// Columns of one core.
    pub n: u16,
    /// Activations per table.
    pub k: u16,
    /// Entries of a table.
    pub entries: Entries,
    /// Whether weights are dequantised to FP16 before they are multiplied; without tables.
    pub halves: bool,
    /// Activations.
    pub a: AType,
    /// Weights.
    pub w: crate::format::WeightKind,
    /// Accumulators.
    pub acc: AccType,
    /// Output.
    pub o: OType,
}
/// Behind K, if entries are rounded.
const ROUNDED: &str = "t8";
/// Behind K, if weights become FP16.
const HALVES: &str = "h";

impl LmmaType {
    /// Whether sums are of integers.
    pub fn is_integer(self) -> bool {
        self.a == AType::Int8 || self.entries == Entries::Int8
    }
}
impl Field for LmmaType {
    const BITS: u32 = 38;
    const KIND: &'static str = "an lmma type";
    fn to_bits(self) -> u64 {
        u64::from(self.m)
            | u64::from(self.n) << 8
            | u64::from(self.k) << 20
            | self.a.to_bits() << 24
            | self.w.to_bits() << 26
            | self.acc.to_bits() << 33
            | self.o.to_bits() << 35
            | self.entries.to_bits() << 36
            | u64::from(self.halves) << 37
    }
    fn from_bits(b: u64) -> Option<Self> {
        let ty = Self {
            m: (b & 0xff) as u16,
            n: (b >> 8 & 0xfff) as u16,
            k: (b >> 20 & 0xf) as u16,
            a: AType::from_bits(b >> 24 & 3)?,
            w: crate::format::WeightKind::from_bits(b >> 26 & 0x7f)?,
            acc: AccType::from_bits(b >> 33 & 3)?,
            o: OType::from_bits(b >> 35 & 1)?,
            entries: Entries::from_bits(b >> 36 & 1)?,
            halves: b >> 37 & 1 == 1,
        };
        (ty.m > 0 && ty.n > 0 && ty.k > 0).then_some(ty)
    }
}
impl fmt::Display for LmmaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, entries, halves, a, w, acc, o } = self;
        let entries = if *entries == Entries::Int8 { ROUNDED } else { "" };
        let halves = if *halves { HALVES } else { "" };
        write!(f, "m{m}n{n}k{k}{entries}{halves}.{a}.{w}.{acc}.{o}")
    }
}
impl FromStr for LmmaType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("expected a type such as `m2n64k4.int8.int2.i24.f32`, found `{text}`");
        // `int1.58` carries a dot of its own: split the two ends off first.
        let (shape, rest) = text.split_once('.').ok_or_else(bad)?;
        let (a, rest) = rest.split_once('.').ok_or_else(bad)?;
        let (rest, o) = rest.rsplit_once('.').ok_or_else(bad)?;
        let (w, acc) = rest.rsplit_once('.').ok_or_else(bad)?;
        let (m, nk) = shape.strip_prefix('m').and_then(|s| s.split_once('n')).ok_or_else(bad)?;
        let (n, k) = nk.split_once('k').ok_or_else(bad)?;
        let (k, halves) = k.strip_suffix(HALVES).map_or((k, false), |k| (k, true));
        let (k, entries) = match k.strip_suffix(ROUNDED) {
            Some(k) => (k, Entries::Int8),
            None => (k, Entries::Exact),
        };
        let number = |s: &str, max: u16| s.parse::<u16>().ok().filter(|&x| x > 0 && x <= max).ok_or_else(bad);
        Ok(Self {
            m: number(m, 255)?,
            n: number(n, 4095)?,
            k: number(k, 15)?,
            entries,
            halves,
            a: a.parse()?,
            w: w.parse()?,
            acc: acc.parse()?,
            o: o.parse()?,
        })
    }
}
