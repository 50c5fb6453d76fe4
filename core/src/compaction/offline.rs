//! Compacting one file that nobody writes to.

use std::sync::Arc;

use super::builder::CopyBuilder;
use super::items::{CopySource, Feed};
use super::options::CompactionOptions;
use super::reader::CopyReader;
use crate::device::Volume;
use crate::error::Result;
use crate::event::{Events, FileName};
use crate::store::{
    Budget, Commit, CommitStyle, DirectorySync, Snapshot, Step, Store, claim, remove, rename,
};

/// A copy of one state of a file into a new one, step by step. The new file has its name only once
/// it is complete and durable; whatever goes wrong before leaves nothing behind.
#[derive(Debug)]
pub struct OfflineCompaction {
    volume: Arc<dyn Volume>,
    source: Snapshot,
    name: FileName,
    temporary: FileName,
    events: Events,
    copied: u64,
    dropped: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Copying { source: Box<dyn CopySource>, builder: Box<CopyBuilder> },
    Committing { target: Store, commit: Commit },
    Syncing { target: Store, sync: DirectorySync },
    Done,
}

impl OfflineCompaction {
    /// Begins to copy `source` into the file `name` of `volume`. `join` as for
    /// [`Compaction::start`](super::Compaction::start). The file is synced once, at the end: where that takes
    /// long, hand in a volume that syncs as it grows (`engine::WriteBehind`).
    ///
    /// # Errors
    /// [`Error::Exists`](crate::Error::Exists) when the name is taken,
    /// [`Error::Locked`](crate::Error::Locked) when someone is writing it; damage in the
    /// source's by-seq root; those of the devices.
    pub fn start(
        source: Snapshot,
        volume: Arc<dyn Volume>,
        name: &str,
        options: CompactionOptions,
        events: Events,
        join: impl FnOnce(CopyReader) -> Box<dyn CopySource>,
    ) -> Result<Self> {
        let name = FileName::from(name);
        let temporary = claim(volume.as_ref(), &name, &events)?;
        // The plain drop-deletes of one file drops them all, the highest too.
        let keep_highest = !options.drop_deletes;
        let reader = CopyReader::new(source.clone(), options.clone(), keep_highest)?;
        let (copy_volume, copy_events) = (volume.clone(), events.clone());
        let builder = CopyBuilder::new(copy_volume, &temporary, &source, &options, 0, copy_events)?;
        let state = State::Copying { source: join(reader), builder: Box::new(builder) };
        Ok(OfflineCompaction {
            volume,
            source,
            name,
            temporary,
            events,
            copied: 0,
            dropped: 0,
            state,
        })
    }

    /// Documents copied so far, and documents left behind.
    pub fn progress(&self) -> (u64, u64) {
        match &self.state {
            State::Copying { builder, .. } => (builder.documents, builder.dropped),
            _ => (self.copied, self.dropped),
        }
    }

    /// Does a part of the work. At `Done` the new file is complete, durable and has its name.
    ///
    /// # Errors
    /// Damage in the source, or a failure of a device. The new file is gone then, unless it was the
    /// directory's last sync that failed: it is complete, but a crash may take its name away.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        let result = self.advance(budget);
        if result.is_err() {
            self.abandon();
        }
        result
    }

    fn advance(&mut self, budget: &mut Budget) -> Result<Step> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Copying { mut source, mut builder } => {
                while !budget.is_spent() {
                    match source.next(budget)? {
                        Feed::Item(item) => budget.spend(builder.accept(item)?),
                        Feed::NotYet => break,
                        Feed::End => {
                            (self.copied, self.dropped) = (builder.documents, builder.dropped);
                            let timestamp_ns = self.source.header().timestamp_ns;
                            let commit = Commit::new(CommitStyle::Direct, timestamp_ns);
                            self.state = State::Committing { target: builder.finish()?, commit };
                            return Ok(Step::Progress);
                        }
                    }
                }
                self.state = State::Copying { source, builder };
                Ok(Step::Progress)
            }
            State::Committing { mut target, mut commit } => match commit.step(&mut target)? {
                Step::Done => {
                    rename(self.volume.as_ref(), &self.temporary, &self.name, &self.events)?;
                    self.state = State::Syncing { target, sync: DirectorySync::default() };
                    Ok(Step::Progress)
                }
                step => {
                    self.state = State::Committing { target, commit };
                    Ok(step)
                }
            },
            State::Syncing { target, mut sync } => {
                let step = sync.step(self.volume.as_ref(), &self.name, &self.events)?;
                if step != Step::Done {
                    self.state = State::Syncing { target, sync };
                }
                Ok(step)
            }
            State::Done => Ok(Step::Done),
        }
    }

    fn abandon(&mut self) {
        self.state = State::Done;
        let _ = remove(self.volume.as_ref(), &self.temporary, &self.events);
    }
}

impl Drop for OfflineCompaction {
    fn drop(&mut self) {
        if !matches!(self.state, State::Done) {
            self.abandon();
        }
    }
}
