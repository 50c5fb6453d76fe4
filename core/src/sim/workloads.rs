//! Small runs of one vbucket, short enough to be crashed in every way.

use super::crash::Recording;
use super::disk::DiskRules;
use super::world::World;
use crate::error::Result;
use crate::store::{Budget, Step};

/// A step that does little, so that much can come in between.
const LITTLE: Budget = Budget { bytes: 2000, entries: 2 };

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A vbucket comes into being.
    Creation,
    /// Flushes that add and replace documents.
    Flushes,
    /// Flushes that delete and undelete, with local documents that come and go.
    DeletesAndLocals,
    /// A compaction that purges, nothing being written meanwhile.
    Compaction,
    /// A compaction with several rounds of catch-up, and flushes, deletions and local documents
    /// before, between and after them.
    CompactionWithTail,
    /// A compaction with a last tail to replay under the lock.
    CompactionWithLastTail,
    /// Rollbacks: to the middle, to where there is nothing, and behind a compaction.
    Rollback,
    /// Deletion, also in the middle of a compaction and right after a swap, and creation again.
    DeleteAndCreate,
    /// The `n`th sync of a file, counted from 1, fails and loses what it was for; flushes go on.
    FailedSync(u64),
}

impl Workload {
    /// All of them.
    pub fn all() -> Vec<Workload> {
        let mut all = vec![
            Workload::Creation,
            Workload::Flushes,
            Workload::DeletesAndLocals,
            Workload::Compaction,
            Workload::CompactionWithTail,
            Workload::CompactionWithLastTail,
            Workload::Rollback,
            Workload::DeleteAndCreate,
        ];
        all.extend((1..=7).map(Workload::FailedSync));
        all
    }

    /// Runs it, recording the disk after every operation.
    ///
    /// # Errors
    /// Whatever fails that should not.
    pub fn record(self, rules: DiskRules) -> Result<Recording> {
        let mut world = World::new(rules);
        world.volume.record();
        match self {
            Workload::Creation => world.create()?,
            Workload::Flushes => flushes(&mut world)?,
            Workload::DeletesAndLocals => deletes_and_locals(&mut world)?,
            Workload::Compaction => compaction(&mut world)?,
            Workload::CompactionWithTail => compaction_with_tail(&mut world)?,
            Workload::CompactionWithLastTail => compaction_with_last_tail(&mut world)?,
            Workload::Rollback => rollback(&mut world)?,
            Workload::DeleteAndCreate => delete_and_create(&mut world)?,
            Workload::FailedSync(nth) => failed_sync(&mut world, nth)?,
        }
        Ok(Recording::of(format!("{self:?}"), &world))
    }
}

