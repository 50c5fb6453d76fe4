//! Scenarios as runs of the page, and runs of the page as scenarios.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use tailswap::sim::scenario::{Refusals, Scenario};
use tailswap::sim::swarm::{self, Faults, Life};
use tailswap::sim::world::{Action, World};
use tailswap_web::moment::Moment;
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;

fn recorded(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

/// That every byte that there ever was is told apart.
fn assert_told_apart(what: &str, recording: &Recording) {
    let events = recording.events().len();
    for event in (0..events).step_by(events / 40 + 1) {
        let moment = Moment::at(recording, event, 0);
        for file in moment.files {
            assert_eq!(file.classes.iter().sum::<u64>(), file.length, "{what}, event {event}");
        }
    }
}

#[test]
fn every_scenario_is_a_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/scenarios");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let what = path.file_stem().unwrap().to_string_lossy().into_owned();
        let scenario: Scenario = fs::read_to_string(&path).unwrap().parse().unwrap();
        let recording = recorded(Recording::of_scenario(&scenario));
        assert!(recording.violated.is_none(), "{what}");
        let actions = scenario.actions();
        let until = actions.iter().position(|action| *action == Action::End);
        let before = &actions[..until.unwrap_or(actions.len())];
        let mut world = World::new(scenario.settings);
        before.iter().for_each(|action| world.act(action).unwrap());
        assert_eq!(recording.world().state_hash(), world.state_hash(), "{what}");
        assert_eq!(recording.events().len(), world.event_count(), "{what}");
        assert_told_apart(&what, &recording);
    }
}

#[test]
fn random_lives_are_runs() {
    for seed in 0..300 {
        let faults = Faults { crashes: true, errors: true };
        let (world, lived) = swarm::live(&mut Life::new(seed, faults, 40));
        assert!(lived.is_ok(), "seed {seed}");
        let scenario = Scenario::of_run(*world.settings(), world.actions());
        let what = format!("seed {seed}");
        let recording = recorded(Recording::of_scenario(&scenario));
        assert!(recording.violated.is_none(), "{what}");
        assert_told_apart(&what, &recording);
    }
}

#[test]
fn a_run_is_a_scenario_that_leads_to_the_same_state() {
    let parameters = Parameters::named(5.0, "sata", "many").unwrap();
    let run = recorded(Recording::new(parameters));
    let branch = run.fork(900, Difference::named("power-some").unwrap());
    for recording in [run, recorded(branch)] {
        for event in [700, 1500, usize::MAX] {
            let text = recording.scenario_at(event).to_string();
            let scenario: Scenario = text.parse().unwrap();
            let mut world = World::new(scenario.settings);
            scenario.play(&mut world, Refusals::Allowed).unwrap();
            let there = recording.world_at(event).unwrap();
            assert_eq!(world.state_hash(), there.state_hash(), "event {event}");
            assert_eq!(world.trace_hash(), there.trace_hash(), "event {event}");
        }
    }
}

#[test]
fn a_branch_of_a_scenario_goes_on_with_its_lines() {
    let text = "create\nflush a=1 b=2\nflush a=3\nread r\nflush c=4";
    let scenario: Scenario = text.parse().unwrap();
    let run = recorded(Recording::of_scenario(&scenario));
    let flushes = |recording: &Recording| recording.world().progress().flushes;
    let lost = recorded(run.fork(30, Difference::named("act crash").unwrap()));
    assert_eq!((flushes(&run), flushes(&lost)), (3, 3));
    assert!(lost.was_power_lost(lost.events().len()));
    assert_eq!(lost.world().actions().len(), run.world().actions().len() + 1);
}
