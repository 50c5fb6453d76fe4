//! The contract of devices and volumes, sentence by sentence, over each implementation.

#![allow(clippy::unwrap_used)]

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tailswap::device::{
    Access, BlockDevice, FaultVolume, FileVolume, Host, MemoryDevice, MemoryVolume, SyncStatus,
    SystemHost, Volume,
};
use tailswap::engine::WriteBehind;
use tailswap::sim::CrashVolume;
use tailswap::sim::disk::{DiskRules, Profile};

/// Runs a test over an empty volume of each kind.
fn over_each_volume(test: impl Fn(&dyn Volume)) {
    test(&MemoryVolume::new());
    // Without faults, the faulty volume is as good as any.
    test(&FaultVolume::new(Arc::new(MemoryVolume::new())));
    for profile in [Profile::Posix, Profile::Journaled] {
        test(&CrashVolume::new(DiskRules::new(profile)));
    }
    let directory = tempfile::tempdir().unwrap();
    test(&FileVolume::open_writable(directory.path()).unwrap());
    let directory = tempfile::tempdir().unwrap();
    test(&FileVolume::open_shared(directory.path()).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let files = FileVolume::open_shared(directory.path()).unwrap();
    test(&WriteBehind::new(Arc::new(files), 4));
}

fn content(device: &dyn BlockDevice) -> Vec<u8> {
    let mut bytes = vec![0; device.len().unwrap() as usize];
    assert_eq!(device.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn sync(device: &dyn BlockDevice) {
    let ticket = device.sync_issue().unwrap();
    while device.sync_complete(ticket).unwrap() == SyncStatus::Pending {}
}

#[track_caller]
fn fails<T>(result: io::Result<T>, kind: ErrorKind) {
    assert_eq!(result.map(drop).unwrap_err().kind(), kind);
}

#[test]
fn a_new_file_is_empty_and_grows_by_writing() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (0, true));
        file.write_at(0, b"hello").unwrap();
        file.write_at(3, b"p me").unwrap();
        assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (7, false));
        assert_eq!(content(&*file), b"help me");
    });
}

#[test]
fn a_gap_reads_as_zeros() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        file.write_at(3, b"x").unwrap();
        assert_eq!(content(&*file), b"\0\0\0x");
    });
}

#[test]
fn writing_nothing_changes_nothing() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        file.write_at(100, b"").unwrap();
        assert_eq!(file.len().unwrap(), 0);
    });
}

#[test]
fn reads_are_short_only_where_the_file_ends() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        file.write_at(0, b"0123456789").unwrap();
        let mut buf = [b'-'; 4];
        assert_eq!(file.read_at(3, &mut buf).unwrap(), 4);
        assert_eq!(&buf, b"3456");
        assert_eq!(file.read_at(8, &mut buf).unwrap(), 2);
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(10, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(11, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(u64::MAX, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(i64::MAX as u64, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
    });
}

#[test]
fn truncate_cuts_and_lengthens_with_zeros() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        file.write_at(0, b"abcdef").unwrap();
        file.truncate(2).unwrap();
        assert_eq!(content(&*file), b"ab");
        file.truncate(4).unwrap();
        assert_eq!(content(&*file), b"ab\0\0", "what was cut off must not come back");
        file.truncate(0).unwrap();
        assert!(file.is_empty().unwrap());
    });
}

#[test]
fn impossible_offsets_are_errors() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        assert!(file.write_at(u64::MAX, b"x").is_err());
        assert!(file.truncate(u64::MAX).is_err());
        assert_eq!(file.len().unwrap(), 0);
    });
}

#[test]
fn syncs_complete() {
    over_each_volume(|volume| {
        let file = volume.create_new("f").unwrap();
        file.write_at(0, b"abc").unwrap();
        sync(&*file);
        let ticket = volume.sync_issue().unwrap();
        while volume.sync_complete(ticket).unwrap() == SyncStatus::Pending {}
        assert_eq!(content(&*file), b"abc");
    });
}

