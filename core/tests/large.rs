//! What only long copies and long tails come to: syncs on the way, batches, bodies in pieces.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use support::random::Random;
use support::world::{World, delete, set, to_purge, unbounded};
use tailswap::compaction::{Compaction, CompactionOptions, Purge};
use tailswap::device::{Fault, FaultVolume, MemoryVolume};
use tailswap::error::IoOp;
use tailswap::event::{Content, Event, Outcome, Phase};
use tailswap::store::{Budget, Step};

/// A vbucket with more bytes than are copied between two syncs.
fn large_world(faults: &FaultVolume) -> World {
    let mut world = World::create(Arc::new(faults.clone()));
    let mut random = Random::new(1);
    for key in 0..5 {
        world.push(set(key, random.bytes(4 << 20)));
    }
    world.flush();
    world
}

fn faults() -> FaultVolume {
    FaultVolume::new(Arc::new(MemoryVolume::new()))
}

/// Steps a compaction until it enters a phase.
fn step_to(world: &World, compaction: &mut Compaction, phase: Phase) {
    let before = world.recorder.count();
    let entered = |event: &Event| matches!(event, Event::PhaseChanged { phase: entered, .. } if *entered == phase);
    while !world.recorder.since(before).iter().any(entered) {
        assert_ne!(compaction.step(&mut Budget { bytes: 4096, entries: 1 }).unwrap(), Step::Done);
    }
}

#[test]
fn a_long_copy_is_synced_on_the_way() {
    let mut world = large_world(&faults());
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    step_to(&world, &mut compaction, Phase::CommitCopy);
    let synced = |event: &Event| matches!(event, Event::SyncIssued { file } if file.as_ref() == "3.couch.1.compact");
    // Every 8 MiB; there are 20.
    assert_eq!(world.recorder.since(0).iter().filter(|event| synced(event)).count(), 2);
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    world.swapped(&Default::default(), 0);
    world.assert_published("after a long copy");
}

#[test]
fn a_long_tail_is_synced_on_the_way() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 10]));
    world.flush();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    step_to(&world, &mut compaction, Phase::CommitCopy);
    let mut random = Random::new(4);
    for key in 1..6 {
        world.push(set(key, random.bytes(4 << 20)));
    }
    world.flush();
    step_to(&world, &mut compaction, Phase::WaitForLock);
    let events = world.recorder.since(0);
    let place = |is: fn(&Event) -> bool| events.iter().position(is).unwrap();
    let began = place(|event| matches!(event, Event::RoundStarted { .. }));
    let ended = place(|event| matches!(event, Event::RoundFinished { .. }));
    let synced = |event: &&Event| matches!(event, Event::SyncIssued { file } if file.as_ref() == "3.couch.1.compact");
    // It is saved 8 MiB at a time, and the end of it committed with the round.
    assert_eq!(events[began..ended].iter().filter(synced).count(), 2);
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    world.swapped(&Default::default(), 0);
    world.assert_published("after a long tail");
}

#[test]
fn a_sync_that_fails_on_the_way_ends_the_compaction_and_leaves_nothing() {
    let faults = faults();
    let world = large_world(&faults);
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    faults.inject(Fault::nth(1).of(IoOp::Sync).on_file("3.couch.1.compact"));
    let error = loop {
        match compaction.step(&mut unbounded()) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("3.couch.1.compact"), "{error}");
    assert_eq!(world.names(), ["3.couch.1"]);
    world.assert_published("after a copy that failed");
}

#[test]
fn a_sync_that_fails_on_the_way_through_a_tail_ends_the_compaction_and_leaves_nothing() {
    let faults = faults();
    let mut world = World::create(Arc::new(faults.clone()));
    world.push(set(0, vec![b'x'; 10]));
    world.flush();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    step_to(&world, &mut compaction, Phase::CommitCopy);
    let mut random = Random::new(5);
    for key in 1..6 {
        world.push(set(key, random.bytes(4 << 20)));
    }
    world.flush();
    step_to(&world, &mut compaction, Phase::CatchUp);
    faults.inject(Fault::nth(1).of(IoOp::Sync).on_file("3.couch.1.compact"));
    let error = loop {
        match compaction.step(&mut Budget { bytes: 4096, entries: 1 }) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("3.couch.1.compact"), "{error}");
    let ended = |event: &Event| matches!(event, Event::RoundFinished { .. });
    assert!(!world.recorder.since(0).iter().any(ended), "it was one on the way");
    assert_eq!(world.names(), ["3.couch.1"]);
    world.assert_published("after a round that failed");
}

