//! `tailswap headers`: the commits of a file.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use tailswap::btree::{Delta, DeltaStep, Difference};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::pointer::TreeKind;
use tailswap::store::{HeadersBack, Snapshot};

use crate::exit::{Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::text::{Bytes, Time};
use crate::output::{self, json, style};

/// Show every header of a file, newest first, with what each commit added
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A header is a complete older state of the file: `tailswap dump --at-header OFFSET` shows it.
Headers that a rollback gave up are passed over.

Examples:
  tailswap headers data/0.couch.1 | head
  tailswap headers --json data/0.couch.1 | jq .added_bytes")]
pub(crate) struct Headers {
    /// A couchstore file
    file: PathBuf,
    #[command(flatten)]
    reading: ReadOptions,
}

#[derive(Serialize)]
struct JsonHeader {
    position: u64,
    disk_version: u8,
    update_seq: u64,
    purge_seq: u64,
    timestamp_ns: u64,
    /// As the header has it; null before version 14 and where there is none.
    previous: Option<u64>,
    doc_count: u64,
    deleted_count: u64,
    space_used: u64,
    /// Bytes of the file from the end of the header before to the end of this one.
    added_bytes: u64,
    #[serde(flatten)]
    changes: Option<Changes>,
}

/// How the documents of a state differ from those of the state before it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Changes {
    documents_set: u64,
    documents_deleted: u64,
    /// Purged, or rolled back to not being there.
    documents_gone: u64,
}

impl Headers {
    pub(crate) fn run(&self) -> Outcome {
        let newest = input::open(&self.file, self.reading.mode(), "headers")?;
        match self.reading.json {
            true => self.write_json(newest, &mut output::raw()),
            false => self.write_table(newest, &mut output::styled()),
        }
    }

    fn write_json(&self, newest: Snapshot, out: &mut impl Write) -> Outcome {
        each_commit(newest, |current, before| {
            let (header, counts) = (current.header(), current.counts());
            let line = JsonHeader {
                position: current.position(),
                disk_version: header.disk_version,
                update_seq: header.update_seq,
                purge_seq: header.purge_seq,
                timestamp_ns: header.timestamp_ns,
                previous: header.previous,
                doc_count: counts.live,
                deleted_count: counts.deleted,
                space_used: current.space_used(),
                added_bytes: added_bytes(current, before),
                changes: changes(current, before)?,
            };
            json::line(out, &line)
        })?;
        out.flush()?;
        Ok(Status::Fine)
    }

    fn write_table(&self, newest: Snapshot, out: &mut impl Write) -> Outcome {
        // No older header has greater numbers than the newest, unless a rollback came between.
        let seq = digits(newest.header().update_seq).max(8);
        let position = digits(newest.position()).max(8);
        let heading = style::HEADING;
        writeln!(
            out,
            "{heading}{:>position$}  ver  {:>seq$}  {:>seq$}  {:>9}  {:>9}  {:>10}  {:>8}  {:>8}  \
             {:>8}  committed{heading:#}",
            "offset", "seq", "purged", "live", "deleted", "added", "set", "deleted", "gone"
        )?;
        each_commit(newest, |current, before| {
            let (header, counts) = (current.header(), current.counts());
            let changes = changes(current, before)?;
            let count = |count: fn(Changes) -> u64| {
                changes.map_or_else(|| "?".to_owned(), |changes| count(changes).to_string())
            };
            writeln!(
                out,
                "{:>position$}  {:>3}  {:>seq$}  {:>seq$}  {:>9}  {:>9}  {:>10}  {:>8}  {:>8}  \
                 {:>8}  {}",
                current.position(),
                header.disk_version,
                header.update_seq,
                header.purge_seq,
                counts.live,
                counts.deleted,
                Bytes(added_bytes(current, before)),
                count(|changes| changes.documents_set),
                count(|changes| changes.documents_deleted),
                count(|changes| changes.documents_gone),
                Time(header.timestamp_ns)
            )?;
            Ok(())
        })?;
        out.flush()?;
        Ok(Status::Fine)
    }
}

/// Calls `each` with every state, newest first, and the one before it.
fn each_commit(
    newest: Snapshot,
    mut each: impl FnMut(&Snapshot, Option<&Snapshot>) -> Outcome<()>,
) -> Outcome<()> {
    let mut current: Option<Snapshot> = None;
    for before in HeadersBack::from(newest) {
        let before = before?;
        if let Some(current) = current.replace(before.clone()) {
            each(&current, Some(&before))?;
        }
    }
    match current {
        Some(oldest) => each(&oldest, None),
        None => Ok(()),
    }
}

fn added_bytes(current: &Snapshot, before: Option<&Snapshot>) -> u64 {
    current.end().saturating_sub(before.map_or(0, Snapshot::end))
}

/// What a commit changed; `None` when damage in an older state keeps that from being known.
fn changes(current: &Snapshot, before: Option<&Snapshot>) -> Outcome<Option<Changes>> {
    let Some(before) = before else {
        let counts = current.counts();
        let (documents_set, documents_deleted) = (counts.live, counts.deleted);
        return Ok(Some(Changes { documents_set, documents_deleted, documents_gone: 0 }));
    };
    match differences(current, before) {
        Ok(changes) => Ok(Some(changes)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads only the nodes that the two states do not share.
fn differences(current: &Snapshot, before: &Snapshot) -> tailswap::Result<Changes> {
    let mut changes = Changes::default();
    let mut delta = Delta::new(before.walk(TreeKind::ById), current.walk(TreeKind::ById));
    loop {
        match delta.step()? {
            DeltaStep::Moved => {}
            DeltaStep::End => return Ok(changes),
            DeltaStep::Found(Difference::Removed { .. }) => changes.documents_gone += 1,
            DeltaStep::Found(
                Difference::Added { key, new } | Difference::Changed { key, new, .. },
            ) => {
                let info = DocInfoRef::decode_by_id(&key, &new);
                let info = info.map_err(|damage| delta.new_walk().corrupt(damage))?;
                match info.deleted {
                    true => changes.documents_deleted += 1,
                    false => changes.documents_set += 1,
                }
            }
        }
    }
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}
