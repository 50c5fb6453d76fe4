//! A chunk's body read piece by piece, for hosts that must not read a long one at a stretch.

use super::ChunkReader;
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::chunk::{ChunkHead, HEAD_LEN};

/// A chunk that is being read. Its checksum is compared when the last piece is read: what was handed
/// out before must not be trusted until then.
#[derive(Debug)]
pub struct ChunkPieces {
    position: u64,
    head: ChunkHead,
    what: &'static str,
    read: usize,
    computed: u32,
    verified: bool,
}

impl ChunkPieces {
    /// Bytes of a piece, at most.
    pub const PIECE: usize = 256 << 10;

    /// Begins with the chunk at `position`; `before` and `what` as for [`ChunkReader::head`].
    pub fn begin(
        reader: &mut ChunkReader,
        position: u64,
        before: u64,
        what: &'static str,
    ) -> Result<Self> {
        let head = reader.head(position, before, what)?;
        Ok(ChunkPieces { position, head, what, read: 0, computed: 0, verified: false })
    }

    /// The chunk's head.
    pub fn head(&self) -> ChunkHead {
        self.head
    }

    /// Whether all of the body was read and its checksum found right.
    pub fn is_complete(&self) -> bool {
        self.verified
    }

    /// Appends the next piece to `out`; nothing at the end, and of an empty body. With the last one the
    /// checksum is verified.
    pub fn next(&mut self, reader: &mut ChunkReader, out: &mut Vec<u8>) -> Result<()> {
        let (checksum, start) = (reader.file().checksum, out.len());
        let length = (self.head.length as usize - self.read).min(Self::PIECE);
        let at = block::advance(self.position, (HEAD_LEN + self.read) as u64);
        reader.piece(at, length, self.what, out)?;
        let piece = out.get(start..).unwrap_or_default();
        self.read += piece.len();
        self.computed = checksum.extend(self.computed, piece);
        let (stored, computed) = (self.head.checksum, self.computed);
        if self.read == self.head.length as usize {
            if stored != computed {
                let damage = Damage::Checksum { what: self.what, stored, computed };
                return Err(Error::corrupt(&reader.file().name, self.position, damage));
            }
            self.verified = true;
        }
        Ok(())
    }
}
