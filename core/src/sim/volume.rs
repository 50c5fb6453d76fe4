//! A volume that knows what a crash would leave of it.
//!
//! [`CrashVolume`] shows programs what any volume shows, and keeps a [`Disk`] beside that: what is
//! durable, and what is not yet. A sync is issued and completes later: at once when it is asked
//! after, or, if syncs are held, when the host says so. Operations that fail are the business of
//! [`FaultVolume`](crate::device::FaultVolume), which wraps this; only a sync that fails and loses
//! what it was for is made here, because the disk has to know.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use litemap::LiteMap;

use super::disk::{Covered, Disk, DiskRules, FileBytes, FileId, Image};
use crate::device::{
    Access, BlockDevice, Operation, SyncStatus, SyncTicket, Volume, check_name, read_only,
};
use crate::error::IoOp;
use crate::sync::{Mutex, MutexGuard, Rank};

/// A simulated volume. Clones are the same volume.
#[derive(Clone)]
pub struct CrashVolume(Arc<Mutex<State>>);

/// An operation that changed what a crash would leave, and the disk after it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What was done. A sync stands where it completed.
    pub operation: Operation,
    /// The disk then.
    pub disk: Disk,
}

struct State {
    disk: Disk,
    /// What programs see of each file, by number.
    files: Vec<Seen>,
    names: LiteMap<Arc<str>, FileId>,
    syncs: LiteMap<u64, Issued>,
    last_ticket: u64,
    hold_syncs: bool,
    /// How many syncs of files are left until one fails and drops what it was for.
    failing_sync: Option<u64>,
    /// How many were told to have failed, since somebody asked.
    failed_syncs: u64,
    operations: usize,
    recording: Option<Vec<Recorded>>,
    handles: usize,
}

#[derive(Default)]
struct Seen {
    bytes: FileBytes,
    name: String,
    has_writer: bool,
}

/// A sync that was issued.
#[derive(Clone, Copy, Debug)]
enum Issued {
    Under(Covered),
    Done,
    Failed,
}

impl CrashVolume {
    /// An empty volume.
    pub fn new(rules: DiskRules) -> Self {
        Self::on(Disk::new(rules))
    }

    /// A volume that durably holds the files that a crash left.
    pub fn after_crash(image: &Image, rules: DiskRules) -> Self {
        Self::on(Disk::holding(image, rules))
    }

    /// The volume as a new process sees it when only the old process died: everything is there,
    /// durable or not, and what is not may still be lost.
    pub fn after_restart(disk: &Disk) -> Self {
        Self::on(disk.clone())
    }

    fn on(disk: Disk) -> Self {
        let names = disk.visible_names();
        let mut files: Vec<Seen> = (0..disk.file_count()).map(|_| Seen::default()).collect();
        for (name, bytes) in disk.visible().files() {
            if let Some(seen) = names.get(name).and_then(|file| files.get_mut(*file)) {
                (seen.bytes, seen.name) = (bytes.clone(), name.to_owned());
            }
        }
        let state = State {
            disk,
            files,
            names,
            syncs: LiteMap::new(),
            last_ticket: 0,
            hold_syncs: false,
            failing_sync: None,
            failed_syncs: 0,
            operations: 0,
            recording: None,
            handles: 0,
        };
        CrashVolume(Arc::new(Mutex::new(Rank::Names, state)))
    }

    /// The disk now.
    pub fn disk(&self) -> Disk {
        self.state().disk.clone()
    }

    /// What is not durable, oldest first, in words.
    pub fn pending(&self) -> Vec<String> {
        self.state().disk.pending()
    }

    /// How many operations changed what a crash would leave.
    pub fn operations(&self) -> usize {
        self.state().operations
    }

    /// Keeps the disk after every operation from now on.
    pub fn record(&self) {
        self.state().recording = Some(Vec::new());
    }

