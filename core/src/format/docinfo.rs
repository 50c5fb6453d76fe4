//! Document infos: what the by-seq and by-id trees hold for each document (format, section 3).

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::bytes::{Reader, put_uint};
use crate::error::Damage;

/// Bit of the content meta that says the body is compressed with Snappy.
pub const COMPRESSED: u8 = 0x80;
/// Content meta of a JSON document, the compression bit apart.
pub const CONTENT_JSON: u8 = 0;
/// Content meta of a body that nobody looked into.
pub const CONTENT_UNCHECKED: u8 = 3;

pub(super) const DELETED: u64 = 1 << 47;

/// Everything known of a document but its body, borrowed from a tree node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocInfoRef<'a> {
    /// Document id.
    pub id: &'a [u8],
    /// Sequence number of its last change.
    pub seq: u64,
    /// Revision: how often it was changed, as its writers count.
    pub rev_seq: u64,
    /// Whether this is a tombstone.
    pub deleted: bool,
    /// What the body is; see [`COMPRESSED`].
    pub content_meta: u8,
    /// The application's metadata; Couchbase's are [`RevMeta`](super::rev_meta::RevMeta).
    pub rev_meta: &'a [u8],
    /// Byte offset of the body's chunk; 0 means there is no body.
    pub position: u64,
    /// Disk size of the body's chunk, in bytes, as written down; 0 without a body.
    pub physical_size: u64,
}

/// Everything known of a document but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in DocInfoRef
pub struct DocInfo {
    pub id: Vec<u8>,
    pub seq: u64,
    pub rev_seq: u64,
    pub deleted: bool,
    pub content_meta: u8,
    pub rev_meta: Vec<u8>,
    pub position: u64,
    pub physical_size: u64,
}

impl DocInfo {
    /// A document of which only the id is known.
    pub fn new(id: Vec<u8>) -> Self {
        DocInfo {
            id,
            seq: 0,
            rev_seq: 0,
            deleted: false,
            content_meta: 0,
            rev_meta: Vec::new(),
            position: 0,
            physical_size: 0,
        }
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> DocInfoRef<'_> {
        DocInfoRef {
            id: &self.id,
            seq: self.seq,
            rev_seq: self.rev_seq,
            deleted: self.deleted,
            content_meta: self.content_meta,
            rev_meta: &self.rev_meta,
            position: self.position,
            physical_size: self.physical_size,
        }
    }
}

impl<'a> DocInfoRef<'a> {
    /// Whether the body is stored compressed.
    pub fn is_compressed(&self) -> bool {
        self.content_meta & COMPRESSED != 0
    }

    /// The same, owned.
    pub fn to_owned(self) -> DocInfo {
        DocInfo {
            id: self.id.to_vec(),
            seq: self.seq,
            rev_seq: self.rev_seq,
            deleted: self.deleted,
            content_meta: self.content_meta,
            rev_meta: self.rev_meta.to_vec(),
            position: self.position,
            physical_size: self.physical_size,
        }
    }

    /// A hash of all that both trees say of a document. Summed over all documents, wrapping, it tells
    /// whether two trees say the same, in whatever order. Only to be compared within one process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        // Every document of a copy comes by here twice: few and whole words.
        let flags = u64::from(self.content_meta) << 1 | u64::from(self.deleted);
        hasher.write_u64(self.seq);
        hasher.write_u64(self.rev_seq << 9 | flags);
        // By-seq has 28 bits of the size, by-id 32.
        hasher.write_u64(self.position);
        hasher.write_u64((self.id.len() as u64) << 28 | self.physical_size & 0x0fff_ffff);
        hasher.write(self.id);
        hasher.write(self.rev_meta);
        hasher.finish()
    }

    /// Decodes an entry of the by-id tree.
    pub fn decode_by_id(key: &'a [u8], value: &'a [u8]) -> Result<Self, Damage> {
        let mut reader = Reader(value);
        let fields = (|| {
            Some((reader.uint(6)?, reader.uint(4)?, reader.uint(6)?, reader.uint(6)?, reader.u8()?))
        })();
        let Some((seq, physical_size, position, rev_seq, content_meta)) = fields else {
            return Err(Damage::DocInfo { what: "the by-id entry is cut short" });
        };
        Ok(DocInfoRef {
            id: key,
            seq,
            rev_seq,
            deleted: position & DELETED != 0,
            content_meta,
            rev_meta: reader.0,
            position: position & !DELETED,
            physical_size,
        })
    }

    /// Decodes an entry of the by-seq tree.
    pub fn decode_by_seq(key: &'a [u8], value: &'a [u8]) -> Result<Self, Damage> {
        let cut = Damage::DocInfo { what: "the by-seq entry is cut short" };
        let seq = decode_seq(key)?;
        let mut reader = Reader(value);
        let fields = (|| {
            let sizes = reader.uint(5)?;
            let (position, rev_seq) = (reader.uint(6)?, reader.uint(6)?);
            let content_meta = reader.u8()?;
            Some((sizes, position, rev_seq, content_meta, reader.take((sizes >> 28) as usize)?))
        })();
        let Some((sizes, position, rev_seq, content_meta, id)) = fields else { return Err(cut) };
        Ok(DocInfoRef {
            id,
            seq,
            rev_seq,
            deleted: position & DELETED != 0,
            content_meta,
            rev_meta: reader.0,
            position: position & !DELETED,
            physical_size: sizes & 0x0fff_ffff,
        })
    }

    /// Appends the value of the by-id entry; its key is the id.
    pub fn encode_by_id(&self, out: &mut Vec<u8>) {
        put_uint(out, self.seq, 6);
        put_uint(out, self.physical_size, 4);
        self.put_common(out);
        out.extend_from_slice(self.rev_meta);
    }

    /// Appends the value of the by-seq entry; its key is [`encode_seq`] of the sequence number.
    pub fn encode_by_seq(&self, out: &mut Vec<u8>) {
        put_uint(out, (self.id.len() as u64) << 28 | self.physical_size & 0x0fff_ffff, 5);
        self.put_common(out);
        out.extend_from_slice(self.id);
        out.extend_from_slice(self.rev_meta);
    }

    fn put_common(&self, out: &mut Vec<u8>) {
        put_uint(out, self.position | if self.deleted { DELETED } else { 0 }, 6);
        put_uint(out, self.rev_seq, 6);
        out.push(self.content_meta);
    }
}

/// Bytes of a key of the by-seq tree.
pub const SEQ_LEN: usize = 6;

/// Key of a sequence number in the by-seq tree.
pub fn encode_seq(seq: u64) -> [u8; SEQ_LEN] {
    let [_, _, a, b, c, d, e, f] = seq.to_be_bytes();
    [a, b, c, d, e, f]
}

/// Sequence number of a key of the by-seq tree.
pub fn decode_seq(key: &[u8]) -> Result<u64, Damage> {
    let &[a, b, c, d, e, f] = key else {
        return Err(Damage::DocInfo { what: "a by-seq key is not of 6 bytes" });
    };
    Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}
