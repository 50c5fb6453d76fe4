//! One couchstore file: opening it, reading any state that was committed to it, appending batches
//! and committing them.
//!
//! What takes long is a machine that is stepped ([`BatchSave`], [`Commit`], [`GoBack`],
//! [`Create`]); a host without threads drives them a little at a time, and [`Store`] has a method
//! that drives each to its end for one that can wait.

mod batch;
mod bodies;
pub mod check;
mod commit;
mod create;
mod history;
mod lookups;
mod open;
mod snapshot;
mod step;
mod tail;
mod writer;

pub use batch::{Batch, BatchSave, Body, DocUpdate, LocalUpdate, RevSeq};
pub use bodies::BodyReader;
pub use commit::{Commit, CommitStyle, GoBack};
pub use create::Create;
pub(crate) use create::{claim, list, remove, rename};
pub use history::{HeadersBack, HeadersForward, at_offset, at_or_before_seq};
pub use lookups::Lookups;
pub use open::{OpenMode, Opening, PassedOver, find_newest};
pub use snapshot::{Counts, Documents, Snapshot};
pub use step::{Budget, DirectorySync, FileSync, Step};
pub(crate) use writer::read_when_wanted;
pub use writer::{JoinReading, Store, open_for_reading};
