//! Tokenisers: ids as llama.cpp, Hugging Face's `tokenizers` and SentencePiece give them, and texts back.

mod common;

use std::collections::BTreeMap;

use common::Writer;
use lutsim_formats::gguf::Gguf;
use lutsim_formats::map::Mapped;
use lutsim_formats::tokenizer::{Special, Tokenizer, gguf_of};
use serde::Deserialize;

fn json<T: for<'d> Deserialize<'d>>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(common::data(name)).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Tokenization {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Model {
    greedy: Vec<Greedy>,
}

#[derive(Deserialize)]
struct Greedy {
    prompt: String,
    prompt_tokens: Vec<u32>,
    llama_cpp: Continuation,
}

#[derive(Deserialize)]
struct Continuation {
    tokens: Vec<u32>,
    text: String,
}

#[derive(Deserialize)]
struct Vectors {
    texts: Vec<String>,
    bpe: BTreeMap<String, Vec<Vec<u32>>>,
    spm: Spm,
}

#[derive(Deserialize)]
struct Spm {
    pieces: Vec<String>,
    scores: Vec<f32>,
    kinds: Vec<i32>,
    tokens: Vec<Vec<u32>>,
    decoded: Vec<String>,
}

fn trained<T>(name: &str, with: impl FnOnce(Tokenizer<'_>) -> T) -> T {
    let map = Mapped::open(&common::data(&format!("models/{name}.gguf"))).unwrap();
    let file = Gguf::parse(&map).unwrap();
    with(Tokenizer::of(&file).unwrap())
}

#[test]
fn the_trained_models_as_llama_cpp() {
    for name in common::MODELS {
        trained(name, |tokenizer| {
            assert_eq!(tokenizer.len(), 1024);
            for case in json::<Tokenization>("models/expected/tokenization.json").cases {
                assert_eq!(tokenizer.encode(&case.text, Special::Text), case.tokens, "{:?}", case.text);
                assert_eq!(tokenizer.prompt(&case.text, Special::Text), case.tokens, "no BOS");
                assert_eq!(tokenizer.decode(&case.tokens).unwrap(), case.text);
            }
            let validation = std::fs::read_to_string(common::data("models/validation.txt")).unwrap();
            let ids = tokenizer.encode(&validation, Special::Text);
            assert_eq!(ids.len(), 10_584);
            assert_eq!(tokenizer.decode(&ids).unwrap(), validation);
            for greedy in json::<Model>(&format!("models/expected/{name}.json")).greedy {
                assert_eq!(tokenizer.encode(&greedy.prompt, Special::Text), greedy.prompt_tokens);
                assert_eq!(tokenizer.decode(&greedy.llama_cpp.tokens).unwrap(), greedy.llama_cpp.text);
            }
            assert_eq!(tokenizer.encode("a<|endoftext|>b", Special::Token), [65, 0, 66]);
            assert!(tokenizer.is_end(0) && !tokenizer.is_end(1));
            assert_eq!(tokenizer.decode(&[65, 0, 66]).unwrap(), "ab");
            assert!(tokenizer.encode("", Special::Text).is_empty());
        });
    }
}

/// A `tokenizer.json` says what the GGUF file made of it says; what is not read is named.
#[test]
fn json_files() {
    let whole = std::fs::read(common::data("models/tokenizer.json")).unwrap();
    let config = br#"{"eos_token_id": [0, 3], "bos_token_id": null}"#;
    let bytes = gguf_of(&whole, config).unwrap();
    let file = Gguf::parse(&bytes).unwrap();
    let tokenizer = Tokenizer::of(&file).unwrap();
    assert_eq!(tokenizer.len(), 1024);
    for case in json::<Tokenization>("models/expected/tokenization.json").cases {
        assert_eq!(tokenizer.prompt(&case.text, Special::Text), case.tokens, "{:?}", case.text);
        assert_eq!(tokenizer.decode(&case.tokens).unwrap(), case.text);
    }
    let validation = std::fs::read_to_string(common::data("models/validation.txt")).unwrap();
    assert_eq!(tokenizer.encode(&validation, Special::Text).len(), 10_584);
    assert_eq!(tokenizer.encode("a<|endoftext|>b", Special::Token), [65, 0, 66]);
    assert!(tokenizer.is_end(0) && !tokenizer.is_end(1));

    // The words of other families, and a token that begins every text.
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        change(&mut value);
        gguf_of(value.to_string().as_bytes(), b"{}").map_err(|e| e.to_string())
    };
    let split = |digits: &str| {
        serde_json::json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex": format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )}},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})
    };
    for (digits, pre) in [(r"\p{N}{1,3}", "llama-bpe"), (r"\p{N}", "qwen2")] {
        let bytes = with(&|file| file["pre_tokenizer"] = split(digits)).unwrap();
        let expected = bpe(pre).bytes();
        let [found, expected] = [&bytes, &expected].map(|b| {
            let file = Gguf::parse(b).unwrap();
            Tokenizer::of(&file).unwrap().encode("In 1234 days, they'LL say so.", Special::Text)
        });
        assert_eq!(found, expected, "{pre}");
    }
    let bytes = with(&|file| {
        file["post_processor"] = serde_json::json!({"type": "Sequence", "processors": [{"type": "ByteLevel"},
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"ids": [7]}}}]});
    });
    let bytes = bytes.unwrap();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(Tokenizer::of(&file).unwrap().prompt("a", Special::Text), [7, 65]);

    let said = |change: &dyn Fn(&mut serde_json::Value)| with(change).unwrap_err();
    assert_eq!(
        said(&|file| file["model"]["byte_fallback"] = true.into()),
        "key `pre_tokenizer`: \"ByteLevel\", expected none, or Metaspace of U+2581 that does not split, where nothing else replaces spaces"
    );
    assert_eq!(
        said(&|file| file["model"]["type"] = "WordPiece".into()),
        "key `model.type`: `WordPiece`, expected `BPE`"
    );
    assert_eq!(
        said(&|file| file["pre_tokenizer"]["type"] = "Metaspace".into()),
        "key `pre_tokenizer`: \"Metaspace\", expected the words of GPT-2, Llama 3 or Qwen2, as bytes"
    );
    assert_eq!(
        said(&|file| file["model"]["vocab"]["more"] = 4_000_000_000u32.into()),
        "key `model.vocab`: no token 1024, but 4000000000, expected ids without gaps"
    );
    assert!(gguf_of(b"[]", b"{}").unwrap_err().to_string().starts_with("tokenizer.json: "));
    assert!(gguf_of(&whole, b"").unwrap_err().to_string().starts_with("config.json: "));
}

