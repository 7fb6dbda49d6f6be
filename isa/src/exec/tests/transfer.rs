use proptest::prelude::*;

use super::*;
use crate::Reg;
use crate::control::{Control, Fault, Step};
use crate::exec::planes;

/// q' of (n, k), read off the planes of a tile in scratchpad.
fn odd_at(state: &State, t: &TileRef, n: u32, k: u32) -> i32 {
    let Format::Weights(format) = t.format else { panic!("not a weight tile") };
    let (rows, cols) = (t.rows, t.cols);
    let planes = t.base as u64 + format.scale_bytes(rows, cols) + format.zero_bytes(rows, cols);
    let row = u64::from(cols.div_ceil(8));
    let sign = |plane: u64| {
        let byte = planes + (plane * u64::from(rows) + u64::from(n)) * row + u64::from(k / 8);
        2 * i32::from(state.scratchpad[byte as usize] >> (k % 8) & 1) - 1
    };
    format.kind.planes().iter().enumerate().map(|(i, shift)| sign(i as u64) << shift).sum()
}

fn codes(kind: WeightKind, len: usize, seed: u64) -> Vec<i32> {
    let (low, high) = (*code_range(kind).start(), *code_range(kind).end());
    let mut x = seed | 1;
    let mut next = || {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (x >> 33) as i32
    };
    (0..len).map(|_| low + next() % (high - low + 1)).collect()
}

proptest! {
    #[test]
    fn transposing_exchanges_bits(x in any::<u64>()) {
        let y = planes::transpose(x);
        for i in 0..8 {
            for j in 0..8 {
                prop_assert_eq!(x >> (8 * i + j) & 1, y >> (8 * j + i) & 1);
            }
        }
    }

    #[test]
    fn weights_become_planes(kind in 0..6usize, n in 1..20u32, k in 1..70u32, seed in any::<u64>(), row in any::<bool>()) {
        let kind = WeightKind::ALL[kind];
        let group = if row { Group::Row } else { Group::Of(16) };
        let tile = weights(kind, group, 128, n, k);
        let format = WeightFormat { kind, group };
        let codes = codes(kind, (n * k) as usize, seed);
        let head: Vec<u8> = (0..format.scale_bytes(n, k) + format.zero_bytes(n, k)).map(|i| (i * 37) as u8).collect();
        let mut record = head.clone();
        record.extend(pack_codes(kind, &codes));
        prop_assert!(record.len() as u64 <= format.record_bytes(n, k));
        let mut state = state();
        state.dram.write(4096, &record).unwrap();
        state.exec(&load(Unpack::Weights, tile, 4096, 0)).unwrap();
        prop_assert_eq!(&state.scratchpad[128..128 + head.len()], &head[..]);
        for i in 0..n {
            for j in 0..k {
                prop_assert_eq!(odd_at(&state, &tile, i, j), odd(kind, codes[(i * k + j) as usize]));
            }
        }
    }

    #[test]
    fn keys_are_rows_and_values_are_columns(
        kind in 6..9usize, tokens in 1..40u32, dims in 1..40u32, seed in any::<u64>(), gap in 0..9u64,
    ) {
        let kind = WeightKind::ALL[kind];
        let mut codes = codes(kind, (tokens * dims) as usize, seed);
        // Full scale in every token: FP16 rows then round with a scale of 1 to themselves.
        codes.chunks_mut(dims as usize).for_each(|row| row[0] = *code_range(kind).end());
        let stride = kind.code_bytes(u64::from(dims)) + gap;
        let mut state = state();
        for (t, row) in codes.chunks(dims as usize).enumerate() {
            state.dram.write(512 + t as u64 * stride, &pack_codes(kind, row)).unwrap();
        }
        let keys = weights(kind, Group::Row, 64, tokens, dims);
        let values = weights(kind, Group::Of(16), 65536, dims, tokens);
        state.scratchpad[64..64 + 2 * tokens as usize].fill(0xa5);
        state.scratchpad[65536..65536 + 2 * tokens as usize].fill(0xa5);
        state.exec(&load(Unpack::Keys, keys, 512, stride)).unwrap();
        state.exec(&load(Unpack::Values, values, 512, stride)).unwrap();
        for t in 0..tokens {
            for d in 0..dims {
                let code = codes[(t * dims + d) as usize];
                prop_assert_eq!(odd_at(&state, &keys, t, d), odd(kind, code));
                prop_assert_eq!(odd_at(&state, &values, d, t), odd(kind, code));
            }
        }
        // The unpacker writes the scales that it makes, and leaves alone those that are loaded.
        for base in [64, 65536] {
            if kind == WeightKind::KvF16 {
                prop_assert_eq!(get_f16(&state, base, tokens as usize), vec![1.0; tokens as usize]);
            } else {
                prop_assert_eq!(&state.scratchpad[base..base + 2 * tokens as usize], &vec![0xa5; 2 * tokens as usize][..]);
            }
        }
    }

    #[test]
    fn what_is_stored_loads_back(
        bytes in prop::collection::vec(any::<u8>(), 1..2000), cols in 1..50u32, gap in 0..9u32, far in 0..9u64,
        elem in 0..5usize, addr in 0..200_000u64,
    ) {
        let elem = Elem::ALL[elem];
        let rows = bytes.len() as u32 / (cols * elem.bytes() + gap);
        let mut state = state();
        state.scratchpad[100..100 + bytes.len()].copy_from_slice(&bytes);
        let stride = cols * elem.bytes() + gap;
        let from = TileRef { base: 100, rows, cols, stride, format: Format::Plain(elem) };
        let to = TileRef { base: 10_000, ..from };
        let dram_stride = u64::from(stride) + far;
        state.exec(&Op::Store { tile: from, addr, stride: dram_stride, class: ByteClass::Kv }).unwrap();
        state.exec(&load(Unpack::Plain, to, addr, dram_stride)).unwrap();
        for row in 0..rows {
            let at = (row * stride) as usize;
            let len = from.row_bytes() as usize;
            prop_assert_eq!(&state.scratchpad[10_000 + at..10_000 + at + len], &bytes[at..at + len]);
            prop_assert_eq!(&state.scratchpad[10_000 + at + len..10_000 + at + stride as usize], &vec![0; gap as usize][..]);
        }
    }
}

