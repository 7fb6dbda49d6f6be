//! `lutsim run` on the tiny chip: one record, whatever the engine, and files that are whole.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lutsim::session::{Phase, Session};
use lutsim_host::model::Model;
use lutsim_record::Record;
use lutsim_sim::{Engine, chip_file};

use crate::cli_cases::lutsim;

fn session(sets: &[&str]) -> Session {
    let sets: Vec<_> = sets.iter().map(|s| chip_file::Override::set(s).unwrap()).collect();
    let text = chip_file::builtin_text("tiny").unwrap();
    let chip = chip_file::ChipFile::parse("tiny.toml", text, &sets).unwrap();
    let model = Model::builtin(&chip.workload.model).unwrap();
    Session::new(chip, model)
}

fn record(session: &Session) -> Record {
    session.run(&()).unwrap().record
}

#[test]
fn json_is_the_record_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) =
        lutsim(folder.path(), &["run", "--config", "tiny", "--json", "--out", "out"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let parsed = Record::from_json(&stdout).unwrap();
    assert_eq!(lutsim_record::check(&parsed), []);
    let file = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    assert_eq!(file("record.json"), stdout);
    assert!(file("roofline.svg").starts_with("<svg") && file("operators.csv").lines().count() > 20);
    for name in ["details.json", "report.html"] {
        let folder = folder.path().to_string_lossy().into_owned();
        assert!(!file(name).contains(&folder), "no path in {name}");
    }
    assert!(file("engine.json").contains("\"engine\": \"leap\""));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["out"], "no unfinished folder is left");
    for word in ["/", "skip", "wall"] {
        let found = stdout.lines().find(|l| l.contains(word) && !l.contains("about") && !l.contains("title"));
        assert_eq!(found, None, "no path, engine or time in the record");
    }
}

#[test]
fn every_engine_and_every_run_gives_the_same_bytes() {
    let json = |engine: &str| {
        let args = ["run", "--config", "tiny", "--json", "--engine", engine];
        let (code, stdout, stderr) = lutsim(Path::new("."), &args);
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };
    let skip = json("skip");
    assert!(skip == json("skip") && skip == json("tick"));
}

#[test]
fn an_existing_folder_keeps_what_else_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let args = ["run", "--config", "tiny", "--phase", "decode", "--out", "."];
    assert_eq!(lutsim(folder.path(), &args).0, 0);
    assert_eq!(lutsim(folder.path(), &args).0, 0, "and a second run overwrites the first");
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [
            "details.json",
            "engine.json",
            "notes.txt",
            "operators.csv",
            "record.json",
            "report.html",
            "roofline.png",
            "roofline.svg"
        ]
    );
}

#[test]
fn phases_that_are_skipped_are_null() {
    let mut s = session(&[]);
    s.phase = Phase::Prefill;
    let prefill = record(&s);
    assert!(prefill.phases.prefill.is_some() && prefill.phases.decode.is_none());
    s.phase = Phase::Decode;
    let decode = record(&s);
    assert!(decode.phases.prefill.is_none());
    let steps = decode.phases.decode.unwrap();
    assert_eq!((steps.simulated_steps, steps.totals.tokens), (4, 4));
    let s = session(&["workload.prompt=0", "workload.context=8"]);
    let skipped = record(&s);
    assert!(skipped.phases.prefill.is_none());
    assert_eq!(skipped.phases.decode.unwrap().totals.cycles, steps.totals.cycles, "the same KV lengths");
}

#[test]
fn values_change_no_cycle_for_the_same_ids() {
    let mut on = session(&[]);
    on.values = true;
    let on = on.run(&()).unwrap();
    let ids = on.record.workload.output_token_ids.clone().unwrap();
    assert_eq!(ids.len(), 1 + 4, "one of the prompt, one of each step");
    let mut off = session(&[]);
    off.decode_ids = Some(ids[..4].to_vec());
    off.mapping = Some(on.plan.mapping);
    let mut off = record(&off);
    assert_eq!(off.workload.output_token_ids, None);
    off.workload.output_token_ids = Some(ids);
    off.provenance = on.record.provenance.clone();
    assert_eq!(off, on.record);
}

#[test]
fn interpolated_decode_says_so_and_is_close() {
    let every = |every_step: bool| {
        let mut s = session(&["workload.generate=24"]);
        s.every_step = every_step;
        record(&s).phases.decode.unwrap()
    };
    let (all, some) = (every(true), every(false));
    assert_eq!((all.simulated_steps, all.interpolation_residual), (24, None));
    assert_eq!(some.simulated_steps, 3);
    let (a, b) = (all.totals.cycles as f64, some.totals.cycles as f64);
    assert!((a - b).abs() / a < 0.02 && some.interpolation_residual.unwrap() < 0.05, "{a} {b} {some:?}");
}

