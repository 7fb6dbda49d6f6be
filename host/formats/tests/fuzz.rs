//! Files with bits flipped, ends cut off and lengths at their extremes: no reader panics, and none allocates more than
//! the file is long. The numbers are the same in every run.

mod common;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use common::safetensors::{counted, write};
use common::{Random, Writer, string};
use lutsim_formats::checkpoint::Checkpoint;
use lutsim_formats::coded::{CodedMatrix, CodedRow};
use lutsim_formats::config::Config;
use lutsim_formats::gguf::{Gguf, GgufModel, Value};
use lutsim_formats::map::Mapped;
use lutsim_formats::packed::{PackedLinear, Packing};
use lutsim_formats::safetensors::SafeTensors;
use lutsim_formats::tokenizer::{Special, Tokenizer, gguf_of};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The heap is everyone's, so this is the only test of its program.
#[test]
fn damaged_files() {
    gguf();
    gguf_model();
    four_gigabytes();
    the_densest_header_costs_less_heap_than_its_file();
    safetensors();
    config();
    tokenizers();
    tokenizer_json();
    parts();
    checkpoint();
}

/// What an error's own texts may take.
const MESSAGES: usize = 4096;

/// A damaged copy of `good`, whose first `header` bytes are damaged most.
fn damage(good: &[u8], header: usize, random: &mut Random) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..1 + random.below(3) {
        if bad.is_empty() {
            break;
        }
        let within = if random.below(8) > 0 { header.min(bad.len()) } else { bad.len() };
        let at = random.below(within);
        match random.below(8) {
            0..=2 => bad[at] ^= 1 << random.below(8),
            3 => bad[at] = random.next() as u8,
            4 => bad.truncate(at),
            5 => {
                let n = random.below(16).min(bad.len() - at);
                bad.drain(at..at + n);
            }
            _ => {
                let extremes = [0, 1, 1 << 31, u64::from(u32::MAX), 1 << 62, 1 << 63, u64::MAX - 7, u64::MAX];
                let near = (bad.len() as u64).wrapping_add(random.below(65) as u64).wrapping_sub(32);
                let value = extremes.get(random.below(10)).copied().unwrap_or(near);
                let n = [4, 8][random.below(2)].min(bad.len() - at);
                bad[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
            }
        }
    }
    bad
}

/// Reads `cases` damaged copies with `read`, which says whether it accepted one; `more` then looks at an accepted one.
/// Returns how many were accepted.
fn run(good: &[u8], header: usize, cases: usize, per_byte: usize, read: impl Fn(&[u8]) -> bool) -> usize {
    assert!(read(good), "the undamaged file is not accepted");
    let mut random = Random(0x6c75_7473_696d);
    let mut accepted = 0;
    for case in 0..cases {
        let bad = damage(good, header, &mut random);
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        accepted += usize::from(read(&bad));
        let taken = HEAP.peak_usage().saturating_sub(before);
        let most = per_byte * bad.len() + MESSAGES;
        assert!(taken <= most, "case {case}: {taken} bytes of heap for a file of {}", bad.len());
    }
    accepted
}

fn walk(value: Value<'_>) -> usize {
    value.as_array().map_or(1, |array| array.iter().map(walk).sum())
}

fn small_gguf() -> (Vec<u8>, usize) {
    let nested = [&4u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[7; 8]].concat();
    let writer = Writer::default()
        .str("general.architecture", "llama")
        .u32("general.alignment", 32)
        .u32("llama.block_count", 1)
        .f32("llama.rope.freq_base", 1e4)
        .raw("llama.flag", 7, &[1])
        .raw("llama.long", 10, &[9; 8])
        .strings("tokenizer.ggml.tokens", &["a", "bc", "<0x00>"])
        .array("nested", 9, &[nested.clone(), nested])
        .array("strings", 8, &[string("x"), string("")]);
    let mut random = Random(7);
    let writer = lutsim_formats::types::TYPES.iter().fold(writer, |writer, kind| {
        let data: Vec<u8> = (0..2 * kind.bytes + kind.tail).map(|_| random.next() as u8).collect();
        writer.tensor(kind.name, &[kind.weights as u64, 2], kind.id, &data)
    });
    let (bytes, records) = writer.bytes_and_records();
    (bytes, records + 18 * 45)
}

