//! The file of acknowledgements: up to where each vbucket is durable.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::exit::{Failure, Outcome};

/// A file that gets a line for each persisted watermark, in one write each, unbuffered: whatever
/// is in it was durable when it was written, also when the process is killed at any moment.
#[derive(Debug)]
pub(super) struct Acks {
    file: File,
    name: String,
}

impl Acks {
    /// Opens a file to append to.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let opened = File::options().append(true).create(true).open(path);
        let failed = |error: io::Error| {
            Failure::opening(&error, format_args!("{name}: cannot open: {error}"))
        };
        Ok(Acks { file: opened.map_err(failed)?, name })
    }

    /// Notes that everything up to `seq` of a vbucket is durable.
    pub(super) fn persisted(&mut self, vbucket: u16, seq: u64) -> Result<(), String> {
        let line = format!("{{\"vb\":{vbucket},\"seq\":{seq}}}\n");
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| format!("{}: cannot write: {error}", self.name))
    }
}
