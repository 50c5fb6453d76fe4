//! Creating a file atomically: after a crash it is there with its first state, or not at all.

use std::sync::Arc;

use super::batch::{Batch, BatchSave};
use super::commit::{Commit, CommitStyle};
use super::step::{Budget, DirectorySync, Step};
use super::writer::Store;
use crate::canary::{Canary, planted};
use crate::device::{Access, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::{Event, Events, FileName};
use crate::format::block;
use crate::format::header::Header;
use crate::format::names::TEMPORARY_SUFFIX;

/// A file being created: built under a temporary name, synced, renamed, the directory synced.
#[derive(Debug)]
pub struct Create {
    volume: Arc<dyn Volume>,
    name: FileName,
    temporary: FileName,
    events: Events,
    store: Option<Store>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Saving { save: BatchSave, timestamp_ns: u64 },
    Committing(Commit),
    Renaming,
    Syncing(DirectorySync),
    Done,
}

impl Create {
    /// Begins to create a file whose first committed state holds `batch`, after an empty one at
    /// offset 0 as the reference begins its files. `header` gives the disk version.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, [`Error::Locked`] when someone is creating it.
    pub fn new(
        volume: Arc<dyn Volume>,
        name: &str,
        header: Header,
        batch: Batch,
        timestamp_ns: u64,
        events: Events,
    ) -> Result<Self> {
        let name = FileName::from(name);
        let temporary = claim(volume.as_ref(), &name, &events)?;
        let mut store = Store::create_bare(volume.as_ref(), &temporary, events.clone())?;
        store.writer_mut().reset(0);
        store.begin_version(header);
        let first = store.working().clone();
        let appended = store.writer_mut().append_header(&first, block::HEADER);
        let save = match appended.and_then(|_| BatchSave::new(&store, batch)) {
            Ok(save) => save,
            Err(error) => {
                drop(store);
                let _ = remove(volume.as_ref(), &temporary, &events);
                return Err(error);
            }
        };
        let phase = Phase::Saving { save, timestamp_ns };
        Ok(Create { volume, name, temporary, events, store: Some(store), phase })
    }

    /// Does a part of the work. On an error the temporary file is gone, as far as that is possible.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        let result = self.advance(budget);
        if result.is_err() && !matches!(self.phase, Phase::Syncing(_)) {
            self.store = None;
            let _ = remove(self.volume.as_ref(), &self.temporary, &self.events);
        }
        result
    }

    /// The new file, once all is done.
    pub fn into_store(self) -> Option<Store> {
        self.store.filter(|_| matches!(self.phase, Phase::Done))
    }

    /// Drives the creation to its end; for hosts that can wait.
    pub fn finish(mut self) -> Result<Store> {
        while self.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
        let name = self.name.clone();
        self.into_store().ok_or(Error::NoHeader { file: name })
    }

    fn advance(&mut self, budget: &mut Budget) -> Result<Step> {
        let Some(store) = self.store.as_mut() else { return Ok(Step::Done) };
        match &mut self.phase {
            Phase::Saving { save, timestamp_ns } => {
                if save.step(store, budget)? == Step::Done {
                    let commit = Commit::new(CommitStyle::Direct, *timestamp_ns);
                    self.phase = Phase::Committing(commit);
                }
                Ok(Step::Progress)
            }
            Phase::Committing(commit) => match commit.step(store)? {
                Step::Done => {
                    self.phase = Phase::Renaming;
                    Ok(Step::Progress)
                }
                step => Ok(step),
            },
            Phase::Renaming => {
                if !planted(Canary::CreateInPlace) {
                    rename(self.volume.as_ref(), &self.temporary, &self.name, &self.events)?;
                }
                store.rename(self.name.clone());
                self.phase = Phase::Syncing(DirectorySync::default());
                Ok(Step::Progress)
            }
            Phase::Syncing(sync) => {
                let step = sync.step(self.volume.as_ref(), &self.name, &self.events)?;
                if step == Step::Done {
                    self.phase = Phase::Done;
                }
                Ok(step)
            }
            Phase::Done => Ok(Step::Done),
        }
    }
}

/// The temporary name under which the file `name` is built, which is free from now on: what an
/// earlier, crashed creation left there is removed.
///
/// # Errors
/// [`Error::Exists`] when `name` is taken, [`Error::Locked`] when someone is creating it.
pub(crate) fn claim(volume: &dyn Volume, name: &FileName, events: &Events) -> Result<FileName> {
    if list(volume, name)?.iter().any(|other| **other == **name) {
        return Err(Error::Exists { file: name.clone() });
    }
    if planted(Canary::CreateInPlace) {
        return Ok(name.clone());
    }
    let temporary = FileName::from(format!("{name}{TEMPORARY_SUFFIX}"));
    match volume.open(&temporary, Access::Write) {
        Ok(_) => remove(volume, &temporary, events)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::io(IoOp::Open, &temporary, None, source)),
    }
    Ok(temporary)
}

/// Names in a volume; `name` is for messages.
pub(crate) fn list(volume: &dyn Volume, name: &FileName) -> Result<Vec<String>> {
    volume.list().map_err(|source| Error::io(IoOp::List, name, None, source))
}

/// Removes a name; that there is none is no error.
pub(crate) fn remove(volume: &dyn Volume, name: &FileName, events: &Events) -> Result<()> {
    match volume.remove(name) {
        Ok(()) => {
            events.emit(|| Event::Removed { file: name.clone() });
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::io(IoOp::Remove, name, None, source)),
    }
}

/// Gives a file another name.
pub(crate) fn rename(
    volume: &dyn Volume,
    from: &FileName,
    to: &FileName,
    events: &Events,
) -> Result<()> {
    volume.rename(from, to).map_err(|source| Error::io(IoOp::Rename, to, None, source))?;
    events.emit(|| Event::Renamed { from: from.clone(), to: to.clone() });
    Ok(())
}
