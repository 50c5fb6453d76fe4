//! A vbucket's compaction beside its flusher, both stepped by hand in an order drawn from a seed.
//! Marks prove that the interleavings which this is about really happened.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use support::host::START_S;
use support::random::Random;
use support::state::{Doc, State, assert_sound};
use support::world::{World, any_mutation, delete, local, set, to_purge, unbounded};
use tailswap::compaction::{Compaction, CompactionOptions, Decision, Filter, Purge};
use tailswap::device::MemoryVolume;
use tailswap::event::{Actor, Event, Phase};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::store::{Budget, Step};

/// What the flusher did in a phase, and what else happened to a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// The flusher wrote, holding the lock.
    Wrote(Phase),
    Committed(Phase),
    /// The flusher waited for the lock, which the compaction had.
    Blocked(Phase),
    CompactorWaited,
    /// A flush was committed in this catch-up round.
    CommittedInRound(u32),
    Created,
    Changed,
    Deleted,
    Recreated,
    LocalSet,
    LocalDeleted,
    /// The tail held nothing, deletions only, or local documents only.
    EmptyTail,
    DeleteOnlyTail,
    LocalOnlyTail,
    Purged,
    PurgedAndRecreated,
    PurgedWithTail,
    FilterDropped,
    TargetMissed,
    Paced,
}

/// What goes on beside a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Everything,
    Nothing,
    Deletions,
    Locals,
    /// As much as the lock lets through: catch-up never gets there.
    Flood,
}

/// Drops every fifth key, and of the bodies it asks for those that begin with an `x`.
struct Fifths;

impl Filter for Fifths {
    fn decide(&self, info: DocInfoRef<'_>, body: Option<&[u8]>) -> Decision {
        let last = info.id.last().copied().unwrap_or(0);
        match (last % 5, body) {
            (0, _) => Decision::Drop,
            (1, None) => Decision::NeedBody,
            (1, Some(body)) if body.first() == Some(&b'x') => Decision::Drop,
            _ => Decision::Keep,
        }
    }
}

/// One run: a world, a compaction in it, and what it is expected to leave behind.
struct Run {
    random: Random,
    world: World,
    style: Style,
    keys: u64,
    /// The state that the copy is made of.
    start: State,
    dropped: BTreeMap<Vec<u8>, u64>,
    purge_seq: u64,
    marks: BTreeSet<Mark>,
    /// Kinds of changes since the start.
    documents_changed: bool,
    locals_changed: bool,
    only_deletions: bool,
    first_event: usize,
    seen: usize,
    phase: Phase,
    round: u32,
}

