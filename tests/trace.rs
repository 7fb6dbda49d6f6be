//! `run --trace`: the timeline adds up to the record, whatever the engine, and nests as Perfetto wants it.

use std::collections::BTreeMap;
use std::path::Path;

use lutsim_record::Record;
use serde_json::Value;

use crate::cli_cases::lutsim;

/// Runs `tiny` and reads its trace.
fn traced(folder: &Path, flags: &[&str]) -> (Value, Record) {
    let args: Vec<&str> = ["run", "--config", "tiny", "--json", "--trace", "t.json", "--force"]
        .iter()
        .chain(flags)
        .copied()
        .collect();
    let (code, stdout, stderr) = lutsim(folder, &args);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("trace of core cycles "), "{stderr}");
    let text = std::fs::read_to_string(folder.join("t.json")).unwrap();
    (serde_json::from_str(&text).unwrap(), Record::from_json(&stdout).unwrap())
}

/// A slice: when it began and ended in picoseconds, name, cycles.
type Slice = (u64, u64, String, u64);

/// Slices by track.
fn tracks(trace: &Value) -> BTreeMap<String, Vec<Slice>> {
    let events = trace["traceEvents"].as_array().unwrap();
    let names: BTreeMap<u64, String> = events
        .iter()
        .filter(|e| e["name"] == "thread_name")
        .map(|e| (e["tid"].as_u64().unwrap(), e["args"]["name"].as_str().unwrap().to_owned()))
        .collect();
    let mut out: BTreeMap<String, Vec<Slice>> = names.values().map(|n| (n.clone(), Vec::new())).collect();
    let ps = |v: &Value| (v.as_f64().unwrap() * 1e6).round() as u64;
    for e in events.iter().filter(|e| e["ph"] == "X") {
        let (from, name) = (ps(&e["ts"]), e["name"].as_str().unwrap().to_owned());
        let slice = (from, from + ps(&e["dur"]), name, e["args"]["cycles"].as_u64().unwrap());
        out.get_mut(&names[&e["tid"].as_u64().unwrap()]).unwrap().push(slice);
    }
    out
}

/// Slices of a track nest or are apart, outer ones first; the deepest nesting.
fn nests(track: &[Slice]) -> usize {
    let (mut open, mut deepest) = (Vec::<&Slice>::new(), 0);
    for slice in track {
        assert!(slice.0 < slice.1, "{slice:?}");
        while open.last().is_some_and(|outer| outer.1 <= slice.0) {
            open.pop();
        }
        if let Some(outer) = open.last() {
            assert!(outer.0 <= slice.0 && slice.1 <= outer.1, "{slice:?} is not in {outer:?}");
        }
        open.push(slice);
        deepest = deepest.max(open.len());
    }
    deepest
}

/// Cycles by unit and cause.
fn sums(trace: &Value) -> BTreeMap<(String, String), u64> {
    let mut out = BTreeMap::new();
    for (unit, track) in tracks(trace) {
        for (_, _, cause, cycles) in track {
            *out.entry((unit.clone(), cause)).or_default() += cycles;
        }
    }
    out
}

#[test]
fn a_trace_nests_and_adds_up_to_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, record) = traced(folder.path(), &[]);
    let tracks = tracks(&trace);
    for (name, track) in &tracks {
        let deepest = nests(track);
        assert!(deepest == if name == "operators" { 3 } else { 1 }, "{name}: {deepest} deep");
    }
    let found = sums(&trace);
    for unit in record.units.iter().filter(|u| tracks.contains_key(&u.name)) {
        let of = |cause: &str| found.get(&(unit.name.clone(), cause.to_owned())).copied().unwrap_or(0);
        assert_eq!(of("busy"), unit.busy_cycles, "{}", unit.name);
        for (cause, cycles) in unit.stall_cycles.iter().filter(|(cause, _)| *cause != "idle") {
            assert_eq!(of(cause), *cycles, "{}.{cause}", unit.name);
        }
    }
    assert_eq!(tracks.len(), 8);
    for (name, _) in record.phases() {
        for op in record.operators.iter().filter(|o| o.phase == name && o.name == "gate_up") {
            assert!(found[&("operators".into(), "gate_up".into())] >= op.cycles);
        }
    }
    // Bytes under the curve are the record's.
    let points: Vec<(f64, f64)> = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["name"] == "DRAM, GB/s")
        .map(|e| (e["ts"].as_f64().unwrap(), e["args"]["value"].as_f64().unwrap()))
        .collect();
    let bytes: f64 = points.windows(2).map(|p| (p[1].0 - p[0].0) * 1e-6 * p[0].1 * 1e9).sum();
    let moved: u64 = record.phases().map(|(_, p)| p.dram_read_bytes + p.dram_write_bytes).sum();
    assert!((bytes / moved as f64 - 1.0).abs() < 1e-6, "{bytes} of {moved}");
    let depth = |e: &&Value| e["name"].as_str().is_some_and(|n| n.starts_with("queue of "));
    let deepest = trace["traceEvents"].as_array().unwrap().iter().filter(depth);
    let deepest = deepest.map(|e| e["args"]["value"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!(deepest > 1.0 && deepest <= 16.0, "{deepest}");
}

#[test]
fn engines_trace_alike_and_windows_add_up_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let window = ["--trace-window", "12000..33000", "--prompt", "4"];
    let of = |engine: &str| traced(folder, &[&window[..], &["--engine", engine]].concat()).0;
    let leap = of("leap");
    assert_eq!(leap["otherData"]["first_core_cycle"], 12000);
    assert_eq!(leap["otherData"]["core_cycle_behind_the_last"], 33000);
    assert!(leap == of("skip") && leap == of("tick"));
    let whole = sums(&traced(folder, &[]).0);
    let mut parts = BTreeMap::new();
    for window in ["..10000", "10000..31111", "31111.."] {
        for (key, cycles) in sums(&traced(folder, &["--trace-window", window]).0) {
            *parts.entry(key).or_insert(0) += cycles;
        }
    }
    // Steps and layers are cut at a window's edges, not lost: all sums agree.
    assert_eq!(parts, whole);
}

#[test]
fn wrong_windows_and_files_that_exist_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |flags: &[&str], why: &str| {
        let args: Vec<&str> =
            ["run", "--config", "tiny", "--trace", "t.json"].iter().chain(flags).copied().collect();
        let (code, stdout, stderr) = lutsim(folder, &args);
        assert!(code == 2 && stdout.is_empty() && stderr.contains(why), "{args:?}: {stderr}");
    };
    refused(&["--trace-window", "5"], "there is no `..` in it");
    refused(&["--trace-window", "9..5"], "it ends before it begins");
    refused(&["--trace-window", "1s.."], "the simulated steps end at");
    assert!(!folder.join("t.json").exists());
    std::fs::write(folder.join("t.json"), "mine").unwrap();
    refused(&[], "`t.json` exists");
    assert_eq!(std::fs::read_to_string(folder.join("t.json")).unwrap(), "mine");
}
