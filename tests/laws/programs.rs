//! Random programs that are legal by construction, and random chips to run them on.
//!
//! An operation reads and writes blocks of scratchpad and DRAM. Before it, every queue that it must come behind gives a
//! token that its own queue takes; tokens are made where they are needed, or were given early by the operation itself.
//! Loops start and end with a fence.

use std::fmt::Write;

use lutsim_isa::field::Queue;
use lutsim_isa::format::{Elem, STORED_TABLE};
use lutsim_isa::{Group, Program, WeightFormat, WeightKind};
use lutsim_sim::chip_file;
use lutsim_sim::config::{Background, Build, Chip, DramKind, RefreshPolicy};
use lutsim_tech::Kind;
use proptest::prelude::*;

/// One operation, as numbers that any value is legal for.
pub(crate) type Recipe = [u16; 8];

const BLOCKS: usize = 24;
/// Blocks of scratchpad; the others lie in DRAM.
const ON_CHIP: usize = 16;
const BLOCK_BYTES: u32 = 8 << 10;
/// Token ids of a `gather`.
pub(crate) const MAILBOX: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];

/// Who touched a block last: the writer, and the readers since, as (number of operation in its queue).
#[derive(Clone, Copy, Default)]
struct Block {
    writer: Option<(usize, u64)>,
    readers: [Option<u64>; 4],
}

struct Builder<'a> {
    chip: &'a Chip,
    text: String,
    blocks: [Block; BLOCKS],
    /// Operations of each queue so far.
    count: [u64; 4],
    /// Tokens given and not taken, oldest first: `[giver][taker]`, as the giver's operation.
    tokens: [[std::collections::VecDeque<u64>; 4]; 4],
    /// Operations of each queue that each queue is behind: `[taker][giver]`.
    behind: [[u64; 4]; 4],
    depth: usize,
}

/// The program of some recipes.
pub(crate) fn build(chip: &Chip, recipes: &[Recipe]) -> Program {
    let mut b = Builder {
        chip,
        text: "set r0, #0\n".into(),
        blocks: [Block::default(); BLOCKS],
        count: [0; 4],
        tokens: Default::default(),
        behind: [[0; 4]; 4],
        depth: 0,
    };
    for recipe in recipes {
        b.operation(recipe);
    }
    while b.depth > 0 {
        b.close();
    }
    b.settle();
    b.text.push_str("halt\n");
    super::every::assemble(&b.text)
}

