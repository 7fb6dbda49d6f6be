//! Byte-level BPE: a text is split into words, the bytes of a word become letters, and letters merge in a fixed order.

use std::collections::HashMap;

use super::merge::{merge, symbols};
use super::split::Splitter;
use super::{TOKENS, TokenKind};
use crate::error::FormatError;
use crate::gguf::{Gguf, ValueType};

/// Vocabulary and merges.
#[derive(Debug)]
pub(super) struct Bpe<'a> {
    ids: HashMap<&'a str, u32>,
    merges: Merges,
    /// The token of each byte.
    bytes: Vec<u32>,
    splitter: &'static Splitter,
}

/// The letter that stands for a byte: itself if it can be seen in Latin-1, otherwise one from U+0100 on, in order (GPT-2).
fn letter(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        // 33 bytes before the first visible ones, then 34 between, then one.
        0..=0x20 => char::from_u32(0x100 + u32::from(byte)).unwrap_or_default(),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte - 0x7f)).unwrap_or_default(),
        0xad => '\u{143}',
    }
}

/// The byte that a letter stands for.
fn byte_of(letter: char) -> Option<u8> {
    match u32::from(letter) {
        c @ 0x100..=0x120 => Some((c - 0x100) as u8),
        c @ 0x121..=0x142 => Some((c - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        c => u8::try_from(c).ok().filter(|&byte| self::letter(byte) == letter),
    }
}

/// The bytes of a token; a character that is no byte's stays what it is.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Rank and token of two tokens that merge.
pub(super) type Merges = HashMap<(u32, u32), (u32, u32)>;

/// The merges of a file.
pub(super) fn merges(file: &Gguf<'_>, ids: &HashMap<&str, u32>) -> Result<Merges, FormatError> {
    let key = "tokenizer.ggml.merges";
    let list = file
        .optional_array(key, ValueType::Str)?
        .ok_or_else(|| FormatError::key(key, "not there", "an array of strings"))?;
    let mut merges = HashMap::with_capacity(list.len as usize);
    for (rank, pair) in list.iter().filter_map(|v| v.as_str()).enumerate() {
        let wrong = || {
            let found = format!("merge {rank} is `{}`", pair.escape_debug());
            FormatError::key(key, found, "two tokens, a space between, that are a token together")
        };
        // No token that merges has a space: bytes are letters, and SentencePiece has U+2581 for it.
        let (left, right) = pair.split_once(' ').ok_or_else(wrong)?;
        let joined = [left, right].concat();
        let [left, right, joined] =
            [left, right, &joined].map(|text| ids.get(text).copied().ok_or_else(wrong));
        merges.entry((left?, right?)).or_insert((rank as u32, joined?));
    }
    Ok(merges)
}

/// The first token of each text.
pub(super) fn ids<'a>(tokens: &[(&'a str, TokenKind)]) -> HashMap<&'a str, u32> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (i, (text, _)) in tokens.iter().enumerate() {
        ids.entry(*text).or_insert(i as u32);
    }
    ids
}

impl<'a> Bpe<'a> {
    pub(super) fn of(file: &Gguf<'a>, tokens: &[(&'a str, TokenKind)]) -> Result<Bpe<'a>, FormatError> {
        let ids = ids(tokens);
        let byte = |byte: u8| {
            ids.get(&*letter(byte).encode_utf8(&mut [0; 4])).copied().ok_or_else(|| {
                FormatError::key(TOKENS, format!("no token for byte {byte}"), "one for each of the 256")
            })
        };
        let bytes = (0..=255).map(byte).collect::<Result<_, _>>()?;

        let merges = merges(file, &ids)?;
        Ok(Bpe { ids, merges, bytes, splitter: Splitter::of(file)? })
    }
    /// Whether texts begin with a token of their own unless the file says otherwise.
    pub(super) fn adds_bos(&self) -> bool {
        self.splitter.adds_bos
    }
    /// Appends the ids of a text.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        for word in self.splitter.words(text) {
            if self.splitter.whole_words {
                let letters: String = word.bytes().map(letter).collect();
                if let Some(&id) = self.ids.get(letters.as_str()) {
                    ids.push(id);
                    continue;
                }
            }
            let mut all = symbols(word.bytes().map(|byte| (1, Some(self.bytes[usize::from(byte)]))));
            merge(&mut all, |left, right| self.merges.get(&(left.id?, right.id?)).copied());
            ids.extend(all.iter().filter(|s| s.len > 0).filter_map(|s| s.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let mut letters: Vec<char> = (0..=255).map(letter).collect();
        for (byte, &letter) in letters.iter().enumerate() {
            assert_eq!(byte_of(letter), Some(byte as u8));
        }
        assert_eq!(
            (letters[b' ' as usize], letters[b'\n' as usize], letters[b'A' as usize]),
            ('\u{120}', '\u{10a}', 'A')
        );
        letters.sort_unstable();
        letters.dedup();
        assert_eq!((letters.len(), byte_of('\u{144}'), byte_of(' ')), (256, None, None));
    }
}
