//! Quantised tensors to the bytes that lie in DRAM.
//!
//! ```text
//! record of n_len x k_len:  [ scales f16: for group, for n | zeros: for group, for n | codes: for n, for k | 0 to 64 B ]
//! ```
//! Zeros and codes are bit streams, lowest bit first; ternary codes go five to a byte in base 3, first lowest.

use half::f16;
use lutsim_isa::{WeightFormat, WeightKind};

use crate::quantize::QuantisedTensor;

/// Why bytes or a tensor do not make a record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackError {
    /// Outside of the tensor.
    #[error("columns {n0}+{n_len} x weights {k0}+{k_len} lie outside of a {n} x {k} tensor")]
    Outside {
        /// First column.
        n0: u32,
        /// Columns.
        n_len: u32,
        /// First weight.
        k0: u32,
        /// Weights.
        k_len: u32,
        /// The tensor's columns.
        n: u32,
        /// The tensor's weights.
        k: u32,
    },
    /// A record's group would need two scales.
    #[error("a record of weights {k0}+{k_len} cuts groups of {size}: start it at a multiple of the group")]
    Group {
        /// First weight.
        k0: u32,
        /// Weights.
        k_len: u32,
        /// Group.
        size: u32,
    },
    /// Wrong number of bytes.
    #[error("a {format} record of {n} x {k} has {expected} bytes, not {found}")]
    Bytes {
        /// Format.
        format: WeightFormat,
        /// Columns.
        n: u32,
        /// Weights.
        k: u32,
        /// Expected.
        expected: u64,
        /// Found.
        found: u64,
    },
}

/// Bits of a code in DRAM, for the kinds that store whole bits.
const fn code_bits(kind: WeightKind) -> u32 {
    match kind {
        WeightKind::Int1 => 1,
        WeightKind::Int2 => 2,
        WeightKind::Int3 => 3,
        WeightKind::Int4 | WeightKind::Kv4 => 4,
        _ => 8,
    }
}

/// A bit stream being written, lowest bit first.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, count: 0 }
    }
    fn put(&mut self, value: u8, bits: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += bits;
        if self.count >= 32 {
            self.out.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }
    fn close(self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
    }
}

/// The record of columns `n0 .. n0 + n_len` and weights `k0 .. k0 + k_len`, padded to 64 bytes.
///
/// # Errors
/// A block outside of the tensor, or one whose groups are not the tensor's.
pub fn pack_record(
    t: &QuantisedTensor,
    n0: u32,
    n_len: u32,
    k0: u32,
    k_len: u32,
) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::with_capacity(t.format.record_bytes(n_len, k_len) as usize);
    pack_into(&mut out, t, n0, n_len, k0, k_len)?;
    Ok(out)
}

/// As [`pack_record`], appended.
///
/// # Errors
/// As [`pack_record`].
pub fn pack_into(
    out: &mut Vec<u8>,
    t: &QuantisedTensor,
    n0: u32,
    n_len: u32,
    k0: u32,
    k_len: u32,
) -> Result<(), PackError> {
    let fits = |at: u32, len: u32, all: u32| u64::from(at) + u64::from(len) <= u64::from(all);
    if !fits(n0, n_len, t.n) || !fits(k0, k_len, t.k) || k_len == 0 {
        return Err(PackError::Outside { n0, n_len, k0, k_len, n: t.n, k: t.k });
    }
    let kind = t.format.kind;
    // Which of the tensor's scales each of the record's groups has.
    let (size, step) = (t.format.group.size(t.k), t.format.group.size(k_len));
    let groups: Vec<usize> =
        (0..t.format.group.count(k_len)).map(|g| ((k0 + g * step) / size) as usize).collect();
    for (g, &found) in groups.iter().enumerate() {
        let last = (k0 + (g as u32 + 1) * step).min(k0 + k_len) - 1;
        if (last / size) as usize != found {
            return Err(PackError::Group { k0, k_len, size });
        }
    }
    let start = out.len();
    let per_row = t.groups() as usize;
    let columns = n0 as usize..(n0 + n_len) as usize;
    for &g in &groups {
        for n in columns.clone() {
            out.extend_from_slice(&t.scales[n * per_row + g].to_le_bytes());
        }
    }
    if kind.zero_bits() > 0 {
        let mut bits = Bits::new(out);
        for &g in &groups {
            for n in columns.clone() {
                bits.put(t.zeros[n * per_row + g], kind.zero_bits());
            }
        }
        bits.close();
    }
    let rows = columns.map(|n| &t.row(n as u32)[k0 as usize..][..k_len as usize]);
    match (kind, code_bits(kind)) {
        (WeightKind::Int158, _) => pack_trits(out, rows.flatten().copied()),
        (_, 8) => rows.for_each(|row| out.extend_from_slice(row)),
        // Eight codes are as many bytes as a code has bits.
        (_, width) if k_len.is_multiple_of(8) => {
            for eight in rows.flat_map(|row| row.as_chunks::<8>().0) {
                let word = eight.iter().rev().fold(0, |word, &code| word << width | u32::from(code));
                out.extend_from_slice(&word.to_le_bytes()[..width as usize]);
            }
        }
        (_, width) => {
            let mut bits = Bits::new(out);
            rows.flatten().for_each(|&code| bits.put(code, width));
            bits.close();
        }
    }
    out.resize(start + t.format.record_bytes(n_len, k_len) as usize, 0);
    Ok(())
}

