//! B-trees against a `BTreeMap`: batch updates, bulk builds, lookups, seeks, and the difference of
//! any two states.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::random::Random;
use tailswap::btree::{
    BulkBuilder, Change, Delta, DeltaStep, Difference, Keys, TreeLookup, TreeUpdate, TreeWalk,
    VisitSource,
};
use tailswap::chunklog::{ChunkReader, ChunkWriter, LogFile};
use tailswap::device::{BlockDevice, MemoryDevice, SyncStatus, SyncTicket};
use tailswap::event::{Event, EventSink, Events};
use tailswap::format::checksum::Checksum;
use tailswap::format::pointer::{NodePointer, TreeKind};

/// Any bytes will do as keys and values of this kind.
const TREE: TreeKind = TreeKind::Local;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is to become of a key.
#[derive(Clone)]
enum Edit {
    Put(Vec<u8>),
    Remove,
    Keep,
}

/// A device that counts reads.
#[derive(Debug)]
struct Counting {
    inner: MemoryDevice,
    reads: AtomicU64,
}

impl BlockDevice for Counting {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, data)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.inner.sync_issue()
    }
    fn sync_complete(&self, ticket: SyncTicket) -> io::Result<SyncStatus> {
        self.inner.sync_complete(ticket)
    }
}

/// Counts nodes written.
#[derive(Default)]
struct Nodes(AtomicU64);

impl EventSink for Nodes {
    fn event(&self, event: Event) {
        self.0.fetch_add(u64::from(matches!(event, Event::Appended { .. })), Ordering::Relaxed);
    }
}

/// A file of nodes and nothing else.
struct Trees {
    device: Arc<Counting>,
    nodes: Arc<Nodes>,
    writer: ChunkWriter,
}

impl Trees {
    fn new() -> Self {
        let device = Arc::new(Counting { inner: MemoryDevice::new(), reads: AtomicU64::new(0) });
        let nodes = Arc::new(Nodes::default());
        let file =
            LogFile { name: "trees".into(), device: device.clone(), checksum: Checksum::Crc32c };
        // No chunk may lie at offset 0.
        device.write_at(0, &[0]).unwrap();
        Trees { device, writer: ChunkWriter::new(file, 1, Events::to(nodes.clone())), nodes }
    }

    /// A reader that reads one node at a time, so that reads can be counted.
    fn reader(&mut self) -> ChunkReader {
        self.writer.flush().unwrap();
        ChunkReader::new(self.writer.file().clone(), 1)
    }

    fn walk(&mut self, root: Option<NodePointer>) -> TreeWalk {
        TreeWalk::new(self.reader(), TREE, root, self.writer.end())
    }

    fn update(
        &mut self,
        root: Option<NodePointer>,
        changes: &BTreeMap<Vec<u8>, Edit>,
        map: &Map,
    ) -> Option<NodePointer> {
        let keys: Vec<_> = changes.keys().cloned().collect();
        let mut sorted = Keys::default();
        keys.iter().for_each(|key| sorted.push(key));
        let join = |descent| -> Box<dyn VisitSource> { Box::new(descent) };
        let update = TreeUpdate::begin(TREE, root, sorted, &mut self.writer, join);
        let mut update = update.unwrap();
        let mut asked = 0;
        let mut change = |index: usize, old: Option<&[u8]>, new: &mut Vec<u8>| {
            assert_eq!(index, asked, "each key is asked for once, in order");
            asked += 1;
            assert!(old == map.get(&keys[index]).map(Vec::as_slice), "the value before");
            Ok(match &changes[&keys[index]] {
                Edit::Put(value) => {
                    new.extend_from_slice(value);
                    Change::Put
                }
                Edit::Remove => Change::Remove,
                Edit::Keep => Change::Keep,
            })
        };
        while update.step(&mut self.writer, &mut change).unwrap() {}
        assert_eq!(asked, keys.len());
        update.root()
    }

    fn assert_holds(&mut self, root: Option<NodePointer>, map: &Map) {
        let mut walk = self.walk(root);
        let mut expected = map.iter();
        while walk.to_entry().unwrap() {
            let (key, value) = walk.entry().unwrap();
            assert!(Some((&key.to_vec(), &value.to_vec())) == expected.next());
            walk.skip();
        }
        assert!(expected.next().is_none());
    }

    fn difference(
        &mut self,
        old: Option<NodePointer>,
        new: Option<NodePointer>,
    ) -> Vec<Difference> {
        let mut delta = Delta::new(self.walk(old), self.walk(new));
        let mut found = Vec::new();
        loop {
            match delta.step().unwrap() {
                DeltaStep::Moved => {}
                DeltaStep::Found(difference) => found.push(difference),
                DeltaStep::End => return found,
            }
        }
    }

