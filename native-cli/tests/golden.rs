//! The commands that read, against what the reference says of its own files.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{folder, golden, tailswap, text};

/// Golden files that are not encrypted.
fn plain() -> Vec<String> {
    let names = support::names(&golden(""));
    let files = names.iter().filter_map(|name| name.strip_suffix(".couch"));
    let encrypted =
        |name: &str| name.starts_with("encrypted_") && name != "encrypted_decrypted_by_compact";
    let plain: Vec<String> = files.filter(|name| !encrypted(name)).map(str::to_owned).collect();
    assert!(plain.len() > 40, "{plain:?}");
    plain
}

fn listing(name: &str, kind: &str) -> Vec<Value> {
    let listing = fs::read_to_string(golden(name)).unwrap();
    let lines = listing.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == kind).collect()
}

/// The body of a line of `dump --json`, in bytes.
fn body(line: &Value) -> Option<Vec<u8>> {
    let hex = line["body_hex"].as_str();
    let hex = hex.map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
    hex.or_else(|| Some(line["body"].as_str()?.as_bytes().to_vec()))
}

#[track_caller]
fn assert_document(ours: &Value, theirs: &Value, name: &str) {
    for (our, their) in [
        ("seq", "seq"),
        ("rev_seq", "rev_seq"),
        ("deleted", "deleted"),
        ("content_meta", "content_meta"),
        ("rev_meta", "rev_meta"),
        ("position", "bp"),
        ("physical_size", "physical_size"),
    ] {
        assert_eq!(ours[our], theirs[their], "{name}: {our} of {theirs}");
    }
    // Their `id` of one that is not UTF-8 is only an approximation.
    match theirs.get("id_hex").filter(|_| ours.get("id").is_none()) {
        Some(hex) => assert_eq!(&ours["id_hex"], hex, "{name}"),
        None => assert_eq!(ours["id"], theirs["id"], "{name}"),
    }
}

#[test]
fn dump_agrees_with_the_listings() {
    for name in plain() {
        let dumped = tailswap(&["dump", "--json", text(&golden(&format!("{name}.couch")))]).fine();
        let (ours, theirs) = (dumped.json(), listing(&format!("{name}.jsonl"), "doc"));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_document(ours, theirs, &name);
            let body = body(ours);
            assert_eq!(body.is_none(), theirs.get("sha256").is_none(), "{name}: {theirs}");
            if let Some(body) = body {
                assert_eq!(ours["size"], theirs["size"], "{name}: {theirs}");
                let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(body));
                assert_eq!(theirs["sha256"], sha256, "{name}: {theirs}");
            }
        }
    }
}

#[test]
fn dump_by_id_agrees_with_the_listings() {
    for name in plain() {
        let file = golden(&format!("{name}.couch"));
        let dumped = tailswap(&["dump", "--json", "--by-id", "--no-body", text(&file)]).fine();
        let (ours, theirs) = (dumped.json(), listing(&format!("{name}.jsonl"), "id"));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_document(ours, theirs, &name);
            assert_eq!((ours.get("body"), ours.get("size")), (None, None), "{name}");
        }
    }
}

#[test]
fn dump_of_local_documents_agrees_with_the_listings() {
    for name in plain() {
        let file = golden(&format!("{name}.couch"));
        let ours = tailswap(&["dump", "--json", "--local", text(&file)]).fine().json();
        let theirs = listing(&format!("{name}.jsonl"), "local");
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            for field in ["id", "value", "value_hex"] {
                assert_eq!(ours.get(field), theirs.get(field), "{name}: {theirs}");
            }
        }
    }
}

