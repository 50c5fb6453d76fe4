//! Files that are synced while they are written: what the syncs under way tell, and leave behind.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tailswap::device::{Access, Fault, FaultVolume, MemoryVolume, Volume};
use tailswap::engine::WriteBehind;
use tailswap::error::IoOp;

fn syncs(volume: &FaultVolume) -> usize {
    volume.log().iter().filter(|done| done.op == IoOp::Sync).count()
}

#[test]
fn a_file_is_synced_as_it_grows_and_given_up_with_its_handle() {
    let faults = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let volume = WriteBehind::new(Arc::new(faults.clone()), 100);
    for round in 0..50 {
        let name = format!("file-{round}");
        let file = volume.create_new(&name).unwrap();
        file.write_at(0, &[7; 99]).unwrap();
        assert_eq!(syncs(&faults), 0, "too little for one");
        file.write_at(99, &[7; 99]).unwrap();
        drop(file);
        assert_eq!(syncs(&faults), 1, "waited for where the handle is dropped");
        drop(volume.open(&name, Access::Write).unwrap());
        faults.take_log();
    }
}

#[test]
fn a_failure_of_a_sync_under_way_is_told_by_the_one_that_counts() {
    let faults = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let volume = WriteBehind::new(Arc::new(faults.clone()), 100);
    let file = volume.create_new("file").unwrap();
    faults.inject(Fault::nth(1).of(IoOp::Sync));
    file.write_at(0, &[7; 100]).unwrap();
    assert!(file.sync_issue().is_err(), "a later one would succeed");
    assert_eq!(syncs(&faults), 1);
    assert!(file.sync_issue().is_ok());
}

#[test]
fn a_failure_of_a_sync_that_is_through_is_not_forgotten_for_what_is_written_then() {
    for _ in 0..50 {
        let faults = FaultVolume::new(Arc::new(MemoryVolume::new()));
        let volume = WriteBehind::new(Arc::new(faults.clone()), 100);
        let file = volume.create_new("file").unwrap();
        faults.inject(Fault::nth(1).of(IoOp::Sync));
        // Whether it is through by the next write is left to chance.
        for offset in [0, 100, 200, 300] {
            file.write_at(offset, &[7; 100]).unwrap();
        }
        assert!(file.sync_issue().is_err());
        assert_eq!(syncs(&faults), 1, "none that could succeed was begun");
    }
}
