//! `lutsim compare` and `lutsim diff`: runs and machines side by side.

use std::path::Path;

use lutsim_record::Record;
use lutsim_reports::diff::difference;
use serde_json::Value;

use crate::cli_cases::lutsim;

/// Folders of runs on `tiny`, made once per test.
fn runs(folder: &Path, runs: &[(&str, &[&str])]) {
    for (name, flags) in runs {
        let mut args = vec!["run", "--config", "tiny", "--out", name];
        args.extend(*flags);
        let (code, _, stderr) = lutsim(folder, &args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    }
}

fn record(folder: &Path, name: &str) -> Record {
    let text = std::fs::read_to_string(folder.join(name).join("record.json")).unwrap();
    Record::from_json(&text).unwrap()
}

#[test]
fn runs_and_machines_stand_side_by_side_and_ratios_say_against_what() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    runs(folder, &[("two", &[]), ("four", &["--weights", "int4"])]);
    let (code, text, stderr) =
        lutsim(folder, &["compare", "two", "four/record.json", "a6000", "--against", "four"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for part in
        ["vs four", "NOT THE SAME WORK, weights: two int2", "a6000 is a roof", "tokens/s per mm2", "<= "]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let (code, json, _) = lutsim(folder, &["compare", "two", "four", "a6000", "--against", "four", "--json"]);
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    let rate = |i: usize| json["subjects"][i]["decode"]["tokens_per_second"].as_f64().unwrap();
    let times = |i: usize| json["subjects"][i]["decode"]["times_reference"].as_f64().unwrap();
    assert_eq!(json["reference"], "four");
    assert_eq!(times(1), 1.0);
    assert!((times(0) - rate(0) / rate(1)).abs() < 1e-12 && times(0) > 1.0, "{}", times(0));
    let phases = record(folder, "two").phases;
    assert_eq!(rate(0), phases.decode.unwrap().totals.tokens_per_second);
    let (_, bench, _) = lutsim(folder, &["compare", "two", "a6000", "--llama-bench"]);
    let tests: Vec<&str> = bench.lines().skip(2).map(|l| l.split('|').nth(5).unwrap().trim()).collect();
    assert_eq!(tests, ["pp8", "tg4 @ d8", "pp8", "tg4 @ d8"], "{bench}");
}

#[test]
fn a_roof_of_a_record_is_what_the_roofline_command_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    runs(folder, &[("two", &["--generate", "1", "--prompt", "16"])]);
    let (_, json, _) = lutsim(folder, &["compare", "two", "a6000", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let args =
        "roofline --hardware a6000 --model tiny-2l --weights int2 --activations int8 --kv int8 --json --seq";
    let stage = |seq: &str, i: usize| -> f64 {
        let args: Vec<&str> = args.split(' ').chain([seq]).collect();
        let (code, text, stderr) = lutsim(folder, &args);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&text).unwrap();
        json["stages"][i]["seconds"].as_f64().unwrap()
    };
    // The chip's groups are of 32 and its head is int8, the command's of 128 throughout: near, not equal.
    for (phase, seq, i) in [("prefill", "16", 0), ("decode", "17", 1)] {
        let ours = json["subjects"][1][phase]["seconds"].as_f64().unwrap();
        let theirs = stage(seq, i);
        assert!((0.9..2.5).contains(&(ours / theirs)), "{phase}: {ours} and {theirs}");
    }
}

/// The roof of a run of a model with experts or a window that fills up on the way is that of its parts.
#[test]
fn experts_and_windows_have_roofs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    for (name, seq) in [("tiny-mixtral", "17"), ("tiny-gemma2", "17")] {
        let model = data.join(name).with_extension("toml").display().to_string();
        runs(folder, &[(name, &["--model", &model, "--generate", "1", "--prompt", "16"])]);
        let (code, json, stderr) = lutsim(folder, &["compare", name, "a6000", "--json"]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let json: Value = serde_json::from_str(&json).unwrap();
        let roof = json["subjects"][1]["decode"]["seconds"].as_f64().unwrap();
        assert!(roof < json["subjects"][0]["decode"]["seconds"].as_f64().unwrap());
        let args = "roofline --hardware a6000 --weights int2 --activations int8 --kv int8 --json";
        let args: Vec<&str> = args.split(' ').chain(["--seq", seq, "--model", &model]).collect();
        let (code, text, stderr) = lutsim(folder, &args);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let theirs = theirs["stages"][1]["seconds"].as_f64().unwrap();
        assert!((0.9..2.5).contains(&(roof / theirs)), "{name}: {roof} and {theirs}");
        let (code, _, stderr) = lutsim(folder, &["compare", name, "t-mac@x-elite"]);
        assert!(
            code == 2 && stderr.contains("the rates published of T-MAC are of models without"),
            "{stderr}"
        );
    }
    // Decode from 2 to 10 tokens over a window of 6 takes what its nine steps take.
    let model = data.join("tiny-gemma2.toml").display().to_string();
    let seconds = |generate: &str, prompt: &str| {
        let name = format!("g{generate}-{prompt}");
        runs(folder, &[(&name, &["--model", &model, "--generate", generate, "--prompt", prompt])]);
        let (_, json, _) = lutsim(folder, &["compare", &name, "a6000", "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        json["subjects"][1]["decode"]["seconds"].as_f64().unwrap()
    };
    let sum: f64 = (1..10).map(|prompt| seconds("1", &prompt.to_string())).sum();
    let whole = seconds("9", "1");
    assert!((whole / sum - 1.0).abs() < 1e-12, "{whole} and {sum}");
}

#[test]
fn files_are_written_whole_never_added_to_and_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    runs(folder, &[("two", &[])]);
    let files = ["--csv", "c.csv", "--svg", "c.svg", "--png", "c.png"];
    let run = |more: &[&str]| {
        let args: Vec<&str> =
            ["compare", "two", "a6000", "x-elite"].iter().chain(&files).chain(more).copied().collect();
        lutsim(folder, &args)
    };
    assert_eq!(run(&[]).0, 0);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let before: Vec<_> = ["c.csv", "c.svg", "c.png"].map(read).into();
    let csv = String::from_utf8(before[0].clone()).unwrap();
    assert_eq!(csv.lines().count(), 1 + 2 * 3);
    assert!(csv.starts_with("name,basis,phase,tokens,seconds,tokens_per_second,times_two,"));
    assert!(before[2].starts_with(b"\x89PNG"));
    let (code, _, stderr) = run(&[]);
    assert!(code == 2 && stderr.contains("`c.csv` exists"), "{stderr}");
    assert_eq!(run(&["--force"]).0, 0);
    assert_eq!(["c.csv", "c.svg", "c.png"].map(read).to_vec(), before);
}

#[test]
fn what_a_difference_is_made_of_adds_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    runs(
        folder,
        &[
            ("a", &[]),
            ("b", &["--set", "lut.cores=1", "--set", "clock=1.2 GHz"]),
            ("c", &["--weights", "int4", "--generate", "6"]),
            ("d", &["--phase", "decode"]),
        ],
    );
    for (x, y, phases) in [("a", "b", 2), ("a", "c", 2), ("c", "b", 2), ("a", "d", 1)] {
        let d = difference(&record(folder, x), &record(folder, y));
        assert_eq!(d.phases.len(), phases, "{x} {y}");
        for phase in &d.phases {
            assert!(phase.left_over() < 1e-6, "{x} {y} {}: {}", phase.phase, phase.left_over());
        }
    }
    let (code, text, _) = lutsim(folder, &["diff", "a", "b"]);
    assert_eq!(code, 0);
    for part in ["chip.lut.cores", "chip.clock_hz", "prefill, per token", "of the difference is in `", "sum"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let same = lutsim(folder, &["diff", "a", "a"]).1;
    assert!(
        same.contains("nothing: the same chip, model and work") && same.contains("to the cycle"),
        "{same}"
    );
}

#[test]
fn wrong_records_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    runs(folder, &[("a", &[])]);
    let text = std::fs::read_to_string(folder.join("a/record.json")).unwrap();
    let refused = |name: &str, text: &str, why: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        for args in [["diff", "a", name], ["compare", "a", name]] {
            let (code, stdout, stderr) = lutsim(folder, &args);
            assert!(code == 2 && stdout.is_empty() && stderr.contains(why), "{args:?}: {stderr}");
        }
    };
    refused("cut.json", &text[..text.len() / 2], "the record is cut off at line");
    refused("next.json", &text.replacen("\"1.", "\"2.", 1), "has schema version 2.");
    refused("sums.json", &text.replacen("\"cycles\": ", "\"cycles\": 1", 1), "sum");
    refused("empty.json", "{}", "it has no `schema_version`");
}
