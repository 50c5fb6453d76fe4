//! Files in memory: for tests, for the browser, and as the ground simulated volumes stand on.

use std::io;
use std::sync::Arc;

use litemap::LiteMap;

use super::{Access, BlockDevice, SyncStatus, SyncTicket, Volume, check_name, read_only};
use crate::sync::{Mutex, MutexGuard, Rank};

/// What every handle on one file shares; it lives on without a name as long as a handle does.
#[derive(Debug)]
struct Inode(Mutex<Content>);

struct Content {
    bytes: Vec<u8>,
    /// Whether a handle with [`Access::Write`] is alive.
    has_writer: bool,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Content { bytes, has_writer } = self;
        write!(f, "{} bytes, has_writer: {has_writer}", bytes.len())
    }
}

impl Inode {
    fn holding(bytes: Vec<u8>, has_writer: bool) -> Arc<Self> {
        Arc::new(Inode(Mutex::new(Rank::Content, Content { bytes, has_writer })))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock()
    }
}

/// A file in memory, or one handle on such a file. Every sync is through at once.
#[derive(Debug)]
pub struct MemoryDevice {
    inode: Arc<Inode>,
    access: Access,
}

impl MemoryDevice {
    /// An empty file outside any volume, open for writing.
    pub fn new() -> Self {
        Self::from_bytes(Vec::new())
    }

    /// A file outside any volume that holds `bytes`, open for writing.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        MemoryDevice { inode: Inode::holding(bytes, true), access: Access::Write }
    }

    /// A copy of all the file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inode.content().bytes.clone()
    }

    fn open(inode: Arc<Inode>, access: Access) -> io::Result<Self> {
        if access == Access::Write {
            let mut content = inode.content();
            if content.has_writer {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "open for writing elsewhere",
                ));
            }
            content.has_writer = true;
        }
        Ok(MemoryDevice { inode, access })
    }

    fn content_mut(&self) -> io::Result<MutexGuard<'_, Content>> {
        match self.access {
            Access::Read => Err(read_only()),
            Access::Write => Ok(self.inode.content()),
        }
    }
}

impl Default for MemoryDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryDevice {
    fn drop(&mut self) {
        if self.access == Access::Write {
            self.inode.content().has_writer = false;
        }
    }
}

impl BlockDevice for MemoryDevice {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.content().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let content = self.inode.content();
        let there = usize::try_from(offset).ok().and_then(|start| content.bytes.get(start..));
        let there = there.unwrap_or_default();
        let count = there.len().min(buf.len());
        buf[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.content_mut()?;
        if data.is_empty() {
            return Ok(());
        }
        let start = usize::try_from(offset).map_err(|_| too_long())?;
        let end = start.checked_add(data.len()).ok_or_else(too_long)?;
        if end > content.bytes.len() {
            resize(&mut content.bytes, end)?;
        }
        content.bytes[start..end].copy_from_slice(data);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut content = self.content_mut()?;
        resize(&mut content.bytes, usize::try_from(length).map_err(|_| too_long())?)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.content_mut().map(|_| SyncTicket(0))
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Ok(SyncStatus::Done)
    }
}

/// Fills up with zeros, and fails instead of aborting where memory does not suffice.
fn resize(bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let more = length.saturating_sub(bytes.len());
    bytes.try_reserve(more).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(length, 0);
    Ok(())
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "longer than memory can be")
}

/// A directory in memory. Clones are the same directory. Every sync is through at once.
#[derive(Clone, Debug)]
pub struct MemoryVolume {
    names: Arc<Mutex<LiteMap<String, Arc<Inode>>>>,
}

impl MemoryVolume {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a new file that holds `bytes` under `name`, which must be a valid one. A file that was
    /// there loses its name, as by [`Volume::remove`].
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        check_name(name)?;
        self.names().insert(name.to_owned(), Inode::holding(bytes, false));
        Ok(())
    }

    /// A copy of all bytes of the file `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.names().get(name).map(|inode| inode.content().bytes.clone())
    }

    fn names(&self) -> MutexGuard<'_, LiteMap<String, Arc<Inode>>> {
        self.names.lock()
    }
}

impl Default for MemoryVolume {
    fn default() -> Self {
        MemoryVolume { names: Arc::new(Mutex::new(Rank::Names, LiteMap::new())) }
    }
}

impl Volume for MemoryVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        check_name(name)?;
        let inode = self.names().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryDevice::open(inode, access)?))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        check_name(name)?;
        let mut names = self.names();
        if names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let device = MemoryDevice::new();
        names.insert(name.to_owned(), device.inode.clone());
        Ok(Arc::new(device))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut names = self.names();
        if !names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(inode) = names.remove(from) {
            names.insert(to.to_owned(), inode);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let gone = self.names().remove(name);
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names().keys().cloned().collect())
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        Ok(SyncTicket(0))
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Ok(SyncStatus::Done)
    }
}
