//! GGUF version 3: metadata and tensors of one file (layout: docs/gguf.md of ggml-org/ggml).
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | keys u64 | keys: name, type, value | tensors: name, dims, type, offset | pad | data
//! ```
//! [`Gguf::parse`] checks the whole header: every length against the file before anything is taken or allocated, names
//! for duplicates, every tensor's bytes against the data section and against each other. What it keeps is one index of
//! 8 bytes per key and two per tensor, less than either takes in the file; names, values and data stay where they are.

mod dimensions;
mod model;
mod split;
mod value;

use crate::bytes::Reader;
use crate::error::FormatError;
use crate::tensor::Tensor;
use crate::types::TensorType;

pub use model::GgufModel;
pub use split::{numbered, siblings};
pub use value::{Array, Value, ValueType};

/// Least bytes of a key: its name's length and one letter, its type, one byte.
const LEAST_KEY: u64 = 8 + 1 + 4 + 1;
/// Least bytes of a tensor: its name's length and one letter, number of dimensions and one of them, type, offset.
const LEAST_TENSOR: u64 = 8 + 1 + 4 + 8 + 4 + 8;
/// Longest name of a key, in bytes.
const LONGEST_KEY: u64 = 65535;
/// Longest name of a tensor, in bytes.
const LONGEST_NAME: u64 = 64;
/// Alignment of tensors where the file does not say.
const ALIGNMENT: u64 = 32;
/// The version of block layouts that is read; version 1 had others under the same ids.
const QUANTIZATION: u64 = 2;

/// A checked GGUF file.
#[derive(Debug, Clone)]
pub struct Gguf<'a> {
    bytes: &'a [u8],
    /// Where each key begins, sorted by name.
    keys: Vec<usize>,
    /// Where each tensor's record begins, in the file's order.
    tensors: Vec<usize>,
    /// The same, sorted by name.
    names: Vec<usize>,
    data: usize,
    alignment: u64,
    /// The other files of a model that is in several.
    others: Vec<Gguf<'a>>,
}

