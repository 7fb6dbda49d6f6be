//! Names to files: an existing path, else a built-in name with or without `.toml`.

use std::path::Path;

use lutsim_baselines::Hardware;
use lutsim_dram::{Policy, Standard, configuration};
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_sim::chip_file::{self, ChipFile, Override};

use crate::failure::{DramFault, Failure, HardwareFault, HostFault, UserError};
use crate::model_file;

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

/// The DRAM standard that `name` means, and the policy of its controller.
///
/// # Errors
/// There is no such standard, or something in its file is wrong.
pub fn standard(name: &str) -> Result<(Standard, Policy), Failure> {
    let path = Path::new(name);
    if path.is_file() {
        let text = read_text(path)?;
        let read = |text: &str| {
            let standard = Standard::parse(name, text)?;
            let policy = Policy::by_name(&standard.policy)?;
            Ok((standard, policy))
        };
        return read(&text).map_err(|e| DramFault::of_text(e, name, text).into());
    }
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    configuration(stem).map_err(|e| DramFault::from(e).into())
}

/// The machine that `name` means.
///
/// # Errors
/// There is no such machine, or something in its file is wrong.
pub fn hardware(name: &str) -> Result<Hardware, Failure> {
    let path = Path::new(name);
    if path.is_file() {
        let text = read_text(path)?;
        return Hardware::parse(name, &text).map_err(|e| HardwareFault::of_file(e, text).into());
    }
    Ok(Hardware::builtin(name)?)
}

/// The model that `name` means.
///
/// # Errors
/// There is no such model, or something in its file is wrong.
pub fn model(name: &str) -> Result<Model, Failure> {
    let path = Path::new(name);
    if path.is_dir() {
        return model_file::config(&path.join("config.json"));
    }
    if path.is_file() && path.extension().is_some_and(|e| e == "json") {
        return model_file::config(path);
    }
    if path.is_file() {
        let text = read_text(path)?;
        return Model::parse(name, &text).map_err(|e| HostFault::of_file(e, text).into());
    }
    Model::builtin(name).map_err(|e| HostFault::from(e).into())
}

/// The mapping of a file.
///
/// # Errors
/// It cannot be read, or is no mapping.
pub fn mapping(path: &Path) -> Result<Mapping, Failure> {
    let text = read_text(path)?;
    Mapping::parse(&path.display().to_string(), &text).map_err(|e| HostFault::of_file(e, text).into())
}
