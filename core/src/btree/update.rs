//! Changing many keys of a tree at once: each touched leaf is read once and rewritten with its path
//! to the root, in steps that a caller can stop between.

use std::sync::Arc;

use super::build::{Cut, NodeGatherer, corrupt, finish_levels};
use super::descent::{Descent, Visit, VisitSource};
use super::keys::Keys;
use crate::chunklog::ChunkWriter;
use crate::error::{Damage, Error, Result};
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
/// Damage where the value that it has now is none.
pub type Decide<'a> = dyn FnMut(usize, Option<&[u8]>, &mut Vec<u8>) -> Result<Change, Damage> + 'a;

/// A batch of changes under way. [`step`](Self::step) handles one node at a time.
#[derive(Debug)]
pub struct TreeUpdate {
    tree: TreeKind,
    root: Option<NodePointer>,
    keys: Arc<Keys>,
    /// First key that is not handled yet.
    next: usize,
    /// The nodes that the keys fall into.
    visits: Box<dyn VisitSource>,
    /// The nodes being rebuilt, from the root down to where the update stands.
    frames: Vec<Frame>,
    /// Gatherers of frames that ended, for the next ones.
    spare: Vec<NodeGatherer>,
    /// For new values.
    value: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    Done,
    /// Where it stood is lost.
    Failed,
}

/// A node that is being rebuilt.
#[derive(Debug)]
struct Frame {
    /// What was there; `None` for the leaf that begins an empty tree.
    old: Option<Node>,
    kind: NodeKind,
    /// First entry of `old` that is not in `gatherer` yet.
    taken: usize,
    /// End of the keys that fall into this node.
    keys_end: usize,
    /// Its children that keys fall into, and that were not entered yet.
    children: usize,
    gatherer: NodeGatherer,
    modified: bool,
}

impl Frame {
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.old.as_ref()?.entry(index)
    }

    /// Moves the next old entry over to the gatherer.
    fn keep_entry(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        let old = self.old.as_ref().and_then(|node| node.encoded_entry(self.taken));
        if let Some((entry, key_len)) = old {
            self.gatherer.push_encoded(entry, key_len);
        }
        self.taken += 1;
        self.cut_if_modified(writer)
    }

    /// Moves the old entries before `end` over.
    fn keep_entries(&mut self, end: usize, writer: &mut ChunkWriter) -> Result<()> {
        while self.taken < end {
            self.keep_entry(writer)?;
        }
        Ok(())
    }

    /// How many entries were there.
    fn entry_count(&self) -> usize {
        self.old.as_ref().map_or(0, Node::entry_count)
    }

    /// Nothing may be written before the first change: the node may yet stay as it is.
    fn cut_if_modified(&mut self, writer: &mut ChunkWriter) -> Result<()> {
        if self.modified { self.gatherer.cut_if_full(writer) } else { Ok(()) }
    }
}

