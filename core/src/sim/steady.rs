//! A steady life of a world: documents are loaded, then updated at an even rate, a few of them most
//! of the time, until the file is so fragmented that a compaction begins beside the writers.
//!
//! Where a [random life](super::swarm) looks for trouble, this one shows what is ordinary. It is the
//! same for the same seed and load, on every host.

use super::choice::Choices;
use super::world::{Action, Change, Compact, DeviceModel, Until, Value, World};
use crate::event::Phase;

/// Documents that are queued at once while the vbucket is filled.
const LOADED_AT_ONCE: usize = 24;
/// Of so many documents one is among the hot ones.
const HOT_PART: usize = 16;
/// The reader that takes its snapshot during catch-up and outlives the swap.
const LATE_READER: &str = "late";
/// The reader that takes its snapshot before the compaction and is gone before the swap.
const EARLY_READER: &str = "early";

/// What writers and readers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Documents that there are.
    pub documents: usize,
    /// Bytes of a value, on average.
    pub value_bytes: usize,
    /// Mutations a second, once all documents are there.
    pub mutations_per_second: u64,
    /// Of a hundred mutations, so many change one of the few hot documents.
    pub hot_percent: usize,
    /// A compaction begins when so many percent of the file are not in use.
    pub compact_at_percent: u64,
    /// Writers go on for so long after the swap, in nanoseconds. After a compaction that came to
    /// nothing, the next one waits for as long.
    pub after_swap_ns: u64,
    /// Actions after which a life ends, whatever it has come to. A compaction that is under way then has
    /// twice as many to come to its end.
    pub actions_max: usize,
}

impl Load {
    /// What keeps the flusher as busy on this device as on any other.
    pub fn on(device: DeviceModel) -> Self {
        let sync_ns = device.sync_ns.max(1);
        Load {
            documents: 320,
            value_bytes: 1600,
            mutations_per_second: (5_000_000_000_000 / sync_ns / 1_000).max(1),
            hot_percent: 50,
            compact_at_percent: 50,
            after_swap_ns: sync_ns.saturating_mul(12),
            actions_max: 20_000,
        }
    }
}

/// A steady life: whoever asks for the next action gets one that fits.
#[derive(Clone, Debug)]
pub struct Steady {
    choices: Choices,
    load: Load,
    /// Keys of documents that were there before; others are named by number.
    keys: Vec<String>,
    loaded: usize,
    tag: u64,
    actions: usize,
    next_write_ns: u64,
    /// No compaction begins before this time, in nanoseconds.
    compact_from_ns: u64,
    stage: Stage,
    /// What was queued by the last action.
    written: Option<Vec<Change>>,
    /// What the queue had no room for.
    refused: Option<Vec<Change>>,
}

/// How far a life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was compacted yet.
    Growing,
    /// The early reader has its snapshot.
    Due,
    /// The compaction is copying.
    Copying,
    /// The late reader has its snapshot.
    CatchingUp,
    /// The new file is in charge; writers stop at this time, in nanoseconds.
    Swapped(u64),
    /// Writers stopped.
    Ending,
}

impl Steady {
    /// The life of a seed.
    pub fn new(seed: u64, load: Load) -> Self {
        Steady {
            choices: Choices::seeded(seed),
            load,
            keys: Vec::new(),
            loaded: 0,
            tag: 0,
            actions: 0,
            next_write_ns: 0,
            compact_from_ns: 0,
            stage: Stage::Growing,
            written: None,
            refused: None,
        }
    }

    /// The same in a vbucket that has documents of these keys: they are updated from the beginning,
    /// and no compaction begins before some have been.
    pub fn among(seed: u64, load: Load, keys: Vec<String>) -> Self {
        Steady {
            loaded: load.documents,
            compact_from_ns: load.after_swap_ns,
            keys,
            ..Steady::new(seed, load)
        }
    }

    /// What is done next; `None` at its end.
    pub fn next_action(&mut self, world: &World) -> Option<Action> {
        self.actions += 1;
        let is_compacting = world.machines().compaction.is_some();
        if self.actions > self.load.actions_max.saturating_mul(if is_compacting { 3 } else { 1 }) {
            return None;
        }
        if world.needs_restart() {
            return Some(Action::Die);
        }
        if world.closed().is_some() {
            return None;
        }
        if world.machines().vbucket.is_none() {
            return Some(Action::Create(Until::End));
        }
        let refused = self.written.take().filter(|_| world.last_error().is_some());
        if let Some(changes) = refused {
            self.refused = Some(changes);
            self.next_write_ns = world.now_ns() + self.mean_ns();
        }
        if let Some(action) = self.turning_point(world) {
            return Some(action);
        }
        let (now, due) = (world.now_ns(), world.next_turn_ns());
        if self.stage != Stage::Ending && due.is_none_or(|due| self.next_write_ns <= due) {
            return Some(match self.next_write_ns.checked_sub(now) {
                Some(ns) if ns > 0 => Action::Wait(ns),
                _ => {
                    let changes = self.refused.take().unwrap_or_else(|| self.changes(now));
                    self.written = Some(changes.clone());
                    Action::Queue(changes)
                }
            });
        }
        due.map(|_| Action::Step(1))
    }

