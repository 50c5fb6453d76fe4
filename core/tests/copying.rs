//! What a copy of a file comes to: the same bytes however its steps fall, the newest version, and
//! an error for a source that is not in order.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Waker;

use bytes::Bytes;
use support::host::TestHost;
use support::random::Random;
use support::state::{State, assert_sound};
use support::world::{World, alternate, any_mutation, local, set, unbounded};
use tailswap::Error;
use tailswap::btree::BulkBuilder;
use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::compaction::{
    Compaction, CompactionOptions, CopyBatch, CopyReader, CopySource, Feed, OfflineCompaction,
};
use tailswap::device::{MemoryVolume, Volume};
use tailswap::event::Events;
use tailswap::format::block;
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::{DocInfo, encode_seq};
use tailswap::format::header::Header;
use tailswap::format::pointer::TreeKind;
use tailswap::format::vbstate::VBSTATE_ID;
use tailswap::store::{
    Batch, Body, Budget, Create, DocUpdate, OpenMode, RevSeq, Snapshot, Step, open_for_reading,
};
use tailswap::vbucket::VBucket;

/// A file with long bodies, some of them changed, of a version.
fn long_bodies(volume: &Arc<dyn Volume>, version: u8) -> (Snapshot, State) {
    let mut random = Random::new(9);
    let header = Header::empty(version);
    let create =
        Create::new(volume.clone(), "source", header, Batch::default(), 3, Events::none()).unwrap();
    let mut store = create.finish().unwrap();
    let mut state = State::default();
    let lengths =
        [0, 1, 4087, 4095, 4096, 8190, 256 << 10, (256 << 10) + 1, (3 << 20) + 17, 1 << 20];
    for round in 0..3 {
        let mut batch = Batch::default();
        for (index, length) in
            lengths.iter().enumerate().filter(|(index, _)| index % 2 != round % 2)
        {
            let body = random.bytes(*length);
            batch.documents.push(DocUpdate {
                id: vec![b'a' + (9 - index) as u8; 3],
                seq: None,
                rev_seq: RevSeq::Next,
                deleted: index == 3,
                content_meta: 3,
                rev_meta: vec![0; 18],
                body: Body::Stored(Bytes::from(body)),
            });
        }
        batch.locals.push(local(round as u64, Some(random.bytes(700_000))));
        state.apply(&batch);
        store.save(batch, 11 + round as u64).unwrap();
    }
    (store.snapshot().unwrap(), state)
}

/// A copy's reading half on another thread, behind a queue.
#[derive(Debug)]
struct Threaded {
    filled: Mutex<mpsc::Receiver<tailswap::Result<CopyBatch>>>,
    batch: CopyBatch,
}

impl Threaded {
    fn join(mut reader: CopyReader) -> Box<dyn CopySource> {
        let (sender, receiver) = mpsc::sync_channel(3);
        std::thread::spawn(move || {
            loop {
                let mut batch = CopyBatch::default();
                let filled = match reader.fill(&mut batch) {
                    Ok(false) => return,
                    Ok(true) => Ok(batch),
                    Err(error) => Err(error),
                };
                let failed = filled.is_err();
                if sender.send(filled).is_err() || failed {
                    return;
                }
            }
        });
        Box::new(Threaded { filled: Mutex::new(receiver), batch: CopyBatch::default() })
    }
}

impl CopySource for Threaded {
    fn next(&mut self, _: &mut Budget) -> tailswap::Result<Feed<'_>> {
        while self.batch.is_empty() {
            let Ok(batch) = self.filled.get_mut().unwrap().recv() else { return Ok(Feed::End) };
            self.batch = batch?;
        }
        Ok(self.batch.take_next().map_or(Feed::End, Feed::Item))
    }
}

