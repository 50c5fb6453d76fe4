//! `tailswap dump`: the documents of a file.

use std::io::Write;
use std::path::PathBuf;

use tailswap::chunklog::ChunkReader;
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::names::{DEFAULT_COLLECTION, prefixed_id};
use tailswap::store::{Documents, Snapshot};

use crate::exit::{Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::progress::Progress;
use crate::output::{self, document};

/// Documents between two looks at the progress.
const PROGRESS_EVERY: u64 = 1024;

/// Print the documents of a file, by sequence number or by id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Tombstones are printed too. With --json each document is an object with seq, id (or id_hex when it is
not UTF-8), rev_seq, deleted, content_meta, rev_meta (hex), position, physical_size, size (bytes of
the uncompressed body) and body: a string, or body_hex when it is not UTF-8, or null when there is
none.

Examples:
  tailswap dump data/0.couch.1 | less
  tailswap dump --json --since 1000 data/0.couch.1 | jq -r 'select(.deleted | not).body'
  tailswap dump --by-id --id-prefix user:: --no-body data/0.couch.1
  tailswap dump --at-header 57344 data/0.couch.1      # an older state, see `tailswap headers`")]
pub(crate) struct Dump {
    /// A couchstore file
    file: PathBuf,
    /// In the order of ids instead of sequence numbers
    #[arg(long)]
    by_id: bool,
    /// Only documents with this sequence number or a higher one
    #[arg(long, value_name = "N", default_value_t = 0)]
    since: u64,
    /// Only documents whose id begins so; also tried behind the default collection's prefix, as
    /// Couchbase stores ids
    #[arg(long, value_name = "P")]
    id_prefix: Option<String>,
    /// Only tombstones, or none of them
    #[arg(long, value_name = "only|no")]
    deleted: Option<Deleted>,
    /// Leave the bodies out, which saves reading them
    #[arg(long)]
    no_body: bool,
    /// Print the local documents instead
    #[arg(long, conflicts_with_all = ["by_id", "since", "deleted", "no_body"])]
    local: bool,
    /// The state that the header at this offset committed
    #[arg(long, value_name = "OFFSET")]
    at_header: Option<u64>,
    #[command(flatten)]
    reading: ReadOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Deleted {
    Only,
    No,
}

impl Dump {
    pub(crate) fn run(&self) -> Outcome {
        let snapshot = input::open_at(&self.file, self.reading.mode(), "dump", self.at_header)?;
        let prefixes = self.prefixes();
        // Each arm is compiled for its kind of output: that it is plain bytes makes JSON fast.
        match (self.local, self.reading.json) {
            (true, true) => locals(&snapshot, &prefixes, output::raw(), document::write_local_json),
            (true, false) => {
                locals(&snapshot, &prefixes, output::styled(), document::write_local_line)
            }
            (false, true) => {
                let mut out = output::raw();
                self.documents(&snapshot, &prefixes, |info, body| {
                    document::write_json(&mut out, info, body)
                })?;
                Ok(out.flush()?)
            }
            (false, false) => {
                let width = snapshot.header().update_seq.to_string().len();
                let mut out = output::styled();
                self.documents(&snapshot, &prefixes, |info, body| {
                    document::write_line(&mut out, info, body, width)
                })?;
                Ok(out.flush()?)
            }
        }?;
        Ok(Status::Fine)
    }

    /// What ids may begin with, in the order of ids; one that is empty lets every id pass.
    fn prefixes(&self) -> Vec<Vec<u8>> {
        match self.id_prefix.as_deref().map(str::as_bytes) {
            None | Some([]) => vec![Vec::new()],
            Some(prefix) => vec![prefixed_id(DEFAULT_COLLECTION, prefix), prefix.to_vec()],
        }
    }

    fn documents(
        &self,
        snapshot: &Snapshot,
        prefixes: &[Vec<u8>],
        mut write: impl FnMut(DocInfoRef<'_>, document::MaybeBody<'_>) -> Outcome<()>,
    ) -> Outcome<()> {
        let counts = snapshot.counts();
        let progress = match output::to_terminal() {
            true => Progress::hidden(),
            false => Progress::documents("dumping", counts.live + counts.deleted),
        };
        let mut bodies = snapshot.bodies(ChunkReader::WALK_WINDOW);
        let mut seen = 0;
        let mut each = |mut documents: Documents, prefixes: &[Vec<u8>]| -> Outcome<()> {
            while let Some(info) = documents.next_ref()? {
                seen += 1;
                if seen % PROGRESS_EVERY == 0 {
                    progress.set(seen);
                }
                if !self.wants(&info, prefixes) {
                    continue;
                }
                let body = match self.no_body {
                    true => None,
                    false => Some(bodies.body(info)?),
                };
                write(info, body)?;
            }
            Ok(())
        };
        if !self.by_id {
            return each(snapshot.changes_since(self.since)?, prefixes);
        }
        for prefix in prefixes {
            let range = snapshot.documents_by_id(prefix, end_of_prefix(prefix))?;
            each(range, std::slice::from_ref(prefix))?;
        }
        Ok(())
    }

    fn wants(&self, info: &DocInfoRef<'_>, prefixes: &[Vec<u8>]) -> bool {
        let deleted = match self.deleted {
            None => true,
            Some(Deleted::Only) => info.deleted,
            Some(Deleted::No) => !info.deleted,
        };
        deleted && info.seq >= self.since && begins_with(info.id, prefixes)
    }
}

fn locals<W: Write>(
    snapshot: &Snapshot,
    prefixes: &[Vec<u8>],
    mut out: W,
    write: fn(&mut W, &[u8], &[u8]) -> Outcome<()>,
) -> Outcome<()> {
    for local in snapshot.locals() {
        let (id, value) = local?;
        if begins_with(&id, prefixes) {
            write(&mut out, &id, &value)?;
        }
    }
    Ok(out.flush()?)
}

fn begins_with(id: &[u8], prefixes: &[Vec<u8>]) -> bool {
    prefixes.iter().any(|prefix| id.starts_with(prefix))
}

/// The first id behind all that begin with `prefix`; `None` when there can be none.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::end_of_prefix;

    #[test]
    fn ends_of_prefixes() {
        assert_eq!(end_of_prefix(b""), None);
        assert_eq!(end_of_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end_of_prefix(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(end_of_prefix(b"\xff\xff"), None);
    }
}
