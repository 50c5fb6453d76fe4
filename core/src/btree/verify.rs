//! Checking the structure of a tree: every node against the pointer to it and against its place.
//!
//! Each node is checked by itself, against what its parent says of it; that makes the whole tree
//! right by induction. A tree that shares subtrees with a newer one which was checked already is
//! walked beside it, and what both share is passed over: checking every state of a file costs what
//! the file costs.

use std::cmp::Ordering;

use super::walk::{Token, TreeWalk};
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::chunk::SizeKept;
use crate::format::docinfo::DocInfoRef;
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};

/// Which of the two trees that are walked side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The tree that is being checked.
    Checked,
    /// The newer one beside it, checked before.
    Newer,
}

/// Receives what a [`TreeCheck`] comes across.
pub trait CheckVisitor {
    /// A node of the checked tree was read: bytes `position..end` of the file, with this disk size.
    fn node(&mut self, position: u64, end: u64, disk_size: u64);

    /// Something is wrong in the checked tree; the error has the offset.
    fn damage(&mut self, error: Error);

    /// The size of the node at `position` is kept [as others count](SizeKept::AsOthersCount).
    fn size_as_others_count(&mut self, position: u64);

    /// What lies below a pointer cannot be told on this side, and was passed over.
    fn unreadable(&mut self, side: Side);

    /// A leaf entry, in the node at `position`, that the other side does not have just so.
    fn entry(&mut self, side: Side, position: u64, key: &[u8], value: &[u8]);
}

/// A check of one tree under way.
#[derive(Debug)]
pub struct TreeCheck {
    tree: TreeKind,
    checked: TreeWalk,
    newer: TreeWalk,
    /// Largest key of each side that was passed: whatever comes must be above.
    passed: [Option<Vec<u8>>; 2],
}

/// Where one of the walks stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Subtree(NodePointer),
    Entry,
    End,
}

impl TreeCheck {
    /// Checks the tree that `checked` stands before. `newer` stands before a tree of the same kind
    /// that was checked already: an empty one when there is none.
    pub fn new(tree: TreeKind, checked: TreeWalk, newer: TreeWalk) -> Self {
        TreeCheck { tree, checked, newer, passed: [None, None] }
    }

    /// Reads a node, or passes what both sides share or an entry. `false` at the end. Damage goes to
    /// the visitor and stops nothing.
    ///
    /// # Errors
    /// Only what is not damage: the device failing.
    pub fn step(&mut self, visitor: &mut dyn CheckVisitor) -> Result<bool> {
        let Some(checked) = self.place(Side::Checked, visitor)? else { return Ok(true) };
        let Some(newer) = self.place(Side::Newer, visitor)? else { return Ok(true) };
        match (checked, newer) {
            (Place::End, Place::End) => return Ok(false),
            // Children lie before their parents: of two subtrees only the one further back in the
            // file can be a part of the other.
            (Place::Subtree(a), Place::Subtree(b)) if a.position < b.position => {
                self.descend(Side::Newer, b, visitor)?;
            }
            (Place::Subtree(a), Place::Subtree(b))
                if a == b && self.checked.peek_key() == self.newer.peek_key() =>
            {
                self.pass(Side::Checked);
                self.pass(Side::Newer);
            }
            (Place::Subtree(a), _) => self.descend(Side::Checked, a, visitor)?,
            (_, Place::Subtree(b)) => self.descend(Side::Newer, b, visitor)?,
            (Place::Entry, Place::End) => self.pass_entry(Side::Checked, visitor),
            (Place::End, Place::Entry) => self.pass_entry(Side::Newer, visitor),
            (Place::Entry, Place::Entry) => match self.checked.entry().cmp(&self.newer.entry()) {
                Ordering::Equal => {
                    self.pass(Side::Checked);
                    self.pass(Side::Newer);
                }
                // With one key and two values the order in which they are passed does not matter.
                Ordering::Less => self.pass_entry(Side::Checked, visitor),
                Ordering::Greater => self.pass_entry(Side::Newer, visitor),
            },
        }
        Ok(true)
    }

    fn walk(&mut self, side: Side) -> &mut TreeWalk {
        match side {
            Side::Checked => &mut self.checked,
            Side::Newer => &mut self.newer,
        }
    }

    fn passed(&mut self, side: Side) -> &mut Option<Vec<u8>> {
        let [checked, newer] = &mut self.passed;
        match side {
            Side::Checked => checked,
            Side::Newer => newer,
        }
    }

    /// Where a walk stands; `None` when it stood before a pointer that does not decode and passed.
    fn place(&mut self, side: Side, visitor: &mut dyn CheckVisitor) -> Result<Option<Place>> {
        let place = self.walk(side).peek().map(|token| match token {
            Some(Token::Subtree(pointer)) => Place::Subtree(pointer),
            Some(Token::Entry(..)) => Place::Entry,
            None => Place::End,
        });
        match place {
            Ok(place) => Ok(Some(place)),
            Err(error) => {
                self.give_up(side, error, visitor)?;
                Ok(None)
            }
        }
    }

