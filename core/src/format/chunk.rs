//! Data chunks: u32 length with its high bit set, u32 checksum, body (format, section 1).

use super::bytes::Reader;
use crate::error::Damage;
use crate::limits::CHUNK_LEN_MAX;

/// Bytes of a chunk before its body.
pub const HEAD_LEN: usize = 8;
const MARK: u32 = 0x8000_0000;

/// What stands before a chunk's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// Length of the body, in bytes.
    pub length: u32,
    /// Checksum of the body.
    pub checksum: u32,
}

impl ChunkHead {
    /// Reads a chunk head. Damage when the mark is missing or the length cannot be.
    pub fn decode(bytes: &[u8; HEAD_LEN]) -> Result<Self, Damage> {
        let mut reader = Reader(bytes);
        let (Some(length), Some(checksum)) = (reader.u32(), reader.u32()) else {
            return Err(Damage::ShortRead { what: "chunk head" });
        };
        if length & MARK == 0 {
            return Err(Damage::ChunkMark);
        }
        let length = length & !MARK;
        if length as usize > CHUNK_LEN_MAX {
            return Err(Damage::Length { what: "chunk", length: u64::from(length) });
        }
        Ok(ChunkHead { length, checksum })
    }

    /// The head as it stands in the file.
    pub fn encode(self) -> [u8; HEAD_LEN] {
        let word = u64::from(self.length | MARK) << 32 | u64::from(self.checksum);
        word.to_be_bytes()
    }

    /// Disk size of the chunk: head and body, without the type bytes of blocks.
    pub fn disk_size(self) -> u64 {
        HEAD_LEN as u64 + u64::from(self.length)
    }
}
