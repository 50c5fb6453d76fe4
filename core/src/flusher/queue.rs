//! The dirty queue: mutations that are not durable yet.
//!
//! Of each id it keeps only the newest mutation, and all of them in sequence order. A flush takes
//! *everything* that is queued: a mutation may have replaced an older one of its id, so that a
//! prefix of the queue would be a state that never was, and "persisted up to here" would be a lie.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::limits::{BODY_LEN_MAX, ID_LEN_MAX, SEQ_MAX};

/// What each mutation counts against the byte limit beside its id and value, in bytes: about what
/// the queue itself needs. A constant, so that a queue is full at the same moment on every host.
pub const MUTATION_OVERHEAD: u64 = 192;

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The document's id, with its collection's prefix.
    pub id: Vec<u8>,
    /// The body; a deletion may have one too.
    pub value: Option<Bytes>,
    /// Whether this deletes the document.
    pub deleted: bool,
    /// Compare-and-swap value.
    pub cas: u64,
    /// When the document expires, or was deleted: seconds since the Unix epoch, 0 for never.
    pub expiry: u32,
    /// The user's flags, kept as they are.
    pub flags: u32,
    /// Datatype bits: what kind of bytes the body is.
    pub datatype: u8,
    /// The sequence number, when the caller has one (a replica, say); else the next is taken.
    pub seq: Option<u64>,
}

impl Mutation {
    /// What it counts against the queue's limit, in bytes.
    pub fn bytes(&self) -> u64 {
        let value = self.value.as_ref().map_or(0, Bytes::len);
        MUTATION_OVERHEAD + self.id.len() as u64 + value as u64
    }

    /// Refuses what no file could hold, so that a flush never fails for it.
    fn check(&self) -> Result<()> {
        if self.id.is_empty() {
            return Err(Error::Invalid("an id is empty".to_owned()));
        }
        let value = self.value.as_ref().map_or(0, Bytes::len);
        let sizes = [
            ("document id's length", self.id.len(), ID_LEN_MAX),
            ("document body's length", value, BODY_LEN_MAX),
        ];
        match sizes.into_iter().find(|(_, len, max)| len > max) {
            Some((what, len, max)) => {
                Err(Error::TooLarge { what, value: len as u64, max: max as u64 })
            }
            None => Ok(()),
        }
    }
}

/// A mutation with its place in the vbucket's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The sequence number.
    pub seq: u64,
    /// The change.
    pub mutation: Mutation,
    /// The lowest sequence number of the mutations of the same id that this one replaced before
    /// they were durable.
    pub replaced: Option<u64>,
}

/// Why a mutation was not queued.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The queue's byte limit would be passed. Here is the mutation, to be pushed again once a
    /// batch is done.
    #[error("the queue is full")]
    Full(Mutation),
    /// No file could hold it, or its sequence number is not above the highest so far.
    #[error(transparent)]
    Invalid(Error),
}

/// So many mutations, of so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Number of mutations.
    pub mutations: u64,
    /// Sum of [`Mutation::bytes`].
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, mutation: &Mutation) {
        self.mutations += 1;
        self.bytes += mutation.bytes();
    }

    fn subtract(&mut self, mutation: &Mutation) {
        self.mutations -= 1;
        self.bytes -= mutation.bytes();
    }
}

/// Mutations in flight: taken off the queue to be made durable. Never empty. Must be handed back
/// to [`DirtyQueue::done`] or [`DirtyQueue::fail`].
#[derive(Debug)]
#[must_use = "a batch must be handed back as done or failed"]
pub struct Batch {
    number: u64,
    mutations: Vec<Queued>,
    amount: Amount,
    high_seq: u64,
}

impl Batch {
    /// The mutations in sequence order, no id twice.
    pub fn mutations(&self) -> &[Queued] {
        &self.mutations
    }

    /// How much it is.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// The highest sequence number in it: once the batch is durable, so is everything up to here.
    pub fn high_seq(&self) -> u64 {
        self.high_seq
    }
}

