//! The engine as its callers see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::compactors::{self, CompactionTicket, Request};
use super::flushers;
use super::metrics::{Metrics, Recorder};
use super::options::EngineOptions;
use super::shared::{FlushState, Member, MemberState, Shared, Stage, no_such};
use super::threads::{Builder, JoinHandle};
use crate::compaction::CompactionOptions;
use crate::device::{Host, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::FileName;
use crate::flusher::queue::{Amount, Mutation, PushError};
use crate::flusher::{Dirty, Flusher};
use crate::format::names::{DEFAULT_COLLECTION, prefixed_id};
use crate::format::rev_meta::DATATYPE_JSON;
use crate::store::{Opening, PassedOver, Snapshot};
use crate::sync::{Mutex, Rank};
use crate::vbucket::{VBucket, vbstate_of, vbuckets_in};

/// A change that sets a document of the default collection to a JSON value.
pub fn set(key: &[u8], json: &[u8]) -> Mutation {
    Mutation {
        id: prefixed_id(DEFAULT_COLLECTION, key),
        value: Some(Bytes::copy_from_slice(json)),
        deleted: false,
        cas: 0,
        expiry: 0,
        flags: 0,
        datatype: DATATYPE_JSON,
        seq: None,
    }
}

/// A change that deletes a document of the default collection.
pub fn delete(key: &[u8]) -> Mutation {
    Mutation { value: None, deleted: true, datatype: 0, ..set(key, b"") }
}

/// A change that an engine took: what to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The vbucket.
    pub vbucket: u16,
    /// The change's sequence number.
    pub seq: u64,
    /// The vbucket's history that the number belongs to: after a rollback it can come again.
    history: u64,
}

/// A vbucket that was opened past damage, or past a commit that a crash cut short.
#[derive(Debug)]
pub struct Recovered {
    /// The vbucket.
    pub vbucket: u16,
    /// The state that it was opened at.
    pub snapshot: Snapshot,
    /// What was given up behind it; never empty.
    pub passed_over: Vec<PassedOver>,
}

