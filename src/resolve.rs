//! Names to files: an existing path, else a built-in name with or without `.toml`.

use std::path::Path;

use lutsim_sim::chip_file::{self, ChipFile, Override};

use crate::failure::{Failure, UserError};

/// Reads a text file.
///
/// # Errors
/// It cannot be read, or is not text.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| {
        UserError::Read { path: path.display().to_string(), why: "it is not a text file".into() }.into()
    })
}

/// Reads a file.
///
/// # Errors
/// It cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| UserError::Read { path: path.display().to_string(), why: why(&e) }.into())
}

/// What the system says, without its error number.
pub fn why(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The chip that `name` means, with overrides.
///
/// # Errors
/// There is no such chip, or something in it is wrong.
pub fn chip(name: &str, overrides: &[Override]) -> Result<ChipFile, Failure> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(ChipFile::parse(name, &read_text(path)?, overrides)?);
    }
    let text = chip_file::builtin_text(name)?;
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    Ok(ChipFile::parse(&format!("{stem}.toml"), text, overrides)?)
}
