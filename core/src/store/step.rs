//! Steps: how machines are driven, and the two-part syncs that they wait for.

use crate::canary::{Canary, planted};
use crate::chunklog::LogFile;
use crate::device::{SyncStatus, SyncTicket, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::{Event, Events, FileName};

/// How much one step may do, roughly: a step ends soon after either is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes read and written.
    pub bytes: u64,
    /// Tree entries or documents handled.
    pub entries: u64,
}

impl Budget {
    /// For hosts that have nothing else to do.
    pub const UNBOUNDED: Budget = Budget { bytes: u64::MAX, entries: u64::MAX };

    /// Takes `bytes` and one entry off.
    pub fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.entries = self.entries.saturating_sub(1);
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.bytes == 0 || self.entries == 0
    }
}

/// What a step of a machine came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// There is more to do.
    Progress,
    /// Nothing can be done until something outside happens: a sync completes, a lock is free.
    Blocked,
    /// The machine is at its end.
    Done,
}

/// A sync of a file, issued by the first step and awaited by the rest.
#[derive(Debug, Default)]
pub struct FileSync(Option<SyncTicket>);

impl FileSync {
    /// Issues the sync, or asks after it.
    pub fn step(&mut self, file: &LogFile, events: &Events) -> Result<Step> {
        let Some(ticket) = self.0 else {
            self.0 = Some(file.sync_issue(events)?);
            return Ok(Step::Progress);
        };
        Ok(match file.sync_complete(ticket, events)? {
            SyncStatus::Pending => Step::Blocked,
            SyncStatus::Done => Step::Done,
        })
    }
}

/// A sync of a volume's names, issued by the first step and awaited by the rest.
#[derive(Debug, Default)]
pub struct DirectorySync(Option<SyncTicket>);

impl DirectorySync {
    /// Issues the sync, or asks after it. `name` is the file on whose behalf, for messages.
    pub fn step(&mut self, volume: &dyn Volume, name: &FileName, events: &Events) -> Result<Step> {
        if planted(Canary::NoDirectorySync) {
            return Ok(Step::Done);
        }
        let failed = |source| Error::io(IoOp::SyncDirectory, name, None, source);
        let Some(ticket) = self.0 else {
            events.emit(|| Event::DirectorySyncIssued);
            self.0 = Some(volume.sync_issue().map_err(failed)?);
            return Ok(Step::Progress);
        };
        Ok(match volume.sync_complete(ticket).map_err(failed)? {
            SyncStatus::Pending => Step::Blocked,
            SyncStatus::Done => {
                events.emit(|| Event::DirectorySyncCompleted);
                Step::Done
            }
        })
    }
}
