//! Files written by the real couchstore library read as the library itself reads them.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Golden, TREES, for_each_node, hex, reduce_hex, sha256, tree_lines};
use tailswap::Error;
use tailswap::format::docinfo::{DocInfo, DocInfoRef, encode_seq};
use tailswap::format::header::{Header, POINTS_BACK_FROM};
use tailswap::format::node::{NodeKind, kind_byte, put_entry};
use tailswap::format::pointer::{NodePointer, TreeKind};
use tailswap::store::{HeadersBack, HeadersForward, OpenMode, Snapshot, find_newest};

/// What a listing says of an id: its text, or its bytes where they are none.
fn put_id(line: &mut Value, id: &[u8]) {
    match std::str::from_utf8(id) {
        Ok(text) => line["id"] = json!(text),
        Err(_) => (line["id"], line["id_hex"]) = (Value::Null, json!(hex(id))),
    }
}

fn id_line(kind: &str, info: &DocInfo) -> Value {
    let mut line = json!({
        "type": kind,
        "seq": info.seq,
        "rev_seq": info.rev_seq,
        "content_meta": info.content_meta,
        "deleted": info.deleted,
        "rev_meta": hex(&info.rev_meta),
        "bp": info.position,
        "physical_size": info.physical_size,
    });
    put_id(&mut line, &info.id);
    line
}

fn doc_line(snapshot: &Snapshot, info: &DocInfo) -> Value {
    let mut line = id_line("doc", info);
    match (snapshot.raw_body(info.as_ref()).unwrap(), snapshot.body(info.as_ref()).unwrap()) {
        (Some(raw), Some(body)) => {
            line["raw_size"] = json!(raw.len());
            line["raw_sha256"] = json!(sha256(&raw));
            line["size"] = json!(body.len());
            line["sha256"] = json!(sha256(&body));
            line["hex"] = json!(hex(&body));
        }
        _ => line["body"] = Value::Null,
    }
    line
}

/// Asserts that the lines are the same; a body's `hex` may be left out of a listing.
fn assert_line(golden: &Golden, ours: Option<Value>, theirs: &Value) {
    let mut ours = ours.unwrap_or(Value::Null);
    if theirs.get("hex").is_none()
        && let Some(fields) = ours.as_object_mut()
    {
        fields.remove("hex");
    }
    assert_eq!(&ours, theirs, "{}", golden.name);
}

#[test]
fn documents_are_those_of_the_listings() {
    let mut compared = [0; 3];
    for golden in Golden::plain() {
        let snapshot = golden.open();
        let mut by_seq = snapshot.changes_since(0).unwrap();
        for line in golden.listed("doc") {
            let ours = by_seq.next().map(|info| doc_line(&snapshot, &info.unwrap()));
            assert_line(&golden, ours, line);
            compared[0] += 1;
        }
        assert!(by_seq.next().is_none(), "{}", golden.name);

        let mut by_id = snapshot.documents_by_id(b"", None).unwrap();
        for line in golden.listed("id") {
            let ours = by_id.next().map(|info| id_line("id", &info.unwrap()));
            assert_line(&golden, ours, line);
            compared[1] += 1;
        }
        assert!(by_id.next().is_none(), "{}", golden.name);

        let mut locals = snapshot.locals();
        for line in golden.listed("local") {
            let (id, value) = locals.next().unwrap().unwrap();
            assert_eq!(line["size"], json!(value.len()), "{}", golden.name);
            assert_eq!(line["sha256"], json!(sha256(&value)), "{}", golden.name);
            assert_eq!(line["id"].as_str().unwrap().as_bytes(), id, "{}", golden.name);
            match line.get("value_hex") {
                Some(listed) => assert_eq!(*listed, json!(hex(&value)), "{}", golden.name),
                None => assert_eq!(line["value"].as_str().unwrap().as_bytes(), value),
            }
            assert_eq!(snapshot.local(&id).unwrap(), Some(value), "{}", golden.name);
            compared[2] += 1;
        }
        assert!(locals.next().is_none(), "{}", golden.name);

        let end = golden.listed("end");
        assert_eq!(end[0]["docs"], json!(golden.listed("doc").len()), "{}", golden.name);
        assert_eq!(end[0]["errors"], json!(0), "{}", golden.name);
    }
    println!("documents by seq, by id, local documents compared: {compared:?}");
    assert!(compared.iter().all(|count| *count > 70));
}

#[test]
fn every_document_is_found_by_its_id_and_from_its_sequence_number_on() {
    for golden in Golden::plain().into_iter().filter(|golden| golden.listing.len() < 3000) {
        let snapshot = golden.open();
        let all: Vec<DocInfo> = snapshot.changes_since(0).unwrap().map(Result::unwrap).collect();
        for info in &all {
            assert_eq!(snapshot.get(&info.id).unwrap().as_ref(), Some(info), "{}", golden.name);
            let from = snapshot.changes_since(info.seq).unwrap().next();
            assert_eq!(from.unwrap().unwrap(), *info, "{}", golden.name);
        }
        let mut absent = b"key-0000000000".to_vec();
        absent.push(0);
        assert_eq!(snapshot.get(&absent).unwrap(), None);
        let mut ids: Vec<&[u8]> = all.iter().map(|info| info.id.as_slice()).collect();
        ids.sort();
        let mut found = 0;
        let found_one = |index: usize, info: Option<DocInfo>| {
            assert_eq!(info.unwrap().id, ids[index]);
            found += 1;
        };
        snapshot.get_many(&ids, found_one).unwrap();
        assert_eq!(found, ids.len());
    }
}

