//! What must hold of every run, each law or family of laws a file.
//!
//! ```text
//! every        causes sum to cycles, bytes account, rooflines, order: checked on every program that is run here
//! engines      tick is skip, in any order: random programs on random chips
//! steps        models on chips, step by step and phase by phase; weight bytes; same input, same bytes; values
//! monotone     a larger chip is not slower       affine       decode time over context
//! saturation   each part at its limit            programs     random programs and chips
//! others       other masters of the memory, and the width of the way to it
//! ```

mod affine;
mod engines;
mod every;
mod monotone;
mod others;
mod programs;
mod saturation;

mod steps;
