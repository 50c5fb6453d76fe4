//! Many documents looked up with a second thread's help: what is found is what lookups on one thread
//! find, and a failure on either thread is the caller's.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use support::random::Random;
use tailswap::chunklog::NodeCache;
use tailswap::device::{Fault, FaultVolume, MemoryVolume};
use tailswap::engine::ThreadedLookups;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{Batch, Body, Create, DocUpdate, RevSeq, Snapshot, Store};
use tailswap::{Error, Result};

/// Bodies by id; `None` for a tombstone.
type Model = BTreeMap<Vec<u8>, Option<Bytes>>;
/// What is told of ids, by their indexes: those that are there with whether they have a body, and which.
type Found = BTreeMap<usize, Option<(Vec<u8>, Option<Vec<u8>>)>>;

fn id(number: u64) -> Vec<u8> {
    format!("document-{number:06}").into_bytes()
}

/// A file of every other document up to `count`, with bodies of up to so many bytes.
fn file_of(count: u64, body_len: u64, random: &mut Random) -> (FaultVolume, Store, Model) {
    let volume = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let (header, none) = (Header::empty(14), Batch::default());
    let create =
        Create::new(Arc::new(volume.clone()), "file", header, none, 1, Events::none()).unwrap();
    let mut store = create.finish().unwrap();
    let mut model = Model::new();
    for number in (0..count).step_by(2) {
        let length = random.below(body_len) as usize;
        let body = (!random.chance(1, 10)).then(|| Bytes::from(random.bytes(length)));
        model.insert(id(number), body);
    }
    let update = |(id, body): (&Vec<u8>, &Option<Bytes>)| DocUpdate {
        id: id.clone(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: body.is_none(),
        content_meta: 0,
        rev_meta: vec![1; 18],
        body: body.clone().map_or(Body::None, Body::Stored),
    };
    let documents = model.iter().map(update).collect();
    store.save(Batch { documents, locals: Vec::new() }, 2).unwrap();
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

fn assert_found(found: &Found, ids: &[Vec<u8>], model: &Model) {
    assert_eq!(found.len(), ids.len());
    for (index, id) in ids.iter().enumerate() {
        let there = model.get(id).map(|body| (id.clone(), body.as_deref().map(<[u8]>::to_vec)));
        assert!(found[&index] == there, "{index}");
    }
}

fn snapshot_of(store: &Store) -> Snapshot {
    store.snapshot().unwrap()
}

#[test]
fn two_threads_find_what_is_there() {
    let mut random = Random::new(1);
    for (body_len, cache) in [(300, None), (300, Some(1 << 20)), (20_000, None)] {
        let (_, mut store, model) = file_of(10_000, body_len, &mut random);
        if let Some(bytes) = cache {
            store.cache_nodes(&NodeCache::new(bytes));
        }
        let mut lookups = ThreadedLookups::new(&snapshot_of(&store));
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
    let mut lookups = ThreadedLookups::new(&snapshot_of(&store));
    let mut alone = snapshot_of(&store).lookups();
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
    let mut lookups = ThreadedLookups::new(&snapshot_of(&store));
    for _ in 0..3 {
        let ids = any_ids(&mut random, 60, 200);
        assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
    }
}

#[test]
fn a_read_that_fails_on_either_thread_fails_the_lookup_and_nothing_else() {
    let mut random = Random::new(4);
    let (volume, store, model) = file_of(10_000, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&snapshot_of(&store));
    let (mut failed, mut nth) = (0, 1);
    loop {
        let ids = any_ids(&mut random, 300, 10_000);
        volume.inject(Fault::nth(nth).of(IoOp::Read));
        let found = look_up(&mut lookups, &ids);
        volume.heal();
        match found {
            Err(Error::Io { op: IoOp::Read, .. }) => failed += 1,
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
    assert!(failed > 10, "{failed}");
}

#[test]
fn after_a_caller_that_panicked_the_next_lookup_finds_its_own() {
    let mut random = Random::new(5);
    let (_, store, model) = file_of(10_000, 300, &mut random);
    let mut lookups = ThreadedLookups::new(&snapshot_of(&store));
    for _ in 0..5 {
        let ids = any_ids(&mut random, 300, 10_000);
        let given: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            lookups.get_many(&given, |_, _, _| std::panic::resume_unwind(Box::new(())))
        }));
        assert!(panicked.is_err());
    }
    let ids = any_ids(&mut random, 100, 10_000);
    assert_found(&look_up(&mut lookups, &ids).unwrap(), &ids, &model);
}
