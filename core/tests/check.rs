//! The check of whole files: silent about sound ones, exact about damaged ones, and never at a loss.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use support::{Golden, corrupt, in_memory};

use tailswap::Error;
use tailswap::device::{Access, MemoryVolume, Volume};
use tailswap::event::{Events, FileName};
use tailswap::store::check::{Checker, Finding, Report, Severity, check};
use tailswap::store::{Budget, HeadersBack, OpenMode, Step, Store, find_newest};

fn check_bytes(name: &str, bytes: Vec<u8>) -> Report {
    let (file, device) = in_memory(name, bytes);
    check(&file, device, OpenMode::Strict).unwrap()
}

fn texts(report: &Report, severity: Severity) -> Vec<String> {
    report.of(severity).map(|finding| format!("{}: {}", finding.offset, finding.what)).collect()
}

#[test]
fn sound_files_pass_without_a_problem_or_a_warning() {
    for golden in Golden::plain() {
        let report = check_bytes(&golden.name, golden.bytes.clone());
        let notes = texts(&report, Severity::Note);
        assert_eq!(texts(&report, Severity::Problem), [""; 0], "{}", golden.name);
        assert_eq!(texts(&report, Severity::Warning), [""; 0], "{}", golden.name);
        assert!(report.is_sound());
        assert!(report.documents >= golden.listed("doc").len() as u64, "{}", golden.name);
        assert!(report.nodes >= golden.tree.len() as u64, "{}", golden.name);
        assert!(report.bytes <= golden.bytes.len() as u64, "{}", golden.name);
        let old_sizes = ["v11_lib3.0.3", "v12_lib6.6.2", "encrypted_decrypted"];
        let block_0 = ["v11_lib3.0.3_compacted", "v12_lib6.6.2_compacted"];
        for note in notes {
            let expected = match golden.name.as_str() {
                name if note.contains("sizes are kept") => {
                    old_sizes.iter().any(|old| name.starts_with(old))
                }
                name if note.starts_with("0: block 0") => block_0.contains(&name),
                "rollback" => note.contains("rolled back"),
                "header_not_flipped" => {
                    note.contains("never made one") || note.contains("uncommitted")
                }
                "uncommitted_tail" => note.contains("uncommitted"),
                _ => false,
            };
            assert!(expected, "{}: {note}", golden.name);
        }
    }
}

#[test]
fn every_version_of_every_document_is_verified_once() {
    // 5000 documents, then 10 changed and 2 new ones.
    let golden = Golden::load("multilevel");
    let report = check_bytes("multilevel", golden.bytes);
    assert_eq!((report.headers, report.documents, report.bodies), (3, 5012, 5012));
}

#[test]
fn damage_is_named_with_its_offset() {
    // The offset, and a part of what is said there.
    let cases: [(&str, u64, &str); 21] = [
        ("hdr_body_bitflip", 86016, "header: checksum"),
        ("hdr_length_huge", 86016, "header: impossible length"),
        ("hdr_length_highbit", 86016, "header: impossible length"),
        ("hdr_blocktype_7", 86016, "unknown block type 7"),
        ("trunc_mid_header", 86016, "ends inside the header"),
        ("torn_header_zeros", 86016, "header: checksum"),
        ("garbage_next_block_ab", 90112, "unknown block type 171"),
        ("garbage_next_block_01", 90112, "header: impossible length"),
        ("node_byid_leaf_bitflip", 59783, "by-id node: checksum"),
        ("node_byseq_leaf_bitflip", 65027, "by-seq node: checksum"),
        ("node_byseq_root_bitflip", 69669, "by-seq node: checksum"),
        ("node_byid_root_bitflip", 64521, "by-id node: checksum"),
        ("node_local_bitflip", 69974, "local-document node: checksum"),
        ("node_len_highbit_clear", 59237, "no chunk mark"),
        ("body_bitflip", 3251, "document \"key-0000000040\""),
        ("body_crc_field", 7771, "document \"key-0000000094\""),
        ("body_len_past_eof", 41573, "document \"key-0000000003\""),
        ("hdr_root_past_header", 73728, "root pointer of the header"),
        ("hdr_rootsize_mismatch", 73728, "header: impossible length"),
        ("hdr_purgeptr_past", 73728, "purge pointer of the header"),
        ("hdr_roots_swapped", 64521, "tree node: a by-seq key is not of 6 bytes"),
    ];
    for (name, offset, what) in cases {
        let report = check_bytes(name, corrupt(name));
        let problems: Vec<&Finding> = report.of(Severity::Problem).collect();
        let &[problem] = problems.as_slice() else { panic!("{name}: {problems:?}") };
        assert_eq!(problem.offset, offset, "{name}: {problem:?}");
        assert!(problem.what.contains(what), "{name}: {problem:?}");
    }
}

