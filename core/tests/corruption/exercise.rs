//! Everything that can be done with a file, done with one that may be damaged, and what must hold
//! whatever comes of it. Shared with the fuzz targets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tailswap::Error;
use tailswap::compaction::{CompactionOptions, OfflineCompaction};
use tailswap::device::{BlockDevice, MemoryDevice, MemoryVolume, SyncStatus, SyncTicket};
use tailswap::event::{Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::DocInfoRef;
use tailswap::store::check::{Report, check};
use tailswap::store::{
    Budget, HeadersBack, OpenMode, Snapshot, Step, find_newest, open_for_reading,
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
}

/// Opens, reads, checks, walks back and compacts a file. An error in words when one of these tells
/// of damage without its place, reads without end, or disagrees with another.
pub(crate) fn exercise(device: Arc<MemoryDevice>) -> Result<Outcome, String> {
    let metered = Arc::new(Metered::new(device));
    let length = metered.len().map_err(|error| error.to_string())?;
    let strict = open(&metered, OpenMode::Strict);
    let recovery = open(&metered, OpenMode::Recovery);
    match (&strict, &recovery) {
        (Ok(strict), Ok(recovery)) if strict.position() == recovery.position() => {}
        (Err(_), _) => {}
        _ => return Err("strict and recovery opening land on other headers".into()),
    }
    let compacted = match &recovery {
        Ok(newest) => {
            walk_back(newest, length)?;
            Some(compact(newest))
        }
        Err(_) => None,
    };
    let recovery = recovery.and_then(|newest| read(&newest));
    let strict = match (strict, &recovery) {
        // The same state, and what reading it comes to is known.
        (Ok(_), Ok(reading)) => Ok(*reading),
        (strict, _) => strict.and_then(|newest| read(&newest)),
    };
    let device: Arc<dyn BlockDevice> = metered.clone();
    let report = check(&FileName::from(NAME), device, OpenMode::Strict);
    let outcome = Outcome { strict, recovery, check: report, compacted };
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
    let mut documents = snapshot.documents_by_id(b"", None)?;
    let mut number = 0;
    while let Some(info) = documents.next_ref()? {
        let body = bodies.body(info)?;
        contents.by_id = contents.by_id.wrapping_add(hash_document(info, body));
        // In a node whose keys are out of order it may not be found, but what is found is it.
        if number % 8 == 0
            && let Some((found, _)) = lookups.get(info.id)?
        {
            assert_eq!(found, info);
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
