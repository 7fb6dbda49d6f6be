//! What to run: models, quantisation, tiling, placement, lowering, and a plain reference of the values.
//!
//! ```text
//! model + workload + target --search--> mapping --layout--> addresses --lower--> programs, doorbells --> a Device
//!                                                    |                                                      ||
//!            weights --quantize--> pack --image--> DRAM                       reference: the same values, plainly
//! ```
//! The host never imports the simulator: it defines [`runtime::Device`], and knows a chip only as a [`target::Target`].
//! Reading order: [`model`], [`workload`], [`target`] (what is asked), [`plan`] (all of it), [`layout`] (what lies where in
//! DRAM), [`lower`] (programs), [`mapping`] and [`search`] (how it is cut), [`image`] and [`mod@reference`] (values).

pub mod alibi;
pub mod blocks;
pub mod error;
pub mod files;
pub mod image;
pub mod layout;
pub mod lower;
pub mod mapping;
pub mod mix;
pub mod model;
pub mod pack;
pub mod plan;
pub mod quantize;
pub mod reference;
pub mod rounded;
pub mod runtime;
pub mod search;
pub mod target;
pub mod weights;
pub mod workload;
