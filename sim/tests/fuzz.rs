//! Damaged chip files: an error or a chip, no panic, and heap in proportion.

#[path = "../../isa/tests/damage/mod.rs"]
mod damage;

use lutsim_sim::chip_file::{BUILTIN, ChipFile};

#[test]
fn chips() {
    for (name, text) in BUILTIN {
        let accepted = damage::texts(text, 1_500, (400, 1 << 20), |text| {
            ChipFile::parse("chip.toml", text, &[]).is_ok()
        });
        assert!((30..1_470).contains(&accepted), "{name}: {accepted} of 1500: the damage is of one kind");
    }
}
