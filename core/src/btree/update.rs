//! Changing many keys of a tree at once: each touched leaf is read once and rewritten with its path
//! to the root, in steps that a caller can stop between.

use super::build::{Cut, NodeGatherer, Written, finish_levels};
use super::read_node;
use crate::chunklog::{ChunkReader, ChunkWriter};
use crate::error::{Error, Result};
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};

/// Keys handled in one step, at most: many can fall into one leaf.
const KEYS_PER_STEP: usize = 256;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets the value that was written into the buffer given.
    Put,
    /// It goes, if it is there.
    Remove,
    /// It stays as it is, or absent.
    Keep,
}

/// Decides on a key, given its index, the value that it has now, and an empty buffer for a new one.
pub type Decide<'a> = dyn FnMut(usize, Option<&[u8]>, &mut Vec<u8>) -> Result<Change> + 'a;

/// Keys to change, one behind the other in one piece of memory.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// No keys, and memory for `count` of `bytes` bytes altogether.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Keys { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Adds a key, which must be above all before.
    pub fn push(&mut self, key: &[u8]) {
        debug_assert!(self.ends.is_empty() || self.get(self.len() - 1) < Some(key));
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A key, if there are so many.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(index)?)
    }

    /// Index of the first key at `from` or behind, and before `end`, that is above `key`; `end` when
    /// there is none.
    fn first_above(&self, key: &[u8], from: usize, end: usize) -> usize {
        let (mut low, mut high) = (from, end);
        while low < high {
            let middle = (low + high) / 2;
            match self.get(middle) > Some(key) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }
}

/// A batch of changes under way. [`step`](Self::step) handles one node at a time.
#[derive(Debug)]
pub struct TreeUpdate {
    tree: TreeKind,
    root: Option<NodePointer>,
    /// End of the file's bytes that the tree lies in.
    before: u64,
    keys: Keys,
    /// First key that is not handled yet.
    next: usize,
    /// The nodes being rebuilt, from the root down to where the update stands.
    frames: Vec<Frame>,
    /// Gatherers of frames that ended, for the next ones.
    spare: Vec<NodeGatherer>,
    /// Nodes as they were of such frames, for their memory.
    spare_nodes: Vec<Node>,
    /// For new values.
    value: Vec<u8>,
    done: bool,
}

/// A node that is being rebuilt.
#[derive(Debug)]
struct Frame {
    /// What was there; `None` for the leaf that begins an empty tree.
    old: Option<(Node, NodePointer)>,
    kind: NodeKind,
    /// First entry of `old` that is not in `gatherer` yet.
    taken: usize,
    /// End of the keys that fall into this node.
    keys_end: usize,
    gatherer: NodeGatherer,
    modified: bool,
}

impl Frame {
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.old.as_ref()?.0.entry(index)
    }

    /// Moves the next old entry over to the gatherer.
    fn keep_entry(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        let old = self.old.as_ref().and_then(|(node, _)| node.encoded_entry(self.taken));
        if let Some((entry, key_len)) = old {
            self.gatherer.push_encoded(entry, key_len);
        }
        self.taken += 1;
        self.cut_if_modified(writer)
    }

    /// Nothing may be written before the first change: the node may yet stay as it is.
    fn cut_if_modified(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        if self.modified { self.gatherer.cut_if_full(writer) } else { Ok(()) }
    }
}

impl TreeUpdate {
    /// Changes of `keys` in the tree below `root`; `before` is the end of the bytes that the tree
    /// lies in.
    pub fn new(tree: TreeKind, root: Option<NodePointer>, before: u64, keys: Keys) -> Self {
        let done = keys.is_empty();
        TreeUpdate {
            tree,
            root,
            before,
            keys,
            next: 0,
            frames: Vec::new(),
            spare: Vec::new(),
            spare_nodes: Vec::new(),
            value: Vec::new(),
            done,
        }
    }

