//! The operations that made golden files, saved again here: our files take the same space and our
//! trees have the same shape, node by node.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use support::{Golden, tree_lines};
use tailswap::device::{MemoryVolume, Volume};
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::check::check;
use tailswap::store::{
    Batch, BatchSave, Body, Budget, Create, DocUpdate, HeadersBack, HeadersForward, LocalUpdate,
    OpenMode, RevSeq, Snapshot, Step, Store, at_or_before_seq,
};

/// Files that were created, then written commit by commit with nodes of the usual size, and whose
/// commits can be told from their states.
const REPLAYED: [&str; 16] = [
    "boundary",
    "compact_src",
    "delete_all",
    "deletes",
    "large_body",
    "local_docs",
    "local_emptied",
    "multilevel",
    "odd_keys",
    "one_doc",
    "replay_src",
    "rollback",
    "seq_as_is",
    "snappy_bodies",
    "ten_docs",
    "updates_headers",
];

/// Documents that a commit saved: those above the highest sequence number before it, in the order
/// in which their bodies lie.
fn documents_between(before: &Snapshot, after: &Snapshot) -> Vec<DocUpdate> {
    let since = after.changes_since(before.header().update_seq + 1).unwrap();
    since
        .map(|info| {
            let info = info.unwrap();
            let body = after.raw_body(info.as_ref()).unwrap();
            DocUpdate {
                body: body.map_or(Body::None, |body| Body::Stored(Bytes::from(body))),
                id: info.id,
                seq: Some(info.seq),
                rev_seq: RevSeq::Given(info.rev_seq),
                deleted: info.deleted,
                content_meta: info.content_meta,
                rev_meta: info.rev_meta,
            }
        })
        .collect()
}

/// Local documents that a commit changed. The generator numbered those that it saved one by one,
/// so shorter ids come first.
fn locals_between(before: &Snapshot, after: &Snapshot) -> Vec<LocalUpdate> {
    let all = |snapshot: &Snapshot| -> BTreeMap<Vec<u8>, Vec<u8>> {
        snapshot.locals().map(Result::unwrap).collect()
    };
    let (before, after) = (all(before), all(after));
    let gone = before.keys().filter(|id| !after.contains_key(*id));
    let gone = gone.map(|id| LocalUpdate { id: id.clone(), value: None });
    let saved = after.iter().filter(|(id, value)| before.get(*id) != Some(value));
    let saved = saved.map(|(id, value)| LocalUpdate { id: id.clone(), value: Some(value.clone()) });
    let mut changed: Vec<LocalUpdate> = gone.chain(saved).collect();
    changed.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    changed
}

fn save(store: &mut Store, batch: Batch) {
    let mut save = BatchSave::new(store, batch).unwrap();
    while save.step(store, &mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
}

/// Saves what the commits of a golden file saved; returns our states and theirs, in file order.
fn replay(golden: &Golden) -> Vec<(Snapshot, Snapshot)> {
    let volume: Arc<dyn Volume> = Arc::new(MemoryVolume::new());
    let theirs: Vec<Snapshot> = HeadersForward::all(golden.open()).map(Result::unwrap).collect();
    let mut ours: BTreeMap<u64, Snapshot> = BTreeMap::new();
    let mut store: Option<Store> = None;
    for after in theirs.iter().skip(1) {
        let before = HeadersBack::from(after.clone()).nth(1).unwrap().unwrap();
        let documents = documents_between(&before, after);
        let locals = locals_between(&before, after);
        let timestamp_ns = after.header().timestamp_ns;
        let snapshot = match &mut store {
            None => {
                let (header, batch) = (Header::empty(14), Batch { documents, locals });
                let (volume, events) = (volume.clone(), Events::none());
                let create =
                    Create::new(volume, "0.couch.1", header, batch, timestamp_ns, events).unwrap();
                store.insert(create.finish().unwrap()).snapshot().unwrap()
            }
            Some(store) => {
                let base = &ours[&before.position()];
                if base.position() != store.snapshot().unwrap().position() {
                    store.rewind(base);
                }
                save(store, Batch { documents, locals: Vec::new() });
                for local in locals {
                    save(store, Batch { documents: Vec::new(), locals: vec![local] });
                }
                store.commit(timestamp_ns).unwrap()
            }
        };
        ours.insert(after.position(), snapshot);
    }
    ours.into_values().zip(theirs.into_iter().skip(1)).collect()
}

/// A state's nodes without what depends on how well Snappy did, which differs between its versions.
fn shape(snapshot: &Snapshot) -> Vec<Value> {
    let mut lines = tree_lines(snapshot);
    for line in lines.iter_mut().filter_map(Value::as_object_mut) {
        for field in ["pos", "chunk_len", "ptr_subtree"] {
            line.remove(field);
        }
    }
    lines
}

#[test]
fn trees_have_the_shape_and_files_the_size_of_the_reference_s() {
    for name in REPLAYED {
        let golden = Golden::load(name);
        let states = replay(&golden);
        for (ours, theirs) in &states {
            assert_eq!(shape(ours), shape(theirs), "{name}");
            let (header, expected) = (ours.header(), theirs.header());
            assert_eq!(header.update_seq, expected.update_seq, "{name}");
            // How well Snappy did moves headers: it is which commit they point back at that counts.
            let ours_at = states.iter().position(|(s, _)| Some(s.position()) == header.previous);
            let at = states.iter().position(|(_, s)| Some(s.position()) == expected.previous);
            assert_eq!(ours_at, at, "{name}");
            let (used, expected) = (ours.space_used(), theirs.space_used());
            assert!(used.abs_diff(expected) * 50 <= expected, "{name}: {used}, not {expected}");
        }
        let (newest, theirs) = states.last().unwrap();
        let file = newest.file();
        assert_eq!(file.len().unwrap(), golden.bytes.len() as u64, "{name}");
        println!("{name}: space used {}, {} there", newest.space_used(), theirs.space_used());
        let report = check(&file.name, file.device.clone(), OpenMode::Strict).unwrap();
        assert_eq!((report.counts.problems, report.counts.warnings), (0, 0), "{name}");
    }
}

#[test]
fn what_was_rolled_back_is_no_history_of_what_follows() {
    let states = replay(&Golden::load("rollback"));
    let newest = states.last().unwrap().0.clone();
    let seqs: Vec<u64> = HeadersBack::from(newest.clone())
        .map(|snapshot| snapshot.unwrap().header().update_seq)
        .collect();
    assert_eq!(seqs, [18, 17, 16, 12, 8, 4, 0], "20 and 24 were rolled back");
    let at_20 = at_or_before_seq(newest, 20).unwrap().unwrap();
    assert_eq!(at_20.header().update_seq, 18);
}
