//! The reading half of a copy: walks the source's trees, reads bodies, verifies.

use super::items::{CopyBatch, CopySource, Feed, Packed};
use super::options::{CompactionOptions, Decision};
use crate::btree::TreeWalk;
use crate::canary::{Canary, planted};
use crate::chunklog::{ChunkPieces, ChunkReader};
use crate::error::{Damage, Error, Result};
use crate::format::chunk::{ChunkHead, SizeKept};
use crate::format::docinfo::{DocInfoRef, decode_seq};
use crate::format::pointer::TreeKind;
use crate::store::{Budget, Snapshot};

/// Documents whose bodies are read together, in the order in which they lie in the file.
const WINDOW_DOCUMENTS: usize = 1024;
/// Bytes of documents read together, roughly: bodies, ids and metadata.
const WINDOW_BYTES: u64 = 1 << 20;
/// Bytes of memory that a window leaves for the next one, at most.
const WINDOW_KEPT: usize = 2 * WINDOW_BYTES as usize;

/// Walks the source in the order in which the target is built.
#[derive(Debug)]
pub struct CopyReader {
    source: Snapshot,
    keeping: Keeping,
    bodies: ChunkReader,
    /// What was read and not yet taken, and the window that is being gathered.
    batch: CopyBatch,
    phase: Phase,
    /// Bytes of the bodies read.
    body_bytes: u64,
    /// Sums over what each tree says of every document: they must come out alike.
    by_seq: Totals,
    by_id: Totals,
}

#[derive(Debug)]
enum Phase {
    Documents {
        walk: TreeWalk,
        /// Bytes that the documents of the window that is being gathered take, roughly.
        window_bytes: u64,
        /// What is left of a body that is long.
        long: Option<ChunkPieces>,
    },
    Ids(TreeWalk),
    Locals(TreeWalk),
    End,
}

/// Which documents are copied.
#[derive(Debug)]
struct Keeping {
    options: CompactionOptions,
    /// Highest sequence number in the by-seq tree.
    highest_seq: u64,
    keep_highest: bool,
}

impl Keeping {
    /// Whether a document is copied. `bodies` reads its body if the filter wants it.
    fn keeps(
        &self,
        source: &Snapshot,
        bodies: &mut ChunkReader,
        info: DocInfoRef<'_>,
    ) -> Result<bool> {
        let highest = info.seq == self.highest_seq && !planted(Canary::PurgeHighest);
        let protected = self.keep_highest && highest;
        let purged =
            (self.options.drop_deletes && info.deleted) || self.options.purge.applies_to(&info);
        if purged && !protected {
            return Ok(false);
        }
        let Some(filter) = &self.options.filter else { return Ok(true) };
        let mut decision = filter.decide(info, None);
        if decision == Decision::NeedBody {
            let body = source.read_raw_body(bodies, info)?;
            decision = filter.decide(info, body.as_deref());
        }
        Ok(decision != Decision::Drop || (protected && info.deleted))
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    documents: u64,
    fingerprint: u64,
}

impl Totals {
    fn add(&mut self, info: &DocInfoRef<'_>) {
        self.documents += 1;
        self.fingerprint = self.fingerprint.wrapping_add(info.fingerprint());
    }
}

impl CopyReader {
    /// Reads the state `source` commits. With `keep_highest`, the document with the highest sequence
    /// number is kept even if it is a tombstone to purge.
    ///
    /// # Errors
    /// Damage in the by-seq root, or a failure of the device.
    pub fn new(source: Snapshot, options: CompactionOptions, keep_highest: bool) -> Result<Self> {
        let mut walk = source.walk(TreeKind::BySeq);
        walk.descend()?;
        let last = walk.node().and_then(|node| node.key(node.entry_count() - 1));
        let highest_seq = last.map(decode_seq).transpose();
        let highest_seq = highest_seq.map_err(|damage| walk.corrupt(damage))?.unwrap_or(0);
        Ok(CopyReader {
            keeping: Keeping { options, highest_seq, keep_highest },
            bodies: source.reader(ChunkReader::WALK_WINDOW),
            batch: CopyBatch::default(),
            phase: Phase::Documents { walk, window_bytes: 0, long: None },
            body_bytes: 0,
            by_seq: Totals::default(),
            by_id: Totals::default(),
            source,
        })
    }

