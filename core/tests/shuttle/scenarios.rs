//! What threads do to an engine at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Fault, FaultVolume, MemoryVolume, Volume};
use tailswap::engine::{
    Accepted, AutomaticCompaction, CompactionTicket, Engine, EngineOptions, set,
};
use tailswap::error::IoOp;
use tailswap::format::names::prefixed_id;
use tailswap::sim::SimHost;
use tailswap::store::Snapshot;
use tailswap::{Error, Result};

use crate::checker::{self, came_to};

/// Each scenario in so many schedules of either kind.
const EXECUTIONS: usize = 5_000;
/// Longest pause, in steps of the checker: some more than a compaction takes beside two other threads.
const PAUSE_MAX: usize = 600;

/// Tests of each scenario, and the outcomes that its schedules must come to between them: else they
/// would prove little.
macro_rules! in_many_schedules {
    ($($scenario:ident: $outcomes:expr),* $(,)?) => {
        mod random {
            $(#[test]
            fn $scenario() {
                let test = concat!("scenarios::random::", stringify!($scenario));
                let came_to = super::checker::random(test, super::EXECUTIONS, super::$scenario);
                super::assert_reached(came_to, &$outcomes);
            })*
        }
        mod pct {
            $(#[test]
            fn $scenario() {
                let test = concat!("scenarios::pct::", stringify!($scenario));
                let came_to = super::checker::pct(test, super::EXECUTIONS, super::$scenario);
                super::assert_reached(came_to, &$outcomes);
            })*
        }
        /// A sample, each schedule run twice.
        mod twice {
            $(#[test]
            fn $scenario() {
                let test = concat!("scenarios::twice::", stringify!($scenario));
                super::checker::twice(test, super::EXECUTIONS / 100, super::$scenario);
            })*
        }
    };
}

in_many_schedules![
    readers_beside_flush_swap_and_unlink: ["0.couch.1", "0.couch.2"],
    cancelling_against_finishing: ["cancelled", "swapped"],
    rollback_against_compaction_and_flush:
        ["cancelled", "flush given up", "flush kept", "swapped"],
    deletion_and_recreation_against_compaction_and_flush:
        ["no x", "x of the new one", "swapped", "cancelled"],
    shutdown_at_any_moment: ["both", "neither", "one"],
    shutdown_beside_a_failing_flush: ["lost", "saved"],
    automatic_compactions_beside_two_flushers: ["asked", "refused"],
];

fn assert_reached(came_to: checker::Outcomes, outcomes: &[&str]) {
    println!("{came_to:?}");
    let missing: Vec<_> = outcomes.iter().filter(|one| !came_to.contains_key(*one)).collect();
    // A schedule that is run again by itself comes to some of them only.
    let alone = checker::is_replay();
    assert!(missing.is_empty() || alone, "{missing:?} never happened: {came_to:?}");
}

/// Readers see each state whole, none older than one before, and keep what they have.
fn readers_beside_flush_swap_and_unlink() {
    let (volume, engine) = engine_in_memory();
    persist(&engine, "first");
    let reader = {
        let engine = engine.clone();
        thread::spawn(move || {
            pause();
            let mut last = engine.snapshot(0).unwrap();
            for _ in 0..2 {
                let next = engine.snapshot(0).unwrap();
                assert!(next.header().update_seq >= last.header().update_seq);
                assert!(keys(&next).len() >= keys(&last).len());
                last = next;
            }
            last
        })
    };
    let ticket = compact(&engine);
    let second = engine.mutate(0, document("second")).unwrap();
    ticket.wait().unwrap();
    engine.wait_persisted(second).unwrap();
    assert_eq!(keys(&engine.snapshot(0).unwrap()), ["first", "second"]);
    let held = reader.join().unwrap();
    assert_eq!(volume.list().unwrap(), ["0.couch.2"]);
    came_to(if &*held.file().name == "0.couch.1" { "0.couch.1" } else { "0.couch.2" });
    let before = keys(&held);
    engine.delete(0).unwrap();
    assert_eq!(keys(&held), before, "what a reader holds outlives file and vbucket");
    close(engine).unwrap();
    assert_eq!(volume.list().unwrap(), Vec::<String>::new());
}

/// A compaction that is cancelled has either swapped or left nothing; and it is over when it answers.
fn cancelling_against_finishing() {
    let (volume, engine) = engine_in_memory();
    persist(&engine, "first");
    let ticket = compact(&engine);
    let canceller = {
        let engine = engine.clone();
        thread::spawn(move || {
            pause();
            engine.cancel_compaction(0).unwrap();
        })
    };
    let second = engine.mutate(0, document("second")).unwrap();
    let swapped = is_done_or_cancelled(ticket);
    came_to(if swapped { "swapped" } else { "cancelled" });
    canceller.join().unwrap();
    engine.wait_persisted(second).unwrap();
    let file = if swapped { "0.couch.2" } else { "0.couch.1" };
    assert_eq!(volume.list().unwrap(), [file]);
    compact(&engine).wait().unwrap();
    assert_eq!(keys(&engine.snapshot(0).unwrap()), ["first", "second"]);
    close(engine).unwrap();
    assert_eq!(volume.list().unwrap().len(), 1);
}

