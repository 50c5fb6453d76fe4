//! How the room of a compaction's old file is given back: in pieces, and never under a reader.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use support::random::Random;
use tailswap::Error;
use tailswap::device::{Fault, FaultVolume, FileVolume, SystemHost};
use tailswap::engine::{Engine, EngineOptions, set};
use tailswap::error::IoOp;
use tempfile::TempDir;

const BODY_LEN: usize = 4 << 20;
const BODIES: u8 = 10;

/// An engine whose vbucket 0 has a file of 40 MB and a little: a piece of 32 MB, and the rest.
struct Long {
    directory: TempDir,
    volume: FaultVolume,
    engine: Engine,
}

impl Long {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = FileVolume::open_writable(directory.path()).unwrap();
        let volume = FaultVolume::new(Arc::new(files));
        let host = Arc::new(SystemHost::new().unwrap());
        let engine = Engine::open(Arc::new(volume.clone()), host, EngineOptions::default());
        let engine = engine.unwrap();
        engine.create(0).unwrap();
        let mut random = Random::new(1);
        for key in 0..BODIES {
            // What Snappy makes nothing of.
            let body = (0..BODY_LEN / 8).flat_map(|_| random.next().to_le_bytes());
            let body: Vec<u8> = body.collect();
            let accepted = engine.mutate(0, set(&[key], &body)).unwrap();
            engine.wait_persisted(accepted).unwrap();
        }
        Long { directory, volume, engine }
    }

    /// Compacts. How long the old file was, and to which lengths it was cut when its name was gone.
    fn compact(&self) -> (u64, Vec<u64>) {
        let before = self.volume.log().len();
        let stats = self.engine.compact(0, Default::default()).unwrap().wait().unwrap();
        assert!(stats.bytes_before > 40 << 20, "{stats:?}");
        let log = self.volume.log().split_off(before);
        let of_this = |file: &str| file.starts_with("0.");
        let cuts = log.iter().filter(|done| done.op == IoOp::Truncate && of_this(&done.file));
        (stats.bytes_before, cuts.filter_map(|done| done.length).collect())
    }
}

#[test]
fn a_long_file_goes_in_pieces_unless_somebody_reads_it() {
    let long = Long::new();
    let snapshot = long.engine.snapshot(0).unwrap();
    assert_eq!(long.compact().1, [0; 0], "a snapshot reads it");
    for info in snapshot.documents_by_id(b"", None).unwrap() {
        let body = snapshot.body(info.unwrap().as_ref()).unwrap().unwrap();
        assert_eq!(body.len(), BODY_LEN);
    }
    drop(snapshot);

    let path = long.directory.path().join("0.couch.2");
    let (foreign, whole) = (File::open(&path).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(long.compact().1, [0; 0], "somebody reads it who knows nothing of this crate");
    let mut again = vec![0; whole.len()];
    foreign.read_exact_at(&mut again, 0).unwrap();
    assert!(again == whole);

    let (length, cuts) = long.compact();
    assert_eq!(cuts, [length - (32 << 20)], "nobody reads it");
    let left = long.engine.snapshot(0).unwrap();
    assert_eq!(left.documents_by_id(b"", None).unwrap().count(), usize::from(BODIES));
}

#[test]
fn a_long_file_goes_at_once_while_a_flush_fails() {
    let long = Long::new();
    long.engine.create(1).unwrap();
    let of_another = |file: &str| file.starts_with("1.");
    long.volume.inject(Fault::nth(1).of(IoOp::Write).on_files(of_another).sticky());
    let accepted = long.engine.mutate(1, set(b"a", b"b")).unwrap();
    let failed = long.engine.wait_persisted(accepted);
    assert!(matches!(failed, Err(Error::FlushFailing { vbucket: 1, .. })), "{failed:?}");
    assert_eq!(long.compact().1, [0; 0]);
}
