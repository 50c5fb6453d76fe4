//! The checkers of simulations themselves: what they must notice, and what they say of it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tailswap::device::{Access, Volume};
use tailswap::event::Phase;
use tailswap::flusher::queue::Mutation;
use tailswap::format::names::{compact_name, file_name};
use tailswap::format::rev_meta::RevMeta;
use tailswap::sim::Choices;
use tailswap::sim::CrashVolume;
use tailswap::sim::contents::{Contents, Document};
use tailswap::sim::crash::{CrashChecker, Failure, KnownImages, Recording};
use tailswap::sim::disk::{Depth, DiskRules, Profile};
use tailswap::sim::invariants::{Violation, check_recovery};
use tailswap::sim::machines::{Machines, VBUCKET};
use tailswap::sim::scenario::{Refusals, Scenario};
use tailswap::sim::shrink::FailingRun;
use tailswap::sim::swarm::{Faults, Life, live};
use tailswap::sim::workloads::Workload;
use tailswap::sim::world::{Settings, World};
use tailswap::store::CommitStyle;

fn rules() -> DiskRules {
    DiskRules::new(Profile::Posix)
}

fn recording(workload: Workload) -> Recording {
    workload.record(rules(), CommitStyle::Flip).unwrap()
}

/// What a crash after the last operation leaves.
fn check_last(recording: &Recording) -> Failure {
    let known = KnownImages::default();
    let mut checker = CrashChecker::new(recording, &known, Depth::Full);
    *checker.check_point(recording.points.len() - 1).unwrap_err()
}

/// Where in a recording a version was just acknowledged.
fn acknowledged(recording: &Recording, version: usize) -> usize {
    recording.history.versions()[version].acknowledged.unwrap() - 1
}

#[test]
fn an_acknowledged_state_that_a_crash_loses_is_noticed() {
    let mut recording = recording(Workload::Flushes);
    let early = recording.points[acknowledged(&recording, 1)].disk.clone();
    recording.points.last_mut().unwrap().disk = early;
    let Failure { violation, story } = check_last(&recording);
    assert_eq!(violation.invariant, "I2");
    assert!(violation.what.contains("but acknowledged was the state after"), "{violation}");
    assert!(
        story.starts_with("run=Flushes profile=Posix sector=512 commits=two-syncs operation="),
        "{story}"
    );
    assert!(story.contains("events before:") && story.contains("FlushFinished"), "{story}");
}

#[test]
fn a_state_that_failed_and_comes_back_is_noticed() {
    let mut recording = recording(Workload::Flushes);
    let last = recording.history.versions().len() - 1;
    recording.history.withdraw(last, 0);
    let what = check_last(&recording).violation.what;
    assert!(what.ends_with("it failed, and was given up for good"), "{what}");
}

#[test]
fn a_state_that_nobody_made_is_noticed() {
    let mut flushes = recording(Workload::Flushes);
    let rollback = recording(Workload::Rollback);
    flushes.points.last_mut().unwrap().disk = rollback.points.last().unwrap().disk.clone();
    let violation = check_last(&flushes).violation;
    assert_eq!(violation.invariant, "I3");
    assert!(violation.what.contains("compared with the state after: flush"), "{violation}");
    assert!(violation.to_string().starts_with("I3: "), "{violation}");
}

#[test]
fn a_vbucket_that_is_missing_and_one_too_many_are_noticed() {
    let mut flushes = recording(Workload::Flushes);
    let empty = flushes.points.first().unwrap().disk.clone();
    flushes.points.last_mut().unwrap().disk = empty;
    let what = check_last(&flushes).violation.what;
    assert!(what.starts_with("found the state after: no vbucket yet; but"), "{what}");

    let mut creation = recording(Workload::Creation);
    creation.history = Default::default();
    let what = check_last(&creation).violation.what;
    assert!(what.ends_with("there is a vbucket, and should be none"), "{what}");
}

/// The bytes of a vbucket with these flushes of one document each.
fn flushed(documents: [(&str, &str); 2]) -> Vec<u8> {
    let mut machines = Machines::new(rules());
    machines.create().unwrap();
    for (key, value) in documents {
        machines.push(key, Some(value.into())).unwrap();
        machines.flush().unwrap();
    }
    let files = machines.volume.disk().visible();
    let (_, bytes) = files.files().next().unwrap();
    bytes.to_vec()
}

fn written_twice() -> Vec<u8> {
    flushed([("key", "the value before"), ("key", "the value now")])
}

