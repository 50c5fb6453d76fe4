//! Metrics, drawn from the stream of events and the host's clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::device::Host;
use crate::event::{Actor, Content, Event, EventSink, Events, FileName, Phase};
use crate::sync::{Mutex, MutexGuard, Rank};

/// A distribution of durations, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        // From 1 µs to 1 h at 3 digits: both bounds and digits are ones that the crate accepts.
        Durations(
            Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are constant")),
        )
    }
}

impl Durations {
    fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that a part, 0 to 1, of them do not pass, in nanoseconds; 0 when there are none.
    pub fn quantile_ns(&self, part: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_quantile(part) }
    }

    /// The longest, in nanoseconds.
    pub fn max_ns(&self) -> u64 {
        self.0.max()
    }
}

/// What was measured since the engine was opened. Durations are in nanoseconds of the host's clock.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// From taking a batch off the queue to its being durable.
    pub flush: Durations,
    /// The same, of flushes during which the vbucket was being compacted.
    pub flush_while_compacting: Durations,
    /// The same, of the others.
    pub flush_idle: Durations,
    /// From appending a header to its being durable.
    pub commit: Durations,
    /// What flushers waited for the vbucket's lock.
    pub flusher_lock_wait: Durations,
    /// What compactions waited for the vbucket's lock.
    pub compactor_lock_wait: Durations,
    /// How long compactions held the vbucket's lock.
    pub compactor_lock_held: Durations,
    /// The same without the syncs that were done under it.
    pub compactor_lock_held_without_syncs: Durations,
    /// What flushers waited for because catch-up asked for it.
    pub pacing: Durations,
    /// What writers waited for room in a queue.
    pub room_wait: Durations,
    /// What a writer feels: waits for the lock, pacing, and waits for room, together.
    pub stall: Durations,
    /// Flushes that came to their end.
    pub flushes: u64,
    /// Flushes that failed.
    pub failed_flushes: u64,
    /// Mutations that flushes took off the queues.
    pub mutations: u64,
    /// Largest batch that a flush took off its queue, in bytes.
    pub queue_bytes_max: u64,
    /// Swaps.
    pub compactions: u64,
    /// Compactions that failed or were cancelled.
    pub unfinished_compactions: u64,
    /// Documents that compactions copied before catch-up.
    pub documents_copied: u64,
    /// Documents that compactions left behind.
    pub documents_dropped: u64,
    /// Documents that catch-up replayed.
    pub documents_replayed: u64,
    /// Most unlocked rounds of one compaction.
    pub rounds_max: u32,
    /// Bytes of tail, for every round; the last one of a compaction is that under the lock.
    pub tails: Vec<Tail>,
    /// Bytes written to all files.
    pub bytes_written: u64,
    /// The part of them that compactions wrote, for each phase.
    pub bytes_by_phase: BTreeMap<Phase, u64>,
    /// Times that the lock was taken although the tail was longer than wanted.
    pub stall_targets_missed: u64,
}

/// One round of catch-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Round of its compaction, from 1 on.
    pub round: u32,
    /// Bytes that the source grew by.
    pub bytes: u64,
    /// Whether it was replayed under the lock.
    pub locked: bool,
}

/// Kept at most, so that memory stays bounded.
const TAILS_MAX: usize = 10_000;

/// Receives the events of an engine, measures, and passes them on.
pub struct Recorder {
    host: Arc<dyn Host>,
    next: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    metrics: Metrics,
    vbuckets: BTreeMap<u16, Watch>,
    commits: BTreeMap<FileName, u64>,
    /// When syncs were issued; files that one compaction writes have one at a time.
    syncs: BTreeMap<FileName, u64>,
    directory_sync: u64,
    /// Vbuckets whose compaction holds the lock.
    locked: Vec<u16>,
    /// Which vbucket's compaction writes a file, and in which phase it is.
    targets: BTreeMap<FileName, (u16, Phase)>,
}

/// What is going on in a vbucket.
#[derive(Default)]
struct Watch {
    flush_began: Option<u64>,
    flush_beside_compaction: bool,
    compacting: bool,
    asked: BTreeMap<Actor, u64>,
    locked_at: u64,
    locked_syncs: u64,
    rounds: u32,
}

impl Recorder {
    pub(super) fn new(host: Arc<dyn Host>, next: Events) -> Self {
        Recorder { host, next, state: Mutex::new(Rank::Metrics, State::default()) }
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.state().metrics.clone()
    }

