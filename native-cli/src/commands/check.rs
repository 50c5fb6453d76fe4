//! `tailswap check`: verifying whole files.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tailswap::store::check::{Checker, Finding, Report, Severity};
use tailswap::store::{Budget, OpenMode, Step};

use crate::exit::{Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::progress::Progress;
use crate::output::text::{Bytes, Count, Said};
use crate::output::{self, json, style};

/// Work between two looks at the progress.
const BUDGET: Budget = Budget { bytes: 4 << 20, entries: 65536 };
/// Characters of a finding on a line for people.
const SHOWN: usize = 400;

/// Verify whole files: every header and all that can be reached from it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checked are every reachable chunk from every header, both trees against each other, order, sizes,
reduces, local documents and headers. A problem means that something which was committed is damaged,
and makes the exit code 1. A warning means that all of it is there although something is not as it
should be. A note is harmless: what a crash leaves behind the last header, for one. With --recovery,
damage that `--recovery` passes over when opening is a warning.

Examples:
  tailswap check data/0.couch.1
  tailswap check --json data/*.couch.* | jq -c 'select(.sound | not) | {path, findings}'")]
pub(crate) struct Check {
    /// Couchstore files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadOptions,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    path: String,
    sound: bool,
    problems: u64,
    warnings: u64,
    notes: u64,
    headers: u64,
    documents: u64,
    nodes: u64,
    bodies: u64,
    bytes: u64,
    findings: &'a [Finding],
}

impl Check {
    pub(crate) fn run(&self) -> Outcome {
        let mut worst = Status::Fine;
        for path in &self.files {
            // One bad file does not keep the others from being checked.
            let status = self.check(path).unwrap_or_else(|failure| failure.tell());
            worst = worst.max(status);
        }
        Ok(worst)
    }

    fn check(&self, path: &Path) -> Outcome {
        let report = run_checker(path, self.reading.mode())?;
        match self.reading.json {
            true => write_json(path, &report)?,
            false => write_text(path, &report)?,
        }
        Ok(if report.is_sound() { Status::Fine } else { Status::Refused })
    }
}

fn run_checker(path: &Path, mode: OpenMode) -> Outcome<Report> {
    let mut checker = Checker::new(&input::name_of(path), input::device(path)?, mode)?;
    let progress = Progress::bytes(&path.display().to_string(), checker.progress().total);
    while checker.step(&mut BUDGET.clone())? != Step::Done {
        progress.set(checker.progress().done);
    }
    Ok(checker.into_report())
}

fn write_json(path: &Path, report: &Report) -> Outcome<()> {
    let mut out = output::raw();
    let line = JsonReport {
        path: path.display().to_string(),
        sound: report.is_sound(),
        problems: report.counts.problems,
        warnings: report.counts.warnings,
        notes: report.counts.notes,
        headers: report.headers,
        documents: report.documents,
        nodes: report.nodes,
        bodies: report.bodies,
        bytes: report.bytes,
        findings: &report.findings,
    };
    json::line(&mut out, &line)?;
    Ok(out.flush()?)
}

fn write_text(path: &Path, report: &Report) -> Outcome<()> {
    let mut out = output::styled();
    let (path, counts) = (path.display(), report.counts);
    for finding in &report.findings {
        let (style, severity) = match finding.severity {
            Severity::Problem => (style::BAD, "problem"),
            Severity::Warning => (style::WARNING, "warning"),
            Severity::Note => (style::DIM, "note"),
        };
        let what = Said(&finding.what, SHOWN);
        writeln!(out, "{path}: {style}{severity}{style:#} at offset {}: {what}", finding.offset)?;
    }
    let shown = report.findings.len() as u64;
    let hidden = (counts.problems + counts.warnings + counts.notes).saturating_sub(shown);
    if hidden > 0 {
        writeln!(out, "{path}: {hidden} more findings are not shown")?;
    }
    let (style, verdict) = match report.is_sound() {
        true => (style::GOOD, "sound"),
        false => (style::BAD, "damaged"),
    };
    writeln!(
        out,
        "{path}: {style}{verdict}{style:#}: {}, {}, {}, {}, {} verified; {}, {}, {}",
        Count(report.headers, "header"),
        Count(report.documents, "document"),
        Count(report.nodes, "node"),
        Count(report.bodies, "body"),
        Bytes(report.bytes),
        Count(counts.problems, "problem"),
        Count(counts.warnings, "warning"),
        Count(counts.notes, "note"),
    )?;
    Ok(out.flush()?)
}
