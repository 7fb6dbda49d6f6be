//! Words of a text, before merging: each row says what one family's regular expression says.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::error::FormatError;
use crate::gguf::Gguf;

const PRE: &str = "tokenizer.ggml.pre";

/// How texts are split: a name of `tokenizer.ggml.pre`, and what it stands for.
#[derive(Debug)]
pub(super) struct Splitter {
    names: &'static [&'static str],
    style: Style,
    /// Whether a word that is a token is that token, whatever merges say.
    pub(super) whole_words: bool,
    /// Whether texts begin with a token of their own unless the file says otherwise.
    pub(super) adds_bos: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3 {
        /// Longest number.
        digits: usize,
    },
    /// ` ?[^(\s|.,!?...)]+`, and what is between
    Bloom,
}

/// Expressions: `llama-vocab.cpp` of ggml-org/llama.cpp, and the models' own tokenizer.json.
static SPLITTERS: [Splitter; 4] = [
    Splitter { names: &["gpt-2", "gpt2"], style: Style::Gpt2, whole_words: false, adds_bos: false },
    Splitter {
        names: &["llama-bpe", "llama3", "llama-v3"],
        style: Style::Llama3 { digits: 3 },
        whole_words: true,
        adds_bos: true,
    },
    Splitter { names: &["qwen2"], style: Style::Llama3 { digits: 1 }, whole_words: false, adds_bos: false },
    Splitter { names: &["bloom"], style: Style::Bloom, whole_words: false, adds_bos: false },
];

fn letter(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Letter
}

fn number(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Number
}

fn other(c: char) -> bool {
    !c.is_whitespace() && !letter(c) && !number(c)
}

fn newline(c: char) -> bool {
    c == '\r' || c == '\n'
}

/// A character of BLOOM's words.
fn bloom(c: char) -> bool {
    !c.is_whitespace() && !"(|.,!?\u{2026}\u{3002}\u{ff0c}\u{3001}\u{964}\u{6d4}\u{60c})".contains(c)
}

/// Bytes of the characters at the beginning that are `kind`.
fn run(text: &str, kind: impl Fn(char) -> bool) -> usize {
    text.find(|c| !kind(c)).unwrap_or(text.len())
}

/// Bytes of one character that is `before`, if it is there, and of `kind`s behind it; 0 without a `kind`.
fn with_prefix(text: &str, before: impl Fn(char) -> bool, kind: impl Fn(char) -> bool) -> usize {
    let prefix = text.chars().next().filter(|&c| before(c)).map_or(0, char::len_utf8);
    match run(&text[prefix..], &kind) {
        0 => run(text, kind),
        n => prefix + n,
    }
}

/// Bytes of 's, 't, 're, 've, 'm, 'll or 'd.
fn contraction(text: &str, any_case: bool) -> usize {
    let Some(rest) = text.strip_prefix('\'') else { return 0 };
    let fold = |c: char| match c {
        // The long s folds to s.
        '\u{17f}' if any_case => 's',
        c if any_case => c.to_ascii_lowercase(),
        c => c,
    };
    ["s", "t", "re", "ve", "m", "ll", "d"]
        .into_iter()
        .find_map(|ending| {
            let n = ending.len();
            let same = rest.chars().take(n).map(fold).eq(ending.chars());
            same.then(|| 1 + rest.chars().take(n).map(char::len_utf8).sum::<usize>())
        })
        .unwrap_or(0)
}

/// Bytes of white space that stands alone: all of it at the text's end, otherwise all but the last, which belongs to what
/// comes; one if there is no more.
fn spaces(text: &str) -> usize {
    let n = run(text, char::is_whitespace);
    match text[..n].char_indices().next_back() {
        Some((last, _)) if n < text.len() && last > 0 => last,
        _ => n,
    }
}

impl Splitter {
    pub(super) fn of(file: &Gguf<'_>) -> Result<&'static Splitter, FormatError> {
        let known = || {
            let names: Vec<_> = SPLITTERS.iter().flat_map(|s| s.names).copied().collect();
            format!("one of {}", names.join(", "))
        };
        let name = file.optional_str(PRE)?.ok_or_else(|| FormatError::key(PRE, "not there", known()))?;
        SPLITTERS
            .iter()
            .find(|s| s.names.contains(&name))
            .ok_or_else(|| FormatError::key(PRE, format!("`{name}`"), known()))
    }
    /// The words of a text: all of it, in order.
    pub(super) fn words<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> + use<'t> {
        let style = self.style;
        let mut rest = text;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let n = style.word(rest).max(first.len_utf8());
            let (word, behind) = rest.split_at(n);
            rest = behind;
            Some(word)
        })
    }
}

impl Style {
    /// Bytes of the word that a text begins with: those of the first alternative that matches.
    fn word(self, text: &str) -> usize {
        let space = |c: char| c == ' ';
        let first =
            |lengths: &[&dyn Fn() -> usize]| lengths.iter().map(|f| f()).find(|&n| n > 0).unwrap_or(0);
        match self {
            Style::Gpt2 => first(&[
                &|| contraction(text, false),
                &|| with_prefix(text, space, letter),
                &|| with_prefix(text, space, number),
                &|| with_prefix(text, space, other),
                &|| spaces(text),
            ]),
            Style::Llama3 { digits } => first(&[
                &|| contraction(text, true),
                &|| with_prefix(text, |c| !newline(c) && !letter(c) && !number(c), letter),
                &|| text.chars().take(digits).take_while(|&c| number(c)).map(char::len_utf8).sum(),
                &|| match with_prefix(text, space, other) {
                    0 => 0,
                    n => n + run(&text[n..], newline),
                },
                // White space up to its last line break.
                &|| text[..run(text, char::is_whitespace)].rfind(newline).map_or(0, |last| last + 1),
                &|| spaces(text),
            ]),
            Style::Bloom => match with_prefix(text, space, bloom) {
                0 => text
                    .char_indices()
                    .map(|(at, _)| at)
                    .find(|&at| with_prefix(&text[at..], space, bloom) > 0)
                    .unwrap_or(text.len()),
                n => n,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::SPLITTERS;

    #[derive(serde::Deserialize)]
    struct Vectors {
        texts: Vec<String>,
        words: BTreeMap<String, Vec<Vec<usize>>>,
    }

    #[test]
    fn words_are_those_of_the_expressions() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/formats/tokens.json");
        let vectors: Vectors = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for splitter in &SPLITTERS {
            for (text, lengths) in vectors.texts.iter().zip(&vectors.words[splitter.names[0]]) {
                let words: Vec<_> = splitter.words(text).collect();
                let found: Vec<_> = words.iter().map(|word| word.chars().count()).collect();
                assert_eq!(&found, lengths, "{}: {words:?}", splitter.names[0]);
                assert_eq!(words.concat(), *text);
            }
        }
    }
}
