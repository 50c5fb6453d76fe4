//! Walking a tree in key order, one subtree or entry at a time.

use super::read_node;
use crate::chunklog::ChunkReader;
use crate::error::{Damage, Error, Result};
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};

/// What a walk stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A subtree that was not read yet.
    Subtree(NodePointer),
    /// An entry of a leaf.
    Entry(&'a [u8], &'a [u8]),
}

/// A position in a tree that moves forward: over whole subtrees unread, into them, or entry by
/// entry. Holds one node a level in memory.
#[derive(Debug)]
pub struct TreeWalk {
    reader: ChunkReader,
    tree: TreeKind,
    /// The root, until it is entered or passed.
    root: Option<NodePointer>,
    /// Position of the header: everything reachable lies before it.
    before: u64,
    levels: Vec<Level>,
    /// Key of the entry passed last, of those in leaves that are left behind.
    passed: Option<Vec<u8>>,
    /// The node left last, for its memory.
    spare: Option<Node>,
}

/// Bytes that may lie between nodes for each byte of a node, so that they are read with them: to read
/// nodes one by one costs more than that.
const ELSE_MAX: u64 = 16;

#[derive(Debug)]
struct Level {
    node: Node,
    position: u64,
    next: usize,
}

impl TreeWalk {
    /// A walk that stands before the whole tree. `before` is the position of the header whose root
    /// this is, or the end of what was written.
    pub fn new(
        reader: ChunkReader,
        tree: TreeKind,
        root: Option<NodePointer>,
        before: u64,
    ) -> Self {
        TreeWalk { reader, tree, root, before, levels: Vec::new(), passed: None, spare: None }
    }

    /// The reader that the walk uses.
    pub fn reader(&mut self) -> &mut ChunkReader {
        &mut self.reader
    }

    /// Byte offset of the node that holds the current token; `None` before the root.
    pub fn node_position(&self) -> Option<u64> {
        self.levels.last().map(|level| level.position)
    }

    /// The node that holds the current token; `None` before the root.
    pub fn node(&self) -> Option<&Node> {
        self.levels.last().map(|level| &level.node)
    }

