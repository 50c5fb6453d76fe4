//! redb: a file of copy-on-write B+trees, as its documentation opens it; a cache of 1 GiB is its own choice.
//! It compacts in place, with nobody else using the file.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition,
};

use super::{LiveStore, Read, Store, copy_folder};
use crate::device::Syncs;
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("documents");

pub(crate) struct Redb(Database);

/// A file whose syncs are answered at once, like those of the others while loading.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl Redb {
    pub(crate) fn open(folder: &Path, syncs: Syncs) -> Result<Self> {
        let path = folder.join("bench.redb");
        if syncs == Syncs::Real {
            return Ok(Redb(Database::create(path)?));
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Redb(Builder::new().create_with_backend(Unsynced(FileBackend::new(file)?))?))
    }

    fn reading(&self) -> Result<ReadTransaction> {
        Ok(self.0.begin_read()?)
    }

    fn write(&self, changes: &[Change]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for Change { key, value } in changes {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_ref())?,
                None => table.remove(key.as_slice())?,
            };
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Store for Redb {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn get_each(&self, keys: &[Key]) -> Result<Read> {
        let (table, mut read) = (self.reading()?.open_table(TABLE)?, Read::default());
        for key in keys {
            read.add(table.get(key.as_slice())?.context("a document is missing")?.value());
        }
        Ok(read)
    }

    fn scan_values(&self) -> Result<Read> {
        let (table, mut read) = (self.reading()?.open_table(TABLE)?, Read::default());
        for entry in table.iter()? {
            read.add(entry?.1.value());
        }
        Ok(read)
    }

    fn scan_keys(&self) -> Result<Read> {
        let (table, mut read) = (self.reading()?.open_table(TABLE)?, Read::default());
        for entry in table.iter()? {
            read.add(entry?.0.value());
        }
        Ok(read)
    }
}

impl LiveStore for Redb {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>> {
        self.0.compact()?;
        Ok(thread::spawn(|| Ok(())))
    }
}

pub(crate) fn reclaim(source: &Path, target: &Path, watch: &mut Stopwatch) -> Result<()> {
    fs::remove_dir_all(target)?;
    copy_folder(source, target)?;
    let Redb(mut database) = Redb::open(target, Syncs::Real)?;
    watch.time(|| -> Result<()> {
        database.compact()?;
        drop(database);
        Ok(())
    })
}
