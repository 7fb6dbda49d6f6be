//! Matrices as they are stored: rows of small integers with scales, whatever file they came from.

use crate::error::FormatError;
use crate::types::{Coding, Levels};

/// A row of codes: `cols` codes, and for each group of the row a scale, and where the coding has them a zero point and an
/// offset. [`Coding`] says what they mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CodedRow {
    /// A code per weight, 0 to [`Coding::most`].
    pub codes: Vec<u8>,
    /// A scale per group: exactly what the file's bits say, as f32.
    pub scales: Vec<f32>,
    /// A zero point per group with [`Levels::MinusOfGroup`], otherwise none.
    pub zeros: Vec<u16>,
    /// An offset per group with [`Coding::offset`], otherwise none.
    pub offsets: Vec<f32>,
    /// The group of each weight where groups are not neighbours (GPTQ's `desc_act`), otherwise none.
    pub groups: Vec<u32>,
}

impl CodedRow {
    /// Empty it, keeping its memory.
    pub fn clear(&mut self) {
        let CodedRow { codes, scales, zeros, offsets, groups } = self;
        codes.clear();
        scales.clear();
        zeros.clear();
        offsets.clear();
        groups.clear();
    }
    /// The group of weight `i` in a row of `cols`.
    pub fn group_of(&self, coding: &Coding, cols: usize, i: usize) -> usize {
        match self.groups.get(i) {
            Some(&group) => group as usize,
            None => i / coding.group_in(cols),
        }
    }
    /// Values of a row of `cols` weights.
    pub fn values(&self, coding: &Coding, cols: usize, out: &mut [f32]) {
        let group = |g: usize| {
            let zero = self.zeros.get(g).copied().unwrap_or(0);
            let offset = self.offsets.get(g).copied().unwrap_or(0.0);
            (zero, self.scales[g], offset)
        };
        if self.groups.is_empty() {
            let n = coding.group_in(cols);
            for (g, (out, codes)) in out.chunks_mut(n).zip(self.codes.chunks(n)).enumerate() {
                let (zero, scale, offset) = group(g);
                coding.values(codes, zero, scale, offset, out);
            }
        } else {
            for ((out, code), &g) in out.chunks_mut(1).zip(self.codes.chunks(1)).zip(&self.groups) {
                let (zero, scale, offset) = group(g as usize);
                coding.values(code, zero, scale, offset, out);
            }
        }
    }
}

/// A matrix of codes: an output per row, an input per column.
pub trait CodedMatrix {
    /// Its name in the file, for messages.
    fn name(&self) -> &str;
    /// Rows.
    fn rows(&self) -> usize;
    /// Weights of a row.
    fn cols(&self) -> usize;
    /// What its codes mean.
    fn coding(&self) -> Coding;
    /// Append row `row`, which is below [`CodedMatrix::rows`], to an empty `out`, unchecked.
    fn unpack(&self, row: usize, out: &mut CodedRow);

    /// Row `row`, checked.
    ///
    /// # Errors
    /// A code above [`Coding::most`] (the fourth code of a ternary type); a scale or an offset that is not finite.
    ///
    /// # Panics
    /// If `row` is not below [`CodedMatrix::rows`].
    fn row(&self, row: usize, out: &mut CodedRow) -> Result<(), FormatError> {
        assert!(row < self.rows(), "row {row} of {}, which has {}", self.name(), self.rows());
        out.clear();
        self.unpack(row, out);
        let coding = self.coding();
        if let Some(col) = out.codes.iter().position(|&code| code > coding.most) {
            let found = format!("row {row}, column {col} has code {}", out.codes[col]);
            return Err(FormatError::tensor(self.name(), found, format!("codes 0 to {}", coding.most)));
        }
        for (what, values) in [("scale", &out.scales), ("offset", &out.offsets)] {
            if let Some(group) = values.iter().position(|v| !v.is_finite()) {
                let found = format!("row {row}, group {group} has the {what} {}", values[group]);
                return Err(FormatError::tensor(self.name(), found, format!("a finite {what}")));
            }
        }
        debug_assert!((coding.levels == Levels::MinusOfGroup) != out.zeros.is_empty());
        Ok(())
    }
}
