//! How many nanoseconds a burst costs: `cargo run --release -p lutsim-dram --example speed [standard] [bursts] [policy] [pattern]`.

use lutsim_dram::{Channel, Policy, Standard};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let name = args.get(1).map(String::as_str).unwrap_or("lpddr5x_9600");
    let n: u64 = args.get(2).and_then(|s| s.parse().ok()).unwrap_or(2_000_000);
    let standard = Standard::builtin(name).expect("a built-in standard");
    for policy_name in args.get(3).map(|p| vec![p.as_str()]).unwrap_or(vec!["users"]) {
        let policy = Policy::by_name(policy_name).expect("a policy");
        for pattern in ["linear", "linear_full", "random", "copy"] {
            if args.get(4).is_some_and(|p| p != pattern) {
                continue;
            }
            let mut x = 0x5EED_u64;
            let bursts: Vec<(u64, bool)> = (0..n)
                .map(|i| match pattern {
                    "random" => {
                        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        ((x >> 20) % standard.channel_bursts(), false)
                    }
                    "copy" => (i + (i & 32) * 100_000, i & 32 != 0),
                    _ => (i, false),
                })
                .collect();
            let mut channel = Channel::new(&standard, &policy).expect("a channel");
            let mut done = Vec::new();
            let (mut now, mut next, mut steps, mut last, mut sum) = (0u64, 0usize, 0u64, 0u64, 0u64);
            let start = Instant::now();
            while next < bursts.len() || channel.pending() > 0 {
                channel.step(now, &mut done);
                steps += 1;
                for c in done.drain(..) {
                    last = last.max(c.ready);
                    sum += c.ready;
                }
                // one per clock, as a trace driver does, or as many as there is room for
                while next < bursts.len() && channel.can_accept(bursts[next].1) {
                    channel.push(now, bursts[next].0, bursts[next].1, next as u32);
                    next += 1;
                    if pattern == "linear" {
                        break;
                    }
                }
                let room = next < bursts.len() && channel.can_accept(bursts[next].1);
                now = if room { now + 1 } else { channel.wake() };
            }
            let ns = start.elapsed().as_nanos() as f64 / n as f64;
            let c = channel.counters_at(last);
            let bytes = n as f64 * standard.request_bytes as f64;
            let share = bytes / (last as f64 / standard.clock()) / standard.peak_bytes_per_second();
            println!(
                "{name} {policy_name:10} {pattern:12} {ns:6.1} ns/burst  {:.2} steps/burst  {last} clocks  {:.1} % of peak  ACT {} PRE {} REF {} CAS {} {}",
                steps as f64 / n as f64,
                100.0 * share,
                c.activates,
                c.precharges,
                c.refreshes,
                c.cas_sync,
                sum & 1
            );
        }
    }
}