#[test]
fn the_copy_depends_on_the_source_and_the_options_alone() {
    for version in [11, 14] {
        let volume = MemoryVolume::new();
        let shared: Arc<dyn Volume> = Arc::new(volume.clone());
        let (source, state) = long_bodies(&shared, version);
        let budgets = [
            unbounded(),
            Budget { bytes: 1, entries: 1 },
            Budget { bytes: 9_999, entries: 3 },
            Budget { bytes: u64::MAX, entries: 1 },
        ];
        let mut copies = Vec::new();
        for (index, budget) in budgets.iter().enumerate() {
            for (threaded, table_memory) in [(false, 0), (true, 1 << 20)] {
                let options = CompactionOptions { table_memory, ..CompactionOptions::default() };
                let join = if threaded { Threaded::join } else { alternate };
                let name = format!("copy-{index}-{threaded}");
                let target = shared.clone();
                let mut compaction = OfflineCompaction::start(
                    source.clone(),
                    target,
                    &name,
                    options,
                    Events::none(),
                    join,
                )
                .unwrap();
                while compaction.step(&mut budget.clone()).unwrap() != Step::Done {}
                assert_eq!(compaction.progress(), (state.docs.len() as u64, 0));
                copies.push(volume.get(&name).unwrap());
            }
        }
        assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "version {version}");
        let (copy, _) = open_for_reading(&volume, "copy-0-true", OpenMode::Strict).unwrap();
        state.assert_is(&copy, "the copy");
        assert_sound(&copy, "the copy");
        assert_eq!(copy.header().disk_version, 14);
        assert_eq!(copy.header().timestamp_ns, source.header().timestamp_ns);
        assert_eq!(volume.list().unwrap().len(), 9, "nothing but the copies is left");
    }
}

