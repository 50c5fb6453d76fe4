//! The couchstore file format as pure bytes: no I/O, no state.
//!
//! Every integer is big-endian and packed. Nothing here trusts a length: each is bounded by the
//! bytes that are there and by [`limits`](crate::limits).
#![deny(clippy::indexing_slicing)]

pub mod block;
mod bytes;
pub mod checksum;
pub mod chunk;
pub mod docinfo;
pub mod fields;
pub mod header;
pub mod metadata;
pub mod names;
pub mod node;
pub mod pointer;
pub mod rev_meta;
pub mod snappy;
pub mod vbstate;
