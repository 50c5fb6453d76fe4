//! Pointers to tree nodes, and the summaries ("reduces") of the subtrees below them.

use std::fmt;

use super::bytes::{Reader, put_uint};
use super::docinfo::DocInfoRef;
use crate::error::Damage;
use crate::limits::POSITION_MAX;

/// Which of a file's three trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeKind {
    /// Documents by sequence number.
    BySeq,
    /// Documents by id.
    ById,
    /// Local documents.
    Local,
}

impl TreeKind {
    /// The tree's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            TreeKind::BySeq => "by-seq",
            TreeKind::ById => "by-id",
            TreeKind::Local => "local",
        }
    }

    /// Reduce of no entries at all.
    pub fn empty_reduce(self) -> Reduce {
        match self {
            TreeKind::BySeq => Reduce::BySeq { count: 0 },
            TreeKind::ById => Reduce::ById { live: 0, deleted: 0, size: 0 },
            TreeKind::Local => Reduce::Local,
        }
    }

    /// Reduce of one leaf entry. Damage when the value does not decode.
    pub fn reduce_entry(self, key: &[u8], value: &[u8]) -> Result<Reduce, Damage> {
        Ok(match self {
            TreeKind::BySeq => Reduce::BySeq { count: 1 },
            TreeKind::ById => {
                let info = DocInfoRef::decode_by_id(key, value)?;
                let deleted = u64::from(info.deleted);
                Reduce::ById { live: 1 - deleted, deleted, size: info.physical_size }
            }
            TreeKind::Local => Reduce::Local,
        })
    }

    fn reduce_len(self) -> usize {
        match self {
            TreeKind::BySeq => 5,
            TreeKind::ById => 16,
            TreeKind::Local => 0,
        }
    }
}

/// Summary of the leaf entries below a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// By-seq: how many documents, tombstones included.
    BySeq {
        /// Entries.
        count: u64,
    },
    /// By-id: documents and their size.
    ById {
        /// Documents that are not deleted.
        live: u64,
        /// Tombstones.
        deleted: u64,
        /// Sum of the bodies' disk sizes, in bytes.
        size: u64,
    },
    /// Local documents have none.
    Local,
}

impl Reduce {
    /// Adds another summary of the same kind; sums stay within the width of their fields.
    pub fn add(&mut self, other: Reduce) {
        const U40: u64 = (1 << 40) - 1;
        const U48: u64 = (1 << 48) - 1;
        match (self, other) {
            (Reduce::BySeq { count }, Reduce::BySeq { count: more }) => {
                *count = count.saturating_add(more).min(U40);
            }
            (
                Reduce::ById { live, deleted, size },
                Reduce::ById { live: l, deleted: d, size: s },
            ) => {
                *live = live.saturating_add(l).min(U40);
                *deleted = deleted.saturating_add(d).min(U40);
                *size = size.saturating_add(s).min(U48);
            }
            _ => {}
        }
    }

    fn decode(tree: TreeKind, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != tree.reduce_len() {
            return None;
        }
        let mut reader = Reader(bytes);
        Some(match tree {
            TreeKind::BySeq => Reduce::BySeq { count: reader.uint(5)? },
            TreeKind::ById => Reduce::ById {
                live: reader.uint(5)?,
                deleted: reader.uint(5)?,
                size: reader.uint(6)?,
            },
            TreeKind::Local => Reduce::Local,
        })
    }

    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Reduce::BySeq { count } => put_uint(out, count, 5),
            Reduce::ById { live, deleted, size } => {
                put_uint(out, live, 5);
                put_uint(out, deleted, 5);
                put_uint(out, size, 6);
            }
            Reduce::Local => {}
        }
    }
}

impl fmt::Display for Reduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reduce::BySeq { count } => write!(f, "{count} documents"),
            Reduce::ById { live, deleted, size } => {
                write!(f, "{live} live and {deleted} deleted documents of {size} bytes")
            }
            Reduce::Local => f.write_str("local documents"),
        }
    }
}

/// Pointer to a tree node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePointer {
    /// Byte offset of the node's chunk.
    pub position: u64,
    /// Disk size of the node's chunk and of all below it, in bytes.
    pub subtree_size: u64,
    /// Summary of the entries below.
    pub reduce: Reduce,
}

impl NodePointer {
    /// Decodes the value of an interior node's entry.
    pub fn decode(tree: TreeKind, value: &[u8]) -> Result<Self, Damage> {
        let damage = Damage::Node { what: "pointer to a child is malformed" };
        let mut reader = Reader(value);
        let (Some(position), Some(subtree_size), Some(reduce_len)) =
            (reader.uint(6), reader.uint(6), reader.u16())
        else {
            return Err(damage);
        };
        if reader.0.len() != usize::from(reduce_len) || position > POSITION_MAX {
            return Err(damage);
        }
        let reduce = Reduce::decode(tree, reader.0).ok_or(damage)?;
        Ok(NodePointer { position, subtree_size, reduce })
    }

    /// Appends the value of an interior node's entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, self.position, 6);
        put_uint(out, self.subtree_size, 6);
        let reduce_len = match self.reduce {
            Reduce::BySeq { .. } => TreeKind::BySeq.reduce_len(),
            Reduce::ById { .. } => TreeKind::ById.reduce_len(),
            Reduce::Local => TreeKind::Local.reduce_len(),
        };
        put_uint(out, reduce_len as u64, 2);
        self.reduce.encode(out);
    }

    /// Decodes a root pointer as kept in a file header; an empty one means an empty tree.
    pub fn decode_root(tree: TreeKind, bytes: &[u8]) -> Result<Option<Self>, Damage> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let damage = Damage::Length { what: "root pointer", length: bytes.len() as u64 };
        let mut reader = Reader(bytes);
        let (Some(position), Some(subtree_size)) = (reader.uint(6), reader.uint(6)) else {
            return Err(damage);
        };
        let reduce = Reduce::decode(tree, reader.0).ok_or(damage)?;
        Ok(Some(NodePointer { position, subtree_size, reduce }))
    }

    /// Appends a root pointer as kept in a file header.
    pub fn encode_root(&self, out: &mut Vec<u8>) {
        put_uint(out, self.position, 6);
        put_uint(out, self.subtree_size, 6);
        self.reduce.encode(out);
    }
}
