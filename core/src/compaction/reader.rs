//! The reading half of a copy: walks the source's trees, reads bodies, verifies.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::options::{CompactionOptions, Decision};
use crate::btree::TreeWalk;
use crate::canary::{Canary, planted};
use crate::chunklog::{ChunkPieces, ChunkReader};
use crate::error::{Damage, Error, Result};
use crate::format::chunk::{ChunkHead, SizeKept};
use crate::format::docinfo::{DocInfo, DocInfoRef, decode_seq};
use crate::format::pointer::TreeKind;
use crate::store::{Budget, Snapshot};

/// Documents whose bodies are read together, in the order in which they lie in the file.
const WINDOW_DOCUMENTS: usize = 1024;
/// Bytes of bodies read together, roughly.
const WINDOW_BYTES: u64 = 1 << 20;

/// What the reading half hands to the building half.
#[derive(Debug)]
pub enum CopyItem {
    /// A document that is left behind.
    Dropped {
        /// Its sequence number.
        seq: u64,
        /// Whether it is a tombstone, and so counts as purged.
        deleted: bool,
    },
    /// A document to copy. Its body follows in pieces when `body` is shorter than `length`.
    Document {
        /// What is known of it in the source.
        info: DocInfo,
        /// Checksum of the body as the source has it.
        checksum: u32,
        /// Length of the body as stored, in bytes; `None` when it has no body.
        length: Option<usize>,
        /// The body, or its first piece.
        body: Bytes,
    },
    /// More of the body of the last document.
    Piece(Bytes),
    /// No more documents.
    DocumentsEnd,
    /// An entry of the by-id tree.
    Id {
        /// The document as by-id has it.
        info: DocInfo,
        /// Byte offset of the leaf that the entry is in.
        leaf: u64,
    },
    /// No more entries.
    IdsEnd,
    /// A local document.
    Local {
        /// Its id.
        id: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
}

/// What came of asking for the next item.
#[derive(Debug)]
pub enum Feed {
    /// Here it is.
    Item(CopyItem),
    /// The budget was used up before there was one.
    NotYet,
    /// There are no more.
    End,
}

/// Where the building half gets its items: the [`CopyReader`] itself, or a queue that another thread
/// fills from one.
pub trait CopySource: Send {
    /// The next item.
    ///
    /// # Errors
    /// Damage in the source, or a failure of its device. The copy cannot go on.
    fn next(&mut self, budget: &mut Budget) -> Result<Feed>;
}

impl fmt::Debug for dyn CopySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopySource")
    }
}

/// Walks the source in the order in which the target is built.
#[derive(Debug)]
pub struct CopyReader {
    source: Snapshot,
    options: CompactionOptions,
    /// Highest sequence number in the by-seq tree.
    highest_seq: u64,
    keep_highest: bool,
    bodies: ChunkReader,
    ready: VecDeque<CopyItem>,
    phase: Phase,
    /// Bytes of the bodies read.
    body_bytes: u64,
    /// Sums over what each tree says of every document: they must come out alike.
    by_seq: Totals,
    by_id: Totals,
}

#[derive(Debug)]
enum Phase {
    Documents { walk: TreeWalk, window: Vec<Windowed>, window_bytes: u64 },
    LongBody { walk: TreeWalk, body: ChunkPieces },
    Ids(TreeWalk),
    Locals(TreeWalk),
    End,
}

