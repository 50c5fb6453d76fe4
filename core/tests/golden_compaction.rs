//! Our compaction of the golden files against the reference's.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use serde_json::Value;
use support::{Golden, tree_lines};
use tailswap::compaction::{CompactionOptions, OfflineCompaction, Purge};
use tailswap::device::MemoryVolume;
use tailswap::event::Events;
use tailswap::format::docinfo::DocInfo;
use tailswap::store::check::{Checker, Severity};
use tailswap::store::{Budget, OpenMode, Snapshot, Step, open_for_reading};

/// Compacts the newest state of a file and opens the result.
fn compacted(source: &Snapshot, options: CompactionOptions) -> Snapshot {
    let volume = Arc::new(MemoryVolume::new());
    let events = Events::none();
    let mut compaction = OfflineCompaction::start(
        source.clone(),
        volume.clone(),
        "target",
        options,
        events,
        |reader| Box::new(reader),
    )
    .unwrap();
    while compaction.step(&mut Budget { bytes: 10_000, entries: 30 }).unwrap() != Step::Done {}
    open_for_reading(volume.as_ref(), "target", OpenMode::Strict).unwrap().0
}

/// What a state holds, less where it lies: documents with their bodies, and local documents.
type Contents = (Vec<(DocInfo, Option<Vec<u8>>)>, Vec<(Vec<u8>, Vec<u8>)>);

fn contents(snapshot: &Snapshot) -> Contents {
    let documents = snapshot.changes_since(0).unwrap().map(|info| {
        let mut info = info.unwrap();
        let body = snapshot.raw_body(info.as_ref()).unwrap();
        // Positions differ, and old libraries counted block type bytes in sizes.
        (info.position, info.physical_size) = (0, 0);
        (info, body)
    });
    (documents.collect(), snapshot.locals().map(Result::unwrap).collect())
}

/// Nodes of some trees without what depends on positions and on how well Snappy compressed.
fn shapes(lines: &[Value], trees: &[&str]) -> Vec<Value> {
    let lines = lines.iter().filter(|line| trees.contains(&line["tree"].as_str().unwrap()));
    lines
        .map(|line| {
            let mut line = line.clone();
            for field in ["pos", "chunk_len", "ptr_subtree"] {
                line.as_object_mut().unwrap().remove(field);
            }
            line
        })
        .collect()
}

#[test]
fn by_seq_and_local_nodes_are_those_of_the_reference() {
    let source = Golden::load("compact_src").open();
    let theirs = Golden::load("compacted");
    let ours = compacted(&source, CompactionOptions::default());
    let trees = ["by_seq", "local"];
    let (our_nodes, their_nodes) =
        (shapes(&tree_lines(&ours), &trees), shapes(&theirs.tree, &trees));
    assert_eq!(our_nodes, their_nodes);
    println!("{} nodes alike", our_nodes.len());
    assert!(contents(&ours) == contents(&theirs.open()));
    let (header, reference) = (ours.header(), theirs.open().header().clone());
    assert_eq!(header.update_seq, reference.update_seq);
    assert_eq!(header.timestamp_ns, reference.timestamp_ns);
    assert_eq!(header.purge_seq, reference.purge_seq);
    assert_eq!(header.previous, reference.previous);
    // By-id nodes are cut at 1279 rather than 1024: the file is no larger than the reference's.
    assert!(ours.end() <= theirs.open().end());
}

#[test]
fn dropping_and_purging_leave_what_the_reference_leaves() {
    let source = Golden::load("compact_src").open();
    let drop_deletes = CompactionOptions { drop_deletes: true, ..CompactionOptions::default() };
    let ours = compacted(&source, drop_deletes);
    assert!(contents(&ours) == contents(&Golden::load("compacted_dropdel").open()));
    assert_eq!(ours.counts().deleted, 0);
    let dropped: Vec<u64> =
        contents(&source).0.iter().filter(|(i, _)| i.deleted).map(|(i, _)| i.seq).collect();
    assert_eq!(Some(&ours.header().purge_seq), dropped.iter().max(), "the highest one purged");

    let theirs = Golden::load("purged_hook").open();
    let purge = Purge { to_seq: Some(theirs.header().purge_seq), before: None };
    let ours = compacted(&source, CompactionOptions { purge, ..CompactionOptions::default() });
    assert!(contents(&ours) == contents(&theirs));
    assert_eq!(ours.header().purge_seq, theirs.header().purge_seq);
}

#[test]
fn every_golden_file_survives_compaction_and_comes_out_as_version_14() {
    let mut documents = 0;
    for golden in Golden::plain() {
        let source = golden.open();
        let ours = compacted(&source, CompactionOptions::default());
        let contents = contents(&ours);
        assert!(contents == self::contents(&source), "{}", golden.name);
        documents += contents.0.len();
        assert_eq!(ours.header().disk_version, 14);
        assert_eq!(ours.header().update_seq, source.header().update_seq);
        let file = ours.file();
        let mut checker = Checker::new(&file.name, file.device.clone(), OpenMode::Strict).unwrap();
        while checker.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
        let report = checker.into_report();
        let worse = report.findings.iter().filter(|f| f.severity != Severity::Note);
        assert_eq!(worse.count(), 0, "{}: {:?}", golden.name, report.findings);
    }
    println!("{documents} documents");
}

#[test]
fn damaged_sources_are_refused_and_leave_nothing() {
    for name in ["body_bitflip", "body_crc_field", "body_len_past_eof", "hdr_roots_swapped"]
        .into_iter()
        .chain(["node_byid_leaf_bitflip", "node_byid_root_bitflip", "node_byseq_leaf_bitflip"])
        .chain(["node_byseq_root_bitflip", "node_len_highbit_clear", "node_local_bitflip"])
    {
        let (file, device) = support::in_memory(name, support::corrupt(name));
        let (source, _) = tailswap::store::find_newest(&file, device, OpenMode::Strict).unwrap();
        let volume = Arc::new(MemoryVolume::new());
        let (options, events) = (CompactionOptions::default(), Events::none());
        let start =
            OfflineCompaction::start(source, volume.clone(), "target", options, events, |r| {
                Box::new(r)
            });
        let result = start.and_then(|mut compaction| {
            while compaction.step(&mut Budget::UNBOUNDED.clone())? != Step::Done {}
            Ok(())
        });
        let error = result.unwrap_err();
        assert!(error.is_damage(), "{name}: {error}");
        assert!(tailswap::device::Volume::list(volume.as_ref()).unwrap().is_empty(), "{name}");
    }
}
