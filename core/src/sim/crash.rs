//! Crash at every operation: for each moment of a recorded run, what each of many crashes leaves is
//! recovered and checked, and recovery is crashed in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::contents::Contents;
use super::disk::{Depth, Disk, DiskRules, Image, Profile, Selection, selections};
use super::history::{History, Version};
use super::invariants::{Violation, check_recovery, check_state};
use super::machines::{Machines, VBUCKET};
use super::volume::{CrashVolume, Recorded};
use crate::event::Event;
use crate::store::CommitStyle;

/// Events shown with a failure.
const EVENTS_SHOWN: usize = 12;
/// Where commits take one sync, one in so many of the recoveries that change something is crashed in
/// turn: there are many more, most of which differ in bytes that nothing points at any more.
const ONE_SYNC_RECOVERIES: u64 = 64;

/// A run: the disk after each of its operations, and which states were issued and acknowledged.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What was run.
    pub label: String,
    /// What crashes can do in it.
    pub rules: DiskRules,
    /// How it was committed to, and is opened.
    pub commit_style: CommitStyle,
    /// The disk after each operation.
    pub points: Vec<Recorded>,
    /// What should be there.
    pub history: History,
    /// What happened, with the number of operations before each.
    pub events: Vec<(usize, Event)>,
}

impl Recording {
    /// Ends a recording.
    pub fn of(label: String, machines: &Machines) -> Self {
        Recording {
            label,
            rules: machines.volume.disk().rules(),
            commit_style: machines.commit_style,
            points: machines.volume.take_recording(),
            history: machines.witness.history(),
            events: machines.witness.events(),
        }
    }
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Moments at which a crash was to be tried.
    pub operations: u64,
    /// Moments of these that were unlike any before.
    pub moments: u64,
    /// Crashes tried.
    pub images: u64,
    /// Of these, crashes during recovery.
    pub in_recovery: u64,
    /// Crashes that were not tried again, at moments like others before.
    pub repeated: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Tally) {
        self.operations += other.operations;
        self.moments += other.moments;
        self.images += other.images;
        self.in_recovery += other.in_recovery;
        self.repeated += other.repeated;
    }
}

/// Something did not hold after a crash.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub violation: Violation,
    /// Where, and what led there.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.violation, self.story)
    }
}

/// What was found sound already: images, however often they come up, with what each recovers to; and
/// moments, at which every crash was tried. Shared by the checkers of several recordings, on several
/// threads.
#[derive(Debug, Default)]
pub struct KnownImages {
    images: Mutex<BTreeMap<ImageKey, u64>>,
    /// Those that came up in recovery only: what they recover to was not crashed in turn.
    in_recovery: Mutex<BTreeMap<ImageKey, u64>>,
    /// By hash of the disk, of the states that may be there, and of the depth: crashes tried.
    moments: Mutex<BTreeMap<u64, u64>>,
}

/// Hash of an image, and how it is opened; where recovery changes names, what crashes then can do matters
/// too.
type ImageKey = (u64, bool, Option<Profile>);

impl KnownImages {
    /// How many different images there are.
    pub fn distinct(&self) -> usize {
        let known = self.known();
        let hashes: BTreeSet<u64> = known.keys().map(|(hash, ..)| *hash).collect();
        hashes.len()
    }