    /// What was recorded, in order; begins anew.
    pub fn take_recording(&self) -> Vec<Recorded> {
        self.state().recording.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether syncs stay pending until the host completes them. If not, each is through when it is
    /// asked after.
    pub fn hold_syncs(&self, hold: bool) {
        self.state().hold_syncs = hold;
    }

    /// Syncs that were issued and are not through, in the order in which they were issued.
    pub fn pending_syncs(&self) -> Vec<SyncTicket> {
        let state = self.state();
        let under = state.syncs.iter().filter(|(_, issued)| matches!(issued, Issued::Under(_)));
        under.map(|(ticket, _)| SyncTicket(*ticket)).collect()
    }

    /// Completes one sync. Nothing happens if it is through already.
    pub fn complete_sync(&self, ticket: SyncTicket) {
        self.state().complete(ticket.0);
    }

    /// Completes all syncs that were issued.
    pub fn complete_syncs(&self) {
        for ticket in self.pending_syncs() {
            self.complete_sync(ticket);
        }
    }

    /// The `nth` sync of a file from now on, counted from 1, fails on completion and drops what it
    /// was for: programs still see it, it may have reached the disk, and no later sync, though it
    /// says that it is through, makes it durable.
    pub fn fail_sync(&self, nth: u64) {
        self.state().failing_sync = Some(nth);
    }

    /// How many syncs were told to have failed since this was last asked.
    pub fn take_failed_syncs(&self) -> u64 {
        std::mem::take(&mut self.state().failed_syncs)
    }

    /// Bits of a byte turn over where it lies, durable or not: whoever reads it reads them so, and so
    /// they are after a crash, until it is written again. Which file that was; `None` if it has no
    /// such byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> Option<FileId> {
        let mut state = self.state();
        let file = *state.names.get(name)?;
        let seen = state.files.get_mut(file)?;
        let at = usize::try_from(offset).ok()?;
        let byte = seen.bytes.get(at)?;
        seen.bytes.write_at(at, &[byte ^ mask]);
        state.disk.flip(file, offset, mask);
        Some(file)
    }

    /// A byte is from now on as if it had been written as it was flipped.
    pub(super) fn keep_damage(&self, file: FileId, offset: u64) {
        let mut state = self.state();
        let byte = state.files.get(file).and_then(|seen| seen.bytes.get(offset as usize));
        if let Some(byte) = byte {
            state.disk.keep_damage(file, offset, byte);
        }
    }

    /// The last name that a file had.
    pub fn name_of(&self, file: FileId) -> Option<String> {
        self.state().files.get(file).map(|seen| seen.name.clone())
    }

    /// Whether programs see a byte otherwise than it was written.
    pub(super) fn is_damaged(&self, file: FileId, offset: u64) -> bool {
        self.state().disk.is_damaged(file, offset)
    }

    /// A sync that was to fail and has not come does not fail any more.
    pub fn heal(&self) {
        self.state().failing_sync = None;
    }

    /// Bytes of the file that was the last to have this name, or that had it so many files `before`
    /// that one: what was removed, too.
    pub fn bytes_of(&self, name: &str, before: usize) -> Option<Vec<u8>> {
        let state = self.state();
        let named = state.files.iter().rev().filter(|seen| seen.name == name);
        named.map(|seen| seen.bytes.to_vec()).nth(before)
    }

    /// How many handles on files are open.
    pub fn open_handles(&self) -> usize {
        self.state().handles
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    fn handle(&self, state: &mut State, file: FileId, access: Access) -> Arc<dyn BlockDevice> {
        state.handles += 1;
        Arc::new(CrashFile { volume: self.clone(), file, access })
    }

    fn status(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        let mut state = self.state();
        if !state.hold_syncs {
            state.complete(ticket.0);
        }
        match state.syncs.get(&ticket.0) {
            None => Err(io::Error::new(ErrorKind::InvalidInput, "the sync's ticket is spent")),
            Some(Issued::Under(_)) => Ok(SyncStatus::Pending),
            Some(Issued::Done) => {
                state.syncs.remove(&ticket.0);
                Ok(SyncStatus::Done)
            }
            Some(Issued::Failed) => {
                state.syncs.remove(&ticket.0);
                state.failed_syncs += 1;
                Err(io::Error::other("the sync failed, and dropped what it was for"))
            }
        }
    }
}

impl State {
    fn issue(&mut self, file: Option<FileId>) -> SyncTicket {
        self.last_ticket += 1;
        let covered = self.disk.cover(file);
        self.syncs.insert(self.last_ticket, Issued::Under(covered));
        SyncTicket(self.last_ticket)
    }

    fn complete(&mut self, ticket: u64) {
        let Some(Issued::Under(covered)) = self.syncs.get(&ticket).copied() else { return };
        let file = covered.file.and_then(|file| self.files.get(file));
        let mut operation = match file {
            Some(file) => operation(IoOp::Sync, &file.name),
            None => operation(IoOp::SyncDirectory, ""),
        };
        let fails = file.is_some() && self.failing_sync == Some(1);
        if covered.file.is_some() {
            self.failing_sync = self.failing_sync.and_then(|left| left.checked_sub(1));
        }
        if fails {
            self.disk.drop_covered(covered);
            operation.error = Some(ErrorKind::Other);
        } else {
            self.disk.settle(covered);
            if let Some((id, file)) = covered.file.zip(file) {
                self.disk.share(id, &file.bytes);
            }
        }
        self.syncs.insert(ticket, if fails { Issued::Failed } else { Issued::Done });
        self.note(operation);
    }

