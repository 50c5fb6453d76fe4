//! Commits with one sync: what a crash, a failed sync or a failed write may leave of them.

use std::sync::Arc;

use bytes::Bytes;
use tailswap::device::{Fault, FaultVolume, MemoryVolume};
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::{Header, VERSION_MAX};
use tailswap::sim::disk::{Depth, Disk, DiskRules, Image, Profile, selections};
use tailswap::sim::invariants::check_recovery;
use tailswap::sim::machines::{Machines, VBUCKET};
use tailswap::sim::workloads::value;
use tailswap::sim::{CrashVolume, SimHost};
use tailswap::store::{
    Batch, Body, CommitStyle, Create, DocUpdate, LocalUpdate, OpenMode, Opening, RevSeq, Store,
};
use tailswap::vbucket::VBucket;

use super::PROFILES;

const FILE: &str = "7.couch.1";
const OPENING: Opening = Opening { mode: OpenMode::Strict, commits: CommitStyle::Direct };

/// A vbucket that holds one document, recorded from its beginning.
fn vbucket_with_a_document(profile: Profile) -> Machines {
    let mut machines = Machines::new(DiskRules::new(profile)).committing(CommitStyle::Direct);
    machines.volume.record();
    machines.create().unwrap();
    machines.push("key", Some(value(1, 1800))).unwrap();
    machines.flush().unwrap();
    machines
}

/// The disk when a second flush has written everything and synced nothing.
fn written_but_not_synced(profile: Profile) -> Disk {
    let mut machines = vbucket_with_a_document(profile);
    machines.push("key", Some(value(2, 1800))).unwrap();
    machines.flush().unwrap();
    let recording = machines.volume.take_recording();
    recording.into_iter().rfind(|done| done.operation.op == IoOp::Write).unwrap().disk
}

/// Position of the newest block that begins as a header does.
fn newest_header(image: &Image) -> usize {
    let bytes = image.bytes(FILE).unwrap();
    (0..bytes.len()).step_by(4096).rfind(|block| bytes.get(*block) == Some(1)).unwrap()
}

fn save(store: &mut Store) {
    let local = LocalUpdate { id: b"_local/new".to_vec(), value: Some(value(3, 900)) };
    store.save(Batch { documents: Vec::new(), locals: vec![local] }, 1).unwrap();
}

/// Crashes after each operation that was recorded; the vbucket must open with what it should hold.
fn crash_again(volume: &CrashVolume, depth: Depth, first: &str) {
    for recorded in volume.take_recording() {
        for later in selections(&recorded.disk, depth) {
            let image = recorded.disk.crash_image(&later);
            let crashed = CrashVolume::after_crash(&image, recorded.disk.rules());
            let checked = check_recovery(&crashed, VBUCKET, CommitStyle::Direct);
            checked.unwrap_or_else(|violation| {
                let then = later.describe(&recorded.disk);
                panic!("{violation}\nfirst crash: {first}\nsecond crash: {then}")
            });
        }
    }
}

/// The system takes what a failed sync was for as clean, and later syncs skip it, though a new process
/// sees all of it.
#[test]
fn a_commit_whose_sync_failed_is_not_taken_back() {
    for profile in PROFILES {
        let mut machines = vbucket_with_a_document(profile);
        machines.push("key", None).unwrap();
        machines.volume.fail_sync(1);
        machines.flush().unwrap_err();
        let recording = machines.volume.take_recording();
        let failed = recording.iter().find(|done| done.operation.error.is_some()).unwrap();
        let restarted = CrashVolume::after_restart(&failed.disk);
        let (found, _) = check_recovery(&restarted, VBUCKET, CommitStyle::Direct).unwrap();
        let disk = restarted.disk();
        for selection in selections(&disk, Depth::Full) {
            let volume = CrashVolume::after_crash(&disk.crash_image(&selection), disk.rules());
            let (again, _) = check_recovery(&volume, VBUCKET, CommitStyle::Direct).unwrap();
            assert_eq!(again, found, "{}", selection.describe(&disk));
        }
    }
}