    /// How many nodes are open around the current token: 0 before the root.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// What the walk stands before; `None` at the end. Nothing is read.
    pub fn peek(&self) -> Result<Option<Token<'_>>> {
        if let Some(root) = self.root {
            return Ok(Some(Token::Subtree(root)));
        }
        let Some(level) = self.levels.last() else { return Ok(None) };
        let Some((key, value)) = level.node.entry(level.next) else { return Ok(None) };
        Ok(Some(match level.node.kind() {
            NodeKind::Leaf => Token::Entry(key, value),
            NodeKind::Interior => {
                let pointer = NodePointer::decode(self.tree, value);
                Token::Subtree(pointer.map_err(|damage| self.corrupt(damage))?)
            }
        }))
    }

    /// Largest key below the current subtree as its parent says, or the current entry's key; `None`
    /// before the root and at the end.
    pub fn peek_key(&self) -> Option<&[u8]> {
        let level = self.levels.last()?;
        level.node.key(level.next)
    }

    /// Passes the current subtree, unread, or the current entry.
    pub fn skip(&mut self) {
        self.pass();
        self.leave_finished();
    }

    /// Passes all that is left of the node that holds the current token. Before the root, or at the
    /// end, does nothing.
    pub fn leave(&mut self) {
        self.leave_node();
        self.leave_finished();
    }

    /// Reads the node of the current subtree and stands before its first child or entry. Before an
    /// entry, or at the end, does nothing.
    pub fn descend(&mut self) -> Result<()> {
        if let Some(Token::Subtree(pointer)) = self.peek()?
            && let Some(start) = self.begin_of_piece(&pointer)
        {
            let before = self.node_position().unwrap_or(self.before);
            self.reader.expect_nodes(start, pointer.position, before)?;
        }
        self.descend_to(|_| 0)
    }

    /// Stands before the first entry whose key is `key` or above. Only to be called on a walk that
    /// has not moved yet.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        while matches!(self.peek()?, Some(Token::Subtree(_))) {
            self.descend_to(|node| node.lower_bound(key))?;
        }
        Ok(())
    }

    /// Goes down until the walk stands before an entry; `false` at the end.
    ///
    /// # Errors
    /// As [`descend`](Self::descend) and [`check_order`](Self::check_order).
    pub fn to_entry(&mut self) -> Result<bool> {
        while self.leaf().is_none() {
            if self.peek()?.is_none() {
                return Ok(false);
            }
            self.descend()?;
        }
        self.check_order().map(|()| true)
    }

    /// Damage when the walk stands before an entry whose key is not above that of the entry passed
    /// last. Whoever goes by order relies on it; and it ends the walk of a small file in which so
    /// many pointers lead to one node that all its ways would never be walked.
    pub fn check_order(&self) -> Result<()> {
        let Some(level) = self.leaf() else { return Ok(()) };
        let passed = match level.next.checked_sub(1) {
            Some(last) => level.node.key(last),
            None => self.passed.as_deref(),
        };
        match passed >= level.node.key(level.next) {
            true => Err(self.corrupt(Damage::Node { what: "keys are not in ascending order" })),
            false => Ok(()),
        }
    }

    /// Key and value of the entry before which the walk stands; `None` elsewhere.
    pub fn entry(&self) -> Option<(&[u8], &[u8])> {
        let level = self.leaf()?;
        level.node.entry(level.next)
    }

    /// The leaf in which the walk stands before an entry.
    fn leaf(&self) -> Option<&Level> {
        self.levels.last().filter(|level| level.node.kind() == NodeKind::Leaf)
    }

    /// An error that says the node holding the current token is damaged.
    pub fn corrupt(&self, damage: Damage) -> Error {
        let position = self.node_position().unwrap_or(self.before);
        Error::corrupt(&self.reader.file().name, position, damage)
    }

    fn descend_to(&mut self, first: impl FnOnce(&Node) -> usize) -> Result<()> {
        let Some(Token::Subtree(pointer)) = self.peek()? else { return Ok(()) };
        let before = self.node_position().unwrap_or(self.before);
        let (position, depth) = (pointer.position, self.levels.len());
        let spare = self.spare.take();
        let node = read_node(&mut self.reader, self.tree, position, before, depth, spare)?;
        // The subtree counts as passed in its parent as soon as it is entered.
        self.pass();
        let next = first(&node);
        self.levels.push(Level { node, position, next });
        self.leave_finished();
        Ok(())
    }

    /// Where a subtree begins at the earliest, if it lies behind the subtree before it, as a compaction
    /// writes it, with little else between its nodes: bodies, say.
    fn begin_of_piece(&self, pointer: &NodePointer) -> Option<u64> {
        let level = self.levels.last()?;
        let (_, value) = level.node.entry(level.next.checked_sub(1)?)?;
        let start = NodePointer::decode(self.tree, value).ok()?.position;
        let length = pointer.position.checked_sub(start)?;
        (length / ELSE_MAX <= pointer.subtree_size).then_some(start)
    }

    fn pass(&mut self) {
        if self.root.take().is_some() {
            return;
        }
        if let Some(level) = self.levels.last_mut() {
            level.next += 1;
        }
    }

    fn leave_finished(&mut self) {
        while self.levels.last().is_some_and(|level| level.next >= level.node.entry_count()) {
            self.leave_node();
        }
    }

    fn leave_node(&mut self) {
        let Some(Level { node, next, .. }) = self.levels.pop() else { return };
        if node.kind() == NodeKind::Leaf
            && let Some(key) = next.checked_sub(1).and_then(|last| node.key(last))
        {
            let passed = self.passed.get_or_insert_default();
            passed.clear();
            passed.extend_from_slice(key);
        }
        self.spare = Some(node);
    }
}
