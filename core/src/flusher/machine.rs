//! The flusher as a machine: batch, lock, save, commit, publish.

use std::sync::Arc;
use std::task::Waker;

use super::flush::{advance_state, doc_update};
use super::queue::{Batch as DirtyBatch, DirtyQueue, Queued};
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::event::{Actor, Event};
use crate::store::{Batch, BatchSave, Budget, Commit, GoBack, Step};
use crate::sync::{Mutex, MutexGuard, Rank};
use crate::vbucket::lock::{Guard, LockRequest};
use crate::vbucket::{Charge, VBucket, Writing, vbstate_of, vbstate_update};

/// What a vbucket's callers and its flusher share: mutations that are not durable yet, and up to
/// where they are.
#[derive(Clone, Debug)]
pub struct Dirty(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    queue: DirtyQueue,
    persisted_seq: u64,
}

impl Dirty {
    /// Nothing to flush, behind the durable sequence number `high_seq`; `byte_limit` as for
    /// [`DirtyQueue::new`].
    pub fn new(high_seq: u64, byte_limit: u64) -> Self {
        let queue = DirtyQueue::new(high_seq, byte_limit);
        let shared = Shared { queue, persisted_seq: high_seq };
        Dirty(Arc::new(Mutex::new(Rank::DirtyQueue, shared)))
    }

    /// Works with the queue, nobody else doing so meanwhile.
    pub fn with_queue<T>(&self, work: impl FnOnce(&mut DirtyQueue) -> T) -> T {
        work(&mut self.shared().queue)
    }

    /// Everything up to this sequence number is durable.
    pub fn persisted_seq(&self) -> u64 {
        self.shared().persisted_seq
    }

    /// Begins anew behind `high_seq`, which is durable: what is queued or in flight is dropped. For
    /// a vbucket that was rolled back, with its lock held.
    pub fn reset(&self, high_seq: u64) {
        let mut shared = self.shared();
        shared.queue.reset(high_seq);
        shared.persisted_seq = high_seq;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock()
    }
}

/// A batch that a flush took. Dropped before it is durable, by a host that gives up or by a panic,
/// its mutations are queued again.
#[derive(Debug)]
struct TakenBatch {
    vbucket: VBucket,
    dirty: Dirty,
    /// Filled until it is handed back to the queue.
    batch: Option<DirtyBatch>,
}

impl TakenBatch {
    fn mutations(&self) -> &[Queued] {
        self.batch.as_ref().map_or(&[], DirtyBatch::mutations)
    }

    fn is_current(&self) -> bool {
        let is_current = |batch| self.dirty.with_queue(|queue| queue.is_current(batch));
        self.batch.as_ref().is_some_and(is_current)
    }

    /// It belongs to what a rollback gave up.
    fn discard(mut self) {
        if let Some(batch) = self.batch.take() {
            self.dirty.with_queue(|queue| queue.done(batch));
        }
    }

    /// It is durable. Returns up to which sequence number everything is.
    fn persisted(mut self) -> u64 {
        let mut shared = self.dirty.shared();
        if let Some(batch) = self.batch.take() {
            shared.persisted_seq = shared.persisted_seq.max(batch.high_seq());
            shared.queue.done(batch);
        }
        shared.persisted_seq
    }

    fn fail(&mut self, error: &Error) {
        if let Some(batch) = self.batch.take() {
            self.dirty.with_queue(|queue| queue.fail(batch));
            let vbucket = self.vbucket.id();
            self.vbucket.events().emit(|| Event::FlushFailed { vbucket, error: error.to_string() });
        }
    }
}

impl Drop for TakenBatch {
    fn drop(&mut self) {
        self.fail(&Error::Cancelled);
    }
}

