//! What the tests share: data files, a writer of GGUF, a generator of numbers.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod safetensors;

use std::path::PathBuf;

/// A file of tests/data.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// The trained models.
pub const MODELS: [&str; 5] =
    ["tiny-llama-f16", "tiny-llama-q8_0", "tiny-llama-q4_0", "tiny-bitnet-tq2_0", "tiny-bitnet-tq1_0"];

/// xorshift64*: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }
}

/// A GGUF file in the making.
#[derive(Clone, Default)]
pub struct Writer {
    pub keys: Vec<Vec<u8>>,
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

/// Length and bytes.
pub fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()
}

impl Writer {
    pub fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Writer {
        self.keys.push([&string(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }
    pub fn u32(self, key: &str, value: u32) -> Writer {
        self.raw(key, 4, &value.to_le_bytes())
    }
    pub fn f32(self, key: &str, value: f32) -> Writer {
        self.raw(key, 6, &value.to_le_bytes())
    }
    pub fn str(self, key: &str, value: &str) -> Writer {
        self.raw(key, 8, &string(value))
    }
    pub fn array(self, key: &str, element: u32, items: &[Vec<u8>]) -> Writer {
        let value =
            [&element.to_le_bytes()[..], &(items.len() as u64).to_le_bytes(), &items.concat()].concat();
        self.raw(key, 9, &value)
    }
    pub fn strings(self, key: &str, items: &[&str]) -> Writer {
        self.array(key, 8, &items.iter().map(|s| string(s)).collect::<Vec<_>>())
    }
    pub fn tensor(mut self, name: &str, dims: &[u64], kind: u32, data: &[u8]) -> Writer {
        self.tensors.push((name.into(), dims.to_vec(), kind, data.to_vec()));
        self
    }
    /// A tensor of F32.
    pub fn floats(self, name: &str, dims: &[u64], values: &[f32]) -> Writer {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, 0, &data)
    }
    /// The file, and where its tensors' records begin.
    pub fn bytes_and_records(&self) -> (Vec<u8>, usize) {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        let records = out.len();
        let mut at = 0u64;
        for (name, dims, kind, data) in &self.tensors {
            out.extend(string(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(at.to_le_bytes());
            at = (at + data.len() as u64).next_multiple_of(32);
        }
        for (.., data) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(data);
        }
        (out, records)
    }
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_and_records().0
    }
}
