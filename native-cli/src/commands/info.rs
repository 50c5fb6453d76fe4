//! `tailswap info`: what a file is, at a glance.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;
use tailswap::format::vbstate::{VBSTATE_ID, VbState};
use tailswap::store::Snapshot;

use crate::exit::{Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::text::{Bytes, Time, percent};
use crate::output::{self, json, style};

/// Show version, sequence numbers, counts, sizes and vbucket state of files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tailswap info data/0.couch.1
  tailswap info --json data/*.couch.* | jq 'select(.fragmentation > 0.3).path'")]
pub(crate) struct Info {
    /// Couchstore files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadOptions,
}

#[derive(Debug, Serialize)]
struct Facts {
    path: String,
    disk_version: u8,
    header_position: u64,
    timestamp_ns: u64,
    update_seq: u64,
    purge_seq: u64,
    doc_count: u64,
    deleted_count: u64,
    file_size: u64,
    space_used: u64,
    /// Bytes of the bodies of all documents; the rest of what is used are tree nodes.
    body_bytes: u64,
    fragmentation: f64,
    /// Bytes behind the newest header: a crash's tail, or a commit under way.
    bytes_behind_header: u64,
    /// `_local/vbstate` as it is in the file; null when there is none.
    vbstate: Option<Box<RawValue>>,
}

impl Info {
    pub(crate) fn run(&self) -> Outcome {
        let mut worst = Status::Fine;
        for (index, path) in self.files.iter().enumerate() {
            // One bad file does not keep the others from being shown.
            let status = self.show(path, index > 0).unwrap_or_else(|failure| failure.tell());
            worst = worst.max(status);
        }
        Ok(worst)
    }

    fn show(&self, path: &Path, separated: bool) -> Outcome {
        let snapshot = input::open(path, self.reading.mode(), "info")?;
        // Damage in the tree of local documents is told after what the header says.
        let vbstate = snapshot.local(VBSTATE_ID);
        let known = vbstate.as_ref().ok().and_then(|value| value.as_deref());
        let facts = Facts::of(path, &snapshot, known)?;
        if self.reading.json {
            let mut out = output::raw();
            json::line(&mut out, &facts)?;
            out.flush()?;
        } else {
            let mut out = output::styled();
            if separated {
                writeln!(out)?;
            }
            facts.write(&mut out, known)?;
            out.flush()?;
        }
        vbstate?;
        Ok(Status::Fine)
    }
}

impl Facts {
    fn of(path: &Path, snapshot: &Snapshot, vbstate: Option<&[u8]>) -> Outcome<Self> {
        let (header, counts) = (snapshot.header(), snapshot.counts());
        let file_size = snapshot.file().len()?;
        Ok(Facts {
            path: path.display().to_string(),
            disk_version: header.disk_version,
            header_position: snapshot.position(),
            timestamp_ns: header.timestamp_ns,
            update_seq: header.update_seq,
            purge_seq: header.purge_seq,
            doc_count: counts.live,
            deleted_count: counts.deleted,
            file_size,
            space_used: snapshot.space_used(),
            body_bytes: counts.body_bytes,
            fragmentation: snapshot.fragmentation()?,
            bytes_behind_header: file_size.saturating_sub(snapshot.end()),
            vbstate: vbstate.and_then(one_line_json),
        })
    }

    fn write(&self, out: &mut impl Write, vbstate: Option<&[u8]>) -> Outcome<()> {
        let heading = style::HEADING;
        writeln!(out, "{heading}{}{heading:#}", self.path)?;
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<15} {value}");
        row("disk version", self.disk_version.to_string())?;
        let committed = match self.timestamp_ns {
            0 => String::new(),
            time => format!(", of {}", Time(time)),
        };
        row("newest header", format!("at offset {}{committed}", self.header_position))?;
        row("sequence", format!("{}, purged up to {}", self.update_seq, self.purge_seq))?;
        row("documents", format!("{} live, {} deleted", self.doc_count, self.deleted_count))?;
        row("file size", format!("{} ({})", Bytes(self.file_size), self.file_size))?;
        let trees = self.space_used.saturating_sub(self.body_bytes);
        let parts = format!("bodies {}, trees {}", Bytes(self.body_bytes), Bytes(trees));
        row("space used", format!("{} ({parts})", Bytes(self.space_used)))?;
        row("fragmentation", percent(self.fragmentation))?;
        if self.bytes_behind_header > 0 {
            let behind = Bytes(self.bytes_behind_header);
            row("uncommitted", format!("{behind} behind the newest header"))?;
        }
        match vbstate.map(VbState::decode) {
            None => {}
            Some(None) => row("vbucket state", "not readable".to_owned())?,
            Some(Some(state)) => {
                row("vbucket state", state.state.clone())?;
                row("last snapshot", format!("{} to {}", state.snap_start, state.snap_end))?;
                row("highest CAS", format!("{} ({})", state.max_cas, Time(state.max_cas)))?;
                let branch = |entry: &tailswap::format::vbstate::FailoverEntry| {
                    format!("{:012x} from {}", entry.id, entry.seq)
                };
                let history: Vec<String> = state.failover_table.iter().map(branch).collect();
                row("history", history.join(", "))?;
            }
        }
        Ok(())
    }
}

/// JSON as it is in the file, without line breaks; `None` when it is none.
fn one_line_json(bytes: &[u8]) -> Option<Box<RawValue>> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    RawValue::from_string(crate::mutations::compact_json(value.get())).ok()
}
