//! `lutsim ppa` and `lutsim validate paper` as users meet them.

use std::path::Path;

use crate::cli_cases::lutsim;

/// Numbers of a CSV by kind and weight bits.
fn table(args: &[&str]) -> Vec<(String, u32, Vec<f64>)> {
    let folder = tempfile::tempdir().unwrap();
    let args = [&["ppa", "--config", "snapdragon_like", "--csv", "a.csv", "--svg", "a.svg"], args].concat();
    let (code, _, stderr) = lutsim(folder.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("area, mm2") && svg.contains("accumulate"));
    let mut reader = csv::Reader::from_path(folder.path().join("a.csv")).unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|r| {
        let numbers = r.iter().skip(3).map(|x| x.parse().unwrap()).collect();
        (r[0].to_owned(), r[2].parse().unwrap(), numbers)
    })
    .collect()
}

const AREA: usize = 2;
const POWER: usize = 5;
const DENSITY: usize = 8;

fn of(table: &[(String, u32, Vec<f64>)], kind: &str, bits: u32) -> Vec<f64> {
    table.iter().find(|(k, b, _)| k == kind && *b == bits).unwrap().2.clone()
}

/// As was synthesised: look-up cores win at one bit, a little at two, and lose at four and against arrays of the weights' own width.
#[test]
fn who_wins_depends_on_the_weights() {
    let t = table(&["--node", "28", "--equal", "throughput"]);
    let times = |other: &str, bits: u32| of(&t, other, bits)[AREA] / of(&t, "lut", bits)[AREA];
    assert!(times("mac-int8", 1) > 2.5 && times("mac-int8", 2) > 1.2 && times("mac-int8", 4) < 1.0);
    assert!(times("mac-int2", 2) < 0.6 && times("mac-int4", 4) < 0.5);
    for (_, _, numbers) in &t {
        for band in numbers[2..].chunks(3) {
            assert!(band[1] <= band[0] && band[0] <= band[2], "{band:?}");
        }
    }
}

/// What is alike is alike.
#[test]
fn equal_means_equal() {
    for (flag, at) in [("area", AREA), ("power", POWER), ("throughput", 1)] {
        let t =
            table(&["--equal", flag, "--cores", "lut,add,mac-int8,figlut,unpu,lut-conventional,mac-fp16"]);
        for bits in [1, 2, 4, 8] {
            let lut = of(&t, "lut", bits)[at];
            let same =
                t.iter().filter(|(_, b, _)| *b == bits).all(|(_, _, n)| (n[at] / lut - 1.0).abs() < 1e-5);
            assert!(same, "{flag} at {bits} bits");
        }
    }
}

/// Registers, wires and placement are charged unless they are dropped.
#[test]
fn what_papers_leave_out_is_charged() {
    let (all, array) = (table(&["--node", "28"]), table(&["--node", "28", "--array-only"]));
    let ratio = of(&array, "lut", 2)[DENSITY] / of(&all, "lut", 2)[DENSITY];
    assert!((1.7..2.1).contains(&ratio), "{ratio}");
}

#[test]
fn five_nanometres_are_called_an_extrapolation() {
    let (_, text, _) = lutsim(Path::new("."), &["ppa", "--config", "tiny", "--node", "5"]);
    assert!(text.contains("5 nm (EXTRAPOLATED)"));
    let (_, json, _) = lutsim(Path::new("."), &["ppa", "--config", "tiny", "--node", "5", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["extrapolated"], true);
    let area = &json["chip_area_mm2"];
    assert!(area["low"].as_f64() < area["mid"].as_f64() && area["mid"].as_f64() < area["high"].as_f64());
}

#[test]
fn the_record_has_area_and_price() {
    let args = ["run", "--config", "tiny", "--generate", "1", "--json"];
    let (_, json, _) = lutsim(Path::new("."), &args);
    let record = lutsim_record::Record::from_json(&json).unwrap();
    let (area, price) = (record.area.band().unwrap(), record.price.band().unwrap());
    assert!(area.low < area.mid && area.mid < area.high && price.low < price.mid && price.mid < price.high);
    let wider = [&args[..], &["--set", "lut.accumulator_bits=32", "--set", "lut.n=32"]].concat();
    let (_, json, _) = lutsim(Path::new("."), &wider);
    let other = lutsim_record::Record::from_json(&json).unwrap();
    assert_ne!(other.area.area_mm2, record.area.area_mm2);
    let (_, text, _) = lutsim(Path::new("."), &args[..5]);
    assert!(text.contains("\nArea and price\n") && text.contains("dram_phy"), "{text}");
}

/// Drain, broadcast, tables and leakage are charged in every run, and what is spent sums to the whole.
#[test]
fn nothing_is_for_free() {
    let (_, json, _) = lutsim(Path::new("."), &["run", "--config", "tiny", "--generate", "1", "--json"]);
    let record = lutsim_record::Record::from_json(&json).unwrap();
    let spent = &record.energy_by_purpose_j;
    for (purpose, joules) in spent.iter() {
        assert_eq!(*joules > 0.0, purpose != "products", "{purpose}: {joules} J");
    }
    let sum: f64 = spent.iter().map(|(_, joules)| joules).sum();
    let whole: f64 = record.phases().map(|(_, p)| p.energy_j).sum();
    assert!((sum / whole - 1.0).abs() < 1e-9);
}

#[test]
fn the_paper_is_held_beside_the_model() {
    let (code, json, _) = lutsim(Path::new("."), &["validate", "paper", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 0);
    assert!(rows.len() > 35, "{}", rows.len());
    let fitted = rows.iter().filter(|r| r["basis"] == "calibrated").count();
    assert_eq!(fitted, 2);
}
