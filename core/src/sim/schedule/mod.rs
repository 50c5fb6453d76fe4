//! Flusher and compaction in every order: who is next is decided by the choice source, turn by turn.
//!
//! A turn lasts until something happens that others can see: the disk or the lock changes hands, or
//! a state is published. Readers look after every turn; they are no actors, because they wait for
//! nobody and change nothing.

mod run;
mod text;

use std::fmt;

pub use self::text::Schedule;

use self::run::Run;
use super::choice::Choices;
use super::crash::Recording;
use super::disk::{DiskRules, Profile};
use super::invariants::Violation;
use crate::store::CommitStyle;

/// Events shown with a failure.
const EVENTS_SHOWN: usize = 16;

/// What somebody does once, beside flusher and compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Deletes the vbucket.
    Delete,
    /// Deletes it and creates it again.
    Recreate,
    /// Takes it back to the first flush.
    Rollback,
    /// Takes it back to nothing.
    RollbackToNothing,
    /// Cancels the compaction.
    Cancel,
    /// Asks for a second compaction.
    SecondCompaction,
    /// Saves and deletes local documents.
    Locals,
    /// Makes the next operation on the volume fail.
    IoError,
    /// Makes the next sync of a file fail and lose what it was for.
    FailedSync,
}

impl Control {
    /// All of them.
    pub const ALL: [Control; 9] = [
        Control::Delete,
        Control::Recreate,
        Control::Rollback,
        Control::RollbackToNothing,
        Control::Cancel,
        Control::SecondCompaction,
        Control::Locals,
        Control::IoError,
        Control::FailedSync,
    ];

    fn is_fault(self) -> bool {
        matches!(self, Control::IoError | Control::FailedSync)
    }
}

/// Which schedules to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How often the turn passes from one to the other, at most, unless who has it is at its end or
    /// has to wait.
    pub switches: usize,
    /// What is done beside, and before which turn.
    pub control: Option<(Control, usize)>,
    /// How long the compaction may hold writers up. With 0 it catches up until nothing is left to
    /// do under the lock; with more, there is a last tail.
    pub max_stall_ns: u64,
    /// Bytes of the values that are flushed meanwhile: the longer, the more sectors of a flush can
    /// be lost apart.
    pub value_length: usize,
    /// How flushes are made durable.
    pub commits: CommitStyle,
}

impl Default for Bounds {
    /// One schedule, with values of about a sector.
    fn default() -> Self {
        let commits = CommitStyle::Flip;
        Bounds { switches: 0, control: None, max_stall_ns: 0, value_length: 900, commits }
    }
}

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Turns until flusher and compaction were through.
    pub turns: usize,
    /// Whether the control operation came in before that.
    pub controlled: bool,
    /// Whether the compaction swapped.
    pub swapped: bool,
    /// Whether something was left to replay under the lock.
    pub last_tail: bool,
}

/// Something did not hold in a run.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What.
    pub violation: Violation,
    /// What reproduces it, and what led there.
    pub story: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.violation, self.story)
    }
}

/// Runs one schedule.
///
/// # Errors
/// What did not hold.
pub fn run(bounds: Bounds, choices: &mut Choices) -> Result<Ran, Box<Failed>> {
    let rules = DiskRules::new(Profile::Posix);
    finish(&mut Run::new(bounds, rules), bounds, rules, choices)
}

/// A schedule that was run, with all that is needed to crash it.
#[derive(Clone, Debug)]
pub struct RecordedRun {
    /// Which it was.
    pub schedule: Schedule,
    /// The disk after each operation.
    pub recording: Recording,
    /// How it went.
    pub ran: Ran,
    /// The first operation that neither the run before nor the same run without the control
    /// operation had as well.
    pub first_new: usize,
}

/// Runs one schedule and records it.
///
/// # Errors
/// What did not hold.
pub fn record(
    bounds: Bounds,
    rules: DiskRules,
    choices: &mut Choices,
) -> Result<RecordedRun, Box<Failed>> {
    record_after(bounds, rules, choices, &[])
}

/// Runs all schedules within these bounds and hands each, recorded, to `check`, which ends them by
/// returning an error.
///
/// # Errors
/// What `check` returns, and what did not hold.
pub fn record_all(
    bounds: Bounds,
    rules: DiskRules,
    mut check: impl FnMut(RecordedRun) -> Result<(), String>,
) -> Result<(), String> {
    let mut choices = Choices::exhaustive();
    let mut before: Vec<usize> = Vec::new();
    loop {
        let run = record_after(bounds, rules, &mut choices, &before);
        check(run.map_err(|failed| failed.to_string())?)?;
        before = choices.to_list();
        if !choices.next_run() {
            return Ok(());
        }
    }
}

/// Records a run that comes after one with the choices `before`, if there was one.
fn record_after(
    bounds: Bounds,
    rules: DiskRules,
    choices: &mut Choices,
    before: &[usize],
) -> Result<RecordedRun, Box<Failed>> {
    let mut run = Run::new(bounds, rules);
    run.machines.volume.record();
    let ran = finish(&mut run, bounds, rules, choices)?;
    let made = choices.to_list();
    let common = made.iter().zip(before).take_while(|(now, before)| now == before).count();
    let branched = match before {
        [] => 0,
        _ => run.chosen_at.get(common).copied().unwrap_or(0),
    };
    let controlled = bounds.control.map_or(0, |_| run.controlled_at.unwrap_or(usize::MAX));
    let schedule = Schedule { bounds, rules, choices: made };
    let recording = Recording::of(schedule.to_string(), &run.machines);
    Ok(RecordedRun { schedule, recording, ran, first_new: branched.max(controlled) })
}

fn finish(
    run: &mut Run,
    bounds: Bounds,
    rules: DiskRules,
    choices: &mut Choices,
) -> Result<Ran, Box<Failed>> {
    let Err(violation) = run.go(choices) else { return Ok(run.ran) };
    let events = run.machines.witness.events();
    let schedule = Schedule { bounds, rules, choices: choices.to_list() };
    let mut story = format!("again: {}\nevents before:", schedule.command());
    for (at, event) in events.iter().skip(events.len().saturating_sub(EVENTS_SHOWN)) {
        story += &format!("\n  [{at}] {event:?}");
    }
    Err(Box::new(Failed { violation, story }))
}

/// Runs all schedules within these bounds; returns how each went.
///
/// # Errors
/// The first failure.
pub fn run_all(bounds: Bounds) -> Result<Vec<Ran>, Box<Failed>> {
    let mut choices = Choices::exhaustive();
    let mut all = Vec::new();
    loop {
        all.push(run(bounds, &mut choices)?);
        if !choices.next_run() {
            return Ok(all);
        }
    }
}
