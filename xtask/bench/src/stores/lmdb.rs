//! LMDB through heed: a memory map of copy-on-write B+trees. It cannot shrink a file; what it offers is a copy
//! without what is free, which can be taken beside a writer but does not take the file's place.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{CompactionOption, Database, Env, EnvFlags, EnvOpenOptions};

use super::{LiveStore, Read, Store};
use crate::device::Syncs;
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

/// Address space for the map: more than any file here comes to.
const MAP: usize = 64 << 30;

pub(crate) struct Lmdb {
    folder: PathBuf,
    environment: Env,
    documents: Database<Bytes, Bytes>,
}

impl Lmdb {
    pub(crate) fn open(folder: &Path, syncs: Syncs) -> Result<Self> {
        let environment = open_environment(folder, syncs)?;
        let mut transaction = environment.write_txn()?;
        let documents = environment.create_database(&mut transaction, None)?;
        transaction.commit()?;
        Ok(Lmdb { folder: folder.to_owned(), environment, documents })
    }

    fn write(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        for Change { key, value } in changes {
            match value {
                Some(value) => self.documents.put(&mut transaction, key, value)?,
                None => {
                    self.documents.delete(&mut transaction, key)?;
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

#[allow(unsafe_code)]
fn open_environment(folder: &Path, syncs: Syncs) -> Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP);
    // SAFETY: the folder belongs to this process alone as long as the map is there, so nobody changes the
    // file under it, and it is on a local disk. Without syncs only a crash of the machine could damage it,
    // and after one it is not used again.
    unsafe {
        if syncs != Syncs::Real {
            options.flags(EnvFlags::NO_SYNC);
        }
        Ok(options.open(folder)?)
    }
}

impl Store for Lmdb {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn get_each(&self, keys: &[Key]) -> Result<Read> {
        let (transaction, mut read) = (self.environment.read_txn()?, Read::default());
        for key in keys {
            let value = self
                .documents
                .get(&transaction, key.as_slice())?
                .context("a document is missing")?;
            read.add(value);
        }
        Ok(read)
    }

    fn scan_values(&self) -> Result<Read> {
        let (transaction, mut read) = (self.environment.read_txn()?, Read::default());
        for entry in self.documents.iter(&transaction)? {
            read.add(entry?.1);
        }
        Ok(read)
    }

    fn scan_keys(&self) -> Result<Read> {
        let (transaction, mut read) = (self.environment.read_txn()?, Read::default());
        for entry in self.documents.iter(&transaction)? {
            read.add(entry?.0);
        }
        Ok(read)
    }
}

impl LiveStore for Lmdb {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>> {
        let (environment, copy) = (self.environment.clone(), self.folder.join("copy.mdb"));
        Ok(thread::spawn(move || copy_live(&environment, &copy)))
    }
}

fn copy_live(environment: &Env, to: &Path) -> Result<()> {
    environment.copy_to_path(to, CompactionOption::Enabled)?.sync_all()?;
    Ok(())
}

pub(crate) fn reclaim(source: &Path, target: &Path, watch: &mut Stopwatch) -> Result<()> {
    let Lmdb { environment, .. } = Lmdb::open(source, Syncs::Real)?;
    watch.time(|| copy_live(&environment, &target.join("data.mdb")))
}
