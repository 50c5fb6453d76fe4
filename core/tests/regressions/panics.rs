//! A listener that panics takes down what called it, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tailswap::Error;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Host, MemoryVolume, SystemHost, Volume};
use tailswap::engine::{Engine, EngineOptions, set};
use tailswap::event::{Event, EventSink, Events};
use tailswap::flusher::{Dirty, Flusher};
use tailswap::sim::SaveLocals;
use tailswap::store::{Budget, CommitStyle, LocalUpdate, Step};
use tailswap::vbucket::VBucket;

/// Panics when a flush of this vbucket begins.
struct Panics(u16);

impl EventSink for Panics {
    fn event(&self, event: Event) {
        if let Event::FlushStarted { vbucket, .. } = event {
            assert_ne!(vbucket, self.0, "told to panic");
        }
    }
}

#[test]
fn whoever_waits_for_a_flush_that_panicked_is_told_and_so_is_the_shutdown() {
    let options = EngineOptions {
        flusher_threads: 1,
        events: Events::to(Arc::new(Panics(1))),
        ..EngineOptions::default()
    };
    let (volume, host) = (Arc::new(MemoryVolume::new()), Arc::new(SystemHost::new().unwrap()));
    let engine = Engine::open(volume.clone(), host.clone(), options).unwrap();
    for vbucket in [1, 2] {
        engine.create(vbucket).unwrap();
    }
    let lost = engine.mutate(1, set(b"key", b"lost")).unwrap();
    let given_up = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::FlushFailing { vbucket: 1, .. }), "{error}");
    };
    given_up(engine.wait_persisted(lost));
    // The only thread that flushes goes on with others.
    let kept = engine.mutate(2, set(b"key", b"kept")).unwrap();
    engine.wait_persisted(kept).unwrap();
    given_up(
        engine.mutate(1, set(b"key", b"later")).and_then(|later| engine.wait_persisted(later)),
    );
    given_up(engine.shutdown());

    let engine = Engine::open(volume, host, EngineOptions::default()).unwrap();
    assert_eq!(engine.snapshot(1).unwrap().counts().live, 0);
    assert_eq!(engine.snapshot(2).unwrap().counts().live, 1);
    engine.shutdown().unwrap();
}

/// Panics at an event counted from when it was armed: once, or, as one whose own mutex is poisoned,
/// at all that follow too.
#[derive(Default)]
struct PanicsAt {
    /// Events until then; negative when it is not armed.
    left: AtomicI64,
    for_ever: bool,
    panicked_at: Mutex<Option<Event>>,
    committed: AtomicBool,
}

impl PanicsAt {
    fn new(for_ever: bool) -> Arc<Self> {
        Arc::new(PanicsAt { left: AtomicI64::new(-1), for_ever, ..PanicsAt::default() })
    }

    fn arm(&self, events: i64) {
        self.committed.store(false, Ordering::SeqCst);
        self.left.store(events, Ordering::SeqCst);
    }

    /// The event at which it panicked first.
    fn panicked_at(&self) -> Option<Event> {
        self.panicked_at.lock().unwrap().clone()
    }
}

