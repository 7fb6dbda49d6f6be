//! Model files: bytes in, checked tensors and metadata out.
//!
//! ```text
//! file --map--> bytes --gguf--------> keys, tensors --types, blocks--> rows of codes and scales, or of floats
//!                     |                  |----------> dimensions, tensors in their places
//!                     |                  `----------> tokenizer: text to ids and back
//!                     --safetensors-> tensors -------packed----------> the same rows
//!                     --config------> the same dimensions --checkpoint--> those tensors in their places
//! ```
//! Everything but [`map`] works on bytes in memory, whoever put them there. A reader never panics on what a file holds and
//! never allocates by a number that it read before that number was checked against the bytes that are there.
//! Reading order: [`types`] (one row per tensor type), [`gguf`], [`coded`] (what the hardware's lowering wants),
//! [`dimensions`] (one row per family of models), [`config`].

mod bytes;
pub mod checkpoint;
pub mod coded;
pub mod config;
pub mod dimensions;
pub mod error;
pub mod gguf;
pub mod map;
pub mod packed;
pub mod roles;
pub mod safetensors;
pub mod tensor;
pub mod tokenizer;
pub mod types;
