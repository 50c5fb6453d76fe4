//! The trace: every event as a line of JSON, written by a thread of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde::Serialize;
use tailswap::event::Event;

use crate::exit::{Failure, Outcome};

/// Events that the writer may be behind by; then whoever makes one waits.
const QUEUE: usize = 64 << 10;

#[derive(Serialize)]
struct Line {
    /// Nanoseconds since the trace began.
    t_ns: u64,
    #[serde(flatten)]
    event: Event,
}

/// A file that gets every event.
#[derive(Debug)]
pub(super) struct Trace {
    began: Instant,
    name: String,
    /// Events are stamped and handed over in one, so that times never go back in the file.
    sender: Mutex<Option<SyncSender<Line>>>,
    writer: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Trace {
    /// Creates the file, or empties it, and starts the writer.
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let failed = |error: io::Error| Failure::io(format_args!("{name}: cannot create: {error}"));
        let file = File::create(path).map_err(failed)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = thread::Builder::new().name("trace".to_owned());
        let writer = writer.spawn(move || write(file, &receiver)).map_err(failed)?;
        let (sender, writer) = (Mutex::new(Some(sender)), Mutex::new(Some(writer)));
        Ok(Trace { began: Instant::now(), name, sender, writer })
    }

    /// Takes one event.
    pub(super) fn event(&self, event: Event) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let t_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(sender) = &*sender {
            // The writer ended only if it failed, which is told at the end.
            let _ = sender.send(Line { t_ns, event });
        }
    }

    /// Waits until everything is written.
    pub(super) fn finish(&self) -> Outcome<()> {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = match writer.map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(error))) => error,
            Some(Err(_)) => io::Error::other("the thread that writes it died"),
        };
        Err(Failure::io(format_args!("{}: cannot write: {written}", self.name)))
    }
}

fn write(file: File, events: &Receiver<Line>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    for line in events {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
