//! A process dies, its successor opens what is there, and then the machine goes down.

use tailswap::device::Volume;
use tailswap::error::IoOp;
use tailswap::sim::CrashVolume;
use tailswap::sim::disk::DiskRules;
use tailswap::sim::invariants::check_recovery;
use tailswap::sim::machines::{Machines, VBUCKET};
use tailswap::store::CommitStyle;

use super::{PROFILES, after_crashes, vbucket_with_a_document};

/// Whatever a new process finds on this disk is there after any crash that follows.
fn opened_here_it_stays(disk: &tailswap::sim::disk::Disk) {
    let restarted = CrashVolume::after_restart(disk);
    let (found, _) = check_recovery(&restarted, VBUCKET, CommitStyle::Flip).unwrap();
    for contents in after_crashes(&restarted.disk()) {
        assert_eq!(contents, found.contents);
    }
}

/// Opening did not sync the directory: a file whose creator died before it did so was written to,
/// and gone with all that had been acknowledged.
#[test]
fn a_file_whose_name_was_not_durable_is_not_lost() {
    for profile in PROFILES {
        let mut machines = Machines::new(DiskRules::new(profile));
        machines.volume.record();
        machines.create().unwrap();
        let recording = machines.volume.take_recording();
        let renamed = recording.iter().find(|done| done.operation.op == IoOp::Rename).unwrap();
        opened_here_it_stays(&renamed.disk);
    }
}

/// Opening took a header for durable whose writer had died before its last sync.
#[test]
fn a_header_that_was_not_synced_is_not_taken_back() {
    for profile in PROFILES {
        let mut machines = vbucket_with_a_document(profile);
        machines.push("key", None).unwrap();
        machines.flush().unwrap();
        let recording = machines.volume.take_recording();
        let flipped = recording.iter().rfind(|done| done.operation.op == IoOp::Write).unwrap();
        assert_eq!(flipped.operation.length, Some(1));
        opened_here_it_stays(&flipped.disk);
    }
}

/// The same, where that sync failed: the system takes the page for clean, and later syncs skip it.
#[test]
fn a_header_whose_sync_failed_is_not_taken_back() {
    for profile in PROFILES {
        let mut machines = vbucket_with_a_document(profile);
        machines.push("key", None).unwrap();
        machines.volume.fail_sync(2);
        machines.flush().unwrap_err();
        let recording = machines.volume.take_recording();
        let failed = recording.iter().find(|done| done.operation.error.is_some()).unwrap();
        opened_here_it_stays(&failed.disk);
    }
}

/// Opening removed the older revision while the newer one's name was not durable: a crash could
/// leave neither.
#[test]
fn the_old_file_is_not_swept_before_the_new_ones_name_is_durable() {
    for profile in PROFILES {
        let mut machines = vbucket_with_a_document(profile);
        machines.begin_compaction(0, 0).unwrap();
        machines.finish_compaction().unwrap();
        let recording = machines.volume.take_recording();
        let renamed = recording.iter().find(|done| done.operation.op == IoOp::Rename).unwrap();
        opened_here_it_stays(&renamed.disk);

        let restarted = CrashVolume::after_restart(&renamed.disk);
        assert_eq!(restarted.list().unwrap().len(), 2);
        let (_, recovery) = check_recovery(&restarted, VBUCKET, CommitStyle::Flip).unwrap();
        for step in recovery {
            assert!(after_crashes(&step.disk).iter().all(Option::is_some));
        }
    }
}
