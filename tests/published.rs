//! Baselines against published decode rates that nothing was fitted on.

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

/// What factors follow from is met (but for operations in decode, next to which bytes are nearly all), so that it is no prediction.
#[test]
fn fitted_rows_are_met() {
    for p in published::pairs().iter().filter(|p| p.fitted) {
        assert!(p.error().abs() < 1e-3, "{:?}: {}", p.row, p.error());
    }
}

/// Each engine is held against rows that it was not fitted on, W4A16 kernels and NPUs included.
#[test]
fn every_engine_predicts() {
    let pairs = published::pairs();
    for engine in lutsim_baselines::engine::engines() {
        let own = || pairs.iter().filter(|p| p.engine == engine.name);
        assert!(Spread::of(own()).is_some_and(|s| s.rows >= 2), "{}", engine.name);
    }
}
