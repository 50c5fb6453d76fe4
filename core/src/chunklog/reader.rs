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
    /// The bytes read last are the first `window_len` of it; zeroed only where it grows.
    window: Vec<u8>,
    window_len: usize,
    window_start: u64,
    window_size: usize,
    /// Bytes to read next: doubled up to `window_size` as long as reads go forward, so that jumping
    /// about in a file costs no more than what is looked at.
    reach: usize,
    /// The chunk asked for last, where it reaches over a block's type byte.
    payload: Vec<u8>,
}

/// Bytes of the first read, and after a jump: nearly every node is shorter.
const FIRST_REACH: usize = BLOCK_SIZE as usize / 2;
/// Bytes that are read at once because something says that a chunk is so long, at most: it may lie.
const EXPECTED_MAX: u64 = 64 << 10;

impl ChunkReader {
    /// Window for single lookups, in bytes: what a few neighbours lie in.
    pub const LOOKUP_WINDOW: usize = 2 * BLOCK_SIZE as usize;
    /// Window for walks over much of a file, in bytes.
    pub const WALK_WINDOW: usize = 256 << 10;

    /// A reader that reads up to `window_size` bytes at a time: a node's worth at least, and more
    /// where a chunk is longer.
    pub fn new(file: LogFile, window_size: usize) -> Self {
        let (window, payload) = (Vec::new(), Vec::new());
        let (window_size, reach) = (window_size.max(FIRST_REACH), FIRST_REACH);
        ChunkReader { file, window, window_len: 0, window_start: 0, window_size, reach, payload }
    }

    /// The file that is read.
    pub fn file(&self) -> &LogFile {
        &self.file
    }

    /// Head of the chunk at `position`, which must end at or before `before`: a chunk lies before
    /// whatever points at it.
    pub fn head(&mut self, position: u64, before: u64, what: &'static str) -> Result<ChunkHead> {
        if position >= before {
            let damage = Damage::Pointer { what, pointer: position };
            return Err(Error::corrupt(&self.file.name, before, damage));
        }
        let head = <[u8; HEAD_LEN]>::try_from(self.payload(position, HEAD_LEN, what)?)
            .map_err(|_| Damage::ShortRead { what })
            .and_then(|bytes| ChunkHead::decode(&bytes))
            .map_err(|damage| Error::corrupt(&self.file.name, position, damage))?;
        if block::advance(position, head.disk_size()) > before {
            let damage = Damage::Length { what, length: u64::from(head.length) };
            return Err(Error::corrupt(&self.file.name, position, damage));
        }
        Ok(head)
    }

    /// Body of the chunk at `position`, its checksum verified. `before` as for [`head`](Self::head).
    pub fn chunk(&mut self, position: u64, before: u64, what: &'static str) -> Result<&[u8]> {
        let head = self.head(position, before, what)?;
        let (file, checksum) = (self.file.name.clone(), self.file.checksum);
        let body = block::advance(position, HEAD_LEN as u64);
        let body = self.payload(body, head.length as usize, what)?;
        let computed = checksum.of(body);
        if computed != head.checksum {
            let damage = Damage::Checksum { what, stored: head.checksum, computed };
            return Err(Error::corrupt(&file, position, damage));
        }
        Ok(body)
    }

    /// Reads what a chunk of `disk_size` bytes at `position` takes, if it is as long as that, so that
    /// its head need not be read first.
    pub fn expect(&mut self, position: u64, disk_size: u64, before: u64) -> Result<()> {
        let end = block::advance(position, disk_size.min(EXPECTED_MAX)).min(before);
        match position < end && !self.holds(position, end) {
            true => self.fill(position, end),
            false => Ok(()),
        }
    }

    /// Part of a chunk's body: `length` payload bytes from `position` on, which the caller knows to
    /// lie inside the chunk.
    pub(super) fn piece(
        &mut self,
        position: u64,
        length: usize,
        what: &'static str,
    ) -> Result<&[u8]> {
        self.payload(position, length, what)
    }

    /// `length` payload bytes from `position` on: in place where no type byte comes between.
    fn payload(&mut self, position: u64, length: usize, what: &'static str) -> Result<&[u8]> {
        let end = block::advance(position, length as u64);
        if !self.holds(position, end) {
            self.fill(position, end)?;
        }
        let from = (position - self.window_start) as usize;
        let to = (end - self.window_start) as usize;
        let Some(raw) = self.window[..self.window_len].get(from..to) else {
            let damage = Damage::ShortRead { what };
            return Err(Error::corrupt(&self.file.name, position, damage));
        };
        if raw.len() == length {
            return Ok(raw);
        }
        self.payload.clear();
        block::strip(position, raw, &mut self.payload);
        Ok(&self.payload)
    }

    /// Whether the window holds the bytes `position..end`.
    fn holds(&self, position: u64, end: u64) -> bool {
        self.window_start <= position && end <= self.window_start + self.window_len as u64
    }

    /// Moves the window over `position..end`.
    fn fill(&mut self, position: u64, end: u64) -> Result<()> {
        let forward = self.window_start + self.window_len as u64;
        let near = self.window_start..=forward + self.window_size as u64;
        self.reach = match self.window_len > 0 && near.contains(&position) {
            true => (2 * self.reach).min(self.window_size),
            false => FIRST_REACH,
        };
        let length = ((end - position) as usize).max(self.reach);
        if self.window.len() < length {
            self.window.resize(length, 0);
        }
        (self.window_start, self.window_len) = (position, 0);
        self.window_len = self.file.read_at(position, &mut self.window[..length])?;
        Ok(())
    }
}
