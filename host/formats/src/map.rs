//! A file as bytes in memory, without reading it: pages come when they are touched, and cost no heap.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::error::FormatError;

/// A file mapped for reading.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Map the file at `path`.
    ///
    /// The file must not be changed or truncated by another process while it is mapped: what is read would change, and
    /// reading behind a new end stops the process (SIGBUS). Model files are written once.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the file cannot be opened or mapped, or is empty.
    pub fn open(path: &Path) -> Result<Mapped, FormatError> {
        let said = |message: String| FormatError::Io { path: path.display().to_string(), message };
        let file = File::open(path).map_err(|e| said(e.to_string()))?;
        let meta = file.metadata().map_err(|e| said(e.to_string()))?;
        if !meta.is_file() {
            return Err(said("not a file".into()));
        }
        if meta.len() == 0 {
            return Err(said("empty, expected a model file".into()));
        }
        // SAFETY: the map is private to this value and read only; that nobody changes the file is the caller's part,
        // said above.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| said(e.to_string()))?;
        Ok(Mapped(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_is_not_a_file_is_named() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(&Mapped::open(&here.join("Cargo.toml")).unwrap()[..9], b"[package]");
        let error = Mapped::open(&here.join("src")).unwrap_err();
        assert!(error.to_string().ends_with("src: not a file"), "{error}");
        let error = Mapped::open(&here.join("absent.gguf")).unwrap_err();
        assert!(error.to_string().contains("absent.gguf: "), "{error}");
    }
}
