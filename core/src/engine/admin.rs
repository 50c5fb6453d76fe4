//! What an operator does to vbuckets: creation, deletion, rollback. One at a time.

use super::handle::Engine;
use super::shared::no_such;
use super::waking::Alarm;
use crate::error::{Error, Result};
use crate::event::FileName;
use crate::format::names::file_name;
use crate::store::{Budget, Step};
use crate::vbucket::{Delete, Rollback, VBucket};

/// How long an operation that waits for the lock sleeps before it looks again by itself.
const LOCK_WAIT_NS: u64 = 1_000_000_000;

impl Engine {
    /// Creates a vbucket.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is one of that number.
    pub fn create(&self, vbucket: u16) -> Result<()> {
        let shared = &self.shared;
        let _one_at_a_time = shared.admin.lock();
        let revision = shared.state().next_revisions.get(&vbucket).copied().unwrap_or(1);
        if shared.member(vbucket).is_ok() {
            return Err(Error::Exists { file: FileName::from(file_name(vbucket, revision)) });
        }
        let (volume, host, events) =
            (shared.volume.clone(), shared.host.clone(), shared.events.clone());
        let commits = shared.options.commit_style;
        shared.add(VBucket::create(volume, host, vbucket, revision, commits, events)?)
    }

    /// Deletes a vbucket with its files, and whatever is queued for it. Snapshots stay readable. A
    /// running compaction is cancelled, not waited for.
    ///
    /// # Errors
    /// Those of the volume. The vbucket is gone from the engine even so.
    pub fn delete(&self, vbucket: u16) -> Result<()> {
        let shared = &self.shared;
        let _one_at_a_time = shared.admin.lock();
        let mut state = shared.state();
        let entry = state.members.remove(&vbucket).ok_or_else(|| no_such(vbucket))?;
        state.to_compact.retain(|request| request.vbucket != vbucket);
        drop(state);
        shared.changed.notify_all();
        let bucket = &entry.member.vbucket;
        let (alarm, waker) = Alarm::new();
        let mut delete = Delete::new(bucket, waker);
        let result = drive(&alarm, || delete.step(&mut Budget::UNBOUNDED.clone()));
        shared.state().next_revisions.insert(vbucket, bucket.revision() + 2);
        result
    }

    /// Takes a vbucket back to the newest committed state whose highest sequence number is `seq` or
    /// below, and returns that number: 0, the vbucket being empty, when there is none, as after a
    /// compaction, which leaves older states behind. What is queued is dropped, a running compaction cancelled.
    ///
    /// # Errors
    /// Those of the device; the vbucket is then where it was.
    pub fn rollback(&self, vbucket: u16, seq: u64) -> Result<u64> {
        let shared = &self.shared;
        let _one_at_a_time = shared.admin.lock();
        let member = shared.member(vbucket)?;
        let (alarm, waker) = Alarm::new();
        let mut rollback = Rollback::new(&member.vbucket, seq, waker);
        drive(&alarm, || rollback.step(&mut Budget::UNBOUNDED.clone()))?;
        let seq = rollback.finish(|snapshot| {
            let seq = snapshot.header().update_seq;
            // With the state locked: what is queued from now on belongs to the new history.
            let mut state = shared.state();
            member.dirty.reset(seq);
            let history = state.new_history();
            if let Some(entry) = state.members.get_mut(&vbucket) {
                entry.history = history;
            }
            seq
        })?;
        shared.changed.notify_all();
        Ok(seq)
    }
}

fn drive(alarm: &Alarm, mut step: impl FnMut() -> Result<Step>) -> Result<()> {
    loop {
        match step()? {
            Step::Done => return Ok(()),
            Step::Progress => {}
            Step::Blocked => alarm.sleep(LOCK_WAIT_NS),
        }
    }
}
