use proptest::prelude::*;

use super::*;
use crate::control::FaultKind;
use crate::field::{AType, AccType, DrainMode, Entries, Grid, LmmaType, OType};

#[derive(Clone, Debug)]
struct Case {
    kind: WeightKind,
    group: Group,
    m: u32,
    n: u32,
    k: u32,
    table: u16,
    codes: Vec<i32>,
    zeros: Vec<u32>,
    scales: Vec<f32>,
    a: Vec<i8>,
}

/// Types that do not come in blocks.
const MADE: usize = 9;

fn cases() -> impl Strategy<Value = Case> {
    let groups =
        prop_oneof![Just(Group::Row), Just(Group::Of(16)), Just(Group::Of(32)), Just(Group::Of(128))];
    (0..MADE, groups, 1..5u32, 1..40u32, 1..150u32, 1..7u16).prop_flat_map(|(kind, group, m, n, k, table)| {
        let kind = WeightKind::ALL[kind];
        let scales = (n * group.count(k)) as usize;
        let (low, high) = (*code_range(kind).start(), *code_range(kind).end());
        let code = prop_oneof![Just(low), Just(high), low..=high];
        let a = prop_oneof![Just(-127i8), Just(127), Just(0), -127..=127i8];
        (
            prop::collection::vec(code, (n * k) as usize),
            prop::collection::vec(0..1u32 << kind.zero_bits(), scales),
            prop::collection::vec(0.01f32..2.0, scales),
            prop::collection::vec(a, (m * k) as usize),
        )
            .prop_map(move |(codes, zeros, scales, a)| {
                Case { kind, group, m, n, k, table, codes, zeros, scales, a }.full_scale()
            })
    })
}

const A: u32 = 0;
const W: u32 = 0x8000;
const S: u32 = 0x2_8000;
const O: u32 = 0x3_0000;

impl Case {
    /// FP16 rows are rounded on load, and with a code of 127 in every token they round to themselves.
    fn full_scale(mut self) -> Self {
        if self.kind == WeightKind::KvF16 {
            let step = if self.group == Group::Row { self.k as usize } else { 1 };
            let tokens = if self.group == Group::Row { self.n } else { self.k };
            (0..tokens as usize).for_each(|t| self.codes[t * step] = 127);
            self.scales.fill(1.0);
        }
        self
    }
    fn ty(&self, a: AType, acc: AccType) -> LmmaType {
        LmmaType {
            m: 2,
            n: 16,
            k: self.table,
            entries: Entries::Exact,
            halves: false,
            a,
            w: self.kind,
            acc,
            o: OType::F32,
        }
    }
    /// The weights in scratchpad, by way of DRAM and the unpacker.
    fn load(&self, state: &mut State) -> TileRef {
        let (n, k) = (self.n, self.k);
        // A KV cache is grouped as its use demands: keys in a row, values not.
        let tile = weights(self.kind, self.group, W, n, k);
        if self.kind.is_kv() {
            let keys = self.group == Group::Row;
            let (tokens, dims) = if keys { (n, k) } else { (k, n) };
            let code = |t, d| self.codes[if keys { t * k + d } else { d * k + t } as usize];
            let stride = self.kind.code_bytes(u64::from(dims));
            for t in 0..tokens {
                let row: Vec<i32> = (0..dims).map(|d| code(t, d)).collect();
                state.dram.write(u64::from(t) * stride, &pack_codes(self.kind, &row)).unwrap();
            }
            let unpack = if keys { Unpack::Keys } else { Unpack::Values };
            state.exec(&load(unpack, tile, 0, stride)).unwrap();
            if keys {
                put_f16(state, W as usize, &self.scales);
            }
            return tile;
        }
        let mut record: Vec<u8> = self.scales.iter().flat_map(|&s| f16::from_f32(s).to_le_bytes()).collect();
        record.extend(pack_bits(self.zeros.iter().copied(), self.kind.zero_bits()));
        record.extend(pack_codes(self.kind, &self.codes));
        state.dram.write(64, &record).unwrap();
        state.exec(&load(Unpack::Weights, tile, 64, 0)).unwrap();
        tile
    }
    /// z' of a group.
    fn zero(&self, n: u32, group: u32) -> i32 {
        let (z, b) = (self.zeros[(group * self.n + n) as usize], self.kind.zero_bits());
        match self.kind {
            WeightKind::Int1 | WeightKind::Int158 => 0,
            WeightKind::Int2 | WeightKind::Int3 | WeightKind::Int4 => 2 * z as i32 + 1 - (1 << b),
            _ => 1,
        }
    }
    /// The plain integer product of a group: sum of (q' - z') a.
    fn product(&self, m: u32, n: u32, group: u32) -> i64 {
        let (size, z) = (self.group.size(self.k), self.zero(n, group));
        (group * size..self.k.min((group + 1) * size))
            .map(|k| {
                let q = odd(self.kind, self.codes[(n * self.k + k) as usize]);
                i64::from(q - z) * i64::from(self.a[(m * self.k + k) as usize])
            })
            .sum()
    }
    fn scale(&self, n: u32, group: u32) -> f32 {
        let stored = match (self.kind.is_kv(), self.group) {
            (true, Group::Of(_)) => 1.0,
            _ => f16::from_f32(self.scales[(group * self.n + n) as usize]).to_f32(),
        };
        stored * if self.kind == WeightKind::Int1 { 1.0 } else { 0.5 }
    }
    fn expected(&self, m: u32, n: u32, start: f32) -> f32 {
        (0..self.group.count(self.k))
            .fold(start, |sum, group| sum + self.scale(n, group) * self.product(m, n, group) as f32)
    }
}

