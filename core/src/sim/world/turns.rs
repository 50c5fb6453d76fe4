//! How actions are carried out.

use super::action::{Action, Change, Compact, Failing, Turn, Until};
use super::actors::{Met, PendingSync};
use super::marks::is_fault;
use super::{Stamped, World};
use crate::device::Fault;
use crate::device::Volume as _;
use crate::error::{Error, IoOp, Result as EngineResult};
use crate::event::{Actor, Phase};
use crate::format::names::file_name;
use crate::sim::contents::Contents;
use crate::sim::invariants::Violation;
use crate::sim::machines::{Operation, VBUCKET};
use crate::store::{Snapshot, Step};

/// Turns after which what has not come to its end never will.
const TURNS_MAX: u64 = 200_000;

/// What operations on the volume came to.
struct Toll {
    /// Nanoseconds that they took.
    ns: u64,
    met: Met,
}

/// Whether it tells a compaction to stop, whatever its outcome.
fn cancels(operation: &Operation) -> bool {
    matches!(operation, Operation::Rollback(_) | Operation::Delete(_))
}

impl World {
    pub(super) fn carry_out(&mut self, action: &Action) -> Result<(), Violation> {
        match action {
            Action::Create(until) => self.create(*until),
            Action::Queue(changes) => self.queue(changes),
            Action::Flush(changes) => {
                self.queue(changes)?;
                self.drive(Actor::Flusher, |world| !world.work().flusher)
            }
            Action::Turn(turn, count) => self.turns(*turn, *count),
            Action::Step(count) => {
                for _ in 0..*count {
                    let Some(turn) = self.next_turn() else { return Ok(()) };
                    self.turn(turn)?;
                }
                Ok(())
            }
            Action::RunUntil(event, count) => self.run_until_event(event, *count),
            Action::Compact(compact, until) => self.compact(*compact, *until),
            Action::Cancel => {
                let compacting = self.machines.vbucket.as_ref().filter(|v| v.is_compacting());
                match compacting {
                    Some(vbucket) => {
                        let next = file_name(VBUCKET, vbucket.revision() + 1);
                        vbucket.cancel_compaction();
                        self.trouble.cancelled = true;
                        // Once the new file has its name it is too late.
                        let names = self.machines.volume.list().unwrap_or_default();
                        let in_time = !names.contains(&next);
                        self.trouble.no_swap_after = in_time.then(|| self.progress().swaps);
                    }
                    None => self.refuse("nothing is being compacted"),
                }
                Ok(())
            }
            Action::Rollback(seq, until) => {
                self.learn_rollback(*seq);
                let begun = self.idle_operator().and_then(|()| self.machines.begin_rollback(*seq));
                self.operate(begun, *until)
            }
            Action::Drop(until) => {
                let begun = self.idle_operator().and_then(|()| self.machines.begin_delete());
                self.operate(begun, *until)
            }
            Action::Locals(updates, until) => self.locals(updates, *until),
            Action::Read(name) => self.read(name),
            Action::Close(name) => self.close(name),
            Action::Crash(survivors) => self.crash(survivors),
            Action::Die => self.die(),
            Action::Wait(ns) => {
                self.host.advance_ns(*ns);
                Ok(())
            }
            Action::Device(device) => {
                self.device = *device;
                Ok(())
            }
            Action::FailSync(nth) => {
                self.machines.volume.fail_sync(*nth);
                self.trouble.armed = true;
                Ok(())
            }
            Action::Fail(Failing { op, nth, sticky, after_bytes }) => {
                let fault = Fault::nth(*nth).after_bytes(*after_bytes);
                let fault = if let Some(op) = op { fault.of(*op) } else { fault };
                self.machines.faults.inject(if *sticky { fault.sticky() } else { fault });
                self.trouble.armed = true;
                Ok(())
            }
            Action::Capacity(bytes) => {
                self.machines.faults.set_capacity(*bytes);
                self.trouble.armed = true;
                Ok(())
            }
            Action::Flip { file, byte, bit } => {
                self.flip(file, *byte, *bit);
                Ok(())
            }
            Action::Heal => {
                self.heal();
                Ok(())
            }
            Action::Settle => self.settle(),
            Action::End => self.end(),
        }
    }

