//! Writing nodes: gathering entries and cutting them into nodes as the reference sizes them
//! (format, section 3), and building a whole tree from sorted entries.

use super::content_of;
use crate::chunklog::ChunkWriter;
use crate::error::{Damage, Error, Result};
use crate::format::node::{ENTRY_HEAD_LEN, NodeKind, kind_byte, put_entry};
use crate::format::pointer::{NodePointer, TreeKind};
use crate::format::snappy::Deflater;
use crate::limits::{KEY_LEN_MAX, NODE_THRESHOLD, SUBTREE_SIZE_MAX, TREE_DEPTH_MAX, VALUE_LEN_MAX};

/// Size at which a piece is large enough to be written.
const QUOTA: usize = NODE_THRESHOLD * 2 / 3;

/// When a node is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Entries of nodes that are being changed: once there are more than three of them and they pass
    /// the threshold, the first two thirds go out and the rest waits for more.
    Updating,
    /// Entries that come sorted and never again: everything goes out past two thirds.
    Bulk,
}

/// A node that was written: its largest key, and the pointer to it.
pub(super) type Written = (Vec<u8>, NodePointer);

/// Where in a gatherer's bytes an entry's key begins, its value begins, and it ends. There are never 4
/// GiB of them, but there may be very many of a damaged node's short entries.
type Span = [u32; 3];

/// Entries on their way into nodes of one level.
#[derive(Debug)]
pub(super) struct NodeGatherer {
    tree: TreeKind,
    kind: NodeKind,
    cut: Cut,
    /// Where the node lies whose entries these are, if they were not made here: for messages.
    pub(super) from: Option<u64>,
    /// A node that would hold all of them: its kind, and the encoded entries.
    raw: Vec<u8>,
    /// Where each entry is.
    spans: Vec<Span>,
    /// Nodes written and not yet taken.
    pub(super) written: Vec<Written>,
    /// For values of pointers.
    value: Vec<u8>,
    deflater: Deflater,
}

/// Bytes of a node without entries.
const KIND_LEN: usize = 1;

impl NodeGatherer {
    pub(super) fn new(tree: TreeKind, kind: NodeKind, cut: Cut) -> Self {
        NodeGatherer {
            tree,
            kind,
            cut,
            from: None,
            raw: vec![kind_byte(kind)],
            spans: Vec::new(),
            written: Vec::new(),
            value: Vec::new(),
            deflater: Deflater::default(),
        }
    }

    /// Becomes a gatherer that has nothing yet, for the entries of the node at `from`; keeps its memory.
    pub(super) fn restart(&mut self, kind: NodeKind, from: Option<u64>) {
        (self.kind, self.from) = (kind, from);
        self.raw.clear();
        self.raw.push(kind_byte(kind));
        self.spans.clear();
        self.written.clear();
    }

    /// Bytes of the entries gathered.
    fn size(&self) -> usize {
        self.raw.len() - KIND_LEN
    }

    /// Adds an entry behind the last one. Does not write.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check_lengths(key, value)?;
        let start = self.raw.len();
        put_entry(&mut self.raw, key, value);
        self.span(start, key.len());
        Ok(())
    }

    /// As [`push`](Self::push), for an entry as it stands in another node.
    pub(super) fn push_encoded(&mut self, entry: &[u8], key_len: usize) {
        let start = self.raw.len();
        self.raw.extend_from_slice(entry);
        self.span(start, key_len);
    }

    /// Notes where the entry is that begins at `start` and is the last.
    fn span(&mut self, start: usize, key_len: usize) {
        let key = start + ENTRY_HEAD_LEN;
        self.spans.push([key, key + key_len, self.raw.len()].map(|at| at as u32));
    }

    /// Adds a pointer to a node of the level below.
    pub(super) fn push_pointer(&mut self, key: &[u8], pointer: &NodePointer) -> Result<()> {
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        pointer.encode(&mut value);
        let pushed = self.push(key, &value);
        self.value = value;
        pushed
    }

    /// Writes a node if the entries gathered have become enough for one.
    pub(super) fn cut_if_full(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        match self.cut {
            Cut::Updating if self.spans.len() > 3 && self.size() > NODE_THRESHOLD => {
                let count =
                    self.spans.partition_point(|[_, _, end]| *end as usize - KIND_LEN < QUOTA) + 1;
                let least = if self.kind == NodeKind::Interior { 2 } else { 1 };
                self.write_front(count.max(least), writer)
            }
            Cut::Bulk
                if self.size() > QUOTA && (self.kind == NodeKind::Leaf || self.spans.len() > 1) =>
            {
                self.write_all(writer)
            }
            _ => Ok(()),
        }
    }

    /// Writes what is pending, if anything, as one node.
    pub(super) fn write_all(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        self.write_front(self.spans.len(), writer)
    }

    /// Writes the first `count` entries as one node.
    fn write_front(&mut self, count: usize, writer: &mut ChunkWriter) -> Result<()> {
        let count = count.min(self.spans.len());
        let Some(last) = self.spans[..count].last() else { return Ok(()) };
        let [last_key, last_value, end] = last.map(|at| at as usize);
        let (mut reduce, mut subtree_size) = (self.tree.empty_reduce(), 0_u64);
        for span in &self.spans[..count] {
            let [key, value, end] = span.map(|at| at as usize);
            let (key, value) = (&self.raw[key..value], &self.raw[value..end]);
            let below = match self.kind {
                NodeKind::Leaf => self.tree.reduce_entry(key, value),
                NodeKind::Interior => NodePointer::decode(self.tree, value).map(|child| {
                    subtree_size = child.subtree_size.saturating_add(subtree_size);
                    child.reduce
                }),
            };
            reduce.add(below.map_err(|damage| corrupt(writer, self.from, damage))?);
        }
        let body = self.deflater.deflate(&self.raw[..end], "tree node");
        let body = body.map_err(|damage| corrupt(writer, self.from, damage))?;
        let appended = writer.append(body, content_of(self.tree))?;
        // Only a damaged file's sizes can add up to more than the field holds.
        let subtree_size = subtree_size.saturating_add(appended.disk_size).min(SUBTREE_SIZE_MAX);
        let pointer = NodePointer { position: appended.position, subtree_size, reduce };
        self.written.push((self.raw[last_key..last_value].to_vec(), pointer));
        self.raw.drain(KIND_LEN..end);
        self.spans.drain(..count);
        for boundary in self.spans.iter_mut().flatten() {
            *boundary -= (end - KIND_LEN) as u32;
        }
        Ok(())
    }

    /// The only pointer gathered, if nothing was written and nothing else is pending: the node that
    /// it points at is the root and needs no parent.
    fn only_pointer(&self) -> Option<NodePointer> {
        match self.spans.as_slice() {
            &[[_, value, end]] if self.written.is_empty() && self.kind == NodeKind::Interior => {
                NodePointer::decode(self.tree, &self.raw[value as usize..end as usize]).ok()
            }
            _ => None,
        }
    }
}