impl Run {
    fn new(seed: u64, style: Style) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::create(Arc::new(MemoryVolume::new()));
        let keys = *random.pick(&[10, 60, 200]);
        for _ in 0..random.below(6) {
            for _ in 0..random.below(60) {
                world.push(any_mutation(&mut random, keys));
            }
            world.flush();
            if random.chance(1, 2) {
                let value = random.chance(3, 4).then(|| vec![b'l'; random.value_len()]);
                world.change_locals(vec![local(random.below(30), value)]);
            }
        }
        for key in 0..random.below(40) {
            world.change_locals(vec![local(key, Some(random.bytes(40)))]);
        }
        // Publishes the local documents.
        world.push(set(0, b"last".to_vec()));
        if random.chance(1, 3) {
            world.push(delete(1, 5));
        }
        world.flush();
        let start = world.committed.clone();
        Run {
            random,
            first_event: world.recorder.count(),
            seen: world.recorder.count(),
            phase: Phase::CopyDocuments,
            round: 0,
            world,
            style,
            keys,
            start,
            dropped: BTreeMap::new(),
            purge_seq: 0,
            marks: BTreeSet::new(),
            documents_changed: false,
            locals_changed: false,
            only_deletions: true,
        }
    }

    fn options(&mut self) -> CompactionOptions {
        let random = &mut self.random;
        let mut options = CompactionOptions {
            max_stall_ns: *random.pick(&[0, 50_000, 20_000_000]),
            table_memory: *random.pick(&[0, 1 << 20]),
            ..CompactionOptions::default()
        };
        let high = self.start.update_seq;
        match random.below(5) {
            0 => options.drop_deletes = true,
            1 => options.purge.before = Some(START_S + 500),
            2 => options.purge.to_seq = Some(high / 2),
            3 => options.purge = Purge { before: Some(START_S + 700), to_seq: Some(high) },
            _ => {}
        }
        let (dropped, purge_seq) = to_purge(&self.start, options.drop_deletes, options.purge);
        (self.dropped, self.purge_seq) = (dropped, purge_seq);
        if random.chance(1, 4) {
            options.filter = Some(Arc::new(Fifths));
            self.filter();
        }
        options
    }

    /// Adds what the filter drops.
    fn filter(&mut self) {
        let highest = self.start.docs.values().map(|doc| doc.seq).max();
        let drops = |id: &Vec<u8>, doc: &Doc| {
            let last = id.last().copied().unwrap_or(0);
            let stored = doc.body.as_ref().map(|body| match body.len() {
                0 => Vec::new(),
                _ => tailswap::format::snappy::deflate(body, "").unwrap(),
            });
            last % 5 == 0 || last % 5 == 1 && stored.is_some_and(|body| body.first() == Some(&b'x'))
        };
        for (id, doc) in &self.start.docs {
            let protected = doc.deleted && Some(doc.seq) == highest;
            if drops(id, doc) && !protected && self.dropped.insert(id.clone(), doc.seq).is_none() {
                self.marks.insert(Mark::FilterDropped);
                if doc.deleted {
                    self.purge_seq = self.purge_seq.max(doc.seq);
                }
            }
        }
    }

    fn budget(&mut self) -> Budget {
        match self.random.below(3) {
            0 => Budget { bytes: 1 + self.random.below(2_000), entries: 1 },
            1 => {
                Budget { bytes: 1 + self.random.below(40_000), entries: 1 + self.random.below(30) }
            }
            _ => Budget { bytes: 100_000, entries: 200 },
        }
    }

    /// Notes where the compaction stands.
    fn follow(&mut self) {
        for event in self.world.recorder.since(self.seen) {
            match event {
                Event::PhaseChanged { phase, .. } => self.phase = phase,
                Event::RoundStarted { locked: false, round, .. } => self.round = round,
                _ => {}
            }
        }
        self.seen = self.world.recorder.count();
    }

    fn change(&mut self) {
        match self.style {
            Style::Nothing => {}
            Style::Deletions => {
                // Of documents that are there; tombstones are deleted again, too.
                let ids = self.start.docs.len() as u64;
                if ids > 0 {
                    self.world.push(delete(self.random.below(self.keys), 900));
                }
            }
            Style::Locals => self.change_local(),
            Style::Everything | Style::Flood => {
                for _ in 0..1 + self.random.below(4) {
                    let mutation = any_mutation(&mut self.random, self.keys);
                    self.world.push(mutation);
                }
                if self.random.chance(1, 4) {
                    self.change_local();
                }
            }
        }
    }

    fn change_local(&mut self) {
        let value = self.random.chance(1, 2).then(|| self.random.bytes(60));
        let key = self.random.below(40);
        let update = local(key, value.clone());
        let there = self.world.committed.locals.contains_key(&update.id);
        if self.world.change_locals(vec![update]) {
            match value {
                Some(_) => self.marks.insert(Mark::LocalSet),
                None if there => self.marks.insert(Mark::LocalDeleted),
                None => false,
            };
            self.locals_changed = true;
        }
    }

    fn step_flusher(&mut self) {
        let (phase, round) = (self.phase, self.round);
        let before = self.world.recorder.count();
        let flying: Vec<_> = self.world.flying().cloned().collect();
        let mut budget = self.budget();
        let step = self.world.step_flusher(&mut budget).unwrap();
        let holder = self.world.vbucket.lock().holder();
        if step == Step::Blocked && holder == Some(Actor::Compactor) {
            self.marks.insert(Mark::Blocked(phase));
        }
        if step == Step::Progress && holder == Some(Actor::Flusher) {
            self.marks.insert(Mark::Wrote(phase));
        }
        for event in self.world.recorder.since(before) {
            match event {
                Event::FlushFinished { .. } => {
                    self.marks.insert(Mark::Committed(phase));
                    if phase == Phase::CatchUp {
                        self.marks.insert(Mark::CommittedInRound(round));
                    }
                    if phase < Phase::LastTail {
                        self.mark_kinds(&flying);
                    }
                }
                Event::Paced { .. } => drop(self.marks.insert(Mark::Paced)),
                _ => {}
            }
        }
    }

    fn mark_kinds(&mut self, flushed: &[tailswap::flusher::queue::Mutation]) {
        self.documents_changed = true;
        for mutation in flushed {
            self.only_deletions &= mutation.deleted;
            let purged = self.dropped.contains_key(&mutation.id);
            let before = self.start.docs.get(&mutation.id).map(|doc| doc.deleted);
            let mark = match (before, mutation.deleted) {
                (Some(true), false) if purged => Mark::PurgedAndRecreated,
                (None, false) => Mark::Created,
                (Some(true), false) => Mark::Recreated,
                (Some(false), false) => Mark::Changed,
                (_, true) => Mark::Deleted,
            };
            self.marks.insert(mark);
        }
    }

    /// Compacts with everything going on beside it, then compares.
    fn go(mut self, context: &str) -> BTreeSet<Mark> {
        let options = self.options();
        self.world.take_snapshot();
        let mut compaction = self.world.compact(options).unwrap();
        let flusher_weight = *self.random.pick(&[1, 5, 20]);
        let busy_until = *self.random.pick(&[Phase::CopyLocal, Phase::WaitForLock, Phase::Unlink]);
        for step in 0.. {
            assert!(step < 20_000, "comes to an end, {context}");
            self.world.host.advance(self.random.below(200_000));
            if self.phase <= busy_until && step < 3_000 && self.random.chance(1, 3) {
                self.change();
            }
            if self.style == Style::Flood && self.phase < Phase::WaitForLock {
                self.change();
                while self.world.is_dirty() {
                    self.world.wait_for_pace();
                    self.step_flusher();
                }
            }
            for _ in 0..self.random.below(flusher_weight + 1) {
                self.step_flusher();
            }
            if self.random.chance(1, 50) {
                self.world.take_snapshot();
            }
            let mut budget = self.budget();
            let before = self.world.vbucket.revision();
            let stepped = compaction.step(&mut budget).unwrap();
            self.follow();
            if stepped == Step::Blocked && self.phase == Phase::WaitForLock {
                self.marks.insert(Mark::CompactorWaited);
            }
            if self.world.vbucket.revision() != before {
                let (dropped, purge_seq) = (self.dropped.clone(), self.purge_seq);
                self.world.swapped(&dropped, purge_seq);
                self.world.assert_published(&format!("just swapped, {context}"));
            }
            if stepped == Step::Done {
                break;
            }
        }
        self.mark_outcome(&compaction);
        drop(compaction);
        assert_eq!(self.world.names(), ["3.couch.2"], "{context}");
        assert_eq!(self.world.vbucket.pace(), None, "{context}");
        self.world.flush();
        self.world.assert_published(context);
        self.world.assert_readers(context);
        assert_sound(&self.world.vbucket.snapshot().unwrap(), context);
        // And the same once more, from the file alone.
        let Run { world, marks, .. } = self;
        let (volume, state) = world.close();
        World::open(volume, state).unwrap().assert_published(context);
        marks
    }

    fn mark_outcome(&mut self, compaction: &Compaction) {
        let stats = compaction.stats();
        let mut mark = |on: bool, mark: Mark| on && self.marks.insert(mark);
        let changed = (self.documents_changed, self.locals_changed);
        mark(changed == (false, false) && stats.rounds == 0, Mark::EmptyTail);
        mark(changed == (true, false) && self.only_deletions, Mark::DeleteOnlyTail);
        mark(changed == (false, true), Mark::LocalOnlyTail);
        mark(self.purge_seq > 0, Mark::Purged);
        mark(self.purge_seq > 0 && self.documents_changed, Mark::PurgedWithTail);
        let events = self.world.recorder.since(self.first_event);
        let missed = events.iter().any(|e| matches!(e, Event::StallTargetMissed { .. }));
        mark(missed, Mark::TargetMissed);
        assert!(stats.rounds <= 10);
        let highest = self.start.docs.values().max_by_key(|doc| doc.seq).map(|doc| doc.seq);
        for event in events {
            if let Event::DocumentDropped { seq, .. } = event {
                let doc = self.start.docs.values().find(|doc| doc.seq == seq).unwrap();
                assert!(!doc.deleted || Some(seq) != highest, "the highest tombstone stays");
            }
        }
    }
}

