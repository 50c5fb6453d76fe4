//! `tailswap trace`: what a trace tells, as JSON.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use tailswap::event::Event;
use tailswap::trace::TraceReader;

use crate::exit::{Failure, Outcome, Status, note_line};
use crate::input::cannot_read;
use crate::output::{self, json};

/// Print the events of a trace that `tailswap run --trace` wrote, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A trace that ends within an event, because the process was killed, is printed up to there.
The page (`tailswap serve`) plays traces, too.

Examples:
  tailswap trace run.trace | jq 'select(.event == \"published\")'")]
pub(crate) struct Trace {
    /// The trace
    file: PathBuf,
}

#[derive(Serialize)]
struct Line {
    /// Nanoseconds since the trace began.
    t_ns: u64,
    #[serde(flatten)]
    event: Event,
}

impl Trace {
    pub(crate) fn run(&self) -> Outcome {
        let name = self.file.display();
        let bytes = fs::read(&self.file).map_err(|error| cannot_read(&self.file, &error))?;
        let mut out = output::raw();
        let mut reader = TraceReader::default();
        let damaged = |error| Failure::input(format_args!("{name}: {error}"));
        while let Some((t_ns, event)) = reader.next(&bytes).map_err(damaged)? {
            json::line(&mut out, &Line { t_ns, event })?;
        }
        out.flush()?;
        let rest = bytes.len() - reader.offset();
        if rest > 0 {
            let offset = reader.offset();
            note_line(format_args!("{name}: ends within an event, at offset {offset}"));
        }
        Ok(Status::Fine)
    }
}