impl<'a> Gguf<'a> {
    /// Check a file.
    ///
    /// # Errors
    /// Whatever is wrong with the header, the keys or the tensors, with its offset or its name.
    pub fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>, FormatError> {
        let mut reader = Reader::at(bytes, 0);
        let magic = reader.take(4, "the magic number")?;
        if magic != b"GGUF" {
            let found = String::from_utf8_lossy(magic).escape_debug().to_string();
            return Err(Reader::field(0, "the magic number", format!("`{found}`"), "`GGUF`"));
        }
        let version = reader.u32("the version")?;
        if version != 3 {
            let found = if version.swap_bytes() == 3 {
                "3 in big-endian order".to_string()
            } else {
                version.to_string()
            };
            return Err(Reader::field(4, "the version", found, "3 in little-endian order"));
        }
        let tensor_count = reader.count(LEAST_TENSOR, "the number of tensors")?;
        let key_count = reader.count(LEAST_KEY, "the number of keys")?;

        let mut keys = Vec::with_capacity(key_count as usize);
        for _ in 0..key_count {
            keys.push(reader.offset());
            read_key(&mut reader)?;
        }
        let name = |at: usize| Self::key_name(bytes, at);
        keys.sort_unstable_by_key(|&at| name(at));
        if let Some(twice) = keys.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            return Err(FormatError::key(name(twice[0]), "there twice", "once"));
        }
        let mut file = Gguf {
            bytes,
            keys,
            tensors: Vec::new(),
            names: Vec::new(),
            data: 0,
            alignment: ALIGNMENT,
            others: Vec::new(),
        };
        if let Some(alignment) = file.optional_u64("general.alignment")? {
            if alignment == 0 || !alignment.is_multiple_of(8) || alignment > u64::from(u32::MAX) {
                return Err(FormatError::key(
                    "general.alignment",
                    alignment.to_string(),
                    "a multiple of 8, not 0",
                ));
            }
            file.alignment = alignment;
        }
        if let Some(layouts) = file.optional_u64("general.quantization_version")?
            && layouts != QUANTIZATION
        {
            let expected = format!("{QUANTIZATION}: older files had other block layouts");
            return Err(FormatError::key("general.quantization_version", layouts.to_string(), expected));
        }
        file.read_tensors(reader, tensor_count)?;
        Ok(file)
    }

    fn read_tensors(&mut self, mut reader: Reader<'a>, count: u64) -> Result<(), FormatError> {
        let bytes = self.bytes;
        // The keys lay between the count's check and here.
        if count > reader.left() / LEAST_TENSOR {
            let what = format!("the list of {count} tensors");
            reader.take(count * LEAST_TENSOR, &what)?;
        }
        self.tensors.reserve_exact(count as usize);
        for _ in 0..count {
            self.tensors.push(reader.offset());
            Record::read(&mut reader)?;
        }
        let end = reader.offset() as u64;
        let data = end.next_multiple_of(self.alignment);
        if count == 0 {
            self.data = bytes.len();
            return Ok(());
        }
        if data > bytes.len() as u64 {
            reader.take(data - end, "padding before the tensors' data")?;
        }
        self.data = data as usize;

        // Where each tensor's bytes are; each is 16 bytes here and at least 33 in the file.
        let mut spans = Vec::with_capacity(self.tensors.len());
        for &at in &self.tensors {
            let record = Record::at(bytes, at);
            let left = (bytes.len() - self.data) as u64;
            if !record.offset.is_multiple_of(self.alignment) {
                let expected = format!("a multiple of the alignment, {}", self.alignment);
                return Err(FormatError::tensor(
                    record.name,
                    format!("its data's offset is {}", record.offset),
                    expected,
                ));
            }
            match record.offset.checked_add(record.bytes) {
                Some(end) if end <= left => spans.push((record.offset, at)),
                _ => {
                    return Err(FormatError::tensor(
                        record.name,
                        format!("{} bytes of data at offset {}", record.bytes, record.offset),
                        format!("them within the data section's {left} bytes"),
                    ));
                }
            }
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            let [first, second] = [0, 1].map(|i| Record::at(bytes, pair[i].1));
            if first.offset + first.bytes > second.offset {
                return Err(FormatError::tensor(
                    second.name,
                    format!(
                        "its data begins at offset {}, inside of `{}`, which ends at {}",
                        second.offset,
                        first.name,
                        first.offset + first.bytes
                    ),
                    "tensors that do not overlap",
                ));
            }
        }
        drop(spans);
        self.names = Vec::with_capacity(self.tensors.len());
        self.names.extend_from_slice(&self.tensors);
        let name = |at: usize| Record::at(bytes, at).name;
        self.names.sort_unstable_by_key(|&at| name(at));
        match self.names.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            Some(twice) => Err(FormatError::tensor(name(twice[0]), "there twice", "once")),
            None => Ok(()),
        }
    }

    /// A key's name alone: a value may be an array of all tokens, which is walked when it is read.
    fn key_name(bytes: &'a [u8], at: usize) -> &'a str {
        read_name(&mut Reader::at(bytes, at), "a key's name", LONGEST_KEY)
            .expect("the key was read when the file was opened")
    }
    fn key_at(bytes: &'a [u8], at: usize) -> (&'a str, Value<'a>) {
        read_key(&mut Reader::at(bytes, at)).expect("the key was read when the file was opened")
    }

    /// Keys and values, sorted by key.
    pub fn keys(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + '_ {
        self.keys.iter().map(|&at| Self::key_at(self.bytes, at))
    }
    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let found = self.keys.binary_search_by(|&at| Self::key_name(self.bytes, at).cmp(key)).ok()?;
        Some(Self::key_at(self.bytes, self.keys[found]).1)
    }
    /// A key's value as `T`, none if the key is not there.
    ///
    /// # Errors
    /// If it is there and is not a `T`.
    fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        cast: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let wrong = |v: &Value<'_>| match v {
            Value::Array(a) => format!("an array of {} {}", a.len, a.element.name()),
            Value::Str(s) => format!("the string `{}`", s.escape_debug().take(40).collect::<String>()),
            v => format!("{v:?}"),
        };
        self.get(key).map(|v| cast(&v).ok_or_else(|| FormatError::key(key, wrong(&v), expected))).transpose()
    }
    /// An integer key, not negative; none if it is not there.
    ///
    /// # Errors
    /// If it is there and is something else; likewise the others.
    pub fn optional_u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.optional(key, "an integer, not negative", Value::as_u64)
    }
    /// A finite float key; none if it is not there.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.optional(key, "a finite float", |v| v.as_f64().filter(|v| v.is_finite()))
    }
    /// A string key; none if it is not there.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_str(&self, key: &str) -> Result<Option<&'a str>, FormatError> {
        self.optional(key, "a string", Value::as_str)
    }
    /// A bool key; none if it is not there.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.optional(key, "a bool", Value::as_bool)
    }
    /// An array key; none if it is not there.
    #[allow(clippy::missing_errors_doc)]
    pub fn optional_array(&self, key: &str, element: ValueType) -> Result<Option<Array<'a>>, FormatError> {
        let expected = format!("an array of {}", element.name());
        self.optional(key, &expected, |v| v.as_array().filter(|a| a.element == element))
    }

    fn tensor_at(&self, at: usize) -> Tensor<'a> {
        let record = Record::at(self.bytes, at);
        let begin = self.data + record.offset as usize;
        Tensor::new(record.name, record.dims, record.kind, &self.bytes[begin..begin + record.bytes as usize])
    }
    /// Tensors, in the file's order, or the files'.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> + '_ {
        let all = std::iter::once(self).chain(&self.others);
        all.flat_map(|file| file.tensors.iter().map(|&at| file.tensor_at(at)))
    }
    /// The tensor of a name, if it is there.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'a>> {
        std::iter::once(self).chain(&self.others).find_map(|file| {
            let of = |at: usize| Record::at(file.bytes, at).name;
            let found = file.names.binary_search_by(|&at| of(at).cmp(name)).ok()?;
            Some(file.tensor_at(file.names[found]))
        })
    }
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Value<'a>), FormatError> {
    let key = read_name(reader, "a key's name", LONGEST_KEY)?;
    Ok((key, Value::read_typed(reader)?))
}

