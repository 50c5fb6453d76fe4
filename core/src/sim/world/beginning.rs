//! Worlds that begin with a file: one that somebody brought, where others begin with an empty disk.

use super::action::Action;
use super::settings::Settings;
use super::{Failure, World};
use crate::device::{Access, Volume as _};
use crate::event::FileName;
use crate::format::names::file_name;
use crate::sim::contents::Contents;
use crate::sim::disk::Image;
use crate::sim::invariants::{Violation, check_recovery};
use crate::sim::machines::VBUCKET;
use crate::sim::volume::CrashVolume;
use crate::store::{OpenMode, at_or_before_seq, find_newest};

/// Revision of the file that a world begins with.
const REVISION: u64 = 1;

impl World {
    /// A world whose vbucket has this file, durably, and in which a process has just opened it. What
    /// should be there is what the file holds now.
    ///
    /// # Errors
    /// The file is not sound throughout, or no vbucket's.
    pub fn on_file(settings: Settings, file: &[u8]) -> Result<Self, Violation> {
        World::on_image(settings, Image::of_file(&file_name(VBUCKET, REVISION), file))
    }

    fn on_image(settings: Settings, image: Image) -> Result<Self, Violation> {
        let volume = || CrashVolume::after_crash(&image, settings.disk);
        let (recovered, _) = check_recovery(&volume(), VBUCKET, settings.commits)?;
        let mut world = World::new(settings);
        world.beginning = Some(image.clone());
        world.begin_anew(volume(), recovered, Vec::new(), None)?;
        Ok(world)
    }

    /// Another world that began as this one did, and was given these actions.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub fn again(&self, actions: &[Action]) -> Result<Self, Box<Failure>> {
        let begun = match &self.beginning {
            Some(image) => World::on_image(self.settings, image.clone()),
            None => Ok(World::new(self.settings)),
        };
        let failed = |violation| Box::new(Failure { violation, action: 0, events: Vec::new() });
        let mut world = begun.map_err(failed)?;
        actions.iter().try_for_each(|action| world.act(action))?;
        Ok(world)
    }

    /// What the header stands for that a rollback leads to, if it was there from the beginning: nobody
    /// saw how it came to be, so it is known from the file alone.
    pub(super) fn learn_rollback(&self, seq: u64) {
        if self.beginning.is_none() {
            return;
        }
        let Ok(published) = self.machines.vbucket().and_then(|vbucket| vbucket.snapshot()) else {
            return;
        };
        // Past the faults: nobody of this world reads here.
        let name = FileName::clone(&published.file().name);
        let Ok(device) = self.machines.volume.open(&name, Access::Read) else { return };
        let newest = find_newest(&name, device, OpenMode::Recovery).map(|(newest, _)| newest);
        let older = newest.and_then(|newest| at_or_before_seq(newest, seq));
        if let Ok(Some(older)) = older
            && let Ok(contents) = Contents::read(&older)
        {
            self.machines.witness.learn(&name, older.position(), contents);
        }
    }
}
