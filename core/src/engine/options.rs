//! How an engine is set up.

use crate::compaction::CompactionOptions;
use crate::event::Events;
use crate::store::{CommitStyle, OpenMode};

/// Options of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that flush; each works on one vbucket at a time.
    pub flusher_threads: usize,
    /// Threads that compact, and so compactions that run at once. Each has another thread that reads.
    pub compactor_threads: usize,
    /// Bytes of mutations that a vbucket may have waiting for the flusher, counted as
    /// [`Mutation::bytes`](crate::flusher::queue::Mutation::bytes) does. Writers wait beyond.
    pub queue_bytes: u64,
    /// Bytes of tree nodes that are kept in memory for lookups, of all vbuckets together.
    pub node_cache_bytes: usize,
    /// When vbuckets are compacted without being asked to; `None` for never.
    pub automatic: Option<AutomaticCompaction>,
    /// What automatic compactions do.
    pub compaction: CompactionOptions,
    /// How files are opened.
    pub open_mode: OpenMode,
    /// How flushes and rollbacks are made durable. With one sync each is through in about half the
    /// time; the reference's tools would take a header for sound whose commit a crash cut short, and so
    /// the data directory is to be opened with this option again. Opening writes the newest commit of each
    /// file again then: all of the file where it is the only one. See [`Opening::commits`](crate::store::Opening::commits).
    pub commit_style: CommitStyle,
    /// Where events go, beside the engine's own metrics.
    pub events: Events,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            flusher_threads: 2,
            compactor_threads: 1,
            queue_bytes: 4 << 20,
            node_cache_bytes: 64 << 20,
            automatic: Some(AutomaticCompaction::default()),
            compaction: CompactionOptions::default(),
            open_mode: OpenMode::Strict,
            commit_style: CommitStyle::Flip,
            events: Events::none(),
        }
    }
}

/// When a vbucket is compacted without being asked to: looked at after each of its flushes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutomaticCompaction {
    /// Part of the file that is not in use, 0 to 1, from which on.
    pub fragmentation: f64,
    /// Length of the file from which on, in bytes.
    pub minimum_size: u64,
}

impl Default for AutomaticCompaction {
    fn default() -> Self {
        AutomaticCompaction { fragmentation: 0.30, minimum_size: 16 << 20 }
    }
}