#[test]
fn a_reader_sees_what_the_writer_wrote() {
    over_each_volume(|volume| {
        let writer = volume.create_new("f").unwrap();
        let reader = volume.open("f", Access::Read).unwrap();
        writer.write_at(0, b"abc").unwrap();
        assert_eq!(content(&*reader), b"abc");
        writer.truncate(1).unwrap();
        assert_eq!(reader.len().unwrap(), 1);
    });
}

#[test]
fn a_reader_cannot_change_the_file() {
    over_each_volume(|volume| {
        volume.create_new("f").unwrap().write_at(0, b"abc").unwrap();
        let reader = volume.open("f", Access::Read).unwrap();
        fails(reader.write_at(0, b"x"), ErrorKind::PermissionDenied);
        fails(reader.truncate(0), ErrorKind::PermissionDenied);
        fails(reader.sync_issue(), ErrorKind::PermissionDenied);
        assert_eq!(content(&*reader), b"abc");
    });
}

#[test]
fn a_file_has_one_writer_and_any_number_of_readers() {
    over_each_volume(|volume| {
        let writer = volume.create_new("f").unwrap();
        fails(volume.open("f", Access::Write), ErrorKind::WouldBlock);
        let _readers = [(); 3].map(|()| volume.open("f", Access::Read).unwrap());

        let clone = Arc::clone(&writer);
        drop(writer);
        fails(volume.open("f", Access::Write), ErrorKind::WouldBlock);
        drop(clone);

        let writer = volume.open("f", Access::Write).unwrap();
        fails(volume.open("f", Access::Write), ErrorKind::WouldBlock);
        let other = volume.create_new("g").unwrap();
        drop(other);
        fails(volume.open("f", Access::Write), ErrorKind::WouldBlock);
        drop(writer);
        volume.open("f", Access::Write).unwrap();
    });
}

#[test]
fn a_writer_can_read_and_opening_changes_nothing() {
    over_each_volume(|volume| {
        volume.create_new("f").unwrap().write_at(0, b"abc").unwrap();
        let writer = volume.open("f", Access::Write).unwrap();
        assert_eq!(content(&*writer), b"abc");
    });
}

#[test]
fn opening_what_is_not_there_creates_nothing() {
    over_each_volume(|volume| {
        fails(volume.open("f", Access::Read), ErrorKind::NotFound);
        fails(volume.open("f", Access::Write), ErrorKind::NotFound);
        assert!(volume.list().unwrap().is_empty());
    });
}

#[test]
fn creating_never_replaces() {
    over_each_volume(|volume| {
        volume.create_new("f").unwrap().write_at(0, b"abc").unwrap();
        fails(volume.create_new("f"), ErrorKind::AlreadyExists);
        assert_eq!(content(&*volume.open("f", Access::Read).unwrap()), b"abc");
    });
}

#[test]
fn renaming_moves_the_name_and_leaves_handles_on_the_file() {
    over_each_volume(|volume| {
        let writer = volume.create_new("old").unwrap();
        let reader = volume.open("old", Access::Read).unwrap();
        volume.rename("old", "new").unwrap();
        assert_eq!(volume.list().unwrap(), ["new"]);

        writer.write_at(0, b"abc").unwrap();
        sync(&*writer);
        assert_eq!(content(&*reader), b"abc");
        assert_eq!(content(&*volume.open("new", Access::Read).unwrap()), b"abc");
        fails(volume.open("old", Access::Read), ErrorKind::NotFound);
        fails(volume.open("new", Access::Write), ErrorKind::WouldBlock);
        // The old name is free for another file, with a writer of its own.
        volume.create_new("old").unwrap();
    });
}

#[test]
fn renaming_never_replaces() {
    over_each_volume(|volume| {
        volume.create_new("a").unwrap().write_at(0, b"a").unwrap();
        volume.create_new("b").unwrap().write_at(0, b"b").unwrap();
        fails(volume.rename("a", "b"), ErrorKind::AlreadyExists);
        fails(volume.rename("a", "a"), ErrorKind::AlreadyExists);
        fails(volume.rename("c", "d"), ErrorKind::NotFound);
        fails(volume.rename("c", "b"), ErrorKind::NotFound);
        assert_eq!(volume.list().unwrap(), ["a", "b"]);
        assert_eq!(content(&*volume.open("a", Access::Read).unwrap()), b"a");
        assert_eq!(content(&*volume.open("b", Access::Read).unwrap()), b"b");
    });
}

