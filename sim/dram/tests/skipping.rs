//! Laws of every channel: stepping each clock and stepping only when asked are the same, and every trace is legal.

mod common;

use common::{Request, policies, run};
use lutsim_dram::{Channel, Page, Policy, PowerDown, RefreshPolicy, RefreshScope, Standard};
use proptest::prelude::*;

fn requests(max: usize) -> impl Strategy<Value = Vec<Request>> {
    let one = (0u64..6, 0u64..200, any::<bool>(), 0u8..160).prop_map(|(kind, n, write, gap)| {
        // few banks and rows, so that hits, misses and conflicts all happen
        let burst = match kind {
            0 => n,
            1 => n * 64,
            2 => n * 4096 + n % 7,
            3 => n * 65536,
            4 => (n % 4) * 1024 * 1024 + n,
            _ => n * 1_000_003,
        };
        let gap = match gap {
            0 => 30_000,
            1..6 => 700,
            6..20 => 40,
            20..60 => gap as u64 % 4,
            _ => 0,
        };
        Request { gap, burst, write }
    });
    prop::collection::vec(one, 1..max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn skipping_equals_ticking(
        trace in requests(600),
        standard in prop::sample::select(Standard::builtin_names()),
        policy in prop::sample::select(policies()),
        page in any::<bool>(),
        aligned in any::<bool>(),
        per_bank in any::<bool>(),
        power_down in prop::option::of(0u64..200),
        interval in 300u64..3000,
        cap in 1u32..6,
        hints in prop::collection::vec(0u64..4000, 0..3),
    ) {
        let standard = Standard::builtin(standard).unwrap();
        let mut policy: Policy = policy;
        policy.row_hit_cap = cap;
        if policy.scheduler == lutsim_dram::Scheduler::FrFcfs {
            if page { policy.page = Page::Closed }
            if aligned { policy.refresh.policy = RefreshPolicy::Aligned }
            policy.refresh.interval = Some(interval.max(standard.refresh_interval / 8));
            if let (Some(after), Some(_)) = (power_down, standard.power_down_exit) {
                let after = after + standard.read_latency.max(standard.write_latency);
                policy.power_down = Some(PowerDown { after, self_refresh_after: after.is_multiple_of(2).then_some(4 * after) });
            }
            if per_bank && standard.has(lutsim_dram::Command::RefreshBank) {
                policy.refresh.scope = RefreshScope::PerBank;
                policy.refresh.interval = None;
            }
        }
        if Channel::new(&standard, &policy).is_err() {
            return Ok(()); // that controller does not fit this standard
        }
        let tick = run(&standard, &policy, &trace, &hints, true);
        let skip = run(&standard, &policy, &trace, &hints, false);
        prop_assert_eq!(&tick.commands, &skip.commands);
        prop_assert_eq!(&tick.completions, &skip.completions);
        prop_assert_eq!(tick.counters, skip.counters);
        let broken = lutsim_dram::checker::check(&standard, &skip.commands, Default::default());
        prop_assert!(broken.is_empty(), "{} {:?}: {:?}", standard.name, policy, &broken[..broken.len().min(3)]);
    }
}
