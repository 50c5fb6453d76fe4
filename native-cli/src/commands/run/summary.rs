//! What a run came to.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use tailswap::engine::Engine;
use tailswap::engine::metrics::{Durations, Metrics};

use crate::exit::Outcome;
use crate::output::text::{Bytes, Count, percent};
use crate::output::{self, json};

/// Sizes of all vbuckets' files in charge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Files {
    pub(super) file_size: u64,
    pub(super) space_used: u64,
    pub(super) documents: u64,
    pub(super) tombstones: u64,
}

impl Files {
    pub(super) fn of(engine: &Engine) -> tailswap::Result<Self> {
        let mut files = Files::default();
        for vbucket in engine.vbuckets() {
            let snapshot = engine.snapshot(vbucket)?;
            let counts = snapshot.counts();
            files.file_size += snapshot.end();
            files.space_used += snapshot.space_used();
            files.documents += counts.live;
            files.tombstones += counts.deleted;
        }
        Ok(files)
    }

    pub(super) fn fragmentation(&self) -> f64 {
        match self.file_size {
            0 => 0.0,
            size => size.saturating_sub(self.space_used) as f64 / size as f64,
        }
    }
}

/// The last line of a run. Durations are in milliseconds, as their names say.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    mutations: u64,
    flushes: u64,
    seconds: f64,
    mutations_per_second: f64,
    compactions: u64,
    unfinished_compactions: u64,
    rounds_max: u32,
    /// Longest time that a compaction held a vbucket's lock.
    locked_ms_max: f64,
    /// The same, without the syncs under it.
    locked_ms_max_without_syncs: f64,
    /// What writers waited for the lock, for room in the queue, or because they were slowed down.
    stall_ms_p99: f64,
    stall_ms_max: f64,
    /// Times that the lock was taken although the tail was longer than --max-stall-ms allows.
    stall_targets_missed: u64,
    flush_ms_p50: f64,
    flush_ms_p99: f64,
    flush_ms_max: f64,
    flush_ms_p99_while_compacting: f64,
    flush_ms_max_while_compacting: f64,
    commit_ms_p99: f64,
    failed_flushes: u64,
    bytes_written: u64,
    bytes_written_by_compaction: u64,
    documents_copied: u64,
    documents_replayed: u64,
    vbuckets: usize,
    documents: u64,
    tombstones: u64,
    file_size: u64,
    space_used: u64,
    fragmentation: f64,
}

impl Summary {
    pub(super) fn new(engine: &Engine, mutations: u64, took: Duration) -> Outcome<Self> {
        let (metrics, files) = (engine.metrics(), Files::of(engine)?);
        let seconds = took.as_secs_f64();
        Ok(Summary {
            mutations,
            flushes: metrics.flushes,
            seconds,
            mutations_per_second: mutations as f64 / seconds.max(1e-9),
            compactions: metrics.compactions,
            unfinished_compactions: metrics.unfinished_compactions,
            rounds_max: metrics.rounds_max,
            locked_ms_max: ms(metrics.compactor_lock_held.max_ns()),
            locked_ms_max_without_syncs: ms(metrics.compactor_lock_held_without_syncs.max_ns()),
            stall_ms_p99: p99(&metrics.stall),
            stall_ms_max: ms(metrics.stall.max_ns()),
            stall_targets_missed: metrics.stall_targets_missed,
            flush_ms_p50: ms(metrics.flush.quantile_ns(0.5)),
            flush_ms_p99: p99(&metrics.flush),
            flush_ms_max: ms(metrics.flush.max_ns()),
            flush_ms_p99_while_compacting: p99(&metrics.flush_while_compacting),
            flush_ms_max_while_compacting: ms(metrics.flush_while_compacting.max_ns()),
            commit_ms_p99: p99(&metrics.commit),
            failed_flushes: metrics.failed_flushes,
            bytes_written: metrics.bytes_written,
            bytes_written_by_compaction: by_compaction(&metrics),
            documents_copied: metrics.documents_copied,
            documents_replayed: metrics.documents_replayed,
            vbuckets: engine.vbuckets().len(),
            documents: files.documents,
            tombstones: files.tombstones,
            file_size: files.file_size,
            space_used: files.space_used,
            fragmentation: files.fragmentation(),
        })
    }

    /// Prints it, which is all that a run prints.
    pub(super) fn tell(&self, as_json: bool) -> Outcome<()> {
        let mut out = output::raw();
        match as_json {
            true => json::line(&mut out, self)?,
            false => self.write(&mut out)?,
        }
        Ok(out.flush()?)
    }

    fn write(&self, out: &mut impl Write) -> Outcome<()> {
        let mut row = |name: &str, value: String| writeln!(out, "{name:<13} {value}");
        row(
            "mutations",
            format!(
                "{} in {:.2} s ({:.0} a second)",
                self.mutations, self.seconds, self.mutations_per_second
            ),
        )?;
        row(
            "flushes",
            format!(
                "{} (p50 {:.1} ms, p99 {:.1} ms; beside compaction p99 {:.1} ms, longest {:.1} ms)",
                self.flushes,
                self.flush_ms_p50,
                self.flush_ms_p99,
                self.flush_ms_p99_while_compacting,
                self.flush_ms_max_while_compacting
            ),
        )?;
        row(
            "compactions",
            format!(
                "{} (up to {}; lock held for up to {:.1} ms, {:.1} ms without syncs)",
                self.compactions,
                Count(self.rounds_max.into(), "round"),
                self.locked_ms_max,
                self.locked_ms_max_without_syncs
            ),
        )?;
        row(
            "stalls",
            format!("p99 {:.1} ms, longest {:.1} ms", self.stall_ms_p99, self.stall_ms_max),
        )?;
        row(
            "written",
            format!(
                "{}, of which {} by compaction",
                Bytes(self.bytes_written),
                Bytes(self.bytes_written_by_compaction)
            ),
        )?;
        row("documents", format!("{} live, {} deleted", self.documents, self.tombstones))?;
        row("files", format!("{}, {} unused", Bytes(self.file_size), percent(self.fragmentation)))?;
        Ok(())
    }
}

fn by_compaction(metrics: &Metrics) -> u64 {
    metrics.bytes_by_phase.values().sum()
}

fn p99(durations: &Durations) -> f64 {
    ms(durations.quantile_ns(0.99))
}

/// Nanoseconds as milliseconds, to the microsecond.
fn ms(nanoseconds: u64) -> f64 {
    (nanoseconds / 1000) as f64 / 1000.0
}
