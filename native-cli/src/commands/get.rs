//! `tailswap get`: single documents.

use std::io::Write;
use std::path::PathBuf;

use tailswap::format::names::{DEFAULT_COLLECTION, prefixed_id};
use tailswap::store::{Lookups, Snapshot};

use crate::exit::{Failure, Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::text::Shown;
use crate::output::{self, document};

/// Characters of an id in a message.
const SHOWN: usize = 200;

/// Print single documents: their bodies, or everything with --json
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An id is looked up as it is given and, if there is none, with the default collection's prefix
before it (a zero byte), as Couchbase stores ids. The body of a tombstone is only shown with --json.
A body is printed as it is; of several, each is ended with a newline. Where one of several ids is not
found the others are printed all the same.

Examples:
  tailswap get data/0.couch.1 user::1234
  tailswap get --json data/0.couch.1 user::1234 user::1235
  tailswap get --hex data/0.couch.1 00757365723a3a31323334
  tailswap get --local data/0.couch.1 _local/vbstate")]
pub(crate) struct Get {
    /// A couchstore file
    file: PathBuf,
    /// The documents' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Ids are given in hexadecimal, and exactly as they are stored
    #[arg(long)]
    hex: bool,
    /// Get local documents
    #[arg(long)]
    local: bool,
    /// From the state that the header at this offset committed
    #[arg(long, value_name = "OFFSET")]
    at_header: Option<u64>,
    #[command(flatten)]
    reading: ReadOptions,
}

/// A document that is asked for.
struct Wanted<'a> {
    given: &'a str,
    /// The ids to try, in this order; there is at least one.
    stored: Vec<Vec<u8>>,
}

impl Get {
    pub(crate) fn run(&self) -> Outcome {
        let wanted = self.ids.iter().map(|id| self.wanted(id)).collect::<Outcome<Vec<_>>>()?;
        let snapshot = input::open_at(&self.file, self.reading.mode(), "get", self.at_header)?;
        let (mut lookups, mut worst) = (snapshot.lookups(), Status::Fine);
        let (mut out, mut text) = (output::raw(), Vec::new());
        for wanted in &wanted {
            text.clear();
            let found = match self.local {
                true => self.local(&snapshot, wanted, &mut text),
                false => self.document(&mut lookups, wanted, &mut text),
            };
            match found {
                Ok(()) => out.write_all(&text)?,
                Err(failure) => worst = worst.max(failure.tell()),
            }
        }
        out.flush()?;
        Ok(worst)
    }

    fn wanted<'a>(&self, given: &'a str) -> Outcome<Wanted<'a>> {
        let stored = match self.hex {
            true => {
                let not_hex =
                    |error| Failure::usage(format_args!("{given}: not hexadecimal: {error}"));
                let id = data_encoding::HEXLOWER_PERMISSIVE.decode(given.as_bytes());
                vec![id.map_err(not_hex)?]
            }
            false => {
                let id = given.as_bytes();
                vec![id.to_vec(), prefixed_id(DEFAULT_COLLECTION, id)]
            }
        };
        Ok(Wanted { given, stored })
    }

    fn document(&self, lookups: &mut Lookups, wanted: &Wanted, text: &mut Vec<u8>) -> Outcome<()> {
        for id in &wanted.stored {
            let Some((info, body)) = lookups.get(id)? else { continue };
            return match self.reading.json {
                true => document::write_json(text, info, Some(body)),
                false if info.deleted => Err(Failure::refused(format_args!(
                    "{}: document \"{}\" is deleted, since sequence number {}",
                    self.file.display(),
                    Shown(info.id, SHOWN),
                    info.seq
                ))
                .with_hint("--json shows its tombstone")),
                false => {
                    self.write_body(body.unwrap_or_default(), text);
                    Ok(())
                }
            };
        }
        Err(self.not_found("document", wanted))
    }

    fn local(&self, snapshot: &Snapshot, wanted: &Wanted, text: &mut Vec<u8>) -> Outcome<()> {
        // Only documents have a collection's prefix.
        let id = &wanted.stored[0];
        let value = snapshot.local(id)?.ok_or_else(|| self.not_found("local document", wanted))?;
        match self.reading.json {
            true => document::write_local_json(text, id, &value)?,
            false => self.write_body(&value, text),
        }
        Ok(())
    }

    fn not_found(&self, what: &str, wanted: &Wanted) -> Failure {
        let id = Shown(wanted.given.as_bytes(), SHOWN);
        Failure::refused(format_args!("{}: there is no {what} \"{id}\"", self.file.display()))
    }

    /// The body as it is; for a person, and where there is another, the line is ended.
    fn write_body(&self, body: &[u8], text: &mut Vec<u8>) {
        text.extend_from_slice(body);
        let to_be_ended = self.ids.len() > 1 || output::to_terminal();
        if to_be_ended && !body.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
}
