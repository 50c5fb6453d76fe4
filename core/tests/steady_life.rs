//! The steady life that the page shows: one compaction beside writers, with everything in it that
//! there is to see.
//!
//! What a seed comes to is printed with `--nocapture`.
#![allow(clippy::unwrap_used, clippy::panic)]

use tailswap::event::{Event, Phase};
use tailswap::sim::scenario::Scenario;
use tailswap::sim::steady::{Load, Steady};
use tailswap::sim::world::{DeviceModel, Settings, World};

fn live(seed: u64, settings: Settings) -> World {
    let mut life = Steady::new(seed, Load::on(settings.device));
    let mut world = World::new(settings);
    while let Some(action) = life.next_action(&world) {
        world.act(&action).unwrap_or_else(|failure| panic!("steady seed {seed}: {failure}"));
        // A writer may be turned away while catch-up has the flusher slowed down; nobody else.
        let refused = world.last_error().filter(|_| action.verb() != "queue");
        assert_eq!(refused, None, "steady seed {seed}: {action}");
    }
    world
}

#[test]
fn every_seed_compacts_once_beside_its_writers_and_comes_to_rest() {
    for seed in 0..12 {
        let world = live(seed, Settings::default());
        let events = world.events_from(0);
        let began = events
            .iter()
            .position(|stamped| matches!(&stamped.event, Event::CompactionStarted { .. }));
        let swapped = events.iter().position(|stamped| {
            matches!(&stamped.event, Event::PhaseChanged { phase: Phase::Unlink, .. })
        });
        let during = &events[began.unwrap()..swapped.unwrap()];
        let flushes =
            during.iter().filter(|stamped| matches!(stamped.event, Event::FlushFinished { .. }));
        let (flushes, rounds) = (
            flushes.count(),
            during
                .iter()
                .filter(|stamped| {
                    matches!(stamped.event, Event::RoundStarted { locked: false, .. })
                })
                .count(),
        );
        println!(
            "seed {seed}: {} actions, {} events, {} ms; compaction from {} to {} ms, {flushes} flushes, \
             {rounds} rounds; files {:?}",
            world.actions().len(),
            events.len(),
            world.now_ns() / 1_000_000,
            during[0].at_ns / 1_000_000,
            events[swapped.unwrap()].at_ns / 1_000_000,
            world.files()
        );
        assert!(flushes >= 3, "steady seed {seed}: {flushes} flushes during the compaction");
        assert!(rounds >= 1, "steady seed {seed}: no unlocked round");
        assert_eq!(world.progress().swaps, 1, "steady seed {seed}");
        assert_eq!(world.next_turn(), None, "steady seed {seed}: somebody has something to do");
        assert_eq!(world.readers().count(), 0, "steady seed {seed}: a reader is left");
    }
}

#[test]
fn a_seed_is_the_same_life_again_and_another_seed_another() {
    let hashes = |seed| {
        let world = live(seed, Settings::default());
        (world.trace_hash(), world.state_hash())
    };
    assert_eq!(hashes(1), hashes(1));
    assert_ne!(hashes(1), hashes(2));
}

#[test]
fn every_device_lets_it_compact() {
    for device in DeviceModel::ALL {
        let world = live(1, Settings { device, ..Settings::default() });
        assert_eq!(world.progress().swaps, 1, "steady seed 1 device={}", device.name);
    }
}

#[test]
fn a_life_can_be_written_down_and_lived_again() {
    let world = live(1, Settings::default());
    let text = Scenario::of_run(*world.settings(), world.actions()).to_string();
    let read: Scenario = text.parse().unwrap();
    assert_eq!(read.actions(), world.actions());
}
