//! Model files on the command line: found by what is in them, and said about in one way.

use std::io::Read;
use std::path::{Path, PathBuf};

use lutsim_formats::checkpoint::Index;
use lutsim_formats::config::Config;
use lutsim_formats::gguf::{Gguf, numbered, siblings};
use lutsim_formats::map::Mapped;
use lutsim_formats::safetensors::SafeTensors;
use lutsim_formats::tokenizer::{Tokenizer, gguf_of};
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

/// The path, if weights are there: a GGUF file, a safetensors file, or a folder with such files.
pub fn weights(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() {
        return shards(path).is_ok_and(|files| !files.is_empty()).then(|| path.into());
    }
    let mut magic = [0; 4];
    let begins = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    let found = path.is_file() && (is_safetensors(path) || begins.is_ok() && magic == *b"GGUF");
    found.then(|| path.into())
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "safetensors")
}

/// The safetensors files of a folder: those of its index, or all.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let read = Index::parse(&resolve::read_bytes(&index)?).map_err(|e| wrong(&index, e))?;
        return Ok(read.files().into_iter().map(|file| folder.join(file)).collect());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| wrong(folder, resolve::why(&e)))?;
    let mut files: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|p| is_safetensors(p)).collect();
    files.sort_unstable();
    Ok(files)
}

/// Opens a model with weights, and calls `body` with its GGUF file, if it is one, and the model.
///
/// # Errors
/// A file that cannot be used, or not as it is, and what `body` says.
pub fn with_file<T>(
    path: &Path,
    body: impl FnOnce(Option<&Gguf<'_>>, &FileModel<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_any_file(path, |gguf, file| {
        file.check().map_err(|e| wrong(path, e))?;
        body(gguf, file)
    })
}

/// [`with_file`] of a model that may need its weights in another type: `body` has to check what it makes of it.
///
/// # Errors
/// A file that cannot be used, and what `body` says.
pub fn with_any_file<T>(
    path: &Path,
    body: impl FnOnce(Option<&Gguf<'_>>, &FileModel<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if path.is_dir() || is_safetensors(path) {
        return with_checkpoint(path, |file| body(None, file));
    }
    with_gguf(path, |gguf, file| body(Some(gguf), file))
}

