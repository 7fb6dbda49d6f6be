//! Single products and attention: what the instructions compute is what the plain reference says, bit for bit.

use lutsim_host::blocks::{Matrix, synthetic_blocks};
use lutsim_host::quantize::KINDS;
use lutsim_host::reference::{Machine, attention, product};
use lutsim_host::weights::{Stream, synthetic_tensor};
use lutsim_isa::control::VectorOp;
use lutsim_isa::exec::{LutShape, State};
use lutsim_isa::field::{AType, AccType, DrainMode, Entries, Mask, OType, Unpack};
use lutsim_isa::{ByteClass, Elem, Format, Grid, Group, LmmaType, Op, TileRef, WeightFormat, WeightKind};
use proptest::prelude::*;

const SHAPE: LutShape = LutShape { cores: 6, m: 2, n: 16 };
const GRID: Grid = Grid { r: 2, c: 3 };

fn plain(elem: Elem, base: u32, rows: u32, cols: u32) -> TileRef {
    TileRef { base, rows, cols, stride: (cols * elem.bytes()).max(16), format: Format::Plain(elem) }
}

/// Half precision adds up in floats, unless entries are rounded to integers.
fn acc_of_half(entries: Entries, integer: AccType) -> AccType {
    if entries == Entries::Int8 { integer } else { AccType::F32 }
}

/// Rows of `x` times the tensor, `k_block` weights at a time, by instructions.
fn by_instructions(t: &Matrix, k_block: u32, machine: &Machine, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let Machine { activations, entries, dequantises: halves, .. } = *machine;
    let table = if halves { 1 } else { 4 };
    let mut state = State::new(1 << 20, 1 << 30, SHAPE);
    let rows = x.len() as u32;
    let ((n, k), format) = (t.shape(), t.format());
    let (elem, bits, acc) = match activations {
        AType::Int8 => (Elem::I8, 8, AccType::I32),
        AType::Fp16 => (Elem::F16, 16, acc_of_half(entries, AccType::I32)),
    };
    let (input, scale) = (plain(Elem::F32, 0, rows, k), plain(Elem::F32, 0x8000, rows, 1));
    let (codes, output) = (plain(elem, 0x10000, rows, k), plain(Elem::F32, 0x20000, rows, n));
    put(&mut state, &input, x);
    state.exec(&Op::Vector(VectorOp::Quant { d: codes, s: scale, x: input, bits })).unwrap();
    let (a, w, o) = (activations, format.kind, OType::F32);
    let ty = LmmaType { m: 2, n: 16, k: table, entries, halves, a, w, acc, o };
    for k0 in (0..k).step_by(k_block as usize) {
        let k = k_block.min(k - k0);
        let mut record = Vec::new();
        t.pack_into(&mut record, (0, n), (k0, k)).unwrap();
        assert_eq!(record.len() as u64, format.record_bytes(n, k));
        state.dram.write(0x1000, &record).unwrap();
        let w = TileRef { base: 0x40000, rows: n, cols: k, stride: 0, format: Format::Weights(format) };
        let a = TileRef { base: codes.base + k0 * elem.bytes(), cols: k, ..codes };
        let load =
            Op::Load { unpack: Unpack::Weights, tile: w, addr: 0x1000, stride: 0, class: ByteClass::Weights };
        state.exec(&load).unwrap();
        state.exec(&Op::Lmma { ty, a, w, grid: GRID, first: k0 == 0 }).unwrap();
    }
    state.exec(&Op::Drain { mode: DrainMode::Store, o: output, scale, grid: GRID }).unwrap();
    (0..rows).map(|r| get(&state, &output, r)).collect()
}