    /// Exchanges `batch`, whose items are given up, for one with a window's worth of items, as whoever
    /// hands them to another thread wants it. Returns whether there are any: `false` at the end.
    ///
    /// # Errors
    /// As [`CopySource::next`].
    pub fn fill(&mut self, batch: &mut CopyBatch) -> Result<bool> {
        batch.clear(WINDOW_KEPT);
        std::mem::swap(&mut self.batch, batch);
        let mut budget = Budget::UNBOUNDED;
        while !matches!(self.phase, Phase::End) {
            let short = self.batch.items.len() < WINDOW_DOCUMENTS
                && self.batch.bytes.len() < WINDOW_BYTES as usize;
            if !short && !self.batch.is_incomplete() {
                break;
            }
            self.advance(&mut budget)?;
        }
        std::mem::swap(&mut self.batch, batch);
        Ok(!batch.is_empty())
    }

    /// Reads a part more into the batch, or moves on to the next phase.
    fn advance(&mut self, budget: &mut Budget) -> Result<()> {
        // Phases are worked on where they are: a walk is too large to be moved for every entry.
        let next = match &mut self.phase {
            Phase::Documents { walk, window_bytes, long } => {
                if let Some(body) = long {
                    let start = self.batch.bytes.len();
                    body.next(&mut self.bodies, &mut self.batch.bytes)?;
                    let piece = start..self.batch.bytes.len();
                    budget.spend(piece.len() as u64);
                    self.batch.push(Packed::Piece(piece));
                    if body.is_complete() {
                        *long = None;
                    }
                    return Ok(());
                }
                let ended = !walk.to_entry()?;
                let gathered = self.batch.items.len() - self.batch.complete;
                let full = gathered >= WINDOW_DOCUMENTS || *window_bytes >= WINDOW_BYTES;
                if (ended && gathered > 0) || full {
                    *window_bytes = 0;
                    *long = read_window(
                        &self.source,
                        &mut self.bodies,
                        &mut self.batch,
                        &mut self.body_bytes,
                        budget,
                    )?;
                    return Ok(());
                }
                let Some((key, value)) = walk.entry() else {
                    self.batch.push(Packed::DocumentsEnd);
                    self.phase = Phase::Ids(self.source.walk(TreeKind::ById));
                    return Ok(());
                };
                let info = DocInfoRef::decode_by_seq(key, value);
                let info = info.map_err(|damage| walk.corrupt(damage))?;
                let highest = self.source.header().update_seq;
                if info.seq == 0 || info.seq > highest {
                    let what =
                        format!("sequence number {} where 1 to {highest} are in use", info.seq);
                    return Err(walk.corrupt(Damage::Trees(what)));
                }
                self.by_seq.add(&info);
                let size = info.physical_size;
                let before = self.batch.bytes.len();
                let packed = match self.keeping.keeps(&self.source, &mut self.bodies, info)? {
                    true => {
                        let info = self.batch.keep_info(info);
                        Packed::Document { info, checksum: 0, length: None, body: 0..0 }
                    }
                    false => Packed::Dropped { seq: info.seq, deleted: info.deleted },
                };
                self.batch.items.push(packed);
                *window_bytes += (self.batch.bytes.len() - before) as u64;
                // A long body ends its window, so that its pieces follow it.
                *window_bytes += if size > ChunkPieces::PIECE as u64 { WINDOW_BYTES } else { size };
                walk.skip();
                budget.spend(0);
                return Ok(());
            }
            Phase::Ids(walk) => {
                if walk.to_entry()? {
                    let leaf = walk.node_position().unwrap_or_default();
                    if let Some((key, value)) = walk.entry() {
                        let info = DocInfoRef::decode_by_id(key, value);
                        let info = info.map_err(|damage| walk.corrupt(damage))?;
                        self.by_id.add(&info);
                        let info = self.batch.keep_info(info);
                        self.batch.push(Packed::Id { info, leaf });
                    }
                    walk.skip();
                    budget.spend(0);
                    return Ok(());
                }
                self.compare_trees()?;
                self.batch.push(Packed::IdsEnd);
                Phase::Locals(self.source.walk(TreeKind::Local))
            }
            Phase::Locals(walk) => {
                if walk.to_entry()? {
                    if let Some((id, value)) = walk.entry() {
                        budget.spend(value.len() as u64);
                        let (id, value) = (self.batch.keep(id), self.batch.keep(value));
                        self.batch.push(Packed::Local { id, value });
                    }
                    walk.skip();
                    return Ok(());
                }
                Phase::End
            }
            Phase::End => Phase::End,
        };
        self.phase = next;
        Ok(())
    }

