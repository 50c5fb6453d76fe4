//! A crash after every operation of small runs, in every way that is worth trying: what comes back
//! is exactly one of the states that may be there.
//!
//! Numbers are printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tailswap::sim::crash::{CrashChecker, KnownImages, Recording, Tally};
use tailswap::sim::disk::{Depth, DiskRules, Profile};
use tailswap::sim::workloads::Workload;
use tailswap::store::CommitStyle;

/// Different outcomes of crashes, at least: fewer would mean that something is no longer tried.
const IMAGES_MIN: usize = 60_000;
/// The same with half the syncs.
const IMAGES_MIN_ONE_SYNC: usize = 60_000;

fn recordings(commits: CommitStyle) -> Vec<Recording> {
    let mut recordings = Vec::new();
    for workload in Workload::all() {
        for profile in [Profile::Posix, Profile::Journaled] {
            recordings.push(workload.record(DiskRules::new(profile), commits).unwrap());
        }
    }
    recordings
}

#[test]
fn a_crash_after_any_operation_leaves_a_state_that_may_be_there() {
    crash_everywhere(CommitStyle::Flip, IMAGES_MIN);
}

#[test]
fn so_it_does_where_commits_take_one_sync() {
    crash_everywhere(CommitStyle::Direct, IMAGES_MIN_ONE_SYNC);
}

fn crash_everywhere(commits: CommitStyle, images_min: usize) {
    let began = Instant::now();
    let recordings = recordings(commits);
    let next = Mutex::new(recordings.iter());
    let known = KnownImages::default();
    let total = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        // After a failure nothing more is begun.
        while failures.lock().unwrap().is_empty() {
            let Some(recording) = next.lock().unwrap().next() else { return };
            let mut checker = CrashChecker::new(recording, &known, Depth::Full);
            if let Err(failure) = checker.check_all() {
                failures.lock().unwrap().push(failure.to_string());
            }
            total.lock().unwrap().add(checker.tally());
            let Tally { operations, images, in_recovery, .. } = checker.tally();
            let (label, profile) = (&recording.label, recording.rules.profile);
            println!(
                "{label:20} {profile:10?} {operations:4} operations {images:7} crashes \
                 ({in_recovery:5} in recovery)"
            );
        }
    };
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let tally = total.into_inner().unwrap();
    let distinct = known.distinct();
    println!(
        "all: {} operations, commits of {}, {} crashes ({} in recovery), {} distinct images, {:.1} s",
        tally.operations,
        commits.name(),
        tally.images,
        tally.in_recovery,
        distinct,
        began.elapsed().as_secs_f64()
    );
    let failures = failures.into_inner().unwrap();
    let again = "cargo test --package tailswap --test crash_exhaustive";
    assert!(failures.is_empty(), "{}\nagain: {again}", failures.join("\n\n"));
    assert!(distinct >= images_min, "only {distinct} different images");
}
