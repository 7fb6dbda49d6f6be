//! `lutsim sweep` as users meet it: plans, shards, and that nothing is lost.

mod models;
mod outputs;
mod sharing;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli_cases::lutsim;

const BIN: &str = env!("CARGO_BIN_EXE_lutsim");

/// A grid of 24 points of some milliseconds each.
const SMALL: &str = r#"
method = "grid"
chip = "tiny"
context = 16
phases = ["decode"]
search = "quick"
[parameters."dram.channels"]
values = [1, 2]
[parameters."lut.cores"]
values = [1, 2, 4]
[parameters.kv]
values = ["int8", "int4"]
[parameters.weights]
values = ["int1", "int2"]
[[metric]]
name = "decode.tokens_per_second"
goal = "maximize"
[[metric]]
name = "area_mm2"
goal = "minimize"
[[metric]]
name = "tokens_per_joule"
formula = "1 / decode.energy_per_token_j"
"#;

const FILES: [&str; 6] =
    ["results.csv", "results.parquet", "pareto.csv", "sensitivity.csv", "pareto.svg", "index.html"];

/// A folder with `a.toml`.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), text).unwrap();
    folder
}

/// The result files of a folder's sweep.
fn results(dir: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| fs::read(dir.join(name)).unwrap()).collect()
}

/// Ids of every result that was written, in all journals.
fn written(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.join("shards")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let whole = text.split_inclusive('\n').skip(1).filter(|line| line.ends_with('\n'));
        found.extend(whole.map(|line| line.split('"').nth(3).unwrap_or("").to_owned()));
    }
    found.sort();
    found
}

/// The uninterrupted run of [`SMALL`].
fn whole() -> Vec<Vec<u8>> {
    let folder = folder(SMALL);
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "a.toml", "--threads", "1"]);
    assert_eq!(code, 0, "{stderr}");
    results(&folder.path().join("a.sweep"))
}

/// The example of the documentation, as it stands, makes 45 chips that can all be built.
#[test]
fn the_example_is_planned_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "plan", "example"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(said, "45 points in example.sweep/plan.jsonl\n");
}

#[test]
fn every_sweep_that_comes_with_lutsim_is_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/sweeps");
    let built_in: Vec<_> = lutsim::sweep::builtin_names().collect();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.iter().map(|p| p.file_stem().unwrap().to_str().unwrap()).collect::<Vec<_>>(), built_in);
    let out = tempfile::tempdir().unwrap();
    for name in built_in {
        let (code, said, stderr) = lutsim(out.path(), &["sweep", "plan", name]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
        assert!(!said.contains("cannot be built"), "{said}");
    }
}

/// One thread and many, one shard and three, run in any order and twice at once: the same bytes.
#[test]
fn threads_and_shards_give_the_same_bytes() {
    let wanted = whole();
    let folder = folder(SMALL);
    let run = |args: &[&str]| {
        let (code, _, stderr) = lutsim(folder.path(), args);
        assert_eq!(code, 0, "{args:?}: {stderr}");
    };
    run(&["sweep", "a.toml", "--threads", "5", "--out", "many"]);
    assert_eq!(results(&folder.path().join("many")), wanted);

    run(&["sweep", "plan", "a.toml", "--out", "parts"]);
    let dir = folder.path().join("parts");
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "collect", "parts"]);
    assert_eq!(code, 4);
    assert!(stderr.contains("point 0 is missing") && stderr.contains("lutsim run --config tiny"), "{stderr}");
    for shard in ["2/3", "0/3"] {
        run(&["sweep", "exec", "parts", "--shard", shard]);
    }
    let twice: Vec<_> = (0..2)
        .map(|_| {
            let args = ["sweep", "exec", "parts", "--shard", "1/3"];
            Command::new(BIN).args(args).current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut process in twice {
        assert!(process.wait().unwrap().success());
    }
    run(&["sweep", "collect", "parts"]);
    assert_eq!(results(&dir), wanted);
    let (_, said, _) = lutsim(folder.path(), &["sweep", "status", "parts"]);
    assert_eq!(said, "24 points: 24 done\n");
}

/// A process that is killed loses nothing that was finished, and what follows is what would have been.
#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let wanted = whole();
    let folder = folder(SMALL);
    let dir = folder.path().join("a.sweep");
    let mut kept = Vec::new();
    for enough in [3, 9, 17] {
        let args = ["sweep", "a.toml", "--threads", "2"];
        let mut command = Command::new(BIN);
        command.args(args).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        while process.try_wait().unwrap().is_none() {
            let there = dir.join("shards").is_dir() && written(&dir).len() >= enough;
            if there {
                process.kill().unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        process.wait().unwrap();
        let now = written(&dir);
        assert!(kept.iter().all(|id| now.contains(id)), "something was lost");
        kept = now;
    }
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "a.toml"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(results(&dir), wanted);
    // Nothing was computed twice.
    let all = written(&dir);
    assert_eq!(all.len(), 24);
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
}

/// A damaged line costs its own point, which is said and run again.
#[test]
fn a_damaged_result_is_found_and_run_again() {
    let folder = folder(SMALL);
    let run = || lutsim(folder.path(), &["sweep", "a.toml", "--threads", "1"]);
    assert_eq!(run().0, 0);
    let dir = folder.path().join("a.sweep");
    let wanted = results(&dir);
    let journal = dir.join("shards/0-of-1.0000.jsonl");
    let mut bytes = fs::read(&journal).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0;
    bytes[third + 200] ^= 0x10;
    fs::write(&journal, bytes).unwrap();
    let (code, said, _) = lutsim(folder.path(), &["sweep", "status", "a.sweep"]);
    assert_eq!(code, 0);
    assert!(said.starts_with("24 points: 23 done, 1 not run yet\n"), "{said}");
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "collect", "a.sweep"]);
    assert_eq!(code, 4);
    assert!(stderr.contains("0-of-1.0000.jsonl, line 4: damaged; left out"), "{stderr}");
    let (code, _, stderr) = run();
    assert_eq!(code, 0);
    assert!(stderr.contains("ran 1 point in"), "{stderr}");
    assert_eq!(results(&dir), wanted);
}

