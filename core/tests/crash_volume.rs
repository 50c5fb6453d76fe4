//! The simulated volume: what programs see, what is durable, and what a crash can leave.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tailswap::device::{Access, BlockDevice, SyncStatus, Volume};
use tailswap::sim::CrashVolume;
use tailswap::sim::disk::{
    Depth, DiskRules, FileBytes, Image, Kept, Profile, Selection, Torn, UnsyncedKind, selections,
};

type Files = BTreeMap<String, Vec<u8>>;

fn volume(profile: Profile) -> CrashVolume {
    CrashVolume::new(DiskRules::new(profile))
}

fn files(image: &Image) -> Files {
    image.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// A volume with one durable file.
fn with_file(profile: Profile, bytes: &[u8]) -> (CrashVolume, Arc<dyn BlockDevice>) {
    let volume = volume(profile);
    let file = volume.create_new("f").unwrap();
    file.write_at(0, bytes).unwrap();
    sync(&file);
    sync_directory(&volume);
    assert!(volume.disk().is_settled());
    (volume, file)
}

fn sync(file: &Arc<dyn BlockDevice>) {
    let ticket = file.sync_issue().unwrap();
    assert_eq!(file.sync_complete(ticket).unwrap(), SyncStatus::Done);
}

fn sync_directory(volume: &CrashVolume) {
    let ticket = volume.sync_issue().unwrap();
    assert_eq!(volume.sync_complete(ticket).unwrap(), SyncStatus::Done);
}

/// Everything that a crash can leave, by name lists and contents.
fn outcomes(volume: &CrashVolume) -> BTreeSet<Vec<(String, Vec<u8>)>> {
    let disk = volume.disk();
    let all = selections(&disk, Depth::Full);
    all.iter().map(|selection| files(&disk.crash_image(selection)).into_iter().collect()).collect()
}

/// What a crash can leave of the file `f`.
fn contents(volume: &CrashVolume) -> BTreeSet<Vec<u8>> {
    outcomes(volume).into_iter().map(|files| files[0].1.clone()).collect()
}

/// The names that a crash can leave.
fn names(volume: &CrashVolume) -> BTreeSet<String> {
    let names = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    };
    outcomes(volume).into_iter().map(names).collect()
}

fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

#[test]
fn a_file_needs_two_syncs_one_for_its_bytes_and_one_for_its_name() {
    for profile in [Profile::Posix, Profile::Journaled] {
        let volume = volume(profile);
        let file = volume.create_new("f").unwrap();
        file.write_at(0, b"x").unwrap();
        sync(&file);
        assert_eq!(names(&volume), set(["".to_owned(), "f".to_owned()]));
        sync_directory(&volume);
        assert_eq!(contents(&volume), set([b"x".to_vec()]));
    }
}

#[test]
fn length_and_bytes_of_an_append_survive_apart() {
    let (volume, file) = with_file(Profile::Posix, b"a");
    file.write_at(1, b"b").unwrap();
    assert_eq!(contents(&volume), set([b"a".to_vec(), b"a\0".to_vec(), b"ab".to_vec()]));
    let disk = volume.disk();
    let kept = vec![true, false];
    let garbage = Selection { kept, garbage: true, ..Selection::default() };
    assert_eq!(files(&disk.crash_image(&garbage))["f"], [b'a', 0xa5]);
    sync(&file);
    assert_eq!(contents(&volume), set([b"ab".to_vec()]));
}

#[test]
fn sectors_of_one_write_survive_apart_and_writes_in_any_order() {
    let (volume, file) = with_file(Profile::Posix, &[b'.'; 1536]);
    file.write_at(511, b"12").unwrap();
    file.write_at(1024, b"3").unwrap();
    let survived = |content: &Vec<u8>| [content[511], content[512], content[1024]];
    let found: BTreeSet<[u8; 3]> = contents(&volume).iter().map(survived).collect();
    // All eight subsets, and the torn write of two bytes is one of them.
    assert_eq!(found.len(), 8);
}

#[test]
fn a_torn_write_keeps_its_beginning_and_length_to_match() {
    let (volume, file) = with_file(Profile::Posix, b"");
    file.write_at(0, &[b'x'; 5000]).unwrap();
    let disk = volume.disk();
    let torn = Some(Torn { change: 0, bytes: 511 });
    let image = disk.crash_image(&Selection { torn, ..Selection::default() });
    assert_eq!(files(&image)["f"], [b'x'; 511]);
    let lengths: BTreeSet<usize> = contents(&volume).iter().map(Vec::len).collect();
    assert!(lengths.is_superset(&set([0, 1, 511, 512, 4095, 4096, 5000])), "{lengths:?}");
}

