//! Reading the nodes that the keys of a batch fall into, in the order in which an update comes to them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::keys::Keys;
use super::read_node;
use crate::chunklog::{ChunkReader, ChunkWriter};
use crate::error::{Error, Result};
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};

/// Bytes of nodes read ahead together, roughly.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of memory of a node that is used again, at most: most take a tenth.
const SPARE_MAX: usize = 16 << 10;

/// A node that keys of a batch fall into. Its visited children follow, each with its own below it.
#[derive(Debug)]
pub struct Visit {
    /// The node.
    pub(super) node: Node,
    /// Byte offset of its chunk.
    pub(super) position: u64,
    /// Which child of the node above it is.
    pub(super) child: usize,
    /// End of the keys that fall into it.
    pub(super) keys_end: usize,
    /// How many of its children are visited.
    pub(super) children: usize,
}

/// Where an update gets the nodes that it rebuilds: the [`Descent`] itself, or a queue that another
/// thread fills from one.
pub trait VisitSource: Send {
    /// The next node.
    ///
    /// # Errors
    /// Damage in the tree, or a failure of its device. The update cannot go on.
    fn next(&mut self) -> Result<Visit>;

    /// Takes a node that is not needed any more, for its memory.
    fn take_back(&mut self, node: Node);
}

impl fmt::Debug for dyn VisitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VisitSource")
    }
}

/// Goes down a tree to every leaf that one of many keys falls into.
#[derive(Debug)]
pub struct Descent {
    tree: TreeKind,
    reader: ChunkReader,
    keys: Arc<Keys>,
    /// Nodes to visit yet, the next one last.
    due: Vec<Due>,
    /// For their memory.
    spare: Vec<Node>,
}

/// A node to visit.
#[derive(Debug)]
struct Due {
    pointer: NodePointer,
    /// What its chunk must lie before.
    before: u64,
    /// The number of nodes above it.
    depth: usize,
    child: usize,
    /// The keys that fall into it.
    keys: Range<usize>,
}

/// Visits in a row.
#[derive(Debug, Default)]
pub struct VisitBatch {
    /// The first one first.
    visits: VecDeque<Visit>,
    /// Nodes that are not needed any more, for their memory.
    spare: Vec<Node>,
}

impl VisitBatch {
    /// Takes out the next visit, if there is one.
    pub fn take_next(&mut self) -> Option<Visit> {
        self.visits.pop_front()
    }

    /// Takes a node that is not needed any more, for its memory.
    pub fn take_back(&mut self, node: Node) {
        keep_spare(&mut self.spare, node);
    }
}

fn keep_spare(spare: &mut Vec<Node>, node: Node) {
    if node.memory() <= SPARE_MAX {
        spare.push(node);
    }
}

impl Descent {
    /// A descent of `keys` in the tree below `root`, all of which the writer has handed to its file.
    pub(super) fn new(
        tree: TreeKind,
        root: Option<NodePointer>,
        keys: Arc<Keys>,
        writer: &ChunkWriter,
    ) -> Self {
        let due = root.map(|root| Due {
            pointer: root,
            before: writer.flushed(),
            depth: 0,
            child: 0,
            keys: 0..keys.len(),
        });
        let reader = ChunkReader::new(writer.file().clone(), ChunkReader::LOOKUP_WINDOW);
        Descent { tree, reader, keys, due: due.into_iter().collect(), spare: Vec::new() }
    }

    /// How many keys fall into nodes: none where there are no nodes.
    pub fn key_count(&self) -> usize {
        self.due.iter().map(|due| due.keys.len()).sum()
    }

    /// Reads the next nodes; `false` when there were no more. The batch must be empty but for its
    /// spare nodes.
    ///
    /// # Errors
    /// As [`VisitSource::next`].
    pub fn fill(&mut self, batch: &mut VisitBatch) -> Result<bool> {
        self.spare.append(&mut batch.spare);
        let mut bytes = 0;
        while bytes < BATCH_BYTES && !self.due.is_empty() {
            let visit = self.next()?;
            bytes += visit.node.raw().len();
            batch.visits.push_back(visit);
        }
        Ok(!batch.visits.is_empty())
    }

    /// Finds the children that keys fall into, and how many they are.
    fn go_below(&mut self, node: &Node, due: &Due) -> Result<usize> {
        let (first, last) = (self.due.len(), node.entry_count() - 1);
        let position = due.pointer.position;
        let mut next = due.keys.start;
        while let Some(key) = self.keys.get(next).filter(|_| next < due.keys.end) {
            // Keys above all go into the last child.
            let child = node.lower_bound(key).min(last);
            let Some((largest, pointer)) = node.entry(child) else { break };
            let pointer = NodePointer::decode(self.tree, pointer)
                .map_err(|damage| Error::corrupt(&self.reader.file().name, position, damage))?;
            let end = match child == last {
                true => due.keys.end,
                false => self.keys.first_above(largest, next, due.keys.end),
            };
            self.due.push(Due {
                pointer,
                before: position,
                depth: due.depth + 1,
                child,
                keys: next..end,
            });
            next = end;
        }
        self.due[first..].reverse();
        Ok(self.due.len() - first)
    }
}

impl VisitSource for Descent {
    fn next(&mut self) -> Result<Visit> {
        let Some(due) = self.due.pop() else {
            return Err(Error::Invalid("the tree's nodes were all visited".to_owned()));
        };
        let (spare, reader) = (self.spare.pop(), &mut self.reader);
        let (position, size) = (due.pointer.position, due.pointer.subtree_size);
        reader.expect_node(position, size, due.before)?;
        let node = read_node(reader, self.tree, position, due.before, due.depth, spare)?;
        let children = match node.kind() {
            NodeKind::Leaf => 0,
            NodeKind::Interior => self.go_below(&node, &due)?,
        };
        Ok(Visit { node, position, child: due.child, keys_end: due.keys.end, children })
    }

    fn take_back(&mut self, node: Node) {
        keep_spare(&mut self.spare, node);
    }
}
