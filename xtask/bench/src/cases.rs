//! What is measured: which workload, of which store, on which documents; and what came of it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stores::Figures;

/// Whose work is measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Subject {
    Tailswap,
    /// Tailswap in headless Chromium, as the page loads it.
    Browser,
    /// What the machine takes for the least that has to be done.
    Floor,
    Redb,
    Fjall,
    Lmdb,
    Sqlite,
}

impl Subject {
    /// Other stores.
    pub(crate) const PEERS: [Subject; 4] =
        [Subject::Redb, Subject::Fjall, Subject::Lmdb, Subject::Sqlite];
}

/// What is done.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ValueEnum,
    strum::Display,
)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Workload {
    /// All documents set in random order, then two rounds of updates, in commits of 2000.
    Load,
    /// A loaded file or database, copied or rewritten so that only what is live is left.
    Compact,
    /// The compacted file's bytes copied to another file, and synced.
    CopyFile,
    /// CRC-32C over them, in memory.
    Checksum,
    /// Snappy over them, in memory.
    Snappy,
    /// 4 KiB of them at random places.
    RandomRead,
    /// One document after another by id, in random order.
    Get,
    /// The same with 64 MB for nodes of the tree, from which 200 000 documents were got before.
    GetCached,
    /// Documents by id, a hundred at once.
    MultiGet,
    /// The same with 64 MB for nodes of the tree, from which 200 000 documents were got before.
    MultiGetCached,
    /// All documents with their bodies, in the order of changes.
    ScanBodies,
    /// All documents by id, without bodies.
    ScanIds,
    /// Opening a file that was committed to 100 000 times.
    Open,
    /// Commits of one document, durable.
    CommitOne,
    /// Commits of 100 documents, durable.
    CommitHundred,
    /// The same where a sync takes 2 ms.
    CommitOneSlowSync,
    /// The same where a sync takes 2 ms.
    CommitHundredSlowSync,
    /// Commits of one document where a sync takes 2 ms, with the option of one sync each.
    CommitOneOneSlowSync,
    /// Commits of 100 documents so.
    CommitHundredOneSlowSync,
    /// Space reclaimed while a writer commits 20 000 documents a second, a thousand at a time.
    Live,
    /// Space reclaimed while a writer commits as fast as it can.
    LiveFlatOut,
    /// The page's simulated world, recorded for going back and forth: each an action.
    Simulate,
    /// The same with files of 80 MB, most of whose actions copy: bytes are those of the new file.
    SimulateCopy,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) documents: Documents,
    pub(crate) workload: Workload,
    pub(crate) subject: Subject,
}

impl Case {
    /// Where this subject keeps these documents.
    fn folder(&self, base: &Path, what: &str) -> PathBuf {
        let Documents { count, body_len } = self.documents;
        base.join(format!("{}-{count}-{body_len}-{what}", self.subject))
    }

    pub(crate) fn loaded(&self, base: &Path) -> PathBuf {
        self.folder(base, "loaded")
    }

    pub(crate) fn compacted(&self, base: &Path) -> PathBuf {
        self.folder(base, "compacted")
    }

    pub(crate) fn work(&self, base: &Path) -> PathBuf {
        self.folder(base, "work")
    }

    /// The same documents of the same store, for another workload.
    pub(crate) fn with(self, workload: Workload) -> Case {
        Case { workload, ..self }
    }
}

/// What one process measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The most memory at once: what the process touched, pages mapped from files too.
    pub(crate) peak_bytes: u64,
    /// Changes made or documents read; 1 for what is done once.
    pub(crate) operations: u64,
    /// Bytes of values read, or of the files afterwards.
    pub(crate) bytes: u64,
    pub(crate) figures: Figures,
}
