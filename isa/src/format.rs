//! What bytes mean: element types, weight formats and their bit-planes, byte classes.
//!
//! A weight is `r = s (q - z)`, q an unsigned b-bit code. The machine works on the odd number
//! `q' = 2q - (2^b - 1) = sum_i 2^shift_i p_i`, p_i in {-1, +1}, with `s' = s/2` and `z' = 2z + 1 - 2^b`:
//! the same number exactly (LUT Tensor Core, arXiv 2408.06003, section 3.1.2).

use std::fmt;
use std::str::FromStr;

use crate::blocks::Blocks;
use crate::field::{Field, closed_set};

closed_set!(/// An element of a plain tile.
    Elem, 3 bits, "an element type" {
    /// IEEE single.
    F32 = "f32",
    /// IEEE half.
    F16 = "f16",
    /// Two's complement byte; activations keep to +-127.
    I8 = "i8",
    /// 32-bit unsigned (token ids, arg-max results).
    U32 = "u32",
    /// Bytes without a meaning.
    U8 = "u8",
    /// The half-table of four columns of INT8 activations: eight sums of 10 bits, packed.
    T8 = "t8",
    /// The half-table of four columns of FP16 activations: eight FP16 sums, and the FP32 sum of all four.
    T16 = "t16",
});

/// Activations of a table that lies in scratchpad.
pub const STORED_TABLE: u32 = 4;

impl Elem {
    /// Bytes per element; of a table, all of it.
    pub const fn bytes(self) -> u32 {
        match self {
            Elem::F32 | Elem::U32 => 4,
            Elem::F16 => 2,
            Elem::I8 | Elem::U8 => 1,
            Elem::T8 => 10,
            Elem::T16 => 20,
        }
    }
    /// Whether an element is a table.
    pub const fn is_table(self) -> bool {
        matches!(self, Elem::T8 | Elem::T16)
    }
    /// Bytes of a row of `cols` columns: a table serves [`STORED_TABLE`] of them.
    pub const fn row_bytes(self, cols: u32) -> u64 {
        let elements = if self.is_table() { cols.div_ceil(STORED_TABLE) } else { cols };
        elements as u64 * self.bytes() as u64
    }
}

closed_set!(/// A weight type that the LUT cores multiply with.
    WeightKind, 7 bits, "a weight type" {
    /// +-s.
    Int1 = "int1",
    /// -s, 0 or s; two planes of equal weight; five per byte in DRAM.
    Int158 = "int1.58",
    /// Two bits and a 2-bit zero point.
    Int2 = "int2",
    /// Three bits and a 3-bit zero point.
    Int3 = "int3",
    /// Four bits and a 4-bit zero point.
    Int4 = "int4",
    /// Eight bits, symmetric in +-127.
    Int8 = "int8",
    /// KV cache of 8 bits, symmetric in +-127, one scale per row that is kept apart.
    Kv8 = "kv8",
    /// KV cache of 4 bits, symmetric in +-7, one scale per row that is kept apart.
    Kv4 = "kv4",
    /// KV cache of FP16 that the unpacker rounds to 8 bits, one scale per row, as it loads.
    KvF16 = "kvf16",
    /// Blocks of a GGUF file: 4 bits, a scale per 32.
    Q40 = "q4_0",
    /// Blocks of a GGUF file: 4 bits, a scale and an offset per 32.
    Q41 = "q4_1",
    /// Blocks of a GGUF file: 5 bits, a scale per 32.
    Q50 = "q5_0",
    /// Blocks of a GGUF file: 5 bits, a scale and an offset per 32.
    Q51 = "q5_1",
    /// Blocks of a GGUF file: 8 bits, a scale per 32.
    Q80 = "q8_0",
    /// Blocks of a GGUF file: 2 bits, 4-bit scales and offsets per 16 under two of the block of 256.
    Q2K = "q2_k",
    /// Blocks of a GGUF file: 3 bits, 6-bit scales per 16 under one of the block of 256.
    Q3K = "q3_k",
    /// Blocks of a GGUF file: 4 bits, 6-bit scales and offsets per 32 under two of the block of 256.
    Q4K = "q4_k",
    /// Blocks of a GGUF file: 5 bits, 6-bit scales and offsets per 32 under two of the block of 256.
    Q5K = "q5_k",
    /// Blocks of a GGUF file: 6 bits, 8-bit scales per 16 under one of the block of 256.
    Q6K = "q6_k",
    /// Blocks of a GGUF file: ternary, five to a byte, a scale per 256.
    Tq10 = "tq1_0",
    /// Blocks of a GGUF file: ternary, four to a byte, a scale per 256.
    Tq20 = "tq2_0",
    /// Blocks of bitnet.cpp: ternary, four to a byte, one scale for the tensor.
    I2S = "i2_s",
    /// Blocks of a GGUF file: 16 levels from a table, a scale per 32.
    Iq4Nl = "iq4_nl",
    /// Blocks of a GGUF file: E2M1 (doubled, so that levels are integers), a power of two per 32.
    Mxfp4 = "mxfp4",
    /// FP16 of rows behind each other, without scales: the vector unit multiplies with them (`vdot`), no core does.
    F16 = "f16",
});

