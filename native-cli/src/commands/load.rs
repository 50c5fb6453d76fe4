//! `tailswap load`: mutations into one file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Instant;

use serde::Serialize;
use tailswap::device::{Host, SystemHost};
use tailswap::engine::ThreadedVisits;
use tailswap::event::{Events, FileName};
use tailswap::flusher::queue::Queued;
use tailswap::flusher::{Stamp, advance_state, doc_update};
use tailswap::format::header::{Header, VERSION_MAX};
use tailswap::format::names::parse_file_name;
use tailswap::format::vbstate::{VBSTATE_ID, VbState};
use tailswap::store::{Batch, CommitStyle, Create, LocalUpdate, Opening, Store};

use crate::exit::{Failure, Outcome, Status};
use crate::input::{self, CommitOptions};
use crate::mutations::{Change, ChangeReader, is_stdin};
use crate::output::progress::Progress;
use crate::output::text::{Bytes, Count};
use crate::output::{self, json};
use crate::target::Target;

/// Bytes of mutations that are committed together at most, whatever --batch says, so that memory is
/// bounded.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// Load mutations into one file, which is created if there is none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Mutations are JSON, one object a line:
  {\"op\":\"set\",\"key\":\"k\",\"value\":ANY JSON}       stored as its compact text
  {\"op\":\"set\",\"key\":\"k\",\"value_b64\":\"AAEC\"}   stored as these bytes
  {\"op\":\"delete\",\"key\":\"k\"}
A line may also have \"expiry\" (seconds since 1970), \"flags\" and \"cas\"; \"vb\" is not looked at, since
there is only one file. Blank lines are skipped.

Documents are written as a Couchbase node would write them: the default collection's prefix before
the key, 18 bytes of metadata, the next sequence number and revision, the body compressed. Where the
file has a vbucket state it is kept up to date; a new file gets one if its name is that of a
vbucket's data file (0.couch.1), so that `tailswap run` can take it up.

A bad line is an error with its number; everything before it is durable. Whatever ends a load, it
says how many mutations are.

Examples:
  tailswap load new.couch --input mutations.jsonl
  zcat mutations.jsonl.gz | tailswap load data/0.couch.1 --batch 5000")]
pub(crate) struct Load {
    /// The couchstore file to write
    file: PathBuf,
    /// Where mutations come from; - for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Mutations in a commit
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Pass over damage at the end of the file, back to the newest sound header
    #[arg(long)]
    recovery: bool,
    #[command(flatten)]
    commits: CommitOptions,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    path: String,
    mutations: u64,
    commits: u64,
    update_seq: u64,
    file_size: u64,
    seconds: f64,
}

impl Load {
    pub(crate) fn run(&self) -> Outcome {
        let began = Instant::now();
        let mut changes = ChangeReader::open(&self.input)?;
        let mut loading = Loading::open(&self.file, self.recovery, self.commits.style())?;
        let (loaded, file) = (self.load(&mut changes, &mut loading), self.file.display());
        let store = loaded.map_err(|failure| match loading.mutations {
            0 => failure.with_hint("nothing is known to be durable"),
            1 => failure.with_hint(format_args!("the first mutation is durable in {file}")),
            stored => failure
                .with_hint(format_args!("the first {stored} mutations are durable in {file}")),
        })?;
        let Some(store) = store else { return Ok(Status::Fine) };
        let snapshot = store.snapshot()?;
        self.tell(Summary {
            path: self.file.display().to_string(),
            mutations: loading.mutations,
            commits: loading.commits,
            update_seq: snapshot.header().update_seq,
            file_size: store.len(),
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn load(&self, changes: &mut ChangeReader, loading: &mut Loading) -> Outcome<Option<Store>> {
        let progress = self.progress();
        let ended = loop {
            match changes.next() {
                Some(Ok(change)) => loading.push(change),
                Some(Err(bad)) => break Err(bad.failure(&self.input)),
                None => break Ok(()),
            }
            if loading.batch.len() as u64 >= self.batch || loading.bytes >= BATCH_BYTES_MAX {
                loading.commit()?;
                match is_stdin(&self.input) {
                    true => progress.set(loading.mutations),
                    false => progress.set(changes.bytes()),
                }
            }
        };
        // Also before a bad line is told: what came before it is to be durable.
        loading.finish(ended)
    }

    fn progress(&self) -> Progress {
        let length = std::fs::metadata(&self.input).map(|metadata| metadata.len());
        match length {
            Ok(length) if !is_stdin(&self.input) => Progress::bytes("loading", length),
            _ => Progress::open_ended("loading mutations"),
        }
    }

    fn tell(&self, summary: Summary) -> Outcome {
        let mut out = output::raw();
        if self.json {
            json::line(&mut out, &summary)?;
        } else {
            writeln!(
                out,
                "{}: {} in {}, {:.2} s ({:.0} a second); sequence number {}, {}",
                summary.path,
                Count(summary.mutations, "mutation"),
                Count(summary.commits, "commit"),
                summary.seconds,
                summary.mutations as f64 / summary.seconds.max(1e-9),
                summary.update_seq,
                Bytes(summary.file_size)
            )?;
        }
        out.flush()?;
        Ok(Status::Fine)
    }
}

/// The file being loaded, and the batch in the making.
struct Loading {
    target: Target,
    host: SystemHost,
    commit_style: CommitStyle,
    /// `None` until the first commit creates the file.
    store: Option<Store>,
    state: Option<VbState>,
    stamp: Stamp,
    next_seq: u64,
    batch: Vec<Queued>,
    bytes: u64,
    /// Mutations that are durable.
    mutations: u64,
    commits: u64,
}

impl Loading {
    fn open(path: &Path, recovery: bool, commits: CommitStyle) -> Outcome<Self> {
        let host = SystemHost::new()
            .map_err(|error| Failure::io(format_args!("no random numbers: {error}")))?;
        let target = Target::open(path)?;
        let failed = |source| {
            let file = FileName::from(target.name.as_str());
            target.failure(tailswap::Error::io(tailswap::error::IoOp::List, &file, None, source))
        };
        let exists = target.volume.list().map_err(failed)?.contains(&target.name) || path.exists();
        let mut loading = Loading {
            host,
            commit_style: commits,
            store: None,
            state: None,
            stamp: Stamp::default(),
            next_seq: 1,
            batch: Vec::new(),
            bytes: 0,
            mutations: 0,
            commits: 0,
            target,
        };
        match exists {
            true => loading.open_existing(path, recovery)?,
            false if parse_file_name(&loading.target.name).is_some() => {
                loading.state = Some(VbState::new_active(loading.host.random_u64()));
            }
            false => {}
        }
        Ok(loading)
    }

    fn open_existing(&mut self, path: &Path, recovery: bool) -> Outcome<()> {
        // What is no file at all is told as every reading command tells it.
        let device = input::device(path)?;
        let mode = input::open_mode(recovery);
        let (volume, name) = (self.target.volume.as_ref(), self.target.name.as_str());
        let opening = Opening { mode, commits: self.commit_style };
        let opened = Store::open(volume, name, opening, Events::none());
        let (store, passed_over) = opened.map_err(|error| {
            let one_sync_may_help = input::one_sync_may_help(&error, self.commit_style);
            input::refusal(self.target.named(error), path, device, mode, "load", one_sync_may_help)
        })?;
        let snapshot = store.snapshot()?;
        input::tell_recovery(&input::name_of(path), &snapshot, &passed_over)?;
        if let Some(json) = snapshot.local(VBSTATE_ID).map_err(|e| self.target.failure(e))? {
            let unreadable = || {
                Failure::input(format_args!("{}: _local/vbstate is not readable", path.display()))
            };
            let state = VbState::decode(&json).ok_or_else(unreadable)?;
            self.stamp = Stamp::after(state.max_cas);
            self.state = Some(state);
        }
        self.next_seq = snapshot.header().update_seq + 1;
        self.go_on_with(store);
        Ok(())
    }

    fn push(&mut self, change: Change) {
        let mut mutation = change.mutation;
        self.stamp.fill_in(&mut mutation, self.host.now_ns());
        self.bytes += mutation.bytes();
        self.batch.push(Queued { seq: self.next_seq, mutation, replaced: None });
        self.next_seq += 1;
    }

    fn commit(&mut self) -> Outcome<()> {
        let queued = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let mut locals = Vec::new();
        if let Some(state) = &mut self.state {
            advance_state(state, &queued);
            locals.push(LocalUpdate { id: VBSTATE_ID.to_vec(), value: Some(state.encode()) });
        }
        let batch = Batch { documents: queued.iter().map(doc_update).collect(), locals };
        let now = self.host.now_ns();
        let result = match &mut self.store {
            Some(store) => store.save(batch, now).map(|_| ()),
            None => self.create(batch, now),
        };
        result.map_err(|error| self.target.failure(error))?;
        self.mutations += queued.len() as u64;
        self.commits += 1;
        Ok(())
    }

    fn create(&mut self, batch: Batch, now: u64) -> tailswap::Result<()> {
        let (volume, header) = (self.target.volume.clone(), Header::empty(VERSION_MAX));
        let create = Create::new(volume, &self.target.name, header, batch, now, Events::none())?;
        let mut store = create.finish()?;
        store.set_commit_style(self.commit_style);
        self.go_on_with(store);
        Ok(())
    }

    fn go_on_with(&mut self, mut store: Store) {
        // On a single processor a thread would only add to the work.
        if available_parallelism().is_ok_and(|threads| threads.get() > 1) {
            store.read_nodes_with(ThreadedVisits::join);
        }
        self.store = Some(store);
    }

    /// Commits what is left when the input has `ended`. Input without mutations makes an empty file, if
    /// nothing is wrong with it.
    fn finish(&mut self, ended: Outcome<()>) -> Outcome<Option<Store>> {
        if !self.batch.is_empty() {
            self.commit()?;
        }
        ended?;
        if self.store.is_none() {
            self.commit()?;
        }
        Ok(self.store.take())
    }
}
