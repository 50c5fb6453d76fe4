//! What the command does with the engine's events: acknowledgements, the trace, warnings, and what
//! the live view shows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tailswap::event::{Event, EventSink, Outcome as CompactionOutcome, Phase};

use super::acks::Acks;
use super::trace::Trace;
use crate::exit::{Failure, Outcome, note_line};

/// Vbuckets whose acknowledgements are told one by one; of more only the number is.
const TOLD_MAX: usize = 8;

/// Receives the engine's events.
#[derive(Debug)]
pub(super) struct Observer {
    trace: Option<Trace>,
    state: Mutex<State>,
    /// An acknowledgement could not be written: to go on would be to lie by omission.
    broken: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    acks: Option<Acks>,
    acks_error: Option<String>,
    acknowledged: BTreeMap<u16, u64>,
    compacting: BTreeMap<u16, Phase>,
    swaps: u64,
    /// Why flushes of vbuckets fail at present.
    failing: BTreeMap<u16, String>,
    /// Why the last compaction that failed did.
    compaction_failure: Option<String>,
}

impl Observer {
    pub(super) fn new(acks: Option<Acks>, trace: Option<Trace>) -> Self {
        let state = Mutex::new(State { acks, ..State::default() });
        Observer { trace, state, broken: AtomicBool::new(false) }
    }

    /// Whether acknowledgements can no longer be written.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Swaps so far.
    pub(super) fn swaps(&self) -> u64 {
        self.state().swaps
    }

    /// What is being compacted, for people; empty when nothing is.
    pub(super) fn compacting(&self) -> String {
        let state = self.state();
        let one = |(vbucket, phase): (&u16, &Phase)| format!("vb {vbucket}: {}", name(*phase));
        state.compacting.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Up to where vbuckets are durable, for people; `None` when nothing was flushed.
    pub(super) fn acknowledged(&self) -> Option<String> {
        let state = self.state();
        let one = |(vbucket, seq): (&u16, &u64)| format!("vbucket {vbucket} up to {seq}");
        match state.acknowledged.len() {
            0 => None,
            1..=TOLD_MAX => Some(state.acknowledged.iter().map(one).collect::<Vec<_>>().join(", ")),
            many => Some(format!("in {many} vbuckets")),
        }
    }

    /// Waits until all that was received is written.
    pub(super) fn finish(&self) -> Outcome<()> {
        let traced = self.trace.as_ref().map_or(Ok(()), Trace::finish);
        match self.state().acks_error.take() {
            Some(error) => Err(Failure::io(error)),
            None => traced,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Observer {
    fn event(&self, event: Event) {
        match &event {
            Event::FlushFinished { vbucket, seq } => {
                let mut state = self.state();
                state.failing.remove(vbucket);
                if state.persisted(*vbucket, *seq).is_err() {
                    self.broken.store(true, Ordering::Relaxed);
                }
            }
            Event::FlushFailed { vbucket, error } => self.state().flush_failed(*vbucket, error),
            Event::PhaseChanged { vbucket, phase } => {
                self.state().compacting.insert(*vbucket, *phase);
            }
            Event::Published { .. } => self.state().swaps += 1,
            Event::CompactionEnded { vbucket, outcome } => {
                self.state().compaction_ended(*vbucket, outcome);
            }
            Event::VBucketDeleted { vbucket } => {
                self.state().compacting.remove(vbucket);
            }
            _ => {}
        }
        if let Some(trace) = &self.trace {
            trace.event(event);
        }
    }
}

impl State {
    fn persisted(&mut self, vbucket: u16, seq: u64) -> Result<(), ()> {
        self.acknowledged.insert(vbucket, seq);
        let Some(acks) = self.acks.as_mut().filter(|_| self.acks_error.is_none()) else {
            return if self.acks_error.is_none() { Ok(()) } else { Err(()) };
        };
        acks.persisted(vbucket, seq).map_err(|error| self.acks_error = Some(error))
    }

    /// Warns once for each reason, not for each try.
    fn flush_failed(&mut self, vbucket: u16, error: &str) {
        if self.failing.get(&vbucket).is_none_or(|last| last != error) {
            note_line(format_args!("vbucket {vbucket}: a flush failed, trying again: {error}"));
            self.failing.insert(vbucket, error.to_owned());
        }
    }

    fn compaction_ended(&mut self, vbucket: u16, outcome: &CompactionOutcome) {
        self.compacting.remove(&vbucket);
        match outcome {
            CompactionOutcome::Failed(error) => {
                if self.compaction_failure.as_ref() != Some(error) {
                    note_line(format_args!(
                        "vbucket {vbucket}: a compaction failed, its file stays in use: {error}"
                    ));
                    self.compaction_failure = Some(error.clone());
                }
            }
            CompactionOutcome::Swapped => self.compaction_failure = None,
            CompactionOutcome::Cancelled => {}
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::CopyDocuments => "copying documents",
        Phase::CopyIds => "copying ids",
        Phase::CopyLocal => "copying local documents",
        Phase::CommitCopy => "syncing the copy",
        Phase::CatchUp => "catching up",
        Phase::WaitForLock => "waiting for the lock",
        Phase::LastTail => "last tail",
        Phase::Validate => "validating",
        Phase::Swap => "swapping",
        Phase::Unlink => "unlinking",
    }
}