impl WeightKind {
    /// Whether this is a KV cache and not a weight of the model.
    pub const fn is_kv(self) -> bool {
        matches!(self, WeightKind::Kv8 | WeightKind::Kv4 | WeightKind::KvF16)
    }
    /// Whether these are floats, which lie in plain tiles and not in records of bit-planes.
    pub const fn is_float(self) -> bool {
        matches!(self, WeightKind::F16)
    }
    /// Whether levels are -1, 0, +1, in two planes of equal weight.
    pub const fn is_ternary(self) -> bool {
        matches!(self, WeightKind::Int158 | WeightKind::Tq10 | WeightKind::Tq20 | WeightKind::I2S)
    }
    /// Shift of each bit-plane; the number of planes is the number of passes through the array.
    pub const fn planes(self) -> &'static [u32] {
        match self {
            WeightKind::Int1 => &[0],
            WeightKind::Int158 | WeightKind::Tq10 | WeightKind::Tq20 | WeightKind::I2S => &[0, 0],
            WeightKind::Int2 | WeightKind::Q2K => &[0, 1],
            WeightKind::Int3 | WeightKind::Q3K => &[0, 1, 2],
            WeightKind::Int4 | WeightKind::Kv4 | WeightKind::Q40 | WeightKind::Q41 | WeightKind::Q4K => {
                &[0, 1, 2, 3]
            }
            WeightKind::Q50 | WeightKind::Q51 | WeightKind::Q5K | WeightKind::Mxfp4 => &[0, 1, 2, 3, 4],
            WeightKind::Q6K => &[0, 1, 2, 3, 4, 5],
            WeightKind::Int8 | WeightKind::Kv8 | WeightKind::KvF16 | WeightKind::Q80 | WeightKind::Iq4Nl => {
                &[0, 1, 2, 3, 4, 5, 6, 7]
            }
            WeightKind::F16 => &[],
        }
    }
    /// What the stored scale is multiplied by to give the scale of q'.
    pub const fn scale_factor(self) -> f32 {
        match self {
            WeightKind::Int1 => 1.0,
            _ => 0.5,
        }
    }
    /// Bits of a stored zero point; 0 for symmetric types.
    pub const fn zero_bits(self) -> u32 {
        match self {
            WeightKind::Int2 => 2,
            WeightKind::Int3 => 3,
            WeightKind::Int4 => 4,
            _ => 0,
        }
    }
    /// z' = 2z + 1 - 2^b for a stored zero point `z` (ignored by symmetric types).
    pub const fn zero_odd(self, z: u32) -> i32 {
        match self {
            kind if kind.is_ternary() => 0,
            WeightKind::Int1 | WeightKind::F16 => 0,
            // q is stored as two's complement; q + 2^(b-1) is the unsigned code, so z = 2^(b-1) and z' = 1.
            WeightKind::Int8 | WeightKind::Kv8 | WeightKind::KvF16 | WeightKind::Kv4 => 1,
            WeightKind::Int2 => 2 * z as i32 + 1 - 4,
            WeightKind::Int3 => 2 * z as i32 + 1 - 8,
            WeightKind::Int4 => 2 * z as i32 + 1 - 16,
            // Levels of a table are stored as two's complement.
            kind => match kind.blocks() {
                Some(Blocks { levels: None, zero, .. }) => 2 * *zero as i32 + 1 - (1 << kind.planes().len()),
                _ => 1,
            },
        }
    }
    /// Bytes of `n` codes in DRAM; of blocks, without their scales.
    pub const fn code_bytes(self, n: u64) -> u64 {
        if let Some(b) = self.blocks() {
            return n.div_ceil(b.weights as u64) * (b.bytes - b.scale_bytes) as u64;
        }
        match self {
            WeightKind::Int1 => n.div_ceil(8),
            WeightKind::Int158 => n.div_ceil(5),
            WeightKind::Int2 => n.div_ceil(4),
            WeightKind::Int3 => (3 * n).div_ceil(8),
            WeightKind::Int4 | WeightKind::Kv4 => n.div_ceil(2),
            WeightKind::KvF16 | WeightKind::F16 => 2 * n,
            _ => n,
        }
    }
    /// Largest |q'|: bounds the accumulator.
    pub const fn max_odd(self) -> u64 {
        let (mut sum, mut i) = (0, 0);
        let planes = self.planes();
        while i < planes.len() {
            sum += 1 << planes[i];
            i += 1;
        }
        sum
    }
}