/// Builds the levels above `nodes` until one node is left: the root. `None` for no nodes at all.
pub(super) fn finish_levels(
    tree: TreeKind,
    mut nodes: Vec<Written>,
    writer: &mut ChunkWriter,
) -> Result<Option<NodePointer>> {
    while nodes.len() > 1 {
        let mut level = NodeGatherer::new(tree, NodeKind::Interior, Cut::Updating);
        for (key, pointer) in &nodes {
            level.push_pointer(key, pointer)?;
            level.cut_if_full(writer)?;
        }
        level.write_all(writer)?;
        nodes = level.written;
    }
    Ok(nodes.pop().map(|(_, pointer)| pointer))
}

/// Builds a tree from entries that come in key order. Memory holds one node a level, and the tree's
/// bytes depend on the entries only.
#[derive(Debug)]
pub struct BulkBuilder {
    tree: TreeKind,
    levels: Vec<NodeGatherer>,
}

impl BulkBuilder {
    /// A builder of an empty tree.
    pub fn new(tree: TreeKind) -> Self {
        BulkBuilder { tree, levels: vec![NodeGatherer::new(tree, NodeKind::Leaf, Cut::Bulk)] }
    }

    /// Adds an entry, whose key must be above all before it.
    pub fn push(&mut self, key: &[u8], value: &[u8], writer: &mut ChunkWriter) -> Result<()> {
        self.levels[0].push(key, value)?;
        self.levels[0].cut_if_full(writer)?;
        let mut level = 0;
        while self.lift(level, writer)? {
            level += 1;
        }
        Ok(())
    }

    /// Hands the nodes written at `level` to the level above; whether there were any.
    fn lift(&mut self, level: usize, writer: &mut ChunkWriter) -> Result<bool> {
        let nodes = std::mem::take(&mut self.levels[level].written);
        if nodes.is_empty() {
            return Ok(false);
        }
        if self.levels.len() == level + 1 {
            if self.levels.len() == TREE_DEPTH_MAX {
                let (what, max) = ("depth of a tree", TREE_DEPTH_MAX as u64);
                return Err(Error::TooLarge { what, value: max + 1, max });
            }
            self.levels.push(NodeGatherer::new(self.tree, NodeKind::Interior, Cut::Bulk));
        }
        let above = &mut self.levels[level + 1];
        for (key, pointer) in &nodes {
            above.push_pointer(key, pointer)?;
            above.cut_if_full(writer)?;
        }
        Ok(true)
    }

    /// Writes what is left and returns the root; `None` if there was no entry.
    pub fn finish(mut self, writer: &mut ChunkWriter) -> Result<Option<NodePointer>> {
        let mut level = 0;
        while level < self.levels.len() {
            if level + 1 == self.levels.len()
                && let Some(root) = self.levels[level].only_pointer()
            {
                return Ok(Some(root));
            }
            self.levels[level].write_all(writer)?;
            self.lift(level, writer)?;
            level += 1;
        }
        Ok(None)
    }
}

/// Damage in entries that came `from` somewhere, or were made for the end of the file.
pub(super) fn corrupt(writer: &ChunkWriter, from: Option<u64>, damage: Damage) -> Error {
    Error::corrupt(&writer.file().name, from.unwrap_or(writer.end()), damage)
}

fn check_lengths(key: &[u8], value: &[u8]) -> Result<()> {
    let lengths = [
        ("length of a key", key.len(), KEY_LEN_MAX),
        ("length of a value in a tree", value.len(), VALUE_LEN_MAX),
    ];
    match lengths.iter().find(|(_, length, max)| length > max) {
        Some((what, length, max)) => {
            Err(Error::TooLarge { what, value: *length as u64, max: *max as u64 })
        }
        None => Ok(()),
    }
}
