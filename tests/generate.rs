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

/// Float matrices on the vector unit, all of an F16 file's or a coded file's embedding: nothing is rounded, the tokens are those of the
/// floats, and time passes alike in every engine.
#[test]
fn floats_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (model, weights) in [("tiny-llama-f16", "f16"), ("tiny-bitnet-tq2_0", "tq2_0")] {
        let case = &expected(model)["greedy"][0];
        let prompt = case["prompt"].as_str().unwrap();
        let args = |engine| ["--prompt", prompt, "-n", "3", "--exact-float", "--engine", engine];
        let found = ["leap", "skip", "tick"].map(|engine| generate(folder.path(), model, &args(engine)));
        assert_eq!(found[0]["rounded_tensors"], serde_json::json!([]));
        assert_eq!(found[0]["record"]["workload"]["weights"], weights);
        assert_eq!(ids(&found[0]["token_ids"])[..1], ids(&case["f32"]["tokens"])[..1]);
        for other in &found[1..] {
            assert_eq!(other["token_ids"], found[0]["token_ids"]);
            assert_eq!(other["record"], found[0]["record"]);
        }
    }
}

/// Files that llama.cpp mixed types in, and architectures with instructions of their own: what it says, by way of the instructions; and
/// the types by name.
#[test]
fn mixed_types_and_architectures() {
    const PROMPT: &str =
        "41,78,259,266,78,291,287,12,268,33,120,299,17,280,64,271,205,98,262,285,44,150,276,293";
    let folder = tempfile::tempdir().unwrap();
    for (model, types, groups) in [
        ("llama-q4_k_m", "q4_k+q6_k+q5_0", "32, 16"),
        ("llama-q2_k", "q2_k+q3_k+q4_0", "16, 32"),
        ("gemma2-q8_0", "q8_0", "32"),
        ("mixtral-q8_0", "q8_0+int8", "32, 128"),
    ] {
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

/// Folders of safetensors files and a model in several GGUF files: the logits that llama.cpp computed, without a tokeniser and with
/// another file's.
#[test]
fn folders_and_parts() {
    const PROMPT: &str =
        "41,78,259,266,78,291,287,12,268,33,120,299,17,280,64,271,205,98,262,285,44,150,276,293";
    let folder = tempfile::tempdir().unwrap();
    let rows = |path: PathBuf| -> Vec<f32> {
        let bytes = std::fs::read(path).unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        bytes[10 + header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    let run = |model: &str, args: &[&str]| {
        let path = data(&format!("../{model}"));
        let common = ["generate", "--config", "tiny", "--model", path.to_str().unwrap(), "-n", "4"];
        lutsim(folder.path(), &[&common[..], args].concat())
    };
    for (model, logits, called, rounded) in [
        ("checkpoints/gptq", "checkpoints/gptq/logits.npy", "gptq", 1),
        ("checkpoints/awq/model.safetensors", "checkpoints/awq/logits.npy", "awq", 1),
        ("checkpoints/bf16", "checkpoints/bf16/logits.npy", "bf16", 15),
        (
            "checkpoints/split/phi3-q4_0-00002-of-00003.gguf",
            "architectures/phi3-q4_0.logits.npy",
            "phi3-q4_0",
            0,
        ),
    ] {
        let (code, out, err) = run(model, &["--prompt-ids", PROMPT, "--logits", "logits.npy", "--json"]);
        assert_eq!((code, err.as_str()), (0, ""), "{model}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(said["record"]["workload"]["model"], called);
        assert_eq!(said["rounded_tensors"].as_array().unwrap().len(), rounded);
        assert_eq!(
            said["text"].is_null(),
            model.contains("gptq") || model.contains("awq") || model.contains("bf16")
        );
        let (found, expected) = (rows(folder.path().join("logits.npy")), rows(data(&format!("../{logits}"))));
        assert_eq!((found.len(), expected.len()), (24 * 300, 24 * 300));
        let error: f64 = found.iter().zip(&expected).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let size: f64 = expected.iter().map(|y| f64::from(*y).powi(2)).sum();
        assert!(error / size < 2e-3, "{model}: NMSE {:.2e}", error / size);
    }
    // A text needs a tokeniser; another file's will do.
    let (code, _, err) = run("checkpoints/gptq", &["--prompt", "And"]);
    assert!(code == 2 && err.contains("has no tokeniser that is read"), "{err}");
    let lent = data("../architectures/qwen2-q8_0.gguf");
    let (code, out, _) = run("checkpoints/gptq", &["--prompt", "And", "--tokenizer", lent.to_str().unwrap()]);
    assert!(code == 0 && out.starts_with("And"), "{out}");
    // Too many tokens for the model.
    let large = data("tiny-llama-q4_0.gguf");
    let (code, _, err) =
        run("checkpoints/gptq", &["--prompt", "And", "--tokenizer", large.to_str().unwrap()]);
    assert!(code == 2 && err.contains("a tokeniser of 1024 tokens, the model"), "{err}");
    let (text, lent) = (data("validation.txt"), data("../architectures/qwen2-q8_0.gguf"));
    let model = data("../checkpoints/awq");
    let args = ["eval", "--model", model.to_str().unwrap(), "--tokenizer", lent.to_str().unwrap()];
    let more = ["--text", text.to_str().unwrap(), "--window", "32", "--windows", "1", "--json"];
    let (code, out, err) = lutsim(folder.path(), &[&args[..], &more].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["weights"], "int4");
}

/// A folder's own `tokenizer.json`.
#[test]
fn a_folder_talks() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        let from = data(&format!("../checkpoints/gptq/{file}"));
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    let args = ["generate", "--config", "tiny", "--model", ".", "-n", "2"];
    let run = |more: &[&str]| lutsim(folder.path(), &[&args[..], more].concat());
    // The tokens that the model has, of those of the trained ones.
    let whole: Value = serde_json::from_slice(&std::fs::read(data("tokenizer.json")).unwrap()).unwrap();
    let put =
        |value: &Value| std::fs::write(folder.path().join("tokenizer.json"), value.to_string()).unwrap();
    put(&whole);
    let (code, _, err) = run(&["--prompt", "And"]);
    assert!(code == 2 && err.contains("a tokeniser of 1024 tokens"), "{err}");
    let mut few = whole.clone();
    few["model"]["vocab"].as_object_mut().unwrap().retain(|_, id| id.as_u64().unwrap() < 300);
    let vocab = few["model"]["vocab"].clone();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let known = |pair: &Value| {
        let (left, right) = (text(&pair[0]), text(&pair[1]));
        [&left, &right, &(left.clone() + &right)].into_iter().all(|token| vocab.get(token).is_some())
    };
    few["model"]["merges"].as_array_mut().unwrap().retain(known);
    put(&few);
    let (code, out, err) = run(&["--prompt", "And", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&out).unwrap();
    let lent = data("../architectures/qwen2-q8_0.gguf");
    let (_, out, _) = run(&["--prompt", "And", "--json", "--tokenizer", lent.to_str().unwrap()]);
    let other: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["text"], &said["prompt_token_ids"]), (&other["text"], &other["prompt_token_ids"]));
    // One that is not read is in nobody's way unless it is needed.
    few["model"]["type"] = "Unigram".into();
    put(&few);
    let (code, _, err) = run(&["--prompt", "And"]);
    assert!(code == 2 && err.contains("`Unigram`, expected `BPE`"), "{err}");
    assert_eq!(run(&["--prompt-ids", "41,78"]).0, 0);
}

/// Weights in another type on request: every tensor's error is said, scales that a text chose lose less of the text.
#[test]
fn weights_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let text = data("validation.txt");
    let text = text.to_str().unwrap();
    let int3 = ["--weights", "int3", "--group", "32"];
    let found =
        generate(folder.path(), "tiny-llama-q8_0", &[&["--prompt", "And", "-n", "2"], &int3[..]].concat());
    assert_eq!(found["record"]["workload"]["weights"], "int3");
    let tensors = found["rounded_tensors"].as_array().unwrap();
    let of = |name: &str| tensors.iter().find(|t| t["tensor"] == name).unwrap().clone();
    let one = of("blk.0.attn_q.weight");
    assert_eq!((&one["from"], &one["to"], &one["group"]), (&"Q8_0".into(), &"int3".into(), &32.into()));
    assert!((1e-3..0.1).contains(&one["nmse"].as_f64().unwrap()), "{one}");

    let model = data("tiny-llama-q8_0.gguf");
    let run = |args: &[&str]| lutsim(folder.path(), args);
    let eval = |more: &[&str]| {
        let args = ["eval", "--model", model.to_str().unwrap(), "--text", text, "--windows", "2"];
        run(&[&args[..], &int3, more].concat())
    };
    let perplexity = |(code, out, err): (i32, String, String)| {
        assert_eq!((code, err.as_str()), (0, ""));
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(found["rounded_tensors"].as_array().unwrap().len(), tensors.len());
        found["exact"]["perplexity"].as_f64().unwrap()
    };
    let nearest = perplexity(eval(&["--json"]));
    let chosen = perplexity(eval(&["--calibrate", text, "--json"]));
    assert!(chosen < nearest, "{chosen} for {nearest}");
    let (_, out, _) = eval(&["--calibrate", text]);
    assert!(out.contains("error of rounded weights, of their power ("), "{out}");

    let args = ["types", "--config", "tiny", "--model", model.to_str().unwrap()];
    let (code, out, err) = run(&[&args[..], &["--json"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["tensors"].as_array().unwrap().len(), tensors.len());
    for row in found["tensors"].as_array().unwrap() {
        let error = |kind: &str| row["nmse"][kind].as_f64().unwrap();
        assert!(
            error("int8") < error("int4") && error("int4") < error("int3") && error("int3") < error("int2")
        );
    }
    let (code, out, _) = run(&args);
    assert!(code == 0 && out.contains("Rounding error in groups of 128"), "{out}");

    // What cannot be asked for.
    let refused = |args: &[&str], why: &str| {
        let model = ["generate", "--config", "tiny", "--model", model.to_str().unwrap(), "--prompt", "And"];
        let (code, _, err) = run(&[&model[..], args].concat());
        assert!(code == 2 && err.contains(why), "{args:?}: {err}");
    };
    refused(&["--weights", "q4_k"], "blocks of files are read, not made");
    refused(&["--weights", "int5"], "weights cannot be kept as `int5`");
    refused(&["--weights", "int2", "--group", "48"], "`48` is not a group size");
    refused(&["--weights", "int2", "--calibrate", "absent.txt"], "absent.txt");
    std::fs::write(folder.path().join("empty.txt"), "").unwrap();
    refused(&["--weights", "int2", "--calibrate", "empty.txt"], "it is empty");
    refused(&["--group", "64"], "--weights <FORMAT>");
}

/// A folder or a part of a model alone is not a model.
#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| {
        std::fs::create_dir_all(folder.path().join(to).parent().unwrap()).unwrap();
        std::fs::copy(data(&format!("../checkpoints/{from}")), folder.path().join(to)).unwrap();
    };
    let say = |model: &str| {
        let args = ["generate", "--config", "tiny", "--model", model, "--prompt-ids", "1"];
        let (code, _, err) = lutsim(folder.path(), &args);
        assert_eq!(code, 2, "{err}");
        // As one line, whatever its width.
        err.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    };
    put("split/phi3-q4_0-00001-of-00003.gguf", "p-00001-of-00003.gguf");
    assert!(say("p-00001-of-00003.gguf").contains("`p-00002-of-00003.gguf`: No such file or directory"));
    put("split/phi3-q4_0-00001-of-00003.gguf", "p.gguf");
    let said = say("p.gguf");
    assert!(said.contains("one of 3 files of a model, but not called NAME-00001-of-00003.gguf"), "{said}");
    put("gptq/model.safetensors", "a/model.safetensors");
    assert!(say("a").contains("config.json"), "{}", say("a"));
    put("bf16/config.json", "b/config.json");
    put("bf16/model-00001-of-00002.safetensors", "b/model-00001-of-00002.safetensors");
    assert!(say("b").contains("not there, expected this tensor"), "{}", say("b"));
    put("bf16/model.safetensors.index.json", "b/model.safetensors.index.json");
    assert!(say("b").contains("model-00002-of-00002.safetensors`: No such file"), "{}", say("b"));
    // With its dimensions alone a folder can be timed.
    put("gptq/config.json", "c/config.json");
    let run = ["run", "--config", "tiny", "--model", "c", "--prompt", "4", "--generate", "1", "--json"];
    let (code, out, err) = lutsim(folder.path(), &run);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["workload"]["model"], "c");
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
        // Perplexity to 0.5 %: a mean of logarithms to 0.005. Tables of 8 bits move a window of 127 tokens by up to 1 %.
        for (ours, theirs, most) in
            [("exact", exact, 0.005), ("int8_tables", exact, 0.02), ("float", "f32", 0.005)]
        {
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
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < most, "{model}, {ours}: {found} for {expected}");
            }
        }
        let operators = found["operator_nmse"].as_object().unwrap();
        assert_eq!(operators.len(), 8);
        for kind in ["exact", "int8_tables"] {
            let small = |nmse: &Value| (0.0..5e-3).contains(&nmse[kind].as_f64().unwrap());
            assert!(operators.values().all(small), "{operators:?}");
        }
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

