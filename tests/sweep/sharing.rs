//! What points and sweeps share: machines that differ in cost only, a cache.

use super::*;

/// Chips that differ in node and DRAM prices only are one machine: it runs once in a process, and the bytes are as if each chip had.
#[test]
fn points_share_a_machine_that_costs_otherwise() {
    let folder = folder(&SMALL.replace(
        "[parameters.kv]",
        "[parameters.technology]\nvalues = [\"7nm\", \"28nm\", \"45nm\"]\n[parameters.\"dram.technology\"]\n\
         values = [\"lpddr5x\", \"lpddr4x\"]\n[parameters.kv]",
    ));
    let (code, said, stderr) =
        lutsim(folder.path(), &["sweep", "a.toml", "--threads", "4", "--records", "all"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.starts_with("144 points: 144 done\n"), "{said}");
    assert!(stderr.contains("; 120 took what another's machine had done"), "{stderr}");
    let dir = folder.path().join("a.sweep");
    // What no other machine had done is what each chip does alone.
    let plan = fs::read_to_string(dir.join("plan.jsonl")).unwrap();
    let alone = |n: usize| {
        let point: serde_json::Value = serde_json::from_str(plan.lines().nth(n + 1).unwrap()).unwrap();
        let keys = [
            "dram.channels",
            "lut.cores",
            "technology",
            "dram.technology",
            "workload.kv",
            "workload.weights",
        ];
        let value = |i: usize| point["set"][i].to_string().trim_matches('"').to_owned();
        let sets: Vec<String> =
            keys.iter().enumerate().map(|(i, key)| format!("{key}={}", value(i))).collect();
        let one = format!(
            "method = \"grid\"\nchip = \"tiny\"\ncontext = 16\nphases = [\"decode\"]\nsearch = \"quick\"\n{}",
            sets.iter()
                .zip(keys)
                .map(|(set, key)| {
                    let value = set.split_once('=').unwrap().1;
                    let value = value.parse::<u32>().map_or(format!("\"{value}\""), |n| n.to_string());
                    format!("[parameters.\"{key}\"]\nvalues = [{value}]\n")
                })
                .collect::<String>()
        );
        fs::write(folder.path().join("one.toml"), one).unwrap();
        let out = format!("one{n}");
        let (code, _, stderr) =
            lutsim(folder.path(), &["sweep", "one.toml", "--out", &out, "--records", "all"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(!stderr.contains("took what"), "{stderr}");
        let id = point["id"].as_str().unwrap();
        let record = |dir: &Path| fs::read(dir.join("records").join(format!("{id}.json"))).unwrap();
        assert_eq!(record(&dir), record(&folder.path().join(out)), "{point}");
    };
    [0, 7, 50, 143].into_iter().for_each(alone);
    // In shards a machine is one process's.
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml", "--out", "parts"]).0, 0);
    for shard in ["0/2", "1/2"] {
        let (code, said, stderr) = lutsim(folder.path(), &["sweep", "exec", "parts", "--shard", shard]);
        assert_eq!(code, 0, "{stderr}");
        assert!(said.starts_with("ran 72 points in ") && said.contains("; 60 took what"), "{said}");
    }
    assert_eq!(lutsim(folder.path(), &["sweep", "collect", "parts"]).0, 0);
    assert_eq!(results(&folder.path().join("parts"))[..4], results(&dir)[..4]);
}

/// Another sweep takes what a cache has; one of another version is refused.
#[test]
fn a_cache_is_shared_by_sweeps_of_one_version() {
    let folder = folder(SMALL);
    let run =
        |file: &str, out: &str| lutsim(folder.path(), &["sweep", file, "--out", out, "--cache", "cache"]);
    assert_eq!(run("a.toml", "a").0, 0);
    let cache = folder.path().join("cache");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 25);
    // What is there is taken: a record that says something else is believed.
    let path =
        fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some()).unwrap();
    let record = fs::read_to_string(&path).unwrap();
    let changed = record.replacen("\"tokens_per_second\": ", "\"tokens_per_second\": 9", 1);
    fs::write(&path, changed).unwrap();
    assert_eq!(run("a.toml", "b").0, 0);
    let results = |dir: &str| fs::read_to_string(folder.path().join(dir).join("results.csv")).unwrap();
    let a = results("a");
    // Speeds: what is on the front follows from them.
    let speeds = |dir: &str| -> Vec<String> {
        let path = folder.path().join(dir).join("results.csv");
        let at = csv_column(&path, "decode.tokens_per_second");
        csv::Reader::from_path(path).unwrap().records().map(|r| r.unwrap()[at].to_owned()).collect()
    };
    let (own, taken) = (speeds("a"), speeds("b"));
    assert_eq!(own.iter().zip(&taken).filter(|(x, y)| x != y).count(), 1, "{own:?} {taken:?}");
    // What is damaged is run again.
    fs::write(&path, &record[..record.len() / 2]).unwrap();
    assert_eq!(run("a.toml", "c").0, 0);
    assert_eq!(results("c"), a);
    fs::write(cache.join("lutsim-version"), "0.0.9\n").unwrap();
    let (code, _, stderr) = run("a.toml", "d");
    assert_eq!(code, 2);
    assert!(stderr.contains("the cache `cache` is of lutsim 0.0.9, this is"), "{stderr}");
}
