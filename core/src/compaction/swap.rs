//! The end of a compaction, under the vbucket's lock: last tail, validation, durable swap.
//!
//! ```text
//! lock ─ last tail ─ sync target ─ read back ─ rename ─ sync directory ─ publish ─ unlock ─ unlink
//! ```
//!
//! Before the directory sync the old file is in charge whatever happens; after it the new one is.
//! If that sync itself fails nobody can tell, and nothing is acknowledged until a reopening has.

use super::replay::Replay;
use crate::canary::{Canary, planted};
use crate::error::{Damage, Error, Result};
use crate::event::{Event, FileName, Phase as EventPhase};
use crate::format::names::file_name;
use crate::format::pointer::TreeKind;
use crate::store::{
    Budget, Commit, CommitStyle, DirectorySync, OpenMode, Snapshot, Step, Store, find_newest,
    read_when_wanted, remove, rename,
};
use crate::vbucket::lock::Guard;
use crate::vbucket::{CancelFlag, Charge, VBucket};

/// The locked part of a compaction. Dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct Swap {
    vbucket: VBucket,
    cancel: CancelFlag,
    guard: Guard<Charge>,
    target: Option<Store>,
    phase: Phase,
    round: u32,
    max_stall_ns: u64,
    began_ns: u64,
}

#[derive(Debug)]
enum Phase {
    LastTail(Box<Replay>),
    Committing(Commit),
    Validating,
    Renaming,
    Syncing(DirectorySync),
    Done,
}

impl Swap {
    /// Begins with the lock just taken. `last_tail` is what `target` still lacks, perhaps nothing.
    pub(super) fn new(
        vbucket: &VBucket,
        cancel: CancelFlag,
        guard: Guard<Charge>,
        target: Store,
        last_tail: Replay,
        round: u32,
        max_stall_ns: u64,
    ) -> Self {
        let began_ns = vbucket.host().now_ns();
        let (from, to) = (last_tail.from(), last_tail.to());
        let caught_up = from.position() == to.position()
            || planted(Canary::NoLastTail)
            || planted(Canary::CaughtUpBySeq) && from.header().update_seq == to.header().update_seq;
        let phase = match caught_up {
            true => Phase::Validating,
            false => Phase::LastTail(Box::new(last_tail)),
        };
        let target = Some(target);
        let swap = Swap {
            vbucket: vbucket.clone(),
            cancel,
            guard,
            target,
            phase,
            round,
            max_stall_ns,
            began_ns,
        };
        match &swap.phase {
            Phase::LastTail(replay) => {
                swap.emit_phase(EventPhase::LastTail);
                emit_round_started(vbucket, replay, round, true);
            }
            _ => swap.emit_phase(EventPhase::Validate),
        }
        swap
    }

    /// Whether the target has the name of the next revision already.
    pub(super) fn is_renamed(&self) -> bool {
        matches!(self.phase, Phase::Syncing(_) | Phase::Done)
    }