fn root_line(root: Option<NodePointer>) -> Value {
    root.map_or(Value::Null, |root| {
        json!({"pos": root.position, "subtree": root.subtree_size, "reduce": reduce_hex(&root)})
    })
}

fn header_line(snapshot: &Snapshot) -> Value {
    let (header, counts) = (snapshot.header(), snapshot.counts());
    let crc = if header.disk_version == 11 { "crc32" } else { "crc32c" };
    let mut line = json!({
        "type": "header",
        "position": snapshot.position(),
        "disk_version": header.disk_version,
        "update_seq": header.update_seq,
        "purge_seq": header.purge_seq,
        "purge_ptr": header.purge_ptr,
        "timestamp": header.timestamp_ns,
        "by_seq_root": root_line(header.by_seq),
        "by_id_root": root_line(header.by_id),
        "local_root": root_line(header.local),
        "doc_count": counts.live,
        "deleted_count": counts.deleted,
        "space_used": snapshot.space_used(),
        "file_size": snapshot.file().len().unwrap(),
        "crc": crc,
    });
    if header.disk_version >= POINTS_BACK_FROM {
        line["prev_header_pos"] = header.previous.map_or(json!("none(all ones)"), |p| json!(p));
        line["metadata_header"] = json!(header.has_metadata);
    }
    line
}

#[test]
fn headers_are_those_of_the_listings_in_the_same_order() {
    let mut compared = 0;
    for golden in Golden::plain() {
        let newest = golden.open();
        assert_eq!(header_line(&newest), *golden.listed("header")[0], "{}", golden.name);
        let ours: Vec<Value> =
            HeadersBack::from(newest).map(|snapshot| header_line(&snapshot.unwrap())).collect();
        let (end, theirs) = golden.headers.split_last().unwrap();
        assert_eq!(ours, theirs, "{}", golden.name);
        assert_eq!(end["rewind_stopped"], "no header in non-empty file");
        compared += ours.len();
    }
    println!("headers compared: {compared}");
}

#[test]
fn walking_forward_meets_rolled_back_headers_too() {
    let newest = Golden::load("rollback").open();
    let positions = |snapshots: &mut dyn Iterator<Item = tailswap::Result<Snapshot>>| {
        snapshots.map(|snapshot| snapshot.unwrap().position()).collect::<Vec<u64>>()
    };
    let mut back = positions(&mut HeadersBack::from(newest.clone()));
    let forward = positions(&mut HeadersForward::all(newest));
    back.reverse();
    let rolled_back: Vec<u64> =
        forward.iter().filter(|position| !back.contains(position)).copied().collect();
    assert_eq!(rolled_back, [20480, 24576]);
    assert!(forward.is_sorted());
}

#[test]
fn nodes_are_those_of_the_listings() {
    let mut compared = 0;
    for golden in Golden::plain() {
        let ours = tree_lines(&golden.open());
        assert_eq!(ours.len(), golden.tree.len(), "{}", golden.name);
        for (ours, theirs) in ours.iter().zip(&golden.tree) {
            assert_eq!(ours, theirs, "{}", golden.name);
        }
        compared += ours.len();
    }
    println!("nodes compared: {compared}");
}

#[test]
fn decoding_and_encoding_again_gives_the_same_bytes() {
    let (mut headers, mut nodes, mut infos) = (0, 0, 0);
    for golden in Golden::plain() {
        for snapshot in HeadersForward::all(golden.open()) {
            let snapshot = snapshot.unwrap();
            let at = snapshot.position();
            let there = &golden.bytes[at as usize..snapshot.end() as usize];
            let (header, length) = Header::decode_block(there, at).unwrap();
            assert_eq!(length as usize, there.len());
            assert_eq!(header.encode_block(1), there, "{} at {at}", golden.name);
            headers += 1;
            for tree in TREES {
                for_each_node(&snapshot, tree, &mut |_, _, node| {
                    let mut raw = vec![kind_byte(node.kind())];
                    for (key, value) in node.entries() {
                        let mut again = Vec::new();
                        encode_again(tree, node.kind(), key, value, &mut again);
                        assert_eq!(again, value, "{}", golden.name);
                        put_entry(&mut raw, key, &again);
                        infos += usize::from(node.kind() == NodeKind::Leaf);
                    }
                    assert_eq!(raw, node.raw(), "{}", golden.name);
                    nodes += 1;
                });
            }
        }
    }
    println!("encoded again: {headers} headers, {nodes} nodes, {infos} leaf entries");
}

fn encode_again(tree: TreeKind, kind: NodeKind, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match (kind, tree) {
        (NodeKind::Interior, _) => NodePointer::decode(tree, value).unwrap().encode(out),
        (_, TreeKind::BySeq) => {
            let info = DocInfoRef::decode_by_seq(key, value).unwrap();
            assert_eq!(encode_seq(info.seq), key);
            info.encode_by_seq(out);
        }
        (_, TreeKind::ById) => DocInfoRef::decode_by_id(key, value).unwrap().encode_by_id(out),
        (_, TreeKind::Local) => out.extend_from_slice(value),
    }
}

#[test]
fn encrypted_files_are_refused_with_the_name_of_their_key() {
    let encrypted = support::names().into_iter().filter(|name| support::is_encrypted(name));
    let mut refused = 0;
    for name in encrypted {
        let golden = Golden::load(&name);
        for mode in [OpenMode::Strict, OpenMode::Recovery] {
            let (file, device) = support::in_memory(&name, golden.bytes.clone());
            match find_newest(&file, device, mode) {
                Err(Error::Encrypted { key_id, .. }) => assert_eq!(key_id, "peer-key-1", "{name}"),
                other => panic!("{name}: {other:?}"),
            }
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
}
