use proptest::prelude::*;

use super::*;
use crate::control::{Op, TileRef, VectorOp};
use crate::field::{DrainMode, Grid, Unpack};
use crate::format::{ByteClass, Elem, Format};

fn ranges() -> impl Strategy<Value = Range> {
    let stride = prop_oneof![Just(8u64), Just(12), 1..30u64];
    (0..60u64, 1..12u64, stride, 1..8u64)
        .prop_map(|(base, row, stride, rows)| Range::new(base, row, stride, rows).unwrap())
}

fn bytes(r: &Range) -> std::collections::BTreeSet<u64> {
    (0..r.rows).flat_map(|i| (0..r.row_bytes).map(move |b| r.base + i * r.stride + b)).collect()
}

fn tile(base: u32, rows: u32, cols: u32, stride: u32) -> TileRef {
    TileRef { base, rows, cols, stride, format: Format::Plain(Elem::U8) }
}

fn dispatch(op: Op, wait: Option<u64>, signal: Option<u64>, pc: u32) -> Dispatch {
    let queue = match op {
        Op::Load { .. } | Op::Gather { .. } | Op::Refresh => Queue::Load,
        Op::Store { .. } => Queue::Store,
        Op::Lmma { .. } | Op::Drain { .. } => Queue::Lut,
        Op::Vector(_) | Op::Sync => Queue::Vector,
    };
    let sem = |s: Option<u64>| s.and_then(Sem::new);
    Dispatch { queue, wait: sem(wait), signal: sem(signal), op, pc }
}

fn load(t: TileRef, addr: u64) -> Op {
    Op::Load { unpack: Unpack::Plain, tile: t, addr, stride: t.stride.into(), class: ByteClass::Kv }
}
fn store(t: TileRef, addr: u64) -> Op {
    Op::Store { tile: t, addr, stride: t.stride.into(), class: ByteClass::Kv }
}
fn drain(o: TileRef, scale: TileRef) -> Op {
    Op::Drain { mode: DrainMode::Add, o, scale, grid: Grid { r: 1, c: 1 } }
}
fn copy(d: TileRef, x: TileRef) -> Op {
    Op::Vector(VectorOp::Copy { d, x })
}

/// A race or a wait without a signal, found the long way: every pair, over the transitive closure.
fn oracle(program: &[Option<Dispatch>]) -> bool {
    let ops: Vec<(usize, &Dispatch)> =
        program.iter().enumerate().filter_map(|(i, d)| Some((i, d.as_ref()?))).collect();
    let fences: Vec<usize> = (0..program.len()).filter(|&i| program[i].is_none()).collect();
    let epoch = |i: usize| fences.partition_point(|&f| f < i);
    let n = ops.len();
    // Node 2i: i starts; 2i + 1: i is done.
    let mut after = vec![vec![false; 2 * n]; 2 * n];
    let mut waits_open = false;
    for (i, (at, d)) in ops.iter().enumerate() {
        after[2 * i][2 * i + 1] = true;
        for (j, (other, e)) in ops.iter().enumerate() {
            if j < i && d.queue == e.queue {
                after[2 * j][2 * i] = true;
                after[2 * j + 1][2 * i + 1] = true;
            }
            if epoch(*other) < epoch(*at) {
                after[2 * j + 1][2 * i] = true;
            }
        }
        if let Some(sem) = d.wait {
            let k = ops[..i].iter().filter(|(_, e)| e.wait == Some(sem)).count();
            match ops.iter().enumerate().filter(|(_, (_, e))| e.signal == Some(sem)).nth(k) {
                Some((j, _)) => after[2 * j + 1][2 * i] = true,
                None => waits_open = true,
            }
        }
    }
    for k in 0..2 * n {
        for i in 0..2 * n {
            if after[i][k] {
                let through = after[k].clone();
                after[i].iter_mut().zip(&through).for_each(|(a, b)| *a |= b);
            }
        }
    }
    let deadlock = (0..2 * n).any(|i| after[i][i]);
    let touch = |d: &Dispatch| accesses(&d.op, &[]);
    let race = (0..n).any(|i| {
        (i + 1..n).any(|j| {
            let (a, b) = (ops[i].1, ops[j].1);
            let meet = touch(a).iter().any(|x| {
                touch(b)
                    .iter()
                    .any(|y| x.space == y.space && (x.write || y.write) && x.range.overlaps(&y.range))
            });
            a.queue != b.queue && meet && !after[2 * i + 1][2 * j]
        })
    });
    waits_open || deadlock || race
}

