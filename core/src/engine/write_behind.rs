//! Long files that go to the disk while they are still being written.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use super::threads::{Builder, Receiver, sync_channel};
use crate::device::{Access, BlockDevice, SyncStatus, SyncTicket, Volume};
use crate::sync::{Mutex, Rank};

/// A volume whose files are synced as they grow, on threads of their own: the sync that counts finds
/// little left to do, and whoever writes does not wait for the others.
///
/// For whoever writes one file from end to end, as an offline compaction does.
#[derive(Debug)]
pub struct WriteBehind {
    volume: Arc<dyn Volume>,
    interval: u64,
}

impl WriteBehind {
    /// Bytes between two syncs that suit most disks: longer than one takes to begin, short enough that
    /// nobody waits long for what is under way.
    pub const INTERVAL: u64 = 16 << 20;

    /// The same files, synced each time that `interval` bytes were written to one.
    pub fn new(volume: Arc<dyn Volume>, interval: u64) -> Self {
        WriteBehind { volume, interval }
    }

    fn behind(&self, file: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
        let under_way =
            Mutex::new(Rank::Behind, UnderWay { unsynced: 0, sync: None, failure: None });
        Arc::new(Behind { file, interval: self.interval, under_way })
    }
}

impl Volume for WriteBehind {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        let file = self.volume.open(name, access)?;
        Ok(match access {
            Access::Read => file,
            Access::Write => self.behind(file),
        })
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(self.behind(self.volume.create_new(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.volume.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.volume.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.volume.list()
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.volume.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.volume.sync_complete(ticket)
    }
}

/// One of its files.
struct Behind {
    file: Arc<dyn BlockDevice>,
    interval: u64,
    under_way: Mutex<UnderWay>,
}

struct UnderWay {
    /// Bytes written since the last sync began.
    unsynced: u64,
    sync: Option<Receiver<io::Result<()>>>,
    /// How a sync failed, until that is told: an operating system tells it only once, so that a later
    /// sync may well succeed.
    failure: Option<io::Error>,
}

impl UnderWay {
    /// Begins a sync, unless one is under way still, or failed.
    fn begin(&mut self, file: &Arc<dyn BlockDevice>) {
        if let Some(sync) = &self.sync {
            match sync.try_recv() {
                Err(TryRecvError::Empty) => return,
                told => self.settle(told.unwrap_or_else(|_| Err(died()))),
            }
        }
        if self.failure.is_some() {
            return;
        }
        let (told, sync) = sync_channel(1);
        let file = file.clone();
        let thread = Builder::new().name("write-behind".to_owned()).spawn(move || {
            let synced = sync_all(&*file);
            // Whoever waits may give the file up next.
            drop(file);
            let _ = told.send(synced);
        });
        // Where there is no thread to have, the sync that counts does it all.
        self.sync = thread.ok().map(|_| sync);
        self.unsynced = 0;
    }

    /// Waits for the sync that is under way, and tells how one failed.
    fn wait(&mut self) -> io::Result<()> {
        if let Some(sync) = &self.sync {
            let told = sync.recv();
            self.settle(told.unwrap_or_else(|_| Err(died())));
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn settle(&mut self, synced: io::Result<()>) {
        self.sync = None;
        self.failure = synced.err();
    }
}

fn died() -> io::Error {
    io::Error::other("the thread that synced the file died")
}

fn sync_all(file: &dyn BlockDevice) -> io::Result<()> {
    let ticket = file.sync_issue()?;
    while file.sync_complete(ticket)? == SyncStatus::Pending {}
    Ok(())
}

impl BlockDevice for Behind {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)?;
        let mut under_way = self.under_way.lock();
        under_way.unsynced += data.len() as u64;
        if under_way.unsynced >= self.interval {
            under_way.begin(&self.file);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.under_way.lock().wait()?;
        self.file.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.file.sync_complete(ticket)
    }

    fn is_last_handle(&self) -> io::Result<bool> {
        self.file.is_last_handle()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // The file is given up when this is, not later. Of what was not synced nobody was promised
        // anything, so a failure concerns nobody either.
        let _ = self.under_way.lock().wait();
    }
}