fn gguf() {
    let (good, header) = small_gguf();
    let accepted = run(&good, header, 20_000, 1, |bytes| Gguf::parse(bytes).is_ok());
    assert!(
        (1000..19_000).contains(&accepted),
        "{accepted} of 20000 are accepted: the damage is of one kind"
    );
    // Whatever is accepted can be read whole.
    run(&good, header, 5_000, 64, |bytes| {
        let Ok(file) = Gguf::parse(bytes) else { return false };
        file.keys().map(|(_, value)| walk(value)).sum::<usize>();
        drop(GgufModel::of(&file));
        for tensor in file.tensors() {
            let mut row = vec![0.0; tensor.cols()];
            // A row may be refused: scales are damaged too.
            (0..tensor.rows()).for_each(|r| drop(tensor.row(r, &mut row)));
        }
        true
    });
}

/// The most keys that a file can have for its size.
fn the_densest_header_costs_less_heap_than_its_file() {
    let writer = (0..100_000).fold(Writer::default(), |writer, i| writer.raw(&format!("{i:x}"), 0, &[0]));
    let bytes = writer.bytes();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(file.keys().count(), 100_000);
    assert!(HEAP.peak_usage() - before <= bytes.len(), "{} of {}", HEAP.peak_usage() - before, bytes.len());
}

