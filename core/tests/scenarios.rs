//! Every scenario under `core/scenarios` plays, holds what it says, and ends well.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use tailswap::sim::scenario::{Scenario, Why};
use tailswap::sim::world::Action;

fn scenarios() -> Vec<(PathBuf, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_scenario_holds_what_it_says() {
    let all = scenarios();
    assert!(all.len() >= 20, "only {} scenarios", all.len());
    let mut failures = Vec::new();
    for (path, text) in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let played = text.parse::<Scenario>().and_then(|scenario| scenario.run());
        match played {
            Ok(mut world) => {
                if let Err(failure) = world.act(&Action::End) {
                    failures.push(format!("{name}, at its end: {failure}"));
                }
            }
            Err(error) => failures.push(format!("{name}, {error}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_scenario_is_read_back_from_what_it_prints() {
    for (path, text) in scenarios() {
        let scenario: Scenario = text.parse().unwrap();
        let again: Scenario = scenario.to_string().parse().unwrap();
        let what = |scenario: &Scenario| {
            scenario.lines.iter().map(|line| line.what.clone()).collect::<Vec<_>>()
        };
        assert_eq!(what(&again), what(&scenario), "{path:?}");
        assert_eq!(again.settings, scenario.settings);
    }
}

#[test]
fn a_line_that_fails_is_named() {
    let why = |text: &str| text.parse::<Scenario>().and_then(|scenario| scenario.run()).err();
    let unmet = why("create\nflush a=1\n\nexpect a=2").unwrap();
    assert_eq!(unmet.line, 4);
    assert!(matches!(&unmet.why, Why::Unmet(why) if why.contains("\"1\"; expected: \"2\"")));
    let syntax = why("create\ndance").unwrap();
    assert!(matches!(syntax.why, Why::Syntax(_)) && syntax.line == 2);
    assert!(why("create\nworld device=nvme").is_some_and(|error| error.line == 2));
    assert!(why("expect lunch").is_some_and(|error| error.line == 1));
}