fn get(state: &State, t: &TileRef, r: u32) -> Vec<f32> {
    let bytes = &state.scratchpad[(t.base + r * t.stride) as usize..][..t.cols as usize * 4];
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn put(state: &mut State, t: &TileRef, rows: &[Vec<f32>]) {
    for (r, row) in rows.iter().enumerate() {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        state.scratchpad[t.base as usize + r * t.stride as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
}

/// Keys or values as `vquant` leaves them: codes to DRAM at `addr`, scales at `addr + 0x40000`.
fn keep(state: &mut State, kind: WeightKind, rows: &[Vec<f32>], addr: u64) -> u64 {
    let (n, dim) = (rows.len() as u32, rows[0].len() as u32);
    let x = plain(Elem::F32, 0x40000, n, dim);
    put(state, &x, rows);
    let (elem, cols, bits) = match kind {
        WeightKind::Kv4 => (Elem::U8, dim.div_ceil(2), 4),
        WeightKind::KvF16 => (Elem::F16, dim, 16),
        _ => (Elem::I8, dim, 8),
    };
    let codes = TileRef { stride: cols * elem.bytes(), ..plain(elem, 0x80000, n, cols) };
    let scales = TileRef { stride: 2, ..plain(Elem::F16, 0xc0000, n, 1) };
    let quant = VectorOp::Quant { d: codes, s: scales, x, bits };
    let copy = VectorOp::Copy { d: codes, x };
    state.exec(&Op::Vector(if bits == 16 { copy } else { quant })).unwrap();
    let class = ByteClass::Kv;
    state.exec(&Op::Store { tile: codes, addr, stride: codes.stride.into(), class }).unwrap();
    state.exec(&Op::Store { tile: scales, addr: addr + 0x40000, stride: 2, class }).unwrap();
    codes.stride.into()
}

fn attention_by_instructions(
    kind: WeightKind,
    machine: &Machine,
    query: &[f32],
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
) -> Vec<f32> {
    let Machine { activations, entries, dequantises: halves, .. } = *machine;
    let table = if halves { 1 } else { 4 };
    let (tokens, dim) = (keys.len() as u32, query.len() as u32);
    let mut state = State::new(1 << 20, 1 << 30, LutShape { cores: 6, m: 2, n: 64 });
    let stride = keep(&mut state, kind, keys, 0);
    keep(&mut state, kind, values, 0x80000);
    let (elem, bits, acc) = match activations {
        AType::Int8 => (Elem::I8, 8, AccType::I24),
        AType::Fp16 => (Elem::F16, 16, acc_of_half(entries, AccType::I24)),
    };
    let ty = LmmaType { m: 2, n: 64, k: table, entries, halves, a: activations, w: kind, acc, o: OType::F32 };
    let (x, a) = (plain(Elem::F32, 0, 1, dim), plain(elem, 0x1000, 1, dim));
    let (s, score) = (plain(Elem::F32, 0x2000, 1, 1), plain(Elem::F32, 0x3000, 1, tokens));
    let out = plain(Elem::F32, 0x8000, 1, dim);
    put(&mut state, &x, &[query.to_vec()]);
    state.exec(&Op::Vector(VectorOp::Quant { d: a, s, x, bits })).unwrap();
    let tile = |rows, cols, group| {
        let format = Format::Weights(WeightFormat { kind, group });
        TileRef { base: 0x40000, rows, cols, stride: 0, format }
    };
    let (class, grid) = (ByteClass::Kv, Grid { r: 1, c: 6 });
    let scales = |state: &mut State, n: u32, addr: u64| {
        let tile = TileRef { base: 0x40000, rows: 1, cols: n, stride: 0, format: Format::Plain(Elem::F16) };
        if kind != WeightKind::KvF16 {
            state.exec(&Op::Load { unpack: Unpack::Plain, tile, addr, stride: 0, class }).unwrap();
        }
        tile
    };
    for t0 in (0..tokens).step_by(128) {
        let n = 128.min(tokens - t0);
        let w = tile(n, dim, Group::Row);
        let addr = u64::from(t0) * stride;
        state.exec(&Op::Load { unpack: Unpack::Keys, tile: w, addr, stride, class }).unwrap();
        scales(&mut state, n, 0x40000 + 2 * u64::from(t0));
        state.exec(&Op::Lmma { ty, a, w, grid, first: true }).unwrap();
        let o = TileRef { base: score.base + 4 * t0, cols: n, ..score };
        state.exec(&Op::Drain { mode: DrainMode::Store, o, scale: s, grid }).unwrap();
    }
    let scale = 1.0 / (dim as f32).sqrt();
    let softmax = VectorOp::Softmax { mask: Mask::Full, d: score, x: score, valid: tokens, scale };
    state.exec(&Op::Vector(softmax)).unwrap();
    for t0 in (0..tokens).step_by(128) {
        let n = 128.min(tokens - t0);
        let w = tile(dim, n, Group::Of(128));
        let addr = 0x80000 + u64::from(t0) * stride;
        state.exec(&Op::Load { unpack: Unpack::Values, tile: w, addr, stride, class }).unwrap();
        let f = scales(&mut state, n, 0xc0000 + 2 * u64::from(t0));
        let (p, x) = (TileRef { cols: n, ..a }, TileRef { base: score.base + 4 * t0, cols: n, ..score });
        state.exec(&Op::Vector(VectorOp::Fold { d: p, s, x, f })).unwrap();
        state.exec(&Op::Lmma { ty, a: p, w, grid, first: true }).unwrap();
        let mode = if t0 == 0 { DrainMode::Store } else { DrainMode::Add };
        state.exec(&Op::Drain { mode, o: out, scale: s, grid }).unwrap();
    }
    get(&state, &out, 0)
}

/// What cores there are: tables for both activations, entries exact or rounded, or a dequantiser.
fn machines() -> impl Strategy<Value = Machine> {
    let with = |activations, entries, dequantises| Machine {
        activations,
        entries,
        dequantises,
        ..Machine::default()
    };
    prop::sample::select(vec![
        with(AType::Int8, Entries::Exact, false),
        with(AType::Int8, Entries::Int8, false),
        with(AType::Fp16, Entries::Exact, false),
        with(AType::Fp16, Entries::Int8, false),
        with(AType::Fp16, Entries::Exact, true),
    ])
}

fn group() -> impl Strategy<Value = Group> {
    prop_oneof![Just(Group::Row), (4u32..=8).prop_map(|p| Group::Of(1 << p))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn instructions_equal_the_reference(
        kind in prop::sample::select(&KINDS[..]), group in group(), machine in machines(),
        n in 1u32..=48, k in 1u32..400, m in 1u32..=4, blocks in 1u32..4, seed in any::<u64>(), size in -20i32..20,
    ) {
        let half = machine.activations == AType::Fp16;
        let t = synthetic_tensor(Stream::new(seed, "w", None), n, k, WeightFormat { kind, group }, 1.0);
        let t = Matrix::Codes(t);
        let size = if half { 1.0 } else { (size as f32).exp2() };
        let row = |r: u32| (0..k).map(|i| size * Stream::new(seed, "x", Some(r)).normal(u64::from(i))).collect();
        let x: Vec<Vec<f32>> = (0..m).map(row).collect();
        let k_block = k.div_ceil(blocks).next_multiple_of(group.size(16));
        let expected: Vec<Vec<f32>> = x.iter().map(|x| product(&t, k_block, &machine, x)).collect();
        let found = by_instructions(&t, k_block, &machine, &x);
        let bits = |rows: &[Vec<f32>]| rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&expected));
    }
}

/// Types that come in the blocks of a file.
fn block_kinds() -> Vec<WeightKind> {
    WeightKind::ALL.iter().copied().filter(|kind| kind.blocks().is_some()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn blocks_equal_the_reference(
        kind in prop::sample::select(block_kinds()), machine in machines(), n in 1u32..=48, units in 1u32..6, m in 1u32..=4,
        blocks in 1u32..3, seed in any::<u64>(),
    ) {
        let weights = kind.blocks().unwrap().weights;
        let k = units * weights;
        let t = Matrix::Blocks(synthetic_blocks(Stream::new(seed, "w", None), n, k, kind, 1.0));
        let row = |r: u32| (0..k).map(|i| Stream::new(seed, "x", Some(r)).normal(u64::from(i))).collect();
        let x: Vec<Vec<f32>> = (0..m).map(row).collect();
        let k_block = k.div_ceil(blocks).next_multiple_of(weights);
        let expected: Vec<Vec<f32>> = x.iter().map(|x| product(&t, k_block, &machine, x)).collect();
        let found = by_instructions(&t, k_block, &machine, &x);
        let bits = |rows: &[Vec<f32>]| rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&expected));
        // The values themselves, by plain arithmetic: activations are rounded to half a hundredth of their largest.
        let values = t.dequantise();
        for (x, found) in x.iter().zip(&found) {
            for (w, &found) in values.chunks(k as usize).zip(found) {
                let exact: f64 = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                let size: f64 = w.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
                prop_assert!((exact - f64::from(found)).abs() < 0.08 * size, "{kind}: {exact} {found} {size}");
            }
        }
    }
}

/// Made-up blocks have about the size that is asked for.
#[test]
fn made_up_blocks_have_a_size() {
    for kind in block_kinds() {
        let (n, k) = (32, 1024);
        let t = Matrix::Blocks(synthetic_blocks(Stream::new(5, "w", None), n, k, kind, 1.0));
        let power = t.dequantise().iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / f64::from(n);
        assert!((0.4..2.5).contains(&power), "{kind}: {power}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn attention_equals_the_reference(
        kind in prop::sample::select(&[WeightKind::Kv8, WeightKind::Kv4, WeightKind::KvF16][..]),
        machine in machines(), tokens in 1u32..300, dim in 2u32..33, seed in any::<u64>(),
    ) {
        let dim = 4 * dim;
        let row = |name: &str, r: u32| -> Vec<f32> {
            (0..dim).map(|i| Stream::new(seed, name, Some(r)).normal(u64::from(i))).collect()
        };
        let rows = |name: &str| (0..tokens).map(|r| row(name, r)).collect::<Vec<_>>();
        let (query, keys, values) = (row("q", 0), rows("k"), rows("v"));
        let machine = Machine { kv: kind, ..machine };
        let expected = attention(&query, &keys, &values, &machine);
        let found = attention_by_instructions(kind, &machine, &query, &keys, &values);
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&expected));
    }
}

