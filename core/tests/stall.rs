//! How rounds of catch-up follow on one another until the lock is asked for, how long the last tail
//! may hold writers up, and when it is said that it was longer.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::world::{World, set, unbounded};
use tailswap::btree::{Descent, VisitSource};
use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::MemoryVolume;
use tailswap::engine::ThreadedVisits;
use tailswap::event::{Actor, Event, Phase};
use tailswap::store::{Budget, Step};

/// What is aimed at: far more than the replay of a document takes here.
const MAX_STALL_NS: u64 = 1_000_000_000;

/// A compaction that is about to commit its copy, of one document.
fn copied() -> (World, Compaction) {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 100]));
    world.flush();
    let options = CompactionOptions { max_stall_ns: MAX_STALL_NS, ..Default::default() };
    let mut compaction = world.compact(options).unwrap();
    step_until(&world, &mut compaction, enters(Phase::CommitCopy));
    (world, compaction)
}

fn flush_one(world: &mut World, key: u64) {
    world.push(set(key, vec![b'x'; 100]));
    world.flush();
}

/// Takes the vbucket's lock for a flush, which goes on with the next step of the flusher.
fn begin_flush(world: &mut World) {
    while world.vbucket.lock().holder() != Some(Actor::Flusher) {
        world.wait_for_pace();
        assert_ne!(world.step_flusher(&mut Budget { bytes: 1, entries: 1 }).unwrap(), Step::Done);
    }
}

fn step_until(world: &World, compaction: &mut Compaction, is: impl Fn(&Event) -> bool) {
    let before = world.recorder.count();
    while !world.recorder.since(before).iter().any(&is) {
        assert_ne!(compaction.step(&mut unbounded()).unwrap(), Step::Done);
    }
}

fn enters(phase: Phase) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::PhaseChanged { phase: entered, .. } if *entered == phase)
}

fn begins_round(event: &Event) -> bool {
    matches!(event, Event::RoundStarted { .. })
}

fn ends_round(event: &Event) -> bool {
    matches!(event, Event::RoundFinished { .. })
}

/// Number, tail and whether it is under the lock, for each round.
fn rounds(world: &World) -> Vec<(u32, u64, bool)> {
    let events = world.recorder.since(0).into_iter();
    let round = |event| match event {
        Event::RoundStarted { round, tail, locked, .. } => Some((round, tail, locked)),
        _ => None,
    };
    events.filter_map(round).collect()
}

