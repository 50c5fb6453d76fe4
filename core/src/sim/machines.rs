//! One vbucket with its machines, on a simulated volume, watched by a witness.

use std::sync::Arc;
use std::task::Waker;

use super::disk::DiskRules;
use super::host::SimHost;
use super::locals::SaveLocals;
use super::volume::CrashVolume;
use super::witness::{Plan, Witness};
use crate::compaction::{Compaction, CompactionOptions, CopySource, Purge};
use crate::device::{FaultVolume, Volume};
use crate::error::{Error, Result};
use crate::event::{EventSink, Events};
use crate::flusher::queue::{Mutation, PushError};
use crate::flusher::{Dirty, Flusher};
use crate::format::rev_meta::{DATATYPE_JSON, DATATYPE_SNAPPY, DATATYPE_XATTR};
use crate::store::{Budget, CommitStyle, LocalUpdate, OpenMode, Opening, Step};
use crate::vbucket::{Creation, Delete, Rollback, VBucket};

/// Bytes that the dirty queue may hold.
const QUEUE_BYTES: u64 = 64 << 20;

/// Datatypes of mutations, one after another.
const DATATYPES: [u8; 5] =
    [0, DATATYPE_JSON, DATATYPE_SNAPPY, DATATYPE_XATTR, DATATYPE_JSON | DATATYPE_XATTR];

/// The vbucket's number in every simulation.
pub const VBUCKET: u16 = 7;

/// A vbucket and what works on it.
#[derive(Debug)]
pub struct Machines {
    /// The volume, below its faults.
    pub volume: CrashVolume,
    /// Faults of single operations.
    pub faults: FaultVolume,
    /// Time and numbers.
    pub host: Arc<SimHost>,
    /// What should be there.
    pub witness: Arc<Witness>,
    /// The vbucket, if there is one.
    pub vbucket: Option<VBucket>,
    /// What is queued for it.
    pub dirty: Dirty,
    /// Its flusher.
    pub flusher: Option<Flusher>,
    /// How what follows is committed, and what an opening takes back.
    pub commit_style: CommitStyle,
    /// A compaction that was begun.
    pub compaction: Option<Compaction>,
    /// Revision that the next incarnation begins with.
    next_revision: u64,
    events: Events,
    wakers: Wakers,
}

/// Who is woken when a machine can go on.
#[derive(Clone, Debug)]
pub struct Wakers {
    /// For the flusher.
    pub flusher: Waker,
    /// For the compaction.
    pub compactor: Waker,
    /// For what the operator does.
    pub operator: Waker,
}

impl Default for Wakers {
    /// Nobody: for hosts that try again and again.
    fn default() -> Self {
        let nobody = || Waker::noop().clone();
        Wakers { flusher: nobody(), compactor: nobody(), operator: nobody() }
    }
}

/// What an operator does, step by step.
#[derive(Debug)]
pub enum Operation {
    /// Creating the vbucket.
    Create(Creation),
    /// Going back to an older state.
    Rollback(Rollback),
    /// Deleting the vbucket.
    Delete(Delete),
    /// Saving local documents.
    Locals(SaveLocals),
}

impl Machines {
    /// An empty volume.
    pub fn new(rules: DiskRules) -> Self {
        let volume = CrashVolume::new(rules);
        let witness = Witness::new(volume.clone());
        let (host, wakers) = (Arc::new(SimHost::ticking()), Wakers::default());
        Self::on(volume, host, witness.clone(), witness, wakers)
    }

    /// Nothing is opened yet on this volume. The listener hears of all events; it must hand them on
    /// to the witness.
    pub fn on(
        volume: CrashVolume,
        host: Arc<SimHost>,
        witness: Arc<Witness>,
        listener: Arc<dyn EventSink>,
        wakers: Wakers,
    ) -> Self {
        Machines {
            faults: FaultVolume::new(Arc::new(volume.clone())),
            host,
            witness,
            vbucket: None,
            dirty: Dirty::new(0, QUEUE_BYTES),
            flusher: None,
            commit_style: CommitStyle::Flip,
            compaction: None,
            next_revision: 1,
            volume,
            events: Events::to(listener),
            wakers,
        }
    }

    /// The same, where files are opened, and committed to, in this style.
    pub fn committing(mut self, commits: CommitStyle) -> Self {
        self.commit_style = commits;
        self
    }