/// What the queue remembers of the batch in flight.
#[derive(Debug)]
struct InFlight {
    number: u64,
    amount: Amount,
    high_seq: u64,
}

/// The dirty queue of one vbucket.
#[derive(Debug)]
pub struct DirtyQueue {
    high_seq: u64,
    byte_limit: u64,
    mutation_limit: Option<u64>,
    by_seq: BTreeMap<u64, Queued>,
    by_id: BTreeMap<Vec<u8>, u64>,
    queued: Amount,
    in_flight: Option<InFlight>,
    last_batch: u64,
}

impl DirtyQueue {
    /// An empty queue behind the sequence number `high_seq`, for `byte_limit` bytes (as counted by
    /// [`Mutation::bytes`]) queued and in flight.
    pub fn new(high_seq: u64, byte_limit: u64) -> Self {
        DirtyQueue {
            high_seq,
            byte_limit,
            mutation_limit: None,
            by_seq: BTreeMap::new(),
            by_id: BTreeMap::new(),
            queued: Amount::default(),
            in_flight: None,
            last_batch: 0,
        }
    }

    /// Limits also how many mutations may be queued, and so the next batches; `None` lifts it. What
    /// is queued already stays.
    pub fn set_mutation_limit(&mut self, limit: Option<u64>) {
        self.mutation_limit = limit;
    }

    /// Queues a mutation in place of an older one of its id; returns its sequence number.
    ///
    /// A mutation for which there is no room comes back in [`PushError::Full`]. There is always
    /// room for one that is alone in the queue, however large, and for one that takes no more
    /// than the one it replaces, so that nothing waits for ever.
    pub fn push(&mut self, mutation: Mutation) -> std::result::Result<u64, PushError> {
        mutation.check().map_err(PushError::Invalid)?;
        let seq = self.seq_for(&mutation).map_err(PushError::Invalid)?;
        let bytes = mutation.bytes();
        let replaced_bytes = self.newest(&mutation.id).map_or(0, |old| old.mutation.bytes());
        let others = self.queued.bytes - replaced_bytes + self.in_flight().bytes;
        if others > 0 && bytes > replaced_bytes && others.saturating_add(bytes) > self.byte_limit {
            return Err(PushError::Full(mutation));
        }
        let limited = self.mutation_limit.is_some_and(|limit| self.queued.mutations >= limit);
        if limited && replaced_bytes == 0 {
            return Err(PushError::Full(mutation));
        }
        let old = self.by_id.insert(mutation.id.clone(), seq);
        let old = old.and_then(|old| self.by_seq.remove(&old));
        if let Some(old) = &old {
            self.queued.subtract(&old.mutation);
        }
        self.queued.add(&mutation);
        let replaced = old.map(|old| old.replaced.unwrap_or(old.seq));
        self.by_seq.insert(seq, Queued { seq, mutation, replaced });
        self.high_seq = seq;
        Ok(seq)
    }

    /// Whether there is no room for a document that is not queued yet, however small it is.
    pub fn is_full(&self) -> bool {
        let bytes = self.queued.bytes + self.in_flight().bytes;
        let is_limited = self.mutation_limit.is_some_and(|limit| self.queued.mutations >= limit);
        is_limited || bytes >= self.byte_limit
    }

    fn seq_for(&self, mutation: &Mutation) -> Result<u64> {
        let high = self.high_seq;
        let seq = mutation.seq.unwrap_or(high.saturating_add(1));
        if seq > SEQ_MAX {
            return Err(Error::TooLarge { what: "sequence number", value: seq, max: SEQ_MAX });
        }
        if seq <= high {
            let why = format!("sequence number {seq} is not above {high}, the highest so far");
            return Err(Error::Invalid(why));
        }
        Ok(seq)
    }

    fn newest(&self, id: &[u8]) -> Option<&Queued> {
        self.by_seq.get(self.by_id.get(id)?)
    }

