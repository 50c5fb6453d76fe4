//! Every operation of the volume fails once, or from then on, while flushing and while compacting:
//! nothing acknowledged is lost, nothing is invented, nothing is left behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use support::host::TestHost;
use support::random::Random;
use support::script::{Prepared, Script, assert_goes_on, assert_refuses_writes};
use support::state::State;
use support::world::{VB, World, alternate, any_mutation};
use tailswap::Error;
use tailswap::compaction::{CompactionOptions, OfflineCompaction};
use tailswap::device::{Fault, FaultVolume, MemoryVolume, Operation, Volume};
use tailswap::engine::WriteBehind;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{
    Batch, Budget, CommitStyle, Create, LocalUpdate, OpenMode, Step, Store, open_for_reading,
};
use tailswap::vbucket::VBucket;

const OPS: [IoOp; 10] = [
    IoOp::Write,
    IoOp::Sync,
    IoOp::Truncate,
    IoOp::Create,
    IoOp::Rename,
    IoOp::Remove,
    IoOp::SyncDirectory,
    IoOp::Read,
    IoOp::Length,
    IoOp::Open,
];

/// Ways in which the `n`th operation of a kind fails.
fn faults(op: IoOp, n: u64) -> Vec<Fault> {
    let fault = || Fault::nth(n).of(op);
    let mut faults = vec![fault(), fault().sticky()];
    match op {
        IoOp::Write => faults.push(fault().after_bytes(1000)),
        IoOp::Sync | IoOp::SyncDirectory => faults.push(fault().on_completion()),
        _ => {}
    }
    faults
}

/// A vbucket on a volume that fails on demand, and the memory beneath it.
struct Faulty {
    memory: MemoryVolume,
    volume: FaultVolume,
}

impl Faulty {
    fn new(prepared: &Prepared) -> (Self, World) {
        let memory = prepared.volume();
        let volume = FaultVolume::new(Arc::new(memory.clone()));
        let world = prepared.open(Arc::new(volume.clone()));
        (Faulty { memory, volume }, world)
    }

    fn fails(&self, fault: Fault) {
        self.volume.inject(fault);
    }

    /// Everything stops here: what is opened next must hold what was acknowledged, and at most the
    /// last flush besides, if that was not yet acknowledged or had failed and was not yet undone.
    fn assert_restarts(&self, world: World, context: &str) {
        let (committed, attempted) = (world.committed.clone(), world.attempted.clone());
        drop(world);
        self.volume.heal();
        let found = |state: &State| {
            let world = World::open(Arc::new(self.memory.clone()), state.clone()).unwrap();
            let seq = world.vbucket.snapshot().unwrap().header().update_seq;
            (seq, world)
        };
        let (seq, world) = found(&committed);
        let world = match seq == committed.update_seq {
            true => world,
            false => {
                drop(world);
                found(&attempted).1
            }
        };
        world.assert_published(&format!("opened again, {context}"));
        assert_goes_on(world, context);
    }
}

/// For each kind of operation, each way and each N until nothing fails any more.
fn at_every_failure(run: impl Fn(Fault, IoOp, &str) -> bool) {
    for op in OPS {
        let mut struck = 0;
        for n in 1.. {
            let fired = faults(op, n)
                .into_iter()
                .enumerate()
                .map(|(way, fault)| run(fault, op, &format!("{op:?} {n}, way {way}")));
            // All of them: `any` would stop at the first.
            if fired.filter(|fired| *fired).count() == 0 {
                break;
            }
            struck += 1;
        }
        println!("{op:?}: {struck}");
    }
}

/// Flushes some batches in small steps; `stop` at the first failure, else tries again. Returns the
/// number of failures.
fn flush_some(world: &mut World, stop: bool) -> u32 {
    let mut random = Random::new(6);
    let mut failures = 0;
    for _ in 0..5 {
        for _ in 0..12 {
            world.push(any_mutation(&mut random, 40));
        }
        for _ in 0..300 {
            match world.step_flusher(&mut Budget { bytes: 4_000, entries: 8 }) {
                Ok(Step::Done) => break,
                Ok(_) => {}
                Err(_) if stop => return failures + 1,
                Err(_) => failures += 1,
            }
        }
    }
    failures
}

