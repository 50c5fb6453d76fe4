//! A vbucket with its flusher, stepped by hand, beside a model of what it should hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tailswap::Result;
use tailswap::compaction::{Compaction, CompactionOptions, CopyReader, CopySource, Purge};
use tailswap::device::Volume;
use tailswap::event::{Actor, Event};
use tailswap::flusher::queue::{Mutation, PushError};
use tailswap::flusher::{Dirty, Flusher};
use tailswap::format::docinfo::{CONTENT_JSON, CONTENT_UNCHECKED};
use tailswap::format::names::prefixed_id;
use tailswap::format::rev_meta::RevMeta;
use tailswap::format::vbstate::{VBSTATE_ID, VbState};
use tailswap::store::{
    Batch, Body, Budget, CommitStyle, DocUpdate, LocalUpdate, OpenMode, RevSeq, Snapshot, Step,
};
use tailswap::vbucket::VBucket;

use super::host::{Recorder, START_S, TestHost};
use super::random::Random;
use super::state::State;

pub(crate) const VB: u16 = 3;

pub(crate) fn unbounded() -> Budget {
    Budget::UNBOUNDED
}

/// Both halves of a copy in one thread.
pub(crate) fn alternate(reader: CopyReader) -> Box<dyn CopySource> {
    Box::new(reader)
}

/// A vbucket, its flusher, and what they should hold.
pub(crate) struct World {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) host: Arc<TestHost>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) vbucket: VBucket,
    pub(crate) dirty: Dirty,
    pub(crate) flusher: Flusher,
    /// What is committed.
    pub(crate) committed: State,
    /// What readers see: less than what is committed after a change of local documents only, which
    /// no flusher makes and nobody publishes.
    pub(crate) published: State,
    /// Every committed state by its sequence number, the last of each.
    pub(crate) history: BTreeMap<u64, State>,
    /// What was to be committed last, whether it was or not.
    pub(crate) attempted: State,
    queued: BTreeMap<Vec<u8>, (u64, Mutation)>,
    in_flight: BTreeMap<Vec<u8>, (u64, Mutation)>,
    /// Snapshots taken earlier, with what they should read for ever.
    readers: Vec<(Snapshot, State)>,
}

impl World {
    /// A new vbucket.
    pub(crate) fn create(volume: Arc<dyn Volume>) -> World {
        let (host, (recorder, events)) = (TestHost::new(1), Recorder::new());
        let vbucket =
            VBucket::create(volume.clone(), host.clone(), VB, 1, CommitStyle::Flip, events)
                .unwrap();
        World::around(volume, host, recorder, vbucket, State::default())
    }

    /// Opens the vbucket that is in the volume, which should hold `state`.
    pub(crate) fn open(volume: Arc<dyn Volume>, state: State) -> Result<World> {
        let (host, (recorder, events)) = (TestHost::new(1000), Recorder::new());
        let opened = VBucket::open(volume.clone(), host.clone(), VB, OpenMode::Strict, events)?;
        let (vbucket, passed_over) = opened.unwrap();
        assert!(passed_over.is_empty());
        Ok(World::around(volume, host, recorder, vbucket, state))
    }

    pub(crate) fn around(
        volume: Arc<dyn Volume>,
        host: Arc<TestHost>,
        recorder: Arc<Recorder>,
        vbucket: VBucket,
        state: State,
    ) -> World {
        let dirty = Dirty::new(state.update_seq, 64 << 20);
        World {
            flusher: Flusher::new(vbucket.clone(), dirty.clone(), Waker::noop().clone()),
            history: BTreeMap::from([(0, State::default()), (state.update_seq, state.clone())]),
            published: state.clone(),
            attempted: state.clone(),
            committed: state,
            queued: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            readers: Vec::new(),
            volume,
            host,
            recorder,
            vbucket,
            dirty,
        }
    }

    /// Queues a mutation, unless the queue is full.
    pub(crate) fn push(&mut self, mutation: Mutation) {
        match self.dirty.with_queue(|queue| queue.push(mutation.clone())) {
            Ok(seq) => drop(self.queued.insert(mutation.id.clone(), (seq, mutation))),
            Err(PushError::Full(_)) => {}
            Err(PushError::Invalid(error)) => unreachable!("{error}"),
        }
    }

    /// Steps the flusher and lets the model follow.
    pub(crate) fn step_flusher(&mut self, budget: &mut Budget) -> Result<Step> {
        let before = self.recorder.count();
        let result = self.flusher.step(budget);
        for event in self.recorder.since(before) {
            match event {
                Event::FlushStarted { .. } => {
                    self.in_flight = std::mem::take(&mut self.queued);
                    self.attempted = self.after_flight();
                }
                Event::FlushFailed { .. } => self.flush_failed(),
                Event::FlushFinished { seq, .. } => {
                    self.committed = self.attempted.clone();
                    assert_eq!(self.committed.update_seq, seq);
                    self.in_flight.clear();
                    self.published = self.committed.clone();
                    self.history.insert(seq, self.committed.clone());
                    assert_eq!(self.dirty.persisted_seq(), seq);
                }
                _ => {}
            }
        }
        result
    }

