//! `tailswap get`: one document.

use std::io::Write;
use std::path::PathBuf;

use tailswap::format::docinfo::DocInfo;
use tailswap::format::names::{DEFAULT_COLLECTION, prefixed_id};
use tailswap::store::Snapshot;

use crate::exit::{Failure, Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::text::Shown;
use crate::output::{self, document};

/// Characters of an id in a message.
const SHOWN: usize = 200;

/// Print one document: its body, or everything with --json
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The id is looked up as it is given and, if there is none, with the default collection's prefix
before it (a zero byte), as Couchbase stores ids. The body of a tombstone is only shown with --json.

Examples:
  tailswap get data/0.couch.1 user::1234
  tailswap get --json data/0.couch.1 user::1234
  tailswap get --hex data/0.couch.1 00757365723a3a31323334
  tailswap get --local data/0.couch.1 _local/vbstate")]
pub(crate) struct Get {
    /// A couchstore file
    file: PathBuf,
    /// The document's id
    id: String,
    /// The id is given in hexadecimal, and exactly as it is stored
    #[arg(long)]
    hex: bool,
    /// Get a local document
    #[arg(long)]
    local: bool,
    /// From the state that the header at this offset committed
    #[arg(long, value_name = "OFFSET")]
    at_header: Option<u64>,
    #[command(flatten)]
    reading: ReadOptions,
}

impl Get {
    pub(crate) fn run(&self) -> Outcome {
        let ids = self.ids()?;
        let snapshot = input::open_at(&self.file, self.reading.mode(), "get", self.at_header)?;
        match self.local {
            true => self.local(&snapshot, &ids[0]),
            false => self.document(&snapshot, &ids),
        }
    }

    /// The ids to try, in this order; there is at least one.
    fn ids(&self) -> Outcome<Vec<Vec<u8>>> {
        if self.hex {
            let id = data_encoding::HEXLOWER_PERMISSIVE.decode(self.id.as_bytes());
            let not_hex =
                |error| Failure::usage(format_args!("{}: not hexadecimal: {error}", self.id));
            return Ok(vec![id.map_err(not_hex)?]);
        }
        let id = self.id.as_bytes();
        Ok(vec![id.to_vec(), prefixed_id(DEFAULT_COLLECTION, id)])
    }

    fn document(&self, snapshot: &Snapshot, ids: &[Vec<u8>]) -> Outcome {
        let info = find(snapshot, ids)?.ok_or_else(|| self.not_found("document"))?;
        if info.deleted && !self.reading.json {
            return Err(Failure::refused(format_args!(
                "{}: document \"{}\" is deleted, since sequence number {}",
                self.file.display(),
                Shown(&info.id, SHOWN),
                info.seq
            ))
            .with_hint("--json shows its tombstone"));
        }
        let body = snapshot.body(info.as_ref())?;
        let mut out = output::raw();
        match self.reading.json {
            true => document::write_json(&mut out, info.as_ref(), Some(body.as_deref()))?,
            false => write_body(&mut out, &body.unwrap_or_default())?,
        }
        out.flush()?;
        Ok(Status::Fine)
    }

    fn local(&self, snapshot: &Snapshot, id: &[u8]) -> Outcome {
        let value = snapshot.local(id)?.ok_or_else(|| self.not_found("local document"))?;
        let mut out = output::raw();
        match self.reading.json {
            true => document::write_local_json(&mut out, id, &value)?,
            false => write_body(&mut out, &value)?,
        }
        out.flush()?;
        Ok(Status::Fine)
    }

    fn not_found(&self, what: &str) -> Failure {
        let id = Shown(self.id.as_bytes(), SHOWN);
        Failure::refused(format_args!("{}: there is no {what} \"{id}\"", self.file.display()))
    }
}

fn find(snapshot: &Snapshot, ids: &[Vec<u8>]) -> Outcome<Option<DocInfo>> {
    for id in ids {
        if let Some(info) = snapshot.get(id)? {
            return Ok(Some(info));
        }
    }
    Ok(None)
}

/// The body as it is; for a person, the line is ended.
fn write_body(out: &mut impl Write, body: &[u8]) -> Outcome<()> {
    out.write_all(body)?;
    if output::to_terminal() && !body.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    Ok(())
}