#[test]
fn damage_that_only_an_older_state_can_reach_is_found_too() {
    let golden = Golden::load("multilevel");
    let newest = golden.open();
    let older = HeadersBack::from(newest.clone()).nth(1).unwrap().unwrap();
    let replaced = older.changes_since(0).unwrap().map(Result::unwrap).find(|info| {
        newest.get(&info.id).unwrap().is_some_and(|newer| newer.position != info.position)
    });
    let replaced = replaced.unwrap();
    let mut bytes = golden.bytes.clone();
    bytes[replaced.position as usize + 9] ^= 0x20;
    let report = check_bytes("multilevel", bytes);
    let problems = texts(&report, Severity::Problem);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let expected = format!("{}: document \"{}\"", replaced.position, replaced.id.escape_ascii());
    assert!(problems[0].starts_with(&expected), "{problems:?}");

    // And an older root, which has a state below it but no other.
    let mut bytes = golden.bytes;
    bytes[older.header().by_seq.unwrap().position as usize + 9] ^= 0x20;
    let report = check_bytes("multilevel", bytes);
    let problems = texts(&report, Severity::Problem);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("265447: by-seq node: checksum"), "{problems:?}");
}

#[test]
fn an_unknown_version_ends_the_check_with_its_offset() {
    for (name, found) in [("hdr_version_10", 10), ("hdr_version_15", 15)] {
        let (file, device) = in_memory(name, corrupt(name));
        match check(&file, device, OpenMode::Recovery) {
            Err(Error::Version { offset: 73728, version, .. }) => assert_eq!(version, found),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_a_crash_leaves_passes_with_a_note() {
    let cases = [
        ("hdr_blocktype_0", vec!["82025: uncommitted bytes", "86016: a header that was never"]),
        ("trunc_before_header", vec!["82025: uncommitted bytes"]),
        ("garbage_same_block", vec!["86121: uncommitted bytes"]),
        ("zeros_appended", vec!["86121: uncommitted bytes"]),
        ("one_byte_01_at_block", vec!["86121: uncommitted bytes"]),
    ];
    for (name, expected) in cases {
        let report = check_bytes(name, corrupt(name));
        assert_eq!((report.counts.problems, report.counts.warnings), (0, 0), "{name}");
        let notes = texts(&report, Severity::Note);
        assert_eq!(notes.len(), expected.len(), "{name}: {notes:?}");
        for (note, expected) in notes.iter().zip(expected) {
            assert!(note.starts_with(expected), "{name}: {note}");
        }
    }
}

#[test]
fn a_lost_way_back_is_a_warning() {
    for name in ["hdr_prev_is_data", "hdr_prev_is_self"] {
        let report = check_bytes(name, corrupt(name));
        assert!(report.is_sound(), "{name}: {:?}", report.findings);
        let warnings = texts(&report, Severity::Warning);
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(warnings[0].starts_with("73728: the header points back at"), "{warnings:?}");
    }
}

#[test]
fn what_recovery_passes_over_is_a_warning_there() {
    for name in ["hdr_body_bitflip", "garbage_next_block_ab"] {
        let (file, device) = in_memory(name, corrupt(name));
        let report = check(&file, device, OpenMode::Recovery).unwrap();
        assert!(report.is_sound() && report.counts.warnings > 0, "{name}: {:?}", report.findings);
    }
}

#[test]
fn a_flipped_type_byte_inside_a_body_is_found() {
    // Checksums do not cover the type bytes, and reading skips them.
    let golden = Golden::load("large_body");
    for (found, what) in [(7, "unknown block type 7"), (1, "header: ")] {
        let mut bytes = golden.bytes.clone();
        bytes[16 * 4096] = found;
        let report = check_bytes("large_body", bytes);
        let problems = texts(&report, Severity::Problem);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("65536: {what}")), "{problems:?}");
        assert!(problems[0].ends_with("inside a chunk that is in use"), "{problems:?}");
    }
}

#[test]
fn the_report_is_the_same_whatever_the_budget() {
    for name in ["compact_src", "rollback", "large_body", "snappy_bodies"] {
        let golden = Golden::load(name);
        let whole = check_bytes(name, golden.bytes.clone());
        let (file, device) = in_memory(name, golden.bytes);
        let mut checker = Checker::new(&file, device, OpenMode::Strict).unwrap();
        let (mut steps, mut done) = (0, 0);
        while checker.step(&mut Budget { bytes: 1, entries: 1 }).unwrap() != Step::Done {
            let progress = checker.progress();
            assert!((done..=progress.total).contains(&progress.done), "{progress:?}");
            done = progress.done;
            steps += 1;
        }
        assert_eq!(checker.progress().done, checker.progress().total);
        assert_eq!(checker.into_report(), whole);
        assert!(steps > 40, "{steps}");
    }
}

/// Opens, dumps and checks whatever the bytes are: errors are fine, panics are not. Whether the
/// check found nothing wrong.
fn survive(name: &str, bytes: &[u8]) -> bool {
    for mode in [OpenMode::Strict, OpenMode::Recovery] {
        let (file, device) = in_memory(name, bytes.to_vec());
        let Ok((snapshot, _)) = find_newest(&file, device, mode) else { continue };
        for documents in [snapshot.changes_since(0), snapshot.documents_by_id(b"", None)] {
            for info in documents.into_iter().flatten().map_while(Result::ok) {
                let _ = snapshot.body(info.as_ref());
            }
        }
        let _ = snapshot.locals().map_while(Result::ok).count();
    }
    let (file, device) = in_memory(name, bytes.to_vec());
    match check(&file, device, OpenMode::Strict) {
        Ok(report) => report.counts.problems + report.counts.warnings == 0,
        Err(error) => {
            assert!(error.is_damage() || matches!(error, Error::Encrypted { .. }), "{error}");
            false
        }
    }
}

#[test]
fn no_flipped_byte_causes_a_panic_and_hardly_one_goes_unseen() {
    for (name, stride) in [("ten_docs", 3), ("deletes", 7), ("v11_lib3.0.3", 41)] {
        let golden = Golden::load(name);
        for at in (0..golden.bytes.len()).step_by(stride) {
            let mut bytes = golden.bytes.clone();
            bytes[at] ^= if at % 2 == 0 { 0x01 } else { 0xff };
            survive(name, &bytes);
        }
    }
    // Where every byte is in use, each one matters.
    let golden = Golden::load("ten_docs");
    let newest = golden.open();
    let used = 48..golden.listed("header")[0]["local_root"]["pos"].as_u64().unwrap() as usize + 299;
    for at in used.step_by(5).chain(newest.position() as usize..newest.end() as usize) {
        let mut bytes = golden.bytes.clone();
        bytes[at] ^= 0x04;
        // A header whose type byte says data is a crash's tail, but no such flip gives that here.
        assert!(!survive("ten_docs", &bytes), "{at}");
    }
}

#[test]
fn no_truncation_causes_a_panic() {
    for (name, stride) in [("ten_docs", 1), ("deletes", 7), ("v12_lib6.6.2_compacted", 13)] {
        let golden = Golden::load(name);
        for length in (0..golden.bytes.len()).step_by(stride) {
            survive(name, &golden.bytes[..length]);
        }
    }
}

#[test]
fn what_a_recovery_gave_up_is_no_damage_any_more() {
    let volume: Arc<dyn Volume> = Arc::new({
        let volume = MemoryVolume::new();
        volume.put("file", corrupt("torn_header_zeros")).unwrap();
        volume
    });
    let events = Events::none();
    let (mut store, passed_over) =
        Store::open(volume.as_ref(), "file", OpenMode::Recovery, events).unwrap();
    let damaged = passed_over[0].offset;
    store.commit(1).unwrap();
    drop(store);
    let device = volume.open("file", Access::Read).unwrap();
    let report = check(&FileName::from("file"), device, OpenMode::Strict).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let note = report.of(Severity::Note).find(|finding| finding.offset == damaged).unwrap();
    assert!(note.what.contains("given up by a recovery"), "{}", note.what);
}
