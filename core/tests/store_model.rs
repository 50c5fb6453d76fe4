//! One file against a model of it: random batches, commits, abandoned batches, rewinds, reopening
//! and offline compaction, in steps of random size, in memory and on real files.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::random::Random;
use support::state::{State, assert_sound};
use support::world::{alternate, unbounded};
use tailswap::Error;
use tailswap::compaction::{CompactionOptions, OfflineCompaction};
use tailswap::device::{FileVolume, MemoryVolume, Volume};
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::limits::BODY_LEN_MAX;
use tailswap::store::{
    Batch, BatchSave, Body, Budget, Commit, CommitStyle, Create, DocUpdate, HeadersBack,
    HeadersForward, LocalUpdate, OpenMode, RevSeq, Snapshot, Step, Store, at_offset,
    at_or_before_seq,
};

/// A file under test: its store, and every state that it still has.
struct Tested {
    volume: Arc<dyn Volume>,
    name: String,
    /// Absent only while the file is reopened.
    store: Option<Store>,
    /// Committed states that are not given up, oldest first, with their snapshots.
    history: Vec<(Snapshot, State)>,
    /// States that a rewind gave up; their headers are in the file all the same.
    given_up: Vec<(Snapshot, State)>,
    files: u64,
}

impl Tested {
    fn create(volume: Arc<dyn Volume>, version: u8) -> Self {
        let (name, header) = ("file.0".to_owned(), Header::empty(version));
        let create =
            Create::new(volume.clone(), &name, header, Batch::default(), 5, Events::none())
                .unwrap();
        let store = create.finish().unwrap();
        let empty = State::default();
        let mut history: Vec<_> = HeadersBack::from(store.snapshot().unwrap())
            .map(|s| (s.unwrap(), empty.clone()))
            .collect();
        history.reverse();
        assert_eq!(history.len(), 2, "an empty header at offset 0, and the first commit");
        Tested { volume, name, store: Some(store), history, given_up: Vec::new(), files: 1 }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        self.store.as_ref().unwrap().snapshot().unwrap()
    }

    fn newest(&self) -> &State {
        &self.history.last().unwrap().1
    }

    fn save(&mut self, batch: Batch, random: &mut Random) {
        let mut save = BatchSave::new(self.store(), batch).unwrap();
        while save.step(self.store(), &mut any_budget(random)).unwrap() != Step::Done {}
    }

    fn commit(&mut self, state: State) {
        let mut commit = Commit::new(CommitStyle::Flip, 7);
        while commit.step(self.store()).unwrap() != Step::Done {}
        self.history.push((self.snapshot(), state));
    }

    /// Goes back to an older state, or to the empty one before any.
    fn rewind(&mut self, random: &mut Random) -> State {
        let keep = random.below(self.history.len() as u64) as usize;
        let (snapshot, state) = self.history[keep].clone();
        if random.chance(1, 6) {
            self.store().rewind_to_nothing();
            self.given_up.append(&mut self.history);
            return State::default();
        }
        self.store().rewind(&snapshot);
        self.given_up.extend(self.history.split_off(keep + 1));
        state
    }

    fn reopen(&mut self) {
        // Snapshots keep the file open for writing, as they hold its only handle.
        let drop_snapshots = |states: &mut Vec<(Snapshot, State)>| -> Vec<(u64, State)> {
            states.drain(..).map(|(snapshot, state)| (snapshot.position(), state)).collect()
        };
        let history = drop_snapshots(&mut self.history);
        let given_up = drop_snapshots(&mut self.given_up);
        self.store = None;
        let opened =
            Store::open(self.volume.as_ref(), &self.name, OpenMode::Strict, Events::none())
                .unwrap();
        assert!(opened.1.is_empty());
        self.store = Some(opened.0);
        let any = self.snapshot();
        let take_again = |states: Vec<(u64, State)>| {
            states
                .into_iter()
                .map(|(position, state)| (at_offset(&any, position).unwrap(), state))
                .collect()
        };
        self.history = take_again(history);
        self.given_up = take_again(given_up);
    }

    /// Goes on in a compacted copy, whose history is one state.
    fn compact(&mut self, random: &mut Random, drop_deletes: bool) {
        let source = self.snapshot();
        let name = format!("file.{}", self.files);
        self.files += 1;
        let options = CompactionOptions {
            drop_deletes,
            table_memory: *random.pick(&[0, 1 << 20]),
            ..CompactionOptions::default()
        };
        let mut compaction = OfflineCompaction::start(
            source.clone(),
            self.volume.clone(),
            &name,
            options,
            Events::none(),
            alternate,
        )
        .unwrap();
        while compaction.step(&mut any_budget(random)).unwrap() != Step::Done {}
        drop(compaction);
        let (store, _) =
            Store::open(self.volume.as_ref(), &name, OpenMode::Strict, Events::none()).unwrap();
        let mut state = self.newest().clone();
        if drop_deletes {
            let purged = state.docs.values().filter(|doc| doc.deleted).map(|doc| doc.seq).max();
            state.purge_seq = state.purge_seq.max(purged.unwrap_or(0));
            state.docs.retain(|_, doc| !doc.deleted);
        }
        self.store = Some(store);
        self.volume.remove(&self.name).unwrap();
        self.name = name;
        // The former file is gone, but not for those who read it.
        for (snapshot, state) in self.history.drain(..).chain(self.given_up.drain(..)) {
            state.assert_is(&snapshot, "after its file was removed");
        }
        self.history = vec![(self.snapshot(), state)];
        assert_eq!(self.volume.list().unwrap(), [self.name.as_str()]);
    }

