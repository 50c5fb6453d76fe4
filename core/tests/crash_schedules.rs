//! A crash after every operation of every schedule of flusher and compaction, alone and with one
//! thing more that happens at any moment: what comes back is exactly one of the states that may be
//! there.
//!
//! Schedules share their beginnings; what they share is crashed once. Numbers are printed with
//! `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tailswap::sim::Choices;
use tailswap::sim::crash::{CrashChecker, KnownImages, Tally};
use tailswap::sim::disk::{Depth, DiskRules, Profile};
use tailswap::sim::schedule::{Bounds, Control, RecordedRun, Schedule, record, record_all};
use tailswap::store::CommitStyle;

/// Context switches in schedules without a control operation.
const SWITCHES: usize = 3;
/// Bytes of the values in quick runs: of one sector, and of several that can be lost apart.
const LENGTHS: [usize; 2] = [900, 3000];
/// Different images, at least: fewer would mean that something is no longer tried.
const DISTINCT_MIN: usize = 80_000;
/// The same with half the syncs.
const DISTINCT_MIN_ONE_SYNC: usize = 75_000;
/// Crashes of the long form, at least, with those at moments that were crashed before.
const LONG_IMAGES_MIN: u64 = 10_000_000;

/// With nothing left to do under the lock, and with a last tail.
const STALLS: [u64; 2] = [0, u64::MAX];
const PROFILES: [Profile; 2] = [Profile::Posix, Profile::Journaled];

/// Schedules to run and crash.
#[derive(Clone, Copy, Debug)]
struct Job {
    switches: usize,
    /// What is done beside, at every position.
    control: Option<Control>,
    max_stall_ns: u64,
    profile: Profile,
    depth: Depth,
    value_length: usize,
    commits: CommitStyle,
}

/// What jobs on several threads share.
#[derive(Default)]
struct Shared {
    known: KnownImages,
    failed: AtomicBool,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    schedules: u64,
    swapped: u64,
    crashes: Tally,
}

impl Job {
    fn all(control: Option<Control>, switches: usize, depth: Depth) -> Vec<Job> {
        let with = |max_stall_ns| {
            let value_length = LENGTHS[0];
            PROFILES.map(|profile| Job {
                switches,
                control,
                max_stall_ns,
                profile,
                depth,
                value_length,
                commits: CommitStyle::Flip,
            })
        };
        STALLS.into_iter().flat_map(with).collect()
    }

    fn run(self, shared: &Shared) -> Result<Tried, String> {
        let mut tried = Tried::default();
        let Some(control) = self.control else {
            self.run_with(None, shared, &mut tried)?;
            return Ok(tried);
        };
        for turn in 0.. {
            // Behind the end of all schedules it no longer comes in.
            if !self.run_with(Some((control, turn)), shared, &mut tried)? {
                break;
            }
        }
        Ok(tried)
    }

    /// Returns whether the control operation came in.
    fn run_with(
        self,
        control: Option<(Control, usize)>,
        shared: &Shared,
        tried: &mut Tried,
    ) -> Result<bool, String> {
        let Job { switches, max_stall_ns, profile, depth, value_length, commits, .. } = self;
        let mut controlled = false;
        let check = |run: RecordedRun| {
            if shared.failed.load(Ordering::Relaxed) {
                return Err("stopped, because another job failed".to_owned());
            }
            controlled |= run.ran.controlled;
            if control.is_some() && !run.ran.controlled {
                return Ok(());
            }
            let mut checker = CrashChecker::new(&run.recording, &shared.known, depth);
            let again = || run.schedule.command();
            let checked = checker.check_from(run.first_new);
            checked.map_err(|failure| format!("{failure}\nagain: {}", again()))?;
            tried.schedules += 1;
            tried.swapped += u64::from(run.ran.swapped);
            tried.crashes.add(checker.tally());
            Ok(())
        };
        record_all(
            Bounds { switches, control, max_stall_ns, value_length, commits },
            DiskRules::new(profile),
            check,
        )?;
        Ok(controlled)
    }
}

