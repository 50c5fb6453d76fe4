//! Reading ahead for those who write: the reading half of a copy, and of a batch of changes.

use super::ahead::Ahead;
use crate::btree::{Descent, Visit, VisitBatch, VisitSource};
use crate::compaction::{CopyBatch, CopyReader, CopySource, Feed};
use crate::error::{Error, Result};
use crate::format::node::Node;
use crate::store::Budget;

/// Keys of a batch below which a thread costs more than it saves.
const KEYS_WORTH_A_THREAD: usize = 200;

/// A [`CopyReader`] that runs on another thread. Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedSource {
    batch: CopyBatch,
    ahead: Ahead<CopyBatch>,
}

impl ThreadedSource {
    /// Puts the reading half of a copy on a thread of its own. Where the operating system has none to
    /// give, asking for the first item fails.
    pub fn join(mut reader: CopyReader) -> Box<dyn CopySource> {
        let ahead = Ahead::spawn("copy-reader", move |batch| reader.fill(batch));
        Box::new(ThreadedSource { batch: CopyBatch::default(), ahead })
    }
}

impl CopySource for ThreadedSource {
    fn next(&mut self, _budget: &mut Budget) -> Result<Feed<'_>> {
        while self.batch.is_empty() {
            if !self.ahead.next(&mut self.batch)? {
                return Ok(Feed::End);
            }
        }
        Ok(self.batch.take_next().map_or(Feed::End, Feed::Item))
    }
}

/// A [`Descent`] that runs on another thread, for [`Store::read_ahead`](crate::store::Store::read_ahead).
/// Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedVisits {
    batch: VisitBatch,
    ahead: Ahead<VisitBatch>,
}

impl ThreadedVisits {
    /// Puts the reading of the nodes that a batch changes on a thread of its own, where that batch is
    /// large enough; the nodes of a smaller one are read when they are wanted. Where the operating
    /// system has no thread to give, the first node fails.
    pub fn join(mut descent: Descent) -> Box<dyn VisitSource> {
        if descent.key_count() < KEYS_WORTH_A_THREAD {
            return Box::new(descent);
        }
        let ahead = Ahead::spawn("node-reader", move |batch| descent.fill(batch));
        Box::new(ThreadedVisits { batch: VisitBatch::default(), ahead })
    }
}

impl VisitSource for ThreadedVisits {
    fn next(&mut self) -> Result<Visit> {
        loop {
            if let Some(visit) = self.batch.visits.pop_front() {
                return Ok(visit);
            }
            if !self.ahead.next(&mut self.batch)? {
                return Err(Error::Invalid("the tree's nodes were all visited".to_owned()));
            }
        }
    }

    fn take_back(&mut self, node: Node) {
        self.batch.spare.push(node);
    }
}
