//! The smallest hand-over between two threads, in every order that there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use shuttle::scheduler::DfsScheduler;
use shuttle::thread;
use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::MemoryVolume;
use tailswap::event::{Event, EventSink, Events};
use tailswap::sim::SimHost;
use tailswap::store::{Budget, CommitStyle, Step};
use tailswap::vbucket::VBucket;

use crate::checker;

/// More than there are; a run that is cut short proves nothing.
const SCHEDULES_MAX: usize = 1_000_000;

#[test]
fn publishing_a_file_against_taking_a_snapshot() {
    let dfs = DfsScheduler::new(Some(SCHEDULES_MAX), false);
    let test = "handoff::publishing_a_file_against_taking_a_snapshot";
    let schedules = checker::run(test, dfs, publish_beside_a_reader);
    println!("{schedules} schedules");
    assert!(schedules < SCHEDULES_MAX, "not all schedules were tried");
}

/// Notices that the target has its new name: publishing it comes next.
#[derive(Default)]
struct Renamed(AtomicBool);

impl EventSink for Renamed {
    fn event(&self, event: Event) {
        if matches!(event, Event::DirectorySyncIssued) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn publish_beside_a_reader() {
    let renamed = Arc::new(Renamed::default());
    let (volume, host) = (Arc::new(MemoryVolume::new()), Arc::new(SimHost::ticking()));
    let vbucket =
        VBucket::create(volume, host, 0, 1, CommitStyle::Flip, Events::to(renamed.clone()))
            .unwrap();
    renamed.0.store(false, Ordering::Relaxed);
    let (options, waker) = (CompactionOptions::default(), Waker::noop().clone());
    let start = Compaction::start(&vbucket, options, waker, |reader| Box::new(reader));
    let mut compaction = start.unwrap();
    let mut step = || compaction.step(&mut Budget::UNBOUNDED.clone()).unwrap();
    while !renamed.0.load(Ordering::Relaxed) {
        assert_ne!(step(), Step::Done);
    }
    let reader = {
        let vbucket = vbucket.clone();
        thread::spawn(move || {
            let snapshot = vbucket.snapshot().unwrap();
            // Its file is whole, even if its name is gone.
            assert_eq!(snapshot.file().len().unwrap(), snapshot.end());
            snapshot.file().name.to_string()
        })
    };
    while step() != Step::Done {}
    let seen = reader.join().unwrap();
    assert!(["0.couch.1", "0.couch.2"].contains(&seen.as_str()), "{seen}");
    assert_eq!(&*vbucket.snapshot().unwrap().file().name, "0.couch.2");
}
