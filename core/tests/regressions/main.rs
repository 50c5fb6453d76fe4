//! One test for each bug that was found in the engine, and for each that others met and that could
//! occur here.
#![allow(clippy::unwrap_used, clippy::panic)]

mod b_counts;
mod b_engine;
mod b_files;
mod clock;
mod damage;
mod deletion;
mod limits;
mod one_sync;
mod opening;
mod panics;
mod rollback;
mod wakers;

use tailswap::sim::CrashVolume;
use tailswap::sim::contents::Contents;
use tailswap::sim::disk::{Depth, Disk, DiskRules, Profile, selections};
use tailswap::sim::invariants::check_recovery;
use tailswap::sim::machines::{Machines, VBUCKET};
use tailswap::store::CommitStyle;

const PROFILES: [Profile; 2] = [Profile::Posix, Profile::Journaled];

/// A vbucket that holds one document.
fn vbucket_with_a_document(profile: Profile) -> Machines {
    let mut machines = Machines::new(DiskRules::new(profile));
    machines.create().unwrap();
    machines.push("key", Some(b"value".to_vec())).unwrap();
    machines.flush().unwrap();
    machines.volume.record();
    machines
}

/// What the vbucket holds after each crash that is possible now.
fn after_crashes(disk: &Disk) -> Vec<Option<Contents>> {
    let all = selections(disk, Depth::Full);
    let recover = |selection| {
        let volume = CrashVolume::after_crash(&disk.crash_image(selection), disk.rules());
        check_recovery(&volume, VBUCKET, CommitStyle::Flip).unwrap().0.contents
    };
    all.iter().map(recover).collect()
}
