//! Batches whose nodes are read ahead on a thread: the same file as without, and failures that leave a
//! store that goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use support::random::Random;
use tailswap::Error;
use tailswap::device::{Access, Fault, FaultVolume, MemoryVolume, Volume};
use tailswap::engine::ThreadedVisits;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{Batch, Body, Create, DocUpdate, RevSeq, Store};

const FILE: &str = "file";
/// Enough for nodes that a reader is stopped in the middle of.
const IDS: u64 = 20_000;

/// Bodies by id; `None` for a tombstone.
type Model = BTreeMap<Vec<u8>, Option<Bytes>>;

fn create(volume: &Arc<dyn Volume>) -> Store {
    let header = Header::empty(14);
    let create = Create::new(volume.clone(), FILE, header, Batch::default(), 1, Events::none());
    create.unwrap().finish().unwrap()
}

fn any_batch(random: &mut Random, count: u64) -> (Batch, Model) {
    let mut model = Model::new();
    for _ in 0..count {
        let id = format!("document-{:06}", random.below(IDS)).into_bytes();
        let body = (!random.chance(1, 20)).then(|| Bytes::from(random.bytes(30)));
        model.insert(id, body);
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
    (Batch { documents: model.iter().map(update).collect(), locals: Vec::new() }, model)
}

fn bytes_of(volume: &dyn Volume) -> Vec<u8> {
    let device = volume.open(FILE, Access::Read).unwrap();
    let mut bytes = vec![0; device.len().unwrap() as usize];
    assert_eq!(device.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn assert_holds(store: &Store, model: &Model, what: &str) {
    let snapshot = store.snapshot().unwrap();
    let mut bodies = snapshot.bodies(1 << 16);
    let mut documents = snapshot.documents_by_id(b"", None).unwrap();
    let mut expected = model.iter();
    while let Some(info) = documents.next_ref().unwrap() {
        let (id, body) = expected.next().unwrap();
        assert_eq!((info.id, info.deleted), (id.as_slice(), body.is_none()), "{what}");
        assert!(bodies.body(info).unwrap() == body.as_deref(), "{what}");
    }
    assert!(expected.next().is_none(), "{what}");
}

#[test]
fn a_file_is_the_same_whoever_reads_its_nodes() {
    for seed in 0..4 {
        let volumes: [Arc<dyn Volume>; 2] =
            [Arc::new(MemoryVolume::new()), Arc::new(MemoryVolume::new())];
        let mut stores = [create(&volumes[0]), create(&volumes[1])];
        stores[1].read_ahead(ThreadedVisits::join);
        let (mut random, mut all) = (Random::new(seed), Model::new());
        for round in 0..8 {
            // From none to nearly all, and also so few that no thread is worth it.
            let count = *random.pick(&[0, 1, 150, 400, 3000, 20_000]);
            let (batch, model) = any_batch(&mut random, count);
            for store in &mut stores {
                store.save(batch.clone(), round).unwrap();
            }
            all.extend(model);
        }
        assert_holds(&stores[1], &all, &format!("seed {seed}"));
        let [one, other] = volumes.map(|volume| bytes_of(volume.as_ref()));
        assert!(one == other, "seed {seed}");
    }
}

#[test]
fn a_node_that_cannot_be_read_fails_the_batch_and_nothing_else() {
    let memory = MemoryVolume::new();
    let faults = FaultVolume::new(Arc::new(memory));
    let volume: Arc<dyn Volume> = Arc::new(faults.clone());
    let mut store = create(&volume);
    store.read_ahead(ThreadedVisits::join);
    let mut random = Random::new(1);
    let (batch, mut all) = any_batch(&mut random, 30_000);
    store.save(batch, 1).unwrap();
    let (mut failed, mut nth) = (0, 1);
    loop {
        let what = format!("read {nth}");
        let (batch, model) = any_batch(&mut random, 1000);
        faults.inject(Fault::nth(nth).of(IoOp::Read));
        match store.save(batch, 2) {
            Err(Error::Io { op: IoOp::Read, .. }) => failed += 1,
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => {
                all.extend(model);
                break;
            }
        }
        faults.heal();
        assert_holds(&store, &all, &what);
        let (batch, model) = any_batch(&mut random, 300);
        store.save(batch, 3).unwrap();
        all.extend(model);
        assert_holds(&store, &all, &what);
        nth = nth * 3 / 2 + 1;
    }
    faults.heal();
    assert_holds(&store, &all, "in the end");
    assert!(failed > 10, "{failed} reads failed");
}
