//! Model files through the reference, against logits that others computed: the trained ones (tests/data/models), and one per
//! architecture (tests/data/architectures).

use std::path::PathBuf;

use lutsim_formats::gguf::Gguf;
use lutsim_host::files::FileModel;
use lutsim_host::model::{Model, RopeConfig};
use lutsim_host::reference::{Machine, Numerics, Reference, argmax};
use lutsim_isa::field::Act;
use lutsim_isa::{WeightFormat, WeightKind};

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/models").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Rows of a file of float32 that NumPy wrote, version 1.
fn npy(name: &str) -> Vec<Vec<f32>> {
    rows(name, 1024)
}

fn rows(name: &str, columns: usize) -> Vec<Vec<f32>> {
    let bytes = data(name);
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values: Vec<f32> =
        bytes[10 + header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    values.chunks(columns).map(<[f32]>::to_vec).collect()
}

fn prompt(model: &str) -> Vec<u32> {
    let json: serde_json::Value = serde_json::from_slice(&data(&format!("expected/{model}.json"))).unwrap();
    let ids = &json["logits"]["tokens"];
    ids.as_array()
        .unwrap_or_else(|| panic!("{json:#}"))
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

/// Squared error over squared size, and positions whose largest logit is another's, with its lead.
fn compare(found: &[Vec<f32>], expected: &[Vec<f32>]) -> (f64, Vec<f32>) {
    let (mut error, mut size, mut flips) = (0.0, 0.0, Vec::new());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for (x, y) in found.iter().zip(expected) {
            error += f64::from(x - y).powi(2);
            size += f64::from(*y).powi(2);
        }
        let (a, b) = (argmax(found) as usize, argmax(expected) as usize);
        if a != b {
            flips.push(expected[b] - expected[a]);
        }
    }
    (error / size, flips)
}

fn logits(model: &str, numerics: Numerics) -> Vec<Vec<f32>> {
    let bytes = data(&format!("{model}.gguf"));
    let file = FileModel::of(model, &Gguf::parse(&bytes).unwrap()).unwrap();
    let reference = Reference::new(file.model.clone(), &file, numerics).unwrap();
    reference.prefill(&mut reference.cache(0), &prompt(model)).unwrap()
}

/// In floats: what is left is norms, embeddings and F16 matrices in the host's types.
#[test]
fn floats_are_those_of_the_files_authors() {
    for (model, most) in [
        ("tiny-llama-f16", 1e-4),
        ("tiny-llama-q8_0", 1e-6),
        ("tiny-llama-q4_0", 1e-6),
        ("tiny-bitnet-tq1_0", 1e-4),
        ("tiny-bitnet-tq2_0", 1e-4),
    ] {
        let expected = npy(&format!("expected/{model}.logits.f32.npy"));
        let (nmse, flips) = compare(&logits(model, Numerics::Float), &expected);
        assert!(nmse < most && flips.is_empty(), "{model}: {nmse:.2e} {flips:?}");
    }
}

/// In the machine's numbers: INT8 activations per token, KV cache INT8.
#[test]
fn the_machine_says_the_same() {
    for model in
        ["tiny-llama-f16", "tiny-llama-q8_0", "tiny-llama-q4_0", "tiny-bitnet-tq1_0", "tiny-bitnet-tq2_0"]
    {
        let machine = Machine { kv: WeightKind::Kv8, ..Machine::default() };
        let found = logits(model, Numerics::Machine(machine));
        for kind in ["f32", "llama_cpp"] {
            let expected = npy(&format!("expected/{model}.logits.{kind}.npy"));
            let (nmse, flips) = compare(&found, &expected);
            assert!(nmse < 2e-3, "{model}, {kind}: {nmse:.2e}");
            assert!(flips.len() <= 1 && flips.iter().all(|lead| *lead < 0.5), "{model}, {kind}: {flips:?}");
        }
    }
}

/// F16 files with their matrices as they are: closer to what others computed than with matrices rounded to INT8.
#[test]
fn floats_that_are_kept_are_closer() {
    let nmse = |bytes: &[u8], prompt: &[u32], expected: &[Vec<f32>]| {
        let file = FileModel::of("f16", &Gguf::parse(bytes).unwrap()).unwrap();
        [file.clone(), file.exact_float().unwrap()].map(|file| {
            let machine = Numerics::Machine(Machine::default());
            let reference = Reference::new(file.model.clone(), &file, machine).unwrap();
            compare(&reference.prefill(&mut reference.cache(0), prompt).unwrap(), expected).0
        })
    };
    let trained = (data("tiny-llama-f16.gguf"), prompt("tiny-llama-f16"));
    let random = data("../architectures/llama-f16.gguf");
    for [rounded, exact] in [
        nmse(&trained.0, &trained.1, &npy("expected/tiny-llama-f16.logits.llama_cpp.npy")),
        nmse(&random, &ARCHITECTURE_PROMPT, &rows("../architectures/llama-f16.logits.npy", 300)),
    ] {
        println!("rounded {rounded:.2e}, exact {exact:.2e}");
        assert!(exact < rounded / 2.0, "{exact:.2e} of {rounded:.2e}");
    }
    let file = FileModel::of("f16", &Gguf::parse(&trained.0).unwrap()).unwrap().exact_float().unwrap();
    assert_eq!((file.weights, file.head), (WeightFormat::FLOAT, WeightFormat::FLOAT));
    assert_eq!(file.roundings().unwrap(), []);
}

/// See tests/data/architectures/README.md.
const ARCHITECTURES: [&str; 17] = [
    "llama-q5_1",
    "llama-f16",
    "llama-q4_k_m",
    "llama-q2_k",
    "qwen2-q8_0",
    "phi3-q4_0",
    "gpt2-q8_0",
    "bloom-q5_0",
    "llama-yarn-q8_0",
    "llama-divisors-q8_0",
    "phi3-short-q8_0",
    "phi3-long-q8_0",
    "opt-q8_0",
    "bitnet-relu2-q8_0",
    "gemma-q8_0",
    "gemma2-q8_0",
    "mixtral-q8_0",
];

const ARCHITECTURE_PROMPT: [u32; 24] = [
    41, 78, 259, 266, 78, 291, 287, 12, 268, 33, 120, 299, 17, 280, 64, 271, 205, 98, 262, 285, 44, 150, 276,
    293,
];

/// A small model of random weights per architecture: the machine's numbers beside those of llama.cpp, or of NumPy.
#[test]
fn architectures_say_what_others_say() {
    for name in ARCHITECTURES {
        let bytes = data(&format!("../architectures/{name}.gguf"));
        let file = FileModel::of(name, &Gguf::parse(&bytes).unwrap()).unwrap();
        let expected = rows(&format!("../architectures/{name}.logits.npy"), 300);
        for numerics in [Numerics::Float, Numerics::Machine(Machine::default())] {
            let reference = Reference::new(file.model.clone(), &file, numerics).unwrap();
            let found = reference.prefill(&mut reference.cache(0), &ARCHITECTURE_PROMPT).unwrap();
            let (nmse, flips) = compare(&found, &expected);
            println!("{name}: NMSE {nmse:.1e}, {} flips", flips.len());
            assert!(nmse < 2e-3, "{name}: {nmse:.2e}");
            // Nine in ten of the largest logits are the same, the others' leads are small.
            assert!(flips.len() <= 2 && flips.iter().all(|lead| *lead < 0.5), "{name}: {flips:?}");
        }
    }
}

/// The model of a `config.json` with some keys.
fn configured(keys: &str) -> Model {
    let text = format!(
        r#"{{"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1,
        "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": false, {keys}}}"#
    );
    let config = lutsim_formats::config::Config::parse(text.as_bytes()).unwrap();
    lutsim_host::files::model("configured", &config.dimensions).unwrap()
}

