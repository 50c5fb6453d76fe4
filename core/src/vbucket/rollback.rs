//! Taking a vbucket back to an older state.

use std::task::Waker;

use super::bucket::{Charge, VBucket, vbstate_of, vbstate_update};
use super::lock::LockRequest;
use super::writing::Writing;
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::event::{Actor, Event};
use crate::format::vbstate::{VBSTATE_ID, VbState};
use crate::store::{Batch, BatchSave, Budget, Commit, GoBack, Snapshot, Step, at_or_before_seq};

/// A rollback to the newest committed state whose highest sequence number is `seq` or below, step by
/// step. What was committed after it is given up; the vbucket's history goes on under a new
/// identity. A running compaction is cancelled.
#[derive(Debug)]
pub struct Rollback {
    vbucket: VBucket,
    seq: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(LockRequest<Charge>),
    Saving(Writing, BatchSave),
    Committing(Writing, Commit),
    GoingBack(Writing, GoBack, Error),
    Finished(Writing),
    Done,
}

impl Rollback {
    /// Asks for the lock; `waker` is woken when it is free.
    pub fn new(vbucket: &VBucket, seq: u64, waker: Waker) -> Self {
        if !planted(Canary::RollbackKeepsCompaction) {
            vbucket.cancel_compaction();
        }
        let phase = Phase::Waiting(vbucket.lock().request(Actor::Operator, waker));
        Rollback { vbucket: vbucket.clone(), seq, phase }
    }

    /// Does a part of the work. At `Done` the state is durable and published, and the lock still
    /// held, so that the caller can bring its queue in line; see [`finish`](Self::finish).
    ///
    /// # Errors
    /// Those of the device; the vbucket is then where it was.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(mut request) => {
                let Some(guard) = request.poll() else {
                    self.phase = Phase::Waiting(request);
                    return Ok(Step::Blocked);
                };
                let mut writing = Writing::new(guard);
                match self.begin(&mut writing) {
                    Ok(save) => {
                        self.phase = Phase::Saving(writing, save);
                        Ok(Step::Progress)
                    }
                    // There is no file any more to take back.
                    Err(Error::Cancelled) => Err(Error::Cancelled),
                    Err(error) => self.go_back(writing, error),
                }
            }
            Phase::Saving(mut writing, mut save) => match save.step(writing.store()?, budget) {
                Ok(Step::Done) => {
                    let now = self.vbucket.host().now_ns();
                    let commit = Commit::new(writing.store()?.commit_style(), now);
                    self.phase = Phase::Committing(writing, commit);
                    Ok(Step::Progress)
                }
                Ok(step) => {
                    self.phase = Phase::Saving(writing, save);
                    Ok(step)
                }
                Err(error) => self.go_back(writing, error),
            },
            Phase::Committing(mut writing, mut commit) => match commit.step(writing.store()?) {
                Ok(Step::Done) => {
                    writing.settle();
                    let snapshot = writing.store()?.snapshot()?;
                    let (vbucket, seq) = (self.vbucket.id(), snapshot.header().update_seq);
                    self.vbucket.publish_break(Some(snapshot));
                    self.vbucket.events().emit(|| Event::RolledBack { vbucket, seq });
                    self.phase = Phase::Finished(writing);
                    Ok(Step::Done)
                }
                Ok(step) => {
                    self.phase = Phase::Committing(writing, commit);
                    Ok(step)
                }
                Err(error) => self.go_back(writing, error),
            },
            Phase::GoingBack(mut writing, mut back, error) => match back.step(writing.store()?) {
                Ok(step @ (Step::Progress | Step::Blocked)) => {
                    self.phase = Phase::GoingBack(writing, back, error);
                    Ok(step)
                }
                // A store that cannot go back stays poisoned; what failed first is what to report.
                Ok(Step::Done) | Err(_) => {
                    writing.settle();
                    Err(error)
                }
            },
            Phase::Finished(writing) => {
                self.phase = Phase::Finished(writing);
                Ok(Step::Done)
            }
            Phase::Done => Ok(Step::Done),
        }
    }

    /// Calls `settle` with the state rolled back to while the lock is still held, then gives it back.
    pub fn finish<T>(mut self, settle: impl FnOnce(&Snapshot) -> T) -> Result<T> {
        match &mut self.phase {
            Phase::Finished(writing) => Ok(settle(&writing.store()?.snapshot()?)),
            _ => Err(Error::Invalid("the rollback is not at its end".to_owned())),
        }
    }

    /// Makes the older state the working one, and begins to save the vbucket's state in it.
    fn begin(&self, writing: &mut Writing) -> Result<BatchSave> {
        let host = self.vbucket.host();
        let store = writing.store()?;
        let newest = store.snapshot()?;
        let mut state;
        match at_or_before_seq(newest, self.seq)? {
            Some(older) => {
                let seq = older.header().update_seq;
                // The empty state that a file begins with has no vbucket state yet.
                state = match older.local(VBSTATE_ID)? {
                    Some(_) => vbstate_of(&older)?,
                    None => VbState::default(),
                };
                if !planted(Canary::RollbackKeepsIdentity) {
                    state.begin_branch(host.random_u64(), seq);
                }
                store.rewind(&older);
            }
            None => {
                state = VbState::new_active(host.random_u64());
                store.rewind_to_nothing();
            }
        }
        let batch = Batch { documents: Vec::new(), locals: vec![vbstate_update(&state)] };
        BatchSave::new(store, batch)
    }

    fn go_back(&mut self, writing: Writing, error: Error) -> Result<Step> {
        self.phase = Phase::GoingBack(writing, GoBack::default(), error);
        Ok(Step::Progress)
    }
}
