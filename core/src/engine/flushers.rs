//! Flusher threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::automatic::{compact_if_fragmented, make_room};
use super::shared::{FlushState, Member, Shared, Stage};
use super::waking::Alarm;
use crate::error::{Error, Result};
use crate::store::{Budget, Step};

/// First time to wait after a failed flush; each further failure doubles it.
const RETRY_FIRST_NS: u64 = 50_000_000;
/// Longest time to wait after a failed flush.
const RETRY_LONGEST_NS: u64 = 5_000_000_000;
/// How long a flusher that waits for the lock sleeps before it looks again by itself.
const LOCK_WAIT_NS: u64 = 1_000_000_000;

/// Flushes vbucket after vbucket until the engine stops.
pub(super) fn run(shared: &Shared) {
    while let Some((vbucket, member)) = next(shared) {
        let flushed = catch_unwind(AssertUnwindSafe(|| {
            let result = flush(shared, &member);
            settle(shared, vbucket, &member, result);
        }));
        if flushed.is_err() {
            give_up(shared, vbucket, &member);
        }
    }
}

/// The next vbucket whose turn it is; sleeps until there is one. `None` to stop.
fn next(shared: &Shared) -> Option<(u16, Arc<Member>)> {
    let mut state = shared.state();
    loop {
        if let Some(vbucket) = state.to_flush.pop_front() {
            let Some(member) = state.members.get_mut(&vbucket) else { continue };
            member.flush = FlushState::Running;
            return Some((vbucket, member.member.clone()));
        }
        if state.stage == Stage::Stopped {
            return None;
        }
        let now = shared.host.now_ns();
        let mut earliest = u64::MAX;
        let mut due = Vec::new();
        for (vbucket, member) in &mut state.members {
            if let FlushState::Retrying { not_before_ns } = member.flush {
                if not_before_ns <= now {
                    member.flush = FlushState::Scheduled;
                    due.push(*vbucket);
                } else {
                    earliest = earliest.min(not_before_ns - now);
                }
            }
        }
        if due.is_empty() {
            let limit = Duration::from_nanos(earliest);
            state = shared.work.wait_timeout(state, limit);
        }
        state.to_flush.extend(due);
    }
}

/// One flush, to its end.
fn flush(shared: &Shared, member: &Member) -> Result<()> {
    let mut flusher = member.flusher.lock();
    let (alarm, waker) = Alarm::new();
    flusher.set_waker(waker);
    loop {
        match flusher.step(&mut Budget::UNBOUNDED.clone())? {
            Step::Done => return Ok(()),
            Step::Progress => {}
            Step::Blocked => match flusher.paced_until_ns() {
                Some(until) => alarm.sleep(until.saturating_sub(shared.host.now_ns())),
                None => alarm.sleep(LOCK_WAIT_NS),
            },
        }
    }
}

/// A flush panicked, or a listener that it called: whoever waits for it is told so.
fn give_up(shared: &Shared, vbucket: u16, member: &Arc<Member>) {
    let mut state = shared.state();
    if let Some(entry) = state.members.get_mut(&vbucket)
        && Arc::ptr_eq(&entry.member, member)
    {
        entry.flush = FlushState::GivenUp;
        entry.failing = Some("its flush panicked".to_owned());
    }
    drop(state);
    shared.changed.notify_all();
}

/// What follows from a flush.
fn settle(shared: &Shared, vbucket: u16, member: &Arc<Member>, result: Result<()>) {
    let gone = matches!(result, Err(Error::Cancelled));
    let disk_full = result.as_ref().is_err_and(Error::is_storage_full);
    let succeeded = result.is_ok();
    let mut state = shared.state();
    // The vbucket may have been deleted, and even created again, meanwhile.
    if let Some(entry) = state.members.get_mut(&vbucket)
        && Arc::ptr_eq(&entry.member, member)
    {
        entry.flush = FlushState::Idle;
        match result {
            Ok(()) => {
                (entry.failing, entry.failures) = (None, 0);
                if member.dirty.with_queue(|queue| queue.queued().mutations > 0) {
                    state.schedule_flush(vbucket, &shared.work);
                }
            }
            Err(error) if !gone => {
                let wait = RETRY_FIRST_NS << entry.failures.min(16);
                entry.failures += 1;
                entry.failing = Some(error.to_string());
                let not_before_ns = shared.host.now_ns() + wait.min(RETRY_LONGEST_NS);
                entry.flush = FlushState::Retrying { not_before_ns };
                shared.work.notify_all();
            }
            Err(_) => {}
        }
    }
    drop(state);
    shared.changed.notify_all();
    if succeeded {
        compact_if_fragmented(shared, member);
    }
    if disk_full {
        make_room(shared);
    }
}