    fn note(&mut self, operation: Operation) {
        self.operations += 1;
        if let Some(recording) = &mut self.recording {
            recording.push(Recorded { operation, disk: self.disk.clone() });
        }
    }

    fn open(&mut self, name: &str, access: Access) -> io::Result<FileId> {
        let file = *self.names.get(name).ok_or(ErrorKind::NotFound)?;
        let seen = self.files.get_mut(file).ok_or(ErrorKind::NotFound)?;
        if access == Access::Write {
            if seen.has_writer {
                return Err(ErrorKind::WouldBlock.into());
            }
            seen.has_writer = true;
        }
        Ok(file)
    }
}

/// Longest simulated file, in bytes.
const LENGTH_MAX: u64 = 1 << 31;

fn possible(length: u64) -> io::Result<usize> {
    match usize::try_from(length) {
        Ok(fitting) if length <= LENGTH_MAX => Ok(fitting),
        _ => Err(ErrorKind::FileTooLarge.into()),
    }
}

fn operation(op: IoOp, file: &str) -> Operation {
    Operation { op, file: file.to_owned(), to: None, offset: None, length: None, error: None }
}

impl Volume for CrashVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        check_name(name)?;
        let mut state = self.state();
        let file = state.open(name, access)?;
        Ok(self.handle(&mut state, file, access))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        check_name(name)?;
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.disk.create(name);
        let seen = Seen { name: name.to_owned(), has_writer: true, ..Seen::default() };
        state.files.push(seen);
        state.names.insert(name.into(), file);
        state.note(operation(IoOp::Create, name));
        Ok(self.handle(&mut state, file, Access::Write))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut state = self.state();
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.names.remove(from);
        state.names.insert(to.into(), file);
        if let Some(seen) = state.files.get_mut(file) {
            to.clone_into(&mut seen.name);
        }
        state.disk.rename(from, to, file);
        state.note(Operation { to: Some(to.to_owned()), ..operation(IoOp::Rename, from) });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let mut state = self.state();
        let file = state.names.remove(name).ok_or(ErrorKind::NotFound)?;
        state.disk.remove(name, file);
        state.note(operation(IoOp::Remove, name));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().map(|name| name.to_string()).collect())
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        Ok(self.state().issue(None))
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.status(ticket)
    }
}

impl fmt::Debug for CrashVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let pending = state.disk.pending();
        f.debug_struct("CrashVolume")
            .field("names", &state.names)
            .field("pending", &pending)
            .finish()
    }
}

/// A handle on a file of a [`CrashVolume`].
#[derive(Debug)]
struct CrashFile {
    volume: CrashVolume,
    file: FileId,
    access: Access,
}

impl CrashFile {
    /// Carries out `work` on what programs see of the file.
    fn with<T>(&self, work: impl FnOnce(&mut State, &mut Seen) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.volume.state();
        let slot = state.files.get_mut(self.file).ok_or(ErrorKind::NotFound)?;
        let mut seen = std::mem::take(slot);
        let result = work(&mut state, &mut seen);
        if let Some(slot) = state.files.get_mut(self.file) {
            *slot = seen;
        }
        result
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(read_only()),
        }
    }
}

impl Drop for CrashFile {
    fn drop(&mut self) {
        let mut state = self.volume.state();
        state.handles -= 1;
        if self.access == Access::Write
            && let Some(seen) = state.files.get_mut(self.file)
        {
            seen.has_writer = false;
        }
    }
}

impl BlockDevice for CrashFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|_, seen| Ok(seen.bytes.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|_, seen| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            Ok(seen.bytes.read_at(start, buf))
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        if data.is_empty() {
            return Ok(());
        }
        self.with(|state, seen| {
            let end = offset.saturating_add(data.len() as u64);
            let (start, end) = (possible(offset)?, possible(end)?);
            let lengthens = end > seen.bytes.len();
            seen.bytes.write_at(start, data);
            state.disk.write(self.file, offset, data, lengthens);
            let (offset, length) = (Some(offset), Some(data.len() as u64));
            state.note(Operation { offset, length, ..operation(IoOp::Write, &seen.name) });
            Ok(())
        })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        self.with(|state, seen| {
            seen.bytes.resize(possible(length)?);
            state.disk.truncate(self.file, length);
            let length = Some(length);
            state.note(Operation { length, ..operation(IoOp::Truncate, &seen.name) });
            Ok(())
        })
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.check_writable()?;
        Ok(self.volume.state().issue(Some(self.file)))
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.volume.status(ticket)
    }
}
