//! The engine's threads on real files and in memory: what was acknowledged is there, whatever runs
//! beside it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tailswap::Error;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Fault, FaultVolume, FileVolume, MemoryVolume, SystemHost, Volume};
use tailswap::engine::{AutomaticCompaction, Engine, EngineOptions, delete, set};
use tailswap::error::IoOp;
use tailswap::event::{Event, EventSink, Events};
use tailswap::flusher::queue::Mutation;
use tailswap::format::names::prefixed_id;
use tailswap::format::rev_meta::RevMeta;
use tailswap::store::Snapshot;

/// Remembers all events.
#[derive(Default)]
struct Log(Mutex<Vec<Event>>);

impl EventSink for Log {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn open(volume: Arc<dyn Volume>, options: EngineOptions) -> Engine {
    Engine::open(volume, Arc::new(SystemHost::new().unwrap()), options).unwrap()
}

/// Compacts whenever a fifth of a file of any size is unused.
fn eager() -> EngineOptions {
    let automatic = AutomaticCompaction { fragmentation: 0.2, minimum_size: 100_000 };
    EngineOptions { automatic: Some(automatic), queue_bytes: 64 << 10, ..EngineOptions::default() }
}

fn value(key: u64, version: u64) -> Vec<u8> {
    let filler = "x".repeat((key * 131 % 3000) as usize);
    format!(r#"{{"key":{key},"version":{version},"filler":"{filler}"}}"#).into_bytes()
}

/// State of a vbucket: each id and its body, `None` for a tombstone.
fn contents(snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let by_id: BTreeMap<_, _> = snapshot
        .documents_by_id(b"", None)
        .unwrap()
        .map(|info| {
            let info = info.unwrap();
            let body = snapshot.body(info.as_ref()).unwrap();
            (info.id, body)
        })
        .collect();
    assert_eq!(snapshot.changes_since(0).unwrap().count(), by_id.len());
    by_id
}

#[test]
fn writers_compactions_and_readers_side_by_side_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let volume: Arc<dyn Volume> = Arc::new(FileVolume::open_writable(directory.path()).unwrap());
    let log = Arc::new(Log::default());
    let options = EngineOptions { events: Events::to(log.clone()), ..eager() };
    let engine = open(volume.clone(), options);
    const VBUCKETS: u16 = 2;
    (0..VBUCKETS).for_each(|vbucket| engine.create(vbucket).unwrap());
    let stop = AtomicBool::new(false);
    let models: Vec<BTreeMap<_, _>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..VBUCKETS)
            .map(|vbucket| {
                let engine = &engine;
                scope.spawn(move || {
                    let mut model = BTreeMap::new();
                    let mut last = None;
                    for n in 0..6_000_u64 {
                        let key = n * 7919 % 500;
                        let id = key.to_be_bytes();
                        let (mutation, body) = match n % 10 {
                            9 => (delete(&id), None),
                            _ => (set(&id, &value(key, n)), Some(value(key, n))),
                        };
                        last = Some(engine.mutate(vbucket, mutation).unwrap());
                        model.insert(prefixed_id(0, &id), body);
                        if n % 1000 == 0 {
                            engine.wait_persisted(last.unwrap()).unwrap();
                        }
                    }
                    engine.wait_persisted(last.unwrap()).unwrap();
                    model
                })
            })
            .collect();
        scope.spawn(|| {
            // A reader's snapshot stays the same while files are swapped under it.
            while !stop.load(Ordering::Relaxed) {
                let snapshot = engine.snapshot(0).unwrap();
                let first = contents(&snapshot);
                assert!(first == contents(&snapshot));
            }
        });
        let models = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        models
    });
    for (vbucket, model) in models.iter().enumerate() {
        assert!(&contents(&engine.snapshot(vbucket as u16).unwrap()) == model);
    }
    let metrics = engine.metrics();
    assert!(metrics.compactions >= 2, "{} compactions", metrics.compactions);
    assert_eq!(metrics.failed_flushes, 0);
    engine.shutdown().unwrap();
    assert_eq!(volume.list().unwrap().len(), usize::from(VBUCKETS), "{:?}", volume.list());

    // The old file is unlinked only after the lock was given back.
    let events = log.0.lock().unwrap();
    let mut holds = BTreeMap::new();
    for event in events.iter() {
        match event {
            Event::LockTaken { vbucket, actor } => _ = holds.insert(*vbucket, *actor),
            Event::LockReleased { vbucket, .. } => _ = holds.remove(vbucket),
            Event::Removed { file } => {
                let vbucket: u16 = file.split('.').next().unwrap().parse().unwrap();
                let actor = holds.get(&vbucket);
                assert_ne!(actor, Some(&tailswap::event::Actor::Compactor), "{file}");
            }
            _ => {}
        }
    }
    drop(events);

    let engine = open(volume, EngineOptions::default());
    for (vbucket, model) in models.iter().enumerate() {
        assert!(&contents(&engine.snapshot(vbucket as u16).unwrap()) == model);
    }
    engine.shutdown().unwrap();
}