/// Runs all jobs, on all processors, and prints what was tried.
fn run_all(jobs: &[Job]) -> (Tally, usize) {
    let began = Instant::now();
    let next = Mutex::new(jobs.iter());
    let shared = Shared::default();
    let total = Mutex::new(Tried::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(job) = next.lock().unwrap().next() else { return };
            match job.run(&shared) {
                Ok(tried) => {
                    println!("{job:?}: {tried:?}");
                    let mut total = total.lock().unwrap();
                    total.schedules += tried.schedules;
                    total.swapped += tried.swapped;
                    total.crashes.add(tried.crashes);
                }
                Err(failure) => {
                    shared.failed.store(true, Ordering::Relaxed);
                    failures.lock().unwrap().push(failure);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let Tried { schedules, swapped, crashes } = total.into_inner().unwrap();
    let distinct = shared.known.distinct();
    println!(
        "all: {schedules} schedules ({swapped} swapped), {} moments ({} different), {} crashes ({} in \
         recovery, {} more at moments like others), {distinct} distinct images, {:.1} s",
        crashes.operations,
        crashes.moments,
        crashes.images,
        crashes.in_recovery,
        crashes.repeated,
        began.elapsed().as_secs_f64()
    );
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    (crashes, distinct)
}

#[test]
fn a_crash_at_any_moment_of_any_schedule_leaves_a_state_that_may_be_there() {
    crash_every_schedule(CommitStyle::Flip, DISTINCT_MIN);
}

#[test]
fn so_it_does_where_commits_take_one_sync() {
    crash_every_schedule(CommitStyle::Direct, DISTINCT_MIN_ONE_SYNC);
}

fn crash_every_schedule(commits: CommitStyle, distinct_min: usize) {
    let of_length = |value_length| {
        let jobs = Job::all(None, SWITCHES, Depth::Full).into_iter();
        jobs.map(move |job| Job { value_length, commits, ..job })
    };
    let jobs: Vec<Job> = LENGTHS.into_iter().flat_map(of_length).collect();
    let (_, distinct) = run_all(&jobs);
    assert!(distinct >= distinct_min, "only {distinct} different images");
}

#[test]
#[ignore = "minutes long"]
fn long_a_crash_at_any_moment_of_any_schedule_whatever_else_happens() {
    let mut jobs = Job::all(None, SWITCHES, Depth::Full);
    jobs.extend(Job::all(None, SWITCHES + 2, Depth::Linear));
    for control in Control::ALL {
        jobs.extend(Job::all(Some(control), SWITCHES, Depth::Linear));
    }
    let one_sync = jobs.iter().map(|job| Job { commits: CommitStyle::Direct, ..*job });
    jobs.extend(one_sync.collect::<Vec<_>>());
    let (crashes, _) = run_all(&jobs);
    let images = crashes.images + crashes.repeated;
    assert!(images >= LONG_IMAGES_MIN, "only {images} crashes");
}

/// While the flusher takes a failed flush back, the compaction syncs its target: until the file in
/// charge is synced too, the flush that failed may still be there.
#[test]
fn a_sync_of_the_target_does_not_make_the_way_back_durable() {
    let bounds = Bounds {
        switches: 3,
        control: Some((Control::IoError, 4)),
        max_stall_ns: 0,
        ..Bounds::default()
    };
    let mut choices = Choices::replayed(vec![1, 0, 0, 0, 0, 1]);
    let run = record(bounds, DiskRules::new(Profile::Posix), &mut choices).unwrap();
    let known = KnownImages::default();
    let mut checker = CrashChecker::new(&run.recording, &known, Depth::Linear);
    checker.check_all().unwrap_or_else(|failure| panic!("{failure}"));
}

/// What a failure prints of a schedule gives the same run again.
#[test]
fn a_schedule_runs_again_from_its_choices() {
    let bounds = Bounds {
        switches: 2,
        control: Some((Control::Rollback, 9)),
        max_stall_ns: 0,
        ..Bounds::default()
    };
    let rules = DiskRules::new(Profile::Posix);
    let again = |run: RecordedRun| {
        let schedule: Schedule = run.recording.label.parse().unwrap();
        assert_eq!(schedule, run.schedule);
        let Schedule { bounds, rules, choices } = schedule;
        let same = record(bounds, rules, &mut Choices::replayed(choices)).unwrap();
        assert_eq!(same.schedule, run.schedule);
        let images = |run: &RecordedRun| -> Vec<u64> {
            run.recording.points.iter().map(|point| point.disk.visible().hash()).collect()
        };
        assert_eq!(images(&same), images(&run));
        Ok(())
    };
    record_all(bounds, rules, again).unwrap();
}

#[test]
fn so_does_one_when_something_else_happens_too() {
    let controls = [Control::Rollback, Control::Recreate, Control::Cancel, Control::FailedSync];
    let jobs = controls.iter().flat_map(|control| Job::all(Some(*control), 1, Depth::Linear));
    let both = |job| CommitStyle::ALL.map(|commits| Job { commits, ..job });
    run_all(&jobs.flat_map(both).collect::<Vec<Job>>());
}
