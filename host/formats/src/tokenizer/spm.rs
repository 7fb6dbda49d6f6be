//! SentencePiece's BPE: characters merge by the score of what they become, or in the order of a list where a file has no scores; a
//! character without a token becomes its bytes.

use std::collections::HashMap;

use super::bpe::{self, Merges};
use super::merge::{merge, symbols};
use super::spaces::Prefix;
use super::{TOKENS, TokenKind};
use crate::error::FormatError;
use crate::gguf::{Gguf, ValueType};

/// What a space is in tokens.
pub(super) const SPACE: &str = "\u{2581}";

/// Vocabulary with scores, or merges.
#[derive(Debug)]
pub(super) struct Spm<'a> {
    /// Key (the higher the score, the lower) and id of each text.
    pieces: HashMap<&'a str, (u32, u32)>,
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
    merges: Option<Merges>,
    prefix: Prefix,
}

impl<'a> Spm<'a> {
    pub(super) fn of(
        file: &Gguf<'a>,
        tokens: &[(&'a str, TokenKind)],
        unknown: Option<u32>,
    ) -> Result<Spm<'a>, FormatError> {
        let key = "tokenizer.ggml.scores";
        let wrong = |found: String| FormatError::key(key, found, format!("{} finite numbers", tokens.len()));
        let scores = file.optional_array(key, ValueType::F32)?;
        // Old files have both: scores then say it all.
        let merges = match &scores {
            Some(scores) if scores.len != tokens.len() as u64 => {
                return Err(wrong(format!("{} numbers", scores.len)));
            }
            Some(_) => None,
            None if file.get("tokenizer.ggml.merges").is_some() => {
                Some(bpe::merges(file, &bpe::ids(tokens))?)
            }
            None => return Err(wrong("not there".into())),
        };
        let mut scores = scores.iter().flat_map(|scores| scores.iter());
        let mut pieces = HashMap::with_capacity(tokens.len());
        let mut bytes = vec![None; 256];
        for (i, &(text, kind)) in tokens.iter().enumerate() {
            let score = match &merges {
                Some(_) => 0.0,
                None => {
                    let score = scores.next().and_then(|score| score.as_f64()).filter(|s| s.is_finite());
                    score.ok_or_else(|| wrong(format!("not one for token {i}")))? as f32
                }
            };
            match kind {
                TokenKind::Normal | TokenKind::UserDefined => {
                    // Of two tokens with one text the first is it.
                    pieces.entry(text).or_insert((descending(score), i as u32));
                }
                TokenKind::Byte => {
                    let byte = byte(text).ok_or_else(|| {
                        let found = format!("token {i}, of a byte, is `{}`", text.escape_debug());
                        FormatError::key(TOKENS, found, "`<0x00>` to `<0xFF>`")
                    })?;
                    bytes[usize::from(byte)] = Some(i as u32);
                }
                TokenKind::Unknown | TokenKind::Control | TokenKind::Unused => {}
            }
        }
        let unknown =
            unknown.or_else(|| tokens.iter().position(|(_, k)| *k == TokenKind::Unknown).map(|i| i as u32));
        if unknown.is_none()
            && let Some(byte) = bytes.iter().position(Option::is_none)
        {
            let found = format!("no token for byte {byte}, and none for what is unknown");
            return Err(FormatError::key(TOKENS, found, "either"));
        }
        Ok(Spm { pieces, bytes, unknown, merges, prefix: Prefix::of(file)? })
    }
    /// Whether a space is put before a text.
    pub(super) fn adds_space(&self) -> bool {
        self.prefix != Prefix::Never
    }
    /// Appends the ids of a text that begins (`first`), or that follows a special token.
    pub(super) fn encode(&self, text: &str, first: bool, ids: &mut Vec<u32>) {
        let mut text = text.replace(' ', SPACE);
        if self.prefix.before(&text, first) {
            text.insert_str(0, SPACE);
        }
        let id = |text: &str| self.pieces.get(text).map(|&(_, id)| id);
        let mut all = symbols(text.char_indices().map(|(at, c)| {
            let len = c.len_utf8();
            (len, id(&text[at..at + len]))
        }));
        merge(&mut all, |left, right| match &self.merges {
            Some(merges) => merges.get(&(left.id?, right.id?)).copied(),
            None => self.pieces.get(&text[left.at..right.at + right.len]).copied(),
        });
        for symbol in all.iter().filter(|s| s.len > 0) {
            match symbol.id {
                Some(id) => ids.push(id),
                // A single character.
                None => self.push_bytes(&text.as_bytes()[symbol.at..symbol.at + symbol.len], ids),
            }
        }
    }
    fn push_bytes(&self, bytes: &[u8], ids: &mut Vec<u32>) {
        let known: Option<Vec<u32>> = bytes.iter().map(|&byte| self.bytes[usize::from(byte)]).collect();
        match known {
            Some(known) => ids.extend(known),
            // Neighbouring characters that are unknown are one unknown token.
            None if ids.last().copied() == self.unknown => {}
            None => ids.extend(self.unknown),
        }
    }
}

/// A number that is the lower, the higher the score is.
fn descending(score: f32) -> u32 {
    // Adding 0 makes -0 and 0 the same.
    let bits = (score + 0.0).to_bits();
    if score < 0.0 { bits } else { !bits & 0x7fff_ffff }
}

/// The byte of a token like `<0x0A>`.
pub(super) fn byte(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let two = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    two.then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_have_lower_keys() {
        let scores = [f32::MAX, 2.0, 1.0, f32::MIN_POSITIVE, 0.0, -1e-9, -1.0, -2.0, -1e9];
        assert!(scores.windows(2).all(|pair| descending(pair[0]) < descending(pair[1])));
        assert_eq!(descending(0.0), descending(-0.0));
    }

    #[test]
    fn bytes() {
        assert_eq!([byte("<0x00>"), byte("<0xfF>")], [Some(0), Some(255)]);
        assert_eq!([byte("<0x0>"), byte("<0x000>"), byte("a"), byte("<0x+1>")], [None; 4]);
    }
}
