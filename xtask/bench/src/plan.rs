//! What is measured in which order, each in a process of its own.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::cases::{Case, Measurement, Subject, Workload};
use crate::documents::Documents;
use crate::simulated;
use crate::stores::Figures;

const SMALL: Documents = Documents { count: 1_000_000, body_len: 256 };
const LARGE: Documents = Documents { count: 200_000, body_len: 4096 };
/// For a file of many headers, each a document more.
const OPENED: Documents = Documents { count: 100_000, body_len: 256 };
/// For durable commits: enough of them to tell.
const COMMITTED: Documents = Documents { count: 2_000, body_len: 256 };
const COMMITTED_BY_HUNDRED: Documents = Documents { count: 50_000, body_len: 256 };
/// For changes beside a compaction.
const LIVE: Documents = Documents { count: 500_000, body_len: 256 };

/// For simulations, which make their own.
const NONE: Documents = Documents { count: 0, body_len: 0 };

const FLOORS: [Workload; 4] =
    [Workload::CopyFile, Workload::Checksum, Workload::Snappy, Workload::RandomRead];
const READS: [Workload; 4] =
    [Workload::Get, Workload::MultiGet, Workload::ScanBodies, Workload::ScanIds];
/// With a cache that has to be asked for; others have theirs in any case.
const CACHED_READS: [Workload; 2] = [Workload::GetCached, Workload::MultiGetCached];
const COMMITS: [Workload; 3] =
    [Workload::CommitOne, Workload::CommitOneSlowSync, Workload::CommitOneOneSlowSync];
const COMMITS_BY_HUNDRED: [Workload; 3] =
    [Workload::CommitHundred, Workload::CommitHundredSlowSync, Workload::CommitHundredOneSlowSync];

/// What is wanted.
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) only: Vec<Workload>,
    pub(crate) runs: usize,
    /// The program that runs a script in the page and prints what it comes to.
    pub(crate) browser: Option<PathBuf>,
}

/// Medians of what was measured of one case, and the most memory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) runs: usize,
    #[serde(flatten)]
    pub(crate) medians: Measurement,
}

impl Plan {
    /// Cases whose runs take turns, group by group; files are kept within a list of groups.
    fn groups(&self) -> Vec<Vec<Vec<Case>>> {
        let divisor = if self.quick { 10 } else { 1 };
        let mut all = Vec::new();
        for documents in [SMALL, LARGE].map(|documents| documents.divided(divisor)) {
            // Half of them first: what grows faster than they do shows.
            let sizes = [documents.divided(2), documents];
            let tailswap = |workload| {
                sizes.map(|documents| Case { documents, workload, subject: Subject::Tailswap })
            };
            let floors =
                FLOORS.map(|workload| Case { documents, workload, subject: Subject::Floor });
            let peers = |workload: Workload| {
                let peers = Subject::PEERS.into_iter();
                peers.map(move |subject| Case { documents, workload, subject })
            };
            let both = |workload| tailswap(workload).into_iter().chain(peers(workload));
            all.push(vec![
                both(Workload::Load).collect(),
                both(Workload::Compact).chain(floors).collect(),
                CACHED_READS
                    .into_iter()
                    .flat_map(tailswap)
                    .chain(READS.into_iter().flat_map(both))
                    .collect(),
            ]);
        }
        let every = |documents: Documents, workloads: &[Workload], peers: bool| {
            let mut cases = Vec::new();
            for &workload in workloads {
                let subject = Subject::Tailswap;
                cases.push(Case { documents, workload, subject });
                if peers {
                    let peers = Subject::PEERS.into_iter();
                    cases.extend(peers.map(|subject| Case { documents, workload, subject }));
                }
            }
            vec![cases]
        };
        let (one, slow) = COMMITS.split_at(1);
        all.push(every(COMMITTED.divided(divisor), one, true));
        all.push(every(COMMITTED.divided(divisor), slow, false));
        let (hundred, slow) = COMMITS_BY_HUNDRED.split_at(1);
        all.push(every(COMMITTED_BY_HUNDRED.divided(divisor), hundred, true));
        all.push(every(COMMITTED_BY_HUNDRED.divided(divisor), slow, false));
        all.push(every(OPENED.divided(divisor), &[Workload::Open], false));
        let live = LIVE.divided(divisor);
        all.push(every(live.divided(10), &[Workload::Live], false));
        all.push(every(live, &[Workload::Live, Workload::LiveFlatOut], true));
        let hosts = [Subject::Tailswap, Subject::Browser];
        let simulated = [Workload::Simulate, Workload::SimulateCopy].map(|workload| {
            hosts.map(|subject| Case { documents: NONE, workload, subject }).to_vec()
        });
        all.push(simulated.to_vec());
        all
    }

