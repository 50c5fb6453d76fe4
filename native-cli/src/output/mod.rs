//! What commands print: plain and styled standard output, JSON, text for people, progress.

pub(crate) mod document;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod text;

use std::io::{self, BufWriter, IsTerminal, StdoutLock};

use anstream::AutoStream;

/// Bytes gathered before they are written.
const BUFFER: usize = 64 << 10;

/// Standard output for bytes that are to arrive as they are: JSON, bodies.
pub(crate) fn raw() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER, io::stdout().lock())
}

/// Standard output for people: styles are taken out where it is no terminal, or not wanted.
pub(crate) fn styled() -> BufWriter<AutoStream<StdoutLock<'static>>> {
    BufWriter::with_capacity(BUFFER, anstream::stdout().lock())
}

/// Whether standard output is shown to a person right away.
pub(crate) fn to_terminal() -> bool {
    io::stdout().is_terminal()
}
