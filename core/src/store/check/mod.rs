//! Checking a whole file: every block, every header, and whatever can be reached from any of them.
//!
//! The newest state is checked completely, and each older one as far as it does not share its trees
//! with the state after it. So time is proportional to the file, and memory holds a node a level and
//! the positions of the headers. Damage is reported with its offset and stops nothing.

mod body;
mod compare;
mod report;
mod scan;
mod state;

pub use report::{FINDINGS_MAX, Finding, FindingCounts, Report, Severity};

use std::collections::VecDeque;
use std::sync::Arc;

use self::body::{Begun, BodyCheck};
use self::compare::Comparison;
use self::scan::Scan;
use self::state::{OtherSizes, Shared, StateCheck, TreeSums};
use super::open::{OpenMode, find_newest};
use super::snapshot::Snapshot;
use super::step::{Budget, Step};
use crate::chunklog::ChunkReader;
use crate::device::BlockDevice;
use crate::error::{Error, Result};
use crate::event::FileName;
use crate::format::chunk::SizeKept;
use crate::format::header::POINTS_BACK_FROM;

/// Checks a file to its end; for hosts that can wait. See [`Checker`].
///
/// # Errors
/// As [`Checker::new`] and [`Checker::step`].
pub fn check(name: &FileName, device: Arc<dyn BlockDevice>, mode: OpenMode) -> Result<Report> {
    let mut checker = Checker::new(name, device, mode)?;
    while checker.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
    Ok(checker.into_report())
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes scanned and verified so far.
    pub done: u64,
    /// Bytes to scan and verify, at most: what is not in use counts as verified at the end.
    pub total: u64,
}

/// A check of a whole file under way.
#[derive(Debug)]
pub struct Checker {
    newest: Snapshot,
    length: u64,
    shared: Shared,
    phase: Phase,
    /// State checked last.
    newer: Option<Snapshot>,
    /// Where the chain of previous headers goes on; headers that it passes over were rolled back.
    chain: Option<u64>,
    /// By how much the trees of the state checked last differed.
    difference: u64,
    body_reader: ChunkReader,
    body: Option<BodyCheck>,
}

#[derive(Debug)]
enum Phase {
    /// Looking at every block.
    Scan,
    /// Checking what can be reached from one header.
    State(StateCheck),
    /// Finding out in which documents by-seq and by-id differ.
    Compare(Comparison),
    Done,
}

impl Checker {
    /// Opens a file for checking. What a strict open refuses is a problem to report here, and the
    /// check goes on from the newest good header; in [`OpenMode::Recovery`] it is a warning.
    ///
    /// # Errors
    /// [`Error::Encrypted`]; [`Error::NoHeader`] and [`Error::Version`]; [`Error::Corrupt`] where a
    /// damaged header is the only one; [`Error::Io`].
    pub fn new(name: &FileName, device: Arc<dyn BlockDevice>, mode: OpenMode) -> Result<Self> {
        let opened = find_newest(name, device.clone(), OpenMode::Recovery);
        let (newest, passed_over) = match opened {
            // The damage says more than that nothing else is there.
            Err(Error::NoHeader { .. }) => find_newest(name, device, OpenMode::Strict)?,
            opened => opened?,
        };
        let length = newest.file().len()?;
        let mut shared = Shared {
            report: Report::default(),
            scan: Scan::new(newest.file().clone(), newest.position())?,
            sums: TreeSums::default(),
            sizes: OtherSizes::default(),
            bodies: VecDeque::new(),
        };
        let severity = match mode {
            OpenMode::Strict => Severity::Problem,
            OpenMode::Recovery => Severity::Warning,
        };
        for passed in &passed_over {
            shared.report.add_error(severity, passed.offset, &passed.error);
        }
        if length > newest.end() {
            let what = format!(
                "uncommitted bytes behind the newest header, from {} to {length}",
                newest.end()
            );
            shared.report.add(Severity::Note, newest.end(), what);
        }
        Ok(Checker {
            length,
            shared,
            phase: Phase::Scan,
            newer: None,
            chain: Some(newest.position()),
            difference: 0,
            body_reader: newest.reader(ChunkReader::WALK_WINDOW),
            body: None,
            newest,
        })
    }

    /// The newest state of the file.
    pub fn newest(&self) -> &Snapshot {
        &self.newest
    }

    /// How far the check is.
    pub fn progress(&self) -> Progress {
        let total = self.length + self.newest.position();
        let verified = self.shared.report.bytes.min(self.newest.position());
        let done = match self.phase {
            Phase::Done => total,
            _ => self.shared.scan.position() + verified,
        };
        Progress { done, total }
    }

    /// What was found so far; complete once [`step`](Self::step) has come to its end.
    pub fn report(&self) -> &Report {
        &self.shared.report
    }

    /// What was found.
    pub fn into_report(self) -> Report {
        self.shared.report
    }

    /// Does a part of the work.
    ///
    /// # Errors
    /// Only what is not damage: the device failing.
    pub fn step(&mut self, budget: &mut Budget) -> Result<Step> {
        while !matches!(self.phase, Phase::Done) {
            if budget.is_spent() {
                return Ok(Step::Progress);
            }
            let bytes = self.advance()?;
            budget.spend(bytes);
        }
        Ok(Step::Done)
    }

