//! Bugs that others met with the threads around flusher and compaction (`core/FAULTS.md`, by number).

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use tailswap::Error;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Fault, FaultVolume, MemoryVolume, SystemHost, Volume};
use tailswap::engine::{Engine, EngineOptions, set};
use tailswap::error::IoOp;
use tailswap::event::{Event, EventSink, Events};

fn open(volume: Arc<dyn Volume>, compactor_threads: usize, events: Events) -> Engine {
    let options =
        EngineOptions { compactor_threads, automatic: None, events, ..EngineOptions::default() };
    Engine::open(volume, Arc::new(SystemHost::new().unwrap()), options).unwrap()
}

fn fill(engine: &Engine, vbucket: u16) {
    for key in 0..50_u64 {
        engine.mutate(vbucket, set(&key.to_be_bytes(), &[b'v'; 2000])).unwrap();
    }
    let last = engine.mutate(vbucket, set(b"last", b"1")).unwrap();
    engine.wait_persisted(last).unwrap();
}

/// Tells when the `nth` event of a compaction's phases was emitted.
struct TellsOf {
    phase: usize,
    seen: Mutex<usize>,
    tell: mpsc::Sender<()>,
}

impl EventSink for TellsOf {
    fn event(&self, event: Event) {
        if matches!(event, Event::PhaseChanged { .. } | Event::CompactionEnded { .. }) {
            let mut seen = self.seen.lock().unwrap();
            if *seen == self.phase {
                // Nobody may be listening any more.
                let _ = self.tell.send(());
            }
            *seen += 1;
        }
    }
}

/// What comes while a compaction is running.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    Cancel,
    Delete,
    Rollback,
    Shutdown,
}

/// In the orders in which the two sides happen to come, from each phase on.
#[test]
fn b36_b37_whoever_waits_for_a_compaction_is_answered_whatever_comes_between() {
    use Interruption::{Cancel, Delete, Rollback, Shutdown};
    for interruption in [Cancel, Delete, Rollback, Shutdown] {
        for phase in 0..8 {
            let context = format!("{interruption:?} at phase {phase}");
            let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
            let (tell, told) = mpsc::channel();
            let sink = TellsOf { phase, seen: Mutex::new(0), tell };
            let engine = open(volume.clone(), 1, Events::to(Arc::new(sink)));
            engine.create(0).unwrap();
            fill(&engine, 0);
            let ticket = engine.compact(0, CompactionOptions::default()).unwrap();
            // Every compaction tells of eight phases at least.
            let waiter = thread::spawn(move || ticket.wait());
            let _ = told.recv();
            match interruption {
                Cancel => engine.cancel_compaction(0).unwrap(),
                Delete => engine.delete(0).unwrap(),
                Rollback => drop(engine.rollback(0, 10).unwrap()),
                Shutdown => {}
            }
            engine.shutdown().unwrap();
            let answer = waiter.join().unwrap();
            assert!(matches!(answer, Ok(_) | Err(Error::Cancelled)), "{context}: {answer:?}");
            let left = usize::from(!matches!(interruption, Delete));
            assert_eq!(volume.list().unwrap().len(), left, "{context}");
        }
    }
}

/// Counts the compactions that are running.
#[derive(Default)]
struct Running(Mutex<(usize, usize)>);

impl EventSink for Running {
    fn event(&self, event: Event) {
        let mut running = self.0.lock().unwrap();
        match event {
            Event::CompactionStarted { .. } => running.0 += 1,
            Event::CompactionEnded { .. } => running.0 -= 1,
            _ => {}
        }
        running.1 = running.1.max(running.0);
    }
}

#[test]
fn b38_no_more_compactions_run_at_once_than_there_are_threads_for() {
    let running = Arc::new(Running::default());
    let engine = open(Arc::new(MemoryVolume::new()), 2, Events::to(running.clone()));
    for vbucket in 0..6 {
        engine.create(vbucket).unwrap();
        fill(&engine, vbucket);
    }
    for _ in 0..5 {
        let ask = |vbucket| engine.compact(vbucket, CompactionOptions::default()).unwrap();
        let tickets: Vec<_> = (0..6).map(ask).collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    }
    engine.shutdown().unwrap();
    let (left, most) = *running.0.lock().unwrap();
    assert_eq!(left, 0);
    assert!((1..=2).contains(&most), "{most} at once");
}

#[test]
fn b39_whoever_asked_for_a_compaction_is_told_how_it_failed() {
    let volume = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let engine = open(Arc::new(volume.clone()), 1, Events::none());
    engine.create(0).unwrap();
    fill(&engine, 0);
    let of_target = |file: &str| file.ends_with(".compact");
    for op in [IoOp::Create, IoOp::Write, IoOp::Sync, IoOp::Rename, IoOp::Read] {
        volume.inject(Fault::nth(1).of(op).on_files(of_target));
        let ticket = engine.compact(0, CompactionOptions::default()).unwrap();
        let error = ticket.wait().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{op:?}: {error}");
        volume.heal();
        fill(&engine, 0);
    }
    engine.compact(0, CompactionOptions::default()).unwrap().wait().unwrap();
    engine.shutdown().unwrap();
}
