//! The live view: one line on the terminal while the engine works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tailswap::engine::Engine;

use super::observer::Observer;
use super::summary::Files;
use crate::output::progress::Progress;
use crate::output::text::{Bytes, percent};

/// Time between two looks at the engine.
const INTERVAL: Duration = Duration::from_millis(200);

/// Part of the shown rate that is the last moment's.
const SMOOTHING: f64 = 0.25;

/// Does `work` while showing how it goes, where there is a terminal to show it on.
pub(super) fn watch_live<T>(
    engine: &Engine,
    observer: &Observer,
    mutations: Arc<AtomicU64>,
    work: impl FnOnce() -> T,
) -> T {
    let progress = Progress::line();
    if progress.is_hidden() {
        return work();
    }
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut view = View::new(progress);
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                view.show(engine, observer, mutations.load(Ordering::Relaxed));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

struct View {
    progress: Progress,
    began: Instant,
    last: (Instant, u64),
    /// Mutations a second, smoothed.
    rate: f64,
}

impl View {
    fn new(progress: Progress) -> Self {
        let now = Instant::now();
        View { progress, began: now, last: (now, 0), rate: 0.0 }
    }

    fn show(&mut self, engine: &Engine, observer: &Observer, mutations: u64) {
        let now = Instant::now();
        let (last, before) = std::mem::replace(&mut self.last, (now, mutations));
        let passed = now.duration_since(last).as_secs_f64().max(1e-9);
        let rate = mutations.saturating_sub(before) as f64 / passed;
        // Flushes come in bursts: a rate of the last moment alone would jump about.
        self.rate += (rate - self.rate) * SMOOTHING;
        let (queued, files) = (engine.queued(), Files::of(engine).unwrap_or_default());
        // What changes most stands first: on a narrow terminal the end is cut off.
        let mut line = format!(
            "{:.0} s  {mutations} ({:.0}/s)  queue {}  files {} ({} unused)  swaps {}",
            now.duration_since(self.began).as_secs_f64(),
            self.rate,
            Bytes(queued.bytes),
            Bytes(files.file_size),
            percent(files.fragmentation()),
            observer.swaps()
        );
        let compacting = observer.compacting();
        if !compacting.is_empty() {
            line.push_str("  ");
            line.push_str(&compacting);
        }
        self.progress.say(line);
    }
}