/// A value that does not compress, the same for the same arguments.
pub fn value(tag: u64, length: usize) -> Vec<u8> {
    let mut state = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn flushes(world: &mut World) -> Result<()> {
    world.create()?;
    // Around the size of a block, nothing at all, and flushes that leave few bytes of a block unused.
    for (round, size) in (0..)
        .zip([1350, 4087, 0, 1400, 2100, 300, 1300, 1500, 1550, 1600, 1450, 1650, 1520, 1380, 1480])
    {
        for key in 0..3.min(4500 / size.max(1) + 1) {
            let value = value(round * 10 + key as u64, size);
            world.push(&format!("k{}", (round as usize + key * 2) % 5), Some(value))?;
        }
        world.flush()?;
    }
    Ok(())
}

fn deletes_and_locals(world: &mut World) -> Result<()> {
    world.create()?;
    for key in ["a", "b", "c", "d"] {
        world.push(key, Some(value(1, 1000)))?;
    }
    world.flush()?;
    world.save_locals(&[("_local/one", Some("1")), ("_local/two", Some("2"))])?;
    world.push("a", None)?;
    world.push("b", Some(value(2, 3300)))?;
    world.flush()?;
    world.save_locals(&[("_local/one", None), ("_local/three", Some("3"))])?;
    world.push("a", Some(value(3, 3000)))?;
    world.push("c", None)?;
    world.flush()?;
    world.push("c", None)?;
    world.flush()?;
    world.save_locals(&[("_local/one", Some("again"))])?;
    Ok(())
}

/// A few documents, tombstones among them.
fn fill(world: &mut World) -> Result<()> {
    world.create()?;
    for key in 0..6 {
        world.push(&format!("k{key}"), Some(value(key, 250 * key as usize)))?;
    }
    world.flush()?;
    world.push("k1", None)?;
    world.push("k2", None)?;
    world.flush()?;
    world.save_locals(&[("_local/kept", Some("yes"))])?;
    world.push("k3", Some(value(33, 2900)))?;
    world.flush()?;
    world.push("k5", None)?;
    world.flush()
}

fn compaction(world: &mut World) -> Result<()> {
    fill(world)?;
    // The tombstone with the highest sequence number stays.
    world.begin_compaction(u64::MAX, 0)?;
    world.finish_compaction()?;
    world.push("k1", Some(value(9, 3000)))?;
    world.flush()?;
    world.begin_compaction(0, 0)?;
    world.finish_compaction()
}

fn compaction_with_tail(world: &mut World) -> Result<()> {
    fill(world)?;
    // No stall at all is allowed for: catch-up goes on as long as something is written.
    world.begin_compaction(7, 0)?;
    let mut step = 0;
    while world.compaction.is_some() {
        compact_a_little(world)?;
        step += 1;
        match step {
            2 => {
                world.push("k2", Some(value(20, 2500)))?;
                world.flush()?;
            }
            6 => {
                world.push("k0", None)?;
                world.push("new", Some(value(21, 2600)))?;
                world.flush()?;
            }
            _ if step % 9 == 0 && step < 60 => {
                world.push(&format!("tail{step}"), Some(value(step, 1700)))?;
                world.push("k4", Some(value(step, 10)).filter(|_| step % 2 == 0))?;
                world.flush()?;
            }
            _ if step % 13 == 0 && step < 60 => {
                let value = step.to_string();
                world.save_locals(&[("_local/kept", None), ("_local/tail", Some(&value))])?;
            }
            _ => {}
        }
    }
    world.push("after", Some(value(99, 3000)))?;
    world.flush()
}

fn compaction_with_last_tail(world: &mut World) -> Result<()> {
    fill(world)?;
    world.begin_compaction(7, u64::MAX)?;
    compact_a_little(world)?;
    world.push("k0", None)?;
    world.push("k2", Some(value(30, 1000)))?;
    world.flush()?;
    // The first round is measured: what comes now is short enough to be done under the lock. The
    // flusher asks for that first.
    while world.compaction.as_ref().is_some_and(|compaction| compaction.stats().replayed == 0) {
        compact_a_little(world)?;
    }
    world.push("k0", Some(value(31, 2000)))?;
    world.push("k4", None)?;
    let _ = world.step_flusher(LITTLE)?;
    let _ = world.step_flusher(LITTLE)?;
    for _ in 0..4 {
        compact_a_little(world)?;
    }
    world.flush()?;
    world.finish_compaction()?;
    world.push("after", Some(value(32, 2500)))?;
    world.flush()
}

fn rollback(world: &mut World) -> Result<()> {
    fill(world)?;
    let to_middle = world.begin_rollback(8)?;
    world.finish_operation(to_middle)?;
    world.push("k1", Some(value(5, 3000)))?;
    world.flush()?;
    let back_to_start = world.begin_rollback(0)?;
    world.finish_operation(back_to_start)?;
    world.push("fresh", Some(value(6, 2500)))?;
    world.flush()?;
    world.begin_compaction(0, 0)?;
    world.finish_compaction()?;
    world.push("more", Some(value(7, 600)))?;
    world.flush()?;
    // Before the compaction's copy there is nothing to go back to.
    let to_nothing = world.begin_rollback(0)?;
    world.finish_operation(to_nothing)?;
    world.push("last", Some(value(8, 2900)))?;
    world.flush()
}

fn compact_a_little(world: &mut World) -> Result<()> {
    world.step_compaction(LITTLE).map(|_| ())
}

fn delete_and_create(world: &mut World) -> Result<()> {
    fill(world)?;
    world.begin_compaction(0, 0)?;
    compact_a_little(world)?;
    compact_a_little(world)?;
    let delete = world.begin_delete()?;
    world.finish_operation(delete)?;
    world.compaction = None;
    world.create()?;
    world.push("second", Some(value(1, 100)))?;
    world.flush()?;
    // Deleted while the old file's name may still be there.
    let before = world.vbucket()?.revision();
    world.begin_compaction(0, 0)?;
    while world.vbucket()?.revision() == before {
        compact_a_little(world)?;
    }
    let delete = world.begin_delete()?;
    world.finish_operation(delete)?;
    while world.step_compaction(Budget::UNBOUNDED)? != Step::Done {}
    world.create()?;
    world.push("third", Some(value(2, 3000)))?;
    world.flush()
}

fn failed_sync(world: &mut World, nth: u64) -> Result<()> {
    world.create()?;
    world.push("a", Some(value(1, 300)))?;
    world.flush()?;
    world.volume.fail_sync(nth);
    for round in 0..3 {
        world.push("a", Some(value(10 + round, 1500)))?;
        world.push(&format!("b{round}"), Some(value(20 + round, 1400)))?;
        // A flush that fails queues again what it was for; a second one follows, which is longer.
        if world.flush().is_err() {
            world.push("c", Some(value(30 + round, 100)))?;
            for _ in 0..5 {
                if world.flush().is_ok() {
                    break;
                }
            }
        }
    }
    Ok(())
}
