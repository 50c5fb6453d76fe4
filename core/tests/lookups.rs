//! Many documents looked up with a second thread's help: what is found is what lookups on one thread
//! find, and a failure on either thread is the caller's.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use support::random::Random;
use support::state::{Bodies, batch_of};
use tailswap::chunklog::NodeCache;
use tailswap::device::{Fault, FaultVolume, MemoryVolume};
use tailswap::engine::ThreadedLookups;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{Batch, Create, Store};
use tailswap::{Error, Result};

/// What is told of ids, by their indexes: those that are there with whether they have a body, and which.
type Found = BTreeMap<usize, Option<(Vec<u8>, Option<Vec<u8>>)>>;

fn id(number: u64) -> Vec<u8> {
    format!("document-{number:06}").into_bytes()
}

/// A file of every other document up to `count`, with bodies of up to so many bytes.
fn file_of(count: u64, body_len: u64, random: &mut Random) -> (FaultVolume, Store, Bodies) {
    file_with_metadata(18, count, body_len, random)
}

fn file_with_metadata(
    rev_meta_len: usize,
    count: u64,
    body_len: u64,
    random: &mut Random,
) -> (FaultVolume, Store, Bodies) {
    let volume = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let (header, none) = (Header::empty(14), Batch::default());
    let create =
        Create::new(Arc::new(volume.clone()), "file", header, none, 1, Events::none()).unwrap();
    let mut store = create.finish().unwrap();
    let mut model = Bodies::new();
    for number in (0..count).step_by(2) {
        let length = random.below(body_len) as usize;
        let body = (!random.chance(1, 10)).then(|| Bytes::from(random.bytes(length)));
        model.insert(id(number), body);
    }
    store.save(batch_of(&model, rev_meta_len), 2).unwrap();
    (volume, store, model)
}

fn any_ids(random: &mut Random, many: u64, count: u64) -> Vec<Vec<u8>> {
    let mut ids: Vec<_> = (0..many).map(|_| id(random.below(count))).collect();
    ids.sort();
    ids
}

fn look_up(lookups: &mut ThreadedLookups, ids: &[Vec<u8>]) -> Result<Found> {
    let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    let mut found = Found::new();
    lookups.get_many(&ids, |index, info, body| {
        let there = info.map(|info| {
            assert_eq!((info.id, info.deleted), (ids[index], body.is_none()));
            (info.id.to_vec(), body.map(<[u8]>::to_vec))
        });
        assert!(found.insert(index, there).is_none(), "{index} was told twice");
    })?;
    Ok(found)
}

fn assert_found(found: &Found, ids: &[Vec<u8>], model: &Bodies) {
    assert_eq!(found.len(), ids.len());
    for (index, id) in ids.iter().enumerate() {
        let there = model.get(id).map(|body| (id.clone(), body.as_deref().map(<[u8]>::to_vec)));
        assert!(found[&index] == there, "{index}");
    }
}

#[test]
fn two_threads_find_what_is_there() {
    let mut random = Random::new(1);
    for (body_len, cache) in [(300, None), (300, Some(1 << 20)), (20_000, None)] {
        let (_, mut store, model) = file_of(10_000, body_len, &mut random);
        if let Some(bytes) = cache {
            store.cache_nodes(&NodeCache::new(bytes));
        }
        let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
        for many in [32, 33, 39, 100, 1000] {
            let ids = any_ids(&mut random, many, 10_000);
            assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
        }
    }
}

#[test]
fn few_ids_are_looked_up_by_the_caller_alone() {
    let mut random = Random::new(2);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    let mut alone = store.snapshot().unwrap().lookups();
    for many in [0, 1, 31] {
        let ids = any_ids(&mut random, many, 10_000);
        volume.take_log();
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
        let reads = volume.take_log();
        let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        alone.get_many(&ids, |_, _, _| {}).unwrap();
        assert_eq!(reads, volume.take_log(), "the same reads in the same order");
    }
}

#[test]
fn bodies_longer_than_what_the_other_thread_may_hold_are_found() {
    let mut random = Random::new(3);
    let (_, store, model) = file_of(200, 1_500_000, &mut random);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    for _ in 0..3 {
        let ids = any_ids(&mut random, 60, 200);
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
    }
}

