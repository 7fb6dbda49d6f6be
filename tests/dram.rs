//! `lutsim dram` against the references' runs, column by column, and against itself.

use std::path::Path;

use serde_json::Value;

use crate::cli_cases::lutsim;

/// The references' results: column names, and a row per run.
fn references() -> (Vec<String>, Vec<Vec<String>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dram/results.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
    (names, rows)
}

fn json(args: &[&str]) -> Value {
    let (code, stdout, stderr) = lutsim(Path::new("."), args);
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn the_command_prints_the_references_columns_and_numbers() {
    let (names, rows) = references();
    assert_eq!(rows.len(), 88);
    for row in rows {
        let get = |name: &str| row[names.iter().position(|n| n == name).unwrap()].as_str();
        let (config, pattern) = (get("config"), get("trace"));
        let found = json(&["dram", "--config", config, "--pattern", pattern, "--json"]);
        let keys: Vec<_> = found.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, names, "keys are the columns");
        for (name, theirs) in names.iter().zip(&row) {
            let label = format!("{config} {pattern}: {name}");
            let ours = &found[name];
            // Those runs ended 100 clocks after their last data.
            let longer = pattern == "idle"
                && (name.contains("standby") || name.contains("total") || name == "pJ_per_bit")
                && name != "total_cycles";
            // Who says it and how it writes a mapping are no results.
            let other = ["sim", "mapping_msb_to_lsb"].contains(&name.as_str()) || longer;
            if theirs.is_empty() || other {
                continue;
            }
            match ours {
                Value::String(text) => assert_eq!(text, theirs, "{label}"),
                Value::Number(ours) => {
                    let (ours, value) = (ours.as_f64().unwrap(), theirs.parse::<f64>().unwrap());
                    // Integers are met exactly, other numbers to the digits that are given.
                    let digits = theirs.split_once('.').map_or(0, |(_, d)| d.len() as i32);
                    let last = if theirs.contains('.') { 0.6 * 0.1f64.powi(digits) } else { 0.0 };
                    assert!((ours - value).abs() <= last + 1e-7 * value, "{label}: {ours}, not {theirs}");
                }
                other => panic!("{label}: {other}"),
            }
        }
    }
}

#[test]
fn tick_and_skip_print_and_write_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = |config: &str, pattern: &str, engine: &str, rest: &[&str]| {
        let args = ["dram", "--config", config, "--pattern", pattern, "-n", "3000", "--engine", engine];
        let commands = ["--commands", "commands.csv"];
        let (code, stdout, stderr) = lutsim(folder.path(), &[&args, &commands[..], rest].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{config}");
        (stdout, std::fs::read_to_string(folder.path().join("commands.csv")).unwrap())
    };
    // Only our controller powers down.
    let rest: &[&str] = &["--power-down", "200", "--self-refresh", "20000"];
    for (config, rest) in
        [("lpddr5x_9600", rest), ("hbm3_6400", rest), ("ds3_hbm2_8ch", &[]), ("ram_lpddr5_6400", &[])]
    {
        for pattern in ["mixed_random", "copy_32", "idle"] {
            let same = run(config, pattern, "tick", rest) == run(config, pattern, "skip", rest);
            assert!(same, "{config} {pattern}");
        }
    }
}

#[test]
fn a_trace_file_runs_as_the_pattern_that_it_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let trace: String = (0..500).map(|i| format!("0 R {:#x} # {i}\n", 32 * i)).collect();
    std::fs::write(folder.path().join("seq.trace"), trace).unwrap();
    let run = |args: &[&str]| {
        let all = [&["dram", "--config", "lpddr5x_9600.toml", "--commands", "c.csv"], args].concat();
        let (code, stdout, stderr) = lutsim(folder.path(), &all);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let commands = std::fs::read_to_string(folder.path().join("c.csv")).unwrap();
        (stdout.split_once('\n').unwrap().1.to_owned(), commands)
    };
    assert_eq!(run(&["--trace", "seq.trace"]), run(&["--pattern", "seq_read", "-n", "500"]));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn commands_have_the_columns_and_lines_of_the_references() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ds3_ddr4_3200_bgi.mixed_seq", "ram_lpddr5_6400.random_read", "ram_hbm2_2000.idle"] {
        let (config, pattern) = name.split_once('.').unwrap();
        let args = ["dram", "--config", config, "--pattern", pattern, "--commands", "c.csv"];
        assert_eq!(lutsim(folder.path(), &args).0, 0, "{name}");
        let ours = std::fs::read_to_string(folder.path().join("c.csv")).unwrap();
        let path = format!("tests/data/dram/cmdtrace/{name}.csv");
        let theirs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(ours.starts_with(&theirs), "{name}");
    }
}
