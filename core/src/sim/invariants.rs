//! What must hold after any crash, checked on what it left (`core/FAULTS.md` explains each).

use std::fmt;
use std::sync::Arc;

use super::contents::Contents;
use super::history::{History, Version};
use super::host::SimHost;
use super::volume::{CrashVolume, Recorded};
use crate::device::{Access, Volume};
use crate::error::Error;
use crate::event::{Events, FileName};
use crate::format::names::file_name;
use crate::store::{CommitStyle, OpenMode, Opening, check};
use crate::vbucket::VBucket;

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: `I1` to `I15`.
    pub invariant: &'static str,
    /// What broke, in words.
    pub what: String,
}

impl Violation {
    /// A violation.
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Violation { invariant, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What a recovery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What the vbucket holds; `None` when there is none.
    pub contents: Option<Contents>,
    /// Revision of the file in charge.
    pub revision: u64,
}

impl Recovered {
    /// A number that differs for other contents; 0 when there is no vbucket.
    pub fn fingerprint(&self) -> u64 {
        self.contents.as_ref().map_or(0, Contents::fingerprint)
    }
}

/// Opens a vbucket of a volume as a process does that starts, and reads all of it.
///
/// # Errors
/// A violation of I1, if it cannot be opened, or of I5 if what is open is not sound.
pub fn recover(
    volume: Arc<dyn Volume>,
    vbucket: u16,
    commits: CommitStyle,
) -> Result<Recovered, Violation> {
    let host = Arc::new(SimHost::ticking());
    let opening = Opening { mode: OpenMode::Strict, commits };
    let opened = VBucket::open(volume.clone(), host, vbucket, opening, Events::none());
    let opened = opened.map_err(|error| cannot("I1", "opening failed", &error))?;
    let Some((bucket, _)) = opened else {
        return Ok(Recovered { contents: None, revision: 0 });
    };
    let snapshot = bucket.snapshot().map_err(|error| cannot("I1", "no snapshot", &error))?;
    let contents = Contents::read(&snapshot)
        .map_err(|error| cannot("I5", "what is open cannot be read", &error))?;
    Ok(Recovered { contents: Some(contents), revision: bucket.revision() })
}

fn cannot(invariant: &'static str, what: &str, error: &Error) -> Violation {
    Violation::new(invariant, format!("{what}: {error}"))
}

/// Recovers what a crash left, on a disk that goes on to lose things, and checks what can be checked
/// without knowing what should be there:
///
/// - I1: it opens, twice, with the same result;
/// - I5, I15: each header of its file reaches only what is sound, and its trees agree;
/// - I9: nothing but the file in charge is left.
///
/// Returns what came of it, and the disk after each operation of the recovery.
///
/// # Errors
/// The first that does not hold.
pub fn check_recovery(
    volume: &CrashVolume,
    vbucket: u16,
    commits: CommitStyle,
) -> Result<(Recovered, Vec<Recorded>), Violation> {
    volume.record();
    let shared: Arc<dyn Volume> = Arc::new(volume.clone());
    let recovered = recover(shared.clone(), vbucket, commits)?;
    let recording = volume.take_recording();
    if recovered.contents.is_some() {
        check_files(&shared, vbucket, recovered.revision)?;
    }
    if recover(shared, vbucket, commits)? != recovered {
        return Err(Violation::new("I1", "opened a second time it is another state"));
    }
    match volume.open_handles() {
        0 => Ok((recovered, recording)),
        open => Err(Violation::new("I12", format!("{open} files are still open"))),
    }
}

/// Checks that a recovered state is one of those allowed when the machine stops after so many
/// operations (I2, I3, I4, I6, I7, I8, I10: documents, local documents and counters together).
///
/// # Errors
/// A violation of I2 when it is older than what was acknowledged, of I3 when it is none.
pub fn check_state(recovered: &Recovered, history: &History, at: usize) -> Result<(), Violation> {
    let allowed = history.allowed(at);
    let is = |version: &Version| version.contents == recovered.contents;
    let newest = history.versions().get(allowed.start);
    let fits = |index: usize| {
        history.may_be_there(index, at) && history.versions().get(index).is_some_and(is)
    };
    if allowed.clone().any(fits) {
        return Ok(());
    }
    let label = newest.map_or("nothing", |version| &version.label);
    if let Some(other) = history.versions().iter().rev().find(|version| is(version)) {
        let what = match other.withdrawn.is_some_and(|withdrawn| withdrawn <= at) {
            true => "it failed, and was given up for good".to_owned(),
            false => format!("acknowledged was the state after: {label}"),
        };
        let what = format!("found the state after: {}; but {what}", other.label);
        return Err(Violation::new("I2", what));
    }
    let difference =
        match (newest.and_then(|version| version.contents.as_ref()), &recovered.contents) {
            (Some(expected), Some(found)) => expected.difference(found),
            (Some(_), None) => "there is no vbucket".to_owned(),
            (None, Some(_)) => "there is a vbucket, and should be none".to_owned(),
            (None, None) => String::new(),
        };
    Err(Violation::new("I3", format!("compared with the state after: {label}: {difference}")))
}

/// Checks that only the file in charge is left, and that it is sound throughout.
fn check_files(volume: &Arc<dyn Volume>, vbucket: u16, revision: u64) -> Result<(), Violation> {
    let name = FileName::from(file_name(vbucket, revision));
    let names = volume.list().map_err(|error| Violation::new("I9", error.to_string()))?;
    if names != [name.to_string()] {
        return Err(Violation::new("I9", format!("after opening {name} there are {names:?}")));
    }
    let device = volume
        .open(&name, Access::Read)
        .map_err(|error| Violation::new("I9", format!("{name}: {error}")))?;
    let report = check::check(&name, device, OpenMode::Strict)
        .map_err(|error| cannot("I15", "the file cannot be checked", &error))?;
    match report.of(check::Severity::Problem).next() {
        None => Ok(()),
        Some(problem) => {
            let what = format!("{name}, offset {}: {}", problem.offset, problem.what);
            Err(Violation::new("I15", what))
        }
    }
}