#[test]
fn a_failed_flush_keeps_every_mutation_and_succeeds_when_tried_again() {
    let prepared = Prepared::new();
    at_every_failure(|fault, _, context| {
        let (faulty, mut world) = Faulty::new(&prepared);
        world.take_snapshot();
        faulty.fails(fault);
        flush_some(&mut world, false);
        let fired = faulty.volume.fired() > 0;
        faulty.volume.heal();
        // The first attempt may find that it has to go back first.
        world.flush_with_failures(2);
        world.assert_published(context);
        world.assert_readers(context);
        assert_goes_on(world, context);
        fired
    });
}

#[test]
fn a_restart_after_a_failed_flush_finds_what_was_acknowledged() {
    let prepared = Prepared::new();
    at_every_failure(|fault, _, context| {
        let (faulty, mut world) = Faulty::new(&prepared);
        faulty.fails(fault);
        flush_some(&mut world, true);
        let fired = faulty.volume.fired() > 0;
        faulty.assert_restarts(world, context);
        fired
    });
}

#[test]
fn after_a_failed_sync_the_file_is_cut_and_synced_before_anything_else() {
    let prepared = Prepared::new();
    for n in 1..8 {
        for fault in faults(IoOp::Sync, n) {
            let (faulty, mut world) = Faulty::new(&prepared);
            let acknowledged = world.vbucket.snapshot().unwrap().end();
            faulty.fails(fault);
            flush_some(&mut world, true);
            faulty.volume.heal();
            world.flush_with_failures(2);
            let log = faulty.volume.take_log();
            let changes = |operation: &&Operation| {
                matches!(operation.op, IoOp::Write | IoOp::Sync | IoOp::Truncate)
            };
            let failed = log.iter().rposition(|done| done.error.is_some()).unwrap();
            let then: Vec<_> = log[failed + 1..].iter().filter(changes).collect();
            let ops: Vec<_> = then.iter().map(|done| done.op).collect();
            // Cut in two moves, so that there is something to sync even if it was cut before.
            let back = [IoOp::Truncate, IoOp::Truncate, IoOp::Sync, IoOp::Write];
            assert!(ops.starts_with(&back), "sync {n}: {ops:?}");
            let cut = log.iter().rfind(|done| done.op == IoOp::Truncate).unwrap();
            assert!(cut.length.unwrap() >= acknowledged, "sync {n}");
        }
    }
}

#[test]
fn going_back_after_a_failed_flush_may_fail_too() {
    let prepared = Prepared::new();
    for write in 1..10 {
        for op in [IoOp::Truncate, IoOp::Sync] {
            for sticky in [false, true] {
                let context = format!("write {write}, {op:?}, sticky: {sticky}");
                let (faulty, mut world) = Faulty::new(&prepared);
                faulty.fails(Fault::nth(write).of(IoOp::Write).after_bytes(5000));
                let fault = Fault::nth(1).of(op);
                faulty.fails(if sticky { fault.sticky() } else { fault });
                let failures = flush_some(&mut world, false);
                assert!(failures > 1, "{context}");
                assert!(faulty.volume.fired() > 1, "{context}");
                faulty.volume.heal();
                world.flush_with_failures(2);
                world.assert_published(&context);
                assert_goes_on(world, &context);
            }
        }
    }
}

#[test]
fn a_store_that_cannot_be_cut_back_is_poisoned_until_it_was() {
    let volume = FaultVolume::new(Arc::new(Prepared::new().volume()));
    let opened = Store::open(&volume, "3.couch.1", OpenMode::Strict, Events::none());
    let (mut store, _) = opened.unwrap();
    let length = store.len();
    volume.inject(Fault::nth(1).of(IoOp::Write).after_bytes(5000));
    volume.inject(Fault::nth(1).of(IoOp::Truncate));
    store.commit(1).unwrap_err();
    assert!(store.is_poisoned());
    assert!(matches!(store.commit(2), Err(Error::Poisoned { .. })));
    store.go_back().unwrap();
    assert!(!store.is_poisoned());
    assert_eq!(store.len(), length);
    store.commit(3).unwrap();
}

