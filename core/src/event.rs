//! What happened, as one serialisable stream: the CLI's progress, a recorded trace and the page
//! are all drawn from it.
//!
//! Events carry no time; whoever receives them stamps them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::sync::Rank;

/// Name of a file within its volume.
pub type FileName = Arc<str>;

/// Something that happened in the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "event", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Event {
    /// Bytes `position..end` of a file were handed to the writer and hold `content`.
    Appended { file: FileName, position: u64, end: u64, content: Content },
    /// Buffered bytes `position..end` were written to the device.
    Written { file: FileName, position: u64, end: u64 },
    /// A sync of the file's data was asked for.
    SyncIssued { file: FileName },
    /// A sync of the file's data is through.
    SyncCompleted { file: FileName },
    /// A header became the file's newest.
    HeaderCommitted { file: FileName, position: u64, update_seq: u64 },
    /// The file was cut to `length` bytes.
    Truncated { file: FileName, length: u64 },
    /// A file came into being, under this name.
    Created { file: FileName },
    /// A file changed its name.
    Renamed { from: FileName, to: FileName },
    /// A name went away; snapshots may still hold the file.
    Removed { file: FileName },
    /// A sync of the directory was asked for.
    DirectorySyncIssued,
    /// A sync of the directory is through.
    DirectorySyncCompleted,
    /// The file can no longer vouch for its end.
    Poisoned { file: FileName },
    /// The writer went back to this header, giving up what followed.
    WentBack { file: FileName, position: u64 },

    /// An actor asked for the vbucket's lock.
    LockAsked { vbucket: u16, actor: Actor },
    /// An actor was given the vbucket's lock.
    LockTaken { vbucket: u16, actor: Actor },
    /// An actor gave the vbucket's lock back.
    LockReleased { vbucket: u16, actor: Actor },

    /// The flusher took a batch off the dirty queue.
    FlushStarted { vbucket: u16, mutations: u64, bytes: u64 },
    /// The batch is durable: everything up to `seq` is persisted.
    FlushFinished { vbucket: u16, seq: u64 },
    /// The batch failed; its mutations are queued again.
    FlushFailed { vbucket: u16, error: String },
    /// The flusher was asked to wait, so that catch-up can converge.
    Paced { vbucket: u16, nanoseconds: u64 },

    /// Compaction began at the header at `position` of `source`.
    CompactionStarted { vbucket: u16, source: FileName, target: FileName, position: u64 },
    /// Compaction entered a phase.
    PhaseChanged { vbucket: u16, phase: Phase },
    /// A document was copied.
    DocumentCopied { vbucket: u16, seq: u64, from: u64, to: u64 },
    /// A document was left behind by a purge or a filter.
    DocumentDropped { vbucket: u16, seq: u64 },
    /// A catch-up round begins: headers `from..to` of the source, `tail` bytes.
    RoundStarted { vbucket: u16, round: u32, from: u64, to: u64, tail: u64, locked: bool },
    /// A catch-up round ended, synced.
    RoundFinished { vbucket: u16, round: u32, documents: u64, bytes: u64 },
    /// The last tail took so long to replay under the lock, longer than was wanted.
    StallTargetMissed { vbucket: u16, nanoseconds: u64 },
    /// A revision is now the one that readers and writers use.
    Published { vbucket: u16, revision: u64 },
    /// Compaction ended.
    CompactionEnded { vbucket: u16, outcome: Outcome },

    /// A vbucket was created, with its first revision in this incarnation.
    VBucketCreated { vbucket: u16, revision: u64 },
    /// A vbucket was opened, at the header at `position`.
    VBucketOpened { vbucket: u16, revision: u64, position: u64 },
    /// An opening found a header of which not all is there, and took it back.
    CommitTakenBack { file: FileName, position: u64, error: String },
    /// A vbucket's newest file could not be opened, and no older one takes over.
    OpeningFailed { vbucket: u16, error: String },
    /// A vbucket went back to a sequence number.
    RolledBack { vbucket: u16, seq: u64 },
    /// A vbucket and its files are gone.
    VBucketDeleted { vbucket: u16 },
}

impl Event {
    /// Its name, as its JSON has it: `sync_issued`, say.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Whether there are events of this name.
    pub fn is_name(name: &str) -> bool {
        Event::VARIANTS.contains(&name)
    }
}

/// What a range of bytes holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Content {
    Body { seq: u64 },
    BySeqNode,
    ByIdNode,
    LocalNode,
    Header,
    Slack,
}

/// Who asks for a vbucket's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Actor {
    Flusher,
    Compactor,
    Operator,
}

/// Where a compaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Copying documents in sequence order, building by-seq, without a lock.
    CopyDocuments,
    /// Building by-id in id order, without a lock.
    CopyIds,
    /// Copying local documents, without a lock.
    CopyLocal,
    /// Committing and syncing the copy.
    CommitCopy,
    /// Replaying the tail, without a lock.
    CatchUp,
    /// Waiting for the vbucket's lock.
    WaitForLock,
    /// Replaying the last tail, under the lock.
    LastTail,
    /// Reading the target back, under the lock.
    Validate,
    /// Renaming the target and syncing the directory, under the lock.
    Swap,
    /// Removing the old file, after the lock was given back.
    Unlink,
}

/// How a compaction ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new file is in charge.
    Swapped,
    /// It was cancelled; the old file is in charge.
    Cancelled,
    /// It failed, for this reason; the old file is in charge.
    Failed(String),
}

/// Receives events. Called from whichever thread makes the event, which may hold a vbucket's lock but
/// has nothing locked that readers and writers need; must not block for long. One that panics makes fail
/// what called it, be it a flush, a compaction or an operator's call, and that leaves a whole state.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Handle on which modules emit; without a sink, emitting costs a branch.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<dyn EventSink>>);

impl Events {
    /// A handle that passes every event to `sink`.
    pub fn to(sink: Arc<dyn EventSink>) -> Self {
        Events(Some(sink))
    }

    /// A handle that drops every event.
    pub fn none() -> Self {
        Events(None)
    }

    /// Emits the event that `make` builds, if anyone listens.
    pub fn emit(&self, make: impl FnOnce() -> Event) {
        Rank::Callback.assert_free();
        if let Some(sink) = &self.0 {
            sink.event(make());
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Events(to a sink)" } else { "Events(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        assert!(Event::VARIANTS.len() > 30);
        for name in Event::VARIANTS {
            let bare = serde_json::json!({ "event": name });
            let read: Result<Event, _> = serde_json::from_value(bare);
            match read {
                Ok(event) => assert_eq!(event.name(), *name),
                Err(error) => assert!(error.to_string().starts_with("missing field"), "{error}"),
            }
        }
    }
}