    /// Opens the vbucket, if there is one. A vbucket created later is of `next_revision` or higher.
    ///
    /// # Errors
    /// As [`VBucket::open`].
    pub fn open(&mut self, next_revision: u64) -> Result<()> {
        self.next_revision = next_revision;
        let volume: Arc<dyn Volume> = Arc::new(self.faults.clone());
        let events = self.events.clone();
        let opening = Opening { mode: OpenMode::Strict, commits: self.commit_style };
        let opened = VBucket::open(volume, self.host.clone(), VBUCKET, opening, events)?;
        if let Some((vbucket, _)) = opened {
            let high_seq = vbucket.snapshot()?.header().update_seq;
            self.adopt(vbucket, high_seq);
        }
        Ok(())
    }

    /// Creates the vbucket, or creates it again.
    ///
    /// # Errors
    /// As [`VBucket::create`].
    pub fn create(&mut self) -> Result<()> {
        let creation = self.begin_create()?;
        self.finish_operation(creation)
    }

    /// Begins to create the vbucket, or to create it again.
    ///
    /// # Errors
    /// As [`Creation::new`].
    pub fn begin_create(&self) -> Result<Operation> {
        self.witness.creating(self.host.next_number());
        let volume: Arc<dyn Volume> = Arc::new(self.faults.clone());
        let (host, events, commits) = (self.host.clone(), self.events.clone(), self.commit_style);
        let creation = Creation::new(volume, host, VBUCKET, self.next_revision, commits, events);
        creation.map(Operation::Create)
    }

    fn adopt(&mut self, vbucket: VBucket, high_seq: u64) {
        self.dirty = Dirty::new(high_seq, QUEUE_BYTES);
        let waker = self.wakers.flusher.clone();
        self.flusher = Some(Flusher::new(vbucket.clone(), self.dirty.clone(), waker));
        self.vbucket = Some(vbucket);
    }

    /// A revision that is higher than any so far.
    pub fn next_revision(&self) -> u64 {
        let after = |vbucket: &VBucket| vbucket.revision() + 2;
        self.next_revision.max(self.vbucket.as_ref().map_or(0, after))
    }

    /// The vbucket.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when there is none.
    pub fn vbucket(&self) -> Result<&VBucket> {
        self.vbucket.as_ref().ok_or(Error::Cancelled)
    }