#[test]
fn removed_files_live_on_in_their_handles() {
    over_each_volume(|volume| {
        let writer = volume.create_new("f").unwrap();
        writer.write_at(0, b"abc").unwrap();
        let reader = volume.open("f", Access::Read).unwrap();
        volume.remove("f").unwrap();
        fails(volume.open("f", Access::Read), ErrorKind::NotFound);
        fails(volume.remove("f"), ErrorKind::NotFound);
        assert!(volume.list().unwrap().is_empty());

        // The name is free at once, for a file that has nothing to do with the old one.
        let successor = volume.create_new("f").unwrap();
        successor.write_at(0, b"new").unwrap();
        writer.write_at(3, b"def").unwrap();
        sync(&*writer);
        assert_eq!(content(&*reader), b"abcdef");
        drop(writer);
        fails(volume.open("f", Access::Write), ErrorKind::WouldBlock);
        assert_eq!(content(&*reader), b"abcdef");
        assert_eq!(content(&*successor), b"new");
    });
}

#[test]
fn names_are_listed_in_order() {
    over_each_volume(|volume| {
        for name in ["b", "a.couch.10", "a.couch.2", "ä", ".hidden"] {
            volume.create_new(name).unwrap();
        }
        assert_eq!(volume.list().unwrap(), [".hidden", "a.couch.10", "a.couch.2", "b", "ä"]);
    });
}

#[test]
fn bad_names_are_refused() {
    over_each_volume(|volume| {
        volume.create_new("f").unwrap();
        for name in ["", ".", "..", "a/b", "/", "a\0b"] {
            fails(volume.open(name, Access::Read), ErrorKind::InvalidInput);
            fails(volume.open(name, Access::Write), ErrorKind::InvalidInput);
            fails(volume.create_new(name), ErrorKind::InvalidInput);
            fails(volume.rename(name, "g"), ErrorKind::InvalidInput);
            fails(volume.rename("f", name), ErrorKind::InvalidInput);
            fails(volume.remove(name), ErrorKind::InvalidInput);
        }
        assert_eq!(volume.list().unwrap(), ["f"]);
    });
}

#[test]
fn one_writer_and_readers_on_threads() {
    over_each_volume(|volume| {
        let writer = volume.create_new("f").unwrap();
        let reader = volume.open("f", Access::Read).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let reader = Arc::clone(&reader);
                scope.spawn(move || {
                    loop {
                        let bytes = content(&*reader);
                        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
                        if bytes.len() == 256 {
                            break;
                        }
                    }
                });
            }
            for byte in 0..=255 {
                writer.write_at(u64::from(byte), &[byte]).unwrap();
            }
        });
    });
}

#[test]
fn memory_devices_stand_alone() {
    let device = MemoryDevice::new();
    device.write_at(1, b"x").unwrap();
    assert_eq!(device.to_bytes(), b"\0x");
    let device = MemoryDevice::from_bytes(b"abc".to_vec());
    device.truncate(2).unwrap();
    sync(&device);
    assert_eq!(device.to_bytes(), b"ab");
}

#[test]
fn memory_volumes_are_shared_and_can_be_filled_and_inspected() {
    let volume = MemoryVolume::new();
    volume.put("f", b"abc".to_vec()).unwrap();
    let same = volume.clone();
    let old = same.open("f", Access::Write).unwrap();
    old.write_at(3, b"d").unwrap();
    assert_eq!(volume.get("f").unwrap(), b"abcd");
    assert_eq!(volume.get("g"), None);
    fails(volume.put("", Vec::new()), ErrorKind::InvalidInput);

    volume.put("f", b"new".to_vec()).unwrap();
    assert_eq!(content(&*old), b"abcd");
    assert_eq!(content(&*same.open("f", Access::Write).unwrap()), b"new");
}

