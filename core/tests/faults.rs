//! The faulty volume: what fails, when, how, and what the log says of it.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::sync::Arc;

use tailswap::device::{Access, Fault, FaultVolume, MemoryVolume, Operation, SyncStatus, Volume};
use tailswap::error::IoOp;

/// A faulty volume and the memory beneath it.
fn volume() -> (FaultVolume, MemoryVolume) {
    let memory = MemoryVolume::new();
    (FaultVolume::new(Arc::new(memory.clone())), memory)
}

#[test]
fn the_log_tells_what_was_done_to_which_file_in_order() {
    let (volume, _) = volume();
    let file = volume.create_new("new.compact").unwrap();
    file.write_at(4096, b"abc").unwrap();
    file.sync_issue().unwrap();
    volume.rename("new.compact", "new").unwrap();
    volume.sync_issue().unwrap();
    file.sync_issue().unwrap();
    volume.remove("new").unwrap();
    // Another file of the same name is not mistaken for the removed one.
    volume.create_new("new").unwrap();
    volume.rename("new", "newer").unwrap();
    file.truncate(7).unwrap();
    volume.open("newest", Access::Read).unwrap_err();

    let log = volume.take_log();
    let short: Vec<_> = log.iter().map(|done| (done.op, done.file.as_str())).collect();
    let expected = [
        (IoOp::Create, "new.compact"),
        (IoOp::Write, "new.compact"),
        (IoOp::Sync, "new.compact"),
        (IoOp::Rename, "new.compact"),
        (IoOp::SyncDirectory, ""),
        (IoOp::Sync, "new"),
        (IoOp::Remove, "new"),
        (IoOp::Create, "new"),
        (IoOp::Rename, "new"),
        (IoOp::Truncate, "new"),
        (IoOp::Open, "newest"),
    ];
    assert_eq!(short, expected);
    let write = Operation {
        op: IoOp::Write,
        file: "new.compact".into(),
        to: None,
        offset: Some(4096),
        length: Some(3),
        error: None,
    };
    assert_eq!(log[1], write);
    assert_eq!(log[3].to.as_deref(), Some("new"));
    assert_eq!(log[9].length, Some(7));
    assert_eq!(log[10].error, Some(ErrorKind::NotFound));
    assert!(volume.log().is_empty());
}

