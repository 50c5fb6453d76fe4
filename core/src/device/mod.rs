//! Block devices and volumes: the only way in which the engine touches bytes at rest.
//!
//! A device knows nothing of the file format; the engine never sees a path or a file descriptor.

mod fault;
#[cfg(not(target_arch = "wasm32"))]
mod file;
#[cfg(not(target_arch = "wasm32"))]
mod host;
mod memory;

pub use fault::{Fault, FaultVolume, Operation};
#[cfg(not(target_arch = "wasm32"))]
pub use file::{FileDevice, FileVolume};
#[cfg(not(target_arch = "wasm32"))]
pub use host::SystemHost;
pub use memory::{MemoryDevice, MemoryVolume};

use std::fmt;
use std::io;
use std::sync::Arc;

/// A sync that was issued; [`BlockDevice::sync_complete`] tells when it is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTicket(pub u64);

/// Whether an issued sync is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SyncStatus {
    /// Not yet; ask again.
    Pending,
    /// Everything written before the sync was issued is durable.
    Done,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only: needs no write permission, takes no lock, never changes the file. Writing,
    /// truncating and syncing through such a handle is refused with `PermissionDenied`.
    Read,
    /// Reading and writing: at most one such handle at a time, across processes. It gives the file
    /// up when the last clone of its `Arc` is dropped.
    Write,
}

/// A random-access file of bytes.
///
/// All offsets and lengths are in bytes. Methods take `&self`: devices are shared between one
/// writer and any number of readers, which read only what was written before they learned of it.
pub trait BlockDevice: Send + Sync {
    /// Length of the file now.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset` on and returns how many bytes there were: fewer than asked only
    /// where the file ends. Interruptions are retried inside.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `data` at `offset`, lengthening the file as needed; a gap reads as zeros.
    /// On an error any part of `data` may have been written. Nothing is durable before a sync.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts the file to `length` bytes, or lengthens it with zeros. Durable only after a sync.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Asks that everything written so far, and the length, become durable. A device may do the
    /// work here at once; a simulated one lets other things happen before it completes.
    ///
    /// After an error, here or on completion, nothing is known about what reached the disk, and a
    /// later sync that succeeds proves nothing about writes made before it.
    fn sync_issue(&self) -> io::Result<SyncTicket>;

    /// Tells whether the sync is through. After `Done` or an error the ticket is spent.
    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus>;

    /// Whether nobody else can read the file: it has no name, and no other handle, in this process or
    /// another. `false`, too, where that cannot be told. Clones of this handle's `Arc` are for the caller
    /// to count. Not seen are processes forked from this one that run no other program, and whoever reads
    /// below a file system that is layered on another, or beside one that is another machine's. An error
    /// is a failure to ask for what is known of the file.
    fn is_last_handle(&self) -> io::Result<bool> {
        Ok(false)
    }
}

// None of these has to show itself: what would is part of every program that has one, a page among them.
impl fmt::Debug for dyn BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockDevice")
    }
}

/// A flat directory of devices.
///
/// A change of names is durable only after a sync of the volume, which is separate from the sync of
/// any file in it. A name is not empty, neither `.` nor `..`, and holds no `/` and no NUL; methods
/// refuse other names with `InvalidInput`.
pub trait Volume: Send + Sync {
    /// Opens an existing file. `NotFound` when there is none; `WouldBlock` when `access` is
    /// [`Access::Write`] and another handle already writes to it.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>>;

    /// Creates a file and opens it for writing. `AlreadyExists` when the name is taken.
    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>>;

    /// Gives a file another name, atomically. `NotFound` when there is no `from`; `AlreadyExists`
    /// when `to` is taken (also by the file itself): nothing is ever replaced. Open handles stay on
    /// the file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away; `NotFound` when there is none. Open handles can go on using the file, and
    /// the name is free at once.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// All names, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Asks that all changes of names made so far become durable; errors as for
    /// [`BlockDevice::sync_issue`].
    fn sync_issue(&self) -> io::Result<SyncTicket>;

    /// Tells whether the volume's sync is through, as [`BlockDevice::sync_complete`] does.
    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus>;
}

impl fmt::Debug for dyn Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Volume")
    }
}

/// What else the engine needs of its host: time and randomness. Nothing in the core draws either
/// from anywhere else, so that a simulated host makes every run repeatable.
pub trait Host: Send + Sync {
    /// Nanoseconds since the Unix epoch; never goes back within one host.
    fn now_ns(&self) -> u64;

    /// A number no other call is likely to return, for the identity of a vbucket's history.
    fn random_u64(&self) -> u64;
}

impl fmt::Debug for dyn Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// Refuses what cannot be a name in any volume.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        let why = format!("{name:?} cannot be the name of a file in a volume");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(())
}

/// What a handle opened for reading says to changes.
pub(crate) fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading only")
}
