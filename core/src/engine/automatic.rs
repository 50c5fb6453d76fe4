//! Deciding when a vbucket is compacted without being asked to.

use std::sync::Arc;

use super::compactors::Request;
use super::shared::{Member, Shared, Stage};

/// Asks for a compaction of a vbucket if its file has become large and fragmented enough.
pub(super) fn compact_if_fragmented(shared: &Shared, member: &Arc<Member>) {
    let Some(automatic) = shared.options.automatic else { return };
    let Ok(snapshot) = member.vbucket.snapshot() else { return };
    if member.vbucket.is_compacting() || snapshot.end() < automatic.minimum_size {
        return;
    }
    // A file whose length cannot be read is not compacted now; its flushes will tell why.
    let fragmented = snapshot.fragmentation().is_ok_and(|part| part >= automatic.fragmentation);
    if !fragmented {
        return;
    }
    let vbucket = member.vbucket.id();
    let mut state = shared.state();
    let waiting = state.to_compact.iter().any(|request| request.vbucket == vbucket);
    let due = state.members.get(&vbucket).is_some_and(|m| snapshot.end() >= m.compact_from);
    if state.stage == Stage::Running && due && !waiting {
        let request = Request::automatic(vbucket, shared.options.compaction.clone());
        state.to_compact.push_back(request);
        shared.work.notify_all();
    }
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
