//! Files that change beneath a compaction, after it has read or written them: what it reads next is
//! damaged, and the old file stays in charge.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use support::script::{Prepared, Script, assert_goes_on, assert_idle};
use support::world::{World, set, unbounded};
use tailswap::Error;
use tailswap::btree::Token;
use tailswap::chunklog::ChunkWriter;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Access, FileVolume, MemoryVolume, Volume};
use tailswap::event::{Content, Event, Events, Phase};
use tailswap::format::pointer::TreeKind;
use tailswap::format::snappy;
use tailswap::store::{OpenMode, Snapshot, Step, find_newest};

/// A compaction on real files that stands before reading back its target, at this path.
fn before_validation(directory: &tempfile::TempDir) -> (Script, PathBuf) {
    let prepared = Prepared::new();
    let bytes = prepared.volume().get("3.couch.1").unwrap();
    std::fs::write(directory.path().join("3.couch.1"), bytes).unwrap();
    let volume = FileVolume::open_writable(directory.path()).unwrap();
    let mut script = Script::start(prepared.open(Arc::new(volume))).ok().unwrap();
    let is_validating =
        |event: &Event| matches!(event, Event::PhaseChanged { phase: Phase::Validate, .. });
    while !script.world.recorder.since(0).iter().any(is_validating) {
        assert!(script.turn(), "the target is read back before the end");
    }
    (script, directory.path().join("3.couch.1.compact"))
}

/// Asserts that the compaction fails with damage, and that everything goes on with the old file.
fn assert_refused(mut script: Script, context: &str) {
    let error = loop {
        let _ = script.step_flusher().unwrap();
        match script.step_compaction() {
            Ok(step) => assert_ne!(step, Step::Done, "{context}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Corrupt { .. }), "{context}: {error}");
    let mut world = script.world;
    world.flush();
    assert_eq!(world.names(), ["3.couch.1"], "{context}");
    world.assert_published(context);
    assert_goes_on(world, context);
}

#[test]
fn a_target_that_does_not_read_back_never_takes_charge() {
    // Behind the head of the chunk, or of the header; and a header that is none any more, so that the
    // newest is another one.
    let nodes = [Content::BySeqNode, Content::ByIdNode, Content::LocalNode];
    let mut damages = vec![(Content::Header, 12), (Content::Header, 0)];
    damages.extend(nodes.map(|node| (node, 12)));
    for (damaged, offset) in damages {
        let directory = tempfile::tempdir().unwrap();
        let (script, target) = before_validation(&directory);
        let places = script.world.recorder.since(0).into_iter().filter_map(|event| match event {
            Event::Appended { file, position, content, .. } if &*file == "3.couch.1.compact" => {
                Some(position).filter(|_| content == damaged)
            }
            _ => None,
        });
        let mut bytes = std::fs::read(&target).unwrap();
        bytes[places.last().unwrap() as usize + offset] ^= 1;
        std::fs::write(&target, bytes).unwrap();
        assert_refused(script, &format!("{damaged:?} at {offset}"));
    }
}

#[test]
fn a_target_with_another_header_in_the_place_of_its_own_never_takes_charge() {
    let directory = tempfile::tempdir().unwrap();
    let (script, target) = before_validation(&directory);
    let mut bytes = std::fs::read(&target).unwrap();
    let copy = MemoryVolume::new();
    copy.put("copy", bytes.clone()).unwrap();
    let device = copy.open("copy", Access::Read).unwrap();
    let (newest, _) = find_newest(&"copy".into(), device, OpenMode::Strict).unwrap();
    let mut header = newest.header().clone();
    header.timestamp_ns += 1;
    let block = header.encode_block(1);
    let position = newest.position() as usize;
    bytes[position..position + block.len()].copy_from_slice(&block);
    std::fs::write(&target, bytes).unwrap();
    assert_refused(script, "another header");
}

/// Makes the first entry of a by-seq leaf, which is the root, say that its id has another length,
/// under a right checksum.
fn change_id_length(snapshot: &Snapshot, length: u16) {
    let leaf = match snapshot.walk(TreeKind::BySeq).peek().unwrap() {
        Some(Token::Subtree(root)) => root.position,
        other => unreachable!("{other:?}"),
    };
    let mut reader = snapshot.reader(4096);
    let stored = reader.chunk(leaf, snapshot.position(), "tree node").unwrap().to_vec();
    let mut raw = snappy::inflate(&stored, 4096, "tree node").unwrap();
    // Behind the node's kind, the lengths of key and value, and the key: 12 bits.
    raw[12] = (length >> 4) as u8;
    raw[13] = (length << 4) as u8 | raw[13] & 0x0f;
    let damaged = snappy::deflate(&raw, "tree node").unwrap();
    assert!(damaged.len() <= stored.len(), "it fits where it was");
    let mut writer = ChunkWriter::new(snapshot.file().clone(), leaf, Events::none());
    writer.append(&damaged, Content::BySeqNode).unwrap();
    writer.flush().unwrap();
}

/// The error of a compaction during which a document was changed, and then the source damaged as
/// `damage` does, which is given the states before and after the change.
fn compact_with_tail(damage: impl Fn(&World, &Snapshot, &Snapshot)) -> Error {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 10]));
    world.flush();
    let before = world.vbucket.snapshot().unwrap();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    let is_copied =
        |event: &Event| matches!(event, Event::PhaseChanged { phase: Phase::CommitCopy, .. });
    while !world.recorder.since(0).iter().any(is_copied) {
        assert_ne!(compaction.step(&mut unbounded()).unwrap(), Step::Done);
    }
    world.push(set(0, vec![b'y'; 100]));
    world.flush();
    damage(&world, &before, &world.vbucket.snapshot().unwrap());
    let error = loop {
        match compaction.step(&mut unbounded()) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert_eq!(world.names(), ["3.couch.1"]);
    assert_idle(&world, "after the failure");
    error
}

#[test]
fn a_damaged_body_in_the_tail_ends_the_compaction_and_the_old_file_stays() {
    let error = compact_with_tail(|world, _, after| {
        let body = world.recorder.since(0).into_iter().find_map(|event| match event {
            Event::Appended { position, content: Content::Body { seq: 2 }, .. } => Some(position),
            _ => None,
        });
        // Behind the head of the chunk.
        let (file, position) = (after.file(), body.unwrap() + 8);
        let mut byte = [0];
        assert_eq!(file.read_at(position, &mut byte).unwrap(), 1);
        file.write_at(position, &[byte[0] ^ 1], &Events::none()).unwrap();
    });
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("document body"), "{error}");
}

#[test]
fn a_damaged_entry_in_the_tail_ends_the_compaction_and_the_old_file_stays() {
    let replaced = compact_with_tail(|_, before, _| change_id_length(before, 4095));
    let new = compact_with_tail(|_, _, after| change_id_length(after, 4095));
    for error in [replaced, new] {
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("document info"), "{error}");
    }
    let without_id = compact_with_tail(|_, _, after| change_id_length(after, 0));
    assert_eq!(without_id.to_string(), "an id is empty");
}
