//! A flusher and a compaction side by side, stepped without threads: the bytes that they leave and the
//! events on the way must be the same on every host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tailswap::Result;
use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::{Host, MemoryVolume};
use tailswap::event::{Event, EventSink, Events};
use tailswap::flusher::queue::Mutation;
use tailswap::flusher::{Dirty, Flusher};
use tailswap::format::checksum::Checksum;
use tailswap::format::names::prefixed_id;
use tailswap::store::{Budget, CommitStyle, Step};
use tailswap::vbucket::VBucket;

/// What the page's run of seed 1 comes to everywhere: all that happened, and the world at its end.
pub(crate) const RUN_TRACE: &str = "6ef23a41aef09e0e";
pub(crate) const RUN_STATE: &str = "9d4aaa47823e45fb";

/// What a run comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) file: String,
    pub(crate) length: usize,
    pub(crate) checksum: u32,
    pub(crate) events: usize,
    pub(crate) events_checksum: u32,
    pub(crate) rounds: u32,
}

/// What it comes to everywhere.
pub(crate) fn expected() -> Outcome {
    Outcome {
        file: "5.couch.2".to_owned(),
        length: 82_025,
        checksum: 1_863_379_817,
        events: 2_908,
        events_checksum: 3_814_130_473,
        rounds: 1,
    }
}

/// Time that passes by a microsecond whenever it is asked for.
#[derive(Debug)]
struct TickingHost(AtomicU64);

impl Host for TickingHost {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        0x5eed
    }
}

/// Events as lines of JSON.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl EventSink for Lines {
    fn event(&self, event: Event) {
        let line = serde_json::to_string(&event).unwrap_or_default();
        if let Ok(mut lines) = self.0.lock() {
            lines.push(line);
        }
    }
}

fn mutation(n: u64) -> Mutation {
    let key = n * 7919 % 300;
    let deleted = n % 9 == 8;
    let value = format!(r#"{{"n":{n},"filler":"{}"}}"#, "abcdefgh".repeat((key % 90) as usize));
    Mutation {
        id: prefixed_id(0, format!("key-{key:04}").as_bytes()),
        value: (!deleted).then(|| value.into_bytes().into()),
        deleted,
        cas: n + 1,
        expiry: 0,
        flags: 0,
        datatype: u8::from(!deleted),
        seq: None,
    }
}

/// Fills a vbucket, then compacts it while the flusher goes on.
pub(crate) fn run() -> Result<Outcome> {
    let volume = MemoryVolume::new();
    let lines = Arc::new(Lines::default());
    let (host, events) =
        (Arc::new(TickingHost(AtomicU64::new(1 << 60))), Events::to(lines.clone()));
    let vbucket = VBucket::create(Arc::new(volume.clone()), host, 5, 1, CommitStyle::Flip, events)?;
    let dirty = Dirty::new(0, 1 << 20);
    let mut flusher = Flusher::new(vbucket.clone(), dirty.clone(), Waker::noop().clone());
    let mut written = 0;
    let mut write = |count: u64| {
        for n in written..written + count {
            dirty.with_queue(|queue| queue.push(mutation(n))).ok();
        }
        written += count;
    };
    for _ in 0..20 {
        write(60);
        while flusher.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
    }
    let (options, waker) = (CompactionOptions::default(), Waker::noop().clone());
    let mut compaction = Compaction::start(&vbucket, options, waker, |reader| Box::new(reader))?;
    let mut steps = 0_u64;
    while compaction.step(&mut Budget { bytes: 3_000, entries: 20 })? != Step::Done {
        steps += 1;
        if steps.is_multiple_of(16) && steps < 200 {
            write(15);
        }
        let _ = flusher.step(&mut Budget { bytes: 2_000, entries: 10 })?;
    }
    while dirty.persisted_seq() < dirty.with_queue(|queue| queue.high_seq()) {
        let _ = flusher.step(&mut Budget::UNBOUNDED.clone())?;
    }
    let file = vbucket.snapshot()?.file().name.to_string();
    let bytes = volume.get(&file).unwrap_or_default();
    let lines = lines.0.lock().map(|lines| lines.clone()).unwrap_or_default();
    Ok(Outcome {
        length: bytes.len(),
        checksum: Checksum::Crc32c.of(&bytes),
        events: lines.len(),
        events_checksum: Checksum::Crc32c.of(lines.join("\n").as_bytes()),
        rounds: compaction.stats().rounds,
        file,
    })
}
