//! Bytes framed field by field: no gap, nothing that is not understood in sound files, and the same
//! values as those that the engine reads.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{Golden, TREES, for_each_node};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::fields::{Field, chunk_head_fields, header_fields, node_fields, text};
use tailswap::format::node::NodeKind;
use tailswap::format::pointer::{NodePointer, TreeKind};
use tailswap::store::HeadersBack;

fn assert_without_gap(fields: &[Field], length: usize) {
    let mut end = 0;
    for field in fields {
        assert_eq!(field.start, end, "{field:?}");
        assert!(field.end > field.start, "{field:?}");
        end = field.end;
    }
    assert_eq!(end, length as u64);
}

fn value<'a>(fields: &'a [Field], part_of: &str, name: &str) -> &'a str {
    let is = |field: &&Field| field.part_of == part_of && field.name == name;
    fields.iter().find(is).map_or("", |field| &field.value)
}

fn pointers(fields: &[Field]) -> Vec<u64> {
    fields.iter().filter_map(|field| field.points_at).collect()
}

#[test]
fn headers_of_all_versions_are_understood() {
    let mut headers = 0;
    for golden in Golden::plain() {
        for snapshot in HeadersBack::from(golden.open()) {
            let snapshot = snapshot.unwrap();
            let header = snapshot.header();
            let chunk = header.encode_block(1);
            let fields = header_fields(&chunk);
            assert_without_gap(&fields, chunk.len());
            assert!(fields.iter().all(|field| field.name != "not understood"), "{}", golden.name);
            let seq = value(&fields, "", "highest sequence number");
            assert_eq!(seq, header.update_seq.to_string());
            let roots = [header.by_seq, header.by_id, header.local];
            let roots = roots.into_iter().flatten().map(|root| root.position);
            let expected: Vec<u64> = header.previous.into_iter().chain(roots).collect();
            assert_eq!(pointers(&fields), expected, "{}", golden.name);
            headers += 1;
        }
    }
    assert!(headers > 150);
}

#[test]
fn nodes_are_understood_to_the_last_byte() {
    let (mut nodes, mut entries) = (0, 0);
    for golden in Golden::plain() {
        let snapshot = golden.open();
        for tree in TREES {
            for_each_node(&snapshot, tree, &mut |_, _, node| {
                let fields = node_fields(node.raw(), tree);
                assert_without_gap(&fields, node.raw().len());
                let mut expected = Vec::new();
                for (index, (key, entry)) in node.entries().enumerate() {
                    let info = match (node.kind(), tree) {
                        (NodeKind::Interior, _) => {
                            expected.push(NodePointer::decode(tree, entry).unwrap().position);
                            continue;
                        }
                        (NodeKind::Leaf, TreeKind::BySeq) => DocInfoRef::decode_by_seq(key, entry),
                        (NodeKind::Leaf, TreeKind::ById) => DocInfoRef::decode_by_id(key, entry),
                        (NodeKind::Leaf, TreeKind::Local) => continue,
                    };
                    let info = info.unwrap();
                    expected.extend(Some(info.position).filter(|position| *position != 0));
                    let part_of = format!("entry {index}");
                    let value = |name| value(&fields, &part_of, name);
                    assert_eq!(value("sequence number"), info.seq.to_string());
                    assert_eq!(value("revision"), info.rev_seq.to_string());
                    assert_eq!(value("id"), text(info.id));
                    assert_eq!(value("body").ends_with("deleted"), info.deleted);
                    entries += 1;
                }
                assert_eq!(pointers(&fields), expected, "{}", golden.name);
                nodes += 1;
            });
        }
    }
    assert!(nodes > 900 && entries > 10_000, "{nodes} nodes, {entries} entries");
}

proptest! {
    #[test]
    fn whatever_the_bytes_no_gap(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..2_u8) {
        assert_without_gap(&header_fields(&bytes), bytes.len());
        assert_without_gap(&chunk_head_fields(&bytes), bytes.len());
        let mut node = bytes;
        node.insert(0, kind);
        for tree in TREES {
            assert_without_gap(&node_fields(&node, tree), node.len());
        }
    }

    #[test]
    fn a_damaged_header_is_framed_too(at in 0..60_usize, byte in any::<u8>()) {
        let mut chunk = Golden::load("ten_docs").open().header().encode_block(1);
        if let Some(old) = chunk.get_mut(at) {
            *old = byte;
        }
        assert_without_gap(&header_fields(&chunk), chunk.len());
    }
}
