//! The record as a document: its keys, its refusals, its own arithmetic.

use lutsim_record::*;

const CLOCKS: Clocks = Clocks { core_hz: 1_000_000_000, dram_hz: 1_200_000_000 };

fn unit(kind: UnitKind, cycles: u64) -> UnitCycles {
    let mut tally = Tally { busy: cycles / 4, ..Tally::default() };
    tally.charge(Cause::Idle, cycles - cycles / 4);
    tally.unit(kind, (kind == UnitKind::Dram).then_some(0)).unwrap()
}

/// A small record with both phases.
fn small() -> Record {
    let logic = Tech::parse("7nm", include_str!("data/7nm.toml")).unwrap();
    let tech = logic.with(Tech::builtin("lpddr5x").unwrap()).unwrap();
    let events = Events {
        core_cycles: 1000,
        macs: 4096,
        lut_selects: 2048,
        dram_reads: 40,
        dram_read_bytes: 1280,
        dram_writes: 2,
        dram_write_bytes: 64,
        ..Events::default()
    };
    let energy = Energy::compute(&events, &CLOCKS, &tech).unwrap();
    let classes = DramBytesByClass { weights: 1200, kv: 64, overfetch: 80, ..DramBytesByClass::default() };
    let units = vec![unit(UnitKind::Lut, 1000), unit(UnitKind::Dram, 1200)];
    let totals = |tokens| {
        PhaseTotals::derive(1000, tokens, events, classes, units.clone(), &energy, (CLOCKS.core_hz, 76.8e9))
    };
    let operator = |phase: &str| OperatorRecord {
        name: "mlp.down".to_owned(),
        phase: phase.to_owned(),
        layer: Some(0),
        executions: 1,
        cycles: 1000,
        macs: 4096,
        vector_ops: 0,
        dram_bytes_transferred: 1344,
        dram_bytes_owned: 1344,
        busiest: "lut".to_owned(),
        stalls: [("lut.idle", 750)].into_iter().collect(),
    };
    Record::new(
        Provenance {
            version: "0.1.0".to_owned(),
            config_hash: "ab".repeat(32),
            config: serde_json::json!({ "z": 1, "a": { "lut.cores": 16 } }),
        },
        WorkloadSummary {
            model: "tiny-2l".to_owned(),
            batch: 1,
            prompt: 8,
            generate: 4,
            ..Default::default()
        },
        MachineSummary {
            chip: "tiny".to_owned(),
            clocks_hz: [("core", CLOCKS.core_hz), ("dram", CLOCKS.dram_hz)].into_iter().collect(),
            core_clock_hz: CLOCKS.core_hz,
            ..Default::default()
        },
        Phases {
            prefill: Some(PrefillPhase { totals: totals(8), time_to_first_token_seconds: 1.5e-6 }),
            decode: Some(DecodePhase { totals: totals(4), simulated_steps: 4, interpolation_residual: None }),
        },
        &Energy::compute(&events.scale(2), &CLOCKS, &tech).unwrap(),
        (Area::none("area is not computed yet"), Price::default()),
        vec![operator("prefill"), operator("decode")],
    )
}

#[test]
fn the_document_is_as_committed() {
    let text = small().to_json();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/record.json");
    if std::env::var_os("LUTSIM_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == text,
        "record.json differs; LUTSIM_BLESS=1 writes the new one (mind the schema version)"
    );
}

#[test]
fn writing_and_reading_back_is_the_identity() {
    let record = small();
    let text = record.to_json();
    assert!(text.ends_with("}\n"));
    let back = Record::from_json(&text).unwrap();
    assert_eq!(back, record);
    assert_eq!(back.to_json(), text);
}

#[test]
fn area_and_price_are_the_sum_of_their_parts() {
    let band = |mid: f64| Band { mid, low: mid / 2.0, high: 2.0 * mid };
    let parts = [("lut".to_owned(), band(0.5)), ("scratchpad".to_owned(), band(1.25))];
    let mut record = small();
    record.area = Area::of(&parts.into_iter().collect());
    record.price = Price::of(&[("die", band(2.0)), ("dram", band(40.0))]);
    assert_eq!(check(&record), vec![]);
    assert_eq!(record.area.band(), Some(Band { mid: 1.75, low: 0.875, high: 3.5 }));
    assert_eq!(record.price.cost_usd_high, Some(84.0));
    let back = Record::from_json(&record.to_json()).unwrap();
    assert_eq!((&back.area, &back.price), (&record.area, &record.price));
    record.area.area_mm2 = Some(1.8);
    assert_eq!(
        check(&record)[0].to_string(),
        "silicon: area_by_component_mm2 sums to Some(1.75), the whole is Some(1.8)"
    );
}

