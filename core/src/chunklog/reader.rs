//! Reading chunks by position, through a window of the file.

use std::ops::Range;

use super::{FileNodes, LogFile};
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::chunk::{ChunkHead, HEAD_LEN};
use crate::limits::{BLOCK_SIZE, NODE_THRESHOLD};

/// Reads chunks of one file. Keeps the stretch of the file that it read last, so that neighbours
/// cost no further read: a small window suits lookups, a large one walks.
///
/// Only bytes that are not written again while it is in use may be asked for: those before a header that
/// is committed, or before the end of what a batch found on the device. So the window cannot go stale.
#[derive(Debug)]
pub struct ChunkReader {
    file: LogFile,
    /// The bytes read last are the first `window_len` of it; zeroed only where it grows.
    window: Vec<u8>,
    window_len: usize,
    window_start: u64,
    window_size: usize,
    /// Bytes to read next: doubled up to `window_size` as long as reads go forward without much of a
    /// gap, so that jumping about in a file costs no more than what is looked at.
    reach: usize,
    /// The chunk asked for last, where it reaches over a block's type byte.
    payload: Vec<u8>,
    /// For lookups: nodes of the file that are kept in memory.
    nodes: Option<FileNodes>,
}

/// Bytes of the first read, and after a jump, of a chunk whose length nothing tells: nearly every
/// node is shorter.
const FIRST_REACH: usize = NODE_THRESHOLD + 64;
/// Bytes that are read at once because something says that a chunk is so long, at most: it may lie.
const EXPECTED_MAX: u64 = 64 << 10;

/// Bytes that are passed over rather than begun anew behind, at most: to read them costs no more.
const GAP_MAX: u64 = 2 * BLOCK_SIZE;

