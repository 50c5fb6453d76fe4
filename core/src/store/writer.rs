//! The writing side of a file: its last durable state, and the one in the making.

use std::sync::Arc;

use super::batch::{Batch, BatchSave};
use super::commit::{Commit, CommitStyle, GoBack};
use super::create::remove;
use super::open::{OpenMode, Opening, PassedOver, Whole, find_newest, find_whole};
use super::snapshot::Snapshot;
use super::step::{Budget, DirectorySync, FileSync, Step};
use super::tail;
use crate::btree::{Descent, VisitSource};
use crate::canary::{Canary, planted};
use crate::chunklog::{ChunkWriter, FileNodes, LogFile, NodeCache};
use crate::device::{Access, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::{Event, Events, FileName};
use crate::format::block;
use crate::format::checksum::Checksum;
use crate::format::header::{Header, POINTS_BACK_FROM, VERSION_MAX};

/// One file open for writing: the last state known durable, and a working state that a commit makes
/// the next one.
#[derive(Debug)]
pub struct Store {
    durable: Option<Snapshot>,
    /// Length of the file when `durable` became so: what lies behind may be cut off.
    durable_end: u64,
    working: Header,
    /// Position of the header that the working state came from, which the next one points back at.
    base: Option<u64>,
    writer: ChunkWriter,
    commit_style: CommitStyle,
    poisoned: bool,
    /// For lookups in the states that it hands out.
    nodes: Option<FileNodes>,
    join_reading: JoinReading,
}

/// What puts the reading of the nodes that a batch changes where it is done.
pub type JoinReading = fn(Descent) -> Box<dyn VisitSource>;

/// Nodes are read when they are wanted.
pub(crate) fn read_when_wanted(descent: Descent) -> Box<dyn VisitSource> {
    Box::new(descent)
}

impl Store {
    /// Opens an existing file for writing.
    ///
    /// Writing goes on at the end of the file, whatever is there: what a crash left behind the last
    /// header stays as unused bytes, as in the reference.
    ///
    /// What is found is made durable first, and its name with it: it may have been written by a
    /// process that died before its syncs, and what a store says that it holds must stay. The newest
    /// header's type byte is written again for that, as it is: if its sync failed, the system takes
    /// its page for clean, and would sync it no more. What it points at was synced before it, unless
    /// it was committed with one sync: then all that its commit wrote is written again.
    ///
    /// With one-sync commits, a header whose commit was cut short is taken back: it must be none when
    /// something is appended, or it would come to stand between good ones.
    ///
    /// # Errors
    /// As [`find_newest`]; damage in what the newest header's commit wrote, unless the `opening` takes
    /// such a header back; [`Error::Locked`] when another handle writes to the file; a sync's failure.
    pub fn open(
        volume: &dyn Volume,
        name: &str,
        opening: impl Into<Opening>,
        events: Events,
    ) -> Result<(Self, Vec<PassedOver>)> {
        Store::open_if(volume, name, opening.into(), events, &|_| Ok(()))
    }

    /// As [`open`](Self::open), if `accept` finds nothing wrong with the state that is found: before that
    /// nothing is written.
    pub(crate) fn open_if(
        volume: &dyn Volume,
        name: &str,
        opening: Opening,
        events: Events,
        accept: &dyn Fn(&Snapshot) -> Result<()>,
    ) -> Result<(Self, Vec<PassedOver>)> {
        let name = FileName::from(name);
        let device = volume
            .open(&name, Access::Write)
            .map_err(|source| Error::io(IoOp::Open, &name, None, source))?;
        let Whole { newest: durable, written_from, passed_over, cut_short } =
            find_whole(&name, device, opening)?;
        accept(&durable)?;
        let cut_short = passed_over.first().filter(|_| cut_short);
        let taken_back = tail::take_back(durable.file(), cut_short, &events)?;
        match opening.commits {
            CommitStyle::Direct if !planted(Canary::OpenWithoutWritingAgain) => {
                tail::write_again(durable.file(), written_from, &events)?;
            }
            _ => durable.file().write_at(durable.position(), &[block::HEADER], &events)?,
        }
        let (mut sync, mut directory_sync) = (FileSync::default(), DirectorySync::default());
        let unsynced = taken_back && planted(Canary::TakenBackNotSynced);
        if !planted(Canary::OpenWithoutSync) && !unsynced {
            while sync.step(durable.file(), &events)? != Step::Done {}
        }
        if !planted(Canary::OpenWithoutDirectorySync) {
            while directory_sync.step(volume, &name, &events)? != Step::Done {}
        }
        let durable_end = durable.file().len()?;
        let store = Store {
            durable_end,
            working: durable.header().clone(),
            base: Some(durable.position()),
            writer: ChunkWriter::new(durable.file().clone(), durable_end, events),
            durable: Some(durable),
            commit_style: opening.commits,
            poisoned: false,
            nodes: None,
            join_reading: read_when_wanted,
        };
        Ok((store, passed_over))
    }

    /// Creates a file without a header: one type byte, since no chunk may lie at offset 0. It cannot
    /// be opened before its first commit. Where this fails, no file is left.
    pub(crate) fn create_bare(volume: &dyn Volume, name: &str, events: Events) -> Result<Self> {
        let name = FileName::from(name);
        let device = volume
            .create_new(&name)
            .map_err(|source| Error::io(IoOp::Create, &name, None, source))?;
        events.emit(|| Event::Created { file: name.clone() });
        let file = LogFile { name, device, checksum: Checksum::of_version(VERSION_MAX) };
        if let Err(error) = file.write_at(0, &[block::DATA], &events) {
            let _ = remove(volume, &file.name, &events);
            return Err(error);
        }
        Ok(Store {
            durable: None,
            durable_end: 1,
            working: Header::empty(VERSION_MAX),
            base: Some(0),
            writer: ChunkWriter::new(file, 1, events),
            commit_style: CommitStyle::Flip,
            poisoned: false,
            nodes: None,
            join_reading: read_when_wanted,
        })
    }

    /// Chooses the disk version of a file that has no header yet.
    pub(super) fn begin_version(&mut self, empty: Header) {
        let checksum = Checksum::of_version(empty.disk_version);
        let file = LogFile { checksum, ..self.file().clone() };
        self.writer = ChunkWriter::new(file, self.writer.end(), self.writer.events().clone());
        self.working = empty;
    }

    /// From now on tree nodes that are looked up in the states that [`snapshot`](Self::snapshot) gives
    /// are kept in `cache`.
    pub fn cache_nodes(&mut self, cache: &NodeCache) {
        self.nodes = Some(cache.file());
        self.durable = self.durable.take().map(|durable| durable.with_nodes(self.nodes.clone()));
    }

    /// From now on `join` decides where the nodes that a batch changes are read: on a thread of its
    /// own, with [`ThreadedVisits::join`](crate::engine::ThreadedVisits::join). That makes large batches
    /// faster where a processor is idle, and costs some two hundred kilobytes while one is saved. What is
    /// written is the same.
    pub fn read_nodes_with(&mut self, join: JoinReading) {
        self.join_reading = join;
    }

    pub(super) fn join_reading(&self) -> JoinReading {
        self.join_reading
    }

    /// The last state known durable. [`Error::NoHeader`] when nothing was committed yet.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let no_header = || Error::NoHeader { file: self.file().name.clone() };
        self.durable.clone().ok_or_else(no_header)
    }

    /// The file.
    pub fn file(&self) -> &LogFile {
        self.writer.file()
    }

    /// Bytes of the file, counting what is still in the write buffer.
    pub fn len(&self) -> u64 {
        self.writer.end()
    }

    /// Whether the file has no bytes; never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How this file's commits are made durable: as it was [told](Self::set_commit_style), but with two
    /// syncs where a header does not say what it came from, without which an opening could not tell
    /// what its commit wrote.
    pub fn commit_style(&self) -> CommitStyle {
        match self.working.disk_version {
            POINTS_BACK_FROM.. => self.commit_style,
            _ => CommitStyle::Flip,
        }
    }

    /// Chooses how commits are made durable, for a file that was just created: what a failure left in
    /// another is known to be gone only once that was [opened](Self::open) so.
    pub fn set_commit_style(&mut self, commit_style: CommitStyle) {
        self.commit_style = commit_style;
    }

    /// Takes the commit style that another file was told, whatever its version.
    pub(crate) fn commit_as(&mut self, other: &Store) {
        self.commit_style = other.commit_style;
    }

    /// Saves a batch and commits it, driving both to their ends; for hosts that can wait. On an
    /// error the store is back at its last durable state, or poisoned. `timestamp_ns` is kept in
    /// the header.
    ///
    /// # Errors
    /// As [`BatchSave::new`] and [`Commit`].
    pub fn save(&mut self, batch: Batch, timestamp_ns: u64) -> Result<Snapshot> {
        let mut save = BatchSave::new(self, batch)?;
        let result = self.drive(|store| save.step(store, &mut Budget::UNBOUNDED.clone()));
        // Whatever it has read ahead must not be cut off meanwhile.
        drop(save);
        self.or_go_back(result)?;
        self.commit(timestamp_ns)
    }

    /// Commits the working state, as [`save`](Self::save) does.
    pub fn commit(&mut self, timestamp_ns: u64) -> Result<Snapshot> {
        let mut commit = Commit::new(self.commit_style(), timestamp_ns);
        let result = self.drive(|store| commit.step(store));
        self.or_go_back(result)?;
        self.snapshot()
    }

    /// Cuts off what follows the last durable state, after a failure; see [`GoBack`].
    pub fn go_back(&mut self) -> Result<()> {
        let mut back = GoBack::default();
        self.drive(|store| back.step(store))
    }

    fn or_go_back(&mut self, result: Result<()>) -> Result<()> {
        if result.is_err() {
            // The first failure is the one to report; a second one leaves the store poisoned.
            let _ = self.go_back();
        }
        result
    }

    pub(crate) fn drive(&mut self, mut step: impl FnMut(&mut Self) -> Result<Step>) -> Result<()> {
        while step(self)? != Step::Done {}
        Ok(())
    }

    /// Makes an older state of this file the working one: the next commit gives up everything that
    /// was committed since, though its bytes stay. Its header points back at that older state's, so
    /// that what was given up is no history of what follows (from version 14 on).
    pub fn rewind(&mut self, to: &Snapshot) {
        self.working = to.header().clone();
        self.base = Some(to.position());
    }

    /// Makes an empty state the working one, as [`rewind`](Self::rewind) does.
    pub fn rewind_to_nothing(&mut self) {
        self.working = Header::empty(self.working.disk_version);
        self.base = None;
    }

    /// [`Error::Poisoned`] when a failed sync left the end of the file uncertain.
    pub fn check_writable(&self) -> Result<()> {
        match self.poisoned {
            true => Err(Error::Poisoned { file: self.file().name.clone() }),
            false => Ok(()),
        }
    }

    /// Whether a failed sync left the end of the file uncertain.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
        self.writer.events().emit(|| Event::Poisoned { file: self.file().name.clone() });
    }

    /// The file goes by another name from now on.
    pub(crate) fn rename(&mut self, name: FileName) {
        let file = LogFile { name: name.clone(), ..self.file().clone() };
        let (end, events) = (self.writer.end(), self.writer.events().clone());
        debug_assert_eq!(end, self.writer.flushed());
        self.writer = ChunkWriter::new(file, end, events);
        self.durable = self.durable.take().map(|durable| durable.renamed(name));
    }

    pub(crate) fn working(&self) -> &Header {
        &self.working
    }

    pub(crate) fn working_mut(&mut self) -> &mut Header {
        &mut self.working
    }

    pub(crate) fn writer(&self) -> &ChunkWriter {
        &self.writer
    }

    pub(crate) fn writer_mut(&mut self) -> &mut ChunkWriter {
        &mut self.writer
    }

    /// A header was made durable at `position`.
    pub(super) fn committed(&mut self, header: Header, position: u64) {
        let end = self.writer.end();
        let update_seq = header.update_seq;
        let durable = Snapshot::new(self.file().clone(), header.clone(), position, end);
        self.durable = Some(durable.with_nodes(self.nodes.clone()));
        self.durable_end = end;
        self.working = header;
        self.base = Some(position);
        self.writer.events().emit(|| {
            let file = self.file().name.clone();
            Event::HeaderCommitted { file, position, update_seq }
        });
    }

    /// Byte offset of the header that the next one points back at: 0 for "look at block 0", `None`
    /// when nothing came before.
    pub(super) fn base(&self) -> Option<u64> {
        self.base
    }

    /// Byte offset of the last durable header; 0 when there is none.
    fn durable_position(&self) -> u64 {
        self.durable.as_ref().map_or(0, Snapshot::position)
    }

    /// Cuts the file back to its last durable state and takes up from there.
    pub(super) fn cut_to_durable(&mut self) -> Result<()> {
        let (file, events) = (self.file().clone(), self.writer.events().clone());
        self.writer.reset(self.durable_end);
        if !planted(Canary::ReuseAfterFailedCommit) {
            self.working = match &self.durable {
                Some(durable) => durable.header().clone(),
                None => Header::empty(VERSION_MAX),
            };
        }
        self.base = Some(self.durable_position());
        events.emit(|| Event::WentBack {
            file: file.name.clone(),
            position: self.durable_position(),
        });
        if self.poisoned && !planted(Canary::CutTwiceAlike) {
            // An earlier attempt may have cut the file already without its sync getting through; the
            // same length again would change nothing, and so leave nothing for the next sync to do.
            file.truncate(self.durable_end + 1, &events)?;
        }
        file.truncate(self.durable_end, &events)
    }

    pub(super) fn unpoison(&mut self) {
        self.poisoned = false;
    }
}

/// Opens a file for reading only and returns its newest state; see [`find_newest`].
pub fn open_for_reading(
    volume: &dyn Volume,
    name: &str,
    mode: OpenMode,
) -> Result<(Snapshot, Vec<PassedOver>)> {
    let name = FileName::from(name);
    let device = volume
        .open(&name, Access::Read)
        .map_err(|source| Error::io(IoOp::Open, &name, None, source))?;
    find_newest(&name, Arc::clone(&device), mode)
}