#[test]
fn a_cut_that_is_not_synced_can_come_back() {
    let (volume, file) = with_file(Profile::Posix, b"abc");
    file.truncate(1).unwrap();
    assert_eq!(contents(&volume), set([b"abc".to_vec(), b"a".to_vec()]));
    file.write_at(1, b"X").unwrap();
    // The cut lost and the write kept: new bytes before old ones.
    assert!(contents(&volume).contains(b"aXc".as_slice()));
    sync(&file);
    assert_eq!(contents(&volume), set([b"aX".to_vec()]));
}

#[test]
fn what_comes_after_a_sync_was_issued_is_not_covered_by_it() {
    let (volume, file) = with_file(Profile::Posix, b"..");
    volume.hold_syncs(true);
    file.write_at(0, b"1").unwrap();
    let ticket = file.sync_issue().unwrap();
    file.write_at(1, b"2").unwrap();
    assert_eq!(file.sync_complete(ticket).unwrap(), SyncStatus::Pending);
    assert_eq!(contents(&volume).len(), 4);
    assert_eq!(volume.pending_syncs(), [ticket]);
    volume.complete_syncs();
    assert_eq!(contents(&volume), set([b"1.".to_vec(), b"12".to_vec()]));
    assert_eq!(file.sync_complete(ticket).unwrap(), SyncStatus::Done);
    file.sync_complete(ticket).unwrap_err();
}

#[test]
fn a_renaming_is_two_changes_or_one() {
    for (profile, expected) in [
        (Profile::Posix, set(["", "f", "f g", "g"].map(str::to_owned))),
        (Profile::Journaled, set(["f", "g"].map(str::to_owned))),
    ] {
        let (volume, file) = with_file(profile, b"x");
        volume.rename("f", "g").unwrap();
        assert_eq!(names(&volume), expected);
        sync(&file);
        assert_eq!(names(&volume), expected, "the file's own sync says nothing of its name");
        sync_directory(&volume);
        assert_eq!(names(&volume), set(["g".to_owned()]));
    }
}

#[test]
fn a_removal_can_empty_the_file_and_leave_its_name() {
    let (posix, _file) = with_file(Profile::Posix, b"x");
    posix.remove("f").unwrap();
    let named = |content: &[u8]| vec![("f".to_owned(), content.to_vec())];
    assert_eq!(outcomes(&posix), set([vec![], named(b"x"), named(b"")]));
    let (journaled, _file) = with_file(Profile::Journaled, b"x");
    journaled.remove("f").unwrap();
    assert_eq!(outcomes(&journaled), set([vec![], named(b"x")]));
}

#[test]
fn a_journal_keeps_names_in_order() {
    let (volume, _file) = with_file(Profile::Journaled, b"x");
    volume.rename("f", "g").unwrap();
    volume.create_new("f").unwrap();
    volume.remove("g").unwrap();
    assert_eq!(names(&volume), set(["f", "g", "f g"].map(str::to_owned)));
}

#[test]
fn a_sync_that_fails_drops_what_it_was_for_and_the_next_one_lies() {
    let (volume, file) = with_file(Profile::Posix, b"..");
    file.write_at(0, b"1").unwrap();
    volume.fail_sync(1);
    let ticket = file.sync_issue().unwrap();
    file.sync_complete(ticket).unwrap_err();
    let mut seen = [0; 2];
    file.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"1.", "programs still see it");
    file.write_at(1, b"2").unwrap();
    sync(&file);
    assert_eq!(contents(&volume), set([b".2".to_vec(), b"12".to_vec()]));
    // A cut that is durable ends the uncertainty of what lay behind it.
    file.truncate(0).unwrap();
    sync(&file);
    assert!(volume.disk().is_settled());
}

