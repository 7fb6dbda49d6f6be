//! Other masters of the memory get what they ask for up to half of it, are counted apart and never waited for; the port to
//! the memory passes what it is wide, all masters of the chip together.

use lutsim_isa::Program;
use lutsim_sim::config::{Background, Chip};
use lutsim_sim::{Engine, Machine, Stop, Totals};

use super::every::{assemble, chip, isolated, job, run};
use super::saturation::{between, fast, repeat, stream};

const BURST: u64 = 32;

fn traffic(gigabytes_per_second: u64, read_per_mille: u32, local_per_mille: u32) -> Background {
    let bytes_per_second = gigabytes_per_second * 1_000_000_000;
    Background { bytes_per_second, read_per_mille, local_per_mille, seed: 1 }
}

fn with(chip: Chip, background: Background) -> Chip {
    Chip { background, ..chip }
}

fn others(t: &Totals) -> u64 {
    t.others.iter().sum()
}

/// Words that ask the memory for nothing, for about 64 x 60,000 cycles.
fn idle() -> Program {
    assemble(&format!("loop #60000 {{\n{}}}\nhalt\n", "add r1, r1, #64\n".repeat(63)))
}

/// A memory of 16 bytes a cycle and nothing else: what others take is missing, and no more; at most half.
#[test]
fn of_an_ideal_memory_the_rest_is_left() {
    let at = |rate: u64| {
        let chip = with(isolated(&chip("tiny", &[]), 16), traffic(rate, 1000, 500));
        let (cycles, short, long) = between(&chip, stream(), 16);
        (cycles, others(&long.totals) - others(&short.totals))
    };
    let bytes = 16 * 65536;
    for (rate, left) in [(0, 16), (2, 14), (4, 12), (7, 9), (8, 8), (12, 8), (16, 8), (1000, 8)] {
        let (cycles, others) = at(rate);
        let expected = bytes / left;
        assert!(cycles.abs_diff(expected) <= 4, "{rate} GB/s: {cycles} cycles, expected {expected}");
        let moved = others * BURST;
        let taken = expected * (16 - left);
        assert!(moved.abs_diff(taken) <= 4 * BURST, "{rate} GB/s: {moved} bytes of others, expected {taken}");
    }
}

/// With banks: others get their rate, the stream loses at least that, and both stay below the pins. Whoever floods the
/// memory leaves the other a third of what it still moves.
#[test]
fn of_a_banked_memory_nobody_starves() {
    let at = |rate: u64, read: u32, local: u32| {
        let chip = with(chip("tiny", &["refresh.policy=timer"]), traffic(rate, read, local));
        let (cycles, short, long) = between(&chip, stream(), 64);
        let per_cycle = |bytes: u64| bytes as f64 / cycles as f64;
        let own = per_cycle((long.totals.bursts - short.totals.bursts) * BURST);
        (own, per_cycle((others(&long.totals) - others(&short.totals)) * BURST))
    };
    let (alone, nothing) = at(0, 1000, 500);
    assert_eq!(nothing, 0.0);
    assert!(alone > 17.0, "alone {alone} GB/s of 19.2");
    for (rate, read, local) in [(1, 1000, 990), (3, 1000, 900), (5, 1000, 990), (2, 700, 900), (2, 500, 0)] {
        let (own, others) = at(rate, read, local);
        let said = format!("{rate} GB/s, {read} read, {local} local: {own:.2} and {others:.2} of {alone:.2}");
        assert!((others - rate as f64).abs() < 0.01 * rate as f64 + 0.02, "{said}");
        assert!(own <= alone - 0.98 * rate as f64, "{said}");
        assert!(own > 0.3 * alone && own + others < 19.2, "{said}");
    }
    for (read, local) in [(1000, 990), (1000, 0), (500, 500), (0, 900)] {
        let (own, others) = at(1000, read, local);
        let said = format!("{read} read, {local} local: {own:.2} and {others:.2} of {alone:.2}");
        assert!(own > 0.2 * (own + others) && others > 0.2 * (own + others), "{said}");
        assert!(own + others < 19.2, "{said}");
    }
}