    /// Does a part of the work. At `Done` the target is in charge and published, and the lock still
    /// held.
    pub(super) fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        let cancelled = self.cancel.is_cancelled() && !planted(Canary::IgnoreCancelUnderLock);
        if cancelled && !self.is_renamed() {
            return Err(Error::Cancelled);
        }
        let target = self.target.as_mut();
        match (&mut self.phase, target) {
            (Phase::LastTail(replay), Some(target)) => {
                if replay.step(target, budget)? == Step::Done {
                    emit_round_finished(&self.vbucket, replay, self.round);
                    let vbucket = self.vbucket.id();
                    let nanoseconds = self.vbucket.host().now_ns().saturating_sub(self.began_ns);
                    if nanoseconds > self.max_stall_ns {
                        let events = self.vbucket.events();
                        events.emit(|| Event::StallTargetMissed { vbucket, nanoseconds });
                    }
                    let timestamp_ns = replay.to().header().timestamp_ns;
                    let commit = Commit::new(CommitStyle::Direct, timestamp_ns);
                    self.phase = Phase::Committing(commit);
                }
                Ok(Step::Progress)
            }
            (Phase::Committing(commit), Some(target)) => match commit.step(target)? {
                Step::Done => {
                    self.phase = Phase::Validating;
                    self.emit_phase(EventPhase::Validate);
                    Ok(Step::Progress)
                }
                step => Ok(step),
            },
            (Phase::Validating, Some(target)) => {
                if !planted(Canary::NoValidation) {
                    validate(&target.snapshot()?)?;
                }
                self.phase = Phase::Renaming;
                self.emit_phase(EventPhase::Swap);
                Ok(Step::Progress)
            }
            (Phase::Renaming, Some(target)) => {
                let to = FileName::from(file_name(self.vbucket.id(), self.guard.revision() + 1));
                let (volume, from) = (self.vbucket.volume(), target.file().name.clone());
                // Set first: once renamed the file may be the newest, even if a listener panics.
                self.phase = Phase::Syncing(DirectorySync::default());
                if let Err(error) = rename(volume.as_ref(), &from, &to, self.vbucket.events()) {
                    self.phase = Phase::Renaming;
                    return Err(error);
                }
                target.rename(to);
                if planted(Canary::UnlinkBeforePublish) {
                    let old = FileName::from(file_name(self.vbucket.id(), self.guard.revision()));
                    remove(volume.as_ref(), &old, self.vbucket.events())?;
                }
                Ok(Step::Progress)
            }
            (Phase::Syncing(sync), Some(target)) => {
                let (volume, events) = (self.vbucket.volume(), self.vbucket.events());
                let name = target.file().name.clone();
                let step = match planted(Canary::AcknowledgeBeforeDirectorySync) {
                    true => Step::Done,
                    false => sync.step(volume.as_ref(), &name, events)?,
                };
                if step == Step::Done {
                    self.phase = Phase::Done;
                    self.publish()?;
                }
                Ok(step)
            }
            _ => Ok(Step::Done),
        }
    }

    fn publish(&mut self) -> Result<()> {
        let Some(mut target) = self.target.take() else { return Ok(()) };
        target.read_nodes_with(read_when_wanted);
        let (vbucket, revision) = (self.vbucket.id(), self.guard.revision() + 1);
        let snapshot = target.snapshot()?;
        self.guard.replace(target, revision);
        self.vbucket.publish(snapshot, revision);
        self.vbucket.events().emit(|| Event::Published { vbucket, revision });
        Ok(())
    }

    fn emit_phase(&self, phase: EventPhase) {
        let vbucket = self.vbucket.id();
        self.vbucket.events().emit(|| Event::PhaseChanged { vbucket, phase });
    }
}

impl Drop for Swap {
    /// Given up between the renaming and the end of the directory's sync, by a failure of that sync,
    /// a panic, or because the host dropped the compaction: after a crash either file may be the newest.
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Syncing(_)) && !planted(Canary::UncertainSwapGoesOn) {
            self.guard.lose();
            if let Some(target) = &self.target {
                let file = target.file().name.clone();
                self.vbucket.events().emit(|| Event::Poisoned { file });
            }
        }
    }
}

/// Reads back what is about to take charge: its newest header must be the one just committed, and
/// its roots must be readable.
fn validate(committed: &Snapshot) -> Result<()> {
    let file = committed.file();
    let (found, _) = find_newest(&file.name, file.device.clone(), OpenMode::Strict)?;
    if found.position() != committed.position() || found.header() != committed.header() {
        let what = "the header read back is not the one written".to_owned();
        return Err(Error::corrupt(&file.name, found.position(), Damage::Trees(what)));
    }
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        found.walk(tree).descend()?;
    }
    Ok(())
}

pub(super) fn emit_round_started(vbucket: &VBucket, replay: &Replay, round: u32, locked: bool) {
    vbucket.events().emit(|| {
        let (from, to, tail) = (replay.from().position(), replay.to().position(), replay.tail());
        Event::RoundStarted { vbucket: vbucket.id(), round, from, to, tail, locked }
    });
}

pub(super) fn emit_round_finished(vbucket: &VBucket, replay: &Replay, round: u32) {
    vbucket.events().emit(|| {
        let (documents, bytes) = (replay.documents, replay.bytes);
        Event::RoundFinished { vbucket: vbucket.id(), round, documents, bytes }
    });
}
