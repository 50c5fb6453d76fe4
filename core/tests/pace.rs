//! How a flusher keeps to the pace that a compaction asks for: by when flushes begin.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use support::world::{World, set, unbounded};
use tailswap::device::{Host, MemoryVolume};
use tailswap::store::Step;
use tailswap::vbucket::Pace;

const MILLISECOND: u64 = 1_000_000;
/// A flush of one document appends a block or two, which at this pace take 4 to 8 ms.
const PACE: Pace =
    Pace { bytes_per_second: 1 << 20, batch_mutations: 1000, wait_max_ns: 20 * MILLISECOND };

/// A vbucket whose flusher is to keep to [`PACE`].
fn paced() -> World {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    world.push(set(0, vec![b'x'; 100]));
    world.flush();
    world.vbucket.set_pace(Some(PACE));
    world
}

/// Flushes a document at once if the pace allows it. How long it had to wait, in nanoseconds, and how long
/// what it appended takes at the pace.
fn flush(world: &mut World, key: u64) -> (u64, u64) {
    let end = world.vbucket.snapshot().unwrap().end();
    let now = world.host.now_ns();
    let waits = world.flusher.paced_until_ns().map_or(0, |until| until - now);
    world.push(set(key, vec![b'x'; 100]));
    world.flush();
    let appended = world.vbucket.snapshot().unwrap().end() - end;
    (waits, appended * 1_000_000_000 / PACE.bytes_per_second)
}

#[test]
fn a_writer_that_stays_below_the_pace_on_the_whole_waits_for_nothing() {
    let mut world = paced();
    for burst in 0..20 {
        for key in 0..3 {
            let (waits, takes) = flush(&mut world, 1 + 3 * burst + key);
            assert_eq!(waits, 0, "burst {burst}, flush {key}");
            assert!(takes > 3 * MILLISECOND && takes < PACE.wait_max_ns, "{takes} ns");
        }
        world.host.advance(2 * PACE.wait_max_ns);
    }
}

#[test]
fn a_writer_that_never_rests_is_held_to_the_pace() {
    let mut world = paced();
    let began = world.host.now_ns();
    let (mut taken, mut waited) = (0, 0);
    for key in 1..50 {
        let (waits, takes) = flush(&mut world, key);
        taken += takes;
        waited += waits;
    }
    let elapsed = world.host.now_ns() - began;
    assert!(elapsed + 2 * PACE.wait_max_ns > taken, "{elapsed} ns for what takes {taken} ns");
    assert!(waited > elapsed / 2, "waited {waited} of {elapsed} ns");
}

#[test]
fn what_a_flush_takes_itself_is_not_waited_for() {
    let waits_behind_a_flush_of = |ns: u64| {
        let mut world = paced();
        // No rest is left.
        for key in 1..20 {
            flush(&mut world, key);
        }
        world.wait_for_pace();
        world.push(set(20, vec![b'x'; 100]));
        assert_eq!(world.step_flusher(&mut unbounded()).unwrap(), Step::Progress);
        world.host.advance(ns);
        world.flush();
        flush(&mut world, 21).0
    };
    let (fast, slow) = (waits_behind_a_flush_of(0), waits_behind_a_flush_of(MILLISECOND));
    assert!(fast > slow && fast - slow >= MILLISECOND, "{fast} and {slow} ns");
}

#[test]
fn a_long_batch_is_waited_for_no_longer_than_the_longest_wait() {
    let mut world = paced();
    world.push(set(1, vec![b'x'; 1 << 20]));
    world.flush();
    for key in [2, 3] {
        let (waits, _) = flush(&mut world, key);
        assert!(waits > 0 && waits <= PACE.wait_max_ns, "{key}: {waits} ns");
    }
}
