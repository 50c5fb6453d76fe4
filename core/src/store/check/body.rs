//! Checking one document body, in pieces, so that its length does not matter.

use super::super::snapshot::Snapshot;
use super::report::{Report, Severity};
use crate::chunklog::{ChunkPieces, ChunkReader};
use crate::error::{Error, Result};
use crate::format::block;
use crate::format::chunk::SizeKept;
use crate::format::docinfo::{COMPRESSED, DocInfo};
use crate::format::snappy;
use crate::limits::BODY_LEN_MAX;

const WHAT: &str = "document body";
/// Longest compressed body that is inflated, in bytes as stored, so that memory stays bounded.
const INFLATED_MAX: usize = 16 << 20;

/// A body being checked.
#[derive(Debug)]
pub(super) struct BodyCheck {
    info: DocInfo,
    pieces: ChunkPieces,
    /// Whether the body is compressed and not too long to be inflated.
    compressed: bool,
    /// What was read so far, of such a body; of others the last piece.
    read: Vec<u8>,
}

/// What beginning to check a body came to.
pub(super) enum Begun {
    /// There is something to read.
    Body(BodyCheck, SizeKept),
    /// There is no body, or it cannot be read; reported.
    Nothing,
}

impl BodyCheck {
    /// Reads the head of the body's chunk.
    pub(super) fn begin(
        info: DocInfo,
        snapshot: &Snapshot,
        reader: &mut ChunkReader,
        report: &mut Report,
    ) -> Result<Begun> {
        if info.position == 0 {
            if info.physical_size != 0 {
                let size = info.physical_size;
                let what = format!("{}: no body, but a size of {size} bytes", name(&info));
                report.add(Severity::Problem, snapshot.position(), what);
            }
            return Ok(Begun::Nothing);
        }
        let pieces = match ChunkPieces::begin(reader, info.position, snapshot.position(), WHAT) {
            Ok(pieces) => pieces,
            Err(error) => {
                report_damage(&info, error, report)?;
                return Ok(Begun::Nothing);
            }
        };
        let head = pieces.head();
        let size = head.compare_size(info.physical_size);
        if size == SizeKept::Wrong {
            let (kept, size) = (info.physical_size, head.disk_size());
            let what =
                format!("{}: body of {size} bytes, {kept} are kept in the trees", name(&info));
            report.add(Severity::Problem, info.position, what);
        }
        let compressed = info.content_meta & COMPRESSED != 0;
        if compressed && head.length as usize > INFLATED_MAX {
            let what = format!("{}: too long to be inflated here; its checksum is", name(&info));
            report.add(Severity::Note, info.position, format!("{what} checked"));
        }
        let compressed = compressed && head.length as usize <= INFLATED_MAX;
        Ok(Begun::Body(BodyCheck { info, pieces, compressed, read: Vec::new() }, size))
    }

    /// Where the chunk begins and ends.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        self.info.position..block::advance(self.info.position, self.pieces.head().disk_size())
    }

    /// Disk size of the chunk.
    pub(super) fn disk_size(&self) -> u64 {
        self.pieces.head().disk_size()
    }

    /// Reads the next piece; returns its length, or `None` when the body is done with.
    pub(super) fn step(
        &mut self,
        reader: &mut ChunkReader,
        report: &mut Report,
    ) -> Result<Option<u64>> {
        if self.pieces.is_complete() {
            return Ok(None);
        }
        if !self.compressed {
            self.read.clear();
        }
        let before = self.read.len();
        if let Err(error) = self.pieces.next(reader, &mut self.read) {
            report_damage(&self.info, error, report)?;
            return Ok(None);
        }
        let length = (self.read.len() - before) as u64;
        if self.compressed
            && self.pieces.is_complete()
            && let Err(damage) = snappy::inflate(&self.read, BODY_LEN_MAX, WHAT)
        {
            let file = &reader.file().name;
            let error = Error::corrupt(file, self.info.position, damage);
            report_damage(&self.info, error, report)?;
        }
        Ok(Some(length))
    }
}

/// Reports damage of a body at its place, or at the header's if that is not in the file, naming the
/// document; passes other errors on.
fn report_damage(info: &DocInfo, error: Error, report: &mut Report) -> Result<()> {
    let Error::Corrupt { offset, damage, .. } = error else { return Err(error) };
    let what = format!("{}: {damage}", name(info));
    report.add(Severity::Problem, offset, what);
    Ok(())
}

/// A document in messages.
pub(super) fn name(info: &DocInfo) -> String {
    format!("document \"{}\" (seq {})", info.id.escape_ascii(), info.seq)
}