/// After a rollback nothing newer is there, whatever was being compacted or flushed.
fn rollback_against_compaction_and_flush() {
    let (volume, engine) = engine_in_memory();
    let first = persist(&engine, "first");
    persist(&engine, "second");
    let ticket = compact(&engine);
    let writer = {
        let engine = engine.clone();
        thread::spawn(move || {
            pause();
            let accepted = engine.mutate(0, document("third")).unwrap();
            match engine.wait_persisted(accepted) {
                Ok(()) | Err(Error::Cancelled) => {}
                Err(error) => panic!("{error}"),
            }
        })
    };
    pause();
    let reached = engine.rollback(0, first.seq).unwrap();
    let swapped = is_done_or_cancelled(ticket);
    writer.join().unwrap();
    // A compaction leaves no older state behind.
    let mut expected = if reached == 0 { vec![] } else { vec!["first"] };
    assert!(reached == first.seq || (reached == 0 && swapped), "went back to {reached}");
    let found = keys(&engine.snapshot(0).unwrap());
    if found.iter().any(|key| key == "third") {
        expected.push("third");
        came_to("flush kept");
    } else {
        came_to("flush given up");
    }
    came_to(if swapped { "swapped" } else { "cancelled" });
    assert_eq!(found, expected);
    persist(&engine, "fourth");
    expected.push("fourth");
    expected.sort();
    assert_eq!(keys(&engine.snapshot(0).unwrap()), expected);
    close(engine).unwrap();
    assert_eq!(volume.list().unwrap().len(), 1);
}

