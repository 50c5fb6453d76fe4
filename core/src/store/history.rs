//! Older states of a file: each header is a complete one.

use super::open::{OpenMode, Probe};
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::format::header::POINTS_BACK_FROM;
use crate::limits::BLOCK_SIZE;

/// Headers from one on backwards, newest first, as the reference rewinds: by the previous-header
/// pointer where it leads to a header, else by walking blocks. Headers that a rollback gave up are
/// passed over where the pointer does.
#[derive(Debug)]
pub struct HeadersBack {
    next: Option<Result<Snapshot>>,
}

impl HeadersBack {
    /// Begins with `newest` itself.
    pub fn from(newest: Snapshot) -> Self {
        HeadersBack { next: Some(Ok(newest)) }
    }
}

impl Iterator for HeadersBack {
    type Item = Result<Snapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        let current = self.next.take()?;
        // An error on the way to the one before must not cost the current one.
        if let Ok(current) = &current {
            self.next = previous(current).transpose();
        }
        Some(current)
    }
}

/// The header before this one.
fn previous(current: &Snapshot) -> Result<Option<Snapshot>> {
    let file = current.file();
    let probe = Probe { name: &file.name, device: &file.device };
    let header = current.header();
    if header.disk_version >= POINTS_BACK_FROM {
        match header.previous {
            None => return Ok(None),
            Some(position) if position < current.position() => match probe.header_at(position) {
                Ok(Some(snapshot)) => return Ok(Some(snapshot)),
                // As in every compacted file: created without a header, it has none before this.
                Ok(None) if position == 0 => return Ok(None),
                Ok(None) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            },
            Some(_) => {}
        }
    }
    // What lies before a good header is history: damage there ends nothing.
    let last = current.position().checked_sub(BLOCK_SIZE);
    probe.search_back(last, OpenMode::Recovery, &mut Vec::new())
}

/// Headers in file order, behind a position; those that a rollback gave up are among them.
#[derive(Debug)]
pub struct HeadersForward {
    any: Snapshot,
    next_block: Option<u64>,
}

impl HeadersForward {
    /// Every header of the file that `any` belongs to.
    pub fn all(any: Snapshot) -> Self {
        HeadersForward { any, next_block: Some(0) }
    }

    /// The headers behind `snapshot`'s.
    pub fn after(snapshot: Snapshot) -> Self {
        let next_block = Some(snapshot.position() + BLOCK_SIZE);
        HeadersForward { any: snapshot, next_block }
    }
}

impl Iterator for HeadersForward {
    type Item = Result<Snapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next_block.take()?;
        let file = self.any.file();
        let probe = Probe { name: &file.name, device: &file.device };
        let found = probe.search_forward(first).transpose()?;
        if let Ok(snapshot) = &found {
            self.next_block = Some(snapshot.position() + BLOCK_SIZE);
        }
        Some(found)
    }
}

/// The state that the header at byte `offset` of the same file committed.
///
/// # Errors
/// [`Error::Invalid`] when there is no header at that offset.
pub fn at_offset(any: &Snapshot, offset: u64) -> Result<Snapshot> {
    let file = any.file();
    let probe = Probe { name: &file.name, device: &file.device };
    let no_header = || Error::Invalid(format!("{}: no header at offset {offset}", file.name));
    if !offset.is_multiple_of(BLOCK_SIZE) {
        return Err(no_header());
    }
    probe.header_at(offset)?.ok_or_else(no_header)
}

/// The newest state, from `newest` backwards, whose highest sequence number is `seq` or below;
/// `None` when even the oldest is above.
pub fn at_or_before_seq(newest: Snapshot, seq: u64) -> Result<Option<Snapshot>> {
    HeadersBack::from(newest)
        .find(|snapshot| snapshot.as_ref().map_or(true, |s| s.header().update_seq <= seq))
        .transpose()
}
