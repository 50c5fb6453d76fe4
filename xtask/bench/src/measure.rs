//! One measurement, in a process of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cases::{Case, Measurement, Subject, Workload};
use crate::device::Syncs;
use crate::documents::{Change, Writer, key};
use crate::floors;
use crate::live;
use crate::simulated;
use crate::stores::{self, Figures, Read};
use crate::usage::{Stopwatch, forget_peak, peak_memory, warm_memory};

/// Changes in a commit while loading.
const LOAD_BATCH: usize = 2000;
/// Of the first round of updates, one in so many is a deletion, which the second makes good.
const ONE_DELETED_IN: usize = 20;
/// Documents that are got one after another.
const GETS: u64 = 200_000;
/// Documents of a multi-get.
const MULTI_GET: usize = 100;
/// Of nodes of the tree, where a cache is asked for.
const CACHE_BYTES: usize = 64_000_000;
/// Headers of the file that is opened.
const HEADERS: u64 = 100_000;

/// What was done, for how much of it there was.
pub(crate) struct Done {
    pub(crate) watch: Stopwatch,
    pub(crate) read: Read,
    pub(crate) figures: Figures,
}

impl Done {
    fn new(watch: Stopwatch, entries: u64, bytes: u64) -> Self {
        Done { watch, read: Read { entries, bytes }, figures: Figures::new() }
    }
}

/// Does what a case says; folders that it needs are there.
pub(crate) fn measure(case: Case, base: &Path) -> Result<Measurement> {
    let done = match case.workload {
        Workload::Load => load(case, &case.loaded(base)),
        Workload::Compact => compact(case, base),
        Workload::Get
        | Workload::GetCached
        | Workload::MultiGet
        | Workload::MultiGetCached
        | Workload::ScanBodies
        | Workload::ScanIds => read(case, &case.compacted(base)),
        Workload::Open => open(case, base),
        Workload::CommitOne => commits(case, &case.work(base), 1, Syncs::Real),
        Workload::CommitHundred => commits(case, &case.work(base), 100, Syncs::Real),
        Workload::CommitOneSlowSync | Workload::CommitOneOneSlowSync => {
            commits(case, &case.work(base), 1, Syncs::Slow)
        }
        Workload::CommitHundredSlowSync | Workload::CommitHundredOneSlowSync => {
            commits(case, &case.work(base), 100, Syncs::Slow)
        }
        Workload::Live | Workload::LiveFlatOut => live::measure(case, fresh(&case.work(base))?),
        Workload::Simulate | Workload::SimulateCopy => simulated::measure(case.workload),
        Workload::CopyFile | Workload::Checksum | Workload::Snappy | Workload::RandomRead => {
            let file = Case { subject: Subject::Tailswap, ..case }.compacted(base);
            floors::measure(case.workload, &file, fresh(&case.work(base))?)
        }
    }?;
    Ok(Measurement {
        seconds: done.watch.wall.as_secs_f64(),
        cpu_seconds: done.watch.cpu.as_secs_f64(),
        peak_bytes: peak_memory()?,
        operations: done.read.entries,
        bytes: done.read.bytes,
        figures: done.figures,
    })
}

/// An empty folder of this name.
fn fresh(folder: &Path) -> Result<&Path> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder)
}

/// Bytes of all files in a folder.
fn length(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        sum += if about.is_dir() { length(&path)? } else { about.len() };
    }
    Ok(sum)
}

fn load(case: Case, folder: &Path) -> Result<Done> {
    let folder = fresh(folder)?;
    warm_memory()?;
    let mut store = stores::open(case.subject, folder, Syncs::Free)?;
    let mut writer = Writer::new(case.documents);
    let (mut watch, mut changes) = (Stopwatch::default(), 0);
    forget_peak()?;
    for round in 0..3 {
        for numbers in writer.shuffled().chunks(LOAD_BATCH) {
            let mut batch: Vec<Change> =
                numbers.iter().map(|&number| writer.set(u64::from(number))).collect();
            if round == 1 {
                batch.iter_mut().step_by(ONE_DELETED_IN).for_each(|change| change.value = None);
            }
            changes += batch.len() as u64;
            watch.time(|| store.commit(batch))?;
        }
    }
    // What a store still has to do to be closed is part of it.
    watch.time(|| drop(store));
    Ok(Done::new(watch, changes, length(folder)?))
}

