//! Where bytes go: data to stdout, words to stderr, files whole or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use crate::failure::{self, Failure, UserError};
use crate::resolve::why;

/// Writes data to stdout.
///
/// # Errors
/// The pipe is broken, or the disk is full.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| failure::stdout(&e))
}

/// Writes a line to stderr; if nobody listens, so be it.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a user's error to stderr. Lines are broken for a terminal only: in a file a sentence is searched for whole, and where a
/// line ends must not depend on the length of a path.
pub fn complain(report: &dyn Diagnostic) {
    let terminal = io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(100).with_wrap_lines(terminal).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, report) {
        Ok(()) => say(text.trim_end()),
        Err(_) => say(&report.to_string()),
    }
}

/// The folder or file that is being written, to be removed if the process is told to stop.
pub struct Unfinished;

static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

impl Unfinished {
    /// Removes it, if there is one. A rename in progress is waited for.
    pub fn remove() {
        let mut slot = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = slot.take() {
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir_all(path);
        }
    }
    fn set(path: Option<PathBuf>) {
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }
}

/// An output folder: prepared before the run, so that one that cannot be written is found then; filled in a temporary
/// sibling after it; and put in its place by a rename.
#[derive(Debug)]
pub struct OutDir {
    target: PathBuf,
    work: PathBuf,
    exists: bool,
}

impl OutDir {
    /// Makes the temporary folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn prepare(target: &Path) -> Result<Self, Failure> {
        let refuse =
            |why: String| Failure::from(UserError::Write { path: target.display().to_string(), why });
        let exists = target.exists();
        if exists && !target.is_dir() {
            return Err(refuse("it is a file, not a folder".into()));
        }
        let name = target.file_name().map_or("out".into(), |n| n.to_string_lossy().into_owned());
        let parent = match target.parent() {
            _ if exists => target,
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).map_err(|e| refuse(why(&e)))?;
        let work = parent.join(format!(".{name}.{}.unfinished", std::process::id()));
        Unfinished::set(Some(work.clone()));
        if let Err(e) = std::fs::create_dir(&work).and_then(|()| std::fs::write(work.join("probe"), b"")) {
            Unfinished::remove();
            return Err(refuse(why(&e)));
        }
        let _ = std::fs::remove_file(work.join("probe"));
        Ok(Self { target: target.to_owned(), work, exists })
    }

    /// Writes all files and puts them in place; the last one named is put last.
    ///
    /// # Errors
    /// The disk is full, or the folder is gone.
    pub fn commit<T: AsRef<[u8]>>(self, files: &[(&str, T)]) -> Result<(), Failure> {
        self.fill(files).map_err(|e| {
            Unfinished::remove();
            UserError::Write { path: self.target.display().to_string(), why: why(&e) }.into()
        })
    }

    fn fill<T: AsRef<[u8]>>(&self, files: &[(&str, T)]) -> io::Result<()> {
        for (name, bytes) in files {
            let mut file = std::fs::File::create(self.work.join(name))?;
            file.write_all(bytes.as_ref())?;
            file.sync_all()?;
        }
        // While the lock is held, an interrupt waits: either nothing is in place or everything is.
        let mut slot = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        if self.exists {
            for (name, _) in files {
                std::fs::rename(self.work.join(name), self.target.join(name))?;
            }
            std::fs::remove_dir(&self.work)?;
        } else {
            std::fs::rename(&self.work, &self.target)?;
        }
        *slot = None;
        let folder = if self.exists { Some(self.target.as_path()) } else { self.target.parent() };
        if let Some(folder) = folder.filter(|f| !f.as_os_str().is_empty()) {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for OutDir {
    fn drop(&mut self) {
        if self.work.exists() {
            Unfinished::remove();
        }
    }
}

/// One output file: its temporary sibling is made before the run, so that one that cannot be written is found then.
#[derive(Debug)]
pub struct OutFile {
    target: PathBuf,
    work: PathBuf,
}

impl OutFile {
    /// Makes the temporary sibling.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(target: &Path) -> Result<Self, Failure> {
        let name = target.file_name().map_or("out".into(), |n| n.to_string_lossy().into_owned());
        let work = target.with_file_name(format!(".{name}.{}.unfinished", std::process::id()));
        let file = Self { target: target.to_owned(), work };
        if target.is_dir() {
            return Err(file.refuse("it is a folder"));
        }
        Unfinished::set(Some(file.work.clone()));
        std::fs::File::create(&file.work).map_err(|e| file.refuse(&why(&e)))?;
        Ok(file)
    }

    /// The same for a file that is not there yet, or with `force` may be written over; nothing is ever added to one.
    ///
    /// # Errors
    /// It exists, or cannot be written.
    pub fn fresh(target: &Path, force: bool) -> Result<Self, Failure> {
        if target.exists() && !target.is_dir() && !force {
            let what = format!("`{}` exists: it is neither written over nor added to", target.display());
            let help = "choose another name, or give --force".into();
            return Err(UserError::Refused { what, help }.into());
        }
        Self::prepare(target)
    }

    fn refuse(&self, why: &str) -> Failure {
        UserError::Write { path: self.target.display().to_string(), why: why.into() }.into()
    }

    /// Writes it and puts it in place.
    ///
    /// # Errors
    /// The disk is full, or the folder is gone.
    pub fn commit(self, bytes: &[u8]) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let mut file = std::fs::File::create(&self.work)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&self.work, &self.target)
        };
        write().map_err(|e| self.refuse(&why(&e)))
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.work);
        Unfinished::set(None);
    }
}

/// Writes one file through a temporary sibling.
///
/// # Errors
/// It cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    OutFile::prepare(path)?.commit(bytes)
}
