//! Tailswap: one file for whoever writes and reads alone, an engine for changes beside a compaction.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use tailswap::chunklog::{ChunkReader, NodeCache};
use tailswap::compaction::{CompactionOptions, OfflineCompaction};
use tailswap::device::{FileVolume, SystemHost, Volume};
use tailswap::engine::{
    Engine, EngineOptions, ThreadedLookups, ThreadedSource, ThreadedVisits, WriteBehind, delete,
    set,
};
use tailswap::event::Events;
use tailswap::format::docinfo::CONTENT_JSON;
use tailswap::format::header::{Header, VERSION_MAX};
use tailswap::format::rev_meta::{DATATYPE_JSON, RevMeta};
use tailswap::store::{
    Batch, Body, Budget, CommitStyle, Create, DocUpdate, OpenMode, RevSeq, Snapshot, Step,
    Store as FileWriter, open_for_reading,
};

use super::{Figures, LiveStore, Read, Store};
use crate::device::{Syncs, TimedVolume};
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

const FILE: &str = "bench.couch";
const VBUCKET: u16 = 0;

/// One file.
pub(crate) struct FileStore {
    writer: FileWriter,
    syncs: Arc<AtomicU64>,
    commits: u64,
}

impl FileStore {
    pub(crate) fn open(folder: &Path, syncs: Syncs) -> Result<Self> {
        let timed = TimedVolume::new(FileVolume::open_shared(folder)?, syncs);
        let counter = timed.counter();
        let volume: Arc<dyn Volume> = Arc::new(timed);
        let mut writer = if volume.list()?.iter().any(|name| name == FILE) {
            FileWriter::open(volume.as_ref(), FILE, OpenMode::Strict, Events::none())?.0
        } else {
            let header = Header::empty(VERSION_MAX);
            Create::new(volume, FILE, header, Batch::default(), 0, Events::none())?.finish()?
        };
        writer.read_nodes_with(ThreadedVisits::join);
        counter.store(0, Ordering::Relaxed);
        Ok(FileStore { writer, syncs: counter, commits: 0 })
    }

    pub(crate) fn open_cached(folder: &Path, bytes: usize) -> Result<Self> {
        let mut store = Self::open(folder, Syncs::Real)?;
        store.writer.cache_nodes(&NodeCache::new(bytes));
        Ok(store)
    }

    /// From now on, in a file that was just created.
    pub(crate) fn commit_with_one_sync(&mut self) {
        self.writer.set_commit_style(CommitStyle::Direct);
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.writer.snapshot()?)
    }
}

/// A change as a Couchbase node would write it, but for compression: bodies are stored as they are.
fn update(change: Change, time_ns: u64) -> DocUpdate {
    let rev_meta = RevMeta { cas: time_ns, datatype: DATATYPE_JSON, ..RevMeta::default() };
    DocUpdate {
        id: change.key,
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: change.value.is_none(),
        content_meta: CONTENT_JSON,
        rev_meta: rev_meta.encode(),
        body: change.value.map_or(Body::None, Body::Stored),
    }
}