#[test]
fn a_failed_creation_leaves_no_file_or_a_whole_one() {
    at_every_failure(|fault, op, context| {
        let memory = MemoryVolume::new();
        let volume = FaultVolume::new(Arc::new(memory.clone()));
        volume.inject(fault);
        let create = |volume| {
            VBucket::create(volume, TestHost::new(1), VB, 1, CommitStyle::Flip, Events::none())
        };
        let created = create(Arc::new(volume.clone())).map(drop);
        let fired = volume.fired() > 0;
        volume.heal();
        match created.is_ok() || op == IoOp::SyncDirectory {
            true => assert_eq!(memory.list().unwrap(), ["3.couch.1"], "{context}"),
            false => {
                assert_eq!(memory.list().unwrap(), [""; 0], "{context}");
                drop(create(Arc::new(volume.clone())).unwrap());
            }
        }
        assert_goes_on(World::open(Arc::new(memory), State::default()).unwrap(), context);
        fired
    });
}

#[test]
fn a_creation_that_is_refused_leaves_no_file() {
    let memory = MemoryVolume::new();
    let locals = vec![LocalUpdate { id: Vec::new(), value: None }];
    let batch = Batch { documents: Vec::new(), locals };
    let volume = Arc::new(memory.clone());
    let created = Create::new(volume, "new", Header::empty(14), batch, 0, Events::none());
    assert_eq!(created.unwrap_err().to_string(), "an id is empty");
    assert_eq!(memory.list().unwrap(), [""; 0]);
}

#[test]
fn a_failed_compaction_of_one_file_leaves_the_source_alone() {
    compact_one_file_at_every_failure(|volume| volume);
    // The same where it is written behind: the failure of a sync under way is told by what comes next.
    compact_one_file_at_every_failure(|volume| Arc::new(WriteBehind::new(volume, 8_000)));
}

fn compact_one_file_at_every_failure(through: impl Fn(Arc<dyn Volume>) -> Arc<dyn Volume>) {
    let prepared = Prepared::new();
    at_every_failure(|fault, op, context| {
        let (faulty, world) = Faulty::new(&prepared);
        let source = world.vbucket.snapshot().unwrap();
        let compact = || -> Result<(), Error> {
            let options = CompactionOptions { table_memory: 0, ..CompactionOptions::default() };
            let (volume, events) = (through(Arc::new(faulty.volume.clone())), Events::none());
            let start = OfflineCompaction::start;
            let mut copy = start(source.clone(), volume, "copy", options, events, alternate)?;
            while copy.step(&mut Budget { bytes: 20_000, entries: 50 })? != Step::Done {}
            Ok(())
        };
        faulty.fails(fault);
        let result = compact();
        let fired = faulty.volume.fired() > 0;
        faulty.volume.heal();
        let named = result.is_ok() || op == IoOp::SyncDirectory;
        let expected: &[&str] = if named { &["3.couch.1", "copy"] } else { &["3.couch.1"] };
        if op != IoOp::Remove {
            assert_eq!(world.names(), expected, "{context}");
        }
        if !named {
            compact().unwrap();
        }
        let (copy, _) = open_for_reading(&faulty.memory, "copy", OpenMode::Strict).unwrap();
        world.committed.assert_is(&copy, context);
        fired
    });
}

/// Steps flusher and compaction until that is at its end, whatever fails. `None` when it could not
/// even start.
fn compact(world: World) -> (World, Option<Error>) {
    let vbucket = world.vbucket.clone();
    let mut script = match Script::start(world) {
        Ok(script) => script,
        Err((world, error)) => return (*world, Some(error)),
    };
    for _ in 0..1000 {
        let _ = script.step_flusher();
        match script.step_compaction() {
            Ok(Step::Done) => return (script.world, None),
            Ok(_) => {}
            Err(error) => return (script.world, Some(error)),
        }
    }
    unreachable!("no end: {vbucket:?}");
}

