//! A table as a Parquet file: a column's type is what all its values are.

use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::table::Table;
use crate::value::Value;

/// What all values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Flag,
    Int,
    Float,
    Text,
}

fn kind(table: &Table, column: usize) -> Kind {
    let mut found = None;
    for row in &table.rows {
        found = match (&row[column], found) {
            (Value::Null, kind) => kind,
            (Value::Flag(_), None | Some(Kind::Flag)) => Some(Kind::Flag),
            (Value::Int(_), None | Some(Kind::Int)) => Some(Kind::Int),
            (Value::Int(_) | Value::Float(_), None | Some(Kind::Int | Kind::Float)) => Some(Kind::Float),
            _ => return Kind::Text,
        };
    }
    // A column without a value is one of numbers.
    found.unwrap_or(Kind::Float)
}

/// The bytes of the file.
///
/// # Errors
/// What the format refuses; nothing that is known.
pub fn to_parquet(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let kinds: Vec<Kind> = (0..table.columns.len()).map(|c| kind(table, c)).collect();
    let field = |(name, kind): (&String, &Kind)| {
        let (physical, converted) = match kind {
            Kind::Flag => (Physical::BOOLEAN, ConvertedType::NONE),
            Kind::Int => (Physical::INT64, ConvertedType::NONE),
            Kind::Float => (Physical::DOUBLE, ConvertedType::NONE),
            Kind::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
        };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        builder.with_converted_type(converted).build().map(Arc::new)
    };
    let fields = table.columns.iter().zip(&kinds).map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("sweep").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut column = 0;
    while let Some(mut writer) = group.next_column()? {
        write(table, column, kinds[column], &mut writer)?;
        writer.close()?;
        column += 1;
    }
    group.close()?;
    file.into_inner()
}

fn write(
    table: &Table,
    column: usize,
    kind: Kind,
    to: &mut SerializedColumnWriter<'_>,
) -> Result<(), ParquetError> {
    let cells = || table.rows.iter().map(|row| &row[column]);
    let levels: Vec<i16> = cells().map(|v| i16::from(*v != Value::Null)).collect();
    match kind {
        Kind::Flag => {
            let values: Vec<bool> = cells().filter_map(|v| Some(v.number()? != 0.0)).collect();
            to.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Int => {
            let int = |v: &Value| if let Value::Int(n) = v { Some(*n) } else { None };
            to.typed::<Int64Type>().write_batch(
                &cells().filter_map(int).collect::<Vec<_>>(),
                Some(&levels),
                None,
            )?;
        }
        Kind::Float => {
            let values: Vec<f64> = cells().filter_map(Value::number).collect();
            to.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Text => {
            let set = cells().filter(|v| **v != Value::Null);
            let values: Vec<ByteArray> = set.map(|v| ByteArray::from(v.to_string().into_bytes())).collect();
            to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    #[test]
    fn what_is_written_reads_back() {
        let rows = vec![
            vec![
                Value::Int(1),
                Value::Float(0.1),
                Value::text("a, \"b\""),
                Value::Flag(true),
                Value::Int(7),
                Value::Null,
            ],
            vec![Value::Null, Value::Int(3), Value::Null, Value::Flag(false), Value::text("x"), Value::Null],
        ];
        let columns = ["int", "float", "text", "flag", "mixed", "nothing"].map(str::to_owned).into();
        let table = Table { columns, rows };
        let bytes = to_parquet(&table).unwrap();
        assert_eq!(bytes, to_parquet(&table).unwrap());
        let mut on_disk = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut on_disk, &bytes).unwrap();
        let reader = SerializedFileReader::new(on_disk).unwrap();
        let found: Vec<Vec<(String, Field)>> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect();
        let of = |row: usize, name: &str| found[row].iter().find(|c| c.0 == name).unwrap().1.clone();
        assert_eq!([of(0, "int"), of(1, "int")], [Field::Long(1), Field::Null]);
        assert_eq!([of(0, "float"), of(1, "float")], [Field::Double(0.1), Field::Double(3.0)]);
        assert_eq!(of(0, "text"), Field::Str("a, \"b\"".into()));
        assert_eq!([of(0, "flag"), of(1, "flag")], [Field::Bool(true), Field::Bool(false)]);
        assert_eq!([of(0, "mixed"), of(1, "mixed")], [Field::Str("7".into()), Field::Str("x".into())]);
        assert_eq!(of(0, "nothing"), Field::Null);
    }

    #[test]
    fn no_rows_are_a_file_too() {
        let table = Table { columns: vec!["a".into()], rows: Vec::new() };
        assert!(to_parquet(&table).unwrap().starts_with(b"PAR1"));
    }
}