    /// Queues a mutation: `None` for the value deletes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the queue refuses it.
    pub fn push(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<()> {
        let high_seq = self.dirty.with_queue(|queue| queue.high_seq());
        // No two mutations have the same metadata: whatever of it is lost is missed.
        let number = high_seq as u32;
        let mutation = Mutation {
            id: crate::format::names::prefixed_id(0, key.as_bytes()),
            deleted: value.is_none(),
            value: value.map(Into::into),
            cas: 1000 + high_seq,
            expiry: 1_700_000_000 + number,
            flags: number.wrapping_mul(0x9e37_79b9),
            datatype: DATATYPES[number as usize % DATATYPES.len()],
            seq: None,
        };
        let pushed = self.dirty.with_queue(|queue| queue.push(mutation.clone()));
        let seq = pushed.map_err(|error| match error {
            PushError::Full(_) => Error::Invalid("the queue is full".to_owned()),
            PushError::Invalid(error) => error,
        })?;
        self.witness.queued(seq, mutation);
        Ok(())
    }

    /// Steps the flusher.
    ///
    /// # Errors
    /// As [`Flusher::step`].
    pub fn step_flusher(&mut self, mut budget: Budget) -> Result<Step> {
        self.flusher.as_mut().map_or(Ok(Step::Done), |flusher| flusher.step(&mut budget))
    }

    /// Flushes all that is queued.
    ///
    /// # Errors
    /// As [`Flusher::step`].
    pub fn flush(&mut self) -> Result<()> {
        while self.step_flusher(Budget::UNBOUNDED)? != Step::Done {}
        Ok(())
    }

    /// Begins a compaction that purges tombstones up to a sequence number (0: none), with as many
    /// rounds of catch-up as `max_stall_ns` asks for.
    ///
    /// # Errors
    /// As [`Compaction::start`].
    pub fn begin_compaction(&mut self, purge_to: u64, max_stall_ns: u64) -> Result<()> {
        let to_seq = Some(purge_to).filter(|purge_to| *purge_to > 0);
        let options = CompactionOptions {
            purge: Purge { before: None, to_seq },
            max_stall_ns,
            ..CompactionOptions::default()
        };
        let vbucket = self.vbucket()?.clone();
        if !vbucket.is_compacting() {
            self.witness.compacting(purge_to);
        }
        let join = |reader| -> Box<dyn CopySource> { Box::new(reader) };
        let waker = self.wakers.compactor.clone();
        let compaction = Compaction::start(&vbucket, options, waker, join)?;
        self.compaction = Some(compaction);
        Ok(())
    }

    /// Steps the compaction. It is gone once it is done or fails.
    ///
    /// # Errors
    /// As [`Compaction::step`].
    pub fn step_compaction(&mut self, mut budget: Budget) -> Result<Step> {
        let Some(compaction) = &mut self.compaction else { return Ok(Step::Done) };
        let result = compaction.step(&mut budget);
        if !matches!(result, Ok(Step::Progress | Step::Blocked)) {
            self.compaction = None;
        }
        result
    }

    /// Takes a compaction to its end.
    ///
    /// # Errors
    /// As [`Compaction::step`].
    pub fn finish_compaction(&mut self) -> Result<()> {
        while self.step_compaction(Budget::UNBOUNDED)? != Step::Done {}
        Ok(())
    }

    /// Begins a rollback.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when there is no vbucket.
    pub fn begin_rollback(&self, seq: u64) -> Result<Operation> {
        let rollback = Rollback::new(self.vbucket()?, seq, self.wakers.operator.clone());
        self.witness.plan(Plan::Rollback { seq, uuid: self.host.next_number() });
        Ok(Operation::Rollback(rollback))
    }

    /// Begins to delete the vbucket.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when there is no vbucket.
    pub fn begin_delete(&mut self) -> Result<Operation> {
        let vbucket = self.vbucket()?.clone();
        let delete = Delete::new(&vbucket, self.wakers.operator.clone());
        self.witness.plan(Plan::Delete);
        Ok(Operation::Delete(delete))
    }

    /// Steps what an operator does; when it is done, what goes with it is done too.
    ///
    /// # Errors
    /// As [`Creation::step`], [`Rollback::step`], [`Delete::step`] and [`SaveLocals::step`].
    pub fn step_operation(&mut self, operation: &mut Option<Operation>) -> Result<Step> {
        let mut budget = Budget::UNBOUNDED;
        let result = match operation {
            None => return Ok(Step::Done),
            Some(Operation::Create(creation)) => creation.step(&mut budget),
            Some(Operation::Rollback(rollback)) => rollback.step(&mut budget),
            Some(Operation::Delete(delete)) => delete.step(&mut budget),
            Some(Operation::Locals(saving)) => saving.step(&mut budget),
        };
        match result {
            Ok(Step::Done) => {}
            Ok(step) => return Ok(step),
            Err(error) => {
                *operation = None;
                return Err(error);
            }
        }
        match operation.take() {
            Some(Operation::Create(creation)) => self.adopt(creation.finish()?, 0),
            Some(Operation::Rollback(rollback)) => {
                rollback.finish(|snapshot| {
                    self.dirty.reset(snapshot.header().update_seq);
                    self.witness.forget_queue();
                })?;
            }
            Some(Operation::Locals(_lock_held)) => self.witness.carried_out(),
            Some(Operation::Delete(_)) | None => self.forget_vbucket(),
        }
        Ok(Step::Done)
    }

    /// Takes an operation to its end, nobody else holding the lock.
    ///
    /// # Errors
    /// As [`step_operation`](Self::step_operation).
    pub fn finish_operation(&mut self, operation: Operation) -> Result<()> {
        let mut operation = Some(operation);
        while self.step_operation(&mut operation)? != Step::Done {}
        Ok(())
    }

    /// Saves local documents: `None` for a value deletes one. False when the lock is taken.
    ///
    /// # Errors
    /// As [`SaveLocals::step`].
    pub fn save_locals(&mut self, updates: &[(&str, Option<&str>)]) -> Result<bool> {
        let lock = self.vbucket()?.lock();
        if lock.holder().is_some() || !lock.waiting().is_empty() {
            return Ok(false);
        }
        let saving = self.begin_locals(updates)?;
        self.finish_operation(saving)?;
        Ok(true)
    }

    /// Begins to save local documents.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when there is no vbucket.
    pub fn begin_locals(&self, updates: &[(&str, Option<&str>)]) -> Result<Operation> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let updates: Vec<_> =
            updates.iter().map(|(id, value)| (bytes(id), value.map(bytes))).collect();
        let locals = updates.iter().cloned().map(|(id, value)| LocalUpdate { id, value }).collect();
        let saving = SaveLocals::new(self.vbucket()?, locals, self.wakers.operator.clone());
        self.witness.plan(Plan::Locals(updates));
        Ok(Operation::Locals(saving))
    }

    fn forget_vbucket(&mut self) {
        if let Some(vbucket) = self.vbucket.take() {
            self.next_revision = self.next_revision.max(vbucket.revision() + 2);
        }
        self.flusher = None;
    }
}