/// The flusher of one vbucket. A flush is one batch, the vbucket's state and one commit; the lock is
/// held from the first write to the end of the commit. A flush that fails, or is cut short, keeps every
/// mutation, and the next one goes back first.
#[derive(Debug)]
pub struct Flusher {
    vbucket: VBucket,
    dirty: Dirty,
    waker: Waker,
    phase: Phase,
    /// When the last flush began, in the host's nanoseconds.
    began_ns: u64,
    /// When the pace that compaction asks for lets the next flush begin.
    not_before_ns: u64,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Waiting(TakenBatch, LockRequest<Charge>),
    Saving(TakenBatch, Writing, BatchSave),
    Committing(TakenBatch, Writing, Commit),
    GoingBack(Writing, GoBack, Error),
}

impl Flusher {
    /// A flusher; `waker` is woken when it can go on after `Blocked` for the lock.
    pub fn new(vbucket: VBucket, dirty: Dirty, waker: Waker) -> Self {
        let phase = Phase::Idle;
        Flusher { vbucket, dirty, waker, phase, began_ns: 0, not_before_ns: 0 }
    }

    /// Who is to be woken from now on; for a flusher that is handed from thread to thread between
    /// flushes.
    pub fn set_waker(&mut self, waker: Waker) {
        self.waker = waker;
    }