/// How many consecutive weights along K share a scale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// A power of two from 16 to 1024.
    Of(u32),
    /// All of the record's K.
    Row,
}

impl Group {
    const POWERS: std::ops::RangeInclusive<u32> = 4..=10;
    /// Weights per scale in a record of `k` weights.
    pub fn size(self, k: u32) -> u32 {
        match self {
            Group::Of(g) => g,
            Group::Row => k,
        }
    }
    /// Scales per column in a record of `k` weights.
    pub fn count(self, k: u32) -> u32 {
        k.div_ceil(self.size(k).max(1))
    }
    fn code(self) -> u64 {
        match self {
            Group::Of(g) => u64::from(g.trailing_zeros() - 3),
            Group::Row => 0,
        }
    }
    fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Group::Row),
            c if Self::POWERS.contains(&(c as u32 + 3)) => Some(Group::Of(1 << (c + 3))),
            _ => None,
        }
    }
}
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Of(g) => write!(f, "{g}"),
            Group::Row => f.write_str("row"),
        }
    }
}
impl FromStr for Group {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            Ok(g) if g.is_power_of_two() && Self::POWERS.contains(&g.trailing_zeros()) => Ok(Group::Of(g)),
            Err(_) if text == "row" => Ok(Group::Row),
            _ => Err(format!("`{text}` is not a group size: a power of two from 16 to 1024, or `row`")),
        }
    }
}

/// A weight type with its grouping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WeightFormat {
    /// The code.
    pub kind: WeightKind,
    /// The grouping along K.
    pub group: Group,
}

/// Alignment of a weight record in DRAM, bytes.
pub const RECORD_ALIGN: u64 = 64;

impl WeightFormat {
    /// Floats.
    pub const FLOAT: Self = Self { kind: WeightKind::F16, group: Group::Row };
    /// Of weights in groups; blocks have groups of their own.
    pub const fn new(kind: WeightKind, group: Group) -> Self {
        match kind.blocks() {
            Some(blocks) => Self { kind, group: Group::Of(blocks.group) },
            None if kind.is_float() => Self::FLOAT,
            None => Self { kind, group },
        }
    }
    /// Weights along K that a record holds in multiples, unless it holds all.
    pub const fn unit(self) -> u32 {
        match (self.kind.blocks(), self.group) {
            (Some(blocks), _) => blocks.weights,
            (None, Group::Of(g)) => g,
            (None, Group::Row) => 16,
        }
    }
    /// Scales of a record of `n` columns x `k` weights in DRAM, bytes: FP16, or what blocks have.
    ///
    /// A KV cache has one scale per token. As keys (`Row`) that is one per column, and `drain` applies it; as values
    /// (`Of`) it varies along K: the `k` scales are carried for `vfold`, and the cores multiply with 1.
    pub fn scale_bytes(self, n: u32, k: u32) -> u64 {
        match (self.kind.blocks(), self.group) {
            (Some(b), _) => {
                u64::from(b.head) + u64::from(n) * u64::from(k.div_ceil(b.weights)) * u64::from(b.scale_bytes)
            }
            (None, _) if self.kind.is_float() => 0,
            (None, Group::Of(_)) if self.kind.is_kv() => 2 * u64::from(k),
            (None, group) => 2 * u64::from(n) * u64::from(group.count(k)),
        }
    }
    /// The scales as they lie in scratchpad, bytes: those of blocks are multiplied out, FP32.
    pub fn unpacked_scale_bytes(self, n: u32, k: u32) -> u64 {
        match self.kind.blocks() {
            Some(_) => 4 * u64::from(n) * u64::from(self.group.count(k)),
            None => self.scale_bytes(n, k),
        }
    }
    /// Zero points or offsets as they lie in scratchpad, bytes: packed, or FP32.
    pub fn unpacked_zero_bytes(self, n: u32, k: u32) -> u64 {
        match self.kind.blocks() {
            Some(Blocks { offset: true, .. }) => self.unpacked_scale_bytes(n, k),
            Some(_) => 0,
            None => self.zero_bytes(n, k),
        }
    }
    /// Packed zero points of a record, bytes.
    pub fn zero_bytes(self, n: u32, k: u32) -> u64 {
        (u64::from(self.kind.zero_bits()) * u64::from(n) * u64::from(self.group.count(k))).div_ceil(8)
    }
    /// Codes of a record, bytes.
    pub fn code_bytes(self, n: u32, k: u32) -> u64 {
        self.kind.code_bytes(u64::from(n) * u64::from(k))
    }
    /// Whether a record can have `k` weights per column: blocks are not cut.
    pub fn divides(self, k: u32) -> bool {
        self.kind.blocks().is_none_or(|b| k.is_multiple_of(b.weights))
    }
    /// A whole record `[scales | zeros | codes]` in DRAM, padded to [`RECORD_ALIGN`], bytes.
    pub fn record_bytes(self, n: u32, k: u32) -> u64 {
        (self.scale_bytes(n, k) + self.zero_bytes(n, k) + self.code_bytes(n, k))
            .next_multiple_of(RECORD_ALIGN)
    }
    /// Bit-planes of the record in scratchpad, bytes; K is padded to a multiple of 8. Floats are what they were.
    pub fn plane_bytes(self, n: u32, k: u32) -> u64 {
        if self.kind.is_float() {
            return self.code_bytes(n, k);
        }
        self.kind.planes().len() as u64 * u64::from(n) * u64::from(k.div_ceil(8))
    }
    /// The record as it lies in scratchpad: `[scales | zeros | planes]`, bytes, padded to 64.
    pub fn scratchpad_bytes(self, n: u32, k: u32) -> u64 {
        (self.unpacked_scale_bytes(n, k) + self.unpacked_zero_bytes(n, k) + self.plane_bytes(n, k))
            .next_multiple_of(RECORD_ALIGN)
    }
    /// Stored bits per weight, scales and zeros included, padding not.
    pub fn bits_per_weight(self, n: u32, k: u32) -> f64 {
        let bytes = self.scale_bytes(n, k) + self.zero_bytes(n, k) + self.code_bytes(n, k);
        bytes as f64 * 8.0 / (f64::from(n) * f64::from(k))
    }
}
impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}g{}", self.kind, self.group)
    }
}

