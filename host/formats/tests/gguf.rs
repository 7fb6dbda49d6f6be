//! GGUF: what is in a file comes out, the trained models load, and what is wrong is said.

mod common;

use common::{Writer, string};
use lutsim_formats::error::FormatError;
use lutsim_formats::gguf::{Gguf, Value, ValueType};
use lutsim_formats::map::Mapped;

#[test]
fn every_kind_of_value() {
    let nested = [
        [&4u32.to_le_bytes()[..], &2u64.to_le_bytes(), &7u32.to_le_bytes(), &8u32.to_le_bytes()].concat(),
        [&8u32.to_le_bytes()[..], &1u64.to_le_bytes(), &string("x")].concat(),
    ];
    let file = Writer::default()
        .raw("u8", 0, &[200])
        .raw("i8", 1, &[200])
        .raw("u16", 2, &60000u16.to_le_bytes())
        .raw("i16", 3, &(-2i16).to_le_bytes())
        .u32("u32", 4_000_000_000)
        .raw("i32", 5, &(-3i32).to_le_bytes())
        .f32("f32", 1.5)
        .raw("bool", 7, &[1])
        .str("string", "gr\u{fc}n")
        .array("nested", 9, &nested)
        .raw("u64", 10, &(1u64 << 40).to_le_bytes())
        .raw("i64", 11, &(-4i64).to_le_bytes())
        .raw("f64", 12, &0.1f64.to_le_bytes())
        .bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let get = |key: &str| gguf.get(key).unwrap();
    assert_eq!(get("u8"), Value::U8(200));
    assert_eq!(get("i8"), Value::I8(-56));
    assert_eq!(get("u16"), Value::U16(60000));
    assert_eq!(get("i16"), Value::I16(-2));
    assert_eq!(get("u32"), Value::U32(4_000_000_000));
    assert_eq!(get("i32"), Value::I32(-3));
    assert_eq!(get("f32"), Value::F32(1.5));
    assert_eq!(get("bool"), Value::Bool(true));
    assert_eq!(get("string"), Value::Str("gr\u{fc}n"));
    assert_eq!(get("u64"), Value::U64(1 << 40));
    assert_eq!(get("i64"), Value::I64(-4));
    assert_eq!(get("f64"), Value::F64(0.1));
    assert_eq!(gguf.get("absent"), None);
    let nested: Vec<Vec<_>> =
        get("nested").as_array().unwrap().iter().map(|a| a.as_array().unwrap().iter().collect()).collect();
    assert_eq!(nested, [vec![Value::U32(7), Value::U32(8)], vec![Value::Str("x")]]);
    assert_eq!(gguf.keys().count(), 13);
    for (key, value) in gguf.keys() {
        assert!(key == "nested" && value.kind() == ValueType::Array || key == value.kind().name(), "{key}");
    }
}

