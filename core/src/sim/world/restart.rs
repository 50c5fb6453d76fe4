//! Crashes, and what comes after: a new process opens what is left, and everything that must hold
//! then is checked.

use std::sync::Arc;

use litemap::LiteMap;

use super::action::Survivors;
use super::damage::{Damaged, NewestCommit};
use super::{Actors, Trouble, World};
use crate::device::Volume as _;
use crate::sim::choice::Choices;
use crate::sim::contents::Contents;
use crate::sim::disk::{Disk, Selection};
use crate::sim::invariants::{Recovered, Violation, check_recovery, check_state};
use crate::sim::machines::{Machines, VBUCKET};
use crate::sim::volume::{CrashVolume, Recorded};
use crate::sim::witness::Witness;
use crate::store::{HeadersBack, Snapshot};

impl World {
    /// Power is lost.
    pub(super) fn crash(&mut self, survivors: &Survivors) -> Result<(), Violation> {
        let disk = self.machines.volume.disk();
        let mut choices = match survivors {
            Survivors::Seed(seed) => Some(Choices::seeded(*seed)),
            _ => None,
        };
        let selection = match (survivors, &mut choices) {
            (_, Some(choices)) => Some(Selection::random(&disk, choices)),
            (Survivors::Chosen(kept), _) => Selection::keeping(&disk, kept),
            (survivors, _) => Some(Selection::all(&disk, *survivors == Survivors::Everything)),
        };
        let Some(selection) = selection else {
            self.refuse(format!("{} changes are not synced", disk.unsynced().len()));
            return Ok(());
        };
        let rules = self.settings.disk;
        let sound = disk.sound_image(&selection);
        let volume = || CrashVolume::after_crash(&sound, rules);
        let (recovered, recovery) = self
            .check_opening(&volume())
            .map_err(|violation| told(violation, &selection, &disk))?;
        // A second crash, while the first is being recovered from (F9).
        let moment = choices.as_mut().filter(|_| !recovery.is_empty()).and_then(|choices| {
            let Recorded { disk, .. } = recovery.get(choices.choose(recovery.len()))?;
            Some((disk, Selection::random(disk, choices)))
        });
        if let Some((disk, selection)) = moment {
            let image = disk.crash_image(&selection);
            let (again, _) = check_recovery(
                &CrashVolume::after_crash(&image, rules),
                VBUCKET,
                self.settings.commits,
            )
            .map_err(|violation| told(violation, &selection, disk))?;
            if again != recovered {
                let what = "after a crash during recovery there is another state";
                return Err(told(Violation::new("I1", what), &selection, disk));
            }
        }
        let volume = volume();
        let image = disk.crash_image(&selection);
        let damaged = self.damage_after_crash(&image, &sound, &volume);
        let newest =
            self.newest_commit(&CrashVolume::after_crash(&sound, rules), recovered.revision);
        self.begin_anew(volume, recovered, damaged, newest)
    }

    /// The process dies, and the machine stays up.
    pub(super) fn die(&mut self) -> Result<(), Violation> {
        let disk = self.machines.volume.disk();
        let sound = || CrashVolume::after_restart(&disk.without_damage());
        let (recovered, _) = self.check_opening(&sound())?;
        let found = recovered.contents.is_some();
        let newest = self.newest_commit(&sound(), recovered.revision);
        let (volume, damaged) = (CrashVolume::after_restart(&disk), self.damaged.clone());
        self.begin_anew(volume, recovered, damaged, newest)?;
        if !found {
            // That a vbucket is gone is not made durable by looking for it (FAULTS.md, not promised).
            let volume = &self.machines.volume;
            volume.complete_syncs();
            if let Ok(ticket) = volume.sync_issue() {
                volume.complete_sync(ticket);
            }
        }
        Ok(())
    }

