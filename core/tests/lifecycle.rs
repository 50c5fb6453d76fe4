//! Cancelling, dropping, rolling back, deleting and creating anew at every step of a compaction.
#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use support::host::{Recorder, TestHost};
use support::script::{Prepared, Script, assert_goes_on, assert_refuses_writes};
use support::state::State;
use support::world::{VB, World, alternate, assert_vbstate, local, set, unbounded};
use tailswap::Error;
use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::{Fault, FaultVolume, Volume};
use tailswap::error::IoOp;
use tailswap::event::{Event, EventSink, Events, Outcome};
use tailswap::store::{Budget, CommitStyle, OpenMode, Step, at_or_before_seq};
use tailswap::vbucket::{Delete, Pace, Rollback, VBucket};

/// Calls `at` with a run interrupted after each number of turns of the reference run, and that
/// number; at least once in each phase.
fn at_every_turn(at: impl Fn(Script, u64)) {
    let prepared = Prepared::new();
    for turn in 0.. {
        let mut world = prepared.open(Arc::new(prepared.volume()));
        world.take_snapshot();
        let mut script = Script::start(world).ok().unwrap();
        if !script.turns(turn) {
            assert!(turn > 40, "enough turns to interfere with: {turn}");
            return;
        }
        script.world.take_snapshot();
        at(script, turn);
    }
}

/// How the last compaction ended.
fn outcome(world: &World) -> Option<Outcome> {
    world.recorder.since(0).into_iter().rev().find_map(|event| match event {
        Event::CompactionEnded { outcome, .. } => Some(outcome),
        _ => None,
    })
}

/// Steps all that is under way until the compaction is at its end, which may be a cancellation.
fn to_the_end(script: &mut Script) {
    while script.compaction.is_some() {
        let _ = script.step_flusher().unwrap();
        let compacted = script.step_compaction();
        assert!(matches!(compacted, Ok(_) | Err(Error::Cancelled)), "{compacted:?}");
    }
}

fn assert_one_file(world: &World, context: &str) {
    let revision = world.vbucket.revision();
    assert_eq!(world.names(), [format!("3.couch.{revision}")], "{context}");
    let expected = if revision == 1 { Outcome::Cancelled } else { Outcome::Swapped };
    assert_eq!(outcome(world), Some(expected), "{context}");
}

#[test]
fn cancelled_at_any_step_it_leaves_one_file_and_nothing_else() {
    at_every_turn(|mut script, turn| {
        let context = format!("cancelled after turn {turn}");
        if script.world.vbucket.is_compacting() {
            let error = script.world.compact(CompactionOptions::default()).unwrap_err();
            assert_eq!(error.to_string(), "vbucket 3 is being compacted already", "{context}");
        }
        let renamed = script.world.names().iter().any(|name| name == "3.couch.2");
        script.world.vbucket.cancel_compaction();
        to_the_end(&mut script);
        let mut world = script.world;
        assert_eq!(world.vbucket.revision() == 2, renamed, "only then is it too late, {context}");
        world.flush();
        assert_one_file(&world, &context);
        world.assert_published(&context);
        world.assert_readers(&context);
        assert_goes_on(world, &context);
    });
}

#[test]
fn dropped_at_any_step_it_leaves_one_file_or_a_vbucket_to_be_opened_again() {
    let uncertain = Cell::new(0);
    at_every_turn(|mut script, turn| {
        let context = format!("dropped after turn {turn}");
        script.compaction = None;
        let mut world = script.world;
        if world.names() == ["3.couch.1", "3.couch.2"] {
            // Dropped between the renaming and the directory's sync: after a crash either file may
            // be the newest, so nothing more is acknowledged.
            uncertain.set(uncertain.get() + 1);
            assert_refuses_writes(&mut world, &context);
            world.assert_published(&context);
            world.assert_readers(&context);
            let (volume, state) = world.close();
            assert_goes_on(World::open(volume, state).unwrap(), &context);
            return;
        }
        world.flush();
        if world.vbucket.revision() == 1 {
            assert_one_file(&world, &context);
        }
        world.assert_published(&context);
        world.assert_readers(&context);
        assert_goes_on(world, &context);
    });
    assert!(uncertain.get() > 0, "dropped there, too");
}

