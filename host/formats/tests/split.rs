//! A model in several files: joined it is the whole one, and whatever does not belong together is said.

mod common;

use common::Writer;
use lutsim_formats::gguf::{Gguf, numbered, siblings};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// File `no` of `count`, with the tensors of `names`.
fn part(no: u32, count: u32, names: &[&str]) -> Writer {
    let mut writer = Writer::default().u32("split.no", no).u32("split.count", count);
    writer = writer.u32("split.tensors.count", 5);
    if no == 0 {
        writer = writer.str("general.name", "whole");
    }
    for name in names {
        let number = f32::from(name.as_bytes()[0]);
        writer = writer.floats(name, &[2, 3], &[number; 6]);
    }
    writer
}

/// What joining them says: the names of the tensors.
fn join(parts: &[Writer]) -> Result<String, String> {
    let bytes: Vec<_> = parts.iter().map(Writer::bytes).collect();
    let files = bytes.iter().map(|bytes| Gguf::parse(bytes).unwrap()).collect();
    let whole = Gguf::join(files).map_err(|e| e.to_string())?;
    assert_eq!(whole.optional_str("general.name").unwrap(), Some("whole"));
    for name in NAMES {
        let tensor = whole.tensor(name).unwrap();
        assert_eq!(tensor.values().unwrap(), [f32::from(name.as_bytes()[0]); 6]);
    }
    assert!(whole.tensor("f").is_none());
    Ok(whole.tensors().map(|tensor| tensor.name()).collect())
}

#[test]
fn joined_files_are_the_whole() {
    let three = [part(0, 3, &["d", "a"]), part(1, 3, &["c"]), part(2, 3, &["b", "e"])];
    assert_eq!(join(&three).unwrap(), "dacbe");
    // The first file may hold keys alone.
    assert_eq!(join(&[part(0, 2, &[]), part(1, 2, &NAMES)]).unwrap(), "abcde");
    let bytes = three[1].bytes();
    assert_eq!(Gguf::parse(&bytes).unwrap().files(), Ok(3));
    assert_eq!(Gguf::parse(&Writer::default().bytes()).unwrap().files(), Ok(1));
}

#[test]
fn what_does_not_belong_together() {
    let say = |parts: &[Writer]| join(parts).unwrap_err();
    let [a, b] = [part(0, 2, &["a", "b", "c"]), part(1, 2, &["d", "e"])];
    assert_eq!(say(&[b.clone(), a.clone()]), "key `split.no`: 1, expected 0");
    assert_eq!(say(&[a.clone(), a.clone()]), "key `split.no`: 0, expected 1");
    assert_eq!(say(&[a.clone(), part(1, 3, &["d", "e"])]), "key `split.count`: 3, expected 2");
    assert_eq!(say(&[a.clone(), Writer::default()]), "key `split.no`: not there, expected 1");
    assert_eq!(say(&[a.clone(), part(1, 2, &["d"])]), "key `split.tensors.count`: 5, expected 4");
    let twice = part(1, 2, &["c", "e"]);
    assert_eq!(say(&[a, twice]), "tensor `c`: in two of the model's files, expected in one");
    let none = Writer::default().u32("split.count", 0).bytes();
    let said = Gguf::parse(&none).unwrap().files().unwrap_err().to_string();
    assert_eq!(said, "key `split.count`: 0, expected 1 or more");
}

#[test]
fn names() {
    assert_eq!(
        siblings("m-q4-00002-of-00003.gguf", 3).unwrap(),
        ["m-q4-00001-of-00003.gguf", "m-q4-00002-of-00003.gguf", "m-q4-00003-of-00003.gguf"]
    );
    assert_eq!(numbered("m-q4-00002-of-00003.gguf"), Some(("m-q4", 3)));
    for name in
        ["m.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-1-of-3.gguf", "m-00001-of-00003.bin"]
    {
        assert_eq!(numbered(name), None, "{name}");
    }
    // Another number of files than the first one says.
    assert_eq!(siblings("m-00001-of-00003.gguf", 4), None);
}
