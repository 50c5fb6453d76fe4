//! Writing to the file in charge, with the vbucket's lock held.

use super::bucket::Charge;
use super::lock::Guard;
use crate::error::Result;
use crate::store::Store;

/// The vbucket's lock, held over a write to the file in charge. Dropped before that is settled, by a
/// host that gives up or by a panic, it leaves going back to whoever writes next.
#[derive(Debug)]
pub(crate) struct Writing {
    guard: Guard<Charge>,
    settled: bool,
}

impl Writing {
    /// A write that begins.
    pub(crate) fn new(guard: Guard<Charge>) -> Self {
        Writing { guard, settled: false }
    }

    /// The file in charge; see [`Charge::store`].
    pub(crate) fn store(&mut self) -> Result<&mut Store> {
        self.guard.store()
    }

    /// Revision of the file in charge.
    pub(crate) fn revision(&self) -> u64 {
        self.guard.revision()
    }

    /// What was written is durable, or going back was tried.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.settled {
            self.guard.abandon_write();
        }
    }
}
