//! The tensor types of GGUF files: one row each, with what is stored and how it is decoded.
//!
//! A coded type says its weights as small integers and scales; [`Coding`] is that view, and the values follow from it
//! with one formula. Byte layouts: `ggml-common.h` and `ggml-quants.c` of ggml-org/ggml; I2_S from microsoft/BitNet.

use lutsim_isa::blocks::{Block, k, legacy, table, ternary};

/// A tensor type: how its weights lie in bytes.
#[derive(Debug)]
pub struct TensorType {
    /// Id in GGUF files.
    pub id: u32,
    /// Name.
    pub name: &'static str,
    /// Weights of a block.
    pub weights: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Bytes behind all blocks of a tensor: I2_S has its one scale there.
    pub tail: usize,
    /// What the bytes mean.
    pub form: Form,
}

/// What a type's bytes mean.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Each weight is a float of its own: all of a row at once.
    Float(fn(&[u8], &mut [f32])),
    /// Weights are integers that share scales.
    Coded(Coding, fn(&[u8], &mut Block)),
}

/// How coded weights become values:
///
/// ```text
/// w = scale * level                 without offsets
/// w = scale * level + offset        with them
/// level = code - zero, or a small table's entry
/// ```
/// in f32. `scale * level` is exact in every type (a scale has at most 18 significant bits, a level at most 8, and where
/// both are long there are 24 in all), so the only rounding is the addition's, and a fused multiply-add gives the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Codes are 0 to this.
    pub most: u8,
    /// From a code to the integer it stands for.
    pub levels: Levels,
    /// Which weights share a scale (and an offset).
    pub group: Group,
    /// Whether groups have an offset.
    pub offset: bool,
}

/// From a code to the integer it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Levels {
    /// The code less a zero point that all weights share.
    Minus(u8),
    /// The code less a zero point of its group (GPTQ, AWQ).
    MinusOfGroup,
    /// The code's entry of a table.
    Table(&'static [i8; 16]),
}

/// Which weights of a row share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// As many neighbours as this.
    Of(usize),
    /// All weights of the tensor.
    Tensor,
}

impl Coding {
    const fn minus(bits: u32, zero: u8, group: usize) -> Coding {
        let most = ((1u32 << bits) - 1) as u8;
        Coding { most, levels: Levels::Minus(zero), group: Group::Of(group), offset: false }
    }
    const fn affine(bits: u32, group: usize) -> Coding {
        Coding { offset: true, ..Coding::minus(bits, 0, group) }
    }
    pub(crate) const fn ternary(group: Group) -> Coding {
        Coding { most: 2, levels: Levels::Minus(1), group, offset: false }
    }
    const fn table(levels: &'static [i8; 16]) -> Coding {
        Coding { most: 15, levels: Levels::Table(levels), group: Group::Of(32), offset: false }
    }
    /// Bits of a code.
    pub fn bits(&self) -> u32 {
        8 - self.most.leading_zeros()
    }
    /// Weights that share a scale in rows of `cols`.
    pub fn group_in(&self, cols: usize) -> usize {
        match self.group {
            Group::Of(group) => group,
            Group::Tensor => cols,
        }
    }
    /// The integer that a code stands for; `zero` is its group's, and is looked at only by [`Levels::MinusOfGroup`].
    pub fn level(&self, code: u8, zero: u16) -> i16 {
        match self.levels {
            Levels::Minus(zero) => i16::from(code) - i16::from(zero),
            Levels::MinusOfGroup => i16::from(code) - zero as i16,
            Levels::Table(table) => i16::from(table[usize::from(code & 15)]),
        }
    }
    /// Values of a group's weights.
    pub fn values(&self, codes: &[u8], zero: u16, scale: f32, offset: f32, out: &mut [f32]) {
        for (out, &code) in out.iter_mut().zip(codes) {
            let product = scale * f32::from(self.level(code, zero));
            // Adding 0 would lose the sign of -0.
            *out = if self.offset { product + offset } else { product };
        }
    }
}

const fn float(id: u32, name: &'static str, bytes: usize, read: fn(&[u8], &mut [f32])) -> TensorType {
    TensorType { id, name, weights: 1, bytes, tail: 0, form: Form::Float(read) }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (bytes, out) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *out = read(*bytes);
    }
}

const fn coded(
    id: u32,
    name: &'static str,
    weights: usize,
    bytes: usize,
    coding: Coding,
    unpack: fn(&[u8], &mut Block),
) -> TensorType {
    TensorType { id, name, weights, bytes, tail: 0, form: Form::Coded(coding, unpack) }
}

