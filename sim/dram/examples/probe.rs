//! Runs one configuration and pattern: `probe CONFIG PATTERN N [policy]`.
use lutsim_dram::{DriveOptions, Pattern, Policy, Standard, drive};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = Standard::builtin(&a[1]).unwrap_or_else(|e| panic!("{e}"));
    let n = a.get(3).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut p = Policy::by_name(a.get(4).unwrap_or(&s.policy)).expect("policy");
    for extra in a.iter().skip(5) {
        match extra.as_str() {
            "noref" => p.refresh.policy = lutsim_dram::RefreshPolicy::Off,
            "perbank" => p.refresh.scope = lutsim_dram::RefreshScope::PerBank,
            _ => {}
        }
    }
    let patterns: Vec<Pattern> =
        if a[2] == "all" { Pattern::ALL.to_vec() } else { vec![Pattern::by_name(&a[2]).expect("pattern")] };
    for pattern in patterns {
        let t = pattern.generate(&s, n);
        let start = std::time::Instant::now();
        let r = drive(&t, &s, &p, DriveOptions::default()).expect("run");
        let ns = start.elapsed().as_nanos() as f64 / n as f64;
        println!(
            "{} {} {} cycles, {:.2} per request, {:.2} % of peak, {:.2} % of column peak, latency {:.1}, {:?} {ns:.0} ns",
            s.name,
            pattern.name(),
            r.total_cycles,
            r.total_cycles as f64 / n as f64,
            100.0 * r.share_of_peak(&s),
            100.0 * r.share_of_column_peak(&s),
            r.read_latency.mean(),
            r.latencies
        );
    }
}