#[test]
fn half_rows_are_rounded_per_token() {
    let mut state = state();
    let row = [0.5, -2.0, 1.0, 0.007_874];
    state
        .dram
        .write(0, &row.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect::<Vec<_>>())
        .unwrap();
    let keys = weights(WeightKind::KvF16, Group::Row, 0, 1, 4);
    state.exec(&load(Unpack::Keys, keys, 0, 0)).unwrap();
    let scale = f16::from_f32(2.0 / 127.0).to_f32();
    assert_eq!(get_f16(&state, 0, 1), [scale]);
    let codes: Vec<_> = (0..4).map(|k| (odd_at(&state, &keys, 0, k) - 1) / 2).collect();
    assert_eq!(
        codes,
        [(0.5 / scale).round_ties_even() as i32, -127, (1.0 / scale).round_ties_even() as i32, 0]
    );
}

#[test]
fn embedding_rows_follow_the_mailbox() {
    let mut state = state();
    for id in 0..10u8 {
        state.dram.write(1000 + 64 * u64::from(id), &[id; 16]).unwrap();
    }
    state.mailbox = vec![9, 9, 7, 0, 3];
    let tile = plain(Elem::U8, 0, 3, 16);
    let gather = Op::Gather { tile, addr: 1000, stride: 64, first: 2, class: ByteClass::Embedding };
    state.exec(&gather).unwrap();
    assert_eq!(state.scratchpad[..48], [[7u8; 16], [0; 16], [3; 16]].concat());
    let beyond = Op::Gather { tile, addr: 1000, stride: 64, first: 3, class: ByteClass::Embedding };
    let say = state.exec(&beyond).unwrap_err().to_string();
    assert_eq!(say, "gather: entry 5 of the mailbox, which holds 5 token ids");
}

#[test]
fn refusals_say_why() {
    let mut state = State::new(512, 1 << 12, LutShape { cores: 1, m: 1, n: 1 });
    let mut say = |op: Op| state.exec(&op).unwrap_err().to_string();
    assert_eq!(
        say(load(Unpack::Plain, plain(Elem::F32, 256, 1, 65), 0, 0)),
        "load: the tile: bytes 0x100 to 0x204 lie beyond the scratchpad of 0x200 (512 bytes)"
    );
    assert_eq!(
        say(load(Unpack::Plain, plain(Elem::U8, 0, 2, 16), 4090, 0)),
        "address beyond DRAM: 16 bytes at 0xffa of 0x1000 (4096 bytes)"
    );
    assert_eq!(
        say(load(Unpack::Weights, weights(WeightKind::Kv8, Group::Row, 0, 1, 16), 0, 0)),
        "load.weights: kv8grow is a KV cache; load.keys and load.values unpack it"
    );
    assert_eq!(
        say(load(Unpack::Plain, TileRef { stride: 3, ..plain(Elem::U8, 0, 2, 16) }, 0, 0)),
        "load: the tile: rows of 16 bytes overlap at a stride of 3"
    );
}

#[test]
fn mail_is_what_the_doorbell_brought() {
    let run = |text: &str| {
        let program = crate::asm::assemble(text).unwrap();
        let mut control = Control::with_mailbox(&[(Reg::new(2).unwrap(), 1)], &[7, 8, 9]);
        while control.step(&program)? != Step::Halt {}
        Ok::<_, Fault>(control.regs[1])
    };
    assert_eq!(run("mail r1, r2, #1\nhalt"), Ok(9));
    let say = run("mail r1, r2, #2\nhalt").unwrap_err().to_string();
    assert!(say.ends_with("mail: entry 3 of the mailbox, which holds 3"), "{say}");
}
