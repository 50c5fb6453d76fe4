//! A world: one vbucket with its flusher, compaction, readers and operator, on a device that takes
//! time and fails, watched from outside.
//!
//! A world does nothing by itself. It is given [`Action`]s, and what it is and does depends on them
//! and on its [`Settings`] alone; so a run is a list of lines, and giving the same lines again leads
//! to the same events, at the same times, and to the same bytes, on every host. Who makes the lines
//! is somebody else: a [random life](super::swarm), a [scenario](super::scenario), a page.
//!
//! Machines act in turns. A turn begins when the last one of the same machine is through, or later
//! if the list of actions says so, which is as if the machine had been held up; the device's time
//! and the processor's are charged to whoever took the turn. Syncs are through only when the disk
//! has its turn, so that anything can come before that.

mod action;
mod actors;
mod beginning;
mod damage;
mod marks;
mod restart;
mod settings;
mod text;
mod trace;
mod turns;
mod verdict;

use std::any::Any;
use std::fmt;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use litemap::LiteMap;

use siphasher::sip::SipHasher13;

pub use self::action::{Action, Change, Compact, Failing, Survivors, Turn, Until, Value};
pub use self::marks::Marks;
pub use self::settings::{DeviceModel, Settings};
pub use self::text::{NoAction, phase_name, phase_named};
pub use self::trace::{Progress, Stamped};

use self::actors::{Actors, Work};
use self::damage::Damaged;
use self::marks::is_fault;
use self::trace::Trace;
use super::contents::Contents;
use super::disk::Image;
use super::host::SimHost;
use super::invariants::Violation;
use super::machines::{Machines, Operation};
use super::volume::CrashVolume;
use super::witness::Witness;
use crate::event::{Actor, FileName, Phase};
use crate::store::Snapshot;

/// Events shown with a failure.
const EVENTS_SHOWN: usize = 16;

/// A simulated world.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    host: Arc<SimHost>,
    trace: Arc<Trace>,
    machines: Machines,
    operation: Option<Operation>,
    readers: LiteMap<String, (Snapshot, Contents)>,
    actors: Actors,
    /// The published state that was last compared with what was acknowledged.
    looked_at: Option<(FileName, u64)>,
    /// Bytes written since a sync was issued last.
    unsynced: u64,
    /// How long the device takes now.
    device: DeviceModel,
    trouble: Trouble,
    /// Bits that turned over.
    damaged: Vec<Damaged>,
    /// Why the last process could not open the vbucket, if it could not.
    closed: Option<String>,
    refused: u64,
    checks: Checks,
    marks: Marks,
    log: Vec<Action>,
    /// The file that it began with, if the disk was not empty.
    beginning: Option<Image>,
}

/// How often what must hold was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// That what is published, or what a reader holds, reads as it should (I11, and both trees).
    pub reads: u32,
    /// What a crash or a death left (I1 to I10, I15).
    pub recoveries: u32,
    /// That no file stays open (I12).
    pub handles: u32,
    /// That catch-up has its limit (I12).
    pub rounds: u32,
    /// That a turn did not fail without a reason (I13).
    pub turns: u32,
}

/// Why a machine may fail.
#[derive(Clone, Debug, Default)]
struct Trouble {
    /// Operations may fail.
    armed: bool,
    /// A name could not be removed since the process began.
    not_removed: bool,
    /// The running compaction was told to stop.
    cancelled: bool,
    /// If that was in time: how many swaps there were, and no other may come of it.
    no_swap_after: Option<u64>,
    /// Nobody knows which file is in charge, until a process starts anew.
    lost: bool,
    /// What the engine said to the last action, if that failed.
    error: Option<String>,
}

/// Something that must hold and does not, or that cannot be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub violation: Violation,
    /// The action during which it showed, counted from 1.
    pub action: usize,
    /// The last events before it.
    pub events: Vec<Stamped>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at action {})\nevents before:", self.violation, self.action)?;
        let show = |stamped: &Stamped| serde_json::to_string(stamped).unwrap_or_default();
        self.events.iter().try_for_each(|stamped| write!(f, "\n  {}", show(stamped)))
    }
}