#[test]
fn handles_outlive_the_name_and_one_handle_writes() {
    let (volume, file) = with_file(Profile::Posix, b"abc");
    volume.open("f", Access::Write).unwrap_err();
    let reader = volume.open("f", Access::Read).unwrap();
    reader.write_at(0, b"x").unwrap_err();
    assert_eq!(volume.open_handles(), 2);
    volume.remove("f").unwrap();
    volume.create_new("f").unwrap();
    file.write_at(3, b"d").unwrap();
    drop(file);
    let mut seen = [0; 5];
    assert_eq!(reader.read_at(0, &mut seen).unwrap(), 4);
    drop(reader);
    assert_eq!(volume.open_handles(), 0);
}

#[test]
fn a_new_process_sees_what_a_crash_could_still_lose() {
    let (volume, file) = with_file(Profile::Posix, b"a");
    file.write_at(1, b"b").unwrap();
    volume.rename("f", "g").unwrap();
    let restarted = CrashVolume::after_restart(&volume.disk());
    assert_eq!(restarted.list().unwrap(), ["g"]);
    let file = restarted.open("g", Access::Write).unwrap();
    assert_eq!(file.len().unwrap(), 2);
    assert_eq!(outcomes(&restarted), outcomes(&volume));
    sync(&file);
    sync_directory(&restarted);
    let disk = restarted.disk();
    assert!(disk.is_settled());
    let again = CrashVolume::after_crash(&disk.visible(), disk.rules());
    assert_eq!(files(&again.disk().visible()), Files::from([("g".to_owned(), b"ab".to_vec())]));
}

#[test]
fn the_recording_has_the_disk_after_each_operation() {
    let volume = volume(Profile::Posix);
    volume.record();
    let file = volume.create_new("f").unwrap();
    file.write_at(0, b"a").unwrap();
    sync(&file);
    sync_directory(&volume);
    let recording = volume.take_recording();
    assert_eq!((recording.len(), volume.operations()), (4, 4));
    let settled: Vec<bool> = recording.iter().map(|done| done.disk.is_settled()).collect();
    assert_eq!(settled, [false, false, false, true]);
    assert_eq!(recording[1].disk.pending().len(), 2);
    let nothing = Selection::all(&recording[1].disk, false);
    assert_eq!(files(&recording[1].disk.crash_image(&nothing)), Files::new());
    let words = nothing.describe(&recording[1].disk);
    assert_eq!(words, "#1 name f for file 0: lost; #2 file 0: write 0..1: lost");
}

#[test]
fn of_what_is_not_synced_exactly_the_chosen_pieces_survive() {
    let volume = CrashVolume::new(DiskRules::new(Profile::Posix));
    let file = volume.create_new("a").unwrap();
    file.write_at(0, &[1; 1000]).unwrap();
    file.write_at(1000, &[2; 1000]).unwrap();
    let disk = volume.disk();
    let told: Vec<UnsyncedKind> = disk.unsynced().into_iter().map(|change| change.kind).collect();
    assert!(matches!(
        &told[..],
        [
            UnsyncedKind::Name(_),
            UnsyncedKind::Write { start: 0, end: 1000, sectors: 2, .. },
            UnsyncedKind::Write { start: 1000, end: 2000, sectors: 3, .. },
        ]
    ));
    let left = |chosen: &[(usize, Option<u64>)]| {
        let kept =
            |(number, sectors): &(usize, Option<u64>)| Kept { number: *number, sectors: *sectors };
        let kept: Vec<Kept> = chosen.iter().map(kept).collect();
        let image = disk.crash_image(&Selection::keeping(&disk, &kept)?);
        Some(image.bytes("a").map(FileBytes::to_vec))
    };
    assert_eq!(left(&[]), Some(None));
    assert_eq!(left(&[(2, None), (3, None)]), Some(None));
    assert_eq!(left(&[(1, None), (2, None)]), Some(Some(vec![1; 1000])));
    // Sectors end where those of the file do.
    let torn = [vec![1; 512], vec![0; 488]].concat();
    assert_eq!(left(&[(1, None), (2, Some(1))]), Some(Some(torn)));
    let torn = [vec![0; 1000], vec![2; 536], vec![0; 464]].concat();
    assert_eq!(left(&[(1, None), (3, Some(2))]), Some(Some(torn)));
    assert_eq!(left(&[(4, None)]), None);
    assert_eq!(left(&[(0, None)]), None);
    assert_eq!(file.sync_complete(file.sync_issue().unwrap()).unwrap(), SyncStatus::Done);
    assert_eq!(volume.disk().unsynced().len(), 1);
}
