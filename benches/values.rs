//! The values of instructions, in weights per second of one core: `lmma` with its tables built, and the unpacker.
//!
//! `cargo bench --bench values`. The gate: 8 G weight-MAC/s at 2 bits.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::field::{AType, AccType, Entries, LmmaType, OType, Unpack};
use lutsim_isa::{ByteClass, Elem, Format, Grid, Group, Op, TileRef, WeightFormat, WeightKind};

/// Columns of a tile and weights of each: a record of a large model on sixteen cores.
const N: u32 = 1024;
const K: u32 = 4096;
const GRID: Grid = Grid { r: 1, c: 16 };

const WEIGHTS: u32 = 1 << 20;

fn state() -> State {
    let mut state = State::new(8 << 20, 16 << 20, LutShape { cores: 16, m: 2, n: 64 });
    let mut x = 1u64;
    state.scratchpad.iter_mut().for_each(|b| {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *b = (x >> 56) as u8;
    });
    // Activations keep to +-127, and random scales may be no numbers.
    state.scratchpad[..2 * K as usize].iter_mut().filter(|b| **b == 0x80).for_each(|b| *b = 0);
    state
}

fn weights(kind: WeightKind, group: Group) -> TileRef {
    let format = Format::Weights(WeightFormat::new(kind, group));
    TileRef { base: WEIGHTS, rows: N, cols: K, stride: 0, format }
}

fn products(c: &mut Criterion) {
    let mut bench = c.benchmark_group("lmma");
    bench.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    let g128 = Group::Of(128);
    for (kind, group, rows, entries) in [
        (WeightKind::Int1, g128, 1, Entries::Exact),
        (WeightKind::Int2, g128, 1, Entries::Exact),
        (WeightKind::Int2, g128, 1, Entries::Int8),
        (WeightKind::Int2, g128, 2, Entries::Exact),
        (WeightKind::Int2, Group::Of(32), 1, Entries::Exact),
        (WeightKind::Int158, Group::Row, 1, Entries::Exact),
        (WeightKind::Tq20, Group::Row, 1, Entries::Exact),
        (WeightKind::Int4, g128, 1, Entries::Exact),
        (WeightKind::Q4K, Group::Row, 1, Entries::Exact),
        (WeightKind::Int8, g128, 1, Entries::Exact),
        (WeightKind::Int8, g128, 2, Entries::Exact),
    ] {
        let (mut state, w) = (state(), weights(kind, group));
        let a = TileRef { base: 0, rows, cols: K, stride: K, format: Format::Plain(Elem::I8) };
        let (acc, o) = (AccType::I32, OType::F32);
        let ty = LmmaType { m: 2, n: 64, k: 4, entries, halves: false, a: AType::Int8, w: kind, acc, o };
        let op = Op::Lmma { ty, a, w, grid: GRID, first: true };
        let name = format!("{} of {} {}", rows, w.format, entries);
        bench.throughput(Throughput::Elements(u64::from(rows * N) * u64::from(K)));
        bench.bench_function(name, |b| b.iter(|| state.exec(&op).unwrap()));
    }
    bench.finish();
}

fn unpacker(c: &mut Criterion) {
    let mut bench = c.benchmark_group("unpack");
    bench.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for kind in [WeightKind::Int2, WeightKind::Int158, WeightKind::Tq20, WeightKind::Q4K, WeightKind::Int8] {
        let mut state = state();
        let tile = weights(kind, Group::Of(128));
        let (unpack, class) = (Unpack::Weights, ByteClass::Weights);
        let op = Op::Load { unpack, tile, addr: 0, stride: 0, class };
        bench.throughput(Throughput::Elements(u64::from(N) * u64::from(K)));
        bench.bench_function(kind.name(), |b| b.iter(|| state.exec(&op).unwrap()));
    }
    bench.finish();
}

criterion_group!(benches, products, unpacker);
criterion_main!(benches);
