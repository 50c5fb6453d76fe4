//! Batches whose nodes are read ahead on a thread: the same file as without, and failures that leave a
//! store that goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::random::Random;
use support::state::{Bodies, batch_of};
use tailswap::Error;
use tailswap::device::{Access, Fault, FaultVolume, MemoryVolume, Volume};
use tailswap::engine::ThreadedVisits;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{Batch, BatchSave, Budget, Create, LocalUpdate, Step, Store};

const FILE: &str = "file";
/// Enough for nodes that a reader is stopped in the middle of.
const IDS: u64 = 20_000;

fn create(volume: &Arc<dyn Volume>) -> Store {
    let header = Header::empty(14);
    let create = Create::new(volume.clone(), FILE, header, Batch::default(), 1, Events::none());
    create.unwrap().finish().unwrap()
}

fn any_batch(random: &mut Random, count: u64) -> (Batch, Bodies) {
    let mut model = Bodies::new();
    for _ in 0..count {
        let id = format!("document-{:06}", random.below(IDS)).into_bytes();
        let body = (!random.chance(1, 20)).then(|| Bytes::from(random.bytes(30)));
        model.insert(id, body);
    }
    (batch_of(&model, 18), model)
}

fn bytes_of(volume: &dyn Volume) -> Vec<u8> {
    let device = volume.open(FILE, Access::Read).unwrap();
    let mut bytes = vec![0; device.len().unwrap() as usize];
    assert_eq!(device.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn assert_holds(store: &Store, model: &Bodies, what: &str) {
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

fn any_locals(random: &mut Random, count: u64) -> Vec<LocalUpdate> {
    let local = |number| LocalUpdate {
        id: format!("_local/{number:05}").into_bytes(),
        value: random.chance(9, 10).then(|| random.bytes(40)),
    };
    (0..count).map(local).collect()
}

/// Saves without committing.
fn save(store: &mut Store, batch: Batch) {
    let mut save = BatchSave::new(store, batch).unwrap();
    while save.step(store, &mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
}

#[test]
fn a_file_is_the_same_whoever_reads_its_nodes() {
    for seed in 0..4 {
        let volumes: [Arc<dyn Volume>; 2] =
            [Arc::new(MemoryVolume::new()), Arc::new(MemoryVolume::new())];
        let mut stores = [create(&volumes[0]), create(&volumes[1])];
        stores[1].read_nodes_with(ThreadedVisits::join);
        let (mut random, mut all) = (Random::new(seed), Bodies::new());
        for round in 0..16 {
            // From none to nearly all, and also so few that no thread is worth it.
            let count = *random.pick(&[0, 1, 150, 400, 3000, 20_000]);
            let (mut batch, model) = any_batch(&mut random, count);
            let locals = *random.pick(&[0, 2, 600]);
            batch.locals = any_locals(&mut random, locals);
            // The next batch finds the roots of one that is not committed in the write buffer.
            let commits = random.chance(1, 2);
            for store in &mut stores {
                save(store, batch.clone());
                if commits {
                    store.commit(round).unwrap();
                }
            }
            all.extend(model);
        }
        let written = stores.each_mut().map(|store| store.commit(99).unwrap());
        assert_holds(&stores[1], &all, &format!("seed {seed}"));
        assert_eq!(written[0].header(), written[1].header(), "seed {seed}");
        let [one, other] = volumes.map(|volume| bytes_of(volume.as_ref()));
        assert!(one == other, "seed {seed}");
    }
}

/// Batches that each fail at another operation of this kind, until one is through; the store goes on
/// behind each.
fn fails_and_goes_on(op: IoOp, seed: u64) {
    let faults = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let volume: Arc<dyn Volume> = Arc::new(faults.clone());
    let mut store = create(&volume);
    store.read_nodes_with(ThreadedVisits::join);
    let mut random = Random::new(seed);
    let (batch, mut all) = any_batch(&mut random, 30_000);
    store.save(batch, 1).unwrap();
    let (mut failed, mut nth) = (0, 1);
    loop {
        let what = format!("{op:?} {nth}");
        let (batch, model) = any_batch(&mut random, 5000);
        faults.inject(Fault::nth(nth).of(op));
        let saved = store.save(batch, 2);
        faults.heal();
        match saved {
            Err(Error::Io { op: found, .. }) if found == op => failed += 1,
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => {
                all.extend(model);
                assert_holds(&store, &all, &what);
                break;
            }
        }
        assert_holds(&store, &all, &what);
        let (batch, model) = any_batch(&mut random, 300);
        store.save(batch, 3).unwrap();
        all.extend(model);
        nth += 1 + nth / 2;
    }
    assert!(failed >= 3, "{failed} of {op:?} failed");
}

#[test]
fn a_node_that_cannot_be_read_fails_the_batch_and_nothing_else() {
    fails_and_goes_on(IoOp::Read, 1);
}

#[test]
fn a_write_that_fails_while_nodes_are_read_ahead_fails_the_batch_and_nothing_else() {
    fails_and_goes_on(IoOp::Write, 2);
}

#[test]
fn a_batch_that_is_given_up_half_way_stops_its_reader() {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let mut store = create(&volume);
    store.read_nodes_with(ThreadedVisits::join);
    let mut random = Random::new(3);
    let (batch, mut all) = any_batch(&mut random, 30_000);
    store.save(batch, 1).unwrap();
    for entries in [1, 2100, 2500, 4000, 6000] {
        let (batch, _) = any_batch(&mut random, 2000);
        let mut save = BatchSave::new(&store, batch).unwrap();
        let step = save.step(&mut store, &mut Budget { bytes: u64::MAX, entries }).unwrap();
        assert_eq!(step, Step::Progress, "{entries} entries");
        drop(save);
        store.go_back().unwrap();
        let (batch, model) = any_batch(&mut random, 500);
        store.save(batch, 2).unwrap();
        all.extend(model);
        assert_holds(&store, &all, &format!("{entries} entries"));
    }
}
