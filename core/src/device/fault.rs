//! A volume that fails on demand, for tests and simulations.
//!
//! [`FaultVolume`] wraps another volume, notes every operation in a log, and makes those fail that
//! a script of [`Fault`]s names, or that no longer fit on the disk. It only makes errors: what a
//! crash leaves behind is a matter of the simulated volumes.
//!
//! ```
//! use std::sync::Arc;
//! use tailswap::device::{Fault, FaultVolume, MemoryVolume, Volume};
//! use tailswap::error::IoOp;
//!
//! let volume = FaultVolume::new(Arc::new(MemoryVolume::new()));
//! volume.inject(Fault::nth(2).of(IoOp::Sync).on_file("a"));
//! let file = volume.create_new("a")?;
//! assert!(file.sync_issue().is_ok());
//! assert!(file.sync_issue().is_err());
//! assert!(file.sync_issue().is_ok());
//! assert_eq!(volume.log().iter().filter(|done| done.op == IoOp::Sync).count(), 3);
//! # std::io::Result::Ok(())
//! ```

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use litemap::LiteMap;

use super::{Access, BlockDevice, SyncStatus, SyncTicket, Volume};
use crate::error::IoOp;
use crate::sync::{Mutex, MutexGuard, Rank};

/// Which operation fails, and how.
#[derive(Clone)]
pub struct Fault {
    nth: u64,
    sticky: bool,
    op: Option<IoOp>,
    files: Option<Arc<FileFilter>>,
    error: Cause,
    bytes: usize,
    on_completion: bool,
}

type FileFilter = dyn Fn(&str) -> bool + Send + Sync;

#[derive(Clone, Copy, Debug)]
enum Cause {
    Kind(ErrorKind),
    Os(i32),
}

impl Fault {
    /// The `n`th operation from now on fails, counted from 1, with [`ErrorKind::Other`]; the other
    /// methods narrow down which operations count.
    pub fn nth(n: u64) -> Self {
        let error = Cause::Kind(ErrorKind::Other);
        Fault {
            nth: n,
            sticky: false,
            op: None,
            files: None,
            error,
            bytes: 0,
            on_completion: false,
        }
    }

    /// Only operations of this kind count.
    pub fn of(mut self, op: IoOp) -> Self {
        self.op = Some(op);
        self
    }

    /// Only operations on files of this name count (see [`Operation::file`]).
    pub fn on_file(self, name: &str) -> Self {
        let name = name.to_owned();
        self.on_files(move |file| file == name)
    }

    /// Only operations on files whose name satisfies `matches` count; of a renaming, either name.
    /// Operations on the directory itself have the empty name.
    pub fn on_files(mut self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.files = Some(Arc::new(matches));
        self
    }

    /// Fails with an error of this kind.
    pub fn error(mut self, kind: ErrorKind) -> Self {
        self.error = Cause::Kind(kind);
        self
    }

    /// Fails with this error number of the operating system's.
    pub fn os_error(mut self, number: i32) -> Self {
        self.error = Cause::Os(number);
        self
    }

    /// All operations that count fail from the `n`th on, not just that one.
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// A write that fails writes its first `bytes` bytes nevertheless; without this, nothing.
    pub fn after_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// A sync that fails does so on completion, not when it is issued. Nothing is synced either
    /// way.
    pub fn on_completion(mut self) -> Self {
        self.on_completion = true;
        self
    }

    fn counts(&self, operation: &Operation) -> bool {
        let names = [Some(&operation.file), operation.to.as_ref()];
        self.op.is_none_or(|op| op == operation.op)
            && self.files.as_ref().is_none_or(|on| names.into_iter().flatten().any(|name| on(name)))
    }

    fn to_error(&self) -> io::Error {
        match self.error {
            Cause::Kind(kind) => io::Error::new(kind, "injected fault"),
            Cause::Os(number) => io::Error::from_raw_os_error(number),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { nth, sticky, op, error, .. } = self;
        write!(f, "Fault(operation {nth} of {op:?}: {error:?}, sticky: {sticky})")
    }
}

/// One operation on a [`FaultVolume`] or a file in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was asked for.
    pub op: IoOp,
    /// The file it was done to, under the name it had then (or last, if that was removed); empty
    /// for operations on the directory itself.
    pub file: String,
    /// The new name, for a renaming.
    pub to: Option<String>,
    /// Where a read or write begins, in bytes.
    pub offset: Option<u64>,
    /// How many bytes were to be read or written, or the length to truncate to.
    pub length: Option<u64>,
    /// The error it ended with, an injected one or the inner volume's own. A sync that fails on
    /// completion has it too.
    pub error: Option<ErrorKind>,
}

