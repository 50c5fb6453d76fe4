//! Reading ahead for those who write: the reading half of a copy, and of a batch of changes.

use super::ahead::Ahead;
use super::threads::give_way;
use crate::btree::{Descent, Visit, VisitBatch, VisitSource};
use crate::compaction::{CopyBatch, CopyReader, CopySource, Feed};
use crate::error::{Error, Result};
use crate::format::node::Node;
use crate::store::Budget;

/// Batches that the reader of a copy may be ahead by.
const COPY_BATCHES: usize = 4;
/// Batches that the reader of nodes may be ahead by: a damaged file's nodes may be huge.
const VISIT_BATCHES: usize = 1;
/// Keys of a batch below which a thread costs more than it saves.
const KEYS_WORTH_A_THREAD: usize = 200;

/// A [`CopyReader`] that runs on another thread. Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedSource {
    batch: CopyBatch,
    ahead: Ahead<CopyBatch>,
}

impl ThreadedSource {
    /// Puts the reading half of a copy on a thread of its own, where the operating system has one to
    /// give.
    pub fn join(reader: CopyReader) -> Box<dyn CopySource> {
        Self::spawn(reader, || {})
    }

    /// The same for a copy beside which others write: they go first.
    pub(super) fn join_behind_writers(reader: CopyReader) -> Box<dyn CopySource> {
        Self::spawn(reader, give_way)
    }

    fn spawn(reader: CopyReader, begin: fn()) -> Box<dyn CopySource> {
        match Ahead::spawn("copy-reader", COPY_BATCHES, begin, reader, CopyReader::fill) {
            Ok(ahead) => Box::new(ThreadedSource { batch: CopyBatch::default(), ahead }),
            Err(reader) => Box::new(reader),
        }
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

/// A [`Descent`] that runs on another thread, for [`Store::read_nodes_with`](crate::store::Store::read_nodes_with).
/// Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedVisits {
    batch: VisitBatch,
    ahead: Ahead<VisitBatch>,
}

impl ThreadedVisits {
    /// Puts the reading of the nodes that a batch changes on a thread of its own, where the batch is
    /// large enough and the operating system has a thread to give.
    pub fn join(descent: Descent) -> Box<dyn VisitSource> {
        if descent.key_count() < KEYS_WORTH_A_THREAD {
            return Box::new(descent);
        }
        match Ahead::spawn("node-reader", VISIT_BATCHES, || {}, descent, Descent::fill) {
            Ok(ahead) => Box::new(ThreadedVisits { batch: VisitBatch::default(), ahead }),
            Err(descent) => Box::new(descent),
        }
    }
}

impl VisitSource for ThreadedVisits {
    fn next(&mut self) -> Result<Visit> {
        loop {
            if let Some(visit) = self.batch.take_next() {
                return Ok(visit);
            }
            if !self.ahead.next(&mut self.batch)? {
                return Err(Error::Invalid("the tree's nodes were all visited".to_owned()));
            }
        }
    }

    fn take_back(&mut self, node: Node) {
        self.batch.take_back(node);
    }
}
