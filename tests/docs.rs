//! The generated documents are what the code says.

use std::path::Path;

#[test]
fn generated_documents_are_fresh() {
    for (name, text) in lutsim::commands::docs::generated() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "docs/{name} is not fresh: run `cargo run -- docs` and look at the difference"
        );
    }
}
