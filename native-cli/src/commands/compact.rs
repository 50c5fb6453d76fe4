//! `tailswap compact`: offline compaction of one file.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;
use tailswap::compaction::{CompactionOptions, OfflineCompaction, Purge};
use tailswap::engine::{ThreadedSource, WriteBehind};
use tailswap::event::Events;
use tailswap::store::{Budget, Snapshot, Step};

use crate::commands::interrupt::Interrupt;
use crate::exit::{Failure, Outcome, Status};
use crate::input::{self, ReadOptions};
use crate::output::progress::Progress;
use crate::output::text::{Bytes, Count};
use crate::output::{self, json};
use crate::target::Target;

/// Work between two looks at the progress and at whether to stop.
const BUDGET: Budget = Budget { bytes: 4 << 20, entries: 16384 };

/// Copy what is live in a file into a new one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SRC stays as it is and may be written to meanwhile: the copy is of the newest state when it began.
DST must not exist; it appears only when it is complete and synced. Without options every tombstone
is kept. With both --purge-before and --purge-to-seq, a tombstone goes when both say so.

TIME is RFC 3339 (2026-01-31T12:00:00Z), seconds since 1970, or how long ago (7d, 12h, 90min).

Examples:
  tailswap compact 0.couch.1 compacted.couch
  tailswap compact --drop-deletes 0.couch.1 compacted.couch
  tailswap compact --purge-before 7d 0.couch.1 compacted.couch")]
pub(crate) struct Compact {
    /// The file to compact
    src: PathBuf,
    /// The file to create
    dst: PathBuf,
    /// Leave every tombstone behind
    #[arg(long)]
    drop_deletes: bool,
    /// Leave tombstones behind that were deleted before this time
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    purge_before: Option<u32>,
    /// Leave tombstones behind with a sequence number up to this one
    #[arg(long, value_name = "N")]
    purge_to_seq: Option<u64>,
    #[command(flatten)]
    reading: ReadOptions,
}

#[derive(Serialize)]
struct Summary {
    source: String,
    target: String,
    documents_copied: u64,
    documents_dropped: u64,
    bytes_before: u64,
    bytes_after: u64,
    update_seq: u64,
    purge_seq: u64,
    seconds: f64,
}

impl Compact {
    pub(crate) fn run(&self) -> Outcome {
        let began = Instant::now();
        let interrupt = Interrupt::watch()?;
        let source = input::open(&self.src, self.reading.mode(), "compact")?;
        let target = Target::open(&self.dst)?;
        let named = |error| target.failure(error);
        let volume = Arc::new(WriteBehind::new(target.volume.clone(), WriteBehind::INTERVAL));
        let mut compaction = OfflineCompaction::start(
            source.clone(),
            volume,
            &target.name,
            self.options(),
            Events::none(),
            ThreadedSource::join,
        )
        .map_err(named)?;
        let counts = source.counts();
        let total = counts.live + counts.deleted;
        let progress = Progress::documents("copying documents", total);
        while compaction.step(&mut BUDGET.clone()).map_err(named)? != Step::Done {
            if interrupt.is_asked() {
                // Dropping the compaction takes away what it wrote.
                return Err(Failure::io("interrupted; nothing was written"));
            }
            let (copied, dropped) = compaction.progress();
            progress.set(copied + dropped);
            if copied + dropped == total {
                progress.say("copying ids");
            }
        }
        drop(progress);
        let (documents_copied, documents_dropped) = compaction.progress();
        let result = input::open(&self.dst, self.reading.mode(), "info")?;
        self.tell(Summary {
            source: self.src.display().to_string(),
            target: self.dst.display().to_string(),
            documents_copied,
            documents_dropped,
            bytes_before: length(&source)?,
            bytes_after: length(&result)?,
            update_seq: result.header().update_seq,
            purge_seq: result.header().purge_seq,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn options(&self) -> CompactionOptions {
        CompactionOptions {
            drop_deletes: self.drop_deletes,
            purge: Purge { before: self.purge_before, to_seq: self.purge_to_seq },
            ..CompactionOptions::default()
        }
    }

    fn tell(&self, summary: Summary) -> Outcome {
        let mut out = output::raw();
        if self.reading.json {
            json::line(&mut out, &summary)?;
        } else {
            let rate = summary.bytes_before as f64 / summary.seconds.max(1e-9);
            writeln!(
                out,
                "{}: {} copied, {} left behind; {} became {} in {:.2} s ({}/s)",
                summary.target,
                Count(summary.documents_copied, "document"),
                summary.documents_dropped,
                Bytes(summary.bytes_before),
                Bytes(summary.bytes_after),
                summary.seconds,
                Bytes(rate as u64),
            )?;
        }
        out.flush()?;
        Ok(Status::Fine)
    }
}

fn length(snapshot: &Snapshot) -> Outcome<u64> {
    Ok(snapshot.file().len()?)
}

/// A time as seconds since the Unix epoch.
fn seconds(text: &str) -> Result<u32, String> {
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => timestamp(text)?.as_second(),
    };
    u32::try_from(seconds).map_err(|_| "not between 1970 and 2106".to_owned())
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let unknown = |_| "neither a time (2026-01-31T12:00:00Z), nor seconds, nor how long ago (7d)";
    let ago = text.parse::<Span>().map_err(unknown)?.abs();
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let then = now.checked_sub(ago).map_err(|error| error.to_string())?;
    Ok(then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_their_three_forms() {
        assert_eq!(seconds("1700000000"), Ok(1_700_000_000));
        assert_eq!(seconds("2023-11-14T22:13:20Z"), Ok(1_700_000_000));
        let week_ago = Timestamp::now().as_second() - 7 * 86400;
        let parsed = i64::from(seconds("7d").unwrap());
        assert!((parsed - week_ago).abs() < 10, "{parsed}");
        assert!(seconds("yesterday-ish").is_err());
        assert!(seconds("1950-01-01T00:00:00Z").is_err());
    }
}
