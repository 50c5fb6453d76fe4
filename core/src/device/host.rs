//! The operating system's time and randomness.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::Host;

/// The machine that the process runs on.
#[derive(Debug)]
pub struct SystemHost {
    /// The latest time given out, so that setting the clock back is not seen.
    latest_ns: AtomicU64,
    /// State of the SplitMix64 generator, which starts at a number of the operating system's.
    random: AtomicU64,
}

impl SystemHost {
    /// Takes a seed from the operating system, which is all that can fail: later calls cannot.
    pub fn new() -> io::Result<Self> {
        let seed = getrandom::u64()?;
        Ok(SystemHost { latest_ns: AtomicU64::new(0), random: AtomicU64::new(seed) })
    }
}

impl Host for SystemHost {
    fn now_ns(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 or after 2554 is off by so much that any number does.
        let now = since_epoch.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.latest_ns.fetch_max(now, Ordering::Relaxed).max(now)
    }

    fn random_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
