//! Saving local documents by themselves, step by step, as an operator's tool does. (The engine saves
//! its own with each flush.)

use std::task::Waker;

use crate::error::{Error, Result};
use crate::event::Actor;
use crate::store::{Batch, BatchSave, Budget, Commit, CommitStyle, GoBack, LocalUpdate, Step};
use crate::vbucket::lock::{Guard, LockRequest};
use crate::vbucket::{Charge, VBucket};

/// Local documents being saved and deleted.
#[derive(Debug)]
pub struct SaveLocals {
    vbucket: VBucket,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(LockRequest<Charge>, Vec<LocalUpdate>),
    Saving(Guard<Charge>, BatchSave),
    Committing(Guard<Charge>, Commit),
    GoingBack(Guard<Charge>, GoBack, Error),
    Finished(Guard<Charge>),
    Done,
}

impl SaveLocals {
    /// Asks for the lock; `waker` is woken when it is free.
    pub fn new(vbucket: &VBucket, updates: Vec<LocalUpdate>, waker: Waker) -> Self {
        let request = vbucket.lock().request(Actor::Operator, waker);
        SaveLocals { vbucket: vbucket.clone(), phase: Phase::Waiting(request, updates) }
    }

    /// Does a part of the work. At `Done` the state is durable and published, and the lock still
    /// held until this is dropped.
    ///
    /// # Errors
    /// Those of the device; the vbucket is then as it was.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(mut request, locals) => {
                let Some(mut guard) = request.poll() else {
                    self.phase = Phase::Waiting(request, locals);
                    return Ok(Step::Blocked);
                };
                match BatchSave::new(guard.store()?, Batch { documents: Vec::new(), locals }) {
                    Ok(save) => self.phase = Phase::Saving(guard, save),
                    Err(error) => self.go_back(guard, error),
                }
            }
            Phase::Saving(mut guard, mut save) => match save.step(guard.store()?, budget) {
                Ok(Step::Done) => {
                    let now = self.vbucket.host().now_ns();
                    self.phase = Phase::Committing(guard, Commit::new(CommitStyle::Flip, now));
                }
                Ok(step) => {
                    self.phase = Phase::Saving(guard, save);
                    return Ok(step);
                }
                Err(error) => self.go_back(guard, error),
            },
            Phase::Committing(mut guard, mut commit) => match commit.step(guard.store()?) {
                Ok(Step::Done) => {
                    let (snapshot, revision) = (guard.store()?.snapshot()?, guard.revision());
                    self.vbucket.publish(snapshot, revision);
                    self.phase = Phase::Finished(guard);
                    return Ok(Step::Done);
                }
                Ok(step) => {
                    self.phase = Phase::Committing(guard, commit);
                    return Ok(step);
                }
                Err(error) => self.go_back(guard, error),
            },
            Phase::GoingBack(mut guard, mut back, error) => match back.step(guard.store()?) {
                // What failed first is what to report; a store that cannot go back stays poisoned.
                Ok(Step::Done) | Err(_) => return Err(error),
                Ok(step) => {
                    self.phase = Phase::GoingBack(guard, back, error);
                    return Ok(step);
                }
            },
            Phase::Finished(guard) => {
                self.phase = Phase::Finished(guard);
                return Ok(Step::Done);
            }
            Phase::Done => return Ok(Step::Done),
        }
        Ok(Step::Progress)
    }

    fn go_back(&mut self, guard: Guard<Charge>, error: Error) {
        self.phase = Phase::GoingBack(guard, GoBack::default(), error);
    }
}