#[test]
fn a_mapping_that_was_dumped_can_be_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (code, mapping, _) = lutsim(folder.path(), &["run", "--config", "tiny", "--dump-mapping"]);
    assert_eq!(code, 0);
    std::fs::write(folder.path().join("m.toml"), &mapping).unwrap();
    let run =
        |args: &[&str]| lutsim(folder.path(), &[&["run", "--config", "tiny", "--json"], args].concat()).1;
    assert_eq!(run(&["--mapping", "m.toml"]), run(&[]));
}

#[test]
fn the_hash_follows_the_configuration_and_nothing_else() {
    let hash = |sets: &[&str], engine| {
        let mut s = session(sets);
        s.engine = engine;
        record(&s).provenance.config_hash
    };
    let base = hash(&[], Engine::Skip);
    assert_eq!(base, hash(&["clock=1000 MHz"], Engine::Tick));
    assert_ne!(base, hash(&["dma.transfers=4"], Engine::Skip));
    assert_ne!(base, hash(&["workload.generate=3"], Engine::Skip));
}

/// Unix only: that is where `kill` is.
/// The same dimensions, said by a Hugging Face `config.json`: the same record but for the name.
#[test]
fn a_config_json_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false}"#;
    std::fs::write(folder.path().join("two-layers.json"), text).unwrap();
    let run = |model: &str| {
        let args = ["run", "--config", "tiny", "--model", model, "--json"];
        let (code, out, err) = super::cli_cases::lutsim(folder.path(), &args);
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let (file, builtin) = (run("two-layers.json"), run("tiny-2l"));
    assert_eq!(file["phases"], builtin["phases"]);
    assert_eq!(file["workload"]["model"], "two-layers");
    // By name, not by path.
    assert!(!file.to_string().contains(".json"));
}

/// A GGUF file's types and numbers: values or not, the same cycles for the same ids.
#[test]
fn a_gguf_file_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}/tests/data/models/tiny-llama-q4_0.gguf", env!("CARGO_MANIFEST_DIR"));
    let run = |args: &[&str]| {
        let common =
            ["run", "--config", "tiny", "--model", &path, "--prompt", "5", "--generate", "0", "--json"];
        super::cli_cases::lutsim(folder.path(), &[&common[..], args].concat())
    };
    let phases = |(code, out, err): (i32, String, String)| {
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["phases"].clone()
    };
    assert_eq!(phases(run(&["--values", "on"])), phases(run(&["--values", "off"])));
    assert_ne!(phases(run(&["--weights", "int4", "--group", "128"])), phases(run(&[])));
    // Weights of another type are made of the file's, if they can be.
    let int4 = ["--weights", "int4", "--group", "128", "--values"];
    let with = |switch| phases(run(&[&int4[..], &[switch]].concat()));
    assert_eq!(with("on"), with("off"));
    let (code, _, err) = run(&["--weights", "q8_0", "--values", "on"]);
    assert_eq!(code, 2);
    assert!(err.contains("holds q4_0g32 weights, not q8_0g32"), "{err}");
}

/// Experts are workload input: the record says whose choice they are, and as much is multiplied, whoever chose.
#[test]
fn experts_are_chosen_by_a_seed_or_by_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}/tests/data/models/tiny-mixtral.toml", env!("CARGO_MANIFEST_DIR"));
    let run = |values: &str| {
        let args = ["run", "--config", "tiny", "--model", &path, "--values", values, "--json"];
        let (code, out, err) = super::cli_cases::lutsim(folder.path(), &args);
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let (off, on) = (run("off"), run("on"));
    let routing = |record: &serde_json::Value| record["provenance"]["config"]["routing"].clone();
    assert_eq!(routing(&off), serde_json::json!({ "uniform": true, "seed": 240_104_088 }));
    assert_eq!(routing(&on), "values");
    let macs = |record: &serde_json::Value| record["phases"]["decode"]["macs"].clone();
    assert_eq!(macs(&off), macs(&on));
}

#[test]
fn an_interrupted_run_leaves_nothing_torn() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lutsim"))
        .args(["run", "--config", "snapdragon_like", "--out", "out"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    let begin = Instant::now();
    while entries() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the folder is made before the simulation");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(entries(), 0, "nothing is left");
}