/// Entries of 8 bits: the instructions say the same as the reference does, the text goes on, and only the LUT cores' time changes.
#[test]
fn int8_tables() {
    let folder = tempfile::tempdir().unwrap();
    let at = |kind: &str| {
        let args = ["--prompt", "And the LORD said unto Moses,", "-n", "8", "--tables", kind];
        generate(folder.path(), "tiny-bitnet-tq2_0", &args)
    };
    let (exact, rounded) = (at("exact"), at("int8"));
    assert_eq!(exact["token_ids"], rounded["token_ids"]);
    let count = |run: &Value, name: &str| run["record"]["phases"]["decode"]["events"][name].as_u64();
    assert_eq!(count(&exact, "table_roundings"), None);
    assert!(count(&rounded, "table_roundings").unwrap() > 0);
    for same in ["lut_selects", "macs"] {
        assert_eq!(count(&exact, same), count(&rounded, same), "{same}");
    }
    // Their programs are as long as their mappings make them.
    let from_dram = |run: &Value| {
        let mut classes = run["record"]["phases"]["decode"]["dram_bytes_by_class"].clone();
        classes.as_object_mut().unwrap().remove("program").unwrap();
        classes
    };
    assert_eq!(from_dram(&exact), from_dram(&rounded));
    assert_eq!(rounded["record"]["workload"]["tables"], "int8");
}

