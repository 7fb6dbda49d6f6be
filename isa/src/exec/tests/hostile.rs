use proptest::prelude::*;

use super::*;
use crate::control::{Control, Dispatch, Step, VectorOp};
use crate::field::*;
use crate::order::OrderChecker;
use crate::program::Program;
use crate::table::{Inst, arbitrary_words};

const SCRATCHPAD: u32 = 1 << 12;

fn small() -> State {
    let mut state = State::new(SCRATCHPAD, 1 << 20, LutShape { cores: 4, m: 2, n: 8 });
    state.mailbox = vec![0, 1, u32::MAX, 5];
    state.scratchpad.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 29) as u8);
    state
}

fn formats() -> impl Strategy<Value = Format> {
    let group = prop_oneof![
        Just(Group::Row),
        Just(Group::Of(16)),
        Just(Group::Of(64)),
        (0..40u32).prop_map(Group::Of)
    ];
    prop_oneof![
        3 => (0..Elem::ALL.len()).prop_map(|i| Format::Plain(Elem::ALL[i])),
        2 => (0..WeightKind::ALL.len(), group)
            .prop_map(|(i, group)| Format::Weights(WeightFormat::new(WeightKind::ALL[i], group))),
    ]
}

fn tiles() -> impl Strategy<Value = TileRef> {
    let size = || prop_oneof![8 => 0..20u32, 1 => any::<u32>(), 1 => 0..1u32 << 20];
    let base = prop_oneof![8 => 0..SCRATCHPAD, 1 => any::<u32>()];
    let stride = prop_oneof![8 => 0..100u32, 1 => any::<u32>()];
    (base, size(), size(), stride, formats()).prop_map(|(base, rows, cols, stride, format)| TileRef {
        base,
        rows,
        cols,
        stride,
        format,
    })
}

fn pick<T: Copy + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|i| all[i])
}

fn types() -> impl Strategy<Value = LmmaType> {
    (
        1..4u16,
        1..10u16,
        0..9u16,
        pick(AType::ALL),
        pick(WeightKind::ALL),
        pick(AccType::ALL),
        pick(Entries::ALL),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(m, n, k, a, w, acc, entries, halves)| LmmaType {
            m,
            n,
            k: k.max(1),
            entries,
            halves,
            a,
            w,
            acc,
            o: OType::F32,
        })
}

fn ops() -> impl Strategy<Value = Op> {
    let t = tiles;
    let class = ByteClass::Kv;
    let addr = || prop_oneof![6 => 0..1u64 << 21, 1 => any::<u64>()];
    let float = any::<u32>().prop_map(f32::from_bits);
    let grid = (1..4u8, 1..4u8).prop_map(|(r, c)| Grid { r, c });
    let transfer = (pick(Unpack::ALL), t(), addr(), addr(), any::<u32>(), 0..3u8).prop_map(
        move |(unpack, tile, addr, stride, first, which)| match which {
            0 => Op::Load { unpack, tile, addr, stride, class },
            1 => Op::Gather { tile, addr, stride, first: first >> (first & 31), class },
            _ => Op::Store { tile, addr, stride, class },
        },
    );
    let lut =
        (types(), t(), t(), grid, any::<bool>(), any::<bool>()).prop_map(|(ty, a, w, grid, first, which)| {
            let mode = DrainMode::Add;
            if which { Op::Lmma { ty, a, w, grid, first } } else { Op::Drain { mode, o: a, scale: w, grid } }
        });
    let choices = (pick(Norm::ALL), pick(Rope::ALL), pick(Act::ALL), pick(Mask::ALL));
    let vector = (t(), t(), t(), t(), 0..16u8, choices, float, 0..20u32, 0..20u32, any::<u32>()).prop_map(
        |(d, x, y, s, which, (norm, pairing, f, mask), float, head, dims, n)| {
            Op::Vector(match which {
                0 => VectorOp::Norm { norm, d, x, w: y, eps: float },
                1 => VectorOp::Rope { pairing, d, x, tab: y, head, dims },
                2 => VectorOp::Softmax { mask, d, x, valid: n >> (n & 31), scale: float },
                11 => VectorOp::Alibi { mask, d, x, slope: y, valid: n >> (n & 31), scale: float },
                12 => VectorOp::Cap { d, x, scale: float, cap: float },
                13 => VectorOp::Window { mask, d, x, valid: n >> (n & 31), window: head, scale: float },
                14 => VectorOp::Route { d, x, used: head },
                15 => VectorOp::Dot { d, x, w: y },
                3 => VectorOp::Act { f, d, x },
                4 => VectorOp::Glu { f, d, x, y },
                5 => VectorOp::Add { d, x, y },
                6 => VectorOp::Mul { d, x, y },
                7 => VectorOp::Copy { d, x },
                8 => VectorOp::Quant { d, s, x, bits: dims },
                9 => VectorOp::Fold { d, s, x, f: y },
                _ => VectorOp::ArgMax { d, x, base: n, first: n % 2 == 0 },
            })
        },
    );
    prop_oneof![transfer, lut, vector]
}

