//! safetensors: packed layers are the values that were packed, and what is wrong is said.

mod common;

use lutsim_formats::coded::{CodedMatrix, CodedRow};
use lutsim_formats::packed::{PackedLinear, Packing};
use lutsim_formats::safetensors::SafeTensors;

fn file() -> Vec<u8> {
    std::fs::read(common::data("formats/packed.safetensors")).unwrap()
}

#[test]
fn layers_are_what_was_packed() {
    let bytes = file();
    let file = SafeTensors::parse(&bytes).unwrap();
    let gptq = |bits, group, zero_add| Packing::Gptq { bits, group, zero_add };
    for (name, packing) in [
        ("gptq4", gptq(4, Some(32), 1)),
        ("gptq4_act", gptq(4, Some(16), 1)),
        ("gptq4_all", gptq(4, None, 1)),
        ("gptq4_v2", gptq(4, Some(32), 0)),
        ("gptq2", gptq(2, Some(32), 1)),
        ("gptq8", gptq(8, Some(16), 1)),
        ("awq", Packing::Awq { group: Some(32) }),
        ("bitnet", Packing::Bitnet { divide: false }),
        ("bitnet_div", Packing::Bitnet { divide: true }),
    ] {
        let layer = PackedLinear::open(&file, name, packing).unwrap();
        let expected = file.tensor(&format!("{name}.expected")).unwrap();
        assert_eq!([layer.rows() as u64, layer.cols() as u64], expected.shape, "{name}");
        let (mut row, mut values) = (CodedRow::default(), vec![0.0; layer.cols()]);
        for (r, expected) in expected.floats().unwrap().chunks(layer.cols()).enumerate() {
            layer.row(r, &mut row).unwrap();
            assert_eq!(row.groups.is_empty(), name != "gptq4_act", "{name}");
            row.values(&layer.coding(), layer.cols(), &mut values);
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(expected), "{name}, row {r}");
        }
    }
    for name in ["plain.f16", "plain.bf16"] {
        let expected = file.tensor(&format!("{name}.expected")).unwrap().floats();
        assert_eq!(file.tensor(name).unwrap().floats(), expected);
    }
    assert_eq!(file.tensors().len(), 45);
}

