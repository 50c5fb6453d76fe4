//! Reading chunks by position, through a window of the file.

use super::LogFile;
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::chunk::{ChunkHead, HEAD_LEN};
use crate::limits::BLOCK_SIZE;

/// Reads chunks of one file. Keeps the stretch of the file that it read last, so that neighbours
/// cost no further read: a small window suits lookups, a large one walks.
///
/// Only bytes before a header that was committed when they were read may be asked for: those never
/// change again, so the window cannot go stale.
#[derive(Debug)]
pub struct ChunkReader {
    file: LogFile,
    window: Vec<u8>,
    window_start: u64,
    window_size: usize,
    /// Bytes to read next: doubled up to `window_size` as long as reads go forward, so that jumping
    /// about in a file costs no more than what is looked at.
    reach: usize,
    payload: Vec<u8>,
}

impl ChunkReader {
    /// Window for single lookups, in bytes: a node and what it begins in.
    pub const LOOKUP_WINDOW: usize = 2 * BLOCK_SIZE as usize;
    /// Window for walks over much of a file, in bytes.
    pub const WALK_WINDOW: usize = 256 << 10;

    /// A reader that reads up to `window_size` bytes at a time, or more where a chunk is longer.
    pub fn new(file: LogFile, window_size: usize) -> Self {
        let reach = window_size.min(Self::LOOKUP_WINDOW);
        let (window, payload) = (Vec::new(), Vec::new());
        ChunkReader { file, window, window_start: 0, window_size, reach, payload }
    }

    /// The file that is read.
    pub fn file(&self) -> &LogFile {
        &self.file
    }

    /// Head of the chunk at `position`, which must end at or before `before`: a chunk lies before
    /// whatever points at it.
    pub fn head(&mut self, position: u64, before: u64, what: &'static str) -> Result<ChunkHead> {
        let name = self.file.name.clone();
        let outside = |_| {
            let damage = Damage::Pointer { what, pointer: position };
            Error::corrupt(&name, before, damage)
        };
        if position >= before {
            return Err(outside(()));
        }
        self.payload.clear();
        self.read_payload(position, HEAD_LEN, what)?;
        let head = <[u8; HEAD_LEN]>::try_from(self.payload.as_slice())
            .map_err(|_| Damage::ShortRead { what })
            .and_then(|bytes| ChunkHead::decode(&bytes))
            .map_err(|damage| Error::corrupt(&name, position, damage))?;
        if block::advance(position, head.disk_size()) > before {
            let damage = Damage::Length { what, length: u64::from(head.length) };
            return Err(Error::corrupt(&name, position, damage));
        }
        Ok(head)
    }

    /// Body of the chunk at `position`, its checksum verified. `before` as for [`head`](Self::head).
    pub fn chunk(&mut self, position: u64, before: u64, what: &'static str) -> Result<&[u8]> {
        let head = self.head(position, before, what)?;
        let body = block::advance(position, HEAD_LEN as u64);
        self.payload.clear();
        self.read_payload(body, head.length as usize, what)?;
        let computed = self.file.checksum.of(&self.payload);
        if computed != head.checksum {
            let damage = Damage::Checksum { what, stored: head.checksum, computed };
            return Err(Error::corrupt(&self.file.name, position, damage));
        }
        Ok(&self.payload)
    }

    /// Part of a chunk's body: `length` payload bytes from `position` on, which the caller knows to
    /// lie inside the chunk.
    pub(super) fn piece(
        &mut self,
        position: u64,
        length: usize,
        what: &'static str,
    ) -> Result<&[u8]> {
        self.payload.clear();
        self.read_payload(position, length, what)?;
        Ok(&self.payload)
    }

    /// Appends `length` payload bytes from `position` on to `self.payload`.
    fn read_payload(&mut self, position: u64, length: usize, what: &'static str) -> Result<()> {
        let end = block::advance(position, length as u64);
        let window_end = self.window_start + self.window.len() as u64;
        if position < self.window_start || end > window_end {
            self.fill(position, end)?;
        }
        let from = (position - self.window_start) as usize;
        let to = (end - self.window_start) as usize;
        let Some(raw) = self.window.get(from..to) else {
            let damage = Damage::ShortRead { what };
            return Err(Error::corrupt(&self.file.name, position, damage));
        };
        block::strip(position, raw, &mut self.payload);
        Ok(())
    }

    /// Moves the window over `position..end`.
    fn fill(&mut self, position: u64, end: u64) -> Result<()> {
        let start = position - position % BLOCK_SIZE;
        let forward = self.window_start + self.window.len() as u64;
        let near = self.window_start..=forward + self.window_size as u64;
        self.reach = match near.contains(&start) {
            true => (2 * self.reach).min(self.window_size),
            false => self.window_size.min(Self::LOOKUP_WINDOW),
        };
        let length = ((end - start) as usize).max(self.reach);
        self.window.clear();
        self.window.resize(length, 0);
        self.window_start = start;
        match self.file.read_at(start, &mut self.window) {
            Ok(read) => self.window.truncate(read),
            Err(error) => {
                self.window.clear();
                return Err(error);
            }
        }
        Ok(())
    }
}
