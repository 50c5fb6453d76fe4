//! The check, and other readers and writers, over files made by hand, whose checksums are all right:
//! what is wrong with them is what the trees say.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use tailswap::Error;
use tailswap::btree::Delta;
use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::device::{MemoryDevice, MemoryVolume};
use tailswap::event::{Content, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::{COMPRESSED, DocInfo, encode_seq};
use tailswap::format::header::Header;
use tailswap::format::node::{NodeKind, kind_byte, put_entry};
use tailswap::format::pointer::{NodePointer, Reduce};
use tailswap::format::snappy;
use tailswap::store::check::{Finding, Report, Severity, check};
use tailswap::store::{
    Batch, Body, DocUpdate, HeadersBack, LocalUpdate, OpenMode, RevSeq, Store, find_newest,
};

type Entry = (Vec<u8>, Vec<u8>);

/// A file in the making: an empty header at 0, then whatever a test appends.
struct Craft {
    device: Arc<MemoryDevice>,
    writer: ChunkWriter,
}

impl Craft {
    fn new() -> Self {
        let device = Arc::new(MemoryDevice::new());
        let name = FileName::from("crafted");
        let file = LogFile { name, device: device.clone(), checksum: Checksum::Crc32c };
        let mut writer = ChunkWriter::new(file, 0, Events::none());
        writer.append_header(&Header::empty(14), 1).unwrap();
        Craft { device, writer }
    }

    fn document(&mut self, id: &str, seq: u64, body: &[u8]) -> DocInfo {
        let body = self.writer.append(body, Content::Body { seq }).unwrap();
        DocInfo {
            seq,
            rev_seq: 1,
            position: body.position,
            physical_size: body.disk_size,
            ..DocInfo::new(id.as_bytes().to_vec())
        }
    }

    fn node(
        &mut self,
        kind: NodeKind,
        reduce: Reduce,
        below: u64,
        entries: &[Entry],
    ) -> NodePointer {
        let mut raw = vec![kind_byte(kind)];
        entries.iter().for_each(|(key, value)| put_entry(&mut raw, key, value));
        let body = snappy::deflate(&raw, "node").unwrap();
        let node = self.writer.append(&body, Content::LocalNode).unwrap();
        NodePointer { position: node.position, subtree_size: below + node.disk_size, reduce }
    }

    /// A leaf of the tree of local documents, with these keys.
    fn local_leaf(&mut self, keys: &[&str]) -> NodePointer {
        let entries: Vec<Entry> =
            keys.iter().map(|key| (key.as_bytes().to_vec(), b"value".to_vec())).collect();
        self.node(NodeKind::Leaf, Reduce::Local, 0, &entries)
    }

    /// An interior node of the tree of local documents.
    fn local_parent(&mut self, children: &[(&str, NodePointer)]) -> NodePointer {
        let below = children.iter().map(|(_, child)| child.subtree_size).sum();
        let entries: Vec<Entry> = children.iter().map(|(key, child)| pointer(key, child)).collect();
        self.node(NodeKind::Interior, Reduce::Local, below, &entries)
    }

    /// Both trees of documents, in one leaf each.
    fn documents(&mut self, by_seq: &[DocInfo], by_id: &[DocInfo]) -> Header {
        let entries: Vec<Entry> = by_seq.iter().map(by_seq_entry).collect();
        let reduce = Reduce::BySeq { count: by_seq.len() as u64 };
        let seq_root = self.node(NodeKind::Leaf, reduce, 0, &entries);
        let entries: Vec<Entry> = by_id.iter().map(by_id_entry).collect();
        let size = by_id.iter().map(|info| info.physical_size).sum();
        let reduce = Reduce::ById { live: by_id.len() as u64, deleted: 0, size };
        let id_root = self.node(NodeKind::Leaf, reduce, 0, &entries);
        let (by_seq, by_id) = (Some(seq_root), Some(id_root));
        Header { by_seq, by_id, update_seq: 9, previous: Some(0), ..Header::empty(14) }
    }

    fn commit_local(self, root: NodePointer) -> Report {
        self.commit(&Header { local: Some(root), previous: Some(0), ..Header::empty(14) })
    }

    fn commit(self, header: &Header) -> Report {
        check(&FileName::from("crafted"), self.finish(header), OpenMode::Strict).unwrap()
    }

    fn finish(mut self, header: &Header) -> Arc<MemoryDevice> {
        self.writer.append_header(header, 1).unwrap();
        self.writer.flush().unwrap();
        self.device
    }
}

fn pointer(key: &str, child: &NodePointer) -> Entry {
    let mut value = Vec::new();
    child.encode(&mut value);
    (key.as_bytes().to_vec(), value)
}

fn by_seq_entry(info: &DocInfo) -> Entry {
    let mut value = Vec::new();
    info.as_ref().encode_by_seq(&mut value);
    (encode_seq(info.seq).to_vec(), value)
}

fn by_id_entry(info: &DocInfo) -> Entry {
    let mut value = Vec::new();
    info.as_ref().encode_by_id(&mut value);
    (info.id.clone(), value)
}

/// The only finding there is has this severity, is at this offset and says this.
#[track_caller]
fn assert_only(report: &Report, severity: Severity, offset: u64, what: &str) {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let finding = &report.findings[0];
    assert_eq!((finding.severity, finding.offset), (severity, offset), "{finding:?}");
    assert!(finding.what.contains(what), "{finding:?}");
}

#[test]
fn a_sound_file_made_by_hand_passes() {
    let mut craft = Craft::new();
    let (a, b) = (craft.local_leaf(&["a", "b"]), craft.local_leaf(&["c", "d"]));
    let root = craft.local_parent(&[("b", a), ("d", b)]);
    let documents = [craft.document("x", 1, b"one"), craft.document("y", 2, b"two")];
    let header = Header { local: Some(root), ..craft.documents(&documents, &documents) };
    let report = craft.commit(&header);
    assert_eq!(report.findings, []);
    assert_eq!((report.headers, report.nodes, report.documents, report.bodies), (2, 5, 2, 2));
}

#[test]
fn keys_out_of_order_are_found_within_a_node_and_across() {
    let mut craft = Craft::new();
    let leaf = craft.local_leaf(&["b", "a"]);
    let report = craft.commit_local(leaf);
    assert_only(&report, Severity::Problem, leaf.position, "not in ascending order");

    let mut craft = Craft::new();
    let (a, b) = (craft.local_leaf(&["a", "c"]), craft.local_leaf(&["b", "d"]));
    let root = craft.local_parent(&[("c", a), ("d", b)]);
    assert_only(&craft.commit_local(root), Severity::Problem, b.position, "not in ascending order");
}

#[test]
fn what_a_parent_says_of_a_child_is_compared_with_the_child() {
    let mut craft = Craft::new();
    let (a, b) = (craft.local_leaf(&["a", "b"]), craft.local_leaf(&["c", "d"]));
    let root = craft.local_parent(&[("b", a), ("e", b)]);
    assert_only(&craft.commit_local(root), Severity::Problem, b.position, "its largest key");

    let mut craft = Craft::new();
    let leaf = craft.local_leaf(&["a", "b"]);
    let long = NodePointer { subtree_size: leaf.subtree_size + 20, ..leaf };
    assert_only(&craft.commit_local(long), Severity::Problem, leaf.position, "its parent says");

    let mut craft = Craft::new();
    let document = [craft.document("x", 1, b"one")];
    let mut header = craft.documents(&document, &document);
    let root = header.by_seq.unwrap();
    header.by_seq = Some(NodePointer { reduce: Reduce::BySeq { count: 2 }, ..root });
    let report = craft.commit(&header);
    let problems: Vec<u64> = report.of(Severity::Problem).map(|finding| finding.offset).collect();
    assert_eq!(problems, [root.position, 4096], "the node, and the header's two counts");
}

#[test]
fn sizes_that_count_type_bytes_are_a_note() {
    let mut craft = Craft::new();
    let leaf = craft.local_leaf(&["a", "b"]);
    let old = NodePointer { subtree_size: leaf.subtree_size + 1, ..leaf };
    assert_only(&craft.commit_local(old), Severity::Note, leaf.position, "1 sizes are kept");
}

#[test]
fn a_child_behind_its_parent_is_found_and_not_followed() {
    let mut craft = Craft::new();
    let leaf = craft.local_leaf(&["a", "b"]);
    let ahead = NodePointer { position: leaf.position + 2000, ..leaf };
    let root = craft.local_parent(&[("b", ahead)]);
    let what = format!("points at {}", ahead.position);
    assert_only(&craft.commit_local(root), Severity::Problem, root.position, &what);
}

#[test]
fn a_node_with_many_parents_is_not_walked_as_many_times() {
    let mut craft = Craft::new();
    let mut child = craft.local_leaf(&["a", "b"]);
    // 2^40 ways to the leaf.
    for _ in 0..40 {
        child = craft.local_parent(&[("b", child), ("c", child)]);
    }
    let report = craft.commit_local(child);
    assert!(!report.is_sound());
    assert!(report.nodes < 200, "{}", report.nodes);
}

#[test]
fn no_reader_walks_a_node_with_many_parents_as_many_times() {
    let mut craft = Craft::new();
    let info = craft.document("a", 1, b"body");
    let one = craft.documents(std::slice::from_ref(&info), std::slice::from_ref(&info));
    let local = craft.local_leaf(&["a", "b"]);
    let roots = [one.by_seq.unwrap(), one.by_id.unwrap(), local];
    let roots = roots.map(|mut root| {
        for _ in 0..40 {
            // By-seq keys have six bytes; the other trees take them as well.
            let entries = [pointer("\0\0\0\0\0a", &root), pointer("\0\0\0\0\0b", &root)];
            root = craft.node(NodeKind::Interior, root.reduce, 0, &entries);
        }
        Some(root)
    });
    let [by_seq, by_id, local] = roots;
    let header = Header { by_seq, by_id, local, ..one };
    let device = craft.finish(&header);
    let name = FileName::from("crafted");
    let (snapshot, _) = find_newest(&name, device, OpenMode::Strict).unwrap();

    let disorder = |error: Error| assert!(error.to_string().contains("ascending order"), "{error}");
    for documents in [snapshot.changes_since(0), snapshot.documents_by_id(b"", None)] {
        disorder(documents.unwrap().find_map(Result::err).unwrap());
    }
    disorder(snapshot.locals().find_map(Result::err).unwrap());
    let empty = HeadersBack::from(snapshot.clone()).last().unwrap().unwrap();
    for tree in support::TREES {
        let mut delta = Delta::new(empty.walk(tree), snapshot.walk(tree));
        let error = (0..1000).find_map(|_| delta.step().err());
        disorder(error.unwrap());
    }
}

#[test]
fn sizes_of_subtrees_that_add_up_to_more_than_their_field_holds_do_no_harm() {
    let mut craft = Craft::new();
    let huge = NodePointer { subtree_size: (1 << 48) - 1, ..craft.local_leaf(&["z"]) };
    // So many that the sum is beyond 64 bits too.
    let entries: Vec<Entry> = (0..70_000).map(|n| pointer(&format!("a{n:05}"), &huge)).collect();
    let entries: Vec<Entry> = entries.into_iter().chain([pointer("z", &huge)]).collect();
    let root = craft.node(NodeKind::Interior, Reduce::Local, 0, &entries);
    // Of a version whose newest commit is not verified at opening: its keys are not in order.
    let device = craft.finish(&Header { local: Some(root), ..Header::empty(13) });
    let volume = MemoryVolume::new();
    volume.put("crafted", device.to_bytes()).unwrap();
    let (mut store, _) = Store::open(&volume, "crafted", OpenMode::Strict, Events::none()).unwrap();
    let local = LocalUpdate { id: b"zz".to_vec(), value: Some(b"new".to_vec()) };
    let saved = store.save(Batch { documents: Vec::new(), locals: vec![local] }, 1).unwrap();
    assert_eq!(saved.header().local.unwrap().subtree_size, (1 << 48) - 1);
    assert_eq!(saved.local(b"zz").unwrap().as_deref(), Some(b"new".as_slice()));
}

#[test]
fn documents_in_which_the_trees_differ_are_named() {
    let mut craft = Craft::new();
    let [a, b, c] =
        ["a", "b", "c"].map(|id| craft.document(id, u64::from(id.as_bytes()[0]) - 96, b"{}"));
    let other_b = DocInfo { rev_seq: 7, ..b.clone() };
    let report = {
        let by_id = [a.clone(), other_b, c.clone()];
        let header = craft.documents(&[a.clone(), b.clone(), c.clone()], &by_id);
        let leaf = header.by_seq.unwrap().position;
        (craft.commit(&header), leaf)
    };
    let what = "document \"b\" (seq 2): by-id holds other metadata";
    assert_only(&report.0, Severity::Problem, report.1, what);

    let mut craft = Craft::new();
    let [a, b, c] =
        ["a", "b", "c"].map(|id| craft.document(id, u64::from(id.as_bytes()[0]) - 96, b"{}"));
    let header = craft.documents(&[a.clone(), b], &[a, c]);
    let leaves = [header.by_seq.unwrap().position, header.by_id.unwrap().position];
    let report = craft.commit(&header);
    let found: Vec<(u64, &str)> =
        report.findings.iter().map(|finding| (finding.offset, finding.what.as_str())).collect();
    let expected = [
        (leaves[0], "document \"b\" (seq 2): in by-seq, but not in by-id"),
        (leaves[1], "document \"c\" (seq 3): in by-id, but not in by-seq"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_sequence_number_above_the_header_s_is_found() {
    let mut craft = Craft::new();
    let document = [craft.document("x", 10, b"one")];
    let header = craft.documents(&document, &document);
    let leaf = header.by_seq.unwrap().position;
    let report = craft.commit(&header);
    assert_only(&report, Severity::Problem, leaf, "sequence number 10 where 1 to 9 are in use");
}

#[test]
fn a_damaged_entry_by_id_is_not_replaced() {
    let mut craft = Craft::new();
    let document = [craft.document("a", 1, b"body")];
    let mut header = craft.documents(&document, &document);
    let cut_short = (b"a".to_vec(), vec![0; 3]);
    let reduce = Reduce::ById { live: 1, deleted: 0, size: 12 };
    header.by_id = Some(craft.node(NodeKind::Leaf, reduce, 0, &[cut_short]));
    let volume = MemoryVolume::new();
    volume.put("crafted", craft.finish(&header).to_bytes()).unwrap();
    let opened = Store::open(&volume, "crafted", OpenMode::Strict, Events::none());
    let (mut store, _) = opened.unwrap();
    let documents = vec![DocUpdate {
        id: b"a".to_vec(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: true,
        content_meta: 0,
        rev_meta: Vec::new(),
        body: Body::None,
    }];
    let length = store.len();
    let error = store.save(Batch { documents, locals: Vec::new() }, 1).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(store.len(), length, "nothing of the batch stays");
}

#[test]
fn an_older_header_of_an_unknown_version_costs_only_itself() {
    let mut craft = Craft::new();
    let unknown = Header { disk_version: 15, previous: Some(0), ..Header::empty(14) };
    craft.writer.append_header(&unknown, 1).unwrap();
    let device = craft.device.clone();
    let header = Header { previous: Some(4096), ..Header::empty(14) };
    let report = craft.commit(&header);
    let problems: Vec<&Finding> = report.of(Severity::Problem).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].offset, 4096);
    assert!(problems[0].what.contains("disk version 15"), "{problems:?}");
    assert_eq!(report.headers, 2, "the newest and the first are checked all the same");

    let (newest, _) = find_newest(&"crafted".into(), device, OpenMode::Strict).unwrap();
    let mut back = HeadersBack::from(newest);
    assert_eq!(back.next().unwrap().unwrap().position(), 8192);
    assert!(matches!(back.next(), Some(Err(Error::Version { offset: 4096, version: 15, .. }))));
    assert!(back.next().is_none());
}

#[test]
fn a_body_that_does_not_inflate_is_found() {
    let mut craft = Craft::new();
    let mut document = craft.document("x", 1, b"\x0anot Snappy");
    document.content_meta = COMPRESSED;
    let position = document.position;
    let header = craft.documents(std::slice::from_ref(&document), std::slice::from_ref(&document));
    let report = craft.commit(&header);
    let what = "document \"x\" (seq 1): document body: Snappy data cannot be inflated";
    assert_only(&report, Severity::Problem, position, what);
}
