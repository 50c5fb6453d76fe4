//! How the room of a compaction's old file is given back: in pieces, and never under a reader.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use support::random::Random;
use tailswap::device::{
    Access, BlockDevice, FileVolume, SyncStatus, SyncTicket, SystemHost, Volume,
};
use tailswap::engine::{Engine, EngineOptions, set};

/// To which lengths files were cut.
type Cuts = Arc<Mutex<Vec<u64>>>;

/// Real files of which it is noted when they are cut.
struct Noting {
    files: FileVolume,
    cuts: Cuts,
}

struct NotingFile {
    file: Arc<dyn BlockDevice>,
    cuts: Cuts,
}

impl Noting {
    fn noting(&self, file: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
        Arc::new(NotingFile { file, cuts: self.cuts.clone() })
    }
}

impl BlockDevice for NotingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.cuts.lock().unwrap().push(length);
        self.file.truncate(length)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.file.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.file.sync_complete(ticket)
    }

    fn is_last_handle(&self) -> io::Result<bool> {
        self.file.is_last_handle()
    }
}

impl Volume for Noting {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(self.noting(self.files.open(name, access)?))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(self.noting(self.files.create_new(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.files.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.files.sync_complete(ticket)
    }
}

/// An engine with a file of 40 MB and a little: a piece of 32 MB, and the rest.
#[test]
fn a_long_file_goes_in_pieces_unless_somebody_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let files = FileVolume::open_writable(directory.path()).unwrap();
    let cuts = Cuts::default();
    let volume = Arc::new(Noting { files, cuts: cuts.clone() });
    let host = Arc::new(SystemHost::new().unwrap());
    let engine = Engine::open(volume, host, EngineOptions::default()).unwrap();
    engine.create(0).unwrap();
    let mut random = Random::new(1);
    for key in 0..10_u8 {
        // What Snappy makes nothing of.
        let body: Vec<u8> = (0..512 << 10).flat_map(|_| random.next().to_le_bytes()).collect();
        let accepted = engine.mutate(0, set(&[key], &body)).unwrap();
        engine.wait_persisted(accepted).unwrap();
    }
    let compact = || {
        let stats = engine.compact(0, Default::default()).unwrap().wait().unwrap();
        assert!(stats.bytes_before > 40 << 20, "{stats:?}");
        std::mem::take(&mut *cuts.lock().unwrap())
    };

    let snapshot = engine.snapshot(0).unwrap();
    assert_eq!(compact(), [0; 0], "a snapshot reads it");
    for info in snapshot.documents_by_id(b"", None).unwrap() {
        let body = snapshot.body(info.unwrap().as_ref()).unwrap().unwrap();
        assert_eq!(body.len(), 4 << 20);
    }
    drop(snapshot);

    let path = directory.path().join("0.couch.2");
    let (foreign, whole) = (File::open(&path).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(compact(), [0; 0], "somebody reads it who knows nothing of this crate");
    let mut again = vec![0; whole.len()];
    foreign.read_exact_at(&mut again, 0).unwrap();
    assert!(again == whole);

    let length = std::fs::metadata(directory.path().join("0.couch.3")).unwrap().len();
    assert_eq!(compact(), [length - (32 << 20)], "nobody reads it");
    assert_eq!(engine.snapshot(0).unwrap().documents_by_id(b"", None).unwrap().count(), 10);
}