fn safetensors() {
    let good = std::fs::read(common::data("formats/packed.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    // Dimensions are read into words of 8 bytes, names into strings: at most 5 bytes for each of the header.
    run(&good, header, 10_000, 5, |bytes| SafeTensors::parse(bytes).is_ok());
    let packings = [
        Packing::Gptq { bits: 4, group: Some(32), zero_add: 1 },
        Packing::Gptq { bits: 2, group: None, zero_add: 0 },
        Packing::Gptq { bits: 8, group: Some(16), zero_add: 1 },
        Packing::Awq { group: Some(32) },
        Packing::Bitnet { divide: true },
    ];
    run(&good, header, 2_000, 64, |bytes| {
        let Ok(file) = SafeTensors::parse(bytes) else { return false };
        let names: Vec<_> = file.tensors().map(|t| t.name.to_string()).collect();
        for (name, packing) in names.iter().flat_map(|n| packings.map(|p| (n, p))) {
            let Some((layer, _)) = name.rsplit_once('.') else { continue };
            let Ok(layer) = PackedLinear::open(&file, layer, packing) else { continue };
            let mut row = CodedRow::default();
            let mut values = vec![0.0; layer.cols()];
            for r in 0..layer.rows() {
                if layer.row(r, &mut row).is_ok() {
                    row.values(&layer.coding(), layer.cols(), &mut values);
                }
            }
        }
        true
    });
}

fn config() {
    let good = br#"{"model_type": "llama", "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 8192, "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
        "rms_norm_eps": 1e-05, "rope_scaling": {"rope_type": "longrope", "short_factor": [1, 1.5], "long_factor": [2, 3e1],
        "original_max_position_embeddings": 8192}, "partial_rotary_factor": 0.0625, "rope_theta": 5e5, "vocab_size": 128256,
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": -1}}"#;
    // The parsed tree is larger than the text: 100 bytes for `[],` are not rare.
    run(good, good.len(), 20_000, 200, |bytes| Config::parse(bytes).is_ok());
}

/// What is read from keys and tensors of a model's file, and cannot be more than its tensors are.
fn gguf_model() {
    let good = std::fs::read(common::data("models/tiny-bitnet-tq1_0.gguf")).unwrap();
    let first = Gguf::parse(&good).unwrap().tensors().map(|t| t.data().as_ptr() as usize).min().unwrap();
    let header = first - good.as_ptr() as usize;
    // A mutation of the tokens' text is of no interest here: the keys before them, and the tensors' records behind.
    let (keys, records) = (900, header - 4000);
    let joined = [&good[..keys], &good[records..header]].concat();
    let split = |bytes: &[u8]| {
        let (a, b) = bytes.split_at(keys.min(bytes.len()));
        [a, &good[keys..records], b, &good[header..]].concat()
    };
    let mut random = Random(11);
    let mut accepted = 0;
    for _ in 0..300 {
        let bytes = split(&damage(&joined, joined.len(), &mut random));
        let Ok(file) = Gguf::parse(&bytes) else { continue };
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        accepted += usize::from(GgufModel::of(&file).is_ok());
        let taken = HEAP.peak_usage() - before;
        assert!(taken <= 64 << 10, "{taken} bytes of heap for 46 tensors");
    }
    assert!(accepted > 3, "{accepted} of 300");
}

/// A file with holes, so that neither disk nor memory holds it.
fn four_gigabytes() {
    let (head, _) = Writer::default().tensor("w", &[1 << 20, 1 << 10], 0, &[]).bytes_and_records();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("four-gigabytes.gguf");
    let mut file = File::create(&path).unwrap();
    file.write_all(&head).unwrap();
    file.set_len((head.len() as u64).next_multiple_of(32) + (4 << 30)).unwrap();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let map = Mapped::open(&path).unwrap();
    let gguf = Gguf::parse(&map).unwrap();
    let tensor = gguf.tensor("w").unwrap();
    let mut row = vec![1.0; tensor.cols()];
    tensor.row((1 << 10) - 1, &mut row).unwrap();
    assert!(row.iter().all(|&w| w == 0.0));
    // One row of a million, and small change.
    let taken = HEAP.peak_usage() - before;
    assert!(taken < (4 << 20) + (16 << 10), "{taken} bytes of heap");
    drop(map);
    std::fs::remove_file(path).unwrap();
}

fn tokenizers() {
    let pieces = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}ab", "<0x0A>", "cc"];
    let scores =
        [0.0f32, 0.0, 0.0, -5.0, -6.0, -7.0, -1.0, -2.0, 0.0, -3.0].map(|s| s.to_le_bytes().to_vec());
    let kinds = [2, 3, 3, 1, 1, 1, 1, 1, 6, 4].map(|k: i32| k.to_le_bytes().to_vec());
    let spm = Writer::default()
        .str("tokenizer.ggml.model", "llama")
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .raw("tokenizer.ggml.add_space_prefix", 7, &[1])
        .strings("tokenizer.ggml.tokens", &pieces)
        .array("tokenizer.ggml.scores", 6, &scores)
        .array("tokenizer.ggml.token_type", 5, &kinds)
        .bytes();
    // Visible bytes are their own letters, the others come from U+0100 on.
    let visible = |c: &u32| !matches!(c, 0..=0x20 | 0x7f..=0xa0 | 0xad);
    let letters = (0..256).filter(visible).chain(0x100..0x144).filter_map(char::from_u32).map(String::from);
    let tokens: Vec<String> = letters.chain(["ab", "abc", "<|end|>"].map(String::from)).collect();
    let bpe = Writer::default()
        .str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", "llama-bpe")
        .u32("tokenizer.ggml.eos_token_id", 258)
        .strings("tokenizer.ggml.merges", &["a b", "ab c"])
        .strings("tokenizer.ggml.tokens", &tokens.iter().map(String::as_str).collect::<Vec<_>>())
        .bytes();
    let text = "ab abc\n<s>cc <|end|>\u{fc}abab 123456 \r\n  'S";
    for good in [&spm, &bpe] {
        run(good, good.len(), 5_000, 64, |bytes| {
            let Ok(file) = Gguf::parse(bytes) else { return false };
            let Ok(tokenizer) = Tokenizer::of(&file) else { return false };
            for special in [Special::Text, Special::Token] {
                let ids = tokenizer.prompt(text, special);
                assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
                tokenizer.decode(&ids).unwrap();
            }
            true
        });
    }
}

/// A `tokenizer.json`, damaged: what is accepted makes a file that can be read.
fn tokenizer_json() {
    let bytes = std::fs::read(common::data("models/tokenizer.json")).unwrap();
    let vectors = std::fs::read(common::data("formats/sentencepiece.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_slice(&vectors).unwrap();
    for good in [bytes, vectors["file"].to_string().into_bytes()] {
        // Strings of a few bytes are words in a tree.
        let accepted = run(&good, good.len(), 500, 64, |bytes| {
            let Ok(keys) = gguf_of(bytes, b"{}") else { return false };
            let file = Gguf::parse(&keys).unwrap();
            // Merges of tokens that are not there, and bytes without a token, are refused here.
            if let Ok(tokenizer) = Tokenizer::of(&file) {
                let ids = tokenizer.prompt("In 1234 days <|endoftext|></s> \u{e9}", Special::Token);
                tokenizer.decode(&ids).unwrap();
            }
            true
        });
        assert!(accepted > 5, "{accepted} of 500");
    }
}

/// Parts of a model, one of them damaged.
fn parts() {
    let part = |i| {
        std::fs::read(common::data(&format!("checkpoints/split/phi3-q4_0-{i:05}-of-00003.gguf"))).unwrap()
    };
    let [first, second, third] = [1, 2, 3].map(part);
    run(&second, 1200, 500, 64, |second| {
        let files = [&first[..], second, &third].map(Gguf::parse).into_iter().collect::<Result<Vec<_>, _>>();
        let Ok(files) = files else { return false };
        let Ok(whole) = Gguf::join(files) else { return false };
        drop(GgufModel::of(&whole));
        whole.tensors().for_each(|tensor| drop(tensor.values()));
        true
    });
}

/// A configuration and its file, one of them damaged.
fn checkpoint() {
    let config = br#"{"model_type": "qwen2", "hidden_act": "silu", "hidden_size": 8, "intermediate_size": 4,
        "max_position_embeddings": 9, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1,
        "rms_norm_eps": 1e-6, "vocab_size": 3, "tie_word_embeddings": true}"#;
    let shapes: &[(&str, &[u64])] = &[
        ("embed_tokens.weight", &[3, 8]),
        ("norm.weight", &[8]),
        ("layers.0.input_layernorm.weight", &[8]),
        ("layers.0.self_attn.q_proj.weight", &[8, 8]),
        ("layers.0.self_attn.q_proj.bias", &[8]),
        ("layers.0.self_attn.k_proj.weight", &[4, 8]),
        ("layers.0.self_attn.k_proj.bias", &[4]),
        ("layers.0.self_attn.v_proj.weight", &[4, 8]),
        ("layers.0.self_attn.v_proj.bias", &[4]),
        ("layers.0.self_attn.o_proj.weight", &[8, 8]),
        ("layers.0.post_attention_layernorm.weight", &[8]),
        ("layers.0.mlp.gate_proj.weight", &[4, 8]),
        ("layers.0.mlp.up_proj.weight", &[4, 8]),
        ("layers.0.mlp.down_proj.weight", &[8, 4]),
    ];
    let tensors = shapes.iter().map(|(name, shape)| counted(&format!("model.{name}"), shape)).collect();
    let file = write(&tensors);
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let read = |config: &[u8], file: &[u8]| {
        let (Ok(config), Ok(file)) = (Config::parse(config), SafeTensors::parse(file)) else { return false };
        let files = [file];
        let Ok(model) = Checkpoint::of(&config, &files) else { return false };
        for (place, weights) in model.all() {
            let [cols, rows, ..] = place.dims(&model.dimensions);
            let mut row = vec![0.0; cols as usize];
            // A value may be refused: some are damaged.
            (0..rows as usize).for_each(|r| drop(weights.row(r, &mut row)));
        }
        true
    };
    run(&file, header, 5_000, 64, |file| read(config, file));
    run(config, config.len(), 5_000, 200, |config| read(config, &file));
}