/// A data directory with its flusher and compactor threads. Dropping it shuts it down, as
/// [`shutdown`](Self::shutdown) does, but tells nobody of a failure.
#[derive(Debug)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
    recovered: Vec<Recovered>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Opens every vbucket in a volume and starts the threads. Leftovers of crashes are removed, but
    /// of each vbucket only after its newest file was found sound.
    ///
    /// # Errors
    /// As [`VBucket::open`], for the first vbucket that cannot be opened; nothing is running then.
    pub fn open(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        options: EngineOptions,
    ) -> Result<Self> {
        let recorder = Arc::new(Recorder::new(host.clone(), options.events.clone()));
        let shared = Arc::new(Shared::new(volume, host, options, recorder));
        let mut recovered = Vec::new();
        for id in vbuckets_in(shared.volume.as_ref())? {
            let (volume, host, events) =
                (shared.volume.clone(), shared.host.clone(), shared.events.clone());
            let (mode, commits) = (shared.options.open_mode, shared.options.commit_style);
            let opening = Opening { mode, commits };
            let opened = VBucket::open(volume, host, id, opening, events)?;
            if let Some((vbucket, passed_over)) = opened {
                if !passed_over.is_empty() {
                    let snapshot = vbucket.snapshot()?;
                    recovered.push(Recovered { vbucket: id, snapshot, passed_over });
                }
                shared.add(vbucket)?;
            }
        }
        let mut engine = Engine { shared, recovered, threads: Vec::new() };
        let flushers = engine.shared.options.flusher_threads.max(1);
        for index in 0..flushers {
            engine.spawn(format!("flusher-{index}"), flushers::run)?;
        }
        for index in 0..engine.shared.options.compactor_threads {
            engine.spawn(format!("compactor-{index}"), compactors::run)?;
        }
        Ok(engine)
    }

    fn spawn(&mut self, name: String, run: fn(&Shared)) -> Result<()> {
        let shared = self.shared.clone();
        let thread = Builder::new().name(name.clone()).spawn(move || run(&shared));
        let failed = |source| Error::io(IoOp::Create, &FileName::from(name), None, source);
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }

    /// The vbuckets that were opened past damage, which
    /// [`OpenMode::Recovery`](crate::store::OpenMode::Recovery) allows.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// The vbuckets that there are.
    pub fn vbuckets(&self) -> Vec<u16> {
        self.shared.state().members.keys().copied().collect()
    }

    /// Queues a change and gives it a sequence number. While the vbucket's queue is full this waits
    /// for the flusher. A CAS of 0 is replaced by the next one, and a deletion without a time gets
    /// the present one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`] for what no file can hold; [`Error::FlushFailing`]
    /// when there is no room and flushes fail; [`Error::Cancelled`] when the engine is shutting
    /// down.
    pub fn mutate(&self, vbucket: u16, mutation: Mutation) -> Result<Accepted> {
        let shared = &self.shared;
        let mut mutation = self.stamped(mutation);
        let mut began_waiting = None;
        let mut state = shared.state();
        let result = loop {
            if state.stage != Stage::Running {
                break Err(Error::Cancelled);
            }
            let Some(entry) = state.members.get(&vbucket) else { break Err(no_such(vbucket)) };
            let pushed = entry.member.dirty.with_queue(|queue| queue.push(mutation));
            match pushed {
                Ok(seq) => {
                    let history = entry.history;
                    state.schedule_flush(vbucket, &shared.work);
                    break Ok(Accepted { vbucket, seq, history });
                }
                Err(PushError::Invalid(error)) => break Err(error),
                Err(PushError::Full(back)) => {
                    if let Some(reason) = &entry.failing {
                        break Err(Error::FlushFailing { vbucket, reason: reason.clone() });
                    }
                    mutation = back;
                    began_waiting.get_or_insert_with(|| shared.host.now_ns());
                    state = shared.changed.wait(state);
                }
            }
        };
        drop(state);
        if let Some(began) = began_waiting {
            shared.recorder.waited_for_room(shared.host.now_ns().saturating_sub(began));
        }
        result
    }

    /// Everything up to this sequence number of the vbucket is durable.
    pub fn persisted(&self, vbucket: u16) -> Result<u64> {
        Ok(self.shared.member(vbucket)?.dirty.persisted_seq())
    }

    /// Waits until a change that [`mutate`](Self::mutate) took is durable.
    ///
    /// # Errors
    /// [`Error::FlushFailing`] when flushes fail: the change is still queued and will be tried again;
    /// [`Error::Cancelled`] when the vbucket was deleted or rolled back, and the change with it.
    pub fn wait_persisted(&self, accepted: Accepted) -> Result<()> {
        let Accepted { vbucket, seq, history } = accepted;
        let shared = &self.shared;
        let mut state = shared.state();
        loop {
            let entry = state.members.get(&vbucket).filter(|entry| entry.history == history);
            let Some(entry) = entry else { return Err(Error::Cancelled) };
            if entry.member.dirty.persisted_seq() >= seq {
                return Ok(());
            }
            if let Some(reason) = &entry.failing {
                return Err(Error::FlushFailing { vbucket, reason: reason.clone() });
            }
            if state.stage == Stage::Stopped {
                return Err(Error::Cancelled);
            }
            state = shared.changed.wait(state);
        }
    }

    /// What waits in the queues of all vbuckets, with what is being flushed.
    pub fn queued(&self) -> Amount {
        let mut sum = Amount::default();
        for entry in self.shared.state().members.values() {
            entry.member.dirty.with_queue(|queue| {
                for part in [queue.queued(), queue.in_flight()] {
                    sum.mutations += part.mutations;
                    sum.bytes += part.bytes;
                }
            });
        }
        sum
    }

    /// The newest durable state of a vbucket. Never waits.
    pub fn snapshot(&self, vbucket: u16) -> Result<Snapshot> {
        self.shared.member(vbucket)?.vbucket.snapshot()
    }

    /// Asks for a compaction of a vbucket.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the vbucket is being compacted already, or is to be, and when the engine
    /// has no threads that compact; [`Error::Cancelled`] when it is shutting down.
    pub fn compact(&self, vbucket: u16, options: CompactionOptions) -> Result<CompactionTicket> {
        if self.shared.options.compactor_threads == 0 {
            return Err(Error::Invalid("the engine has no threads that compact".to_owned()));
        }
        let compacting = self.shared.member(vbucket)?.vbucket.is_compacting();
        let mut state = self.shared.state();
        if state.stage != Stage::Running {
            return Err(Error::Cancelled);
        }
        if compacting || state.to_compact.iter().any(|request| request.vbucket == vbucket) {
            return Err(Error::Invalid(format!("vbucket {vbucket} is being compacted already")));
        }
        let (request, ticket) = Request::asked(vbucket, options);
        state.to_compact.push_back(request);
        self.shared.work.notify_all();
        Ok(ticket)
    }

    /// Tells the running compaction of a vbucket, if any, to stop.
    pub fn cancel_compaction(&self, vbucket: u16) -> Result<()> {
        self.shared.member(vbucket)?.vbucket.cancel_compaction();
        Ok(())
    }

    /// What was measured so far.
    pub fn metrics(&self) -> Metrics {
        self.shared.recorder.metrics()
    }

    /// [Stops](Self::stop), and lets go of the files.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn shutdown(mut self) -> Result<()> {
        self.stop()
    }

    /// Flushes what is queued, cancels compactions, and ends the threads. States can still be read and
    /// metrics told, which are final now.
    ///
    /// # Errors
    /// [`Error::FlushFailing`] when what is queued cannot be made durable; it is lost then.
    pub fn stop(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let mut state = shared.state();
        if state.stage == Stage::Stopped {
            return Ok(());
        }
        state.stage = Stage::Draining;
        let waiting = std::mem::take(&mut state.to_compact);
        for entry in state.members.values_mut() {
            entry.member.vbucket.cancel_compaction();
            // One more try, now, for those that failed.
            if entry.flush != FlushState::GivenUp {
                entry.failing = None;
            }
            if matches!(entry.flush, FlushState::Retrying { .. }) {
                entry.flush = FlushState::Retrying { not_before_ns: 0 };
            }
        }
        shared.work.notify_all();
        shared.changed.notify_all();
        let mut result = Ok(());
        let vbuckets: Vec<u16> = state.members.keys().copied().collect();
        for vbucket in vbuckets {
            while let Some(entry) = state.members.get(&vbucket) {
                if let Some(reason) = &entry.failing {
                    result = Err(Error::FlushFailing { vbucket, reason: reason.clone() });
                    break;
                }
                let dirty = &entry.member.dirty;
                let left = dirty.with_queue(|q| q.queued().mutations + q.in_flight().mutations);
                if left == 0 {
                    break;
                }
                // The time limit only bounds what a lost wake-up could cost.
                state = shared.changed.wait_timeout(state, Duration::from_secs(1));
            }
        }
        state.stage = Stage::Stopped;
        state.to_flush.clear();
        drop(state);
        drop(waiting);
        shared.work.notify_all();
        shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && result.is_ok() {
                result = Err(Error::Invalid("a thread of the engine died".to_owned()));
            }
        }
        result
    }

    /// Fills in what the caller left open.
    fn stamped(&self, mut mutation: Mutation) -> Mutation {
        let now = self.shared.host.now_ns();
        self.shared.state().stamp.fill_in(&mut mutation, now);
        mutation
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whoever wants to know calls `shutdown`.
        let _ = self.stop();
    }
}

impl Shared {
    /// Takes up a vbucket.
    pub(super) fn add(&self, vbucket: VBucket) -> Result<()> {
        let id = vbucket.id();
        vbucket.cache_nodes(&self.nodes);
        let snapshot = vbucket.snapshot()?;
        let high_seq = snapshot.header().update_seq;
        let max_cas = vbstate_of(&snapshot)?.max_cas;
        let dirty = Dirty::new(high_seq, self.options.queue_bytes);
        let waker = std::task::Waker::noop().clone();
        let flusher = Flusher::new(vbucket.clone(), dirty.clone(), waker);
        let flusher = Mutex::new(Rank::Flusher, flusher);
        let member = Arc::new(Member { vbucket, dirty, flusher });
        let mut state = self.state();
        state.stamp.pass(max_cas);
        let history = state.new_history();
        state.members.insert(id, MemberState::new(member, history));
        Ok(())
    }
}