    /// Passes the subtree before which a walk stands because of damage.
    fn give_up(&mut self, side: Side, error: Error, visitor: &mut dyn CheckVisitor) -> Result<()> {
        if !error.is_damage() {
            return Err(error);
        }
        if side == Side::Checked {
            visitor.damage(error);
        }
        visitor.unreadable(side);
        self.pass(side);
        Ok(())
    }

    fn pass_entry(&mut self, side: Side, visitor: &mut dyn CheckVisitor) {
        let walk = self.walk(side);
        if let (Some(position), Some((key, value))) = (walk.node_position(), walk.entry()) {
            visitor.entry(side, position, key, value);
        }
        self.pass(side);
    }

    fn pass(&mut self, side: Side) {
        let key = self.walk(side).peek_key().map(<[u8]>::to_vec);
        if key.is_some() {
            *self.passed(side) = key;
        }
        self.walk(side).skip();
    }

    /// Goes into a subtree. One that is not in order is passed over: the merge relies on order, and
    /// a node that many pointers lead to would be walked as many times.
    fn descend(
        &mut self,
        side: Side,
        pointer: NodePointer,
        visitor: &mut dyn CheckVisitor,
    ) -> Result<()> {
        let largest = self.walk(side).peek_key().map(<[u8]>::to_vec);
        if let Err(error) = self.walk(side).descend() {
            return self.give_up(side, error, visitor);
        }
        let above = self.passed(side).take();
        let walk = self.walk(side);
        let in_order = walk.node().is_none_or(|node| is_in_order(node, above.as_deref()));
        if side == Side::Checked {
            self.check_node(pointer, largest.as_deref(), visitor)?;
        }
        if in_order {
            *self.passed(side) = above;
            return Ok(());
        }
        if side == Side::Checked {
            let what = "keys are not in ascending order";
            visitor.damage(self.checked.corrupt(Damage::Node { what }));
        }
        visitor.unreadable(side);
        *self.passed(side) = largest.or(above);
        self.walk(side).leave();
        Ok(())
    }

    /// Compares the node just read with the pointer that led to it.
    fn check_node(
        &mut self,
        pointer: NodePointer,
        largest: Option<&[u8]>,
        visitor: &mut dyn CheckVisitor,
    ) -> Result<()> {
        let NodePointer { position, subtree_size, reduce } = pointer;
        // The node was read: its head lies within the file.
        let head = self.checked.reader().head(position, u64::MAX, "tree node")?;
        visitor.node(position, block::advance(position, head.disk_size()), head.disk_size());
        let Some(node) = self.checked.node() else { return Ok(()) };
        let fault = |what: String| self.checked.corrupt(Damage::Trees(what));

        let last = node.entry_count().checked_sub(1).and_then(|last| node.key(last));
        if largest.is_some() && largest != last {
            let what = "tree node: its largest key is not the one that its parent names";
            visitor.damage(fault(what.to_owned()));
        }
        let (mut sum, mut below) = (self.tree.empty_reduce(), 0_u64);
        for (key, value) in node.entries() {
            let entry = match node.kind() {
                NodeKind::Leaf => check_leaf_entry(self.tree, key, value)
                    .and_then(|()| self.tree.reduce_entry(key, value)),
                NodeKind::Interior => NodePointer::decode(self.tree, value).map(|child| {
                    below = below.saturating_add(child.subtree_size);
                    child.reduce
                }),
            };
            match entry {
                Ok(reduce) => sum.add(reduce),
                Err(damage) => {
                    // The sums mean nothing any more.
                    visitor.damage(self.checked.corrupt(damage));
                    return Ok(());
                }
            }
        }
        if sum != reduce {
            let what = format!("tree node: its parent counts {reduce}, below it are {sum}");
            visitor.damage(fault(what));
        }
        let own = subtree_size.checked_sub(below).map(|own| head.compare_size(own));
        match own {
            Some(SizeKept::Exact) => {}
            Some(SizeKept::AsOthersCount) => visitor.size_as_others_count(position),
            Some(SizeKept::Wrong) | None => visitor.damage(fault(format!(
                "tree node: its parent says that it takes {subtree_size} bytes with all below, \
                 but it takes {} and {below}",
                head.disk_size()
            ))),
        }
        Ok(())
    }
}

/// Whether keys ascend, from above `above` on.
fn is_in_order(node: &Node, above: Option<&[u8]>) -> bool {
    let mut previous = above;
    (0..node.entry_count()).filter_map(|index| node.key(index)).all(|key| {
        let ascends = previous.is_none_or(|previous| previous < key);
        previous = Some(key);
        ascends
    })
}

fn check_leaf_entry(tree: TreeKind, key: &[u8], value: &[u8]) -> Result<(), Damage> {
    match tree {
        TreeKind::BySeq => DocInfoRef::decode_by_seq(key, value).map(drop),
        // By-id entries are decoded for their reduce; local documents are any bytes.
        TreeKind::ById | TreeKind::Local => Ok(()),
    }
}