#[test]
fn rolled_back_at_any_step_nothing_newer_survives() {
    for back in [0, 1, 3, 5] {
        at_every_turn(|mut script, turn| {
            let seqs: Vec<u64> = script.world.history.keys().copied().collect();
            let goal = seqs[back.min(seqs.len() - 1)] + u64::from(turn % 2 == 1);
            let context = format!("rolled back to {goal} after turn {turn}");
            let uuid = uuid(&script.world);
            let vbucket = script.world.vbucket.clone();
            let renamed = script.world.names().iter().any(|name| name == "3.couch.2");
            let mut rollback = Rollback::new(&vbucket, goal, Waker::noop().clone());
            let mut expected = None;
            loop {
                let newest = vbucket.snapshot().unwrap();
                let step = rollback.step(&mut Budget { bytes: 500, entries: 1 }).unwrap();
                if step != Step::Blocked && expected.is_none() {
                    let header = at_or_before_seq(newest, goal).unwrap();
                    let seq = header.map_or(0, |header| header.header().update_seq);
                    expected = Some(script.world.history[&seq].clone());
                }
                if step == Step::Done {
                    break;
                }
                let _ = script.step_flusher().unwrap();
                let _ = script.step_compaction();
            }
            let expected: State = expected.unwrap();
            assert!(expected.update_seq <= goal, "{context}");
            let dirty = script.world.dirty.clone();
            let seq = rollback.finish(|snapshot| {
                dirty.reset(snapshot.header().update_seq);
                snapshot.header().update_seq
            });
            assert_eq!(seq.unwrap(), expected.update_seq, "{context}");
            script.world.went_back(expected);
            script.world.assert_published(&context);
            let state = assert_vbstate(&vbucket.snapshot().unwrap(), &context);
            assert_ne!(state.failover_table[0].id, uuid, "{context}");
            let branch = state.failover_table[0].seq;
            assert_eq!(branch, script.world.committed.update_seq, "{context}");
            drop(vbucket);

            to_the_end(&mut script);
            let mut world = script.world;
            let swapped = world.vbucket.revision() == 2;
            assert_eq!(swapped, renamed, "else the compaction is cancelled, {context}");
            world.flush();
            assert_one_file(&world, &context);
            world.assert_published(&context);
            world.assert_readers(&context);
            assert_goes_on(world, &context);
        });
    }
}

/// Identity of the vbucket's history.
fn uuid(world: &World) -> u64 {
    assert_vbstate(&world.vbucket.snapshot().unwrap(), "uuid").failover_table[0].id
}

/// Deletes the vbucket while all else goes on.
fn delete(script: &mut Script) {
    let mut delete = Delete::new(&script.world.vbucket, Waker::noop().clone());
    while delete.step(&mut unbounded()).unwrap() != Step::Done {
        let flushed = script.step_flusher();
        assert!(matches!(flushed, Ok(_) | Err(Error::Cancelled)));
        let _ = script.step_compaction();
    }
}

#[test]
fn deleted_at_any_step_no_file_is_left() {
    at_every_turn(|mut script, turn| {
        let context = format!("deleted after turn {turn}");
        delete(&mut script);
        for _ in 0..20 {
            let flushed = script.step_flusher();
            assert!(matches!(flushed, Ok(_) | Err(Error::Cancelled)), "{context}");
            let compacted = script.step_compaction();
            assert!(matches!(compacted, Ok(_) | Err(Error::Cancelled)), "{context}");
        }
        assert!(script.compaction.is_none(), "{context}");
        let mut world = script.world;
        assert_eq!(world.names(), [""; 0], "{context}");
        assert!(matches!(world.vbucket.snapshot(), Err(Error::Cancelled)));
        let again = world.compact(CompactionOptions::default());
        assert!(matches!(again, Err(Error::Cancelled)));
        world.assert_readers(&context);
    });
}

#[test]
fn created_anew_at_any_step_it_shows_nothing_of_the_former() {
    at_every_turn(|mut script, turn| {
        let context = format!("created anew after turn {turn}");
        let former = uuid(&script.world);
        delete(&mut script);
        let (volume, host) = (script.world.volume.clone(), script.world.host.clone());
        let revision = script.world.vbucket.revision() + 1;
        let (recorder, events) = Recorder::new();
        let created =
            VBucket::create(volume.clone(), host.clone(), VB, revision, CommitStyle::Flip, events);
        let mut world = World::around(volume, host, recorder, created.unwrap(), State::default());
        // The former's machines learn of it only now.
        for key in 0..30 {
            world.push(set(key, b"new".to_vec()));
            let _ = world.step_flusher(&mut Budget { bytes: 100, entries: 1 }).unwrap();
            let _ = script.step_flusher();
            let _ = script.step_compaction();
        }
        world.flush();
        drop(script);
        assert_ne!(uuid(&world), former, "{context}");
        assert_eq!(world.names(), [format!("3.couch.{revision}")], "{context}");
        world.assert_published(&context);
        assert_goes_on(world, &context);
    });
}