/// A point that takes too long is given up, said with its command, and costs nothing else.
#[test]
fn a_point_that_never_ends_is_given_up() {
    let text = r#"
        method = "grid"
        phases = ["decode"]
        every_step = true
        search = "quick"
        [parameters.what]
        values = [
            { chip = "tiny", generate = 1 },
            { chip = "snapdragon_like", model = "llama-2-7b", generate = 4000 },
        ]
    "#;
    let folder = folder(text);
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "a.toml", "--point-timeout", "4"]);
    assert_eq!(code, 4, "{said}{stderr}");
    assert!(said.starts_with("2 points: 1 done, 1 failed\n"), "{said}");
    let why = "point 1 is failed: ran past --point-timeout 4 s\n";
    let command = "lutsim run --config snapdragon_like --phase decode --set workload.prompt=0 \
                   --set workload.generate=4000 --set workload.model=llama-2-7b --every-step --search quick\n";
    assert!(stderr.contains(why) && stderr.contains(command), "{stderr}");
    let csv = fs::read_to_string(folder.path().join("a.sweep/results.csv")).unwrap();
    assert!(csv.lines().nth(2).unwrap().ends_with("ran past --point-timeout 4 s"), "{csv}");
}

/// The command that is given for a point gives its record.
#[test]
fn a_points_command_gives_its_record() {
    let folder = folder(SMALL);
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml"]).0, 0);
    let (_, _, stderr) = lutsim(folder.path(), &["sweep", "collect", "a.sweep"]);
    let command = stderr.lines().find(|l| l.trim_start().starts_with("lutsim run")).unwrap().trim();
    let args: Vec<&str> = command.split(' ').skip(1).chain(["--json"]).collect();
    let (code, record, _) = lutsim(folder.path(), &args);
    assert_eq!(code, 0);
    assert_eq!(lutsim(folder.path(), &["sweep", "exec", "a.sweep"]).0, 0);
    let plan = fs::read_to_string(folder.path().join("a.sweep/plan.jsonl")).unwrap();
    let id = plan.lines().nth(1).unwrap().split('"').nth(3).unwrap().to_owned();
    assert_eq!(fs::read_to_string(folder.path().join(format!("a.sweep/records/{id}.json"))).unwrap(), record);
}

/// What chips and models do not allow is a result too, with its reason.
#[test]
fn what_cannot_be_built_is_said_and_no_failure() {
    let text = r#"
        method = "grid"
        chip = "tiny"
        phases = ["decode"]
        search = "quick"
        [parameters."dram.bytes"]
        values = ["1 GiB", "100 GiB"]
        [parameters.context]
        values = [1, 100000]
        [[metric]]
        name = "decode.seconds"
    "#;
    let folder = folder(text);
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "a.toml"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.starts_with("4 points: 1 done, 3 cannot be built or run\n"), "{said}");
    let csv = fs::read_to_string(folder.path().join("a.sweep/results.csv")).unwrap();
    assert!(csv.contains("tiny-2l sees at most 512 tokens"), "{csv}");
    assert!(
        csv.contains("`dram.bytes` (107374182400) is more than 1 channels of lpddr5x_9600 hold"),
        "{csv}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_anything_is_run() {
    let folder = folder(SMALL);
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "a.toml", "--out", "a.toml/x"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot write `a.toml/x`"), "{stderr}");
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml", "--out", "b"]).0, 0);
    fs::write(folder.path().join("b/shards"), "in the way").unwrap();
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "a.toml", "--out", "b"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot write `b/shards`"), "{stderr}");
}

