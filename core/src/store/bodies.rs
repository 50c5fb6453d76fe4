//! Reading bodies, with buffers that are kept from one to the next.

use super::snapshot::Snapshot;
use crate::chunklog::ChunkReader;
use crate::error::{Error, Result};
use crate::format::block;
use crate::format::docinfo::DocInfoRef;
use crate::format::snappy;
use crate::limits::BODY_LEN_MAX;

/// Bytes between two bodies that are read with them, at most: another read costs more.
const GAP_MAX: u64 = 4096;
/// Bytes of bodies and what lies between that are read at once, at most.
const TOGETHER_MAX: u64 = 64 << 10;

/// Reads bodies of one state's documents and lends them until the next one is read.
#[derive(Debug)]
pub struct BodyReader {
    reader: ChunkReader,
    /// Position of the header.
    before: u64,
    inflated: Vec<u8>,
}

/// Where a body is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) disk_size: u64,
}

impl Place {
    fn end(&self) -> u64 {
        block::advance(self.position, self.disk_size)
    }
}

impl BodyReader {
    pub(super) fn new(snapshot: &Snapshot, window_size: usize) -> Self {
        let (reader, before) = (snapshot.reader(window_size), snapshot.position());
        BodyReader { reader, before, inflated: Vec::new() }
    }

    /// Body of a document as stored, compressed if its content meta says so; `None` when it has none.
    pub fn raw(&mut self, info: DocInfoRef<'_>) -> Result<Option<&[u8]>> {
        if info.position == 0 {
            return Ok(None);
        }
        self.reader.expect(info.position, info.physical_size, self.before)?;
        self.reader.chunk(info.position, self.before, "document body").map(Some)
    }

    /// Body of a document, inflated if it is stored compressed; `None` when it has none.
    pub fn body(&mut self, info: DocInfoRef<'_>) -> Result<Option<&[u8]>> {
        if !info.is_compressed() || info.position == 0 {
            return self.raw(info);
        }
        self.reader.expect(info.position, info.physical_size, self.before)?;
        let raw = self.reader.chunk(info.position, self.before, "document body")?;
        match snappy::inflate_into(raw, BODY_LEN_MAX, "document body", &mut self.inflated) {
            Ok(()) => Ok(Some(&self.inflated)),
            Err(damage) => Err(Error::corrupt(&self.reader.file().name, info.position, damage)),
        }
    }
    /// Reads the first of these bodies, which are in the order of their positions, and with it those
    /// that lie close behind. Returns how many those are; where the first is none, nothing is read.
    pub(super) fn read_ahead(&mut self, mut bodies: impl Iterator<Item = Place>) -> Result<usize> {
        let Some(first) = bodies.next() else { return Ok(0) };
        let (mut end, mut count) = (first.end(), 1);
        for body in bodies {
            let close = body.position <= end.saturating_add(GAP_MAX);
            if !close || body.end().saturating_sub(first.position) > TOGETHER_MAX {
                break;
            }
            (end, count) = (end.max(body.end()), count + 1);
        }
        if first.position > 0 {
            // A body that is said to take nothing ends before its position, on a boundary.
            let length = end.saturating_sub(first.position);
            self.reader.expect(first.position, length, self.before)?;
        }
        Ok(count)
    }
}
