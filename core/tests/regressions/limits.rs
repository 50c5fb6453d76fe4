//! What lies so far back in a file that nothing can point at it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use tailswap::Error;
use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::device::{
    Access, BlockDevice, MemoryDevice, MemoryVolume, SyncStatus, SyncTicket, Volume,
};
use tailswap::event::{Content, Event, EventSink, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::header::Header;
use tailswap::limits::{BLOCK_SIZE, POSITION_MAX};
use tailswap::store::{Batch, Body, Create, DocUpdate, OpenMode, RevSeq, Store};

/// Chunks were refused there, but not the header behind the last one that fitted: the next header
/// could not have said where it was.
#[test]
fn neither_a_chunk_nor_a_header_is_written_behind_the_last_position() {
    let (name, device) = (FileName::from("long"), Arc::new(MemoryDevice::new()));
    let file = LogFile { name, device, checksum: Checksum::Crc32c };
    let mut writer = ChunkWriter::new(file, POSITION_MAX - 100, Events::none());
    writer.append(&[b'x'; 80], Content::Body { seq: 1 }).unwrap();
    let end = writer.end();
    let refused = [
        writer.append(&[b'x'; 80], Content::Body { seq: 2 }).map(drop),
        writer.append_header(&Header::empty(14), 0).map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::TooLarge { what: "file length", .. })), "{result:?}");
    }
    assert_eq!(writer.end(), end, "nothing was appended");
}

/// Where the hole ends with which the file begins: so far back that some flushes still fit behind it.
const HOLE: u64 = (POSITION_MAX / BLOCK_SIZE - 12) * BLOCK_SIZE;

/// A file that begins with a hole of nearly all that pointers can name.
struct Sparse(Arc<dyn BlockDevice>);

impl BlockDevice for Sparse {
    fn len(&self) -> io::Result<u64> {
        Ok(HOLE + self.0.len()?)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let zeros = HOLE.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (hole, rest) = buf.split_at_mut(zeros);
        hole.fill(0);
        Ok(zeros + self.0.read_at((offset + zeros as u64).saturating_sub(HOLE), rest)?)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset - HOLE, data)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length - HOLE)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.0.sync_issue()
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.0.sync_complete(ticket)
    }
}

/// A volume of such files.
struct SparseVolume(MemoryVolume);

impl Volume for SparseVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(Arc::new(Sparse(self.0.open(name, access)?)))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        Ok(Arc::new(Sparse(self.0.create_new(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        Volume::sync_issue(&self.0)
    }

    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        Volume::sync_complete(&self.0, ticket)
    }
}

/// What was appended last.
#[derive(Default)]
struct LastAppended(Mutex<String>);

impl EventSink for LastAppended {
    fn event(&self, event: Event) {
        if let Event::Appended { content, .. } = event {
            *self.0.lock().unwrap() = match content {
                Content::Body { .. } => "body",
                Content::ByIdNode => "by_id_node",
                Content::BySeqNode => "by_seq_node",
                Content::LocalNode => "local_node",
                Content::Header => "header",
                Content::Slack => return,
            }
            .to_owned();
        }
    }
}

fn document(number: u64, length: usize) -> Batch {
    let update = DocUpdate {
        id: format!("document-{number}").into_bytes(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: vec![0; 18],
        body: Body::Stored(vec![number as u8; length].into()),
    };
    Batch { documents: vec![update], locals: Vec::new() }
}

/// Whichever of its pieces it is that does not fit any more, a body, a node or the header: the flush is
/// refused, and the state before it stays, for whoever reads it and whoever opens the file.
#[test]
fn a_file_that_is_full_keeps_its_last_state() {
    let last = Arc::new(LastAppended::default());
    let mut refused_after = BTreeSet::new();
    for length in (0..12_000).step_by(97) {
        let volume = SparseVolume(MemoryVolume::new());
        // An empty file, as any file begins, but behind the hole.
        let begun = Arc::new(MemoryVolume::new());
        let empty = (Header::empty(14), Batch::default());
        Create::new(begun.clone(), "full", empty.0, empty.1, 1, Events::none())
            .unwrap()
            .finish()
            .unwrap();
        volume.0.put("full", begun.get("full").unwrap()).unwrap();
        let events = || Events::to(last.clone());
        let open = || Store::open(&volume, "full", OpenMode::Strict, events()).unwrap().0;
        let mut store = open();
        let mut saved = 0;
        let error = loop {
            match store.save(document(saved, length), 1) {
                Ok(_) => saved += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::TooLarge { what: "file length", .. }), "{error}");
        assert!(saved > 0, "not even one document of {length} bytes fitted");
        refused_after.insert(last.0.lock().unwrap().clone());
        store.go_back().unwrap();
        drop(store);
        let snapshot = open().snapshot().unwrap();
        assert_eq!(snapshot.counts().live, saved);
        for number in 0..saved {
            let info = snapshot.get(format!("document-{number}").as_bytes()).unwrap().unwrap();
            let body = snapshot.body(info.as_ref()).unwrap().unwrap();
            assert_eq!(body, vec![number as u8; length]);
        }
    }
    // Nothing of the flush was appended yet, or its body, or a node, or both.
    for content in ["header", "body", "by_id_node", "by_seq_node"] {
        assert!(refused_after.contains(content), "refused only after {refused_after:?}");
    }
}
