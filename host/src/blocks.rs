//! Matrices as model files hold them, in blocks; and matrices of either sort.

use lutsim_isa::blocks::{Block, Blocks};
use lutsim_isa::{Group, WeightFormat, WeightKind};

use crate::pack::{PackError, pack_into};
use crate::quantize::QuantisedTensor;
use crate::weights::Stream;

/// A matrix of `n` columns (outputs) x `k` weights each, in the blocks of a model file.
#[derive(Clone, PartialEq, Debug)]
pub struct BlockTensor {
    /// Outputs.
    pub n: u32,
    /// Inputs: whole blocks.
    pub k: u32,
    /// The type of its blocks.
    pub kind: WeightKind,
    /// The scale of all weights, of a type that has one for the tensor.
    pub tensor_scale: f32,
    /// `n` rows of blocks.
    pub bytes: Vec<u8>,
}

/// One row, unpacked.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct BlockRow {
    /// What each weight is a multiple of its scale by.
    pub levels: Vec<i16>,
    /// The bit-planes of each, bit i for plane i.
    pub planes: Vec<u8>,
    /// Of each group.
    pub scales: Vec<f32>,
    /// Of each group; 0 if the type has none.
    pub offsets: Vec<f32>,
}

impl BlockTensor {
    /// What there is to know of its type.
    ///
    /// # Panics
    /// If the type has no blocks: a fault of whoever made the tensor.
    pub fn blocks(&self) -> &'static Blocks {
        self.kind.blocks().unwrap_or_else(|| panic!("{} has no blocks", self.kind))
    }
    /// Its format.
    pub fn format(&self) -> WeightFormat {
        WeightFormat::new(self.kind, Group::Row)
    }
    /// The bytes of inputs `k0 .. k0 + k` of output `n`.
    pub fn row(&self, n: u32, k0: u32, k: u32) -> &[u8] {
        let b = self.blocks();
        let at = |k: u32| (k / b.weights * b.bytes) as usize;
        &self.bytes[n as usize * at(self.k) + at(k0)..][..at(k)]
    }
    /// One row.
    pub fn unpack(&self, n: u32) -> BlockRow {
        let b = self.blocks();
        let (mut row, mut block) = (BlockRow::default(), Block::default());
        for bytes in self.row(n, 0, self.k).chunks_exact(b.bytes as usize) {
            block.scales[0] = self.tensor_scale;
            (b.unpack)(bytes, &mut block);
            let codes = &block.codes[..b.weights as usize];
            row.levels.extend(codes.iter().map(|&code| match b.levels {
                Some(levels) => i16::from(levels[usize::from(code & 15)]),
                None => i16::from(code) - b.zero as i16,
            }));
            row.planes.extend(codes.iter().map(|&code| self.kind.plane_bits(b, code)));
            let groups = (b.weights / b.group) as usize;
            row.scales.extend_from_slice(&block.scales[..groups]);
            row.offsets.extend((0..groups).map(|g| if b.offset { block.offsets[g] } else { 0.0 }));
        }
        row
    }
    /// Appends the values of one row.
    pub fn dequantise_row(&self, n: u32, out: &mut Vec<f32>) {
        let (row, b) = (self.unpack(n), self.blocks());
        for (g, levels) in row.levels.chunks(b.group as usize).enumerate() {
            out.extend(levels.iter().map(|&level| row.scales[g] * f32::from(level) + row.offsets[g]));
        }
    }
}

/// A made-up matrix whose product with a vector of unit elements has elements of about `gain`: bits at random, and scales of a size.
pub fn synthetic_blocks(stream: Stream, n: u32, k: u32, kind: WeightKind, gain: f32) -> BlockTensor {
    let mut tensor = BlockTensor { n, k, kind, tensor_scale: 0.0, bytes: Vec::new() };
    let b = tensor.blocks();
    let blocks = u64::from(n) * u64::from(k / b.weights);
    let unit = gain / (k as f32).sqrt();
    for block in 0..blocks {
        let first = block * u64::from(b.bytes.div_ceil(8));
        let start = tensor.bytes.len();
        let words = u64::from(b.bytes.div_ceil(8));
        (0..words).for_each(|i| tensor.bytes.extend_from_slice(&stream.at(first + i).to_le_bytes()));
        tensor.bytes.truncate(start + b.bytes as usize);
        let size = 1.0 + 0.25 * stream.uniform(u64::MAX / 2 + block);
        set_scales(kind, &mut tensor.bytes[start..], unit * size, |i| stream.at(first + i) as u8);
    }
    if b.head > 0 {
        tensor.tensor_scale = unit / 0.816;
    }
    tensor
}

