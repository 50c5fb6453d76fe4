//! What the reading half of a copy hands to the building half.

use std::fmt;
use std::ops::Range;

use crate::error::Result;
use crate::format::docinfo::DocInfoRef;
use crate::store::Budget;

/// One thing to copy, or to know. What it borrows lies in a [`CopyBatch`].
#[derive(Clone, Copy, Debug)]
pub enum CopyItem<'a> {
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
        info: DocInfoRef<'a>,
        /// Checksum of the body as the source has it.
        checksum: u32,
        /// Length of the body as stored, in bytes; `None` when it has no body.
        length: Option<usize>,
        /// The body, or its first piece.
        body: &'a [u8],
    },
    /// More of the body of the last document.
    Piece(&'a [u8]),
    /// No more documents.
    DocumentsEnd,
    /// An entry of the by-id tree.
    Id {
        /// The document as by-id has it.
        info: DocInfoRef<'a>,
        /// Byte offset of the leaf that the entry is in.
        leaf: u64,
    },
    /// No more entries.
    IdsEnd,
    /// A local document.
    Local {
        /// Its id.
        id: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
}

/// What came of asking for the next item.
#[derive(Debug)]
pub enum Feed<'a> {
    /// Here it is.
    Item(CopyItem<'a>),
    /// The budget was used up before there was one.
    NotYet,
    /// There are no more.
    End,
}

/// Where the building half gets its items: the [`CopyReader`](super::CopyReader) itself, or a queue
/// of batches that another thread fills from one.
pub trait CopySource: Send {
    /// The next item.
    ///
    /// # Errors
    /// Damage in the source, or a failure of its device. The copy cannot go on.
    fn next(&mut self, budget: &mut Budget) -> Result<Feed<'_>>;
}

impl fmt::Debug for dyn CopySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopySource")
    }
}

/// Items in a row, all that they borrow in one piece of memory: a document that passes from one
/// thread to another must not cost an allocation here and a release there.
#[derive(Debug, Default)]
pub struct CopyBatch {
    pub(super) items: Vec<Packed>,
    pub(super) bytes: Vec<u8>,
    /// The first item that was not taken.
    next: usize,
    /// Items behind these still lack their bodies.
    pub(super) complete: usize,
}

/// An item without what it borrows, and where that is.
#[derive(Clone, Debug)]
pub(super) enum Packed {
    Dropped { seq: u64, deleted: bool },
    Document { info: PackedInfo, checksum: u32, length: Option<usize>, body: Range<usize> },
    Piece(Range<usize>),
    DocumentsEnd,
    Id { info: PackedInfo, leaf: u64 },
    IdsEnd,
    Local { id: Range<usize>, value: Range<usize> },
}

/// A document whose id and metadata lie behind each other.
#[derive(Clone, Debug)]
pub(super) struct PackedInfo {
    id: usize,
    meta: usize,
    end: usize,
    /// All but these two, which are empty.
    pub(super) fields: DocInfoRef<'static>,
}

impl CopyBatch {
    /// The next item; `None` when all were taken.
    pub fn take_next(&mut self) -> Option<CopyItem<'_>> {
        if self.next == self.complete {
            return None;
        }
        let packed = self.items.get(self.next)?;
        self.next += 1;
        Some(packed.unpack(&self.bytes))
    }

    /// Whether there is nothing left to take.
    pub fn is_empty(&self) -> bool {
        self.next == self.complete
    }

    /// Forgets all items and keeps the memory, but for what an unusually long batch took.
    pub(super) fn clear(&mut self, bytes_kept: usize) {
        self.items.clear();
        self.bytes.clear();
        self.bytes.shrink_to(bytes_kept);
        (self.next, self.complete) = (0, 0);
    }

    /// Whether items are waiting for their bodies.
    pub(super) fn is_incomplete(&self) -> bool {
        self.complete < self.items.len()
    }

    /// Adds an item that lacks nothing.
    pub(super) fn push(&mut self, packed: Packed) {
        self.items.push(packed);
        self.complete = self.items.len();
    }

    /// Keeps bytes for an item; returns where they are.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Keeps what a document's item borrows.
    pub(super) fn keep_info(&mut self, info: DocInfoRef<'_>) -> PackedInfo {
        let id = self.keep(info.id).start;
        let Range { start: meta, end } = self.keep(info.rev_meta);
        let DocInfoRef { seq, rev_seq, deleted, content_meta, position, physical_size, .. } = info;
        let (none, rev_meta): (&[u8], &[u8]) = (&[], &[]);
        let fields = DocInfoRef {
            id: none,
            seq,
            rev_seq,
            deleted,
            content_meta,
            rev_meta,
            position,
            physical_size,
        };
        PackedInfo { id, meta, end, fields }
    }
}

impl Packed {
    fn unpack<'a>(&self, bytes: &'a [u8]) -> CopyItem<'a> {
        let slice = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let unpacked = |info: &PackedInfo| DocInfoRef {
            id: slice(&(info.id..info.meta)),
            rev_meta: slice(&(info.meta..info.end)),
            ..info.fields
        };
        match self {
            Packed::Dropped { seq, deleted } => CopyItem::Dropped { seq: *seq, deleted: *deleted },
            Packed::Document { info, checksum, length, body } => CopyItem::Document {
                info: unpacked(info),
                checksum: *checksum,
                length: *length,
                body: slice(body),
            },
            Packed::Piece(piece) => CopyItem::Piece(slice(piece)),
            Packed::DocumentsEnd => CopyItem::DocumentsEnd,
            Packed::Id { info, leaf } => CopyItem::Id { info: unpacked(info), leaf: *leaf },
            Packed::IdsEnd => CopyItem::IdsEnd,
            Packed::Local { id, value } => CopyItem::Local { id: slice(id), value: slice(value) },
        }
    }
}
