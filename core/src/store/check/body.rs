//! Checking one document body, in pieces, so that its length does not matter.

use super::super::snapshot::Snapshot;
use super::report::{Report, Severity};
use crate::chunklog::ChunkReader;
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::chunk::{ChunkHead, HEAD_LEN, SizeKept};
use crate::format::docinfo::{COMPRESSED, DocInfo};
use crate::format::snappy;

const WHAT: &str = "document body";
/// Bytes read at a time, at most.
const PIECE: usize = 256 << 10;

/// A body being checked.
#[derive(Debug)]
pub(super) struct BodyCheck {
    info: DocInfo,
    head: ChunkHead,
    checksum: u32,
    read: usize,
    /// Only of compressed bodies. What it says counts only if the checksum is right.
    inflating: Option<Result<snappy::Scan, Damage>>,
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
        let head = match reader.head(info.position, snapshot.position(), WHAT) {
            Ok(head) => head,
            Err(error) => {
                report_damage(&info, error, report)?;
                return Ok(Begun::Nothing);
            }
        };
        let size = head.compare_size(info.physical_size);
        if size == SizeKept::Wrong {
            let (kept, size) = (info.physical_size, head.disk_size());
            let what =
                format!("{}: body of {size} bytes, {kept} are kept in the trees", name(&info));
            report.add(Severity::Problem, info.position, what);
        }
        let inflating = (info.content_meta & COMPRESSED != 0).then(|| Ok(snappy::Scan::default()));
        Ok(Begun::Body(BodyCheck { info, head, checksum: 0, read: 0, inflating }, size))
    }

    /// Where the chunk begins and ends.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        self.info.position..block::advance(self.info.position, self.head.disk_size())
    }

    /// Disk size of the chunk.
    pub(super) fn disk_size(&self) -> u64 {
        self.head.disk_size()
    }

    /// Reads the next piece; returns its length, or `None` when the body is done with.
    pub(super) fn step(
        &mut self,
        reader: &mut ChunkReader,
        report: &mut Report,
    ) -> Result<Option<u64>> {
        let left = self.head.length as usize - self.read;
        if left == 0 {
            self.finish(reader, report)?;
            return Ok(None);
        }
        let at = block::advance(self.info.position, (HEAD_LEN + self.read) as u64);
        let piece = match reader.piece(at, left.min(PIECE), WHAT) {
            Ok(piece) => piece.to_vec(),
            Err(error) => {
                report_damage(&self.info, error, report)?;
                return Ok(None);
            }
        };
        self.read += piece.len();
        self.checksum = reader.file().checksum.extend(self.checksum, &piece);
        if let Some(Ok(scan)) = &mut self.inflating
            && let Err(damage) = scan.feed(&piece, WHAT)
        {
            self.inflating = Some(Err(damage));
        }
        Ok(Some(piece.len() as u64))
    }

    fn finish(&mut self, reader: &ChunkReader, report: &mut Report) -> Result<()> {
        let (stored, computed) = (self.head.checksum, self.checksum);
        if stored != computed {
            let damage = Damage::Checksum { what: WHAT, stored, computed };
            return self.report(damage, reader, report);
        }
        match self.inflating.take().map(|scan| scan.and_then(|scan| scan.finish(WHAT))) {
            Some(Err(damage)) => self.report(damage, reader, report),
            _ => Ok(()),
        }
    }

    fn report(&self, damage: Damage, reader: &ChunkReader, report: &mut Report) -> Result<()> {
        let error = Error::corrupt(&reader.file().name, self.info.position, damage);
        report_damage(&self.info, error, report)
    }
}

/// Reports damage of a body at the body's place, naming the document; passes other errors on.
fn report_damage(info: &DocInfo, error: Error, report: &mut Report) -> Result<()> {
    let Error::Corrupt { damage, .. } = error else { return Err(error) };
    let what = format!("{}: {damage}", name(info));
    report.add(Severity::Problem, info.position, what);
    Ok(())
}

/// A document in messages.
pub(super) fn name(info: &DocInfo) -> String {
    format!("document \"{}\" (seq {})", info.id.escape_ascii(), info.seq)
}