/// Gives a block of random bits the scales of weights of deviation `unit`, and makes its codes legal.
fn set_scales(kind: WeightKind, bytes: &mut [u8], unit: f32, random: impl Fn(u64) -> u8) {
    use WeightKind::*;
    let mut half = |at: usize, value: f32| {
        bytes[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_le_bytes());
    };
    // Where the scale and what is subtracted lie, the deviation of what they multiply, and the mean.
    match kind {
        Q40 => half(0, unit / 4.6),
        Q50 => half(0, unit / 9.2),
        Q80 | Iq4Nl => half(0, unit / 74.0),
        Q41 | Q51 => {
            let (deviation, mean) = if kind == Q41 { (4.6, 7.5) } else { (9.2, 15.5) };
            half(0, unit / deviation);
            half(2, -mean * unit / deviation);
        }
        // Scales and minima of few bits at random: means of 7.5 or 31.5 on both sides.
        Q2K => [80, 82].iter().zip([1.0, 1.5]).for_each(|(&at, mean)| half(at, mean * unit / 14.0)),
        Q4K | Q5K => {
            let (deviation, mean) = if kind == Q4K { (300.0, 7.5) } else { (600.0, 15.5) };
            [0, 2].iter().zip([1.0, mean]).for_each(|(&at, mean)| half(at, mean * unit / deviation));
        }
        Q3K => half(108, unit / 42.0),
        Q6K => half(208, unit / 1400.0),
        Tq10 => half(52, unit / 0.816),
        Tq20 => half(64, unit / 0.816),
        // E8M0 of the nearest power of two; doubled E2M1 at random has a deviation of 5.4.
        Mxfp4 => bytes[0] = (127.0 + (unit / 2.7).log2()).round().clamp(1.0, 254.0) as u8,
        _ => {}
    }
    // Two bits that are no code become another.
    if matches!(kind, Tq20 | I2S) {
        for (i, byte) in bytes[..if kind == Tq20 { 64 } else { 32 }].iter_mut().enumerate() {
            let both = *byte & *byte >> 1 & 0x55;
            *byte ^= both << (random(i as u64 / 8) >> (i % 8) & 1);
        }
    }
}

/// FP16, as it lies in a file or is rounded to.
#[derive(Clone, PartialEq, Debug)]
pub struct FloatTensor {
    /// Outputs.
    pub n: u32,
    /// Inputs.
    pub k: u32,
    /// Row behind row.
    pub values: Vec<half::f16>,
}

/// A matrix of some sort.
#[derive(Clone, PartialEq, Debug)]
pub enum Matrix {
    /// Codes, scales and zero points of our own making.
    Codes(QuantisedTensor),
    /// As a file has it.
    Blocks(BlockTensor),
    /// Floats.
    Floats(FloatTensor),
}

impl Matrix {
    /// Outputs, inputs.
    pub fn shape(&self) -> (u32, u32) {
        match self {
            Matrix::Codes(t) => (t.n, t.k),
            Matrix::Blocks(t) => (t.n, t.k),
            Matrix::Floats(t) => (t.n, t.k),
        }
    }
    /// Its format.
    pub fn format(&self) -> WeightFormat {
        match self {
            Matrix::Codes(t) => t.format,
            Matrix::Blocks(t) => t.format(),
            Matrix::Floats(_) => WeightFormat::FLOAT,
        }
    }
    /// The values that it stands for, row-major.
    pub fn dequantise(&self) -> Vec<f32> {
        let mut out = Vec::new();
        for n in 0..self.shape().0 {
            match self {
                Matrix::Codes(t) => t.dequantise_row(n, &mut out),
                Matrix::Blocks(t) => t.dequantise_row(n, &mut out),
                Matrix::Floats(t) => {
                    let row = n as usize * t.k as usize..(n as usize + 1) * t.k as usize;
                    out.extend(t.values[row].iter().map(|w| w.to_f32()));
                }
            }
        }
        out
    }
    /// Appends the record of columns `n0 .. n0 + n_len` and weights `k0 .. k0 + k_len`, padded to 64 bytes.
    ///
    /// # Errors
    /// A block outside of the tensor, or one that cuts its groups.
    pub fn pack_into(
        &self,
        out: &mut Vec<u8>,
        (n0, n_len): (u32, u32),
        (k0, k_len): (u32, u32),
    ) -> Result<(), PackError> {
        let (n, k) = self.shape();
        let fits = |at: u32, len: u32, all: u32| u64::from(at) + u64::from(len) <= u64::from(all);
        if !fits(n0, n_len, n) || !fits(k0, k_len, k) || k_len == 0 {
            return Err(PackError::Outside { n0, n_len, k0, k_len, n, k });
        }
        let t = match self {
            Matrix::Codes(t) => return pack_into(out, t, n0, n_len, k0, k_len),
            Matrix::Blocks(t) => t,
            Matrix::Floats(t) => {
                let start = out.len();
                for n in n0..n0 + n_len {
                    let first = n as usize * k as usize + k0 as usize;
                    let row = &t.values[first..first + k_len as usize];
                    out.extend(row.iter().flat_map(|w| w.to_le_bytes()));
                }
                out.resize(start + WeightFormat::FLOAT.record_bytes(n_len, k_len) as usize, 0);
                return Ok(());
            }
        };
        if !t.format().divides(k0) || !t.format().divides(k_len) {
            return Err(PackError::Group { k0, k_len, size: t.blocks().weights });
        }
        let start = out.len();
        if t.blocks().head > 0 {
            out.extend_from_slice(&t.tensor_scale.to_le_bytes());
        }
        (n0..n0 + n_len).for_each(|n| out.extend_from_slice(t.row(n, k0, k_len)));
        out.resize(start + t.format().record_bytes(n_len, k_len) as usize, 0);
        Ok(())
    }
}
