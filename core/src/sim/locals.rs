//! Saving local documents by themselves, step by step, as an operator's tool does. (The engine saves
//! its own with each flush.)

use std::task::Waker;

use crate::error::{Error, Result};
use crate::event::Actor;
use crate::store::{Batch, BatchSave, Budget, Commit, GoBack, LocalUpdate, Step};
use crate::vbucket::lock::LockRequest;
use crate::vbucket::{Charge, VBucket, Writing};

/// Local documents being saved and deleted.
#[derive(Debug)]
pub struct SaveLocals {
    vbucket: VBucket,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(LockRequest<Charge>, Vec<LocalUpdate>),
    Saving(Writing, BatchSave),
    Committing(Writing, Commit),
    GoingBack(Writing, GoBack, Error),
    Finished(Writing),
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
                let Some(guard) = request.poll() else {
                    self.phase = Phase::Waiting(request, locals);
                    return Ok(Step::Blocked);
                };
                let mut writing = Writing::new(guard);
                match BatchSave::new(writing.store()?, Batch { documents: Vec::new(), locals }) {
                    Ok(save) => self.phase = Phase::Saving(writing, save),
                    Err(error) => self.go_back(writing, error),
                }
            }
            Phase::Saving(mut writing, mut save) => match save.step(writing.store()?, budget) {
                Ok(Step::Done) => {
                    let now = self.vbucket.host().now_ns();
                    let commit = Commit::new(writing.store()?.commit_style(), now);
                    self.phase = Phase::Committing(writing, commit);
                }
                Ok(step) => {
                    self.phase = Phase::Saving(writing, save);
                    return Ok(step);
                }
                Err(error) => self.go_back(writing, error),
            },
            Phase::Committing(mut writing, mut commit) => match commit.step(writing.store()?) {
                Ok(Step::Done) => {
                    writing.settle();
                    let (snapshot, revision) = (writing.store()?.snapshot()?, writing.revision());
                    self.vbucket.publish(snapshot, revision);
                    self.phase = Phase::Finished(writing);
                    return Ok(Step::Done);
                }
                Ok(step) => {
                    self.phase = Phase::Committing(writing, commit);
                    return Ok(step);
                }
                Err(error) => self.go_back(writing, error),
            },
            Phase::GoingBack(mut writing, mut back, error) => match back.step(writing.store()?) {
                // What failed first is what to report; a store that cannot go back stays poisoned.
                Ok(Step::Done) | Err(_) => {
                    writing.settle();
                    return Err(error);
                }
                Ok(step) => {
                    self.phase = Phase::GoingBack(writing, back, error);
                    return Ok(step);
                }
            },
            Phase::Finished(writing) => {
                self.phase = Phase::Finished(writing);
                return Ok(Step::Done);
            }
            Phase::Done => return Ok(Step::Done),
        }
        Ok(Step::Progress)
    }

    fn go_back(&mut self, writing: Writing, error: Error) {
        self.phase = Phase::GoingBack(writing, GoBack::default(), error);
    }
}
