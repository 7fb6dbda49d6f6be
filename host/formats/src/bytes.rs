//! A place in a file's bytes: every read is checked against what is left, and nothing is copied.

use crate::error::FormatError;

/// A place in `bytes`.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At byte `at` of a file, which must be in it.
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Reader<'a> {
        debug_assert!(at <= bytes.len());
        Reader { bytes, at }
    }
    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }
    /// Bytes left.
    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }
    /// The next `needed` bytes.
    pub(crate) fn take(&mut self, needed: u64, what: &str) -> Result<&'a [u8], FormatError> {
        if needed > self.left() {
            return Err(FormatError::Truncated {
                offset: self.at as u64,
                what: what.into(),
                needed,
                left: self.left(),
            });
        }
        // No more than the length of a slice, so it is a usize.
        let end = self.at + needed as usize;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }
    /// The next byte.
    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, FormatError> {
        self.array(what).map(u8::from_le_bytes)
    }
    /// The next two bytes, little-endian; likewise the others.
    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, FormatError> {
        self.array(what).map(u16::from_le_bytes)
    }
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }
    /// A field at `offset` that holds what it must not.
    pub(crate) fn field(
        offset: usize,
        what: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> FormatError {
        FormatError::Field {
            offset: offset as u64,
            what: what.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }
    /// A count of things of at least `least` bytes each, checked against what is left.
    pub(crate) fn count(&mut self, least: u64, what: &str) -> Result<u64, FormatError> {
        let offset = self.at;
        let count = self.u64(what)?;
        let most = self.left() / least;
        if count > most {
            let left = self.left();
            let expected = format!("at most {most}: {left} bytes are left, and each needs {least}");
            return Err(Self::field(offset, what, count.to_string(), expected));
        }
        Ok(count)
    }
    /// A length and as many bytes of UTF-8, both called `what`.
    pub(crate) fn string(&mut self, what: &str) -> Result<&'a str, FormatError> {
        let length = self.u64(what)?;
        let offset = self.at;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|e| {
            let found = format!("not UTF-8 behind {} bytes", e.valid_up_to());
            Self::field(offset, what, found, "UTF-8")
        })
    }
}