/// Every type that is read, by id.
#[rustfmt::skip]
pub static TYPES: [TensorType; 18] = [
    float( 0, "F32",  4, |b, out| each(b, out, f32::from_le_bytes)),
    float( 1, "F16",  2, |b, out| each(b, out, |b| half::f16::from_le_bytes(b).to_f32())),
    //      id  name       weights bytes  codes, zero, group                unpack
    coded( 2, "Q4_0",     32,  18, Coding::minus(4, 8, 32),            legacy::q4_0),
    coded( 3, "Q4_1",     32,  20, Coding::affine(4, 32),              legacy::q4_1),
    coded( 6, "Q5_0",     32,  22, Coding::minus(5, 16, 32),           legacy::q5_0),
    coded( 7, "Q5_1",     32,  24, Coding::affine(5, 32),              legacy::q5_1),
    coded( 8, "Q8_0",     32,  34, Coding::minus(8, 128, 32),          legacy::q8_0),
    coded(10, "Q2_K",    256,  84, Coding::affine(2, 16),              k::q2),
    coded(11, "Q3_K",    256, 110, Coding::minus(3, 4, 16),            k::q3),
    coded(12, "Q4_K",    256, 144, Coding::affine(4, 32),              k::q4),
    coded(13, "Q5_K",    256, 176, Coding::affine(5, 32),              k::q5),
    coded(14, "Q6_K",    256, 210, Coding::minus(6, 32, 16),           k::q6),
    coded(20, "IQ4_NL",   32,  18, Coding::table(&table::IQ4_NL),      table::iq4_nl),
    float(30, "BF16", 2, |b, out| each(b, out, |b| half::bf16::from_le_bytes(b).to_f32())),
    coded(34, "TQ1_0",   256,  54, Coding::ternary(Group::Of(256)),    ternary::tq1_0),
    coded(35, "TQ2_0",   256,  66, Coding::ternary(Group::Of(256)),    ternary::tq2_0),
    // bitnet.cpp's own ids are 36 to 39; its TL2 has the id that MXFP4 has upstream.
    TensorType { id: 36, name: "I2_S", weights: 128, bytes: 32, tail: 32,
                 form: Form::Coded(Coding::ternary(Group::Tensor), ternary::i2_s) },
    coded(39, "MXFP4",    32,  17, Coding::table(&table::MXFP4),       table::mxfp4),
];

/// Types that exist and are not read, so that the message can name them.
const OTHERS: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (37, "I8_S of bitnet.cpp"),
    (38, "TL1 of bitnet.cpp"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
];

impl TensorType {
    /// The type of an id; otherwise what the id is, in words.
    pub(crate) fn of(id: u32) -> Result<&'static TensorType, String> {
        TYPES.iter().find(|t| t.id == id).ok_or_else(|| match OTHERS.iter().find(|(i, _)| *i == id) {
            Some((_, name)) => format!("type {id} ({name})"),
            None => format!("type {id}, which does not exist"),
        })
    }
    /// The type of a name.
    pub fn named(name: &str) -> Option<&'static TensorType> {
        TYPES.iter().find(|t| t.name == name)
    }
    pub(crate) fn readable() -> String {
        let names: Vec<_> = TYPES.iter().map(|t| t.name).collect();
        format!("one of {}", names.join(", "))
    }
    /// Bits in the file for each weight, scales included, a tensor's tail not.
    pub fn stored_bits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.weights as f64
    }
    /// How its weights are coded, unless they are floats.
    pub fn coding(&self) -> Option<Coding> {
        match self.form {
            Form::Float(_) => None,
            Form::Coded(coding, _) => Some(coding),
        }
    }
    /// Bytes of a tensor of these dimensions, none if 2^64 or more.
    pub(crate) fn data_bytes(&self, dims: [u64; 4]) -> Option<u64> {
        let weights = dims.into_iter().try_fold(1u64, u64::checked_mul)?;
        (weights / self.weights as u64).checked_mul(self.bytes as u64)?.checked_add(self.tail as u64)
    }
    /// Values of whole blocks, by the type's own arithmetic and without a check: a code that the type does not use has the
    /// value that the formula gives. A scale that lies in a tensor's tail is taken as `tail`.
    ///
    /// `bytes` are whole blocks, `out` their weights; what is longer is left alone.
    pub fn dequantize(&self, bytes: &[u8], tail: f32, out: &mut [f32]) {
        match self.form {
            Form::Float(read) => read(bytes, out),
            Form::Coded(coding, unpack) => {
                let mut block = Block::default();
                let group = coding.group_in(self.weights);
                for (bytes, out) in bytes.chunks_exact(self.bytes).zip(out.chunks_exact_mut(self.weights)) {
                    if self.tail > 0 {
                        block.scales[0] = tail;
                    }
                    unpack(bytes, &mut block);
                    for (g, (out, codes)) in out.chunks_mut(group).zip(block.codes.chunks(group)).enumerate()
                    {
                        coding.values(codes, 0, block.scales[g], block.offsets[g], out);
                    }
                }
            }
        }
    }
}