#[test]
fn a_quiet_vbucket_compacts_to_the_same_bytes_at_any_budget() {
    let mut files = Vec::new();
    for (budget, join) in [
        (unbounded(), alternate as fn(CopyReader) -> Box<dyn CopySource>),
        (Budget { bytes: 1, entries: 1 }, alternate),
        (Budget { bytes: 5_000, entries: 9 }, Threaded::join),
    ] {
        let memory = MemoryVolume::new();
        let mut world = World::create(Arc::new(memory.clone()));
        let mut random = Random::new(4);
        for _ in 0..5 {
            for _ in 0..50 {
                world.push(any_mutation(&mut random, 120));
            }
            world.flush();
        }
        let options = CompactionOptions { drop_deletes: true, ..CompactionOptions::default() };
        let waker = Waker::noop().clone();
        let mut compaction = Compaction::start(&world.vbucket, options, waker, join).unwrap();
        while compaction.step(&mut budget.clone()).unwrap() != Step::Done {}
        files.push(memory.get("3.couch.2").unwrap());
    }
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Documents with their bodies, without where those lie.
fn contents(snapshot: &Snapshot) -> Vec<(tailswap::format::docinfo::DocInfo, Option<Vec<u8>>)> {
    let documents = snapshot.changes_since(0).unwrap().map(Result::unwrap);
    let with_body = documents.map(|mut info| {
        let body = snapshot.body(info.as_ref()).unwrap();
        (info.position, info.physical_size) = (0, 0);
        (info, body)
    });
    with_body.collect()
}

#[test]
fn a_vbucket_of_an_old_version_is_continued_as_it_is_and_upgraded_by_compaction() {
    for (name, version) in [("v11_lib3.0.3", 11), ("v12_lib6.6.2", 12), ("v13_lib7.6.9", 13)] {
        let volume = MemoryVolume::new();
        volume.put("3.couch.7", support::Golden::load(name).bytes).unwrap();
        let (old, _) = open_for_reading(&volume, "3.couch.7", OpenMode::Strict).unwrap();
        let mut before = contents(&old);
        let state = State { update_seq: old.header().update_seq, ..State::default() };
        let mut world = World::open(Arc::new(volume.clone()), state).unwrap();
        let mut compaction = world.compact(CompactionOptions::default()).unwrap();
        for step in 0.. {
            if step == 3 {
                world.push(set(1, vec![b'n'; 5000]));
                world.flush();
                let newest = world.vbucket.snapshot().unwrap();
                assert_eq!(newest.header().disk_version, version, "{name}");
            }
            if compaction.step(&mut Budget { bytes: 5_000, entries: 10 }).unwrap() == Step::Done {
                break;
            }
        }
        assert_eq!(world.names(), ["3.couch.8"], "{name}");
        let copy = world.vbucket.snapshot().unwrap();
        assert_eq!(copy.header().disk_version, 14, "{name}");
        assert_sound(&copy, name);
        let mut after = contents(&copy);
        let (new, body) = after.pop().unwrap();
        assert_eq!((new.seq, body), (old.header().update_seq + 1, Some(vec![b'n'; 5000])));
        before.retain(|(info, _)| info.id != new.id);
        assert!(after == before, "{name}");
        let locals = |snapshot: &Snapshot| -> BTreeMap<_, _> {
            snapshot.locals().map(Result::unwrap).filter(|(id, _)| id != VBSTATE_ID).collect()
        };
        assert!(locals(&copy) == locals(&old), "{name}");
    }
}

#[test]
fn a_file_that_is_no_vbuckets_is_refused_and_nothing_is_swept() {
    let volume = MemoryVolume::new();
    volume.put("0.couch.2", support::Golden::load("one_doc").bytes).unwrap();
    let leftovers = ["0.couch.1", "0.couch.2.compact", "0.couch.1.creating"];
    leftovers.iter().for_each(|name| volume.put(name, Vec::new()).unwrap());
    let host = TestHost::new(1);
    let shared = Arc::new(volume.clone());
    let opened = VBucket::open(shared, host, 0, OpenMode::Strict, Events::none());
    let error = opened.unwrap_err();
    assert!(matches!(error, Error::NoVBucket { .. }));
    assert_eq!(error.to_string(), "0.couch.2: _local/vbstate is missing");
    assert_eq!(volume.list().unwrap().len(), 4, "nothing is swept for a bad file");
}

/// Compacts a file whose trees name these documents, ids with sequence numbers, in the order given; all
/// checksums are right. Returns why that failed.
fn refused(by_seq: &[(u64, u64)], by_id: &[(u64, u64)]) -> Error {
    let volume = MemoryVolume::new();
    let device = volume.create_new("source").unwrap();
    let file = LogFile { name: "source".into(), device, checksum: Checksum::Crc32c };
    let mut writer = ChunkWriter::new(file, 0, Events::none());
    writer.append_header(&Header::empty(14), block::HEADER).unwrap();
    let info = |id, seq| DocInfo { seq, ..DocInfo::new(format!("{id:03}").into_bytes()) };
    let mut header = Header::empty(14);
    let mut builder = BulkBuilder::new(TreeKind::BySeq);
    for (id, seq) in by_seq {
        let mut value = Vec::new();
        info(id, *seq).as_ref().encode_by_seq(&mut value);
        builder.push(&encode_seq(*seq), &value, &mut writer).unwrap();
    }
    header.by_seq = builder.finish(&mut writer).unwrap();
    let mut builder = BulkBuilder::new(TreeKind::ById);
    for (id, seq) in by_id {
        let (info, mut value) = (info(id, *seq), Vec::new());
        info.as_ref().encode_by_id(&mut value);
        builder.push(&info.id, &value, &mut writer).unwrap();
    }
    header.by_id = builder.finish(&mut writer).unwrap();
    header.update_seq = 2000;
    writer.append_header(&header, block::HEADER).unwrap();
    writer.flush().unwrap();
    let (source, _) = open_for_reading(&volume, "source", OpenMode::Strict).unwrap();
    let (target, options) = (Arc::new(volume.clone()), CompactionOptions::default());
    let mut compaction =
        OfflineCompaction::start(source, target, "copy", options, Events::none(), alternate)
            .unwrap();
    let result = (0..).find_map(|_| match compaction.step(&mut unbounded()) {
        Ok(Step::Done) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let error = result.unwrap().unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    drop(compaction);
    assert!(!volume.list().unwrap().iter().any(|name| name.starts_with("copy")));
    error
}

#[test]
fn a_source_that_is_out_of_order_is_damage() {
    // By-seq leaves each in order, but not one after the other.
    let documents: Vec<(u64, u64)> =
        (0..200).map(|n| (n, if n < 100 { 1000 + n } else { n })).collect();
    let error = refused(&documents, &documents);
    assert!(error.to_string().contains("not in ascending order"), "{error}");
}

#[test]
fn trees_that_do_not_name_the_same_documents_are_damage() {
    let all = [(1, 1), (2, 2), (3, 3)];
    let error = refused(&all[..2], &all);
    assert!(error.to_string().contains("by-id names sequence number 3"), "{error}");
    let error = refused(&all, &all[..2]);
    assert!(error.to_string().contains("do not name the same documents"), "{error}");
    let error = refused(&all, &[(1, 2), (2, 1), (3, 3)]);
    assert!(error.to_string().contains("do not name the same documents"), "{error}");
}
