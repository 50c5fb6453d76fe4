//! Threads that sleep until a waker is called.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

/// A thread's alarm: what happens between two sleeps is not lost.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Alarm {
    /// An alarm, and the waker that rings it.
    pub(super) fn new() -> (Arc<Alarm>, Waker) {
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(alarm.clone());
        (alarm, waker)
    }

    /// Sleeps until it rings, for `nanoseconds` at most.
    pub(super) fn sleep(&self, nanoseconds: u64) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Duration::from_nanos(nanoseconds);
        let slept = self.ring.wait_timeout_while(rung, limit, |rung| !*rung);
        let (mut rung, _) = slept.unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ring.notify_one();
    }
}
