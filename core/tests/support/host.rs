//! A host without time or chance: the clock moves a little each time it is read.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tailswap::device::Host;
use tailswap::event::{Event, EventSink, Events};

/// Seconds since the epoch at which the clock starts.
pub(crate) const START_S: u32 = 1_700_000_000;

#[derive(Debug)]
pub(crate) struct TestHost {
    now_ns: AtomicU64,
    random: AtomicU64,
}

impl TestHost {
    /// Its random numbers follow on `first`.
    pub(crate) fn new(first: u64) -> Arc<Self> {
        let now_ns = AtomicU64::new(u64::from(START_S) * 1_000_000_000);
        Arc::new(TestHost { now_ns, random: AtomicU64::new(first) })
    }

    pub(crate) fn advance(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn advance_to(&self, ns: u64) {
        self.now_ns.fetch_max(ns, Ordering::Relaxed);
    }
}

impl Host for TestHost {
    fn now_ns(&self) -> u64 {
        self.now_ns.fetch_add(1_000, Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        self.random.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Keeps all events.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(crate) fn new() -> (Arc<Self>, Events) {
        let recorder = Arc::new(Recorder::default());
        (recorder.clone(), Events::to(recorder))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The events from the `first`th on.
    pub(crate) fn since(&self, first: usize) -> Vec<Event> {
        self.0.lock().unwrap()[first..].to_vec()
    }
}

impl EventSink for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}