/// A header of which not all is there would be history, once another is behind it: to be rolled back
/// to, and read by others.
#[test]
fn a_header_that_was_taken_back_never_stands_between_others() {
    let disk = written_but_not_synced(Profile::Posix);
    let mut taken_back = 0;
    for selection in selections(&disk, Depth::Linear) {
        let image = disk.crash_image(&selection);
        let volume = CrashVolume::after_crash(&image, disk.rules());
        let (mut store, passed_over) = Store::open(&volume, FILE, OPENING, Events::none()).unwrap();
        if passed_over.is_empty() {
            continue;
        }
        taken_back += 1;
        volume.record();
        save(&mut store);
        drop(store);
        crash_again(&volume, Depth::Full, &selection.describe(&disk));
    }
    assert!(taken_back > 3, "{taken_back}");
}

/// A body that a failed write left was as sound as that which the next commit put in its place: a crash
/// brought it back, under the new document's name.
#[test]
fn what_a_failed_write_left_never_passes_for_what_follows() {
    let rules = DiskRules::new(Profile::Posix);
    let crashing = CrashVolume::new(rules);
    let volume = Arc::new(FaultVolume::new(Arc::new(crashing.clone())));
    let (header, first) = (Header::empty(VERSION_MAX), Batch::default());
    let create = Create::new(volume.clone(), FILE, header, first, 1, Events::none()).unwrap();
    let mut store = create.finish().unwrap();
    store.set_commit_style(CommitStyle::Direct);
    let (failed, saved) = (value(2, 100), value(3, 100));
    // The short one lies in one sector; behind it is so much that the batch is written before its header.
    let batch = |short: &[u8]| {
        let documents = vec![document("a", short), document("b", &value(4, 300 << 10))];
        Batch { documents, locals: Vec::new() }
    };
    volume.inject(Fault::nth(1).of(IoOp::Write).after_bytes(600));
    store.save(batch(&failed), 1).unwrap_err();
    crashing.record();
    store.save(batch(&saved), 2).unwrap();
    let recording = crashing.take_recording();
    let written = recording.iter().rfind(|done| done.operation.op == IoOp::Write).unwrap();
    let (mut before, mut after) = (0, 0);
    for selection in selections(&written.disk, Depth::Full) {
        let crashed = CrashVolume::after_crash(&written.disk.crash_image(&selection), rules);
        let (store, _) = Store::open(&crashed, FILE, OPENING, Events::none()).unwrap();
        let snapshot = store.snapshot().unwrap();
        match snapshot.get(b"a").unwrap() {
            None => before += 1,
            Some(info) => {
                let body = snapshot.body(info.as_ref()).unwrap().unwrap();
                assert_eq!(body, saved, "{}", selection.describe(&written.disk));
                after += 1;
            }
        }
    }
    assert!(before > 100 && after > 0, "{before}, {after}");
}