/// Makes the tiles of an operation the same size, so that it gets past the first check.
fn fitting(op: Op, rows: u32, cols: u32) -> Op {
    let plain_of = |t: TileRef, cols| TileRef { base: t.base % 1024, rows, cols, stride: 96, ..t };
    let float = |t: TileRef, cols| TileRef {
        format: if t.format == Format::Plain(Elem::F16) { t.format } else { Format::Plain(Elem::F32) },
        ..plain_of(t, cols)
    };
    match op {
        Op::Load { unpack, tile, addr, stride, class } => {
            let tile = TileRef { base: tile.base % 1024, rows, cols, stride: 200, ..tile };
            Op::Load { unpack, tile, addr: addr % (1 << 19), stride: stride % 512, class }
        }
        Op::Lmma { ty, a, w, grid, first } => {
            let elem = if ty.a == AType::Int8 { Elem::I8 } else { Elem::F16 };
            let acc = if ty.is_integer() { AccType::I32 } else { AccType::F32 };
            let ty = LmmaType { m: 2, n: 8, acc, ..ty };
            let group = match w.format {
                Format::Weights(w) => w.group,
                Format::Plain(_) => Group::Row,
            };
            let a = TileRef { base: a.base % 1024, rows: 2, cols, stride: 64, format: Format::Plain(elem) };
            let format = Format::Weights(WeightFormat { kind: ty.w, group });
            Op::Lmma { ty, a, w: TileRef { base: 1024, rows: 8, cols, stride: 0, format }, grid, first }
        }
        Op::Vector(VectorOp::Quant { d, s, x, bits }) => {
            let elem = if bits.is_multiple_of(2) { Elem::I8 } else { Elem::F16 };
            let d = TileRef { format: Format::Plain(elem), ..plain_of(d, cols) };
            let bits = if elem == Elem::I8 { 8 } else { 16 };
            Op::Vector(VectorOp::Quant { d, s: float(s, 1), x: float(x, cols), bits })
        }
        Op::Vector(VectorOp::Norm { d, x, w, eps, .. }) => {
            let w = TileRef { rows: 1, ..float(w, cols) };
            Op::Vector(VectorOp::Norm { norm: Norm::Rms, d: float(d, cols), x: float(x, cols), w, eps })
        }
        Op::Vector(VectorOp::Softmax { mask, d, x, valid, scale }) => {
            Op::Vector(VectorOp::Softmax { mask, d: float(d, cols), x: float(x, cols), valid, scale })
        }
        Op::Vector(VectorOp::Window { mask, d, x, valid, window, scale }) => {
            Op::Vector(VectorOp::Window { mask, d: float(d, cols), x: float(x, cols), valid, window, scale })
        }
        Op::Vector(VectorOp::Dot { d, x, w }) => {
            let w = TileRef { rows: cols, ..float(w, cols) };
            Op::Vector(VectorOp::Dot { d: float(d, cols), x: float(x, cols), w })
        }
        Op::Vector(VectorOp::Route { d, x, used }) => {
            Op::Vector(VectorOp::Route { d: float(d, cols), x: float(x, cols), used })
        }
        Op::Vector(VectorOp::Cap { d, x, scale, cap }) => {
            Op::Vector(VectorOp::Cap { d: float(d, cols), x: float(x, cols), scale, cap })
        }
        Op::Vector(VectorOp::Alibi { mask, d, x, slope, valid, scale }) => {
            let (d, x, slope) = (float(d, cols), float(x, cols), float(slope, 1));
            Op::Vector(VectorOp::Alibi { mask, d, x, slope, valid, scale })
        }
        Op::Vector(VectorOp::Glu { f, d, x, y }) => {
            Op::Vector(VectorOp::Glu { f, d: float(d, cols), x: float(x, cols), y: float(y, cols) })
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_operation_is_executed_or_refused(ops in prop::collection::vec(ops(), 1..4)) {
        let mut state = small();
        let mut order = OrderChecker::new(&state.mailbox);
        for (i, &op) in ops.iter().enumerate() {
            let _ = state.exec(&op);
            let queue = Queue::ALL[i % 4];
            let _ = order.observe(&Dispatch { queue, wait: None, signal: Sem::new(i as u64), op, pc: i as u32 });
        }
        let _ = order.finish();
    }

    #[test]
    fn operations_that_fit_execute_on_any_bytes(op in ops(), rows in 1..8u32, cols in 1..24u32, bytes in any::<[u8; 32]>()) {
        let mut state = small();
        state.scratchpad.iter_mut().enumerate().for_each(|(i, b)| *b ^= bytes[i % 32]);
        let addr = u64::from(bytes[0]) << 8;
        state.dram.write(addr, &bytes.repeat(16)).unwrap();
        let mut again = state.clone().by_look_ups();
        let op = fitting(op, rows, cols);
        // The same bits, or the same refusal.
        prop_assert_eq!(state.exec(&op), again.exec(&op));
        prop_assert_eq!(state.scratchpad, again.scratchpad);
    }

    #[test]
    fn any_program_runs_or_faults(
        tiles in prop::collection::vec((0..2048u32, 0..20u32, 0..20u32, 0..64u32, formats()), 64),
        words in prop::collection::vec(arbitrary_words(), 1..40),
    ) {
        let mut code = Vec::new();
        for (i, (offset, rows, cols, stride, format)) in tiles.into_iter().enumerate() {
            code.push(Inst::Tile {
                td: TileId::new(i as u64).unwrap(),
                base: Reg::new(31).unwrap(),
                offset: Imm24::new(u64::from(offset)).unwrap(),
                rows: Dim::Imm(rows),
                cols: Dim::Imm(cols),
                stride: Imm24::new(u64::from(stride)).unwrap(),
                format,
            });
        }
        code.extend(words.iter().filter_map(|&word| Inst::decode(word).ok()));
        let program = Program { code };
        let mut control = Control::new(&[(Reg::new(3).unwrap(), 7)]);
        let mut state = small();
        let mut order = OrderChecker::new(&state.mailbox);
        for _ in 0..200 {
            match control.step(&program) {
                Ok(Step::Dispatch(dispatch)) => {
                    let _ = order.observe(&dispatch);
                    // A refused operation ends a real run; here the rest is tried as well.
                    let _ = state.exec(&dispatch.op);
                }
                Ok(Step::Control | Step::Fence) => {}
                Ok(Step::Halt) | Err(_) => break,
            }
        }
    }
}