    /// What is done because the world has come to a certain point.
    fn turning_point(&mut self, world: &World) -> Option<Action> {
        match self.stage {
            Stage::Growing
                if world.now_ns() >= self.compact_from_ns && self.is_fragmented(world) =>
            {
                self.stage = Stage::Due;
                Some(Action::Read(EARLY_READER.to_owned()))
            }
            Stage::Due => {
                self.stage = Stage::Copying;
                Some(Action::Compact(Compact::default(), Until::Begun))
            }
            Stage::Copying if world.phase().is_some_and(|phase| phase >= Phase::CatchUp) => {
                self.stage = Stage::CatchingUp;
                Some(Action::Read(LATE_READER.to_owned()))
            }
            Stage::CatchingUp if has_reader(world, EARLY_READER) => {
                Some(Action::Close(EARLY_READER.to_owned()))
            }
            // The old file is in nobody's way, so writers go on while the late reader reads it.
            Stage::CatchingUp if world.progress().swaps > 0 => {
                self.stage = Stage::Swapped(world.now_ns() + self.load.after_swap_ns);
                None
            }
            // A failure ended it, or a crash.
            Stage::Copying | Stage::CatchingUp if world.machines().compaction.is_none() => {
                self.compact_from_ns = world.now_ns() + self.load.after_swap_ns;
                self.stage = Stage::Growing;
                None
            }
            Stage::Swapped(end) if world.now_ns() >= end => {
                self.stage = Stage::Ending;
                // A crash may have taken it.
                has_reader(world, LATE_READER).then(|| Action::Close(LATE_READER.to_owned()))
            }
            _ => None,
        }
    }

    fn is_fragmented(&self, world: &World) -> bool {
        if self.loaded < self.load.documents {
            return false;
        }
        let snapshot = world.machines().vbucket().and_then(|vbucket| vbucket.snapshot());
        let part = snapshot.and_then(|snapshot| snapshot.fragmentation());
        part.is_ok_and(|part| part * 100.0 >= self.load.compact_at_percent as f64)
    }

    /// Between two mutations on average, in nanoseconds; and until a writer tries again whom the
    /// queue had no room for.
    fn mean_ns(&self) -> u64 {
        1_000_000_000 / self.load.mutations_per_second.max(1)
    }

    /// What is written now; sets when the next is.
    fn changes(&mut self, now: u64) -> Vec<Change> {
        let mean_ns = self.mean_ns();
        if self.loaded < self.load.documents {
            let until = (self.loaded + LOADED_AT_ONCE).min(self.load.documents);
            let changes = (self.loaded..until).map(|document| self.change(document)).collect();
            self.loaded = until;
            self.next_write_ns = now + mean_ns * LOADED_AT_ONCE as u64 / 4;
            return changes;
        }
        let documents = self.load.documents.max(1);
        let hot = (documents / HOT_PART).max(1);
        let count = 1 + self.choices.choose(3);
        let changes = (0..count).map(|_| {
            let among = match self.choices.happens(self.load.hot_percent, 100) {
                true => hot,
                false => documents,
            };
            let document = self.choices.choose(among);
            self.change(document)
        });
        let changes = changes.collect();
        // Two mutations at a time on average, at times that scatter by half around the mean.
        let scattered = mean_ns + self.choices.choose(mean_ns.max(1) as usize * 2) as u64;
        self.next_write_ns = now + scattered.max(1);
        changes
    }

    fn change(&mut self, document: usize) -> Change {
        self.tag += 1;
        let length = self.load.value_bytes / 2 + self.choices.choose(self.load.value_bytes.max(1));
        let value = Value::Generated { length, tag: self.tag };
        let named = self.keys.get(document).cloned();
        let key = named.unwrap_or_else(|| format!("doc-{document:04}"));
        Change { key, value: Some(value) }
    }
}

fn has_reader(world: &World, name: &str) -> bool {
    world.readers().any(|(reader, _)| reader == name)
}
