//! When the tail is short enough to take the lock, and how fast the flusher may go until it is
//! (ARCHITECTURE.md, The swap).

use crate::vbucket::Pace;

const NS_PER_S: u128 = 1_000_000_000;

/// What was measured of the catch-up rounds so far. Each counts half when the next one is measured: that
/// is shorter, and a short tail takes longer than its part of a long one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pacing {
    replayed_bytes: u64,
    replayed_documents: u64,
    replay_ns: u64,
    sync_ns: u64,
}

impl Pacing {
    /// Notes a round: bytes and documents of tail, nanoseconds to replay them, nanoseconds to commit.
    pub(super) fn measured(&mut self, tail: u64, documents: u64, replay_ns: u64, sync_ns: u64) {
        self.replayed_bytes = self.replayed_bytes / 2 + tail;
        self.replayed_documents = self.replayed_documents / 2 + documents;
        self.replay_ns = self.replay_ns / 2 + replay_ns;
        self.sync_ns = sync_ns;
    }

    /// Nanoseconds that replaying a tail of so many bytes will take, syncs apart; `None` before
    /// anything was measured.
    pub(super) fn predicted_ns(&self, tail: u64) -> Option<u64> {
        if tail == 0 {
            return Some(0);
        }
        if self.replayed_bytes == 0 {
            return None;
        }
        let ns = u128::from(tail) * u128::from(self.replay_ns) / u128::from(self.replayed_bytes);
        Some(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Whether rounds get there by themselves: `left` more of them bring the tail down from `tail` bytes to
    /// what can be replayed in `ns`, if each shrinks it as the last two did, before which it had `earlier`.
    pub(super) fn converges(&self, earlier: u64, tail: u64, left: u32, ns: u64) -> bool {
        // In 1/65536: whole numbers come out the same on all hosts.
        const ONE: u128 = 1 << 16;
        let power = |of: u64, by: u64, exponent: u32| {
            let factor = u128::from(of) * ONE / u128::from(by.max(1));
            (0..exponent).fold(ONE, |power, _| power.saturating_mul(factor) / ONE)
        };
        // A round's factor is the root of earlier/tail: both sides are squared.
        self.predicted_ns(tail)
            .is_some_and(|predicted| power(predicted, ns, 2) <= power(earlier, tail, left))
    }

    /// How fast the flusher may go so that the tail settles at what can be replayed in
    /// `max_stall_ns`; `None` before anything was measured.
    ///
    /// With write rate w, replay rate r and sync cost S the tail settles at w·S/(1−w/r); setting
    /// that to r·m gives w = r·m/(S+m). Half of it, because the flusher appends whole batches, and
    /// batches of half the stall, because one can slip in before the lock is granted.
    pub(super) fn pace(&self, max_stall_ns: u64) -> Option<Pace> {
        if self.replayed_bytes == 0 || self.replay_ns == 0 {
            return None;
        }
        let (stall, replay_ns) = (u128::from(max_stall_ns.max(1)), u128::from(self.replay_ns));
        let replay_rate = u128::from(self.replayed_bytes) * NS_PER_S / replay_ns;
        let rate = replay_rate * stall / (u128::from(self.sync_ns) + stall) / 2;
        let batch = u128::from(self.replayed_documents) * stall / replay_ns / 2;
        let bounded = |value| u64::try_from(value).unwrap_or(u64::MAX).max(1);
        Some(Pace {
            bytes_per_second: bounded(rate),
            batch_mutations: bounded(batch),
            wait_max_ns: max_stall_ns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicts_by_the_measured_rate() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.predicted_ns(0), Some(0));
        assert_eq!(pacing.predicted_ns(1), None);
        assert_eq!(pacing.pace(1), None);
        pacing.measured(1_000_000, 1000, 10_000_000, 20_000_000);
        assert_eq!(pacing.predicted_ns(500_000), Some(5_000_000));
        // 100 MB/s replayed, as long a stall as a sync: half of that, and half of it again.
        let pace =
            Pace { bytes_per_second: 25_000_000, batch_mutations: 1000, wait_max_ns: 20_000_000 };
        assert_eq!(pacing.pace(20_000_000), Some(pace));
    }

    #[test]
    fn rounds_fade_and_the_last_sync_counts() {
        let mut pacing = Pacing::default();
        pacing.measured(900_000, 900, 9_000_000, 1);
        pacing.measured(150_000, 150, 4_500_000, 20_000_000);
        let mut at_once = Pacing::default();
        at_once.measured(600_000, 600, 9_000_000, 20_000_000);
        assert_eq!(pacing, at_once);
    }

    #[test]
    fn converges_by_the_factor_by_which_the_last_tails_shrank() {
        let mut pacing = Pacing::default();
        assert!(!pacing.converges(8_000, 4_000, 10, 1_000_000), "nothing was measured");
        // 10 us a KB: 1 ms for 100 KB.
        pacing.measured(100_000, 100, 1_000_000, 0);
        let converges = |earlier, tail, left| pacing.converges(earlier, tail, left, 1_000_000);
        // Halved each round: 800 KB take three more.
        assert!(converges(3_200_000, 800_000, 3));
        assert!(!converges(3_200_000, 800_000, 2));
        // By a tenth each: 800 KB take twenty.
        assert!(!converges(990_000, 800_000, 19));
        assert!(converges(990_000, 800_000, 20));
        // Settling at 200 KB, after 320 and 220: that shows once they no longer shrink.
        assert!(converges(320_000, 200_000, 5));
        assert!(!converges(220_000, 200_000, 4));
        assert!(!converges(800_000, 800_000, 100), "they stay as they are");
        assert!(!converges(800_000, 900_000, 100), "they grow");
        assert!(!converges(u64::MAX, u64::MAX, u32::from(u8::MAX)));
    }

    #[test]
    fn what_took_no_time_or_was_nothing_says_nothing_of_the_rate() {
        let mut pacing = Pacing::default();
        pacing.measured(0, 0, 5_000, 5_000);
        assert_eq!((pacing.predicted_ns(1), pacing.pace(20_000_000)), (None, None));
        let mut pacing = Pacing::default();
        pacing.measured(1_000, 1, 0, 5_000);
        assert_eq!((pacing.predicted_ns(1), pacing.pace(20_000_000)), (Some(0), None));
    }
}