#[derive(Deserialize)]
struct SentencePiece {
    file: serde_json::Map<String, serde_json::Value>,
    texts: Vec<String>,
    variants: BTreeMap<String, Variant>,
}

#[derive(Deserialize)]
struct Variant {
    keys: serde_json::Map<String, serde_json::Value>,
    tokens: Vec<Vec<u32>>,
    decoded: Vec<String>,
}

/// Files of SentencePiece's kind, as several families have them.
#[test]
fn sentencepiece_as_hugging_face() {
    let vectors: SentencePiece = json("formats/sentencepiece.json");
    assert_eq!(vectors.variants.len(), 6);
    for (name, variant) in &vectors.variants {
        let mut file = vectors.file.clone();
        file.extend(variant.keys.clone());
        let text = serde_json::to_vec(&file).unwrap();
        let bytes = gguf_of(&text, br#"{"bos_token_id": 1, "eos_token_id": 2}"#).unwrap();
        let file = Gguf::parse(&bytes).unwrap();
        let tokenizer = Tokenizer::of(&file).unwrap();
        assert!(tokenizer.is_end(2) && tokenizer.prompt("", Special::Text) == [1]);
        for ((text, ids), decoded) in vectors.texts.iter().zip(&variant.tokens).zip(&variant.decoded) {
            assert_eq!(&tokenizer.encode(text, Special::Token), ids, "{name}: {text:?}");
            assert_eq!(&tokenizer.decode(ids).unwrap(), decoded, "{name}: {text:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_sentencepiece_is_said() {
    let file = json::<SentencePiece>("formats/sentencepiece.json").file;
    let said = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut file = serde_json::Value::Object(file.clone());
        change(&mut file);
        gguf_of(file.to_string().as_bytes(), b"{}").unwrap_err().to_string()
    };
    let metaspace = |split: bool, scheme: &str| serde_json::json!({"type": "Metaspace", "replacement": "\u{2581}", "split": split, "prepend_scheme": scheme});
    let spaces =
        "expected none, or Metaspace of U+2581 that does not split, where nothing else replaces spaces";
    assert_eq!(
        said(&|file| file["normalizer"] = serde_json::json!({"type": "NFKC"})),
        "key `normalizer`: \"NFKC\", expected none, or spaces that become U+2581"
    );
    assert_eq!(
        said(&|file| file["pre_tokenizer"] = metaspace(false, "first")),
        format!("key `pre_tokenizer`: \"Metaspace\", {spaces}")
    );
    let bare = |file: &mut serde_json::Value, pre| {
        file["normalizer"].take();
        file["pre_tokenizer"] = pre;
    };
    assert_eq!(said(&|file| bare(file, ().into())), format!("key `pre_tokenizer`: not there, {spaces}"));
    assert_eq!(
        said(&|file| bare(file, metaspace(true, "first"))),
        format!("key `pre_tokenizer`: \"Metaspace\", {spaces}")
    );
    assert_eq!(
        said(&|file| bare(file, metaspace(false, "last"))),
        format!("key `pre_tokenizer`: `prepend_scheme` is `last`, {spaces}")
    );
    assert_eq!(
        said(&|file| file["added_tokens"][2]["lstrip"] = true.into()),
        "key `added_tokens`: `</s>`, expected none with `single_word` or `lstrip`"
    );
    assert_eq!(
        said(&|file| {
            file["added_tokens"][2]["special"] = false.into();
            file["added_tokens"][2]["normalized"] = true.into();
        }),
        "key `added_tokens`: `</s>` is `normalized`, expected special tokens, or texts as they stand"
    );
    assert_eq!(
        said(&|file| file["model"]["end_of_word_suffix"] = "</w>".into()),
        "key `model`: one of them, expected no `ignore_merges`, no `continuing_subword_prefix` or `end_of_word_suffix`"
    );
    assert_eq!(
        said(&|file| {
            let vocab = file["model"]["vocab"].as_object_mut().unwrap();
            let id = vocab.remove("<0x0A>").unwrap();
            vocab.insert("newline".into(), id);
        }),
        "key `model.vocab`: 255 tokens of bytes, expected 256, `<0x00>` to `<0xFF>`"
    );
    // A merge of what is no token, and a prefix that nobody knows.
    let mut file = serde_json::Value::Object(file);
    file["model"]["merges"][0] = "e \u{2581}zz".into();
    let bytes = gguf_of(file.to_string().as_bytes(), b"{}").unwrap();
    assert_eq!(
        Tokenizer::of(&Gguf::parse(&bytes).unwrap()).unwrap_err().to_string(),
        "key `tokenizer.ggml.merges`: merge 0 is `e \u{2581}zz`, expected two tokens, a space between, that are a token together"
    );
    let bytes = spm(&json::<Vectors>("formats/tokens.json").spm).str("tokenizer.lutsim.space_prefix", "two");
    let bytes = bytes.bytes();
    assert_eq!(
        Tokenizer::of(&Gguf::parse(&bytes).unwrap()).unwrap_err().to_string(),
        "key `tokenizer.lutsim.space_prefix`: `two`, expected `never`, `always`, `missing` or `first`"
    );
}

/// The keys of a byte-level tokeniser with the vocabulary of the trained models.
fn bpe(pre: &str) -> Writer {
    let file: serde_json::Value = json("models/tokenizer.json");
    let mut tokens: Vec<(&String, u64)> =
        file["model"]["vocab"].as_object().unwrap().iter().map(|(t, id)| (t, id.as_u64().unwrap())).collect();
    tokens.sort_by_key(|(_, id)| *id);
    let tokens: Vec<&str> = tokens.into_iter().map(|(t, _)| t.as_str()).collect();
    let merges: Vec<String> = file["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            m.as_str()
                .map(String::from)
                .unwrap_or_else(|| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap()))
        })
        .collect();
    let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
    Writer::default()
        .str("tokenizer.ggml.model", "gpt2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .strings("tokenizer.ggml.merges", &merges)
        .str("tokenizer.ggml.pre", pre)
}

fn spm(spm: &Spm) -> Writer {
    let pieces: Vec<&str> = spm.pieces.iter().map(String::as_str).collect();
    let scores: Vec<_> = spm.scores.iter().map(|s| s.to_le_bytes().to_vec()).collect();
    let kinds: Vec<_> = spm.kinds.iter().map(|k| k.to_le_bytes().to_vec()).collect();
    Writer::default()
        .str("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &pieces)
        .array("tokenizer.ggml.scores", 6, &scores)
        .array("tokenizer.ggml.token_type", 5, &kinds)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
}

#[test]
fn byte_level_as_hugging_face() {
    let vectors: Vectors = json("formats/tokens.json");
    assert_eq!(vectors.bpe.len(), 4);
    for (pre, all) in &vectors.bpe {
        let bytes = bpe(pre).bytes();
        let file = Gguf::parse(&bytes).unwrap();
        let tokenizer = Tokenizer::of(&file).unwrap();
        for (text, ids) in vectors.texts.iter().zip(all) {
            assert_eq!(&tokenizer.encode(text, Special::Text), ids, "{pre}: {text:?}");
            assert_eq!(&tokenizer.decode(ids).unwrap(), text);
        }
    }
}

/// Llama 3's words that are tokens are those tokens, although no merges lead there.
#[test]
fn whole_words() {
    let letters =
        (0x21..0x7f).chain(0xa1..0xad).chain(0xae..0x144).filter_map(char::from_u32).map(String::from);
    let tokens: Vec<String> = letters.chain(["bc", "abc"].map(String::from)).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let id = |token: &str| tokens.iter().position(|t| *t == token).unwrap() as u32;
    for (pre, expected) in [("gpt-2", vec![id("a"), id("bc")]), ("llama-bpe", vec![id("abc")])] {
        let bytes = Writer::default()
            .str("tokenizer.ggml.model", "gpt2")
            .strings("tokenizer.ggml.tokens", &tokens)
            .strings("tokenizer.ggml.merges", &["b c"])
            .str("tokenizer.ggml.pre", pre)
            .u32("tokenizer.ggml.bos_token_id", 7)
            .bytes();
        let file = Gguf::parse(&bytes).unwrap();
        let tokenizer = Tokenizer::of(&file).unwrap();
        assert_eq!(tokenizer.encode("abc", Special::Text), expected, "{pre}");
        let begins: &[u32] = if pre == "gpt-2" { &[] } else { &[7] };
        assert_eq!(tokenizer.prompt("", Special::Text), begins);
    }
}

#[test]
fn sentencepiece() {
    let vectors: Vectors = json("formats/tokens.json");
    let bytes = spm(&vectors.spm).bytes();
    let file = Gguf::parse(&bytes).unwrap();
    let tokenizer = Tokenizer::of(&file).unwrap();
    for ((text, ids), decoded) in vectors.texts.iter().zip(&vectors.spm.tokens).zip(&vectors.spm.decoded) {
        assert_eq!(&tokenizer.encode(text, Special::Text), ids, "{text:?}");
        assert_eq!(&tokenizer.decode(ids).unwrap(), decoded);
    }
    assert_eq!(tokenizer.prompt("", Special::Text), [1]);
    let ids = tokenizer.encode("<s>the", Special::Token);
    assert_eq!((ids[0], &ids[1..]), (1, &tokenizer.encode("the", Special::Text)[..]));
}

#[test]
fn what_is_wrong_is_said() {
    let said = |writer: Writer| {
        let bytes = writer.bytes();
        Tokenizer::of(&Gguf::parse(&bytes).unwrap()).unwrap_err().to_string()
    };
    let without = |mut writer: Writer, i: usize| {
        writer.keys.remove(i);
        writer
    };
    let byte_level = || bpe("gpt-2");
    assert_eq!(said(Writer::default()), "key `tokenizer.ggml.model`: not there, expected `llama` or `gpt2`");
    assert_eq!(
        said(Writer::default().str("tokenizer.ggml.model", "t5").strings("tokenizer.ggml.tokens", &[])),
        "key `tokenizer.ggml.model`: `t5`, expected `llama` or `gpt2`"
    );
    assert_eq!(
        said(without(byte_level(), 1)),
        "key `tokenizer.ggml.tokens`: not there, expected an array of strings"
    );
    assert_eq!(
        said(without(byte_level(), 2)),
        "key `tokenizer.ggml.merges`: not there, expected an array of strings"
    );
    assert_eq!(
        said(bpe("tekken")),
        "key `tokenizer.ggml.pre`: `tekken`, expected one of gpt-2, gpt2, llama-bpe, llama3, llama-v3, qwen2, bloom"
    );
    assert_eq!(
        said(without(byte_level(), 1).strings("tokenizer.ggml.tokens", &["a"])),
        "key `tokenizer.ggml.tokens`: no token for byte 0, expected one for each of the 256"
    );
    assert_eq!(
        said(without(byte_level(), 2).strings("tokenizer.ggml.merges", &["a b", "Z Q"])),
        "key `tokenizer.ggml.merges`: merge 1 is `Z Q`, expected two tokens, a space between, that are a token together"
    );
    assert_eq!(
        said(byte_level().u32("tokenizer.ggml.eos_token_id", 1024)),
        "key `tokenizer.ggml.eos_token_id`: 1024, expected one of the 1024 tokens"
    );
    assert_eq!(
        said(byte_level().array("tokenizer.ggml.token_type", 5, &[vec![1, 0, 0, 0]])),
        "key `tokenizer.ggml.token_type`: 1 elements, expected 1024 integers from 1 to 6"
    );

    let vectors: Vectors = json("formats/tokens.json");
    let small = || Spm {
        pieces: ["<unk>", "<0x0A>", "a"].map(String::from).into(),
        scores: vec![0.0, 0.0, -1.0],
        kinds: vec![2, 6, 1],
        tokens: vec![],
        decoded: vec![],
    };
    assert_eq!(
        said(without(spm(&vectors.spm), 2)),
        "key `tokenizer.ggml.scores`: not there, expected 600 finite numbers"
    );
    assert_eq!(
        said(spm(&Spm { scores: vec![0.0, f32::NAN, 0.0], ..small() })),
        "key `tokenizer.ggml.scores`: not one for token 1, expected 3 finite numbers"
    );
    assert_eq!(
        said(spm(&Spm { kinds: vec![2, 6, 7], ..small() })),
        "key `tokenizer.ggml.token_type`: I32(7) for token 2, expected 3 integers from 1 to 6"
    );
    assert_eq!(
        said(spm(&Spm { kinds: vec![2, 6, 6], ..small() })),
        "key `tokenizer.ggml.tokens`: token 2, of a byte, is `a`, expected `<0x00>` to `<0xFF>`"
    );
    assert_eq!(
        said(spm(&Spm { kinds: vec![1, 6, 1], ..small() })),
        "key `tokenizer.ggml.tokens`: no token for byte 0, and none for what is unknown, expected either"
    );
    let bytes = spm(&small()).bytes();
    let file = Gguf::parse(&bytes).unwrap();
    let tokenizer = Tokenizer::of(&file).unwrap();
    // No token for the space before, nor for b and c, which are unknown together.
    assert_eq!(tokenizer.encode("abc\na", Special::Text), [0, 2, 0, 1, 2]);
    assert_eq!(
        tokenizer.decode(&[3]).unwrap_err().to_string(),
        "key `tokenizer.ggml.tokens`: token 3 is asked for, expected one of the 3 tokens"
    );
}