    fn reads(&self) -> u64 {
        self.device.reads.load(Ordering::Relaxed)
    }
}

/// The difference of two maps, in key order.
fn map_difference(old: &Map, new: &Map) -> Vec<Difference> {
    let mut keys: Vec<_> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    let difference = |key: Vec<u8>| match (old.get(&key).cloned(), new.get(&key).cloned()) {
        (Some(old), None) => Some(Difference::Removed { key, old }),
        (None, Some(new)) => Some(Difference::Added { key, new }),
        (Some(old), Some(new)) if old != new => Some(Difference::Changed { key, old, new }),
        _ => None,
    };
    keys.into_iter().filter_map(difference).collect()
}

fn any_key(random: &mut Random, keys: u64) -> Vec<u8> {
    let number = random.below(keys);
    let length = match number % 50 {
        0 => 4095,
        1 => 1300,
        n if n < 10 => 200,
        n => 8 + n as usize,
    };
    // The number first, or else long keys would all be neighbours; some keys begin others.
    let mut key = format!("{number:06}").into_bytes();
    if number.is_multiple_of(3) {
        key.truncate(4);
    }
    key.resize(length.max(key.len()), b'k');
    key
}

fn any_value(random: &mut Random) -> Vec<u8> {
    let length = match random.below(20) {
        0 => random.below(9000),
        1 => 1280 + random.below(30),
        2 => 0,
        _ => random.below(120),
    };
    random.bytes(length as usize)
}

fn any_changes(
    random: &mut Random,
    keys: u64,
    count: u64,
    removals: u64,
) -> BTreeMap<Vec<u8>, Edit> {
    let change = |random: &mut Random| {
        let key = any_key(random, keys);
        let change = match random.below(100) {
            n if n < removals => Edit::Remove,
            n if n < removals + 5 => Edit::Keep,
            _ => Edit::Put(any_value(random)),
        };
        (key, change)
    };
    (0..count).map(|_| change(random)).collect()
}

fn apply(map: &mut Map, changes: BTreeMap<Vec<u8>, Edit>) {
    for (key, change) in changes {
        match change {
            Edit::Put(value) => drop(map.insert(key, value)),
            Edit::Remove => drop(map.remove(&key)),
            Edit::Keep => {}
        }
    }
}

#[test]
fn batches_lookups_seeks_and_differences_agree_with_a_map() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let mut trees = Trees::new();
        let keys = *random.pick(&[30, 400, 3000]);
        let mut states: Vec<(Option<NodePointer>, Map)> = vec![(None, Map::new())];
        for round in 0..25 {
            // Sometimes on top of an older state, as after a rollback.
            let from = if random.chance(1, 8) {
                random.below(states.len() as u64) as usize
            } else {
                states.len() - 1
            };
            let (root, mut map) = states[from].clone();
            let removals = if round % 9 == 8 { 95 } else { random.below(60) };
            let count = random.below(keys / 2) + random.below(3);
            let changes = any_changes(&mut random, keys, count, removals);
            let root = trees.update(root, &changes, &map);
            apply(&mut map, changes);
            assert_eq!(root.is_none(), map.is_empty(), "seed {seed}");
            trees.assert_holds(root, &map);
            assert_lookups(&mut trees, &mut random, root, &map, keys);
            states.push((root, map));
        }
        let (root, map) = states[states.len() - 1].clone();
        let all = map.keys().map(|key| (key.clone(), Edit::Remove)).collect();
        assert_eq!(trees.update(root, &all, &map), None, "all removed, seed {seed}");
        for _ in 0..30 {
            let (old, new) = (random.pick(&states).clone(), random.pick(&states).clone());
            let found = trees.difference(old.0, new.0);
            assert!(found == map_difference(&old.1, &new.1), "seed {seed}");
        }
    }
}