impl Operation {
    fn new(op: IoOp, file: impl Into<String>) -> Self {
        Operation { op, file: file.into(), to: None, offset: None, length: None, error: None }
    }
}

/// A volume whose operations are logged and fail on demand. Clones are the same volume.
///
/// Operations are carried out one at a time, so that the log is their order.
#[derive(Clone, Debug)]
pub struct FaultVolume {
    inner: Arc<dyn Volume>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Operation>,
    faults: Vec<Fault>,
    fired: u64,
    capacity: Option<u64>,
    /// Which file a name stands for, as far as handles were opened.
    names: LiteMap<String, Name>,
    tickets: LiteMap<u64, Ticket>,
    last_ticket: u64,
}

/// The name of a file, or its last one, shared by its handles.
type Name = Arc<Mutex<String>>;

#[derive(Debug)]
enum Ticket {
    Inner(SyncTicket),
    Fails(io::Error),
}

impl FaultVolume {
    /// Wraps `inner`. Until something is injected, only the log tells the difference.
    pub fn new(inner: Arc<dyn Volume>) -> Self {
        let state = Arc::new(Mutex::new(Rank::Faults, State::default()));
        FaultVolume { inner, state }
    }

    /// Adds a fault. Each fault counts operations on its own, from now on.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets all faults, and the capacity.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.capacity = None;
    }

    /// How many operations failed by a fault so far. A loop over "the Nth operation fails" is
    /// through when a run ends with none.
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// Limits the sum of the lengths of all files that have a name to `bytes`. A write that would
    /// pass it writes what fits and fails with [`ErrorKind::StorageFull`]; removing and truncating
    /// give room again.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// All operations since the log was last taken, in order.
    pub fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    /// As [`FaultVolume::log`], and begins a new one.
    pub fn take_log(&self) -> Vec<Operation> {
        std::mem::take(&mut self.state().log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Carries out `act` unless a fault hits, in which case `on_fault` does what is done by halves.
    fn run<R>(
        &self,
        mut operation: Operation,
        on_fault: impl FnOnce(&Fault, &mut State) -> io::Result<R>,
        act: impl FnOnce(&mut State) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut state = self.state();
        let fault = state.strike(&operation);
        let result = match &fault {
            Some(fault) => on_fault(fault, &mut state),
            None => act(&mut state),
        };
        operation.error = match (&result, &fault) {
            (Err(error), _) => Some(error.kind()),
            (Ok(_), Some(fault)) => Some(fault.to_error().kind()),
            (Ok(_), None) => None,
        };
        state.log.push(operation);
        result
    }

    /// As [`FaultVolume::run`], for operations of which nothing can be done by halves.
    fn run_whole<R>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut State) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run(operation, |fault, _| Err(fault.to_error()), act)
    }

    fn issue(
        &self,
        operation: Operation,
        issue: impl FnOnce() -> io::Result<SyncTicket>,
    ) -> io::Result<SyncTicket> {
        let late = |fault: &Fault, state: &mut State| {
            if !fault.on_completion {
                return Err(fault.to_error());
            }
            Ok(state.ticket(Ticket::Fails(fault.to_error())))
        };
        self.run(operation, late, |state| Ok(state.ticket(Ticket::Inner(issue()?))))
    }

    fn complete(
        &self,
        ticket: SyncTicket,
        complete: impl FnOnce(SyncTicket) -> io::Result<SyncStatus>,
    ) -> io::Result<SyncStatus> {
        let mut state = self.state();
        match state.tickets.remove(&ticket.0) {
            Some(Ticket::Inner(inner)) => {
                let status = complete(inner)?;
                if status == SyncStatus::Pending {
                    state.tickets.insert(ticket.0, Ticket::Inner(inner));
                }
                Ok(status)
            }
            Some(Ticket::Fails(error)) => Err(error),
            None => Err(io::Error::new(ErrorKind::InvalidInput, "the sync's ticket is spent")),
        }
    }

    fn handle(&self, inner: Arc<dyn BlockDevice>, name: Name) -> Arc<dyn BlockDevice> {
        Arc::new(FaultDevice { volume: self.clone(), inner, name })
    }

    /// Bytes by which files may still grow.
    fn room(&self, state: &State) -> io::Result<u64> {
        let Some(capacity) = state.capacity else { return Ok(u64::MAX) };
        let mut used = 0;
        for name in self.inner.list()? {
            used += self.inner.open(&name, Access::Read)?.len()?;
        }
        Ok(capacity.saturating_sub(used))
    }
}

