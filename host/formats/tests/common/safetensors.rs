//! A writer of safetensors.

use serde_json::{Value, json};

/// Name, type, shape and bytes of each tensor.
pub type Tensors = Vec<(String, &'static str, Vec<u64>, Vec<u8>)>;

/// Floats 0, 1, 2, ...
pub fn counted(name: &str, shape: &[u64]) -> (String, &'static str, Vec<u64>, Vec<u8>) {
    let data = (0..shape.iter().product::<u64>()).flat_map(|i| (i as f32).to_le_bytes()).collect();
    (name.into(), "F32", shape.to_vec(), data)
}

pub fn write(tensors: &Tensors) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
