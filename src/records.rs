//! Saved records: where they are, and whether they can be trusted.

use std::path::{Path, PathBuf};

use lutsim_record::Record;

use crate::failure::{Failure, UserError};
use crate::resolve::read_text;

/// The record that `name` means: a file, or the `record.json` of a run's folder.
pub fn path(name: &Path) -> PathBuf {
    match name.is_dir() {
        true => name.join("record.json"),
        false => name.to_owned(),
    }
}

/// Reads a record and checks that it adds up.
///
/// # Errors
/// It cannot be read, is cut off, is of another schema version, or does not add up.
pub fn read(name: &Path) -> Result<Record, Failure> {
    let path = path(name);
    let refuse = |why: String| UserError::Record { path: path.display().to_string(), why };
    let record = Record::from_json(&read_text(&path)?).map_err(|e| refuse(e.to_string()))?;
    let broken = lutsim_record::check(&record);
    if !broken.is_empty() {
        let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
        return Err(refuse(lines.join("; ")).into());
    }
    Ok(record)
}