    fn assert_all(&self, random: &mut Random, context: &str) {
        let newest = self.snapshot();
        self.newest().assert_is(&newest, context);
        self.newest().assert_partial_reads(&newest, random, context);
        let back: Vec<_> = HeadersBack::from(newest.clone()).map(Result::unwrap).collect();
        let positions: Vec<_> = back.iter().map(Snapshot::position).collect();
        let expected: Vec<_> = self.history.iter().rev().map(|(s, _)| s.position()).collect();
        assert_eq!(positions, expected, "headers backwards, {context}");
        let forward = HeadersForward::all(newest.clone()).count();
        assert_eq!(forward, self.history.len() + self.given_up.len(), "forward, {context}");
        let (old, state) = random.pick(&self.history);
        state.assert_is(old, &format!("an older snapshot, {context}"));
        let (again, state) = (random.pick(&back), &self.history);
        let (_, state) = state.iter().find(|(s, _)| s.position() == again.position()).unwrap();
        state.assert_is(again, &format!("an older header, {context}"));
        if !self.given_up.is_empty() {
            let (old, state) = random.pick(&self.given_up);
            state.assert_is(old, &format!("a state given up, {context}"));
        }
        let seq = random.below(self.newest().update_seq + 2);
        let found = at_or_before_seq(newest, seq).unwrap().map(|s| s.position());
        let expected = self.history.iter().rev().find(|(_, state)| state.update_seq <= seq);
        assert_eq!(found, expected.map(|(s, _)| s.position()), "at or before {seq}, {context}");
    }
}

fn any_budget(random: &mut Random) -> Budget {
    match random.below(3) {
        0 => Budget { bytes: 1 + random.below(300), entries: 1 },
        1 => Budget { bytes: 5_000, entries: 1 + random.below(20) },
        _ => unbounded(),
    }
}

fn any_id(random: &mut Random, ids: u64) -> Vec<u8> {
    let number = random.below(ids);
    let mut id = format!("{number:04}").into_bytes();
    id.resize(if number % 40 == 7 { 4095 } else { 4 + number as usize % 30 }, b'i');
    id
}

fn any_batch(random: &mut Random, ids: u64, update_seq: u64) -> Batch {
    let mut batch = Batch::default();
    let given = random.chance(1, 3);
    let mut seq = update_seq;
    for _ in 0..random.below(40) {
        seq += 1 + random.below(5);
        let value = {
            let length = random.value_len();
            if random.chance(1, 2) { random.bytes(length) } else { vec![b'v'; length] }
        };
        let deleted = random.chance(1, 4);
        batch.documents.push(DocUpdate {
            id: any_id(random, ids),
            seq: given.then_some(seq),
            rev_seq: if random.chance(1, 3) {
                RevSeq::Given(random.below(1 << 48))
            } else {
                RevSeq::Next
            },
            deleted,
            content_meta: random.below(4) as u8,
            rev_meta: {
                let length = *random.pick(&[0, 16, 18, 25]);
                random.bytes(length)
            },
            body: match random.below(4) {
                0 if deleted => Body::None,
                1 => Body::Compress(Bytes::from(value)),
                _ => Body::Stored(Bytes::from(value)),
            },
        });
    }
    for _ in 0..random.below(4) {
        let id = format!("_local/{}", random.below(12)).into_bytes();
        let length = random.value_len();
        let value = random.chance(2, 3).then(|| random.bytes(length));
        batch.locals.push(LocalUpdate { id, value });
    }
    batch
}

