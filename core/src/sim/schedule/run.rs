//! One run: turns, what else happens, and what must hold after each turn and at the end.

use super::{Bounds, Control, Ran};
use crate::device::{Fault, Volume};
use crate::error::{Error, Result};
use crate::event::Actor;
use crate::format::names::file_name;
use crate::sim::choice::Choices;
use crate::sim::contents::Contents;
use crate::sim::disk::DiskRules;
use crate::sim::invariants::{Violation, check_recovery, check_state};
use crate::sim::machines::{Machines, Operation, VBUCKET};
use crate::sim::volume::CrashVolume;
use crate::sim::workloads::value;
use crate::store::{Budget, Snapshot, Step};

/// Turns after which a run that has not ended never will.
const TURNS_MAX: usize = 400;
/// Steps of a machine in one turn, at most.
const STEPS_MAX: usize = 200;
/// Flushes of a run.
const BATCHES: usize = 2;
/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Progress,
    Blocked,
    /// It is through.
    Ended,
}

/// One schedule being run.
pub(super) struct Run {
    pub(super) machines: Machines,
    bounds: Bounds,
    batches: usize,
    flusher_ended: bool,
    compactor_ended: bool,
    control: Option<Control>,
    operation: Option<Operation>,
    /// The compaction was cancelled in time.
    must_not_swap: bool,
    /// What readers hold on to.
    held: Vec<(Snapshot, Contents)>,
    pub(super) ran: Ran,
    /// Operations on the disk before each choice.
    pub(super) chosen_at: Vec<usize>,
    /// Operations on the disk before the control operation.
    pub(super) controlled_at: Option<usize>,
}

impl Run {
    pub(super) fn new(bounds: Bounds, rules: DiskRules) -> Self {
        Run {
            machines: Machines::new(rules).committing(bounds.commits),
            bounds,
            batches: 0,
            flusher_ended: false,
            compactor_ended: false,
            control: bounds.control.map(|(control, _)| control),
            operation: None,
            must_not_swap: false,
            held: Vec::new(),
            ran: Ran::default(),
            chosen_at: Vec::new(),
            controlled_at: None,
        }
    }

    pub(super) fn go(&mut self, choices: &mut Choices) -> Result<(), Violation> {
        self.prepare().map_err(|error| unexpected("preparing", &error))?;
        let (mut current, mut switches) = (Actor::Compactor, 0);
        // Who waits lets the other go on, without a choice.
        let mut waiting = 0;
        while !(self.flusher_ended && self.compactor_ended) {
            self.maybe_control()?;
            let other = match current {
                Actor::Flusher => Actor::Compactor,
                _ => Actor::Flusher,
            };
            if self.has_ended(current) {
                current = other;
            } else if waiting == 0
                && !self.has_ended(other)
                && switches < self.bounds.switches
                && self.choose(choices)
            {
                (current, switches) = (other, switches + 1);
            }
            match self.turn(current)? {
                Turn::Progress | Turn::Ended => waiting = 0,
                Turn::Blocked => {
                    waiting += 1;
                    if waiting > 2 {
                        let holder = self.machines.vbucket.as_ref().map(|v| v.lock().holder());
                        let what = format!("everybody waits; the lock is held by {holder:?}");
                        return Err(Violation::new("I13", what));
                    }
                    current = other;
                }
            }
            self.ran.turns += 1;
            self.read()?;
            if self.ran.turns > TURNS_MAX {
                return Err(Violation::new("I13", "flusher and compaction come to no end"));
            }
        }
        self.ran.last_tail = self.machines.witness.saw_last_tail();
        self.ran.controlled = self.bounds.control.is_some() && self.control.is_none();
        self.finish()
    }

    fn prepare(&mut self) -> Result<()> {
        let machines = &mut self.machines;
        machines.create()?;
        for (key, size) in [("a", 40), ("b", 400), ("c", 10)] {
            machines.push(key, Some(value(1, size)))?;
        }
        machines.flush()?;
        machines.push("b", None)?;
        machines.push("d", Some(value(2, 60)))?;
        machines.flush()?;
        machines.save_locals(&[("_local/l", Some("1"))])?;
        machines.begin_compaction(u64::MAX, self.bounds.max_stall_ns)?;
        self.push_batch()
    }

    /// What the flusher has to do next: documents that the compaction has copied change, go, and
    /// come back.
    fn push_batch(&mut self) -> Result<()> {
        self.batches += 1;
        let (tag, length) = (10 + self.batches as u64, self.bounds.value_length);
        match self.batches {
            1 => {
                self.machines.push("a", None)?;
                self.machines.push("b", Some(value(tag, 2 * length)))?;
            }
            _ => {
                self.machines.push("a", Some(value(tag, 30)))?;
                self.machines.push("c", None)?;
            }
        }
        self.machines.push("d", Some(value(tag, length)))
    }

    /// Whether the turn passes to the other.
    fn choose(&mut self, choices: &mut Choices) -> bool {
        self.chosen_at.push(self.machines.volume.operations());
        choices.choose(2) == 1
    }

