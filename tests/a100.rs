//! The chips of LUT Tensor Core's Table 1. What docs/validation-a100.md says is held against what runs; all of it takes minutes, so the
//! whole document is compared in a test that is left out unless it is asked for, and written by it with `LUTSIM_BLESS=1`.

use std::path::Path;

use lutsim::paper::models::{
    CHIPS, DECODE, Job, PREFILL, a100_markdown, is_attention, model, on_gang, on_part, others,
};
use lutsim_host::model::Model;

const ANEW: &str =
    "write it anew: LUTSIM_BLESS=1 cargo test --test all a100::the_document_is_fresh -- --ignored";

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation-a100.md")
}

/// The numbers of a row of the document's last table that has it.
fn row(name: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(document()).unwrap();
    let line = text.lines().rfind(|line| line.starts_with(&format!("| {name} |"))).unwrap();
    let cells = line.split('|').skip(2).filter_map(|cell| cell.split_whitespace().next());
    cells.map(|cell| cell.parse().unwrap()).collect()
}

#[test]
#[ignore = "minutes"]
fn the_document_is_fresh() {
    let text = a100_markdown().unwrap();
    if std::env::var_os("LUTSIM_BLESS").is_some() {
        std::fs::write(document(), &text).unwrap();
    }
    assert!(std::fs::read_to_string(document()).unwrap() == text, "{ANEW}");
}

#[test]
fn the_document_has_the_prose_of_its_sources() {
    let text = std::fs::read_to_string(document()).unwrap();
    assert!(text.starts_with(include_str!("../src/paper/models/head.md")));
    assert!(text.ends_with(include_str!("../src/paper/models/why.md")));
}

/// Speed-ups as a GPU runs attention: within the bound that the document names, on three chips and in two phases.
#[test]
fn speed_ups_are_within_their_bound() {
    let text = std::fs::read_to_string(document()).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `a100_") && line.contains(" % |"));
    let residuals = rows.filter_map(|line| {
        let residual = line.split('|').nth(4)?.trim().strip_suffix(" %")?;
        residual.starts_with(['+', '-']).then(|| residual.parse::<f64>().unwrap())
    });
    let residuals: Vec<f64> = residuals.collect();
    assert_eq!(residuals.len(), 6);
    assert!(residuals.iter().all(|residual| residual.abs() <= 25.0), "{residuals:?}");
}

/// Attention of decode on a multiprocessor, to the cycle: of two layers, as all are alike.
#[test]
fn attention_takes_what_the_document_says() {
    for name in ["rope", "kv_write", "scores", "softmax", "weighted_sum"] {
        assert_eq!(row(&format!("{name}, a part")).len(), CHIPS.len(), "{name}");
    }
    for (i, chip) in CHIPS.iter().enumerate() {
        for operator in on_part(chip, &DECODE, Model { layers: 2, ..model() }).unwrap() {
            if operator.layer == Some(1) && is_attention(&operator) {
                let name = format!("{}, a part", operator.name);
                assert_eq!(row(&name)[i], operator.cycles, "{}: {name}; {ANEW}", chip.name);
            }
        }
    }
}

/// A layer of one whole chunk: products are as fast as the peaks let expect, and no faster.
#[test]
fn products_follow_the_peak() {
    let job = Job { prompt: 192, ..PREFILL };
    let took = CHIPS.map(|chip| {
        let operators = on_gang(&chip, &job, Model { layers: 1, ..model() }).unwrap();
        let layer: Vec<_> = operators.into_iter().filter(|o| o.layer.is_some()).collect();
        others(&layer) as f64
    });
    for (chip, ours) in CHIPS.iter().zip(took).skip(1) {
        let (speed, peak) = (took[0] / ours, chip.peak / CHIPS[0].peak);
        assert!((0.5 * peak..1.2 * peak).contains(&speed), "{}: {speed} times for {peak}", chip.name);
    }
}
