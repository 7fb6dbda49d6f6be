//! Lists the descriptions in `configs/dram`, so that adding a standard is adding a file.

use std::path::Path;
use std::{env, fs};

fn main() {
    let folder =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../configs/dram");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().expect("it has an extension").to_string_lossy().into_owned())
        .collect();
    // Those for users come first, those of the references after them.
    names.sort_by_key(|name| (name.starts_with("ds3_") || name.starts_with("ram_"), name.clone()));
    let texts: String = names
        .iter()
        .map(|name| {
            let path = folder.join(name).with_extension("toml");
            format!("    ({name:?}, include_str!({:?})),\n", path.display().to_string())
        })
        .collect();
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("presets.rs");
    let code = format!(
        "/// Names, in the order of the list.\npub(crate) const NAMES: &[&str] = &{names:?};\n\
         /// Name and text of each.\npub(crate) const TEXTS: &[(&str, &str)] = &[\n{texts}];\n"
    );
    fs::write(&out, code).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}
