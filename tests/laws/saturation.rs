//! Each part that has a bandwidth, at its limit, in a program made for it; with half of it in the chip file, the program
//! takes twice as long. The memory is ideal and the scratchpad without conflicts unless they are what is tested.
//!
//! Times are differences between a run and one twice as long, so that fetch, latency and the last drain cancel.

use lutsim_isa::Program;
use lutsim_sim::config::{Build, Chip};
use lutsim_sim::{Cause, Engine, Report};

use super::every::{assemble, burst, chip, isolated, run};

/// A short run and one twice as long: cycles between them, and reports.
pub(crate) fn between(chip: &Chip, program: impl Fn(u32) -> Program, n: u32) -> (u64, Report, Report) {
    let [short, long] = [n, 2 * n].map(|n| run(chip, Engine::Skip, &program(n)));
    (long.totals.cycles - short.totals.cycles, short, long)
}

/// `body`, `n` times over.
pub(crate) fn repeat(prologue: &str, body: &str) -> impl Fn(u32) -> Program {
    let (prologue, body) = (prologue.to_owned(), body.to_owned());
    move |n| assemble(&format!("set r0, #0\n{prologue}loop #{n} {{\n{body}}}\nhalt\n"))
}

/// `tiny` with a memory of 256 B per cycle.
pub(crate) fn fast() -> Chip {
    let mut chip = isolated(&chip("tiny", &[]), 256);
    (chip.dma.outstanding_bursts, chip.dram.interleave_bytes) = (1 << 14, 1024);
    chip
}

/// Loads of 64 KiB, one after another.
pub(crate) fn stream() -> impl Fn(u32) -> Program {
    repeat(
        "set r1, #1048576\ntile t0, r0, #0, #1, #65536, #0, u8\n",
        "load.plain t0, r1, #0, #0, spill, -, -\nadd r1, r1, #65536\n",
    )
}