    /// Whether a flush is under way.
    pub fn is_flushing(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    /// When the pace that a compaction asks for lets the next flush begin, in the host's nanoseconds;
    /// `None` when it may at once. A step before that time is `Blocked`.
    pub fn paced_until_ns(&self) -> Option<u64> {
        let paced = !self.is_flushing() && self.vbucket.pace().is_some();
        Some(self.not_before_ns).filter(|until| paced && *until > self.vbucket.host().now_ns())
    }

    /// Does a part of the work. `Done` means that nothing is queued, or that a flush came to its
    /// end; `Blocked` that the lock, a sync or the pace has to be waited for.
    ///
    /// # Errors
    /// Whatever made the flush fail. Its mutations are queued again and the next step begins anew.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Ok(self.begin()),
            Phase::Waiting(batch, mut request) => match request.poll() {
                Some(guard) => self.begin_save(batch, guard),
                None => {
                    self.phase = Phase::Waiting(batch, request);
                    Ok(Step::Blocked)
                }
            },
            Phase::Saving(batch, mut writing, mut save) => {
                match writing.store().and_then(|store| save.step(store, budget)) {
                    Ok(Step::Done) => {
                        let now = self.vbucket.host().now_ns();
                        let commit = Commit::new(writing.store()?.commit_style(), now);
                        self.phase = Phase::Committing(batch, writing, commit);
                        Ok(Step::Progress)
                    }
                    Ok(step) => {
                        self.phase = Phase::Saving(batch, writing, save);
                        Ok(step)
                    }
                    Err(error) => self.fail(batch, writing, error),
                }
            }
            Phase::Committing(batch, mut writing, mut commit) => {
                match writing.store().and_then(|store| commit.step(store)) {
                    Ok(Step::Done) => self.finish(batch, writing),
                    Ok(step) => {
                        self.phase = Phase::Committing(batch, writing, commit);
                        Ok(step)
                    }
                    Err(error) => self.fail(batch, writing, error),
                }
            }
            Phase::GoingBack(mut writing, mut back, error) => {
                match writing.store().and_then(|store| back.step(store)) {
                    Ok(Step::Progress | Step::Blocked) => {
                        self.phase = Phase::GoingBack(writing, back, error);
                        Ok(Step::Progress)
                    }
                    // Whether or not the store could go back, what failed first is what to report;
                    // a store that could not stays poisoned, and the next flush tries again.
                    Ok(Step::Done) | Err(_) => {
                        writing.settle();
                        Err(error)
                    }
                }
            }
        }
    }

    fn begin(&mut self) -> Step {
        self.vbucket.wake_on_pace(self.waker.clone());
        if self.paced_until_ns().is_some() {
            return Step::Blocked;
        }
        let limit = self.vbucket.pace().map(|pace| pace.batch_mutations);
        let batch = self.dirty.with_queue(|queue| {
            queue.set_mutation_limit(limit);
            queue.take()
        });
        let Some(batch) = batch else { return Step::Done };
        self.began_ns = self.vbucket.host().now_ns();
        let amount = batch.amount();
        let (vbucket, dirty) = (self.vbucket.clone(), self.dirty.clone());
        let batch = TakenBatch { vbucket, dirty, batch: Some(batch) };
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::FlushStarted {
            vbucket,
            mutations: amount.mutations,
            bytes: amount.bytes,
        });
        let request = self.vbucket.lock().request(Actor::Flusher, self.waker.clone());
        self.phase = Phase::Waiting(batch, request);
        Step::Progress
    }

    fn begin_save(&mut self, batch: TakenBatch, guard: Guard<Charge>) -> Result<Step> {
        if !batch.is_current() && !planted(Canary::FlushGivenUp) {
            // The vbucket was rolled back while this waited.
            batch.discard();
            return Ok(Step::Progress);
        }
        let mut writing = Writing::new(guard);
        match self.prepare(&batch, &mut writing) {
            Ok(Some(save)) => self.phase = Phase::Saving(batch, writing, save),
            Ok(None) => {
                // An earlier failure left the store poisoned: it goes back before anything else.
                let error = Error::Poisoned { file: writing.store()?.file().name.clone() };
                return self.fail(batch, writing, error);
            }
            Err(error) => return self.fail(batch, writing, error),
        }
        Ok(Step::Progress)
    }

    /// The batch to save; `None` when the store is poisoned.
    fn prepare(&self, batch: &TakenBatch, writing: &mut Writing) -> Result<Option<BatchSave>> {
        let store = writing.store()?;
        if store.is_poisoned() {
            return Ok(None);
        }
        let mut state = vbstate_of(&store.snapshot()?)?;
        advance_state(&mut state, batch.mutations());
        let documents = batch.mutations().iter().map(doc_update).collect();
        let batch = Batch { documents, locals: vec![vbstate_update(&state)] };
        BatchSave::new(store, batch).map(Some)
    }

    fn finish(&mut self, batch: TakenBatch, mut writing: Writing) -> Result<Step> {
        writing.settle();
        let before = self.vbucket.snapshot()?.end();
        let revision = writing.revision();
        let snapshot = writing.store()?.snapshot()?;
        let appended = snapshot.end().saturating_sub(before);
        self.vbucket.publish(snapshot, revision);
        let seq = batch.persisted();
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::FlushFinished { vbucket, seq });
        drop(writing);
        self.keep_pace(appended);
        Ok(Step::Done)
    }

    /// After a flush that appended so many bytes: the next one begins when they are written at the pace,
    /// counted from when this one might have begun, or the longest wait before it did. So a writer that stays below the pace on the whole waits
    /// for nothing, though what it writes comes in bursts, as long as a burst takes no longer at the pace than
    /// the longest wait.
    fn keep_pace(&mut self, appended: u64) {
        let Some(pace) = self.vbucket.pace() else { return };
        let takes = u128::from(appended) * 1_000_000_000 / u128::from(pace.bytes_per_second.max(1));
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        let now = self.vbucket.host().now_ns();
        let from = self.not_before_ns.max(self.began_ns.saturating_sub(pace.wait_max_ns));
        let longest = now.saturating_add(pace.wait_max_ns);
        self.not_before_ns = from.saturating_add(takes).min(longest);
        let nanoseconds = self.not_before_ns.saturating_sub(now);
        if nanoseconds > 0 {
            let vbucket = self.vbucket.id();
            self.vbucket.events().emit(|| Event::Paced { vbucket, nanoseconds });
        }
    }

    fn fail(&mut self, mut batch: TakenBatch, writing: Writing, error: Error) -> Result<Step> {
        batch.fail(&error);
        if matches!(error, Error::Cancelled) {
            // The vbucket is gone, and with it the store to take back.
            return Err(error);
        }
        self.phase = Phase::GoingBack(writing, GoBack::default(), error);
        Ok(Step::Progress)
    }
}
