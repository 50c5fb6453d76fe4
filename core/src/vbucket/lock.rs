//! The vbucket's lock, as data: who holds it and who waits can be seen, and waiting is a state
//! that a machine reports, not a thread that sleeps.
//!
//! The lock owns the value that it protects and *moves* it into the [`Guard`]; so a guard is an
//! ordinary value that can be kept across steps and sent to another thread. Requests are served in
//! the order in which they were made. Whoever gives the lock back wakes the first in the queue, and
//! nobody else can take the lock before it.
//!
//! Events are emitted and tasks are woken while nothing is locked inside, so that either may use
//! the lock. A panic of the holder, or of a sink, gives the value back as it is.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
#[cfg(not(target_arch = "wasm32"))]
use std::task::Wake;
use std::task::Waker;

use crate::canary::{Canary, planted};
use crate::event::{Actor, Event, Events};
#[cfg(not(target_arch = "wasm32"))]
use crate::sync::Condvar;
use crate::sync::{Mutex, MutexGuard, Rank};

/// A first-come, first-served lock on one vbucket's `T`. Clones are the same lock.
pub struct VbLock<T>(Arc<Shared<T>>);

struct Shared<T> {
    vbucket: u16,
    events: Events,
    state: Mutex<State<T>>,
}

struct State<T> {
    slot: Slot<T>,
    queue: VecDeque<Waiting>,
    last_ticket: u64,
}

enum Slot<T> {
    Free(T),
    HeldBy(Actor),
}

struct Waiting {
    ticket: u64,
    actor: Actor,
    waker: Waker,
}

impl<T> VbLock<T> {
    /// A lock on `value` that nobody holds; it emits its events as those of `vbucket`.
    pub fn new(vbucket: u16, value: T, events: Events) -> Self {
        let state = State { slot: Slot::Free(value), queue: VecDeque::new(), last_ticket: 0 };
        VbLock(Arc::new(Shared { vbucket, events, state: Mutex::new(Rank::LockQueue, state) }))
    }

    /// Takes the next place in the queue. Poll the request now, and again whenever `waker` is
    /// woken.
    pub fn request(&self, actor: Actor, waker: Waker) -> LockRequest<T> {
        Rank::VBucketLock.assert_free();
        let shared = Arc::clone(&self.0);
        shared.events.emit(|| Event::LockAsked { vbucket: shared.vbucket, actor });
        let mut state = shared.state();
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        state.queue.push_back(Waiting { ticket, actor, waker });
        drop(state);
        LockRequest { shared, actor, ticket, waiting: true }
    }

    /// Waits for the lock, sleeping.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn lock_blocking(&self, actor: Actor) -> Guard<T> {
        let sleeper = Arc::new(Sleeper::new());
        let mut request = self.request(actor, Waker::from(Arc::clone(&sleeper)));
        loop {
            match request.poll() {
                Some(guard) => return guard,
                None => sleeper.sleep(),
            }
        }
    }

    /// Who holds the lock now.
    pub fn holder(&self) -> Option<Actor> {
        match self.0.state().slot {
            Slot::Free(_) => None,
            Slot::HeldBy(actor) => Some(actor),
        }
    }

    /// Who waits for the lock, first the one whose turn is next.
    pub fn waiting(&self) -> Vec<Actor> {
        self.0.state().queue.iter().map(|waiting| waiting.actor).collect()
    }
}

impl<T> Clone for VbLock<T> {
    fn clone(&self) -> Self {
        VbLock(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for VbLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VbLock")
            .field("vbucket", &self.0.vbucket)
            .field("holder", &self.holder())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // The only foreign code under this mutex is a waker's `clone`.
        self.state.lock()
    }
}

impl<T> State<T> {
    /// Whom to wake, if the lock is free.
    fn next(&self) -> Option<Waker> {
        match self.slot {
            Slot::Free(_) => self.queue.front().map(|waiting| waiting.waker.clone()),
            Slot::HeldBy(_) => None,
        }
    }
}

/// A place in the queue for a [`VbLock`]. Dropping it gives the place up.
#[must_use = "dropping a request gives up its place in the queue"]
pub struct LockRequest<T> {
    shared: Arc<Shared<T>>,
    actor: Actor,
    ticket: u64,
    waiting: bool,
}

impl<T> LockRequest<T> {
    /// The lock, if it is free and this request's turn; once it was given, always `None`.
    pub fn poll(&mut self) -> Option<Guard<T>> {
        Rank::VBucketLock.assert_free();
        let Self { shared, actor, ticket, .. } = self;
        let mut state = shared.state();
        if !self.waiting || state.queue.front().is_none_or(|first| first.ticket != *ticket) {
            return None;
        }
        let value = match std::mem::replace(&mut state.slot, Slot::HeldBy(*actor)) {
            Slot::Free(value) => value,
            held @ Slot::HeldBy(_) => {
                state.slot = held;
                return None;
            }
        };
        let served = state.queue.pop_front();
        drop(state);
        drop(served); // Its waker may run foreign code.
        self.waiting = false;

        let held = Held { shared: Arc::clone(shared), value: Some(value) };
        let guard = Guard { actor: *actor, held };
        shared.events.emit(|| Event::LockTaken { vbucket: shared.vbucket, actor: *actor });
        Some(guard)
    }