fn pack_trits(out: &mut Vec<u8>, codes: impl Iterator<Item = u8>) {
    let (mut byte, mut weight) = (0, 1);
    for code in codes {
        byte += code * weight;
        if weight == 81 {
            out.push(byte);
            (byte, weight) = (0, 1);
        } else {
            weight *= 3;
        }
    }
    if weight > 1 {
        out.push(byte);
    }
}

fn unpack_bits(bytes: &[u8], width: u32, count: usize) -> Vec<u8> {
    let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1;
    let width = width as usize;
    (0..count).map(|i| (0..width).fold(0, |code, b| code | bit(i * width + b) << b)).collect()
}

/// The tensor that a record holds.
///
/// # Errors
/// A number of bytes that is not the record's.
pub fn unpack_record(
    bytes: &[u8],
    format: WeightFormat,
    n: u32,
    k: u32,
) -> Result<QuantisedTensor, PackError> {
    let expected = format.record_bytes(n, k);
    if bytes.len() as u64 != expected || format.kind.is_kv() || format.kind.is_float() {
        return Err(PackError::Bytes { format, n, k, expected, found: bytes.len() as u64 });
    }
    let (groups, n_len) = (format.group.count(k) as usize, n as usize);
    let (scales, rest) = bytes.split_at(format.scale_bytes(n, k) as usize);
    let (zeros, codes) = rest.split_at(format.zero_bytes(n, k) as usize);
    let zeros = match format.kind.zero_bits() {
        0 => vec![],
        bits => unpack_bits(zeros, bits, n_len * groups),
    };
    let weights = n_len * k as usize;
    let codes = match format.kind {
        WeightKind::Int158 => {
            (0..weights).map(|i| codes[i / 5] / [1, 3, 9, 27, 81][i % 5] % 3).collect::<Vec<_>>()
        }
        kind => unpack_bits(codes, code_bits(kind), weights),
    };
    // From "for group, for n" to a row per column.
    let order = (0..n_len).flat_map(|n| (0..groups).map(move |g| g * n_len + n));
    let half = |i: usize| f16::from_le_bytes([scales[2 * i], scales[2 * i + 1]]);
    Ok(QuantisedTensor {
        n,
        k,
        format,
        scales: order.clone().map(half).collect(),
        zeros: if zeros.is_empty() { zeros } else { order.map(|i| zeros[i]).collect() },
        codes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{KINDS, format};
    use crate::weights::{Stream, synthetic_tensor};
    use lutsim_isa::Group;
    use proptest::prelude::*;

    fn block(t: &QuantisedTensor, n0: u32, n_len: u32, k0: u32, k_len: u32) -> Vec<f32> {
        let all = t.dequantise();
        let at = |n: u32| (n * t.k + k0) as usize;
        (n0..n0 + n_len).flat_map(|n| all[at(n)..at(n) + k_len as usize].to_vec()).collect()
    }

    proptest! {
        /// Every block of every tensor comes back, in as many bytes as the format says.
        #[test]
        fn round_trip(kind in prop::sample::select(&KINDS[..]), power in 4u32..=10, row in any::<bool>(),
                      n in 1u32..9, k in 1u32..300, n0 in 0u32..9, block_k in 0u32..9, seed in any::<u64>()) {
            let group = if row { Group::Row } else { Group::Of(1 << power) };
            let t = synthetic_tensor(Stream::new(seed, "t", None), n, k, format(kind, group), 1.0);
            let n0 = n0 % n;
            let k0 = (block_k * if row { 1 } else { 1 << power }).min(k - 1) / group.size(k) * group.size(k);
            let (n_len, k_len) = (n - n0, k - k0);
            let bytes = pack_record(&t, n0, n_len, k0, k_len).unwrap();
            prop_assert_eq!(bytes.len() as u64, t.format.record_bytes(n_len, k_len));
            let back = unpack_record(&bytes, t.format, n_len, k_len).unwrap();
            prop_assert_eq!(back.dequantise(), block(&t, n0, n_len, k0, k_len));
            prop_assert_eq!(pack_record(&back, 0, n_len, 0, k_len).unwrap(), bytes);
        }
    }

    #[test]
    fn by_hand() {
        let bytes = |kind, group, codes: &[u8], n, zeros: &[u8]| {
            let k = codes.len() as u32 / n;
            let format = format(kind, group);
            let count = (n * format.group.count(k)) as usize;
            let scales = (0..count).map(|i| f16::from_bits(0x1100 + i as u16)).collect();
            let t = QuantisedTensor { n, k, format, codes: codes.to_vec(), scales, zeros: zeros.to_vec() };
            let record = pack_record(&t, 0, n, 0, k).unwrap();
            record[2 * count..][..8].to_vec()
        };
        use WeightKind::*;
        assert_eq!(bytes(Int1, Group::Row, &[1, 0, 0, 1, 0, 0, 0, 0, 1], 1, &[]), [9, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Int158, Group::Row, &[0, 1, 2, 0, 1, 2], 1, &[]), [102, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Int2, Group::Row, &[3, 0, 1, 2, 1], 1, &[2]), [2, 0x93, 1, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Int3, Group::Row, &[7, 0, 0, 0, 7], 1, &[5]), [5, 7, 0x70, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Int4, Group::Row, &[1, 2, 3], 1, &[9]), [9, 0x21, 3, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Int8, Group::Row, &[1, 255], 1, &[]), [1, 255, 0, 0, 0, 0, 0, 0]);
        // Two columns of two groups: scales and zeros go group by group, codes column by column.
        let codes: Vec<u8> = (0..64).map(|i| i / 16).collect();
        let t = QuantisedTensor {
            n: 2,
            k: 32,
            format: format(Int2, Group::Of(16)),
            codes,
            scales: [1, 2, 3, 4].map(f16::from_bits).to_vec(),
            zeros: vec![0, 1, 2, 3],
        };
        let record = pack_record(&t, 0, 2, 0, 32).unwrap();
        assert_eq!(record[..9], [1, 0, 3, 0, 2, 0, 4, 0, 0b11_01_10_00]);
        assert_eq!(
            record[9..25],
            [0, 0, 0, 0, 0x55, 0x55, 0x55, 0x55, 0xaa, 0xaa, 0xaa, 0xaa, 255, 255, 255, 255]
        );
        assert_eq!(record.len(), 64);
    }

    #[test]
    fn refusals() {
        let t =
            synthetic_tensor(Stream::new(1, "t", None), 4, 64, format(WeightKind::Int2, Group::Of(32)), 1.0);
        let say = |n0, n_len, k0, k_len| pack_record(&t, n0, n_len, k0, k_len).unwrap_err().to_string();
        assert_eq!(say(2, 3, 0, 64), "columns 2+3 x weights 0+64 lie outside of a 4 x 64 tensor");
        assert_eq!(
            say(0, 4, 16, 32),
            "a record of weights 16+32 cuts groups of 32: start it at a multiple of the group"
        );
        let say = unpack_record(&[0; 64], t.format, 4, 64).unwrap_err().to_string();
        assert_eq!(say, "a int2g32 record of 4 x 64 has 128 bytes, not 64");
        // A block inside of one group is fine: its only scale is the group's.
        assert!(pack_record(&t, 0, 4, 16, 16).is_ok());
    }
}
