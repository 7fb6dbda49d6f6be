//! Baselines against published decode rates that nothing was fitted on.

use serde_json::Value;

use super::cli_cases::lutsim;
use lutsim::published::{self, Pair, Spread};
use lutsim_baselines::published::Metric;

fn decode(pairs: &[Pair]) -> impl Iterator<Item = &Pair> {
    pairs.iter().filter(|p| p.row.kind() == Metric::Decode)
}

/// Most published rates are predicted, few are fitted on, and the predictions are near.
#[test]
fn decode_rates_are_predicted() {
    let pairs = published::pairs();
    let spread = Spread::of(decode(&pairs)).unwrap();
    let fitted = decode(&pairs).filter(|p| p.fitted).count();
    assert!(spread.rows >= 350 && fitted <= 60, "{} predicted, {fitted} fitted", spread.rows);
    assert!(spread.median <= 0.15, "median {}", spread.median);
    assert!(spread.p90 <= 0.35, "90th percentile {}", spread.p90);
}

/// What factors follow from is met, so that it is no prediction: to 1 %, by which the artefact itself prints a point in two figures.
#[test]
fn fitted_rows_are_met() {
    for p in published::pairs().iter().filter(|p| p.fitted) {
        assert!(p.error().abs() < 0.01, "{:?}: {}", p.row, p.error());
    }
}

/// Batches of 32 on GPUs with matrix units are near where the types are known to them, and nearer than without tiles of rows.
#[test]
fn batches_are_predicted() {
    let pairs = published::pairs();
    let batches =
        || pairs.iter().filter(|p| p.row.batch == "32" && p.row.kind() == Metric::Layer && !p.fitted);
    let spread = Spread::of(batches()).unwrap();
    assert!(spread.rows >= 50 && spread.median <= 0.3, "{} rows, median {}", spread.rows, spread.median);
    let mut without: Vec<f64> = batches().map(|p| (p.published / p.unpadded - 1.0).abs()).collect();
    without.sort_by(f64::total_cmp);
    assert!(spread.median < 0.6 * without[without.len() / 2], "{}", without[without.len() / 2]);
    // One row alone, and a prompt, are what they were.
    let others = pairs.iter().filter(|p| p.row.batch != "32");
    assert!(others.filter(|p| p.ours != p.unpadded).count() == 0);
}

/// Rates of prompts that nothing was fitted on.
#[test]
fn prefill_rates_are_predicted() {
    let pairs = published::pairs();
    let prefill = || pairs.iter().filter(|p| p.row.kind() == Metric::Prefill);
    let fitted = prefill().filter(|p| p.fitted).count();
    let spread = Spread::of(prefill()).unwrap();
    assert!(spread.rows >= 25 && fitted <= 9, "{} predicted, {fitted} fitted", spread.rows);
    assert!(spread.median <= 0.35, "median {}", spread.median);
}

/// The prefill of an engine beside a run is the published one of the same model; where none is published nothing is said.
#[test]
fn prompts_beside_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["run", "--config", "snapdragon_like", "--prompt", "256", "--generate", "1", "--out", "run"];
    assert_eq!(lutsim(folder.path(), &run).0, 0);
    let names = ["compare", "run", "t-mac@x-elite", "llama-cpp@x-elite", "t-mac@pi5", "--json"];
    let (code, out, err) = lutsim(folder.path(), &names);
    assert_eq!((code, err.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&out).unwrap();
    let rate = |i: usize| said["subjects"][i]["prefill"]["tokens_per_second"].as_f64();
    // Llama-2-7B with 2 bits on eight threads: 94.4 and 21.3 tokens/s were published.
    assert!((rate(1).unwrap() / 94.4 - 1.0).abs() < 0.01, "{:?}", rate(1));
    assert!((rate(2).unwrap() / 21.3 - 1.0).abs() < 0.01, "{:?}", rate(2));
    let first = said["subjects"][1]["first_token_seconds"].as_f64().unwrap();
    assert!((first - 256.0 / rate(1).unwrap()).abs() < 1e-9, "{first}");
    assert_eq!(rate(3), None);
}

/// However short a prompt is, its weights are read once.
#[test]
fn short_prompts_read_their_weights() {
    let pairs = published::pairs();
    let long =
        pairs.iter().find(|p| p.row.device == "A100 PCIe 80GB" && p.row.kind() == Metric::Prefill).unwrap();
    let engines = lutsim_baselines::engine::engines();
    let (_, engine) = engines.iter().find(|(name, _)| *name == "llama-cpp-gpu").unwrap();
    let machine = engine.machine(&long.row).unwrap();
    let size = lutsim_baselines::engine::Size {
        linear: 7e9,
        head: 5e8,
        layers: 32.0,
        kv_bytes: 0.0,
        attention: 0.0,
    };
    let rows = lutsim_baselines::published::rows();
    let factors = engine.factors(machine, &rows, &published::size).unwrap();
    let pace = engine.pace(machine, &rows, &published::size).unwrap();
    let of = |context: &str| {
        let row = lutsim_baselines::published::Row { context: context.into(), ..long.row.clone() };
        engine.prompt_seconds(machine, (&factors, pace), &row, &size).unwrap()
    };
    let format = engine.format(&long.row).unwrap();
    let read = (7e9 * format.stored + 5e8 * format.head) / 8.0 / (1935e9 * factors.share);
    assert!((of("1") / read - 1.0).abs() < 1e-12 && (of("2") / of("1") - 0.5).abs() < 1e-12);
    assert!(of("1024") < of("1") / 10.0 && of("1024") == of("4096"));
}

/// Each engine is held against rows that it was not fitted on, W4A16 kernels and NPUs included.
#[test]
fn every_engine_predicts() {
    let pairs = published::pairs();
    for (_, engine) in lutsim_baselines::engine::engines() {
        let own = || pairs.iter().filter(|p| p.engine == engine.name);
        assert!(Spread::of(own()).is_some_and(|s| s.rows >= 2), "{}", engine.name);
    }
}

/// What is compared with a run is the rate of the published row of the same model, bits and machine, the context apart.
#[test]
fn a_run_beside_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["run", "--config", "snapdragon_like", "--prompt", "0", "--generate", "1", "--out", "run"];
    assert_eq!(lutsim(folder.path(), &run).0, 0);
    let (code, out, err) = lutsim(
        folder.path(),
        &["compare", "run", "t-mac@x-elite", "llama-cpp@x-elite", "--svg", "c.svg", "--json"],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&out).unwrap();
    let rate = |i: usize| said["subjects"][i]["decode"]["tokens_per_second"].as_f64().unwrap();
    // Llama-2-7B with 2 bits on eight threads: 29.8 and 16.8 tokens/s were published.
    assert!(
        (rate(1) / 29.75 - 1.0).abs() < 0.02 && (rate(2) / 16.8 - 1.0).abs() < 0.02,
        "{} {}",
        rate(1),
        rate(2)
    );
    assert_eq!(said["subjects"][1]["basis"], "published");
    for (name, why) in [
        ("t-mac@h100", "nothing is published of T-MAC on `h100`"),
        ("t-mack@pi5", "did you mean `t-mac`?"),
        ("vllm@a100-80g", "with weights of 2 bits"),
    ] {
        let (code, _, err) = lutsim(folder.path(), &["compare", "run", name]);
        assert!(code == 2 && err.contains(why), "{name}: {err}");
    }
}
