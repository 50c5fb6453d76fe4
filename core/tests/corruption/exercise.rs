//! Everything that can be done with a file, done with one that may be damaged, and what must hold
//! whatever comes of it. Shared with the fuzz targets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tailswap::Error;
use tailswap::chunklog::NodeCache;
use tailswap::compaction::{CompactionOptions, OfflineCompaction};
use tailswap::device::{BlockDevice, MemoryDevice, MemoryVolume, SyncStatus, SyncTicket};
use tailswap::event::{Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::DocInfoRef;
use tailswap::store::check::{Report, check};
use tailswap::store::{
    Batch, Body, Budget, DocUpdate, HeadersBack, LocalUpdate, OpenMode, RevSeq, Snapshot, Step,
    Store, find_newest, open_for_reading,
};

const NAME: &str = "damaged";

/// What a state holds, as sums that differ for other contents: where it lies does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Documents with their bodies, as each of both trees has them.
    pub(crate) by_seq: u64,
    pub(crate) by_id: u64,
    /// The documents of by-seq without their bodies.
    pub(crate) infos: u64,
    pub(crate) locals: u64,
    pub(crate) update_seq: u64,
    pub(crate) purge_seq: u64,
}

/// A state that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Byte offset of its header.
    pub(crate) position: u64,
    pub(crate) contents: Contents,
}

/// What came of each way to use a file.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) strict: Result<Reading, Error>,
    pub(crate) recovery: Result<Reading, Error>,
    pub(crate) check: Result<Report, Error>,
    /// What the compacted file holds; `None` when there is no state to compact.
    pub(crate) compacted: Option<Result<Contents, Error>>,
    /// Whether documents all over the file are what they were changed to; `None` when there is no state
    /// to change.
    pub(crate) changed: Option<Result<bool, Error>>,
}

/// Opens, reads, checks, walks back, compacts and changes a file. An error in words when one of these
/// tells of damage without its place, reads without end, or disagrees with another.
pub(crate) fn exercise(device: Arc<MemoryDevice>) -> Result<Outcome, String> {
    let metered = Arc::new(Metered::new(device.clone()));
    let length = metered.len().map_err(|error| error.to_string())?;
    let strict = open(&metered, OpenMode::Strict);
    let recovery = open(&metered, OpenMode::Recovery);
    match (&strict, &recovery) {
        (Ok(strict), Ok(recovery)) if strict.position() == recovery.position() => {}
        (Err(_), _) => {}
        _ => return Err("strict and recovery opening land on other headers".into()),
    }
    let (mut compacted, mut changed) = (None, None);
    if let Ok(newest) = &recovery {
        walk_back(newest, length)?;
        compacted = Some(compact(newest));
        changed = Some(change(newest, device.to_bytes())?);
    }
    let recovery = recovery.and_then(|newest| read(&newest));
    let strict = match (strict, &recovery) {
        // The same state, and what reading it comes to is known.
        (Ok(_), Ok(reading)) => Ok(*reading),
        (strict, _) => strict.and_then(|newest| read(&newest)),
    };
    let device: Arc<dyn BlockDevice> = metered.clone();
    let report = check(&FileName::from(NAME), device, OpenMode::Strict);
    let outcome = Outcome { strict, recovery, check: report, compacted, changed };
    outcome.verify(length)?;
    match metered.exhausted() {
        true => Err("it is read without end".into()),
        false => Ok(outcome),
    }
}

