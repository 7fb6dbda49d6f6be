//! Text to token ids and back, with the vocabulary of a GGUF file, or of a `tokenizer.json` in its words ([`gguf_of`]).
//!
//! ```text
//! text --special tokens cut out--> pieces --split (byte-level BPE only)--> words --merge--> ids
//! ```
//! Two kinds, as `tokenizer.ggml.model` names them: `llama` is SentencePiece's BPE (the best score merges first, unknown
//! characters become bytes), `gpt2` is byte-level BPE (words, bytes as letters, the earliest merge first). Our own, because
//! the `tokenizers` crate does not read a GGUF's metadata and brings two regular-expression engines.
//! What is built here is a few times the size of the vocabulary in the file.

mod bpe;
mod json;
mod merge;
mod spaces;
mod split;
mod spm;

use std::collections::HashMap;

use crate::error::FormatError;
use crate::gguf::{Gguf, Value, ValueType};
pub use json::gguf_of;

const TOKENS: &str = "tokenizer.ggml.tokens";
/// Ids of special tokens that take the white space behind them; a key of our own.
const RSTRIP: &str = "tokenizer.lutsim.rstrip";

/// What a token is (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// What text is that has no token.
    Unknown,
    /// Begins, ends or separates texts; is no text.
    Control,
    /// Text that is this token wherever it is found.
    UserDefined,
    /// In no text.
    Unused,
    /// One byte (SentencePiece).
    Byte,
}

const KINDS: [TokenKind; 6] = [
    TokenKind::Normal,
    TokenKind::Unknown,
    TokenKind::Control,
    TokenKind::UserDefined,
    TokenKind::Unused,
    TokenKind::Byte,
];

/// What text like `<|endoftext|>` in a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Text, as any other: what a user typed.
    Text,
    /// The control token.
    Token,
}

/// A vocabulary, and how texts are cut into its tokens.
#[derive(Debug)]
pub struct Tokenizer<'a> {
    tokens: Vec<(&'a str, TokenKind)>,
    model: Model<'a>,
    /// Control, unknown and user-defined tokens by first byte, the longest first.
    special: HashMap<u8, Vec<u32>>,
    /// Those that take the white space behind them.
    rstrip: Vec<u32>,
    bos: Option<u32>,
    ends: Vec<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
}

