//! What happened in a world and when, and a number that stands for all of it.

use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::event::{Event, EventSink, Outcome, Phase};
use crate::sim::host::SimHost;
use crate::sim::witness::Witness;

/// An event with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// Nanoseconds on the world's clock.
    pub at_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Listens to everything in a world.
#[derive(Debug)]
pub(super) struct Trace {
    host: Arc<SimHost>,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    /// Who hears of each event first; nobody while a dead process is cleared away.
    witness: Option<Arc<Witness>>,
    hasher: SipHasher13,
    events: Vec<Stamped>,
    progress: Progress,
}

/// Where compactions stand, as events told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The phase of the running compaction.
    pub phase: Option<Phase>,
    /// Its catch-up rounds without the lock.
    pub rounds: u32,
    /// Compactions that swapped, since the world began.
    pub swaps: u64,
    /// Flushes that were acknowledged.
    pub flushes: u64,
    /// The revision that was told to be in charge last.
    pub revision: u64,
}

impl Trace {
    pub(super) fn new(host: Arc<SimHost>) -> Arc<Self> {
        Arc::new(Trace {
            host,
            heard: Mutex::new(Heard {
                witness: None,
                hasher: SipHasher13::new(),
                events: Vec::new(),
                progress: Progress::default(),
            }),
        })
    }

    /// From now on this witness hears of events; with `None`, nobody, and nothing is kept.
    pub(super) fn tell(&self, witness: Option<Arc<Witness>>) {
        let mut heard = self.heard();
        heard.witness = witness;
        (heard.progress.phase, heard.progress.rounds) = (None, 0);
    }

    /// Something was done to the world.
    pub(super) fn note(&self, action: &str) {
        let now = self.host.time_ns();
        let mut heard = self.heard();
        heard.hasher.write(&now.to_le_bytes());
        heard.hasher.write(action.as_bytes());
    }

    pub(super) fn hash(&self) -> u64 {
        self.heard().hasher.finish()
    }

    pub(super) fn progress(&self) -> Progress {
        self.heard().progress
    }

    pub(super) fn events_from(&self, first: usize) -> Vec<Stamped> {
        self.heard().events.get(first..).unwrap_or_default().to_vec()
    }

    pub(super) fn event_count(&self) -> usize {
        self.heard().events.len()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Trace {
    fn event(&self, event: Event) {
        let stamped = Stamped { at_ns: self.host.time_ns(), event };
        let mut heard = self.heard();
        let Some(witness) = heard.witness.clone() else { return };
        witness.event(stamped.event.clone());
        // The text of an event is the same on every host; the layout in memory is not.
        let text = serde_json::to_string(&stamped).unwrap_or_default();
        heard.hasher.write(text.as_bytes());
        heard.progress.take_in(&stamped.event);
        heard.events.push(stamped);
    }
}

impl Progress {
    fn take_in(&mut self, event: &Event) {
        match event {
            Event::CompactionStarted { .. } => (self.phase, self.rounds) = (None, 0),
            Event::PhaseChanged { phase, .. } => self.phase = Some(*phase),
            Event::RoundStarted { round, locked: false, .. } => self.rounds = *round,
            Event::CompactionEnded { outcome, .. } => {
                self.phase = None;
                self.swaps += u64::from(*outcome == Outcome::Swapped);
            }
            Event::FlushFinished { .. } => self.flushes += 1,
            Event::Published { revision, .. }
            | Event::VBucketCreated { revision, .. }
            | Event::VBucketOpened { revision, .. } => self.revision = *revision,
            _ => {}
        }
    }
}
