//! Flusher and compaction in every order: who is next is decided by the choice source, turn by turn.
//!
//! A turn lasts until something happens that others can see: the disk or the lock changes hands, or
//! a state is published. Readers look after every turn; they are no actors, because they wait for
//! nobody and change nothing.

use std::fmt;

use super::choice::Choices;
use super::contents::Contents;
use super::disk::{DiskRules, Profile};
use super::invariants::{Violation, check_recovery, check_state};
use super::volume::CrashVolume;
use super::workloads::value;
use super::world::{Operation, VBUCKET, World};
use crate::device::{Fault, Volume};
use crate::error::{Error, Result};
use crate::event::Actor;
use crate::format::names::file_name;
use crate::store::{Budget, Snapshot, Step};

/// Turns after which a run that has not ended never will.
const TURNS_MAX: usize = 400;
/// Steps of a machine in one turn, at most.
const STEPS_MAX: usize = 200;
/// Flushes of a run.
const BATCHES: usize = 2;
/// Events shown with a failure.
const EVENTS_SHOWN: usize = 16;

/// What somebody does once, beside flusher and compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Deletes the vbucket.
    Delete,
    /// Deletes it and creates it again.
    Recreate,
    /// Takes it back to the first flush.
    Rollback,
    /// Takes it back to nothing.
    RollbackToNothing,
    /// Cancels the compaction.
    Cancel,
    /// Asks for a second compaction.
    SecondCompaction,
    /// Saves and deletes local documents.
    Locals,
    /// Makes the next operation on the volume fail.
    IoError,
    /// Makes the next sync of a file fail and lose what it was for.
    FailedSync,
}

impl Control {
    /// All of them.
    pub const ALL: [Control; 9] = [
        Control::Delete,
        Control::Recreate,
        Control::Rollback,
        Control::RollbackToNothing,
        Control::Cancel,
        Control::SecondCompaction,
        Control::Locals,
        Control::IoError,
        Control::FailedSync,
    ];

    fn is_fault(self) -> bool {
        matches!(self, Control::IoError | Control::FailedSync)
    }
}

/// Which schedules to run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How often the turn passes from one to the other, at most, unless who has it is at its end or
    /// has to wait.
    pub switches: usize,
    /// What is done beside, and before which turn.
    pub control: Option<(Control, usize)>,
}

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Turns until flusher and compaction were through.
    pub turns: usize,
    /// Whether the control operation came in before that.
    pub controlled: bool,
    /// Whether the compaction swapped.
    pub swapped: bool,
}

/// Something did not hold in a run.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What.
    pub violation: Violation,
    /// What reproduces it, and what led there.
    pub story: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.violation, self.story)
    }
}

/// Runs one schedule.
///
/// # Errors
/// What did not hold.
pub fn run(bounds: Bounds, choices: &mut Choices) -> Result<Ran, Box<Failed>> {
    let mut run = Run::new(bounds);
    let Err(violation) = run.go(choices) else { return Ok(run.ran) };
    let events = run.world.witness.events();
    let mut story = format!("{bounds:?} {choices}\nevents before:");
    for (at, event) in events.iter().skip(events.len().saturating_sub(EVENTS_SHOWN)) {
        story += &format!("\n  [{at}] {event:?}");
    }
    Err(Box::new(Failed { violation, story }))
}

