//! Operand types: how each one is encoded in bits and written in text.

use std::fmt;
use std::str::FromStr;

use crate::format::Format;

/// An operand that lives inside a 128-bit instruction word.
pub trait Field: Copy + Eq + fmt::Debug + fmt::Display + FromStr<Err = String> {
    /// Width in bits.
    const BITS: u32;
    /// What the documentation calls it.
    const KIND: &'static str;
    /// Encodes; the result fits in [`Self::BITS`].
    fn to_bits(self) -> u64;
    /// Decodes; `None` for a reserved pattern.
    fn from_bits(bits: u64) -> Option<Self>;
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident($inner:ty), $bits:literal bits, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name($inner);
        impl $name {
            /// `None` when the number does not fit the field.
            pub const fn new(n: u64) -> Option<Self> {
                if n < (1u64 << $bits) { Some(Self(n as $inner)) } else { None }
            }
            /// The number.
            pub const fn get(self) -> $inner {
                self.0
            }
            /// The number as an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
        impl Field for $name {
            const BITS: u32 = $bits;
            const KIND: &'static str = $kind;
            fn to_bits(self) -> u64 {
                self.0 as u64
            }
            fn from_bits(bits: u64) -> Option<Self> {
                Self::new(bits)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let digits = text
                    .strip_prefix($prefix)
                    .ok_or_else(|| format!("expected {} such as `{}3`, found `{text}`", $kind, $prefix))?;
                let n = parse_u64(digits).ok_or_else(|| format!("`{text}` is not {}", $kind))?;
                Self::new(n).ok_or_else(|| {
                    format!("`{text}` is out of range: {} goes up to {}{}", $kind, $prefix, (1u64 << $bits) - 1)
                })
            }
        }
    };
}

numbered!(/// A 48-bit sequencer register: an address, a size or a trip count.
    Reg(u8), 5 bits, "r", "a register");
numbered!(/// A tile descriptor register.
    TileId(u8), 6 bits, "t", "a tile");
numbered!(/// A counting semaphore. The producer is fixed by the number: 0-7 load, 8-15 store, 16-23 lut,
    /// 24-31 vector; so that a waiting unit's stall has the name of who it waits for.
    Sem(u8), 5 bits, "s", "a semaphore");
numbered!(/// 16-bit unsigned constant.
    Imm16(u32), 16 bits, "#", "a 16-bit constant");
numbered!(/// 24-bit unsigned constant (a scratchpad address or size, in bytes).
    Imm24(u32), 24 bits, "#", "a 24-bit constant");
numbered!(/// 32-bit unsigned constant.
    Imm32(u32), 32 bits, "#", "a 32-bit constant");
numbered!(/// 48-bit unsigned constant (a DRAM address or size, in bytes).
    Imm48(u64), 48 bits, "#", "a 48-bit constant");

