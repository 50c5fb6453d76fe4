//! Compaction beside a flusher, on the memory volume, stepped by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use tailswap::compaction::{Compaction, CompactionOptions, CopySource, OfflineCompaction};
use tailswap::device::{Host, MemoryVolume, Volume};
use tailswap::event::Events;
use tailswap::flusher::queue::Mutation;
use tailswap::flusher::{Dirty, Flusher};
use tailswap::store::{Budget, OpenMode, Step, open_for_reading};
use tailswap::vbucket::VBucket;

#[derive(Debug)]
struct FixedHost;

impl Host for FixedHost {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }
    fn random_u64(&self) -> u64 {
        42
    }
}

fn set(key: u64, round: u64) -> Mutation {
    let value = vec![b'a' + (round % 26) as u8; (key * 37 % 6000) as usize];
    Mutation {
        id: tailswap::format::names::prefixed_id(0, format!("key-{key}").as_bytes()),
        value: Some(value.into()),
        deleted: false,
        cas: round,
        expiry: 0,
        flags: 0,
        datatype: 0,
        seq: None,
    }
}

#[test]
fn swaps_while_the_flusher_writes_and_keeps_every_document() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let vbucket =
        VBucket::create(volume.clone(), Arc::new(FixedHost), 3, 1, Events::none()).unwrap();
    let dirty = Dirty::new(0, 10 << 20);
    let mut flusher = Flusher::new(vbucket.clone(), dirty.clone(), Waker::noop().clone());
    let mut model = BTreeMap::new();
    let write = |round: u64, count: u64, model: &mut BTreeMap<Vec<u8>, Mutation>| {
        for n in 0..count {
            let mut mutation = set((round * 17 + n * 7) % 400, round);
            if n % 11 == 3 {
                (mutation.deleted, mutation.value) = (true, None);
            }
            model.insert(mutation.id.clone(), mutation.clone());
            dirty.with_queue(|queue| queue.push(mutation)).unwrap();
        }
    };
    for round in 0..20 {
        write(round, 100, &mut model);
        while flusher.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
    }
    let join = |reader| -> Box<dyn CopySource> { Box::new(reader) };
    let options = CompactionOptions::default();
    let mut compaction = Compaction::start(&vbucket, options, Waker::noop().clone(), join).unwrap();
    let mut round = 20;
    let mut steps = 0;
    loop {
        let mut budget = Budget { bytes: 20_000, entries: 50 };
        if compaction.step(&mut budget).unwrap() == Step::Done {
            break;
        }
        steps += 1;
        if steps % 7 == 0 && round < 60 {
            write(round, 30, &mut model);
            round += 1;
        }
        let _ = flusher.step(&mut Budget { bytes: 5_000, entries: 20 }).unwrap();
    }
    while dirty.persisted_seq() < dirty.with_queue(|queue| queue.high_seq()) {
        let _ = flusher.step(&mut Budget::UNBOUNDED.clone()).unwrap();
    }
    let stats = compaction.stats().clone();
    assert!(stats.rounds > 0, "{stats:?}");
    let snapshot = vbucket.snapshot().unwrap();
    assert_eq!(vbucket.revision(), 2);
    assert_eq!(volume.list().unwrap(), ["3.couch.2"]);
    let mut ids = snapshot.documents_by_id(b"", None).unwrap();
    for (id, mutation) in &model {
        let info = ids.next().unwrap().unwrap();
        assert_eq!(&info.id, id);
        assert_eq!(info.deleted, mutation.deleted);
        let body = snapshot.body(info.as_ref()).unwrap();
        assert!(body.as_deref() == mutation.value.as_deref(), "body of {id:?}");
    }
    assert!(ids.next().is_none());
    assert_eq!(snapshot.changes_since(0).unwrap().count(), model.len());
    println!("{stats:?}");
    let name = "copy";
    let mut offline = OfflineCompaction::start(
        snapshot.clone(),
        volume.clone(),
        name,
        CompactionOptions::default(),
        Events::none(),
        join,
    )
    .unwrap();
    while offline.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
    let (copy, _) = open_for_reading(volume.as_ref(), name, OpenMode::Strict).unwrap();
    assert_eq!(copy.counts().live, snapshot.counts().live);
    assert_eq!(copy.header().update_seq, snapshot.header().update_seq);
}
