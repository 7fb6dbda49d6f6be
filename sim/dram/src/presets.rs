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

presets![
    "lpddr5x_8448",
    "lpddr5x_8533",
    "lpddr5x_9600",
    "lpddr4x_4267",
    "ddr5_6400",
    "hbm2e_3200",
    "hbm3_6400",
    "gddr6_16000",
    "ds3_ddr4_3200",
    "ds3_ddr4_3200_1r",
    "ds3_ddr4_3200_bgi",
    "ds3_gddr6",
    "ds3_hbm2_1ch",
    "ds3_hbm2_1ch_bgi",
    "ds3_hbm2_8ch",
    "ds3_lpddr4_2400",
    "ds3_lpddr4_2400_bgi",
    "ram_ddr4_3200",
    "ram_ddr5_4800",
    "ram_gddr6",
    "ram_hbm2_2000",
    "ram_hbm3_6400",
    "ram_lpddr5_6400",
];
