//! A vbucket is deleted, and the machine goes down meanwhile.

use tailswap::sim::contents::Contents;
use tailswap::sim::machines::Machines;
use tailswap::store::Budget;

use super::{PROFILES, after_crashes, vbucket_with_a_document};

/// Deletes the vbucket; at every moment of that a crash leaves it as it was, or none.
fn it_is_there_whole_or_not_at_all(mut machines: Machines) {
    let newest = Contents::read(&machines.vbucket().unwrap().snapshot().unwrap()).unwrap();
    machines.volume.take_recording();
    let delete = machines.begin_delete().unwrap();
    machines.finish_operation(delete).unwrap();
    let recording = machines.volume.take_recording();
    for step in &recording {
        for contents in after_crashes(&step.disk) {
            assert!(contents.is_none() || contents.as_ref() == Some(&newest));
        }
    }
    assert!(after_crashes(&recording.last().unwrap().disk).iter().all(Option::is_none));
}

/// Removing a file empties it and takes its name away, and a crash can come in between: the empty
/// file that was left made the vbucket impossible to open, and to create again.
#[test]
fn no_empty_file_is_left_under_its_name() {
    for profile in PROFILES {
        it_is_there_whole_or_not_at_all(vbucket_with_a_document(profile));
    }
}

/// The older file, which a compaction had removed but the directory still had, could outlive the
/// newer one.
#[test]
fn an_older_file_does_not_come_back_in_its_place() {
    for profile in PROFILES {
        let mut machines = vbucket_with_a_document(profile);
        let before = machines.vbucket().unwrap().revision();
        machines.begin_compaction(0, 0).unwrap();
        while machines.vbucket().unwrap().revision() == before {
            let _ = machines.step_compaction(Budget { bytes: 1000, entries: 1 }).unwrap();
        }
        machines.push("key", None).unwrap();
        machines.flush().unwrap();
        it_is_there_whole_or_not_at_all(machines);
    }
}
