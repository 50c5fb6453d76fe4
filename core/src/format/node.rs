//! Tree nodes, uncompressed: a kind byte, then entries (format, section 3).

use super::bytes::put_uint;
use super::snappy;
use crate::error::Damage;
use crate::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};

/// Bytes of an entry before its key: 12 bits of key length, 28 of value length.
pub const ENTRY_HEAD_LEN: usize = 5;

/// What a node's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Values are pointers to children, keys the largest key below each.
    Interior,
    /// Values are what the tree is for.
    Leaf,
}

/// A decoded node: its bytes, and where in them the entries lie.
#[derive(Clone, Debug)]
pub struct Node {
    kind: NodeKind,
    raw: Vec<u8>,
    entries: Vec<EntrySpan>,
}

#[derive(Clone, Copy, Debug)]
struct EntrySpan {
    key: u32,
    value: u32,
    end: u32,
}

impl Node {
    /// Inflates the body of a node's chunk and decodes it.
    pub fn inflate(body: &[u8]) -> Result<Self, Damage> {
        Node::decode(snappy::inflate(body, "tree node")?)
    }

    /// Decodes an uncompressed node.
    pub fn decode(raw: Vec<u8>) -> Result<Self, Damage> {
        let kind = match raw.first() {
            Some(0) => NodeKind::Interior,
            Some(1) => NodeKind::Leaf,
            _ => return Err(Damage::Node { what: "unknown kind" }),
        };
        let cut = Damage::Node { what: "an entry reaches past the end" };
        let mut entries = Vec::new();
        let mut at = 1;
        while at < raw.len() {
            let Some(&[a, b, c, d, e]) = raw.get(at..at + ENTRY_HEAD_LEN) else { return Err(cut) };
            let key_len = usize::from(a) << 4 | usize::from(b) >> 4;
            let value_len = u32::from_be_bytes([b & 0x0f, c, d, e]) as usize;
            let key = at + ENTRY_HEAD_LEN;
            let value = key + key_len;
            at = value + value_len;
            if at > raw.len() {
                return Err(cut);
            }
            entries.push(EntrySpan { key: key as u32, value: value as u32, end: at as u32 });
        }
        if entries.is_empty() {
            return Err(Damage::Node { what: "no entries" });
        }
        Ok(Node { kind, raw, entries })
    }

    /// Leaf or interior.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// How many entries there are; at least one.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Key and value of an entry, if there are so many.
    pub fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let span = self.entries.get(index)?;
        let key = self.raw.get(span.key as usize..span.value as usize)?;
        let value = self.raw.get(span.value as usize..span.end as usize)?;
        Some((key, value))
    }

    /// Key of an entry, if there are so many.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        Some(self.entry(index)?.0)
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.entries.len()).filter_map(|index| self.entry(index))
    }

    /// Index of the first entry whose key is `key` or above; the number of entries if none is.
    /// Meaningful only where keys are in order, as `btree::verify` checks.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle) {
                Some(found) if found < key => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// The uncompressed bytes, kind byte included.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
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
