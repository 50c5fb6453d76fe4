//! Real files whose syncs cost what a measurement wants, and are counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailswap::device::{Access, BlockDevice, FileVolume, SyncStatus, SyncTicket, Volume};

/// What a sync comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Syncs {
    /// The operating system's.
    Real,
    /// Nothing: to measure all else.
    Free,
    /// A wait of 2 ms, as on a disk that is one; those of virtual machines cost next to nothing.
    Slow,
}

/// A directory whose syncs are replaced.
pub(crate) struct TimedVolume {
    files: FileVolume,
    clock: SyncClock,
}

#[derive(Clone)]
struct SyncClock {
    syncs: Syncs,
    count: Arc<AtomicU64>,
}

struct TimedDevice {
    file: Arc<dyn BlockDevice>,
    clock: SyncClock,
}

impl TimedVolume {
    pub(crate) fn new(files: FileVolume, syncs: Syncs) -> Self {
        TimedVolume { files, clock: SyncClock { syncs, count: Arc::default() } }
    }

    /// Counts the syncs of files and of the directory, from the first on.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.clock.count.clone()
    }

    fn timed(&self, file: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
        Arc::new(TimedDevice { file, clock: self.clock.clone() })
    }
}

impl SyncClock {
    fn sync(&self, real: impl FnOnce() -> io::Result<SyncTicket>) -> io::Result<SyncTicket> {
        self.count.fetch_add(1, Ordering::Relaxed);
        match self.syncs {
            Syncs::Real => return real(),
            Syncs::Free => {}
            Syncs::Slow => thread::sleep(Duration::from_millis(2)),
        }
        Ok(SyncTicket(0))
    }
}

impl BlockDevice for TimedDevice {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.clock.sync(|| self.file.sync_issue())
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        // Files, too, are through with a sync when it is issued.
        Ok(SyncStatus::Done)
    }

    fn is_last_handle(&self) -> io::Result<bool> {
        self.file.is_last_handle()
    }
}

impl Volume for TimedVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(self.timed(self.files.open(name, access)?))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(self.timed(self.files.create_new(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.clock.sync(|| Volume::sync_issue(&self.files))
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Ok(SyncStatus::Done)
    }
}
