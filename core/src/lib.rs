//! Couchstore files, a flusher and compaction that run in parallel.
//!
//! Couchbase keeps each vbucket in an append-only copy-on-write B+tree file. A *flusher* appends
//! batches and commits each with a header; *compaction* copies the live data into a new file.
//! This crate lets both run at the same time: compaction copies everything up to the header that
//! was current when it began, holding no lock; then replays the tail that the flusher wrote
//! meanwhile, round by round; then takes the vbucket lock for the last short tail, swaps the
//! files and lets go.
//!
//! Modules import downwards only:
//!
//! | module | what it is |
//! |---|---|
//! | `engine` | native threads: flushers, compactors, back-pressure, automatic compaction |
//! | [`sim`] | a simulated world: crashes, interleavings, invariants |
//! | [`compaction`] | copy, catch up, lock, last tail, swap: a state machine |
//! | [`flusher`] | dirty queue, batch, commit: a state machine |
//! | [`vbucket`] | the revisions of one vbucket, its lock, start-up clean-up |
//! | [`store`] | one file: headers, snapshots, batches, commit, history, local documents |
//! | [`btree`] | lookup, range cursor, batch update, bulk build, delta, verification |
//! | [`chunklog`] | reading and appending checksummed chunks on one device |
//! | [`mod@format`] | blocks, chunks, headers, nodes, document infos: pure bytes |
//! | [`device`] | block devices and volumes: memory and real files |
//! | [`trace`] | events as a stream of bytes |
//!
//! [`event`], [`error`], [`limits`] and `sync` (locks that keep an order) are used by all of them.
#![deny(missing_docs)]

pub mod btree;
#[doc(hidden)]
pub mod canary;
pub mod chunklog;
pub mod compaction;
pub mod device;
#[cfg(not(target_arch = "wasm32"))]
pub mod engine;
pub mod error;
pub mod event;
pub mod flusher;
pub mod format;
pub mod limits;
pub mod sim;
pub mod store;
mod sync;
pub mod trace;
pub mod vbucket;

pub use error::{Damage, Error, Result};

/// The README's example is compiled and run with the tests.
#[cfg(all(doctest, not(target_arch = "wasm32")))]
#[doc = include_str!("../../README.md")]
struct Readme;
