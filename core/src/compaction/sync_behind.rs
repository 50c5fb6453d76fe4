//! Syncs of the target while it is written without the lock, so that there is never much left to write for
//! the file system: between two steps of a copy or a round.

use crate::error::Result;
use crate::store::{FileSync, Step, Store};

/// Bytes after which what was written is synced: a flusher's sync may have to wait for whatever else the
/// file system has to write.
const SYNC_BYTES: u64 = 8 << 20;

/// How far the target is synced.
#[derive(Debug, Default)]
pub(super) struct SyncBehind {
    under_way: Option<FileSync>,
    /// Length of the target when it was last synced.
    synced: u64,
}

impl SyncBehind {
    /// Syncs what was written, if that has become much. `Done` when there is nothing to sync.
    pub(super) fn step(&mut self, target: &mut Store) -> Result<Step> {
        let (file, events) = (target.file().clone(), target.writer().events().clone());
        let Some(sync) = &mut self.under_way else {
            if target.len().saturating_sub(self.synced) < SYNC_BYTES {
                return Ok(Step::Done);
            }
            target.writer_mut().flush()?;
            self.under_way = Some(FileSync::default());
            return Ok(Step::Progress);
        };
        let step = sync.step(&file, &events)?;
        if step == Step::Done {
            self.under_way = None;
            self.all_synced(target);
        }
        Ok(step)
    }

    /// By its commit, for instance.
    pub(super) fn all_synced(&mut self, target: &Store) {
        self.synced = target.len();
    }
}
