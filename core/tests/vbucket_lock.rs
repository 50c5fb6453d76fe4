//! The vbucket's lock: order, hand-over, cancelling, events, threads.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};

use tailswap::event::{Actor, Event, EventSink, Events};
use tailswap::vbucket::lock::VbLock;

const FLUSHER: Actor = Actor::Flusher;
const COMPACTOR: Actor = Actor::Compactor;
const OPERATOR: Actor = Actor::Operator;

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (Arc::clone(&bell), Waker::from(bell))
    }

    fn rings(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn no_waker() -> Waker {
    Waker::noop().clone()
}

fn lock() -> VbLock<u32> {
    VbLock::new(7, 0, Events::none())
}

#[test]
fn the_value_is_kept_from_holder_to_holder() {
    let lock = lock();
    for expected in 0..3 {
        let mut guard = lock.request(FLUSHER, no_waker()).poll().unwrap();
        assert_eq!(*guard, expected);
        *guard += 1;
    }
}

#[test]
fn it_is_first_come_first_served() {
    let lock = lock();
    let mut first = lock.request(FLUSHER, no_waker());
    let mut second = lock.request(COMPACTOR, no_waker());
    // Free, but not the second's turn.
    assert!(second.poll().is_none());
    assert_eq!((lock.holder(), lock.waiting()), (None, vec![FLUSHER, COMPACTOR]));

    let guard = first.poll().unwrap();
    let mut third = lock.request(OPERATOR, no_waker());
    assert_eq!((lock.holder(), lock.waiting()), (Some(FLUSHER), vec![COMPACTOR, OPERATOR]));
    assert!(second.poll().is_none());
    drop(guard);
    assert_eq!(lock.holder(), None);
    assert!(third.poll().is_none(), "the place in the queue counts, not who polls first");
    let guard = second.poll().unwrap();
    assert!(third.poll().is_none());
    drop(guard);
    assert!(third.poll().is_some());
    assert_eq!((lock.holder(), lock.waiting()), (None, vec![]));
}

#[test]
fn a_request_gives_the_lock_once() {
    let lock = lock();
    let mut request = lock.request(FLUSHER, no_waker());
    drop(request.poll().unwrap());
    assert!(request.poll().is_none());
    drop(request);
    assert!(lock.request(FLUSHER, no_waker()).poll().is_some());
}

#[test]
fn handing_over_wakes_exactly_the_next() {
    let lock = lock();
    let guard = lock.request(OPERATOR, no_waker()).poll().unwrap();
    let (second_bell, waker) = Bell::new();
    let mut second = lock.request(FLUSHER, waker);
    let (third_bell, waker) = Bell::new();
    let mut third = lock.request(COMPACTOR, waker);
    assert_eq!((second_bell.rings(), third_bell.rings()), (0, 0));
    drop(guard);
    assert_eq!((second_bell.rings(), third_bell.rings()), (1, 0));
    drop(second.poll().unwrap());
    assert_eq!((second_bell.rings(), third_bell.rings()), (1, 1));
    drop(third.poll().unwrap());
    assert_eq!((second_bell.rings(), third_bell.rings()), (1, 1));
}

#[test]
fn a_cancelled_request_leaves_the_queue() {
    let lock = lock();
    let guard = lock.request(OPERATOR, no_waker()).poll().unwrap();
    let (first_bell, waker) = Bell::new();
    let first = lock.request(FLUSHER, waker);
    let cancelled = lock.request(COMPACTOR, no_waker());
    let (last_bell, waker) = Bell::new();
    let mut last = lock.request(OPERATOR, waker);

    drop(cancelled);
    assert_eq!(lock.waiting(), [FLUSHER, OPERATOR]);
    drop(first);
    assert_eq!(lock.waiting(), [OPERATOR]);
    assert_eq!(last_bell.rings(), 0, "the lock is still held");
    drop(guard);
    assert_eq!((first_bell.rings(), last_bell.rings()), (0, 1));
    assert!(last.poll().is_some());
}

#[test]
fn cancelling_when_it_is_ones_turn_passes_the_wake_up_on() {
    let lock = lock();
    let guard = lock.request(OPERATOR, no_waker()).poll().unwrap();
    let (woken_bell, waker) = Bell::new();
    let woken = lock.request(FLUSHER, waker);
    let (next_bell, waker) = Bell::new();
    let mut next = lock.request(COMPACTOR, waker);
    drop(guard);
    assert_eq!((woken_bell.rings(), next_bell.rings()), (1, 0));
    drop(woken);
    assert_eq!(next_bell.rings(), 1);
    assert!(next.poll().is_some());
}

#[test]
fn a_new_waker_replaces_the_old() {
    let lock = lock();
    let guard = lock.request(OPERATOR, no_waker()).poll().unwrap();
    let (old, waker) = Bell::new();
    let request = lock.request(FLUSHER, waker);
    let (new, waker) = Bell::new();
    request.set_waker(waker);
    drop(guard);
    assert_eq!((old.rings(), new.rings()), (0, 1));
}

#[test]
fn a_guard_can_be_sent_to_another_thread() {
    let lock = lock();
    let mut guard = lock.request(COMPACTOR, no_waker()).poll().unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            *guard += 1;
            send.send(guard).unwrap();
        });
        assert_eq!(*receive.recv().unwrap(), 1);
    });
    assert_eq!(lock.holder(), None);
}

