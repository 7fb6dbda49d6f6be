//! The text that `lutsim run` prints and `operators.csv`, from a saved record alone.

mod common;

use lutsim_record::{Record, check};
use lutsim_reports::{operators_csv, summary};

/// Compares with a committed text; `LUTSIM_BLESS=1` writes it.
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LUTSIM_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs; LUTSIM_BLESS=1 writes the new one:\n{text}");
}

#[test]
fn the_sample_record_is_sound() {
    assert_eq!(check(&common::llama()), []);
}

#[test]
fn the_summary_reads_as_committed() {
    let saved = Record::from_json(&common::llama().to_json()).unwrap();
    let text = summary(&saved);
    assert_eq!(text, summary(&common::llama()));
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "wider than 100 columns: {line}");
        assert_eq!(line, line.trim_end());
    }
    golden("summary.txt", &text);
}

#[test]
fn interpolation_ideal_memory_and_a_skipped_phase_are_said() {
    let mut record = common::llama();
    record.phases.prefill = None;
    record.machine.dram_model = "ideal".to_owned();
    let decode = record.phases.decode.as_mut().unwrap();
    (decode.simulated_steps, decode.interpolation_residual) = (4, Some(0.0012));
    let text = summary(&record);
    assert!(text.contains("INTERPOLATED: 4 of 32 decode steps simulated, residual of the fit 0.1 %"));
    assert!(text.contains("peak, IDEAL: latency and bandwidth only"));
    assert!(!text.contains("Operators of prefill") && !text.contains("time to first token"));
}

#[test]
fn the_csv_has_a_row_per_operator_and_layer() {
    let record = common::llama();
    let text = operators_csv(&record).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(
            "phase,layer,operator,executions,core_cycles,share_of_phase_cycles,macs,vector_lane_ops,\
             dram_transferred_bytes,dram_owned_bytes,arithmetic_intensity_ops_per_byte,busiest_unit,\
             stalls_core_cycles"
        )
    );
    assert_eq!(lines.count(), record.operators.len());
    let qkv = text.lines().find(|l| l.starts_with("decode,0,attn.qkv,")).unwrap();
    assert!(qkv.contains(",32,") && qkv.contains(",7.47"), "{qkv}");
}
