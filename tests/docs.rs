//! The generated documents are what the code says; `LUTSIM_BLESS=1` writes them.

use std::path::Path;

#[test]
fn generated_documents_are_fresh() {
    for (name, text) in lutsim::commands::docs::generated() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if std::env::var_os("LUTSIM_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "docs/{name} is not fresh: run `cargo run -- docs` and look at the difference"
        );
    }
}