#[test]
fn compaction_beside_the_flusher_keeps_everything_in_every_interleaving() {
    let mut marks = BTreeSet::new();
    for seed in 0..120 {
        let style = match seed % 8 {
            0 => Style::Nothing,
            1 => Style::Deletions,
            2 => Style::Locals,
            3 => Style::Flood,
            _ => Style::Everything,
        };
        let context = format!("seed {seed}, {style:?}");
        marks.extend(Run::new(seed, style).go(&context));
    }
    let unlocked = [Phase::CopyDocuments, Phase::CopyIds, Phase::CopyLocal, Phase::CommitCopy];
    let around = [Phase::CatchUp, Phase::WaitForLock, Phase::Unlink];
    let locked = [Phase::LastTail, Phase::Validate, Phase::Swap];
    let phases = unlocked.into_iter().chain(around);
    let mut wanted: Vec<Mark> = phases.flat_map(|p| [Mark::Wrote(p), Mark::Committed(p)]).collect();
    wanted.extend(locked.map(Mark::Blocked));
    wanted.extend((1..=10).map(Mark::CommittedInRound));
    wanted.extend([
        Mark::CompactorWaited,
        Mark::Created,
        Mark::Changed,
        Mark::Deleted,
        Mark::Recreated,
        Mark::LocalSet,
        Mark::LocalDeleted,
        Mark::EmptyTail,
        Mark::DeleteOnlyTail,
        Mark::LocalOnlyTail,
        Mark::Purged,
        Mark::PurgedAndRecreated,
        Mark::PurgedWithTail,
        Mark::FilterDropped,
        Mark::TargetMissed,
        Mark::Paced,
    ]);
    wanted.retain(|mark| !marks.contains(mark));
    assert!(wanted.is_empty(), "never happened: {wanted:?}");
    for phase in locked {
        assert!(!marks.contains(&Mark::Wrote(phase)), "nobody else writes under the lock");
        assert!(!marks.contains(&Mark::Committed(phase)));
    }
}

