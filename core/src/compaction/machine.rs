//! The compaction of a vbucket, beside its flusher.

use std::task::Waker;

use super::builder::CopyBuilder;
use super::items::{CopyItem, CopySource, Feed};
use super::options::CompactionOptions;
use super::pacing::Pacing;
use super::reader::CopyReader;
use super::replay::Replay;
use super::swap::{Swap, emit_round_finished, emit_round_started};
use super::sync_behind::SyncBehind;
use crate::canary::{Canary, planted};
use crate::chunklog::LogFile;
use crate::error::{Error, Result};
use crate::event::{Actor, Event, FileName, Outcome, Phase};
use crate::format::names::{compact_name, file_name};
use crate::limits::CATCHUP_ROUNDS_MAX;
use crate::store::{
    Budget, Commit, CommitStyle, DirectorySync, JoinReading, Snapshot, Step, Store,
    read_when_wanted, remove,
};
use crate::vbucket::lock::LockRequest;
use crate::vbucket::{CancelFlag, Charge, CompactionSlot, VBucket};

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionStats {
    /// Documents copied before catch-up.
    pub copied: u64,
    /// Documents left behind.
    pub dropped: u64,
    /// Catch-up rounds, without a lock.
    pub rounds: u32,
    /// Documents replayed by them, and under the lock.
    pub replayed: u64,
    /// Bytes that the source grew by, for each round.
    pub tails: Vec<u64>,
    /// Length of the old file when the swap was done, in bytes.
    pub bytes_before: u64,
    /// Length of the new file, in bytes.
    pub bytes_after: u64,
}

/// A compaction, step by step. Whatever ends it before its swap leaves the old file in charge and
/// nothing of its own behind.
#[derive(Debug)]
pub struct Compaction {
    vbucket: VBucket,
    options: CompactionOptions,
    /// Until the swap is through.
    slot: Option<CompactionSlot>,
    cancel: CancelFlag,
    waker: Waker,
    target_name: FileName,
    source_name: FileName,
    pacing: Pacing,
    sync_behind: SyncBehind,
    /// Where the nodes that the last tail changes are read.
    join_last_tail: JoinReading,
    round_began_ns: u64,
    round_documents: u64,
    commit_began_ns: u64,
    stats: CompactionStats,
    state: State,
    /// Whether its end was said, and nothing is left to clean up.
    ended: bool,
}

/// Copying, without a lock.
#[derive(Debug)]
struct Copying {
    source: Box<dyn CopySource>,
    builder: Box<CopyBuilder>,
    /// The state that is copied.
    start: Snapshot,
}

#[derive(Debug)]
enum State {
    Copying(Copying),
    /// Committing the copy, or a round; `done` is the state of the source that the target then has.
    Committing {
        target: Store,
        commit: Commit,
        done: Snapshot,
    },
    Replaying {
        target: Store,
        replay: Box<Replay>,
    },
    Waiting {
        target: Store,
        done: Snapshot,
        request: LockRequest<Charge>,
    },
    Swapping(Box<Swap>),
    Unlinking(DirectorySync),
    Done,
}

impl Compaction {
    /// Begins to compact a vbucket from the state that is published now. `waker` is woken when the
    /// vbucket's lock is free. `join` may hand the reading half to another thread: it is given the
    /// reader, and returns where the building half gets its items.
    ///
    /// # Errors
    /// As [`VBucket::begin_compaction`]; those of the device.
    pub fn start(
        vbucket: &VBucket,
        options: CompactionOptions,
        waker: Waker,
        join: impl FnOnce(CopyReader) -> Box<dyn CopySource>,
    ) -> Result<Self> {
        let slot = vbucket.begin_compaction()?;
        let (start, events) = (slot.start.clone(), vbucket.events().clone());
        let target_name = FileName::from(compact_name(vbucket.id(), slot.revision));
        let source_name = FileName::from(file_name(vbucket.id(), slot.revision));
        // What a failed removal of an earlier one may have left.
        remove(vbucket.volume().as_ref(), &target_name, &events)?;
        let reader = CopyReader::new(start.clone(), options.clone(), true)?;
        let volume = vbucket.volume().clone();
        let builder =
            CopyBuilder::new(volume, &target_name, &start, &options, vbucket.id(), events.clone());
        let builder = Box::new(builder?);
        let position = start.position();
        let cancel = slot.cancel.clone();
        let compaction = Compaction {
            vbucket: vbucket.clone(),
            options,
            slot: Some(slot),
            cancel,
            waker,
            target_name,
            source_name,
            pacing: Pacing::default(),
            sync_behind: SyncBehind::default(),
            join_last_tail: read_when_wanted,
            round_began_ns: 0,
            round_documents: 0,
            commit_began_ns: 0,
            stats: CompactionStats::default(),
            state: State::Copying(Copying { source: join(reader), builder, start }),
            ended: false,
        };
        events.emit(|| Event::CompactionStarted {
            vbucket: vbucket.id(),
            source: compaction.source_name.clone(),
            target: compaction.target_name.clone(),
            position,
        });
        compaction.emit_phase(Phase::CopyDocuments);
        Ok(compaction)
    }

