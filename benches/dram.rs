//! Speed of the memory model alone, per configuration and pattern: requests per second, simulated cycles per second,
//! instructions per request (counted by callgrind, where valgrind is installed).
//!
//! `cargo bench --bench dram -- NAME` takes the configurations and patterns whose `CONFIGURATION/PATTERN` holds NAME.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lutsim_dram::{DriveOptions, Pattern, Policy, Request, Standard, configuration, drive};

/// Requests of a timed run; building the channel is under a thousandth of it.
const TIMED: usize = 20_000;
/// Requests of a counted run: callgrind takes fifty times as long.
const COUNTED: usize = 5_000;

struct Case {
    name: String,
    standard: Standard,
    policy: Policy,
    pattern: Pattern,
}

fn cases(filter: &[String]) -> Vec<Case> {
    let mut out = Vec::new();
    for config in Standard::builtin_names() {
        let (standard, policy) = configuration(config).unwrap_or_else(|e| panic!("{e}"));
        // Four reads are no load.
        for pattern in Pattern::ALL.into_iter().filter(|p| *p != Pattern::Idle) {
            let name = format!("{config}/{}", pattern.name());
            if filter.iter().all(|f| name.contains(f.as_str())) {
                out.push(Case { name, standard: standard.clone(), policy: policy.clone(), pattern });
            }
        }
    }
    out
}

/// What is timed and counted; a function of its own because callgrind counts by function.
#[inline(never)]
fn measured(case: &Case, trace: &[Request]) -> u64 {
    let report = drive(trace, &case.standard, &case.policy, DriveOptions::default());
    report.unwrap_or_else(|e| panic!("{e}")).total_cycles
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter: Vec<String> = args.iter().filter(|a| !a.starts_with('-')).cloned().collect();
    let cases = cases(&filter);
    if args.iter().any(|a| a == "--count") {
        for case in &cases {
            black_box(measured(case, &case.pattern.generate(&case.standard, COUNTED)));
        }
        return;
    }
    // Not `configure_from_args`: the filter is ours, a plain part of the name.
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_millis(400))
        .warm_up_time(Duration::from_millis(100))
        .sample_size(10)
        .without_plots();
    let mut group = criterion.benchmark_group("requests");
    // The slowest take milliseconds: as many runs for each sample.
    group.sampling_mode(SamplingMode::Flat);
    let mut speeds = Vec::new();
    for case in &cases {
        let trace = case.pattern.generate(&case.standard, TIMED);
        group.throughput(Throughput::Elements(trace.len() as u64));
        let (mut least, mut cycles) = (Duration::MAX, 0);
        group.bench_function(BenchmarkId::from_parameter(&case.name), |b| {
            b.iter_custom(|iterations| {
                let run = |_| {
                    let begin = Instant::now();
                    cycles = black_box(measured(case, &trace));
                    let took = begin.elapsed();
                    least = least.min(took);
                    took
                };
                (0..iterations).map(run).sum()
            });
        });
        speeds.push((trace.len() as f64 / least.as_secs_f64(), cycles as f64 / least.as_secs_f64()));
    }
    group.finish();
    let counts = instructions(&filter, cases.len());
    println!(
        "{:<34}{:>14}{:>14}{:>20}",
        "the fastest run of each", "requests/s", "cycles/s", "instructions each"
    );
    for (i, (case, (requests, cycles))) in cases.iter().zip(speeds).enumerate() {
        let count = match &counts {
            Some(counts) => format!("{:.0}", counts[i] as f64 / COUNTED as f64),
            None => "no valgrind".into(),
        };
        println!("{:<34}{:>12.2} M{:>12.1} M{count:>20}", case.name, requests / 1e6, cycles / 1e6);
    }
}

/// Instructions of each counted run, in order: this program again, under callgrind, a dump after each run.
fn instructions(filter: &[String], cases: usize) -> Option<Vec<u64>> {
    let folder = tempfile::tempdir().ok()?;
    let out = folder.path().join("out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=dram::measured", "--dump-after=dram::measured"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().ok()?)
        .arg("--count")
        .args(filter)
        .output()
        .ok()?;
    if !status.status.success() {
        return None;
    }
    let total = |i: usize| -> Option<u64> {
        let text = std::fs::read_to_string(out.with_extension(i.to_string())).ok()?;
        text.lines().find_map(|l| l.strip_prefix("totals: "))?.trim().parse().ok()
    };
    (1..=cases).map(total).collect()
}