    /// Looks at some blocks, or reads a node or a piece of a body; returns the bytes it was.
    fn advance(&mut self) -> Result<u64> {
        if let Some(bytes) = self.step_body()? {
            return Ok(bytes);
        }
        match &mut self.phase {
            Phase::Scan => {
                let bytes = self.shared.scan.step(&mut self.shared.report)?;
                if bytes == 0 {
                    self.next_state()?;
                }
                Ok(bytes)
            }
            Phase::State(state) => match state.step(&mut self.shared)? {
                Some(bytes) => Ok(bytes),
                None => {
                    self.end_state()?;
                    Ok(0)
                }
            },
            Phase::Compare(comparison) => {
                let result = comparison.step(&mut self.shared.report);
                // Both trees were read before, so that damage is not expected here; if there is some
                // all the same, it is reported, and the comparison ends.
                let more = match result {
                    Err(error) if error.is_damage() => {
                        self.shared.report.add_error(Severity::Problem, 0, &error);
                        false
                    }
                    result => result?,
                };
                if !more {
                    self.next_state()?;
                }
                Ok(0)
            }
            Phase::Done => Ok(0),
        }
    }

    /// Goes on with the body being checked, or begins with the next; `None` when there is none.
    fn step_body(&mut self) -> Result<Option<u64>> {
        let (reader, report) = (&mut self.body_reader, &mut self.shared.report);
        if let Some(body) = &mut self.body {
            let bytes = body.step(reader, report)?;
            if bytes.is_none() {
                self.body = None;
            }
            return Ok(Some(bytes.unwrap_or(0)));
        }
        let Phase::State(state) = &mut self.phase else { return Ok(None) };
        let Some(info) = self.shared.bodies.pop_front() else { return Ok(None) };
        if let Begun::Body(body, size) = BodyCheck::begin(info, &state.snapshot, reader, report)? {
            state.body_bytes += body.disk_size();
            // Reading them all could take time without end: a small file can name one often.
            if state.body_bytes > state.snapshot.position() {
                let what = "document bodies overlap: they take more bytes than there are";
                report.add(Severity::Problem, state.snapshot.position(), what);
                return Ok(Some(0));
            }
            report.bodies += 1;
            report.bytes += body.disk_size();
            if size == SizeKept::AsOthersCount {
                self.shared.sizes.add(body.range().start);
            }
            self.shared.scan.cover(body.range());
            self.body = Some(body);
        }
        Ok(Some(0))
    }

    /// All of a state was read.
    fn end_state(&mut self) -> Result<()> {
        let Phase::State(state) = std::mem::replace(&mut self.phase, Phase::Done) else {
            return Ok(());
        };
        state.check_counts(&mut self.shared.report);
        self.newer = Some(state.snapshot.clone());
        match self.shared.sums.difference() {
            // The same difference as in the state after it was named there.
            Some(difference) if difference != 0 && difference != self.difference => {
                self.difference = difference;
                self.phase = Phase::Compare(Comparison::new(&state.snapshot)?);
                Ok(())
            }
            difference => {
                self.difference = difference.unwrap_or(self.difference);
                self.next_state()
            }
        }
    }

    /// Begins with the header before the ones checked.
    fn next_state(&mut self) -> Result<()> {
        self.phase = match self.shared.scan.headers.pop() {
            Some(position) => {
                let snapshot = match position == self.newest.position() {
                    true => self.newest.clone(),
                    false => super::at_offset(&self.newest, position)?,
                };
                self.check_header(&snapshot);
                self.shared.report.headers += 1;
                Phase::State(StateCheck::new(snapshot, self.newer.take()))
            }
            None => {
                self.shared.scan.finish(&mut self.shared.report);
                self.shared.sizes.report(&mut self.shared.report);
                Phase::Done
            }
        };
        Ok(())
    }

    /// Checks where a header points back to, and whether the newest header's history has it.
    fn check_header(&mut self, snapshot: &Snapshot) {
        let (header, position) = (snapshot.header(), snapshot.position());
        // Those before this one: its own position was taken off.
        let before = &self.shared.scan.headers;
        let previous = header.previous.filter(|_| header.disk_version >= POINTS_BACK_FROM);
        let found = previous.filter(|previous| before.binary_search(previous).is_ok());
        if let Some(previous) = previous.filter(|previous| found.is_none() && *previous != 0) {
            let what = format!("the header points back at {previous}, where there is no header");
            self.shared.report.add(Severity::Warning, position, what);
        }
        if self.chain != Some(position) {
            let what = "a header that the newest header's history passes over: rolled back";
            self.shared.report.add(Severity::Note, position, what);
            return;
        }
        let ends = header.disk_version >= POINTS_BACK_FROM && header.previous.is_none();
        self.chain = found.or_else(|| before.last().copied().filter(|_| !ends));
        if let Some(previous) = found {
            self.shared.scan.pass_over(previous + 1..position);
        }
    }
}
