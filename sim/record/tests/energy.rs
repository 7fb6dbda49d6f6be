//! Laws of the energy model and of the technology files that come with lutsim.

use lutsim_record::technology::{OF_ARRAYS, OF_TABLES};
use lutsim_record::{Boundary, Clocks, Energy, EnergyError, Events, Kind, Tech, energy};
use proptest::prelude::*;

const CLOCKS: Clocks = Clocks { core_hz: 1_000_000_000, dram_hz: 1_200_000_000 };

/// Tables of events, by name and text.
const LOGIC: [(&str, &str); 2] =
    [("28nm", include_str!("data/28nm.toml")), ("7nm", include_str!("data/7nm.toml"))];

fn logic(name: &str) -> Tech {
    let (name, text) = LOGIC.iter().find(|(known, _)| *known == name).unwrap();
    Tech::parse(name, text).unwrap()
}

fn for_chip(logic_name: &str, dram: &str) -> Tech {
    logic(logic_name).with(Tech::builtin(dram).unwrap()).unwrap()
}

fn phone() -> Tech {
    for_chip("7nm", "lpddr5x.toml")
}

/// A text with one entry taken out.
fn without(text: &str, entry: &str) -> String {
    let start = text.find(&format!("[entry.{entry}]")).unwrap();
    let end = text[start + 1..].find("\n[entry.").map_or(text.len(), |i| start + 1 + i);
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn built_in_technologies_are_complete_and_say_where_from() {
    for (logic, dram) in [("28nm", "lpddr5x"), ("7nm", "lpddr5x"), ("7nm", "lpddr4x"), ("7nm", "hbm2e")] {
        let tech = for_chip(logic, dram);
        assert_eq!(tech.name, format!("{logic} + {dram}"));
        for name in energy::entry_names().filter(|name| !OF_ARRAYS.contains(name)) {
            let e = tech.entry(name).unwrap_or_else(|| panic!("{logic}: no {name}"));
            assert!(e.value > 0.0 && e.low < e.value && e.value < e.high, "{name} has no band");
            assert!(e.source.len() > 5 && e.note.len() > 20, "{name}");
            assert!(!e.note.contains("  ") && !e.source.ends_with(' '), "{name}");
        }
    }
    assert_eq!(phone().entry("lut_select").unwrap().kind, Kind::Calibrated);
}

#[test]
fn a_smaller_node_costs_less_per_event() {
    let (old, new) = (logic("28nm"), logic("7nm"));
    for (name, entry) in old.iter().filter(|(name, _)| *name != "scratchpad_leakage") {
        assert!(new.entry(name).unwrap().value < entry.value, "{name}");
    }
}

#[test]
fn a_missing_entry_is_an_error_that_names_it() {
    let (_, text) = LOGIC[1];
    let tech = Tech::parse("mine", &without(text, "group_drain")).unwrap();
    let tech = tech.with(Tech::builtin("lpddr5x").unwrap()).unwrap();
    let error = Energy::compute(&Events::default(), &CLOCKS, &tech).unwrap_err();
    assert_eq!(
        error.to_string(),
        "technology `7nm + lpddr5x` has no entry `group_drain`, which component `drain` needs for its \
         `group_drains`: add it with value, low, high, unit and source (a missing entry is never counted as zero)"
    );
    let logic_alone = Energy::compute(&Events::default(), &CLOCKS, &logic("7nm"));
    assert!(matches!(logic_alone, Err(EnergyError::Missing { entry: "dram_activate", .. })));
}

/// A chip without tables needs no entry of tables, and none of its own parts may be missing.
#[test]
fn what_a_chip_lacks_has_no_line_and_must_not_be_counted() {
    let tech = phone();
    assert!(tech.lacks("array_product") && !tech.lacks("lut_select"));
    let lines = Energy::compute(&Events::default(), &CLOCKS, &tech).unwrap().lines;
    assert!(lines.iter().all(|line| line.component != "array"));
    let counted = Events { array_products: 1, ..Events::default() };
    let error = Energy::compute(&counted, &CLOCKS, &tech).unwrap_err();
    assert!(matches!(error, EnergyError::Missing { entry: "array_product", .. }), "{error}");
    let other = tech.lacking(OF_TABLES);
    let error = Energy::compute(&Events::default(), &CLOCKS, &other).unwrap_err();
    assert!(matches!(error, EnergyError::Missing { entry: "array_product", .. }), "{error}");
}

#[test]
fn wrong_files_are_refused_with_the_place() {
    let (_, text) = LOGIC[0];
    let message = |text: &str| Tech::parse("mine.toml", text).unwrap_err().to_string();
    let lut = "[entry.lut_select]\nvalue = 113.0\nlow = 60.0";
    assert_eq!(
        message(&text.replace(lut, "[entry.lut_select]\nvalue = 26.0\nlow = 60.0")),
        "technology `mine.toml`, entry `lut_select`: low 60 <= value 26 <= high 289 does not hold"
    );
    assert_eq!(
        message(&text.replacen("unit = \"fJ\"", "unit = \"fj\"", 1)),
        "technology `mine.toml`, entry `lut_select`: unknown unit `fj`; \
         there are fJ, pJ, nJ, pJ/byte, pJ/bit, nW, uW, mW, mm2, USD/GB"
    );
    assert!(
        message(&text.replace("[entry.unpack]", "[entry.unpak]")).contains("entry `unpak`: no energy line")
    );
    assert!(message(&text.replacen("node_nm", "node", 1)).contains("unknown field `node`"));
    assert!(message("name = 3").contains("TOML parse error at line 1"));
    let twice = logic("7nm").with(logic("28nm")).unwrap_err();
    assert_eq!(twice.to_string(), "technologies `7nm` and `28nm` both have the entry `lut_select`");
    assert_eq!(
        Tech::builtin("5nm").unwrap_err().to_string(),
        "unknown technology `5nm`; there are hbm2e, lpddr4x, lpddr5x"
    );
}

#[test]
fn a_unit_that_does_not_fit_its_counter_is_refused() {
    let (_, text) = LOGIC[1];
    let tech = Tech::parse("mine", &text.replacen("unit = \"pJ/byte\"", "unit = \"mW\"", 1)).unwrap();
    let error = Energy::compute(&Events::default(), &CLOCKS, &tech).unwrap_err();
    assert_eq!(
        error.to_string(),
        "technology `7nm`: entry `table_read` is in mW, which does not fit `table_reads`, a byte counter"
    );
}

#[test]
fn units_are_what_they_say() {
    let each = |events: Events, entry: &str| {
        let lines = Energy::compute(&events, &CLOCKS, &phone()).unwrap().lines;
        lines.iter().find(|l| l.entry == entry).unwrap().joules.mid
    };
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
    // fJ each; mW over one second of core clock; mW over one second of DRAM clock; pJ/bit over bytes
    close(each(Events { lut_selects: 1_000_000, ..Events::default() }, "lut_select"), 12.45e-9);
    close(each(Events { core_cycles: 1_000_000_000, ..Events::default() }, "uncore_power"), 25e-3);
    let clocks = Events { dram_active_clocks: 1_200_000_000, ..Events::default() };
    close(each(clocks, "dram_background_active"), 40e-3);
    close(each(Events { dram_read_bytes: 1000, ..Events::default() }, "dram_read"), 8000.0 * 3.8e-12);
    close(each(Events { dram_activates: 5, ..Events::default() }, "dram_activate"), 5.0 * 1.14e-9);
}

/// One second of streaming reads over 4 channels at 76.8 GB/s: every page read whole, refresh every 3.9 us.
#[test]
fn a_stream_from_dram_costs_the_seven_picojoules_that_the_split_started_from() {
    let bytes = 76_800_000_000;
    let events = Events {
        dram_read_bytes: bytes,
        dram_reads: bytes / 32,
        dram_activates: bytes / 2048,
        dram_refreshes: 4 * 256_410,
        dram_active_clocks: 4 * 1_200_000_000,
        ..Events::default()
    };
    let energy = Energy::compute(&events, &CLOCKS, &phone()).unwrap();
    let total = energy.total();
    let chip = *energy.by_boundary().get("chip").unwrap();
    let per_bit = |joules: f64| joules / (bytes as f64 * 8.0) * 1e12;
    assert!((per_bit(total.mid - chip.mid) - 7.0).abs() < 0.3, "{}", per_bit(total.mid));
    assert!((per_bit(total.low - chip.low) - 4.0).abs() < 0.6, "{}", per_bit(total.low));
    assert!((per_bit(total.high - chip.high) - 12.0).abs() < 0.8, "{}", per_bit(total.high));
}

proptest! {
    #[test]
    fn totals_are_the_sum_of_their_parts(n in proptest::array::uniform12(0u64..1 << 40)) {
        let events = Events {
            lut_selects: n[0], table_adds: n[1], group_drains: n[2], psum_accesses: n[3],
            vector_lane_ops: n[4], sfu_ops: n[5], scratchpad_read_bytes: n[6], core_cycles: n[7],
            dram_read_bytes: n[8], dram_write_bytes: n[9], dram_activates: n[10], dram_idle_clocks: n[11],
            ..Events::default()
        };
        let energy = Energy::compute(&events, &CLOCKS, &phone()).unwrap();
        let total = energy.total();
        prop_assert!(total.low <= total.mid && total.mid <= total.high);
        for map in [energy.by_component(), energy.by_boundary(), energy.by_purpose()] {
            let mid: f64 = map.iter().map(|(_, b)| b.mid).sum();
            prop_assert!((mid - total.mid).abs() <= 1e-12 * total.mid);
        }
        for line in &energy.lines {
            prop_assert!(line.joules.low <= line.joules.mid && line.joules.mid <= line.joules.high);
            let outside = line.component.starts_with("dram") || line.component == "interface";
            prop_assert_eq!(line.boundary == Boundary::Chip, !outside);
        }
        let twice = Energy::compute(&events.scale(2), &CLOCKS, &phone()).unwrap().total();
        prop_assert!((twice.mid - 2.0 * total.mid).abs() <= 1e-12 * twice.mid);
    }
}
