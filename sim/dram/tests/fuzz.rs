//! Damaged request traces and standards: an error or what was meant, no panic, and heap in proportion.

#[path = "../../../isa/tests/damage/mod.rs"]
mod damage;

use lutsim_dram::{Standard, parse_trace};

#[test]
fn traces_and_standards() {
    let standard = Standard::builtin("lpddr5x_9600").unwrap();
    let trace = "# tick, kind, address\n0 R 0x0\n0 W 0x40 # a comment\n12 R 0x3fffffc0\n1000000 W 0x80\n";
    let accepted = damage::texts(trace, 20_000, (40, 4096), |text| parse_trace(text, &standard).is_ok());
    assert!((1_000..19_000).contains(&accepted), "{accepted} of 20000: the damage is of one kind");
    for name in ["lpddr5x_9600", "hbm3_6400", "ddr5_6400"] {
        let path = format!("{}/../../configs/dram/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let accepted = damage::texts(&text, 2_000, (400, 1 << 20), |text| {
            Standard::parse("standard.toml", text).is_ok()
        });
        assert!((50..1_950).contains(&accepted), "{name}: {accepted} of 2000");
    }
}