#[derive(Debug)]
enum Model<'a> {
    Spm(spm::Spm<'a>),
    Bpe(bpe::Bpe<'a>),
}

impl<'a> Tokenizer<'a> {
    /// The tokeniser of a file.
    ///
    /// # Errors
    /// A key that is missing, or does not fit the others; a kind or a `tokenizer.ggml.pre` that is not read.
    pub fn of(file: &Gguf<'a>) -> Result<Tokenizer<'a>, FormatError> {
        let missing = |key: &str, expected: &str| FormatError::key(key, "not there", expected);
        let key = "tokenizer.ggml.model";
        let kind = file.optional_str(key)?.ok_or_else(|| missing(key, "`llama` or `gpt2`"))?;
        let texts = file
            .optional_array(TOKENS, ValueType::Str)?
            .ok_or_else(|| missing(TOKENS, "an array of strings"))?;
        let kinds = kinds(file, texts.len)?;
        let kind_at = |i: usize| kinds.get(i).copied().unwrap_or(TokenKind::Normal);
        let tokens: Vec<_> =
            texts.iter().filter_map(|v| v.as_str()).enumerate().map(|(i, text)| (text, kind_at(i))).collect();

        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            match file.optional_u64(&key)? {
                Some(id) if id >= texts.len => {
                    let expected = format!("one of the {} tokens", texts.len);
                    Err(FormatError::key(key, id.to_string(), expected))
                }
                id => Ok(id.map(|id| id as u32)),
            }
        };
        let unknown = id("unknown")?;
        let model = match kind {
            "llama" => Model::Spm(spm::Spm::of(file, &tokens, unknown)?),
            "gpt2" => Model::Bpe(bpe::Bpe::of(file, &tokens)?),
            other => return Err(FormatError::key(key, format!("`{other}`"), "`llama` or `gpt2`")),
        };
        let flag = |name: &str, default: bool| {
            Ok(file.optional_bool(&format!("tokenizer.ggml.add_{name}_token"))?.unwrap_or(default))
        };
        let mut special: HashMap<u8, Vec<u32>> = HashMap::new();
        for (i, (text, kind)) in tokens.iter().enumerate() {
            use TokenKind::{Control, Unknown, UserDefined};
            if let (Control | UserDefined | Unknown, Some(&first)) = (kind, text.as_bytes().first()) {
                special.entry(first).or_default().push(i as u32);
            }
        }
        for ids in special.values_mut() {
            ids.sort_by_key(|&id| std::cmp::Reverse(tokens[id as usize].0.len()));
        }
        let eos = id("eos")?;
        let adds_bos = match &model {
            Model::Spm(_) => true,
            Model::Bpe(bpe) => bpe.adds_bos(),
        };
        let rstrip = file.optional_array(RSTRIP, ValueType::U32)?;
        let rstrip = rstrip.iter().flat_map(|ids| ids.iter()).filter_map(|id| id.as_u64());
        Ok(Tokenizer {
            rstrip: rstrip.map(|id| id as u32).collect(),
            bos: id("bos")?,
            ends: [eos, id("eot")?, id("eom")?].into_iter().flatten().collect(),
            eos,
            add_bos: flag("bos", adds_bos)?,
            add_eos: flag("eos", false)?,
            tokens,
            model,
            special,
        })
    }
    /// Tokens of the vocabulary.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }
    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
    /// Whether generating ends at this token.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }
    /// The ids of a text, and nothing before or behind them.
    pub fn encode(&self, text: &str, special: Special) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        loop {
            let found = self.next_special(rest, special);
            let (piece, id, behind) = match found {
                Some((at, id)) => {
                    let behind = &rest[at + self.tokens[id as usize].0.len()..];
                    let strips = self.rstrip.contains(&id);
                    (&rest[..at], Some(id), if strips { behind.trim_start() } else { behind })
                }
                None => (rest, None, ""),
            };
            if !piece.is_empty() {
                match &self.model {
                    Model::Spm(spm) => spm.encode(piece, rest.len() == text.len(), &mut ids),
                    Model::Bpe(bpe) => bpe.encode(piece, &mut ids),
                }
            }
            let Some(id) = id else { return ids };
            ids.push(id);
            rest = behind;
        }
    }
    /// The ids of a prompt: with the token that begins a text, and the one that ends it, if the file says so.
    pub fn prompt(&self, text: &str, special: Special) -> Vec<u32> {
        let bos = self.bos.filter(|_| self.add_bos);
        let eos = self.eos.filter(|_| self.add_eos);
        bos.into_iter().chain(self.encode(text, special)).chain(eos).collect()
    }
    /// The first special token in a text, the longest of several.
    fn next_special(&self, text: &str, special: Special) -> Option<(usize, u32)> {
        text.bytes().enumerate().find_map(|(at, byte)| {
            let here = &text.as_bytes()[at..];
            let id = self.special.get(&byte)?.iter().find(|&&id| {
                let (token, kind) = self.tokens[id as usize];
                here.starts_with(token.as_bytes())
                    && (special == Special::Token || kind == TokenKind::UserDefined)
            })?;
            Some((at, *id))
        })
    }
    /// The bytes that a token stands for: none for control tokens, and not always whole characters.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn bytes(&self, id: u32) -> Result<Vec<u8>, FormatError> {
        let Some(&(text, kind)) = self.tokens.get(id as usize) else {
            let expected = format!("one of the {} tokens", self.tokens.len());
            return Err(FormatError::key(TOKENS, format!("token {id} is asked for"), expected));
        };
        Ok(match (kind, &self.model) {
            (TokenKind::Control | TokenKind::Unused, _) => Vec::new(),
            (TokenKind::UserDefined, _) => text.into(),
            (TokenKind::Unknown, _) => "\u{2047}".into(),
            (TokenKind::Byte, _) => spm::byte(text).into_iter().collect(),
            (TokenKind::Normal, Model::Spm(_)) => text.replace(spm::SPACE, " ").into(),
            (TokenKind::Normal, Model::Bpe(_)) => bpe::bytes(text),
        })
    }
    /// The text of ids. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn decode(&self, ids: &[u32]) -> Result<String, FormatError> {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend(self.bytes(id)?);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(match &self.model {
            // The space that encoding put before the text.
            Model::Spm(spm) if spm.adds_space() => text.strip_prefix(' ').unwrap_or(&text).into(),
            _ => text.into(),
        })
    }
}

fn kinds(file: &Gguf<'_>, len: u64) -> Result<Vec<TokenKind>, FormatError> {
    let key = "tokenizer.ggml.token_type";
    let Some(array) = file.get(key) else { return Ok(Vec::new()) };
    let wrong = |found: String| FormatError::key(key, found, format!("{len} integers from 1 to 6"));
    let array = array.as_array().ok_or_else(|| wrong("no array".into()))?;
    if array.len != len {
        return Err(wrong(format!("{} elements", array.len)));
    }
    let kind = |(i, v): (usize, Value<'_>)| {
        let kind = v.as_u64().and_then(|v| KINDS.get((v as usize).wrapping_sub(1)));
        kind.copied().ok_or_else(|| wrong(format!("{v:?} for token {i}")))
    };
    array.iter().enumerate().map(kind).collect()
}
