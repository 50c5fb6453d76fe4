//! A file as a log of checksummed chunks: reading them by position, appending them at the end.
//!
//! This is where the pure [`format`](crate::format) meets a [`device`](crate::device); everything
//! above deals in chunks and positions only.

#[cfg(not(target_arch = "wasm32"))]
mod kept_node;
mod node_cache;
mod pieces;
mod reader;
mod writer;

pub use node_cache::NodeCache;
pub(crate) use node_cache::{FileNodes, KeptNode};
pub use pieces::ChunkPieces;
pub use reader::ChunkReader;
pub use writer::{Appended, ChunkWriter};

use std::sync::Arc;

use crate::device::{BlockDevice, SyncStatus, SyncTicket};
use crate::error::{Error, IoOp, Result};
use crate::event::{Event, Events, FileName};
use crate::format::checksum::Checksum;

/// One file: its device, its name for messages, and what its chunks are checked with.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Name within the volume.
    pub name: FileName,
    /// Its bytes.
    pub device: Arc<dyn BlockDevice>,
    /// Checksum of its chunks.
    pub checksum: Checksum,
}

impl LogFile {
    /// Length of the file, in bytes.
    pub fn len(&self) -> Result<u64> {
        self.device.len().map_err(|source| Error::io(IoOp::Length, &self.name, None, source))
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buf` from `offset` on; fewer bytes than asked only where the file ends.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.device
            .read_at(offset, buf)
            .map_err(|source| Error::io(IoOp::Read, &self.name, offset, source))
    }

    /// Writes `data` at `offset`.
    pub fn write_at(&self, offset: u64, data: &[u8], events: &Events) -> Result<()> {
        self.device
            .write_at(offset, data)
            .map_err(|source| Error::io(IoOp::Write, &self.name, offset, source))?;
        events.emit(|| Event::Written {
            file: self.name.clone(),
            position: offset,
            end: offset + data.len() as u64,
        });
        Ok(())
    }

    /// Cuts the file to `length` bytes; durable only after a sync.
    pub fn truncate(&self, length: u64, events: &Events) -> Result<()> {
        self.device
            .truncate(length)
            .map_err(|source| Error::io(IoOp::Truncate, &self.name, length, source))?;
        events.emit(|| Event::Truncated { file: self.name.clone(), length });
        Ok(())
    }

    /// Issues a sync of the file.
    pub fn sync_issue(&self, events: &Events) -> Result<SyncTicket> {
        events.emit(|| Event::SyncIssued { file: self.name.clone() });
        self.device.sync_issue().map_err(|source| Error::io(IoOp::Sync, &self.name, None, source))
    }

    /// Whether an issued sync is through.
    pub fn sync_complete(&self, ticket: SyncTicket, events: &Events) -> Result<SyncStatus> {
        let status = self
            .device
            .sync_complete(ticket)
            .map_err(|source| Error::io(IoOp::Sync, &self.name, None, source))?;
        if status == SyncStatus::Done {
            events.emit(|| Event::SyncCompleted { file: self.name.clone() });
        }
        Ok(status)
    }
}
