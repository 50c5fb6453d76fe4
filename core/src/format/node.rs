//! Tree nodes, uncompressed: a kind byte, then entries (format, section 3).

use super::bytes::put_uint;
use super::snappy;
use crate::error::Damage;
use crate::limits::{KEY_LEN_MAX, NODE_LEN_MAX, VALUE_LEN_MAX};

/// Bytes of an entry before its key: 12 bits of key length, 28 of value length.
pub const ENTRY_HEAD_LEN: usize = 5;
/// Where the first entry begins, behind the kind byte.
const FIRST_ENTRY: usize = 1;
/// Most entries are longer: an index of so many needs no counting first.
const USUAL_ENTRY_LEN: usize = 48;

/// Bytes of memory that a node leaves for the next one, at most.
const SPARE_MAX: usize = 64 << 10;

/// What a node's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Values are pointers to children, keys the largest key below each.
    Interior,
    /// Values are what the tree is for.
    Leaf,
}

/// A decoded node: its bytes, and where in them the entries begin. The index is smaller than the
/// bytes, however small a damaged file makes the entries.
#[derive(Clone, Debug)]
pub struct Node {
    kind: NodeKind,
    raw: Vec<u8>,
    starts: Vec<u32>,
}

impl Node {
    /// Inflates the body of a node's chunk and decodes it, into the memory of a node that is not needed
    /// any more if there is one.
    pub fn inflate(body: &[u8], spare: Option<Node>) -> Result<Self, Damage> {
        let (mut raw, starts) = spare.map(|spare| (spare.raw, spare.starts)).unwrap_or_default();
        raw.truncate(SPARE_MAX);
        raw.shrink_to(SPARE_MAX);
        snappy::inflate_into(body, NODE_LEN_MAX, "tree node", &mut raw)?;
        Node::decode_into(raw, starts)
    }

    /// Decodes an uncompressed node.
    pub fn decode(raw: Vec<u8>) -> Result<Self, Damage> {
        Node::decode_into(raw, Vec::new())
    }

    /// As [`decode`](Self::decode), with memory for the index.
    fn decode_into(raw: Vec<u8>, mut starts: Vec<u32>) -> Result<Self, Damage> {
        let kind = match raw.first() {
            Some(0) => NodeKind::Interior,
            Some(1) => NodeKind::Leaf,
            _ => return Err(Damage::Node { what: "unknown kind" }),
        };
        let cut = || Damage::Node { what: "an entry reaches past the end" };
        starts.clear();
        starts.shrink_to(SPARE_MAX / USUAL_ENTRY_LEN);
        starts.reserve_exact(raw.len() / USUAL_ENTRY_LEN);
        let mut at = FIRST_ENTRY;
        while at < raw.len() {
            let end = split_entry(&raw, at).ok_or_else(cut)?.end;
            if starts.len() == starts.capacity() {
                // Counted, so that not a byte more is allocated than is needed.
                starts.reserve_exact(count_entries(&raw, at));
            }
            starts.push(at as u32);
            at = end;
        }
        if starts.is_empty() {
            return Err(Damage::Node { what: "no entries" });
        }
        Ok(Node { kind, raw, starts })
    }

    /// Leaf or interior.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// How many entries there are; at least one.
    pub fn entry_count(&self) -> usize {
        self.starts.len()
    }

    /// Key and value of an entry, if there are so many.
    pub fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = split_entry(&self.raw, *self.starts.get(index)? as usize)?;
        Some((entry.key, entry.value))
    }

    /// An entry as it stands in the node, and the length of its key, if there are so many.
    pub fn encoded_entry(&self, index: usize) -> Option<(&[u8], usize)> {
        let start = *self.starts.get(index)? as usize;
        let entry = split_entry(&self.raw, start)?;
        Some((self.raw.get(start..entry.end)?, entry.key.len()))
    }

    /// Key of an entry, if there are so many.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        Some(self.entry(index)?.0)
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.starts.len()).filter_map(|index| self.entry(index))
    }

    /// Index of the first entry whose key is `key` or above; the number of entries if none is.
    /// Meaningful only where keys are in order, as `btree::verify` checks.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.starts.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle) {
                Some(found) if found < key => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        size_of::<Node>() + self.raw.capacity() + size_of::<u32>() * self.starts.capacity()
    }

    /// The uncompressed bytes, kind byte included.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}

/// An entry, and where it ends in its node.
struct Entry<'a> {
    key: &'a [u8],
    value: &'a [u8],
    end: usize,
}

/// The entry that begins at byte `at` of an uncompressed node; `None` when it reaches past the end.
fn split_entry(raw: &[u8], at: usize) -> Option<Entry<'_>> {
    let &[a, b, c, d, e] = raw.get(at..at + ENTRY_HEAD_LEN)? else { return None };
    let key_len = usize::from(a) << 4 | usize::from(b) >> 4;
    let value_len = u32::from_be_bytes([b & 0x0f, c, d, e]) as usize;
    let key = at + ENTRY_HEAD_LEN;
    let (value, end) = (key + key_len, key + key_len + value_len);
    Some(Entry { key: raw.get(key..value)?, value: raw.get(value..end)?, end })
}

/// How many entries there are from byte `at` of an uncompressed node on.
fn count_entries(raw: &[u8], mut at: usize) -> usize {
    let mut count = 0;
    while let Some(entry) = split_entry(raw, at) {
        at = entry.end;
        count += 1;
    }
    count
}

/// Appends one entry of an uncompressed node. The caller keeps to the limits of both lengths.
pub fn put_entry(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    debug_assert!(key.len() <= KEY_LEN_MAX && value.len() <= VALUE_LEN_MAX);
    put_uint(out, (key.len() as u64) << 28 | value.len() as u64, ENTRY_HEAD_LEN);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// First byte of an uncompressed node.
pub fn kind_byte(kind: NodeKind) -> u8 {
    match kind {
        NodeKind::Interior => 0,
        NodeKind::Leaf => 1,
    }
}
