//! How long writers may be held up by the last tail, and when it is said that it was longer.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use support::world::{World, set, unbounded};
use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::MemoryVolume;
use tailswap::event::{Event, Phase};
use tailswap::store::{Budget, Step};

/// What is aimed at: far more than the replay of a document takes here.
const MAX_STALL_NS: u64 = 1_000_000_000;

fn step_until(world: &World, compaction: &mut Compaction, is: impl Fn(&Event) -> bool) {
    let before = world.recorder.count();
    while !world.recorder.since(before).iter().any(&is) {
        assert_ne!(compaction.step(&mut unbounded()).unwrap(), Step::Done);
    }
}

fn enters(phase: Phase) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::PhaseChanged { phase: entered, .. } if *entered == phase)
}

/// How long a last tail took, if it is said that this was too long, while so much time passed
/// besides what its steps take.
fn missed(besides_ns: u64) -> Option<u64> {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 100]));
    world.flush();
    let options = CompactionOptions { max_stall_ns: MAX_STALL_NS, ..Default::default() };
    let mut compaction = world.compact(options).unwrap();
    step_until(&world, &mut compaction, enters(Phase::CommitCopy));
    // A round without the lock, which tells how fast replaying is.
    world.push(set(1, vec![b'x'; 100]));
    world.flush();
    step_until(&world, &mut compaction, enters(Phase::CatchUp));
    // And a flush that takes the lock before the compaction asks for it.
    world.push(set(2, vec![b'x'; 100]));
    let _ = world.step_flusher(&mut Budget { bytes: 1, entries: 1 }).unwrap();
    step_until(&world, &mut compaction, enters(Phase::WaitForLock));
    world.flush();
    step_until(&world, &mut compaction, enters(Phase::LastTail));
    world.host.advance(besides_ns);
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    world.recorder.since(0).into_iter().find_map(|event| match event {
        Event::StallTargetMissed { nanoseconds, .. } => Some(nanoseconds),
        _ => None,
    })
}

#[test]
fn a_last_tail_that_takes_longer_than_was_wanted_is_told_and_no_other() {
    assert_eq!(missed(0), None);
    let far_beyond = 2 * MAX_STALL_NS;
    let own_ns = missed(far_beyond).unwrap() - far_beyond;
    assert_eq!(missed(MAX_STALL_NS - own_ns), None, "just as long as was wanted");
    assert_eq!(missed(MAX_STALL_NS - own_ns + 1), Some(MAX_STALL_NS + 1));
}
