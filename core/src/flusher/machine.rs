//! The flusher as a machine: batch, lock, save, commit, publish.

use std::sync::Arc;
use std::task::Waker;

use super::flush::{advance_state, doc_update};
use super::queue::{Batch as DirtyBatch, DirtyQueue};
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::event::{Actor, Event};
use crate::store::{Batch, BatchSave, Budget, Commit, CommitStyle, GoBack, Step};
use crate::sync::{Mutex, MutexGuard, Rank};
use crate::vbucket::lock::{Guard, LockRequest};
use crate::vbucket::{Charge, VBucket, vbstate_of, vbstate_update};

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

/// The flusher of one vbucket. A flush is one batch, the vbucket's state and one commit; the lock is
/// held from the first write to the end of the commit. A flush that fails keeps every mutation.
#[derive(Debug)]
pub struct Flusher {
    vbucket: VBucket,
    dirty: Dirty,
    waker: Waker,
    phase: Phase,
    /// When the pace that compaction asks for lets the next flush begin, in the host's nanoseconds.
    not_before_ns: u64,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Waiting(DirtyBatch, LockRequest<Charge>),
    Saving(DirtyBatch, Guard<Charge>, BatchSave),
    Committing(DirtyBatch, Guard<Charge>, Commit),
    GoingBack(Guard<Charge>, GoBack, Error),
}

impl Flusher {
    /// A flusher; `waker` is woken when it can go on after `Blocked` for the lock.
    pub fn new(vbucket: VBucket, dirty: Dirty, waker: Waker) -> Self {
        Flusher { vbucket, dirty, waker, phase: Phase::Idle, not_before_ns: 0 }
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
            Phase::Saving(batch, mut guard, mut save) => {
                match guard.store().and_then(|store| save.step(store, budget)) {
                    Ok(Step::Done) => {
                        let now = self.vbucket.host().now_ns();
                        let commit = Commit::new(CommitStyle::Flip, now);
                        self.phase = Phase::Committing(batch, guard, commit);
                        Ok(Step::Progress)
                    }
                    Ok(step) => {
                        self.phase = Phase::Saving(batch, guard, save);
                        Ok(step)
                    }
                    Err(error) => self.fail(batch, guard, error),
                }
            }
            Phase::Committing(batch, mut guard, mut commit) => {
                match guard.store().and_then(|store| commit.step(store)) {
                    Ok(Step::Done) => self.finish(batch, guard),
                    Ok(step) => {
                        self.phase = Phase::Committing(batch, guard, commit);
                        Ok(step)
                    }
                    Err(error) => self.fail(batch, guard, error),
                }
            }
            Phase::GoingBack(mut guard, mut back, error) => {
                match guard.store().and_then(|store| back.step(store)) {
                    Ok(Step::Progress | Step::Blocked) => {
                        self.phase = Phase::GoingBack(guard, back, error);
                        Ok(Step::Progress)
                    }
                    // Whether or not the store could go back, what failed first is what to report;
                    // a store that could not stays poisoned, and the next flush tries again.
                    Ok(Step::Done) | Err(_) => Err(error),
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
        let vbucket = self.vbucket.id();
        let amount = batch.amount();
        self.vbucket.events().emit(|| Event::FlushStarted {
            vbucket,
            mutations: amount.mutations,
            bytes: amount.bytes,
        });
        let request = self.vbucket.lock().request(Actor::Flusher, self.waker.clone());
        self.phase = Phase::Waiting(batch, request);
        Step::Progress
    }

    fn begin_save(&mut self, batch: DirtyBatch, mut guard: Guard<Charge>) -> Result<Step> {
        let current = self.dirty.with_queue(|queue| queue.is_current(&batch));
        if !current && !planted(Canary::FlushGivenUp) {
            // The vbucket was rolled back while this waited: the batch belongs to what was given up.
            self.dirty.with_queue(|queue| queue.done(batch));
            return Ok(Step::Progress);
        }
        match self.prepare(&batch, &mut guard) {
            Ok(Some(save)) => self.phase = Phase::Saving(batch, guard, save),
            Ok(None) => {
                // An earlier failure left the store poisoned: it goes back before anything else.
                let error = Error::Poisoned { file: guard.store()?.file().name.clone() };
                return self.fail(batch, guard, error);
            }
            Err(error) => return self.fail(batch, guard, error),
        }
        Ok(Step::Progress)
    }

    /// The batch to save; `None` when the store is poisoned.
    fn prepare(&self, batch: &DirtyBatch, guard: &mut Guard<Charge>) -> Result<Option<BatchSave>> {
        let store = guard.store()?;
        if store.is_poisoned() {
            return Ok(None);
        }
        let mut state = vbstate_of(&store.snapshot()?)?;
        advance_state(&mut state, batch.mutations());
        let documents = batch.mutations().iter().map(doc_update).collect();
        let batch = Batch { documents, locals: vec![vbstate_update(&state)] };
        BatchSave::new(store, batch).map(Some)
    }

    fn finish(&mut self, batch: DirtyBatch, mut guard: Guard<Charge>) -> Result<Step> {
        let before = self.vbucket.snapshot()?.end();
        let revision = guard.revision();
        let snapshot = guard.store()?.snapshot()?;
        let appended = snapshot.end().saturating_sub(before);
        self.vbucket.publish(snapshot, revision);
        let seq = batch.high_seq();
        {
            let mut shared = self.dirty.shared();
            shared.queue.done(batch);
            shared.persisted_seq = shared.persisted_seq.max(seq);
        }
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::FlushFinished { vbucket, seq });
        drop(guard);
        self.keep_pace(appended);
        Ok(Step::Done)
    }

    /// After a flush that appended so many bytes.
    fn keep_pace(&mut self, appended: u64) {
        let Some(pace) = self.vbucket.pace() else { return };
        let rate = u128::from(pace.bytes_per_second.max(1));
        let nanoseconds = u128::from(appended) * 1_000_000_000 / rate;
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX).min(pace.wait_max_ns);
        self.not_before_ns = self.vbucket.host().now_ns().saturating_add(nanoseconds);
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::Paced { vbucket, nanoseconds });
    }

    fn fail(&mut self, batch: DirtyBatch, guard: Guard<Charge>, error: Error) -> Result<Step> {
        self.dirty.with_queue(|queue| queue.fail(batch));
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::FlushFailed { vbucket, error: error.to_string() });
        if matches!(error, Error::Cancelled) {
            // The vbucket is gone, and with it the store to take back.
            return Err(error);
        }
        self.phase = Phase::GoingBack(guard, GoBack::default(), error);
        Ok(Step::Progress)
    }
}

impl Drop for Flusher {
    /// A flush cut short keeps its mutations, as any that fails; the next one goes back first.
    fn drop(&mut self) {
        let (batch, guard) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => return,
            Phase::Waiting(batch, _) => (Some(batch), None),
            Phase::Saving(batch, guard, _) => (Some(batch), Some(guard)),
            Phase::Committing(batch, guard, _) => (Some(batch), Some(guard)),
            Phase::GoingBack(guard, ..) => (None, Some(guard)),
        };
        if let Some(batch) = batch {
            self.dirty.with_queue(|queue| queue.fail(batch));
            let (vbucket, error) = (self.vbucket.id(), Error::Cancelled.to_string());
            self.vbucket.events().emit(|| Event::FlushFailed { vbucket, error });
        }
        if let Some(mut guard) = guard {
            guard.abandon_write();
        }
    }
}
