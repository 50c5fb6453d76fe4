//! Data chunks: u32 length with its high bit set, u32 checksum, body (format, section 1).

use super::bytes::Reader;
use crate::error::Damage;
use crate::limits::{BLOCK_SIZE, CHUNK_LEN_MAX};

/// Bytes of a chunk before its body.
pub const HEAD_LEN: usize = 8;
const MARK: u32 = 0x8000_0000;
/// Bytes by which an encrypted chunk is longer on disk than the same chunk in plain.
const ENCRYPTION_OVERHEAD: u64 = 12;

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

    /// Compares a disk size that was written down for this chunk with the true one.
    pub fn compare_size(self, written_down: u64) -> SizeKept {
        let size = self.disk_size();
        let type_bytes = size.div_ceil(BLOCK_SIZE - 1) + 1;
        if written_down == size {
            SizeKept::Exact
        } else if (size..=size + type_bytes).contains(&written_down)
            || written_down.abs_diff(size) == ENCRYPTION_OVERHEAD
        {
            SizeKept::AsOthersCount
        } else {
            SizeKept::Wrong
        }
    }
}

/// What a disk size that was written down is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeKept {
    /// The chunk's size.
    Exact,
    /// Not the chunk's size, but no damage: libraries up to 6.6 counted the type bytes of blocks,
    /// and the reference keeps sizes when its compaction encrypts or decrypts a file.
    AsOthersCount,
    /// No writer's way of counting gives it.
    Wrong,
}