/// Runs all schedules within these bounds; returns how each went.
///
/// # Errors
/// The first failure.
pub fn run_all(bounds: Bounds) -> Result<Vec<Ran>, Box<Failed>> {
    let mut choices = Choices::exhaustive();
    let mut all = Vec::new();
    loop {
        all.push(run(bounds, &mut choices)?);
        if !choices.next_run() {
            return Ok(all);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Progress,
    Blocked,
    /// It is through.
    Ended,
}

struct Run {
    world: World,
    bounds: Bounds,
    batches: usize,
    flusher_ended: bool,
    compactor_ended: bool,
    control: Option<Control>,
    operation: Option<Operation>,
    /// What readers hold on to.
    held: Vec<(Snapshot, Contents)>,
    ran: Ran,
}

impl Run {
    fn new(bounds: Bounds) -> Self {
        Run {
            world: World::new(DiskRules::new(Profile::Posix)),
            bounds,
            batches: 0,
            flusher_ended: false,
            compactor_ended: false,
            control: bounds.control.map(|(control, _)| control),
            operation: None,
            held: Vec::new(),
            ran: Ran::default(),
        }
    }

    fn go(&mut self, choices: &mut Choices) -> Result<(), Violation> {
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
                && choices.choose(2) == 1
            {
                (current, switches) = (other, switches + 1);
            }
            match self.turn(current)? {
                Turn::Progress | Turn::Ended => waiting = 0,
                Turn::Blocked => {
                    waiting += 1;
                    if waiting > 2 {
                        let holder = self.world.vbucket.as_ref().map(|v| v.lock().holder());
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
        self.ran.controlled = self.bounds.control.is_some() && self.control.is_none();
        self.finish()
    }

    fn prepare(&mut self) -> Result<()> {
        let world = &mut self.world;
        world.create()?;
        for (key, size) in [("a", 40), ("b", 400), ("c", 10)] {
            world.push(key, Some(value(1, size)))?;
        }
        world.flush()?;
        world.push("b", None)?;
        world.push("d", Some(value(2, 60)))?;
        world.flush()?;
        world.save_locals(&[("_local/l", Some("1"))])?;
        world.begin_compaction(u64::MAX, 0)?;
        self.push_batch()
    }

    /// What the flusher has to do next: documents that the compaction has copied change, go, and
    /// come back.
    fn push_batch(&mut self) -> Result<()> {
        self.batches += 1;
        let tag = 10 + self.batches as u64;
        match self.batches {
            1 => {
                self.world.push("a", None)?;
                self.world.push("b", Some(value(tag, 100)))?;
            }
            _ => {
                self.world.push("a", Some(value(tag, 30)))?;
                self.world.push("c", None)?;
            }
        }
        self.world.push("d", Some(value(tag, 50)))
    }

    fn has_ended(&self, actor: Actor) -> bool {
        match actor {
            Actor::Flusher => self.flusher_ended,
            _ => self.compactor_ended,
        }
    }

    fn turn(&mut self, actor: Actor) -> Result<Turn, Violation> {
        let seen = |world: &World| {
            let lock = world.vbucket.as_ref().map(|vbucket| vbucket.lock().holder());
            (world.volume.operations(), lock, world.vbucket.as_ref().map(|v| v.revision()))
        };
        let before = seen(&self.world);
        for _ in 0..STEPS_MAX {
            let stepped = match actor {
                Actor::Flusher => self.world.step_flusher(Budget::UNBOUNDED),
                _ => self.world.step_compaction(Budget::UNBOUNDED),
            };
            match stepped {
                Ok(Step::Done) => return self.ended(actor),
                Ok(Step::Blocked) => return Ok(Turn::Blocked),
                Ok(Step::Progress) if seen(&self.world) != before => return Ok(Turn::Progress),
                Ok(Step::Progress) => {}
                Err(error) => return self.failed(actor, error),
            }
        }
        Err(Violation::new("I13", format!("the {actor:?} steps without doing anything")))
    }

    fn ended(&mut self, actor: Actor) -> Result<Turn, Violation> {
        match actor {
            Actor::Flusher if self.batches < BATCHES && self.world.flusher.is_some() => {
                self.push_batch().map_err(|error| unexpected("queueing", &error))?;
                return Ok(Turn::Progress);
            }
            Actor::Flusher => self.flusher_ended = true,
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
        let Some(vbucket) = &self.world.vbucket else { return false };
        let mut request = vbucket.lock().request(Actor::Flusher, std::task::Waker::noop().clone());
        let Some(mut guard) = request.poll() else { return false };
        guard.store().is_err()
    }

    /// Does the control operation when its time has come, and goes on with it.
    fn maybe_control(&mut self) -> Result<(), Violation> {
        let due = self.bounds.control.is_some_and(|(_, turn)| turn <= self.ran.turns);
        if let Some(control) = self.control.filter(|_| due) {
            let began = self.begin_control(control);
            if began.map_err(|error| unexpected("a control operation", &error))? {
                self.control = None;
            }
        }
        if self.operation.is_none() {
            return Ok(());
        }
        loop {
            match self.world.step_operation(&mut self.operation) {
                Ok(Step::Done) => break,
                Ok(Step::Blocked) => return Ok(()),
                Ok(Step::Progress) => self.read()?,
                Err(error) => return Err(unexpected("a control operation", &error)),
            }
        }
        if self.world.vbucket.is_none() {
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
                self.operation = Some(self.world.begin_delete()?);
            }
            Control::Rollback => self.operation = Some(self.world.begin_rollback(3)?),
            Control::RollbackToNothing => self.operation = Some(self.world.begin_rollback(0)?),
            Control::Cancel => self.world.vbucket()?.cancel_compaction(),
            Control::SecondCompaction => match self.world.vbucket()?.is_compacting() {
                // Refused, and the first is none the worse for it.
                true => match self.world.vbucket()?.begin_compaction() {
                    Err(Error::Invalid(_)) => {}
                    Err(error) => return Err(error),
                    Ok(_) => return Err(Error::Invalid("two compactions at once".to_owned())),
                },
                false if self.world.compaction.is_none() => {
                    self.world.begin_compaction(0, 0)?;
                    self.compactor_ended = false;
                }
                // The first is still removing its file.
                false => return Ok(false),
            },
            Control::Locals => {
                return self.world.save_locals(&[("_local/l", None), ("_local/m", Some("2"))]);
            }
            Control::IoError => self.world.faults.inject(Fault::nth(1)),
            Control::FailedSync => self.world.volume.fail_sync(1),
        }
        Ok(true)
    }

    fn recreate(&mut self) -> Result<()> {
        self.world.create()?;
        self.world.push("z", Some(value(99, 30)))?;
        (self.batches, self.flusher_ended) = (BATCHES, false);
        Ok(())
    }

    /// A reader looks: what is published is the newest acknowledged state.
    fn read(&mut self) -> Result<(), Violation> {
        let Some(vbucket) = &self.world.vbucket else { return Ok(()) };
        // While it is being deleted there is none.
        let Ok(snapshot) = vbucket.snapshot() else { return Ok(()) };
        let place = |snapshot: &Snapshot| (snapshot.file().name.clone(), snapshot.position());
        if self.held.last().is_some_and(|(held, _)| place(held) == place(&snapshot)) {
            return Ok(());
        }
        // A fault that waits for the next operation is not the readers'.
        let injected = matches!(self.bounds.control, Some((Control::IoError, _)));
        if injected && self.control.is_none() && self.world.faults.fired() == 0 {
            return Ok(());
        }
        let found = read(&snapshot)?;
        if let Some(expected) = self.world.witness.acknowledged()
            && expected != found
        {
            return Err(Violation::new("I11", expected.difference(&found)));
        }
        self.held.push((snapshot, found));
        Ok(())
    }

    /// With all faults gone everything comes to an end, and what is there is what should be.
    fn finish(&mut self) -> Result<(), Violation> {
        self.world.faults.heal();
        self.world.volume.heal();
        if !self.is_lost() {
            self.end_everything()?;
        }
        for (snapshot, contents) in &self.held {
            if read(snapshot)? != *contents {
                return Err(Violation::new("I11", "a snapshot reads other than before"));
            }
        }
        self.held.clear();
        self.world.flusher = None;
        self.world.compaction = None;
        self.operation = None;
        self.world.vbucket = None;
        if self.world.volume.open_handles() != 0 {
            let open = self.world.volume.open_handles();
            return Err(Violation::new("I12", format!("{open} files are still open")));
        }
        let at = self.world.volume.operations();
        let restarted = CrashVolume::after_restart(&self.world.volume.disk());
        let (recovered, _) = check_recovery(&restarted, VBUCKET)?;
        check_state(&recovered, &self.world.witness.history(), at)
    }

    fn end_everything(&mut self) -> Result<(), Violation> {
        while self.operation.is_some() {
            self.maybe_control()?;
        }
        for _ in 0..3 {
            // The first may still tell of a failure.
            if self.world.flush().is_ok() {
                break;
            }
        }
        let Some(vbucket) = self.world.vbucket.clone() else { return Ok(()) };
        let durable = self.world.dirty.persisted_seq();
        let queued = self.world.dirty.with_queue(|queue| queue.high_seq());
        if durable < queued {
            let what = format!("with no fault left, {durable} is durable, {queued} was queued");
            return Err(Violation::new("I13", what));
        }
        let faulty = self.bounds.control.is_some_and(|(control, _)| control.is_fault());
        let names = self.world.volume.list().unwrap_or_default();
        let expected = [file_name(VBUCKET, vbucket.revision())];
        if !faulty && names != expected {
            return Err(Violation::new("I12", format!("{names:?} are left, not {expected:?}")));
        }
        // Whatever happened, it can be compacted again.
        let compacted = self.world.begin_compaction(0, 0);
        compacted
            .and_then(|()| self.world.finish_compaction())
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