impl State {
    /// Counts the operation for every fault; returns the first one that makes it fail.
    fn strike(&mut self, operation: &Operation) -> Option<Fault> {
        let mut hit = None;
        for fault in self.faults.iter_mut().filter(|fault| fault.counts(operation)) {
            let due = fault.nth == 1;
            // A spent fault goes on to 0, which is never due again.
            if !(due && fault.sticky) {
                fault.nth = fault.nth.saturating_sub(1);
            }
            if due && hit.is_none() {
                hit = Some(fault.clone());
            }
        }
        self.fired += u64::from(hit.is_some());
        hit
    }

    fn name(&mut self, name: &str) -> Name {
        let new = || Arc::new(Mutex::new(Rank::FaultName, name.to_owned()));
        self.names.entry(name.to_owned()).or_insert_with(new).clone()
    }

    fn ticket(&mut self, ticket: Ticket) -> SyncTicket {
        self.last_ticket += 1;
        self.tickets.insert(self.last_ticket, ticket);
        SyncTicket(self.last_ticket)
    }
}

impl Volume for FaultVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        self.run_whole(Operation::new(IoOp::Open, name), |state| {
            Ok(self.handle(self.inner.open(name, access)?, state.name(name)))
        })
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        self.run_whole(Operation::new(IoOp::Create, name), |state| {
            Ok(self.handle(self.inner.create_new(name)?, state.name(name)))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to_name = Some(to.to_owned());
        let operation = Operation { to: to_name, ..Operation::new(IoOp::Rename, from) };
        self.run_whole(operation, |state| {
            self.inner.rename(from, to)?;
            if let Some(name) = state.names.remove(from) {
                to.clone_into(&mut name.lock());
                state.names.insert(to.to_owned(), name);
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.run_whole(Operation::new(IoOp::Remove, name), |state| {
            self.inner.remove(name)?;
            state.names.remove(name);
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.run_whole(Operation::new(IoOp::List, ""), |_| self.inner.list())
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        let operation = Operation::new(IoOp::SyncDirectory, "");
        self.issue(operation, || self.inner.sync_issue())
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.complete(ticket, |ticket| self.inner.sync_complete(ticket))
    }
}

/// A handle on a file of a [`FaultVolume`].
#[derive(Debug)]
struct FaultDevice {
    volume: FaultVolume,
    inner: Arc<dyn BlockDevice>,
    name: Name,
}

impl FaultDevice {
    fn operation(&self, op: IoOp) -> Operation {
        Operation::new(op, self.name.lock().as_str())
    }

    fn operation_at(&self, op: IoOp, offset: u64, data: &[u8]) -> Operation {
        let (offset, length) = (Some(offset), Some(data.len() as u64));
        Operation { offset, length, ..self.operation(op) }
    }
}

impl BlockDevice for FaultDevice {
    fn len(&self) -> io::Result<u64> {
        self.volume.run_whole(self.operation(IoOp::Length), |_| self.inner.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let operation = self.operation_at(IoOp::Read, offset, buf);
        self.volume.run_whole(operation, |_| self.inner.read_at(offset, buf))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let operation = self.operation_at(IoOp::Write, offset, data);
        let partly = |fault: &Fault, _: &mut State| {
            self.inner.write_at(offset, &data[..fault.bytes.min(data.len())])?;
            Err(fault.to_error())
        };
        self.volume.run(operation, partly, |state| {
            let end_max = self.inner.len()?.saturating_add(self.volume.room(state)?);
            let fitting = usize::try_from(end_max.saturating_sub(offset)).unwrap_or(usize::MAX);
            if fitting >= data.len() {
                return self.inner.write_at(offset, data);
            }
            self.inner.write_at(offset, &data[..fitting])?;
            Err(disk_full())
        })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let operation = Operation { length: Some(length), ..self.operation(IoOp::Truncate) };
        self.volume.run_whole(operation, |state| {
            if length > self.inner.len()?.saturating_add(self.volume.room(state)?) {
                return Err(disk_full());
            }
            self.inner.truncate(length)
        })
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.volume.issue(self.operation(IoOp::Sync), || self.inner.sync_issue())
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.volume.complete(ticket, |ticket| self.inner.sync_complete(ticket))
    }

    fn is_last_handle(&self) -> io::Result<bool> {
        self.inner.is_last_handle()
    }
}

fn disk_full() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "injected fault: disk full")
}