    fn has_ended(&self, actor: Actor) -> bool {
        match actor {
            Actor::Flusher => self.flusher_ended,
            _ => self.compactor_ended,
        }
    }

    fn turn(&mut self, actor: Actor) -> Result<Turn, Violation> {
        let seen = |machines: &Machines| {
            let lock = machines.vbucket.as_ref().map(|vbucket| vbucket.lock().holder());
            (machines.volume.operations(), lock, machines.vbucket.as_ref().map(|v| v.revision()))
        };
        let before = seen(&self.machines);
        for _ in 0..STEPS_MAX {
            let stepped = match actor {
                Actor::Flusher => self.machines.step_flusher(Budget::UNBOUNDED),
                _ => self.machines.step_compaction(Budget::UNBOUNDED),
            };
            match stepped {
                Ok(Step::Done) => return self.ended(actor),
                Ok(Step::Blocked) => return Ok(Turn::Blocked),
                Ok(Step::Progress) if seen(&self.machines) != before => return Ok(Turn::Progress),
                Ok(Step::Progress) => {}
                Err(error) => return self.failed(actor, error),
            }
        }
        Err(Violation::new("I13", format!("the {actor:?} steps without doing anything")))
    }

    fn ended(&mut self, actor: Actor) -> Result<Turn, Violation> {
        match actor {
            Actor::Flusher if self.batches < BATCHES && self.machines.flusher.is_some() => {
                self.push_batch().map_err(|error| unexpected("queueing", &error))?;
                return Ok(Turn::Progress);
            }
            Actor::Flusher => self.flusher_ended = true,
            _ if self.must_not_swap => {
                return Err(Violation::new("I13", "a compaction that was cancelled swapped"));
            }
            _ => {
                self.ran.swapped = true;
                self.compactor_ended = true;
            }
        }
        Ok(Turn::Ended)
    }

    fn failed(&mut self, actor: Actor, error: Error) -> Result<Turn, Violation> {
        let control = self.bounds.control.map(|(control, _)| control);
        let expected = match (&error, control) {
            (_, Some(control)) if control.is_fault() => true,
            (Error::Cancelled, Some(Control::Delete | Control::Recreate)) => true,
            (
                Error::Cancelled,
                Some(Control::Rollback | Control::RollbackToNothing | Control::Cancel),
            ) => actor == Actor::Compactor,
            _ => false,
        };
        if !expected {
            return Err(unexpected(&format!("the {actor:?} failed"), &error));
        }
        match actor {
            Actor::Compactor => {
                self.compactor_ended = true;
                Ok(Turn::Ended)
            }
            // What failed is queued again; a store that is lost, or a vbucket that is gone, ends it.
            _ if matches!(error, Error::Cancelled) || self.is_lost() => {
                self.flusher_ended = true;
                Ok(Turn::Ended)
            }
            _ => Ok(Turn::Progress),
        }
    }

    /// Whether a swap failed so that nobody can tell which file is in charge.
    fn is_lost(&self) -> bool {
        let Some(vbucket) = &self.machines.vbucket else { return false };
        let mut request = vbucket.lock().request(Actor::Flusher, std::task::Waker::noop().clone());
        let Some(mut guard) = request.poll() else { return false };
        guard.store().is_err()
    }

    /// Does the control operation when its time has come, and goes on with it.
    fn maybe_control(&mut self) -> Result<(), Violation> {
        let due = self.bounds.control.is_some_and(|(_, turn)| turn <= self.ran.turns);
        if let Some(control) = self.control.filter(|_| due) {
            self.controlled_at.get_or_insert(self.machines.volume.operations());
            let began = self.begin_control(control);
            if began.map_err(|error| unexpected("a control operation", &error))? {
                self.control = None;
            }
        }
        if self.operation.is_none() {
            return Ok(());
        }
        loop {
            match self.machines.step_operation(&mut self.operation) {
                Ok(Step::Done) => break,
                Ok(Step::Blocked) => return Ok(()),
                Ok(Step::Progress) => self.read()?,
                Err(error) => return Err(unexpected("a control operation", &error)),
            }
        }
        if self.machines.vbucket.is_none() {
            self.flusher_ended = true;
            if matches!(self.bounds.control, Some((Control::Recreate, _))) {
                let again = self.recreate();
                again.map_err(|error| unexpected("creating again", &error))?;
            }
        }
        self.read()
    }