    fn check_opening(
        &mut self,
        volume: &CrashVolume,
    ) -> Result<(Recovered, Vec<Recorded>), Violation> {
        self.checks.recoveries += 1;
        let (recovered, recovery) = check_recovery(volume, VBUCKET, self.settings.commits)?;
        let at = self.machines.volume.operations();
        check_state(&recovered, &self.machines.witness.history(), at)?;
        let told = self.progress().revision;
        if recovered.contents.is_some() && recovered.revision < told {
            let found = recovered.revision;
            let what = format!("revision {found} is in charge, and {told} was told to be");
            return Err(Violation::new("I9", what));
        }
        Ok((recovered, recovery))
    }

    /// A new process opens the volume, in which this was found when it was not `damaged`, and this
    /// `newest` commit.
    pub(super) fn begin_anew(
        &mut self,
        volume: CrashVolume,
        recovered: Recovered,
        damaged: Vec<Damaged>,
        newest: Option<NewestCommit>,
    ) -> Result<(), Violation> {
        let known = self.machines.witness.known_headers();
        let history = self.machines.witness.history();
        let next_revision = self.machines.next_revision();
        let witness = Witness::new(volume.clone());
        let actors = Actors::default();
        // Nobody hears the old process go.
        self.trace.tell(None);
        self.operation = None;
        self.readers = LiteMap::new();
        self.machines = Machines::on(
            volume,
            self.host.clone(),
            Arc::clone(&witness),
            self.trace.clone(),
            actors.wakers(),
        )
        .committing(self.settings.commits);
        self.actors = actors;
        self.looked_at = None;
        self.unsynced = 0;
        self.trouble = Trouble::default();
        (self.damaged, self.closed) = (damaged, None);
        self.trace.tell(Some(witness.clone()));
        // Before the opening writes over any of it.
        let (is_hidden, before_newest) = self.weigh_damage(newest);
        match self.machines.open(next_revision) {
            Ok(()) => {}
            Err(error) if self.explains(&error) => self.closed = Some(error.to_string()),
            Err(error) => return Err(Violation::new("I1", format!("a second opening: {error}"))),
        }
        match (recovered.contents, self.closed.clone()) {
            (None, None) => {}
            (None, Some(why)) => return Err(Violation::new("I1", why)),
            (Some(contents), Some(why)) => {
                witness.resume(contents, &[], known);
                self.refuse(why);
            }
            (Some(contents), None) => {
                let was = |found: &Contents| {
                    known.values().any(|state| state == found)
                        || history.versions().iter().any(|old| old.contents.as_ref() == Some(found))
                };
                let may_be = |found: &Contents| {
                    before_newest.as_ref() == Some(found) || is_hidden && was(found)
                };
                let contents = match self.damaged.is_empty() {
                    true => contents,
                    false => self.check_damaged(contents, may_be)?,
                };
                let headers = self.headers()?;
                witness.resume(contents, &headers, known);
            }
        }
        self.machines.faults.take_log();
        self.machines.volume.hold_syncs(true);
        Ok(())
    }

    /// File and positions of the headers in the history of the file in charge, oldest first.
    fn headers(&self) -> Result<Vec<(crate::event::FileName, u64)>, Violation> {
        let cannot = |error| Violation::new("I1", format!("its headers: {error}"));
        let snapshot = self.machines.vbucket().and_then(|vbucket| vbucket.snapshot());
        let newest = snapshot.map_err(cannot)?;
        let place = |snapshot: Snapshot| (snapshot.file().name.clone(), snapshot.position());
        let mut headers = Vec::new();
        for header in HeadersBack::from(newest) {
            match header {
                Ok(header) => headers.push(place(header)),
                Err(error) if self.explains(&error) => break,
                Err(error) => return Err(cannot(error)),
            }
        }
        headers.reverse();
        Ok(headers)
    }
}

/// Says with a violation what the crash left.
fn told(mut violation: Violation, selection: &Selection, disk: &Disk) -> Violation {
    violation.what += &format!(" (the crash: {})", selection.describe(disk));
    violation
}

impl Contents {
    /// The value of a document's key in the default collection; `None` when it is not there or
    /// deleted.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let id = crate::format::names::prefixed_id(0, key.as_bytes());
        let document = self.documents.get(id.as_slice()).filter(|document| !document.deleted)?;
        document.body.as_deref()
    }
}