impl Builder<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
    fn sem(giver: usize, taker: usize) -> usize {
        8 * giver + taker
    }
    /// Takes every token that is left.
    fn settle(&mut self) {
        for giver in 0..4 {
            for taker in 0..4 {
                while self.tokens[giver][taker].pop_front().is_some() {
                    let (queue, sem) = (Queue::ALL[taker], Self::sem(giver, taker));
                    self.count[taker] += 1;
                    self.line(&format!("sync.{queue} ?s{sem}, -"));
                }
            }
        }
    }
    fn fence(&mut self) {
        self.settle();
        self.line("fence");
        self.blocks = [Block::default(); BLOCKS];
    }
    fn close(&mut self) {
        self.fence();
        self.line("}");
        self.depth -= 1;
    }
    /// Puts `taker` behind operation `number` of `giver`.
    fn order(&mut self, taker: usize, giver: usize, number: u64) {
        while self.behind[taker][giver] < number {
            let sem = Self::sem(giver, taker);
            let given = match self.tokens[giver][taker].pop_front() {
                Some(given) => given,
                None => {
                    self.count[giver] += 1;
                    self.line(&format!("sync.{} -, !s{sem}", Queue::ALL[giver]));
                    self.count[giver]
                }
            };
            self.count[taker] += 1;
            self.line(&format!("sync.{} ?s{sem}, -", Queue::ALL[taker]));
            self.behind[taker][giver] = given;
        }
    }
    /// Writes an operation, behind all that it must be behind; `early` may give a token to another queue.
    fn emit(&mut self, queue: Queue, text: &str, reads: &[usize], writes: &[usize], early: u16) {
        let taker = queue as usize;
        let mut after = [0u64; 4];
        for &block in reads.iter().chain(writes) {
            if let Some((giver, number)) = self.blocks[block].writer {
                after[giver] = after[giver].max(number);
            }
        }
        for &block in writes {
            for (after, number) in after.iter_mut().zip(self.blocks[block].readers) {
                *after = (*after).max(number.unwrap_or(0));
            }
        }
        for giver in (0..4).filter(|&g| g != taker) {
            self.order(taker, giver, after[giver]);
        }
        self.count[taker] += 1;
        let number = self.count[taker];
        for &block in reads {
            self.blocks[block].readers[taker] = Some(number);
        }
        for &block in writes {
            self.blocks[block] = Block { writer: Some((taker, number)), readers: [None; 4] };
        }
        let other = usize::from(early % 8);
        let signal = if other < 4 && other != taker {
            self.tokens[taker][other].push_back(number);
            format!("!s{}", Self::sem(taker, other))
        } else {
            "-".into()
        };
        // Tokens come behind the operands, if there are any.
        let comma = if text.contains(' ') { "," } else { "" };
        self.line(&format!("{text}{comma} -, {signal}"));
    }
    /// Describes a plain tile in a block: (rows, bytes from row to row).
    fn plain(&mut self, tile: usize, block: usize, rows: u16, columns: u32, stride: u16, elem: &str) -> u32 {
        let bytes = columns * if elem == "f32" || elem == "u32" { 4 } else { 1 };
        let step = bytes.next_multiple_of(4) + 4 * u32::from(stride % 5) * u32::from(stride % 3);
        let rows = (u32::from(rows) % 6 + 1).min(BLOCK_BYTES / step.max(1)).max(1);
        let base = block as u32 * BLOCK_BYTES;
        self.line(&format!("tile t{tile}, r0, #{base}, #{rows}, #{columns}, #{step}, {elem}"));
        rows
    }

    fn operation(&mut self, recipe: &Recipe) {
        let [kind, a, b, c, d, e, f, early] = *recipe;
        let block = |x: u16| usize::from(x) % ON_CHIP;
        let far = |x: u16| ON_CHIP + usize::from(x) % (BLOCKS - ON_CHIP);
        let dram = |block: usize, x: u16| {
            (1u64 << 20) + (block as u64 * 97 + u64::from(x % 7)) * 65536 + u64::from(x % 61)
        };
        match kind % 21 {
            0..3 => self.load(recipe),
            20 => self.emit(Queue::Load, "refresh", &[], &[], early),
            3 => {
                let (to, row) = (block(a), u32::from(b) % 900 + 1);
                self.line(&format!("set r1, #{}", dram(BLOCKS, c)));
                let base = to as u32 * BLOCK_BYTES;
                let (rows, first) = (d % 4 + 1, e % 4);
                self.line(&format!(
                    "tile t0, r0, #{base}, #{rows}, #{row}, #{}, u8",
                    row.next_multiple_of(32)
                ));
                let text = format!("gather t0, r1, #0, #{}, #{first}, embedding", row + u32::from(f % 50));
                self.emit(Queue::Load, &text, &[], &[to], early);
            }
            4 | 5 => {
                let (from, to) = (block(a), far(b));
                let columns = u32::from(c) % 700 + 1;
                self.plain(0, from, d, columns, e, "u8");
                // Rows stay within the block of DRAM that is written.
                self.line(&format!("set r1, #{}", dram(to, 0)));
                let stride = columns + u32::from(f % 97);
                let class = ["kv", "spill", "result"][usize::from(f % 3)];
                self.emit(
                    Queue::Store,
                    &format!("store t0, r1, #{}, #{stride}, {class}", b % 33),
                    &[from],
                    &[to],
                    early,
                );
            }
            6..9 => self.lmma(recipe),
            9 => {
                let (to, lut) = (block(a), self.chip.lut);
                let (r, columns) = self.grid(b, c);
                let rows = (u32::from(d) % (r * lut.m) + 1).min(6);
                let n = (u32::from(e) % (columns * lut.n) + 1).min(200);
                let base = to as u32 * BLOCK_BYTES;
                self.line(&format!(
                    "tile t0, r0, #{base}, #{rows}, #{n}, #{}, f32",
                    4 * n + 32 * u32::from(f % 3)
                ));
                let scale = block(f);
                self.line(&format!("tile t1, r0, #{}, #{rows}, #1, #4, f32", scale as u32 * BLOCK_BYTES));
                let mode = ["store", "add"][usize::from(f % 2)];
                let text = format!("drain.{mode} t0, t1, {r}x{columns}");
                self.emit(Queue::Lut, &text, &[scale, to], &[to], early);
            }
            10 if self.depth < 2 => {
                self.fence();
                self.line(&format!("loop #{} {{", a % 3 + 1));
                self.depth += 1;
            }
            10 | 11 if self.depth > 0 => self.close(),
            11 => self.fence(),
            _ => self.vector(recipe),
        }
    }

    fn load(&mut self, recipe: &Recipe) {
        let [kind, a, b, c, d, e, f, early] = *recipe;
        let to = usize::from(a) % ON_CHIP;
        let base = to as u32 * BLOCK_BYTES;
        let class = ["norm", "rope", "kv", "spill", "embedding"][usize::from(b % 5)];
        match kind % 20 {
            0 => {
                // Some read what was stored.
                let from = ON_CHIP + usize::from(b) % (BLOCKS - ON_CHIP);
                let address = (1u64 << 20) + from as u64 * 97 * 65536 + u64::from(c % 61);
                self.line(&format!("set r1, #{address}"));
                let columns = u32::from(d) % 1500 + 1;
                self.plain(0, to, e, columns, f, "u8");
                let stride = columns + u32::from(f % 40) * u32::from(f % 4);
                let text = format!("load.plain t0, r1, #0, #{stride}, {class}");
                self.emit(Queue::Load, &text, &[from], &[to], early);
            }
            1 => {
                let kind = weight_kind(b);
                let (n, k, format) = weights(kind, c, d, e);
                self.line(&format!("tile t0, r0, #{base}, #{n}, #{k}, #0, {format}"));
                self.line(&format!("set r1, #{}", 64 * u64::from(f)));
                self.emit(Queue::Load, "load.weights t0, r1, #0, #0, weights", &[], &[to], early);
            }
            _ => {
                let kind = WeightKind::ALL[6 + usize::from(b) % 3];
                let (tokens, len) = (u32::from(c) % 60 + 1, u32::from(d) % 64 + 1);
                let stride = kind.code_bytes(len.into()) + 16 * u64::from(f % 3);
                self.line(&format!("set r1, #{}", 64 * u64::from(f)));
                let (how, n, k, group) = if e % 2 == 0 {
                    ("keys", tokens, len, Group::Row)
                } else {
                    ("values", len, tokens, Group::Of(128))
                };
                let format = WeightFormat { kind, group };
                self.line(&format!("tile t0, r0, #{base}, #{n}, #{k}, #0, {format}"));
                let text = format!("load.{how} t0, r1, #0, #{stride}, kv");
                self.emit(Queue::Load, &text, &[], &[to], early);
            }
        }
    }

    /// A gang that the chip has.
    fn grid(&self, a: u16, b: u16) -> (u32, u32) {
        let cores = self.chip.lut.cores;
        let rows = u32::from(a) % cores + 1;
        (rows, u32::from(b) % (cores / rows) + 1)
    }

    fn lmma(&mut self, recipe: &Recipe) {
        let [_, a, b, c, d, e, f, early] = *recipe;
        let (x, w, lut) = (usize::from(a) % ON_CHIP, usize::from(b) % ON_CHIP, self.chip.lut);
        let (r, columns) = self.grid(c, f);
        let kind = weight_kind(d);
        let (n, k, format) = weights(kind, e, a ^ f, d);
        let n = n.min(columns * lut.n);
        // Some without tables, some with tables that lie in the scratchpad.
        let lanes = !lut.kind.has_tables() || lut.mac_lanes > 0 && e % 3 == 0;
        let table = if lanes { 1 } else { lut.k };
        let elem = if table == STORED_TABLE && e % 5 == 0 { Elem::T8 } else { Elem::I8 };
        let stride = elem.row_bytes(k).next_multiple_of(32) as u32;
        let rows = (u32::from(c) % (r * lut.m) + 1).min(BLOCK_BYTES / stride);
        self.line(&format!("tile t0, r0, #{}, #{rows}, #{k}, #{stride}, {elem}", x as u32 * BLOCK_BYTES));
        self.line(&format!("tile t1, r0, #{}, #{n}, #{k}, #0, {format}", w as u32 * BLOCK_BYTES));
        let first = ["first", "-"][usize::from(f % 2)];
        let text =
            format!("lmma.m{}n{}k{table}.int8.{kind}.i24.f32 t0, t1, {r}x{columns}, {first}", lut.m, lut.n);
        self.emit(Queue::Lut, &text, &[x, w], &[], early);
    }

    fn vector(&mut self, recipe: &Recipe) {
        let [kind, a, b, c, d, e, f, early] = *recipe;
        let (x, y, z) = (usize::from(a) % ON_CHIP, usize::from(b) % ON_CHIP, usize::from(c) % ON_CHIP);
        let columns = u32::from(e) % 200 + 1;
        let rows = self.plain(0, x, d, columns, f, "f32");
        let base = |block: usize| block as u32 * BLOCK_BYTES;
        let mut tile = |number: usize, block: usize, rows: u32, columns: u32, elem: &str| {
            let stride = columns.next_multiple_of(8) * if elem == "f32" { 4 } else { 1 };
            let stride = if elem == "t8" { columns.div_ceil(4) * 10 } else { stride };
            let _ = writeln!(
                self.text,
                "tile t{number}, r0, #{}, #{rows}, #{columns}, #{stride}, {elem}",
                base(block)
            );
        };
        let one = if f % 2 == 0 { 1 } else { rows };
        let (text, reads, writes): (String, Vec<usize>, Vec<usize>) = match kind % 20 {
            12 => {
                tile(1, y, one, columns, "f32");
                tile(2, z, rows, columns, "f32");
                (["vadd t2, t0, t1", "vmul t2, t0, t1"][usize::from(f % 2)].into(), vec![x, y], vec![z])
            }
            13 => {
                tile(2, z, rows, columns, "f32");
                let f = ["silu", "gelu", "relu", "relu2"][usize::from(f % 4)];
                (format!("vact.{f} t2, t0"), vec![x], vec![z])
            }
            14 => {
                tile(2, z, rows, columns, "f32");
                let mask = ["full", "causal"][usize::from(f % 2)];
                if f & 2 > 0 {
                    tile(1, y, if f & 4 > 0 { 1 } else { rows }, 1, "f32");
                    let text = format!("valibi.{mask} t2, t0, t1, #{columns}, 0.125");
                    return self.emit(Queue::Vector, &text, &[x, y], &[z], early);
                }
                let text = match f % 16 {
                    0..8 => format!("vsoftmax.{mask} t2, t0, #{columns}, 0.125"),
                    8..12 => format!("vwindow.{mask} t2, t0, #{columns}, #{}, 0.125", f % 100),
                    _ => "vcap t2, t0, 0.125, 30".into(),
                };
                (text, vec![x], vec![z])
            }
            15 => {
                let (norm, of) = [("rms", 1), ("layer", 2)][usize::from(f % 2)];
                tile(1, y, of, columns, "f32");
                tile(2, z, rows, columns, "f32");
                (format!("vnorm.{norm} t2, t0, t1, 1e-5"), vec![x, y], vec![z])
            }
            16 => {
                tile(1, y, rows, 1, "f32");
                tile(2, z, rows, columns, "i8");
                ("vquant t2, t1, t0, #8".into(), vec![x], vec![y, z])
            }
            17 => {
                tile(2, z, rows, 2, "f32");
                (format!("vargmax t2, t0, #{}, first", f % 1000), vec![x], vec![z])
            }
            18 => {
                tile(1, y, rows, columns, "f32");
                tile(2, z, rows, columns, "f32");
                (format!("vglu.{} t2, t0, t1", ["silu", "relu2"][usize::from(f % 2)]), vec![x, y], vec![z])
            }
            _ if f % 3 == 0 => {
                tile(0, x, rows, columns, "i8");
                tile(2, z, rows, columns, "t8");
                ("vtable t2, t0".into(), vec![x], vec![z])
            }
            _ => {
                tile(2, z, rows, columns, "i8");
                ("vcopy t2, t0".into(), vec![x], vec![z])
            }
        };
        self.emit(Queue::Vector, &text, &reads, &writes, early);
    }
}

