//! Small files made by hand, under right checksums, that lead whoever reads them astray.

use std::sync::Arc;

use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::compaction::{CompactionOptions, CopyReader, CopySource, OfflineCompaction};
use tailswap::device::{MemoryDevice, MemoryVolume};
use tailswap::engine::ThreadedSource;
use tailswap::event::{Content, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::{DocInfo, encode_seq};
use tailswap::format::header::Header;
use tailswap::format::node::{NodeKind, kind_byte, put_entry};
use tailswap::format::pointer::{NodePointer, Reduce, TreeKind};
use tailswap::format::snappy;
use tailswap::store::check::{Severity, check};
use tailswap::store::{
    Batch, Body, Budget, Create, DocUpdate, OpenMode, RevSeq, Snapshot, Step, find_newest,
};

const NAME: &str = "bomb";

fn begin() -> (Arc<MemoryDevice>, ChunkWriter) {
    let device = Arc::new(MemoryDevice::new());
    let (name, checksum) = (FileName::from(NAME), Checksum::Crc32c);
    let file = LogFile { name, device: device.clone(), checksum };
    let mut writer = ChunkWriter::new(file, 0, Events::none());
    writer.append_header(&Header::empty(14), 1).unwrap();
    (device, writer)
}

fn commit(device: Arc<MemoryDevice>, mut writer: ChunkWriter, header: &Header) -> Snapshot {
    writer.append_header(header, 1).unwrap();
    writer.flush().unwrap();
    find_newest(&FileName::from(NAME), device, OpenMode::Strict).unwrap().0
}

/// A file with a body of this length and these documents.
fn with_documents(body: usize, documents: impl Fn(u64) -> Vec<DocInfo>) -> Snapshot {
    let (device, mut writer) = begin();
    let body = writer.append(&vec![b'x'; body], Content::Body { seq: 1 }).unwrap();
    let documents = documents(body.position);
    let mut root = |tree: TreeKind| {
        let (mut raw, mut reduce) = (vec![kind_byte(NodeKind::Leaf)], tree.empty_reduce());
        for info in &documents {
            let mut value = Vec::new();
            let key = if tree == TreeKind::BySeq {
                info.as_ref().encode_by_seq(&mut value);
                encode_seq(info.seq).to_vec()
            } else {
                info.as_ref().encode_by_id(&mut value);
                info.id.clone()
            };
            put_entry(&mut raw, &key, &value);
            reduce.add(tree.reduce_entry(&key, &value).unwrap());
        }
        let body = snappy::deflate(&raw, "node").unwrap();
        let node = writer.append(&body, Content::LocalNode).unwrap();
        Some(NodePointer { position: node.position, subtree_size: node.disk_size, reduce })
    };
    let (by_seq, by_id) = (root(TreeKind::BySeq), root(TreeKind::ById));
    let update_seq = documents.len() as u64;
    commit(device, writer, &Header { by_seq, by_id, update_seq, ..Header::empty(14) })
}

fn document(seq: u64, position: u64, physical_size: u64) -> DocInfo {
    let id = format!("document-{seq:06}").into_bytes();
    DocInfo { seq, rev_seq: 1, position, physical_size, ..DocInfo::new(id) }
}

/// The index of a node's entries took five times as much as the inflated node, which itself is
/// 22 times as long as its chunk can be.
#[test]
fn the_index_of_a_node_is_smaller_than_the_node() {
    let (device, mut writer) = begin();
    // An inner node, and nothing but entries without key and value.
    let raw = vec![0; 1 + 5 * 1_500_000];
    let node = writer.append(&snappy::deflate(&raw, "node").unwrap(), Content::LocalNode).unwrap();
    let (position, subtree_size) = (node.position, node.disk_size);
    let root = NodePointer { position, subtree_size, reduce: Reduce::Local };
    let header = Header { local: Some(root), ..Header::empty(14) };
    let snapshot = commit(device, writer, &header);
    let allocated = allocation_counter::measure(|| {
        let error = snapshot.locals().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("pointer to a child"), "{error}");
    });
    let bound = 2 * raw.len() as u64 + 4 * node.disk_size + (1 << 20);
    assert!(allocated.bytes_max <= bound, "{} bytes, {bound} expected", allocated.bytes_max);
}

fn compact(source: &Snapshot) -> tailswap::Result<()> {
    let volume = Arc::new(MemoryVolume::new());
    let (options, events) = (CompactionOptions::default(), Events::none());
    let join = |reader| -> Box<dyn CopySource> { Box::new(reader) };
    let source = source.clone();
    let mut compaction = OfflineCompaction::start(source, volume, "to", options, events, join)?;
    while compaction.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
    Ok(())
}

/// A compaction gathered the bodies of a thousand documents by the sizes that the tree keeps: where
/// those are too small, or where all have one body, a small file filled memory and disk.
#[test]
fn documents_that_share_a_body_are_not_copied_as_often() {
    for size in [9, 40_008] {
        let source = with_documents(40_000, |position| {
            (1..=2000).map(|seq| document(seq, position, size)).collect()
        });
        let allocated = allocation_counter::measure(|| {
            let error = compact(&source).unwrap_err();
            assert!(error.is_damage(), "{error}");
        });
        assert!(allocated.bytes_max < 2 << 20, "{} bytes", allocated.bytes_max);

        let device = source.file().device.clone();
        let report = check(&source.file().name, device, OpenMode::Strict).unwrap();
        assert!(!report.is_sound());
    }
}