    /// The flush under way queues its mutations again.
    fn flush_failed(&mut self) {
        for (id, old) in std::mem::take(&mut self.in_flight) {
            self.queued.entry(id).or_insert(old);
        }
    }

    /// What will be committed once the flush under way is.
    fn after_flight(&self) -> State {
        let mut flying: Vec<_> = self.in_flight.values().collect();
        flying.sort_by_key(|(seq, _)| *seq);
        let documents = flying.into_iter().map(|(seq, mutation)| doc_update(*seq, mutation));
        let mut state = self.committed.clone();
        state.apply(&Batch { documents: documents.collect(), locals: Vec::new() });
        state
    }

    /// Mutations in the flush under way.
    pub(crate) fn flying(&self) -> impl Iterator<Item = &Mutation> {
        self.in_flight.values().map(|(_, mutation)| mutation)
    }

    /// Lets the time pass that the flusher has to wait.
    pub(crate) fn wait_for_pace(&self) {
        if let Some(until_ns) = self.flusher.paced_until_ns() {
            self.host.advance_to(until_ns);
        }
    }

    /// Whether anything is queued or being flushed.
    pub(crate) fn is_dirty(&self) -> bool {
        !(self.queued.is_empty() && self.in_flight.is_empty())
    }

    /// Flushes all that is queued. Nobody else may hold the lock.
    pub(crate) fn flush(&mut self) {
        self.flush_with_failures(0);
    }

    /// As [`flush`](Self::flush), with so many failed attempts at most.
    pub(crate) fn flush_with_failures(&mut self, mut allowed: u32) {
        for step in 0.. {
            assert!(step < 10_000, "the flush does not come to its end");
            if !self.is_dirty() && !self.flusher.is_flushing() {
                return;
            }
            self.wait_for_pace();
            if let Err(error) = self.step_flusher(&mut unbounded()) {
                assert!(allowed > 0, "one failure too many: {error}");
                allowed -= 1;
            }
        }
    }

    /// Drops the flusher, whatever it is doing, and takes another.
    pub(crate) fn drop_flusher(&mut self) {
        self.flusher =
            Flusher::new(self.vbucket.clone(), self.dirty.clone(), Waker::noop().clone());
        for (id, old) in std::mem::take(&mut self.in_flight) {
            self.queued.entry(id).or_insert(old);
        }
    }

    /// Changes local documents directly in the file in charge, if its lock is free. Readers see it
    /// with the next flush.
    pub(crate) fn change_locals(&mut self, locals: Vec<LocalUpdate>) -> bool {
        let mut request = self.vbucket.lock().request(Actor::Operator, Waker::noop().clone());
        let Some(mut guard) = request.poll() else { return false };
        let batch = Batch { documents: Vec::new(), locals };
        self.committed.apply(&batch);
        guard.store().unwrap().save(batch, 1).unwrap();
        self.history.insert(self.committed.update_seq, self.committed.clone());
        true
    }

    /// Starts a compaction whose halves alternate.
    pub(crate) fn compact(&self, options: CompactionOptions) -> Result<Compaction> {
        Compaction::start(&self.vbucket, options, Waker::noop().clone(), alternate)
    }

    /// The compaction is through and left `dropped` behind, sequence numbers by id, of which those of
    /// tombstones count as purged.
    pub(crate) fn swapped(&mut self, dropped: &BTreeMap<Vec<u8>, u64>, purge_seq: u64) {
        self.committed.docs.retain(|id, doc| dropped.get(id) != Some(&doc.seq));
        self.committed.purge_seq = self.committed.purge_seq.max(purge_seq);
        self.published = self.committed.clone();
        // A flush may have been waiting for the lock.
        self.attempted = self.after_flight();
        if !dropped.is_empty() {
            // The new file has older states only without what was dropped.
            self.history.clear();
        }
        self.history.insert(self.committed.update_seq, self.committed.clone());
    }

    /// The vbucket went back: nothing is queued, and the model is this.
    pub(crate) fn went_back(&mut self, to: State) {
        self.queued.clear();
        self.in_flight.clear();
        self.history.retain(|seq, _| *seq < to.update_seq);
        self.history.insert(to.update_seq, to.clone());
        self.published = to.clone();
        self.committed = to;
    }

    /// Takes a snapshot to be read again later.
    pub(crate) fn take_snapshot(&mut self) {
        self.readers.push((self.vbucket.snapshot().unwrap(), self.published.clone()));
    }