impl TreeUpdate {
    /// Changes of `keys` in the tree below `root`, which `writer` wrote or its file had before. `join`
    /// may hand the reading of nodes to another thread.
    ///
    /// # Errors
    /// A failure to write what of the tree is still in the writer's buffer.
    pub fn begin(
        tree: TreeKind,
        root: Option<NodePointer>,
        keys: Keys,
        writer: &mut ChunkWriter,
        join: impl FnOnce(Descent) -> Box<dyn VisitSource>,
    ) -> Result<Self> {
        // Children lie before their parents: if the root can be read, everything below it can.
        let in_buffer = root.is_some_and(|root| root.position >= writer.flushed());
        if in_buffer && !keys.is_empty() {
            writer.flush()?;
        }
        let keys = Arc::new(keys);
        Ok(TreeUpdate {
            tree,
            root,
            next: 0,
            state: if keys.is_empty() { State::Done } else { State::Working },
            visits: join(Descent::new(tree, root, keys.clone(), writer)),
            keys,
            frames: Vec::new(),
            spare: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Handles one node, or some of the keys of one leaf. `change` is asked for each key once, by
    /// its index and in order, with the value that it has now. `false` when all is done and
    /// [`root`](Self::root) is the new root.
    ///
    /// # Errors
    /// Damage in the tree, a failure of its device, what `change` fails with. The update cannot go on.
    pub fn step(&mut self, writer: &mut ChunkWriter, change: &mut Decide<'_>) -> Result<bool> {
        match self.state {
            State::Working => {}
            State::Done => return Ok(false),
            State::Failed => {
                return Err(Error::Invalid("a batch failed before in this tree".to_owned()));
            }
        }
        let done = self.advance(writer, change);
        self.state = match done {
            Ok(false) => State::Working,
            Ok(true) => State::Done,
            Err(_) => State::Failed,
        };
        Ok(!done?)
    }

    /// Whether all is done now.
    fn advance(&mut self, writer: &mut ChunkWriter, change: &mut Decide<'_>) -> Result<bool> {
        match self.frames.last_mut() {
            None if self.root.is_none() => self.enter(None),
            None => {
                let root = self.visits.next()?;
                self.enter(Some(root));
            }
            Some(frame) if frame.kind == NodeKind::Leaf => {
                return self.rebuild_leaf(writer, change);
            }
            Some(frame) if frame.children > 0 => {
                let visit = self.visits.next()?;
                frame.children -= 1;
                frame.keep_entries(visit.child, writer)?;
                self.enter(Some(visit));
            }
            Some(frame) => {
                frame.keep_entries(frame.entry_count(), writer)?;
                return self.finish_node(writer);
            }
        }
        Ok(false)
    }

    /// The root: the old one before the end, the new one after it.
    pub fn root(&self) -> Option<NodePointer> {
        self.root
    }

    /// Begins to rebuild a node; `None` for the leaf that begins an empty tree.
    fn enter(&mut self, visit: Option<Visit>) {
        let (position, keys_end, children) = match &visit {
            Some(visit) => (Some(visit.position), visit.keys_end, visit.children),
            None => (None, self.keys.len(), 0),
        };
        let old = visit.map(|visit| visit.node);
        let kind = old.as_ref().map_or(NodeKind::Leaf, Node::kind);
        let spare = self.spare.pop();
        let mut gatherer =
            spare.unwrap_or_else(|| NodeGatherer::new(self.tree, kind, Cut::Updating));
        gatherer.restart(kind, position);
        self.frames.push(Frame {
            old,
            kind,
            taken: 0,
            keys_end,
            children,
            gatherer,
            modified: false,
        });
    }

    /// Merges a leaf's entries with the keys that fall into it; `true` if that was the last.
    fn rebuild_leaf(&mut self, writer: &mut ChunkWriter, change: &mut Decide<'_>) -> Result<bool> {
        let Some(frame) = self.frames.last_mut() else { return Ok(true) };
        let stop = frame.keys_end.min(self.next + KEYS_PER_STEP);
        while let Some(key) = self.keys.get(self.next).filter(|_| self.next < stop) {
            while frame.entry(frame.taken).is_some_and(|(found, _)| found < key) {
                frame.keep_entry(writer)?;
            }
            let old = frame.entry(frame.taken).filter(|(found, _)| *found == key);
            let there = old.is_some();
            self.value.clear();
            let change = change(self.next, old.map(|(_, value)| value), &mut self.value)
                .map_err(|damage| corrupt(writer, frame.gatherer.from, damage))?;
            match change {
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
            return Ok(false);
        }
        frame.keep_entries(frame.entry_count(), writer)?;
        self.finish_node(writer)
    }

    /// Ends the innermost frame and tells its parent what became of the node; `true` if it has none.
    fn finish_node(&mut self, writer: &mut ChunkWriter) -> Result<bool> {
        let Some(mut frame) = self.frames.pop() else { return Ok(true) };
        if frame.modified {
            frame.gatherer.write_all(writer)?;
        }
        let nodes = &mut frame.gatherer.written;
        match self.frames.last_mut() {
            Some(parent) if frame.modified => {
                parent.taken += 1;
                parent.modified = true;
                for (key, pointer) in nodes.iter() {
                    parent.gatherer.push_pointer(key, pointer)?;
                    parent.cut_if_modified(writer)?;
                }
            }
            Some(parent) => parent.keep_entry(writer)?,
            None => {
                if frame.modified {
                    self.root = finish_levels(self.tree, std::mem::take(nodes), writer)?;
                }
                debug_assert_eq!(self.next, self.keys.len());
            }
        }
        self.spare.push(frame.gatherer);
        if let Some(node) = frame.old {
            self.visits.take_back(node);
        }
        Ok(self.frames.is_empty())
    }
}
