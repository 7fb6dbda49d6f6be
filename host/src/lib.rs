//! What to run: models, quantisation, tiling, placement, lowering, and a plain reference of the values.

pub mod pack;
pub mod quantize;
pub mod reference;
pub mod rotary;
pub mod weights;
