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

#[test]
fn what_the_engine_refuses_and_nobody_expected_is_told() {
    for (text, line) in [
        ("create\ncancel", 2),
        ("create\ncancel\nflush a=1\nexpect a=1", 2),
        ("create\ncancel\nexpect no vbucket", 3),
        ("create\nfail write\nflush a=1\nexpect -a\nheal", 3),
    ] {
        let error = text.parse::<Scenario>().and_then(|scenario| scenario.run()).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
    }
    let text = "create\nfail write\nflush a=1\nexpect -a\nexpect error write\nflush";
    text.parse::<Scenario>().and_then(|scenario| scenario.run()).unwrap();
}

#[test]
fn what_is_expected_and_not_so_is_told() {
    let begin = "create\nflush a=1 -b\nread r\ncompact until copy\n";
    for (line, told) in [
        ("a=2", "a is \"1\"; expected: \"2\""),
        ("c=1", "c is not there; expected: \"1\""),
        ("-a", "a is \"1\"; expected: not there"),
        ("a=@300:1", "expected: 300 bytes"),
        ("local x=1", "x is not there"),
        ("reader r a=2", "a is \"1\""),
        ("reader s a=1", "s"),
        ("documents 2", "1, not 2"),
        ("tombstones 0", "1, not 0"),
        ("update-seq 9", "2, not 9"),
        ("purge-seq 1", "0, not 1"),
        ("persisted 3", "2, not 3"),
        ("revision 2", "1, not 2"),
        ("no vbucket", "vbucket"),
        ("files 7.couch.1", "7.couch.1.compact"),
        ("phase none", "the phase is \"copy\", not \"none\""),
        ("holder operator", "who holds the lock is None"),
        ("event rolled_back", "there was no rolled_back"),
        ("event flush_finished 3", "1, not 3"),
        ("no event flush_finished", "1, not 0"),
        ("error too late", "the engine did what it was told"),
    ] {
        let scenario: Scenario = format!("{begin}expect {line}").parse().unwrap();
        let error = scenario.run().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("line 5: ") && text.contains(told), "expect {line}: {text}");
    }
}

#[test]
fn what_cannot_be_expected_is_named() {
    for (line, why) in [
        ("expect holder moon", "\"moon\" is nobody who holds the lock"),
        ("expect phase lunch", "\"lunch\" is no phase"),
        ("expect event published many", "many"),
        ("expect documents few", "few"),
        ("expect lunch", "lunch"),
    ] {
        let error = line.parse::<Scenario>().unwrap_err().to_string();
        assert!(error.starts_with("line 1: ") && error.contains(why), "{line}: {error}");
    }
}

#[test]
fn what_the_engine_says_can_be_expected() {
    let said = |line: &str| {
        let text = format!("create\ncancel\nexpect {line}");
        text.parse::<Scenario>().unwrap().run().map(|_| ())
    };
    assert!(said("error nothing is being compacted").is_ok());
    let unmet = said("error no room").unwrap_err().to_string();
    assert_eq!(unmet, "line 3: the engine said: nothing is being compacted");
    let unmet = said("no error").unwrap_err().to_string();
    assert_eq!(unmet, "line 3: the engine said: nothing is being compacted");
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    for (lines, said) in [
        ("queue a=1", "there is no vbucket"),
        ("create\ncreate", "there is a vbucket already"),
        ("create\nclose r", "there is no reader r"),
        ("create\nturn compactor", "it has nothing to do, or waits"),
        ("create\nrun until published", "nobody has anything to do, and there was no published"),
    ] {
        let text = format!("{lines}\nexpect error {said}");
        let played = text.parse::<Scenario>().and_then(|scenario| scenario.run());
        assert!(played.is_ok(), "{lines:?}: {}", played.unwrap_err());
    }
}
