//! Ours beside the references: `cargo run --release -p lutsim-dram --example compare`.

use lutsim_dram::{DriveOptions, Pattern, Policy, Standard, drive};

fn main() {
    let only = std::env::args().nth(1);
    let text = include_str!("../../../tests/data/dram/results.csv");
    let head: Vec<&str> = text.lines().next().unwrap_or("").split(',').collect();
    let column = |name: &str| head.iter().position(|h| *h == name).expect("a column");
    for line in text.lines().skip(1) {
        let f: Vec<&str> = line.split(',').collect();
        let get = |name: &str| f[column(name)];
        let (config, pattern) = (get("config"), get("trace"));
        if only.as_ref().is_some_and(|o| !config.contains(o.as_str())) {
            continue;
        }
        let Ok(standard) = Standard::builtin(config) else { continue };
        let policy = Policy::by_name(&standard.policy).expect("a policy");
        let trace = Pattern::by_name(pattern).expect("a pattern").generate(&standard, 20_000);
        let start = std::time::Instant::now();
        let r = drive(&trace, &standard, &policy, DriveOptions::default()).expect("a run");
        let ns = start.elapsed().as_nanos() as f64 / trace.len() as f64;
        let theirs: f64 = get("total_cycles").parse().expect("cycles");
        let c = &r.counters;
        println!(
            "{config:22} {pattern:12} {:8} {theirs:8} {:+.3} %  RD {} {} WR {} {} ACT {} {} PRE {} {} REF {} {}  lat {:.2} {}  {:?} {}  {ns:.0} ns",
            r.total_cycles,
            (r.total_cycles as f64 / theirs - 1.0) * 100.0,
            c.reads,
            get("num_RD_cmds"),
            c.writes,
            get("num_WR_cmds"),
            c.activates,
            get("num_ACT"),
            c.precharges,
            get("num_PRE"),
            c.refreshes,
            get("num_REF"),
            r.read_latency.mean(),
            get("avg_read_latency_driver_ticks"),
            r.latencies,
            get("latencies_idle"),
        );
    }
}