impl Store for FileStore {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.commits += 1;
        let time_ns = self.commits;
        let documents = changes.into_iter().map(|change| update(change, time_ns)).collect();
        self.writer.save(Batch { documents, locals: Vec::new() }, time_ns)?;
        Ok(())
    }

    fn get_each(&self, keys: &[Key]) -> Result<Read> {
        let (mut lookups, mut read) = (self.snapshot()?.lookups(), Read::default());
        for key in keys {
            let (_, body) = lookups.get(key)?.context("a document is missing")?;
            read.add(body.context("a body is missing")?);
        }
        Ok(read)
    }

    fn get_many(&self, keys: &[Key], at_once: usize) -> Result<Read> {
        let (mut lookups, mut read) = (ThreadedLookups::new(&self.snapshot()?), Read::default());
        for keys in keys.chunks(at_once) {
            let ids: Vec<&[u8]> = keys.iter().map(Key::as_slice).collect();
            lookups.get_many(&ids, |_, _, body| {
                body.into_iter().for_each(|body| read.add(body));
            })?;
        }
        Ok(read)
    }

    fn scan_values(&self) -> Result<Read> {
        let (snapshot, mut read) = (self.snapshot()?, Read::default());
        let mut bodies = snapshot.bodies(ChunkReader::WALK_WINDOW);
        let mut documents = snapshot.changes_since(0)?;
        while let Some(info) = documents.next_ref()? {
            if let Some(body) = bodies.body(info)? {
                read.add(body);
            }
        }
        Ok(read)
    }

    fn scan_keys(&self) -> Result<Read> {
        let (mut read, mut documents) =
            (Read::default(), self.snapshot()?.documents_by_id(b"", None)?);
        while let Some(info) = documents.next_ref()? {
            read.add(info.id);
        }
        Ok(read)
    }

    fn figures(&self) -> Figures {
        let syncs = self.syncs.load(Ordering::Relaxed) as f64 / self.commits.max(1) as f64;
        Figures::from([("syncs a commit".to_owned(), syncs)])
    }
}

pub(crate) fn reclaim(source: &Path, target: &Path, watch: &mut Stopwatch) -> Result<()> {
    let from = FileVolume::open_read_only(source)?;
    let into = Arc::new(FileVolume::open_shared(target)?);
    let into = Arc::new(WriteBehind::new(into, WriteBehind::INTERVAL));
    watch.time(|| {
        let (snapshot, _) = open_for_reading(&from, FILE, OpenMode::Strict)?;
        let (options, events) = (CompactionOptions::default(), Events::none());
        let mut compaction =
            OfflineCompaction::start(snapshot, into, FILE, options, events, ThreadedSource::join)?;
        while compaction.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
        Ok(())
    })
}

/// Opens the store in a folder, for reading and for writing.
pub(crate) fn reopen(folder: &Path, watch: &mut Stopwatch) -> Result<()> {
    let volume = FileVolume::open_shared(folder)?;
    watch.time(|| {
        open_for_reading(&volume, FILE, OpenMode::Strict)?;
        FileWriter::open(&volume, FILE, OpenMode::Strict, Events::none())?;
        Ok(())
    })
}

/// An engine with one vbucket, which is compacted only when asked to; all else as users get it.
pub(crate) struct EngineStore {
    engine: Arc<Engine>,
}

impl EngineStore {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let volume = Arc::new(FileVolume::open_writable(folder)?);
        let options = EngineOptions { automatic: None, ..EngineOptions::default() };
        let engine = Engine::open(volume, Arc::new(SystemHost::new()?), options)?;
        engine.create(VBUCKET)?;
        Ok(EngineStore { engine: Arc::new(engine) })
    }
}

impl LiveStore for EngineStore {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut last = None;
        for Change { key, value } in changes {
            let mutation = match value {
                Some(value) => set(&key, &value),
                None => delete(&key),
            };
            last = Some(self.engine.mutate(VBUCKET, mutation)?);
        }
        last.map_or(Ok(()), |last| Ok(self.engine.wait_persisted(last)?))
    }

    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>> {
        let ticket = self.engine.compact(VBUCKET, CompactionOptions::default())?;
        Ok(thread::spawn(move || {
            let stats = ticket.wait()?;
            ensure!(stats.copied > 0, "nothing was compacted");
            Ok(())
        }))
    }

    fn figures(&self) -> Figures {
        let metrics = self.engine.metrics();
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        Figures::from([
            ("lock held, ms".to_owned(), milliseconds(metrics.compactor_lock_held.max_ns())),
            (
                "lock held without syncs, ms".to_owned(),
                milliseconds(metrics.compactor_lock_held_without_syncs.max_ns()),
            ),
            ("rounds".to_owned(), f64::from(metrics.rounds_max)),
            ("stall targets missed".to_owned(), metrics.stall_targets_missed as f64),
        ])
    }
}