fn compact(case: Case, base: &Path) -> Result<Done> {
    let (source, target) = (case.loaded(base), case.compacted(base));
    fresh(&target)?;
    warm_memory()?;
    let mut watch = Stopwatch::default();
    forget_peak()?;
    stores::reclaim(case.subject, &source, &target, &mut watch)?;
    Ok(Done::new(watch, case.documents.count, length(&target)?))
}

fn read(case: Case, folder: &Path) -> Result<Done> {
    let cached = matches!(case.workload, Workload::GetCached | Workload::MultiGetCached);
    let store = match cached {
        true => stores::open_cached(folder, CACHE_BYTES)?,
        false => stores::open(case.subject, folder, Syncs::Real)?,
    };
    let count = case.documents.count;
    // What is measured is memory, not the disk: the first time brings the file into it.
    ensure!(store.scan_values()?.entries == count, "not all documents are there");
    let mut writer = Writer::new(case.documents);
    let mut any_keys = || (0..GETS.min(count)).map(|_| key(writer.any())).collect::<Vec<_>>();
    if cached {
        store.get_each(&any_keys())?;
    }
    let many = matches!(case.workload, Workload::MultiGet | Workload::MultiGetCached);
    // More memory than anything else here takes: only where keys are asked for.
    let mut keys = match case.workload {
        Workload::ScanBodies | Workload::ScanIds => Vec::new(),
        _ => any_keys(),
    };
    if many {
        keys.chunks_mut(MULTI_GET).for_each(<[_]>::sort);
    }
    forget_peak()?;
    let mut watch = Stopwatch::default();
    let read = watch.time(|| match case.workload {
        Workload::ScanBodies => store.scan_values(),
        Workload::ScanIds => store.scan_keys(),
        _ if many => store.get_many(&keys, MULTI_GET),
        _ => store.get_each(&keys),
    })?;
    let asked = if keys.is_empty() { count } else { keys.len() as u64 };
    ensure!(read.entries >= asked, "not all documents were read");
    Ok(Done::new(watch, read.entries, read.bytes))
}

fn commits(case: Case, folder: &Path, batch: u64, syncs: Syncs) -> Result<Done> {
    let folder = fresh(folder)?;
    warm_memory()?;
    let mut store = match case.workload {
        Workload::CommitOneOneSlowSync | Workload::CommitHundredOneSlowSync => {
            stores::create_with_one_sync(folder, syncs)?
        }
        _ => stores::open(case.subject, folder, syncs)?,
    };
    let mut writer = Writer::new(case.documents);
    let (mut watch, mut latencies) = (Stopwatch::default(), live::Latencies::new()?);
    let commits = case.documents.count / batch;
    forget_peak()?;
    for _ in 0..commits {
        let changes = (0..batch).map(|_| writer.any()).collect::<Vec<u64>>();
        let changes = changes.into_iter().map(|number| writer.set(number)).collect();
        let before = watch.wall;
        watch.time(|| store.commit(changes))?;
        latencies.record(watch.wall.saturating_sub(before));
    }
    let mut done = Done::new(watch, commits, length(folder)?);
    done.figures = store.figures();
    latencies.tell("commit", &mut done.figures);
    Ok(done)
}

fn open(case: Case, base: &Path) -> Result<Done> {
    let folder = case.loaded(base);
    let headers = HEADERS.min(case.documents.count);
    if !folder.exists() {
        let mut store = stores::open(case.subject, fresh(&folder)?, Syncs::Free)?;
        let mut writer = Writer::new(case.documents);
        for number in 0..headers {
            store.commit(vec![writer.set(number)])?;
        }
    }
    let mut watch = Stopwatch::default();
    forget_peak()?;
    stores::reopen(case.subject, &folder, &mut watch).context("opening")?;
    Ok(Done::new(watch, 1, length(&folder)?))
}
