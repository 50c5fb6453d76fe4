//! `tailswap sim`: what it prints, and how it exits.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use support::{folder, tailswap};

fn scenario(name: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/scenarios");
    directory.join(format!("{name}.scenario")).display().to_string()
}

#[test]
fn seeds_are_named_first_and_summed_up() {
    let ran = tailswap(&["sim", "--seeds", "0..6", "--jobs", "2"]).fine();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(lines[0].starts_with("seeds from 0, faults: all"), "{}", lines[0]);
    assert!(lines[1].starts_with("6 seeds, all held: "), "{}", lines[1]);
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let run = || tailswap(&["sim", "--seed", "7", "--actions", "40", "--json"]).fine().stdout;
    let (one, other) = (run(), run());
    assert_eq!(one, other);
    let line: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(line["seed"], 7);
    assert_eq!(line["trace_hash"].as_str().unwrap().len(), 16);
    assert!(line["failure"].is_null());
    let without =
        tailswap(&["sim", "--seed", "7", "--actions", "40", "--faults", "none", "--json"]);
    assert_ne!(without.fine().stdout, one);
}

#[test]
fn fresh_seeds_stop_after_the_time_that_was_given() {
    let ran = tailswap(&["sim", "--minutes", "0", "--json"]).fine();
    assert_eq!(ran.stdout, "");
}

#[test]
fn the_last_seed_there_is_runs() {
    let last = u64::MAX.to_string();
    let ran = tailswap(&["sim", "--seed", &last, "--actions", "5"]).fine();
    assert!(ran.stdout.contains("1 seed, all held"), "{}", ran.stdout);
}

#[test]
fn a_scenario_plays() {
    let ran = tailswap(&["sim", "--scenario", &scenario("catch-up-replays-the-tail")]).fine();
    assert!(ran.stdout.contains("holds: "), "{}", ran.stdout);
    let ran = tailswap(&["sim", "--replay", &scenario("first-flush"), "--json"]).fine();
    let last = ran.json().pop().unwrap();
    assert!(last["failure"].is_null() && last["expectations"] == 5, "{last}");
    assert!(ran.json().iter().any(|line| line["event"] == "flush_finished"));
}

#[test]
fn what_a_scenario_expects_and_is_not_so_is_told_with_its_line() {
    let folder = folder();
    let path = folder.path().join("wrong.scenario");
    fs::write(&path, "create\nflush a=1\nexpect a=2\n").unwrap();
    let path = path.display().to_string();
    tailswap(&["sim", "--scenario", &path]).failed(1, "line 3: a is \"1\"; expected: \"2\"");
    fs::write(&path, "create\ncancel\n").unwrap();
    let refused = "line 2: the engine said: nothing is being compacted";
    tailswap(&["sim", "--scenario", &path]).failed(1, refused);
    let replayed = tailswap(&["sim", "--replay", &path]).fine();
    assert!(replayed.stdout.contains(", 1 refused, "), "{}", replayed.stdout);
    fs::write(&path, "# nothing to do\n").unwrap();
    for play in ["--scenario", "--replay"] {
        tailswap(&["sim", play, &path]).failed(3, "there is nothing to play in it");
    }
    fs::write(&path, "create\ndance\n").unwrap();
    tailswap(&["sim", "--scenario", &path]).failed(3, "line 2: \"dance\" is no action");
    fs::write(&path, "create\nrun until lunch\n").unwrap();
    tailswap(&["sim", "--replay", &path]).failed(3, "no events called \"lunch\"");
    tailswap(&["sim", "--replay", "nowhere"]).failed(3, "nowhere: no such file");
}

#[test]
fn what_led_to_a_failure_is_in_its_json() {
    let folder = folder();
    let path = folder.path().join("wrong.scenario");
    fs::write(&path, "create\nflush a=1\nexpect a=2\n").unwrap();
    let ran = tailswap(&["sim", "--replay", &path.display().to_string(), "--json"]);
    assert_eq!(ran.code, Some(1));
    let lines = ran.json();
    assert!(lines.iter().any(|line| line["event"] == "flush_finished"));
    let last = lines.last().unwrap();
    assert_eq!(last["failure"], "line 3: a is \"1\"; expected: \"2\"");
    assert_eq!(last["trace_hash"].as_str().unwrap().len(), 16);
}

#[test]
fn a_schedule_runs_again_from_its_line() {
    let line =
        "switches=3 stall=0 length=900 names=posix sector=512 control=io-error@4 choices=1,0,1";
    let ran = tailswap(&["sim", "--schedule", line]).fine();
    assert!(ran.stdout.starts_with("holds: "), "{}", ran.stdout);
    assert_eq!(tailswap(&["sim", "--schedule", "control=lunch@4"]).code, Some(2));
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["sim", "--seed", "1", "--seeds", "1..2"][..],
        &["sim", "--seeds", "4..4"],
        &["sim", "--seeds", "4"],
        &["sim", "--seed", "1", "--minutes", "1"],
        &["sim", "--faults", "gentle"],
        &["sim", "--minutes", "nan"],
        &["sim", "--jobs", "0"],
        &["sim", "--scenario", "x", "--faults", "none"],
    ] {
        assert_eq!(tailswap(arguments).code, Some(2), "{arguments:?}");
    }
}
