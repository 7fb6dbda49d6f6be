//! A model's numbers rounded to another weight type, so that what bits cost can be held against what they save.

use half::f16;
use lutsim_isa::WeightFormat;

use crate::blocks::Matrix;
use crate::quantize::QuantisedTensor;
use crate::weights::{WeightError, WeightSource};

/// A source whose layers' matrices are rounded to nearest, group by group. Head, embedding, norms and biases stay as they are.
pub struct Rounded<'a> {
    /// What is rounded.
    pub source: &'a dyn WeightSource,
    /// To what; a type that comes in blocks is not made here.
    pub format: WeightFormat,
}

impl WeightSource for Rounded<'_> {
    fn tensor(&self, name: &str, layer: Option<u32>) -> Result<Matrix, WeightError> {
        let matrix = self.source.tensor(name, layer)?;
        if layer.is_none() || matrix.format() == self.format {
            return Ok(matrix);
        }
        let (n, k) = matrix.shape();
        let rounded = QuantisedTensor::quantise(&matrix.dequantise(), n, k, self.format);
        rounded.map(Matrix::Codes).map_err(|e| WeightError::Read(format!("`{name}`: {e}")))
    }
    fn vector(&self, name: &str, layer: Option<u32>) -> Result<Vec<f16>, WeightError> {
        self.source.vector(name, layer)
    }
    fn embedding_row(&self, token: u32) -> Result<Vec<f16>, WeightError> {
        self.source.embedding_row(token)
    }
    fn position_row(&self, row: u32) -> Result<Vec<f16>, WeightError> {
        self.source.position_row(row)
    }
}