/// Whether a compaction that cannot write fails before it begins to commit its copy; `length` is that
/// of the only body.
fn fails_before_the_commit(length: usize) -> bool {
    let faults = faults();
    let mut world = World::create(Arc::new(faults.clone()));
    world.push(set(0, Random::new(3).bytes(length)));
    world.flush();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    step_to(&world, &mut compaction, Phase::CopyLocal);
    faults.inject(Fault::nth(1).of(IoOp::Write).on_file("3.couch.1.compact"));
    let error = loop {
        match compaction.step(&mut unbounded()) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("3.couch.1.compact"), "{length}: {error}");
    assert_eq!(world.names(), ["3.couch.1"], "{length}");
    world.assert_published(&format!("after a copy of {length} bytes that failed"));
    let committing =
        |event: &Event| matches!(event, Event::PhaseChanged { phase: Phase::CommitCopy, .. });
    !world.recorder.since(0).iter().any(committing)
}

#[test]
fn a_write_that_fails_with_the_last_node_of_the_copy_ends_the_compaction_and_leaves_nothing() {
    // What is buffered is written when it has become 256 KiB; for some lengths the last node does it.
    let lengths = (255 << 10..256 << 10).step_by(50);
    assert!(lengths.filter(|length| fails_before_the_commit(*length)).count() > 0);
}

#[test]
fn a_purged_document_that_comes_back_behind_a_full_batch_is_there_once() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 10]));
    world.flush();
    world.push(delete(0, 0));
    world.push(set(1, vec![b'x'; 10]));
    world.flush();
    let purge = Purge { before: None, to_seq: Some(u64::MAX) };
    let (dropped, purge_seq) = to_purge(&world.committed, false, purge);
    assert_eq!(dropped.len(), 1);
    let options = CompactionOptions { purge, ..CompactionOptions::default() };
    let mut compaction = world.compact(options).unwrap();
    step_to(&world, &mut compaction, Phase::CommitCopy);
    for key in 2..17000 {
        world.push(set(key, vec![b'y'; 20]));
    }
    world.push(set(0, vec![b'z'; 10]));
    world.flush();
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    assert_eq!(batches(&world), [16383, 616]);
    world.swapped(&dropped, purge_seq);
    world.assert_published("after the return of a purged document");
}

#[test]
fn a_long_tail_is_replayed_in_batches_and_its_bodies_in_pieces() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 10]));
    world.push(set(1, vec![b'x'; 10]));
    world.flush();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    step_to(&world, &mut compaction, Phase::CommitCopy);
    // More documents, and more bytes, than are saved together.
    let mut random = Random::new(2);
    for key in 2..17000 {
        world.push(set(key, vec![b'y'; 20]));
    }
    for key in 20000..20010 {
        world.push(set(key, random.bytes(1 << 20)));
    }
    world.push(set(0, random.bytes(300 << 10)));
    world.push(delete(1, 0));
    world.flush();
    let budget = || Budget { bytes: 64 << 10, entries: 100 };
    while compaction.step(&mut budget()).unwrap() != Step::Done {}
    assert_eq!(compaction.stats().replayed, 17010);
    world.swapped(&Default::default(), 0);
    world.assert_published("after a long tail");
    let replayed = world.recorder.since(0).into_iter().find_map(|event| match event {
        Event::RoundFinished { documents, bytes, .. } => Some((documents, bytes)),
        _ => None,
    });
    let (documents, bytes) = replayed.unwrap();
    assert_eq!(documents, 17010);
    // The bodies as they are stored: those of every other key are compressed.
    assert!((10 << 20..11 << 20).contains(&bytes), "{bytes}");
    // One batch is full by its documents, of which two are replaced and so to be forgotten, one by its
    // bytes; the rest is the third.
    assert_eq!(batches(&world), [16382, 624, 3]);
}

/// How many bodies came one after another in the target each time, from the first round on.
fn batches(world: &World) -> Vec<usize> {
    let events = world.recorder.since(0);
    let round = events.iter().position(|event| matches!(event, Event::RoundStarted { .. }));
    let in_target = events[round.unwrap()..].iter().filter_map(|event| match event {
        Event::Appended { file, content, .. } if file.as_ref() == "3.couch.1.compact" => {
            Some(matches!(content, Content::Body { .. }))
        }
        _ => None,
    });
    let is_body: Vec<bool> = in_target.collect();
    is_body.split(|is_body| !is_body).map(<[bool]>::len).filter(|bodies| *bodies > 0).collect()
}

#[test]
fn a_compaction_that_is_through_says_so_again() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 10]));
    world.flush();
    let mut compaction = world.compact(CompactionOptions::default()).unwrap();
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    let events = world.recorder.count();
    assert_eq!(compaction.step(&mut unbounded()).unwrap(), Step::Done);
    drop(compaction);
    assert_eq!(world.recorder.count(), events, "nothing happens any more");
    let ended = Event::CompactionEnded { vbucket: 3, outcome: Outcome::Swapped };
    assert_eq!(world.recorder.since(0).last(), Some(&ended));
}
