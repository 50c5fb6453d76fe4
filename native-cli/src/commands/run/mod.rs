//! `tailswap run`: the main job. Mutations stream into a data directory through the flushers while
//! compaction runs beside them.

mod acks;
mod feed;
mod generator;
mod live;
mod observer;
mod source;
mod summary;
mod trace;
mod workload;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tailswap::Error;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{FileVolume, SystemHost};
use tailswap::engine::{AutomaticCompaction, Engine, EngineOptions};
use tailswap::event::Events;

use self::acks::Acks;
use self::feed::Feed;
use self::live::watch_live;
use self::observer::Observer;
use self::source::Source;
use self::summary::Summary;
use self::trace::Trace;
use self::workload::Workload;
use crate::arguments;
use crate::commands::interrupt::Interrupt;
use crate::exit::{Failure, Outcome, Status};
use crate::input::{
    CommitOptions, cannot_enter, name_of, one_sync_may_help, open_mode, tell_recovery,
};

/// Stream mutations into a data directory, with compaction in parallel
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Mutations come from JSON lines (as for `tailswap load`, see its help) or from a seeded generator.
Without \"vb\" the key picks the vbucket, as in Couchbase. Ctrl-C, or the end of the input, flushes
what is queued and ends; so does a bad line, after which the exit code is 3. A compaction that is
under way then is given up.

Opening a directory removes what crashes and compactions left in it: of each vbucket the file of the
highest revision stays. Never run this on a directory that a running Couchbase node uses.

A stall is what somebody who writes has to wait for: the vbucket's lock, which a compaction holds
for its last step (--max-stall-ms); room in the queue (--queue-bytes); or being slowed down, where a
compaction would not catch up. The summary tells the longest.

WORKLOAD is a list of settings, KEY=VALUE,KEY=VALUE and so on. Their defaults:
  documents=100000     keys in all
  sizes=100..1000      bytes of a value
  updates=80           percent of mutations that write a document again
  deletes=5            percent that delete one; the rest are new documents while there are any
  skew=0.99            exponent of the Zipf law by which documents are picked; 0 picks evenly
  rate=0               mutations a second; 0 for as many as possible
  duration=10s         when to stop; without end by default if mutations are given
  mutations=N          when to stop, too; no such number by default

Examples:
  tailswap run data --workload documents=200000,duration=60s --seed 7
  producer | tailswap run data --input - --json --acks acks.jsonl
  tailswap run data --input mutations.jsonl --vbuckets 16 --fragmentation 50 --trace run.trace")]
pub(crate) struct Run {
    /// The data directory; it is made if there is none
    dir: PathBuf,
    #[command(flatten)]
    origin: Origin,
    /// Seed of the generator: the same one gives the same mutations
    #[arg(long, value_name = "N", default_value_t = 1, requires = "workload")]
    seed: u64,
    /// Write what the generator makes as mutations for --input
    #[arg(long, value_name = "FILE", requires = "workload")]
    record: Option<PathBuf>,
    /// Vbuckets; the default is as many as the directory has, or 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    vbuckets: Option<u16>,
    /// Threads that flush
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = arguments::at_least_one)]
    flushers: usize,
    /// Threads that compact; 0 for no compaction
    #[arg(long, value_name = "N", default_value_t = 1)]
    compactors: usize,
    /// Mutations that may wait for the flusher in each vbucket, in bytes
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = arguments::bytes)]
    queue_bytes: u64,
    /// Compact a file from this fragmentation on, in percent
    #[arg(long, value_name = "PERCENT", default_value = "30", value_parser = arguments::part)]
    fragmentation: f64,
    /// Compact a file from this size on
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = arguments::bytes)]
    min_size: u64,
    /// How long a compaction's last step may hold the lock that flushers wait for, syncs apart
    #[arg(long, value_name = "MS", default_value_t = 20)]
    max_stall_ms: u64,
    /// Write every event with its time to this file: the page plays it, `tailswap trace` prints it
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Append a line {"vb":N,"seq":N} to this file whenever a vbucket is durable up to there
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Pass over damage at the ends of files, back to the newest sound headers
    #[arg(long)]
    recovery: bool,
    #[command(flatten)]
    commits: CommitOptions,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Where mutations come from; one of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Origin {
    /// Read mutations from this file; - for standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Make mutations up
    #[arg(long)]
    workload: Option<Workload>,
}