/// A document whose turn to be read has come.
#[derive(Debug)]
enum Windowed {
    Keep(DocInfo),
    Drop { seq: u64, deleted: bool },
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
            highest_seq,
            keep_highest,
            bodies: source.reader(ChunkReader::WALK_WINDOW),
            options,
            ready: VecDeque::new(),
            phase: Phase::Documents { walk, window: Vec::new(), window_bytes: 0 },
            body_bytes: 0,
            by_seq: Totals::default(),
            by_id: Totals::default(),
            source,
        })
    }

    /// Reads a part more into `self.ready`, or moves on to the next phase.
    fn advance(&mut self, budget: &mut Budget) -> Result<()> {
        match std::mem::replace(&mut self.phase, Phase::End) {
            Phase::Documents { mut walk, mut window, mut window_bytes } => {
                let ended = !walk.to_entry()?;
                let full = window.len() >= WINDOW_DOCUMENTS || window_bytes >= WINDOW_BYTES;
                if (ended && !window.is_empty()) || full {
                    self.phase = match self.read_window(window, budget)? {
                        Some(body) => Phase::LongBody { walk, body },
                        None => Phase::Documents { walk, window: Vec::new(), window_bytes: 0 },
                    };
                    return Ok(());
                }
                let Some((key, value)) = walk.entry() else {
                    self.ready.push_back(CopyItem::DocumentsEnd);
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
                let windowed = match self.keeps(info)? {
                    true => Windowed::Keep(info.to_owned()),
                    false => Windowed::Drop { seq: info.seq, deleted: info.deleted },
                };
                // A long body ends its window, so that its pieces follow it.
                window_bytes += if size > ChunkPieces::PIECE as u64 { WINDOW_BYTES } else { size };
                window.push(windowed);
                walk.skip();
                budget.spend(0);
                self.phase = Phase::Documents { walk, window, window_bytes };
            }
            Phase::LongBody { walk, mut body } => {
                let piece = Bytes::copy_from_slice(body.next(&mut self.bodies)?);
                budget.spend(piece.len() as u64);
                self.ready.push_back(CopyItem::Piece(piece));
                self.phase = match body.is_complete() {
                    true => Phase::Documents { walk, window: Vec::new(), window_bytes: 0 },
                    false => Phase::LongBody { walk, body },
                };
            }
            Phase::Ids(mut walk) => {
                if !walk.to_entry()? {
                    self.compare_trees()?;
                    self.ready.push_back(CopyItem::IdsEnd);
                    self.phase = Phase::Locals(self.source.walk(TreeKind::Local));
                    return Ok(());
                }
                let leaf = walk.node_position().unwrap_or_default();
                if let Some((key, value)) = walk.entry() {
                    let info = DocInfoRef::decode_by_id(key, value);
                    let info = info.map_err(|damage| walk.corrupt(damage))?;
                    self.by_id.add(&info);
                    self.ready.push_back(CopyItem::Id { info: info.to_owned(), leaf });
                }
                walk.skip();
                budget.spend(0);
                self.phase = Phase::Ids(walk);
            }
            Phase::Locals(mut walk) => {
                if walk.to_entry()? {
                    if let Some((id, value)) = walk.entry() {
                        budget.spend(value.len() as u64);
                        let (id, value) = (id.to_vec(), value.to_vec());
                        self.ready.push_back(CopyItem::Local { id, value });
                    }
                    walk.skip();
                    self.phase = Phase::Locals(walk);
                }
            }
            Phase::End => {}
        }
        Ok(())
    }

    /// Whether a document is copied.
    fn keeps(&mut self, info: DocInfoRef<'_>) -> Result<bool> {
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
            let body = self.source.read_raw_body(&mut self.bodies, info)?;
            decision = filter.decide(info, body.as_deref());
        }
        Ok(decision != Decision::Drop || (protected && info.deleted))
    }

    /// Reads the bodies of a window in the order of their positions, and hands the documents on in
    /// sequence order. Returns what is left of the last one if it is long.
    fn read_window(
        &mut self,
        window: Vec<Windowed>,
        budget: &mut Budget,
    ) -> Result<Option<ChunkPieces>> {
        let mut order: Vec<(u64, usize)> = Vec::with_capacity(window.len());
        for (index, windowed) in window.iter().enumerate() {
            match windowed {
                Windowed::Keep(info) if info.position != 0 => order.push((info.position, index)),
                _ => {}
            }
        }
        order.sort_unstable();
        let mut bodies: Vec<Option<(ChunkHead, Bytes)>> = vec![None; window.len()];
        let mut long = None;
        for (position, index) in order {
            let before = self.source.position();
            let mut body = ChunkPieces::begin(&mut self.bodies, position, before, "document body")?;
            self.check_size(&window, index, body.head())?;
            let mut first = Bytes::copy_from_slice(body.next(&mut self.bodies)?);
            budget.spend(first.len() as u64);
            if !body.is_complete() && index + 1 < window.len() {
                // Only where the size in the tree counts differently can a long one stand inside a
                // window.
                let mut whole = first.to_vec();
                while !body.is_complete() {
                    whole.extend_from_slice(body.next(&mut self.bodies)?);
                }
                first = Bytes::from(whole);
            }
            bodies[index] = Some((body.head(), first));
            if !body.is_complete() {
                long = Some(body);
            }
        }
        for (windowed, body) in window.into_iter().zip(bodies) {
            self.ready.push_back(match windowed {
                Windowed::Drop { seq, deleted } => CopyItem::Dropped { seq, deleted },
                Windowed::Keep(info) => {
                    let length = body.as_ref().map(|(head, _)| head.length as usize);
                    let checksum = body.as_ref().map_or(0, |(head, _)| head.checksum);
                    let body = body.map_or(Bytes::new(), |(_, body)| body);
                    CopyItem::Document { info, checksum, length, body }
                }
            });
        }
        Ok(long)
    }

    /// A body is as long as its document says, within the ways to count, and no two overlap: else a
    /// small file could name one long body so often that neither memory nor disk holds the copies.
    fn check_size(&mut self, window: &[Windowed], index: usize, head: ChunkHead) -> Result<()> {
        let Some(Windowed::Keep(info)) = window.get(index) else { return Ok(()) };
        self.body_bytes += head.disk_size();
        let what = match head.compare_size(info.physical_size) {
            SizeKept::Wrong => format!(
                "a body of {} bytes, {} are kept in the trees",
                head.disk_size(),
                info.physical_size
            ),
            _ if self.body_bytes > self.source.position() => {
                "bodies overlap: they take more bytes than there are".to_owned()
            }
            _ => return Ok(()),
        };
        let file = &self.source.file().name;
        Err(Error::corrupt(file, info.position, Damage::Trees(what)))
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
    fn next(&mut self, budget: &mut Budget) -> Result<Feed> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Feed::Item(item));
            }
            if matches!(self.phase, Phase::End) {
                return Ok(Feed::End);
            }
            if budget.is_spent() {
                return Ok(Feed::NotYet);
            }
            self.advance(budget)?;
        }
    }
}