/// Deletes the vbucket that it is given, once, as soon as a compaction's target has a header.
#[derive(Default)]
struct DeletesAtCommit(OnceLock<VBucket>, AtomicBool);

impl EventSink for DeletesAtCommit {
    fn event(&self, event: Event) {
        let of_target = |file: &str| file == "3.couch.1.compact";
        let is_commit =
            matches!(&event, Event::HeaderCommitted { file, .. } if of_target(file.as_ref()));
        if is_commit && !self.1.swap(true, Ordering::Relaxed) {
            let mut delete = Delete::new(self.0.get().unwrap(), Waker::noop().clone());
            while delete.step(&mut unbounded()).unwrap() != Step::Done {}
        }
    }
}

#[test]
fn deleted_within_a_step_it_ends_with_that_step() {
    let (volume, sink) = (Prepared::new().volume(), Arc::new(DeletesAtCommit::default()));
    let (events, host) = (Events::to(sink.clone()), TestHost::new(1));
    let files: Arc<dyn Volume> = Arc::new(volume.clone());
    let opened = VBucket::open(files, host, VB, OpenMode::Strict, events).unwrap();
    let (vbucket, _) = opened.unwrap();
    sink.0.set(vbucket.clone()).unwrap();
    let (options, waker) = (CompactionOptions::default(), Waker::noop().clone());
    let mut compaction = Compaction::start(&vbucket, options, waker, alternate).unwrap();
    let error = loop {
        match compaction.step(&mut unbounded()) {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(!vbucket.is_compacting());
    assert_eq!(volume.list().unwrap(), [""; 0]);
}

#[test]
fn where_a_swap_left_no_file_in_charge_another_compaction_fails_and_leaves_nothing() {
    let volume = FaultVolume::new(Arc::new(Prepared::new().volume()));
    let mut script = Script::start(Prepared::new().open(Arc::new(volume.clone()))).ok().unwrap();
    volume.inject(Fault::nth(1).of(IoOp::SyncDirectory));
    while script.step_compaction().is_ok() {}
    let failed = volume.take_log().pop().unwrap();
    assert_eq!(failed.op, IoOp::SyncDirectory, "no name is touched after that");
    let mut world = script.world;
    let names = ["3.couch.1", "3.couch.2"];
    assert_eq!(world.names(), names);
    let mut script = Script::start(world).ok().unwrap();
    let error = loop {
        match script.step_compaction() {
            Ok(step) => assert_ne!(step, Step::Done),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    world = script.world;
    assert_eq!(world.names(), names);
    assert_refuses_writes(&mut world, "after the second compaction");
    let (volume, state) = world.close();
    assert_goes_on(World::open(volume, state).unwrap(), "opened again");
}

#[test]
fn an_old_file_that_cannot_be_removed_is_left_and_no_other_name_touched() {
    let volume = FaultVolume::new(Arc::new(Prepared::new().volume()));
    let mut script = Script::start(Prepared::new().open(Arc::new(volume.clone()))).ok().unwrap();
    volume.inject(Fault::nth(1).of(IoOp::Remove).on_file("3.couch.1"));
    while script.step_compaction().is_ok() {}
    let last = name_operations(&volume).pop();
    assert_eq!(last, Some((IoOp::Remove, "3.couch.1".to_owned())));
    let world = script.world;
    assert_eq!(outcome(&world), Some(Outcome::Swapped));
    world.assert_published("with the new file");
    let (volume, state) = world.close();
    assert_goes_on(World::open(volume, state).unwrap(), "opened again");
}

/// Kinds of the operations on names, in order.
fn name_operations(volume: &FaultVolume) -> Vec<(IoOp, String)> {
    let on_names = [IoOp::Rename, IoOp::Remove, IoOp::SyncDirectory];
    let log = volume.take_log().into_iter().map(|done| (done.op, done.file));
    log.filter(|(op, _)| on_names.contains(op)).collect()
}

/// A volume with two revisions, as a crash right after the renaming leaves them.
fn two_revisions() -> (FaultVolume, World) {
    let prepared = Prepared::new();
    let memory = prepared.volume();
    memory.put("3.couch.2", memory.get("3.couch.1").unwrap()).unwrap();
    let volume = FaultVolume::new(Arc::new(memory));
    let world = prepared.open(Arc::new(volume.clone()));
    (volume, world)
}

#[test]
fn an_older_revision_goes_only_when_the_newer_one_s_name_is_durable() {
    let (volume, world) = two_revisions();
    let sync = (IoOp::SyncDirectory, String::new());
    let remove = (IoOp::Remove, "3.couch.1".to_owned());
    assert_eq!(name_operations(&volume), [sync.clone(), remove, sync]);
    world.assert_published("the newer revision");
}

#[test]
fn deleting_never_leaves_an_older_revision_alone() {
    let (volume, world) = two_revisions();
    // As if the old file could not be removed after the swap.
    volume.create_new("3.couch.1").unwrap();
    name_operations(&volume);
    let mut delete = Delete::new(&world.vbucket, Waker::noop().clone());
    while delete.step(&mut unbounded()).unwrap() != Step::Done {}
    let sync = (IoOp::SyncDirectory, String::new());
    let done = |op, name: &str| (op, name.to_owned());
    // The newest goes last, and loses its name before its bytes.
    let expected = [
        done(IoOp::Remove, "3.couch.1"),
        sync.clone(),
        done(IoOp::Rename, "3.couch.2"),
        sync,
        done(IoOp::Remove, "3.couch.2.deleted"),
    ];
    assert_eq!(name_operations(&volume), expected);
}

#[test]
fn opening_removes_only_what_this_crate_or_the_reference_leaves() {
    let prepared = Prepared::new();
    let memory = prepared.volume();
    let foreign = ["3.couch.1.bak", "3.couch.01", "3.couch.1.compacted", "33.couch.1.compact"];
    let leftovers = [
        "3.couch.1.compact",
        "3.couch.1.compact.table",
        "3.couch.1.compact.btree-tmp_0",
        "3.couch.2.creating",
        "3.couch.2.deleted",
    ];
    for name in foreign.iter().chain(&leftovers) {
        memory.put(name, Vec::new()).unwrap();
    }
    let world = prepared.open(Arc::new(memory));
    let mut expected: Vec<_> = foreign.into_iter().chain(["3.couch.1"]).collect();
    expected.sort_unstable();
    assert_eq!(world.names(), expected);
}

#[test]
fn a_compaction_that_only_unlinks_leaves_the_next_ones_pace_alone() {
    let prepared = Prepared::new();
    let mut script = Script::start(prepared.open(Arc::new(prepared.volume()))).ok().unwrap();
    while script.world.vbucket.revision() == 1 {
        script.turn();
    }
    let next = script.world.compact(CompactionOptions::default()).unwrap();
    let pace = Some(Pace { bytes_per_second: 1 << 30, batch_mutations: 1000, wait_max_ns: 0 });
    script.world.vbucket.set_pace(pace);
    while script.turn() {}
    assert_eq!(script.world.vbucket.pace(), pace);
    assert!(script.world.vbucket.is_compacting());
    drop(next);
    assert_eq!(script.world.vbucket.pace(), None);
}

#[test]
fn flusher_and_rollback_can_be_dropped_at_any_step() {
    let prepared = Prepared::new();
    let mut reached = BTreeSet::new();
    for (rolls_back, steps) in [false, true].into_iter().flat_map(|b| (0..60).map(move |s| (b, s)))
    {
        let mut world = prepared.open(Arc::new(prepared.volume()));
        let context = format!("dropped after {steps} steps, rolls back: {rolls_back}");
        world.push(set(2, vec![b'd'; 9000]));
        let budget = Budget { bytes: 300, entries: 1 };
        let done = if rolls_back {
            let goal = *world.history.keys().nth(2).unwrap();
            let mut rollback = Rollback::new(&world.vbucket, goal, Waker::noop().clone());
            (0..steps).any(|_| rollback.step(&mut budget.clone()).unwrap() == Step::Done)
        } else {
            (0..steps).any(|_| world.step_flusher(&mut budget.clone()).unwrap() == Step::Done)
        };
        if done {
            reached.insert(rolls_back);
            continue;
        }
        world.drop_flusher();
        world.push(set(3, vec![b'e'; 100]));
        // The first flush may find that it has to go back first.
        world.flush_with_failures(2);
        world.change_locals(vec![local(1, Some(b"l".to_vec()))]);
        world.push(set(4, Vec::new()));
        world.flush();
        world.assert_published(&context);
        let (volume, state) = world.close();
        World::open(volume, state).unwrap().assert_published(&context);
    }
    assert_eq!(reached.len(), 2, "both were followed to their ends");
}