/// Operations, most of which wait for one of the few before them; now and then for a later one, or for nobody.
fn programs() -> impl Strategy<Value = Vec<Option<Dispatch>>> {
    let t = || {
        (0..8u32, 1..4u32, 1..3u32, 1..4u32)
            .prop_map(|(slot, rows, cols, s)| tile(8 * slot, rows, cols, 4 * s))
    };
    let back = prop_oneof![9 => 1..4i32, 1 => -2..5];
    let step = (t(), t(), 0..4u32, back, 0..20u32).prop_map(|(x, y, kind, back, fence)| {
        let op = match kind {
            0 => load(x, (y.base * 2).into()),
            1 => store(x, (y.base * 2).into()),
            2 => drain(x, y),
            _ => copy(x, y),
        };
        (back, (fence > 0).then(|| dispatch(op, None, None, 0)))
    });
    prop::collection::vec(step, 0..16).prop_map(|steps| {
        let mut program: Vec<Option<Dispatch>> = steps.iter().map(|(_, d)| *d).collect();
        for (j, (back, _)) in steps.iter().enumerate() {
            let i = j as i32 - back;
            let Some(giver) = program.get(i as usize).copied().flatten() else { continue };
            let Some(taker) = program[j].filter(|d| d.queue != giver.queue && giver.signal.is_none()) else {
                continue;
            };
            // Each semaphore has one queue that waits for it, so that a wait has one signal to match.
            let sem = Sem::new(8 * giver.queue as u64 + taker.queue as u64);
            program[i as usize] = Some(Dispatch { signal: sem.filter(|_| *back != 4), ..giver });
            program[j] = Some(Dispatch { wait: sem, ..taker });
        }
        program
    })
}

fn check(program: &[Option<Dispatch>]) -> Result<(), OrderError> {
    let mut checker = OrderChecker::new(&[]);
    for step in program {
        match step {
            Some(dispatch) => checker.observe(dispatch)?,
            None => checker.fence()?,
        }
    }
    checker.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn overlap_is_a_shared_byte(a in ranges(), b in ranges()) {
        let (left, right) = (bytes(&a), bytes(&b));
        prop_assert_eq!(a.overlaps(&b), !left.is_disjoint(&right));
        prop_assert_eq!(b.overlaps(&a), !left.is_disjoint(&right));
        if a.covers(&b) {
            prop_assert!(right.is_subset(&left));
        }
        prop_assert_eq!(a.bytes(), left.len() as u64);
        prop_assert_eq!(Some(&(a.end() - 1)), left.last());
    }

    #[test]
    fn verdicts_equal_the_closure(program in programs()) {
        prop_assert_eq!(check(&program).is_err(), oracle(&program));
    }
}

