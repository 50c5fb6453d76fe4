//! Nodes kept in memory: what is found is the same with any cache, and a cache keeps to its bytes.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use support::random::Random;
use tailswap::chunklog::NodeCache;
use tailswap::compaction::CompactionOptions;
use tailswap::device::{Fault, FaultVolume, FileVolume, MemoryVolume, SystemHost, Volume};
use tailswap::engine::{Engine, EngineOptions, delete, set};
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::docinfo::COMPRESSED;
use tailswap::format::header::Header;
use tailswap::format::names::prefixed_id;
use tailswap::format::snappy;
use tailswap::store::{Batch, Body, Create, DocUpdate, LocalUpdate, RevSeq, Snapshot, Store};

const NAME: &str = "cached.couch";

/// Documents by id, tombstones being `None`, and local documents.
type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

fn key(number: u64) -> Vec<u8> {
    format!("document {number:06}").into_bytes()
}

/// Sets or deletes a document; every third body is stored compressed.
fn update(id: Vec<u8>, value: Option<Vec<u8>>, compressed: bool) -> DocUpdate {
    let body = match &value {
        Some(value) if compressed => snappy::deflate(value, "body").unwrap(),
        Some(value) => value.clone(),
        None => Vec::new(),
    };
    DocUpdate {
        id,
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: value.is_none(),
        content_meta: if compressed { COMPRESSED } else { 0 },
        rev_meta: vec![7; 18],
        body: if value.is_some() { Body::Stored(Bytes::from(body)) } else { Body::None },
    }
}

fn batch(random: &mut Random, documents: u64, model: &mut Model) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..1 + random.below(60) {
        let (id, length) = (key(random.below(documents)), random.value_len());
        let value = (!random.chance(1, 8)).then(|| random.bytes(length));
        let compressed = value.is_some() && random.chance(1, 3);
        model.insert(id.clone(), value.clone());
        batch.documents.push(update(id, value, compressed));
    }
    let (id, value) = (b"_local/here".to_vec(), random.bytes(8));
    model.insert(id.clone(), Some(value.clone()));
    batch.locals.push(LocalUpdate { id, value: Some(value) });
    batch
}

fn create(volume: Arc<dyn Volume>) -> Store {
    let header = Header::empty(14);
    let create = Create::new(volume, NAME, header, Batch::default(), 0, Events::none()).unwrap();
    create.finish().unwrap()
}

/// Looks up some ids in every way, those there and others.
fn assert_finds(snapshot: &Snapshot, model: &Model, documents: u64, random: &mut Random) {
    let mut ids: Vec<Vec<u8>> = (0..20).map(|_| key(random.below(2 * documents))).collect();
    ids.sort();
    ids.dedup();
    for id in &ids {
        let info = snapshot.get(id).unwrap();
        assert_eq!(info.as_ref().map(|info| info.deleted), model.get(id).map(Option::is_none));
        let body = info.and_then(|info| snapshot.body(info.as_ref()).unwrap());
        assert!(body == model.get(id).cloned().flatten(), "{id:?}");
    }
    let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    let mut found = BTreeMap::new();
    let mut lookups = snapshot.lookups();
    let all = lookups.get_many(&ids, |index, info, body| {
        let state = info.map(|info| (info.id.to_vec(), info.deleted, body.map(<[u8]>::to_vec)));
        assert!(found.insert(index, state).is_none(), "each is told once");
    });
    all.unwrap();
    for (index, id) in ids.iter().enumerate() {
        let expected = model.get(*id).map(|body| (id.to_vec(), body.is_none(), body.clone()));
        assert!(found[&index] == expected, "{id:?}");
        let one = lookups.get(id).unwrap();
        let one =
            one.map(|(info, body)| (info.id.to_vec(), info.deleted, body.map(<[u8]>::to_vec)));
        assert!(one == expected, "{id:?}");
    }
    let local = snapshot.local(b"_local/here").unwrap();
    assert!(local == model.get(b"_local/here".as_slice()).cloned().flatten());
}

#[test]
fn whatever_happens_to_a_file_lookups_find_what_was_committed() {
    const DOCUMENTS: u64 = 3000;
    for (seed, budget) in [(1, 0), (2, 5_000), (3, 20_000), (4, 100_000), (5, 10 << 20)] {
        let mut random = Random::new(seed);
        let volume = Arc::new(FaultVolume::new(Arc::new(MemoryVolume::new())));
        let cache = NodeCache::new(budget);
        let mut store = create(volume.clone());
        store.cache_nodes(&cache);
        let mut states = vec![(store.snapshot().unwrap(), Model::new())];
        for round in 0..150 {
            let mut model = states.last().unwrap().1.clone();
            match random.below(8) {
                // A failure, after which the file is cut back and goes on elsewise.
                0 | 1 => {
                    let op = *random.pick(&[IoOp::Write, IoOp::Sync]);
                    volume.inject(Fault::nth(1 + random.below(3)).of(op));
                    let failed = store.save(batch(&mut random, DOCUMENTS, &mut model), round);
                    if let Ok(snapshot) = failed {
                        states.push((snapshot, model));
                    }
                    volume.heal();
                    store.go_back().unwrap();
                }
                2 => {
                    let keep = random.below(states.len() as u64) as usize;
                    store.rewind(&states[keep].0);
                    model = states[keep].1.clone();
                    let update = batch(&mut random, DOCUMENTS, &mut model);
                    states.push((store.save(update, round).unwrap(), model));
                }
                _ => {
                    let update = batch(&mut random, DOCUMENTS, &mut model);
                    states.push((store.save(update, round).unwrap(), model));
                }
            }
            for _ in 0..3 {
                let (snapshot, model) = random.pick(&states);
                assert_finds(snapshot, model, DOCUMENTS, &mut random);
                assert!(cache.bytes() <= budget as u64, "seed {seed}, round {round}");
            }
        }
        assert_eq!(cache.bytes() > 0, budget > 0, "seed {seed}: {} bytes", cache.bytes());
    }
}

