//! Compactor threads, and the answers that callers wait for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::automatic::{is_due, put_off};
use super::reclaim::reclaim;
use super::shared::{Shared, Stage, no_such};
use super::source::{ThreadedSource, ThreadedVisits};
use super::waking::Alarm;
use crate::compaction::{Compaction, CompactionOptions, CompactionStats};
use crate::error::{Error, Result};
use crate::store::{Budget, Step};
use crate::sync::{Condvar, Mutex, Rank};

/// How long a compactor that waits for the lock sleeps before it looks again by itself.
const LOCK_WAIT_NS: u64 = 1_000_000_000;
/// How much is done between two looks at whether to stop.
const BUDGET: Budget = Budget { bytes: 1 << 20, entries: 4096 };

/// A compaction that was asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) vbucket: u16,
    options: CompactionOptions,
    answer: Answer,
}

/// Where the outcome goes. Dropped unanswered, it says that the compaction was cancelled, so that
/// whoever waits is answered exactly once, whatever happens.
#[derive(Debug)]
struct Answer(Option<Arc<Slot>>);

#[derive(Debug)]
struct Slot {
    outcome: Mutex<Option<Result<CompactionStats>>>,
    answered: Condvar,
}

impl Answer {
    fn give(&mut self, outcome: Result<CompactionStats>) {
        if let Some(slot) = self.0.take() {
            *slot.outcome.lock() = Some(outcome);
            slot.answered.notify_all();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(Err(Error::Cancelled));
    }
}

/// A compaction that was asked for, and its outcome to come.
#[derive(Debug)]
#[must_use = "the outcome of a compaction may be an error"]
pub struct CompactionTicket(Arc<Slot>);

impl CompactionTicket {
    /// Waits until the compaction is through, and what the old file took is given back, unless somebody
    /// still reads it.
    ///
    /// # Errors
    /// Whatever made it fail; [`Error::Cancelled`] when the vbucket was deleted or rolled back, or
    /// the engine shut down, before its swap.
    pub fn wait(self) -> Result<CompactionStats> {
        let mut slot = self.0.outcome.lock();
        loop {
            match slot.take() {
                Some(outcome) => return outcome,
                None => slot = self.0.answered.wait(slot),
            }
        }
    }
}

impl Request {
    /// One that nobody waits for.
    pub(super) fn automatic(vbucket: u16, options: CompactionOptions) -> Self {
        Request { vbucket, options, answer: Answer(None) }
    }

    fn is_automatic(&self) -> bool {
        self.answer.0.is_none()
    }

    /// One whose outcome the ticket tells.
    pub(super) fn asked(vbucket: u16, options: CompactionOptions) -> (Self, CompactionTicket) {
        let outcome = Mutex::new(Rank::Sleep, None);
        let slot = Arc::new(Slot { outcome, answered: Condvar::default() });
        let answer = Answer(Some(slot.clone()));
        (Request { vbucket, options, answer }, CompactionTicket(slot))
    }
}

/// Compacts vbucket after vbucket until the engine stops.
pub(super) fn run(shared: &Shared) {
    while let Some(mut request) = next(shared) {
        if request.is_automatic() && !is_still_due(shared, request.vbucket) {
            continue;
        }
        let compacted = catch_unwind(AssertUnwindSafe(|| {
            compact(shared, request.vbucket, request.options.clone())
        }));
        let outcome = compacted.unwrap_or_else(|_| {
            Err(Error::Invalid(format!("the compaction of vbucket {} panicked", request.vbucket)))
        });
        if !matches!(outcome, Ok(_) | Err(Error::Cancelled)) {
            put_off(shared, request.vbucket);
        }
        request.answer.give(outcome);
        shared.changed.notify_all();
    }
}

fn next(shared: &Shared) -> Option<Request> {
    let mut state = shared.state();
    loop {
        if state.stage != Stage::Running {
            return None;
        }
        if let Some(request) = state.to_compact.pop_front() {
            return Some(request);
        }
        state = shared.work.wait(state);
    }
}

fn is_still_due(shared: &Shared, vbucket: u16) -> bool {
    shared.member(vbucket).is_ok_and(|member| is_due(shared, &member))
}

/// One compaction, to its end.
fn compact(shared: &Shared, vbucket: u16, options: CompactionOptions) -> Result<CompactionStats> {
    let member = shared.member(vbucket).map_err(|_| no_such(vbucket))?;
    let (alarm, waker) = Alarm::new();
    let join = ThreadedSource::join_behind_writers;
    let mut compaction = Compaction::start(&member.vbucket, options, waker, join)?;
    compaction.read_last_tail_with(ThreadedVisits::join);
    let old = compaction.source().map(|file| file.device.clone());
    loop {
        if shared.state().stage != Stage::Running {
            member.vbucket.cancel_compaction();
        }
        match compaction.step(&mut BUDGET.clone())? {
            Step::Done => break,
            Step::Progress => {}
            Step::Blocked => alarm.sleep(LOCK_WAIT_NS),
        }
    }
    if let Some(old) = old {
        reclaim(old, |pause| {
            alarm.sleep(pause);
            shared.state().has_time()
        });
    }
    Ok(compaction.stats().clone())
}
