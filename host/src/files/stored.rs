//! Tensors of either sort of file, GGUF or safetensors, as the machine takes them.
//!
//! ```text
//! blocks of a GGUF file             as they are
//! GPTQ, AWQ                         int2, int4 (int8, where all zero points are 128): codes, zero points and FP16 scales of the file;
//!                                   of GPTQ's `desc_act` the numbers only, on request in another type or in FP16
//! BitNet's packed ternary           blocks of bitnet.cpp's I2_S, which hold the file's one scale; int1.58 where K is no multiple of 128
//! floats                            rounded to INT8 in groups of 128
//! ```

use half::f16;
use lutsim_formats::checkpoint::{Checkpoint, Floats, Weights};
use lutsim_formats::coded::{CodedMatrix, CodedRow};
use lutsim_formats::dimensions::Dimensions;
use lutsim_formats::error::FormatError;
use lutsim_formats::gguf::GgufModel;
use lutsim_formats::packed::PackedLinear;
use lutsim_formats::roles::Place;
use lutsim_formats::tensor::Tensor;
use lutsim_formats::types::{Group as Grouping, Levels};
use lutsim_isa::{Group, WeightFormat, WeightKind};

use super::{FileError, ROUNDED};
use crate::blocks::{BlockTensor, FloatTensor, Matrix};
use crate::quantize::QuantisedTensor;

/// A model's file or files.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    Gguf(GgufModel<'a>),
    Checkpoint(Checkpoint<'a>),
}

impl Source<'_> {
    pub(super) fn dimensions(&self) -> &Dimensions {
        match self {
            Source::Gguf(file) => &file.dimensions,
            Source::Checkpoint(file) => &file.dimensions,
        }
    }
    /// The tensor of a place, if it is there.
    pub(super) fn get(&self, place: Place) -> Option<Stored<'_>> {
        match self {
            Source::Gguf(file) => file.get(place).map(Stored::Tensor),
            Source::Checkpoint(file) => file.get(place).map(Stored::of),
        }
    }
    /// The tensor of a place.
    pub(super) fn tensor(&self, place: Place) -> Result<Stored<'_>, FormatError> {
        match self {
            Source::Gguf(file) => file.tensor(place).map(Stored::Tensor),
            Source::Checkpoint(file) => file.weights(place).map(Stored::of),
        }
    }
    /// Every place and its tensor.
    pub(super) fn tensors(&self) -> Vec<(Place, Stored<'_>)> {
        match self {
            Source::Gguf(file) => file.tensors().map(|(place, t)| (place, Stored::Tensor(t))).collect(),
            Source::Checkpoint(file) => file.all().map(|(place, w)| (place, Stored::of(w))).collect(),
        }
    }
}

/// A tensor in its file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored<'s> {
    Tensor(Tensor<'s>),
    Floats(&'s Floats<'s>),
    Packed(&'s PackedLinear<'s>),
}

