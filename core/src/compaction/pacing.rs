//! When the tail is short enough to take the lock, and how fast the flusher may go until it is
//! (ARCHITECTURE.md, The swap).

use crate::vbucket::Pace;

const NS_PER_S: u128 = 1_000_000_000;

/// What was measured of the catch-up rounds so far. Each counts a quarter when the next one is measured:
/// that is shorter, and a short tail takes longer than its part of a long one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pacing {
    replayed_bytes: u64,
    replayed_documents: u64,
    replay_ns: u64,
    sync_ns: u64,
}

impl Pacing {
    /// Notes a round: bytes and documents of tail, nanoseconds to replay them (and for syncs on the way),
    /// nanoseconds to commit.
    pub(super) fn measured(&mut self, tail: u64, documents: u64, replay_ns: u64, sync_ns: u64) {
        self.replayed_bytes = self.replayed_bytes / 4 + tail;
        self.replayed_documents = self.replayed_documents / 4 + documents;
        self.replay_ns = self.replay_ns / 4 + replay_ns;
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
        // A round's factor is the root of earlier/tail: both sides are squared.
        self.predicted_ns(tail).is_some_and(|predicted| {
            power(ratio(predicted, ns), 2) <= power(ratio(earlier, tail), left)
        })
    }

    /// How fast the flusher may go so that the tail gets from `tail` bytes, which the round that begins has,
    /// to what can be replayed in a quarter of `max_stall_ns`, with `left` more rounds behind this one; `None`
    /// before anything was measured.
    ///
    /// Each round is to shrink it by the same factor. While one replays t bytes at rate r and syncs for S,
    /// the flusher writes w·(t/r + S): that is the next one's tail. Two rounds are kept in reserve. No round
    /// does more than half of the way (the square root of the factor), however few are left: flushes would
    /// wait for that longer than for the lock. Batches are of three eighths of the stall, because one can
    /// slip in before the lock is granted, which is asked for at half of it.
    pub(super) fn pace(&self, tail: u64, left: u32, max_stall_ns: u64) -> Option<Pace> {
        if self.replayed_bytes == 0 || self.replay_ns == 0 {
            return None;
        }
        let replay_ns = u128::from(self.replay_ns);
        let replayed_in = |ns: u64, what: u64| u128::from(what) * u128::from(ns) / replay_ns;
        let short = bounded(replayed_in(max_stall_ns / 4, self.replayed_bytes));
        let factor = root(ratio(short, tail), left.saturating_sub(1).max(2));
        let next = u128::from(short).max(u128::from(tail) * factor / ONE);
        let round_ns = u128::from(tail) * replay_ns / u128::from(self.replayed_bytes);
        let rate = next * NS_PER_S / (round_ns + u128::from(self.sync_ns)).max(1);
        let batch = replayed_in(max_stall_ns / 8 * 3, self.replayed_documents);
        Some(Pace {
            bytes_per_second: bounded(rate).max(1),
            batch_mutations: bounded(batch).max(1),
            wait_max_ns: max_stall_ns,
        })
    }
}

/// 1, in the unit of what follows: whole numbers come out the same on all hosts.
const ONE: u128 = 1 << 16;

fn ratio(of: u64, to: u64) -> u128 {
    u128::from(of) * ONE / u128::from(to.max(1))
}

fn power(factor: u128, exponent: u32) -> u128 {
    (0..exponent).fold(ONE, |power, _| power.saturating_mul(factor) / ONE)
}

/// The largest factor, 1 at most, whose power is not above `of`.
fn root(of: u128, exponent: u32) -> u128 {
    let (mut low, mut high) = (0, ONE);
    while low < high {
        let middle = (low + high).div_ceil(2);
        match power(middle, exponent) <= of {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    low
}

fn bounded(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicts_by_the_measured_rate() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.predicted_ns(0), Some(0));
        assert_eq!(pacing.predicted_ns(1), None);
        assert_eq!(pacing.pace(1, 1, 1), None);
        pacing.measured(1_000_000, 1000, 10_000_000, 20_000_000);
        assert_eq!(pacing.predicted_ns(500_000), Some(5_000_000));
    }

    #[test]
    fn each_round_is_to_shrink_the_tail_by_the_same_factor() {
        let mut pacing = Pacing::default();
        pacing.measured(1_000_000, 1000, 10_000_000, 20_000_000);
        let pace = |tail, left| pacing.pace(tail, left, 20_000_000).unwrap();
        // 100 MB/s replayed: 0.5 MB in a quarter of the stall. 8 MB take 80 ms and a sync of 20.
        let shrinks = |left, next: u64| {
            let (rate, wanted) = (pace(8_000_000, left).bytes_per_second, next * 10);
            assert!(rate.abs_diff(wanted) < wanted / 1000, "{left}: {rate}, not {wanted}");
        };
        // Four rounds by half each, and two in reserve.
        shrinks(5, 4_000_000);
        // Never all at once: flushes would wait for that, however few rounds are left.
        (0..4).for_each(|left| shrinks(left, 2_000_000));
        // What is short may stay so: 0.5 MB in 5 ms and a sync.
        assert_eq!(pace(500_000, 5).bytes_per_second, 20_000_000);
        assert_eq!(pace(0, 5).bytes_per_second, 25_000_000);
        let Pace { batch_mutations, wait_max_ns, .. } = pace(1, 1);
        assert_eq!((batch_mutations, wait_max_ns), (750, 20_000_000));
    }

    #[test]
    fn rounds_fade_and_the_last_sync_counts() {
        let mut pacing = Pacing::default();
        pacing.measured(900_000, 900, 9_000_000, 1);
        pacing.measured(150_000, 150, 4_500_000, 20_000_000);
        let mut at_once = Pacing::default();
        at_once.measured(375_000, 375, 6_750_000, 20_000_000);
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
        assert_eq!((pacing.predicted_ns(1), pacing.pace(1, 1, 20_000_000)), (None, None));
        let mut pacing = Pacing::default();
        pacing.measured(1_000, 1, 0, 5_000);
        assert_eq!((pacing.predicted_ns(1), pacing.pace(1, 1, 20_000_000)), (Some(0), None));
    }
}
