//! Mutations as JSON lines: what `load` and `run` take in.

mod parse;
mod reader;

pub(crate) use parse::{Change, compact_json};
pub(crate) use reader::{BadInput, ChangeReader, is_stdin};