#[test]
fn the_nth_operation_of_a_kind_on_a_file_fails_once() {
    let (volume, memory) = volume();
    let [a, b] = ["a", "b"].map(|name| volume.create_new(name).unwrap());
    volume.inject(Fault::nth(2).of(IoOp::Write).on_file("a").error(ErrorKind::TimedOut));
    b.write_at(0, b"1").unwrap();
    b.write_at(0, b"2").unwrap();
    a.write_at(0, b"1").unwrap();
    a.len().unwrap();
    assert_eq!(volume.fired(), 0);
    assert_eq!(a.write_at(0, b"2").unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(volume.fired(), 1);
    assert_eq!(volume.log().last().unwrap().error, Some(ErrorKind::TimedOut));
    assert_eq!(memory.get("a").unwrap(), b"1");
    for _ in 0..5 {
        a.write_at(0, b"3").unwrap();
    }
    assert_eq!(volume.fired(), 1);
}

#[test]
fn a_sticky_fault_stays_until_healed() {
    let (volume, _) = volume();
    let file = volume.create_new("f").unwrap();
    volume.inject(Fault::nth(2).of(IoOp::Read).os_error(5).sticky());
    let mut buf = [0; 1];
    file.read_at(0, &mut buf).unwrap();
    for _ in 0..3 {
        assert_eq!(file.read_at(0, &mut buf).unwrap_err().raw_os_error(), Some(5));
    }
    file.write_at(0, b"x").unwrap();
    volume.heal();
    file.read_at(0, &mut buf).unwrap();
    assert_eq!(volume.fired(), 3);
}

#[test]
fn faults_count_on_their_own_and_a_renaming_has_two_names() {
    let (volume, _) = volume();
    volume.create_new("a").unwrap();
    volume.inject(Fault::nth(1).of(IoOp::Rename).on_files(|name| name.ends_with(".2")));
    volume.inject(Fault::nth(2).of(IoOp::Rename));
    volume.rename("a", "a.2").unwrap_err();
    volume.rename("a", "a.3").unwrap_err();
    volume.rename("a", "a.2").unwrap();
    assert_eq!(volume.list().unwrap(), ["a.2"]);
}

#[test]
fn every_kind_of_operation_can_fail_and_changes_nothing_then() {
    let run = |volume: &FaultVolume| -> std::io::Result<()> {
        let file = volume.create_new("a")?;
        file.write_at(0, b"abc")?;
        file.len()?;
        file.read_at(0, &mut [0; 3])?;
        file.truncate(2)?;
        let ticket = file.sync_issue()?;
        let _ = file.sync_complete(ticket)?;
        volume.open("a", Access::Read)?;
        volume.rename("a", "b")?;
        let ticket = volume.sync_issue()?;
        let _ = volume.sync_complete(ticket)?;
        volume.list()?;
        volume.remove("b")
    };
    for nth in 1.. {
        let (volume, memory) = volume();
        volume.inject(Fault::nth(nth));
        let result = run(&volume);
        if volume.fired() == 0 {
            result.unwrap();
            assert_eq!(nth, 12, "all eleven operations failed once");
            break;
        }
        result.unwrap_err();
        let log = volume.take_log();
        assert_eq!(log.len() as u64, nth);
        assert!(log.last().unwrap().error.is_some());
        let left = memory.list().unwrap();
        let expected: &[&str] = match nth {
            1 => &[],
            2..=8 => &["a"],
            _ => &["b"],
        };
        assert_eq!(left, expected);
    }
}

#[test]
fn a_failing_write_can_write_its_beginning() {
    let (volume, memory) = volume();
    let file = volume.create_new("f").unwrap();
    volume.inject(Fault::nth(1).of(IoOp::Write).after_bytes(2));
    file.write_at(0, b"abcd").unwrap_err();
    assert_eq!(memory.get("f").unwrap(), b"ab");
}

#[test]
fn syncs_fail_when_issued_or_on_completion() {
    let (volume, _) = volume();
    let file = volume.create_new("f").unwrap();
    volume.inject(Fault::nth(1).of(IoOp::Sync));
    volume.inject(Fault::nth(2).of(IoOp::Sync).error(ErrorKind::TimedOut).on_completion());
    volume.inject(Fault::nth(1).of(IoOp::SyncDirectory).on_completion());
    file.sync_issue().unwrap_err();

    let failing = file.sync_issue().unwrap();
    let good = file.sync_issue().unwrap();
    assert_eq!(file.sync_complete(good).unwrap(), SyncStatus::Done);
    assert_eq!(file.sync_complete(failing).unwrap_err().kind(), ErrorKind::TimedOut);
    // Both tickets are spent.
    for ticket in [failing, good] {
        assert_eq!(file.sync_complete(ticket).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let failing = volume.sync_issue().unwrap();
    volume.sync_complete(failing).unwrap_err();
    let errors: Vec<_> = volume.log().into_iter().map(|done| done.error.is_some()).collect();
    assert_eq!(errors, [false, true, true, false, true]);
}

#[test]
fn a_full_disk_takes_what_fits_and_gets_room_again() {
    let (volume, memory) = volume();
    volume.set_capacity(10);
    let [a, b] = ["a", "b"].map(|name| volume.create_new(name).unwrap());
    a.write_at(0, b"12345678").unwrap();
    assert_eq!(b.write_at(0, b"abcd").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(memory.get("b").unwrap(), b"ab");
    assert_eq!(a.write_at(100, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(a.truncate(9).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(a.len().unwrap(), 8);
    // What is there can be overwritten, and a file without bytes needs no room.
    a.write_at(7, b"!").unwrap();
    volume.create_new("c").unwrap();
    assert_eq!(volume.fired(), 0, "a full disk is no fault of the script's");

    a.truncate(4).unwrap();
    b.write_at(2, b"cdef").unwrap();
    b.write_at(6, b"g").unwrap_err();
    volume.remove("a").unwrap();
    b.write_at(6, b"ghij").unwrap();
    volume.heal();
    b.write_at(10, b"k").unwrap();
    assert_eq!(memory.get("b").unwrap(), b"abcdefghijk");
}