/// Where payload bytes are that were asked for.
enum Loaded {
    /// In this part of the window.
    InWindow(Range<usize>),
    /// Put together, as a type byte comes between.
    Joined,
}

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
        ChunkReader {
            file,
            window,
            window_len: 0,
            window_start: 0,
            window_size,
            reach,
            payload,
            nodes: None,
        }
    }

    /// A reader for lookups, which finds nodes among those kept in memory, and keeps them there.
    pub(crate) fn for_lookups(file: LogFile, nodes: Option<FileNodes>) -> Self {
        ChunkReader { nodes, ..ChunkReader::new(file, Self::LOOKUP_WINDOW) }
    }

    /// Nodes of the file that are kept in memory.
    pub(crate) fn nodes(&self) -> Option<&FileNodes> {
        self.nodes.as_ref()
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
        let bytes = self.load(position, HEAD_LEN, what)?;
        let head = <[u8; HEAD_LEN]>::try_from(self.loaded(&bytes))
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
        let body = block::advance(position, HEAD_LEN as u64);
        let body = self.load(body, head.length as usize, what)?;
        let computed = self.file.checksum.of(self.loaded(&body));
        if computed != head.checksum {
            let damage = Damage::Checksum { what, stored: head.checksum, computed };
            return Err(Error::corrupt(&self.file.name, position, damage));
        }
        Ok(self.loaded(&body))
    }

    /// Reads at once what a chunk at `position` takes that is `disk_size` bytes long, so that neither
    /// its head is read first nor more than it takes; no harm is done if it is not as long as that.
    pub fn expect(&mut self, position: u64, disk_size: u64, before: u64) -> Result<()> {
        let end = block::advance(position, disk_size.min(EXPECTED_MAX)).min(before);
        match position < end && !self.holds(position, end) {
            true => self.fill(position, end, 0),
            false => Ok(()),
        }
    }

    /// As [`expect`](Self::expect), for a node: `subtree_size` is that of a leaf, and of an interior
    /// node with all below it.
    pub(crate) fn expect_node(
        &mut self,
        position: u64,
        subtree_size: u64,
        before: u64,
    ) -> Result<()> {
        self.expect(position, subtree_size.min(FIRST_REACH as u64), before)
    }

    /// Reads at once from byte `start` to the node at `last`, if the window takes all that: for nodes
    /// that will be asked for one after the other.
    pub(crate) fn expect_nodes(&mut self, start: u64, last: u64, before: u64) -> Result<()> {
        let end = (last + FIRST_REACH as u64).min(before);
        // A damaged file may have them lie behind `before`.
        let length = end.saturating_sub(start);
        let fits = (1..=self.window_size as u64).contains(&length);
        match last.saturating_sub(start) > FIRST_REACH as u64 && fits && !self.holds(start, end) {
            true => self.read(start, length as usize),
            false => Ok(()),
        }
    }

    /// Appends part of a chunk's body to `out`: `length` payload bytes from `position` on, which the
    /// caller knows to lie inside the chunk.
    pub(super) fn piece(
        &mut self,
        position: u64,
        length: usize,
        what: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let range = self.raw(position, length, what)?;
        block::strip(position, self.window.get(range).unwrap_or_default(), out);
        Ok(())
    }

    /// Sees to it that `length` payload bytes from `position` on are in memory, and says where: in
    /// place if no type byte comes between.
    fn load(&mut self, position: u64, length: usize, what: &'static str) -> Result<Loaded> {
        let range = self.raw(position, length, what)?;
        if range.len() == length {
            return Ok(Loaded::InWindow(range));
        }
        self.payload.clear();
        let raw = self.window.get(range).unwrap_or_default();
        block::strip(position, raw, &mut self.payload);
        Ok(Loaded::Joined)
    }

    /// Sees to it that the bytes that `length` payload bytes from `position` on take are in the window,
    /// type bytes and all, and says where.
    fn raw(&mut self, position: u64, length: usize, what: &'static str) -> Result<Range<usize>> {
        let end = block::advance(position, length as u64);
        if !self.holds(position, end) {
            self.fill(position, end, FIRST_REACH)?;
        }
        let from = (position - self.window_start) as usize;
        let to = (end - self.window_start) as usize;
        match to <= self.window_len {
            true => Ok(from..to),
            false => {
                let damage = Damage::ShortRead { what };
                Err(Error::corrupt(&self.file.name, position, damage))
            }
        }
    }

    fn loaded(&self, place: &Loaded) -> &[u8] {
        match place {
            Loaded::InWindow(range) => self.window.get(range.clone()).unwrap_or_default(),
            Loaded::Joined => &self.payload,
        }
    }

    /// Whether the window holds the bytes `position..end`.
    fn holds(&self, position: u64, end: u64) -> bool {
        self.window_start <= position && end <= self.window_start + self.window_len as u64
    }

    /// Moves the window over `position..end`, and `least` bytes even after a jump.
    fn fill(&mut self, position: u64, end: u64, least: usize) -> Result<()> {
        let forward = self.window_start + self.window_len as u64;
        let near = self.window_start..=forward + GAP_MAX;
        let wanted = match self.window_len > 0 && near.contains(&position) {
            true => {
                self.reach = (2 * self.reach).min(self.window_size);
                self.reach
            }
            false => {
                self.reach = FIRST_REACH;
                least
            }
        };
        self.read(position, ((end - position) as usize).max(wanted))
    }

    /// Makes the `length` bytes from `position` on the window.
    fn read(&mut self, position: u64, length: usize) -> Result<()> {
        if self.window.len() < length {
            self.window.resize(length, 0);
        }
        (self.window_start, self.window_len) = (position, 0);
        self.window_len = self.file.read_at(position, &mut self.window[..length])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::MemoryDevice;
    use crate::format::checksum::Checksum;

    #[test]
    fn what_lies_behind_what_points_at_it_is_not_read_ahead() {
        let device = Arc::new(MemoryDevice::from_bytes(vec![0; 1 << 16]));
        let file = LogFile { name: "damaged".into(), device, checksum: Checksum::Crc32c };
        let mut reader = ChunkReader::new(file, ChunkReader::WALK_WINDOW);
        reader.expect_nodes(50_000, 60_000, 20_000).unwrap();
        assert_eq!(reader.window_len, 0);
        reader.expect_nodes(10_000, 15_000, 20_000).unwrap();
        assert!(reader.holds(10_000, 15_000 + FIRST_REACH as u64));
    }
}