    /// Moves all that is queued into flight. `None` when nothing is queued, or when the batch in
    /// flight is not back yet: batches become durable one after another.
    pub fn take(&mut self) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        let high_seq = *self.by_seq.last_key_value()?.0;
        self.last_batch += 1;
        let (number, amount) = (self.last_batch, self.queued);
        self.in_flight = Some(InFlight { number, amount, high_seq });
        Some(Batch { number, mutations: self.remove_all(), amount, high_seq })
    }

    /// Whether the batch is still the one in flight. After [`DirtyQueue::reset`] it is not: it
    /// belongs to a history that is no longer the vbucket's and must not be written. Ask under the
    /// vbucket's lock, before the first write.
    pub fn is_current(&self, batch: &Batch) -> bool {
        self.in_flight.as_ref().is_some_and(|current| current.number == batch.number)
    }

    /// The batch is durable. Returns whether it was current; if not, nothing changes.
    pub fn done(&mut self, batch: Batch) -> bool {
        let current = self.is_current(&batch);
        if current {
            self.in_flight = None;
        }
        current
    }

    /// The batch did not become durable: queues its mutations again, except where one of the same
    /// id was queued meanwhile. Returns whether it was current; if not, its mutations are dropped.
    pub fn fail(&mut self, batch: Batch) -> bool {
        if !self.is_current(&batch) {
            return false;
        }
        self.in_flight = None;
        if planted(Canary::DropFailedBatch) {
            return true;
        }
        for old in batch.mutations {
            match self.by_id.get(&old.mutation.id).and_then(|seq| self.by_seq.get_mut(seq)) {
                // The batch is older than all that was queued meanwhile.
                Some(newer) => newer.replaced = Some(old.replaced.unwrap_or(old.seq)),
                None => {
                    self.queued.add(&old.mutation);
                    self.by_id.insert(old.mutation.id.clone(), old.seq);
                    self.by_seq.insert(old.seq, old);
                }
            }
        }
        true
    }

    /// What is queued, without what is in flight.
    pub fn queued(&self) -> Amount {
        self.queued
    }

    /// What is in flight.
    pub fn in_flight(&self) -> Amount {
        self.in_flight.as_ref().map(|batch| batch.amount).unwrap_or_default()
    }

    /// The highest sequence number given to a mutation so far, or where the history began.
    pub fn high_seq(&self) -> u64 {
        self.high_seq
    }

    /// Goes back to `seq` within the queue, if it is below the highest: removes and returns all
    /// queued mutations above it, in order.
    ///
    /// [`Error::Invalid`], and nothing changes, where the queue no longer has the state at `seq`:
    /// when a mutation up to `seq` was replaced by one above, or when the batch in flight reaches
    /// above. Then only going back to what is durable, with [`DirtyQueue::reset`], is left.
    pub fn clear_above(&mut self, seq: u64) -> Result<Vec<Queued>> {
        if seq >= self.high_seq {
            return Ok(Vec::new());
        }
        let gone = |what: &str| Err(Error::Invalid(format!("cannot go back to {seq}: {what}")));
        if self.in_flight.as_ref().is_some_and(|batch| batch.high_seq > seq) {
            return gone("mutations above it are being written");
        }
        let mut above = self.by_seq.range(seq + 1..);
        if above.any(|(_, newer)| newer.replaced.is_some_and(|replaced| replaced <= seq)) {
            return gone("mutations up to it were replaced in the queue");
        }
        let removed: Vec<_> = self.by_seq.split_off(&(seq + 1)).into_values().collect();
        for newer in &removed {
            self.by_id.remove(&newer.mutation.id);
            self.queued.subtract(&newer.mutation);
        }
        self.high_seq = seq;
        Ok(removed)
    }

    /// Begins anew behind `high_seq`, for a vbucket that went back to a durable state or was
    /// created again. Returns what was queued, in order; a batch in flight is no longer current,
    /// nor counted.
    pub fn reset(&mut self, high_seq: u64) -> Vec<Queued> {
        self.high_seq = high_seq;
        self.in_flight = None;
        self.remove_all()
    }

    fn remove_all(&mut self) -> Vec<Queued> {
        self.by_id.clear();
        self.queued = Amount::default();
        std::mem::take(&mut self.by_seq).into_values().collect()
    }
}