/// Opens a GGUF file, and those that belong to it, and calls `body` with it and its model.
///
/// # Errors
/// A file that cannot be used, and what `body` says.
pub fn with_gguf<T>(
    path: &Path,
    body: impl FnOnce(&Gguf<'_>, &FileModel<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mapped = Mapped::open(path).map_err(|e| wrong(path, e))?;
    let gguf = Gguf::parse(&mapped).map_err(|e| wrong(path, e))?;
    let count = gguf.files().map_err(|e| wrong(path, e))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if count == 1 {
        let file = FileModel::of(&stem(path), &gguf).map_err(|e| wrong(path, e))?;
        return body(&gguf, &file);
    }
    let Some(names) = siblings(&name, count) else {
        let why = format!("one of {count} files of a model, but not called NAME-00001-of-{count:05}.gguf");
        return Err(wrong(path, why));
    };
    let paths: Vec<_> = names.iter().map(|name| path.with_file_name(name)).collect();
    let maps = paths.iter().map(|path| Mapped::open(path).map_err(|e| wrong(path, e)));
    let maps = maps.collect::<Result<Vec<_>, _>>()?;
    let mut files = Vec::with_capacity(maps.len());
    for (map, path) in maps.iter().zip(&paths) {
        files.push(Gguf::parse(map).map_err(|e| wrong(path, e))?);
    }
    let gguf = Gguf::join(files).map_err(|e| wrong(path, e))?;
    let stem = numbered(&name).map_or(name.as_str(), |(stem, _)| stem);
    let file = FileModel::of(stem, &gguf).map_err(|e| wrong(path, e))?;
    body(&gguf, &file)
}

/// Opens a folder's safetensors files, or one such file, with the `config.json` beside it.
fn with_checkpoint<T>(
    path: &Path,
    body: impl FnOnce(&FileModel<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let described = folder.join("config.json");
    let config = Config::parse(&resolve::read_bytes(&described)?).map_err(|e| wrong(&described, e))?;
    let paths = if path.is_dir() { shards(path)? } else { vec![path.into()] };
    if paths.is_empty() {
        return Err(wrong(
            path,
            "a config.json alone can be timed, by `lutsim run`; expected a safetensors file",
        ));
    }
    let maps = paths.iter().map(|path| Mapped::open(path).map_err(|e| wrong(path, e)));
    let maps = maps.collect::<Result<Vec<_>, _>>()?;
    let mut files = Vec::with_capacity(maps.len());
    for (map, path) in maps.iter().zip(&paths) {
        files.push(SafeTensors::parse(map).map_err(|e| wrong(path, e))?);
    }
    // Most are called model.safetensors: the folder says whose it is.
    let name = match stem(path).as_str() {
        "model" => self::folder(path).unwrap_or_else(|| "model".into()),
        _ if path.is_dir() => self::folder(&described).unwrap_or_else(|| "model".into()),
        other => other.to_owned(),
    };
    let file = FileModel::of_checkpoint(&name, &config, &files).map_err(|e| wrong(path, e))?;
    body(&file)
}

/// The name of the folder that a file lies in.
fn folder(path: &Path) -> Option<String> {
    Some(path.canonicalize().ok()?.parent()?.file_name()?.to_string_lossy().into_owned())
}

/// Calls `body` with the tokeniser of a model: its file's, its folder's, or that of another GGUF file. One of a folder that cannot
/// be read is an error only if it is needed.
///
/// # Errors
/// A tokeniser that cannot be used, and what `body` says.
pub fn with_tokenizer<T>(
    (path, own): (&Path, Option<&Gguf<'_>>),
    (other, needed): (Option<&Path>, bool),
    vocab: u32,
    body: impl FnOnce(Option<&Tokenizer<'_>>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(other) = other else {
        let beside = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let json = beside.join("tokenizer.json");
        if own.is_some() || !json.is_file() {
            // Ids do without, if the file has none at all.
            let own = own.filter(|gguf| needed || gguf.get("tokenizer.ggml.model").is_some());
            let tokenizer = own.map(Tokenizer::of).transpose().map_err(|e| wrong(path, lent(&e)))?;
            return body(tokenizer.as_ref());
        }
        // As the keys of a GGUF file.
        let described = resolve::read_bytes(&beside.join("config.json"))?;
        let bytes = match gguf_of(&resolve::read_bytes(&json)?, &described) {
            Ok(bytes) => bytes,
            // Ids do without.
            Err(_) if !needed => return body(None),
            Err(error) => return Err(wrong(&json, lent(&error))),
        };
        let gguf = Gguf::parse(&bytes).map_err(|e| wrong(&json, e))?;
        let tokenizer = Tokenizer::of(&gguf).map_err(|e| wrong(&json, e))?;
        fits(&tokenizer, vocab, &json)?;
        return body(Some(&tokenizer));
    };
    let mapped = Mapped::open(other).map_err(|e| wrong(other, e))?;
    let gguf = Gguf::parse(&mapped).map_err(|e| wrong(other, e))?;
    let tokenizer = Tokenizer::of(&gguf).map_err(|e| wrong(other, e))?;
    fits(&tokenizer, vocab, other)?;
    body(Some(&tokenizer))
}

/// What is wrong with a model's own tokeniser, and the way around it.
fn lent(error: &impl std::fmt::Display) -> String {
    format!("{error}; --tokenizer FILE.gguf lends another")
}

/// Refuses a tokeniser with more tokens than the model has.
fn fits(tokenizer: &Tokenizer<'_>, vocab: u32, path: &Path) -> Result<(), Failure> {
    if tokenizer.len() <= vocab as usize {
        return Ok(());
    }
    Err(wrong(path, format!("a tokeniser of {} tokens, the model has {vocab}", tokenizer.len())))
}

/// That a text needs a tokeniser.
pub fn no_tokenizer(path: &Path, help: &str) -> Failure {
    let what = format!("`{}` has no tokeniser that is read", path.display());
    UserError::Refused { what, help: help.into() }.into()
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
    let name = match stem(path).as_str() {
        "config" => folder(path).unwrap_or_else(|| "config".into()),
        other => other.to_owned(),
    };
    files::model(&name, &config.dimensions).map_err(|e| wrong(path, e))
}