#[test]
fn headers_agree_with_the_listings() {
    for name in plain() {
        let file = golden(&format!("{name}.couch"));
        let ours = tailswap(&["headers", "--json", text(&file)]).fine().json();
        let theirs = listing(&format!("{name}.headers.jsonl"), "header");
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let mut bytes = 0;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            for (our, their) in [
                ("position", "position"),
                ("disk_version", "disk_version"),
                ("update_seq", "update_seq"),
                ("purge_seq", "purge_seq"),
                ("timestamp_ns", "timestamp"),
                ("doc_count", "doc_count"),
                ("deleted_count", "deleted_count"),
                ("space_used", "space_used"),
            ] {
                assert_eq!(ours[our], theirs[their], "{name}: {our} of {theirs}");
            }
            // "none(all ones)" where there is none; the field is not there before version 14.
            assert_eq!(ours["previous"].as_u64(), theirs["prev_header_pos"].as_u64(), "{name}");
            bytes += ours["added_bytes"].as_u64().unwrap();
        }
        // What all commits added is the file, but for what lies behind the newest header.
        let length = fs::metadata(&file).unwrap().len();
        assert!(bytes <= length && bytes > ours[0]["position"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn headers_tell_what_each_commit_changed() {
    let file = golden("compact_src.couch");
    let headers = tailswap(&["headers", "--json", text(&file)]).fine().json();
    let changes = |header: &Value| {
        ["documents_set", "documents_deleted", "documents_gone"]
            .map(|field| header[field].as_u64().unwrap())
    };
    let changes: Vec<[u64; 3]> = headers.iter().map(changes).collect();
    assert_eq!(changes, [[21, 11, 0], [19, 12, 0], [25, 10, 0], [150, 0, 0], [0, 0, 0]]);
    let table = tailswap(&["headers", text(&file)]).fine().stdout;
    assert_eq!(table.lines().count(), 1 + headers.len());
}

#[test]
fn info_agrees_with_the_listings() {
    for name in plain() {
        let file = golden(&format!("{name}.couch"));
        let info = tailswap(&["info", "--json", text(&file)]).fine().json();
        let theirs = &listing(&format!("{name}.headers.jsonl"), "header")[0];
        for field in ["disk_version", "update_seq", "doc_count", "deleted_count", "file_size"] {
            assert_eq!(info[0][field], theirs[field], "{name}");
        }
        assert_eq!(info[0]["header_position"], theirs["position"], "{name}");
        let fragmentation = info[0]["fragmentation"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&fragmentation), "{name}: {fragmentation}");
    }
}

#[test]
fn older_states_and_single_documents() {
    let file = golden("compact_src.couch");
    let oldest = tailswap(&["dump", "--json", "--at-header", "24576", text(&file)]).fine().json();
    assert_eq!(oldest.len(), 150);
    tailswap(&["dump", "--at-header", "4096", text(&file)]).failed(1, "no header at offset 4096");
    let [first, ..] = &oldest[..] else { panic!("no documents") };
    let id = first["id"].as_str().unwrap();
    let got = tailswap(&["get", "--json", "--at-header", "24576", text(&file), id]).fine();
    assert_eq!(&got.json()[0], first);
    let body = tailswap(&["get", "--at-header", "24576", text(&file), id]).fine().stdout;
    assert_eq!(body, first["body"].as_str().unwrap());
    let last = &oldest[oldest.len() - 1];
    let ids = [last["id"].as_str().unwrap(), "nobody", id];
    for json in [true, false] {
        let arguments =
            ["get", "--at-header", "24576", text(&file), ids[0], ids[1], ids[2], "--json"];
        let several = tailswap(&arguments[..arguments.len() - usize::from(!json)]);
        several.failed(1, "there is no document \"nobody\"");
        match json {
            true => assert_eq!(several.json(), [last.clone(), first.clone()]),
            false => {
                let bodies = [last, first].map(|document| document["body"].as_str().unwrap());
                assert_eq!(several.stdout.lines().collect::<Vec<_>>(), bodies);
            }
        }
    }
    tailswap(&["get", text(&file), "nobody"]).failed(1, "there is no document \"nobody\"");
    tailswap(&["get", "--local", text(&file), "x"]).failed(1, "there is no local document");
    let state = tailswap(&["get", "--local", text(&file), "_local/vbstate"]).fine().stdout;
    assert!(state.contains("active"), "{state}");
}

#[test]
fn tombstones_are_got_only_as_json() {
    let file = golden("deletes.couch");
    let deleted = tailswap(&["dump", "--json", "--deleted", "only", text(&file)]).fine().json();
    let id = deleted[0]["id"].as_str().unwrap();
    tailswap(&["get", text(&file), id]).failed(1, "is deleted");
    assert_eq!(tailswap(&["get", "--json", text(&file), id]).fine().json()[0], deleted[0]);
    let all = tailswap(&["dump", "--json", text(&file)]).fine().json().len();
    let live = tailswap(&["dump", "--json", "--deleted", "no", text(&file)]).fine().json().len();
    assert_eq!(live + deleted.len(), all);
}

#[test]
fn filters_of_dump() {
    let file = golden("compact_src.couch");
    let file = text(&file);
    let since = tailswap(&["dump", "--json", "--since", "240", file]).fine().json();
    assert!(!since.is_empty() && since.iter().all(|line| line["seq"].as_u64().unwrap() >= 240));
    for order in [&["--by-id"][..], &[]] {
        let arguments =
            [&["dump", "--json", "--id-prefix", "key-00000000", file][..], order].concat();
        let lines = tailswap(&arguments).fine().json();
        assert_eq!(lines.len(), 100, "{order:?}");
    }
}

#[test]
fn compaction_of_a_golden_file_keeps_its_documents() {
    let folder = folder();
    let source = golden("compact_src.couch");
    for (option, reference) in [(&[][..], "compacted"), (&["--drop-deletes"], "compacted_dropdel")]
    {
        let target = folder.path().join(reference);
        let arguments = [&["compact", "--json", text(&source), text(&target)], option].concat();
        let summary = tailswap(&arguments).fine().json();
        let dumped = tailswap(&["dump", "--json", text(&target)]).fine().json();
        let theirs = listing(&format!("{reference}.jsonl"), "doc");
        assert_eq!(dumped.len(), theirs.len());
        for (ours, theirs) in dumped.iter().zip(&theirs) {
            for field in ["seq", "id", "rev_meta", "deleted", "size"] {
                if let Some(expected) = theirs.get(field) {
                    assert_eq!(&ours[field], expected, "{reference}: {theirs}");
                }
            }
        }
        assert_eq!(summary[0]["documents_copied"], dumped.len());
        support::assert_sound(&target);
    }
}

#[test]
fn encrypted_files_are_refused_with_their_key() {
    let file = golden("encrypted_v1_kdf.couch");
    for command in ["info", "headers", "dump", "check"] {
        tailswap(&[command, text(&file)]).failed(3, "is encrypted (key \"");
    }
}

#[test]
fn whoever_has_read_enough_may_leave() {
    let file = golden("multilevel.couch");
    let mut child = support::spawn(&["dump", "--json", text(&file)]);
    drop(child.stdout.take());
    support::Ran::of(child.wait_with_output().unwrap()).fine();
}
