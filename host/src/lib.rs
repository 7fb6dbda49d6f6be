//! What to run: models, quantisation, tiling, placement, lowering, and a plain reference of the values.

pub mod error;
pub mod image;
pub mod layout;
pub mod lower;
pub mod mapping;
pub mod model;
pub mod pack;
pub mod plan;
pub mod quantize;
pub mod reference;
pub mod rotary;
pub mod runtime;
pub mod search;
pub mod target;
pub mod weights;
pub mod workload;
