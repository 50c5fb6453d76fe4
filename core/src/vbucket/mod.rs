//! One vbucket: which of its files is in charge, the lock that protects that choice and appends to
//! the file, and what readers see.

mod bucket;
mod create;
mod delete;
mod directory;
pub mod lock;
mod rollback;
mod writing;

pub use bucket::{CancelFlag, Charge, CompactionSlot, Pace, VBucket};
pub(crate) use bucket::{vbstate_of, vbstate_update};
pub use create::Creation;
pub use delete::Delete;
pub use directory::vbuckets_in;
pub use rollback::Rollback;
pub(crate) use writing::Writing;
