//! When the tail is short enough to take the lock, and how fast the flusher may go until it is
//! (ARCHITECTURE.md, The swap).

use crate::vbucket::Pace;

const NS_PER_S: u128 = 1_000_000_000;

/// What was measured of the catch-up rounds so far.
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
        self.replayed_bytes += tail;
        self.replayed_documents += documents;
        self.replay_ns += replay_ns;
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
    fn rounds_add_up_and_the_last_sync_counts() {
        let mut pacing = Pacing::default();
        pacing.measured(900_000, 900, 9_000_000, 1);
        pacing.measured(100_000, 100, 1_000_000, 20_000_000);
        let mut at_once = Pacing::default();
        at_once.measured(1_000_000, 1000, 10_000_000, 20_000_000);
        assert_eq!(pacing, at_once);
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
