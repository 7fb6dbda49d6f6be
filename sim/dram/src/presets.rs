//! The descriptions under `configs/dram`, compiled in; `build.rs` lists them.

include!(concat!(env!("OUT_DIR"), "/presets.rs"));
