//! Line after line from a file or from standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::parse::{Change, parse_line};
use crate::exit::{Failure, Outcome};
use crate::input::cannot_read;

/// Bytes read at a time.
const BUFFER: usize = 256 << 10;
/// Longest line that is held: more than the longest body takes in base64.
const LINE_MAX: u64 = 512 << 20;

/// Why there are no further changes.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// A line is not one of those that are understood.
    Line { number: u64, what: String },
    /// The input cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadInput::Line { number, what } => write!(f, "line {number}: {what}"),
            BadInput::Unreadable(error) => write!(f, "cannot read: {error}"),
        }
    }
}

impl BadInput {
    /// The failure of a command whose input this is.
    pub(crate) fn failure(&self, input: &Path) -> Failure {
        let message = match is_stdin(input) {
            true => format!("standard input: {self}"),
            false => format!("{}: {self}", input.display()),
        };
        match self {
            BadInput::Line { .. } => Failure::input(message),
            BadInput::Unreadable(_) => Failure::io(message),
        }
    }
}

/// Whether this names standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Where changes come from.
type Lines = BufReader<Box<dyn Read + Send>>;

/// Changes, in the order of their lines. Ends after the first bad one.
pub(crate) struct ChangeReader {
    lines: Lines,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    ended: bool,
}

impl ChangeReader {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let input: Box<dyn Read + Send> = match is_stdin(path) {
            true => Box::new(io::stdin()),
            false => Box::new(open_file(path)?),
        };
        Ok(ChangeReader::new(input))
    }

    fn new(input: Box<dyn Read + Send>) -> Self {
        let lines = BufReader::with_capacity(BUFFER, input);
        ChangeReader { lines, line: Vec::new(), number: 0, bytes: 0, ended: false }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of the line of the last change, from 1 on.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the next change can be had without waiting for anyone.
    pub(crate) fn has_next_at_hand(&self) -> bool {
        // The search ends at the first line's end, so it costs what reading that line will.
        self.lines.buffer().contains(&b'\n')
    }

    fn read(&mut self) -> Result<Option<Change>, BadInput> {
        loop {
            self.line.clear();
            let mut limited = (&mut self.lines).take(LINE_MAX);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = read.map_err(BadInput::Unreadable)? as u64;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read;
            let bad = |what| BadInput::Line { number: self.number, what };
            if read == LINE_MAX && !self.line.ends_with(b"\n") {
                return Err(bad(format!("longer than {} MiB", LINE_MAX >> 20)));
            }
            if !self.line.trim_ascii().is_empty() {
                return parse_line(&self.line).map(Some).map_err(bad);
            }
        }
    }
}

impl Iterator for ChangeReader {
    type Item = Result<Change, BadInput>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn open_file(path: &Path) -> Outcome<File> {
    let failed = |error| cannot_read(path, &error);
    let file = File::open(path).map_err(failed)?;
    match file.metadata().map_err(failed)?.is_dir() {
        true => Err(failed(io::ErrorKind::IsADirectory.into())),
        false => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_first_bad_line_and_says_which() {
        let text = concat!(
            r#"{"op":"delete","key":"a"}"#,
            "\n\n",
            r#"{"op":"delete","key":"b"}"#,
            "\r\nnonsense\n",
            r#"{"op":"delete","key":"c"}"#
        );
        let mut changes = ChangeReader::new(Box::new(text.as_bytes()));
        assert_eq!(changes.next().unwrap().unwrap().key(), b"a");
        assert_eq!(changes.next().unwrap().unwrap().key(), b"b");
        let bad = changes.next().unwrap().unwrap_err().to_string();
        assert_eq!(bad, "line 4: expected ident (column 2)");
        assert!(changes.next().is_none());
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let text = r#"{"op":"delete","key":"a"}"#;
        assert_eq!(ChangeReader::new(Box::new(text.as_bytes())).count(), 1);
    }
}