fn parse_u64(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Sem {
    /// The queue whose instructions may signal this semaphore.
    pub fn producer(self) -> Queue {
        Queue::ALL[self.index() / 8]
    }
}

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident, $bits:literal bits, $kind:literal { $($(#[doc = $vdoc:literal])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[doc = $vdoc])* $variant),* }
        impl $name {
            /// Every member, in encoding order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// Encoding, name and meaning of every member, for documentation.
            pub(crate) const DOCS: &'static [(u64, &'static str, &'static str)] =
                &[$((Self::$variant as u64, $text, concat!($($vdoc),*))),*];
            /// The name used in text.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
        const _: () = assert!([$($text),*].len() <= 1 << $bits);
        impl Field for $name {
            const BITS: u32 = $bits;
            const KIND: &'static str = $kind;
            fn to_bits(self) -> u64 { self as u64 }
            fn from_bits(bits: u64) -> Option<Self> { Self::ALL.get(bits as usize).copied() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| {
                    format!("`{text}` is not {}: one of {}", $kind, [$($text),*].join(", "))
                })
            }
        }
    };
}

closed_set!(/// The four in-order queues behind the sequencer.
    Queue, 2 bits, "a queue" {
    /// DMA in, through the unpacker.
    Load = "load",
    /// DMA out.
    Store = "store",
    /// The gang of LUT cores.
    Lut = "lut",
    /// The vector unit.
    Vector = "vector",
});

closed_set!(/// What the unpacker does to bytes on their way from DRAM to scratchpad.
    Unpack, 3 bits, "an unpack mode" {
    /// Nothing: rows of bytes.
    Plain = "plain",
    /// A weight record `[scales | zeros | codes]`, codes turned into bit-planes.
    Weights = "weights",
    /// Rows of a KV cache, token-major, as the weights of Q K^T: N = tokens, K = head_dim.
    Keys = "keys",
    /// Rows of a KV cache, token-major, transposed: the weights of P V, N = head_dim, K = tokens.
    Values = "values",
});

closed_set!(/// What the write-out of the partial sums does with the bytes that are there.
    DrainMode, 1 bits, "a drain mode" {
    /// Overwrites them.
    Store = "store",
    /// Adds to them.
    Add = "add",
});

closed_set!(/// Normalisation.
    Norm, 2 bits, "a norm" {
    /// x / rms(x) * w.
    Rms = "rms",
    /// (x - mean) / std * w + b; the weight tile has two rows, w and b.
    Layer = "layer",
    /// x / rms(x) * (1 + w).
    RmsPlusOne = "rms1p",
});

closed_set!(/// How rotary embedding pairs its elements.
    Rope, 1 bits, "a rotary pairing" {
    /// Element i with i + dims/2 (Hugging Face, GPT-NeoX).
    Half = "half",
    /// Element 2i with 2i + 1 (GGUF llama).
    Pair = "pair",
});

closed_set!(/// Activation function.
    Act, 2 bits, "an activation function" {
    /// x * sigmoid(x).
    Silu = "silu",
    /// x/2 * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    Gelu = "gelu",
    /// max(x, 0).
    Relu = "relu",
    /// max(x, 0)^2.
    Relu2 = "relu2",
});

closed_set!(/// A yes-or-no operand, written as its name or `-`.
    First, 1 bits, "`first` or `-`" {
    /// Go on from what is there.
    No = "-",
    /// Start afresh.
    Yes = "first",
});

closed_set!(/// Which elements of a row a softmax may see.
    Mask, 1 bits, "a mask" {
    /// Every row sees the same number of columns.
    Full = "full",
    /// Row i sees i columns more than row 0.
    Causal = "causal",
});

/// A size that is a constant or a register's value at dispatch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dim {
    /// Constant, at most 2^20 - 1.
    Imm(u32),
    /// Read when the instruction is dispatched.
    Reg(Reg),
}

impl Field for Dim {
    const BITS: u32 = 21;
    const KIND: &'static str = "a size";
    fn to_bits(self) -> u64 {
        match self {
            Dim::Imm(n) => u64::from(n),
            Dim::Reg(r) => 1 << 20 | r.to_bits(),
        }
    }
    fn from_bits(bits: u64) -> Option<Self> {
        let low = bits & 0xf_ffff;
        if bits >> 20 == 0 { Some(Dim::Imm(low as u32)) } else { Reg::new(low).map(Dim::Reg) }
    }
}
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Imm(n) => write!(f, "#{n}"),
            Dim::Reg(r) => r.fmt(f),
        }
    }
}
impl FromStr for Dim {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('#') {
            None => text
                .parse()
                .map(Dim::Reg)
                .map_err(|_| format!("expected a size such as `#64` or `r3`, found `{text}`")),
            Some(n) => match parse_u64(n) {
                Some(n) if n < 1 << 20 => Ok(Dim::Imm(n as u32)),
                _ => Err(format!("`{text}` is not a size below 1048576")),
            },
        }
    }
}