/// How long a last tail took, if it is said that this was too long, while so much time passed
/// besides what its steps take.
fn missed(besides_ns: u64) -> Option<u64> {
    let (mut world, mut compaction) = copied();
    // A round without the lock, which tells how fast replaying is.
    flush_one(&mut world, 1);
    step_until(&world, &mut compaction, enters(Phase::CatchUp));
    // And a flush that takes the lock before the compaction asks for it.
    world.push(set(2, vec![b'x'; 100]));
    begin_flush(&mut world);
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

/// A first round whose replay took so long, after which there is as much to replay again.
fn first_round(replay_ns: u64) -> (World, Compaction) {
    let (mut world, mut compaction) = copied();
    flush_one(&mut world, 1);
    step_until(&world, &mut compaction, begins_round);
    world.host.advance(replay_ns);
    step_until(&world, &mut compaction, ends_round);
    flush_one(&mut world, 2);
    (world, compaction)
}

#[test]
fn the_lock_is_asked_for_once_the_tail_takes_half_of_the_stall_at_most() {
    let asks = |event: &Event| enters(Phase::WaitForLock)(event) || begins_round(event);
    let (world, mut compaction) = first_round(MAX_STALL_NS * 3 / 8);
    step_until(&world, &mut compaction, asks);
    assert_eq!(rounds(&world).len(), 1, "the lock, and no other round");
    let (world, mut compaction) = first_round(MAX_STALL_NS * 3 / 4);
    step_until(&world, &mut compaction, asks);
    assert_eq!(rounds(&world).len(), 2, "another round");
}

#[test]
fn a_long_flush_that_slips_in_before_the_lock_is_granted_is_replayed_without_it() {
    let (mut world, mut compaction) = first_round(MAX_STALL_NS * 3 / 8);
    for key in 3..103 {
        world.push(set(key, vec![b'x'; 1000]));
    }
    begin_flush(&mut world);
    step_until(&world, &mut compaction, enters(Phase::WaitForLock));
    world.flush();
    step_until(&world, &mut compaction, begins_round);
    assert!(matches!(rounds(&world)[..], [(1, _, false), (2, _, false)]), "{:?}", rounds(&world));
    assert_eq!(world.vbucket.lock().holder(), None);
}

#[test]
fn nobody_is_slowed_down_where_the_tails_shrink_fast_enough() {
    let (mut world, mut compaction) = copied();
    for (round, documents) in (1..).zip([600, 300, 150, 75_u64]) {
        for key in 0..documents {
            world.push(set(key, vec![b'x'; 1000]));
        }
        world.flush();
        step_until(&world, &mut compaction, begins_round);
        assert_eq!(world.vbucket.pace(), None, "round {round}");
        // Of the shortest, too, the replay takes longer than anybody may wait.
        world.host.advance(documents * MAX_STALL_NS / 50);
        step_until(&world, &mut compaction, ends_round);
    }
    assert_eq!(rounds(&world).len(), 4);
}

#[test]
fn a_flusher_that_was_slowed_down_stays_so_though_the_tails_shrink_then() {
    let (mut world, mut compaction) = copied();
    for (round, documents) in (1..).zip([75, 75, 75, 20, 5_u64]) {
        for key in 0..documents {
            world.push(set(key, vec![b'x'; 1000]));
        }
        world.flush();
        step_until(&world, &mut compaction, begins_round);
        assert_eq!(world.vbucket.pace().is_some(), round >= 3, "round {round}");
        world.host.advance(documents * MAX_STALL_NS / 3);
        step_until(&world, &mut compaction, ends_round);
    }
}

#[test]
fn only_under_the_lock_are_nodes_read_by_whom_the_host_has_for_it() {
    static READS: AtomicU32 = AtomicU32::new(0);
    fn counted(descent: Descent) -> Box<dyn VisitSource> {
        READS.fetch_add(1, Ordering::SeqCst);
        Box::new(descent)
    }
    let reads = || READS.load(Ordering::SeqCst);
    let (mut world, mut compaction) = copied();
    compaction.read_last_tail_with(counted);
    flush_one(&mut world, 1);
    step_until(&world, &mut compaction, ends_round);
    flush_one(&mut world, 2);
    step_until(&world, &mut compaction, enters(Phase::WaitForLock));
    assert_eq!(reads(), 0, "a round without the lock");
    step_until(&world, &mut compaction, ends_round);
    let under_lock = reads();
    assert!(under_lock > 0, "the last tail");
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    flush_one(&mut world, 3);
    assert_eq!(reads(), under_lock, "a flush into the new file");
}

#[test]
fn a_long_last_tail_whose_nodes_a_thread_reads_ends_with_all_documents() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    let fill = |world: &mut World, from: u64| {
        (from..from + 2000).for_each(|key| world.push(set(key, vec![b'x'; 30])));
        world.flush();
    };
    fill(&mut world, 0);
    let options = CompactionOptions { max_stall_ns: u64::MAX, ..Default::default() };
    let mut compaction = world.compact(options).unwrap();
    compaction.read_last_tail_with(ThreadedVisits::join);
    step_until(&world, &mut compaction, enters(Phase::CommitCopy));
    flush_one(&mut world, 1);
    step_until(&world, &mut compaction, ends_round);
    // Enough that a thread is worth it.
    fill(&mut world, 1000);
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    assert!(matches!(rounds(&world)[..], [(1, _, false), (2, _, true)]), "{:?}", rounds(&world));
    world.swapped(&Default::default(), 0);
    world.assert_published("after a long last tail");
}

#[test]
fn after_ten_rounds_the_lock_is_taken_however_long_the_tail_is() {
    let (mut world, mut compaction) = copied();
    let mut ends = vec![world.vbucket.snapshot().unwrap().end()];
    flush_one(&mut world, 1);
    for round in 1..=10 {
        ends.push(world.vbucket.snapshot().unwrap().end());
        step_until(&world, &mut compaction, begins_round);
        assert_eq!(world.vbucket.pace().is_some(), round >= 3, "round {round}");
        world.host.advance(MAX_STALL_NS);
        step_until(&world, &mut compaction, ends_round);
        flush_one(&mut world, 1 + round);
    }
    // With this flush, the tail is longer still when the lock is granted.
    world.push(set(12, vec![b'x'; 100]));
    begin_flush(&mut world);
    step_until(&world, &mut compaction, enters(Phase::WaitForLock));
    world.flush();
    ends.push(world.vbucket.snapshot().unwrap().end());
    step_until(&world, &mut compaction, begins_round);
    assert!(world.vbucket.pace().is_some());
    while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
    let grown = ends.windows(2).map(|pair| pair[1] - pair[0]);
    let expected: Vec<_> =
        (1..).zip(grown).map(|(round, tail)| (round, tail, round == 11)).collect();
    assert_eq!(rounds(&world), expected);
    assert_eq!(compaction.stats().rounds, 10);
    let phases = world.recorder.since(0).into_iter().filter(|event| enters(Phase::CatchUp)(event));
    assert_eq!(phases.count(), 1, "catching up is entered once");
    world.swapped(&Default::default(), 0);
    world.assert_published("after ten rounds");
}
