//! Blocks decode as the Python package `gguf` decodes them, bit for bit, and codes and scales say the same values.

mod common;

use lutsim_formats::coded::{CodedMatrix, CodedRow};
use lutsim_formats::gguf::Gguf;
use lutsim_formats::types::{Form, Levels, TYPES, TensorType};

/// A type's blocks and values.
struct Vectors {
    kind: &'static TensorType,
    blocks: Vec<u8>,
    values: Vec<f32>,
}

fn vectors() -> Vec<Vectors> {
    let file = std::fs::read(common::data("formats/blocks.bin")).unwrap();
    let mut rest = &file[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let head: Vec<usize> =
            rest[..16].chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()) as usize).collect();
        let [id, n, bytes, weights] = head[..] else { unreachable!() };
        let kind = TYPES.iter().find(|t| t.id as usize == id).unwrap();
        assert_eq!((kind.bytes, kind.weights), (bytes, weights), "{}", kind.name);
        let (blocks, after) = rest[16..].split_at(n * bytes);
        let (values, after) = after.split_at(n * weights * 4);
        let values = values.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        all.push(Vectors { kind, blocks: blocks.to_vec(), values });
        rest = after;
    }
    all
}

#[track_caller]
fn same(kind: &TensorType, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_eq!(
            f.to_bits(),
            e.to_bits(),
            "{} block {}, weight {i}: {f:e}, not {e:e}",
            kind.name,
            i / kind.weights
        );
    }
}

#[test]
fn blocks_are_those_of_the_python_package() {
    let all = vectors();
    let names: Vec<_> = all.iter().map(|v| v.kind.name).collect();
    let missing: Vec<_> = TYPES.iter().map(|t| t.name).filter(|n| !names.contains(n)).collect();
    assert_eq!(missing, ["F32", "I2_S"], "types without vectors");
    for Vectors { kind, blocks, values } in all {
        let mut out = vec![0.0; values.len()];
        kind.dequantize(&blocks, 0.0, &mut out);
        same(kind, &out, &values);
    }
}

#[test]
fn rows_of_a_file_are_the_blocks() {
    for Vectors { kind, blocks, values } in vectors() {
        // The fourth code of TQ2_0 has a value in the package and is refused in a file.
        let legal = |b: &[u8]| kind.name != "TQ2_0" || b[..64].iter().all(|b| b & (b >> 1) & 0x55 == 0);
        let n = kind.weights;
        let (mut data, mut expected) = (Vec::new(), Vec::new());
        for (block, values) in blocks.chunks(kind.bytes).zip(values.chunks(n)) {
            if legal(block) {
                data.extend_from_slice(block);
                expected.extend_from_slice(values);
            } else {
                // As ternary as can be: 3 becomes 1.
                let codes = block[..64].iter().map(|b| b ^ ((b & b >> 1 & 0x55) << 1));
                let fixed: Vec<u8> = codes.chain(block[64..].iter().copied()).collect();
                let mut values = vec![0.0; n];
                kind.dequantize(&fixed, 0.0, &mut values);
                data.extend_from_slice(&fixed);
                expected.extend_from_slice(&values);
            }
        }
        let rows = data.len() / kind.bytes / 2;
        data.truncate(rows * 2 * kind.bytes);
        let dims = [2 * n as u64, rows as u64];
        let file = common::Writer::default().tensor("w", &dims, kind.id, &data).bytes();
        let tensor = Gguf::parse(&file).unwrap().tensor("w").unwrap();
        same(kind, &tensor.values().unwrap(), &expected[..rows * 2 * n]);

        // The codes alone say the same, by the formula alone.
        let Some(coded) = tensor.coded() else { continue };
        let coding = coded.coding();
        let group = coding.group_in(coded.cols());
        let mut row = CodedRow::default();
        for (r, expected) in expected.chunks(2 * n).take(rows).enumerate() {
            coded.row(r, &mut row).unwrap();
            assert_eq!((row.codes.len(), row.scales.len()), (2 * n, 2 * n / group));
            assert_eq!(row.offsets.len(), if coding.offset { 2 * n / group } else { 0 });
            for (i, e) in expected.iter().enumerate() {
                let level = match coding.levels {
                    Levels::Minus(zero) => f32::from(row.codes[i]) - f32::from(zero),
                    Levels::Table(table) => f32::from(table[row.codes[i] as usize]),
                    Levels::MinusOfGroup => unreachable!(),
                };
                let product = f64::from(row.scales[i / group]) * f64::from(level);
                assert_eq!(f64::from(product as f32), product, "{}: the product is exact", kind.name);
                let w = if coding.offset { product as f32 + row.offsets[i / group] } else { product as f32 };
                assert_eq!(w.to_bits(), e.to_bits(), "{} row {r}, weight {i}", kind.name);
            }
        }
    }
}