    pub(super) fn heal(&mut self) {
        self.machines.faults.heal();
        self.machines.volume.heal();
        self.trouble.armed = false;
    }

    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        self.trouble.error = Some(why.into());
    }

    /// What the operations since the last turn came to. They count as those of `phase`: one that
    /// failed may have ended it.
    fn charge(&mut self, phase: Option<Phase>) -> Toll {
        let device = self.device;
        let mut ns = self.settings.turn_ns();
        let mut fault = self.machines.volume.take_failed_syncs() > 0;
        for operation in self.machines.faults.take_log() {
            self.marks.operation(phase, &operation);
            fault |= is_fault(&operation);
            self.trouble.not_removed |= operation.op == IoOp::Remove && operation.error.is_some();
            ns = ns.saturating_add(device.operation_ns(&operation));
            if operation.op == IoOp::Write {
                self.unsynced += operation.length.unwrap_or(0);
            }
        }
        Toll { ns, met: Met { fault, doubt: false } }
    }

    fn create(&mut self, until: Until) -> Result<(), Violation> {
        if self.machines.vbucket.is_some() {
            self.refuse("there is a vbucket already");
            return Ok(());
        }
        if let Some(why) = self.closed.clone() {
            self.refuse(why);
            return Ok(());
        }
        if let Err(error) = self.idle_operator() {
            self.refuse(error.to_string());
            return Ok(());
        }
        let begun = self.machines.begin_create();
        let Toll { ns, met } = self.charge(None);
        if let Err(error) = &begun {
            self.failed("a creation's beginning", error, met)?;
        }
        // What is left half-made only a new process clears away.
        self.trouble.lost = begun.is_err();
        self.actors.operator.ready_ns = self.host.time_ns().saturating_add(ns);
        self.operate(begun, until)
    }

    fn queue(&mut self, changes: &[Change]) -> Result<(), Violation> {
        if self.machines.vbucket.is_none() {
            self.refuse("there is no vbucket");
            return Ok(());
        }
        for Change { key, value } in changes {
            let value = value.as_ref().map(|value| value.bytes());
            if let Err(error) = self.machines.push(key, value) {
                self.refuse(error.to_string());
            }
        }
        Ok(())
    }

    pub(super) fn compact(&mut self, compact: Compact, until: Until) -> Result<(), Violation> {
        let running = self.machines.vbucket.as_ref().is_some_and(|vbucket| vbucket.is_compacting());
        // Begun a second time, the engine is asked, and has to refuse.
        if self.machines.compaction.is_none() || (until == Until::Begun && running) {
            let stall = compact.stall_ns.unwrap_or(self.settings.max_stall_ns);
            if self.machines.compaction.is_none() {
                (self.trouble.cancelled, self.trouble.no_swap_after) = (false, None);
            }
            let begun = self.machines.begin_compaction(compact.purge_to, stall);
            let Toll { ns, met } = self.charge(None);
            match begun {
                Ok(()) => {}
                Err(error @ (Error::Cancelled | Error::Invalid(_))) => {
                    self.refuse(error.to_string());
                    return Ok(());
                }
                Err(error) => return self.failed("a compaction's beginning", &error, met),
            }
            self.actors.compactor.ready_ns = self.host.time_ns().saturating_add(ns);
            self.actors.compactor.begin();
        }
        match until {
            Until::Begun => Ok(()),
            Until::End => self.drive(Actor::Compactor, |world| !world.work().compactor),
            Until::Phase(phase) => self.drive(Actor::Compactor, |world| {
                !world.work().compactor || world.phase().is_some_and(|now| now >= phase)
            }),
        }
    }

    fn idle_operator(&self) -> EngineResult<()> {
        match self.operation {
            None => Ok(()),
            Some(_) => Err(Error::Invalid("the operator is at something else".to_owned())),
        }
    }

    fn operate(&mut self, begun: EngineResult<Operation>, until: Until) -> Result<(), Violation> {
        match begun {
            Err(error) => {
                self.refuse(error.to_string());
                Ok(())
            }
            Ok(operation) => {
                self.trouble.cancelled |= cancels(&operation);
                self.operation = Some(operation);
                self.actors.operator.begin();
                match until {
                    Until::Begun => Ok(()),
                    _ => self.drive(Actor::Operator, |world| !world.work().operator),
                }
            }
        }
    }

    fn locals(
        &mut self,
        updates: &[(String, Option<String>)],
        until: Until,
    ) -> Result<(), Violation> {
        let named: Vec<(String, Option<&str>)> = updates
            .iter()
            .map(|(key, value)| (format!("_local/{key}"), value.as_deref()))
            .collect();
        let named: Vec<(&str, Option<&str>)> =
            named.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let begun = self.idle_operator().and_then(|()| self.machines.begin_locals(&named));
        self.operate(begun, until)
    }

    fn read(&mut self, name: &str) -> Result<(), Violation> {
        let snapshot = match self.machines.vbucket().and_then(|vbucket| vbucket.snapshot()) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.refuse(error.to_string());
                return Ok(());
            }
        };
        if let Some(contents) = self.read_whole(&snapshot)? {
            self.readers.insert(name.to_owned(), (snapshot, contents));
        }
        Ok(())
    }

    /// A reader reads everything, unless a fault hits it. The time that takes is its own: whoever has
    /// the next turn must not be charged for it.
    fn read_whole(&mut self, snapshot: &Snapshot) -> Result<Option<Contents>, Violation> {
        self.checks.reads += 1;
        let contents = Contents::read(snapshot);
        let Toll { met, .. } = self.charge(self.phase());
        match contents {
            Ok(contents) => Ok(Some(contents)),
            Err(error) => self.failed("a reader", &error, met).map(|()| None),
        }
    }

    pub(super) fn close(&mut self, name: &str) -> Result<(), Violation> {
        let Some((snapshot, before)) = self.readers.remove(name) else {
            self.refuse(format!("there is no reader {name}"));
            return Ok(());
        };
        match self.read_whole(&snapshot)? {
            Some(contents) if contents != before => {
                let what = format!("a snapshot changed: {}", before.difference(&contents));
                Err(Violation::new("I11", what))
            }
            _ => Ok(()),
        }
    }

    fn run_until_event(&mut self, event: &str, count: u64) -> Result<(), Violation> {
        let (mut seen, mut left) = (self.trace.event_count(), count);
        while left > 0 {
            let Some(turn) = self.next_turn() else {
                self.refuse(format!("nobody has anything to do, and there was no {event}"));
                return Ok(());
            };
            self.turn(turn)?;
            self.check()?;
            if self.trouble.error.is_some() && self.is_damaged() {
                // It would fail again and again.
                return Ok(());
            }
            let events = self.trace.events_from(seen);
            seen += events.len();
            let is = |stamped: &&Stamped| stamped.event.name() == event;
            left = left.saturating_sub(events.iter().filter(is).count() as u64);
        }
        Ok(())
    }

    fn turns(&mut self, turn: Turn, count: u64) -> Result<(), Violation> {
        for _ in 0..count {
            if self.actors.due_ns(turn, self.work()).is_none() {
                self.refuse("it has nothing to do, or waits");
                return Ok(());
            }
            self.turn(turn)?;
        }
        Ok(())
    }

    /// Lets one go on, and others when it waits for them, until something is the case or the engine
    /// fails.
    fn drive(&mut self, actor: Actor, ended: impl Fn(&World) -> bool) -> Result<(), Violation> {
        let own = Turn::Machine(actor);
        for _ in 0..TURNS_MAX {
            if ended(self) {
                return Ok(());
            }
            let can = self.actors.due_ns(own, self.work()).is_some();
            // A sync that is under way comes first: it may be what this one waits for.
            let turn = match self.next_turn() {
                Some(Turn::Disk) => Turn::Disk,
                _ if can => own,
                Some(turn) => turn,
                None => return Err(self.stuck()),
            };
            if turn == own {
                self.trouble.error = None;
            }
            self.turn(turn)?;
            self.check()?;
            if turn == own && self.trouble.error.is_some() {
                return Ok(());
            }
        }
        Err(Violation::new("I13", format!("the {actor:?} comes to no end")))
    }

    /// Everybody goes on by the clock until nobody has anything to do. With no fault left that is
    /// after everything queued is durable and a compaction is through.
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..TURNS_MAX {
            if !self.work().any() && self.actors.syncs.is_empty() {
                return Ok(());
            }
            let may_fail = self.trouble.armed || self.is_damaged();
            if self.trouble.lost || (may_fail && self.trouble.error.is_some()) {
                return Ok(());
            }
            let Some(turn) = self.next_turn() else { return Err(self.stuck()) };
            self.turn(turn)?;
            self.check()?;
        }
        Err(Violation::new("I13", "the machines come to no end"))
    }

    fn stuck(&self) -> Violation {
        let work = self.work();
        let what = format!("everybody waits; the lock is held by {:?}; {work:?}", self.holder());
        Violation::new("I13", what)
    }

    /// One turn, whose time has come or who is held up until now.
    fn turn(&mut self, turn: Turn) -> Result<(), Violation> {
        if let Some(due) = self.actors.due_ns(turn, self.work()) {
            self.host.advance_to(due);
        }
        match turn {
            Turn::Disk => {
                if !self.actors.syncs.is_empty() {
                    let sync = self.actors.syncs.remove(0);
                    self.machines.volume.complete_sync(sync.ticket);
                    self.actors.unblock();
                }
                Ok(())
            }
            Turn::Machine(actor) => {
                self.checks.turns += 1;
                let doubt = self.machines.witness.is_in_doubt();
                self.actors.slot(actor).begin();
                let (budget, phase) = (self.settings.budget, self.phase());
                let stepped = match actor {
                    Actor::Flusher => self.machines.step_flusher(budget),
                    Actor::Compactor => self.machines.step_compaction(budget),
                    Actor::Operator => {
                        let mut operation = self.operation.take();
                        self.trouble.cancelled |= operation.as_ref().is_some_and(cancels);
                        let stepped = self.machines.step_operation(&mut operation);
                        self.operation = operation;
                        stepped
                    }
                };
                let Toll { ns, met } = self.charge(phase);
                let ready_ns = self.host.time_ns().saturating_add(ns);
                let slot = self.actors.slot(actor);
                slot.ready_ns = ready_ns;
                slot.blocked = matches!(stepped, Ok(Step::Blocked));
                slot.met.fault |= met.fault;
                slot.met.doubt |= doubt;
                self.note_syncs();
                self.note_pace();
                if actor == Actor::Compactor && self.machines.compaction.is_none() {
                    self.check_compaction_ended()?;
                }
                let ended = !matches!(stepped, Ok(Step::Progress | Step::Blocked));
                stepped.map(|_| ()).or_else(|error| self.machine_failed(actor, &error))?;
                if ended {
                    // What its next work fails at needs a reason of its own.
                    self.actors.slot(actor).met = Met::default();
                }
                Ok(())
            }
        }
    }

    /// The disk sets about syncs that were issued.
    fn note_syncs(&mut self) {
        let known = self.actors.syncs.last().map_or(0, |sync| sync.ticket.0);
        for ticket in self.machines.volume.pending_syncs() {
            if ticket.0 > known {
                let takes = self.device.sync_ns(std::mem::take(&mut self.unsynced));
                // One after another: a disk does not get faster by being asked for more.
                let begins = self.actors.syncs.last().map_or(0, |sync| sync.due_ns);
                let due_ns = begins.max(self.host.time_ns()).saturating_add(takes);
                self.actors.syncs.push(PendingSync { ticket, due_ns });
            }
        }
    }

    /// A flusher that keeps to a pace waits for the clock.
    fn note_pace(&mut self) {
        let paced = self.machines.flusher.as_ref().and_then(|flusher| flusher.paced_until_ns());
        if let Some(until) = paced {
            let slot = &mut self.actors.flusher;
            slot.ready_ns = slot.ready_ns.max(until);
            slot.blocked = false;
        }
    }
}
