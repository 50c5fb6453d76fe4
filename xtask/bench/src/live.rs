//! What a writer feels while space is being reclaimed beside it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::cases::{Case, Workload};
use crate::documents::{Change, Writer};
use crate::measure::Done;
use crate::stores::{self, Figures, LiveStore, Read};
use crate::usage::{Stopwatch, forget_peak, warm_memory};

/// Changes of a commit.
const BATCH: u64 = 1000;
/// From one commit's beginning to the next one's: 20 000 changes a second.
const PERIOD: Duration = Duration::from_millis(50);
/// How long is measured before the compaction begins.
const IDLE: Duration = Duration::from_secs(4);

/// How long commits took, each from what its writer sees.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Latencies(Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3)?))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(took.as_nanos() as u64);
    }

    /// Enters their middle, their 99th percentile and the longest, in milliseconds.
    pub(crate) fn tell(&self, name: &str, figures: &mut Figures) {
        let parts =
            [("p50", self.0.value_at_quantile(0.5)), ("p99", self.0.value_at_quantile(0.99))];
        for (part, nanoseconds) in parts.into_iter().chain([("max", self.0.max())]) {
            figures.insert(format!("{name} {part}, ms"), nanoseconds as f64 / 1e6);
        }
    }
}

/// A writer that commits at its own pace.
struct Live {
    store: Box<dyn LiveStore>,
    writer: Writer,
    paced: bool,
    commits: u64,
}

impl Live {
    /// Commits a thousand changes; where paced, waits until it is time for the next.
    fn commit(
        &mut self,
        latencies: &mut Latencies,
        before: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let changes = self.changes(|writer| writer.any());
        let began = Instant::now();
        before(self)?;
        self.store.commit(changes)?;
        let took = began.elapsed();
        latencies.record(took);
        self.commits += 1;
        if self.paced {
            thread::sleep(PERIOD.saturating_sub(took));
        }
        Ok(())
    }

    fn changes(&mut self, mut number: impl FnMut(&mut Writer) -> u64) -> Vec<Change> {
        (0..BATCH)
            .map(|_| {
                let number = number(&mut self.writer);
                self.writer.set(number)
            })
            .collect()
    }
}

/// Fills a store twice over, so that half of it is garbage; writes; compacts and goes on writing.
pub(crate) fn measure(case: Case, folder: &Path) -> Result<Done> {
    let store = stores::open_live(case.subject, folder)?;
    let paced = case.workload == Workload::Live;
    let mut live = Live { store, writer: Writer::new(case.documents), paced, commits: 0 };
    for _ in 0..2 {
        let mut order = live.writer.shuffled().into_iter().map(u64::from);
        for _ in 0..case.documents.count / BATCH {
            let changes = live.changes(|_| order.next().unwrap_or_default());
            live.store.commit(changes)?;
        }
    }
    warm_memory()?;
    forget_peak()?;
    let (mut idle, mut beside) = (Latencies::new()?, Latencies::new()?);
    let began = Instant::now();
    while began.elapsed() < IDLE {
        live.commit(&mut idle, |_| Ok(()))?;
    }
    let mut watch = Stopwatch::default();
    let commits_before = live.commits;
    watch.time(|| -> Result<()> {
        let mut running = None;
        live.commit(&mut beside, |live| {
            running = Some(live.store.start_reclaiming()?);
            Ok(())
        })?;
        let running = running.context("nothing was begun")?;
        while !running.is_finished() {
            live.commit(&mut beside, |_| Ok(()))?;
        }
        running.join().map_err(|_| anyhow::anyhow!("the compaction panicked"))?
    })?;
    let mut figures = live.store.figures();
    idle.tell("idle", &mut figures);
    beside.tell("compacting", &mut figures);
    let written = (live.commits - commits_before) * BATCH;
    let per_second = written as f64 / watch.wall.as_secs_f64().max(1e-9);
    figures.insert("written meanwhile, documents/s".to_owned(), per_second);
    Ok(Done { watch, read: Read { entries: case.documents.count, bytes: 0 }, figures })
}