impl<'s> Stored<'s> {
    fn of(weights: &'s Weights<'_>) -> Stored<'s> {
        match weights {
            Weights::Floats(floats) => Stored::Floats(floats),
            Weights::Packed(packed) => Stored::Packed(packed),
        }
    }
    pub(super) fn name(&self) -> &str {
        match self {
            Stored::Tensor(t) => t.name(),
            Stored::Floats(t) => t.name(),
            Stored::Packed(t) => t.name(),
        }
    }
    pub(super) fn rows(&self) -> usize {
        match self {
            Stored::Tensor(t) => t.rows(),
            Stored::Floats(t) => t.rows(),
            Stored::Packed(t) => t.rows(),
        }
    }
    pub(super) fn cols(&self) -> usize {
        match self {
            Stored::Tensor(t) => t.cols(),
            Stored::Floats(t) => t.cols(),
            Stored::Packed(t) => t.cols(),
        }
    }
    /// Its type in the file, for messages.
    pub(super) fn kind(&self) -> String {
        match self {
            Stored::Tensor(t) => t.kind().name.into(),
            Stored::Floats(t) => format!("{:?}", t.dtype()),
            Stored::Packed(t) => format!("{} bits, packed", t.coding().bits()),
        }
    }
    /// The values of row `row`, into as many as it has.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        match self {
            Stored::Tensor(t) => t.row(row, out),
            Stored::Floats(t) => t.row(row, out),
            Stored::Packed(t) => {
                let mut codes = CodedRow::default();
                t.row(row, &mut codes)?;
                codes.values(&t.coding(), t.cols(), out);
                Ok(())
            }
        }
    }
    /// All values, row behind row.
    pub(super) fn values(&self) -> Result<Vec<f32>, FormatError> {
        self.values_of(0, self.rows())
    }
    /// Values of some rows.
    pub(super) fn values_of(&self, first: usize, rows: usize) -> Result<Vec<f32>, FormatError> {
        let k = self.cols();
        let mut values = vec![0.0; rows * k];
        for (row, out) in values.chunks_exact_mut(k).enumerate() {
            self.row(first + row, out)?;
        }
        Ok(values)
    }

    /// Whether the machine's numbers are the file's.
    pub(super) fn exact(&self) -> bool {
        let half = |scale: &f32| f16::from_f32(*scale).to_f32() == *scale;
        match self {
            Stored::Tensor(t) => t.coded().is_some(),
            Stored::Floats(_) => false,
            Stored::Packed(t) => {
                !t.is_reordered() && (block_kind(t).is_some() || t.scales().iter().all(half))
            }
        }
    }
    /// Its type in the machine.
    pub(super) fn format(&self) -> Result<WeightFormat, FileError> {
        match self {
            Stored::Tensor(t) => Ok(kind_of(*t).map_or(ROUNDED, |kind| WeightFormat::new(kind, Group::Row))),
            Stored::Floats(_) => Ok(ROUNDED),
            Stored::Packed(t) => packed_format(t),
        }
    }
    /// Whether the machine takes its numbers only: of floats, or of codes whose groups are no neighbours.
    pub(super) fn is_float(&self) -> bool {
        match self {
            Stored::Tensor(t) => t.coded().is_none(),
            Stored::Floats(_) => true,
            Stored::Packed(t) => t.is_reordered(),
        }
    }
    /// That its codes cannot be the machine's, if they cannot: a record's groups are neighbours.
    pub(super) fn check_order(&self) -> Result<(), FileError> {
        match self {
            Stored::Packed(t) if t.is_reordered() => {
                let WeightFormat { kind, group } = packed_format(t)?;
                Err(self.refuse(format!(
                    "its groups are no neighbours (`desc_act`), which records cannot hold: --weights {kind} --group {group} \
                     rounds it anew, --exact-float keeps it in FP16"
                )))
            }
            _ => Ok(()),
        }
    }
    /// Some rows of floats in FP16, rounded to nearest even if the file has more bits.
    pub(super) fn halves(&self, first: usize, rows: usize) -> Result<FloatTensor, FileError> {
        let values = self.values_of(first, rows)?;
        let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
        if let Some(i) = halves.iter().position(|x| !x.is_finite()) {
            return Err(self.refuse(format!("{} is beyond FP16 (65504); leave --exact-float out", values[i])));
        }
        Ok(FloatTensor { n: rows as u32, k: self.cols() as u32, values: halves })
    }
    /// Some of its rows, as the machine takes them.
    pub(super) fn matrix(&self, first: usize, rows: usize) -> Result<Matrix, FileError> {
        match self {
            Stored::Tensor(t) => match kind_of(*t) {
                Some(kind) => blocks(*t, kind, first, rows).map(Matrix::Blocks),
                None => self.rounded(first, rows, ROUNDED).map(Matrix::Codes),
            },
            Stored::Floats(_) => self.rounded(first, rows, ROUNDED).map(Matrix::Codes),
            Stored::Packed(t) => {
                self.check_order()?;
                packed(t, first, rows)
            }
        }
    }
    /// Some of its rows, rounded to nearest.
    pub(super) fn rounded(
        &self,
        first: usize,
        rows: usize,
        format: WeightFormat,
    ) -> Result<QuantisedTensor, FileError> {
        let values = self.values_of(first, rows)?;
        QuantisedTensor::quantise(&values, rows as u32, self.cols() as u32, format)
            .map_err(|e| self.refuse(e.to_string()))
    }
    fn refuse(&self, why: String) -> FileError {
        FileError::Weights { tensor: self.name().into(), why }
    }
}

/// The machine's type of a file's codes; none of floats.
fn kind_of(tensor: Tensor<'_>) -> Option<WeightKind> {
    let kind: Option<WeightKind> = tensor.kind().name.to_lowercase().parse().ok();
    kind.filter(|kind| !kind.is_float())
}

