//! fjall: a log-structured merge tree that compacts by itself, with the cache that its documentation advises
//! where the data fits into memory. Levels beyond the second are compressed with LZ4, as they are by default.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::{LiveStore, Read, Store, copy_folder};
use crate::device::Syncs;
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

const CACHE: u64 = 1 << 30;

pub(crate) struct Fjall {
    database: Database,
    documents: Keyspace,
    durability: PersistMode,
}

impl Fjall {
    pub(crate) fn open(folder: &Path, syncs: Syncs) -> Result<Self> {
        let database = Database::builder(folder).cache_size(CACHE).open()?;
        let documents = database.keyspace("documents", KeyspaceCreateOptions::default)?;
        let durability = match syncs {
            Syncs::Real => PersistMode::SyncData,
            _ => PersistMode::Buffer,
        };
        Ok(Fjall { database, documents, durability })
    }

    fn write(&self, changes: Vec<Change>) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(self.durability));
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(&self.documents, key, value.as_ref()),
                None => batch.remove(&self.documents, key),
            }
        }
        Ok(batch.commit()?)
    }
}

impl Store for Fjall {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(changes)
    }

    fn get_each(&self, keys: &[Key]) -> Result<Read> {
        let (snapshot, mut read) = (self.database.snapshot(), Read::default());
        for key in keys {
            read.add(&snapshot.get(&self.documents, key)?.context("a document is missing")?);
        }
        Ok(read)
    }

    fn scan_values(&self) -> Result<Read> {
        let mut read = Read::default();
        for entry in self.database.snapshot().iter(&self.documents) {
            read.add(&entry.value()?);
        }
        Ok(read)
    }

    fn scan_keys(&self) -> Result<Read> {
        let mut read = Read::default();
        for entry in self.database.snapshot().iter(&self.documents) {
            read.add(&entry.key()?);
        }
        Ok(read)
    }
}

impl LiveStore for Fjall {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(changes)
    }

    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>> {
        let documents = self.documents.clone();
        Ok(thread::spawn(move || Ok(documents.major_compact()?)))
    }
}

pub(crate) fn reclaim(source: &Path, target: &Path, watch: &mut Stopwatch) -> Result<()> {
    fs::remove_dir_all(target)?;
    copy_folder(source, target)?;
    let Fjall { database, documents, .. } = Fjall::open(target, Syncs::Real)?;
    watch.time(|| {
        documents.rotate_memtable_and_wait()?;
        documents.major_compact()?;
        Ok(database.persist(PersistMode::SyncAll)?)
    })
}
