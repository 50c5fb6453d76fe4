//! Where the mutations of a run come from: lines of JSON, or the generator.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::generator::Generator;
use super::workload::Workload;
use crate::exit::{Failure, Outcome};
use crate::mutations::{BadInput, Change, ChangeReader};

/// Changes handed over together, at most.
const BATCH: usize = 256;
/// Batches that the reading thread may be ahead by.
const QUEUE: usize = 16;
/// Longest wait for a change before looking at whether to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// A source of changes.
pub(super) enum Source {
    Stream(Stream),
    Generator(Box<Generated>),
}

/// What came of asking for the next change.
pub(super) enum Next {
    Change(Change),
    /// There is none right now; ask again.
    NotYet,
    End,
    Failed(Failure),
}

impl Source {
    /// Changes from a file, or from standard input for `-`, read by a thread of its own: a wait
    /// for input must not keep anything else from being noticed.
    pub(super) fn stream(path: &Path) -> Outcome<Self> {
        let reader = ChangeReader::open(path)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let started = thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read_ahead(reader, &sender));
        // Nobody waits for the thread: it may be waiting for input when the process ends.
        started.map_err(|error| Failure::io(format_args!("cannot start a thread: {error}")))?;
        let (path, number) = (path.to_owned(), 0);
        Ok(Source::Stream(Stream { path, receiver, batch: Vec::new().into_iter(), number }))
    }

    /// Changes made up, and written to `record` as well.
    pub(super) fn generator(workload: Workload, seed: u64, record: Option<&Path>) -> Outcome<Self> {
        let record = record.map(Record::create).transpose()?;
        let (began, made) = (Instant::now(), 0);
        let generator = Generator::new(workload.clone(), seed);
        let generated = Generated { workload, generator, began, made, record };
        Ok(Source::Generator(Box::new(generated)))
    }

    pub(super) fn next(&mut self) -> Next {
        match self {
            Source::Stream(stream) => stream.next(),
            Source::Generator(generated) => generated.next(),
        }
    }

    /// The failure that the last change cannot be carried out.
    pub(super) fn bad(&self, what: String) -> Failure {
        match self {
            Source::Stream(Stream { path, number, .. }) => {
                BadInput::Line { number: *number, what }.failure(path)
            }
            Source::Generator(_) => Failure::usage(what),
        }
    }

    /// Notes a change before it is handed over, where that was asked for.
    pub(super) fn record(&mut self, vbucket: u16, change: &Change) -> Outcome<()> {
        match self {
            Source::Generator(generated) => match &mut generated.record {
                Some(record) => record.write(vbucket, change),
                None => Ok(()),
            },
            Source::Stream(_) => Ok(()),
        }
    }

    /// There are no more changes to come, or to ask for.
    pub(super) fn finish(&mut self) -> Outcome<()> {
        match self {
            Source::Generator(generated) => match &mut generated.record {
                Some(record) => record.out.flush().map_err(|error| record.failed(error)),
                None => Ok(()),
            },
            Source::Stream(_) => Ok(()),
        }
    }
}

type Numbered = Result<(u64, Change), BadInput>;

/// Changes from lines.
pub(super) struct Stream {
    path: PathBuf,
    receiver: Receiver<Vec<Numbered>>,
    batch: std::vec::IntoIter<Numbered>,
    /// Line of the last change.
    number: u64,
}

impl Stream {
    fn next(&mut self) -> Next {
        loop {
            match self.batch.next() {
                Some(Ok((number, change))) => {
                    self.number = number;
                    return Next::Change(change);
                }
                Some(Err(bad)) => return Next::Failed(bad.failure(&self.path)),
                None => {}
            }
            match self.receiver.recv_timeout(PATIENCE) {
                Ok(batch) => self.batch = batch.into_iter(),
                Err(RecvTimeoutError::Timeout) => return Next::NotYet,
                Err(RecvTimeoutError::Disconnected) => return Next::End,
            }
        }
    }
}

/// Reads lines until the end, the first bad one, or the other side's being gone. A change is never
/// held back while waiting for the next.
fn read_ahead(mut reader: ChangeReader, sender: &SyncSender<Vec<Numbered>>) {
    let mut batch = Vec::new();
    while let Some(change) = reader.next() {
        batch.push(change.map(|change| (reader.number(), change)));
        let full = batch.len() >= BATCH || !reader.has_next_at_hand();
        if full && sender.send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    // Whether anyone still listens makes no difference any more.
    let _ = sender.send(batch);
}

/// Changes from the generator, at the pace and up to the end that the workload sets.
pub(super) struct Generated {
    workload: Workload,
    generator: Generator,
    began: Instant,
    made: u64,
    record: Option<Record>,
}

impl Generated {
    fn next(&mut self) -> Next {
        let elapsed = self.began.elapsed();
        let enough = self.workload.mutations.is_some_and(|mutations| self.made >= mutations);
        if enough || self.workload.duration().is_some_and(|duration| elapsed >= duration) {
            return Next::End;
        }
        if let Some(rate) = self.workload.rate {
            // The slowest rates are due later than any time can say.
            let due = Duration::try_from_secs_f64(self.made as f64 / rate);
            let due = due.unwrap_or(Duration::MAX);
            if let Some(early) = due.checked_sub(elapsed).filter(|early| !early.is_zero()) {
                thread::sleep(early.min(PATIENCE));
                return Next::NotYet;
            }
        }
        self.made += 1;
        Next::Change(self.generator.next_change())
    }
}

/// A file that gets the generator's changes, as lines for `--input`.
pub(super) struct Record {
    out: BufWriter<File>,
    name: String,
}

impl Record {
    fn create(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            Failure::opening(&error, format_args!("{name}: cannot create: {error}"))
        };
        let out = BufWriter::with_capacity(256 << 10, File::create(path).map_err(failed)?);
        Ok(Record { out, name })
    }

    fn write(&mut self, vbucket: u16, change: &Change) -> Outcome<()> {
        let key = String::from_utf8_lossy(change.key());
        // The generator's keys need no escapes, and its values are JSON.
        let written = match &change.mutation.value {
            None => writeln!(self.out, r#"{{"op":"delete","key":"{key}","vb":{vbucket}}}"#),
            Some(value) => {
                let value = String::from_utf8_lossy(value);
                let out = &mut self.out;
                writeln!(out, r#"{{"op":"set","key":"{key}","vb":{vbucket},"value":{value}}}"#)
            }
        };
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::io(format_args!("{}: cannot write: {error}", self.name))
    }
}
