//! What `lutsim generate` says of a model whose numbers are at fault, of too many tokens, and of a file that cannot be written.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cli_cases::lutsim;

const MODEL: &str = "tiny-bitnet-tq2_0.gguf";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(MODEL)
}

/// The error of `generate` on a model, as one line whatever its width.
fn say(folder: &Path, model: &Path, args: &[&str]) -> String {
    let model = model.to_str().unwrap();
    let all = [&["generate", "--config", "tiny", "--model", model, "--prompt-ids", "1,2"], args].concat();
    let (code, out, err) = lutsim(folder, &all);
    assert_eq!((code, out.as_str()), (2, ""), "{all:?}: {err}");
    one_line(&err)
}

/// An error without the breaks of its lines.
fn one_line(err: &str) -> String {
    err.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// Where a tensor's data begin: its name, dimensions and type are before its offset, and the data lie at a multiple of 32.
fn data_of(bytes: &[u8], tensor: &str) -> usize {
    let find = |what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap();
    let word = |at: usize, n: usize| {
        bytes[at..at + n].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    // Of a tensor's description: name, number of dimensions, these, type, offset.
    let behind = |name: &str| {
        let at = find(&[&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat()) + 8 + name.len();
        at + 4 + 8 * word(at, 4) + 4
    };
    let last = behind("output_norm.weight");
    assert!(last >= behind(tensor), "the last tensor of the file's list");
    (last + 8).next_multiple_of(32) + word(behind(tensor), 8)
}

/// The file and the tensor are named, and nobody is sent to the chip's file.
#[test]
fn numbers_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    let good = std::fs::read(data()).unwrap();
    for (tensor, at, with, why) in [
        ("blk.1.attn_q.weight", 3, &[0xff][..], "row 0, column 3 has code 3, expected codes 0 to 2"),
        ("blk.1.attn_q.weight", 64, &[0, 0x7e], "row 0, group 0 has the scale NaN, expected a finite scale"),
        ("blk.0.attn_norm.weight", 0, &[0, 0, 0xc0, 0x7f], "row 0, column 0 is NaN, expected finite weights"),
    ] {
        let mut bytes = good.clone();
        let at = data_of(&good, tensor) + at;
        bytes[at..at + with.len()].copy_from_slice(with);
        std::fs::write(&file, bytes).unwrap();
        let said = say(folder.path(), &file, &["-n", "1"]);
        assert!(said.contains(&format!("m.gguf`: tensor `{tensor}`: {why}")), "{said}");
        assert!(!said.contains("chip file"), "{said}");
    }
}

/// Each number of the file is finite, and a sum of them is not.
#[test]
fn sums_that_overflow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    let mut bytes = std::fs::read(data()).unwrap();
    let at = data_of(&bytes, "output_norm.weight");
    bytes[at..at + 4 * 32].as_chunks_mut().0.iter_mut().for_each(|x| *x = 3e38f32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    for args in [&["-n", "1"][..], &["-n", "1", "--temperature", "1"], &["-n", "1", "--logits", "l.npy"]] {
        let said = say(folder.path(), &file, args);
        assert!(said.contains("m.gguf`: the logits of token 0 are not finite: "), "{said}");
    }
}

/// What chooses among logits needs a temperature.
#[test]
fn seeds_without_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--seed", "--top-k"] {
        let said = say(folder.path(), &data(), &["-n", "1", flag, "3"]);
        assert!(said.contains("--temperature <T>"), "{said}");
    }
}

/// The flags that are there are named, and how many tokens would do: the last one generated is not read.
#[test]
fn too_many_tokens() {
    let folder = tempfile::tempdir().unwrap();
    for tokens in ["256", "4000000000"] {
        let said = say(folder.path(), &data(), &["-n", tokens]);
        let why =
            format!("`--tokens {tokens}`: tiny-bitnet-tq2_0 sees at most 256 tokens, and the prompt has 2");
        assert!(said.contains(&why), "{said}");
        assert!(said.contains("give at most 255, or a shorter prompt"), "{said}");
    }
    let long = vec!["5"; 257].join(",");
    let model = data();
    let args = ["generate", "--config", "tiny", "--model", model.to_str().unwrap(), "--prompt-ids", &long];
    let (code, _, err) = lutsim(folder.path(), &[&args[..], &["-n", "1"]].concat());
    assert!(code == 2 && err.contains("give a shorter prompt"), "{err}");
}

