//! A crash that leaves garbage where an append was, and disks of other sectors, over some of the
//! runs of `crash_exhaustive.rs`.
//!
//! Numbers are printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tailswap::device::Volume;
use tailswap::event::Events;
use tailswap::sim::contents::Contents;
use tailswap::sim::crash::{CrashChecker, KnownImages, Tally};
use tailswap::sim::disk::{Depth, DiskRules, Profile, Selection, selections};
use tailswap::sim::invariants::{Recovered, check_state, recover};
use tailswap::sim::machines::VBUCKET;
use tailswap::sim::workloads::Workload;
use tailswap::sim::{CrashVolume, SimHost};
use tailswap::store::{CommitStyle, OpenMode, Opening};
use tailswap::vbucket::VBucket;

/// Different outcomes of crashes with long sectors, at least.
const IMAGES_MIN: usize = 1_000;

const PROFILES: [Profile; 2] = [Profile::Posix, Profile::Journaled];

fn profiles_and_commits() -> impl Iterator<Item = (Profile, CommitStyle)> {
    PROFILES.into_iter().flat_map(|profile| CommitStyle::ALL.map(|commits| (profile, commits)))
}

/// Opens in recovery and reads.
fn recover_past_damage(volume: Arc<dyn Volume>, commits: CommitStyle) -> Recovered {
    let (host, events) = (Arc::new(SimHost::ticking()), Events::none());
    let opening = Opening { mode: OpenMode::Recovery, commits };
    let opened = VBucket::open(volume, host, VBUCKET, opening, events).unwrap();
    let Some((vbucket, _)) = opened else { return Recovered { contents: None, revision: 0 } };
    let contents = Contents::read(&vbucket.snapshot().unwrap()).unwrap();
    Recovered { contents: Some(contents), revision: vbucket.revision() }
}

/// With garbage in what no sync covered, a strict opening may refuse the file, but says where; a
/// recovery opening comes to a state that may be there, as strict opening does where it goes on.
#[test]
fn behind_garbage_the_acknowledged_state_is_found() {
    for workload in [
        Workload::Flushes,
        Workload::DeletesAndLocals,
        Workload::CompactionWithTail,
        Workload::Rollback,
    ] {
        for (profile, commits) in profiles_and_commits() {
            let began = Instant::now();
            let recording = workload.record(DiskRules::new(profile), commits).unwrap();
            let (mut images, mut seen, mut refused) = (0, BTreeSet::new(), 0);
            for (point, recorded) in recording.points.iter().enumerate() {
                let disk = &recorded.disk;
                for selection in selections(disk, Depth::Linear) {
                    let selection = Selection { garbage: true, ..selection };
                    let image = disk.crash_image(&selection);
                    images += 1;
                    // What may be there depends on the moment, too.
                    if !seen.insert((image.hash(), recording.history.allowed(point + 1).start)) {
                        continue;
                    }
                    let context = || {
                        let what = selection.describe(disk);
                        format!(
                            "run={} profile={profile:?} {} garbage operation={point}: {what}",
                            recording.label,
                            commits.name()
                        )
                    };
                    let volume = || -> Arc<dyn Volume> {
                        Arc::new(CrashVolume::after_crash(&image, recording.rules))
                    };
                    let recovered = match recover(volume(), VBUCKET, commits) {
                        Ok(recovered) => recovered,
                        Err(violation) => {
                            let refusal = violation.what.contains(" at offset ");
                            assert!(violation.invariant == "I1" && refusal, "{violation}");
                            refused += 1;
                            let again = volume();
                            let recovered = recover_past_damage(again.clone(), commits);
                            assert_eq!(
                                recover_past_damage(again, commits),
                                recovered,
                                "{}",
                                context()
                            );
                            recovered
                        }
                    };
                    check_state(&recovered, &recording.history, point + 1)
                        .unwrap_or_else(|violation| panic!("{violation}\n{}", context()));
                }
            }
            println!(
                "{:20} {profile:10?} {:9} {images} crashes, {} distinct, {refused} refused by a strict \
                 opening, {:.1} s",
                recording.label,
                commits.name(),
                seen.len(),
                began.elapsed().as_secs_f64()
            );
            assert!(refused > 0, "{}: garbage was never in the way", recording.label);
        }
    }
}

/// Sectors of 4096 bytes: what is torn is torn elsewhere.
#[test]
fn sectors_may_be_as_long_as_blocks() {
    let (began, known, mut total) = (Instant::now(), KnownImages::default(), Tally::default());
    for workload in Workload::all() {
        for (profile, commits) in profiles_and_commits() {
            let rules = DiskRules { sector: 4096, ..DiskRules::new(profile) };
            let recording = workload.record(rules, commits).unwrap();
            let mut checker = CrashChecker::new(&recording, &known, Depth::Full);
            checker.check_all().unwrap_or_else(|failure| panic!("{failure}"));
            total.add(checker.tally());
        }
    }
    let (distinct, seconds) = (known.distinct(), began.elapsed().as_secs_f64());
    println!("{total:?}, {distinct} distinct images, {seconds:.1} s");
    assert!(distinct >= IMAGES_MIN, "only {distinct} different images");
}
