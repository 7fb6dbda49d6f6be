//! One matrix product through assembler, machine and memories: its values are those of a plain integer sum.

use lutsim::gemm::{Gemm, group};
use lutsim::{device, kernel};
use lutsim_host::pack::pack_record;
use lutsim_host::quantize::QuantisedTensor;
use lutsim_host::weights::{Stream, synthetic_tensor};
use lutsim_isa::format::{Group, WeightFormat, WeightKind};
use lutsim_sim::chip_file;
use lutsim_sim::config::{Build, Chip};

/// Activation `i` of row `m`: in +-127.
fn activation(m: u32, i: u32) -> i8 {
    ((Stream::new(1, "activations", Some(m)).at(u64::from(i)) % 255) as i16 - 127) as i8
}

fn scale(m: u32) -> f32 {
    0.5 + m as f32 / 64.0
}

/// Scale by group of an integer: the sum of q' a over the group, less z' times the sum of a. Groups are added in order.
fn reference(t: &QuantisedTensor, m: u32, n: u32) -> f32 {
    let (k, kind) = (t.k as usize, t.format.kind);
    let size = (t.format.group.size(t.k) as usize).min(k);
    let groups = k.div_ceil(size);
    let codes = &t.codes[n as usize * k..][..k];
    let mut sum = 0.0f32;
    for group in 0..groups {
        let range = group * size..((group + 1) * size).min(k);
        let (mut product, mut total) = (0i64, 0i64);
        for i in range {
            let a = i64::from(activation(m, i as u32));
            product += a * i64::from(odd(kind, codes[i]));
            total += a;
        }
        let at = n as usize * groups + group;
        let factor = t.scales[at].to_f32() * kind.scale_factor();
        let zero = kind.zero_odd(t.zeros.get(at).map_or(0, |&z| u32::from(z)));
        sum += factor * (product - i64::from(zero) * total) as f32;
    }
    sum * scale(m)
}

/// q' of a stored code.
fn odd(kind: WeightKind, code: u8) -> i32 {
    match kind {
        WeightKind::Int158 => 2 * (i32::from(code) - 1),
        // Stored as two's complement.
        WeightKind::Int8 => 2 * (i32::from(code as i8) + 128) - 255,
        _ => 2 * i32::from(code) - ((1 << kind.planes().len()) - 1),
    }
}

fn check(chip: &str, m: u32, n: u32, k: u32, kind: WeightKind, group: Group) {
    check_on(&chip_file::load_builtin(chip).unwrap().chip, m, n, k, kind, group);
}

fn check_on(chip: &Chip, m: u32, n: u32, k: u32, kind: WeightKind, group: Group) {
    let format = WeightFormat { kind, group };
    let lowered = Gemm { m, n, k, format }.lower(chip).unwrap();
    let t = synthetic_tensor(Stream::new(7, "w", None), n, k, format, 1.0);
    let mut state = device::empty_state(chip);
    for row in 0..m {
        let bytes: Vec<u8> = (0..k).map(|i| activation(row, i) as u8).collect();
        state.dram.write(lowered.activations + u64::from(row) * u64::from(k), &bytes).unwrap();
        state.dram.write(lowered.scales + 4 * u64::from(row), &scale(row).to_le_bytes()).unwrap();
    }
    let mut at = lowered.weights;
    for n0 in (0..n).step_by(lowered.n_tile as usize) {
        let record = pack_record(&t, n0, lowered.n_tile.min(n - n0), 0, k).unwrap();
        state.dram.write(at, &record).unwrap();
        at += record.len() as u64;
    }
    let run = match kernel::run("gemm", &lowered.program, lowered.address, chip, state) {
        Ok(run) => run,
        Err(e) => panic!("{m} x {n} x {k} {format}: {e:?}\n{}", lowered.text),
    };
    assert_eq!(run.counts.events.macs, u64::from(m) * u64::from(n) * u64::from(k));
    for row in 0..m {
        for column in 0..n {
            let mut bytes = [0; 4];
            let place = lowered.results + 4 * (u64::from(row) * u64::from(n) + u64::from(column));
            run.state.dram.read(place, &mut bytes).unwrap();
            let (found, expected) = (f32::from_le_bytes(bytes), reference(&t, row, column));
            assert!(
                found == expected,
                "{m} x {n} x {k} {format}, [{row}, {column}]: {found} is not {expected}"
            );
        }
    }
}

#[test]
fn a_product_is_the_integer_sum() {
    let g = Group::Of;
    check("tiny", 1, 128, 128, WeightKind::Int2, g(128));
    check("tiny", 1, 200, 1024, WeightKind::Int2, g(128));
    check("tiny", 5, 70, 256, WeightKind::Int4, g(32));
    check("tiny", 3, 64, 96, WeightKind::Int1, Group::Row);
    check("tiny", 2, 33, 160, WeightKind::Int158, Group::Row);
    check("tiny", 1, 64, 128, WeightKind::Int8, g(64));
    check("tiny", 4, 65, 384, WeightKind::Int3, g(128));
    check("snapdragon_like", 33, 1100, 256, WeightKind::Int2, g(128));
}

#[test]
fn chunks_and_tiles_do_not_change_it() {
    // 600 rows x 1000 bytes do not fit 512 KiB at once.
    check("tiny", 600, 20, 1000, WeightKind::Int2, Group::Of(128));
}

#[test]
fn a_scratchpad_beyond_what_programs_can_address_is_used_in_part() {
    let mut chip = chip_file::load_builtin("tiny").unwrap().chip;
    chip.scratchpad.bytes = 64 << 20;
    let format = WeightFormat { kind: WeightKind::Int2, group: Group::Of(128) };
    let lowered = Gemm { m: 4000, n: 4096, k: 4096, format }.lower(&chip).unwrap();
    assert!(lowered.text.contains("chunks of "), "{}", lowered.text);
}

/// The vector unit makes the tables, in the scratchpad.
#[test]
fn stored_tables() {
    let mut chip = chip_file::load_builtin("tiny").unwrap().chip;
    chip.lut.build = Build::Vector;
    for (m, n, k) in [(1, 64, 128), (5, 130, 90), (70, 200, 1000)] {
        check_on(&chip, m, n, k, WeightKind::Int2, group(k));
        check_on(&chip, m, n, k, WeightKind::Int158, Group::Row);
    }
}