#[test]
fn the_systems_clock_never_goes_back_and_numbers_differ() {
    let host = SystemHost::new().unwrap();
    let mut latest = 1_700_000_000_000_000_000;
    let mut numbers = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let now = host.now_ns();
        assert!(now >= latest);
        latest = now;
        assert!(numbers.insert(host.random_u64()));
    }
    assert!(numbers.insert(SystemHost::new().unwrap().random_u64()));
}

/// What only directories of the operating system's have.
mod directories {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_directory_is_open_for_writing_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let volume = FileVolume::open_writable(path).unwrap();
        fails(FileVolume::open_writable(path), ErrorKind::WouldBlock);
        // Whoever only reads, or writes to single files, is not kept out.
        let file = volume.create_new("f").unwrap();
        FileVolume::open_read_only(path).unwrap().open("f", Access::Read).unwrap();
        let shared = FileVolume::open_shared(path).unwrap();
        fails(shared.open("f", Access::Write), ErrorKind::WouldBlock);
        drop(file);
        shared.open("f", Access::Write).unwrap();
        drop(volume);
        FileVolume::open_writable(path).unwrap();
        // No lock file stays behind.
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    }

    #[test]
    fn a_read_only_volume_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), "abc").unwrap();
        let volume = FileVolume::open_read_only(directory.path()).unwrap();
        fails(volume.open("f", Access::Write), ErrorKind::PermissionDenied);
        fails(volume.create_new("g"), ErrorKind::PermissionDenied);
        fails(volume.rename("f", "g"), ErrorKind::PermissionDenied);
        fails(volume.remove("f"), ErrorKind::PermissionDenied);
        fails(volume.sync_issue(), ErrorKind::PermissionDenied);
        assert_eq!(volume.list().unwrap(), ["f"]);
        assert_eq!(content(&*volume.open("f", Access::Read).unwrap()), b"abc");
    }

    #[test]
    fn a_volume_is_an_existing_directory() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "").unwrap();
        let missing = directory.path().join("missing");
        for open in [FileVolume::open_writable, FileVolume::open_shared, FileVolume::open_read_only]
        {
            fails(open(&file), ErrorKind::NotADirectory);
            fails(open(&missing), ErrorKind::NotFound);
        }
        assert!(!missing.exists());
    }

    #[test]
    fn only_regular_files_are_part_of_a_volume() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("directory")).unwrap();
        fs::write(path.join("file"), "abc").unwrap();
        symlink("file", path.join("link")).unwrap();
        let _listener = UnixListener::bind(path.join("socket")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();

        let volume = FileVolume::open_writable(path).unwrap();
        assert_eq!(volume.list().unwrap(), ["file"]);
        for access in [Access::Read, Access::Write] {
            fails(volume.open("directory", access), ErrorKind::IsADirectory);
            // Opening a pipe must not wait for its other end.
            fails(volume.open("pipe", access), ErrorKind::InvalidInput);
            assert!(volume.open("socket", access).is_err());
        }
        // What a link points at is opened all the same: a user may name it.
        assert_eq!(content(&*volume.open("link", Access::Read).unwrap()), b"abc");
        for taken in ["directory", "link", "pipe"] {
            fails(volume.create_new(taken), ErrorKind::AlreadyExists);
            fails(volume.rename("file", taken), ErrorKind::AlreadyExists);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_handle_is_the_last_when_nobody_can_read_the_file_but_through_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let volume = FileVolume::open_writable(path).unwrap();
        let handle = volume.create_new("f").unwrap();
        let is_last = || handle.is_last_handle().unwrap();
        assert!(!is_last(), "it has a name");
        fs::hard_link(path.join("f"), path.join("backup")).unwrap();
        volume.remove("f").unwrap();
        assert!(!is_last(), "it has another name");
        let reader = volume.open("backup", Access::Read).unwrap();
        let foreign = fs::File::open(path.join("backup")).unwrap();
        volume.remove("backup").unwrap();
        assert!(!is_last(), "two others read it");
        drop(reader);
        assert!(!is_last(), "somebody reads it who knows nothing of this crate");
        drop(foreign);
        assert!(is_last());
        assert!(is_last(), "asking changes nothing");
    }
}
