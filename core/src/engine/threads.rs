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

/// Lets other threads go before this one, for good, where the operating system knows of such a thing.
pub(super) fn give_way() {
    // Elsewhere it is the whole process that has a priority, and the model checker has one thread for all.
    #[cfg(all(target_os = "linux", not(feature = "shuttle")))]
    // Where it is not allowed, all are equal.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// How far a thread that gives way stands back (setpriority(2)): it has a ninth of the processor time of
/// another that wants all of it too.
#[cfg(all(target_os = "linux", not(feature = "shuttle")))]
const NICENESS: i32 = 10;