/// At least 90 % of what the pins move while no refresh blocks them; with half of the channels, twice as long to 2 %.
#[test]
fn dram() {
    for (name, standard, channels) in [
        ("tiny", "lpddr5x_9600", 1),
        ("snapdragon_like", "lpddr5x_9600", 4),
        ("snapdragon_like", "lpddr5x_9600", 2),
        ("snapdragon_like", "lpddr4x_4267", 4),
    ] {
        for policy in ["timer", "aligned"] {
            let at = |channels: u32| {
                let bytes = format!("dram.bytes={} GiB", channels);
                let sets = [
                    format!("dram.standard={standard}"),
                    format!("dram.channels={channels}"),
                    format!("refresh.policy={policy}"),
                    "refresh.interval_cycles=2000".into(),
                    bytes,
                ];
                chip(name, &sets.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let chip = at(channels);
            let (_, short, long) = between(&chip, stream(), 64);
            let s = lutsim_dram::Standard::builtin(standard).unwrap();
            let (_, clocks, _) = burst(&chip);
            let moved = (long.totals.bursts - short.totals.bursts) * clocks;
            let passed = (long.totals.memory_clocks - short.totals.memory_clocks) * u64::from(channels);
            let refresh = s.timing("tRFCab").unwrap() as u64;
            let said =
                format!("{name} {standard} x{channels} {policy}: {moved} of {passed} clocks, tRFC {refresh}");
            assert!(moved * 10 * 2000 >= 9 * passed * (2000 - refresh), "{said}");
            if channels > 1 {
                let whole = between(&chip, stream(), 64).0;
                let half = between(&at(channels / 2), stream(), 64).0;
                assert!(half.abs_diff(2 * whole) * 50 <= 2 * whole, "{said}: {whole} and {half} cycles");
            }
        }
    }
    // Without banks, exactly.
    let [whole, half] = [16, 8].map(|rate| between(&isolated(&chip("tiny", &[]), rate), stream(), 4).0);
    assert_eq!((whole, half), (4 * 65536 / 16, 4 * 65536 / 8));
}

/// Reads in flight: a window of them per round trip of a memory of 1 us.
#[test]
fn reorder_buffer() {
    let at = |outstanding_bursts: u32| {
        let mut chip = fast();
        let lutsim_sim::config::DramKind::Ideal { latency_ns, .. } = &mut chip.dram.kind else {
            unreachable!()
        };
        *latency_ns = 1000;
        chip.dma.outstanding_bursts = outstanding_bursts;
        chip.dram.interleave_bytes = 32;
        chip.dma.port_bytes = 256;
        between(&chip, stream(), 2).0
    };
    let (whole, half) = (at(128), at(64));
    assert!(half.abs_diff(2 * whole) * 20 <= 2 * whole, "{whole} and {half} cycles");
}

/// 512 loads of a burst: two of them per round trip, or one.
#[test]
fn transfers_in_flight() {
    let at = |transfers: u32| {
        let mut chip = fast();
        chip.dma.transfers = transfers;
        let program = repeat(
            "set r1, #4096\ntile t0, r0, #0, #1, #32, #0, u8\n",
            "load.plain t0, r1, #0, #0, kv, -, -\n",
        );
        between(&chip, program, 512).0
    };
    assert_eq!(at(1), 2 * at(2));
}

/// One access of the port's width per cycle.
#[test]
fn dma_port() {
    let load = |port: u32| {
        between(
            &Chip { dma: lutsim_sim::config::Dma { port_bytes: port, ..fast().dma }, ..fast() },
            stream(),
            4,
        )
        .0
    };
    for port in [4, 8, 16] {
        assert_eq!(load(port), 4 * 65536 / u64::from(port), "in, {port} bytes");
    }
    // Out: one store, of twice the length.
    let store = |port: u32| {
        let mut chip = fast();
        chip.dma.port_bytes = port;
        let program = |n: u32| {
            assemble(&format!(
                "set r0, #0\nset r1, #1048576\ntile t0, r0, #0, #{n}, #4096, #4096, u8\nstore t0, r1, #0, #4096, kv, -, -\nhalt\n"
            ))
        };
        between(&chip, program, 16).0
    };
    for port in [4, 8, 16] {
        assert_eq!(store(port), 16 * 4096 / u64::from(port), "out, {port} bytes");
    }
}

/// Records of 64 x 1024 INT2 weights: 17536 bytes of scales, zeros and planes each.
#[test]
fn unpacker() {
    let at = |bytes: u32| {
        let mut chip = fast();
        chip.dma.unpacker_bytes = bytes;
        let body = "load.weights t0, r1, #0, #0, weights, -, -\n";
        let (cycles, short, long) =
            between(&chip, repeat("set r1, #1048576\ntile t0, r0, #0, #64, #1024, #0, int2g128\n", body), 16);
        let busy = |r: &Report| r.totals.unpacker.of(Cause::Busy);
        assert_eq!(busy(&long) - busy(&short), cycles, "busy in every cycle");
        cycles
    };
    // 24 does not divide a record: the next one begins in the cycle in which the last one ends.
    for bytes in [4, 8, 16, 24] {
        assert_eq!(at(bytes), (16 * 17536u64).div_ceil(bytes.into()), "{bytes} bytes per cycle");
    }
}

/// k requesters on one bank take k times as long, on k banks once: 64 rows of a word, a row's words in one bank.
#[test]
fn scratchpad_banks() {
    const ROWS: u64 = 64;
    let mut chip = isolated(&chip("tiny", &[]), 32);
    chip.scratchpad.conflict_free = false;
    let time = |op: &str, banks: [u32; 3]| {
        let tile = |(i, bank): (usize, &u32)| {
            let columns = if op.starts_with("vargmax") && i == 2 { 2 } else { 8 };
            format!("tile t{i}, r0, #{}, #{ROWS}, #{columns}, #256, f32\n", 32 * bank + 65536 * i as u32)
        };
        let tiles: String = banks.iter().enumerate().map(tile).collect();
        run(&chip, Engine::Skip, &assemble(&format!("set r0, #0\n{tiles}{op}, -, -\nhalt\n"))).totals.cycles
    };
    for (op, k) in [("vargmax t2, t0, #0, first", 1), ("vcopy t2, t0", 2), ("vadd t2, t0, t1", 3)] {
        let (one, apart) = (time(op, [5, 5, 5]), time(op, [5, 6, 7]));
        assert_eq!(one - apart, (k - 1) * ROWS, "{op}: {one} cycles on one bank, {apart} on three");
    }
}

/// Weights of 1024 columns are 1024 words to a group of 64 cycles: 8 banks give them in 128 cycles, 4 in 256. Scales and
/// activations come behind them, in words of their own.
#[test]
fn scratchpad_width() {
    let at = |banks: u32| {
        let mut chip = isolated(&chip("snapdragon_like", &[]), 32);
        (chip.scratchpad.banks, chip.scratchpad.conflict_free, chip.lut.drain_lanes) = (banks, false, 64);
        let body = "lmma.m2n64k4.int8.int2.i24.f32 t0, t1, 1x16, first, -, -\n";
        let tiles = "tile t0, r0, #0, #1, #128, #0, i8\ntile t1, r0, #65536, #1024, #128, #0, int2g128\n";
        between(&chip, repeat(tiles, body), 16).0
    };
    assert_eq!(at(4) - at(8), 16 * (1024 / 4 - 1024 / 8));
}

/// The array selects in every cycle of the steady state, whatever else happens; half of the cores, or of the
/// table's inputs, twice as long.
#[test]
fn lut_array() {
    let at = |cores: u32, k: u32| {
        let mut chip = fast();
        (chip.lut.cores, chip.lut.k) = (cores, k);
        // 128 columns: one product of two cores, or two of one.
        let ty = format!("lmma.m2n64k{k}.int8.int2.i24.f32");
        let body = match cores {
            2 => format!("{ty} t0, t1, 1x2, first, -, -\n"),
            _ => format!("{ty} t0, t2, 1x1, first, -, -\n{ty} t0, t3, 1x1, first, -, -\n"),
        };
        let tiles = "tile t0, r0, #0, #1, #1024, #0, i8\ntile t1, r0, #8192, #128, #1024, #0, int2g128\n\
                     tile t2, r0, #8192, #64, #1024, #0, int2g128\ntile t3, r0, #65536, #64, #1024, #0, int2g128\n";
        let (cycles, short, long) = between(&chip, repeat(tiles, &body), 16);
        let busy = |r: &Report| r.totals.lut.of(Cause::Busy);
        assert_eq!(busy(&long) - busy(&short), cycles, "busy in every cycle");
        cycles
    };
    // Two planes of 1024 weights, four to a table.
    assert_eq!(at(2, 4), 16 * 2 * 1024 / 4);
    assert_eq!(at(1, 4), 2 * at(2, 4));
    assert_eq!(at(2, 2), 2 * at(2, 4));
}

/// One plane and two rows want two tables per cycle, 32 bytes of weights and 8 of activations, or 20 of tables; half of that, twice as
/// long, and the array says what it waited for.
#[test]
fn builders_and_links() {
    let at = |elem: &str, set: &dyn Fn(&mut Chip), cause: Option<Cause>| {
        let mut chip = fast();
        chip.lut.activation_link_bytes = if elem == "i8" { 8 } else { 20 };
        set(&mut chip);
        let tiles = format!(
            "tile t0, r0, #0, #2, #1024, #2560, {elem}\ntile t1, r0, #8192, #64, #1024, #0, int1g128\n"
        );
        let body = "lmma.m2n64k4.int8.int1.i24.f32 t0, t1, 1x1, first, -, -\n";
        let (cycles, short, long) = between(&chip, repeat(&tiles, body), 16);
        let of = |cause| long.totals.lut.of(cause) - short.totals.lut.of(cause);
        assert_eq!(of(Cause::Busy), 16 * 1024 / 4, "the array's own cycles");
        cause.iter().for_each(|&cause| assert_eq!(of(cause), cycles - of(Cause::Busy)));
        cycles
    };
    let whole = 16 * 1024 / 4;
    type Set<'a> = &'a dyn Fn(&mut Chip);
    let halves: [(&str, Set<'_>, Cause); 4] = [
        ("i8", &|c| c.lut.build = Build::Ingress { builders: 1 }, Cause::Builder),
        ("i8", &|c| c.lut.weight_link_bytes = 16, Cause::Broadcast),
        ("i8", &|c| c.lut.activation_link_bytes = 4, Cause::Broadcast),
        ("t8", &|c| (c.lut.build, c.lut.activation_link_bytes) = (Build::Vector, 10), Cause::Broadcast),
    ];
    for (elem, half, cause) in halves {
        assert_eq!(
            at(
                elem,
                &|c| if elem == "t8" {
                    c.lut.build = Build::Vector
                },
                None
            ),
            whole,
            "{elem}"
        );
        assert_eq!(at(elem, half, Some(cause)), 2 * whole, "{elem} {cause:?}");
    }
}

/// Two rows with 64 keys of 128: 16384 products.
#[test]
fn mac_lanes() {
    let at = |lanes: u32| {
        let mut chip = fast();
        (chip.lut.mac_lanes, chip.lut.weight_link_bytes) = (lanes, 1024);
        let tiles = "tile t0, r0, #0, #2, #128, #128, i8\ntile t1, r0, #8192, #64, #128, #0, kv8grow\n";
        let body = "lmma.m2n64k1.int8.kv8.i24.f32 t0, t1, 1x1, first, -, -\n";
        let (cycles, short, long) = between(&chip, repeat(tiles, body), 16);
        assert_eq!(long.totals.lut.of(Cause::Busy) - short.totals.lut.of(Cause::Busy), cycles);
        cycles
    };
    for lanes in [16, 64, 128] {
        assert_eq!(at(lanes), 16 * 16384 / u64::from(lanes), "{lanes} lanes");
    }
}

/// Groups of 16: four cycles of the array and 32 of the drain.
#[test]
fn drain() {
    let at = |lanes: u32| {
        let mut chip = fast();
        chip.lut.drain_lanes = lanes;
        let tiles = "tile t0, r0, #0, #2, #256, #256, i8\ntile t1, r0, #8192, #64, #256, #0, int1g16\n";
        let body = "lmma.m2n64k4.int8.int1.i24.f32 t0, t1, 1x1, first, -, -\n";
        let (cycles, short, long) = between(&chip, repeat(tiles, body), 16);
        let busy = |r: &Report| r.totals.drain.of(Cause::Busy);
        assert_eq!(busy(&long) - busy(&short), cycles, "busy in every cycle");
        cycles
    };
    for lanes in [1, 2, 4, 8] {
        assert_eq!(at(lanes), 16 * 16 * 128 / u64::from(lanes), "{lanes} lanes");
    }
}

/// Rows of 256 elements, twice as many of them.
#[test]
fn vector_lanes() {
    let time_of = |x: &str, d: &str, op: &str, set: &dyn Fn(&mut Chip)| {
        let mut chip = fast();
        set(&mut chip);
        let program = |rows: u32| {
            let tile = |(i, elem)| format!("tile t{i}, r0, #{}, #{rows}, #256, #1024, {elem}\n", 131_072 * i);
            let tiles: String = [(0, x), (1, d), (2, d)].into_iter().map(tile).collect();
            assemble(&format!("set r0, #0\n{tiles}{op}, -, -\nhalt\n"))
        };
        between(&chip, program, 32).0
    };
    let time = |op: &str, set: &dyn Fn(&mut Chip)| time_of("f32", "f32", op, set);
    for lanes in [1, 2, 4, 8, 16] {
        let add = time("vadd t2, t0, t1", &|c| c.vector.lanes = lanes);
        assert_eq!(add, 32 * 256 / u64::from(lanes), "{lanes} lanes");
        let tables = time_of("i8", "t8", "vtable t1, t0", &|c| c.vector.lanes = lanes);
        assert_eq!(tables, 3 * 32 * 256 / u64::from(lanes), "{lanes} lanes");
        let silu = time("vact.silu t2, t0", &|c| c.vector.special_lanes = lanes);
        assert_eq!(silu, 32 * 256 / u64::from(lanes), "{lanes} special lanes");
        assert_eq!(time("vcap t2, t0, 0.5, 2", &|c| c.vector.special_lanes = lanes), silu);
        // A root-mean-square norm sweeps twice; one with mean and biases twice more.
        for (norm, rows, sweeps) in [("rms", 1, 2), ("layer", 2, 4)] {
            let op =
                format!("tile t1, r0, #131072, #{rows}, #256, #1024, f32\nvnorm.{norm} t2, t0, t1, 1e-5");
            let norm = time(&op, &|c| c.vector.lanes = lanes);
            assert_eq!(norm, sweeps * 32 * 256 / u64::from(lanes), "{lanes} lanes");
        }
        // The two largest of each row, found one by one, and a softmax.
        let route = time("vroute t2, t0, #2", &|c| (c.vector.lanes, c.vector.special_lanes) = (lanes, lanes));
        assert_eq!(route, 4 * 32 * 256 / u64::from(lanes), "{lanes} lanes");
        // A slope is read beside the scores: it costs no time.
        for op in [
            "vsoftmax.full t2, t0, #256, 0.5",
            "valibi.full t2, t0, t1, #256, 0.5",
            "vwindow.full t2, t0, #256, #100, 0.5",
        ] {
            let softmax = time(op, &|c| (c.vector.lanes, c.vector.special_lanes) = (lanes, lanes));
            assert_eq!(softmax, 3 * 32 * 256 / u64::from(lanes), "{lanes} lanes");
        }
    }
}

/// One word per cycle, loops included; a block of a long program takes its bytes of a narrow memory.
#[test]
fn sequencer() {
    let words = "add r1, r1, #64\n".repeat(40);
    let (cycles, short, long) = between(&fast(), repeat("", &words), 100);
    assert_eq!(cycles, 41 * 100);
    assert_eq!(long.totals.work.instructions - short.totals.work.instructions, cycles);
    // Straight on, 128 words to a block, which is fetched while the one before it executes.
    let at = |rate: u64| {
        let straight = |n: u32| assemble(&format!("{}halt\n", "add r1, r1, #64\n".repeat(128 * n as usize)));
        between(&isolated(&chip("tiny", &[]), rate), straight, 32).0
    };
    // A block is 64 bursts and a clock from request to service; a clock is 16 cycles, or 8.
    assert_eq!(at(2) - at(4), 32 * 65 * (16 - 8));
}

/// A queue takes as many operations as it is deep behind the one that executes; the next one waits.
#[test]
fn queue_depth() {
    for depth in [1, 2, 4, 8, 16] {
        let waits = |operations: u32| {
            let mut chip = fast();
            chip.sequencer.queue_depth = depth;
            let behind = "sync.vector -, -\n".repeat(operations as usize);
            let text = format!(
                "set r0, #0\ntile t0, r0, #0, #64, #256, #1024, f32\nvcopy t0, t0, -, -\nset r1, #0\n{behind}halt\n"
            );
            run(&chip, Engine::Skip, &assemble(&text)).totals.sequencer.of(Cause::QueueFull)
        };
        assert_eq!(waits(depth), 0, "{depth} entries");
        assert!(waits(depth + 1) > 1000, "{depth} entries");
    }
}

/// Two pseudo-channels move two bursts at a time; the account of their channel adds up all the same.
#[test]
fn pseudo_channels() {
    let mut chip =
        chip("tiny", &["dram.standard=hbm3_6400", "dram.interleave_bytes=1024", "dma.port_bytes=128"]);
    chip.dma.outstanding_bursts = 1024;
    let program = stream()(32);
    let t = run(&chip, Engine::Skip, &program).totals;
    let run = lutsim::kernel::run("stream", &program, 0, &chip, lutsim::device::empty_state(&chip));
    let run = run.unwrap_or_else(|e| panic!("{e:?}"));
    let unit = run.units.iter().find(|u| u.name.starts_with("dram")).unwrap();
    assert_eq!(unit.total(), t.memory_clocks);
    assert!(t.channels[0].data_clocks > t.memory_clocks, "more than one bus can");
}