impl EventSink for PanicsAt {
    fn event(&self, event: Event) {
        if matches!(event, Event::HeaderCommitted { .. }) {
            self.committed.store(true, Ordering::SeqCst);
        }
        let left = self.left.load(Ordering::SeqCst);
        if left > 0 {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        if left == 0 {
            self.panicked_at.lock().unwrap().get_or_insert(event);
            if !self.for_ever {
                self.left.store(-1, Ordering::SeqCst);
            }
            // As a panic, without the message that would be printed for each.
            resume_unwind(Box::new("told to panic"));
        }
    }
}

/// A volume with one vbucket that holds one document, and the engine that is open on it with one
/// thread of each kind.
fn engine_with_a_document(sink: &Arc<PanicsAt>) -> (Arc<MemoryVolume>, Arc<SystemHost>, Engine) {
    let (volume, host) = (Arc::new(MemoryVolume::new()), Arc::new(SystemHost::new().unwrap()));
    let engine = Engine::open(volume.clone(), host.clone(), EngineOptions::default()).unwrap();
    engine.create(0).unwrap();
    persist(&engine, b"before").unwrap();
    // Another engine goes on, so that no thread has events of this flush left to say.
    engine.shutdown().unwrap();
    let options = EngineOptions {
        flusher_threads: 1,
        compactor_threads: 1,
        events: Events::to(sink.clone()),
        ..EngineOptions::default()
    };
    let engine = Engine::open(volume.clone(), host.clone(), options).unwrap();
    (volume, host, engine)
}

fn persist(engine: &Engine, id: &[u8]) -> Result<(), Error> {
    engine.mutate(0, set(id, b"value")).and_then(|accepted| engine.wait_persisted(accepted))
}

fn compact(engine: &Engine) -> Result<(), Error> {
    engine.compact(0, CompactionOptions::default())?.wait().map(drop)
}

/// What is there when the volume is opened anew: documents, of which there is one file.
fn reopened(volume: Arc<MemoryVolume>, host: Arc<SystemHost>) -> u64 {
    let engine = Engine::open(volume.clone(), host, EngineOptions::default()).unwrap();
    let live = engine.snapshot(0).unwrap().counts().live;
    persist(&engine, b"afterwards").unwrap();
    compact(&engine).unwrap();
    assert_eq!(engine.snapshot(0).unwrap().counts().live, live + 1);
    engine.shutdown().unwrap();
    assert_eq!(volume.list().unwrap().len(), 1);
    live
}

/// A listener panics at every event of a compaction in turn.
#[test]
fn whoever_waits_for_a_compaction_that_panicked_is_told_and_nothing_is_lost() {
    for for_ever in [false, true] {
        let panicked = (0..).take_while(|at| compaction_panics(*at, for_ever)).count();
        assert!(panicked > 20, "{panicked}");
    }
}

fn compaction_panics(at: i64, for_ever: bool) -> bool {
    let sink = PanicsAt::new(for_ever);
    let (volume, host, engine) = engine_with_a_document(&sink);
    sink.arm(at);
    let outcome = compact(&engine);
    let Some(event) = sink.panicked_at() else {
        outcome.unwrap();
        return false;
    };
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "the compaction of vbucket 0 panicked", "at {event:?}");
    let mut acknowledged = 1;
    if !for_ever {
        // The only thread that compacts goes on, and so does the vbucket, unless nobody can tell
        // which of its files a crash would leave.
        match persist(&engine, b"after") {
            Ok(()) => {
                acknowledged += 1;
                compact(&engine).unwrap_or_else(|error| panic!("after {event:?}: {error}"));
            }
            Err(Error::FlushFailing { .. }) => {
                let uncertain = ["renamed", "directory_sync_issued", "directory_sync_completed"];
                assert!(uncertain.contains(&event.name()), "after {event:?}");
            }
            Err(error) => panic!("after {event:?}: {error}"),
        }
    }
    let metrics = engine.metrics();
    let ends = metrics.compactions + metrics.unfinished_compactions;
    assert!(ends > 0 || for_ever, "the end is not said after {event:?}");
    let _ = engine.shutdown();
    assert!(reopened(volume, host) >= acknowledged, "after {event:?}");
    true
}

/// A listener panics at every event of a flush in turn, and the vbucket is used for something else.
#[test]
fn after_a_flush_that_panicked_a_rollback_and_a_compaction_find_whole_states() {
    for (for_ever, compacted) in [(false, false), (false, true), (true, false)] {
        let panicked = (0..).take_while(|at| flush_panics(*at, for_ever, compacted)).count();
        assert!(panicked > 10, "{panicked}");
    }
}

fn flush_panics(at: i64, for_ever: bool, compacted: bool) -> bool {
    let sink = PanicsAt::new(for_ever);
    let (volume, host, engine) = engine_with_a_document(&sink);
    sink.arm(at);
    let acknowledged = persist(&engine, b"panics").is_ok();
    if for_ever || sink.panicked_at().is_none() {
        // What panics after the acknowledgement may do so only now.
        let _ = engine.shutdown();
        let event = sink.panicked_at();
        assert!(reopened(volume, host) > u64::from(acknowledged), "after {event:?}");
        return event.is_some();
    }
    let event = sink.panicked_at();
    let live = || engine.snapshot(0).unwrap().counts().live;
    if compacted {
        compact(&engine).unwrap();
        assert!(live() > u64::from(acknowledged), "after {event:?}");
    } else {
        // The first one may find that the store has to go back before anything else.
        let seq = engine.rollback(0, 1).or_else(|_| engine.rollback(0, 1)).unwrap();
        assert_eq!((seq, live()), (1, 1), "after {event:?}");
    }
    let expected = live();
    let _ = engine.shutdown();
    assert_eq!(reopened(volume, host), expected, "after {event:?}");
    true
}