/// The format of a tile in scratchpad.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Rows of elements.
    Plain(Elem),
    /// A weight record: rows = N, cols = K.
    Weights(WeightFormat),
}
impl Format {
    pub(crate) fn to_bits(self) -> u64 {
        match self {
            Format::Plain(e) => Field::to_bits(e),
            Format::Weights(w) => 1 << 11 | w.group.code() << 7 | Field::to_bits(w.kind),
        }
    }
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        if bits >> 11 == 0 {
            return (bits < 8).then(|| Elem::from_bits(bits)).flatten().map(Format::Plain);
        }
        let kind = WeightKind::from_bits(bits & 0x7f)?;
        let group = Group::from_code(bits >> 7 & 0xf)?;
        let format = WeightFormat::new(kind, group);
        (format.group == group && !kind.is_float()).then_some(Format::Weights(format))
    }
}
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Plain(e) => e.fmt(f),
            Format::Weights(w) => w.fmt(f),
        }
    }
}
impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(elem) = text.parse() {
            return Ok(Format::Plain(elem));
        }
        let (kind, group) = text.rsplit_once('g').ok_or_else(|| {
            format!(
                "`{text}` is not a format: an element type such as `f32`, or a weight type such as `int2g128`"
            )
        })?;
        let (kind, group): (WeightKind, Group) = (kind.parse()?, group.parse()?);
        if kind.is_float() {
            return Err(format!("`{text}`: floats lie in tiles of `f16`"));
        }
        let format = WeightFormat::new(kind, group);
        if format.group != group {
            return Err(format!("`{text}`: blocks of {kind} have groups of {}", format.group));
        }
        Ok(Format::Weights(format))
    }
}

closed_set!(/// Why bytes cross the DRAM bus; every burst is accounted to these.
    ByteClass, 4 bits, "a byte class" {
    /// Weight codes.
    Weights = "weights",
    /// Scales and zero points of weights.
    Scales = "scales",
    /// KV cache, its scales included.
    Kv = "kv",
    /// Activations that did not fit on chip.
    Spill = "spill",
    /// Instructions.
    Program = "program",
    /// Embedding rows: of tokens, and of positions that were learned.
    Embedding = "embedding",
    /// Norm weights and biases.
    Norm = "norm",
    /// Rotary embedding tables, ALiBi slopes.
    Rope = "rope",
    /// Logits and arg-max results.
    Result = "result",
    /// Bytes that a burst or a record's padding carried and nobody asked for.
    Overfetch = "overfetch",
});