#[track_caller]
fn said<T>(result: Result<T, impl std::fmt::Display>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_with_a_layer_is_said() {
    let mut bytes = file();
    {
        let file = SafeTensors::parse(&bytes).unwrap();
        let open = |name: &str, packing| said(PackedLinear::open(&file, name, packing));
        let gptq = |bits, group| Packing::Gptq { bits, group, zero_add: 1 };
        assert_eq!(open("up", gptq(4, None)), "tensor `up.qweight`: not there, expected this tensor");
        assert_eq!(
            open("gptq4", gptq(4, Some(16))),
            "tensor `gptq4.qzeros`: [2, 2] elements of I32, expected [4, 2] of I32"
        );
        assert_eq!(
            open("gptq4", gptq(3, None)),
            "key `quantization_config.bits`: 3, expected 2, 4 or 8: others straddle words"
        );
        assert_eq!(
            open("gptq4", gptq(4, Some(0))),
            "key `quantization_config.group_size`: 0, expected -1, or 1 and more"
        );
        assert_eq!(
            open("bitnet.expected", Packing::Bitnet { divide: false }),
            "tensor `bitnet.expected.weight`: not there, expected this tensor"
        );
    }
    // A group that does not exist, a code that is not ternary, a scale that is not finite.
    let place = |bytes: &[u8], name: &str| {
        let file = SafeTensors::parse(bytes).unwrap();
        let data = file.tensor(name).unwrap().data;
        data.as_ptr() as usize - bytes.as_ptr() as usize
    };
    let index = place(&bytes, "gptq4.g_idx");
    bytes[index + 4..index + 8].copy_from_slice(&(-1i32).to_le_bytes());
    let weight = place(&bytes, "bitnet.weight");
    bytes[weight + 20] |= 0x30;
    let scales = place(&bytes, "awq.scales");
    bytes[scales + 2..scales + 4].copy_from_slice(&0x7c00u16.to_le_bytes());
    let file = SafeTensors::parse(&bytes).unwrap();
    let gptq = Packing::Gptq { bits: 4, group: Some(32), zero_add: 1 };
    assert_eq!(
        said(PackedLinear::open(&file, "gptq4", gptq)),
        "tensor `gptq4.g_idx`: input 1 is in group -1, expected groups 0 to 1"
    );
    assert_eq!(
        said(PackedLinear::open(&file, "awq", Packing::Awq { group: Some(32) })),
        "tensor `awq.scales`: element 1 is inf, expected finite values"
    );
    let layer = PackedLinear::open(&file, "bitnet", Packing::Bitnet { divide: false }).unwrap();
    let errors: Vec<_> =
        (0..12).filter_map(|r| layer.row(r, &mut CodedRow::default()).err()).map(|e| e.to_string()).collect();
    assert_eq!(errors, ["tensor `bitnet`: row 7, column 0 has code 3, expected codes 0 to 2"]);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let with = |header: &str, data: usize| {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        said(SafeTensors::parse(&bytes))
    };
    let one = |entry: &str, data: usize| with(&format!(r#"{{"w":{entry}}}"#), data);
    assert_eq!(
        said(SafeTensors::parse(b"")),
        "byte 0: the header's length needs 8 bytes, 0 are left in the file"
    );
    assert_eq!(
        said(SafeTensors::parse(&u64::MAX.to_le_bytes())),
        "byte 0: the header's length is 18446744073709551615, expected at most 100000000"
    );
    assert_eq!(
        said(SafeTensors::parse(&9u64.to_le_bytes())),
        "byte 8: the header needs 9 bytes, 0 are left in the file"
    );
    assert_eq!(
        with("[]", 0),
        "the header: invalid type: sequence, expected an object of tensors at line 1 column 0"
    );
    assert!(one(r#"{"dtype":"F16"}"#, 0).starts_with("the header: tensor `w`: missing field `shape`"));
    assert!(
        one(r#"{"dtype":"Q4","shape":[],"data_offsets":[0,0]}"#, 0)
            .starts_with("the header: tensor `w`: unknown variant `Q4`, expected one of `BOOL`, `U8`")
    );
    assert!(
        one(r#"{"dtype":"F16","shape":[-1],"data_offsets":[0,0]}"#, 0).contains("tensor `w`: invalid value")
    );
    assert_eq!(
        one(r#"{"dtype":"F16","shape":[2,3],"data_offsets":[0,10]}"#, 10),
        "tensor `w`: 10 bytes of data, expected those of [2, 3] elements of F16"
    );
    assert_eq!(
        one(r#"{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,10]}"#, 10),
        "tensor `w`: 10 bytes of data, expected those of [4294967296, 4294967296] elements of F16"
    );
    assert_eq!(
        one(r#"{"dtype":"U8","shape":[2],"data_offsets":[1,3]}"#, 3),
        "tensor `w`: its data is bytes 1 to 3, expected tensors behind each other: from 0, where the one before ends, to at most 3"
    );
    assert_eq!(
        one(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#, 3),
        "byte 63: what is behind the last tensor is 1 bytes long, expected nothing"
    );
    let two = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
    assert!(
        with(two, 3)
            .starts_with("tensor `b`: its data is bytes 1 to 3, expected tensors behind each other: from 2")
    );
    let twice = two.replace('b', "a").replace("[1,3]", "[2,4]");
    assert_eq!(with(&twice, 4), "tensor `a`: there twice, expected once");
    let huge: Vec<_> = (0..16u64)
        .map(|i| {
            let (begin, end) = (i << 60, if i < 15 { (i + 1) << 60 } else { u64::MAX });
            format!(r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{begin},{end}]}}"#, end - begin)
        })
        .collect();
    assert!(with(&format!("{{{}}}", huge.join(",")), 0).starts_with("tensor `0`: its data is bytes 0 to"));
}