impl World {
    /// An empty world: no vbucket yet, and the clock at 0.
    pub fn new(settings: Settings) -> Self {
        let host = Arc::new(SimHost::still());
        let trace = Trace::new(host.clone());
        let actors = Actors::default();
        let volume = CrashVolume::new(settings.disk);
        let witness = Witness::new(volume.clone());
        trace.tell(Some(witness.clone()));
        let wakers = actors.wakers();
        let machines = Machines::on(volume, host.clone(), witness, trace.clone(), wakers)
            .committing(settings.commits);
        machines.volume.hold_syncs(true);
        World {
            settings,
            host,
            trace,
            machines,
            operation: None,
            readers: LiteMap::new(),
            actors,
            looked_at: None,
            unsynced: 0,
            device: settings.device,
            trouble: Trouble::default(),
            damaged: Vec::new(),
            closed: None,
            refused: 0,
            checks: Checks::default(),
            marks: Marks::default(),
            log: Vec::new(),
            beginning: None,
        }
    }

    /// Does something to the world, and checks that what must hold still does. What the engine
    /// refuses, or fails at under a fault, is no failure; [`last_error`](Self::last_error) tells.
    ///
    /// # Errors
    /// What does not hold, in words. The world is of no use after that.
    pub fn act(&mut self, action: &Action) -> Result<(), Box<Failure>> {
        self.log.push(action.clone());
        self.trace.note(&action.to_string());
        self.trouble.error = None;
        let phase = self.phase();
        let acted = AssertUnwindSafe(|| self.carry_out(action).and_then(|()| self.check()));
        // Whoever runs many worlds has to tell in which of them an assertion failed.
        let done = catch_unwind(acted).unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        match self.trouble.error {
            None => self.marks.action(phase, action.verb()),
            Some(_) => self.refused += 1,
        }
        done.map_err(|violation| {
            let count = self.trace.event_count();
            let events = self.trace.events_from(count.saturating_sub(EVENTS_SHOWN));
            Box::new(Failure { violation, action: self.log.len(), events })
        })
    }

    /// Another world with the same past, which goes its own way from here. Takes as long as that
    /// past did.
    ///
    /// # Errors
    /// None, unless the world had failed already.
    pub fn fork(&self) -> Result<Self, Box<Failure>> {
        self.again(&self.log)
    }