#[test]
fn rollback_deletion_and_recreation_beside_writers_and_compactions() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let engine = open(volume.clone(), eager());
    engine.create(7).unwrap();
    for round in 0..30_u64 {
        let mut last = None;
        for key in 0..200_u64 {
            last = Some(engine.mutate(7, set(&key.to_be_bytes(), &value(key, round))).unwrap());
        }
        if round % 3 == 0 {
            engine.wait_persisted(last.unwrap()).unwrap();
        }
        // Refused while an automatic one is running.
        let ticket = engine.compact(7, CompactionOptions::default());
        match round % 3 {
            1 => {
                let seq = engine.snapshot(7).unwrap().header().update_seq;
                let reached = engine.rollback(7, seq).unwrap();
                assert!(reached <= seq);
                let snapshot = engine.snapshot(7).unwrap();
                assert_eq!(snapshot.header().update_seq, reached);
                contents(&snapshot);
                // What was given up is never acknowledged.
                let late = engine.wait_persisted(last.unwrap());
                assert!(matches!(late, Err(Error::Cancelled)), "{late:?}");
            }
            2 => {
                let before = engine.snapshot(7).unwrap();
                let held = contents(&before);
                engine.delete(7).unwrap();
                assert!(engine.snapshot(7).is_err());
                assert!(engine.mutate(7, set(b"k", b"1")).is_err());
                engine.create(7).unwrap();
                assert!(contents(&engine.snapshot(7).unwrap()).is_empty());
                assert!(contents(&before) == held, "a snapshot outlives its vbucket");
            }
            _ => {}
        }
        if let Ok(ticket) = ticket {
            match ticket.wait() {
                Ok(_) | Err(Error::Cancelled) => {}
                // An automatic one came first.
                Err(Error::Invalid(message)) => {
                    assert!(message.contains("already"), "{message}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    engine.shutdown().unwrap();
    assert_eq!(volume.list().unwrap().len(), 1, "{:?}", volume.list());
}

#[test]
fn shutting_down_flushes_and_answers_everyone() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    for _ in 0..20 {
        let engine = open(volume.clone(), EngineOptions::default());
        if engine.vbuckets().is_empty() {
            engine.create(0).unwrap();
        }
        let seq = engine.snapshot(0).unwrap().header().update_seq;
        for n in 0..500_u64 {
            engine.mutate(0, set(&n.to_be_bytes(), b"{}")).unwrap();
        }
        let ticket = engine.compact(0, CompactionOptions::default()).unwrap();
        engine.shutdown().unwrap();
        assert!(matches!(ticket.wait(), Ok(_) | Err(Error::Cancelled)));
        let engine = open(volume.clone(), EngineOptions::default());
        assert_eq!(engine.snapshot(0).unwrap().header().update_seq, seq + 500);
        engine.shutdown().unwrap();
        assert_eq!(volume.list().unwrap().len(), 1);
    }
}

#[test]
fn cas_values_go_on_behind_those_in_the_file() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let engine = open(volume.clone(), EngineOptions::default());
    engine.create(0).unwrap();
    let ahead = u64::MAX - 1000;
    let first = engine.mutate(0, Mutation { cas: ahead, ..set(b"first", b"1") }).unwrap();
    engine.wait_persisted(first).unwrap();
    engine.shutdown().unwrap();
    let engine = open(volume, EngineOptions::default());
    let second = engine.mutate(0, set(b"second", b"2")).unwrap();
    engine.wait_persisted(second).unwrap();
    let info = engine.snapshot(0).unwrap().get(&prefixed_id(0, b"second")).unwrap().unwrap();
    assert_eq!(RevMeta::decode(&info.rev_meta).unwrap().cas, ahead + 1);
    engine.shutdown().unwrap();
}

#[test]
fn a_compaction_that_nobody_would_ever_do_is_refused() {
    let options = EngineOptions { compactor_threads: 0, ..EngineOptions::default() };
    let engine = open(Arc::new(MemoryVolume::new()), options);
    engine.create(0).unwrap();
    let error = engine.compact(0, CompactionOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    engine.shutdown().unwrap();
}

#[test]
fn a_full_disk_fails_flushes_loses_nothing_and_goes_on_when_there_is_room() {
    let volume = Arc::new(FaultVolume::new(Arc::new(MemoryVolume::new())));
    let options = EngineOptions { automatic: None, ..EngineOptions::default() };
    let engine = open(volume.clone(), options);
    engine.create(0).unwrap();
    let first = engine.mutate(0, set(b"first", b"1")).unwrap();
    engine.wait_persisted(first).unwrap();
    volume.set_capacity(40_000);
    let large = format!("\"{}\"", (0..60_000).map(|n| n.to_string()).collect::<String>());
    let second = engine.mutate(0, set(b"second", large.as_bytes())).unwrap();
    let error = engine.wait_persisted(second).unwrap_err();
    assert!(matches!(error, Error::FlushFailing { vbucket: 0, .. }), "{error}");
    assert!(error.to_string().contains("0.couch.1: cannot write"), "{error}");
    assert_eq!(engine.snapshot(0).unwrap().counts().live, 1);
    volume.set_capacity(u64::MAX);
    // Flushes are tried again by themselves.
    while engine.wait_persisted(second).is_err() {
        thread::yield_now();
    }
    assert_eq!(engine.snapshot(0).unwrap().counts().live, 2);
    engine.shutdown().unwrap();
}

#[test]
fn a_compaction_that_fails_is_not_tried_again_at_every_flush() {
    let volume = Arc::new(FaultVolume::new(Arc::new(MemoryVolume::new())));
    let automatic = AutomaticCompaction { fragmentation: 0.1, minimum_size: 1 };
    let options = EngineOptions { automatic: Some(automatic), ..EngineOptions::default() };
    let engine = open(volume.clone(), options);
    engine.create(0).unwrap();
    volume.inject(
        Fault::nth(1).of(IoOp::Create).error(std::io::ErrorKind::PermissionDenied).sticky(),
    );
    for n in 0..200_u64 {
        let accepted = engine.mutate(0, set(&(n % 5).to_be_bytes(), &value(n % 5, n))).unwrap();
        engine.wait_persisted(accepted).unwrap();
    }
    let failed = volume.fired();
    assert!((1..30).contains(&failed), "{failed} compactions failed during 200 flushes");
    volume.heal();
    let ticket = loop {
        // One may be running just now.
        match engine.compact(0, CompactionOptions::default()) {
            Ok(ticket) => break ticket,
            Err(_) => thread::yield_now(),
        }
    };
    ticket.wait().unwrap();
    engine.shutdown().unwrap();
}
