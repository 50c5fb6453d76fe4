//! What is said of the places of a file, held against files of the real library and their listings.
#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::assert_without_gap;
use tailswap::event::Content;
use tailswap::format::block;
use tailswap_web::look::{Look, Looker, Piece};

fn golden(name: &str, kind: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
    std::fs::read(folder.join(format!("{name}.{kind}"))).unwrap()
}

fn listed(name: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(golden(name, kind)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_node_is_framed_and_pointed_at_by_its_parent() {
    let name = "multilevel";
    let newest = &listed(name, "headers.jsonl")[0];
    let header = newest["position"].as_u64().unwrap();
    let looker = Looker::new(name, golden(name, "couch"), Some(header)).unwrap();
    let trees = looker.tree(10_000).unwrap();
    let tree = trees.nodes;
    assert_eq!(trees.count, tree.len());
    let listed = listed(name, "tree.jsonl");
    assert_eq!(tree.len(), listed.len());
    for (node, line) in tree.iter().zip(&listed) {
        assert_eq!(node.position, line["pos"].as_u64().unwrap());
        assert_eq!(node.depth as u64, line["depth"].as_u64().unwrap());
        assert_eq!(node.entries as u64, line["items"].as_u64().unwrap());
        assert_eq!(node.is_leaf, line["kind"] == "kv");
        let content = match node.tree {
            "by-seq" => Content::BySeqNode,
            "by-id" => Content::ByIdNode,
            _ => Content::LocalNode,
        };
        let (start, length) = (node.position, line["chunk_len"].as_u64().unwrap());
        let end = block::advance(start, 8 + length);
        let piece = Piece { start, end, content };
        let look = looker.look(piece);
        assert_eq!(look.damage, None);
        assert_without_gap(&look.fields, start, end);
        let inside = looker.inflated(piece);
        assert_without_gap(&look.inside, 0, inside.len() as u64);
        assert_eq!(inside.len() as u64, line["raw_len"].as_u64().unwrap());
        let parents = tree.iter().filter(|parent| !parent.is_leaf && parent.tree == node.tree);
        let parents: Vec<u64> = parents.map(|parent| parent.position).collect();
        assert_eq!(look.pointed_at_by.len(), 1, "{look:?}");
        let by = look.pointed_at_by[0].position;
        assert!(if node.depth == 0 { by == header } else { parents.contains(&by) });
    }
}

#[test]
fn a_body_is_told_with_its_document_and_both_nodes_that_point_at_it() {
    let name = "snappy_bodies";
    let header = listed(name, "headers.jsonl")[0]["position"].as_u64().unwrap();
    let looker = Looker::new(name, golden(name, "couch"), Some(header)).unwrap();
    let mut bodies = 0;
    for line in listed(name, "jsonl").iter().filter(|line| line["type"] == "doc") {
        let (Some(start), Some(seq)) = (line["bp"].as_u64(), line["seq"].as_u64()) else {
            continue;
        };
        let Some(raw) = line["raw_size"].as_u64() else { continue };
        let piece =
            Piece { start, end: block::advance(start, 8 + raw), content: Content::Body { seq } };
        let Look { document, damage, pointed_at_by, .. } = looker.look(piece);
        assert_eq!((document.as_deref(), damage), (line["id"].as_str(), None));
        assert_eq!(pointed_at_by.len(), 2);
        assert_eq!(looker.inflated(piece).len() as u64, line["size"].as_u64().unwrap());
        bodies += 1;
    }
    assert!(bodies > 3);
}

#[test]
fn damage_is_said_and_is_no_reason_to_show_nothing() {
    let name = "ten_docs";
    let header = listed(name, "headers.jsonl")[0]["position"].as_u64().unwrap();
    let node = &listed(name, "tree.jsonl")[0];
    let start = node["pos"].as_u64().unwrap();
    let end = block::advance(start, 8 + node["chunk_len"].as_u64().unwrap());
    let piece = Piece { start, end, content: Content::BySeqNode };
    for at in start..end {
        let mut bytes = golden(name, "couch");
        bytes[at as usize] ^= 0x41;
        let looker = Looker::new(name, bytes, Some(header)).unwrap();
        let look = looker.look(piece);
        assert_without_gap(&look.fields, start, end);
        if !at.is_multiple_of(4096) {
            assert!(look.damage.is_some(), "byte {at}");
        }
    }
}