#[test]
fn a_skipped_phase_and_a_missing_area_are_null() {
    let mut record = small();
    record.phases.prefill = None;
    let json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
    assert!(json["phases"]["prefill"].is_null());
    assert!(json["phases"]["decode"]["interpolation_residual"].is_null());
    assert_eq!(json["phases"]["decode"]["simulated_steps"], 4);
    assert!(json["area_mm2"].is_null() && json["area_by_component_mm2"].is_null());
    assert_eq!(json["area_reason"], "area is not computed yet");
    assert_eq!(Record::from_json(&record.to_json()).unwrap(), record);
}

#[test]
fn what_is_not_our_record_is_refused_in_words() {
    let text = small().to_json();
    let refusal = |text: &str| Record::from_json(text).unwrap_err().to_string();
    assert_eq!(
        refusal(&text[..400]),
        "the record is cut off at line 20, column 1: was it written completely?"
    );
    assert_eq!(refusal(""), "the record is cut off at line 1, column 0: was it written completely?");
    assert_eq!(
        refusal(&text.replacen(&small().schema_version, "2.0", 1)),
        "the record has schema version 2.0, this lutsim reads 1.x: use the lutsim that wrote it"
    );
    assert_eq!(refusal("{\"a\": 1}"), "not a lutsim record: it has no `schema_version`");
    assert!(refusal("# TOML").starts_with("not a lutsim record: expected value at line 1 column 1"));
    assert!(
        refusal(&text.replacen("\"busy_cycles\"", "\"busy\"", 1)).contains("missing field `busy_cycles`")
    );
    assert!(matches!(
        Record::from_json(&text.replacen(&small().schema_version, "one", 1)),
        Err(RecordError::Version { .. })
    ));
}

#[test]
fn a_newer_minor_version_with_more_keys_is_read() {
    let now = format!("\"{}\",", small().schema_version);
    let text = small().to_json().replacen(&now, "\"1.70\",\n  \"novelty\": 3,", 1);
    assert_eq!(Record::from_json(&text).unwrap().schema_version, "1.70");
}

#[test]
fn a_sound_record_has_nothing_broken() {
    let record = small();
    assert_eq!(check(&record), []);
    let idle: u64 = record.units.iter().map(|u| u.stall_cycles.get("idle").unwrap()).sum();
    assert_eq!(idle, 2 * 750 + 2 * 900);
    let prefill = &record.phases.prefill.as_ref().unwrap().totals;
    assert_eq!(prefill.tokens_per_second, 8.0 / 1e-6);
    assert_eq!(prefill.dram_bandwidth_share, 1344.0 / 76_800.0);
}

#[test]
fn what_does_not_add_up_is_named() {
    let broken = |change: fn(&mut Record)| {
        let mut record = small();
        change(&mut record);
        check(&record).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        broken(|r| r.operators[1].cycles -= 1),
        "decode: operators sum to 999 cycles, the phase has 1000"
    );
    assert_eq!(
        broken(|r| r.phases.prefill.as_mut().unwrap().totals.dram_bytes_by_class.kv += 32),
        "prefill: classes sum to 1376 bytes of DRAM traffic, bursts moved 1344"
    );
    assert_eq!(
        broken(|r| r.units[0].busy_cycles += 1),
        "units: unit `lut`: busy and causes sum to 2001 cycles, 2000 passed"
    );
    assert!(
        broken(|r| r.energy_by_component_j.insert("lut", 1.0))
            .starts_with("energy: energy_by_component_j sums")
    );
}

#[test]
#[should_panic(expected = "record: decode.seconds is NaN")]
fn a_number_that_is_none_is_our_fault() {
    let mut record = small();
    record.phases.decode.as_mut().unwrap().totals.seconds = f64::NAN;
    record.to_json();
}

#[test]
fn the_counters_document_names_everything() {
    let text = counters_markdown();
    for row in lutsim_record::counters::COUNTERS {
        assert!(text.contains(&format!("`{}`", row.name)), "{}", row.name);
    }
    for cause in Cause::ALL {
        assert!(text.contains(&format!("| `{}` |", cause.name())));
    }
    assert!(text.contains("| `dram.N` | dram |") && text.ends_with("|\n"));
}

#[test]
fn every_key_of_a_record_is_explained_and_nothing_else() {
    use lutsim_record::columns::{Column, OPERATOR, PHASE, RUN};
    let json = serde_json::to_value(small()).unwrap();
    let stem = |key: &str| key.trim_end_matches("_low").trim_end_matches("_high").to_owned();
    let keys = |values: &[&serde_json::Value]| {
        let mut keys: Vec<String> = Vec::new();
        for key in values.iter().flat_map(|v| v.as_object().unwrap().keys()) {
            if !keys.contains(&stem(key)) {
                keys.push(stem(key));
            }
        }
        keys.sort();
        keys
    };
    let names = |table: &[Column]| {
        let mut names: Vec<String> = table.iter().map(|c| c.name.to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(keys(&[&json]), names(RUN));
    assert_eq!(keys(&[&json["phases"]["prefill"], &json["phases"]["decode"]]), names(PHASE));
    assert_eq!(keys(&[&json["operators"][0]]), names(OPERATOR));
}
