//! The stores that are measured, behind one face.

mod tailswap;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::Result;

use crate::cases::Subject;
use crate::device::Syncs;
use crate::documents::Change;
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
    fn add(&mut self, value: &[u8]) {
        self.entries += 1;
        self.bytes += value.len() as u64;
    }
}

/// A store of documents by key. What a commit took is as durable as [`Syncs`] say when it returns.
pub(crate) trait Store {
    /// Makes these changes together.
    fn commit(&mut self, changes: Vec<Change>) -> Result<()>;
    /// Reads the values of these keys, one after another, all from one state.
    fn get_each(&self, keys: &[Vec<u8>]) -> Result<Read>;
    /// Reads the values of these keys, which are sorted, in the way best for many.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Read> {
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
        Subject::Floor => anyhow::bail!("a floor is no store"),
    })
}

/// Opens a store for changes beside its compaction, with the syncs of the operating system.
pub(crate) fn open_live(subject: Subject, folder: &Path) -> Result<Box<dyn LiveStore>> {
    Ok(match subject {
        Subject::Tailswap => Box::new(tailswap::EngineStore::open(folder)?),
        Subject::Floor => anyhow::bail!("a floor is no store"),
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
        Subject::Floor => anyhow::bail!("a floor is no store"),
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