fn rope(keys: &str) -> RopeConfig {
    let keys = format!(r#""model_type": "llama", "hidden_act": "silu", {keys}"#);
    configured(&keys).rope().unwrap().clone()
}

/// BitNet's MLP is what the file says, with norms before its output and down projections in any case.
#[test]
fn bitnet_by_its_activation() {
    for (name, activation) in [("silu", Act::Silu), ("relu2", Act::Relu2)] {
        let model = configured(&format!(r#""model_type": "bitnet", "hidden_act": "{name}""#));
        assert_eq!((model.activation, model.sub_norms, model.gated_mlp), (activation, true, true));
    }
}

/// Frequencies as a `config.json` stretches them.
#[test]
fn stretched_frequencies() {
    let plain = rope(r#""rope_scaling": null"#);
    let even = rope(r#""rope_scaling": {"rope_type": "linear", "factor": 4.0}"#);
    for i in 0..32 {
        assert_eq!(even.frequency(i, 0), plain.frequency(i, 0) / 4.0);
    }
    let llama3 = r#""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024}"#;
    let llama3 = rope(llama3);
    assert_eq!(llama3.frequency(0, 0), plain.frequency(0, 0));
    assert_eq!(llama3.frequency(31, 0), plain.frequency(31, 0) / 8.0);
    let yarn = r#""rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024"#;
    let (usual, given) = (rope(&format!("{yarn}}}")), rope(&format!(r#"{yarn}, "attention_factor": 2.0}}"#)));
    assert_eq!((usual.frequency(0, 0), usual.frequency(31, 0)), (1.0, plain.frequency(31, 0) / 4.0));
    // 0.1 ln 4 + 1.
    assert_eq!((usual.row(0)[0], given.row(0)[0]), (1.138_629_4, 2.0));
    // Twice as long as it was trained for: the base is 2 x 4 - 3 times as large, and a little more.
    let dynamic = rope(r#""rope_scaling": {"type": "dynamic", "factor": 4.0}"#);
    assert_eq!(dynamic.frequency(31, 4095), plain.frequency(31, 0));
    assert!((plain.frequency(31, 0) / dynamic.frequency(31, 8191) - 5.0).abs() < 1e-9);
}

/// Divisors for short and long sequences, of the part of each head that rotates.
#[test]
fn long_rope_of_a_part() {
    let list = |x: f64| format!("{:?}", (0..24).map(|i| x + f64::from(i)).collect::<Vec<_>>());
    let long = rope(&format!(
        r#""partial_rotary_factor": 0.75, "rope_scaling": {{"type": "su", "short_factor": {}, "long_factor": {},
        "original_max_position_embeddings": 1024}}"#,
        list(1.0),
        list(2.0)
    ));
    assert_eq!(long.dims, 48);
    assert_eq!(long.frequency(0, 1023), 1.0);
    assert_eq!(long.frequency(0, 1024), 0.5);
    // sqrt(1 + ln 4 / ln 1024).
    assert_eq!(long.row(0)[0], 1.095_445_1);
}
