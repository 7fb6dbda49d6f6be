//! `lutsim generate` and `lutsim eval` on the trained models: the words, logits and perplexities that others computed
//! (tests/data/models/expected).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cli_cases::lutsim;

const MODELS: [&str; 5] =
    ["tiny-llama-f16", "tiny-llama-q8_0", "tiny-llama-q4_0", "tiny-bitnet-tq1_0", "tiny-bitnet-tq2_0"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
}

fn expected(model: &str) -> Value {
    let text = std::fs::read_to_string(data(&format!("expected/{model}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Runs it: what `--json` prints.
fn generate(folder: &Path, model: &str, args: &[&str]) -> Value {
    let path = data(&format!("{model}.gguf"));
    let path = path.to_str().unwrap();
    let all = [&["generate", "--config", "tiny", "--model", path, "--json"], args].concat();
    let (code, out, err) = lutsim(folder, &all);
    assert_eq!((code, err.as_str()), (0, ""), "{all:?}");
    serde_json::from_str(&out).unwrap()
}

/// Greedy tokens are those of the file's exact meaning up to the first whose lead is below 0.5; behind that, another choice is
/// legitimate, and all later ones may differ.
#[test]
fn greedy_tokens() {
    let folder = tempfile::tempdir().unwrap();
    for model in MODELS {
        for case in expected(model)["greedy"].as_array().unwrap() {
            let prompt = case["prompt"].as_str().unwrap();
            let count = case["f32"]["tokens"].as_array().unwrap().len().to_string();
            let found = generate(folder.path(), model, &["--prompt", prompt, "-n", &count, "--ignore-eos"]);
            assert_eq!(ids(&found["prompt_token_ids"]), ids(&case["prompt_tokens"]));
            let (found, tokens) = (ids(&found["token_ids"]), ids(&case["f32"]["tokens"]));
            let leads = case["f32"]["top1_minus_top2_logit"].as_array().unwrap();
            let sure = leads.iter().position(|lead| lead.as_f64().unwrap() < 0.5).unwrap_or(leads.len());
            assert_eq!(found[..sure], tokens[..sure], "{model}, `{prompt}`");
            assert_eq!(found.len(), tokens.len());
        }
    }
}

/// Logits of every prompt position, by way of a file that NumPy reads.
#[test]
fn logits() {
    let folder = tempfile::tempdir().unwrap();
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && (10 + header).is_multiple_of(64));
        bytes[10 + header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    for model in MODELS {
        let tokens = ids(&expected(model)["logits"]["tokens"]);
        let prompt = tokens.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        generate(folder.path(), model, &["--prompt-ids", &prompt, "-n", "1", "--logits", "logits.npy"]);
        let bytes = std::fs::read(folder.path().join("logits.npy")).unwrap();
        assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (16, 1024)"));
        let found = floats(&bytes);
        std::fs::remove_file(folder.path().join("logits.npy")).unwrap();
        let expected =
            floats(&std::fs::read(data(&format!("expected/{model}.logits.llama_cpp.npy"))).unwrap());
        assert_eq!(found.len(), expected.len());
        let error: f64 = found.iter().zip(&expected).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let size: f64 = expected.iter().map(|y| f64::from(*y).powi(2)).sum();
        assert!(error / size < 2e-3, "{model}: NMSE {:.2e}", error / size);
    }
}

/// Files that llama.cpp mixed types in: what it says, by way of the instructions; and the types by name.
#[test]
fn mixed_types() {
    const PROMPT: &str =
        "41,78,259,266,78,291,287,12,268,33,120,299,17,280,64,271,205,98,262,285,44,150,276,293";
    let folder = tempfile::tempdir().unwrap();
    for (model, types, groups) in
        [("llama-q4_k_m", "q4_k+q6_k+q5_0", "32, 16"), ("llama-q2_k", "q2_k+q3_k+q4_0", "16, 32")]
    {
        let name = format!("../architectures/{model}");
        let args = ["--prompt-ids", PROMPT, "-n", "1", "--logits", "logits.npy"];
        let found = generate(folder.path(), &name, &args);
        let workload = &found["record"]["workload"];
        assert_eq!((&workload["weights"], &workload["group"]), (&types.into(), &groups.into()));
        let rows = |path: PathBuf| -> Vec<f32> {
            let bytes = std::fs::read(path).unwrap();
            let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            bytes[10 + header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
        };
        let (found, expected) =
            (rows(folder.path().join("logits.npy")), rows(data(&format!("{name}.logits.npy"))));
        assert_eq!((found.len(), expected.len()), (24 * 300, 24 * 300));
        let error: f64 = found.iter().zip(&expected).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let size: f64 = expected.iter().map(|y| f64::from(*y).powi(2)).sum();
        assert!(error / size < 2e-3, "{model}: NMSE {:.2e}", error / size);
    }
}

/// The same seed says the same, on every engine; another seed something else.
#[test]
fn seeds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |seed: &str, engine: &str| {
        let args = [
            "--prompt",
            "And it came to pass",
            "-n",
            "24",
            "--temperature",
            "0.7",
            "--seed",
            seed,
            "--engine",
        ];
        generate(folder.path(), "tiny-bitnet-tq2_0", &[&args[..], &[engine]].concat())
    };
    let (first, again, other) = (at("1", "leap"), at("1", "skip"), at("2", "leap"));
    assert_eq!(first, again);
    assert_ne!(first["token_ids"], other["token_ids"]);
}

/// What comes before the end of a text, and no more.
#[test]
fn a_text_ends() {
    let folder = tempfile::tempdir().unwrap();
    // Sampled hot, with a seed that ends early.
    let args = ["--prompt-ids", "0", "-n", "20", "--temperature", "3", "--seed", "32"];
    let found = generate(folder.path(), "tiny-llama-q4_0", &args);
    let tokens = ids(&found["token_ids"]);
    assert_eq!((&found["end_of_sequence"], tokens.len(), tokens.last()), (&Value::Bool(true), 3, Some(&0)));
    let goes_on = generate(folder.path(), "tiny-llama-q4_0", &[&args[..], &["--ignore-eos"]].concat());
    let longer = ids(&goes_on["token_ids"]);
    assert_eq!((longer.len(), &longer[..3]), (20, &tokens[..]));
}

/// The first windows of the text: the mean loss of each to half a percent, on the machine and in floats.
#[test]
fn perplexity() {
    let folder = tempfile::tempdir().unwrap();
    for (model, exact) in [("tiny-bitnet-tq2_0", "int8"), ("tiny-llama-q4_0", "llama_cpp")] {
        let (path, text) = (data(&format!("{model}.gguf")), data("validation.txt"));
        let args = ["eval", "--model", path.to_str().unwrap(), "--text", text.to_str().unwrap()];
        let (code, out, err) = lutsim(folder.path(), &[&args[..], &["--windows", "3", "--json"]].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        let found: Value = serde_json::from_str(&out).unwrap();
        for (ours, theirs) in [("exact", exact), ("float", "f32")] {
            let means = |value: &Value| -> Vec<f64> {
                value["window_mean_nll"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .take(3)
                    .map(|x| x.as_f64().unwrap())
                    .collect()
            };
            let (found, expected) = (means(&found[ours]), means(&expected(model)["validation"][theirs]));
            assert_eq!(found.len(), 3);
            // Perplexity to 0.5 %: a mean of logarithms to 0.005.
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 0.005, "{model}, {ours}: {found} for {expected}");
            }
        }
        let operators = found["operator_nmse"].as_object().unwrap();
        assert_eq!(operators.len(), 8);
        assert!(
            operators.iter().all(|(_, nmse)| (0.0..5e-3).contains(&nmse.as_f64().unwrap())),
            "{operators:?}"
        );
    }
}

/// Stored bits as llama.cpp publishes them, and a product on a chip for each.
#[test]
fn types() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = lutsim(folder.path(), &["types", "--config", "tiny", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let table: Value = serde_json::from_str(&out).unwrap();
    let row = |name: &str| table.as_array().unwrap().iter().find(|row| row["type"] == name).unwrap().clone();
    for (name, bits) in [
        ("q4_0", 4.5),
        ("q4_1", 5.0),
        ("q5_0", 5.5),
        ("q5_1", 6.0),
        ("q8_0", 8.5),
        ("q2_k", 2.625),
        ("q3_k", 3.4375),
        ("q4_k", 4.5),
        ("q5_k", 5.5),
        ("q6_k", 6.5625),
        ("tq1_0", 1.6875),
        ("tq2_0", 2.0625),
        ("iq4_nl", 4.5),
        ("mxfp4", 4.25),
    ] {
        assert_eq!(row(name)["stored_bits_per_weight"], bits, "{name}");
        assert_eq!(row(name)["exact"], true);
    }
    // More planes take longer where the cores are what binds; floats are rounded.
    let cycles = |name| row(name)["cycles"].as_u64().unwrap();
    assert!(
        cycles("int1") < cycles("int2") && cycles("int4") < cycles("q5_0") && cycles("q5_0") < cycles("q8_0")
    );
    assert_eq!((cycles("f16"), row("f16")["exact"].clone()), (cycles("int8"), Value::Bool(false)));
}