/// The two ternary files hold the same numbers, and the llama files are roundings of each other.
#[test]
fn the_trained_models_load() {
    let maps: Vec<_> = common::MODELS
        .map(|name| Mapped::open(&common::data(&format!("models/{name}.gguf"))).unwrap())
        .into();
    let files: Vec<_> = maps.iter().map(|map| Gguf::parse(map).unwrap()).collect();
    for (file, tensors) in files.iter().zip([39, 39, 39, 46, 46]) {
        assert_eq!(file.tensors().count(), tensors);
        assert_eq!(file.optional_array("tokenizer.ggml.tokens", ValueType::Str).unwrap().unwrap().len, 1024);
        for tensor in file.tensors() {
            assert_eq!(file.tensor(tensor.name()).unwrap().data(), tensor.data());
        }
    }
    let [f16, q8_0, q4_0, tq2_0, tq1_0] = &files[..] else { unreachable!() };
    for tensor in tq2_0.tensors() {
        let other = tq1_0.tensor(tensor.name()).unwrap();
        assert_eq!(tensor.values(), other.values(), "{}", tensor.name());
    }
    for (file, nmse) in [(q8_0, 5e-5), (q4_0, 1e-2)] {
        for tensor in file.tensors() {
            let (found, exact) =
                (tensor.values().unwrap(), f16.tensor(tensor.name()).unwrap().values().unwrap());
            let squares = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v * v)).sum::<f64>();
            let error = squares(&mut found.iter().zip(&exact).map(|(f, e)| f - e))
                / squares(&mut exact.iter().copied());
            assert!(error <= nmse, "{} is {} with NMSE {error}", tensor.name(), tensor.kind().name);
        }
    }
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    match Gguf::parse(bytes) {
        Ok(_) => panic!("it was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_with_a_header_is_said() {
    let good = Writer::default().u32("a.b", 7).bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    assert_eq!(refused(b""), "byte 0: the magic number needs 4 bytes, 0 are left in the file");
    assert_eq!(refused(b"GGML...."), "byte 0: the magic number is `GGML`, expected `GGUF`");
    let version = |v: u32| refused(&with(4, &v.to_le_bytes()));
    assert_eq!(version(2), "byte 4: the version is 2, expected 3 in little-endian order");
    assert_eq!(
        version(3 << 24),
        "byte 4: the version is 3 in big-endian order, expected 3 in little-endian order"
    );
    assert_eq!(
        refused(&with(8, &(1u64 << 63).to_le_bytes())),
        "byte 8: the number of tensors is 9223372036854775808, expected at most 0: 27 bytes are left, and each needs 33"
    );
    assert_eq!(
        refused(&with(16, &u64::MAX.to_le_bytes())),
        "byte 16: the number of keys is 18446744073709551615, expected at most 1: 19 bytes are left, and each needs 14"
    );
    assert_eq!(
        refused(&with(24, &(u64::MAX - 2).to_le_bytes())),
        "byte 24: a key's name is 18446744073709551613 bytes long, expected 1 to 65535 bytes"
    );
    assert_eq!(
        refused(&with(24, &500u64.to_le_bytes())),
        "byte 32: a key's name needs 500 bytes, 11 are left in the file"
    );
    assert_eq!(
        refused(&with(32, &[0xff])),
        "byte 32: a key's name is not UTF-8 behind 0 bytes, expected UTF-8"
    );
    assert_eq!(refused(&with(35, &[13])), "byte 35: a value's type is 13, expected 0 to 12");
    assert_eq!(refused(&good[..good.len() - 1]), "byte 39: a value needs 4 bytes, 3 are left in the file");

    assert_eq!(
        refused(&Writer::default().raw("k", 7, &[2]).bytes()),
        "byte 37: a bool is 2, expected 0 or 1"
    );
    let terabytes = [&4u32.to_le_bytes()[..], &(1u64 << 42).to_le_bytes(), &[0; 40]].concat();
    assert_eq!(
        refused(&Writer::default().raw("k", 9, &terabytes).bytes()),
        "byte 41: an array's length is 4398046511104, expected at most 10: 40 bytes are left, and each needs 4"
    );
    let mut deep = Vec::new();
    for _ in 0..100_000 {
        deep.extend(9u32.to_le_bytes());
        deep.extend(1u64.to_le_bytes());
    }
    assert_eq!(
        refused(&Writer::default().raw("k", 9, &deep).bytes()),
        "byte 133: an array is nested deeper, expected at most 8 arrays in each other"
    );
    assert_eq!(
        refused(&Writer::default().u32("k", 1).str("k", "").bytes()),
        "key `k`: there twice, expected once"
    );
    assert_eq!(
        refused(&Writer::default().u32("general.alignment", 12).bytes()),
        "key `general.alignment`: 12, expected a multiple of 8, not 0"
    );
    assert_eq!(
        refused(&Writer::default().str("general.alignment", "32").bytes()),
        "key `general.alignment`: the string `32`, expected an integer, not negative"
    );
    assert_eq!(
        refused(&Writer::default().u32("general.quantization_version", 1).bytes()),
        "key `general.quantization_version`: 1, expected 2: older files had other block layouts"
    );
}

#[test]
fn what_is_wrong_with_a_tensor_is_said() {
    let say = |dims: &[u64], kind: u32| refused(&Writer::default().tensor("w", dims, kind, &[0; 64]).bytes());
    assert_eq!(say(&[], 0), "tensor `w`: 0 dimensions, expected 1 to 4");
    assert_eq!(say(&[1; 5], 0), "tensor `w`: 5 dimensions, expected 1 to 4");
    assert_eq!(say(&[4, 0], 0), "tensor `w`: dimensions [4, 0], expected none of them 0");
    assert_eq!(say(&[48], 2), "tensor `w`: rows of 48, expected a multiple of 32, the block of Q4_0");
    let readable = "F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, BF16, TQ1_0, \
                    TQ2_0, I2_S, MXFP4";
    assert_eq!(say(&[32], 16), format!("tensor `w`: type 16 (IQ2_XXS), expected one of {readable}"));
    assert_eq!(
        say(&[32], 4),
        format!("tensor `w`: type 4, which does not exist, expected one of {readable}")
    );
    assert_eq!(
        say(&[1 << 32, 1 << 32], 0),
        "tensor `w`: dimensions [4294967296, 4294967296], expected fewer than 2^64 bytes"
    );
    assert_eq!(
        say(&[1 << 30, 1 << 31], 0),
        "tensor `w`: 9223372036854775808 bytes of data at offset 0, expected them within the data section's 64 bytes"
    );
    assert_eq!(
        say(&[17], 0),
        "tensor `w`: 68 bytes of data at offset 0, expected them within the data section's 64 bytes"
    );

    let two = Writer::default().floats("a", &[16], &[0.0; 16]).floats("b", &[16], &[0.0; 16]);
    let (good, records) = two.bytes_and_records();
    assert!(Gguf::parse(&good).is_ok());
    // A record is 33 bytes, and its offset the last 8 of them.
    let offset = |of: usize, value: u64| {
        let mut bad = good.clone();
        let at = records + 33 * of + 25;
        bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
        refused(&bad)
    };
    assert_eq!(
        offset(1, 33),
        "tensor `b`: its data's offset is 33, expected a multiple of the alignment, 32"
    );
    assert_eq!(
        offset(1, 32),
        "tensor `b`: its data begins at offset 32, inside of `a`, which ends at 64, expected tensors that do not overlap"
    );
    assert_eq!(
        offset(0, u64::MAX - 31),
        "tensor `a`: 64 bytes of data at offset 18446744073709551584, expected them within the data section's 128 bytes"
    );
    assert_eq!(
        refused(&good[..good.len() - 1]),
        "tensor `b`: 64 bytes of data at offset 64, expected them within the data section's 127 bytes"
    );
    assert_eq!(
        refused(&good[..records + 70]),
        "byte 90: padding before the tensors' data needs 6 bytes, 4 are left in the file"
    );
    let name = "n".repeat(65);
    assert_eq!(
        refused(&Writer::default().floats(&name, &[1], &[0.0]).bytes()),
        "byte 24: a tensor's name is 65 bytes long, expected 1 to 64 bytes"
    );
    assert_eq!(
        refused(&Writer::default().floats("w", &[1], &[0.0]).floats("w", &[1], &[0.0]).bytes()),
        "tensor `w`: there twice, expected once"
    );
}

#[test]
fn weights_that_are_not_finite_are_said() {
    let file = Writer::default()
        .floats("f", &[2, 2], &[0.0, 1.0, f32::INFINITY, 0.0])
        .tensor("q", &[32], 2, &[&0x7e00u16.to_le_bytes()[..], &[0; 16]].concat())
        .tensor("m", &[32], 39, &[&[254][..], &[0x77; 16]].concat())
        .tensor("t", &[256], 35, &[0xff; 66])
        .bytes();
    let gguf = Gguf::parse(&file).unwrap();
    let said = |name: &str| gguf.tensor(name).unwrap().values().unwrap_err().to_string();
    assert_eq!(said("f"), "tensor `f`: row 1, column 0 is inf, expected finite weights");
    assert_eq!(said("q"), "tensor `q`: row 0, group 0 has the scale NaN, expected a finite scale");
    assert_eq!(said("m"), "tensor `m`: row 0, column 0 is inf, expected finite weights");
    assert_eq!(said("t"), "tensor `t`: row 0, column 0 has code 3, expected codes 0 to 2");
    assert!(matches!(gguf.tensor("f").unwrap().values(), Err(FormatError::Tensor { .. })));
}
