//! Making a state durable, and going back to the last durable one when that fails (ARCHITECTURE.md,
//! Durability).

use super::step::{FileSync, Step};
use super::writer::Store;
use crate::canary::{Canary, planted};
use crate::error::Result;
use crate::format::block;
use crate::format::header::{Header, POINTS_BACK_FROM};

/// How a header is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitStyle {
    /// Written as data, synced, its type byte turned to 1, synced: what is visible as a header is
    /// durable with all that it points at.
    #[default]
    Flip,
    /// Written as a header at once and synced. A crash can leave the header without what it points
    /// at: for a file that is not in charge of anything yet, or one whose openings
    /// [take such a header back](super::Opening::commits).
    Direct,
}

impl CommitStyle {
    /// Both.
    pub const ALL: [CommitStyle; 2] = [CommitStyle::Flip, CommitStyle::Direct];

    /// Its name, after the syncs that it takes.
    pub fn name(self) -> &'static str {
        match self {
            CommitStyle::Flip => "two-syncs",
            CommitStyle::Direct => "one-sync",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.name() == name)
    }
}

/// A commit of a store's working state, step by step. After an error the store must
/// [go back](GoBack); if anything failed behind which a header may be in the file, it is poisoned until
/// then.
#[derive(Debug)]
pub struct Commit {
    style: CommitStyle,
    timestamp_ns: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Write,
    FirstSync { sync: FileSync, header: Header, position: u64 },
    Flip { header: Header, position: u64 },
    LastSync { sync: FileSync, header: Header, position: u64 },
    Done,
}

impl Commit {
    /// A commit; `timestamp_ns` is kept in the header, by convention nanoseconds since the epoch.
    pub fn new(style: CommitStyle, timestamp_ns: u64) -> Self {
        Commit { style, timestamp_ns, phase: Phase::Write }
    }

    /// Does a part of the work. When done, the state is durable and the store's snapshot.
    pub fn step(&mut self, store: &mut Store) -> Result<Step> {
        store.check_writable()?;
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        // In a file that is not in charge yet nobody looks for a header.
        let hidden = matches!(phase, Phase::Write) && store.commit_style() == CommitStyle::Flip;
        let result = self.advance(phase, store);
        if result.is_err() && !hidden && !planted(Canary::NoPoison) {
            // What reached the disk is unknown from here on.
            store.poison();
        }
        result
    }

    fn advance(&mut self, phase: Phase, store: &mut Store) -> Result<Step> {
        let (events, file) = (store.writer().events().clone(), store.file().clone());
        let (next, step) = match phase {
            Phase::Write => {
                let mut header = store.working().clone();
                header.timestamp_ns = if header.disk_version >= 13 { self.timestamp_ns } else { 0 };
                header.previous = match header.disk_version {
                    POINTS_BACK_FROM.. => store.base(),
                    _ => None,
                };
                let block_type = match self.style {
                    CommitStyle::Flip if planted(Canary::FlipFirst) => block::HEADER,
                    CommitStyle::Flip => block::DATA,
                    CommitStyle::Direct => block::HEADER,
                };
                let position = store.writer_mut().append_header(&header, block_type)?;
                store.writer_mut().flush()?;
                let sync = FileSync::default();
                let next = match self.style {
                    CommitStyle::Flip if planted(Canary::NoSyncBeforeFlip) => {
                        Phase::Flip { header, position }
                    }
                    CommitStyle::Direct if planted(Canary::TargetNotSynced) => {
                        store.committed(header, position);
                        return Ok(Step::Done);
                    }
                    CommitStyle::Flip => Phase::FirstSync { sync, header, position },
                    CommitStyle::Direct => Phase::LastSync { sync, header, position },
                };
                (next, Step::Progress)
            }
            Phase::FirstSync { mut sync, header, position } => match sync.step(&file, &events)? {
                Step::Done => (Phase::Flip { header, position }, Step::Progress),
                step => (Phase::FirstSync { sync, header, position }, step),
            },
            Phase::Flip { header, position } => {
                file.write_at(position, &[block::HEADER], &events)?;
                if planted(Canary::AcknowledgeBeforeLastSync) {
                    store.committed(header, position);
                    return Ok(Step::Done);
                }
                let sync = FileSync::default();
                (Phase::LastSync { sync, header, position }, Step::Progress)
            }
            Phase::LastSync { mut sync, header, position } => match sync.step(&file, &events)? {
                Step::Done => {
                    store.committed(header, position);
                    (Phase::Done, Step::Done)
                }
                step => (Phase::LastSync { sync, header, position }, step),
            },
            Phase::Done => (Phase::Done, Step::Done),
        };
        self.phase = next;
        Ok(step)
    }
}

/// Takes a store back to its last durable state after a failure: cuts off what follows it and, when
/// the store is poisoned, syncs, so that nothing that a failed sync may have left can come back. A store
/// that commits with one sync syncs in any case: a chunk of what failed, back where the next commit
/// wrote another, would pass for that.
///
/// An error leaves the store poisoned; this can be tried again.
#[derive(Debug, Default)]
pub struct GoBack {
    cut: bool,
    sync: FileSync,
}

impl GoBack {
    /// Does a part of the work.
    pub fn step(&mut self, store: &mut Store) -> Result<Step> {
        let result = self.advance(store);
        if result.is_err() && !store.is_poisoned() {
            store.poison();
        }
        result
    }

    fn advance(&mut self, store: &mut Store) -> Result<Step> {
        if !self.cut {
            store.cut_to_durable()?;
            self.cut = true;
        }
        if planted(Canary::CutNotSynced) {
            store.unpoison();
        }
        let written_over = match store.commit_style() {
            CommitStyle::Flip => false,
            CommitStyle::Direct => !planted(Canary::CutForOneSyncNotSynced),
        };
        if !store.is_poisoned() && !written_over {
            return Ok(Step::Done);
        }
        let (file, events) = (store.file().clone(), store.writer().events().clone());
        let step = self.sync.step(&file, &events)?;
        if step == Step::Done {
            store.unpoison();
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::MemoryVolume;
    use crate::event::Events;
    use crate::store::{Batch, Create, OpenMode, open_for_reading};

    #[test]
    fn the_time_is_kept_by_versions_that_have_a_field_for_it() {
        for (version, kept) in [(12, 0), (13, 7), (14, 7)] {
            let volume = Arc::new(MemoryVolume::new());
            let (header, batch) = (Header::empty(version), Batch::default());
            let create = Create::new(volume.clone(), "a", header, batch, 7, Events::none());
            let committed = create.unwrap().finish().unwrap().snapshot().unwrap();
            assert_eq!(committed.header().timestamp_ns, kept, "version {version}");
            let (read, _) = open_for_reading(volume.as_ref(), "a", OpenMode::Strict).unwrap();
            assert_eq!(read.header(), committed.header(), "version {version}");
        }
    }
}