/// Rows of a coded tensor, with codes and scales that are fit to be run.
fn blocks(tensor: Tensor<'_>, kind: WeightKind, first: usize, rows: usize) -> Result<BlockTensor, FileError> {
    if let Some(coded) = tensor.coded() {
        let mut row = CodedRow::default();
        (first..first + rows).try_for_each(|r| coded.row(r, &mut row))?;
    }
    let (bytes, all) = (tensor.row_bytes(), tensor.data());
    // Of a type with one scale for the tensor, it lies behind the rows.
    let tail = all.get(tensor.rows() * bytes..).and_then(|tail| tail.first_chunk());
    Ok(BlockTensor {
        n: rows as u32,
        k: tensor.cols() as u32,
        kind,
        tensor_scale: tail.map_or(0.0, |&scale| f32::from_le_bytes(scale)),
        bytes: all[first * bytes..(first + rows) * bytes].to_vec(),
    })
}

/// The blocks that hold ternary weights with one scale exactly, if K is whole blocks.
fn block_kind(layer: &PackedLinear<'_>) -> Option<WeightKind> {
    let ternary = layer.coding().levels == Levels::Minus(1) && layer.coding().group == Grouping::Tensor;
    (ternary && layer.cols().is_multiple_of(128)).then_some(WeightKind::I2S)
}

fn packed_format(layer: &PackedLinear<'_>) -> Result<WeightFormat, FileError> {
    let coding = layer.coding();
    let refuse = |why: String| Err(FileError::Weights { tensor: layer.name().into(), why });
    let group = match coding.group {
        Grouping::Of(group) if group < layer.cols() => match group.to_string().parse() {
            Ok(group) => group,
            Err(_) => {
                return refuse(format!("groups of {group}: records hold powers of two from 16 to 1024"));
            }
        },
        _ => Group::Row,
    };
    let kind = match (coding.levels, coding.bits()) {
        (Levels::MinusOfGroup, 2) => WeightKind::Int2,
        (Levels::MinusOfGroup, 4) => WeightKind::Int4,
        (Levels::MinusOfGroup, _) => WeightKind::Int8,
        _ => block_kind(layer).unwrap_or(WeightKind::Int158),
    };
    Ok(WeightFormat::new(kind, group))
}

/// Rows of a packed layer: the file's codes, zero points and scales.
fn packed(layer: &PackedLinear<'_>, first: usize, rows: usize) -> Result<Matrix, FileError> {
    let format = packed_format(layer)?;
    let (n, k) = (rows as u32, layer.cols() as u32);
    let refuse = |why: String| FileError::Weights { tensor: layer.name().into(), why };
    let mut row = CodedRow::default();
    if format.kind == WeightKind::I2S {
        let (mut bytes, mut tensor_scale) = (Vec::with_capacity(rows * layer.cols() / 4), 0.0);
        for r in first..first + rows {
            layer.row(r, &mut row)?;
            tensor_scale = row.scales[0];
            for block in row.codes.as_chunks::<128>().0 {
                // The highest bits first.
                bytes.extend((0..32).map(|i| (0..4).fold(0, |byte, part| byte << 2 | block[32 * part + i])));
            }
        }
        return Ok(Matrix::Blocks(BlockTensor { n, k, kind: format.kind, tensor_scale, bytes }));
    }
    let mut out = QuantisedTensor { n, k, format, codes: vec![], scales: vec![], zeros: vec![] };
    for r in first..first + rows {
        layer.row(r, &mut row)?;
        for (group, &scale) in row.scales.iter().enumerate() {
            let half = f16::from_f32(scale);
            if !half.is_finite() {
                let why = format!("row {r}: the scale {scale} of group {group} is beyond FP16 (65504)");
                return Err(refuse(why));
            }
            out.scales.push(half);
        }
        // Eight bits have no zero points in the machine: their codes are signed.
        let signed = layer.coding().most == u8::MAX;
        let legal = |zero: u16| if signed { zero == 128 } else { zero <= u16::from(layer.coding().most) };
        if let Some(group) = row.zeros.iter().position(|&zero| !legal(zero)) {
            let zero = row.zeros[group];
            let most = if signed { "only 128".into() } else { format!("0 to {}", layer.coding().most) };
            return Err(refuse(format!(
                "row {r}, group {group}: a zero point of {zero}, records hold {most}"
            )));
        }
        if format.kind.zero_bits() > 0 {
            out.zeros.extend(row.zeros.iter().map(|&zero| zero as u8));
        }
        out.codes.extend(row.codes.iter().map(|&code| if signed { code ^ 0x80 } else { code }));
    }
    Ok(Matrix::Codes(out))
}
