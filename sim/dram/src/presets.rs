//! The descriptions under `configs/dram`, compiled in.

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        /// Names, in the order of the list.
        pub(crate) const NAMES: &[&str] = &[$($name),*];
        /// Name and text of each.
        pub(crate) const TEXTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../configs/dram/", $name, ".toml")))),*];
    };
}

presets!["lpddr5x_9600"];