impl Outcome {
    /// What must hold whatever is wrong with a file of this length.
    fn verify(&self, length: u64) -> Result<(), String> {
        let errors = [
            ("strict opening", self.strict.as_ref().err()),
            ("recovery opening", self.recovery.as_ref().err()),
            ("check", self.check.as_ref().err()),
            ("compaction", self.compacted.as_ref().and_then(|compacted| compacted.as_ref().err())),
            ("changing", self.changed.as_ref().and_then(|changed| changed.as_ref().err())),
        ];
        for (what, error) in errors {
            if let Some(error) = error {
                names_a_place(error, length).map_err(|why| format!("{what}: {why}"))?;
            }
        }
        if let Ok(report) = &self.check {
            if let Some(outside) = report.findings.iter().find(|finding| finding.offset > length) {
                return Err(format!("check: a finding outside the file: {outside:?}"));
            }
            if let (true, Err(error)) = (report.is_sound(), &self.strict) {
                return Err(format!("check finds nothing, but reading says: {error}"));
            }
            if report.is_sound() && !matches!(self.changed, Some(Ok(true))) {
                return Err(format!("check finds nothing, but changing says: {:?}", self.changed));
            }
        }
        match (&self.recovery, &self.compacted) {
            (Ok(reading), Some(Ok(compacted))) if reading.contents != *compacted => {
                Err("the compacted file holds something else".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether `check` finds everything that was committed.
    pub(crate) fn is_sound(&self) -> bool {
        self.check.as_ref().is_ok_and(Report::is_sound)
    }
}

/// Whether an error says what and where in the file.
fn names_a_place(error: &Error, length: u64) -> Result<(), String> {
    let in_words = error.to_string();
    if !in_words.contains(NAME) {
        return Err(format!("an error that names no file: {in_words}"));
    }
    match error {
        Error::Corrupt { offset, .. } | Error::Version { offset, .. } if *offset > length => {
            Err(format!("an error outside the file: {in_words}"))
        }
        Error::Corrupt { .. }
        | Error::Version { .. }
        | Error::NoHeader { .. }
        | Error::Encrypted { .. } => Ok(()),
        other => Err(format!("not an error about the file's content: {other}")),
    }
}

fn open(device: &Arc<Metered>, mode: OpenMode) -> Result<Snapshot, Error> {
    find_newest(&FileName::from(NAME), device.clone(), mode).map(|(snapshot, _)| snapshot)
}

/// For nodes of a state's trees: too few for those of a long file.
const CACHE_BYTES: usize = 64 << 10;

/// Reads all of a state.
pub(crate) fn read(snapshot: &Snapshot) -> Result<Reading, Error> {
    let header = snapshot.header();
    let mut contents = Contents {
        update_seq: header.update_seq,
        purge_seq: header.purge_seq,
        ..Contents::default()
    };
    let mut bodies = snapshot.bodies(tailswap::chunklog::ChunkReader::LOOKUP_WINDOW);
    let mut documents = snapshot.changes_since(0)?;
    while let Some(info) = documents.next_ref()? {
        let body = bodies.body(info)?;
        contents.infos = contents.infos.wrapping_add(hash_info(info));
        contents.by_seq = contents.by_seq.wrapping_add(hash_document(info, body));
    }
    let mut lookups = snapshot.lookups();
    // Looks up what a lookup before it kept, and keeps no more itself.
    let mut cached = snapshot.clone();
    cached.cache_nodes(&NodeCache::new(CACHE_BYTES));
    let mut documents = snapshot.documents_by_id(b"", None)?;
    let mut number = 0;
    while let Some(info) = documents.next_ref()? {
        let body = bodies.body(info)?;
        contents.by_id = contents.by_id.wrapping_add(hash_document(info, body));
        // In a node whose keys are out of order it may not be found, but what is found is it.
        if number % 8 == 0 {
            let found = lookups.get(info.id)?.map(|(found, _)| found);
            assert!(found.is_none_or(|found| found == info));
            for _ in 0..2 {
                let mut lookups = cached.lookups();
                assert_eq!(lookups.get(info.id)?.map(|(found, _)| found), found);
            }
        }
        number += 1;
    }
    for local in snapshot.locals() {
        let (id, value) = local?;
        contents.locals = contents.locals.wrapping_add(hash(&id) ^ hash(&value).rotate_left(1));
    }
    Ok(Reading { position: snapshot.position(), contents })
}

fn hash_document(info: DocInfoRef<'_>, body: Option<&[u8]>) -> u64 {
    hash_info(info) ^ body.map_or(1, hash).rotate_left(1)
}

fn hash_info(info: DocInfoRef<'_>) -> u64 {
    // Where the body lies differs from copy to copy, and older libraries count its size otherwise.
    let (position, physical_size) = (u64::from(info.position != 0), 0);
    DocInfoRef { position, physical_size, ..info }.fingerprint()
}

fn hash(bytes: &[u8]) -> u64 {
    let sums = [Checksum::Crc32c.of(bytes), Checksum::Crc32.of(bytes)];
    (u64::from(sums[0]) << 32 | u64::from(sums[1])) ^ bytes.len() as u64
}

/// Looks at every older state; there are as many as headers, at most.
fn walk_back(newest: &Snapshot, length: u64) -> Result<(), String> {
    let headers_max = length / 4096 + 1;
    let mut count = 0;
    for snapshot in HeadersBack::from(newest.clone()) {
        count += 1;
        if count > headers_max {
            return Err("the history does not come to an end".into());
        }
        match snapshot
            .and_then(|snapshot| snapshot.documents_by_id(b"", None)?.next_ref().map(drop))
        {
            Ok(()) => {}
            Err(error) => names_a_place(&error, length)?,
        }
    }
    Ok(())
}

/// Compacts a state and reads the result.
fn compact(source: &Snapshot) -> Result<Contents, Error> {
    let volume = Arc::new(MemoryVolume::new());
    let options = CompactionOptions { table_memory: 1 << 10, ..CompactionOptions::default() };
    let mut compaction = OfflineCompaction::start(
        source.clone(),
        volume.clone(),
        "target",
        options,
        Events::none(),
        |reader| Box::new(reader),
    )?;
    while compaction.step(&mut Budget { bytes: 64 << 10, entries: 1000 })? != Step::Done {}
    let (target, _) = open_for_reading(volume.as_ref(), "target", OpenMode::Strict)?;
    Ok(read(&target)?.contents)
}

/// Documents that are changed, at most.
const CHANGES_MAX: usize = 30;

/// Changes documents all over a file whose newest state this is, deletes some and adds others; whether
/// all are then what they were changed to. In words: that a change which failed left something behind.
fn change(newest: &Snapshot, bytes: Vec<u8>) -> Result<Result<bool, Error>, String> {
    let (volume, before) = (MemoryVolume::new(), (bytes.len(), hash(&bytes)));
    volume.put(NAME, bytes).map_err(|error| error.to_string())?;
    let ids = some_ids(newest);
    let documents: Vec<DocUpdate> =
        ids.into_iter().zip([false, false, true].into_iter().cycle()).map(update).collect();
    let changed = || {
        let (mut store, _) = Store::open(&volume, NAME, OpenMode::Recovery, Events::none())?;
        let local = LocalUpdate { id: b"_local/5".to_vec(), value: Some(b"changed".to_vec()) };
        store.save(Batch { documents: documents.clone(), locals: vec![local] }, 1)
    };
    let changed = match changed() {
        Ok(changed) => changed,
        Err(error) => {
            let after = volume.get(NAME).map(|bytes| (bytes.len(), hash(&bytes)));
            return match after == Some(before) {
                true => Ok(Err(error)),
                false => Err("a change that failed left something in the file".into()),
            };
        }
    };
    let mut lookups = changed.lookups();
    let mut all = true;
    for update in &documents {
        match lookups.get(&update.id) {
            Ok(Some((info, _))) => all &= info.deleted == update.deleted && info.rev_meta == META,
            Ok(None) => all = false,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(all))
}

/// Ids from all over a file, as far as it can be read, and some that it lacks.
fn some_ids(newest: &Snapshot) -> Vec<Vec<u8>> {
    let mut ids = Vec::new();
    if let Ok(mut documents) = newest.documents_by_id(b"", None) {
        while let Ok(Some(info)) = documents.next_ref() {
            ids.push(info.id.to_vec());
        }
    }
    let every = ids.len() / CHANGES_MAX + 1;
    let there = ids.into_iter().step_by(every);
    let beside = |id: Vec<u8>| [[&*id, b"+"].concat(), id];
    there
        .flat_map(beside)
        .chain([b"\0".to_vec(), vec![0xff; 9]])
        .filter(|id| (1..4096).contains(&id.len()))
        .collect()
}

/// What [`change`] gives to what it changes.
const META: &[u8] = b"metadata of a change";

fn update((id, deleted): (Vec<u8>, bool)) -> DocUpdate {
    DocUpdate {
        id,
        seq: None,
        rev_seq: RevSeq::Next,
        deleted,
        content_meta: 0,
        rev_meta: META.to_vec(),
        body: if deleted { Body::None } else { Body::Compress(META.into()) },
    }
}

/// A device that stops when it is read without end.
#[derive(Debug)]
struct Metered {
    inner: Arc<MemoryDevice>,
    reads: AtomicU64,
    reads_max: u64,
}

impl Metered {
    fn new(inner: Arc<MemoryDevice>) -> Self {
        // An entry of a tree takes a byte of its compressed node at least, and every way to use the
        // file reads the document behind it once or twice.
        let reads_max = 1000 + 16 * inner.len().unwrap_or(0);
        Metered { inner, reads: AtomicU64::new(0), reads_max }
    }

    fn exhausted(&self) -> bool {
        self.reads.load(Ordering::Relaxed) > self.reads_max
    }
}

impl BlockDevice for Metered {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.exhausted() {
            true => Err(io::Error::other("read without end")),
            false => self.inner.read_at(offset, buf),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, data)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.inner.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.inner.sync_complete(ticket)
    }
}
