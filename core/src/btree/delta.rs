//! The difference between two states of a tree: a merge walk that skips, unread, every subtree both
//! share.
//!
//! Because trees are copy-on-write, a subtree that did not change has the same position in both, so
//! the walk costs what the changes cost. It is exact whatever the changes were.

use std::cmp::Ordering;

use super::walk::{Token, TreeWalk};
use crate::error::Result;

/// One difference between an old and a new state of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// An entry that only the old state has.
    Removed {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        old: Vec<u8>,
    },
    /// An entry that only the new state has.
    Added {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        new: Vec<u8>,
    },
    /// An entry that both have, with different values.
    Changed {
        /// Its key.
        key: Vec<u8>,
        /// Its value in the old state.
        old: Vec<u8>,
        /// Its value in the new state.
        new: Vec<u8>,
    },
}

/// Walks two states of one tree side by side and yields what differs, in key order.
#[derive(Debug)]
pub struct Delta {
    old: TreeWalk,
    new: TreeWalk,
}

/// What one step of the walk came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaStep {
    /// Both sides went past something that they share, or a node was read.
    Moved,
    /// Something differs.
    Found(Difference),
    /// Both states are walked through.
    End,
}

/// What to do where the two walks stand.
enum Meeting {
    SkipBoth,
    DescendOld,
    DescendNew,
    Entries(Ordering),
    End,
}

impl Delta {
    /// Compares two walks that have not moved yet, of the same kind of tree.
    pub fn new(old: TreeWalk, new: TreeWalk) -> Self {
        Delta { old, new }
    }

    /// The walk over the new state.
    pub fn new_walk(&mut self) -> &mut TreeWalk {
        &mut self.new
    }

    /// Goes one token further; reads at most one node.
    pub fn step(&mut self) -> Result<DeltaStep> {
        match self.meeting()? {
            Meeting::SkipBoth => {
                self.old.skip();
                self.new.skip();
            }
            Meeting::DescendOld => self.old.descend()?,
            Meeting::DescendNew => self.new.descend()?,
            Meeting::Entries(order) => {
                self.old.check_order()?;
                self.new.check_order()?;
                let difference = self.difference(order)?;
                if order.is_le() {
                    self.old.skip();
                }
                if order.is_ge() {
                    self.new.skip();
                }
                return Ok(difference.map_or(DeltaStep::Moved, DeltaStep::Found));
            }
            Meeting::End => return Ok(DeltaStep::End),
        }
        Ok(DeltaStep::Moved)
    }

    fn meeting(&self) -> Result<Meeting> {
        Ok(match (self.old.peek()?, self.new.peek()?) {
            (None, None) => Meeting::End,
            (Some(Token::Subtree(old)), Some(Token::Subtree(new))) => {
                // Children lie before their parents: the subtree further back in the file can be
                // shared as a part of the other one, but not the other way round.
                match old.position.cmp(&new.position) {
                    Ordering::Equal => Meeting::SkipBoth,
                    Ordering::Greater => Meeting::DescendOld,
                    Ordering::Less => Meeting::DescendNew,
                }
            }
            (Some(Token::Subtree(_)), _) => Meeting::DescendOld,
            (_, Some(Token::Subtree(_))) => Meeting::DescendNew,
            (Some(Token::Entry(old, _)), Some(Token::Entry(new, _))) => {
                Meeting::Entries(old.cmp(new))
            }
            (Some(_), None) => Meeting::Entries(Ordering::Less),
            (None, Some(_)) => Meeting::Entries(Ordering::Greater),
        })
    }

    /// What differs between the entries before which the walks stand, `order` being that of their
    /// keys; a side that is at its end counts as above.
    fn difference(&self, order: Ordering) -> Result<Option<Difference>> {
        let entry = |walk: &TreeWalk| -> Result<(Vec<u8>, Vec<u8>)> {
            Ok(match walk.peek()? {
                Some(Token::Entry(key, value)) => (key.to_vec(), value.to_vec()),
                _ => Default::default(),
            })
        };
        Ok(match order {
            Ordering::Less => {
                let (key, old) = entry(&self.old)?;
                Some(Difference::Removed { key, old })
            }
            Ordering::Greater => {
                let (key, new) = entry(&self.new)?;
                Some(Difference::Added { key, new })
            }
            Ordering::Equal if self.old.peek()? == self.new.peek()? => None,
            Ordering::Equal => {
                let ((key, old), (_, new)) = (entry(&self.old)?, entry(&self.new)?);
                Some(Difference::Changed { key, old, new })
            }
        })
    }
}