/// A file of many documents, and a state of it.
fn many_documents(volume: Arc<dyn Volume>, documents: u64) -> Snapshot {
    let updates = (0..documents).map(|number| update(key(number), Some(vec![1; 9]), false));
    let batch = Batch { documents: updates.collect(), locals: Vec::new() };
    create(volume).save(batch, 1).unwrap()
}

#[test]
fn a_node_that_is_kept_is_not_read_again() {
    let volume = Arc::new(FaultVolume::new(Arc::new(MemoryVolume::new())));
    let mut snapshot = many_documents(volume.clone(), 20_000);
    let reads = || volume.log().iter().filter(|done| done.op == IoOp::Read).count();
    let reads_of_a_get = |snapshot: &Snapshot| {
        let before = reads();
        assert!(snapshot.get(&key(777)).unwrap().is_some());
        reads() - before
    };
    let depth = reads_of_a_get(&snapshot);
    assert!(depth >= 3, "{depth} nodes on the way");
    assert_eq!(reads_of_a_get(&snapshot), depth, "without a cache nothing is kept");
    snapshot.cache_nodes(&NodeCache::new(1 << 20));
    assert_eq!(reads_of_a_get(&snapshot), depth);
    assert_eq!(reads_of_a_get(&snapshot), 0);
    assert_eq!(reads_of_a_get(&snapshot.clone()), 0);
    snapshot.cache_nodes(&NodeCache::new(1 << 20));
    assert_eq!(reads_of_a_get(&snapshot), depth, "another cache has nothing yet");
}

#[test]
fn a_cache_takes_no_more_memory_than_it_was_given() {
    const DOCUMENTS: u64 = 60_000;
    let snapshot = many_documents(Arc::new(MemoryVolume::new()), DOCUMENTS);
    for budget in [64 << 10, 1 << 20, 4 << 20] {
        let cache = NodeCache::new(budget);
        let mut cached = snapshot.clone();
        cached.cache_nodes(&cache);
        let mut random = Random::new(budget as u64);
        let taken = allocation_counter::measure(|| {
            for _ in 0..2 * DOCUMENTS {
                cached.get(&key(random.below(DOCUMENTS))).unwrap();
            }
        });
        let (kept, taken) = (cache.bytes(), taken.bytes_current);
        assert!(kept > budget as u64 * 9 / 10, "{kept} of {budget} bytes are used");
        assert!(taken <= budget as i64, "{taken} bytes for nodes that count as {kept}");
    }
}

#[test]
fn readers_of_an_engine_find_every_change_while_files_are_swapped() {
    for node_cache_bytes in [0, 40_000, EngineOptions::default().node_cache_bytes] {
        let directory = tempfile::tempdir().unwrap();
        let volume = Arc::new(FileVolume::open_writable(directory.path()).unwrap());
        let options =
            EngineOptions { node_cache_bytes, automatic: None, ..EngineOptions::default() };
        let engine = Engine::open(volume, Arc::new(SystemHost::new().unwrap()), options).unwrap();
        engine.create(0).unwrap();
        let mut model = Model::new();
        for round in 0..8_u64 {
            model = thread::scope(|scope| {
                let compaction = (round % 2 == 1)
                    .then(|| engine.compact(0, CompactionOptions::default()).unwrap());
                let before = engine.snapshot(0).unwrap();
                let model = &model;
                scope.spawn(move || {
                    for (id, body) in model {
                        assert!(body_of(&before, id) == *body, "a state stays as it is");
                    }
                });
                let mut last = None;
                let mut after = model.clone();
                for n in 0..800_u64 {
                    let key = ((n * 7919 + round) % 1500).to_be_bytes();
                    let value = format!(r#"{{"round":{round},"n":{n}}}"#).into_bytes();
                    let change = if n % 9 == 0 { delete(&key) } else { set(&key, &value) };
                    last = Some(engine.mutate(0, change).unwrap());
                    after.insert(prefixed_id(0, &key), (n % 9 != 0).then_some(value));
                }
                engine.wait_persisted(last.unwrap()).unwrap();
                let snapshot = engine.snapshot(0).unwrap();
                for (id, body) in &after {
                    assert!(body_of(&snapshot, id) == *body, "in round {round}");
                }
                if let Some(ticket) = compaction {
                    ticket.wait().unwrap();
                }
                let snapshot = engine.snapshot(0).unwrap();
                for (id, body) in &after {
                    assert!(body_of(&snapshot, id) == *body, "after round {round}");
                }
                after
            });
        }
        engine.shutdown().unwrap();
    }
}

fn body_of(snapshot: &Snapshot, id: &[u8]) -> Option<Vec<u8>> {
    let info = snapshot.get(id).unwrap().unwrap();
    snapshot.body(info.as_ref()).unwrap()
}
