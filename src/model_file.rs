//! Model files on the command line: found by what is in them, and said about in one way.

use std::io::Read;
use std::path::{Path, PathBuf};

use lutsim_formats::config::Config;
use lutsim_formats::gguf::Gguf;
use lutsim_formats::map::Mapped;
use lutsim_host::files::{self, FileModel};
use lutsim_host::model::Model;
use lutsim_sim::chip_file::Override;

use crate::failure::{Failure, UserError};
use crate::resolve;

/// Why a model file cannot be used.
pub fn wrong(path: &Path, error: impl std::fmt::Display) -> Failure {
    let path = path.display().to_string();
    let why = error.to_string();
    // What names the file itself does so once.
    let why = why.strip_prefix(&format!("{path}: ")).unwrap_or(&why);
    let why = why.split(" (os error").next().unwrap_or(why).to_owned();
    UserError::Model { path, why }.into()
}

/// What a model is called after its file.
pub fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned())
}

/// The path, if a file is there that begins as GGUF files do.
pub fn gguf(name: &str) -> Option<PathBuf> {
    let mut magic = [0; 4];
    let path = Path::new(name);
    let begins = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    (path.is_file() && begins.is_ok() && magic == *b"GGUF").then(|| path.into())
}

/// Opens a GGUF file and calls `body` with it and its model.
///
/// # Errors
/// A file that cannot be used, and what `body` says.
pub fn with_gguf<T>(
    path: &Path,
    body: impl FnOnce(&Gguf<'_>, &FileModel<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mapped = Mapped::open(path).map_err(|e| wrong(path, e))?;
    let gguf = Gguf::parse(&mapped).map_err(|e| wrong(path, e))?;
    let file = FileModel::of(&stem(path), &gguf).map_err(|e| wrong(path, e))?;
    body(&gguf, &file)
}

/// A file's types as the workload's.
pub fn types(file: &FileModel<'_>) -> Vec<Override> {
    let set = |key: &str, value: String| Override::flag("--model", &format!("workload.{key}"), &value);
    vec![
        set("weights", file.weights.kind.to_string()),
        set("group", file.weights.group.to_string()),
        set("head", file.head.kind.to_string()),
        set("head_group", file.head.group.to_string()),
    ]
}

/// The dimensions of a Hugging Face `config.json`.
///
/// # Errors
/// It cannot be read, or describes nothing that can be run.
pub fn config(path: &Path) -> Result<Model, Failure> {
    let bytes = resolve::read_bytes(path)?;
    let config = Config::parse(&bytes).map_err(|e| wrong(path, e))?;
    // All are called config.json: the folder says whose it is.
    let folder =
        path.canonicalize().ok().and_then(|p| Some(p.parent()?.file_name()?.to_string_lossy().into_owned()));
    let name = match stem(path).as_str() {
        "config" => folder.unwrap_or_else(|| "config".into()),
        other => other.to_owned(),
    };
    files::model(&name, &config.dimensions).map_err(|e| wrong(path, e))
}