    fn wants(&self, case: &Case) -> bool {
        (self.only.is_empty() || self.only.contains(&case.workload))
            && (case.subject != Subject::Browser || self.browser.is_some())
    }

    /// Measures all that is wanted, with files in `base`. `told` is given what there is so far, again
    /// and again: a run takes most of an hour.
    pub(crate) fn carry_out(
        &self,
        base: &Path,
        mut told: impl FnMut(&[Row]) -> Result<()>,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for groups in self.groups() {
            for group in groups {
                let group: Vec<Case> = group.into_iter().filter(|case| self.wants(case)).collect();
                let mut measured: BTreeMap<Case, Vec<Measurement>> = BTreeMap::new();
                for run in 1..=self.runs {
                    for &case in &group {
                        prepare(case, base)?;
                        let measurement = match &self.browser {
                            Some(browser) if case.subject == Subject::Browser => {
                                simulated::in_browser(case.workload, browser)
                            }
                            _ => in_own_process(case, base),
                        }?;
                        let Case { documents, workload, subject } = case;
                        eprintln!(
                            "{run}/{}: {workload} {subject} {documents}: {:.3} s, {:.3} s of CPU, {} MB",
                            self.runs,
                            measurement.seconds,
                            measurement.cpu_seconds,
                            measurement.peak_bytes / 1_000_000,
                        );
                        measured.entry(case).or_default().push(measurement);
                    }
                }
                for case in group {
                    rows.extend(measured.get(&case).map(|runs| row(case, runs)));
                }
                told(&rows)?;
            }
            for entry in fs::read_dir(base)? {
                fs::remove_dir_all(entry?.path())?;
            }
        }
        Ok(rows)
    }
}

/// Makes what a case reads, if nobody did so yet.
fn prepare(case: Case, base: &Path) -> Result<()> {
    let needs = match case.workload {
        Workload::Compact => Some((case.with(Workload::Load), case.loaded(base))),
        workload if READS.contains(&workload) || CACHED_READS.contains(&workload) => {
            Some((case.with(Workload::Compact), case.compacted(base)))
        }
        workload if FLOORS.contains(&workload) => {
            let case = Case { subject: Subject::Tailswap, ..case.with(Workload::Compact) };
            Some((case, case.compacted(base)))
        }
        _ => None,
    };
    if let Some((case, folder)) = needs
        && !folder.exists()
    {
        prepare(case, base)?;
        in_own_process(case, base)?;
    }
    Ok(())
}

/// Measures in a new process, so that its memory and its processor's time are its own.
fn in_own_process(case: Case, base: &Path) -> Result<Measurement> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--folder").arg(base).args(["--measure", &serde_json::to_string(&case)?]);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} {} failed", case.workload, case.subject);
    serde_json::from_slice(&output.stdout).context("a measurement is not readable")
}

fn row(case: Case, runs: &[Measurement]) -> Row {
    let middle = |number: &dyn Fn(&Measurement) -> f64| {
        let mut numbers: Vec<f64> = runs.iter().map(number).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.get(numbers.len() / 2).copied().unwrap_or_default()
    };
    let mut figures = Figures::new();
    for name in runs.iter().flat_map(|run| run.figures.keys()) {
        figures.entry(name.clone()).or_insert_with(|| {
            middle(&|run: &Measurement| run.figures.get(name).copied().unwrap_or_default())
        });
    }
    let medians = Measurement {
        seconds: middle(&|run| run.seconds),
        cpu_seconds: middle(&|run| run.cpu_seconds),
        peak_bytes: runs.iter().map(|run| run.peak_bytes).max().unwrap_or_default(),
        operations: middle(&|run| run.operations as f64) as u64,
        bytes: middle(&|run| run.bytes as f64) as u64,
        figures,
    };
    Row { case, runs: runs.len(), medians }
}