    /// What an image recovers to; with crashes of its recovery, if it is to be looked at `deeper`.
    fn find(&self, key: &ImageKey, deeper: bool) -> Option<u64> {
        let known = self.known().get(key).copied();
        known.or_else(|| self.in_recovery().get(key).copied().filter(|_| !deeper))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ImageKey, u64>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_recovery(&self) -> MutexGuard<'_, BTreeMap<ImageKey, u64>> {
        self.in_recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moments(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Crashes one recording in every way.
#[derive(Debug)]
pub struct CrashChecker<'a> {
    recording: &'a Recording,
    known: &'a KnownImages,
    depth: Depth,
    /// Fingerprints of the states in the recording's history.
    versions: Vec<u64>,
    tally: Tally,
}

impl<'a> CrashChecker<'a> {
    /// Nothing is checked yet. `depth` says how much to try at each moment; only at full depth the
    /// death of the process alone is among it.
    pub fn new(recording: &'a Recording, known: &'a KnownImages, depth: Depth) -> Self {
        let print = |version: &Version| version.contents.as_ref().map_or(0, Contents::fingerprint);
        let versions = recording.history.versions().iter().map(print).collect();
        CrashChecker { recording, known, depth, versions, tally: Tally::default() }
    }

    /// Checks all moments.
    ///
    /// # Errors
    /// The first failure.
    pub fn check_all(&mut self) -> Result<(), Box<Failure>> {
        self.check_from(0)
    }

    /// Checks the moments from the one after this operation on.
    ///
    /// # Errors
    /// The first failure.
    pub fn check_from(&mut self, first: usize) -> Result<(), Box<Failure>> {
        (first..self.recording.points.len()).try_for_each(|point| self.check_point(point))
    }

    /// Checks the moment after one operation: what a crash of the machine leaves, and what a new
    /// process finds when only the old one died.
    ///
    /// # Errors
    /// The first failure.
    pub fn check_point(&mut self, point: usize) -> Result<(), Box<Failure>> {
        let recording = self.recording;
        let Some(Recorded { disk, .. }) = recording.points.get(point) else { return Ok(()) };
        self.tally.operations += 1;
        // Many schedules come to the same disk.
        let moment = self.moment(disk, point);
        if let Some(images) = self.known.moments().get(&moment) {
            self.tally.repeated += images;
            return Ok(());
        }
        self.tally.moments += 1;
        let before = self.tally.images;
        for selection in selections(disk, self.depth) {
            self.tally.images += 1;
            let image = disk.crash_image(&selection);
            let story = || self::story(recording, point, "crash", &selection, disk);
            self.check_image(&image, point + 1, true)
                .map_err(|violation| failure(violation, story))?;
        }
        if self.depth == Depth::Full {
            self.check_restart(disk, point)?;
        }
        self.known.moments().insert(moment, self.tally.images - before);
        Ok(())
    }

    /// Stands for all that the outcome of crashes at a moment depends on.
    fn moment(&self, disk: &Disk, point: usize) -> u64 {
        let (history, at) = (&self.recording.history, point + 1);
        let mut hasher = DefaultHasher::new();
        let possible = history.allowed(at).filter(|version| history.may_be_there(*version, at));
        for version in possible {
            self.versions.get(version).hash(&mut hasher);
        }
        let one_sync = self.recording.commit_style == CommitStyle::Direct;
        (disk.hash(), self.depth == Depth::Full, one_sync).hash(&mut hasher);
        hasher.finish()
    }

    /// How much was tried so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn check_image(&mut self, image: &Image, at: usize, deeper: bool) -> Result<u64, Violation> {
        let history = &self.recording.history;
        let profile = self.recording.rules.profile;
        let one_sync = self.recording.commit_style == CommitStyle::Direct;
        let key = (image.hash(), one_sync, Some(profile).filter(|_| image.len() > 1));
        if let Some(fingerprint) = self.known.find(&key, deeper) {
            let is = |version: &usize| self.versions.get(*version) == Some(&fingerprint);
            let fits = |version: &usize| is(version) && history.may_be_there(*version, at);
            if history.allowed(at).any(|version| fits(&version)) {
                return Ok(fingerprint);
            }
        }
        let volume = CrashVolume::after_crash(image, self.recording.rules);
        let commits = self.recording.commit_style;
        let (recovered, recovery) = check_recovery(&volume, VBUCKET, commits)?;
        check_state(&recovered, history, at)?;
        let fingerprint = recovered.fingerprint();
        // Most recoveries change nothing, and then there is nothing to crash.
        if deeper
            && volume.disk().visible() != *image
            && (!one_sync || key.0.is_multiple_of(ONE_SYNC_RECOVERIES))
        {
            self.crash_recovery(&recovery, at, Some(fingerprint))?;
        }
        let mut known = if deeper { self.known.known() } else { self.known.in_recovery() };
        known.insert(key, fingerprint);
        Ok(fingerprint)
    }

    /// Crashes a recovery after each of its operations.
    fn crash_recovery(
        &mut self,
        recovery: &[Recorded],
        at: usize,
        expected: Option<u64>,
    ) -> Result<(), Violation> {
        for (step, Recorded { disk, operation }) in recovery.iter().enumerate() {
            if disk.is_settled() && step + 1 < recovery.len() {
                continue;
            }
            for selection in selections(disk, Depth::Linear) {
                self.tally.images += 1;
                self.tally.in_recovery += 1;
                let again = |mut violation: Violation| {
                    violation.what += &format!(
                        " (crash in recovery, after {:?} of {:?}: {})",
                        operation.op,
                        operation.file,
                        selection.describe(disk)
                    );
                    violation
                };
                let image = disk.crash_image(&selection);
                let found = self.check_image(&image, at, false).map_err(again)?;
                if expected.is_some_and(|expected| expected != found) {
                    return Err(again(unstable()));
                }
            }
        }
        Ok(())
    }

    /// A new process opens the vbucket while nothing was lost yet. What it finds counts as durable
    /// from then on, whatever happens.
    fn check_restart(&mut self, disk: &Disk, point: usize) -> Result<(), Box<Failure>> {
        let recording = self.recording;
        let nothing = Selection::all(disk, true);
        let story = || self::story(recording, point, "the process dies, then", &nothing, disk);
        let volume = CrashVolume::after_restart(disk);
        let recovered = check_recovery(&volume, VBUCKET, recording.commit_style);
        let recovered = recovered.and_then(|(recovered, recovery)| {
            check_state(&recovered, &recording.history, point + 1)?;
            let last = recovery.len().saturating_sub(1);
            self.crash_recovery(recovery.get(..last).unwrap_or_default(), point + 1, None)?;
            Ok(recovered)
        });
        let recovered = recovered.map_err(|violation| failure(violation, story))?;
        let after = volume.disk();
        for selection in selections(&after, Depth::Linear) {
            self.tally.images += 1;
            self.tally.in_recovery += 1;
            let image = after.crash_image(&selection);
            let story = || {
                let recovery = selection.describe(&after);
                format!("{}\nafter recovery, crash: {recovery}", story())
            };
            let found = self.check_image(&image, point + 1, false);
            let found = found.map_err(|violation| failure(violation, story))?;
            // That there is no vbucket is nothing that an opening makes durable.
            if recovered.contents.is_some() && found != recovered.fingerprint() {
                return Err(failure(unstable(), story));
            }
        }
        Ok(())
    }
}

fn unstable() -> Violation {
    Violation::new("I2", "what an opening found, and told, is not there after a crash")
}

fn failure(violation: Violation, story: impl FnOnce() -> String) -> Box<Failure> {
    Box::new(Failure { violation, story: story() })
}

/// Where a crash was, and what led there.
fn story(
    recording: &Recording,
    point: usize,
    kind: &str,
    selection: &Selection,
    disk: &Disk,
) -> String {
    let rules = disk.rules();
    let Some(Recorded { operation, .. }) = recording.points.get(point) else {
        return recording.label.clone();
    };
    let before: Vec<&(usize, Event)> =
        recording.events.iter().filter(|(at, _)| *at <= point + 1).collect();
    let mut story = format!(
        "run={} profile={:?} sector={} commits={} operation={point} ({:?} {:?}); {kind}: {}\nevents \
         before:",
        recording.label,
        rules.profile,
        rules.sector,
        recording.commit_style.name(),
        operation.op,
        operation.file,
        selection.describe(disk),
    );
    for (at, event) in before.iter().rev().take(EVENTS_SHOWN).rev() {
        story += &format!("\n  [{at}] {event:?}");
    }
    story
}