/// Fewer bits are faster and cheaper, and say less.
#[test]
fn quality() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = (data("tiny-llama-q4_0.gguf"), data("validation.txt"));
    let args = ["quality", "--config", "tiny", "--model", path.to_str().unwrap(), "--windows", "2"];
    let (code, out, err) =
        lutsim(folder.path(), &[&args[..], &["--text", text.to_str().unwrap(), "--json"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    let rows = found["types"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["weights"].as_str().unwrap()).collect();
    assert_eq!(names, ["q4_0", "int8", "int4", "int3", "int2", "int1.58", "int1"]);
    let of = |key: &str| -> Vec<f64> { rows.iter().map(|row| row[key].as_f64().unwrap()).collect() };
    let falls = |values: &[f64]| values.windows(2).all(|pair| pair[0] > pair[1]);
    assert_eq!(of("stored_bits_per_weight")[0], 4.5);
    assert!(falls(&of("stored_bits_per_weight")[1..]) && falls(&of("energy_per_token_j")[1..]));
    let (speed, perplexity) = (of("tokens_per_second"), of("perplexity"));
    assert!(speed[1..].is_sorted() && perplexity[2..].is_sorted(), "{speed:?} {perplexity:?}");
    // Eight bits hold what four bits were; the file's own type is as eval says.
    let float = found["float_perplexity"].as_f64().unwrap();
    assert!((perplexity[0] / float - 1.0).abs() < 0.01 && (perplexity[1] / perplexity[0] - 1.0).abs() < 0.01);
    let args =
        ["eval", "--model", path.to_str().unwrap(), "--text", text.to_str().unwrap(), "--windows", "2"];
    let (_, out, _) = lutsim(folder.path(), &[&args[..], &["--tables", "exact", "--json"]].concat());
    let eval: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(eval["exact"]["perplexity"].as_f64().unwrap(), perplexity[0]);
    assert!(eval.get("int8_tables").is_none());
}

/// Without a text there is no perplexity; CSV has a header and a row per type.
#[test]
fn quality_without_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = data("tiny-bitnet-tq1_0.gguf");
    let args = ["quality", "--config", "tiny", "--model", path.to_str().unwrap(), "--group", "row", "--csv"];
    let (code, out, err) = lutsim(folder.path(), &args);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[0],
        "weights,group,own,stored_bits_per_weight,tokens_per_second,energy_per_token_j,energy_per_token_j_low,\
         energy_per_token_j_high,perplexity"
    );
    assert_eq!(lines.len(), 8);
    assert!(
        lines[1].starts_with("tq1_0,256,true,1.6875,") && lines[7].starts_with("int1,row,false,"),
        "{out}"
    );
    assert!(lines[1..].iter().all(|line| line.ends_with(',')));
}