/// A compaction gathered a thousand documents at a time if their bodies were short, however long their
/// ids and metadata were: a small file of those filled memory.
#[test]
fn documents_with_long_metadata_are_not_gathered_by_the_thousand() {
    let documents = (0..2000).map(|key| DocUpdate {
        id: format!("{key:04000}").into_bytes(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: vec![0; 60_000],
        body: Body::None,
    });
    let batch = Batch { documents: documents.collect(), ..Batch::default() };
    let (volume, header) = (Arc::new(MemoryVolume::new()), Header::empty(14));
    let create = Create::new(volume, NAME, header, batch, 1, Events::none()).unwrap();
    let source = create.finish().unwrap().snapshot().unwrap();
    let allocated = allocation_counter::measure(|| compact(&source).unwrap());
    let bound = 4 * source.end() + (1 << 20);
    assert!(allocated.bytes_max <= bound, "{} bytes, {bound} expected", allocated.bytes_max);
}

/// Asked again after its error, the reading half of a copy said that there was no more: what was built
/// of that would have lacked documents.
#[test]
fn a_copy_whose_reading_failed_does_not_come_to_an_end() {
    let source = with_documents(10, |_| vec![document(1, 1 << 40, 18)]);
    let reader = CopyReader::new(source, CompactionOptions::default(), true).unwrap();
    let mut threaded = ThreadedSource::join(reader);
    let mut next = || threaded.next(&mut Budget::UNBOUNDED.clone()).map(|_| ()).unwrap_err();
    assert!(next().is_damage());
    for _ in 0..2 {
        assert_eq!(next().to_string(), "reading ahead failed before");
    }
}

/// A compaction copied documents from beyond the highest sequence number into a new file, which was
/// then as damaged, and where the next flush would have given those numbers a second time.
#[test]
fn a_document_from_beyond_the_highest_sequence_number_is_not_copied() {
    let source = with_documents(10, |position| vec![document(5, position, 18)]);
    let error = compact(&source).unwrap_err().to_string();
    assert!(error.contains("sequence number 5 where 1 to 1 are in use"), "{error}");
}

/// A check named the place where a body should be, wherever that was.
#[test]
fn a_finding_is_in_the_file() {
    let snapshot = with_documents(10, |_| vec![document(1, 1 << 40, 18)]);
    let (name, device) = (snapshot.file().name.clone(), snapshot.file().device.clone());
    let report = check(&name, device, OpenMode::Strict).unwrap();
    let offsets: Vec<u64> = report.of(Severity::Problem).map(|finding| finding.offset).collect();
    assert_eq!(offsets, [snapshot.position()], "{report:?}");
}

/// A key of another length in an interior node of by-seq: whoever sought passed over the child, and
/// read an empty file without a word; a compaction, which does not seek, kept what was below.
#[test]
fn a_by_seq_key_that_is_cut_short_is_damage_for_everyone() {
    let (device, mut writer) = begin();
    let position = writer.append(b"body", Content::Body { seq: 1 }).unwrap().position;
    let info = document(1, position, 4);
    let mut node = |kind: NodeKind, key: &[u8], value: &[u8]| {
        let mut raw = vec![kind_byte(kind)];
        put_entry(&mut raw, key, value);
        let chunk = snappy::deflate(&raw, "node").unwrap();
        writer.append(&chunk, Content::BySeqNode).unwrap()
    };
    let (mut by_seq, mut by_id) = (Vec::new(), Vec::new());
    info.as_ref().encode_by_seq(&mut by_seq);
    info.as_ref().encode_by_id(&mut by_id);
    let reduce = |tree: TreeKind, key: &[u8], value: &[u8]| {
        let mut reduce = tree.empty_reduce();
        reduce.add(tree.reduce_entry(key, value).unwrap());
        reduce
    };
    let seq_reduce = reduce(TreeKind::BySeq, &encode_seq(1), &by_seq);
    let leaf = node(NodeKind::Leaf, &encode_seq(1), &by_seq);
    let (position, subtree_size) = (leaf.position, leaf.disk_size);
    let pointer = NodePointer { position, subtree_size, reduce: seq_reduce };
    let mut child = Vec::new();
    pointer.encode(&mut child);
    let root = node(NodeKind::Interior, b"", &child);
    let root = NodePointer {
        position: root.position,
        subtree_size: subtree_size + root.disk_size,
        reduce: seq_reduce,
    };
    let ids = node(NodeKind::Leaf, &info.id, &by_id);
    let ids = NodePointer {
        position: ids.position,
        subtree_size: ids.disk_size,
        reduce: reduce(TreeKind::ById, &info.id, &by_id),
    };
    let (by_seq, by_id) = (Some(root), Some(ids));
    let header = Header { by_seq, by_id, update_seq: 1, ..Header::empty(14) };
    let snapshot = commit(device, writer, &header);
    let read: Result<Vec<_>, _> =
        snapshot.changes_since(1).and_then(|documents| documents.collect());
    let error = read.map(|documents| documents.len()).unwrap_err().to_string();
    assert!(error.contains("a by-seq key is not of 6 bytes"), "{error}");
}
