//! DRAM as the instructions see it: bytes behind 48-bit addresses, kept in pages that exist once written.

use std::collections::BTreeMap;

use crate::control::FaultKind;

const PAGE: u64 = 64 << 10;

/// Sparse byte memory; what was never written reads as zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    pages: BTreeMap<u64, Box<[u8]>>,
    capacity: u64,
}

impl Memory {
    /// Memory of `capacity` bytes, all zero.
    pub fn new(capacity: u64) -> Self {
        Self { pages: BTreeMap::new(), capacity }
    }
    /// Bytes it has.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }
    /// Bytes of host memory its pages take.
    pub fn resident(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }
    /// Copies bytes out.
    ///
    /// # Errors
    /// A range that does not lie within the capacity.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), FaultKind> {
        self.check(addr, out.len())?;
        for (page, offset, range) in pieces(addr, out.len()) {
            let piece = &mut out[range];
            match self.pages.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[offset..offset + piece.len()]),
                None => piece.fill(0),
            }
        }
        Ok(())
    }
    /// Copies bytes in.
    ///
    /// # Errors
    /// A range that does not lie within the capacity.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        self.check(addr, bytes.len())?;
        for (page, offset, range) in pieces(addr, bytes.len()) {
            let piece = &bytes[range];
            let page = self.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize].into());
            page[offset..offset + piece.len()].copy_from_slice(piece);
        }
        Ok(())
    }
    fn check(&self, addr: u64, len: usize) -> Result<(), FaultKind> {
        match addr.checked_add(len as u64) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => super::refuse(format!(
                "address beyond DRAM: {len} bytes at {addr:#x} of {:#x} ({} bytes)",
                self.capacity, self.capacity
            )),
        }
    }
}

/// The range cut at page borders: (page, offset in it, range of the buffer).
fn pieces(addr: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = addr + done as u64;
        let offset = (at % PAGE) as usize;
        let start = done;
        done = len.min(start + PAGE as usize - offset);
        Some((at / PAGE, offset, start..done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_bytes_are_zero_and_pages_join() {
        let mut memory = Memory::new(1 << 40);
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        memory.write(3 * PAGE - 7, &bytes).unwrap();
        let mut back = vec![9; bytes.len() + 10];
        memory.read(3 * PAGE - 12, &mut back).unwrap();
        assert_eq!(&back[..5], &[0; 5]);
        assert_eq!(&back[5..bytes.len() + 5], &bytes[..]);
        assert_eq!(&back[bytes.len() + 5..], &[0; 5]);
        assert_eq!(memory.resident(), 5 * PAGE);
    }

    #[test]
    fn the_end_is_the_end() {
        let mut memory = Memory::new(100);
        assert!(memory.write(96, &[1; 4]).is_ok());
        assert!(memory.read(100, &mut []).is_ok());
        let say = memory.write(97, &[1; 4]).unwrap_err().to_string();
        assert_eq!(say, "address beyond DRAM: 4 bytes at 0x61 of 0x64 (100 bytes)");
        assert!(memory.read(u64::MAX, &mut [0; 2]).is_err());
    }
}
