//! SQLite with a write-ahead log, synced at every commit, and a cache that its documentation lets one choose.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, Statement, params};

use super::{LiveStore, Read, Store};
use crate::device::Syncs;
use crate::documents::{Change, Key};
use crate::usage::Stopwatch;

/// How long a writer waits for one that rewrites the whole file.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Sqlite {
    path: PathBuf,
    connection: Connection,
}

impl Sqlite {
    pub(crate) fn open(folder: &Path, syncs: Syncs) -> Result<Self> {
        let path = folder.join("bench.sqlite");
        let connection = Connection::open(&path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = if syncs == Syncs::Real { "FULL" } else { "OFF" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // In KiB where negative: 1 GiB, like the others' caches.
        connection.pragma_update(None, "cache_size", -(1 << 20))?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS documents (key BLOB PRIMARY KEY, value BLOB NOT NULL)",
        )?;
        Ok(Sqlite { path, connection })
    }

    fn write(&mut self, changes: &[Change]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut set = transaction.prepare_cached(
                "INSERT INTO documents (key, value) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE key = ?1")?;
            for Change { key, value } in changes {
                match value {
                    Some(value) => set.execute(params![key, value.as_ref()])?,
                    None => delete.execute(params![key])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }
}

fn read_all(mut statement: Statement<'_>) -> Result<Read> {
    let (mut rows, mut read) = (statement.query([])?, Read::default());
    while let Some(row) = rows.next()? {
        read.add(row.get_ref(0)?.as_blob()?);
    }
    Ok(read)
}

impl Store for Sqlite {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn get_each(&self, keys: &[Key]) -> Result<Read> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement = transaction.prepare("SELECT value FROM documents WHERE key = ?1")?;
        let mut read = Read::default();
        for key in keys {
            read.add(&statement.query_row(params![key], |row| row.get::<_, Vec<u8>>(0))?);
        }
        Ok(read)
    }

    fn scan_values(&self) -> Result<Read> {
        read_all(self.connection.prepare("SELECT value FROM documents")?)
    }

    fn scan_keys(&self) -> Result<Read> {
        read_all(self.connection.prepare("SELECT key FROM documents ORDER BY key")?)
    }
}

impl LiveStore for Sqlite {
    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.write(&changes)
    }

    fn start_reclaiming(&mut self) -> Result<JoinHandle<Result<()>>> {
        let path = self.path.clone();
        Ok(thread::spawn(move || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
            Ok(connection.execute_batch("VACUUM")?)
        }))
    }
}

pub(crate) fn reclaim(source: &Path, target: &Path, watch: &mut Stopwatch) -> Result<()> {
    let Sqlite { connection, .. } = Sqlite::open(source, Syncs::Real)?;
    let target = target.join("bench.sqlite");
    watch.time(|| {
        connection.execute("VACUUM INTO ?1", params![target.to_string_lossy()])?;
        Ok(File::open(&target)?.sync_all()?)
    })
}
