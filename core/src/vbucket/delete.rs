//! Deleting a vbucket with its files.

use std::task::Waker;

use super::bucket::{Charge, VBucket};
use super::directory::{highest_revision, remove_all, superfluous};
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
    /// Older revisions and unfinished work are gone from the directory; the newest revision is not,
    /// so that no crash leaves an older one alone.
    OlderGone(DirectorySync),
    NewestGone(DirectorySync),
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
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(mut request) => {
                let Some(mut guard) = request.poll() else {
                    self.phase = Phase::Waiting(request);
                    return Ok(Step::Blocked);
                };
                // Whatever was in charge, it no longer is: what follows can fail without harm.
                guard.delete();
                self.vbucket.publish_break(None);
                let newest = highest_revision(self.vbucket.volume().as_ref(), self.vbucket.id())?;
                self.phase = match self.remove_all_but(newest)? {
                    true => Phase::OlderGone(DirectorySync::default()),
                    false => self.remove_newest()?,
                };
                Ok(Step::Progress)
            }
            Phase::OlderGone(mut sync) => {
                self.phase = match self.sync(&mut sync)? {
                    Step::Done => self.remove_newest()?,
                    step => {
                        self.phase = Phase::OlderGone(sync);
                        return Ok(step);
                    }
                };
                Ok(Step::Progress)
            }
            Phase::NewestGone(mut sync) => {
                let step = self.sync(&mut sync)?;
                if step == Step::Done {
                    let vbucket = self.vbucket.id();
                    self.vbucket.events().emit(|| Event::VBucketDeleted { vbucket });
                } else {
                    self.phase = Phase::NewestGone(sync);
                }
                Ok(step)
            }
            Phase::Done => Ok(Step::Done),
        }
    }

    fn remove_newest(&self) -> Result<Phase> {
        self.remove_all_but(None)?;
        Ok(Phase::NewestGone(DirectorySync::default()))
    }

    /// Removes all names of the vbucket but that of one revision; whether there were any.
    fn remove_all_but(&self, keep: Option<u64>) -> Result<bool> {
        let (volume, events) = (self.vbucket.volume().as_ref(), self.vbucket.events());
        let names = superfluous(volume, self.vbucket.id(), keep)?;
        remove_all(volume, &names, events)?;
        Ok(!names.is_empty())
    }

    fn sync(&self, sync: &mut DirectorySync) -> Result<Step> {
        let name = FileName::from(file_name(self.vbucket.id(), self.vbucket.revision()));
        sync.step(self.vbucket.volume().as_ref(), &name, self.vbucket.events())
    }
}
