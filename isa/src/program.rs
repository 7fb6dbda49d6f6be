//! A program and its binary file.
//!
//! ```text
//! 0  8 bytes  "LUTSIMP\0"        8  u32 version     12  u32 words
//! 16 32 bytes hash of the instruction table         48  words of 16 bytes, little-endian
//! ```

use crate::table::{Inst, table_hash};

const MAGIC: &[u8; 8] = b"LUTSIMP\0";
const VERSION: u32 = 1;
const HEADER: usize = 48;

/// Bytes of one instruction word.
pub const WORD_BYTES: u64 = 16;

/// Decoded instructions, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// The instructions.
    pub code: Vec<Inst>,
}

/// Why a program file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// Not one of ours.
    #[error("not a lutsim program: the file does not start with the magic bytes `LUTSIMP`")]
    Magic,
    /// Another format version.
    #[error(
        "program format version {0} is not supported (this lutsim reads version 1); assemble the source again"
    )]
    Version(u32),
    /// Another instruction set.
    #[error(
        "the program was built for another instruction table; assemble the source again with this lutsim"
    )]
    Table,
    /// Cut short or too long.
    #[error("the header announces {words} instructions ({expected} bytes), but the file has {found} bytes")]
    Length {
        /// Instructions announced.
        words: u32,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A word that is no instruction.
    #[error("instruction {index}: {message}")]
    Word {
        /// Which.
        index: usize,
        /// What is wrong with it.
        message: String,
    },
}

impl Program {
    /// Bytes of the instructions as they lie in DRAM.
    pub fn bytes(&self) -> u64 {
        self.code.len() as u64 * WORD_BYTES
    }
    /// The instructions as they lie in DRAM.
    pub fn image(&self) -> Vec<u8> {
        self.code.iter().flat_map(|i| i.encode().to_le_bytes()).collect()
    }
    /// The program file.
    pub fn to_file(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend((self.code.len() as u32).to_le_bytes());
        out.extend(table_hash());
        out.extend(self.image());
        out
    }
    /// Reads a program file.
    ///
    /// # Errors
    /// A foreign, truncated or damaged file.
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProgramError> {
        if bytes.get(..8) != Some(MAGIC) {
            return Err(ProgramError::Magic);
        }
        let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let short = || ProgramError::Length { words: 0, expected: HEADER as u64, found: bytes.len() as u64 };
        let version = word(8).ok_or_else(short)?;
        if version != VERSION {
            return Err(ProgramError::Version(version));
        }
        let words = word(12).ok_or_else(short)?;
        if bytes.get(16..HEADER).ok_or_else(short)? != table_hash() {
            return Err(ProgramError::Table);
        }
        let expected = HEADER as u64 + u64::from(words) * WORD_BYTES;
        if bytes.len() as u64 != expected {
            return Err(ProgramError::Length { words, expected, found: bytes.len() as u64 });
        }
        let code = bytes[HEADER..]
            .chunks_exact(16)
            .enumerate()
            .map(|(index, chunk)| {
                let mut le = [0; 16];
                le.copy_from_slice(chunk);
                Inst::decode(u128::from_le_bytes(le)).map_err(|message| ProgramError::Word { index, message })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { code })
    }
}
