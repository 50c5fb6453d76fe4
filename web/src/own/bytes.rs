//! A file's bytes, held once and read by everybody who looks into them.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tailswap::device::{BlockDevice, SyncStatus, SyncTicket};

/// Bytes as a device that is only read.
#[derive(Clone, Debug)]
pub struct HeldBytes {
    bytes: Arc<Vec<u8>>,
    /// What lies behind this is passed over.
    length: usize,
}

impl HeldBytes {
    /// Holds these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        HeldBytes { length: bytes.len(), bytes: Arc::new(bytes) }
    }

    /// The same file as if it ended earlier.
    pub fn cut(&self, length: u64) -> Self {
        HeldBytes { length: self.length.min(index(length)), ..self.clone() }
    }

    /// The bytes themselves.
    pub fn all(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The bytes from one offset to another, as far as there are any.
    pub fn between(&self, start: u64, end: u64) -> &[u8] {
        self.bytes.get(index(start)..self.length.min(index(end))).unwrap_or_default()
    }
}

/// Offsets that memory cannot have are behind its end.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl BlockDevice for HeldBytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let there = self.between(offset, offset.saturating_add(buf.len() as u64));
        buf[..there.len()].copy_from_slice(there);
        Ok(there.len())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Err(ErrorKind::PermissionDenied.into())
    }
}