#[test]
fn entries_longer_than_what_the_other_thread_may_hold_are_found() {
    let mut random = Random::new(9);
    let (_, store, model) = file_with_metadata(60_000, 200, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    for many in [60, 1000] {
        let ids = any_ids(&mut random, many, 200);
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
    }
}

/// Reads on one of the two threads, each failing in its turn until a lookup is through.
fn fails_and_goes_on(helper: bool) {
    let mut random = Random::new(4);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    let mut nth = 1;
    loop {
        let ids = any_ids(&mut random, 300, 10_000);
        let there = move |_: &str| on_helper() == helper;
        volume.inject(Fault::nth(nth).of(IoOp::Read).on_files(there));
        let found = look_up(&mut lookups, &ids);
        volume.heal();
        match found {
            Err(Error::Io { op: IoOp::Read, .. }) => {}
            Err(error) => panic!("{nth}: {error}"),
            Ok(found) => {
                assert_found(&found, &ids, &model);
                break;
            }
        }
        let ids = any_ids(&mut random, 100, 10_000);
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
        nth += 1 + nth / 4;
    }
}

fn on_helper() -> bool {
    thread::current().name() == Some("lookups")
}

#[test]
fn a_read_that_fails_on_either_thread_fails_the_lookup_and_nothing_else() {
    fails_and_goes_on(false);
    fails_and_goes_on(true);
}

/// Looks ids up in pieces of which the caller ends the first only when the helper has come to read.
fn look_up_with_help(
    lookups: &mut ThreadedLookups,
    ids: &[Vec<u8>],
    reads: &Arc<AtomicBool>,
) -> Result<usize> {
    let given: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    let mut told = 0;
    lookups.get_many(&given, |_, _, _| {
        while !reads.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        told += 1;
    })?;
    Ok(told)
}

#[test]
fn what_the_helper_meets_is_the_callers_error() {
    let mut random = Random::new(6);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let reads = Arc::new(AtomicBool::new(false));
    let seen = reads.clone();
    let note = move |_: &str| on_helper() && !seen.swap(true, Ordering::SeqCst);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    volume.inject(Fault::nth(1).of(IoOp::Read).on_files(note));
    let ids = any_ids(&mut random, 100, 10_000);
    let failed = look_up_with_help(&mut lookups, &ids, &reads);
    assert!(matches!(failed, Err(Error::Io { op: IoOp::Read, .. })), "{failed:?}");
    volume.heal();
    assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
}

#[test]
fn without_its_helper_the_caller_goes_on_alone() {
    let mut random = Random::new(7);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let reads = Arc::new(AtomicBool::new(false));
    let seen = reads.clone();
    let die = move |_: &str| {
        if on_helper() {
            seen.store(true, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new(()));
        }
        false
    };
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    volume.inject(Fault::nth(1).of(IoOp::Read).on_files(die));
    let ids = any_ids(&mut random, 100, 10_000);
    let failed = look_up_with_help(&mut lookups, &ids, &reads);
    assert!(matches!(failed, Err(Error::Invalid(_))), "{failed:?}");
    for _ in 0..3 {
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
    }
}

#[test]
fn after_a_caller_that_panicked_the_next_lookup_finds_its_own() {
    let mut random = Random::new(5);
    let (_, store, model) = file_of(10_000, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    // The first ones told are the caller's own, the last ones mostly the helper's.
    for nth in [1, 1, 1, 100, 200, 299, 300] {
        let ids = any_ids(&mut random, 300, 10_000);
        let given: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let mut told = 0;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            lookups.get_many(&given, |_, _, _| {
                told += 1;
                if told == nth {
                    std::panic::resume_unwind(Box::new(()));
                }
            })
        }));
        assert!(panicked.is_err());
    }
    let ids = any_ids(&mut random, 100, 10_000);
    assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
}

#[test]
fn many_ids_that_lie_together_take_few_more_reads_than_on_one_thread() {
    let mut random = Random::new(8);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let ids: Vec<_> = (2000..6000).map(id).collect();
    let given: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    volume.take_log();
    store.snapshot().unwrap().lookups().get_many(&given, |_, _, _| {}).unwrap();
    let alone = volume.take_log().len();
    let mut lookups = ThreadedLookups::new(&store.snapshot().unwrap());
    assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
    let shared = volume.take_log().len();

    assert!(shared < 2 * alone, "{shared} reads instead of {alone}");
}
