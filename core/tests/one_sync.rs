//! Commits with one sync: what they cost, and that a file which was committed to so is safe with whoever
//! opens it otherwise. What crashes leave of them is `crash_exhaustive.rs`'s and the like.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use tailswap::device::{MemoryVolume, Volume};
use tailswap::error::Error;
use tailswap::event::{Event, Events};
use tailswap::sim::contents::Contents;
use tailswap::sim::disk::{Depth, DiskRules, Profile, selections};
use tailswap::sim::invariants::{Recovered, check_state};
use tailswap::sim::machines::VBUCKET;
use tailswap::sim::workloads::Workload;
use tailswap::sim::world::{Action, DeviceModel, Settings, World};
use tailswap::sim::{CrashVolume, SimHost};
use tailswap::store::{CommitStyle, Create, OpenMode, Opening, Store};
use tailswap::vbucket::VBucket;

/// A sync takes 2 ms, and all else next to nothing.
const SLOW_SYNC: DeviceModel = DeviceModel {
    name: "slow sync",
    read_ns: 1_000,
    bytes_per_second: 4_000_000_000,
    sync_ns: 2_000_000,
};

/// Nanoseconds and syncs of files that a flush of so many documents takes.
fn flush(commits: CommitStyle, documents: usize) -> (u64, usize) {
    let mut world = World::new(Settings { device: SLOW_SYNC, commits, ..Settings::default() });
    let act = |world: &mut World, line: &str| world.act(&line.parse::<Action>().unwrap()).unwrap();
    act(&mut world, "create");
    let (began_ns, events) = (world.now_ns(), world.event_count());
    let changes: Vec<String> = (0..documents).map(|key| format!("k{key}=@256:{key}")).collect();
    act(&mut world, &format!("flush {}", changes.join(" ")));
    let is_sync = |event: &Event| matches!(event, Event::SyncCompleted { .. });
    let syncs = world.events_from(events).iter().filter(|stamped| is_sync(&stamped.event)).count();
    let took_ns = world.now_ns() - began_ns;
    act(&mut world, "end");
    (took_ns, syncs)
}

#[test]
fn a_commit_takes_one_sync_and_little_more_than_half_the_time() {
    for documents in [1, 100] {
        let (two_ns, two) = flush(CommitStyle::Flip, documents);
        let (one_ns, one) = flush(CommitStyle::Direct, documents);
        println!("{documents} documents: {one_ns} ns with {one} sync, {two_ns} ns with {two}");
        assert_eq!((one, two), (1, 2), "{documents} documents");
        assert!(one_ns * 10 <= two_ns * 6, "{documents} documents: {one_ns} ns of {two_ns}");
    }
}

/// Whoever opens such a file without the option gets a state that may be there, or is refused with the
/// place; in recovery it is a state that may be there.
#[test]
fn opened_without_the_option_a_commit_that_was_cut_short_is_damage() {
    let rules = DiskRules::new(Profile::Posix);
    let recording = Workload::Flushes.record(rules, CommitStyle::Direct).unwrap();
    let (mut refused, mut images) = (0, 0);
    for (point, recorded) in recording.points.iter().enumerate() {
        for selection in selections(&recorded.disk, Depth::Linear) {
            images += 1;
            let context = || format!("operation={point}: {}", selection.describe(&recorded.disk));
            let image = recorded.disk.crash_image(&selection);
            let open = |mode: OpenMode| {
                let volume = Arc::new(CrashVolume::after_crash(&image, rules));
                let (host, events) = (Arc::new(SimHost::ticking()), Events::none());
                let opened = VBucket::open(volume, host, VBUCKET, mode, events);
                opened.map(|opened| match opened {
                    None => Recovered { contents: None, revision: 0 },
                    Some((vbucket, _)) => {
                        let contents = Contents::read(&vbucket.snapshot().unwrap()).unwrap();
                        Recovered { contents: Some(contents), revision: vbucket.revision() }
                    }
                })
            };
            let check = |recovered: &Recovered| {
                check_state(recovered, &recording.history, point + 1)
                    .unwrap_or_else(|violation| panic!("{violation}\n{}", context()));
            };
            match open(OpenMode::Strict) {
                Ok(recovered) => check(&recovered),
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(error) => panic!("{error}\n{}", context()),
            }
            check(&open(OpenMode::Recovery).unwrap());
        }
    }
    println!("{images} crashes, {refused} refused by a strict opening without the option");
    assert!(refused > 100, "{refused} of {images}");
}

/// A file of a version that does not say what its header came from is never committed to with one sync.
#[test]
fn older_versions_are_committed_to_with_two_syncs() {
    for (version, expected) in [(13, CommitStyle::Flip), (14, CommitStyle::Direct)] {
        let volume = Arc::new(MemoryVolume::new());
        let header = tailswap::format::header::Header::empty(version);
        let create =
            Create::new(volume.clone(), "a", header, Default::default(), 1, Events::none());
        drop(create.unwrap().finish().unwrap());
        let volume: Arc<dyn Volume> = volume;
        let opening = Opening { mode: OpenMode::Strict, commits: CommitStyle::Direct };
        let (store, _) = Store::open(volume.as_ref(), "a", opening, Events::none()).unwrap();
        assert_eq!(store.commit_style(), expected, "version {version}");
    }
}
