//! Speed of the engines: simulated cycles per second of `tick`, `skip` and `leap` (nothing remembered at first), host time per DRAM burst.
//!
//! `-- --steps N` simulates N decode steps once, without timing anything, and prints the bursts of them all: what
//! `.ci/instructions.sh` counts the instructions of.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use lutsim::device::{self, SimDevice};
use lutsim_host::mapping::Mapping;
use lutsim_host::model::Model;
use lutsim_host::plan::{Plan, plan};
use lutsim_host::workload::Workload;
use lutsim_sim::config::Chip;
use lutsim_sim::{Engine, Totals, chip_file};

/// Context of every step.
const POSITION: u32 = 128;

/// A layer of a small model at its real width, and 512 outputs of its head: decode at 128 tokens of context.
fn planned() -> (Chip, Plan) {
    let chip = chip_file::load_builtin("snapdragon_like").unwrap_or_else(|e| panic!("{e:?}")).chip;
    let full = Model::builtin("qwen2.5-0.5b").unwrap_or_else(|e| panic!("{e}"));
    let model = Model { layers: 1, vocab: 512, ..full };
    let workload = Workload { prompt: 0, context: POSITION, generate: 1, ..Workload::default() };
    let target = device::target(&chip);
    let mapping = Mapping::default_for(&target, &model, &workload).unwrap_or_else(|e| panic!("{e}"));
    let plan = plan(&model, &workload, &target, &mapping).unwrap_or_else(|e| panic!("{e}"));
    (chip, plan)
}

fn steps(chip: &Chip, plan: &Plan, engine: Engine, steps: u32) -> Totals {
    let mut device = SimDevice::new(chip, engine).unwrap_or_else(|e| panic!("{e}"));
    let mut sum = Totals::default();
    for _ in 0..steps {
        let (step, doorbell) = plan.decode_step(POSITION.into(), &[1]);
        let totals = device.step(step, &doorbell, None).unwrap_or_else(|e| panic!("{e}")).totals;
        (sum.cycles, sum.bursts) = (sum.cycles + totals.cycles, sum.bursts + totals.bursts);
    }
    sum
}

fn main() {
    let (chip, plan) = planned();
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--steps") {
        let count = args.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(1);
        println!("{}", steps(&chip, &plan, Engine::Skip, count).bursts);
        return;
    }
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(5))
        .warm_up_time(Duration::from_secs(1))
        .sample_size(10)
        .configure_from_args();
    let once = steps(&chip, &plan, Engine::Skip, 1);
    let mut group = criterion.benchmark_group("cycles");
    group.throughput(Throughput::Elements(once.cycles));
    for (name, engine) in [("tick", Engine::Tick), ("skip", Engine::Skip), ("leap", Engine::Leap)] {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| steps(&chip, &plan, engine, 1));
        });
    }
    group.finish();
    criterion.final_summary();
    let time = |_| {
        let begin = Instant::now();
        steps(&chip, &plan, Engine::Skip, 1);
        begin.elapsed()
    };
    let least = (0..10).map(time).min().unwrap_or_default();
    println!(
        "skip: {:.1} ns per DRAM burst, the fastest of 10",
        least.as_nanos() as f64 / once.bursts as f64
    );
}
