//! The host of a simulated world: a clock that the world sets, and numbers that it can foresee.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::Host;

/// Nanoseconds that pass with each look at a ticking clock, so that work takes time.
const TICK_NS: u64 = 1000;
/// Apart the numbers that are given out, so that they look like identities.
const NUMBER_STEP: u64 = 0x1_0000_0001;

/// Time and randomness of a simulated world; the same in every run.
#[derive(Debug)]
pub struct SimHost {
    now_ns: AtomicU64,
    numbers: AtomicU64,
    tick_ns: u64,
}

impl SimHost {
    /// A host whose clock begins at 0 and goes on a little with each look at it.
    pub fn ticking() -> Self {
        SimHost { tick_ns: TICK_NS, ..Self::still() }
    }

    /// A host whose clock begins at 0 and goes on only when it is told to.
    pub fn still() -> Self {
        SimHost { now_ns: AtomicU64::new(0), numbers: AtomicU64::new(0), tick_ns: 0 }
    }

    /// Lets time pass until then, in nanoseconds; nothing happens if it has passed already.
    pub fn advance_to(&self, ns: u64) {
        self.now_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// Lets time pass, in nanoseconds.
    pub fn advance_ns(&self, ns: u64) {
        self.advance_to(self.time_ns().saturating_add(ns));
    }

    /// Nanoseconds on the clock, which a look like this leaves alone.
    pub fn time_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Relaxed)
    }

    /// The number that is given out next.
    pub fn next_number(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed).wrapping_add(NUMBER_STEP)
    }
}

impl Host for SimHost {
    fn now_ns(&self) -> u64 {
        self.now_ns.fetch_add(self.tick_ns, Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        let number = self.next_number();
        self.numbers.store(number, Ordering::Relaxed);
        number
    }
}