#[test]
fn a_plan_of_another_version_or_sweep_is_refused() {
    let folder = folder(SMALL);
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml"]).0, 0);
    fs::write(folder.path().join("b.toml"), SMALL.replace("[1, 2, 4]", "[1, 2]")).unwrap();
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "b.toml", "--out", "a.sweep"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`a.sweep` holds another plan"), "{stderr}");
    let path = folder.path().join("a.sweep/plan.jsonl");
    let plan = fs::read_to_string(&path).unwrap();
    let own = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&path, plan.replacen(&own, "\"version\":\"0.0.9\"", 1)).unwrap();
    for args in
        [["sweep", "exec", "a.sweep"], ["sweep", "collect", "a.sweep"], ["sweep", "status", "a.sweep"]]
    {
        let (code, _, stderr) = lutsim(folder.path(), &args);
        assert_eq!(code, 2);
        assert!(stderr.contains("the plan was made by lutsim 0.0.9, this is"), "{stderr}");
    }
    fs::write(&path, &plan[..plan.len() - 20]).unwrap();
    let (code, _, stderr) = lutsim(folder.path(), &["sweep", "exec", "a.sweep"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("line 25 is not a plan's: it is cut off"), "{stderr}");
}

/// The search finds on a space of 96 chips, of which it runs 48, what trying all of them finds, and is the same when it was killed.
#[test]
fn a_search_finds_what_trying_everything_finds() {
    let space = r#"
        chip = "tiny"
        context = 16
        phases = ["decode"]
        search = "quick"
        [parameters."lut.cores"]
        values = [1, 2, 3, 4]
        [parameters."dram.channels"]
        min = 1
        max = 2
        [parameters."vector.lanes"]
        values = [4, 8, 16, 32]
        [parameters.weights]
        values = ["int1", "int2", "int4"]
        [[metric]]
        name = "decode.tokens_per_second"
        goal = "maximize"
        [[metric]]
        name = "area_mm2"
        goal = "minimize"
    "#;
    let folder = folder(&format!("method = \"grid\"\n{space}"));
    fs::write(
        folder.path().join("b.toml"),
        format!("method = \"nsga2\"\nrun_cap = 48\npopulation = 12\nseed = 1\n{space}"),
    )
    .unwrap();
    assert_eq!(lutsim(folder.path(), &["sweep", "a.toml"]).0, 0);
    let (code, said, stderr) = lutsim(folder.path(), &["sweep", "b.toml", "--threads", "1"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.starts_with("48 points: 48 done\n"), "{said}{stderr}");
    assert!(stderr.contains("generation 4") && stderr.contains("the search is over"), "{stderr}");
    let front = |dir: &str| -> Vec<(f64, f64)> {
        let mut csv = csv::Reader::from_path(folder.path().join(dir).join("pareto.csv")).unwrap();
        let at = |name: &str| csv_column(&folder.path().join(dir).join("pareto.csv"), name);
        let (speed, area) = (at("decode.tokens_per_second"), at("area_mm2"));
        csv.records()
            .map(|r| r.unwrap())
            .map(|r| (r[speed].parse().unwrap(), r[area].parse().unwrap()))
            .collect()
    };
    let (exact, found) = (front("a.sweep"), front("b.sweep"));
    // The share of the exact front's points that the search has, or has within 1 % in both.
    let near = |e: &&(f64, f64)| found.iter().any(|f| f.0 >= 0.99 * e.0 && f.1 <= 1.01 * e.1);
    let share = exact.iter().filter(near).count() as f64 / exact.len() as f64;
    assert!(share >= 0.8, "{share} of {exact:?}: {found:?}");
    let wanted = results(&folder.path().join("b.sweep"));
    // Stopped after some points, the search is made again up to there.
    let (code, _, _) = lutsim(folder.path(), &["sweep", "plan", "b.toml", "--out", "c"]);
    assert_eq!(code, 0);
    assert_eq!(lutsim(folder.path(), &["sweep", "exec", "c", "--most", "7"]).0, 0);
    assert_eq!(lutsim(folder.path(), &["sweep", "b.toml", "--out", "c"]).0, 0);
    assert_eq!(results(&folder.path().join("c")), wanted);
}

fn csv_column(path: &Path, name: &str) -> usize {
    let mut csv = csv::Reader::from_path(path).unwrap();
    csv.headers().unwrap().iter().position(|c| c == name).unwrap()
}