#[test]
fn a_holder_that_panics_gives_the_lock_back() {
    let lock = lock();
    let mut guard = lock.request(FLUSHER, no_waker()).poll().unwrap();
    let panicked = std::thread::spawn(move || {
        *guard = 5;
        panic!("on purpose");
    });
    panicked.join().unwrap_err();
    assert_eq!(*lock.lock_blocking(COMPACTOR), 5);
}

/// Panics when the lock is given back.
struct Panics;

impl EventSink for Panics {
    fn event(&self, event: Event) {
        assert!(!matches!(event, Event::LockReleased { .. }), "told to panic");
    }
}

#[test]
fn a_listener_that_panics_does_not_keep_the_lock() {
    let lock = VbLock::new(7, 5, Events::to(Arc::new(Panics)));
    let guard = lock.request(FLUSHER, no_waker()).poll().unwrap();
    let (bell, waker) = Bell::new();
    let mut next = lock.request(COMPACTOR, waker);
    std::thread::spawn(move || drop(guard)).join().unwrap_err();
    assert_eq!((lock.holder(), bell.rings()), (None, 1));
    let value = next.poll().unwrap();
    assert_eq!(*value, 5);
    std::thread::spawn(move || drop(value)).join().unwrap_err();
}

/// Records events, and looks at the lock while it does.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<(Event, Option<Actor>)>>,
    lock: Mutex<Option<VbLock<u32>>>,
}

impl EventSink for Recorder {
    fn event(&self, event: Event) {
        let holder = self.lock.lock().unwrap().as_ref().and_then(VbLock::holder);
        self.events.lock().unwrap().push((event, holder));
    }
}

#[test]
fn events_tell_who_asks_takes_and_gives_back() {
    let recorder = Arc::new(Recorder::default());
    let lock = VbLock::new(7, 0, Events::to(recorder.clone()));
    *recorder.lock.lock().unwrap() = Some(lock.clone());

    let guard = lock.request(FLUSHER, no_waker()).poll().unwrap();
    let mut request = lock.request(COMPACTOR, no_waker());
    assert!(request.poll().is_none());
    drop(guard);
    drop(request.poll());
    drop(lock.request(OPERATOR, no_waker()));

    let vbucket = 7;
    let expected = [
        (Event::LockAsked { vbucket, actor: FLUSHER }, None),
        (Event::LockTaken { vbucket, actor: FLUSHER }, Some(FLUSHER)),
        (Event::LockAsked { vbucket, actor: COMPACTOR }, Some(FLUSHER)),
        (Event::LockReleased { vbucket, actor: FLUSHER }, Some(FLUSHER)),
        (Event::LockTaken { vbucket, actor: COMPACTOR }, Some(COMPACTOR)),
        (Event::LockReleased { vbucket, actor: COMPACTOR }, Some(COMPACTOR)),
        (Event::LockAsked { vbucket, actor: OPERATOR }, None),
    ];
    assert_eq!(*recorder.events.lock().unwrap(), expected);
    *recorder.lock.lock().unwrap() = None;
}

/// Looks at the lock from within the wake-up, which deadlocks if anything inside is still locked.
struct LooksAtOnce(VbLock<u32>);

impl Wake for LooksAtOnce {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.holder(), None);
        assert_eq!(self.0.waiting(), [FLUSHER]);
    }
}

#[test]
fn a_wake_up_may_look_at_the_lock() {
    let lock = lock();
    let guard = lock.request(OPERATOR, no_waker()).poll().unwrap();
    let cancelled = lock.request(COMPACTOR, no_waker());
    let _waits = lock.request(FLUSHER, Waker::from(Arc::new(LooksAtOnce(lock.clone()))));
    drop(cancelled);
    drop(guard);
}

#[test]
fn no_wake_up_is_lost_among_many_threads() {
    let lock = lock();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let lock = lock.clone();
            scope.spawn(move || {
                for turn in 0..1000 {
                    // Some change their mind, at any moment of another's hand-over.
                    if (turn + thread) % 7 == 0 {
                        let mut request = lock.request(OPERATOR, no_waker());
                        if let Some(mut guard) = request.poll() {
                            *guard += 1;
                            continue;
                        }
                        drop(request);
                    }
                    *lock.lock_blocking(FLUSHER) += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock_blocking(OPERATOR), 8000);
    assert!(lock.waiting().is_empty());
}
