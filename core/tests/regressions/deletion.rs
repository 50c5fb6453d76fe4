//! A vbucket is deleted, and the machine goes down meanwhile.

use tailswap::sim::contents::Contents;
use tailswap::sim::world::World;
use tailswap::store::Budget;

use super::{PROFILES, after_crashes, world_with_a_document};

/// Deletes the vbucket; at every moment of that a crash leaves it as it was, or none.
fn it_is_there_whole_or_not_at_all(mut world: World) {
    let newest = Contents::read(&world.vbucket().unwrap().snapshot().unwrap()).unwrap();
    world.volume.take_recording();
    let delete = world.begin_delete().unwrap();
    world.finish_operation(delete).unwrap();
    let recording = world.volume.take_recording();
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
        it_is_there_whole_or_not_at_all(world_with_a_document(profile));
    }
}

/// The older file, which a compaction had removed but the directory still had, could outlive the
/// newer one.
#[test]
fn an_older_file_does_not_come_back_in_its_place() {
    for profile in PROFILES {
        let mut world = world_with_a_document(profile);
        let before = world.vbucket().unwrap().revision();
        world.begin_compaction(0, 0).unwrap();
        while world.vbucket().unwrap().revision() == before {
            let _ = world.step_compaction(Budget { bytes: 1000, entries: 1 }).unwrap();
        }
        world.push("key", None).unwrap();
        world.flush().unwrap();
        it_is_there_whole_or_not_at_all(world);
    }
}
