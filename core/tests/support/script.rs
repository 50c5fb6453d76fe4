//! A run that is the same each time up to where a test interferes: a vbucket with some history, and
//! a compaction beside its flusher.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailswap::compaction::{Compaction, CompactionOptions};
use tailswap::device::{MemoryVolume, Volume};
use tailswap::store::{Budget, Step};
use tailswap::{Error, Result};

use super::random::Random;
use super::state::State;
use super::world::{World, any_mutation};

/// Ids in use.
const KEYS: u64 = 90;

/// A vbucket's file with some history, to begin many runs with.
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    state: State,
    history: BTreeMap<u64, State>,
}

impl Prepared {
    pub(crate) fn new() -> Self {
        let memory = MemoryVolume::new();
        let mut world = World::create(Arc::new(memory.clone()));
        let mut random = Random::new(77);
        for _ in 0..5 {
            for _ in 0..30 {
                world.push(any_mutation(&mut random, KEYS));
            }
            world.flush();
        }
        let bytes = memory.get("3.couch.1").unwrap();
        Prepared { bytes, state: world.committed.clone(), history: world.history }
    }

    /// A volume with the file in it.
    pub(crate) fn volume(&self) -> MemoryVolume {
        let memory = MemoryVolume::new();
        memory.put("3.couch.1", self.bytes.clone()).unwrap();
        memory
    }

    /// The vbucket, opened from such a volume.
    pub(crate) fn open(&self, volume: Arc<dyn Volume>) -> World {
        let mut world = World::open(volume, self.state.clone()).unwrap();
        world.history = self.history.clone();
        world
    }
}

/// A vbucket with a compaction under way.
pub(crate) struct Script {
    pub(crate) world: World,
    /// Until it is at its end.
    pub(crate) compaction: Option<Compaction>,
    random: Random,
    turns: u64,
}

impl Script {
    /// Starts a compaction whose table of positions goes to a file. Where that fails, the world comes
    /// back with the reason.
    pub(crate) fn start(world: World) -> Result<Self, (Box<World>, Error)> {
        let options = CompactionOptions {
            table_memory: 0,
            max_stall_ns: 50_000,
            ..CompactionOptions::default()
        };
        match world.compact(options) {
            Ok(compaction) => {
                let (compaction, random) = (Some(compaction), Random::new(5));
                Ok(Script { world, compaction, random, turns: 0 })
            }
            Err(error) => Err((Box::new(world), error)),
        }
    }

    /// Queues something now and then, steps the flusher, whose failures are returned.
    pub(crate) fn step_flusher(&mut self) -> Result<Step> {
        self.turns += 1;
        if self.turns % 3 == 1 {
            self.world.push(any_mutation(&mut self.random, KEYS));
        }
        self.world.host.advance(20_000);
        self.world.step_flusher(&mut Budget { bytes: 6_000, entries: 12 })
    }

    /// Steps the compaction, if there still is one; the model follows its swap.
    pub(crate) fn step_compaction(&mut self) -> Result<Step> {
        let Some(compaction) = &mut self.compaction else { return Ok(Step::Done) };
        let revision = self.world.vbucket.revision();
        let result = compaction.step(&mut Budget { bytes: 12_000, entries: 24 });
        if self.world.vbucket.revision() != revision {
            self.world.swapped(&BTreeMap::new(), 0);
        }
        if !matches!(result, Ok(Step::Progress | Step::Blocked)) {
            self.compaction = None;
        }
        result
    }

    /// One step of each, neither of which may fail. `false` once the compaction is at its end.
    pub(crate) fn turn(&mut self) -> bool {
        let _ = self.step_flusher().unwrap();
        self.step_compaction().unwrap() != Step::Done
    }

    /// So many turns; `false` when the compaction was at its end before.
    pub(crate) fn turns(&mut self, count: u64) -> bool {
        (0..count).all(|_| self.turn())
    }
}

/// Asserts that nobody holds the vbucket's lock or waits for it, and that nothing compacts it.
pub(crate) fn assert_idle(world: &World, context: &str) {
    let lock = world.vbucket.lock();
    assert_eq!((lock.holder(), lock.waiting().len()), (None, 0), "{context}");
    assert!(!world.vbucket.is_compacting(), "{context}");
    assert_eq!(world.vbucket.pace(), None, "{context}");
}

/// Asserts that everything works as if nothing had happened: flushing, compacting, opening again.
pub(crate) fn assert_goes_on(mut world: World, context: &str) {
    assert_idle(&world, context);
    world.push(super::world::set(1, b"afterwards".to_vec()));
    world.flush();
    world.assert_published(context);
    assert_eq!(world.names().len(), 1, "{context}");
    let mut script = Script::start(world).ok().unwrap();
    while script.turn() {}
    let mut world = script.world;
    world.flush();
    let name = format!("3.couch.{}", world.vbucket.revision());
    assert_eq!(world.names(), [name.as_str()], "{context}");
    world.assert_readers(context);
    let (volume, state) = world.close();
    let world = World::open(volume, state).unwrap();
    world.assert_published(&format!("opened again, {context}"));
    super::state::assert_sound(&world.vbucket.snapshot().unwrap(), context);
}

/// Asserts that flushes fail until the vbucket is opened again, and that nothing is acknowledged.
pub(crate) fn assert_refuses_writes(world: &mut World, context: &str) {
    let persisted = world.dirty.persisted_seq();
    world.push(super::world::set(2, b"refused".to_vec()));
    for _ in 0..3 {
        let mut step = || world.step_flusher(&mut super::world::unbounded());
        let error = (0..10).find_map(|_| step().err()).unwrap();
        assert!(matches!(error, Error::Poisoned { .. }), "{context}: {error}");
    }
    assert_eq!(world.dirty.persisted_seq(), persisted, "{context}");
}