/// Nothing of a former incarnation comes back, and whoever waited for it is told.
fn deletion_and_recreation_against_compaction_and_flush() {
    // Room for one mutation at a time, so that the writer waits.
    let options = EngineOptions { queue_bytes: 1, flusher_threads: 2, ..options() };
    let (volume, engine) = engine_in_memory_with(options);
    persist(&engine, "old");
    let ticket = compact(&engine);
    let writer = {
        let engine = engine.clone();
        thread::spawn(move || {
            for key in ["x", "y"] {
                pause();
                // There may be no vbucket just now.
                let Ok(accepted) = engine.mutate(0, document(key)) else { continue };
                match engine.wait_persisted(accepted) {
                    Ok(()) | Err(Error::Cancelled) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    let before = engine.snapshot(0).unwrap();
    pause();
    engine.delete(0).unwrap();
    came_to(if is_done_or_cancelled(ticket) { "swapped" } else { "cancelled" });
    engine.create(0).unwrap();
    persist(&engine, "new");
    writer.join().unwrap();
    let found = keys(&engine.snapshot(0).unwrap());
    assert!(found.contains(&"new".to_owned()) && !found.contains(&"old".to_owned()), "{found:?}");
    came_to(if found.contains(&"x".to_owned()) { "x of the new one" } else { "no x" });
    assert!(keys(&before).contains(&"old".to_owned()));
    close(engine).unwrap();
    assert_eq!(volume.list().unwrap().len(), 1);
}

/// What was accepted is there afterwards, and every compaction that was asked for is answered.
fn shutdown_at_any_moment() {
    let volume = Arc::new(MemoryVolume::new());
    let engine = open(volume.clone(), options());
    engine.create(0).unwrap();
    engine.create(1).unwrap();
    let mut waiters = Vec::new();
    for vbucket in [0, 1] {
        engine.mutate(vbucket, document("first")).unwrap();
        // One thread compacts: the other request is waiting, or being worked at.
        let ticket = engine.compact(vbucket, CompactionOptions::default()).unwrap();
        waiters.push(thread::spawn(move || is_done_or_cancelled(ticket)));
    }
    engine.mutate(0, document("second")).unwrap();
    pause();
    engine.shutdown().unwrap();
    let swaps = waiters.into_iter().map(|waiter| waiter.join().unwrap());
    came_to(["neither", "one", "both"][swaps.filter(|swapped| *swapped).count()]);
    assert_eq!(volume.list().unwrap().len(), 2);
    let engine = open(volume, options());
    assert_eq!(keys(&engine.snapshot(0).unwrap()), ["first", "second"]);
    assert_eq!(keys(&engine.snapshot(1).unwrap()), ["first"]);
    engine.shutdown().unwrap();
}

/// A flush that failed is tried once more; a shutdown either says that something was lost or loses
/// nothing.
fn shutdown_beside_a_failing_flush() {
    let volume = Arc::new(FaultVolume::new(Arc::new(MemoryVolume::new())));
    let engine = open(volume.clone(), options());
    engine.create(0).unwrap();
    volume.inject(Fault::nth(1).of(IoOp::Write));
    engine.mutate(0, document("first")).unwrap();
    let ticket = engine.compact(0, CompactionOptions::default()).unwrap();
    let waiter = thread::spawn(move || ticket.wait().map(drop));
    pause();
    let result = engine.shutdown();
    match waiter.join().unwrap() {
        // The fault may have met the compaction.
        Ok(()) | Err(Error::Cancelled | Error::Io { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    volume.heal();
    let engine = open(volume.clone(), options());
    match result {
        Ok(()) => {
            assert_eq!(keys(&engine.snapshot(0).unwrap()), ["first"]);
            came_to("saved");
        }
        Err(Error::FlushFailing { .. }) => came_to("lost"),
        Err(error) => panic!("{error}"),
    }
    engine.shutdown().unwrap();
    assert_eq!(volume.list().unwrap().len(), 1);
}

/// Every flush asks for a compaction; others are asked for beside that, and a mutation of either
/// vbucket can meet any of them.
fn automatic_compactions_beside_two_flushers() {
    let automatic = Some(AutomaticCompaction { fragmentation: 0.0, minimum_size: 0 });
    let options = EngineOptions { flusher_threads: 2, automatic, ..options() };
    let (volume, engine) = engine_in_memory_with(options);
    engine.create(1).unwrap();
    let writer = {
        let engine = engine.clone();
        thread::spawn(move || {
            let accepted = engine.mutate(1, document("other")).unwrap();
            engine.wait_persisted(accepted).unwrap();
        })
    };
    persist(&engine, "first");
    match engine.compact(0, CompactionOptions::default()) {
        Ok(ticket) => {
            ticket.wait().unwrap();
            came_to("asked");
        }
        // An automatic one came first.
        Err(Error::Invalid(_)) => came_to("refused"),
        Err(error) => panic!("{error}"),
    }
    persist(&engine, "second");
    writer.join().unwrap();
    assert_eq!(keys(&engine.snapshot(0).unwrap()), ["first", "second"]);
    assert_eq!(keys(&engine.snapshot(1).unwrap()), ["other"]);
    close(engine).unwrap();
    assert_eq!(volume.list().unwrap().len(), 2);
}

fn options() -> EngineOptions {
    EngineOptions { flusher_threads: 1, automatic: None, ..EngineOptions::default() }
}

fn open(volume: Arc<dyn Volume>, options: EngineOptions) -> Engine {
    Engine::open(volume, Arc::new(SimHost::ticking()), options).unwrap()
}

fn engine_in_memory() -> (Arc<MemoryVolume>, Arc<Engine>) {
    engine_in_memory_with(options())
}

fn engine_in_memory_with(options: EngineOptions) -> (Arc<MemoryVolume>, Arc<Engine>) {
    let volume = Arc::new(MemoryVolume::new());
    let engine = open(volume.clone(), options);
    engine.create(0).unwrap();
    (volume, Arc::new(engine))
}

/// Shuts down an engine that nobody else uses any more.
fn close(engine: Arc<Engine>) -> Result<()> {
    Arc::into_inner(engine).unwrap().shutdown()
}

/// Lets others go on for a while, if the schedule has it so, so that what follows can come at any
/// moment of theirs.
fn pause() {
    let look = AtomicBool::new(false);
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..PAUSE_MAX) {
        look.load(Ordering::SeqCst);
    }
}

fn document(key: &str) -> tailswap::flusher::queue::Mutation {
    set(key.as_bytes(), br#"{"a":1}"#)
}

fn persist(engine: &Engine, key: &str) -> Accepted {
    let accepted = engine.mutate(0, document(key)).unwrap();
    engine.wait_persisted(accepted).unwrap();
    accepted
}

fn compact(engine: &Engine) -> CompactionTicket {
    engine.compact(0, CompactionOptions::default()).unwrap()
}

fn is_done_or_cancelled(ticket: CompactionTicket) -> bool {
    match ticket.wait() {
        Ok(_) => true,
        Err(Error::Cancelled) => false,
        // The vbucket was deleted before the compaction began.
        Err(Error::Invalid(message)) if message.contains("no vbucket") => false,
        Err(error) => panic!("{error}"),
    }
}

/// Keys of the documents in a state, by both of its trees.
fn keys(snapshot: &Snapshot) -> Vec<String> {
    let prefix = prefixed_id(0, b"").len();
    let by_id = snapshot.documents_by_id(b"", None).unwrap().map(|info| {
        let info = info.unwrap();
        assert!(snapshot.body(info.as_ref()).unwrap().is_some());
        (String::from_utf8(info.id[prefix..].to_vec()).unwrap(), info.seq)
    });
    let by_id: BTreeMap<String, u64> = by_id.collect();
    assert_eq!(snapshot.changes_since(0).unwrap().count(), by_id.len());
    by_id.into_keys().collect()
}
