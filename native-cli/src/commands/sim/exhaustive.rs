//! Everything there is, of small runs: the suites S1 to S3 of `core/FAULTS.md` in their long form.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use tailswap::sim::Choices;
use tailswap::sim::crash::{CrashChecker, KnownImages, Tally};
use tailswap::sim::disk::{Depth, DiskRules, Profile};
use tailswap::sim::schedule::{Bounds, Control, record_all, run};
use tailswap::sim::workloads::Workload;
use tailswap::store::CommitStyle;

use crate::exit::{Failure, Outcome, Status};
use crate::output::progress::Progress;
use crate::output::{self, style};

/// How large the runs are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Size {
    /// A few dozen operations each
    Small,
}

/// Context switches of flusher and compaction by themselves, and beside something else.
const SWITCHES: usize = 7;
const SWITCHES_CONTROLLED: usize = 4;
/// Context switches in schedules that are crashed.
const SWITCHES_CRASHED: usize = 3;
const PROFILES: [Profile; 2] = [Profile::Posix, Profile::Journaled];
/// Nothing left to do under the lock, and a last tail.
const STALLS: [u64; 2] = [0, u64::MAX];

fn stalls_and_commits() -> impl Iterator<Item = (u64, CommitStyle)> {
    STALLS.into_iter().flat_map(|stall| CommitStyle::ALL.map(|commits| (stall, commits)))
}

pub(super) fn run_all(size: Size, jobs: usize) -> Outcome {
    let Size::Small = size;
    crashes(jobs)?;
    schedules(jobs)?;
    crashes_in_schedules(jobs)?;
    Ok(Status::Fine)
}

/// S1: a crash after every operation, in every way.
fn crashes(jobs: usize) -> Outcome<()> {
    let began = Instant::now();
    let mut runs = Vec::new();
    for workload in Workload::all() {
        for profile in PROFILES {
            for sector in [512, 4096] {
                let rules = DiskRules { profile, sector };
                runs.extend(CommitStyle::ALL.map(|commits| (workload, rules, commits)));
            }
        }
    }
    let known = KnownImages::default();
    let tallies = each("operations crashed", runs, jobs, |(workload, rules, commits), part| {
        let recording = workload.record(rules, commits).map_err(|error| error.to_string())?;
        let mut checker = CrashChecker::new(&recording, &known, Depth::Full);
        for point in 0..recording.points.len() {
            checker.check_point(point).map_err(|failure| failure.to_string())?;
            part.count(1)?;
        }
        Ok(checker.tally())
    })?;
    let mut total = Tally::default();
    tallies.into_iter().for_each(|tally| total.add(tally));
    tell(
        &format!(
            "a crash after each of {} operations: {} crashes ({} in recovery), {} distinct images",
            total.operations,
            total.images,
            total.in_recovery,
            known.distinct()
        ),
        began,
    )
}

/// S2: every schedule of flusher and compaction, and one thing more at every moment.
fn schedules(jobs: usize) -> Outcome<()> {
    let began = Instant::now();
    let mut all = Vec::new();
    for (max_stall_ns, commits) in stalls_and_commits() {
        let (switches, control) = (SWITCHES, None);
        all.push(Bounds { switches, control, max_stall_ns, commits, ..Bounds::default() });
    }
    let counts = each("schedules", all, jobs, |bounds, part| {
        let (count, _) = run_within(bounds, part)?;
        Ok(count)
    })?;
    let count: u64 = counts.iter().sum();
    tell(&format!("{count} schedules of up to {SWITCHES} switches"), began)?;

    let began = Instant::now();
    let with_all =
        |control| stalls_and_commits().map(move |(stall, commits)| (control, stall, commits));
    let runs: Vec<_> = Control::ALL.into_iter().flat_map(with_all).collect();
    let counts =
        each("schedules with one thing more", runs, jobs, |(control, stall, commits), part| {
            let mut count = 0;
            for turn in 0.. {
                let control = Some((control, turn));
                let bounds = Bounds {
                    switches: SWITCHES_CONTROLLED,
                    control,
                    max_stall_ns: stall,
                    commits,
                    ..Bounds::default()
                };
                let (_, controlled) = run_within(bounds, part)?;
                if controlled == 0 {
                    break;
                }
                count += controlled;
            }
            Ok(count)
        })?;
    let count: u64 = counts.iter().sum();
    let kinds = Control::ALL.len();
    tell(
        &format!(
            "{count} schedules of up to {SWITCHES_CONTROLLED} switches with one of {kinds} more \
             things at every moment"
        ),
        began,
    )
}

