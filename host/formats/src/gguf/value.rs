//! Metadata values. Arrays stay in the file and are decoded as they are walked, so no count can make us allocate.

use crate::bytes::Reader;
use crate::error::FormatError;

/// Arrays inside arrays, at most.
const DEPTH: u32 = 8;

/// What a metadata value or an array's element is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Str,
    Array,
    U64,
    I64,
    F64,
}

/// Type, name, and the least bytes of a value of it, at the type's id in the file.
const TYPES: [(ValueType, &str, u64); 13] = [
    (ValueType::U8, "u8", 1),
    (ValueType::I8, "i8", 1),
    (ValueType::U16, "u16", 2),
    (ValueType::I16, "i16", 2),
    (ValueType::U32, "u32", 4),
    (ValueType::I32, "i32", 4),
    (ValueType::F32, "f32", 4),
    (ValueType::Bool, "bool", 1),
    (ValueType::Str, "string", 8),
    (ValueType::Array, "array", 12),
    (ValueType::U64, "u64", 8),
    (ValueType::I64, "i64", 8),
    (ValueType::F64, "f64", 8),
];

impl ValueType {
    fn read(reader: &mut Reader<'_>, what: &str) -> Result<ValueType, FormatError> {
        let offset = reader.offset();
        let id = reader.u32(what)?;
        TYPES
            .get(id as usize)
            .map(|(kind, ..)| *kind)
            .ok_or_else(|| Reader::field(offset, what, id.to_string(), "0 to 12"))
    }
    /// Its name.
    pub fn name(self) -> &'static str {
        TYPES[self as usize].1
    }
    fn least_bytes(self) -> u64 {
        TYPES[self as usize].2
    }
    fn fixed(self) -> bool {
        !matches!(self, ValueType::Str | ValueType::Array | ValueType::Bool)
    }
}

/// A metadata value.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type, as it lies in the file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Array<'a> {
    /// What its elements are.
    pub element: ValueType,
    /// How many.
    pub len: u64,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Its elements, in order. They were checked when the file was opened.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let element = self.element;
        let mut reader = Reader::at(self.bytes, 0);
        (0..self.len).map(move |_| {
            Value::read(&mut reader, element, 0).expect("the array was walked when the file was opened")
        })
    }
}

impl<'a> Value<'a> {
    /// Type and value at the reader.
    pub(super) fn read_typed(reader: &mut Reader<'a>) -> Result<Value<'a>, FormatError> {
        let kind = ValueType::read(reader, "a value's type")?;
        Value::read(reader, kind, 0)
    }
    fn read(reader: &mut Reader<'a>, kind: ValueType, depth: u32) -> Result<Value<'a>, FormatError> {
        let what = "a value";
        Ok(match kind {
            ValueType::U8 => Value::U8(reader.u8(what)?),
            ValueType::I8 => Value::I8(reader.u8(what)? as i8),
            ValueType::U16 => Value::U16(reader.u16(what)?),
            ValueType::I16 => Value::I16(reader.u16(what)? as i16),
            ValueType::U32 => Value::U32(reader.u32(what)?),
            ValueType::I32 => Value::I32(reader.u32(what)? as i32),
            ValueType::F32 => Value::F32(f32::from_bits(reader.u32(what)?)),
            ValueType::U64 => Value::U64(reader.u64(what)?),
            ValueType::I64 => Value::I64(reader.u64(what)? as i64),
            ValueType::F64 => Value::F64(f64::from_bits(reader.u64(what)?)),
            ValueType::Str => Value::Str(reader.string("a string")?),
            ValueType::Bool => {
                let offset = reader.offset();
                match reader.u8(what)? {
                    0 => Value::Bool(false),
                    1 => Value::Bool(true),
                    other => return Err(Reader::field(offset, "a bool", other.to_string(), "0 or 1")),
                }
            }
            ValueType::Array => Value::Array(Self::read_array(reader, depth)?),
        })
    }
    fn read_array(reader: &mut Reader<'a>, depth: u32) -> Result<Array<'a>, FormatError> {
        let offset = reader.offset();
        if depth == DEPTH {
            let expected = format!("at most {DEPTH} arrays in each other");
            return Err(Reader::field(offset, "an array", "nested deeper", expected));
        }
        let element = ValueType::read(reader, "an array's element type")?;
        let len = reader.count(element.least_bytes(), "an array's length")?;
        let mut body = *reader;
        let begin = reader.offset();
        if element.fixed() {
            // No overflow: `count` divided what is left by the same size.
            reader.take(len * element.least_bytes(), "an array")?;
        } else {
            for _ in 0..len {
                Value::read(reader, element, depth + 1)?;
            }
        }
        let bytes = body.take((reader.offset() - begin) as u64, "an array")?;
        Ok(Array { element, len, bytes })
    }

    /// What it is.
    pub fn kind(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::Str(_) => ValueType::Str,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }
    /// Its value if it is an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::U64(v) => Some(v),
            Value::I8(v) => v.try_into().ok(),
            Value::I16(v) => v.try_into().ok(),
            Value::I32(v) => v.try_into().ok(),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }
    /// Its value if it is a float.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }
    /// Its value if it is a string.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::Str(v) => Some(v),
            _ => None,
        }
    }
    /// Its value if it is a bool.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(v) => Some(v),
            _ => None,
        }
    }
    /// Its value if it is an array.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Value::Array(v) => Some(v),
            _ => None,
        }
    }
}
