//! What a check found.

use serde::Serialize;

use crate::error::Error;

/// Findings of each severity that a report holds; more are only counted.
pub const FINDINGS_MAX: usize = 1000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Harmless: worth knowing.
    Note,
    /// Not as it should be, but everything that was committed is there.
    Warning,
    /// Something that was committed is damaged.
    Problem,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Byte offset of the block, chunk or header that it is about.
    pub offset: u64,
    /// What it is.
    pub what: String,
}

/// How many findings there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FindingCounts {
    /// Of severity [`Severity::Problem`].
    pub problems: u64,
    /// Of severity [`Severity::Warning`].
    pub warnings: u64,
    /// Of severity [`Severity::Note`].
    pub notes: u64,
}

/// What a check verified and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Headers, each a complete state of the file.
    pub headers: u64,
    /// Documents: those of the newest state, and of each older one those that the state after it
    /// does not have just so.
    pub documents: u64,
    /// Tree nodes.
    pub nodes: u64,
    /// Document bodies.
    pub bodies: u64,
    /// Bytes of those nodes and bodies on disk.
    pub bytes: u64,
    /// What was found, in the order in which it was: at most [`FINDINGS_MAX`] of each severity.
    pub findings: Vec<Finding>,
    /// How many findings there were, whether they are held or not.
    pub counts: FindingCounts,
}

impl Report {
    /// Whether everything that was committed is there.
    pub fn is_sound(&self) -> bool {
        self.counts.problems == 0
    }

    /// Findings of one severity, in the order in which they were found.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// Adds a finding, unless it is there already: damage can be met on several ways.
    pub(super) fn add(&mut self, severity: Severity, offset: u64, what: impl Into<String>) {
        let finding = Finding { severity, offset, what: what.into() };
        if self.findings.contains(&finding) {
            return;
        }
        let count = match severity {
            Severity::Problem => &mut self.counts.problems,
            Severity::Warning => &mut self.counts.warnings,
            Severity::Note => &mut self.counts.notes,
        };
        *count += 1;
        if *count <= FINDINGS_MAX as u64 {
            self.findings.push(finding);
        }
    }

    /// Adds an error as a problem at the offset it names, or else at `offset`.
    pub(super) fn add_error(&mut self, severity: Severity, offset: u64, error: &Error) {
        match error {
            Error::Corrupt { offset, damage, .. } => {
                self.add(severity, *offset, damage.to_string());
            }
            other => self.add(severity, offset, other.to_string()),
        }
    }
}