/// Every schedule within these bounds: how many, and in how many of them the one thing more came in.
fn run_within(bounds: Bounds, part: &Part) -> Result<(u64, u64), String> {
    let (mut choices, mut count, mut controlled) = (Choices::exhaustive(), 0, 0);
    loop {
        let ran = run(bounds, &mut choices).map_err(|failed| failed.to_string())?;
        count += 1;
        controlled += u64::from(ran.controlled);
        part.count(1)?;
        if !choices.next_run() {
            return Ok((count, controlled));
        }
    }
}

/// S3: a crash after every operation of every schedule.
fn crashes_in_schedules(jobs: usize) -> Outcome<()> {
    let began = Instant::now();
    let controls = Control::ALL.into_iter().map(Some).chain([None]);
    let with_stalls = controls.flat_map(|control| {
        stalls_and_commits().map(move |(stall, commits)| (control, stall, commits))
    });
    let runs: Vec<_> = with_stalls
        .flat_map(|(control, stall, commits)| {
            PROFILES.map(|profile| (control, stall, commits, profile))
        })
        .collect();
    let known = KnownImages::default();
    let what = "operations of schedules crashed";
    let tallies = each(what, runs, jobs, |(control, max_stall_ns, commits, profile), part| {
        let mut total = Tally::default();
        for turn in 0.. {
            let control = control.map(|control| (control, turn));
            let switches = SWITCHES_CRASHED;
            let bounds = Bounds { switches, control, max_stall_ns, commits, ..Bounds::default() };
            let mut controlled = false;
            record_all(bounds, DiskRules::new(profile), |run| {
                controlled |= run.ran.controlled;
                let mut checker = CrashChecker::new(&run.recording, &known, Depth::Linear);
                let again = || run.schedule.command();
                let checked = checker.check_from(run.first_new);
                checked.map_err(|failure| format!("{failure}\nagain: {}", again()))?;
                total.add(checker.tally());
                part.count(checker.tally().operations)
            })?;
            // Behind the end of all schedules it no longer comes in.
            if !controlled {
                break;
            }
        }
        Ok(total)
    })?;
    let mut total = Tally::default();
    tallies.into_iter().for_each(|tally| total.add(tally));
    tell(
        &format!(
            "a crash after each of {} operations of schedules of up to {SWITCHES_CRASHED} switches: \
             {} crashes, {} distinct images",
            total.operations,
            total.images + total.repeated,
            known.distinct()
        ),
        began,
    )
}

fn tell(what: &str, began: Instant) -> Outcome<()> {
    let (good, mut out) = (style::GOOD, output::styled());
    writeln!(out, "{what}, {good}all held{good:#}, {:.1} s", began.elapsed().as_secs_f64())?;
    Ok(out.flush()?)
}

/// What the threads that are at one part of it share.
struct Part {
    progress: Progress,
    done: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Part {
    fn begin(what: &str) -> Self {
        let progress = Progress::open_ended(what);
        Part { progress, done: AtomicU64::new(0), failure: Mutex::default() }
    }

    /// So many more are done; an error when there is a failure already, so that nobody goes on.
    fn count(&self, more: u64) -> Result<(), String> {
        let before = self.done.fetch_add(more, Ordering::Relaxed);
        self.progress.set(before + more);
        match *self.failure() {
            None => Ok(()),
            Some(_) => Err("another thread found a failure".to_owned()),
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something with each item, on several threads, until something fails.
///
/// # Errors
/// What was said of the first item that failed.
fn each<T: Send, R: Send>(
    what: &str,
    items: Vec<T>,
    jobs: usize,
    work: impl Fn(T, &Part) -> Result<R, String> + Sync,
) -> Outcome<Vec<R>> {
    let (part, items) = (Part::begin(what), Mutex::new(items.into_iter()));
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while part.failure().is_none() {
                    let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = item else { return };
                    match work(item, &part) {
                        Ok(result) => {
                            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                        }
                        Err(failure) => {
                            part.failure().get_or_insert(failure);
                        }
                    }
                }
            });
        }
    });
    match part.failure().take() {
        None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner)),
        Some(failure) => Err(Failure::refused(failure)),
    }
}