impl Run {
    pub(crate) fn run(&self) -> Outcome {
        let interrupt = Interrupt::watch()?;
        let source = self.source()?;
        let acks = self.acks.as_deref().map(Acks::open).transpose()?;
        let trace = self.trace.as_deref().map(Trace::create).transpose()?;
        let observer = Arc::new(Observer::new(acks, trace));
        let mut engine = self.open_engine(&observer)?;
        for recovered in engine.recovered() {
            let snapshot = &recovered.snapshot;
            let name = name_of(&self.dir.join(&*snapshot.file().name));
            tell_recovery(&name, snapshot, &recovered.passed_over)?;
        }
        let vbuckets = self.prepare_vbuckets(&engine)?;
        let began = Instant::now();
        let mut feed = Feed::new(&engine, &observer, &interrupt, vbuckets);
        let fed = watch_live(&engine, &observer, feed.counter(), || match feed.run(source) {
            // It was waited long enough already.
            Err(failure) if failure.status == Status::Io => Err(failure),
            // Also after a bad line: what came before it is to be durable.
            fed => {
                let drained = feed.drain();
                if let (Err(_), Err(drained)) = (&fed, &drained) {
                    drained.tell();
                }
                fed.and(drained)
            }
        });
        let (mutations, took) = (feed.mutations(), began.elapsed());
        drop(feed);
        let stopped = engine.stop();
        // Not before: a compaction may have been in the middle of its swap.
        let summary = Summary::new(&engine, mutations, took);
        let observed = observer.finish();
        let ended = fed.and(stopped.map_err(Failure::from)).and(observed);
        ended.map_err(|failure| with_acknowledged(failure, &observer))?;
        summary?.tell(self.json)?;
        Ok(Status::Fine)
    }

    fn source(&self) -> Outcome<Source> {
        match (&self.origin.input, &self.origin.workload) {
            (Some(path), _) => Source::stream(path),
            (None, Some(workload)) => {
                Source::generator(workload.clone(), self.seed, self.record.as_deref())
            }
            // The argument parser sees to it that there is one.
            (None, None) => Err(Failure::usage("--input or --workload is needed")),
        }
    }

    fn open_engine(&self, observer: &Arc<Observer>) -> Outcome<Engine> {
        let dir = &self.dir;
        make_directory(dir)?;
        let volume = FileVolume::open_writable(dir).map_err(|error| cannot_enter(dir, &error))?;
        let host = SystemHost::new()
            .map_err(|error| Failure::io(format_args!("no random numbers: {error}")))?;
        let max_stall_ns = self.max_stall_ms.saturating_mul(1_000_000);
        let (fragmentation, minimum_size) = (self.fragmentation, self.min_size);
        let options = EngineOptions {
            flusher_threads: self.flushers,
            compactor_threads: self.compactors,
            queue_bytes: self.queue_bytes,
            automatic: Some(AutomaticCompaction { fragmentation, minimum_size })
                .filter(|_| self.compactors > 0),
            compaction: CompactionOptions { max_stall_ns, ..CompactionOptions::default() },
            open_mode: open_mode(self.recovery),
            commit_style: self.commits.style(),
            events: Events::to(observer.clone()),
            ..EngineOptions::default()
        };
        Engine::open(Arc::new(volume), Arc::new(host), options).map_err(|error| self.refusal(error))
    }

    /// The directory cannot be opened: says why, and what to do about it.
    fn refusal(&self, error: Error) -> Failure {
        let one_sync = match one_sync_may_help(&error, self.commits.style()) {
            true => ", and `--one-sync` takes back a commit that a crash cut short",
            false => "",
        };
        match &error {
            Error::NoVBucket { .. } => Failure::from(error).with_hint(
                "it was not written as a vbucket's: if it came here by mistake, move it elsewhere; \
                 `tailswap load` adds to it there, and each command that reads one file reads it",
            ),
            Error::Corrupt { .. } if !self.recovery => {
                Failure::from(error).with_hint(format_args!(
                    "`tailswap run --recovery …` goes on from the newest sound header, where there \
                     is one{one_sync}; `tailswap check` tells what is damaged"
                ))
            }
            _ => error.into(),
        }
    }

    /// Creates what vbuckets are missing; returns how many there are for keys to be spread over.
    ///
    /// Another number than before would send keys to other vbuckets than those that hold them.
    fn prepare_vbuckets(&self, engine: &Engine) -> Outcome<u16> {
        let there = engine.vbuckets();
        let enough = there.last().map_or(1, |highest| highest.saturating_add(1));
        let vbuckets = self.vbuckets.unwrap_or(enough);
        if !there.is_empty() && vbuckets != enough {
            return Err(Failure::usage(format_args!(
                "the directory has vbuckets up to {}: with --vbuckets {vbuckets} keys would go to \
                 other ones than before",
                enough - 1
            )));
        }
        for vbucket in (0..vbuckets).filter(|vbucket| !there.contains(vbucket)) {
            engine.create(vbucket)?;
        }
        Ok(vbuckets)
    }
}

fn make_directory(dir: &Path) -> Outcome<()> {
    fs::create_dir_all(dir).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            Failure::input(format_args!("{}: is not a directory", dir.display()))
        }
        _ => {
            let what = format_args!("{}: cannot make the directory: {error}", dir.display());
            Failure::opening(&error, what)
        }
    })
}

/// Adds to a failure what holds all the same.
fn with_acknowledged(failure: Failure, observer: &Observer) -> Failure {
    match observer.acknowledged() {
        None => failure.with_hint("nothing was acknowledged"),
        Some(acknowledged) => {
            failure.with_hint(format_args!("what was acknowledged is intact: {acknowledged}"))
        }
    }
}