#[test]
fn the_table_of_types() {
    for (kind, bits) in TYPES.iter().zip([
        32.0, 16.0, 4.5, 5.0, 5.5, 6.0, 8.5, 2.625, 3.4375, 4.5, 5.5, 6.5625, 4.5, 16.0, 1.6875, 2.0625, 2.0,
        4.25,
    ]) {
        assert_eq!(kind.stored_bits(), bits, "{}", kind.name);
        let Form::Coded(coding, _) = kind.form else { continue };
        let group = coding.group_in(kind.weights);
        assert!(
            kind.weights <= 256 && kind.weights % group == 0 && kind.weights / group <= 16,
            "{}",
            kind.name
        );
    }
}

/// The layout by hand: byte p of a block holds weights p, p+32, p+64, p+96, the first in the highest bits
/// (microsoft/BitNet, src/ggml-bitnet-mad.cpp); behind all blocks the scale, and 28 bytes that mean nothing.
#[test]
fn i2_s() {
    let weight = |i: usize| (i * 7 + i / 32) % 3;
    let mut data = vec![0u8; 2 * 2 * 32];
    for i in 0..512 {
        data[i / 128 * 32 + i % 32] |= (weight(i) as u8) << (6 - 2 * (i % 128 / 32));
    }
    assert_eq!(data[0] >> 6, weight(0) as u8);
    assert_eq!(data[1] & 3, weight(97) as u8);
    let blocks = data.len();
    data.extend(0.625f32.to_le_bytes());
    data.extend([0xff; 28]);
    let write = |data: &[u8]| common::Writer::default().tensor("w", &[256, 2], 36, data).bytes();
    let file = write(&data);
    let tensor = Gguf::parse(&file).unwrap().tensor("w").unwrap();
    let expected: Vec<f32> = (0..512).map(|i| 0.625 * (weight(i) as f32 - 1.0)).collect();
    same(tensor.kind(), &tensor.values().unwrap(), &expected);

    let refused = |data: &[u8]| {
        let file = write(data);
        Gguf::parse(&file).unwrap().tensor("w").unwrap().values().unwrap_err().to_string()
    };
    let mut fourth = data.clone();
    fourth[64 + 5] |= 3 << 4;
    assert_eq!(refused(&fourth), "tensor `w`: row 1, column 37 has code 3, expected codes 0 to 2");
    data[blocks..blocks + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(refused(&data), "tensor `w`: row 0, group 0 has the scale NaN, expected a finite scale");
}

/// The file's types and the machine's say the same of a block.
#[test]
fn the_unpacker_knows_the_same_types() {
    use lutsim_formats::types::{Levels, TYPES};
    for (row, coding) in TYPES.iter().filter_map(|row| Some((row, row.coding()?))) {
        let kind: lutsim_isa::WeightKind = row.name.to_lowercase().parse().unwrap();
        let blocks = kind.blocks().unwrap();
        let size = (blocks.weights as usize, blocks.bytes as usize, blocks.head > 0);
        assert_eq!(size, (row.weights, row.bytes, row.tail > 0), "{}", row.name);
        let shared = (blocks.group as usize, blocks.offset);
        assert_eq!(shared, (coding.group_in(row.weights), coding.offset), "{}", row.name);
        match (coding.levels, blocks.levels) {
            (Levels::Minus(zero), None) => assert_eq!(u32::from(zero), blocks.zero, "{}", row.name),
            (Levels::Table(ours), Some(theirs)) => assert_eq!(ours, theirs, "{}", row.name),
            other => panic!("{}: {other:?}", row.name),
        }
        // A ternary code has two planes, the others as many as their levels need.
        let planes = kind.planes().len() as u32;
        assert!(
            planes >= coding.bits() && (planes == coding.bits() || blocks.levels.is_some()),
            "{}",
            row.name
        );
    }
}
