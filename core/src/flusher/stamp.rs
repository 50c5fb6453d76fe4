//! Filling in what the writer of a mutation left open.

use super::queue::Mutation;

const NS_PER_S: u64 = 1_000_000_000;
/// Bits of a CAS that count; those above are physical time.
const COUNTER: u64 = 0xffff;

/// Gives out CAS values from a hybrid clock: physical time in the upper 48 bits, a counter in the
/// lower 16. Each is above all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    last_cas: u64,
}

impl Stamp {
    /// A clock that goes on behind `last_cas`.
    pub fn after(last_cas: u64) -> Self {
        Stamp { last_cas }
    }

    /// Goes on behind `cas` too: what is given out next is above every value already in use.
    pub fn pass(&mut self, cas: u64) {
        self.last_cas = self.last_cas.max(cas);
    }

    /// Gives a mutation without a CAS the next one, and a deletion without a time the present one.
    /// `now_ns` is the time in nanoseconds since the Unix epoch.
    pub fn fill_in(&mut self, mutation: &mut Mutation, now_ns: u64) {
        if mutation.deleted && mutation.expiry == 0 {
            mutation.expiry = u32::try_from(now_ns / NS_PER_S).unwrap_or(u32::MAX);
        }
        if mutation.cas == 0 {
            self.last_cas = (now_ns & !COUNTER).max(self.last_cas.saturating_add(1));
            mutation.cas = self.last_cas;
        }
    }
}
