//! What a failure of the engine means, and what must hold when a machine, or a world, is at its end.

use std::sync::Arc;

use super::World;
use super::action::{Action, Compact, Survivors, Until};
use super::actors::Met;
use crate::device::{BlockDevice, Volume as _};
use crate::error::Error;
use crate::event::Actor;
use crate::format::names::file_name;
use crate::sim::invariants::Violation;
use crate::sim::machines::VBUCKET;

/// Nanoseconds that a machine waits after a failure before it tries again.
const RETRY_NS: u64 = 10_000_000;

impl World {
    /// A machine failed: is that a wonder?
    pub(super) fn machine_failed(&mut self, actor: Actor, error: &Error) -> Result<(), Violation> {
        self.actors.slot(actor).ready_ns = self.host.time_ns().saturating_add(RETRY_NS);
        let cancelled = matches!(error, Error::Cancelled);
        let gone = self.machines.vbucket().and_then(|vbucket| vbucket.snapshot()).is_err();
        if cancelled && (gone || (actor == Actor::Compactor && self.trouble.cancelled)) {
            self.refuse(error.to_string());
            if gone && self.operation.is_none() && self.machines.vbucket.is_some() {
                self.trouble.lost = true;
            }
            return Ok(());
        }
        let met = self.actors.slot(actor).met;
        let failed = self.failed(&format!("the {actor:?}"), error, met);
        if (actor == Actor::Operator && gone) || self.is_lost() {
            self.trouble.lost = true;
        }
        failed
    }

    /// The engine failed at a piece of work: it may, if that met a fault.
    pub(super) fn failed(&mut self, who: &str, error: &Error, met: Met) -> Result<(), Violation> {
        self.refuse(error.to_string());
        let explained = match error {
            Error::Io { .. } => met.fault,
            Error::Poisoned { .. } => met.doubt,
            // Faults make operations fail; only a flipped bit makes a file bad.
            error if error.is_damage() => self.explains(error),
            _ => self.trouble.lost,
        };
        match explained {
            true => Ok(()),
            false => {
                let what = format!("{who} failed, and nothing explains that: {error}");
                Err(Violation::new("I13", what))
            }
        }
    }

    /// Whether a swap failed so that nobody can tell which file is in charge.
    fn is_lost(&self) -> bool {
        let Some(vbucket) = &self.machines.vbucket else { return false };
        let waker = std::task::Waker::noop().clone();
        let mut request = vbucket.lock().request(Actor::Operator, waker);
        request.poll().is_some_and(|mut guard| guard.store().is_err())
    }

    /// While no machine is at work, only the file in charge and those that readers look at are open.
    pub(super) fn check_handles(&mut self) -> Result<(), Violation> {
        let flusher = self.machines.flusher.as_ref();
        let flushing = flusher.is_some_and(|flusher| flusher.is_flushing());
        if flushing || self.machines.compaction.is_some() || self.operation.is_some() {
            return Ok(());
        }
        self.checks.handles += 1;
        let published = self.machines.vbucket().and_then(|vbucket| vbucket.snapshot()).ok();
        let read = self.readers.values().map(|(snapshot, _)| snapshot);
        let mut used: Vec<&Arc<dyn BlockDevice>> = Vec::new();
        for device in read.chain(&published).map(|read| &read.file().device) {
            if !used.iter().any(|known| Arc::ptr_eq(known, device)) {
                used.push(device);
            }
        }
        let (open, used) = (self.machines.volume.open_handles(), used.len());
        match open > used {
            true => {
                Err(Violation::new("I12", format!("{open} files are open, and {used} are used")))
            }
            false => Ok(()),
        }
    }

    /// A compaction that ends leaves no unfinished file, and none that was told to stop swaps.
    pub(super) fn check_compaction_ended(&mut self) -> Result<(), Violation> {
        let swaps = self.progress().swaps;
        if self.trouble.no_swap_after.take().is_some_and(|before| swaps > before) {
            return Err(Violation::new("I13", "a compaction that was cancelled swapped"));
        }
        let names = self.machines.volume.list().unwrap_or_default();
        let unfinished = names.iter().find(|name| name.ends_with(".compact"));
        match unfinished.filter(|_| !self.trouble.not_removed) {
            Some(name) => Err(Violation::new("I12", format!("{name} is left"))),
            None => Ok(()),
        }
    }

    /// Faults are gone, everything comes to its end, and it is checked that this is a good one.
    pub(super) fn end(&mut self) -> Result<(), Violation> {
        self.heal();
        self.settle()?;
        if self.trouble.lost {
            self.die()?;
        }
        for name in self.readers.keys().cloned().collect::<Vec<_>>() {
            self.close(&name)?;
        }
        if self.machines.vbucket.is_some() {
            self.trouble.error = None;
            self.carry_out(&Action::Flush(Vec::new()))?;
            let flushing = self.trouble.error.take();
            self.compact(Compact::default(), Until::End)?;
            self.settle()?;
            // What met damage failed for good.
            let failed = flushing.is_some() || self.trouble.error.is_some();
            self.trouble.error = self.trouble.error.take().or(flushing);
            if !(failed && self.is_damaged()) {
                self.check_ended()?;
            }
        }
        self.crash(&Survivors::Nothing)
    }

    fn check_ended(&mut self) -> Result<(), Violation> {
        if let Some(error) = &self.trouble.error {
            return Err(Violation::new("I13", format!("with no fault left: {error}")));
        }
        let durable = self.machines.dirty.persisted_seq();
        let queued = self.machines.dirty.with_queue(|queue| queue.high_seq());
        if durable < queued {
            let what = format!("with no fault left, {durable} is durable, {queued} was queued");
            return Err(Violation::new("I13", what));
        }
        let Some(vbucket) = &self.machines.vbucket else { return Ok(()) };
        let names = self.machines.volume.list().unwrap_or_default();
        let expected = [file_name(VBUCKET, vbucket.revision())];
        // What could not be removed waits for the next opening.
        match names == expected || self.trouble.not_removed {
            true => Ok(()),
            false => Err(Violation::new("I12", format!("{names:?} are left, not {expected:?}"))),
        }
    }
}
