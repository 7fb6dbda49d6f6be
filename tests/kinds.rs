//! Cores of every kind on one machine: the same models, the same memory system, the same integers; time, energy and area of their own.

use std::path::Path;

use lutsim_record::Record;
use lutsim_tech::Kind;

use crate::cli_cases::lutsim;

fn json(kind: Kind, more: &[&str]) -> String {
    let kind_is = format!("lut.kind={}", kind.name());
    let fp16 = ["--activations", "fp16"];
    let activations: &[&str] = if kind.traits().dequantises { &fp16 } else { &[] };
    let args = ["run", "--config", "tiny", "--prompt", "5", "--generate", "2", "--json", "--set", &kind_is];
    let (code, json, stderr) = lutsim(Path::new("."), &[&args, activations, more].concat());
    assert_eq!(code, 0, "{}: {stderr}", kind.name());
    json
}

fn record(kind: Kind, more: &[&str]) -> Record {
    Record::from_json(&json(kind, more)).unwrap()
}

#[test]
fn engines_agree_on_every_kind() {
    for kind in Kind::ALL {
        let [tick, skip, leap] =
            ["tick", "skip", "leap"].map(|engine| json(kind, &["--engine", engine, "--values", "on"]));
        assert!(tick == skip && skip == leap, "{}", kind.name());
    }
}

/// Integers are integers, whatever multiplies them.
#[test]
fn integer_kinds_say_the_same_tokens() {
    let tokens = |kind| record(kind, &["--values", "on"]).workload.output_token_ids.unwrap();
    let lut = tokens(Kind::Lut);
    assert_eq!(lut.len(), 3);
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.traits().dequantises) {
        assert_eq!(tokens(kind), lut, "{}", kind.name());
    }
}

/// What is spent, and on what, is what the kind has.
#[test]
fn energy_and_area_follow_the_kind() {
    for kind in Kind::ALL {
        let record = record(kind, &[]);
        let (tables, widens) = (kind.has_tables(), kind.native_bits().is_some());
        for (purpose, joules) in record.energy_by_purpose_j.iter() {
            let none = if tables { purpose == "products" } else { ["lookups", "tables"].contains(&purpose) };
            assert_eq!(*joules > 0.0, !none, "{}: {purpose} {joules}", kind.name());
        }
        for (component, has) in
            [("lut", tables), ("table_builder", tables), ("array", !tables), ("dequantiser", widens)]
        {
            let energy = record.energy_by_component_j.get(component).copied().unwrap_or(0.0);
            assert_eq!(energy > 0.0, has, "{}: {component} {energy}", kind.name());
            let area = record
                .area
                .area_by_component_mm2
                .as_ref()
                .is_some_and(|parts| parts.get(component).is_some());
            assert_eq!(area, has, "{}: {component}", kind.name());
        }
    }
}