/// Double-buffered: load fills, lut adds to a column of the output, vector and store follow.
fn pipeline(steps: u64, lose: Option<u64>) -> Result<(), OrderError> {
    let mut checker = OrderChecker::new(&[]);
    for i in 0..steps {
        let buffer = tile(4096 * (i % 2) as u32, 1, 4096, 4096);
        let column = tile(0x10_0000 + 64 * (i % 64) as u32, 32, 64, 4096);
        let scale = tile(4096 * (i % 2) as u32, 32, 4, 4);
        let out = tile(0x20_0000, 32, 64, 64);
        let keep = |s: u64| (lose != Some(i)).then_some(s);
        let free = (i >= 2).then_some(16);
        checker.observe(&dispatch(load(buffer, 1 << 20 | i << 12), free, Some(0), 0))?;
        checker.observe(&dispatch(drain(column, scale), keep(0), Some(16), 1))?;
        checker.observe(&Dispatch {
            queue: Queue::Lut,
            ..dispatch(Op::Sync, (i > 0).then_some(24), Some(17), 2)
        })?;
        checker.observe(&dispatch(copy(out, column), Some(17), Some(24), 3))?;
    }
    checker.finish()
}

#[test]
fn pipelines_are_in_order_and_a_lost_token_is_named() {
    assert_eq!(pipeline(200, None), Ok(()));
    let say = pipeline(200, Some(3)).unwrap_err().to_string();
    assert_eq!(
        say,
        "instruction 1 (lut queue, operation 13) reads 0x1000 to 0x1080 of scratchpad before it is known that \
         instruction 0 (load queue, operation 12) writes 0x1000 to 0x2000 is done: no token that the load queue gives \
         from instruction 0 on (s0 to s7) reaches the lut queue before instruction 1"
    );
}

#[test]
fn waits_without_a_signal_are_reported_at_the_end() {
    let t = tile(0, 1, 8, 8);
    let mut checker = OrderChecker::new(&[]);
    checker.observe(&dispatch(copy(t, t), Some(3), None, 7)).unwrap();
    let say = checker.clone().finish().unwrap_err().to_string();
    assert_eq!(say, "instruction 7 (vector queue, operation 0) waits for s3, and no one gives that token");
    // The signal may come later in the program.
    checker.observe(&dispatch(load(tile(64, 1, 8, 8), 0), None, Some(3), 8)).unwrap();
    checker.observe(&dispatch(load(tile(64, 1, 8, 8), 0), None, Some(3), 8)).unwrap();
    assert_eq!(checker.left_over()[3], 1);
    assert_eq!(checker.finish(), Ok(()));
}

#[test]
fn a_later_operation_must_not_be_first() {
    // The copy waits for the load, and the load comes after it in the program and overwrites what it reads.
    let t = tile(0, 1, 8, 8);
    let mut checker = OrderChecker::new(&[]);
    checker.observe(&dispatch(copy(tile(64, 1, 8, 8), t), Some(3), None, 0)).unwrap();
    assert!(matches!(checker.observe(&dispatch(load(t, 0), None, Some(3), 1)), Err(OrderError::Race { .. })));
}

#[test]
fn gathered_rows_are_those_of_the_mailbox() {
    let t = tile(0, 2, 8, 8);
    let gather = Op::Gather { tile: t, addr: 1000, stride: 16, first: 1, class: ByteClass::Embedding };
    let mut rows =
        accesses(&gather, &[9, 0, 5]).into_iter().map(|a| (a.range.base, a.range.bytes(), a.write));
    assert_eq!(rows.next(), Some((1000, 8, false)));
    assert_eq!(rows.next(), Some((1080, 8, false)));
    assert_eq!(rows.next(), Some((0, 16, true)));
}

#[test]
fn a_hundred_thousand_operations_take_a_moment() {
    assert_eq!(pipeline(25_000, None), Ok(()));
    // Reads of a thousand tiles of one matrix, none of which another one covers, and a writer beside it.
    let mut checker = OrderChecker::new(&[]);
    let beside = tile(4000, 512, 64, 8192);
    for i in 0..50_000 {
        let part = tile(4 * (i % 1000), 512, 4, 8192);
        assert_eq!(checker.observe(&dispatch(load(beside, 1 << 32), None, None, 0)), Ok(()));
        assert_eq!(checker.observe(&dispatch(copy(tile(1 << 23, 512, 4, 8), part), None, None, 1)), Ok(()));
    }
}