#[test]
fn a_failed_compaction_leaves_the_old_file_in_charge_and_nothing_else() {
    let prepared = Prepared::new();
    at_every_failure(|fault, op, context| {
        let (faulty, mut world) = Faulty::new(&prepared);
        world.take_snapshot();
        faulty.fails(fault);
        let (mut world, error) = compact(world);
        let fired = faulty.volume.fired() > 0;
        faulty.volume.heal();
        assert!(!matches!(error, Some(Error::Cancelled)), "{context}");
        let revision = world.vbucket.revision();
        let names = world.names();
        if names == ["3.couch.1", "3.couch.2"] && revision == 1 {
            // The directory's sync failed after the renaming.
            assert!(op == IoOp::SyncDirectory, "{context}");
            assert_refuses_writes(&mut world, context);
            world.assert_published(context);
            world.assert_readers(context);
            faulty.assert_restarts(world, context);
            return fired;
        }
        if op != IoOp::Remove {
            assert_eq!(names, [format!("3.couch.{revision}")], "{context}: {error:?}");
        }
        world.flush_with_failures(2);
        world.assert_published(context);
        world.assert_readers(context);
        if op == IoOp::Remove && names.len() > 1 {
            // What could not be removed is gone once the vbucket is opened again.
            faulty.assert_restarts(world, context);
        } else {
            assert_goes_on(world, context);
        }
        fired
    });
}

#[test]
fn a_restart_after_a_failed_compaction_finds_what_was_acknowledged() {
    let prepared = Prepared::new();
    at_every_failure(|fault, _, context| {
        let (faulty, world) = Faulty::new(&prepared);
        faulty.fails(fault);
        let (world, _) = compact(world);
        let fired = faulty.volume.fired() > 0;
        faulty.assert_restarts(world, context);
        fired
    });
}

/// Bytes in the volume.
fn used(memory: &MemoryVolume) -> u64 {
    let names = memory.list().unwrap();
    names.iter().map(|name| memory.get(name).unwrap().len() as u64).sum()
}

#[test]
fn a_full_disk_while_flushing_loses_nothing() {
    let prepared = Prepared::new();
    for room in (0..120_000).step_by(1_777) {
        let context = format!("room for {room} bytes");
        let (faulty, mut world) = Faulty::new(&prepared);
        faulty.volume.set_capacity(used(&faulty.memory) + room);
        let failures = flush_some(&mut world, false);
        let committed = world.vbucket.snapshot().unwrap().end();
        if failures > 0 && !world.flusher.is_flushing() {
            let length = used(&faulty.memory);
            assert!(length < committed + 4096, "what failed is cut off, {context}");
        }
        world.assert_published(&context);
        faulty.volume.heal();
        // A full disk is no failed sync: the very next attempt succeeds.
        world.flush_with_failures(u32::from(world.flusher.is_flushing()));
        world.assert_published(&context);
        assert_goes_on(world, &context);
    }
}

#[test]
fn a_full_disk_while_compacting_leaves_the_old_file_in_charge() {
    let prepared = Prepared::new();
    let (mut failed, mut swapped) = (0, 0);
    for room in (0..400_000).step_by(5_333) {
        let context = format!("room for {room} bytes");
        let (faulty, world) = Faulty::new(&prepared);
        faulty.volume.set_capacity(used(&faulty.memory) + room);
        let (mut world, error) = compact(world);
        match &error {
            Some(error) => {
                failed += 1;
                assert!(error.to_string().contains("disk full"), "{error}, {context}");
                assert_eq!(world.names(), ["3.couch.1"], "{context}");
            }
            None => {
                swapped += 1;
                assert_eq!(world.names(), ["3.couch.2"], "{context}");
            }
        }
        world.assert_published(&context);
        faulty.volume.heal();
        world.flush_with_failures(1);
        assert_goes_on(world, &context);
    }
    assert!(failed > 3 && swapped > 3, "{failed} failed, {swapped} swapped");
}
