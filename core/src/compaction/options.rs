//! What a compaction leaves behind.

use std::fmt;
use std::sync::Arc;

use crate::format::docinfo::DocInfoRef;
use crate::format::rev_meta::RevMeta;

/// Options of a compaction.
#[derive(Clone, Debug)]
pub struct CompactionOptions {
    /// Leave every tombstone behind. For single files, as the reference's tool does it; a vbucket's
    /// compaction keeps the tombstone at its highest sequence number all the same.
    pub drop_deletes: bool,
    /// Leave old tombstones behind.
    pub purge: Purge,
    /// Asked about every document that the above keeps.
    pub filter: Option<Arc<dyn Filter>>,
    /// How long a vbucket's writers may have to wait at the swap, in nanoseconds, syncs apart.
    pub max_stall_ns: u64,
    /// Memory for the table of new positions, in bytes; what is beyond goes to a file.
    pub table_memory: usize,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        CompactionOptions {
            drop_deletes: false,
            purge: Purge::default(),
            filter: None,
            max_stall_ns: 20_000_000,
            table_memory: 32 << 20,
        }
    }
}

/// Which tombstones to purge: those for which every condition given holds; without any, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Deleted before this time, in seconds since the Unix epoch. Tombstones that say no time stay.
    pub before: Option<u32>,
    /// With a sequence number up to this.
    pub to_seq: Option<u64>,
}

impl Purge {
    /// Whether a document is a tombstone to purge.
    pub fn applies_to(&self, info: &DocInfoRef<'_>) -> bool {
        let old = self.before.is_none_or(|before| {
            RevMeta::decode(info.rev_meta).is_some_and(|meta| meta.expiry < before)
        });
        let low = self.to_seq.is_none_or(|to_seq| info.seq <= to_seq);
        info.deleted && (self.before.is_some() || self.to_seq.is_some()) && old && low
    }
}

/// Decides about documents one by one, in sequence order.
pub trait Filter: Send + Sync {
    /// What to do with a document. `body` is `None` at first, and also for a document that has none;
    /// after [`Decision::NeedBody`] it is the body as stored, compressed if its content meta says so.
    fn decide(&self, info: DocInfoRef<'_>, body: Option<&[u8]>) -> Decision;
}

impl fmt::Debug for dyn Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// What a filter says of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Copy it.
    Keep,
    /// Leave it behind.
    Drop,
    /// Ask again with the body. Of a second answer like this the document is kept.
    NeedBody,
}
