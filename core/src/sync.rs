//! Mutexes and condition variables that keep an order: what each protects has a rank, and a thread
//! that holds one takes only others of a higher rank, so that no two threads can wait for each other.
//! Builds with debug assertions check it at every step.
//!
//! With the feature `shuttle`, which is for `tests/shuttle/` alone, the primitives are those of the
//! model checker of that name, so that it decides which thread goes on.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

#[cfg(feature = "shuttle")]
use shuttle::{sync as primitives, thread_local};
#[cfg(not(feature = "shuttle"))]
use std::sync as primitives;

pub(crate) use primitives::atomic;

/// What a mutex protects, in the order in which they are taken.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "there the engine is not"))]
pub(crate) enum Rank {
    /// That vbuckets come, go and go back one at a time.
    Operators,
    /// A vbucket's flusher, for as long as a flush takes.
    Flusher,
    /// The vbucket's lock. Its guard may move to another thread and is not counted as held: only
    /// asking for it is checked.
    VBucketLock,
    /// No mutex: from here on no foreign code, a sink of events or a waker, is called.
    Callback,
    /// What the engine's threads and its callers share.
    Engine,
    /// The state of a vbucket that readers see.
    Published,
    /// Mutations that are not durable.
    DirtyQueue,
    /// Who waits for a vbucket's lock.
    LockQueue,
    /// What somebody sleeps on until it is there.
    Sleep,
    /// What was measured.
    Metrics,
    /// A file's sync that is under way on a thread.
    Behind,
    /// Log and faults of a volume that fails on demand.
    Faults,
    /// Name of one of its files.
    FaultName,
    /// Names of a volume.
    Names,
    /// Bytes of a file.
    Content,
}

thread_local! {
    /// Ranks that this thread holds, a bit for each.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

impl Rank {
    /// Panics, in builds with debug assertions, if this thread holds anything of this rank or above.
    pub(crate) fn assert_free(self) {
        if cfg!(debug_assertions) {
            let held = HELD.with(Cell::get);
            debug_assert!(
                held >> (self as u32) == 0,
                "{self:?} comes too late: held are the ranks {held:#b}, this is {}",
                self as u32
            );
        }
    }
}

/// That a thread holds a rank; until it is dropped.
struct Held(Rank);

impl Held {
    fn new(rank: Rank) -> Self {
        rank.assert_free();
        if cfg!(debug_assertions) {
            HELD.with(|held| held.set(held.get() | 1 << (rank as u32)));
        }
        Held(rank)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            HELD.with(|held| held.set(held.get() & !(1 << (self.0 as u32))));
        }
    }
}

/// A mutex of a rank. A thread that panics leaves what it guards usable: from [`Rank::Callback`] on no
/// foreign code runs under it, and what a flush that panics had begun goes back by itself.
pub(crate) struct Mutex<T> {
    rank: Rank,
    inner: primitives::Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(rank: Rank, value: T) -> Self {
        Mutex { rank, inner: primitives::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let _held = Held::new(self.rank);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { inner, _held }
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A mutex that is locked.
pub(crate) struct MutexGuard<'a, T> {
    // Dropped in this order.
    inner: primitives::MutexGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A condition to wait for. The rank counts as held meanwhile.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Default)]
pub(crate) struct Condvar(primitives::Condvar);

#[cfg(not(target_arch = "wasm32"))]
impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { inner, _held } = guard;
        let inner = self.0.wait(inner).unwrap_or_else(PoisonError::into_inner);
        MutexGuard { inner, _held }
    }

    /// Waits for `limit` at most; under the model checker without a limit, so that what only its
    /// running out would mend is found.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        let MutexGuard { inner, _held } = guard;
        let waited = self.0.wait_timeout(inner, limit);
        MutexGuard { inner: waited.unwrap_or_else(PoisonError::into_inner).0, _held }
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_taken_upwards_and_given_back_in_any_order() {
        let (low, high) = (Mutex::new(Rank::Engine, 1), Mutex::new(Rank::Content, 2));
        for _ in 0..2 {
            let first = low.lock();
            let second = high.lock();
            drop(first);
            assert_eq!(*second, 2);
        }
        Rank::Operators.assert_free();
    }

    #[test]
    #[should_panic(expected = "Engine comes too late")]
    fn a_lower_rank_than_what_is_held_is_refused() {
        let (low, high) = (Mutex::new(Rank::Engine, ()), Mutex::new(Rank::Content, ()));
        let _high = high.lock();
        let _low = low.lock();
    }

    #[test]
    #[should_panic(expected = "Names comes too late")]
    fn an_equal_rank_is_refused() {
        let (one, other) = (Mutex::new(Rank::Names, ()), Mutex::new(Rank::Names, ()));
        let _one = one.lock();
        let _other = other.lock();
    }

    #[test]
    #[should_panic(expected = "Callback comes too late")]
    fn nobody_is_called_back_with_the_engine_locked() {
        let engine = Mutex::new(Rank::Engine, ());
        let _engine = engine.lock();
        crate::event::Events::none().emit(|| crate::event::Event::DirectorySyncIssued);
    }
}
