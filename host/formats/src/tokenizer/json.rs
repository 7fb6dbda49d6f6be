//! Hugging Face's `tokenizer.json`, BPE of bytes or SentencePiece's, as the keys of a GGUF file that say the same.
//!
//! Merges of SentencePiece's kind are in the order of that file, not by scores; a few keys are our own (`tokenizer.lutsim`).
//! `decoder` is not read: texts come back as that kind's do. Special tokens are found in the text as it stands, though a file may
//! have them `normalized`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::spaces::{self, Prefix, names, steps};
use super::{RSTRIP, spm};
use crate::error::FormatError;

/// What is read of the file.
#[derive(Deserialize)]
struct File {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
}

#[derive(Deserialize)]
struct Bpe {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: BTreeMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// Two tokens, as one text with a space between or as two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair([String; 2]),
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

/// Expressions by which words are split, and what GGUF files call them.
const EXPRESSIONS: [(&str, &str); 2] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
];

/// A GGUF file without tensors whose keys say what a `tokenizer.json` says, and of the `config.json` beside it the tokens that
/// begin and end a text.
///
/// # Errors
/// Text that is no JSON of that shape; a tokeniser that is not BPE, or that splits words or replaces characters in an unknown way;
/// ids that are not 0 to the number of tokens.
pub fn gguf_of(tokenizer: &[u8], config: &[u8]) -> Result<Vec<u8>, FormatError> {
    let json = |what: &str| {
        let what = what.to_owned();
        move |e: serde_json::Error| FormatError::Json { what, message: e.to_string() }
    };
    let file: File = serde_json::from_slice(tokenizer).map_err(json("tokenizer.json"))?;
    let config: Value = serde_json::from_slice(config).map_err(json("config.json"))?;
    let kind = file.model.kind.as_deref().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(FormatError::key("model.type", format!("`{kind}`"), "`BPE`"));
    }
    let style = Style::of(&file)?;
    let (tokens, kinds) = tokens(&file)?;
    let merges = file.model.merges.iter().map(|merge| match merge {
        Merge::Text(text) => text.clone(),
        Merge::Pair([left, right]) => format!("{left} {right}"),
    });
    let begins = begins(file.post_processor.as_ref());
    let id = |key: &str| {
        // Several may end a text: the first one does.
        let value = config.get(key)?;
        value.as_u64().or_else(|| value.get(0)?.as_u64())
    };
    let mut keys = Keys::default();
    match style {
        Style::Bytes { pre } => {
            keys.text("tokenizer.ggml.model", "gpt2");
            keys.text("tokenizer.ggml.pre", pre);
        }
        Style::SentencePiece { prefix } => {
            keys.text("tokenizer.ggml.model", "llama");
            keys.text(spaces::KEY, prefix.name());
        }
    }
    let rstrip: Vec<u32> = file.added_tokens.iter().filter(|t| t.rstrip).map(|t| t.id).collect();
    keys.numbers(RSTRIP, &rstrip);
    keys.texts("tokenizer.ggml.tokens", tokens.into_iter().map(String::from));
    keys.numbers("tokenizer.ggml.token_type", &kinds);
    keys.texts("tokenizer.ggml.merges", merges);
    keys.flag("tokenizer.ggml.add_bos_token", begins.is_some());
    for (key, id) in [("bos", begins.or_else(|| id("bos_token_id"))), ("eos", id("eos_token_id"))] {
        if let Some(id) = id.and_then(|id| u32::try_from(id).ok()) {
            keys.number(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
    }
    Ok(keys.file())
}

/// How texts become tokens.
enum Style {
    /// Words, whose bytes are letters.
    Bytes { pre: &'static str },
    /// A text's characters, or the bytes of those that are no token.
    SentencePiece { prefix: Prefix },
}

impl Style {
    fn of(file: &File) -> Result<Style, FormatError> {
        if let Some(token) = file.added_tokens.iter().find(|t| t.single_word || t.lstrip) {
            let found = format!("`{}`", token.content.escape_debug());
            return Err(FormatError::key("added_tokens", found, "none with `single_word` or `lstrip`"));
        }
        let Bpe { vocab, byte_fallback, ignore_merges, .. } = &file.model;
        if !byte_fallback {
            return Ok(Style::Bytes { pre: split(file.pre_tokenizer.as_ref())? });
        }
        let prefix = spaces::prefix(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?;
        let affixes = [&file.model.continuing_subword_prefix, &file.model.end_of_word_suffix];
        if *ignore_merges || affixes.into_iter().flatten().any(|affix| !affix.is_empty()) {
            let expected = "no `ignore_merges`, no `continuing_subword_prefix` or `end_of_word_suffix`";
            return Err(FormatError::key("model", "one of them", expected));
        }
        let bytes = vocab.keys().filter(|text| spm::byte(text).is_some()).count();
        if bytes != 256 {
            let expected = "256, `<0x00>` to `<0xFF>`";
            return Err(FormatError::key("model.vocab", format!("{bytes} tokens of bytes"), expected));
        }
        // Spaces that a text has are not those that were put there: such a token would be found in other places.
        let moved =
            |t: &&Added| !t.special && t.normalized && (prefix == Prefix::Always || t.content.contains(' '));
        if let Some(token) = file.added_tokens.iter().find(moved) {
            let found = format!("`{}` is `normalized`", token.content.escape_debug());
            return Err(FormatError::key("added_tokens", found, "special tokens, or texts as they stand"));
        }
        Ok(Style::SentencePiece { prefix })
    }
}

/// Every token and its kind, by id.
fn tokens(file: &File) -> Result<(Vec<&str>, Vec<u32>), FormatError> {
    let added = file.added_tokens.iter().map(|t| (t.content.as_str(), t.id, if t.special { 3 } else { 4 }));
    let Bpe { vocab, byte_fallback, .. } = &file.model;
    let byte = |text: &str| *byte_fallback && spm::byte(text).is_some();
    let plain = vocab.iter().map(|(text, id)| (text.as_str(), *id, if byte(text) { 6 } else { 1 }));
    let mut all: BTreeMap<u32, (&str, u32)> = BTreeMap::new();
    // Added tokens may be in the vocabulary too.
    plain.chain(added).for_each(|(text, id, kind)| {
        all.insert(id, (text, kind));
    });
    if let Some((expected, found)) = (0..).zip(all.keys()).find(|(expected, found)| expected != *found) {
        return Err(FormatError::key(
            "model.vocab",
            format!("no token {expected}, but {found}"),
            "ids without gaps",
        ));
    }
    Ok(all.into_values().unzip())
}

/// How words are split, as GGUF files call it.
fn split(pre: Option<&Value>) -> Result<&'static str, FormatError> {
    let steps = steps(pre, "pretokenizers");
    let is = |step: &Value, kind: &str| step["type"] == kind;
    let wrong = |found: String| {
        Err(FormatError::key("pre_tokenizer", found, "the words of GPT-2, Llama 3 or Qwen2, as bytes"))
    };
    match steps[..] {
        // Its own expression is GPT-2's; a space before the text would be another token.
        [bytes]
            if is(bytes, "ByteLevel") && bytes["use_regex"] != false && bytes["add_prefix_space"] != true =>
        {
            Ok("gpt-2")
        }
        [words, bytes] if is(words, "Split") && is(bytes, "ByteLevel") && bytes["use_regex"] == false => {
            let pattern = words["pattern"]["Regex"].as_str().unwrap_or("");
            match EXPRESSIONS.iter().find(|(expression, _)| *expression == pattern) {
                Some((_, name)) => Ok(name),
                None => wrong(format!("`{}`", pattern.chars().take(60).collect::<String>())),
            }
        }
        _ => wrong(names(&steps)),
    }
}

/// The token that begins every text, if the template has one.
fn begins(post: Option<&Value>) -> Option<u64> {
    let post = post?;
    let steps = post.get("processors").and_then(Value::as_array);
    let template = match steps {
        Some(steps) => steps.iter().find(|step| step["type"] == "TemplateProcessing")?,
        None => post,
    };
    let name = template.get("single")?.get(0)?.get("SpecialToken")?.get("id")?.as_str()?;
    template.get("special_tokens")?.get(name)?.get("ids")?.get(0)?.as_u64()
}

/// The keys of a GGUF file in the making.
#[derive(Default)]
struct Keys {
    count: u64,
    bytes: Vec<u8>,
}

impl Keys {
    fn key(&mut self, key: &str, kind: u32) {
        self.count += 1;
        self.string(key);
        self.bytes.extend(kind.to_le_bytes());
    }
    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }
    fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        self.string(value);
    }
    fn number(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }
    fn flag(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.bytes.push(u8::from(value));
    }
    fn array(&mut self, key: &str, element: u32, len: usize) {
        self.key(key, 9);
        self.bytes.extend(element.to_le_bytes());
        self.bytes.extend((len as u64).to_le_bytes());
    }
    fn texts(&mut self, key: &str, values: impl ExactSizeIterator<Item = String>) {
        self.array(key, 8, values.len());
        values.for_each(|value| self.string(&value));
    }
    fn numbers(&mut self, key: &str, values: &[u32]) {
        self.array(key, 4, values.len());
        values.iter().for_each(|value| self.bytes.extend(value.to_le_bytes()));
    }
    fn file(self) -> Vec<u8> {
        let counts = [0, self.count].map(u64::to_le_bytes).concat();
        [&b"GGUF"[..], &3u32.to_le_bytes(), &counts, &self.bytes].concat()
    }
}
