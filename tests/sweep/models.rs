//! Models of files.

use super::*;

/// A GGUF file as model: each point is what `lutsim run` makes of the file, in the file's types or in those that are asked for.
#[test]
fn a_file_with_weights_is_swept() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/architectures");
    let folder = folder(
        "method = \"grid\"\nchip = \"tiny\"\ncontext = 16\nphases = [\"decode\"]\n\
         model = [\"a.gguf\", \"tiny-2l\"]\n[parameters.\"lut.cores\"]\nvalues = [1, 2]\n",
    );
    fs::copy(data.join("llama-q4_k_m.gguf"), folder.path().join("a.gguf")).unwrap();
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "a.toml"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.starts_with("4 points: 4 done\n"), "{said}{stderr}");
    let plan = fs::read_to_string(folder.path().join("a.sweep/plan.jsonl")).unwrap();
    let ids: Vec<String> = plan.lines().skip(1).map(|l| l.split('"').nth(3).unwrap().to_owned()).collect();
    let record = |dir: &str, id: &str| {
        fs::read_to_string(folder.path().join(dir).join("records").join(format!("{id}.json"))).unwrap()
    };
    // The grid's first axis is the cores or the model, whichever the file names first.
    for (point, id) in plan.lines().skip(1).zip(&ids).filter(|(point, _)| point.contains("a.gguf")) {
        let cores = if point.contains("2]") || point.contains("[2") { "lut.cores=2" } else { "lut.cores=1" };
        let args = ["run", "--config", "tiny", "--model", "a.gguf", "--phase", "decode", "--context", "16"];
        let more = ["--prompt", "0", "--generate", "1", "--set", cores, "--json"];
        let (code, alone, stderr) = lutsim(folder.path(), &[&args[..], &more].concat());
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(record("a.sweep", id).trim(), alone.trim(), "{point}");
        assert!(alone.contains("q4_k") && alone.contains("q6_k"), "{alone}");
    }
    // In another type no layer keeps its own.
    fs::write(
        folder.path().join("b.toml"),
        "method = \"grid\"\nchip = \"tiny\"\ncontext = 16\nphases = [\"decode\"]\nmodel = \"a.gguf\"\n\
         [parameters.weights]\nvalues = [\"int2\", \"int4\"]\n[set]\n\"workload.group\" = 32\n",
    )
    .unwrap();
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "b.toml"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.starts_with("2 points: 2 done\n"), "{said}{stderr}");
    let at = csv_column(&folder.path().join("b.sweep/results.csv"), "workload.stored_bits_per_weight");
    let mut csv = csv::Reader::from_path(folder.path().join("b.sweep/results.csv")).unwrap();
    let bits: Vec<f64> = csv.records().map(|r| r.unwrap()[at].parse().unwrap()).collect();
    assert!(bits[0] < 3.0 && bits[1] > bits[0] + 1.9, "{bits:?}");
    // As the command that runs such a point alone makes it.
    let plan = fs::read_to_string(folder.path().join("b.sweep/plan.jsonl")).unwrap();
    let id = plan.lines().nth(1).unwrap().split('"').nth(3).unwrap();
    let sets = ["model=a.gguf", "weights=int2", "group=32", "context=16", "prompt=0", "generate=1"];
    let sets: Vec<String> = sets.iter().flat_map(|s| ["--set".into(), format!("workload.{s}")]).collect();
    let args = ["run", "--config", "tiny", "--phase", "decode", "--json"].into_iter();
    let args: Vec<&str> = args.chain(sets.iter().map(String::as_str)).collect();
    let (code, alone, stderr) = lutsim(folder.path(), &args);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(record("b.sweep", id).trim(), alone.trim());
    // Another file under the name of the planned one is no part of the plan.
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml", "--out", "c"]).0, 0);
    fs::copy(data.join("llama-q2_k.gguf"), folder.path().join("a.gguf")).unwrap();
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "exec", "c"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("it is not what was planned: a model's file has changed since"), "{stderr}");
    fs::write(folder.path().join("a.gguf"), b"GGUF").unwrap();
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "a.toml", "--out", "d"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("a.gguf"), "{stderr}");
}
