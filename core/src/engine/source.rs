//! The reading half of a copy on a thread of its own, ahead of the building half by a bounded queue.

use super::threads::{Builder, JoinHandle, Receiver, SyncSender, sync_channel};
use crate::compaction::{CopyBatch, CopyReader, CopySource, Feed};
use crate::error::{Error, IoOp, Result};
use crate::event::FileName;
use crate::store::Budget;

/// Batches that the reader may be ahead by.
const QUEUE_BATCHES: usize = 4;

/// A [`CopyReader`] that runs on another thread. Dropping it stops that thread.
#[derive(Debug)]
pub struct ThreadedSource {
    batch: CopyBatch,
    filled: Option<Receiver<Result<CopyBatch>>>,
    /// Whether an error was handed on: what follows it is no end.
    failed: bool,
    /// Where batches go back to, so that their memory is used again.
    emptied: SyncSender<CopyBatch>,
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
        let (sender, filled) = sync_channel(QUEUE_BATCHES);
        let (emptied, returned) = sync_channel(QUEUE_BATCHES);
        let thread = Builder::new()
            .name("copy-reader".to_owned())
            .spawn(move || read_ahead(reader, &sender, &returned))
            .map_err(|source| Error::io(IoOp::Read, &FileName::from("thread"), None, source))?;
        let (filled, thread) = (Some(filled), Some(thread));
        let batch = CopyBatch::default();
        Ok(ThreadedSource { batch, filled, failed: false, emptied, thread })
    }
}

/// The reading half of a copy for which there was no thread.
#[derive(Debug)]
struct NoThread(Option<Error>);

impl CopySource for NoThread {
    fn next(&mut self, _budget: &mut Budget) -> Result<Feed<'_>> {
        Err(self.0.take().unwrap_or_else(failed_before))
    }
}

fn failed_before() -> Error {
    Error::Invalid("reading what is to be copied failed before".to_owned())
}

/// Reads batch after batch until the end, an error, or the other side's being gone.
fn read_ahead(
    mut reader: CopyReader,
    filled: &SyncSender<Result<CopyBatch>>,
    returned: &Receiver<CopyBatch>,
) {
    loop {
        let mut batch = returned.try_recv().unwrap_or_default();
        let handed = match reader.fill(&mut batch) {
            Ok(true) => Ok(batch),
            // The sender's going away is what tells the end.
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let failed = handed.is_err();
        if filled.send(handed).is_err() || failed {
            return;
        }
    }
}

impl CopySource for ThreadedSource {
    fn next(&mut self, _budget: &mut Budget) -> Result<Feed<'_>> {
        if self.failed {
            return Err(failed_before());
        }
        while self.batch.is_empty() {
            match self.filled.as_ref().and_then(|filled| filled.recv().ok()) {
                Some(Ok(batch)) => {
                    let emptied = std::mem::replace(&mut self.batch, batch);
                    // Where the thread is through, nobody wants it any more.
                    let _ = self.emptied.try_send(emptied);
                }
                Some(Err(error)) => {
                    self.failed = true;
                    return Err(error);
                }
                None => return self.end(),
            }
        }
        Ok(self.batch.take_next().map_or(Feed::End, Feed::Item))
    }
}

impl ThreadedSource {
    /// The thread is through, or it died.
    fn end(&mut self) -> Result<Feed<'static>> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => {
                self.failed = true;
                Err(Error::Invalid("the thread that reads the copy died".to_owned()))
            }
            _ => Ok(Feed::End),
        }
    }
}

impl Drop for ThreadedSource {
    fn drop(&mut self) {
        self.filled = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened; the copy is given up anyway.
            let _ = thread.join();
        }
    }
}
