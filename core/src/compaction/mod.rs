//! Compaction beside a running flusher: copy → catch up → lock, last tail, swap.
//!
//! [`Compaction`] is the machine that a vbucket is compacted with; [`OfflineCompaction`] copies one
//! file that nobody writes to. Both copy with two machines joined by a queue: [`CopyReader`] walks
//! the source and verifies, a builder writes. The target's bytes depend on the source's header and
//! the options, never on how the steps of the two fall.

mod builder;
mod items;
mod machine;
mod offline;
mod options;
mod pacing;
mod reader;
mod replay;
mod swap;
mod sync_behind;
mod table;

pub use items::{CopyBatch, CopyItem, CopySource, Feed};
pub use machine::{Compaction, CompactionStats};
pub use offline::OfflineCompaction;
pub use options::{CompactionOptions, Decision, Filter, Purge};
pub use reader::CopyReader;