    /// Both trees must name the same documents with the same metadata.
    fn compare_trees(&self) -> Result<()> {
        if self.by_seq == self.by_id || planted(Canary::SkipMissing) {
            return Ok(());
        }
        let what = format!(
            "the by-seq tree ({} documents) and the by-id tree ({} documents) do not name the same \
             documents with the same metadata",
            self.by_seq.documents, self.by_id.documents
        );
        let file = &self.source.file().name;
        Err(Error::corrupt(file, self.source.position(), Damage::Trees(what)))
    }
}

impl CopySource for CopyReader {
    fn next(&mut self, budget: &mut Budget) -> Result<Feed<'_>> {
        while self.batch.is_empty() {
            if matches!(self.phase, Phase::End) {
                return Ok(Feed::End);
            }
            if budget.is_spent() {
                return Ok(Feed::NotYet);
            }
            if !self.batch.is_incomplete() {
                self.batch.clear(WINDOW_KEPT);
            }
            self.advance(budget)?;
        }
        Ok(self.batch.take_next().map_or(Feed::End, Feed::Item))
    }
}

/// Reads the bodies of the window that was gathered in `batch`, in the order of their positions.
/// Returns what is left of the last one if it is long. `body_bytes` are those of all bodies so far.
fn read_window(
    source: &Snapshot,
    reader: &mut ChunkReader,
    batch: &mut CopyBatch,
    body_bytes: &mut u64,
    budget: &mut Budget,
) -> Result<Option<ChunkPieces>> {
    let CopyBatch { items, bytes, complete, .. } = batch;
    let mut order: Vec<(u64, usize)> = Vec::with_capacity(items.len() - *complete);
    for (index, item) in items.iter().enumerate().skip(*complete) {
        match item {
            Packed::Document { info, .. } if info.fields.position != 0 => {
                order.push((info.fields.position, index));
            }
            _ => {}
        }
    }
    order.sort_unstable();
    let (last, before) = (items.len() - 1, source.position());
    let mut long = None;
    for (position, index) in order {
        let Some(Packed::Document { info, checksum, length, body }) = items.get_mut(index) else {
            continue;
        };
        let mut pieces = ChunkPieces::begin(reader, position, before, "document body")?;
        let head = pieces.head();
        *body_bytes += head.disk_size();
        check_size(source, info.fields, head, *body_bytes)?;
        (*checksum, *length) = (head.checksum, Some(head.length as usize));
        body.start = bytes.len();
        pieces.next(reader, bytes)?;
        budget.spend((bytes.len() - body.start) as u64);
        // Only where the size in the tree counts differently can a long one stand inside a window.
        while index < last && !pieces.is_complete() {
            pieces.next(reader, bytes)?;
        }
        body.end = bytes.len();
        if !pieces.is_complete() {
            long = Some(pieces);
        }
    }
    *complete = items.len();
    Ok(long)
}

/// A body is as long as its document says, within the ways to count, and no two overlap: else a
/// small file could name one long body so often that neither memory nor disk holds the copies.
/// `body_bytes` are those of all bodies so far.
fn check_size(
    source: &Snapshot,
    info: DocInfoRef<'_>,
    head: ChunkHead,
    body_bytes: u64,
) -> Result<()> {
    let what = match head.compare_size(info.physical_size) {
        SizeKept::Wrong => format!(
            "a body of {} bytes, {} are kept in the trees",
            head.disk_size(),
            info.physical_size
        ),
        _ if body_bytes > source.position() => {
            "bodies overlap: they take more bytes than there are".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Error::corrupt(&source.file().name, info.position, Damage::Trees(what)))
}