fn run(volume: Arc<dyn Volume>, seed: u64, steps: u64) {
    let mut random = Random::new(seed);
    let version = *random.pick(&[14, 14, 14, 13, 12, 11]);
    let mut tested = Tested::create(volume, version);
    let ids = *random.pick(&[20, 300]);
    for step in 0..steps {
        let context = format!("seed {seed}, step {step}, version {version}");
        let mut state = tested.newest().clone();
        match random.below(20) {
            0 => tested.reopen(),
            // Before version 14 nothing says that a header was given up.
            1 if tested.snapshot().header().disk_version >= 14 => {
                let mut state = tested.rewind(&mut random);
                if random.chance(1, 2) {
                    let batch = any_batch(&mut random, ids, state.update_seq);
                    state.apply(&batch);
                    tested.save(batch, &mut random);
                }
                tested.commit(state);
            }
            2 => tested.compact(&mut random, step % 2 == 0),
            3 => {
                // Abandoned half-way.
                let batch = any_batch(&mut random, ids, state.update_seq);
                let mut save = BatchSave::new(tested.store(), batch).unwrap();
                for _ in 0..random.below(60) {
                    let _ = save.step(tested.store(), &mut any_budget(&mut random)).unwrap();
                }
                tested.store().go_back().unwrap();
                let length = tested.store().file().len().unwrap();
                assert_eq!(length, tested.store().len(), "{context}");
            }
            _ => {
                for _ in 0..1 + random.below(3) {
                    let batch = any_batch(&mut random, ids, state.update_seq);
                    state.apply(&batch);
                    tested.save(batch, &mut random);
                }
                tested.commit(state);
            }
        }
        tested.assert_all(&mut random, &context);
    }
    for (snapshot, state) in tested.history.iter().chain(&tested.given_up) {
        state.assert_is(snapshot, &format!("at the end, seed {seed}"));
    }
    assert_sound(&tested.snapshot(), &format!("seed {seed}"));
}

#[test]
fn files_in_memory_hold_what_was_saved() {
    for seed in 0..24 {
        run(Arc::new(MemoryVolume::new()), seed, 40);
    }
}

#[test]
fn real_files_hold_what_was_saved() {
    for seed in 100..104 {
        let folder = tempfile::tempdir().unwrap();
        run(Arc::new(FileVolume::open_writable(folder.path()).unwrap()), seed, 30);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut tested = Tested::create(Arc::new(MemoryVolume::new()), 14);
    let update = |id: Vec<u8>, seq| DocUpdate {
        id,
        seq,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: Vec::new(),
        body: Body::None,
    };
    let batch = |documents| Batch { documents, locals: Vec::new() };
    tested.store().save(batch(vec![update(b"a".to_vec(), Some(10))]), 1).unwrap();
    let length = tested.store().len();
    let cases = [
        (batch(vec![update(Vec::new(), None)]), "an id is empty"),
        (
            batch(vec![update(vec![b'x'; 4096], None)]),
            "length of an id is 4096, more than the 4095",
        ),
        (batch(vec![update(b"b".to_vec(), Some(10))]), "sequence number 10 is not above 10"),
        (
            batch(vec![update(b"b".to_vec(), Some(12)), update(b"c".to_vec(), Some(11))]),
            "sequence number 11 is not above 12",
        ),
        (batch(vec![update(b"b".to_vec(), Some(1 << 48))]), "sequence number is 281474976710656"),
        (batch(vec![update(b"b".to_vec(), Some(0))]), "sequence number 0 is not above 10"),
        (
            batch(vec![DocUpdate {
                rev_seq: RevSeq::Given(1 << 48),
                ..update(b"b".to_vec(), None)
            }]),
            "revision is 281474976710656",
        ),
        (
            batch(vec![DocUpdate {
                body: Body::Stored(vec![0; BODY_LEN_MAX + 1].into()),
                ..update(b"b".to_vec(), None)
            }]),
            "length of a body is 268435448, more than the 268435447",
        ),
        (
            Batch {
                documents: Vec::new(),
                locals: vec![LocalUpdate { id: Vec::new(), value: None }],
            },
            "an id is empty",
        ),
    ];
    for (batch, message) in cases {
        let error = tested.store().save(batch, 2).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(matches!(error, Error::Invalid(_) | Error::TooLarge { .. }));
        assert_eq!(tested.store().len(), length);
    }
    tested.store().save(batch(vec![update(vec![b'x'; 4095], None)]), 3).unwrap();
    let snapshot = tested.store().snapshot().unwrap();
    assert_eq!(snapshot.changes_since(11).unwrap().count(), 1);
    assert_eq!(snapshot.changes_since((1 << 48) + 11).unwrap().count(), 0, "none can be that new");
}

#[test]
fn the_first_header_of_a_compacted_file_has_none_before_it_and_that_costs_no_search() {
    let mut tested = Tested::create(Arc::new(MemoryVolume::new()), 14);
    let mut random = Random::new(3);
    let mut state = State::default();
    for _ in 0..30 {
        let batch = any_batch(&mut random, 1000, state.update_seq);
        state.apply(&batch);
        tested.save(batch, &mut random);
    }
    tested.commit(state);
    tested.compact(&mut random, false);
    let faulty = tailswap::device::FaultVolume::new(tested.volume.clone());
    let (snapshot, _) =
        tailswap::store::open_for_reading(&faulty, &tested.name, OpenMode::Strict).unwrap();
    faulty.take_log();
    assert_eq!(HeadersBack::from(snapshot).count(), 1);
    let read: u64 = faulty.take_log().iter().filter_map(|operation| operation.length).sum();
    assert!(read <= 4096, "{read} bytes read to learn that there is no header before");
}
