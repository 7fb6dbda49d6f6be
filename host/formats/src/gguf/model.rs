//! A model in a GGUF file: its dimensions, and every tensor in its place.

use std::collections::BTreeMap;

use super::Gguf;
use crate::dimensions::Dimensions;
use crate::error::FormatError;
use crate::roles::{Place, check_places};
use crate::tensor::Tensor;

/// A model in a GGUF file: its dimensions and every tensor in its place.
#[derive(Debug, Clone)]
pub struct GgufModel<'a> {
    /// Its dimensions.
    pub dimensions: Dimensions,
    tensors: BTreeMap<Place, Tensor<'a>>,
}

impl<'a> GgufModel<'a> {
    /// The model of a file.
    ///
    /// # Errors
    /// As [`Dimensions::of_gguf`]; a tensor that has no role, other dimensions than the model's, or is missing.
    pub fn of(file: &Gguf<'a>) -> Result<GgufModel<'a>, FormatError> {
        let dimensions = Dimensions::of_gguf(file)?;
        let mut tensors = BTreeMap::new();
        for tensor in file.tensors() {
            let wrong =
                |found: String, expected: String| Err(FormatError::tensor(tensor.name(), found, expected));
            let Some(place) = Place::of(tensor.name()).filter(|place| place.name() == tensor.name()) else {
                return wrong("a name that has no role".into(), "those of the model's architecture".into());
            };
            if place.role.per_layer() && place.layer >= dimensions.layers {
                return wrong(format!("layer {}", place.layer), format!("{} layers", dimensions.layers));
            }
            let dims = place.dims(&dimensions);
            if tensor.dims() != dims {
                return wrong(format!("dimensions {:?}", tensor.dims()), format!("{dims:?}"));
            }
            tensors.insert(place, tensor);
        }
        let model = GgufModel { dimensions, tensors };
        let has = |place| model.get(place).is_some();
        check_places(&model.dimensions, model.tensors.keys(), has, Place::name)?;
        Ok(model)
    }
    /// The tensor of a place, if it is there.
    pub fn get(&self, place: Place) -> Option<Tensor<'a>> {
        self.tensors.get(&place).copied()
    }
    /// The tensor of a place.
    ///
    /// # Errors
    /// If it is not there.
    pub fn tensor(&self, place: Place) -> Result<Tensor<'a>, FormatError> {
        self.get(place).ok_or_else(|| FormatError::tensor(place.name(), "not there", "this tensor"))
    }
    /// Every place and its tensor: what is no layer's among layer 0's.
    pub fn tensors(&self) -> impl Iterator<Item = (Place, Tensor<'a>)> + '_ {
        self.tensors.iter().map(|(place, tensor)| (*place, *tensor))
    }
}