fn document(id: &str, body: &[u8]) -> DocUpdate {
    DocUpdate {
        id: id.as_bytes().to_vec(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: Vec::new(),
        body: Body::Stored(Bytes::copy_from_slice(body)),
    }
}

/// A file that ends anywhere in a header that is visible at once, down to its type byte alone, is the
/// file before it.
#[test]
fn a_header_that_is_cut_short_is_taken_back() {
    let image = written_but_not_synced(Profile::Posix).visible();
    let (whole, header) = (image.bytes(FILE).unwrap().to_vec(), newest_header(&image));
    for length in header..whole.len() {
        let cut = Image::of_file(FILE, &whole[..length]);
        let rules = DiskRules::new(Profile::Posix);
        let before = CrashVolume::after_crash(&cut, rules);
        let unaware = Store::open(&before, FILE, OpenMode::Strict, Events::none()).map(drop);
        match length - header {
            // A block of nothing but its type byte is not looked at.
            0 | 1 => unaware.unwrap(),
            _ => {
                let error = unaware.unwrap_err().to_string();
                assert!(error.contains(&format!("damaged at offset {header}")), "{error}");
            }
        }
        let volume = CrashVolume::after_crash(&cut, rules);
        let (mut store, passed_over) = Store::open(&volume, FILE, OPENING, Events::none()).unwrap();
        assert_eq!(passed_over.len(), usize::from(length > header + 1), "{length}");
        assert!(store.snapshot().unwrap().position() < header as u64);
        save(&mut store);
        drop(store);
        check_recovery(&volume, VBUCKET, CommitStyle::Flip).unwrap();
        let bytes = volume.disk().visible().bytes(FILE).unwrap().to_vec();
        assert_ne!(bytes[header], 1, "{length}");
    }
}

/// The file of one commit behind an empty one, with a bit of its only body turned over.
fn a_damaged_body() -> (MemoryVolume, Vec<u8>) {
    let volume = MemoryVolume::new();
    let (header, first) = (Header::empty(VERSION_MAX), Batch::default());
    let shared = Arc::new(volume.clone());
    let create = Create::new(shared, FILE, header, first, 1, Events::none()).unwrap();
    let mut store = create.finish().unwrap();
    let update = DocUpdate {
        id: b"key".to_vec(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: vec![0; 18],
        body: Body::Stored(Bytes::from(value(1, 500))),
    };
    let saved = store.save(Batch { documents: vec![update], locals: Vec::new() }, 2).unwrap();
    let body = saved.get(b"key").unwrap().unwrap().position as usize + 40;
    drop(store);
    let mut bytes = volume.get(FILE).unwrap();
    bytes[body] ^= 1;
    volume.put(FILE, bytes.clone()).unwrap();
    (volume, bytes)
}

/// It went back to the state before the first document, and took the header that held all of them away
/// before it saw that a vbucket cannot begin so.
#[test]
fn an_opening_that_fails_changes_nothing() {
    for (mode, commits) in [
        (OpenMode::Strict, CommitStyle::Flip),
        (OpenMode::Recovery, CommitStyle::Flip),
        (OpenMode::Strict, CommitStyle::Direct),
        (OpenMode::Recovery, CommitStyle::Direct),
    ] {
        let (volume, before) = a_damaged_body();
        let (host, opening) = (Arc::new(SimHost::ticking()), Opening { mode, commits });
        let shared = Arc::new(volume.clone());
        VBucket::open(shared, host, VBUCKET, opening, Events::none()).unwrap_err();
        assert!(volume.get(FILE).unwrap() == before, "{opening:?}");
        if commits == CommitStyle::Flip {
            Store::open(&volume, FILE, opening, Events::none()).unwrap_err();
            assert!(volume.get(FILE).unwrap() == before, "{opening:?}");
        }
    }
}

/// The sync of what an opening took back fails, and the process dies: the next one sees no header there,
/// but the disk has it, and later syncs skip it. Another commit cut short made two of them.
#[test]
fn what_was_taken_back_stays_so_though_its_sync_failed() {
    let disk = written_but_not_synced(Profile::Posix);
    let mut tried = 0;
    for selection in selections(&disk, Depth::Linear) {
        let image = disk.crash_image(&selection);
        let volume = CrashVolume::after_crash(&image, disk.rules());
        volume.fail_sync(1);
        Store::open(&volume, FILE, OPENING, Events::none()).unwrap_err();
        let restarted = CrashVolume::after_restart(&volume.disk());
        let (mut store, _) = Store::open(&restarted, FILE, OPENING, Events::none()).unwrap();
        tried += 1;
        restarted.record();
        save(&mut store);
        drop(store);
        crash_again(&restarted, Depth::Linear, &selection.describe(&disk));
    }
    assert!(tried > 3, "{tried}");
}
