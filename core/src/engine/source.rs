//! The reading half of a copy on a thread of its own, ahead of the building half by a bounded queue.

use std::collections::VecDeque;

use super::threads::{Builder, JoinHandle, Receiver, SyncSender, sync_channel};
use crate::compaction::{CopyItem, CopyReader, CopySource, Feed};
use crate::error::{Error, IoOp, Result};
use crate::event::FileName;
use crate::store::Budget;

/// Items handed over together, at most.
const BATCH_ITEMS: usize = 256;
/// Bytes read for a batch, roughly.
const BATCH_BYTES: u64 = 256 << 10;
/// Batches that the reader may be ahead by.
const QUEUE_BATCHES: usize = 4;

type Handed = Result<Vec<CopyItem>>;

/// A [`CopyReader`] that runs on another thread. Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedSource {
    items: VecDeque<CopyItem>,
    receiver: Option<Receiver<Handed>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadedSource {
    /// Puts the reading half of a copy on a thread of its own. Where the operating system has none to
    /// give, asking for the first item fails.
    pub fn join(reader: CopyReader) -> Box<dyn CopySource> {
        match ThreadedSource::spawn(reader) {
            Ok(source) => Box::new(source),
            Err(error) => Box::new(NoThread(Some(error))),
        }
    }

    fn spawn(reader: CopyReader) -> Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_BATCHES);
        let thread = Builder::new()
            .name("copy-reader".to_owned())
            .spawn(move || read_ahead(reader, &sender))
            .map_err(|source| Error::io(IoOp::Read, &FileName::from("thread"), None, source))?;
        let (receiver, thread) = (Some(receiver), Some(thread));
        Ok(ThreadedSource { items: VecDeque::new(), receiver, thread })
    }
}

/// The reading half of a copy for which there was no thread.
#[derive(Debug)]
struct NoThread(Option<Error>);

impl CopySource for NoThread {
    fn next(&mut self, _budget: &mut Budget) -> Result<Feed> {
        Err(self.0.take().unwrap_or(Error::Cancelled))
    }
}

/// Reads batch after batch until the end, an error, or the other side's being gone.
fn read_ahead(mut reader: CopyReader, sender: &SyncSender<Handed>) {
    loop {
        let mut budget = Budget { bytes: BATCH_BYTES, entries: u64::MAX };
        let mut batch = Vec::new();
        let handed = loop {
            match reader.next(&mut budget) {
                Ok(Feed::Item(item)) => batch.push(item),
                Ok(Feed::NotYet) if batch.is_empty() => {
                    budget.bytes = BATCH_BYTES;
                    continue;
                }
                Ok(Feed::NotYet) => break Ok(batch),
                Ok(Feed::End) => {
                    // The sender's going away is what tells the end.
                    let _ = sender.send(Ok(batch));
                    return;
                }
                Err(error) => break Err(error),
            }
            if batch.len() >= BATCH_ITEMS {
                break Ok(batch);
            }
        };
        let failed = handed.is_err();
        if sender.send(handed).is_err() || failed {
            return;
        }
    }
}

impl CopySource for ThreadedSource {
    fn next(&mut self, _budget: &mut Budget) -> Result<Feed> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Feed::Item(item));
            }
            match self.receiver.as_ref().and_then(|receiver| receiver.recv().ok()) {
                Some(Ok(batch)) => self.items.extend(batch),
                Some(Err(error)) => {
                    self.receiver = None;
                    return Err(error);
                }
                None => return self.end(),
            }
        }
    }
}

impl ThreadedSource {
    /// The thread is through, or it died.
    fn end(&mut self) -> Result<Feed> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::Invalid("the thread that reads the copy died".to_owned())),
            _ => Ok(Feed::End),
        }
    }
}

impl Drop for ThreadedSource {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened; the copy is given up anyway.
            let _ = thread.join();
        }
    }
}