    /// Replaces the waker. Poll afterwards: the one that it replaces may have been woken already.
    pub fn set_waker(&self, waker: Waker) {
        let mut state = self.shared.state();
        let place = state.queue.iter_mut().find(|waiting| waiting.ticket == self.ticket);
        let replaced = place.map(|waiting| std::mem::replace(&mut waiting.waker, waker));
        drop(state);
        drop(replaced); // May run foreign code.
    }
}

impl<T> Drop for LockRequest<T> {
    fn drop(&mut self) {
        if !self.waiting {
            return;
        }
        let mut state = self.shared.state();
        let place = state.queue.iter().position(|waiting| waiting.ticket == self.ticket);
        let left = place.and_then(|place| state.queue.remove(place));
        // If it was this one's turn, its wake-up is passed on.
        let next = if place == Some(0) { state.next() } else { None };
        drop(state);
        drop(left);
        if let Some(waker) = next {
            Rank::Callback.assert_free();
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for LockRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared, actor, waiting, .. } = self;
        write!(f, "LockRequest(vbucket {}, {actor:?}, waiting: {waiting})", shared.vbucket)
    }
}

/// The lock, held: derefs to the value. Dropping it gives the lock to the next in the queue.
#[must_use = "dropping the guard gives the lock back"]
pub struct Guard<T> {
    actor: Actor,
    held: Held<T>,
}

/// The value while it is out. A field of its own, so that it is given back even where a sink panics
/// at the event that says so.
struct Held<T> {
    shared: Arc<Shared<T>>,
    /// Filled until this is dropped.
    value: Option<T>,
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.held.value {
            Some(value) => value,
            // Only `drop` takes the value out, and nobody derefs after that. (Moving out of a
            // field in `drop` would need unsafe code.)
            None => unreachable!("the guard was dropped"),
        }
    }
}

impl<T> DerefMut for Guard<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.held.value {
            Some(value) => value,
            None => unreachable!("the guard was dropped"),
        }
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        let (shared, actor) = (&self.held.shared, self.actor);
        // Still held while the event goes out, so that it comes before the next LockTaken.
        shared.events.emit(|| Event::LockReleased { vbucket: shared.vbucket, actor });
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        let mut state = self.shared.state();
        state.slot = Slot::Free(value);
        let next = state.next().filter(|_| !planted(Canary::LostWakeUp));
        drop(state);
        if let Some(waker) = next {
            Rank::Callback.assert_free();
            waker.wake();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({:?}: {:?})", self.actor, self.held.value)
    }
}

/// Lets a thread sleep until it is woken; a wake-up that comes early is kept.
#[cfg(not(target_arch = "wasm32"))]
struct Sleeper {
    woken: Mutex<bool>,
    wake_up: Condvar,
}

#[cfg(not(target_arch = "wasm32"))]
impl Sleeper {
    fn new() -> Self {
        Sleeper { woken: Mutex::new(Rank::Sleep, false), wake_up: Condvar::default() }
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            woken = self.wake_up.wait(woken);
        }
        *woken = false;
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock() = true;
        self.wake_up.notify_one();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "VBucketLock comes too late")]
    fn it_is_not_asked_for_with_anything_locked_that_comes_later() {
        let lock = VbLock::new(0, (), Events::none());
        let engine = Mutex::new(Rank::Engine, ());
        let _engine = engine.lock();
        let _ = lock.request(Actor::Flusher, Waker::noop().clone());
    }
}
