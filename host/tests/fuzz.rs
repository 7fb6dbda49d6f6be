//! Damaged model files of dimensions: an error or a model, no panic, and heap in proportion.

#[path = "../../isa/tests/damage/mod.rs"]
mod damage;

use lutsim_host::model::Model;

#[test]
fn models() {
    for name in ["tiny-2l", "llama-3.2-1b", "bloom-176b"] {
        let path = format!("{}/../configs/models/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let accepted =
            damage::texts(&text, 4_000, (400, 1 << 16), |text| Model::parse("model.toml", text).is_ok());
        assert!((100..3_900).contains(&accepted), "{name}: {accepted} of 4000: the damage is of one kind");
    }
}