/// Over four million cycles the rate is kept: to a burst per channel, and where refreshes come to what may wait for one and
/// a controller holds. Shares are met, and the rows that others find open are those of their locality.
#[test]
fn an_idle_chip_lets_the_rate_through() {
    for (rate, channels) in [(1, 1), (3, 1), (7, 2), (10, 4)] {
        let gigabytes = format!("dram.bytes={channels} GiB");
        let banked = chip("tiny", &[&format!("dram.channels={channels}"), &gigabytes]);
        // Up to nine refreshes in a row, 4 us, and two queues.
        let refreshing = 4000 * rate / BURST + 64 * channels;
        for (chip, slack) in [(isolated(&banked, 16), channels), (banked, refreshing)] {
            let mut hits = Vec::new();
            for (read, local) in [(700, 0), (250, 1000)] {
                let t = run(&with(chip.clone(), traffic(rate, read, local)), Engine::Skip, &idle()).totals;
                let asked = t.cycles * rate / BURST;
                let found = others(&t);
                assert!(found.abs_diff(asked) <= slack, "{rate} GB/s: {found} bursts, {asked} asked");
                let reads = t.others[0] * 1000 / found;
                assert!(reads.abs_diff(read.into()) <= 8, "{reads} of 1000 read, {read} asked");
                hits.push(t.channels.iter().map(|c| c.row_hits()).sum::<u64>() * 1000 / found);
            }
            if slack > channels {
                assert!(hits[0] < 100 && hits[1] > 900, "{rate} GB/s: row hits {hits:?} of 1000");
            }
        }
    }
}

/// The same seed gives the same report, by every engine; another seed another one.
#[test]
fn a_seed_is_a_run() {
    let at = |engine, seed| {
        let background = Background { seed, ..traffic(6, 600, 400) };
        run(&with(chip("tiny", &[]), background), engine, &stream()(8))
    };
    let expected = at(Engine::Skip, 1);
    for engine in [Engine::Skip, Engine::Tick, Engine::Leap] {
        assert_eq!(at(engine, 1), expected, "{engine:?}");
    }
    assert_ne!(at(Engine::Skip, 2), expected);
}

/// A run ends when its own work is done, however much others have left to do; and one that can never end is found out.
#[test]
fn nobody_waits_for_others() {
    let flood = |rate| with(chip("tiny", &[]), traffic(rate, 500, 0));
    let program = assemble("halt\n");
    let [alone, beside] = [0, 1000].map(|rate| run(&flood(rate), Engine::Skip, &program).totals.cycles);
    // Its 32 bytes of program come a queue of others' random bursts later.
    assert!(beside > alone && beside < alone + 10_000, "{beside} cycles, {alone} alone");
    let program = assemble("sync.vector ?s0, -\nhalt\n");
    let marks = vec![0; program.code.len()];
    for engine in [Engine::Skip, Engine::Tick, Engine::Leap] {
        let stop = Machine::new(&flood(1000), engine).unwrap().run(&job(&program, &marks, &[]));
        assert!(matches!(stop, Err(Stop::Deadlock { .. })), "{engine:?}: {stop:?}");
    }
}

/// The port passes its bytes per cycle and no more, in, out, and both together.
#[test]
fn the_port() {
    let wide = |cap: Option<u32>| {
        let mut chip = fast();
        chip.dma.port_bytes = 256;
        chip.dram.port_bytes_per_cycle = cap;
        chip
    };
    let tiles = "set r1, #1048576\nset r2, #8388608\ntile t0, r0, #0, #1, #65536, #0, u8\n\
                 tile t1, r0, #131072, #1, #65536, #0, u8\n";
    let (load, store) = ("load.plain t0, r1, #0, #0, spill, -, -\n", "store t1, r2, #0, #0, kv, -, -\n");
    for (body, bytes) in [(load, 65536), (store, 65536), (&*format!("{load}{store}"), 131_072u64)] {
        for cap in [1, 7, 8, 32, 48, 100] {
            let cycles = between(&wide(Some(cap)), repeat(tiles, body), 4).0;
            let expected = (4 * bytes).div_ceil(cap.into());
            // Transfers out do not overlap: a round trip is lost with each, and where there are both, ends differ.
            let (early, late) = match body == load {
                true => (4, 4),
                false => (expected / 100, expected / 100 + 4 * 600),
            };
            let said = format!("{body}cap {cap}: {cycles} cycles, {expected} expected");
            assert!(cycles + early >= expected && cycles <= expected + late, "{said}");
        }
    }
    // A port that is wider than all there is costs a cycle here and there.
    let [open, capped] = [None, Some(4096)].map(|cap| between(&wide(cap), repeat(tiles, load), 4).0);
    assert!(capped.abs_diff(open) * 50 <= open, "{open} cycles, {capped} through a port of 4096 bytes");
}

/// What waits for the port waits for DRAM.
#[test]
fn a_port_is_called_dram() {
    let mut chip = isolated(&chip("tiny", &[]), 32);
    chip.dram.port_bytes_per_cycle = Some(4);
    let t = run(&chip, Engine::Skip, &stream()(8)).totals;
    let waits = t.load.of(lutsim_sim::Cause::Dram);
    assert!(waits * 10 > t.cycles * 7, "{waits} of {} cycles", t.cycles);
}
