//! Bugs that others met with files, handles and copies of files (`core/FAULTS.md`, by number).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use tailswap::Result;
use tailswap::compaction::{Compaction, CompactionOptions, CopySource};
use tailswap::device::{Fault, MemoryVolume, Volume};
use tailswap::event::{Event, EventSink, Events};
use tailswap::flusher::{Dirty, Flusher};
use tailswap::format::names::parse_file_name;
use tailswap::sim::SimHost;
use tailswap::sim::contents::Contents;
use tailswap::sim::crash::Recording;
use tailswap::sim::disk::{DiskRules, Profile};
use tailswap::sim::invariants::recover;
use tailswap::sim::machines::{Machines, VBUCKET};
use tailswap::sim::workloads::{Workload, value};
use tailswap::store::{Budget, CommitStyle, OpenMode, Step};
use tailswap::vbucket::VBucket;

/// Everything that a vbucket goes through, up to what fails.
fn live(machines: &mut Machines) -> Result<()> {
    machines.create()?;
    machines.push("a", Some(value(1, 3000)))?;
    machines.flush()?;
    machines.begin_compaction(0, 0)?;
    let _ = machines.step_compaction(Budget { bytes: 100, entries: 1 })?;
    machines.push("b", Some(value(2, 100)))?;
    machines.flush()?;
    machines.finish_compaction()?;
    let rollback = machines.begin_rollback(1)?;
    machines.finish_operation(rollback)?;
    let delete = machines.begin_delete()?;
    machines.finish_operation(delete)
}

#[test]
fn b22_no_handle_stays_open_whichever_operation_fails() {
    for nth in 1.. {
        let mut machines = Machines::new(DiskRules::new(Profile::Posix));
        machines.faults.inject(Fault::nth(nth));
        let result = live(&mut machines);
        let Machines { volume, faults, vbucket, flusher, compaction, .. } = machines;
        drop((vbucket, flusher, compaction));
        assert_eq!(volume.open_handles(), 0, "operation {nth} failed");
        if faults.fired() == 0 {
            result.unwrap();
            assert!(nth > 50, "enough operations to fail: {nth}");
            return;
        }
    }
}

/// Panics once, when it is told that a new file is in charge.
#[derive(Default)]
struct PanicsAtPublishing(AtomicBool);

impl EventSink for PanicsAtPublishing {
    fn event(&self, event: Event) {
        let first =
            matches!(event, Event::Published { .. }) && !self.0.swap(true, Ordering::Relaxed);
        assert!(!first, "a listener's own mistake");
    }
}

#[test]
fn b31_a_listener_that_panics_at_publishing_changes_nothing_of_the_swap() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let sink = Arc::new(PanicsAtPublishing::default());
    let host = Arc::new(SimHost::ticking());
    let events = Events::to(sink.clone());
    let vbucket =
        VBucket::create(volume.clone(), host.clone(), VBUCKET, 1, CommitStyle::Flip, events)
            .unwrap();
    let join = |reader| -> Box<dyn CopySource> { Box::new(reader) };
    let options = CompactionOptions::default();
    let mut compaction = Compaction::start(&vbucket, options, Waker::noop().clone(), join).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        while compaction.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
    }));
    assert!(panicked.is_err() && sink.0.load(Ordering::Relaxed));
    drop(compaction);
    assert_eq!(vbucket.revision(), 2);
    assert_eq!(&*vbucket.snapshot().unwrap().file().name, "7.couch.2");
    assert!(!vbucket.is_compacting() && vbucket.lock().holder().is_none());

    // The flusher writes to the new file, and so does whoever opens the vbucket again.
    let dirty = Dirty::new(0, 1 << 20);
    let mutation = tailswap::flusher::queue::Mutation {
        id: b"\0key".to_vec(),
        value: None,
        deleted: true,
        cas: 1,
        expiry: 0,
        flags: 0,
        datatype: 0,
        seq: None,
    };
    dirty.with_queue(|queue| queue.push(mutation)).unwrap();
    let mut flusher = Flusher::new(vbucket.clone(), dirty, Waker::noop().clone());
    while flusher.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
    let flushed = Contents::read(&vbucket.snapshot().unwrap()).unwrap();
    assert_eq!(flushed.update_seq, 1);
    drop((flusher, vbucket));
    let recovered = recover(volume.clone(), VBUCKET, CommitStyle::Flip).unwrap();
    assert_eq!((recovered.revision, recovered.contents), (2, Some(flushed)));
    assert_eq!(volume.list().unwrap(), ["7.couch.2"], "and sweeps the old file");
}

/// The file in charge as programs see it at each moment: its name and its bytes.
fn files_in_charge(recording: &Recording) -> Vec<Option<(String, Vec<u8>)>> {
    let in_charge = |image: tailswap::sim::disk::Image| {
        let revision = |name: &str| parse_file_name(name).map(|(_, revision)| revision);
        let files = image.files().filter(|(name, _)| revision(name).is_some());
        let newest = files.max_by_key(|(name, _)| revision(name));
        newest.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    };
    recording.points.iter().map(|point| in_charge(point.disk.visible())).collect()
}

/// A copy of a file holds one of the states that the vbucket had while it was made. The copy may be
/// made at once, or its beginning earlier than the rest, as reading a long file takes time.
#[test]
fn b40_a_copy_taken_at_any_step_opens_and_holds_one_of_the_states() {
    let mut copies = 0;
    let workloads = [Workload::CompactionWithTail, Workload::CompactionWithLastTail];
    for workload in workloads {
        let recording = workload.record(DiskRules::new(Profile::Posix), CommitStyle::Flip).unwrap();
        let files = files_in_charge(&recording);
        for (later, file) in files.iter().enumerate() {
            let Some((name, bytes)) = file else { continue };
            let recent = files.iter().enumerate().take(later + 1).skip(later.saturating_sub(12));
            for (earlier, file) in recent {
                let Some((former, beginning)) = file else { continue };
                if former != name {
                    continue;
                }
                let mut copy = beginning[..beginning.len().min(bytes.len())].to_vec();
                copy.extend_from_slice(&bytes[copy.len()..]);
                let volume = MemoryVolume::new();
                volume.put(name, copy).unwrap();
                let context = format!("{workload:?}, begun at {earlier}, ended at {later}");
                let host = Arc::new(SimHost::ticking());
                let volume: Arc<dyn Volume> = Arc::new(volume);
                let opened = VBucket::open(volume, host, VBUCKET, OpenMode::Strict, Events::none());
                let (vbucket, _) =
                    opened.unwrap_or_else(|e| unreachable!("{context}: {e}")).unwrap();
                let contents = Some(Contents::read(&vbucket.snapshot().unwrap()).unwrap());
                let first = recording.history.allowed(earlier + 1).start;
                let end = recording.history.allowed(later + 1).end;
                let versions = &recording.history.versions()[first..end];
                assert!(versions.iter().any(|version| version.contents == contents), "{context}");
                copies += 1;
            }
        }
    }
    assert!(copies > 1000, "{copies} copies");
}