    /// Handles one node, or some of the keys of one leaf. `change` is asked for each key once, by
    /// its index and in order, with the value that it has now. `false` when all is done and
    /// [`root`](Self::root) is the new root.
    pub fn step(
        &mut self,
        reader: &mut ChunkReader,
        writer: &mut ChunkWriter,
        change: &mut Decide<'_>,
    ) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        match self.frames.last().map(|frame| frame.kind) {
            None => self.enter(self.root, self.before, self.keys.len(), reader, writer)?,
            Some(NodeKind::Leaf) => self.rebuild_leaf(writer, change)?,
            Some(NodeKind::Interior) => match self.next_child(writer)? {
                Some((child, before, keys_end)) => {
                    self.enter(Some(child), before, keys_end, reader, writer)?;
                }
                None => self.finish_node(writer)?,
            },
        }
        Ok(!self.done)
    }

    /// The root: the old one before the end, the new one after it.
    pub fn root(&self) -> Option<NodePointer> {
        self.root
    }

    /// Begins to rebuild a node.
    fn enter(
        &mut self,
        pointer: Option<NodePointer>,
        before: u64,
        keys_end: usize,
        reader: &mut ChunkReader,
        writer: &mut ChunkWriter,
    ) -> Result<()> {
        let mut old = None;
        if let Some(pointer) = pointer {
            if pointer.position >= writer.flushed() {
                writer.flush()?;
            }
            let depth = self.frames.len();
            let spare = self.spare_nodes.pop();
            let node = read_node(reader, self.tree, pointer.position, before, depth, spare)?;
            old = Some((node, pointer));
        }
        let kind = old.as_ref().map_or(NodeKind::Leaf, |(node, _)| node.kind());
        let gatherer = match self.spare.pop() {
            Some(mut spare) => {
                spare.restart(kind);
                spare
            }
            None => NodeGatherer::new(self.tree, kind, Cut::Updating),
        };
        self.frames.push(Frame { old, kind, taken: 0, keys_end, gatherer, modified: false });
        Ok(())
    }

    /// In an interior node: keeps the children that no key falls into, up to the next one that some
    /// do; returns it, with the position it must lie before and the end of those keys. `None` when
    /// all children are dealt with.
    fn next_child(
        &mut self,
        writer: &mut ChunkWriter,
    ) -> Result<Option<(NodePointer, u64, usize)>> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let Some((node, pointer)) = &frame.old else { return Ok(None) };
        let (count, position) = (node.entry_count(), pointer.position);
        let target = match self.keys.get(self.next).filter(|_| self.next < frame.keys_end) {
            // Keys above all go into the last child.
            Some(key) => node.lower_bound(key).min(count - 1).max(frame.taken),
            None => count,
        };
        while frame.taken < target {
            frame.keep_entry(writer)?;
        }
        let Some((largest, value)) = frame.entry(target) else { return Ok(None) };
        let child = NodePointer::decode(self.tree, value)
            .map_err(|damage| Error::corrupt(&writer.file().name, position, damage))?;
        let keys_end = match target + 1 == count {
            true => frame.keys_end,
            false => self.keys.first_above(largest, self.next, frame.keys_end),
        };
        Ok(Some((child, position, keys_end)))
    }

    /// Merges a leaf's entries with the keys that fall into it.
    fn rebuild_leaf(&mut self, writer: &mut ChunkWriter, change: &mut Decide<'_>) -> Result<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let stop = frame.keys_end.min(self.next + KEYS_PER_STEP);
        while let Some(key) = self.keys.get(self.next).filter(|_| self.next < stop) {
            while frame.entry(frame.taken).is_some_and(|(found, _)| found < key) {
                frame.keep_entry(writer)?;
            }
            let old = frame.entry(frame.taken).filter(|(found, _)| *found == key);
            let there = old.is_some();
            self.value.clear();
            match change(self.next, old.map(|(_, value)| value), &mut self.value)? {
                Change::Put => {
                    frame.gatherer.push(key, &self.value)?;
                    frame.taken += usize::from(there);
                    frame.modified = true;
                    frame.cut_if_modified(writer)?;
                }
                Change::Remove if there => {
                    frame.taken += 1;
                    frame.modified = true;
                }
                Change::Keep if there => frame.keep_entry(writer)?,
                Change::Remove | Change::Keep => {}
            }
            self.next += 1;
        }
        if self.next < frame.keys_end {
            return Ok(());
        }
        while frame.entry(frame.taken).is_some() {
            frame.keep_entry(writer)?;
        }
        self.finish_node(writer)
    }

    /// Ends the innermost frame and tells its parent what became of the node.
    fn finish_node(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        let Some(mut frame) = self.frames.pop() else { return Ok(()) };
        let nodes: Option<Vec<Written>> = if frame.modified {
            frame.gatherer.write_all(writer)?;
            Some(std::mem::take(&mut frame.gatherer.written))
        } else {
            None
        };
        self.spare.push(frame.gatherer);
        self.spare_nodes.extend(frame.old.map(|(node, _)| node));
        match (self.frames.last_mut(), nodes) {
            (Some(parent), None) => parent.keep_entry(writer)?,
            (Some(parent), Some(nodes)) => {
                parent.taken += 1;
                parent.modified = true;
                for (key, pointer) in &nodes {
                    parent.gatherer.push_pointer(key, pointer)?;
                    parent.cut_if_modified(writer)?;
                }
            }
            (None, nodes) => {
                if let Some(nodes) = nodes {
                    self.root = finish_levels(self.tree, nodes, writer)?;
                }
                self.done = true;
            }
        }
        Ok(())
    }
}
