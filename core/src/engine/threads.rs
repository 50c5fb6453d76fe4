//! Threads and channels: the operating system's, or, with the feature `shuttle`, the model checker's.

#[cfg(feature = "shuttle")]
pub(super) use shuttle::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};
#[cfg(not(feature = "shuttle"))]
pub(super) use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};
