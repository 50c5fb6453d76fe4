//! When the tail is short enough to take the lock, and how fast the flusher may go until it is
//! (DESIGN.md, Bounded stall).

const NS_PER_S: u128 = 1_000_000_000;

/// What was measured of the catch-up rounds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pacing {
    replayed_bytes: u64,
    replay_ns: u64,
    sync_ns: u64,
}

impl Pacing {
    /// Notes a round: bytes of tail, nanoseconds to replay them, nanoseconds to commit.
    pub(super) fn measured(&mut self, tail: u64, replay_ns: u64, sync_ns: u64) {
        self.replayed_bytes += tail;
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

    /// Bytes a second at which the flusher may append so that the tail settles at what can be
    /// replayed in `max_stall_ns`. With write rate w, replay rate r and sync cost S the tail settles
    /// at w·S/(1−w/r); setting that to r·m gives w = r·m/(S+m). Half of it, because the flusher
    /// appends whole batches.
    pub(super) fn allowed_rate(&self, max_stall_ns: u64) -> Option<u64> {
        if self.replayed_bytes == 0 || self.replay_ns == 0 {
            return None;
        }
        let replay_rate = u128::from(self.replayed_bytes) * NS_PER_S / u128::from(self.replay_ns);
        let stall = u128::from(max_stall_ns.max(1));
        let rate = replay_rate * stall / (u128::from(self.sync_ns) + stall) / 2;
        Some(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
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
        assert_eq!(pacing.allowed_rate(1), None);
        pacing.measured(1_000_000, 10_000_000, 20_000_000);
        assert_eq!(pacing.predicted_ns(500_000), Some(5_000_000));
        // 100 MB/s replayed, as long a stall as a sync: half of that, and half of it again.
        assert_eq!(pacing.allowed_rate(20_000_000), Some(25_000_000));
    }
}
