//! Products of many shapes as they are defined, with the vectors of this processor and with those that every one has.

use fearless_simd::Level;

use super::*;
use crate::field::{AType, AccType, DrainMode, Entries, Grid, LmmaType, OType};

const W: u32 = 1 << 15;
const O: u32 = 3 << 18;
const S: u32 = O - 64;
const GRID: Grid = Grid { r: 2, c: 4 };

/// Random bytes: activations, scales that may be no numbers, planes.
fn random() -> State {
    let mut state = State::new(1 << 20, 1 << 16, LutShape { cores: 8, m: 8, n: 20 });
    let mut x = 1u64;
    for byte in &mut state.scratchpad {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (x >> 56) as u8;
    }
    state.scratchpad[..W as usize].iter_mut().filter(|byte| **byte == 0x80).for_each(|byte| *byte = 0);
    state.scratchpad[S as usize..][..64].as_chunks_mut().0.fill(1f32.to_le_bytes());
    state
}

fn product(mut state: State, w: TileRef, rows: u32, entries: Entries) -> Result<Vec<u32>, String> {
    let Format::Weights(WeightFormat { kind, .. }) = w.format else { panic!("weights") };
    let a = plain(Elem::I8, 0, rows, w.cols);
    let (acc, o) = (AccType::I32, OType::F32);
    let ty = LmmaType { m: 8, n: 20, k: 4, entries, halves: false, a: AType::Int8, w: kind, acc, o };
    let drained = (plain(Elem::F32, O, rows, w.rows), plain(Elem::F32, S, rows, 1));
    for op in [
        Op::Lmma { ty, a, w, grid: GRID, first: true },
        Op::Drain { mode: DrainMode::Store, o: drained.0, scale: drained.1, grid: GRID },
    ] {
        state.exec(&op).map_err(|fault| fault.to_string())?;
    }
    Ok(get_f32(&state, O as usize, (rows * w.rows) as usize).iter().map(|x| x.to_bits()).collect())
}

#[test]
fn products_are_as_defined_at_every_length() {
    let base = random();
    for kind in [
        WeightKind::Int1,
        WeightKind::Int158,
        WeightKind::Int2,
        WeightKind::Int3,
        WeightKind::Int4,
        WeightKind::Int8,
        WeightKind::Tq20,
        WeightKind::Q4K,
        WeightKind::Q6K,
    ] {
        let groups = [Group::Row, Group::Of(8), Group::Of(32), Group::Of(128), Group::Of(256)];
        for group in groups.into_iter().filter(|&group| kind.blocks().is_none() || group == Group::Row) {
            let format = Format::Weights(WeightFormat::new(kind, group));
            for (rows, n, k) in
                [(1, 16, 100), (1, 1, 8), (3, 17, 260), (2, 33, 515), (9, 64, 768), (1, 80, 1032)]
            {
                let k = if kind.blocks().is_some() { k / 256 * 256 + 256 } else { k };
                let w = TileRef { base: W, rows: n, cols: k, stride: 0, format };
                for entries in [Entries::Exact, Entries::Int8] {
                    let case = format!("{rows} x {n} x {k}, {format}, {entries}");
                    let expected = product(base.clone().by_look_ups(), w, rows, entries);
                    assert!(expected.is_ok(), "{case}: {expected:?}");
                    assert_eq!(product(base.clone(), w, rows, entries), expected, "{case}");
                    let common = State { level: Level::baseline(), ..base.clone() };
                    assert_eq!(product(common, w, rows, entries), expected, "{case} at the least level");
                }
            }
        }
    }
}

#[test]
fn sums_that_need_more_than_32_bits_are_multiplied() {
    // 2 * 255 * 128 * 32896 < 2^31 <= 2 * 255 * 128 * 32897.
    for k in [32_768, 32_896, 32_897, 40_000] {
        let mut state = random();
        state.scratchpad[..k as usize].fill(127);
        let format = Format::Weights(WeightFormat::new(WeightKind::Int8, Group::Row));
        let w = TileRef { base: 1 << 16, rows: 3, cols: k, stride: 0, format };
        let expected = product(state.clone().by_look_ups(), w, 1, Entries::Exact);
        assert!(expected.is_ok());
        assert_eq!(product(state, w, 1, Entries::Exact), expected, "{k}");
    }
}

#[test]
fn columns_that_are_not_there_overflow_nothing() {
    // Behind the only column everything is -1, which 20 bits do not hold: 3 * 127 * 1376 < 2^19 <= 3 * 127 * 1377.
    let k = 2048;
    let mut state = random();
    state.scratchpad[W as usize..S as usize].fill(0);
    state.scratchpad[..k as usize].fill(127);
    let format = Format::Weights(WeightFormat::new(WeightKind::Int2, Group::Row));
    let w = TileRef { base: W, rows: 1, cols: k, stride: 0, format };
    let planes = (w.end() - u64::from(k / 4)) as usize;
    let one = half::f16::from_f32(2.0).to_le_bytes();
    state.scratchpad[W as usize..][..2].copy_from_slice(&one);
    state.scratchpad[planes..][..k as usize / 4].fill(0b0101_1011);
    let ty = LmmaType {
        m: 8,
        n: 20,
        k: 4,
        entries: Entries::Exact,
        halves: false,
        a: AType::Int8,
        w: WeightKind::Int2,
        acc: AccType::I20,
        o: OType::F32,
    };
    let lmma = Op::Lmma { ty, a: plain(Elem::I8, 0, 1, k), w, grid: GRID, first: true };
    state.exec(&lmma).unwrap();
    let mut defined = state.clone().by_look_ups();
    defined.exec(&lmma).unwrap();
    assert_eq!(state.psum, defined.psum);
    assert_ne!(state.psum[0], 0.0);
}
