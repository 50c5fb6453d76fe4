//! Deciding when a vbucket is compacted without being asked to.

use super::compactors::Request;
use super::shared::{Member, Shared, Stage};

/// Asks for a compaction of a vbucket if its file has become large and fragmented enough.
pub(super) fn compact_if_fragmented(shared: &Shared, member: &Member) {
    if !is_due(shared, member) {
        return;
    }
    let vbucket = member.vbucket.id();
    let mut state = shared.state();
    let waiting = state.to_compact.iter().any(|request| request.vbucket == vbucket);
    if state.stage == Stage::Running && !waiting {
        let request = Request::automatic(vbucket, shared.options.compaction.clone());
        state.to_compact.push_back(request);
        shared.work.notify_all();
    }
}

/// Whether a vbucket is to be compacted without being asked to. A compactor asks once more: the
/// request may have been made just before another compaction of the vbucket began.
pub(super) fn is_due(shared: &Shared, member: &Member) -> bool {
    let Some(automatic) = shared.options.automatic else { return false };
    let Ok(snapshot) = member.vbucket.snapshot() else { return false };
    let vbucket = member.vbucket.id();
    let put_off = |length| {
        let state = shared.state();
        state.members.get(&vbucket).is_none_or(|entry| length < entry.compact_from)
    };
    !member.vbucket.is_compacting()
        && snapshot.end() >= automatic.minimum_size
        // A file whose length cannot be read is not compacted now; its flushes will tell why.
        && snapshot.fragmentation().is_ok_and(|part| part >= automatic.fragmentation)
        && !put_off(snapshot.end())
}

/// After a compaction that failed: it would fail again at once, and at every flush.
pub(super) fn put_off(shared: &Shared, vbucket: u16) {
    if let Some(entry) = shared.state().members.get_mut(&vbucket) {
        let length = entry.member.vbucket.snapshot().map_or(0, |snapshot| snapshot.end());
        entry.compact_from = length + length / 4;
    }
}

/// A flush found the disk full: what running compactions have written so far goes, so that the flush
/// can be tried again with more room. It matters more than they do.
pub(super) fn make_room(shared: &Shared) {
    let state = shared.state();
    let members: Vec<_> = state.members.values().map(|entry| entry.member.clone()).collect();
    drop(state);
    for member in members.iter().filter(|member| member.vbucket.is_compacting()) {
        member.vbucket.cancel_compaction();
        put_off(shared, member.vbucket.id());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{AutomaticCompaction, Engine, EngineOptions};
    use super::*;
    use crate::compaction::CompactionOptions;
    use crate::device::{MemoryVolume, SystemHost};

    #[test]
    fn a_request_that_another_compaction_made_pointless_is_dropped() {
        let automatic = AutomaticCompaction { fragmentation: 1.0, minimum_size: 0 };
        let options = EngineOptions { automatic: Some(automatic), ..EngineOptions::default() };
        let host = Arc::new(SystemHost::new().unwrap());
        let engine = Engine::open(Arc::new(MemoryVolume::new()), host, options).unwrap();
        engine.create(0).unwrap();
        engine.create(1).unwrap();
        let stale = Request::automatic(0, CompactionOptions::default());
        engine.shared.state().to_compact.push_back(stale);
        // The one compactor takes its turn with the stale one first.
        engine.compact(1, CompactionOptions::default()).unwrap().wait().unwrap();
        assert_eq!(engine.metrics().compactions, 1);
        engine.shutdown().unwrap();
    }
}
