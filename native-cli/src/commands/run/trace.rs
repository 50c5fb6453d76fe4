//! The trace: every event with its time, written by a thread of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tailswap::event::Event;
use tailswap::trace::TraceWriter;

use crate::exit::{Failure, Outcome};

/// Events that the writer may be behind by; then whoever makes one waits.
const QUEUE: usize = 64 << 10;

/// An event, and nanoseconds since the trace began.
type Timed = (u64, Event);

/// A file that gets every event.
#[derive(Debug)]
pub(super) struct Trace {
    began: Instant,
    name: String,
    /// Events are stamped and handed over in one, so that times never go back in the file.
    sender: Mutex<Option<SyncSender<Timed>>>,
    writer: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Trace {
    /// Creates the file, or empties it, and starts the writer.
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            Failure::opening(&error, format_args!("{name}: cannot create: {error}"))
        };
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
        let at_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(sender) = &*sender {
            // The writer ended only if it failed, which is told at the end.
            let _ = sender.send((at_ns, event));
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

fn write(file: File, events: &Receiver<Timed>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    loop {
        let next = match events.try_recv() {
            // With nothing to do, it does not keep to itself what happened: the process may be killed.
            Err(TryRecvError::Empty) => {
                out.flush()?;
                events.recv().ok()
            }
            next => next.ok(),
        };
        let Some((at_ns, event)) = next else { return out.flush() };
        writer.event(at_ns, &event, &mut bytes);
        out.write_all(&bytes)?;
        bytes.clear();
    }
}
