//! safetensors: a JSON header and tensors behind it (github.com/huggingface/safetensors, README "Format").
//!
//! ```text
//! header's length u64 | {"name": {"dtype": "F16", "shape": [rows, cols], "data_offsets": [begin, end]}, ...} | data
//! ```
//! The reader is our own because errors must name the tensor and what was expected, and because the `safetensors` crate
//! (0.8.0) adds offsets without a check: sixteen tensors of 2^60 bytes make it panic where overflow is checked.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::bytes::Reader;
use crate::error::FormatError;

/// Longest header, in bytes: the reference implementation's.
const LONGEST_HEADER: u64 = 100_000_000;

/// Types of weights that are not packed.
pub(crate) const FLOATS: &[Dtype] = &[Dtype::F32, Dtype::F16, Dtype::BF16];

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, non_camel_case_types)]
pub enum Dtype {
    BOOL,
    U8,
    I8,
    F8_E4M3,
    F8_E5M2,
    U16,
    I16,
    F16,
    BF16,
    U32,
    I32,
    F32,
    U64,
    I64,
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        use Dtype::*;
        match self {
            BOOL | U8 | I8 | F8_E4M3 | F8_E5M2 => 1,
            U16 | I16 | F16 | BF16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }
}

/// A tensor of a safetensors file.
#[derive(Debug, Clone, Copy)]
pub struct View<'f> {
    /// Its name.
    pub name: &'f str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, slowest first.
    pub shape: &'f [u64],
    /// Its bytes: as many as its dimensions need.
    pub data: &'f [u8],
}

/// A checked safetensors file.
#[derive(Debug, Clone)]
pub struct SafeTensors<'a> {
    data: &'a [u8],
    /// Sorted by name.
    entries: Vec<(String, Entry)>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'a> SafeTensors<'a> {
    /// Check a file.
    ///
    /// # Errors
    /// Whatever is wrong with the header or the tensors, with its offset or its name.
    pub fn parse(bytes: &'a [u8]) -> Result<SafeTensors<'a>, FormatError> {
        let mut reader = Reader::at(bytes, 0);
        let length = reader.u64("the header's length")?;
        if length > LONGEST_HEADER {
            let expected = format!("at most {LONGEST_HEADER}");
            return Err(Reader::field(0, "the header's length", length.to_string(), expected));
        }
        let header = reader.take(length, "the header")?;
        let json =
            |e: serde_json::Error| FormatError::Json { what: "the header".into(), message: e.to_string() };
        let mut parser = serde_json::Deserializer::from_slice(header);
        let mut entries = Header.deserialize(&mut parser).map_err(json)?;
        parser.end().map_err(json)?;
        let data = reader.take(reader.left(), "the tensors")?;

        entries.sort_unstable_by_key(|(_, entry)| entry.data_offsets);
        let mut end = 0;
        for (name, entry) in &entries {
            let [begin, stop] = entry.data_offsets;
            if begin != end || stop < begin || stop > data.len() as u64 {
                return Err(FormatError::tensor(
                    name,
                    format!("its data is bytes {begin} to {stop}"),
                    format!(
                        "tensors behind each other: from {end}, where the one before ends, to at most {}",
                        data.len()
                    ),
                ));
            }
            let bytes = entry.shape.iter().try_fold(entry.dtype.bytes() as u64, |n, &dim| n.checked_mul(dim));
            if bytes != Some(stop - begin) {
                return Err(FormatError::tensor(
                    name,
                    format!("{} bytes of data", stop - begin),
                    format!("those of {:?} elements of {:?}", entry.shape, entry.dtype),
                ));
            }
            end = stop;
        }
        if end != data.len() as u64 {
            let at = bytes.len() - data.len() + end as usize;
            let found = format!("{} bytes long", data.len() as u64 - end);
            return Err(Reader::field(at, "what is behind the last tensor", found, "nothing"));
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(FormatError::tensor(&twice[0].0, "there twice", "once"));
        }
        Ok(SafeTensors { data, entries })
    }

    fn view<'f>(&'f self, (name, entry): &'f (String, Entry)) -> View<'f> {
        let [begin, end] = entry.data_offsets.map(|offset| offset as usize);
        View { name, dtype: entry.dtype, shape: &entry.shape, data: &self.data[begin..end] }
    }
    /// Tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = View<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }
    /// The tensor of a name, if it is there.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        let found = self.entries.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(self.view(&self.entries[found]))
    }
    /// The tensor of a name.
    ///
    /// # Errors
    /// If it is not there.
    pub fn tensor(&self, name: &str) -> Result<View<'_>, FormatError> {
        self.get(name).ok_or_else(|| FormatError::tensor(name, "not there", "this tensor"))
    }
}

impl View<'_> {
    /// Its values as floats, in order.
    ///
    /// # Errors
    /// If it is not of F32, F16 or BF16; if a value is not finite.
    pub fn floats(&self) -> Result<Vec<f32>, FormatError> {
        let view = self.expect(FLOATS, self.shape)?;
        let values: Vec<f32> = (0..view.data.len() / view.dtype.bytes()).map(|i| view.float(i)).collect();
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let found = format!("element {i} is {}", values[i]);
                Err(FormatError::tensor(self.name, found, "finite values"))
            }
        }
    }
    /// Element `i` of a tensor of [`FLOATS`].
    pub(crate) fn float(&self, i: usize) -> f32 {
        let b = &self.data[i * self.dtype.bytes()..];
        match self.dtype {
            Dtype::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Dtype::BF16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        }
    }
    /// Checks type and dimensions.
    pub(crate) fn expect(&self, dtypes: &[Dtype], shape: &[u64]) -> Result<Self, FormatError> {
        if dtypes.contains(&self.dtype) && self.shape == shape {
            return Ok(*self);
        }
        let names: Vec<_> = dtypes.iter().map(|d| format!("{d:?}")).collect();
        Err(FormatError::tensor(
            self.name,
            format!("{:?} elements of {:?}", self.shape, self.dtype),
            format!("{shape:?} of {}", names.join(" or ")),
        ))
    }
    /// Its two dimensions.
    pub(crate) fn matrix(&self) -> Result<[u64; 2], FormatError> {
        self.shape.try_into().map_err(|_| {
            FormatError::tensor(self.name, format!("{} dimensions", self.shape.len()), "2 dimensions")
        })
    }
}

/// Reads the header straight into entries, without a tree of values in between.
struct Header;

impl<'de> DeserializeSeed<'de> for Header {
    type Value = Vec<(String, Entry)>;
    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Header {
    type Value = Vec<(String, Entry)>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of tensors")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                let entry =
                    map.next_value().map_err(|e| A::Error::custom(format!("tensor `{name}`: {e}")))?;
                entries.push((name, entry));
            }
        }
        Ok(entries)
    }
}
