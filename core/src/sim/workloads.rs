//! Small runs of one vbucket, short enough to be crashed in every way.

use super::crash::Recording;
use super::disk::DiskRules;
use super::machines::Machines;
use crate::error::Result;
use crate::store::{Budget, CommitStyle, Step};

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
    pub fn record(self, rules: DiskRules, commits: CommitStyle) -> Result<Recording> {
        let mut machines = Machines::new(rules).committing(commits);
        machines.volume.record();
        match self {
            Workload::Creation => machines.create()?,
            Workload::Flushes => flushes(&mut machines)?,
            Workload::DeletesAndLocals => deletes_and_locals(&mut machines)?,
            Workload::Compaction => compaction(&mut machines)?,
            Workload::CompactionWithTail => compaction_with_tail(&mut machines)?,
            Workload::CompactionWithLastTail => compaction_with_last_tail(&mut machines)?,
            Workload::Rollback => rollback(&mut machines)?,
            Workload::DeleteAndCreate => delete_and_create(&mut machines)?,
            Workload::FailedSync(nth) => failed_sync(&mut machines, nth)?,
        }
        Ok(Recording::of(format!("{self:?}"), &machines))
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

fn flushes(machines: &mut Machines) -> Result<()> {
    machines.create()?;
    // Around the size of a block, nothing at all, and flushes that leave few bytes of a block unused.
    for (round, size) in (0..)
        .zip([1350, 4087, 0, 1400, 2100, 300, 1300, 1500, 1550, 1600, 1450, 1650, 1520, 1380, 1480])
    {
        for key in 0..3.min(4500 / size.max(1) + 1) {
            let value = value(round * 10 + key as u64, size);
            machines.push(&format!("k{}", (round as usize + key * 2) % 5), Some(value))?;
        }
        machines.flush()?;
    }
    Ok(())
}

fn deletes_and_locals(machines: &mut Machines) -> Result<()> {
    machines.create()?;
    for key in ["a", "b", "c", "d"] {
        machines.push(key, Some(value(1, 1000)))?;
    }
    machines.flush()?;
    machines.save_locals(&[("_local/one", Some("1")), ("_local/two", Some("2"))])?;
    machines.push("a", None)?;
    machines.push("b", Some(value(2, 3300)))?;
    machines.flush()?;
    machines.save_locals(&[("_local/one", None), ("_local/three", Some("3"))])?;
    machines.push("a", Some(value(3, 3000)))?;
    machines.push("c", None)?;
    machines.flush()?;
    machines.push("c", None)?;
    machines.flush()?;
    machines.save_locals(&[("_local/one", Some("again"))])?;
    Ok(())
}

/// A few documents, tombstones among them.
fn fill(machines: &mut Machines) -> Result<()> {
    machines.create()?;
    for key in 0..6 {
        machines.push(&format!("k{key}"), Some(value(key, 250 * key as usize)))?;
    }
    machines.flush()?;
    machines.push("k1", None)?;
    machines.push("k2", None)?;
    machines.flush()?;
    machines.save_locals(&[("_local/kept", Some("yes"))])?;
    machines.push("k3", Some(value(33, 2900)))?;
    machines.flush()?;
    machines.push("k5", None)?;
    machines.flush()
}

fn compaction(machines: &mut Machines) -> Result<()> {
    fill(machines)?;
    // The tombstone with the highest sequence number stays.
    machines.begin_compaction(u64::MAX, 0)?;
    machines.finish_compaction()?;
    machines.push("k1", Some(value(9, 3000)))?;
    machines.flush()?;
    machines.begin_compaction(0, 0)?;
    machines.finish_compaction()
}

fn compaction_with_tail(machines: &mut Machines) -> Result<()> {
    fill(machines)?;
    // No stall at all is allowed for: catch-up goes on as long as something is written.
    machines.begin_compaction(7, 0)?;
    let mut step = 0;
    while machines.compaction.is_some() {
        compact_a_little(machines)?;
        step += 1;
        match step {
            2 => {
                machines.push("k2", Some(value(20, 2500)))?;
                machines.flush()?;
            }
            6 => {
                machines.push("k0", None)?;
                machines.push("new", Some(value(21, 2600)))?;
                machines.flush()?;
            }
            _ if step % 9 == 0 && step < 60 => {
                machines.push(&format!("tail{step}"), Some(value(step, 1700)))?;
                machines.push("k4", Some(value(step, 10)).filter(|_| step % 2 == 0))?;
                machines.flush()?;
            }
            _ if step % 13 == 0 && step < 60 => {
                let value = step.to_string();
                machines.save_locals(&[("_local/kept", None), ("_local/tail", Some(&value))])?;
            }
            _ => {}
        }
    }
    machines.push("after", Some(value(99, 3000)))?;
    machines.flush()
}

fn compaction_with_last_tail(machines: &mut Machines) -> Result<()> {
    fill(machines)?;
    machines.begin_compaction(7, u64::MAX)?;
    compact_a_little(machines)?;
    machines.push("k0", None)?;
    machines.push("k2", Some(value(30, 1000)))?;
    machines.flush()?;
    // The first round is measured: what comes now is short enough to be done under the lock. The
    // flusher asks for that first.
    while machines.compaction.as_ref().is_some_and(|compaction| compaction.stats().replayed == 0) {
        compact_a_little(machines)?;
    }
    machines.push("k0", Some(value(31, 2000)))?;
    machines.push("k4", None)?;
    let _ = machines.step_flusher(LITTLE)?;
    let _ = machines.step_flusher(LITTLE)?;
    for _ in 0..4 {
        compact_a_little(machines)?;
    }
    machines.flush()?;
    machines.finish_compaction()?;
    machines.push("after", Some(value(32, 2500)))?;
    machines.flush()
}

fn rollback(machines: &mut Machines) -> Result<()> {
    fill(machines)?;
    let to_middle = machines.begin_rollback(8)?;
    machines.finish_operation(to_middle)?;
    machines.push("k1", Some(value(5, 3000)))?;
    machines.flush()?;
    let back_to_start = machines.begin_rollback(0)?;
    machines.finish_operation(back_to_start)?;
    machines.push("fresh", Some(value(6, 2500)))?;
    machines.flush()?;
    machines.begin_compaction(0, 0)?;
    machines.finish_compaction()?;
    machines.push("more", Some(value(7, 600)))?;
    machines.flush()?;
    // Before the compaction's copy there is nothing to go back to.
    let to_nothing = machines.begin_rollback(0)?;
    machines.finish_operation(to_nothing)?;
    machines.push("last", Some(value(8, 2900)))?;
    machines.flush()
}

fn compact_a_little(machines: &mut Machines) -> Result<()> {
    machines.step_compaction(LITTLE).map(|_| ())
}

fn delete_and_create(machines: &mut Machines) -> Result<()> {
    fill(machines)?;
    machines.begin_compaction(0, 0)?;
    compact_a_little(machines)?;
    compact_a_little(machines)?;
    let delete = machines.begin_delete()?;
    machines.finish_operation(delete)?;
    machines.compaction = None;
    machines.create()?;
    machines.push("second", Some(value(1, 100)))?;
    machines.flush()?;
    // Deleted while the old file's name may still be there.
    let before = machines.vbucket()?.revision();
    machines.begin_compaction(0, 0)?;
    while machines.vbucket()?.revision() == before {
        compact_a_little(machines)?;
    }
    let delete = machines.begin_delete()?;
    machines.finish_operation(delete)?;
    while machines.step_compaction(Budget::UNBOUNDED)? != Step::Done {}
    machines.create()?;
    machines.push("third", Some(value(2, 3000)))?;
    machines.flush()
}

fn failed_sync(machines: &mut Machines, nth: u64) -> Result<()> {
    machines.create()?;
    machines.push("a", Some(value(1, 300)))?;
    machines.flush()?;
    machines.volume.fail_sync(nth);
    for round in 0..3 {
        machines.push("a", Some(value(10 + round, 1500)))?;
        machines.push(&format!("b{round}"), Some(value(20 + round, 1400)))?;
        // A flush that fails queues again what it was for; a second one follows, which is longer.
        if machines.flush().is_err() {
            machines.push("c", Some(value(30 + round, 100)))?;
            for _ in 0..5 {
                if machines.flush().is_ok() {
                    break;
                }
            }
        }
    }
    Ok(())
}
