//! Sizes of a large file against the node rules of the format, worked out here a second time from
//! nothing but the lengths of the entries.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use support::for_each_node;
use tailswap::device::MemoryVolume;
use tailswap::event::Events;
use tailswap::format::block;
use tailswap::format::header::Header;
use tailswap::format::pointer::TreeKind;
use tailswap::store::{Batch, Body, Create, DocUpdate, RevSeq};

/// Length of each node's entries, level by level from the leaves up, when entries of these key and
/// value lengths are saved into an empty tree in one batch.
fn expected_levels(mut entries: Vec<(usize, usize)>, reduce_len: usize) -> Vec<Vec<usize>> {
    let mut levels = Vec::new();
    loop {
        let least = if levels.is_empty() { 1 } else { 2 };
        let (mut nodes, mut pending, mut next_level) = (Vec::new(), Vec::new(), Vec::new());
        let mut write = |piece: Vec<(usize, usize)>| {
            nodes.push(piece.iter().map(|(key, value)| 5 + key + value).sum::<usize>());
            next_level.push((piece.last().unwrap().0, 6 + 6 + 2 + reduce_len));
        };
        let total = |entries: &[(usize, usize)]| -> usize {
            entries.iter().map(|(key, value)| 5 + key + value).sum()
        };
        for entry in entries {
            pending.push(entry);
            if pending.len() > 3 && total(&pending) > 1279 {
                let count = (least..pending.len()).find(|n| total(&pending[..*n]) >= 1279 * 2 / 3);
                write(pending.drain(..count.unwrap()).collect());
            }
        }
        if !pending.is_empty() {
            write(pending);
        }
        levels.push(nodes);
        if next_level.len() == 1 {
            return levels;
        }
        entries = next_level;
    }
}

#[test]
fn a_file_of_many_megabytes_is_as_large_as_the_node_rules_make_it() {
    let document = |n: usize| {
        let id = format!("{}{n:06}", "k".repeat(n * 7 % 40)).into_bytes();
        let body = vec![n as u8; 100 + n * 31 % 700];
        DocUpdate {
            id,
            seq: None,
            rev_seq: RevSeq::Next,
            deleted: false,
            content_meta: 0,
            rev_meta: vec![1; 18],
            body: Body::Stored(body.into()),
        }
    };
    let documents: Vec<DocUpdate> = (0..25_000).map(document).collect();
    let by_seq: Vec<(usize, usize)> =
        documents.iter().map(|doc| (6, 18 + doc.id.len() + 18)).collect();
    let sorted: BTreeMap<&[u8], ()> = documents.iter().map(|doc| (doc.id.as_slice(), ())).collect();
    let by_id: Vec<(usize, usize)> = sorted.keys().map(|id| (id.len(), 23 + 18)).collect();
    let bodies: u64 = (0..25_000).map(|n| 8 + 100 + n * 31 % 700).sum();

    let volume = Arc::new(MemoryVolume::new());
    let batch = Batch { documents, locals: Vec::new() };
    let create = Create::new(volume, "f", Header::empty(14), batch, 0, Events::none()).unwrap();
    let snapshot = create.finish().unwrap().snapshot().unwrap();

    let mut nodes_on_disk = 0;
    let expected = [
        (TreeKind::BySeq, expected_levels(by_seq, 5)),
        (TreeKind::ById, expected_levels(by_id, 16)),
    ];
    for (tree, mut expected) in expected {
        expected.reverse();
        let mut found = vec![Vec::new(); expected.len()];
        let mut reader = snapshot.reader(4096);
        for_each_node(&snapshot, tree, &mut |depth, pointer, node| {
            found[depth].push(node.raw().len() - 1);
            let head = reader.head(pointer.position, snapshot.position(), "node").unwrap();
            nodes_on_disk += head.disk_size();
        });
        assert_eq!(found, expected, "{tree:?}");
    }
    assert_eq!(snapshot.space_used(), bodies + nodes_on_disk);
    // Nothing else is in the file: the empty header, then bodies and nodes, then the header.
    let data_end = block::advance(48, bodies + nodes_on_disk);
    assert_eq!(snapshot.position(), block::next_boundary(data_end));
    assert_eq!(snapshot.file().len().unwrap(), snapshot.end());
    assert!(snapshot.end() > 10 << 20, "{} bytes", snapshot.end());
}