#[test]
fn an_empty_vbucket_can_be_compacted_again_and_again() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    for revision in 2..5 {
        let mut compaction = world.compact(CompactionOptions::default()).unwrap();
        while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
        assert_eq!(world.names(), [format!("3.couch.{revision}")]);
        world.assert_published("empty");
    }
    world.push(set(1, b"one".to_vec()));
    world.flush();
    world.assert_published("no longer empty");
}

#[test]
fn a_tombstone_purged_twice_over_stays_away_and_purge_seq_never_goes_down() {
    let mut world = World::create(Arc::new(MemoryVolume::new()));
    for key in 0..20 {
        world.push(set(key, vec![1; 50]));
    }
    world.flush();
    let compact = |world: &mut World, purge: Purge| {
        let options = CompactionOptions { purge, ..CompactionOptions::default() };
        let (dropped, purge_seq) = to_purge(&world.committed, false, purge);
        let mut compaction = world.compact(options).unwrap();
        while compaction.step(&mut unbounded()).unwrap() != Step::Done {}
        world.swapped(&dropped, purge_seq);
        world.assert_published("compacted");
        dropped.len()
    };
    for key in 0..10 {
        world.push(delete(key, 0));
    }
    world.flush();
    let all = Purge { before: None, to_seq: Some(u64::MAX) };
    assert_eq!(compact(&mut world, all), 9, "all but the highest");
    assert_eq!(world.committed.purge_seq, 29);
    // Purging nothing, or something lower, keeps purge_seq.
    assert_eq!(compact(&mut world, Purge::default()), 0);
    assert_eq!(compact(&mut world, Purge { before: Some(0), to_seq: Some(5) }), 0);
    assert_eq!(world.committed.purge_seq, 29);
    world.push(set(50, Vec::new()));
    world.flush();
    assert_eq!(compact(&mut world, all), 1, "the one that was the highest then");
    assert_eq!(world.committed.purge_seq, 30);
    assert_eq!(world.committed.docs.len(), 11);
}
