//! Reading on a thread of its own, ahead of whoever uses what is read by a bounded queue of batches.

use super::threads::{Builder, JoinHandle, Receiver, SyncSender, sync_channel};
use crate::error::{Error, Result};

/// A thread that fills batches. Dropping it stops that thread.
#[derive(Debug)]
pub(super) struct Ahead<B> {
    filled: Option<Receiver<Result<B>>>,
    /// Where batches go back to, so that their memory is used again.
    emptied: SyncSender<B>,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(JoinHandle<()>),
    Ended,
    /// An error was handed on: what follows it is no end.
    Failed,
}

impl<B: Default + Send + 'static> Ahead<B> {
    /// Has batches filled from `reader` on a thread of this name, which calls `begin` first, up to `queue`
    /// of them ahead, until `fill` returns `false` or fails. Gives the reader back where the operating
    /// system has no thread to give.
    pub(super) fn spawn<R: Send + 'static>(
        name: &str,
        queue: usize,
        begin: fn(),
        reader: R,
        fill: fn(&mut R, &mut B) -> Result<bool>,
    ) -> Result<Self, R> {
        let (sender, filled) = sync_channel(queue);
        let (emptied, returned) = sync_channel::<B>(queue);
        let (hand_over, handed_over) = sync_channel::<R>(1);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            begin();
            let Ok(mut reader) = handed_over.recv() else { return };
            loop {
                let mut batch = returned.try_recv().unwrap_or_default();
                let handed = match fill(&mut reader, &mut batch) {
                    Ok(true) => Ok(batch),
                    // The sender's going away is what tells the end.
                    Ok(false) => return,
                    Err(error) => Err(error),
                };
                let failed = handed.is_err();
                if sender.send(handed).is_err() || failed {
                    return;
                }
            }
        });
        match thread {
            Ok(thread) => {
                // It waits for the reader first of all.
                let _ = hand_over.send(reader);
                let state = State::Running(thread);
                Ok(Ahead { filled: Some(filled), emptied, state })
            }
            Err(_) => Err(reader),
        }
    }

    /// Puts the next batch in the place of one that is used up; `false` when there are no more.
    ///
    /// # Errors
    /// What `fill` failed with, once; that it failed before; that it panicked.
    pub(super) fn next(&mut self, batch: &mut B) -> Result<bool> {
        match self.filled.as_ref().and_then(|filled| filled.recv().ok()) {
            Some(Ok(filled)) => {
                // Where the thread is through, nobody wants it any more.
                let _ = self.emptied.try_send(std::mem::replace(batch, filled));
                Ok(true)
            }
            Some(Err(error)) => {
                self.stop(State::Failed);
                Err(error)
            }
            None => self.end(),
        }
    }

    /// The thread is through, or it died.
    fn end(&mut self) -> Result<bool> {
        let invalid = |what: &str| Err(Error::Invalid(what.to_owned()));
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Running(thread) => match thread.join() {
                Ok(()) => {
                    self.state = State::Ended;
                    Ok(false)
                }
                Err(_) => invalid("the thread that reads ahead died"),
            },
            State::Ended => {
                self.state = State::Ended;
                Ok(false)
            }
            State::Failed => invalid("reading ahead failed before"),
        }
    }
}

impl<B> Ahead<B> {
    /// Waits for the thread, if there still is one, and is in `state` then.
    fn stop(&mut self, state: State) {
        self.filled = None;
        if let State::Running(thread) = std::mem::replace(&mut self.state, state) {
            // A panic there was reported where it happened; what it read for is given up anyway.
            let _ = thread.join();
        }
    }
}

impl<B> Drop for Ahead<B> {
    fn drop(&mut self) {
        self.stop(State::Ended);
    }
}