fn assert_lookups(
    trees: &mut Trees,
    random: &mut Random,
    root: Option<NodePointer>,
    map: &Map,
    keys: u64,
) {
    let mut wanted: Vec<Vec<u8>> = (0..20).map(|_| any_key(random, keys)).collect();
    wanted.extend([Vec::new(), b"zzz".to_vec()]);
    wanted.sort();
    let lookup = TreeLookup::new(trees.reader(), TREE, root, trees.writer.end());
    // Those that keep the top of the tree find the same in it as when they read it.
    let mut lookup = if random.chance(1, 2) { lookup.keeping_top() } else { lookup };
    let slices: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
    let mut next = 0;
    let found = lookup.values(&slices, &mut |index, value| {
        assert_eq!(index, next);
        next += 1;
        assert!(value == map.get(slices[index]).map(Vec::as_slice));
        Ok(())
    });
    found.unwrap();
    assert_eq!(next, slices.len());
    for key in wanted.iter().step_by(7) {
        assert!(lookup.value(key).unwrap().as_ref() == map.get(key));
        let mut walk = trees.walk(root);
        walk.seek(key).unwrap();
        let mut rest = map.range(key.clone()..);
        for _ in 0..5 {
            let there = walk.to_entry().unwrap();
            assert!(walk.entry().map(|(key, _)| key) == rest.next().map(|(key, _)| key.as_slice()));
            assert_eq!(there, walk.entry().is_some());
            walk.skip();
        }
    }
}

#[test]
fn bulk_built_trees_hold_their_entries_and_can_be_changed() {
    for count in [0, 1, 2, 3, 7, 100, 5000] {
        let mut random = Random::new(count);
        let mut map = Map::new();
        while map.len() < count as usize {
            map.insert(any_key(&mut random, 100_000), any_value(&mut random));
        }
        let mut trees = Trees::new();
        let mut builder = BulkBuilder::new(TREE);
        for (key, value) in &map {
            builder.push(key, value, &mut trees.writer).unwrap();
        }
        let root = builder.finish(&mut trees.writer).unwrap();
        trees.assert_holds(root, &map);
        let changes = any_changes(&mut random, 100_000, 50, 30);
        let changed = trees.update(root, &changes, &map);
        let old = map.clone();
        apply(&mut map, changes);
        trees.assert_holds(changed, &map);
        assert!(trees.difference(root, changed) == map_difference(&old, &map));
    }
}

#[test]
fn the_difference_costs_what_the_change_costs() {
    let mut trees = Trees::new();
    let key = |n: u64| format!("{n:010}").into_bytes();
    let mut map: Map = (0..20_000).map(|n| (key(n), vec![7; 60])).collect();
    let mut builder = BulkBuilder::new(TREE);
    for (key, value) in &map {
        builder.push(key, value, &mut trees.writer).unwrap();
    }
    let root = builder.finish(&mut trees.writer).unwrap();
    let mut worst = 0;
    let all = trees.nodes.0.load(Ordering::Relaxed);
    assert!(all > 1000, "many nodes: {all}");
    for n in [0, 1, 777, 9_999, 10_000, 12_345, 19_999] {
        for change in [Edit::Put(vec![8; 60]), Edit::Remove] {
            let changes = BTreeMap::from([(key(n), change)]);
            let changed = trees.update(root, &changes, &map);
            let before = trees.reads();
            assert_eq!(trees.difference(root, changed).len(), 1);
            worst = worst.max(trees.reads() - before);
            let before = trees.reads();
            assert_eq!(trees.difference(changed, root).len(), 1);
            worst = worst.max(trees.reads() - before);
        }
    }
    assert!(worst < 30, "{worst} reads for one key");
    assert_eq!(trees.difference(root, root), []);
    let before = trees.reads();
    assert_eq!(trees.difference(root, root), []);
    assert_eq!(trees.reads(), before, "equal states are not read");

    // A tail as a flusher makes it: some go, and as many come at the end.
    let mut changes: BTreeMap<_, _> = (0..100).map(|n| (key(n * 197), Edit::Remove)).collect();
    changes.extend((20_000..20_100).map(|n| (key(n), Edit::Put(vec![9; 60]))));
    let written = trees.nodes.0.load(Ordering::Relaxed);
    let changed = trees.update(root, &changes, &map);
    let written = trees.nodes.0.load(Ordering::Relaxed) - written;
    let old = map.clone();
    apply(&mut map, changes);
    let before = trees.reads();
    assert_eq!(trees.difference(root, changed), map_difference(&old, &map));
    let reads = trees.reads() - before;
    assert!(reads < 3 * written, "{reads} reads for {written} nodes written");
}

#[test]
fn nodes_that_are_half_written_can_be_changed_again() {
    // Large nodes reach the device in pieces: what was appended must be readable all the same.
    let mut trees = Trees::new();
    let mut random = Random::new(1);
    let (mut root, mut map) = (None, Map::new());
    for round in 0..40 {
        let value = random.bytes(100_000 + random.clone().below(400_000) as usize);
        let changes = BTreeMap::from([(vec![round % 3], Edit::Put(value))]);
        root = trees.update(root, &changes, &map);
        apply(&mut map, changes);
    }
    trees.assert_holds(root, &map);
}