    /// A writer waited for room in a queue.
    pub(super) fn waited_for_room(&self, nanoseconds: u64) {
        let metrics = &mut self.state().metrics;
        metrics.room_wait.record(nanoseconds);
        metrics.stall.record(nanoseconds);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl EventSink for Recorder {
    fn event(&self, event: Event) {
        let now = self.host.now_ns();
        self.state().record(&event, now);
        // A listener that panicked may do so at every event, which would end the process while the
        // first panic is still being cleaned up after.
        if !std::thread::panicking() {
            self.next.emit(|| event);
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

impl State {
    fn record(&mut self, event: &Event, now: u64) {
        match event {
            Event::Appended { file, content, .. } => {
                if *content == Content::Header {
                    self.commits.insert(file.clone(), now);
                }
            }
            Event::Written { file, position, end } => {
                self.metrics.bytes_written += end - position;
                if let Some((_, phase)) = self.targets.get(file) {
                    *self.metrics.bytes_by_phase.entry(*phase).or_default() += end - position;
                }
            }
            Event::HeaderCommitted { file, .. } => {
                if let Some(began) = self.commits.remove(file) {
                    self.metrics.commit.record(now.saturating_sub(began));
                }
            }
            Event::SyncIssued { file } => {
                self.syncs.insert(file.clone(), now);
            }
            Event::SyncCompleted { file } => {
                let began = self.syncs.remove(file).unwrap_or(now);
                if let Some((vbucket, _)) = self.targets.get(file).copied() {
                    self.locked_sync(Some(vbucket), now.saturating_sub(began));
                }
            }
            Event::DirectorySyncIssued => self.directory_sync = now,
            Event::DirectorySyncCompleted => {
                let took = now.saturating_sub(self.directory_sync);
                self.locked_sync(self.locked.first().copied(), took);
            }
            Event::LockAsked { vbucket, actor } => {
                self.watch(*vbucket).asked.insert(*actor, now);
            }
            Event::LockTaken { vbucket, actor } => self.lock_taken(*vbucket, *actor, now),
            Event::LockReleased { vbucket, actor: Actor::Compactor } => {
                self.locked.retain(|locked| locked != vbucket);
                let watch = self.watch(*vbucket);
                let held = now.saturating_sub(watch.locked_at);
                let syncs = watch.locked_syncs;
                self.metrics.compactor_lock_held.record(held);
                let without = held.saturating_sub(syncs);
                self.metrics.compactor_lock_held_without_syncs.record(without);
            }
            Event::FlushStarted { vbucket, mutations, bytes } => {
                let watch = self.watch(*vbucket);
                watch.flush_began = Some(now);
                watch.flush_beside_compaction = watch.compacting;
                self.metrics.mutations += mutations;
                self.metrics.queue_bytes_max = self.metrics.queue_bytes_max.max(*bytes);
            }
            Event::FlushFinished { vbucket, .. } => self.flush_finished(*vbucket, now),
            Event::FlushFailed { .. } => self.metrics.failed_flushes += 1,
            Event::Paced { nanoseconds, .. } => {
                self.metrics.pacing.record(*nanoseconds);
                self.metrics.stall.record(*nanoseconds);
            }
            event => self.record_compaction(event),
        }
    }

    fn record_compaction(&mut self, event: &Event) {
        match event {
            Event::CompactionStarted { vbucket, target, .. } => {
                self.targets.insert(target.clone(), (*vbucket, Phase::CopyDocuments));
                let watch = self.watch(*vbucket);
                watch.compacting = true;
                watch.flush_beside_compaction = true;
                watch.rounds = 0;
            }
            Event::PhaseChanged { vbucket, phase } => {
                for (id, current) in self.targets.values_mut() {
                    if id == vbucket {
                        *current = *phase;
                    }
                }
            }
            Event::RoundStarted { vbucket, round, tail, locked, .. } => {
                if !locked {
                    self.watch(*vbucket).rounds = *round;
                    self.metrics.rounds_max = self.metrics.rounds_max.max(*round);
                }
                if self.metrics.tails.len() < TAILS_MAX {
                    let (round, bytes, locked) = (*round, *tail, *locked);
                    self.metrics.tails.push(Tail { round, bytes, locked });
                }
            }
            Event::RoundFinished { documents, .. } => self.metrics.documents_replayed += documents,
            Event::DocumentCopied { .. } => self.metrics.documents_copied += 1,
            Event::DocumentDropped { .. } => self.metrics.documents_dropped += 1,
            Event::StallTargetMissed { .. } => self.metrics.stall_targets_missed += 1,
            Event::Published { .. } => self.metrics.compactions += 1,
            Event::CompactionEnded { vbucket, outcome } => {
                self.watch(*vbucket).compacting = false;
                self.targets.retain(|_, (id, _)| id != vbucket);
                let swapped = *outcome == crate::event::Outcome::Swapped;
                self.metrics.unfinished_compactions += u64::from(!swapped);
            }
            _ => {}
        }
    }

    fn lock_taken(&mut self, vbucket: u16, actor: Actor, now: u64) {
        let watch = self.watch(vbucket);
        let asked = watch.asked.remove(&actor).unwrap_or(now);
        let waited = now.saturating_sub(asked);
        match actor {
            Actor::Flusher => {
                self.metrics.flusher_lock_wait.record(waited);
                self.metrics.stall.record(waited);
            }
            Actor::Compactor => {
                (watch.locked_at, watch.locked_syncs) = (now, 0);
                self.locked.push(vbucket);
                self.metrics.compactor_lock_wait.record(waited);
            }
            Actor::Operator => {}
        }
    }

    /// A sync that a compaction did, which counts if it held the lock.
    fn locked_sync(&mut self, vbucket: Option<u16>, nanoseconds: u64) {
        if let Some(vbucket) = vbucket.filter(|vbucket| self.locked.contains(vbucket)) {
            self.watch(vbucket).locked_syncs += nanoseconds;
        }
    }

    fn flush_finished(&mut self, vbucket: u16, now: u64) {
        let watch = self.watch(vbucket);
        let Some(began) = watch.flush_began.take() else { return };
        let beside = watch.flush_beside_compaction;
        let took = now.saturating_sub(began);
        self.metrics.flushes += 1;
        self.metrics.flush.record(took);
        match beside {
            true => self.metrics.flush_while_compacting.record(took),
            false => self.metrics.flush_idle.record(took),
        }
    }

    fn watch(&mut self, vbucket: u16) -> &mut Watch {
        self.vbuckets.entry(vbucket).or_default()
    }
}