fn read_name<'a>(reader: &mut Reader<'a>, what: &str, most: u64) -> Result<&'a str, FormatError> {
    let offset = reader.offset();
    let mut ahead = *reader;
    let length = ahead.u64(what)?;
    if length == 0 || length > most {
        let expected = format!("1 to {most} bytes");
        return Err(Reader::field(offset, what, format!("{length} bytes long"), expected));
    }
    reader.string(what)
}

/// What the file says of a tensor.
struct Record<'a> {
    name: &'a str,
    /// Fastest first; 1 where the tensor has fewer dimensions.
    dims: [u64; 4],
    kind: &'static TensorType,
    /// Of its data in the data section.
    offset: u64,
    /// Of its data.
    bytes: u64,
}

impl<'a> Record<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Record<'a> {
        Record::read(&mut Reader::at(bytes, at)).expect("the record was read when the file was opened")
    }
    fn read(reader: &mut Reader<'a>) -> Result<Record<'a>, FormatError> {
        let name = read_name(reader, "a tensor's name", LONGEST_NAME)?;
        let wrong = |found: String, expected: &str| Err(FormatError::tensor(name, found, expected));
        let n = reader.u32("a tensor's number of dimensions")?;
        if n == 0 || n > 4 {
            return wrong(format!("{n} dimensions"), "1 to 4");
        }
        let mut dims = [1; 4];
        for dim in &mut dims[..n as usize] {
            *dim = reader.u64("a tensor's dimension")?;
        }
        let kind = TensorType::of(reader.u32("a tensor's type")?)
            .map_err(|found| FormatError::tensor(name, found, TensorType::readable()))?;
        let offset = reader.u64("a tensor's offset")?;
        if dims.contains(&0) {
            return wrong(format!("dimensions {:?}", &dims[..n as usize]), "none of them 0");
        }
        if !dims[0].is_multiple_of(kind.weights as u64) {
            let expected = format!("a multiple of {}, the block of {}", kind.weights, kind.name);
            return wrong(format!("rows of {}", dims[0]), &expected);
        }
        let Some(bytes) = kind.data_bytes(dims) else {
            return wrong(format!("dimensions {:?}", &dims[..n as usize]), "fewer than 2^64 bytes");
        };
        Ok(Record { name, dims, kind, offset, bytes })
    }
}
