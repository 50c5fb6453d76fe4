//! Threads that sleep until a waker is called.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, Rank};

/// A thread's alarm: what happens between two sleeps is not lost.
#[derive(Debug)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Alarm {
    /// An alarm, and the waker that rings it.
    pub(super) fn new() -> (Arc<Alarm>, Waker) {
        let rung = Mutex::new(Rank::Sleep, false);
        let alarm = Arc::new(Alarm { rung, ring: Condvar::default() });
        let waker = Waker::from(alarm.clone());
        (alarm, waker)
    }

    /// Sleeps until it rings, for about `nanoseconds` at most, now and then less.
    pub(super) fn sleep(&self, nanoseconds: u64) {
        let mut rung = self.rung.lock();
        if !*rung {
            rung = self.ring.wait_timeout(rung, Duration::from_nanos(nanoseconds));
        }
        *rung = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.ring.notify_one();
    }
}