/// One of our own types, or one of those that come in blocks.
fn weight_kind(number: u16) -> WeightKind {
    let kinds: Vec<_> =
        WeightKind::ALL.iter().copied().filter(|kind| !kind.is_kv() && !kind.is_float()).collect();
    let number = usize::from(number);
    kinds[if number % 4 < 3 { number % 6 } else { number % kinds.len() }]
}

/// A weight tile that fits a block.
fn weights(kind: WeightKind, n: u16, k: u16, group: u16) -> (u32, u32, WeightFormat) {
    let group =
        [Group::Of(16), Group::Of(32), Group::Of(64), Group::Of(128), Group::Row][usize::from(group % 5)];
    let format = WeightFormat::new(kind, group);
    let k = match format.group {
        _ if kind.blocks().is_some() => format.unit() * (u32::from(k) % 2 + 1),
        Group::Of(g) => g * (u32::from(k) % 3 + 1),
        Group::Row => 8 * (u32::from(k) % 20 + 1),
    };
    let mut n = u32::from(n) % 200 + 1;
    while format.scratchpad_bytes(n, k) > u64::from(BLOCK_BYTES) {
        n /= 2;
    }
    (n, k, format)
}

/// A random chip, from `tiny`.
pub(crate) fn chips() -> impl Strategy<Value = Chip> {
    let lut = (
        1u32..=5,
        prop::sample::select(vec![1u32, 2, 4]),
        prop::sample::select(vec![16u32, 64]),
        2u32..=5,
        1u32..=9,
        1u32..=12,
    );
    let pad = (0u32..=5, 4u32..=7, prop::bool::weighted(0.1));
    let vector = (1u32..=40, 1u32..=8, 1u32..=14);
    let dma = (0u32..=200, 3u32..=8, 3u32..=8, 1u32..=4);
    let memory = (0usize..6, 0u32..=2, 0u32..=3, any::<bool>(), any::<u32>());
    let rest =
        (1u32..=9, prop::sample::select(vec![1024u32, 2048, 16384]), 0usize..CLOCKS.len(), 0u64..3, 0u64..3);
    // Where others are at work nothing comes twice, and `leap` is `skip`.
    let others = (prop::bool::weighted(0.1), 0u64..40, 0u32..=1000, 0u32..=1000, any::<u64>());
    let port = prop::option::weighted(0.2, 8u32..=80);
    // Two of five with the usual cores.
    let kinds = [&[Kind::Lut; 6][..], &Kind::ALL].concat();
    let kind = (prop::sample::select(kinds), 1u32..=600, prop::sample::select(vec![2u32, 5, 16]));
    let gang = (1u32..=3, 3u32..=6, 2u32..=5, prop::option::weighted(0.3, 1u32..=70), kind);
    (lut, pad, vector, dma, memory, rest, others, (port, gang)).prop_map(
        |(lut, pad, vector, dma, memory, rest, others, (port, gang))| {
            let mut chip = chip_file::load_builtin("tiny").unwrap().chip;
            (chip.lut.cores, chip.lut.m, chip.lut.n) = (lut.0, lut.1, lut.2);
            (chip.lut.k, chip.lut.drain_lanes, chip.lut.pipeline_cycles) = (lut.3, lut.4, lut.5);
            chip.lut.build = Build::Ingress { builders: gang.0 };
            (chip.lut.weight_link_bytes, chip.lut.activation_link_bytes) = (1 << gang.1, 1 << gang.2);
            let (kind, dequantisers, at_once) = gang.4;
            chip.lut.kind = kind;
            if kind.has_tables() {
                chip.lut.mac_lanes = gang.3.unwrap_or(0);
            } else {
                (chip.lut.k, chip.lut.build) = (at_once, Build::Nobody);
                chip.lut.dequantisers = if kind.traits().dequantises { dequantisers } else { 0 };
            }
            (chip.scratchpad.banks, chip.scratchpad.bank_bytes) = (1 << pad.0, 1 << pad.1);
            chip.scratchpad.conflict_free = pad.2;
            (chip.vector.lanes, chip.vector.special_lanes, chip.vector.pipeline_cycles) = vector;
            (chip.dma.port_bytes, chip.dma.unpacker_bytes) = (1 << dma.1, 1 << dma.2);
            chip.dma.transfers = dma.3;
            let standard = ["lpddr5x_9600", "lpddr5x_9600", "lpddr4x_4267", "ddr5_6400", "hbm3_6400"];
            chip.dram.kind = match standard.get(memory.0) {
                Some(name) => DramKind::Standard((*name).into()),
                None => DramKind::Ideal { latency_ns: 70, bytes_per_second: 24_000_000_000, burst_bytes: 64 },
            };
            let burst = super::every::burst(&chip).0 as u32;
            chip.dram.channels = 1 << memory.1;
            chip.dram.interleave_bytes = burst << memory.2;
            chip.dma.outstanding_bursts = dma.0 + 1;
            chip.refresh.policy = if memory.3 { RefreshPolicy::Timer } else { RefreshPolicy::Aligned };
            if let DramKind::Standard(name) = &chip.dram.kind {
                // Between a quarter of tREFI and all of it: a refresh takes less than that.
                let longest = lutsim_dram::Standard::builtin(name).unwrap().refresh_interval as u32;
                chip.refresh.interval_cycles = longest / 4 + memory.4 % (longest - longest / 4 + 1);
            }
            (chip.sequencer.queue_depth, chip.sequencer.buffer_bytes) = (rest.0, rest.1);
            chip.clock_hz = CLOCKS[rest.2];
            (chip.runtime.doorbell_ns, chip.runtime.readback_ns) = (500 * rest.3, 300 * rest.4);
            chip.dram.port_bytes_per_cycle = port;
            let (some, gigabytes_per_second, read_per_mille, local_per_mille, seed) = others;
            if some {
                let bytes_per_second = gigabytes_per_second * 999_999_937;
                chip.background = Background { bytes_per_second, read_per_mille, local_per_mille, seed };
            }
            chip
        },
    )
}

const CLOCKS: [u64; 5] = [1_000_000_000, 800_000_000, 1_200_000_000, 600_000_000, 1_500_000_000];