fn drain(m: u32, n: u32, mode: DrainMode) -> Op {
    let (o, scale) = (plain(Elem::F32, O, m, n), plain(Elem::F32, S, m, 1));
    Op::Drain { mode, o, scale, grid: Grid { r: 2, c: 3 } }
}

proptest! {
    #[test]
    fn look_ups_equal_the_integer_product(case in cases()) {
        equals_the_integer_product(case.clone(), state().by_look_ups())?;
        equals_the_integer_product(case, state())?;
    }
}

fn equals_the_integer_product(case: Case, mut state: State) -> Result<(), TestCaseError> {
    let w = case.load(&mut state);
    let a = TileRef { stride: case.k + 3, ..plain(Elem::I8, A, case.m, case.k) };
    for (m, row) in case.a.chunks(case.k as usize).enumerate() {
        for (k, &x) in row.iter().enumerate() {
            state.scratchpad[m * (case.k as usize + 3) + k] = x as u8;
        }
    }
    let scales: Vec<f32> = (0..case.m).map(|m| 0.125 + m as f32).collect();
    put_f32(&mut state, S as usize, &scales);
    let ty = case.ty(AType::Int8, AccType::I32);
    let grid = Grid { r: 2, c: 3 };
    let mut lmma = |first, add| {
        state.exec(&Op::Lmma { ty, a, w, grid, first }).unwrap();
        state.exec(&drain(case.m, case.n, if add { DrainMode::Add } else { DrainMode::Store })).unwrap();
        get_f32(&state, O as usize, (case.m * case.n) as usize)
    };
    let once = lmma(true, false);
    let twice = lmma(false, false);
    let added = lmma(true, true);
    for m in 0..case.m {
        for n in 0..case.n {
            let at = (m * case.n + n) as usize;
            let one = case.expected(m, n, 0.0);
            let two = case.expected(m, n, one);
            prop_assert_eq!(once[at], one * scales[m as usize]);
            prop_assert_eq!(twice[at], two * scales[m as usize]);
            prop_assert_eq!(added[at], twice[at] + once[at]);
        }
    }
    // Whole numbers that half precision and single precision hold exactly: the same product in floating point.
    let small: Vec<f32> = case.a.iter().map(|&x| f32::from(x / 16)).collect();
    let case = Case { a: case.a.iter().map(|&x| x / 16).collect(), ..case };
    put_f16(&mut state, A as usize, &small);
    let a = plain(Elem::F16, A, case.m, case.k);
    state.exec(&Op::Lmma { ty: case.ty(AType::Fp16, AccType::F32), a, w, grid, first: true }).unwrap();
    state.exec(&drain(case.m, case.n, DrainMode::Store)).unwrap();
    let half = get_f32(&state, O as usize, (case.m * case.n) as usize);
    for m in 0..case.m {
        for n in 0..case.n {
            prop_assert_eq!(half[(m * case.n + n) as usize], case.expected(m, n, 0.0) * scales[m as usize]);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn rounded_entries(case in cases(), half in any::<bool>()) {
        let case = Case { table: case.table.max(2), ..case };
        rounds_entries(&case, half, state().by_look_ups())?;
        rounds_entries(&case, half, state())?;
    }
}

/// Entries written out one by one, rounded with a scale per row and group.
fn rounds_entries(case: &Case, half: bool, mut state: State) -> Result<(), TestCaseError> {
    let w = case.load(&mut state);
    let (activations, a) = match half {
        true => (AType::Fp16, plain(Elem::F16, A, case.m, case.k)),
        false => (AType::Int8, plain(Elem::I8, A, case.m, case.k)),
    };
    // Of FP16, numbers whose sums are exact.
    let x: Vec<f32> = case.a.iter().map(|&x| if half { f32::from(x) / 8.0 } else { f32::from(x) }).collect();
    match half {
        true => put_f16(&mut state, A as usize, &x),
        false => state.scratchpad[..x.len()].iter_mut().zip(&case.a).for_each(|(to, &x)| *to = x as u8),
    }
    put_f32(&mut state, S as usize, &vec![1.0; case.m as usize]);
    let ty = LmmaType { entries: Entries::Int8, ..case.ty(activations, AccType::I32) };
    state.exec(&Op::Lmma { ty, a, w, grid: Grid { r: 2, c: 3 }, first: true }).unwrap();
    state.exec(&drain(case.m, case.n, DrainMode::Store)).unwrap();
    let found = get_f32(&state, O as usize, (case.m * case.n) as usize);
    let (k, table, size) = (case.k as usize, usize::from(case.table), case.group.size(case.k) as usize);
    for (m, row) in x.chunks(k).enumerate() {
        for n in 0..case.n as usize {
            let mut psum = 0.0f32;
            for (g, a) in row.chunks(size).enumerate() {
                // The largest entry is the sum of a table's magnitudes.
                let sizes = a.chunks(table).map(|a| a.iter().map(|a| a.abs()).sum::<f32>());
                let scale = sizes.fold(0.0, f32::max) / 127.0;
                let q = |i: usize| odd(case.kind, case.codes[n * k + g * size + i]);
                let mut acc = 0i64;
                for (p, shift) in case.kind.planes().iter().enumerate() {
                    for (t, a) in a.chunks(table).enumerate() {
                        let sign = |i: usize| plane_sign(case.kind, q(t * table + i), p);
                        let entry: f32 = a.iter().enumerate().map(|(i, a)| sign(i) * a).sum();
                        let code = if scale == 0.0 { 0.0 } else { (entry / scale).round_ties_even() };
                        acc += (code.clamp(-127.0, 127.0) as i64) << shift;
                    }
                }
                let zero = case.zero(n as u32, g as u32) as f32;
                let term = scale * acc as f32 - zero * a.iter().sum::<f32>();
                psum += case.scale(n as u32, g as u32) * term;
            }
            prop_assert_eq!(found[m * case.n as usize + n], psum, "row {}, column {}", m, n);
        }
    }
    Ok(())
}

/// +1 or -1: the plane of q', which is the sum of 2^shift * plane.
fn plane_sign(kind: WeightKind, q: i32, plane: usize) -> f32 {
    let planes = kind.planes();
    // Ternary has two equal planes, the first of which is +1 unless q' is -2.
    let bit = match planes {
        [0, 0] => [q > -2, q == 2][plane],
        _ => ((q + kind.max_odd() as i32) / 2) >> plane & 1 == 1,
    };
    if bit { 1.0 } else { -1.0 }
}

#[test]
fn rounded_entries_need_an_accumulator_per_table() {
    // 255 * 127 * 259 < 2^23 <= 255 * 127 * 260: tables, not activations.
    let run = |k| extreme_of(WeightKind::Int8, k, AccType::I24, Entries::Int8).0;
    assert!(run(4 * 259).is_ok());
    assert_eq!(
        run(4 * 260).unwrap_err().to_string(),
        "lmma: accumulator of 24 bits overflows: 8420100 at row 0, column 0, group 0"
    );
}

#[test]
fn not_every_table_has_entries_to_round() {
    let mut state = state();
    let w = weights(WeightKind::Int2, Group::Of(16), 0x100, 20, 16);
    let ty = LmmaType {
        m: 2,
        n: 16,
        k: 4,
        entries: Entries::Int8,
        halves: false,
        a: AType::Int8,
        w: WeightKind::Int2,
        acc: AccType::I24,
        o: OType::F32,
    };
    let mut say = |ty, elem| {
        let a = plain(elem, 0, 2, 16);
        state.exec(&Op::Lmma { ty, a, w, grid: Grid { r: 1, c: 2 }, first: true }).unwrap_err().to_string()
    };
    assert_eq!(
        say(LmmaType { k: 1, ..ty }, Elem::I8),
        "lmma: a table of one activation is that activation: no entry to round"
    );
    assert_eq!(
        say(ty, Elem::T8),
        "lmma: m2n16k4t8.int8.int2.i24.f32 from tables of t8, whose entries stay as they are"
    );
    let half = LmmaType { a: AType::Fp16, acc: AccType::F32, ..ty };
    assert_eq!(say(half, Elem::F16), "lmma: fp16 rounded table entries do not accumulate in f32");
    assert_eq!(half.to_string().parse(), Ok(half));
    assert_eq!(crate::field::Field::from_bits(crate::field::Field::to_bits(half)), Some(half));
}

fn extreme(kind: WeightKind, k: u32, acc: AccType) -> (Result<(), FaultKind>, State) {
    extreme_of(kind, k, acc, Entries::Exact)
}

fn extreme_of(kind: WeightKind, k: u32, acc: AccType, entries: Entries) -> (Result<(), FaultKind>, State) {
    let case = Case {
        kind,
        group: Group::Row,
        m: 1,
        n: 1,
        k,
        table: 4,
        codes: vec![*code_range(kind).end(); k as usize],
        zeros: vec![0],
        scales: vec![1.0],
        a: vec![127; k as usize],
    };
    let mut state = state();
    let w = case.load(&mut state);
    state.scratchpad[..k as usize].fill(127);
    let a = plain(Elem::I8, A, 1, k);
    let ty = LmmaType { entries, ..case.ty(AType::Int8, acc) };
    (state.exec(&Op::Lmma { ty, a, w, grid: Grid { r: 1, c: 1 }, first: true }), state)
}

#[test]
fn accumulators_overflow_where_they_should() {
    // 255 * 127 * 259 = 8387715 < 2^23 <= 255 * 127 * 260.
    assert!(extreme(WeightKind::Int8, 259, AccType::I24).0.is_ok());
    assert_eq!(
        extreme(WeightKind::Int8, 260, AccType::I24).0.unwrap_err().to_string(),
        "lmma: accumulator of 24 bits overflows: 8420100 at row 0, column 0, group 0"
    );
    // 15 * 127 * 128 = 243840 < 2^19: four bits in groups of 128 fit 20 bits.
    assert!(extreme(WeightKind::Int4, 128, AccType::I20).0.is_ok());
    assert!(extreme(WeightKind::Int4, 276, AccType::I20).0.is_err());
}

#[test]
fn half_precision_rounds_entries_and_keeps_their_order() {
    let mut state = state();
    let case = Case {
        kind: WeightKind::Int2,
        group: Group::Row,
        m: 1,
        n: 1,
        k: 5,
        table: 4,
        codes: vec![3, 1, 2, 0, 3],
        zeros: vec![2],
        scales: vec![0.75],
        a: vec![],
    };
    let w = case.load(&mut state);
    let x = [1.0, 0.000_976_563, 3.3, -7.7, 60000.0].map(|x| f16::from_f32(x).to_f32());
    put_f16(&mut state, A as usize, &x);
    put_f32(&mut state, S as usize, &[1.0]);
    let ty = case.ty(AType::Fp16, AccType::F32);
    let a = plain(Elem::F16, A, 1, 5);
    state.exec(&Op::Lmma { ty, a, w, grid: Grid { r: 1, c: 1 }, first: true }).unwrap();
    let o = plain(Elem::F16, O, 1, 1);
    let scale = plain(Elem::F32, S, 1, 1);
    state.exec(&Op::Drain { mode: DrainMode::Store, o, scale, grid: Grid { r: 1, c: 1 } }).unwrap();
    let half = |x: f32| f16::from_f32(x).to_f32();
    // Planes of the codes 3 1 2 0 | 3: low bits 1 1 0 0 | 1, high bits 1 0 1 0 | 1.
    let low = half(((x[0] + x[1]) - x[2]) - x[3]);
    let high = half(((x[0] - x[1]) + x[2]) - x[3]);
    let acc = (((0.0 + low) + 2.0 * high) + half(x[4])) + 2.0 * half(x[4]);
    let sum = (((x[0] + x[1]) + x[2]) + x[3]) + x[4];
    let t = acc - (2.0 * 2.0 + 1.0 - 4.0) * sum;
    assert_eq!(get_f16(&state, O as usize, 1), [half(0.375 * t)]);
}

#[test]
fn the_chip_is_as_large_as_it_is() {
    let mut state = state();
    let w = weights(WeightKind::Int2, Group::Of(16), 0x100, 20, 16);
    let a = plain(Elem::I8, 0, 2, 16);
    let ty = LmmaType {
        m: 2,
        n: 16,
        k: 4,
        entries: Entries::Exact,
        halves: false,
        a: AType::Int8,
        w: WeightKind::Int2,
        acc: AccType::I24,
        o: OType::F32,
    };
    let mut say = |ty, r, c| {
        state.exec(&Op::Lmma { ty, a, w, grid: Grid { r, c }, first: true }).unwrap_err().to_string()
    };
    assert_eq!(say(ty, 1, 7), "lmma: a 1x7 gang on a chip of 6 cores");
    assert_eq!(say(ty, 1, 1), "lmma: 2 rows x 20 columns do not fit a 1x1 gang of 2 x 16 cores");
    let half = LmmaType { acc: AccType::F32, ..ty };
    assert_eq!(say(half, 1, 2), "lmma: int8 activations do not accumulate in f32");
    assert_eq!(say(LmmaType { k: 7, ..ty }, 1, 2), "lmma: tables of 7 activations; they go up to 6");
    state.scratchpad[7] = 0x80;
    let op = Op::Lmma { ty, a, w, grid: Grid { r: 1, c: 2 }, first: true };
    assert_eq!(
        state.exec(&op).unwrap_err().to_string(),
        "lmma: activation 7 of row 0 is -128; activations keep to +-127"
    );
}

/// Weights that become FP16 meet FP16 activations, without tables: anything else says so.
#[test]
fn weights_become_fp16_for_fp16_activations_alone() {
    let mut state = state();
    let w = weights(WeightKind::Int2, Group::Of(16), 0x100, 20, 16);
    let ty: LmmaType = "m2n16k1h.fp16.int2.f32.f32".parse().unwrap();
    assert_eq!((ty.to_string().as_str(), ty.halves, ty.k), ("m2n16k1h.fp16.int2.f32.f32", true, 1));
    let mut lmma = |ty, elem| {
        let a = plain(elem, 0, 2, 16);
        state.exec(&Op::Lmma { ty, a, w, grid: Grid { r: 1, c: 2 }, first: true })
    };
    assert!(lmma(ty, Elem::F16).is_ok());
    for wrong in ["m2n16k4h.fp16.int2.f32.f32", "m2n16k1h.int8.int2.i24.f32", "m2n16k4t8h.fp16.int2.i24.f32"]
    {
        let error = lmma(wrong.parse().unwrap(), Elem::F16).unwrap_err().to_string();
        let why = format!("lmma: {wrong}: weights that become FP16 meet FP16 activations, without tables");
        assert_eq!(error, why);
    }
}
