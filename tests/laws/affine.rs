//! Decode time over context, at multiples of the KV tile of 128 tokens: a straight line to 0.5 %, every step simulated.

use std::ops::RangeInclusive;

use lutsim::device::{self, SimDevice};
use lutsim_host::model::Model;
use lutsim_host::plan::plan;
use lutsim_host::workload::Workload;
use lutsim_sim::Engine;

use super::steps::{planned, session};

/// Largest relative distance from the least-squares line.
fn residual(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0 / n, s.1 + p.1 / n));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = over / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    assert!(slope > 0.0, "more context takes more time");
    points.iter().map(|p| (y + slope * (p.0 - x) - p.1).abs() / p.1).fold(0.0, f64::max)
}

/// One step at each context of 128, 256, ..., 1024 tokens before it (less `short`), each in a session of its own (layout and
/// program of `--context N`); all with the mapping of the longest.
fn decode(
    chip: &str,
    model: &str,
    (layers, vocab): (u32, u32),
    sets: &[&str],
    tiles: RangeInclusive<u64>,
    short: u64,
    one: bool,
) {
    let longest = format!("workload.context={}", 128 * tiles.end());
    let workload = ["workload.prompt=0", "workload.generate=1", &longest];
    let mut longest = session(chip, model, (1, vocab), &[&workload[..], sets].concat());
    longest.model = Model { layers, context: 4096, ..longest.model };
    let long = planned(&longest);
    let points: Vec<(f64, f64)> = tiles
        .map(|tiles| {
            // Or one program for all: a run that starts with an empty cache.
            let (context, generate) =
                if one { (0, long.workload.context + 1) } else { (128 * tiles as u32, 1) };
            let workload = Workload { context, generate, ..long.workload };
            let target = device::target(&longest.chip.chip);
            let plan = plan(&longest.model, &workload, &target, &long.mapping).unwrap();
            let (step, doorbell) = plan.decode_step(128 * tiles - short, &[1]);
            let mut device = SimDevice::new(&longest.chip.chip, Engine::Skip).unwrap();
            let cycles = device.step(step, &doorbell, None).unwrap().totals.cycles;
            (tiles as f64, cycles as f64)
        })
        .collect();
    let residual = residual(&points);
    let said = format!("{chip} {model} {sets:?}: residual {:.3} % of {points:?}", residual * 100.0);
    assert!(residual <= 0.005, "{said}");
}

const IDEAL: [&str; 3] =
    ["dram.ideal.latency=100 ns", "dram.ideal.bandwidth=19.2 GB/s", "dram.ideal.burst_bytes=32"];

/// The small chip as it is, to its model's limit of 512 tokens. A step of 9000 cycles is 3 % longer or shorter by one refresh.
#[test]
fn decode_time_is_affine_in_context_on_the_small_chip() {
    decode("tiny", "tiny-2l", (2, 320), &[], 1..=3, 0, false);
}

/// Where attention is nearly all of a step (a layer 64 wide reads 9 KB of weights, and 5 KB of KV cache per tile of tokens), without
/// refresh. To the model's limit of 512 tokens, and far beyond it: between them the slope changes, where the tiles of an item no
/// longer fit a queue of 16 instructions and the next item's scores wait behind them.
#[test]
fn decode_time_is_affine_in_context_where_attention_is_all() {
    decode("tiny", "tiny-2l", (2, 320), &IDEAL, 1..=3, 0, false);
    decode("tiny", "tiny-2l", (2, 320), &IDEAL, 1..=3, 0, true);
    decode("tiny", "tiny-2l", (2, 320), &IDEAL, 11..=16, 0, false);
    // With the new token, whole tiles of keys; and one program for all lengths.
    decode("tiny", "tiny-2l", (2, 320), &IDEAL, 11..=16, 1, false);
    decode("tiny", "tiny-2l", (2, 320), &IDEAL, 11..=16, 0, true);
}

/// Layers at their real width, the head cut to 512 outputs, banked memory: 128 to 1024 tokens.
#[test]
fn decode_time_is_affine_in_context() {
    decode("snapdragon_like", "llama-2-7b", (1, 512), &[], 1..=8, 0, false);
    decode("snapdragon_like", "llama-2-7b", (1, 512), &[], 1..=8, 1, true);
    decode("snapdragon_like", "qwen2.5-1.5b", (2, 512), &[], 1..=8, 0, false);
}
