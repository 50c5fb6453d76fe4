//! Who has something to do, who can do it now, and who is next by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use super::action::Turn;
use crate::device::SyncTicket;
use crate::event::Actor;
use crate::sim::machines::Wakers;

/// What is known of one who acts.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// When what it did last is through, in nanoseconds.
    pub(super) ready_ns: u64,
    /// It waits for something that the clock says nothing about.
    pub(super) blocked: bool,
    /// What it met since its work began.
    pub(super) met: Met,
    flag: Arc<Flag>,
}

/// What may make a piece of work fail.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// An operation of its own failed by a fault.
    pub(super) fault: bool,
    /// A failure had left the end of the file in charge in doubt.
    pub(super) doubt: bool,
}

/// Set when a machine is woken.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Slot {
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.flag))
    }

    /// Whether it could go on. A machine that was not woken stays blocked: a wake-up that is lost
    /// shows as a run that comes to no end.
    fn can_go_on(&self) -> bool {
        !self.blocked || self.flag.0.load(Ordering::SeqCst)
    }

    /// It begins a step: whoever wakes it from now on finds it waiting.
    pub(super) fn begin(&mut self) {
        self.blocked = false;
        self.flag.0.store(false, Ordering::SeqCst);
    }
}

/// A sync that the disk is at.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingSync {
    pub(super) ticket: SyncTicket,
    /// When it is through, in nanoseconds.
    pub(super) due_ns: u64,
}

/// All who act.
#[derive(Debug, Default)]
pub(super) struct Actors {
    pub(super) flusher: Slot,
    pub(super) compactor: Slot,
    pub(super) operator: Slot,
    /// In the order in which they were issued.
    pub(super) syncs: Vec<PendingSync>,
}

/// Who has something to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) flusher: bool,
    pub(super) compactor: bool,
    pub(super) operator: bool,
}

impl Work {
    pub(super) fn of(&self, actor: Actor) -> bool {
        match actor {
            Actor::Flusher => self.flusher,
            Actor::Compactor => self.compactor,
            Actor::Operator => self.operator,
        }
    }

    pub(super) fn any(&self) -> bool {
        self.flusher || self.compactor || self.operator
    }
}

impl Actors {
    pub(super) fn slot(&mut self, actor: Actor) -> &mut Slot {
        match actor {
            Actor::Flusher => &mut self.flusher,
            Actor::Compactor => &mut self.compactor,
            Actor::Operator => &mut self.operator,
        }
    }

    pub(super) fn wakers(&self) -> Wakers {
        Wakers {
            flusher: self.flusher.waker(),
            compactor: self.compactor.waker(),
            operator: self.operator.waker(),
        }
    }

    /// When a turn could be taken, in nanoseconds; `None`: not as things are.
    pub(super) fn due_ns(&self, turn: Turn, work: Work) -> Option<u64> {
        let slot = match turn {
            Turn::Disk => return self.syncs.first().map(|sync| sync.due_ns),
            Turn::Machine(Actor::Flusher) => &self.flusher,
            Turn::Machine(Actor::Compactor) => &self.compactor,
            Turn::Machine(Actor::Operator) => &self.operator,
        };
        let can = match turn {
            Turn::Machine(actor) => work.of(actor) && slot.can_go_on(),
            Turn::Disk => true,
        };
        can.then_some(slot.ready_ns)
    }

    /// Whose turn is next by the clock.
    pub(super) fn next(&self, work: Work) -> Option<Turn> {
        let due = Turn::ALL.into_iter().filter_map(|turn| Some((self.due_ns(turn, work)?, turn)));
        due.min().map(|(_, turn)| turn)
    }

    /// A sync is through: whoever waited for one looks again.
    pub(super) fn unblock(&mut self) {
        for actor in [Actor::Flusher, Actor::Compactor, Actor::Operator] {
            self.slot(actor).blocked = false;
        }
    }
}
