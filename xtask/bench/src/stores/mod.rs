//! The stores that are measured, behind one face.

mod fjall;
mod lmdb;
mod redb;
mod sqlite;
mod tailswap;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::Result;

use crate::cases::Subject;
use crate::device::Syncs;
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

/// Further numbers of a measurement, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// How many entries were read, and bytes of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Read {
    /// Looks at every cache line of the value: some stores only tell where it lies.
    fn add(&mut self, value: &[u8]) {
        std::hint::black_box(value.iter().step_by(64).fold(0, |sum, byte| sum ^ byte));
        self.entries += 1;
        self.bytes += value.len() as u64;
    }
}

/// A store of documents by key. What a commit took is as durable as [`Syncs`] say when it returns.
pub(crate) trait Store {
    /// Makes these changes together.
    fn commit(&mut self, changes: Vec<Change>) -> Result<()>;
    /// Reads the values of these keys, one after another, all from one state.
    fn get_each(&self, keys: &[Key]) -> Result<Read>;
    /// Reads the values of these keys, of which so many are asked for at once, sorted, all from one
    /// state.
    fn get_many(&self, keys: &[Key], _at_once: usize) -> Result<Read> {
        self.get_each(keys)
    }
    /// Reads all values: in the order of changes where the store has one, else by key.
    fn scan_values(&self) -> Result<Read>;
    /// Reads all keys and what comes with them, in their order.
    fn scan_keys(&self) -> Result<Read>;
    /// Further numbers.
    fn figures(&self) -> Figures {
        Figures::new()
    }
}

/// A store that takes changes while space is being reclaimed.
pub(crate) trait LiveStore {
    /// Makes these changes durable together.
    fn commit(&mut self, changes: Vec<Change>) -> Result<()>;
    /// Begins to reclaim space beside commits. A store that cannot do so does it here.
    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>>;
    /// Further numbers, once it is through.
    fn figures(&self) -> Figures {
        Figures::new()
    }
}

/// Opens a store in a folder, which is empty or holds one.
pub(crate) fn open(subject: Subject, folder: &Path, syncs: Syncs) -> Result<Box<dyn Store>> {
    Ok(match subject {
        Subject::Tailswap => Box::new(tailswap::FileStore::open(folder, syncs)?),
        Subject::Redb => Box::new(redb::Redb::open(folder, syncs)?),
        Subject::Fjall => Box::new(fjall::Fjall::open(folder, syncs)?),
        Subject::Lmdb => Box::new(lmdb::Lmdb::open(folder, syncs)?),
        Subject::Sqlite => Box::new(sqlite::Sqlite::open(folder, syncs)?),
        Subject::Floor | Subject::Browser => anyhow::bail!("{subject} is no store"),
    })
}

/// Opens Tailswap's file with so many bytes for nodes of its trees.
pub(crate) fn open_cached(folder: &Path, bytes: usize) -> Result<Box<dyn Store>> {
    Ok(Box::new(tailswap::FileStore::open_cached(folder, bytes)?))
}

/// Creates a file in an empty folder, which is committed to with one sync.
pub(crate) fn create_with_one_sync(folder: &Path, syncs: Syncs) -> Result<Box<dyn Store>> {
    let mut store = tailswap::FileStore::open(folder, syncs)?;
    store.commit_with_one_sync();
    Ok(Box::new(store))
}

/// Opens a store for changes beside its compaction, with the syncs of the operating system.
pub(crate) fn open_live(subject: Subject, folder: &Path) -> Result<Box<dyn LiveStore>> {
    Ok(match subject {
        Subject::Tailswap => Box::new(tailswap::EngineStore::open(folder)?),
        Subject::Redb => Box::new(redb::Redb::open(folder, Syncs::Real)?),
        Subject::Fjall => Box::new(fjall::Fjall::open(folder, Syncs::Real)?),
        Subject::Lmdb => Box::new(lmdb::Lmdb::open(folder, Syncs::Real)?),
        Subject::Sqlite => Box::new(sqlite::Sqlite::open(folder, Syncs::Real)?),
        Subject::Floor | Subject::Browser => anyhow::bail!("{subject} is no store"),
    })
}

/// Reclaims the space of a store that nobody writes to: what is live is in `target` then, synced.
pub(crate) fn reclaim(
    subject: Subject,
    source: &Path,
    target: &Path,
    watch: &mut Stopwatch,
) -> Result<()> {
    match subject {
        Subject::Tailswap => tailswap::reclaim(source, target, watch),
        Subject::Redb => redb::reclaim(source, target, watch),
        Subject::Fjall => fjall::reclaim(source, target, watch),
        Subject::Lmdb => lmdb::reclaim(source, target, watch),
        Subject::Sqlite => sqlite::reclaim(source, target, watch),
        Subject::Floor | Subject::Browser => anyhow::bail!("{subject} is no store"),
    }
}

/// Opens a store that is there.
pub(crate) fn reopen(subject: Subject, folder: &Path, watch: &mut Stopwatch) -> Result<()> {
    match subject {
        Subject::Tailswap => tailswap::reopen(folder, watch),
        other => {
            watch.time(|| open(other, folder, Syncs::Real))?;
            Ok(())
        }
    }
}

/// Copies a folder with all that is in it, for stores that reclaim space where they are.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => {
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}
