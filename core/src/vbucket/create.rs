//! Creating a vbucket with its first file.

use std::sync::Arc;

use super::bucket::{VBucket, vbstate_update};
use super::directory::{highest_revision, remove_all, superfluous};
use crate::device::{Host, Volume};
use crate::error::{Error, Result};
use crate::event::{Event, Events, FileName};
use crate::format::header::{Header, VERSION_MAX};
use crate::format::names::file_name;
use crate::format::vbstate::VbState;
use crate::store::{Batch, Budget, CommitStyle, Create, Step};

/// A creation, step by step. Given up before its end it leaves an unfinished file, which is swept
/// when the vbucket is created or opened.
#[derive(Debug)]
pub struct Creation {
    volume: Arc<dyn Volume>,
    host: Arc<dyn Host>,
    id: u16,
    revision: u64,
    commits: CommitStyle,
    events: Events,
    file: Create,
}

impl Creation {
    /// Begins to create a vbucket, its first file being of `revision`; `commits` tells how what follows
    /// is committed. Leftovers of a former incarnation are removed first.
    ///
    /// # Errors
    /// [`Error::Exists`] when the vbucket has a file.
    pub fn new(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        id: u16,
        revision: u64,
        commits: CommitStyle,
        events: Events,
    ) -> Result<Self> {
        if let Some(revision) = highest_revision(volume.as_ref(), id)? {
            return Err(Error::Exists { file: FileName::from(file_name(id, revision)) });
        }
        remove_all(volume.as_ref(), &superfluous(volume.as_ref(), id, None)?, &events)?;
        let state = VbState::new_active(host.random_u64());
        let batch = Batch { documents: Vec::new(), locals: vec![vbstate_update(&state)] };
        let name = file_name(id, revision);
        let (header, now) = (Header::empty(VERSION_MAX), host.now_ns());
        let file = Create::new(volume.clone(), &name, header, batch, now, events.clone())?;
        Ok(Creation { volume, host, id, revision, commits, events, file })
    }

    /// Does a part of the work. At `Done` the file is durable under its name.
    ///
    /// # Errors
    /// Those of the device. If the last sync failed, a file may be left, and a vbucket found in it.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        self.file.step(budget)
    }

    /// The vbucket, once all is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] before that.
    pub fn finish(self) -> Result<VBucket> {
        let Creation { volume, host, id, revision, commits, events, file } = self;
        let unfinished = || Error::Invalid("the creation is not at its end".to_owned());
        let mut store = file.into_store().ok_or_else(unfinished)?;
        store.set_commit_style(commits);
        events.emit(|| Event::VBucketCreated { vbucket: id, revision });
        VBucket::adopt(volume, host, id, store, revision, events)
    }
}

impl VBucket {
    /// Creates a vbucket, driving its [`Creation`] to its end; for hosts that can wait.
    ///
    /// # Errors
    /// As [`Creation::new`] and [`Creation::step`].
    pub fn create(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        id: u16,
        revision: u64,
        commits: CommitStyle,
        events: Events,
    ) -> Result<Self> {
        let mut creation = Creation::new(volume, host, id, revision, commits, events)?;
        while creation.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
        creation.finish()
    }
}