/// The same bytes with a bit turned over in the first of these words.
fn damaged(sound: &[u8], words: &[u8]) -> Vec<u8> {
    let at = sound.windows(words.len()).position(|window| window == words).unwrap();
    let mut bytes = sound.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// What the check of a recovery says of a disk with this file.
fn check_file(bytes: &[u8]) -> Result<(), Violation> {
    let volume = CrashVolume::new(rules());
    let file = volume.create_new(&file_name(VBUCKET, 1)).unwrap();
    file.write_at(0, bytes).unwrap();
    drop(file);
    check_recovery(&volume, VBUCKET, CommitStyle::Flip).map(|_| ())
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let sound = written_twice();
    assert_eq!(check_file(&sound), Ok(()));
    let damaged = |words: &[u8]| check_file(&damaged(&sound, words)).unwrap_err();
    let newest = damaged(b"the value now");
    assert_eq!(newest.invariant, "I1");
    assert!(newest.what.starts_with("opening failed: 7.couch.1: damaged at offset "), "{newest}");
    let older = damaged(b"the value before");
    assert_eq!(older.invariant, "I15");
    assert!(older.what.starts_with("7.couch.1, offset "), "{older}");
    let garbage = check_file(&[0xa5; 8192]).unwrap_err();
    assert_eq!(garbage.invariant, "I1");
    assert!(garbage.what.starts_with("opening failed: "), "{garbage}");
}

/// Opening looks at what the newest commit wrote, not at what that shares with older ones.
#[test]
fn damage_in_what_commits_share_is_noticed_by_reading() {
    let sound = flushed([("older", "written once"), ("newer", "the value now")]);
    assert_eq!(check_file(&sound), Ok(()));
    let said = check_file(&damaged(&sound, b"written once")).unwrap_err().to_string();
    let expected = "I5: what is open cannot be read: 7.couch.1: damaged at offset ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_file_that_stays_open_is_noticed() {
    let volume = CrashVolume::new(rules());
    volume.create_new(&file_name(VBUCKET, 1)).unwrap().write_at(0, &written_twice()).unwrap();
    let _open = volume.open(&file_name(VBUCKET, 1), Access::Read).unwrap();
    let violation = check_recovery(&volume, VBUCKET, CommitStyle::Flip).unwrap_err();
    assert_eq!(violation.to_string(), "I12: 1 files are still open");
}

#[test]
fn a_file_that_nobody_uses_and_stays_open_in_a_world_is_noticed() {
    let mut world = World::new(Settings::default());
    let mut act =
        |line: &str| world.act(&line.parse().unwrap()).map(|()| world.machines().volume.clone());
    for line in ["create", "flush a=1", "read before", "compact", "read after"] {
        act(line).unwrap();
    }
    // The old file, which a reader still looks at, and the new one.
    let volume = act("read again").unwrap();
    assert_eq!(volume.open_handles(), 2);
    let open = volume.open(&file_name(VBUCKET, 2), Access::Read).unwrap();
    let violation = act("flush b=2").unwrap_err().violation;
    assert_eq!(violation.to_string(), "I12: 3 files are open, and 2 are used");
    drop(open);
    assert!(act("flush c=3").is_ok());
}

/// A world in which the engine writes what nobody told the world of.
fn world_with_a_stranger() -> World {
    let mut world = World::new(Settings::default());
    world.act(&"create".parse().unwrap()).unwrap();
    let stranger = Mutation {
        id: b"\0stranger".to_vec(),
        value: Some(b"boo"[..].into()),
        deleted: false,
        cas: 1,
        expiry: 0,
        flags: 0,
        datatype: 0,
        seq: None,
    };
    world.machines().dirty.with_queue(|queue| queue.push(stranger)).unwrap();
    world
}

#[test]
fn a_world_in_which_more_is_published_than_was_queued_fails_and_says_why() {
    let mut world = world_with_a_stranger();
    let failure = *world.run_until(1000, |_| false).unwrap_err();
    assert_eq!(failure.violation.invariant, "I11");
    assert!(failure.violation.what.contains("stranger"), "{failure}");
    assert_eq!(failure.action, world.actions().len());
    let text = failure.to_string();
    assert!(text.contains("\nevents before:\n  ") && text.contains("header_committed"), "{text}");
    // Told again without the stranger, nothing fails.
    assert!(FailingRun::find(*world.settings(), world.actions()).is_none());
}

#[test]
fn a_failure_that_no_fault_explains_is_noticed_whatever_faults_there_are() {
    for faults in [
        &["fail rename 9"][..],
        &["fail write", "flush b=2"],
        &["fail-sync 1", "flush b=2"],
        &["capacity 0", "flush b=2", "heal"],
    ] {
        let world = || {
            let mut world = World::new(Settings::default());
            let begin = ["create", "flush a=1"].iter().chain(faults);
            for line in begin.chain(&["compact until copy"]) {
                world.act(&line.parse().unwrap()).unwrap();
            }
            world
        };
        let finish = |mut world: World| world.act(&"compact".parse().unwrap());
        assert!(finish(world()).is_ok(), "{faults:?}");
        let name_taken = world();
        drop(name_taken.machines().volume.create_new(&file_name(VBUCKET, 2)).unwrap());
        let name_gone = world();
        name_gone.machines().volume.remove(&compact_name(VBUCKET, 1)).unwrap();
        for (disturbed, error) in [(name_taken, "exists"), (name_gone, "rename")] {
            let violation = finish(disturbed).unwrap_err().violation;
            let text = violation.to_string();
            assert!(
                text.starts_with("I13: the Compactor failed, and nothing explains that: ")
                    && text.contains(error),
                "{faults:?}: {text}"
            );
        }
    }
}

#[test]
fn a_world_runs_until_a_condition_holds_or_nobody_has_anything_to_do() {
    let mut world = World::new(Settings::default());
    for line in ["create", "flush a=1 b=2", "compact until copy", "queue a=3"] {
        world.act(&line.parse().unwrap()).unwrap();
    }
    let caught_up = |world: &World| world.phase() == Some(Phase::CommitCopy);
    assert!(!world.run_until(1, caught_up).unwrap(), "not within one turn");
    assert!(world.run_until(1000, caught_up).unwrap());
    assert_eq!(world.phase(), Some(Phase::CommitCopy));
    assert!(!world.run_until(10_000, |_| false).unwrap());
    assert_eq!(world.next_turn(), None);
    assert_eq!(world.progress().swaps, 1);
}

#[test]
fn a_run_printed_as_a_scenario_plays_the_same() {
    for seed in 0..5 {
        let (world, result) = live(&mut Life::new(seed, Faults::ALL, 40));
        result.unwrap();
        let text = Scenario::of_run(*world.settings(), world.actions()).to_string();
        let scenario: Scenario = text.parse().unwrap();
        assert_eq!(scenario.actions(), world.actions(), "seed {seed}");
        let mut again = World::new(scenario.settings);
        scenario.play(&mut again, Refusals::Allowed).unwrap();
        assert_eq!(again.trace_hash(), world.trace_hash(), "seed {seed}");
    }
}

#[test]
fn contents_that_differ_are_told_apart_in_words() {
    let meta = RevMeta { cas: 9, expiry: 8, flags: 7, datatype: 1, ..RevMeta::default() };
    let document = |seq| Document {
        seq,
        rev_seq: 1,
        deleted: false,
        content_meta: 0,
        meta,
        body: Some(b"12345".to_vec().into()),
    };
    let mut expected = Contents::new(1);
    assert_eq!(expected.difference(&expected.clone()), "");
    for (id, seq) in [("kept", 1), ("lost", 2), ("changed", 3)] {
        Arc::make_mut(&mut expected.documents)
            .insert(id.as_bytes().into(), Arc::new(document(seq)));
    }
    let mut found = expected.clone();
    let documents = Arc::make_mut(&mut found.documents);
    documents.remove(&b"lost"[..]);
    let tombstone = Document { deleted: true, body: None, ..document(4) };
    documents.insert(b"changed".as_slice().into(), Arc::new(tombstone));
    documents.insert(b"extra".as_slice().into(), Arc::new(document(5)));
    found.locals.insert("_local/x".into(), b"1".to_vec());
    (found.update_seq, found.purge_seq) = (7, 2);
    found.state.max_cas = 12;
    let words = expected.difference(&found);
    for part in [
        "the highest sequence number is 7, not 0; purge_seq is 2, not 0",
        "\"lost\" (seq 2) is missing",
        "\"changed\" is tombstone seq 4 rev 1 cas 9 expiry 8 flags 7 content 0 datatype 1 no body, \
         not document seq 3 rev 1 cas 9 expiry 8 flags 7 content 0 datatype 1 5 bytes",
        "\"extra\" should not be there: document seq 5",
        "local documents are",
        "vbstate is",
    ] {
        assert!(words.contains(part), "{part:?} in {words}");
    }
    assert!(!words.contains("kept"), "{words}");
}

#[test]
fn choices_print_what_reproduces_them() {
    let mut choices = Choices::replayed(vec![1, 7, 2]);
    let made: Vec<usize> = [2, 3, 4, 5].into_iter().map(|of| choices.choose(of)).collect();
    assert_eq!(made, [1, 2, 2, 0], "what is too large is the last, what is missing the first");
    assert_eq!(choices.to_string(), "choices=1,2,2,0");
    assert_eq!(Choices::seeded(3).to_string(), "seed=3");
}
