//! Deleting a vbucket with its files.

use std::task::Waker;

use super::bucket::{Charge, VBucket};
use super::directory::sweep;
use super::lock::LockRequest;
use crate::error::Result;
use crate::event::{Actor, Event, FileName};
use crate::format::names::file_name;
use crate::store::{Budget, DirectorySync, Step};

/// A deletion, step by step. It waits for the lock, but for no compaction: that is cancelled, and
/// finds the vbucket gone.
#[derive(Debug)]
pub struct Delete {
    vbucket: VBucket,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(LockRequest<Charge>),
    Syncing(DirectorySync),
    Done,
}

impl Delete {
    /// Asks for the lock; `waker` is woken when it is free.
    pub fn new(vbucket: &VBucket, waker: Waker) -> Self {
        vbucket.cancel_compaction();
        let phase = Phase::Waiting(vbucket.lock().request(Actor::Operator, waker));
        Delete { vbucket: vbucket.clone(), phase }
    }

    /// Does a part of the work. Snapshots taken before stay readable.
    ///
    /// # Errors
    /// Those of the volume: no file is in charge any more, but names may be left.
    pub fn step(&mut self, _budget: &mut Budget) -> Result<Step> {
        let (volume, events) = (self.vbucket.volume(), self.vbucket.events());
        match &mut self.phase {
            Phase::Waiting(request) => {
                let Some(mut guard) = request.poll() else { return Ok(Step::Blocked) };
                // Whatever was in charge, it no longer is: what follows can fail without harm.
                guard.delete();
                self.vbucket.publish_break(None);
                self.phase = Phase::Done;
                sweep(volume.as_ref(), self.vbucket.id(), None, events)?;
                drop(guard);
                self.phase = Phase::Syncing(DirectorySync::default());
                Ok(Step::Progress)
            }
            Phase::Syncing(sync) => {
                let name = FileName::from(file_name(self.vbucket.id(), self.vbucket.revision()));
                let step = sync.step(volume.as_ref(), &name, events)?;
                if step == Step::Done {
                    let vbucket = self.vbucket.id();
                    events.emit(|| Event::VBucketDeleted { vbucket });
                    self.phase = Phase::Done;
                }
                Ok(step)
            }
            Phase::Done => Ok(Step::Done),
        }
    }
}