/// Known before the model has talked, and nothing is left behind.
#[test]
fn logits_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let said = say(folder.path(), &data(), &["--logits", "none/l.npy"]);
    assert!(said.contains("cannot write `none/l.npy`: no such file or directory"), "{said}");
    let said = say(folder.path(), &data(), &["--logits", "l.npy", "--weights", "int5"]);
    assert!(said.contains("weights cannot be kept as `int5`"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A tokeniser that is not read: another file's does.
#[test]
fn another_tokeniser() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    let mut bytes = std::fs::read(data()).unwrap();
    let key = b"tokenizer.ggml.pre";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4 + 8;
    bytes[at..at + 5].copy_from_slice(b"other");
    std::fs::write(&file, bytes).unwrap();
    let said = say(folder.path(), &file, &["-n", "1"]);
    assert!(said.contains("key `tokenizer.ggml.pre`: `other`, expected one of"), "{said}");
    assert!(said.contains("--tokenizer FILE.gguf lends another"), "{said}");
    let (model, own) = (file.to_str().unwrap(), data());
    let args = ["generate", "--config", "tiny", "--model", model, "--prompt", "And", "-n", "1"];
    let (code, _, err) =
        lutsim(folder.path(), &[&args[..], &["--tokenizer", own.to_str().unwrap()]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
}

/// Dimensions alone can be timed, but do not talk.
#[test]
fn a_folder_without_weights() {
    let folder = tempfile::tempdir().unwrap();
    let config = data().with_file_name("../checkpoints/gptq/config.json");
    std::fs::create_dir(folder.path().join("c")).unwrap();
    std::fs::copy(config, folder.path().join("c/config.json")).unwrap();
    let said = say(folder.path(), Path::new("c"), &["-n", "1"]);
    assert!(
        said.contains("`c`: a config.json alone can be timed, by `lutsim run`; expected a safetensors file")
    );
}

/// GPTQ's `desc_act`: refused as it is, everywhere; rounded anew on request, and each matrix's error is said.
#[test]
fn groups_that_are_no_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let from = data().with_file_name("../checkpoints/gptq");
    let mut bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let index = &json["model.layers.1.mlp.down_proj.g_idx"]["data_offsets"][0];
    bytes[header + index.as_u64().unwrap() as usize] = 2;
    std::fs::create_dir(folder.path().join("m")).unwrap();
    std::fs::write(folder.path().join("m/model.safetensors"), bytes).unwrap();
    std::fs::copy(from.join("config.json"), folder.path().join("m/config.json")).unwrap();

    let run = |args: &[&str]| lutsim(folder.path(), &[args, &["--config", "tiny", "--model", "m"]].concat());
    let run_args = ["run", "--prompt", "4", "--generate", "1", "--context", "4"];
    let generate = ["generate", "--prompt-ids", "1,2,3", "-n", "1"];
    let off = [&run_args[..], &["--values", "off"]].concat();
    for args in [&generate[..], &run_args[..], &off[..], &["quality"][..]] {
        let (code, _, err) = run(args);
        let why = "`model.layers.1.mlp.down_proj`: its groups are no neighbours (`desc_act`), which records cannot hold: --weights \
                   int4 --group 32 rounds it anew, --exact-float keeps it in FP16";
        assert!(code == 2 && one_line(&err).contains(why), "{args:?}: {err}");
    }
    let rounded = ["--weights", "int4", "--group", "32"];
    let (code, out, err) = run(&[&generate[..], &rounded, &["--json"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["rounded_tensors"].as_array().unwrap().len(), 15);
    let (code, out, err) = run(&[&generate[..], &["--exact-float", "--json"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(serde_json::from_str::<Value>(&out).unwrap()["rounded_tensors"].is_array());
    for values in ["on", "off"] {
        let (code, _, err) = run(&[&run_args[..], &rounded, &["--values", values]].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{values}");
    }
    // A type that reordered groups would have, were they in order, is not taken for the file's.
    let (code, out, _) = lutsim(folder.path(), &["types", "--model", "m"]);
    assert!(code == 0 && out.contains("down_proj"), "{out}");
}