    /// Returns whether it could begin.
    fn begin_control(&mut self, control: Control) -> Result<bool> {
        match control {
            Control::Delete | Control::Recreate => {
                self.operation = Some(self.machines.begin_delete()?);
            }
            Control::Rollback => self.operation = Some(self.machines.begin_rollback(3)?),
            Control::RollbackToNothing => self.operation = Some(self.machines.begin_rollback(0)?),
            Control::Cancel => {
                let vbucket = self.machines.vbucket()?;
                let next = file_name(VBUCKET, vbucket.revision() + 1);
                let names = self.machines.volume.list().unwrap_or_default();
                // Once the new file has its name it is too late.
                self.must_not_swap = vbucket.is_compacting() && !names.contains(&next);
                vbucket.cancel_compaction();
            }
            Control::SecondCompaction => match self.machines.vbucket()?.is_compacting() {
                // Refused, and the first is none the worse for it.
                true => match self.machines.vbucket()?.begin_compaction() {
                    Err(Error::Invalid(_)) => {}
                    Err(error) => return Err(error),
                    Ok(_) => return Err(Error::Invalid("two compactions at once".to_owned())),
                },
                false if self.machines.compaction.is_none() => {
                    self.machines.begin_compaction(0, 0)?;
                    self.compactor_ended = false;
                }
                // The first is still removing its file.
                false => return Ok(false),
            },
            Control::Locals => {
                return self.machines.save_locals(&[("_local/l", None), ("_local/m", Some("2"))]);
            }
            Control::IoError => self.machines.faults.inject(Fault::nth(1)),
            Control::FailedSync => self.machines.volume.fail_sync(1),
        }
        Ok(true)
    }

    fn recreate(&mut self) -> Result<()> {
        self.machines.create()?;
        self.machines.push("z", Some(value(99, 30)))?;
        (self.batches, self.flusher_ended) = (BATCHES, false);
        Ok(())
    }

    /// A reader looks: what is published is the newest acknowledged state.
    fn read(&mut self) -> Result<(), Violation> {
        let Some(vbucket) = &self.machines.vbucket else { return Ok(()) };
        // While it is being deleted there is none.
        let Ok(snapshot) = vbucket.snapshot() else { return Ok(()) };
        let place = |snapshot: &Snapshot| (snapshot.file().name.clone(), snapshot.position());
        if self.held.last().is_some_and(|(held, _)| place(held) == place(&snapshot)) {
            return Ok(());
        }
        // A fault that waits for the next operation is not the readers'.
        let injected = matches!(self.bounds.control, Some((Control::IoError, _)));
        if injected && self.control.is_none() && self.machines.faults.fired() == 0 {
            return Ok(());
        }
        let found = read(&snapshot)?;
        if let Some(expected) = self.machines.witness.acknowledged()
            && expected != found
        {
            return Err(Violation::new("I11", expected.difference(&found)));
        }
        self.held.push((snapshot, found));
        Ok(())
    }

    /// With all faults gone everything comes to an end, and what is there is what should be.
    fn finish(&mut self) -> Result<(), Violation> {
        self.machines.faults.heal();
        self.machines.volume.heal();
        if !self.is_lost() {
            self.end_everything()?;
        }
        for (snapshot, contents) in &self.held {
            if read(snapshot)? != *contents {
                return Err(Violation::new("I11", "a snapshot reads other than before"));
            }
        }
        self.held.clear();
        self.machines.flusher = None;
        self.machines.compaction = None;
        self.operation = None;
        self.machines.vbucket = None;
        if self.machines.volume.open_handles() != 0 {
            let open = self.machines.volume.open_handles();
            return Err(Violation::new("I12", format!("{open} files are still open")));
        }
        let at = self.machines.volume.operations();
        let restarted = CrashVolume::after_restart(&self.machines.volume.disk());
        let (recovered, _) = check_recovery(&restarted, VBUCKET, self.bounds.commits)?;
        check_state(&recovered, &self.machines.witness.history(), at)
    }

    fn end_everything(&mut self) -> Result<(), Violation> {
        while self.operation.is_some() {
            self.maybe_control()?;
        }
        for _ in 0..3 {
            // The first may still tell of a failure.
            if self.machines.flush().is_ok() {
                break;
            }
        }
        let Some(vbucket) = self.machines.vbucket.clone() else { return Ok(()) };
        let durable = self.machines.dirty.persisted_seq();
        let queued = self.machines.dirty.with_queue(|queue| queue.high_seq());
        if durable < queued {
            let what = format!("with no fault left, {durable} is durable, {queued} was queued");
            return Err(Violation::new("I13", what));
        }
        let faulty = self.bounds.control.is_some_and(|(control, _)| control.is_fault());
        let names = self.machines.volume.list().unwrap_or_default();
        let expected = [file_name(VBUCKET, vbucket.revision())];
        if !faulty && names != expected {
            return Err(Violation::new("I12", format!("{names:?} are left, not {expected:?}")));
        }
        // Whatever happened, it can be compacted again.
        let compacted = self.machines.begin_compaction(0, 0);
        compacted
            .and_then(|()| self.machines.finish_compaction())
            .map_err(|error| unexpected("a last compaction", &error))
    }
}

fn read(snapshot: &Snapshot) -> Result<Contents, Violation> {
    Contents::read(snapshot)
        .map_err(|error| Violation::new("I11", format!("a snapshot cannot be read: {error}")))
}

fn unexpected(what: &str, error: &Error) -> Violation {
    Violation::new("I13", format!("{what}: {error}"))
}