    /// From now on `join` decides where the nodes that the last tail changes are read, if the lock is not
    /// taken yet: with [`ThreadedVisits::join`](crate::engine::ThreadedVisits::join), on a thread of its
    /// own. Under the lock the flusher's processor is idle.
    pub fn read_last_tail_with(&mut self, join: JoinReading) {
        self.join_last_tail = join;
    }

    /// What it did so far.
    pub fn stats(&self) -> &CompactionStats {
        &self.stats
    }

    /// The file that is compacted; `None` once the swap is through, or the compaction has ended otherwise.
    pub fn source(&self) -> Option<&LogFile> {
        self.slot.as_ref().map(|slot| slot.start.file())
    }

    /// Does a part of the work. At `Done` the new file is in charge and the old one is gone.
    ///
    /// # Errors
    /// [`Error::Cancelled`], damage in the source, or a failure of a device. The compaction is at its
    /// end then, and the old file in charge, unless the failure was that of the directory sync after
    /// the rename, or of removing the old file.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        let cancelled = self.cancel.is_cancelled();
        // From the lock on, the swap itself knows until when it can be cancelled.
        let late = matches!(self.state, State::Swapping(_) | State::Unlinking(_) | State::Done);
        let result = if cancelled && !late { Err(Error::Cancelled) } else { self.advance(budget) };
        if let Err(error) = &result {
            self.abandon(error);
        }
        result
    }

    fn advance(&mut self, budget: &mut Budget) -> Result<Step> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Copying(copying) => self.copy(copying, budget),
            State::Committing { mut target, mut commit, done } => match commit.step(&mut target)? {
                Step::Done => {
                    self.sync_behind.all_synced(&target);
                    self.measure_round();
                    self.decide(target, done)
                }
                step => {
                    self.state = State::Committing { target, commit, done };
                    Ok(step)
                }
            },
            State::Replaying { mut target, mut replay } => {
                let sync = self.sync_behind.step(&mut target)?;
                if sync != Step::Done {
                    self.state = State::Replaying { target, replay };
                    return Ok(sync);
                }
                match replay.step(&mut target, budget)? {
                    Step::Done => self.finish_round(target, &replay),
                    step => {
                        self.state = State::Replaying { target, replay };
                        Ok(step)
                    }
                }
            }
            State::Waiting { mut target, done, mut request } => match request.poll() {
                Some(mut guard) => {
                    let newest = guard.store()?.snapshot()?;
                    if !self.is_short(&newest, &done, self.options.max_stall_ns)
                        && self.stats.rounds < CATCHUP_ROUNDS_MAX
                    {
                        // A long flush slipped in first: better one more round without the lock.
                        drop(guard);
                        self.begin_round(target, done, newest);
                        return Ok(Step::Progress);
                    }
                    target.read_nodes_with(self.join_last_tail);
                    let (round, cancel) = (self.stats.rounds + 1, self.cancel.clone());
                    let max_stall_ns = self.options.max_stall_ns;
                    let (vbucket, tail) = (&self.vbucket, Replay::new(done, newest));
                    let swap = Swap::new(vbucket, cancel, guard, target, tail, round, max_stall_ns);
                    self.state = State::Swapping(Box::new(swap));
                    Ok(Step::Progress)
                }
                None => {
                    self.state = State::Waiting { target, done, request };
                    Ok(Step::Blocked)
                }
            },
            State::Swapping(mut swap) => match swap.step(budget) {
                Ok(Step::Done) => {
                    drop(swap);
                    self.swapped()
                }
                Ok(step) => {
                    self.state = State::Swapping(swap);
                    Ok(step)
                }
                Err(error) => {
                    // For `abandon`, which must leave a renamed target alone.
                    self.state = State::Swapping(swap);
                    Err(error)
                }
            },
            State::Unlinking(mut sync) => {
                let (volume, events) = (self.vbucket.volume().clone(), self.vbucket.events());
                match sync.step(volume.as_ref(), &self.source_name, events)? {
                    Step::Done => {
                        self.end(Outcome::Swapped);
                        Ok(Step::Done)
                    }
                    step => {
                        self.state = State::Unlinking(sync);
                        Ok(step)
                    }
                }
            }
            State::Done => Ok(Step::Done),
        }
    }

    fn copy(&mut self, mut copying: Copying, budget: &mut Budget) -> Result<Step> {
        while !budget.is_spent() {
            let sync = self.sync_behind.step(copying.builder.store_mut())?;
            if sync != Step::Done {
                self.state = State::Copying(copying);
                return Ok(sync);
            }
            match copying.source.next(budget)? {
                Feed::Item(item) => {
                    let next = match item {
                        CopyItem::DocumentsEnd => Some(Phase::CopyIds),
                        CopyItem::IdsEnd => Some(Phase::CopyLocal),
                        _ => None,
                    };
                    budget.spend(copying.builder.accept(item)?);
                    if let Some(next) = next {
                        self.emit_phase(next);
                    }
                }
                Feed::NotYet => break,
                Feed::End => {
                    let Copying { builder, start, .. } = copying;
                    (self.stats.copied, self.stats.dropped) = (builder.documents, builder.dropped);
                    let target = builder.finish()?;
                    self.emit_phase(Phase::CommitCopy);
                    self.begin_commit(target, start);
                    return Ok(Step::Progress);
                }
            }
        }
        self.state = State::Copying(copying);
        Ok(Step::Progress)
    }

    fn begin_commit(&mut self, target: Store, done: Snapshot) {
        self.commit_began_ns = self.vbucket.host().now_ns();
        let commit = Commit::new(CommitStyle::Direct, done.header().timestamp_ns);
        self.state = State::Committing { target, commit, done };
    }

    fn finish_round(&mut self, target: Store, replay: &Replay) -> Result<Step> {
        emit_round_finished(&self.vbucket, replay, self.stats.rounds);
        self.round_documents = replay.documents;
        self.stats.replayed += replay.documents;
        let done = match planted(Canary::RoundSkipsMeanwhile) {
            true => self.vbucket.snapshot()?,
            false => replay.to().clone(),
        };
        self.begin_commit(target, done);
        Ok(Step::Progress)
    }

    /// A round, if it was one and not the copy, is committed.
    fn measure_round(&mut self) {
        let Some(tail) = self.stats.tails.last() else { return };
        let now = self.vbucket.host().now_ns();
        let replay_ns = self.commit_began_ns.saturating_sub(self.round_began_ns);
        let sync_ns = now.saturating_sub(self.commit_began_ns);
        self.pacing.measured(*tail, self.round_documents, replay_ns, sync_ns);
    }

    /// Another round, or the lock: as soon as what is left is short enough to do under it.
    fn decide(&mut self, target: Store, done: Snapshot) -> Result<Step> {
        let newest = self.vbucket.snapshot()?;
        self.stats.bytes_before = newest.end();
        // Half the stall is left for a flush that slips in before the lock is granted.
        let short = self.is_short(&newest, &done, self.options.max_stall_ns / 2);
        let enough = self.stats.rounds >= CATCHUP_ROUNDS_MAX;
        if short || enough && !planted(Canary::RoundsWithoutLimit) {
            self.emit_phase(Phase::WaitForLock);
            let request = self.vbucket.lock().request(Actor::Compactor, self.waker.clone());
            self.state = State::Waiting { target, done, request };
            return Ok(Step::Progress);
        }
        self.begin_round(target, done, newest);
        Ok(Step::Progress)
    }

    /// Replays up to `newest` without the lock.
    fn begin_round(&mut self, target: Store, done: Snapshot, newest: Snapshot) {
        self.stats.rounds += 1;
        let tail = newest.end().saturating_sub(done.end());
        self.stats.tails.push(tail);
        if self.stats.rounds == 1 {
            self.emit_phase(Phase::CatchUp);
        }
        // Once there is a pace it stays: the tails shrink because of it.
        if self.vbucket.pace().is_some() || self.must_pace() {
            let pace = self.pacing.pace(tail, self.rounds_left(), self.options.max_stall_ns);
            self.vbucket.set_pace(pace);
        }
        self.round_began_ns = self.vbucket.host().now_ns();
        let replay = Box::new(Replay::new(done, newest));
        emit_round_started(&self.vbucket, &replay, self.stats.rounds, false);
        self.state = State::Replaying { target, replay };
    }

    /// Whether the rounds would not get there by themselves, as far as the last two tell; so not before the
    /// third.
    fn must_pace(&self) -> bool {
        let [.., earlier, _, tail] = self.stats.tails[..] else { return false };
        !self.pacing.converges(earlier, tail, self.rounds_left(), self.options.max_stall_ns / 2)
    }

    /// How many more there may be behind the one that begins.
    fn rounds_left(&self) -> u32 {
        CATCHUP_ROUNDS_MAX.saturating_sub(self.stats.rounds)
    }

    /// Whether what `newest` has beyond `done` can be replayed in so many nanoseconds.
    fn is_short(&self, newest: &Snapshot, done: &Snapshot, ns: u64) -> bool {
        let tail = newest.end().saturating_sub(done.end());
        newest.position() == done.position()
            || self.pacing.predicted_ns(tail).is_some_and(|predicted| predicted <= ns)
    }

    /// The new file is in charge and the lock given back: the old file goes.
    fn swapped(&mut self) -> Result<Step> {
        self.vbucket.set_pace(None);
        self.slot = None;
        self.stats.bytes_after = self.vbucket.snapshot().map_or(0, |snapshot| snapshot.end());
        self.emit_phase(Phase::Unlink);
        let (volume, events) = (self.vbucket.volume(), self.vbucket.events());
        if !planted(Canary::KeepOldFile) {
            remove(volume.as_ref(), &self.source_name, events)?;
        }
        self.state = State::Unlinking(DirectorySync::default());
        Ok(Step::Progress)
    }

    /// Ends after a failure or a cancellation, leaving nothing behind.
    fn abandon(&mut self, error: &Error) {
        let state = std::mem::replace(&mut self.state, State::Done);
        let keep_target = match &state {
            State::Swapping(swap) => swap.is_renamed(),
            _ => self.slot.is_none(),
        };
        let swapped = match &self.slot {
            Some(slot) => slot.revision != self.vbucket.revision(),
            None => true,
        };
        // Before its name is removed, so that its lock and its table go first.
        drop(state);
        if !keep_target && !planted(Canary::KeepUnfinished) {
            // A leftover is swept when the vbucket is opened, or compacted again.
            let _ =
                remove(self.vbucket.volume().as_ref(), &self.target_name, self.vbucket.events());
        }
        self.end(match error {
            // The swap is through; only the old file's name may be left.
            _ if swapped => Outcome::Swapped,
            Error::Cancelled => Outcome::Cancelled,
            error => Outcome::Failed(error.to_string()),
        });
    }

    fn end(&mut self, outcome: Outcome) {
        // After the swap, another compaction may have begun, whose pace it is.
        if self.slot.is_some() && !planted(Canary::KeepPace) {
            self.vbucket.set_pace(None);
        }
        self.slot = None;
        self.ended = true;
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::CompactionEnded { vbucket, outcome });
    }

    fn emit_phase(&self, phase: Phase) {
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::PhaseChanged { vbucket, phase });
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        // The state alone does not tell: a panic in a step takes it away.
        if !self.ended {
            self.abandon(&Error::Cancelled);
        }
    }
}