/// A listener panics at every event of a rollback in turn, on the caller's thread.
#[test]
fn a_rollback_that_panicked_leaves_a_vbucket_that_can_be_used() {
    let mut at = 0;
    loop {
        let sink = PanicsAt::new(false);
        let (volume, host, engine) = engine_with_a_document(&sink);
        sink.arm(at);
        let rolled_back = catch_unwind(AssertUnwindSafe(|| engine.rollback(0, 0)));
        let Some(event) = sink.panicked_at() else { break };
        assert!(rolled_back.is_err());
        // The first one may find that the store has to go back before anything else.
        let seq = engine.rollback(0, 0).or_else(|_| engine.rollback(0, 0)).unwrap();
        assert_eq!(seq, 0, "after {event:?}");
        persist(&engine, b"after").unwrap();
        engine.shutdown().unwrap();
        assert_eq!(reopened(volume, host), 1, "after {event:?}");
        at += 1;
    }
    assert!(at > 10, "{at}");
}

/// One vbucket without an engine.
struct Vbucket {
    bucket: VBucket,
    dirty: Dirty,
    flusher: Flusher,
}

impl Vbucket {
    fn new(events: Events) -> Self {
        let host: Arc<dyn Host> = Arc::new(SystemHost::new().unwrap());
        let bucket =
            VBucket::create(Arc::new(MemoryVolume::new()), host, 0, 1, CommitStyle::Flip, events)
                .unwrap();
        let dirty = Dirty::new(0, u64::MAX);
        let flusher = Flusher::new(bucket.clone(), dirty.clone(), Waker::noop().clone());
        Vbucket { bucket, dirty, flusher }
    }

    fn flush(&mut self) -> Result<(), Error> {
        while self.flusher.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
        Ok(())
    }

    fn saving(&self, id: &str) -> SaveLocals {
        let update = LocalUpdate { id: id.into(), value: Some(b"{}".to_vec()) };
        SaveLocals::new(&self.bucket, vec![update], Waker::noop().clone())
    }

    fn save_local(&self, id: &str) -> Result<(), Error> {
        let mut saving = self.saving(id);
        while saving.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
        Ok(())
    }

    fn has_local(&self, id: &str) -> bool {
        self.bucket.snapshot().unwrap().local(id.as_bytes()).unwrap().is_some()
    }
}

#[test]
fn what_a_flush_that_panicked_left_does_not_come_with_a_local_document() {
    let mut at = 0;
    loop {
        let sink = PanicsAt::new(false);
        let mut vbucket = Vbucket::new(Events::to(sink.clone()));
        vbucket.dirty.with_queue(|queue| queue.push(set(b"key", b"value"))).unwrap();
        sink.arm(at);
        let flushed = catch_unwind(AssertUnwindSafe(|| vbucket.flush()));
        let Some(event) = sink.panicked_at() else { break };
        assert!(flushed.is_err());
        let durable = sink.committed.load(Ordering::SeqCst);
        vbucket.save_local("_local/a").or_else(|_| vbucket.save_local("_local/a")).unwrap();
        let live = vbucket.bucket.snapshot().unwrap().counts().live;
        assert_eq!((live, durable), (u64::from(durable), live == 1), "after {event:?}");
        if !durable {
            vbucket.flush().or_else(|_| vbucket.flush()).unwrap();
            assert_eq!(vbucket.dirty.persisted_seq(), 1, "after {event:?}");
            assert_eq!(vbucket.bucket.snapshot().unwrap().counts().live, 1, "after {event:?}");
        }
        at += 1;
    }
    assert!(at > 10, "{at}");
}

#[test]
fn a_local_document_whose_saving_is_cut_short_does_not_come_with_the_next() {
    let mut steps = 0;
    loop {
        let vbucket = Vbucket::new(Events::none());
        let mut cut_short = vbucket.saving("_local/cut_short");
        let mut saved = false;
        for _ in 0..steps {
            saved |= cut_short.step(&mut Budget::UNBOUNDED.clone()).unwrap() == Step::Done;
        }
        drop(cut_short);
        vbucket.save_local("_local/a").or_else(|_| vbucket.save_local("_local/a")).unwrap();
        assert!(vbucket.has_local("_local/a"));
        assert_eq!(vbucket.has_local("_local/cut_short"), saved, "after {steps} steps");
        if saved {
            break;
        }
        steps += 1;
    }
    assert!(steps > 4, "{steps}");
}
