//! A channel put back from its written state, at another time and in other rows, goes on as the original does.

mod common;

use common::Request;
use lutsim_dram::{
    Canon, Channel, Completion, Page, Policy, PowerDown, RefreshPolicy, RefreshScope, Standard,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let one = (0u64..4, 0u64..200, any::<bool>(), 0u64..160).prop_map(|(kind, n, write, gap)| {
        let burst = match kind {
            0 => n,
            1 => n * 64,
            2 => n * 4096 + n % 7,
            _ => n * 65536,
        };
        let gap = match gap {
            0 => 9_000,
            1..6 => 700,
            6..20 => 40,
            _ => gap % 3,
        };
        Request { gap, burst, write }
    });
    prop::collection::vec(one, 50..300)
}

/// Feeds requests to a channel whose clock began at `began` and whose rows begin `up` bursts further up.
struct Feed {
    channel: Channel,
    began: u64,
    up: u64,
    next: usize,
    earliest: u64,
}

impl Feed {
    /// One clock; completions in clocks since it began.
    fn clock(&mut self, clock: u64, trace: &[Request], hints: &[u64], done: &mut Vec<Completion>) {
        let now = self.began + clock;
        if hints.contains(&clock) {
            match clock % 3 {
                0 => self.channel.refresh_restart(now),
                _ => self.channel.refresh_hint(now),
            }
        }
        self.channel.step(now, done);
        for d in done.iter_mut() {
            d.ready -= self.began;
            // Nobody asks which write it was.
            d.tag *= !d.write as u32;
        }
        if let Some(request) = trace.get(self.next)
            && self.earliest <= clock
            && self.channel.can_accept(request.write)
        {
            self.channel.push(now, request.burst + self.up, request.write, self.next as u32);
            self.next += 1;
            self.earliest = clock + trace.get(self.next).map_or(0, |r| r.gap);
        }
    }
    fn write(&mut self, canon: &mut Canon, clock: u64) -> (Vec<u8>, usize, lutsim_dram::Clusters) {
        canon.now = self.began + clock;
        canon.write();
        self.channel.walk(canon);
        let (bytes, fields, clusters) = canon.written();
        (bytes.to_vec(), fields, clusters)
    }
}

proptest! {
    // A fixed seed, so that a change is judged and not luck; PROPTEST_RNG_SEED tries others. One case in some 100,000 fails:
    // docs/deviations.md, `leap` may remember one state as two.
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(
            std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1611)
        ),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_channel_goes_on_from_its_written_state(
        trace in requests(),
        standard in prop::sample::select(Standard::builtin_names()),
        closed in any::<bool>(),
        aligned in any::<bool>(),
        per_bank in any::<bool>(),
        power_down in prop::option::of(0u64..200),
        interval in 300u64..3000,
        cap in 1u32..6,
        mut hints in prop::collection::vec(0u64..6000, 0..9),
        at in 50u64..2500,
        later in 0u64..1 << 40,
        up in 0u64..1000,
        xor in any::<bool>(),
    ) {
        let standard = Standard::builtin(standard).unwrap();
        hints.sort();
        let mut policy = Policy { row_hit_cap: cap, ..Policy::users() };
        if closed { policy.page = Page::Closed }
        if aligned { policy.refresh.policy = RefreshPolicy::Aligned }
        policy.refresh.interval = Some(interval.max(standard.refresh_interval / 8).min(standard.refresh_interval));
        if let (Some(after), Some(_)) = (power_down, standard.power_down_exit) {
            let after = after + standard.read_latency.max(standard.write_latency);
            policy.power_down = Some(PowerDown { after, self_refresh_after: after.is_multiple_of(2).then_some(4 * after) });
        }
        if per_bank && standard.has(lutsim_dram::Command::RefreshBank) {
            policy.refresh.scope = RefreshScope::PerBank;
            policy.refresh.interval = None;
        }
        if xor { policy.mapping_xor = vec![format!("{}^Row:0", standard.levels.last().unwrap().name)] }
        let Ok(channel) = Channel::new(&standard, &policy) else { return Ok(()) };
        prop_assert!(channel.can_walk());
        let mut a = Feed { channel, began: 0, up: 0, next: 0, earliest: trace[0].gap };
        let (mut done_a, mut done_b) = (Vec::new(), Vec::new());
        for clock in 0..=at {
            a.clock(clock, &trace, &hints, &mut done_a);
            done_a.clear();
        }
        let unit_bit = a.channel.row_bit() + a.channel.row_unit();
        let mut canon = Canon::new(a.channel.row_unit(), 1 << 40);
        let (bytes, fields, clusters) = a.write(&mut canon, at);
        let bases: Vec<u64> = clusters.0.iter().map(|c| c.0 + up).collect();
        let mut b = Feed {
            channel: Channel::new(&standard, &policy).unwrap(),
            began: later,
            up: up << unit_bit,
            next: a.next,
            earliest: a.earliest,
        };
        canon.now = later + at;
        canon.read(&bytes, fields, &bases);
        b.channel.walk(&mut canon);
        let due = a.channel.due();
        b.channel.set_due(if due == u64::MAX { due } else { due + later });
        a.channel.watch_due();
        let (before_a, before_b) = (a.channel.counters_at(at), b.channel.counters_at(later + at));
        for clock in at + 1..at + 3000 {
            a.clock(clock, &trace, &hints, &mut done_a);
            b.clock(clock, &trace, &hints, &mut done_b);
            prop_assert_eq!(&done_a, &done_b, "at {}", clock);
            done_a.clear();
            done_b.clear();
        }
        let end = at + 2999;
        prop_assert_eq!(
            a.channel.counters_at(end).since(&before_a),
            b.channel.counters_at(later + end).since(&before_b)
        );
        let (bytes_a, ..) = a.write(&mut canon, end);
        let (bytes_b, ..) = b.write(&mut canon, end);
        prop_assert_eq!(bytes_a, bytes_b);
        // Moving the next refresh within its margin changes nothing but that.
        let margin = a.channel.due_margin(end);
        if due != u64::MAX && due > at {
            let earlier = margin.earlier.min(due - at - 1);
            for due in [due - earlier, due + margin.later.min(1 << 20)] {
                let (next, earliest) = replay(&trace, at, &standard, &policy, &hints);
                let channel = Channel::new(&standard, &policy).unwrap();
                let mut c = Feed { channel, began: later, up: up << unit_bit, next, earliest };
                canon.now = later + at;
                canon.read(&bytes, fields, &bases);
                c.channel.walk(&mut canon);
                c.channel.set_due(due + later);
                for clock in at + 1..=end {
                    c.clock(clock, &trace, &hints, &mut done_b);
                    done_b.clear();
                }
                let (bytes_c, ..) = c.write(&mut canon, end);
                let (bytes_a, ..) = a.write(&mut canon, end);
                prop_assert_eq!(bytes_a, bytes_c, "{:?}", margin);
            }
        }
    }
}

/// Where the feed stands at `at`.
fn replay(trace: &[Request], at: u64, standard: &Standard, policy: &Policy, hints: &[u64]) -> (usize, u64) {
    let channel = Channel::new(standard, policy).unwrap();
    let mut feed = Feed { channel, began: 0, up: 0, next: 0, earliest: trace[0].gap };
    let mut done = Vec::new();
    for clock in 0..=at {
        feed.clock(clock, trace, hints, &mut done);
        done.clear();
    }
    (feed.next, feed.earliest)
}