/// Rows that are all zero, all alike, or hold what is no number.
#[test]
fn odd_rows() {
    for kind in KINDS {
        let format = WeightFormat { kind, group: Group::Of(16) };
        let t = Matrix::Codes(synthetic_tensor(Stream::new(3, "w", None), 5, 40, format, 1.0));
        let mut rows = vec![vec![0.0; 40], vec![-2.5; 40], vec![1e-42; 40], vec![1.0; 40]];
        rows[3][7] = f32::INFINITY;
        for &entries in Entries::ALL {
            let machine = Machine { entries, ..Machine::default() };
            let expected: Vec<Vec<f32>> = rows.iter().map(|x| product(&t, 40, &machine, x)).collect();
            let found = by_instructions(&t, 40, &machine, &rows);
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{kind}");
            assert!(kind != WeightKind::Int8 || found[0] == [0.0; 5]);
        }
    }
}

/// T-MAC's own gate: tables of Gaussian activations rounded to 8 bits, in groups of 32 to 128 and of a whole row, lose at most 5e-4 of the
/// power of the product with the same weights (its `qgemm.py` asks the same of each kernel).
#[test]
fn int8_tables_lose_little() {
    let shapes = [(32, 128), (48, 1024), (16, 4096), (24, 8640)];
    for (kind, group) in
        KINDS.iter().flat_map(|&kind| [Group::Of(32), Group::Of(128), Group::Row].map(|g| (kind, g)))
    {
        for (n, k) in shapes {
            let t = Matrix::Codes(synthetic_tensor(
                Stream::new(9, "w", None),
                n,
                k,
                WeightFormat { kind, group },
                1.0,
            ));
            let x: Vec<f32> = (0..k).map(|i| Stream::new(k.into(), "x", None).normal(u64::from(i))).collect();
            let weights = t.dequantise();
            let exact = |w: &[f32]| w.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
            let float: Vec<f64> = weights.chunks(k as usize).map(exact).collect();
            for activations in [AType::Int8, AType::Fp16] {
                let machine = Machine { activations, entries: Entries::Int8, ..Machine::default() };
                let found = product(&t, k, &machine, &x);
                let error: f64 = found.iter().zip(&float).map(|(f, e)| (f64::from(*f) - e).powi(2)).sum();
                let nmse = error / float.iter().map(|e| e * e).sum::<f64>();
                assert!((1e-7..5e-4).contains(&nmse), "{kind} {group}, {n} x {k}, {activations}: {nmse:.2e}");
            }
        }
    }
}
