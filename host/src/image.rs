//! A model in DRAM: every tensor of a source, packed, at its place in the layout.

use half::f16;
use lutsim_isa::control::FaultKind;
use lutsim_isa::exec::Memory;

use crate::alibi::slopes;
use crate::blocks::Matrix;
use crate::layout::{Layout, Tensor};
use crate::model::{Model, Positions};
use crate::pack::PackError;
use crate::weights::{WeightError, WeightSource};

/// Why a model was not written to DRAM.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImageError {
    /// The source has not got it.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// It does not make records.
    #[error("`{name}`: {error}")]
    Pack {
        /// The tensor.
        name: &'static str,
        /// Why.
        error: PackError,
    },
    /// Another size or type than was laid out.
    #[error("`{name}` is {found}, but {expected} was laid out")]
    Shape {
        /// The tensor or vector.
        name: &'static str,
        /// What the source gave.
        found: String,
        /// What there is room for.
        expected: String,
    },
    /// Beyond DRAM.
    #[error(transparent)]
    Memory(#[from] FaultKind),
}

/// Writes everything that does not change while the model runs: weights, norms, biases, embedding, positions.
///
/// # Errors
/// A source that does not fit the layout, a memory that does not hold it.
pub fn write_image(
    memory: &mut Memory,
    layout: &Layout,
    model: &Model,
    source: &dyn WeightSource,
) -> Result<(), ImageError> {
    for token in 0..layout.embedding.rows {
        let row = source.embedding_row(token)?;
        memory.write(
            layout.embedding.addr + u64::from(token) * layout.embedding.row_bytes(),
            &half_bytes(&row),
        )?;
    }
    let slopes = slopes(model.heads);
    for index in 0..layout.positions.rows {
        let row = match &model.positions {
            Positions::Rotary(rope) => float_bytes(&rope.row(index)),
            Positions::Learned(_) => half_bytes(&source.position_row(index)?),
            Positions::Alibi => float_bytes(&slopes),
        };
        memory.write(layout.positions.addr + u64::from(index) * layout.positions.row_bytes(), &row)?;
    }
    for v in &layout.vectors {
        let layers = if v.per_layer { model.layers } else { 1 };
        for layer in 0..layers {
            let (addr, layer) = (layout.in_layer(v.addr, layer), v.per_layer.then_some(layer));
            let values = source.vector(v.name, layer)?;
            if values.len() != v.len as usize {
                let (found, expected) = (format!("{} long", values.len()), format!("{}", v.len));
                return Err(ImageError::Shape { name: v.name, found, expected });
            }
            memory.write(addr, &half_bytes(&values))?;
        }
    }
    for t in &layout.tensors {
        if !t.per_layer {
            write_tensor(memory, t, t.addr, &source.tensor(t.name, None)?)?;
        }
        for layer in layout.layers_of(t) {
            for expert in 0..t.experts {
                let addr = layout.in_layer(t.addr, layer) + u64::from(expert) * t.expert_stride;
                write_tensor(memory, t, addr, &source.expert(t.name, Some(layer), expert)?)?;
            }
        }
    }
    Ok(())
}

fn write_tensor(memory: &mut Memory, t: &Tensor, addr: u64, values: &Matrix) -> Result<(), ImageError> {
    let ((n, k), format) = (values.shape(), values.format());
    if (t.n, t.k, t.format) != (n, k, format) {
        let say = |n, k, format| format!("{n} x {k} of {format}");
        let (found, expected) = (say(n, k, format), say(t.n, t.k, t.format));
        return Err(ImageError::Shape { name: t.name, found, expected });
    }
    let mut bytes = Vec::new();
    for r in t.records() {
        bytes.clear();
        let packed = values.pack_into(&mut bytes, (r.n0, r.n), (r.k0, r.k));
        packed.map_err(|error| ImageError::Pack { name: t.name, error })?;
        memory.write(addr + r.offset, &bytes)?;
    }
    Ok(())
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn half_bytes(values: &[f16]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