    /// Lets turns be taken by the clock, up to `turns_max` of them, until a condition holds. False
    /// when it did not come to that.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub fn run_until(
        &mut self,
        turns_max: u64,
        condition: impl Fn(&World) -> bool,
    ) -> Result<bool, Box<Failure>> {
        for _ in 0..turns_max {
            if condition(self) {
                return Ok(true);
            }
            if self.next_turn().is_none() {
                return Ok(false);
            }
            self.act(&Action::Step(1))?;
        }
        Ok(condition(self))
    }

    /// Whose turn is next by the clock; `None` when nobody has anything to do.
    pub fn next_turn(&self) -> Option<Turn> {
        self.actors.next(self.work())
    }

    /// When that turn is due, in nanoseconds on the clock: it may have passed.
    pub fn next_turn_ns(&self) -> Option<u64> {
        let work = self.work();
        self.actors.next(work).and_then(|turn| self.actors.due_ns(turn, work))
    }

    /// Whose turn it could be, whatever the clock says.
    pub fn possible_turns(&self) -> Vec<Turn> {
        let work = self.work();
        Turn::ALL.into_iter().filter(|turn| self.actors.due_ns(*turn, work).is_some()).collect()
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Everything that was done to it.
    pub fn actions(&self) -> &[Action] {
        &self.log
    }

    /// Nanoseconds on its clock.
    pub fn now_ns(&self) -> u64 {
        self.host.time_ns()
    }

    /// What the engine said to the last action, if it refused or failed.
    pub fn last_error(&self) -> Option<&str> {
        self.trouble.error.as_deref()
    }

    /// How many actions the engine refused or failed at.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How often what must hold was checked.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Whether only a new process can go on: a swap, a deletion or a creation failed half-way.
    pub fn needs_restart(&self) -> bool {
        self.trouble.lost
    }

    /// Whether a fault was made that was not healed.
    pub fn is_faulty(&self) -> bool {
        self.trouble.armed
    }

    /// Why there is a vbucket that cannot be opened, if there is: its file is damaged.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// The vbucket and its machines.
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// Whether the operator is at something.
    pub fn is_operating(&self) -> bool {
        self.operation.is_some()
    }

    /// Readers that hold a snapshot, by name.
    pub fn readers(&self) -> impl Iterator<Item = (&str, &Contents)> {
        self.readers.iter().map(|(name, (_, contents))| (name.as_str(), contents))
    }

    /// Where compactions stand.
    pub fn progress(&self) -> Progress {
        self.trace.progress()
    }

    /// The phase of the running compaction.
    pub fn phase(&self) -> Option<Phase> {
        self.progress().phase
    }

    /// How many events there were.
    pub fn event_count(&self) -> usize {
        self.trace.event_count()
    }

    /// How long its device takes now.
    pub fn device(&self) -> DeviceModel {
        self.device
    }

    /// Events from the `first` on, counted from 0.
    pub fn events_from(&self, first: usize) -> Vec<Stamped> {
        self.trace.events_from(first)
    }

    /// What came together with what so far.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// What programs see of the files.
    pub fn files(&self) -> Image {
        self.machines.volume.disk().visible()
    }

    /// Stands for everything that was done and that happened, with its times: equal for the same
    /// actions, on every host.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Stands for what can be seen of the world now: clock, files, what is not durable, queue, lock,
    /// readers, the compaction's phase, and whose turn is next.
    pub fn state_hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write(&self.now_ns().to_le_bytes());
        for (name, bytes) in self.files().files() {
            hasher.write(name.as_bytes());
            hasher.write(&(bytes.len() as u64).to_le_bytes());
            bytes.slices().for_each(|slice| hasher.write(slice));
        }
        for pending in self.machines.volume.pending() {
            hasher.write(pending.as_bytes());
        }
        let lock = self.machines.vbucket.as_ref().map(|vbucket| vbucket.lock());
        let lock = lock.map(|lock| (lock.holder(), lock.waiting()));
        let queue = self.machines.dirty.with_queue(|queue| (queue.queued(), queue.high_seq()));
        let readers: Vec<&String> = self.readers.keys().collect();
        let rest =
            format!("{lock:?} {queue:?} {:?} {readers:?} {:?}", self.progress(), self.next_turn());
        hasher.write(rest.as_bytes());
        hasher.finish()
    }

    fn work(&self) -> Work {
        let queued = || self.machines.dirty.with_queue(|queue| queue.queued().mutations > 0);
        let flushing = |flusher: &crate::flusher::Flusher| flusher.is_flushing();
        let flusher = self.machines.flusher.as_ref();
        Work {
            flusher: flusher.is_some_and(|flusher| flushing(flusher) || queued()),
            compactor: self.machines.compaction.is_some(),
            operator: self.operation.is_some(),
        }
    }

    /// Checks what must hold at any moment: what is published is the newest acknowledged state (I11);
    /// catch-up has its limit, and no file stays open (I12).
    fn check(&mut self) -> Result<(), Violation> {
        self.check_handles()?;
        let rounds = self.progress().rounds;
        self.checks.rounds += u32::from(self.machines.compaction.is_some());
        if rounds > crate::limits::CATCHUP_ROUNDS_MAX {
            return Err(Violation::new("I12", format!("catch-up round {rounds} without the lock")));
        }
        let Some(vbucket) = &self.machines.vbucket else { return Ok(()) };
        // While it is being deleted there is none.
        let Ok(snapshot) = vbucket.snapshot() else { return Ok(()) };
        let place = Some((snapshot.file().name.clone(), snapshot.position()));
        if self.looked_at == place {
            return Ok(());
        }
        self.checks.reads += 1;
        let read = Contents::read(&snapshot);
        let met_a_fault = self.machines.faults.take_log().iter().any(is_fault);
        let found = match read {
            Ok(found) => found,
            Err(error) if met_a_fault && !error.is_damage() => return Ok(()),
            Err(error) if self.explains(&error) => {
                self.looked_at = place;
                return Ok(());
            }
            Err(error) => return Err(Violation::new("I11", format!("it cannot be read: {error}"))),
        };
        match self.machines.witness.acknowledged() {
            Some(expected) if expected != found => {
                Err(Violation::new("I11", expected.difference(&found)))
            }
            _ => {
                self.looked_at = place;
                Ok(())
            }
        }
    }

    fn holder(&self) -> Option<Actor> {
        self.machines.vbucket.as_ref().and_then(|vbucket| vbucket.lock().holder())
    }
}

/// A panic is a failure like others.
fn panicked(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Violation::new("I13", format!("panicked: {}", text.unwrap_or_default()))
}
