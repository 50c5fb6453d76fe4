//! Handing mutations to the engine, and waiting until they are durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tailswap::Error;
use tailswap::engine::{Accepted, Engine};
use tailswap::format::names::vbucket_of;

use super::observer::Observer;
use super::source::{Next, Source};
use crate::commands::interrupt::Interrupt;
use crate::exit::{Failure, Outcome};
use crate::mutations::Change;

/// How long flushes may fail before the command gives up: a disk that is full may have room again
/// once a compaction is through, or has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two tries meanwhile.
const RETRY: Duration = Duration::from_millis(20);

/// Feeds an engine.
pub(super) struct Feed<'a> {
    engine: &'a Engine,
    observer: &'a Observer,
    interrupt: &'a Interrupt,
    vbuckets: u16,
    mutations: Arc<AtomicU64>,
    /// The last mutation of each vbucket.
    last: BTreeMap<u16, Accepted>,
}

impl<'a> Feed<'a> {
    /// Keys are spread over `vbuckets` vbuckets.
    pub(super) fn new(
        engine: &'a Engine,
        observer: &'a Observer,
        interrupt: &'a Interrupt,
        vbuckets: u16,
    ) -> Self {
        let (mutations, last) = (Arc::default(), BTreeMap::new());
        Feed { engine, observer, interrupt, vbuckets, mutations, last }
    }

    /// Counts the mutations that the engine took.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.mutations.clone()
    }

    /// Mutations that the engine took.
    pub(super) fn mutations(&self) -> u64 {
        self.mutations.load(Ordering::Relaxed)
    }

    /// Hands over mutation after mutation until the source's end, or until the user interrupts.
    pub(super) fn run(&mut self, mut source: Source) -> Outcome<()> {
        while !self.interrupt.is_asked() {
            match source.next() {
                Next::Change(change) => self.take(change, &mut source)?,
                Next::NotYet => {}
                Next::End => break,
                Next::Failed(failure) => {
                    source.finish()?;
                    return Err(failure);
                }
            }
            if self.observer.is_broken() {
                // The observer has the reason, and tells it at the end.
                break;
            }
        }
        source.finish()
    }

    fn take(&mut self, change: Change, source: &mut Source) -> Outcome<()> {
        let vbucket = match change.vb {
            None => vbucket_of(change.key(), self.vbuckets),
            Some(vbucket) if vbucket < self.vbuckets => vbucket,
            Some(vbucket) => {
                let there = self.vbuckets;
                let what = format!("vb is {vbucket}, but there are {there} vbuckets (--vbuckets)");
                return Err(source.bad(what));
            }
        };
        source.record(vbucket, &change)?;
        let engine = self.engine;
        let taken = self.patiently(|| engine.mutate(vbucket, change.mutation.clone()));
        // The user interrupted while flushes failed: why they do is told when they are waited for.
        let Some(accepted) = taken? else { return Ok(()) };
        self.last.insert(vbucket, accepted);
        self.mutations.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until everything handed over is durable.
    pub(super) fn drain(&mut self) -> Outcome<()> {
        for accepted in self.last.values() {
            let engine = self.engine;
            match self.patiently(|| engine.wait_persisted(*accepted))? {
                Some(()) => {}
                None => engine.wait_persisted(*accepted)?,
            }
        }
        Ok(())
    }

    /// Tries again for a while as long as flushes fail; `None` when the user interrupts meanwhile.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> tailswap::Result<T>) -> Outcome<Option<T>> {
        let mut failing_since = None;
        loop {
            let error = match attempt() {
                Ok(value) => return Ok(Some(value)),
                Err(error @ Error::FlushFailing { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            if failing_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(Failure::io(error));
            }
            if self.interrupt.is_asked() {
                return Ok(None);
            }
            thread::sleep(RETRY);
        }
    }
}
