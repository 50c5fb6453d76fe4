//! The host of a simulated world: a clock that the world sets, and numbers that it can foresee.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::Host;

/// Nanoseconds that pass with each look at the clock, so that work takes time.
const TICK_NS: u64 = 1000;
/// Apart the numbers that are given out, so that they look like identities.
const NUMBER_STEP: u64 = 0x1_0000_0001;

/// Time and randomness of a simulated world; the same in every run.
#[derive(Debug, Default)]
pub struct SimHost {
    now_ns: AtomicU64,
    numbers: AtomicU64,
}

impl SimHost {
    /// A host whose clock begins at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets time pass.
    pub fn advance_ns(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// The number that is given out next.
    pub fn next_number(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed).wrapping_add(NUMBER_STEP)
    }
}

impl Host for SimHost {
    fn now_ns(&self) -> u64 {
        self.now_ns.fetch_add(TICK_NS, Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        let number = self.next_number();
        self.numbers.store(number, Ordering::Relaxed);
        number
    }
}