macro_rules! optional_sem {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub Option<Sem>);
        impl Field for $name {
            const BITS: u32 = 6;
            const KIND: &'static str = $kind;
            fn to_bits(self) -> u64 { self.0.map_or(0, |s| 32 | s.to_bits()) }
            fn from_bits(bits: u64) -> Option<Self> {
                match bits { 0 => Some(Self(None)), 32..64 => Some(Self(Sem::new(bits & 31))), _ => None }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 { Some(s) => write!(f, concat!($prefix, "{}"), s), None => f.write_str("-") }
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text.strip_prefix($prefix) {
                    Some(sem) => sem.parse().map(|s| Self(Some(s))),
                    None if text == "-" => Ok(Self(None)),
                    None => Err(format!("expected `{}s3` or `-`, found `{text}`", $prefix)),
                }
            }
        }
    };
}
optional_sem!(/// Take one from a semaphore before starting; `-` for none.
    Wait, "?", "a wait");
optional_sem!(/// Give one to a semaphore when done; `-` for none.
    Signal, "!", "a signal");

/// The cores of a gang: `R x C`. R splits M, C splits N; weights are multicast along R, tables along C.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Rows of cores.
    pub r: u8,
    /// Columns of cores.
    pub c: u8,
}
impl Grid {
    /// Cores in use.
    pub fn cores(self) -> u32 {
        u32::from(self.r) * u32::from(self.c)
    }
}
impl Field for Grid {
    const BITS: u32 = 16;
    const KIND: &'static str = "a grid";
    fn to_bits(self) -> u64 {
        u64::from(self.r) << 8 | u64::from(self.c)
    }
    fn from_bits(bits: u64) -> Option<Self> {
        let (r, c) = ((bits >> 8) as u8, bits as u8);
        (r > 0 && c > 0).then_some(Self { r, c })
    }
}
impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.r, self.c)
    }
}
impl FromStr for Grid {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('x')
            .and_then(|(r, c)| Some(Self { r: r.parse().ok()?, c: c.parse().ok()? }))
            .filter(|g| g.r > 0 && g.c > 0)
            .ok_or_else(|| format!("expected a grid such as `4x4`, found `{text}`"))
    }
}

/// A floating-point constant, carried as its bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct F32(u32);
impl F32 {
    /// From a value.
    pub fn new(x: f32) -> Self {
        Self(x.to_bits())
    }
    /// The value.
    pub fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}
impl Field for F32 {
    const BITS: u32 = 32;
    const KIND: &'static str = "a float";
    fn to_bits(self) -> u64 {
        u64::from(self.0)
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Some(Self(bits as u32))
    }
}
impl fmt::Display for F32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            x if x.is_nan() => write!(f, "bits:{:#010x}", self.0),
            x => write!(f, "{x:?}"),
        }
    }
}
impl FromStr for F32 {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("bits:0x") {
            Some(hex) => u32::from_str_radix(hex, 16).map(Self).ok(),
            None => text.parse::<f32>().ok().map(Self::new),
        }
        .ok_or_else(|| format!("expected a number such as `1e-5`, found `{text}`"))
    }
}

/// The opening brace of a loop: words in its body, closing brace included. The assembler fills it in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Body(pub u32);
impl Field for Body {
    const BITS: u32 = 24;
    const KIND: &'static str = "a loop body";
    fn to_bits(self) -> u64 {
        u64::from(self.0)
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Some(Self(bits as u32))
    }
}
impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")
    }
}
impl FromStr for Body {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "{" { Ok(Self(0)) } else { Err(format!("expected `{{`, found `{text}`")) }
    }
}

mod lmma;
pub use lmma::{AType, AccType, Entries, LmmaType, OType};

impl Field for Format {
    const BITS: u32 = 12;
    const KIND: &'static str = "a format";
    fn to_bits(self) -> u64 {
        Format::to_bits(self)
    }
    fn from_bits(bits: u64) -> Option<Self> {
        Format::from_bits(bits)
    }
}

pub(crate) use closed_set;
