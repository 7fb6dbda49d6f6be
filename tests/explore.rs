//! `lutsim explore shape` as users meet it.

use std::path::Path;

use serde_json::Value;

use crate::cli_cases::lutsim;

fn explore(args: &[&str]) -> Value {
    let args =
        [&["explore", "shape", "--config", "snapdragon_like", "--node", "28", "--json"], args].concat();
    let (code, json, stderr) = lutsim(Path::new("."), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    serde_json::from_str(&json).unwrap()
}

fn at(point: &Value) -> (f64, f64) {
    (point["um2"]["mid"].as_f64().unwrap(), point["fj"]["mid"].as_f64().unwrap())
}

/// What the sweep says of M2 N64 K4: the best of its own accumulators, beaten by cores that share them.
#[test]
fn m2_n64_k4_is_on_the_front_until_accumulators_are_shared() {
    let same = ["--groups", "1", "--accumulator", "24", "--entry", "exact"];
    for more in [&[][..], &["--array-only"]] {
        let found = explore(&[&same[..], more].concat());
        assert_eq!(found["own_is_on_the_front"], true, "{more:?}");
    }
    // Of the array's cells alone K = 4 is the optimum, as the paper has it.
    let found = explore(&[&same[..], &["--array-only"]].concat());
    assert!(found["front_exact"].as_array().unwrap().iter().all(|p| p["k"] == 4));
    let found = explore(&["--accumulator", "24"]);
    assert_eq!(found["own_is_on_the_front"], false);
    let own = at(&found["own"]);
    let better =
        found["front_exact"].as_array().unwrap().iter().find(|p| at(p) < own && at(p).1 < own.1).unwrap();
    assert!(better["groups"].as_u64().unwrap() > 1);
}

#[test]
fn a_front_falls_and_one_row_wants_one_row() {
    let found = explore(&["--rows", "1"]);
    let front = found["front_exact"].as_array().unwrap();
    assert!(front.iter().all(|p| p["m"] == 1));
    for pair in front.windows(2) {
        assert!(at(&pair[0]).0 < at(&pair[1]).0 && at(&pair[0]).1 > at(&pair[1]).1);
    }
}

#[test]
fn every_shape_is_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["explore", "shape", "--config", "tiny", "--csv", "a.csv"];
    let (code, text, _) = lutsim(folder.path(), &args);
    assert_eq!(code, 0);
    let rows = csv::Reader::from_path(folder.path().join("a.csv")).unwrap().into_records().count();
    assert!(text.contains(&format!("  {rows} shapes,")), "{rows}\n{text}");
    for part in [
        "Front of exact tables",
        "Front of tables of rounded entries",
        "The chip's own: M2 N64 K4",
        "why: area",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.lines().all(|line| !line.ends_with(' ')));
}
