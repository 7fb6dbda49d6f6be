//! Models of a sweep, each read once: by their dimensions, or with the types that a file's weights have.
//!
//! No point reads a weight, because no time depends on one: of a file with weights its dimensions and types are all that counts.

use std::sync::Arc;

use lutsim_host::model::Model;
use lutsim_isa::WeightFormat;
use lutsim_sim::chip_file::{Override, Workload};

use crate::failure::Failure;
use crate::session::model_echo;
use crate::{model_file, resolve};

/// A model that points run.
pub(super) struct Loaded {
    model: Arc<Model>,
    /// The same, all layers of the workload's type, if those of the file are of several.
    uniform: Arc<Model>,
    /// All of it that a record depends on, as text.
    pub(super) echo: String,
    /// The types of a file's weights as keys of the workload.
    types: Vec<Override>,
    /// Layers and head of the file.
    own: Option<(WeightFormat, WeightFormat)>,
}

impl Loaded {
    /// By name or path.
    ///
    /// # Errors
    /// There is no such model, or something in its file is wrong.
    pub(super) fn of(name: &str) -> Result<Self, Failure> {
        let Some(path) = model_file::weights(name) else {
            let model = Arc::new(resolve::model(name)?);
            let echo = model_echo(&model).to_string();
            return Ok(Self { uniform: model.clone(), model, echo, types: Vec::new(), own: None });
        };
        model_file::with_file(&path, |_, file| {
            let own = (file.weights, file.head);
            let model = file.model.clone();
            let echo = format!("{}{own:?}{:?}", model_echo(&model), model.mix);
            let uniform = Arc::new(Model { mix: None, ..model.clone() });
            Ok(Self { model: Arc::new(model), uniform, echo, types: model_file::types(file), own: Some(own) })
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.model.name
    }

    /// What its file sets, unless a point says otherwise.
    pub(super) fn types(&self) -> &[Override] {
        &self.types
    }

    /// The model as a workload has it: as `lutsim run` does, its layers are of the file's types unless others are asked for.
    pub(super) fn model(&self, w: &Workload) -> Arc<Model> {
        let asked = (WeightFormat::new(w.weights, w.group), WeightFormat::new(w.head, w.head_group));
        if self.own.is_none_or(|own| own == asked) { self.model.clone() } else { self.uniform.clone() }
    }
}