    /// Asserts that every snapshot taken reads what it read then, and forgets them.
    pub(crate) fn assert_readers(&mut self, context: &str) {
        for (snapshot, state) in self.readers.drain(..) {
            state.assert_is(&snapshot, &format!("a snapshot, {context}"));
        }
    }

    /// Asserts that readers see what they should and that the vbucket's state fits.
    pub(crate) fn assert_published(&self, context: &str) {
        let snapshot = self.vbucket.snapshot().unwrap();
        self.published.assert_is(&snapshot, context);
        assert_vbstate(&snapshot, context);
    }

    /// Names in the volume.
    pub(crate) fn names(&self) -> Vec<String> {
        self.volume.list().unwrap()
    }

    /// Closes the vbucket, so that it can be opened again.
    pub(crate) fn close(self) -> (Arc<dyn Volume>, State) {
        let World { volume, committed, .. } = self;
        (volume, committed)
    }
}

/// Asserts that the vbucket's state is there and fits what is in the file.
pub(crate) fn assert_vbstate(snapshot: &Snapshot, context: &str) -> VbState {
    let json = snapshot.local(VBSTATE_ID).unwrap().unwrap();
    let state = VbState::decode(&json).unwrap();
    let high = snapshot.header().update_seq;
    assert_eq!((state.snap_end, state.max_visible_seqno), (high, high), "{context}");
    assert!(state.failover_table[0].seq <= high, "{context}");
    state
}

/// As a Couchbase node would write it.
fn doc_update(seq: u64, mutation: &Mutation) -> DocUpdate {
    let meta = RevMeta {
        cas: mutation.cas,
        expiry: mutation.expiry,
        flags: mutation.flags,
        deleted_by_expiry: false,
        datatype: mutation.datatype,
    };
    DocUpdate {
        id: mutation.id.clone(),
        seq: Some(seq),
        rev_seq: RevSeq::Next,
        deleted: mutation.deleted,
        content_meta: if mutation.datatype & 1 != 0 { CONTENT_JSON } else { CONTENT_UNCHECKED },
        rev_meta: meta.encode(),
        body: match &mutation.value {
            None => Body::None,
            Some(value) if value.is_empty() => Body::Stored(value.clone()),
            Some(value) => Body::Compress(value.clone()),
        },
    }
}

/// A mutation that sets a document.
pub(crate) fn set(key: u64, value: Vec<u8>) -> Mutation {
    Mutation {
        id: prefixed_id(0, format!("key-{key:04}").as_bytes()),
        value: Some(Bytes::from(value)),
        deleted: false,
        cas: key,
        expiry: 0,
        flags: key as u32,
        datatype: (key % 2) as u8,
        seq: None,
    }
}

/// A mutation that deletes a document, so many seconds after the clock's start.
pub(crate) fn delete(key: u64, at_s: u32) -> Mutation {
    Mutation { value: None, deleted: true, expiry: START_S + at_s, ..set(key, Vec::new()) }
}

/// A change of a local document.
pub(crate) fn local(key: u64, value: Option<Vec<u8>>) -> LocalUpdate {
    LocalUpdate { id: format!("_local/{key:03}").into_bytes(), value }
}

/// Some mutation of one of so many keys.
pub(crate) fn any_mutation(random: &mut Random, keys: u64) -> Mutation {
    let key = random.below(keys);
    if random.chance(1, 4) {
        return delete(key, random.below(1000) as u32);
    }
    let length = random.value_len();
    let value = if random.chance(1, 2) { random.bytes(length) } else { vec![b'x'; length] };
    set(key, value)
}

/// What a compaction of `source` should leave behind, sequence numbers by id, and the highest of
/// those of tombstones.
pub(crate) fn to_purge(
    source: &State,
    drop_deletes: bool,
    purge: Purge,
) -> (BTreeMap<Vec<u8>, u64>, u64) {
    let highest = source.docs.values().map(|doc| doc.seq).max();
    let purged = |doc: &super::state::Doc| {
        let expiry = RevMeta::decode(&doc.rev_meta).unwrap().expiry;
        let asked = purge.before.is_some() || purge.to_seq.is_some();
        let by_purge = asked
            && purge.before.is_none_or(|before| expiry < before)
            && purge.to_seq.is_none_or(|to_seq| doc.seq <= to_seq);
        doc.deleted && (drop_deletes || by_purge) && Some(doc.seq) != highest
    };
    let dropped: BTreeMap<_, _> = source
        .docs
        .iter()
        .filter(|(_, doc)| purged(doc))
        .map(|(id, doc)| (id.clone(), doc.seq))
        .collect();
    let purge_seq = dropped.values().copied().max().unwrap_or(0);
    (dropped, purge_seq)
}
