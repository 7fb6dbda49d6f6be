//! A model in several GGUF files, as llama.cpp's `llama-gguf-split` cuts them: the keys in the first, tensors in all.

use super::Gguf;
use crate::error::FormatError;

/// Which file of the model it is, from 0; how many files there are; how many tensors they have together.
const KEYS: [&str; 3] = ["split.no", "split.count", "split.tensors.count"];

impl<'a> Gguf<'a> {
    /// Files that its model is in: 1, unless it says otherwise.
    ///
    /// # Errors
    /// A count that is no number, or 0.
    pub fn files(&self) -> Result<u64, FormatError> {
        match self.optional_u64(KEYS[1])? {
            Some(0) => Err(FormatError::key(KEYS[1], "0", "1 or more")),
            count => Ok(count.unwrap_or(1)),
        }
    }

    /// Checks that all files of the model are there.
    pub(super) fn check_whole(&self) -> Result<(), FormatError> {
        let (files, joined) = (self.files()?, 1 + self.others.len() as u64);
        if files == joined {
            return Ok(());
        }
        let expected = format!("{joined}: the others are not joined to it");
        Err(FormatError::key(KEYS[1], files.to_string(), expected))
    }

    /// The files of one model, in their order, as one: keys of the first, tensors of all.
    ///
    /// # Errors
    /// Files of which one is not what its place says, tensors that are there twice or missing.
    pub fn join(files: Vec<Gguf<'a>>) -> Result<Gguf<'a>, FormatError> {
        let count = files.len() as u64;
        let must = |file: &Gguf<'_>, key: &str, expected: u64| match file.optional_u64(key)? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(FormatError::key(key, found.to_string(), expected.to_string())),
            None => Err(FormatError::key(key, "not there", expected.to_string())),
        };
        for (file, number) in files.iter().zip(0..) {
            must(file, KEYS[0], number)?;
            must(file, KEYS[1], count)?;
        }
        let mut names: Vec<&str> = files.iter().flat_map(|file| file.tensors()).map(|t| t.name()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(FormatError::tensor(twice[0], "in two of the model's files", "in one"));
        }
        let mut files = files.into_iter();
        let Some(mut first) = files.next() else {
            return Err(FormatError::key(KEYS[1], "0", "1 or more"));
        };
        must(&first, KEYS[2], names.len() as u64)?;
        first.others = files.collect();
        Ok(first)
    }
}

/// The names of all files of a model of which `name` is one, in order: `NAME-00001-of-00003.gguf`. None if it is not such a name,
/// or one of another number of files.
pub fn siblings(name: &str, count: u64) -> Option<Vec<String>> {
    let (stem, _) = numbered(name).filter(|(_, of)| *of == count)?;
    Some((1..=count).map(|i| format!("{stem}-{i:05}-of-{count:05}.gguf")).collect())
}

/// What the model is called of which a file of this name is a part, and how many parts there are.
pub fn numbered(name: &str) -> Option<(&str, u64)> {
    let number = |text: &str| -> Option<u64> {
        (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (rest, of) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let (part, of) = (number(part)?, number(of)?);
    (1 <= part && part <= of).then_some((stem, of))
}
