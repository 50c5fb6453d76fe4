//! Deleting a vbucket with its files.

use std::task::Waker;

use super::bucket::{Charge, VBucket};
use super::directory::{highest_revision, remove_all, superfluous};
use super::lock::LockRequest;
use crate::canary::{Canary, planted};
use crate::error::Result;
use crate::event::{Actor, Event, FileName};
use crate::format::names::{DELETED_SUFFIX, file_name};
use crate::store::{Budget, DirectorySync, Step, remove, rename};

/// A deletion, step by step. It waits for the lock, but for no compaction: that is cancelled, and
/// finds the vbucket gone.
///
/// The newest file goes last, so that no older one can take its place after a crash; and it loses
/// its name first and its bytes after, so that no crash leaves an empty file under that name.
#[derive(Debug)]
pub struct Delete {
    vbucket: VBucket,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(LockRequest<Charge>),
    /// Older revisions, and unfinished work, are gone.
    SyncingOlder(DirectorySync),
    Renaming,
    SyncingRename(DirectorySync, FileName),
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
        let vbucket = self.vbucket.id();
        let name = FileName::from(file_name(vbucket, self.vbucket.revision()));
        let (next, step) = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(mut request) => match request.poll() {
                Some(mut guard) => {
                    // Whatever was in charge, it no longer is: what follows can fail without harm.
                    guard.delete();
                    self.vbucket.publish_break(None);
                    let newest = highest_revision(volume.as_ref(), vbucket)?;
                    // Even when nothing is left to sweep, it may be a compaction that just did so.
                    let names = superfluous(volume.as_ref(), vbucket, newest)?;
                    remove_all(volume.as_ref(), &names, events)?;
                    (Phase::SyncingOlder(DirectorySync::default()), Step::Progress)
                }
                None => (Phase::Waiting(request), Step::Blocked),
            },
            Phase::SyncingOlder(mut sync) => match sync.step(volume.as_ref(), &name, events)? {
                Step::Done => (Phase::Renaming, Step::Progress),
                step => (Phase::SyncingOlder(sync), step),
            },
            Phase::Renaming => {
                let deleted = FileName::from(format!("{name}{DELETED_SUFFIX}"));
                if let Some(newest) = highest_revision(volume.as_ref(), vbucket)? {
                    let newest = FileName::from(file_name(vbucket, newest));
                    match planted(Canary::DeleteInPlace) {
                        true => remove(volume.as_ref(), &newest, events)?,
                        false => rename(volume.as_ref(), &newest, &deleted, events)?,
                    }
                }
                (Phase::SyncingRename(DirectorySync::default(), deleted), Step::Progress)
            }
            Phase::SyncingRename(mut sync, deleted) => {
                match sync.step(volume.as_ref(), &name, events)? {
                    Step::Done => {
                        remove(volume.as_ref(), &deleted, events)?;
                        events.emit(|| Event::VBucketDeleted { vbucket });
                        (Phase::Done, Step::Done)
                    }
                    step => (Phase::SyncingRename(sync, deleted), step),
                }
            }
            Phase::Done => (Phase::Done, Step::Done),
        };
        self.phase = next;
        Ok(step)
    }
}
