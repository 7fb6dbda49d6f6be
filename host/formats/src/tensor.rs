//! A tensor of a GGUF file, row by row: as floats, or as the codes it is stored as.

use crate::coded::{CodedMatrix, CodedRow};
use crate::error::FormatError;
use crate::types::{Coding, Form, TensorType};
use lutsim_isa::blocks::Block;

/// A tensor of a GGUF file. Its dimensions, its type and its bytes agree.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    name: &'a str,
    dims: [u64; 4],
    kind: &'static TensorType,
    data: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// A tensor whose bytes are as many as its dimensions and type need.
    pub(crate) fn new(
        name: &'a str,
        dims: [u64; 4],
        kind: &'static TensorType,
        data: &'a [u8],
    ) -> Tensor<'a> {
        debug_assert_eq!(kind.data_bytes(dims), Some(data.len() as u64));
        Tensor { name, dims, kind, data }
    }
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.name
    }
    /// Its type.
    pub fn kind(&self) -> &'static TensorType {
        self.kind
    }
    /// Its dimensions, fastest first; 1 where it has fewer than four.
    pub fn dims(&self) -> [u64; 4] {
        self.dims
    }
    /// Its bytes, as in the file.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
    /// Weights of a row: its fastest dimension.
    pub fn cols(&self) -> usize {
        // Every type stores at least 1.6 bits for each weight, and the bytes are in memory.
        self.dims[0] as usize
    }
    /// Rows: the product of its other dimensions.
    pub fn rows(&self) -> usize {
        self.dims[1..].iter().product::<u64>() as usize
    }
    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.cols() / self.kind.weights * self.kind.bytes
    }
    fn tail_scale(&self) -> f32 {
        match self.data[self.data.len() - self.kind.tail..] {
            [a, b, c, d, ..] => f32::from_le_bytes([a, b, c, d]),
            _ => 0.0,
        }
    }
    /// The values of row `row`.
    ///
    /// # Errors
    /// A value that is not finite; a code that means nothing.
    ///
    /// # Panics
    /// If `row` is not below [`Tensor::rows`], or `out` is not [`Tensor::cols`] long.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        assert!(
            row < self.rows() && out.len() == self.cols(),
            "row {row} of {} into {}",
            self.name,
            out.len()
        );
        if let Some(coded) = self.coded() {
            let mut codes = CodedRow::default();
            coded.row(row, &mut codes)?;
            codes.values(&coded.coding(), self.cols(), out);
        } else {
            let bytes = self.row_bytes();
            self.kind.dequantize(&self.data[row * bytes..(row + 1) * bytes], 0.0, out);
        }
        match out.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(col) => {
                let found = format!("row {row}, column {col} is {}", out[col]);
                Err(FormatError::tensor(self.name, found, "finite weights"))
            }
        }
    }
    /// All its values, row behind row.
    ///
    /// # Errors
    /// As [`Tensor::row`].
    pub fn values(&self) -> Result<Vec<f32>, FormatError> {
        let mut values = vec![0.0; self.rows() * self.cols()];
        for (row, out) in values.chunks_exact_mut(self.cols()).enumerate() {
            self.row(row, out)?;
        }
        Ok(values)
    }
    /// Its codes, unless it is of floats.
    pub fn coded(&self) -> Option<CodedTensor<'a>> {
        match self.kind.form {
            Form::Float(_) => None,
            Form::Coded(coding, unpack) => Some(CodedTensor { tensor: *self, coding, unpack }),
        }
    }
}

/// The codes of a GGUF tensor.
#[derive(Debug, Clone, Copy)]
pub struct CodedTensor<'a> {
    tensor: Tensor<'a>,
    coding: Coding,
    unpack: fn(&[u8], &mut Block),
}

impl CodedMatrix for CodedTensor<'_> {
    fn name(&self) -> &str {
        self.tensor.name
    }
    fn rows(&self) -> usize {
        self.tensor.rows()
    }
    fn cols(&self) -> usize {
        self.tensor.cols()
    }
    fn coding(&self) -> Coding {
        self.coding
    }
    fn unpack(&self, row: usize, out: &mut CodedRow) {
        let kind = self.tensor.kind;
        let bytes = self.tensor.row_bytes();
        let mut block = Block::default();
        let groups = kind.weights / self.coding.group_in(kind.weights);
        for bytes in self.tensor.data[row * bytes..(row + 1) * bytes].chunks_exact(kind.bytes) {
            (self.unpack)(bytes, &mut block);
            out.codes.extend_from_slice(&block.codes[..kind.weights]);
            if kind.tail > 0 {
                continue;
            }
            out.scales.extend_from_slice(&block.scales[..groups]);
            if self.coding.offset {
                out.offsets.extend_from_slice(&block.offsets[..groups]);
            }
        }
        if kind.tail > 0 {
            out.scales.push(self.tensor.tail_scale());
        }
    }
}
