//! Bits that turn over under the engine's hands, at every place: whatever is done then ends with an
//! error that names the place, or with exactly what was written.
#![allow(clippy::unwrap_used, clippy::panic)]

use tailswap::sim::world::{Action, Settings, Stamped, World};
use tailswap::store::CommitStyle;

/// What a world does before a bit turns over, and after it.
const BEFORE: &[&str] = &[
    "create",
    "flush a=1 b=@300 c=@5000",
    "flush a=2 d=@40 -b",
    "local x=1",
    "flush e=@900:3",
    "read r",
];

/// Lines after a bit turned over.
const LIVES: [&[&str]; 5] = [
    &["read other", "flush a=5 f=1", "close r", "compact", "flush g=2", "crash", "flush h=1"],
    &["crash", "read r", "flush a=5 c=@30", "rollback 2", "compact", "die"],
    &["die", "flush b=7", "rollback 0", "flush c=1", "crash everything"],
    &["queue a=6", "run until sync_issued", "crash 5", "compact until catch-up", "crash 6"],
    &["begin compact", "step 9", "cancel", "settle", "drop", "create", "flush n=1", "crash"],
];

fn act(world: &mut World, line: &str) -> Result<(), String> {
    world.act(&line.parse::<Action>().unwrap()).map_err(|failure| failure.to_string())
}

fn begun(commits: CommitStyle, lines: &[&str]) -> World {
    let mut world = World::new(Settings { commits, ..Settings::default() });
    lines.iter().for_each(|line| act(&mut world, line).unwrap());
    world
}

/// Lives on with a bit turned over; whether anybody met it.
fn live(commits: CommitStyle, flip: &str, life: &[&str]) -> Result<bool, String> {
    let mut world = begun(commits, BEFORE);
    let (mut met, style) = (false, commits.name());
    for line in [flip].iter().chain(life) {
        let told = |failure| format!("{style}: {flip}, then {line}: {failure}");
        act(&mut world, line).map_err(told)?;
        met |= world.last_error().is_some_and(|said| said.contains("damaged at"));
    }
    let told = |failure| format!("{style}: {flip}, {life:?}, end: {failure}");
    act(&mut world, "end").map_err(told)?;
    Ok(met)
}

/// All lives with bits of every `step`th byte from `first` on; how many met the damage.
fn flip_all(commits: CommitStyle, first: usize, step: usize, bits: &[u8]) -> usize {
    let name = "7.couch.1";
    let length = begun(commits, BEFORE).files().bytes(name).unwrap().len();
    let mut failures = Vec::new();
    let mut met = 0;
    for byte in (first..length).step_by(step) {
        for (number, life) in LIVES.iter().enumerate() {
            let bit = bits[(byte / step + number) % bits.len()];
            match live(commits, &format!("flip {name} {byte} {bit}"), life) {
                Ok(is_met) => met += usize::from(is_met),
                Err(failure) => failures.push(failure),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures, the first:\n{}", failures.len(), failures[0]);
    met
}

#[test]
fn any_bit_that_turns_over_is_met_where_it_is_or_does_no_harm() {
    for commits in CommitStyle::ALL {
        let flip_all = |step, bits: &[u8]| flip_all(commits, 0, step, bits);
        // Every type of a block, too.
        let met = flip_all(37, &[0, 3, 7]) + flip_all(4096, &[0]) + flip_all(4096, &[1]);
        assert!(met > 500, "{}: {met}", commits.name());
    }
}

fn flip_every_bit(commits: CommitStyle) {
    let met: usize = (0..8).map(|bit| flip_all(commits, 0, 1, &[bit])).sum();
    assert!(met > 100_000, "{met}");
}

#[test]
#[ignore = "minutes long"]
fn long_any_bit_of_any_byte_is_met_where_it_is_or_does_no_harm() {
    flip_every_bit(CommitStyle::Flip);
}

#[test]
#[ignore = "minutes long"]
fn long_any_bit_of_any_byte_costs_one_commit_with_one_sync_at_most() {
    flip_every_bit(CommitStyle::Direct);
}

/// A rollback to nothing is a commit that came from no header: all before it counts as written by it.
#[test]
fn what_came_from_nothing_may_be_taken_back_too() {
    let begun = || begun(CommitStyle::Direct, &["create", "flush a=1", "compact", "rollback 0"]);
    let length = begun().files().bytes("7.couch.2").unwrap().len();
    let mut taken_back = 0;
    for byte in (1..length).step_by(3) {
        let mut world = begun();
        act(&mut world, &format!("flip 7.couch.2 {byte} 0")).unwrap();
        let opened = world.event_count();
        act(&mut world, "die").unwrap_or_else(|failure| panic!("byte {byte}: {failure}"));
        let events = world.events_from(opened);
        let is = |stamped: &&Stamped| stamped.event.name() == "commit_taken_back";
        taken_back += events.iter().filter(is).count();
    }
    assert!(taken_back > 10, "{taken_back}");
}

#[test]
fn damage_that_nobody_knows_of_is_no_excuse() {
    for (line, is_header, invariant) in [
        ("die", true, "I1"),
        ("die", false, "I5"),
        ("read r", false, "I13"),
        ("compact", false, "I13"),
    ] {
        let mut world = begun(CommitStyle::Flip, &["create", "flush a=1 c=@3000", "flush b=2"]);
        let files = world.files();
        let bytes = files.bytes("7.couch.1").unwrap();
        let header =
            (0..bytes.len()).step_by(4096).rfind(|block| bytes.get(*block) == Some(1)).unwrap();
        // What is known of is elsewhere.
        act(&mut world, "flip 7.couch.1 300 0").unwrap();
        let place = if is_header { header + 12 } else { 6000 };
        world.machines().volume.flip("7.couch.1", place as u64, 1).unwrap();
        let said = match act(&mut world, line) {
            Err(said) => said,
            Ok(()) => panic!("{line}: {:?}", world.last_error()),
        };
        let is_noticed = said.starts_with(invariant) && said.contains("damaged at offset");
        assert!(is_noticed, "{line}: {said}");
    }
}

#[test]
fn what_cannot_be_flipped_is_refused() {
    let mut world = begun(CommitStyle::Flip, &["create", "queue a=1", "run until sync_issued"]);
    for (line, why) in [
        ("flip 7.couch.9 0 0", "no byte"),
        ("flip 7.couch.1 99999999 0", "no byte"),
        ("flip 7.couch.1 18446744073709551615 0", "no byte"),
        // The flush's header is there, as data until it is synced.
        ("flip 7.couch.1 8192 0", "written already"),
    ] {
        act(&mut world, line).unwrap();
        assert!(world.last_error().unwrap().contains(why), "{line}: {:?}", world.last_error());
    }
    assert!("flip 7.couch.1 0 8".parse::<Action>().is_err());
}
